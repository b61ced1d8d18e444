//! What must not be answered any more: a purge is one entry in a ledger, not a walk over what is kept.
//!
//! Whatever is asked for at an origin is *born* with the number of its time, its [`Generation`]. A purge begins the next
//! generation and writes down what it is about: a site, and of that everything, a host, a prefix of paths, a tag or a URL.
//! What was born before and fits is gone, wherever it is: in memory, in a core's front, on a disk, or still on its way.
//!
//! ```text
//! purge ──► Ledger ──► a site's book: floor │ hosts │ prefixes │ tags │ URLs     one entry each, hashed
//!                           ▲
//! hit: object's number ≥ the site's version? ──no──► verdict: alive, stale since, gone
//! ```
//!
//! So a purge costs the same whatever is stored, and a hit costs one comparison of two numbers: the ledger is asked about an
//! object only once after each purge of its site. Two filters whose 64-bit hashes agree, under a secret seed, would purge
//! more than was asked; never less.
//!
//! ```
//! use mangrove_cache::Fields;
//! use mangrove_cache::purge::{Filter, Force, Kind, Ledger, Subject, Verdict};
//! use mangrove_http::UnixMillis;
//!
//! let ledger = Ledger::new([1, 2], 1_000);
//! let site = ledger.site("news");
//! let born = ledger.generation();
//! let fields: Fields = [(&b"surrogate-key"[..], &b"front article-7"[..])].into_iter().collect();
//! let subject = Subject::of_key(b"https://news.example/a", Some(&fields));
//! assert_eq!(site.verdict(born, &subject).verdict, Verdict::Alive);
//!
//! let tag = Filter::read(Kind::Tag, b"article-7").unwrap();
//! ledger.purge("news", &[tag], Force::Hard, UnixMillis(0));
//! assert_eq!(site.verdict(born, &subject).verdict, Verdict::Gone);
//! assert_eq!(site.verdict(ledger.generation(), &subject).verdict, Verdict::Alive); // asked for afterwards
//! ```

mod book;
mod filter;
mod ledger;
mod tags;
mod wire;

pub use book::{Asked, Subject, Verdict};
pub use filter::{Filter, Kind, PREFIX_BYTES, URL_KEY_BYTES, WrongFilter};
pub use ledger::{Entered, Folded, Ledger, SiteLedger};
pub use tags::{TAG_BYTES, TAGS, tags};
pub use wire::{Malformed, Purge, SITE_BYTES};

pub(crate) use tags::check_tags;

/// The number of a time: each purge begins the next, and whatever is asked for then is born with it. It only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// How much a purge leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Force {
    /// Nothing: it is as if it had never been kept.
    Hard,
    /// It is stale from the purge's time on. What may be served stale still is, and the origin may confirm it.
    Soft,
}
