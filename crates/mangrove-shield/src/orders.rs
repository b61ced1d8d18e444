//! Orders by hand: whom a person lets through, or keeps out, for a while.
//!
//! An order is about one site and one address or network, or one fingerprint of TLS clients that are kept out. It has an owner
//! and a reason, and expires by itself within a day. One that would touch more than [`ALONE_PERCENT`] of the site's recent clients does nothing until a second owner has approved it: the hand
//! that slips at night is the commonest way to take a site down. Where it cannot be told whom it would touch, width decides.
//!
//! An order that lets through wins over one that keeps out.
//!
//! ```
//! use mangrove_http::UnixMillis;
//! use mangrove_shield::orders::{Act, Book, Wanted};
//! use mangrove_shield::recent::Share;
//!
//! let mut book = Book::default();
//! let now = UnixMillis(1_000);
//! let wanted = Wanted {
//!     act: Act::Block,
//!     site: "shop".into(),
//!     subject: "198.51.100.0/24".parse()?,
//!     owner: "mina".into(),
//!     reason: "scrapes the search".into(),
//!     ttl_ms: 3_600_000,
//! };
//! let touches = Share { inside: 3, sampled: 200, clients: 200 };
//! let order = book.give(wanted, Some(touches), now)?;
//! assert!(order.is_in_force(now));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use mangrove_http::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::recent::Share;
use crate::subject::Subject;

/// Orders at one time, of all sites together; one more is refused until another is removed or has expired.
pub const ORDERS: usize = 256;
/// The longest an order may last, in milliseconds: a day.
pub const LONGEST_MS: u64 = 24 * 60 * 60 * 1_000;
/// The shortest, in milliseconds: a second.
pub const SHORTEST_MS: u64 = 1_000;
/// Of a hundred recent clients, whom one owner alone may touch.
pub const ALONE_PERCENT: u64 = 5;
/// Bytes of an owner's name.
pub const OWNER_BYTES: usize = 64;
/// Bytes of a reason.
pub const REASON_BYTES: usize = 256;

/// What is done to whom an order is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// No limit of the site counts him, and no other order keeps him out.
    Allow,
    /// He is refused.
    Block,
}

impl Act {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
        }
    }
}

/// An order as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What is to be done.
    pub act: Act,
    /// On which site.
    pub site: String,
    /// To whom.
    pub subject: Subject,
    /// Who says so.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// For how long, in milliseconds.
    pub ttl_ms: u64,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Order {
    /// Its number, which no other order of this state folder has had.
    pub id: u64,
    /// What is done.
    pub act: Act,
    /// On which site.
    pub site: String,
    /// To whom.
    pub subject: Subject,
    /// Who said so.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Since when it is known.
    pub made_at: UnixMillis,
    /// From when on it is over.
    pub expires_at: UnixMillis,
    /// Whom it would have touched when it was made; none where that could not be told.
    pub touches: Option<Share>,
    /// Whether somebody else has to agree.
    pub second: Second,
}

/// Whether a second owner has to agree with an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Second {
    /// No: it touches few.
    Spared,
    /// Yes, and until then it does nothing.
    Awaited,
    /// This one does.
    Given(String),
}

/// Why an order is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// One too many.
    #[error(
        "there are {ORDERS} orders already, which is as many as may be; remove one, or order a wider network once"
    )]
    Full,
    /// It would outlast the day.
    #[error("an order lasts at most 24 hours; give it again tomorrow if it is still needed")]
    TooLong,
    /// It would be over at once.
    #[error("an order lasts at least a second")]
    TooShort,
    /// Nobody says so.
    #[error(
        "an order has an owner: a name of 1 to {OWNER_BYTES} bytes, without control characters"
    )]
    Owner,
    /// Nobody will know why.
    #[error(
        "an order has a reason: 1 to {REASON_BYTES} bytes, without control characters; whoever reads it tomorrow was not here"
    )]
    Reason,
    /// It would let through whoever copies a greeting.
    #[error(
        "a fingerprint can be kept out and not let through: whoever copies it would be counted by no limit; allow a network"
    )]
    AllowsJa4,
    /// It is there already.
    #[error("order {0} says the same already; remove it first if it is to be given anew")]
    Already(u64),
    /// There is none.
    #[error("there is no order {0}: it was removed, it has expired, or it never was")]
    Unknown(u64),
    /// Nobody else has to agree.
    #[error("order {0} waits for nobody: it is in force")]
    NotAwaited(u64),
    /// He has said so already.
    #[error("order {id} is {owner}'s own: somebody else has to approve it")]
    SameOwner {
        /// Which.
        id: u64,
        /// Whose.
        owner: String,
    },
}

/// All orders.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenBook")]
pub struct Book {
    /// How many there have been.
    given: u64,
    orders: Vec<Order>,
}

impl Order {
    /// Whether it does anything.
    pub fn is_in_force(&self, now: UnixMillis) -> bool {
        self.second != Second::Awaited && now < self.expires_at
    }

    fn says_as(&self, wanted: &Wanted) -> bool {
        self.act == wanted.act && self.site == wanted.site && self.subject == wanted.subject
    }
}

impl Book {
    /// Takes an order. `touches` is whom it would touch of the site's recent clients; none where that cannot be told.
    ///
    /// # Errors
    /// Why it is not taken; nothing has changed then.
    pub fn give(
        &mut self,
        wanted: Wanted,
        touches: Option<Share>,
        now: UnixMillis,
    ) -> Result<&Order, Refused> {
        self.expire(now);
        let owner = named(&wanted.owner, OWNER_BYTES).ok_or(Refused::Owner)?;
        let reason = named(&wanted.reason, REASON_BYTES).ok_or(Refused::Reason)?;
        match wanted.ttl_ms {
            ..SHORTEST_MS => return Err(Refused::TooShort),
            SHORTEST_MS..=LONGEST_MS => {}
            _ => return Err(Refused::TooLong),
        }
        if wanted.act == Act::Allow && wanted.subject.network().is_none() {
            return Err(Refused::AllowsJa4);
        }
        if let Some(same) = self.orders.iter().find(|order| order.says_as(&wanted)) {
            return Err(Refused::Already(same.id));
        }
        if self.orders.len() >= ORDERS {
            return Err(Refused::Full);
        }
        self.given = self.given.saturating_add(1);
        let second = match needs_second(wanted.subject, touches) {
            true => Second::Awaited,
            false => Second::Spared,
        };
        Ok(self.orders.push_mut(Order {
            id: self.given,
            act: wanted.act,
            site: wanted.site,
            subject: wanted.subject,
            owner,
            reason,
            made_at: now,
            expires_at: UnixMillis(now.0.saturating_add(wanted.ttl_ms)),
            touches,
            second,
        }))
    }

    /// A second owner agrees with an order that waits for one.
    ///
    /// # Errors
    /// There is none that waits, or it is his own.
    pub fn approve(&mut self, id: u64, owner: &str, now: UnixMillis) -> Result<&Order, Refused> {
        self.expire(now);
        let owner = named(owner, OWNER_BYTES).ok_or(Refused::Owner)?;
        let mut orders = self.orders.iter_mut();
        let order = orders
            .find(|order| order.id == id)
            .ok_or(Refused::Unknown(id))?;
        if order.second != Second::Awaited {
            return Err(Refused::NotAwaited(id));
        }
        // A capital letter makes nobody another.
        if order.owner.to_lowercase() == owner.to_lowercase() {
            return Err(Refused::SameOwner { id, owner });
        }
        order.second = Second::Given(owner);
        Ok(order)
    }

    /// Takes an order back.
    ///
    /// # Errors
    /// There is none of this number.
    pub fn remove(&mut self, id: u64, now: UnixMillis) -> Result<Order, Refused> {
        self.expire(now);
        let at = self.orders.iter().position(|order| order.id == id);
        let at = at.ok_or(Refused::Unknown(id))?;
        Ok(self.orders.remove(at))
    }

    /// Lets go of what is over, and gives it back. What a clock that was ahead has made is taken for made now, so that nothing
    /// outlasts the day.
    pub fn expire(&mut self, now: UnixMillis) -> Vec<Order> {
        for order in &mut self.orders {
            if order.made_at > now {
                let latest = UnixMillis(now.0.saturating_add(LONGEST_MS));
                (order.made_at, order.expires_at) = (now, order.expires_at.min(latest));
            }
        }
        let over = |order: &mut Order| order.expires_at <= now;
        self.orders.extract_if(.., over).collect()
    }

    /// All of them, the oldest first; what is over may still be among them.
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// One of them.
    pub fn order(&self, id: u64) -> Option<&Order> {
        self.orders.iter().find(|order| order.id == id)
    }
}

/// Whether an order needs a second owner: it would touch too many, or it is wide and nobody is known whom it might touch.
fn needs_second(subject: Subject, touches: Option<Share>) -> bool {
    match touches {
        Some(share) if share.sampled > 0 => share.is_over(ALONE_PERCENT),
        Some(_) => subject.is_wide(),
        None => true,
    }
}

/// A text that a person can read in one line.
fn named(text: &str, most: usize) -> Option<String> {
    let text = text.trim();
    let fits = (1..=most).contains(&text.len()) && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
}

/// An order as it is written down. What is read is judged like what is said: the file may be anybody's.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: u64,
    act: Act,
    site: String,
    subject: Subject,
    owner: String,
    reason: String,
    made_at_unix_ms: u64,
    expires_at_unix_ms: u64,
    touches: Option<Share>,
    second: Second,
}

impl From<Order> for Written {
    fn from(order: Order) -> Self {
        Self {
            id: order.id,
            act: order.act,
            site: order.site,
            subject: order.subject,
            owner: order.owner,
            reason: order.reason,
            made_at_unix_ms: order.made_at.0,
            expires_at_unix_ms: order.expires_at.0,
            touches: order.touches,
            second: order.second,
        }
    }
}

impl TryFrom<Written> for Order {
    type Error = Refused;

    fn try_from(written: Written) -> Result<Self, Refused> {
        let lasts = written
            .expires_at_unix_ms
            .checked_sub(written.made_at_unix_ms);
        match lasts {
            Some(LONGEST_MS..) if lasts != Some(LONGEST_MS) => return Err(Refused::TooLong),
            Some(_) => {}
            None => return Err(Refused::TooShort),
        }
        if written.act == Act::Allow && written.subject.network().is_none() {
            return Err(Refused::AllowsJa4);
        }
        let second = match written.second {
            Second::Given(owner) => {
                Second::Given(named(&owner, OWNER_BYTES).ok_or(Refused::Owner)?)
            }
            other => other,
        };
        Ok(Self {
            id: written.id,
            act: written.act,
            site: written.site,
            subject: written.subject,
            owner: named(&written.owner, OWNER_BYTES).ok_or(Refused::Owner)?,
            reason: named(&written.reason, REASON_BYTES).ok_or(Refused::Reason)?,
            made_at: UnixMillis(written.made_at_unix_ms),
            expires_at: UnixMillis(written.expires_at_unix_ms),
            touches: written.touches,
            second,
        })
    }
}

/// The book as it is written down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBook {
    given: u64,
    orders: Vec<Order>,
}

impl TryFrom<WrittenBook> for Book {
    type Error = Refused;

    fn try_from(written: WrittenBook) -> Result<Self, Refused> {
        let WrittenBook { given, orders } = written;
        if orders.len() > ORDERS {
            return Err(Refused::Full);
        }
        let mut last = 0;
        for order in &orders {
            // Numbers rise, so that none is there twice and none comes again.
            if order.id <= last || order.id > given {
                return Err(Refused::Already(order.id));
            }
            last = order.id;
        }
        Ok(Self { given, orders })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn wanted(act: Act, subject: &str) -> Wanted {
        Wanted {
            act,
            site: "shop".to_owned(),
            subject: subject.parse().unwrap(),
            owner: "mina".to_owned(),
            reason: "scrapes".to_owned(),
            ttl_ms: 60_000,
        }
    }

    fn block(subject: &str) -> Wanted {
        wanted(Act::Block, subject)
    }

    fn share(inside: u64) -> Option<Share> {
        Some(Share {
            inside,
            sampled: 100,
            clients: 5_000,
        })
    }

    #[test]
    fn an_order_is_in_force_until_it_expires_and_its_number_never_comes_again() {
        let mut book = Book::default();
        let order = book.give(block("10.0.0.1"), share(1), NOW).unwrap();
        assert_eq!(
            (order.id, order.expires_at),
            (1, UnixMillis(NOW.0 + 60_000))
        );
        assert!(order.is_in_force(UnixMillis(NOW.0 + 59_999)));
        assert!(!order.is_in_force(UnixMillis(NOW.0 + 60_000)));
        assert_eq!(book.expire(UnixMillis(NOW.0 + 59_999)), []);
        let over = book.expire(UnixMillis(NOW.0 + 60_000));
        assert_eq!((over.len(), book.orders().len()), (1, 0));
        let next = book.give(block("10.0.0.1"), share(1), NOW).unwrap();
        assert_eq!(next.id, 2);
        book.remove(2, NOW).unwrap();
        assert_eq!(book.remove(2, NOW), Err(Refused::Unknown(2)));
        assert_eq!(book.give(block("10.0.0.1"), share(1), NOW).unwrap().id, 3);
    }

    #[test]
    fn a_clock_that_was_ahead_makes_no_order_outlast_the_day() {
        let mut book = Book::default();
        let ahead = UnixMillis(NOW.0 + 10 * LONGEST_MS);
        book.give(block("10.0.0.1"), share(1), ahead).unwrap();
        assert_eq!(book.expire(NOW), []);
        let order = book.order(1).unwrap();
        assert_eq!(order.expires_at, UnixMillis(NOW.0 + LONGEST_MS));
        let text = serde_json::to_string(&book).unwrap();
        assert_eq!(serde_json::from_str::<Book>(&text).unwrap(), book);
    }

    #[test]
    fn who_would_touch_too_many_waits_for_somebody_else() {
        let mut book = Book::default();
        let few = book.give(block("10.0.1.0/24"), share(5), NOW).unwrap();
        assert_eq!(few.second, Second::Spared);
        let many = book.give(block("10.0.0.0/8"), share(6), NOW).unwrap();
        assert_eq!((many.id, &many.second), (2, &Second::Awaited));
        assert!(!many.is_in_force(NOW));

        for same in ["mina", " Mina "] {
            let refused = book.approve(2, same, NOW).unwrap_err();
            assert!(matches!(refused, Refused::SameOwner { id: 2, .. }));
        }
        assert_eq!(book.approve(2, "", NOW), Err(Refused::Owner));
        assert_eq!(book.approve(1, "rafi", NOW), Err(Refused::NotAwaited(1)));
        assert_eq!(book.approve(9, "rafi", NOW), Err(Refused::Unknown(9)));
        let approved = book.approve(2, "rafi", NOW).unwrap();
        assert_eq!(approved.second, Second::Given("rafi".to_owned()));
        assert!(approved.is_in_force(NOW));
        // What it waited counts: it is over when it was to be.
        assert!(!approved.is_in_force(UnixMillis(NOW.0 + 60_000)));
    }

    #[test]
    fn to_let_many_through_waits_as_well() {
        let mut book = Book::default();
        let order = book.give(wanted(Act::Allow, "10.0.0.0/8"), share(6), NOW);
        assert_eq!(order.unwrap().second, Second::Awaited);
    }

    /// After a start nobody has come yet, and everybody is still nobody.
    #[test]
    fn where_nobody_has_come_width_decides() {
        let mut book = Book::default();
        let nobody = Some(Share::default());
        for (subject, touches, second) in [
            ("10.0.0.0/24", nobody, Second::Spared),
            ("10.0.0.0/23", nobody, Second::Awaited),
            ("0.0.0.0/0", nobody, Second::Awaited),
            ("2001:db8::/48", nobody, Second::Spared),
            ("2001:db8::/47", nobody, Second::Awaited),
            ("10.0.0.1", None, Second::Awaited),
        ] {
            let order = book.give(block(subject), touches, NOW).unwrap();
            assert_eq!(order.second, second, "{subject}");
        }
    }

    #[test]
    fn each_limit_one_past_it_is_refused_and_changes_nothing() {
        let mut book = Book::default();
        let with = |change: fn(&mut Wanted)| {
            let mut wanted = block("10.0.0.1");
            change(&mut wanted);
            wanted
        };
        for (wrong, why) in [
            (with(|w| w.ttl_ms = LONGEST_MS + 1), Refused::TooLong),
            (with(|w| w.ttl_ms = SHORTEST_MS - 1), Refused::TooShort),
            (
                with(|w| w.owner = "a".repeat(OWNER_BYTES + 1)),
                Refused::Owner,
            ),
            (with(|w| w.owner = " ".into()), Refused::Owner),
            (with(|w| w.owner = "a\nb".into()), Refused::Owner),
            (
                with(|w| w.reason = "a".repeat(REASON_BYTES + 1)),
                Refused::Reason,
            ),
            (with(|w| w.reason = String::new()), Refused::Reason),
            (with(|w| w.reason = "\u{1b}[2J".into()), Refused::Reason),
        ] {
            assert_eq!(book.give(wrong, share(0), NOW).unwrap_err(), why);
        }
        assert_eq!(book, Book::default());
        for n in 0..ORDERS {
            let mut longest = block(&format!("10.0.{}.{}", n / 256, n % 256));
            longest.ttl_ms = LONGEST_MS;
            longest.owner = "a".repeat(OWNER_BYTES);
            longest.reason = "a".repeat(REASON_BYTES);
            book.give(longest, share(0), NOW).unwrap();
        }
        let full = book.clone();
        let one_more = book.give(block("10.1.0.0"), share(0), NOW);
        assert_eq!(one_more.unwrap_err(), Refused::Full);
        assert_eq!(book, full);
        // Once they are over there is room.
        let later = UnixMillis(NOW.0 + LONGEST_MS);
        assert!(book.give(block("10.1.0.0"), share(0), later).is_ok());
        assert_eq!(book.orders().len(), 1);
    }

    #[test]
    fn a_fingerprint_is_kept_out_and_never_let_through_and_of_unknown_visitors_not_by_one_alone() {
        const JA4: &str = "ja4:t13d3112h2_e8f1e7e78f70_375ca2c5e164";
        let mut book = Book::default();
        let refused = book.give(wanted(Act::Allow, JA4), share(0), NOW);
        assert_eq!(refused.unwrap_err(), Refused::AllowsJa4);
        let order = book.give(block(JA4), Some(Share::default()), NOW).unwrap();
        assert_eq!(order.second, Second::Awaited);
        book.remove(1, NOW).unwrap();
        let order = book.give(block(JA4), share(5), NOW).unwrap();
        assert_eq!(order.second, Second::Spared);
        let text = serde_json::to_string(&book).unwrap();
        assert!(text.contains(JA4), "{text}");
        assert_eq!(serde_json::from_str::<Book>(&text).unwrap(), book);
        let allows = text.replace("\"block\"", "\"allow\"");
        assert!(serde_json::from_str::<Book>(&allows).is_err());
    }

    #[test]
    fn the_same_order_again_names_the_one_there_is() {
        let mut book = Book::default();
        book.give(block("10.0.0.1"), share(0), NOW).unwrap();
        let again = book.give(block("10.0.0.1/32"), share(0), NOW);
        assert_eq!(again.unwrap_err(), Refused::Already(1));
        assert!(
            book.give(wanted(Act::Allow, "10.0.0.1"), share(0), NOW)
                .is_ok()
        );
        let mut elsewhere = block("10.0.0.1");
        elsewhere.site = "news".to_owned();
        assert!(book.give(elsewhere, share(0), NOW).is_ok());
    }

    #[test]
    fn what_is_written_is_read_and_what_nobody_may_order_is_not() {
        let mut book = Book::default();
        book.give(block("10.0.0.0/8"), share(6), NOW).unwrap();
        book.give(block("2001:db8::/48"), None, NOW).unwrap();
        book.approve(1, "rafi", NOW).unwrap();
        let text = serde_json::to_string(&book).unwrap();
        assert_eq!(serde_json::from_str::<Book>(&text).unwrap(), book);
        for (from, to) in [
            ("\"id\":2", "\"id\":1"),
            ("\"id\":2", "\"id\":3"),
            ("\"given\":2", "\"given\":1"),
            (
                "\"expires_at_unix_ms\":1060000",
                "\"expires_at_unix_ms\":87400001",
            ),
            (
                "\"expires_at_unix_ms\":1060000",
                "\"expires_at_unix_ms\":999999",
            ),
            ("10.0.0.0/8", "10.0.0.1/8"),
            ("\"block\"", "\"drop\""),
            ("\"mina\"", "\"\""),
            ("\"scrapes\"", "\"a\\nb\""),
            ("\"rafi\"", "\"\""),
            ("\"act\"", "\"what\""),
        ] {
            assert!(text.contains(from), "{from}: {text}");
            let wrong = text.replacen(from, to, 1);
            assert!(serde_json::from_str::<Book>(&wrong).is_err(), "{to}");
        }
        let day = text.replacen(
            "\"expires_at_unix_ms\":1060000",
            "\"expires_at_unix_ms\":87400000",
            1,
        );
        assert!(serde_json::from_str::<Book>(&day).is_ok());
        let one = serde_json::to_string(book.order(1).unwrap()).unwrap();
        let many = (1..=ORDERS + 1).map(|id| one.replacen("\"id\":1", &format!("\"id\":{id}"), 1));
        let many = many.collect::<Vec<_>>().join(",");
        let many = format!("{{\"given\":{},\"orders\":[{many}]}}", ORDERS + 1);
        assert!(serde_json::from_str::<Book>(&many).is_err());
    }
}
