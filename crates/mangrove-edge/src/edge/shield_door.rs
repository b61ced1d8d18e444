//! The operator's door to the shield: who is let through, kept out, held back or left alone, why, and until when.
//!
//! Whoever asks is told in JSON; the words a person reads are made by the command line.

use std::time::Duration;

use mangrove_config::Network;
use mangrove_http::{Moment, UnixMillis};
use mangrove_shield::orders::{Act, Order, Refused, Second, Wanted};
use mangrove_shield::subject::Subject;
use serde_json::{Value, json};

use super::Edge;
use super::cache_door::named;
use super::orders::{Change, Changed};
use super::parameters::{Parameter, Parameters};
use crate::admin::{Asker, Reply};
use crate::standing::{InForce, ORDERS};

const WHAT: &str = "say whom, where, why and for how long: site=NAME, subject=ADDRESS, NETWORK or ja4:FINGERPRINT, owner=NAME, reason=TEXT, \
                    seconds=NUMBER";
const WHICH: &str = "say which order, and who you are: id=NUMBER, owner=NAME";

impl Edge {
    /// `GET /shield`: all orders, and who is held back or left alone.
    pub fn shield(&self, query: Option<&[u8]>) -> Reply {
        if let Err(refused) = Parameters::read(query, &[]) {
            return refused;
        }
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let orders = self.orders.borrow();
        let orders: Vec<Value> = orders.held().iter().map(|held| tell(held, wall)).collect();
        let snapshot = self.snapshot.borrow();
        let listed = &snapshot.settled.server.exempt_clients;
        let operators = self.operators.borrow();
        let logged_in = operators.known(now).map(|(address, left)| {
            json!({ "client": Network::of_client(address), "left_seconds": left.as_secs() })
        });
        Reply::json(
            200,
            &json!({
                "now_unix_ms": wall.0,
                "orders": orders,
                "most_orders": ORDERS,
                "held_back": self.held_back(now, wall),
                "exempt": { "listed": listed, "logged_in": logged_in.collect::<Value>() },
            }),
        )
    }

    /// Whom rate limits hold back.
    fn held_back(&self, now: Moment, wall: UnixMillis) -> Value {
        let held_back = self.visitors.held_back.list(now.0).into_iter();
        let told = held_back.map(|held| {
            let left = Moment(held.until).saturating_since(now);
            let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            json!({
                "site": held.site,
                "limit": held.limit,
                "client": held.client,
                "refused": held.refused,
                "left_ms": left,
                "until_unix_ms": wall.0.saturating_add(left),
            })
        });
        told.collect()
    }

    /// `GET /shield/order?id=N`: one order.
    pub fn shield_order(&self, query: Option<&[u8]>) -> Reply {
        let looked = || {
            let said = Parameters::read(query, &[Parameter::Value("id")])?;
            let id = id_of(&said).ok_or_else(|| Reply::error(400, "say which order: id=NUMBER"))?;
            let orders = self.orders.borrow();
            let held = orders.held().iter().find(|held| held.order.id == id);
            let held = held.ok_or_else(|| refused(&Refused::Unknown(id)))?;
            Ok(Reply::json(200, &tell(held, self.clock.wall())))
        };
        looked().unwrap_or_else(|refused| refused)
    }

    /// `POST /shield/allow` and `/shield/block`: from now on somebody is let through, or kept out.
    pub async fn give_order(&self, act: Act, query: Option<&[u8]>, asker: Asker) -> Reply {
        match self.wanted(act, query, asker) {
            Ok(change) => self.make(change).await,
            Err(refused) => refused,
        }
    }

    /// `POST /shield/approve`: a second owner agrees.
    pub async fn approve_order(&self, query: Option<&[u8]>, asker: Asker) -> Reply {
        match self.which(query, asker) {
            Ok((id, owner)) => self.make(Change::Approve { id, owner }).await,
            Err(refused) => refused,
        }
    }

    /// `DELETE /shield`: an order is taken back.
    pub async fn remove_order(&self, query: Option<&[u8]>, asker: Asker) -> Reply {
        match self.which(query, asker) {
            Ok((id, owner)) => self.make(Change::Remove { id, owner }).await,
            Err(refused) => refused,
        }
    }

    fn wanted(&self, act: Act, query: Option<&[u8]>, asker: Asker) -> Result<Change, Reply> {
        let known = ["site", "subject", "owner", "reason", "seconds", "from"];
        let said = Parameters::read(query, &known.map(Parameter::Value))?;
        self.notice(&said, asker)?;
        let value = |name| said.value(name).ok_or_else(|| Reply::error(400, WHAT));
        let site = value("site")?;
        let subject: Subject = value("subject")?.parse().map_err(|wrong| {
            let subject = value("subject").unwrap_or_default();
            Reply::error(400, format!("the subject {subject:?} is none: {wrong}"))
        })?;
        let (owner, reason) = (value("owner")?.to_owned(), value("reason")?.to_owned());
        let seconds = value("seconds")?.parse::<u64>();
        let seconds = seconds.map_err(|_| Reply::error(400, "seconds is a whole number"))?;
        named(&self.snapshot.borrow(), site)?;
        if act == Act::Block
            && let Some(subject) = subject.network()
            && let Some(network) = self.exempts_all_of(subject)
        {
            return Err(Reply::error(
                409,
                format!(
                    "{subject} is exempt by {network}, and would not be kept out: it is listed in exempt_clients, or logged in. \
                     Nothing was ordered"
                ),
            ));
        }
        let touches = self.visitors.share(site, &subject, self.clock.now());
        let wanted = Wanted {
            act,
            site: site.to_owned(),
            subject,
            owner,
            reason,
            ttl_ms: seconds.saturating_mul(1_000),
        };
        Ok(Change::Give(wanted, touches))
    }

    fn which(&self, query: Option<&[u8]>, asker: Asker) -> Result<(u64, String), Reply> {
        let said = Parameters::read(query, &["id", "owner", "from"].map(Parameter::Value))?;
        self.notice(&said, asker)?;
        let (Some(id), Some(owner)) = (id_of(&said), said.value("owner")) else {
            return Err(Reply::error(400, WHICH));
        };
        Ok((id, owner.to_owned()))
    }

    /// Whoever orders on the machine may say where he has come from over SSH: he counts as logged in there. From elsewhere
    /// nobody may name another address than his own.
    fn notice(&self, said: &Parameters, asker: Asker) -> Result<(), Reply> {
        let Some(from) = said.value("from") else {
            return Ok(());
        };
        if asker != Asker::Trusted {
            let why = "from is taken on the edge's own socket only: leave it out";
            return Err(Reply::error(403, why));
        }
        let from = from
            .parse()
            .map_err(|_| Reply::error(400, "from is one address: where you have come from"))?;
        self.logged_in(from);
        Ok(())
    }

    /// The network that has the shield leave all of `subject` alone.
    fn exempts_all_of(&self, subject: Network) -> Option<Network> {
        let said = self.said();
        let mut exempt = said.exempt().iter();
        exempt.find(|network| network.holds(&subject)).copied()
    }

    async fn make(&self, change: Change) -> Reply {
        if self.draining.get() {
            let why = "this edge is ending: ask the one that has taken over";
            return Reply::error(503, why);
        }
        let Changed {
            order,
            not_durable,
            late,
        } = match self.change_order(change).await {
            Ok(changed) => changed,
            Err(why) => return refused(&why),
        };
        let wall = self.clock.wall();
        let said = self.said();
        let within = said.exempt().iter();
        let subject = order.subject.network();
        let within = within.filter(|network| subject.is_some_and(|subject| subject.holds(network)));
        let within: Vec<&Network> = within.collect();
        let orders = self.orders.borrow();
        let held = orders.held().iter().find(|held| held.order.id == order.id);
        // One that was removed is told as it was.
        let mut told = held.map_or_else(
            || tell(&InForce::new(order.clone()), wall),
            |held| tell(held, wall),
        );
        if let Some(told) = told.as_object_mut() {
            told.insert("durable".into(), not_durable.is_none().into());
            told.insert("not_durable_because".into(), not_durable.into());
            told.insert("late_cores".into(), late.into());
            told.insert("exempt_within".into(), json!(within));
        }
        Reply::json(200, &told)
    }
}

fn tell(held: &InForce, now: UnixMillis) -> Value {
    let order: &Order = &held.order;
    let left = order.expires_at.0.saturating_sub(now.0);
    let approved = match &order.second {
        Second::Given(owner) => Some(owner),
        Second::Spared | Second::Awaited => None,
    };
    json!({
        "id": order.id,
        "act": order.act.name(),
        "site": order.site,
        "subject": order.subject,
        "owner": order.owner,
        "reason": order.reason,
        "made_at_unix_ms": order.made_at.0,
        "expires_at_unix_ms": order.expires_at.0,
        "left_seconds": Duration::from_millis(left).as_secs(),
        "pending": order.second == Second::Awaited,
        "approved_by": approved,
        "would_touch": order.touches.map(|share| json!({
            "clients": share.touched(),
            "of": share.clients,
            "sampled": share.sampled,
            "is_over": share.is_over(mangrove_shield::orders::ALONE_PERCENT),
        })),
        "touched": { "requests": held.requests(), "clients": held.clients() },
    })
}

fn id_of(said: &Parameters) -> Option<u64> {
    said.value("id")?.parse().ok()
}

fn refused(why: &Refused) -> Reply {
    let status = match why {
        Refused::Unknown(_) => 404,
        Refused::Full
        | Refused::Already(_)
        | Refused::NotAwaited(_)
        | Refused::SameOwner { .. } => 409,
        Refused::AllowsJa4
        | Refused::TooLong
        | Refused::TooShort
        | Refused::Owner
        | Refused::Reason => 400,
    };
    Reply::error(status, why.to_string())
}
