//! `mangrove shield explain ADDRESS`: what holds a client back, keeps it out or leaves it alone, why, and until when.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use mangrove_config::Network;
use serde_json::{Value, json};

use super::{Held, Order, Status, left, of_day, pretty, state_of, what};
use crate::running;
use crate::terminal::{self, counted, shown, span};

/// What is to be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The order of this number.
    Order(u64),
    /// Whoever comes from there.
    Client(Network),
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = text.parse().map(Self::Order);
            return number.map_err(|_| "an order's number is smaller than that".to_owned());
        }
        let network = text.parse().map(Self::Client);
        network
            .map_err(|wrong| format!("give an order's number, or an address or network: {wrong}"))
    }
}

/// Prints what there is of a client.
pub(super) fn explain(state: &Path, client: Network, json: bool) -> Result<ExitCode> {
    let answer = running::ask_in_charge(state, "GET /shield")?;
    if json {
        let told: Value = running::understood(&answer)?;
        return pretty(&of_client(&told, client).to_string());
    }
    terminal::say(in_words(&running::understood(&answer)?, client)?);
    Ok(ExitCode::SUCCESS)
}

/// Whether a network that the edge tells of and this one have anybody in common.
fn meets(told: &str, client: Network) -> bool {
    let told = told.parse::<Network>();
    told.is_ok_and(|told| told.touches(&client))
}

/// Whether an order is about a fingerprint: whom that means no address tells.
fn is_of_software(subject: &str) -> bool {
    subject.parse::<Network>().is_err()
}

fn of_client(told: &Value, client: Network) -> Value {
    let all = |list: &str| {
        told.pointer(list)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let is_met = |one: Option<&Value>| {
        let told = one.and_then(Value::as_str);
        told.is_some_and(|told| meets(told, client))
    };
    let about = |list: &str, name: &str| -> Value {
        all(list)
            .filter(|one| is_met(one.get(name)))
            .cloned()
            .collect()
    };
    let by_ja4 = all("/orders").filter(|one| {
        let subject = one.get("subject").and_then(Value::as_str);
        subject.is_some_and(is_of_software)
    });
    let listed = all("/exempt/listed").filter(|one| is_met(Some(one)));
    json!({
        "client": client,
        "held_back": about("/held_back", "client"),
        "orders": about("/orders", "subject"),
        "orders_by_ja4": by_ja4.collect::<Vec<_>>(),
        "exempt": listed.collect::<Vec<_>>(),
        "logged_in": about("/exempt/logged_in", "client"),
    })
}

fn in_words(status: &Status, client: Network) -> Result<String> {
    let mut text = String::new();
    let no_room = |_| anyhow!("no room for words");
    let mut row = |name: &str, what: String| writeln!(text, "{name:10} {what}").map_err(no_room);
    let exempt = status.exempt.listed.iter();
    for network in exempt.filter(|told| meets(told, client)) {
        row(
            "left alone",
            format!("{} is listed in exempt_clients", shown(network)),
        )?;
    }
    let logged_in = status.exempt.logged_in.iter();
    for one in logged_in.filter(|one| meets(&one.client, client)) {
        let left = span(one.left_seconds);
        row(
            "left alone",
            format!("{} is logged in, for {left}", shown(&one.client)),
        )?;
    }
    for order in status
        .orders
        .iter()
        .filter(|order| meets(&order.subject, client))
    {
        row("order", ordered(order))?;
    }
    for one in status
        .held_back
        .iter()
        .filter(|one| meets(&one.client, client))
    {
        row("held back", held(one))?;
    }
    if text.is_empty() {
        text = format!(
            "No rate limit holds {client} back now as far as is known, no order is about its address, and it is not exempt.\n"
        );
    }
    let orders = status.orders.iter();
    for order in orders.filter(|order| is_of_software(&order.subject)) {
        let ordered = ordered(order);
        writeln!(
            text,
            "by ja4     {ordered}; it is about this client if tls.client.ja4_stable in its lines of the log is that"
        )
        .map_err(no_room)?;
    }
    Ok(text.trim_end().to_owned())
}

fn ordered(order: &Order) -> String {
    format!(
        "{} ({}): {} for {}; {}",
        order.id,
        state_of(order),
        what(order),
        left(order),
        shown(&order.reason)
    )
}

fn held(held: &Held) -> String {
    format!(
        "{} by limit {} of site {}, refused {}; may ask again in {}, at {}",
        shown(&held.client),
        shown(&held.limit),
        shown(&held.site),
        counted(held.refused, "time", "times"),
        span(held.left_ms.div_ceil(1_000)),
        of_day(held.until_unix_ms)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = r#"{
        "now_unix_ms": 86400000000, "most_orders": 256,
        "orders": [{"id": 7, "act": "block", "site": "shop", "subject": "198.51.100.0/24", "owner": "mina", "reason": "scrapes",
                    "expires_at_unix_ms": 86407200000, "left_seconds": 7199, "pending": false, "approved_by": null,
                    "would_touch": null, "touched": {"requests": 0, "clients": 0}}],
        "held_back": [
            {"site": "shop", "limit": "robots", "client": "198.51.100.9/32", "refused": 12, "left_ms": 3600000, "until_unix_ms": 86403600000},
            {"site": "shop", "limit": "robots", "client": "203.0.113.1/32", "refused": 1, "left_ms": 1000, "until_unix_ms": 86400001000}],
        "exempt": {"listed": ["192.0.2.0/24"],
                   "logged_in": [{"client": "100.64.0.7/32", "left_seconds": 60}]}
    }"#;

    fn told_of(client: &str) -> String {
        in_words(
            &serde_json::from_str(TOLD).unwrap(),
            client.parse().unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn a_client_is_told_apart_from_an_order() {
        assert_eq!("7".parse(), Ok(What::Order(7)));
        let client = "198.51.100.9".parse().unwrap();
        assert_eq!("198.51.100.9".parse(), Ok(What::Client(client)));
        assert!(
            "mina"
                .parse::<What>()
                .unwrap_err()
                .contains("an order's number, or an address")
        );
        assert!("99999999999999999999".parse::<What>().is_err());
    }

    #[test]
    fn what_holds_a_client_back_is_told_with_its_end() {
        assert_eq!(
            told_of("198.51.100.9"),
            "order      7 (in force): 198.51.100.0/24 is kept out of site shop for 2 h, until 02:00 UTC; scrapes\n\
             held back  198.51.100.9/32 by limit robots of site shop, refused 12 times; may ask again in 1 h, at 01:00 UTC"
        );
        assert_eq!(
            told_of("192.0.2.7"),
            "left alone 192.0.2.0/24 is listed in exempt_clients"
        );
        assert_eq!(told_of("203.0.112.0/23").lines().count(), 1);
        assert!(told_of("203.0.113.2").starts_with("No rate limit holds 203.0.113.2/32 back"));
    }

    /// Once such a client was said to be in nobody's way.
    #[test]
    fn an_order_by_fingerprint_may_be_about_anybody_and_says_how_to_tell() {
        let ja4 = "t13d3112h2_e8f1e7e78f70_375ca2c5e164";
        let told = TOLD.replace("198.51.100.0/24", ja4);
        let client = "192.0.2.200".parse().unwrap();
        let words = in_words(&serde_json::from_str(&told).unwrap(), client).unwrap();
        let words: Vec<_> = words.lines().collect();
        assert_eq!(words.len(), 2, "{words:?}");
        let row = format!("by ja4     7 (in force): {ja4} is kept out of site shop for 2 h");
        assert!(words[1].starts_with(&row), "{words:?}");
        assert!(words[1].ends_with("if tls.client.ja4_stable in its lines of the log is that"));
        let told = of_client(&serde_json::from_str(&told).unwrap(), client);
        assert_eq!(told["orders_by_ja4"][0]["id"], 7);
        assert_eq!(told["orders"], json!([]));
    }

    #[test]
    fn the_same_is_told_to_programs() {
        let told = of_client(
            &serde_json::from_str(TOLD).unwrap(),
            "198.51.100.9".parse().unwrap(),
        );
        assert_eq!(told["orders"][0]["id"], 7);
        assert_eq!(told["held_back"].as_array().unwrap().len(), 1);
        assert_eq!(told["exempt"], json!([]));
        assert_eq!(told["logged_in"], json!([]));
    }

    /// Once only the words told it.
    #[test]
    fn who_is_logged_in_is_told_to_people_and_to_programs() {
        assert_eq!(
            told_of("100.64.0.7"),
            "left alone 100.64.0.7/32 is logged in, for 1 min"
        );
        let told = of_client(
            &serde_json::from_str(TOLD).unwrap(),
            "100.64.0.7".parse().unwrap(),
        );
        assert_eq!(
            told["logged_in"],
            json!([{"client": "100.64.0.7/32", "left_seconds": 60}])
        );
    }
}
