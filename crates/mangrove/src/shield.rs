//! `mangrove shield`: who is let through, kept out or left alone, by whom, why, and for how long.
//!
//! The edge in charge is told; one that is only finishing its requests reads the same file a second later.

mod whom;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use serde::Deserialize;

pub(crate) use self::whom::What;
use crate::terminal::{self, counted, shell_word, shown, span};
use crate::{privileges, running, table};

/// What is wanted of the shield.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Let through, or keep out.
    Give(Given),
    /// Agree with somebody else's.
    Approve(u64),
    /// Take back.
    Remove(u64),
}

/// An order, as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// Whether he is let through; else he is kept out.
    pub(crate) allow: bool,
    pub(crate) site: String,
    pub(crate) subject: String,
    pub(crate) reason: String,
    pub(crate) seconds: u64,
}

/// `GET /shield`, as in the edge's answer.
#[derive(Debug, Deserialize)]
struct Status {
    orders: Vec<Order>,
    most_orders: u64,
    held_back: Vec<Held>,
    exempt: Exempt,
}

/// Somebody whom a rate limit has refused, and would refuse now.
#[derive(Debug, Deserialize)]
struct Held {
    site: String,
    limit: String,
    client: String,
    refused: u64,
    left_ms: u64,
    until_unix_ms: u64,
}

#[derive(Debug, Deserialize)]
struct Exempt {
    listed: Vec<String>,
    logged_in: Vec<LoggedIn>,
}

#[derive(Debug, Deserialize)]
struct LoggedIn {
    client: String,
    left_seconds: u64,
}

/// One order, as in the edge's answers.
#[derive(Debug, Deserialize)]
struct Order {
    id: u64,
    act: String,
    site: String,
    subject: String,
    owner: String,
    reason: String,
    expires_at_unix_ms: u64,
    left_seconds: u64,
    pending: bool,
    approved_by: Option<String>,
    would_touch: Option<WouldTouch>,
    touched: Touched,
    /// Whether it outlives the edge; told when something was changed.
    durable: Option<bool>,
    not_durable_because: Option<String>,
    #[serde(default)]
    late_cores: u64,
    /// Networks within it that it does not touch.
    #[serde(default)]
    exempt_within: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct WouldTouch {
    clients: u64,
    of: u64,
    sampled: u64,
    is_over: bool,
}

#[derive(Debug, Deserialize)]
struct Touched {
    requests: u64,
    clients: u64,
}

impl Wanted {
    /// As the edge wants to be asked.
    fn line(&self, owner: &str, from: Option<IpAddr>) -> String {
        let owner = running::encoded(owner);
        let mut line = match self {
            Self::Give(given) => {
                let act = if given.allow { "allow" } else { "block" };
                let [site, subject, reason] =
                    [&given.site, &given.subject, &given.reason].map(|text| running::encoded(text));
                let seconds = given.seconds;
                format!(
                    "POST /shield/{act}?site={site}&subject={subject}&owner={owner}&reason={reason}&seconds={seconds}"
                )
            }
            Self::Approve(id) => format!("POST /shield/approve?id={id}&owner={owner}"),
            Self::Remove(id) => format!("DELETE /shield?id={id}&owner={owner}"),
        };
        if let Some(from) = from {
            line += &format!("&from={from}");
        }
        line
    }
}

/// Has something done, and prints what that means.
pub(crate) fn run(
    state: &Path,
    wanted: &Wanted,
    owner: Option<String>,
    json: bool,
) -> Result<ExitCode> {
    let owner = owner.map_or_else(whoever_types, Ok)?;
    let line = wanted.line(&owner, typed_from());
    let answer = running::ask_in_charge(state, &line)?;
    if json {
        return pretty(&answer);
    }
    let order: Order = running::understood(&answer)?;
    terminal::say(done(wanted, &order, &again(state)));
    Ok(ExitCode::SUCCESS)
}

/// Prints all orders, and who is held back or left alone.
pub(crate) fn status(state: &Path, json: bool) -> Result<ExitCode> {
    let answer = running::ask_in_charge(state, "GET /shield")?;
    if json {
        return pretty(&answer);
    }
    terminal::say(in_words(&running::understood(&answer)?));
    Ok(ExitCode::SUCCESS)
}

/// Prints one order, or what there is of a client.
pub(crate) fn explain(state: &Path, what: &What, json: bool) -> Result<ExitCode> {
    let id = match what {
        What::Order(id) => id,
        What::Client(client) => return whom::explain(state, *client, json),
    };
    let answer = running::ask_in_charge(state, &format!("GET /shield/order?id={id}"))?;
    if json {
        return pretty(&answer);
    }
    terminal::say(explained(&running::understood(&answer)?, &again(state)));
    Ok(ExitCode::SUCCESS)
}

fn pretty(answer: &str) -> Result<ExitCode> {
    let value: serde_json::Value = running::understood(answer)?;
    terminal::say(serde_json::to_string_pretty(&value)?);
    Ok(ExitCode::SUCCESS)
}

/// The name of whoever types, also behind `sudo`.
fn whoever_types() -> Result<String> {
    let behind_sudo = std::env::var("SUDO_USER").ok();
    let behind_sudo = behind_sudo.filter(|name| !name.is_empty());
    behind_sudo
        .or_else(privileges::own_name)
        .ok_or_else(|| anyhow!("an order has an owner: say who you are with --owner NAME"))
}

/// Where whoever types comes from over SSH: the edge leaves that address alone for a while, so that nobody locks himself out.
fn typed_from() -> Option<IpAddr> {
    let connection = std::env::var("SSH_CONNECTION").ok()?;
    connection.split(' ').next()?.parse().ok()
}

/// How this program is called again for the same state folder.
fn again(state: &Path) -> (String, String) {
    (
        terminal::invoked(),
        format!(" --state {}", shell_word(state)),
    )
}

/// What was done, and what it means.
fn done(wanted: &Wanted, order: &Order, again: &(String, String)) -> String {
    let id = order.id;
    let (program, folder) = again;
    let mut text = match wanted {
        Wanted::Remove(_) => format!("Order {id} is removed: {}.", no_longer(order)),
        _ if order.pending => format!("Order {id} waits, and nothing has changed yet."),
        _ => format!(
            "Order {id} is in force: {} for {}.",
            what(order),
            left(order)
        ),
    };
    if let Wanted::Give(_) = wanted {
        text += &format!("\n{}", whom(order));
    }
    if order.pending && !matches!(wanted, Wanted::Remove(_)) {
        text += &format!(
            "\nSomebody else approves it with: {program} shield approve {id}{folder} --owner NAME"
        );
    }
    if !order.pending && !matches!(wanted, Wanted::Remove(_)) {
        text += match order.act.as_str() {
            "block" => {
                "\nEach request from there gets 403 blocked-by-hand, also on connections that are open."
            }
            _ => {
                "\nNo rate limit of the site counts what comes from there, and no order keeps it out."
            }
        };
        text += &format!("\nTake it back with: {program} shield remove {id}{folder}");
    }
    if !order.exempt_within.is_empty() && order.act == "block" {
        let networks: Vec<String> = order.exempt_within.iter().map(|text| shown(text)).collect();
        text += &format!(
            "\nNot kept out, because exempt or logged in: {}.",
            networks.join(", ")
        );
    }
    match (order.durable, &order.not_durable_because) {
        (Some(true), _) => {
            text += "\nThat is on the disk: a restart or a power loss does not undo it."
        }
        (_, Some(why)) => {
            text += &format!(
                "\nIt holds now, but it is not on the disk: {}. After a restart, order it again.",
                shown(why)
            );
        }
        _ => {}
    }
    if order.late_cores > 0 {
        let late = counted(order.late_cores, "core has", "cores have");
        text +=
            &format!("\n{late} not taken it in time, and will when turning again; see /healthz.");
    }
    text
}

fn what(order: &Order) -> String {
    let (subject, site) = (shown(&order.subject), shown(&order.site));
    match order.act.as_str() {
        "block" => format!("{subject} is kept out of site {site}"),
        _ => format!("{subject} is let through on site {site}"),
    }
}

fn no_longer(order: &Order) -> String {
    let (subject, site) = (shown(&order.subject), shown(&order.site));
    match (order.act.as_str(), order.pending) {
        (_, true) => "it was waiting, and had changed nothing".to_owned(),
        ("block", _) => format!("{subject} is no longer kept out of site {site} by it"),
        _ => format!("{subject} is no longer let through on site {site} by it"),
    }
}

fn left(order: &Order) -> String {
    // A second has begun already.
    let left = span(order.left_seconds.saturating_add(1));
    format!("{left}, until {}", of_day(order.expires_at_unix_ms))
}

/// `14:05 UTC`
fn of_day(unix_ms: u64) -> String {
    let of_day = unix_ms / 1_000 % 86_400;
    let (hour, minute) = (of_day / 3_600, of_day / 60 % 60);
    format!("{hour:02}:{minute:02} UTC")
}

/// Whom it touches, and why it waits if it does.
fn whom(order: &Order) -> String {
    let site = shown(&order.site);
    let Some(touch) = &order.would_touch else {
        return "Whom it would touch cannot be told: more sites are busy than are looked at. So it is not for one person alone."
            .to_owned();
    };
    if touch.sampled == 0 {
        let wide = match order.pending || order.approved_by.is_some() {
            true => " A network as wide as this is not for one person alone then.",
            false => "",
        };
        return format!(
            "Nobody has come to site {site} in the last minutes, so whom it would touch is not known.{wide}"
        );
    }
    let about = if touch.of > touch.sampled {
        "about "
    } else {
        ""
    };
    let touches = if order.pending {
        "would touch"
    } else {
        "touches"
    };
    let mut text = format!(
        "It {touches} {about}{} of {about}{} of site {site} ({}).",
        touch.clients,
        counted(touch.of, "recent client", "recent clients"),
        percent(touch.clients, touch.of)
    );
    if touch.is_over {
        text += " More than 5 % is not for one person alone.";
    }
    text
}

fn percent(part: u64, of: u64) -> String {
    let tenths = (u128::from(part) * 1_000).checked_div(u128::from(of));
    let tenths = tenths.unwrap_or(0);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

fn state_of(order: &Order) -> &'static str {
    match order.pending {
        true => "waits",
        false => "in force",
    }
}

fn explained(order: &Order, again: &(String, String)) -> String {
    let (program, folder) = again;
    let mut text = format!("Order {}: {}", order.id, state_of(order));
    let mut row = |name: &str, what: String| {
        let _ = write!(text, "\n{name:9} {what}");
    };
    row("what", what(order));
    row("why", shown(&order.reason));
    row("owner", shown(&order.owner));
    if let Some(second) = &order.approved_by {
        row("approved", format!("by {}", shown(second)));
    }
    row("left", left(order));
    row("when made", whom(order));
    let Touched { requests, clients } = order.touched;
    let what = match requests {
        0 => "nothing, since this edge began".to_owned(),
        _ => format!(
            "{} of {}, since this edge began",
            counted(requests, "request", "requests"),
            counted(clients, "client", "clients")
        ),
    };
    row("touched", what);
    let next = match order.pending {
        true => format!("{program} shield approve {}{folder} --owner NAME", order.id),
        false => format!("{program} shield remove {}{folder}", order.id),
    };
    row("next", next);
    text
}

fn in_words(status: &Status) -> String {
    let Status {
        orders,
        most_orders,
        held_back,
        exempt,
    } = status;
    let mut text = match orders.len() {
        0 => "No orders: nobody is kept out or let through by hand.\n".to_owned(),
        count => {
            let waiting = orders.iter().filter(|order| order.pending).count();
            let waiting = match waiting {
                0 => String::new(),
                waiting => format!(", {waiting} of them waiting for somebody to approve it"),
            };
            let orders_told = counted(count as u64, "order", "orders");
            format!(
                "{orders_told} of at most {most_orders}{waiting}\n\n{}",
                listed(orders)
            )
        }
    };
    text += &match held_back.len() {
        0 => "\nRate limits hold nobody back now.\n".to_owned(),
        count => {
            let clients = counted(count as u64, "client", "clients");
            let more = match count.saturating_sub(HELD_SHOWN) {
                0 => String::new(),
                more => format!("and {more} more, refused less often: see --json\n"),
            };
            format!(
                "\nRate limits hold {clients} back now\n\n{}{more}",
                held(held_back)
            )
        }
    };
    let exempt_told = match exempt.listed.is_empty() {
        true => "nobody is listed in exempt_clients".to_owned(),
        false => exempt
            .listed
            .iter()
            .map(|text| shown(text))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let _ = write!(text, "\nleft alone  {exempt_told}");
    for LoggedIn {
        client,
        left_seconds,
    } in &exempt.logged_in
    {
        let _ = write!(
            text,
            "\nlogged in   {}, left alone for {}",
            shown(client),
            span(*left_seconds)
        );
    }
    text
}

/// Clients held back that are shown.
const HELD_SHOWN: usize = 20;

fn held(held_back: &[Held]) -> String {
    let head = ["client", "site", "limit", "refused", "may ask in", "until"];
    let cells = held_back.iter().take(HELD_SHOWN).map(|held| {
        [
            held.client.clone(),
            held.site.clone(),
            held.limit.clone(),
            held.refused.to_string(),
            span(held.left_ms.div_ceil(1_000)),
            of_day(held.until_unix_ms),
        ]
    });
    table::of(head, cells)
}

fn listed(orders: &[Order]) -> String {
    let head = [
        "id", "what", "site", "whom", "state", "left", "owner", "requests", "why",
    ];
    let cells = orders.iter().map(|order| {
        [
            order.id.to_string(),
            order.act.clone(),
            order.site.clone(),
            order.subject.clone(),
            state_of(order).to_owned(),
            span(order.left_seconds),
            match &order.approved_by {
                Some(second) => format!("{} with {second}", order.owner),
                None => order.owner.clone(),
            },
            order.touched.requests.to_string(),
            order.reason.clone(),
        ]
    });
    table::of(head, cells)
}

/// Reads how long something is to last: `90s`, `30m`, `2h`; a number alone is not taken, because nobody knows of what.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "write how long as 90s, 30m or 2h; at most 24h".to_owned();
    let units = [("s", 1), ("min", 60), ("m", 60), ("h", 3_600)];
    let read = |(unit, size): (&str, u64)| {
        let digits = text.strip_suffix(unit)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits
            .parse::<u64>()
            .ok()
            .filter(|_| plain)?
            .checked_mul(size)
    };
    let seconds = units.into_iter().find_map(read).ok_or_else(wrong)?;
    match seconds {
        1..=86_400 => Ok(seconds),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again() -> (String, String) {
        ("mangrove".to_owned(), " --state /m".to_owned())
    }

    fn order(more: &str) -> Order {
        let order = format!(
            "{{\"id\":7,\"act\":\"block\",\"site\":\"shop\",\"subject\":\"198.51.100.0/24\",\"owner\":\"mina\",\
             \"reason\":\"scrapes\",\"expires_at_unix_ms\":86400000000,\"left_seconds\":7199,\"approved_by\":null,\
             \"touched\":{{\"requests\":0,\"clients\":0}},{more}}}"
        );
        serde_json::from_str(&order).unwrap()
    }

    const FEW: &str = "\"pending\":false,\"would_touch\":{\"clients\":3,\"of\":200,\"sampled\":200,\"is_over\":false}";
    const MANY: &str = "\"pending\":true,\"would_touch\":{\"clients\":2100,\"of\":5000,\"sampled\":256,\"is_over\":true}";

    fn given(allow: bool) -> Given {
        Given {
            allow,
            site: "shop".to_owned(),
            subject: "198.51.100.0/24".to_owned(),
            reason: "scrapes & more".to_owned(),
            seconds: 7_200,
        }
    }

    #[test]
    fn an_order_is_asked_for_in_one_line() {
        let from = Some("203.0.113.7".parse().unwrap());
        assert_eq!(
            Wanted::Give(given(false)).line("mina", from),
            "POST /shield/block?site=shop&subject=198.51.100.0/24&owner=mina&reason=scrapes%20%26%20more&seconds=7200\
             &from=203.0.113.7"
        );
        assert!(
            Wanted::Give(given(true))
                .line("a", None)
                .starts_with("POST /shield/allow?")
        );
        assert_eq!(
            Wanted::Approve(8).line("r&d", None),
            "POST /shield/approve?id=8&owner=r%26d"
        );
        assert_eq!(
            Wanted::Remove(8).line("mina", None),
            "DELETE /shield?id=8&owner=mina"
        );
    }

    #[test]
    fn what_was_done_is_told_with_what_it_means_and_how_to_take_it_back() {
        let few = order(&format!("{FEW},\"durable\":true"));
        assert_eq!(
            done(&Wanted::Give(given(false)), &few, &again()),
            "Order 7 is in force: 198.51.100.0/24 is kept out of site shop for 2 h, until 00:00 UTC.\n\
             It touches 3 of 200 recent clients of site shop (1.5 %).\n\
             Each request from there gets 403 blocked-by-hand, also on connections that are open.\n\
             Take it back with: mangrove shield remove 7 --state /m\n\
             That is on the disk: a restart or a power loss does not undo it."
        );
        let removed = done(&Wanted::Remove(7), &few, &again());
        assert!(
            removed.starts_with(
                "Order 7 is removed: 198.51.100.0/24 is no longer kept out of site shop by it."
            ),
            "{removed}"
        );
    }

    #[test]
    fn what_waits_says_so_first_and_who_may_help() {
        let many = order(&format!("{MANY},\"durable\":true"));
        assert_eq!(
            done(&Wanted::Give(given(false)), &many, &again()),
            "Order 7 waits, and nothing has changed yet.\n\
             It would touch about 2100 of about 5000 recent clients of site shop (42.0 %). More than 5 % is not for one person alone.\n\
             Somebody else approves it with: mangrove shield approve 7 --state /m --owner NAME\n\
             That is on the disk: a restart or a power loss does not undo it."
        );
    }

    #[test]
    fn what_is_not_known_or_not_done_is_told() {
        let tell = |more: &str| done(&Wanted::Give(given(false)), &order(more), &again());
        let nobody = "\"pending\":true,\"would_touch\":{\"clients\":0,\"of\":0,\"sampled\":0,\"is_over\":false}";
        let text = tell(nobody);
        assert!(text.contains("Nobody has come to site shop"), "{text}");
        assert!(text.contains("A network as wide as this"), "{text}");
        let text = tell("\"pending\":true,\"would_touch\":null");
        assert!(text.contains("cannot be told"), "{text}");
        let text = tell(&format!(
            "{FEW},\"durable\":false,\"not_durable_because\":\"the disk is full\",\"late_cores\":1,\
             \"exempt_within\":[\"198.51.100.7/32\"]"
        ));
        for told in [
            "It holds now, but it is not on the disk: the disk is full.",
            "1 core has not taken it in time",
            "Not kept out, because exempt or logged in: 198.51.100.7/32.",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }

    #[test]
    fn status_lists_orders_and_who_is_left_alone() {
        let nothing = "{\"orders\":[],\"most_orders\":256,\"held_back\":[],\"exempt\":{\"listed\":[],\"logged_in\":[]}}";
        assert_eq!(
            in_words(&serde_json::from_str(nothing).unwrap()),
            "No orders: nobody is kept out or let through by hand.\n\nRate limits hold nobody back now.\n\nleft alone  nobody is listed in exempt_clients"
        );
        let status = Status {
            orders: vec![order(FEW), order(MANY)],
            most_orders: 256,
            held_back: (0..=HELD_SHOWN as u64)
                .map(|n| Held {
                    site: "shop".to_owned(),
                    limit: "log-ins".to_owned(),
                    client: "203.0.113.9/32".to_owned(),
                    refused: 312 - n,
                    left_ms: 39_001,
                    until_unix_ms: 3_600_000,
                })
                .collect(),
            exempt: Exempt {
                listed: vec!["192.0.2.0/24".to_owned()],
                logged_in: vec![LoggedIn {
                    client: "203.0.113.7/32".to_owned(),
                    left_seconds: 60,
                }],
            },
        };
        let rows: String = (0..20)
            .map(|n| {
                format!(
                    "203.0.113.9/32  shop  log-ins  {}      40 s        01:00 UTC\n",
                    312 - n
                )
            })
            .collect();
        assert_eq!(
            in_words(&status),
            format!(
                "2 orders of at most 256, 1 of them waiting for somebody to approve it\n\n\
             id  what   site  whom             state     left        owner  requests  why\n\
             7   block  shop  198.51.100.0/24  in force  1 h 59 min  mina   0         scrapes\n\
             7   block  shop  198.51.100.0/24  waits     1 h 59 min  mina   0         scrapes\n\
             \nRate limits hold 21 clients back now\n\n\
             client          site  limit    refused  may ask in  until\n\
             {rows}and 1 more, refused less often: see --json\n\
             \nleft alone  192.0.2.0/24\
             \nlogged in   203.0.113.7/32, left alone for 1 min"
            )
        );
    }

    #[test]
    fn one_order_is_explained() {
        let mut held = order(FEW);
        held.touched = Touched {
            requests: 312,
            clients: 3,
        };
        assert_eq!(
            explained(&held, &again()),
            "Order 7: in force\n\
             what      198.51.100.0/24 is kept out of site shop\n\
             why       scrapes\n\
             owner     mina\n\
             left      2 h, until 00:00 UTC\n\
             when made It touches 3 of 200 recent clients of site shop (1.5 %).\n\
             touched   312 requests of 3 clients, since this edge began\n\
             next      mangrove shield remove 7 --state /m"
        );
    }

    #[test]
    fn how_long_is_written_with_its_unit() {
        for (text, wanted) in [
            ("90s", 90),
            ("30m", 1_800),
            ("30min", 1_800),
            ("2h", 7_200),
            ("24h", 86_400),
        ] {
            assert_eq!(seconds(text), Ok(wanted));
        }
        for wrong in [
            "",
            "h",
            "90",
            "0s",
            "25h",
            "86401s",
            "1d",
            "-1h",
            "+1h",
            "1.5h",
            "99999999999999999999h",
        ] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
