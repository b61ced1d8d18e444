//! Traits: what requests of one software, or of one attack, have in common, whatever addresses they come from.
//!
//! - **Header order**: which fields a request has, in which order and spelling, as 64 bits. A browser, a library and a script differ
//!   in it even where they say that they are the same. What one client sends with some requests and not with others is left
//!   out (the list and its reasons are in `order.rs`), and so are values. Over HTTP/2 the order of the pseudo-fields belongs to it.
//! - **User agent**: what the client says that it is, as 64 bits. One that says nothing at all has none; one that says an empty
//!   text has that of an empty text.
//! - **Shape**: what kind of path it asks for ([`PathShape`]), such as `/w/n/w.jpg`; of a query, how many parameters it has, and how much
//!   is in their values ([`QueryShape`]).
//!
//! ```
//! use mangrove_http::{HeadLimits, RequestHead};
//! use mangrove_shield::traits::{Shape, Traits};
//!
//! let read = |text: &str| {
//!     let mut head = RequestHead::new();
//!     head.octets_mut().extend_from_slice(text.as_bytes());
//!     assert!(matches!(head.parse_h1(&HeadLimits::default()), Ok(Some(_))));
//!     head
//! };
//! let of = |text| Traits::of(&read(text), None);
//! let first = of("GET /news/4711/photo.jpg?width=640 HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nAccept: */*\r\n\r\n");
//! let again = of("GET /shop HTTP/1.1\r\nHost: c\r\nUser-Agent: b\r\nAccept: text/html\r\nCookie: d=e\r\n\r\n");
//! let other = of("GET /shop HTTP/1.1\r\nHost: c\r\nAccept: text/html\r\nUser-Agent: b\r\n\r\n");
//! assert_eq!(first.header_order, again.header_order);
//! assert_ne!(first.header_order, other.header_order);
//! assert_eq!(first.user_agent, other.user_agent);
//! let shape = Shape::of(&read("GET /news/4711/photo.jpg?width=640 HTTP/1.1\r\nHost: a\r\n\r\n"));
//! assert_eq!(shape.path.as_str(), "/w/n/w.jpg");
//! ```
//!
//! The 64 bits are XXH3-64 without a key: logs of several machines are compared, and so are those of two years, and anybody can
//! compute them. Who seeks another head with the same number gains nothing that he cannot have without: he may send the very head
//! whose number he wants. What counts by traits hashes them once more, with a seed, so that nobody fills one place of a table.
//!
//! All of it is evidence, and not identity.

mod names;
mod order;
mod path;
mod query;

use mangrove_http::{Known, RequestHead};
use twox_hash::XxHash3_64;

use self::names::Names;
pub use self::path::{EXTENSION_BYTES, PATH_BYTES, PathKind, PathShape, SEGMENTS};
pub use self::query::{ENTROPY_CLASSES, QUERY_BYTES, QueryShape};
use crate::opening::PseudoOrder;

/// 64 bits that stand for something longer, written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraitHash(u64);

impl TraitHash {
    fn of(bytes: &[u8]) -> Self {
        Self(XxHash3_64::oneshot(bytes))
    }

    /// As a number.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// As text: `00ff2a…`, all at once, since every request has two of them.
    pub fn digits(self) -> [u8; 16] {
        const EACH: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;
        let mut nibbles = u128::from(self.0);
        nibbles = (nibbles | nibbles << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
        nibbles = (nibbles | nibbles << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
        nibbles = (nibbles | nibbles << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
        nibbles = (nibbles | nibbles << 4) & (EACH * 0x0f);
        // Ten and more are letters: six more than that carries into the upper half of the byte.
        let letters = (nibbles + EACH * 6) >> 4 & EACH;
        (nibbles + EACH * u128::from(b'0') + letters * u128::from(b'a' - b'0' - 10)).to_be_bytes()
    }
}

/// What one request tells of the client that sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// Which fields, in which order and spelling.
    pub header_order: TraitHash,
    /// What it says that it is, if it says so.
    pub user_agent: Option<TraitHash>,
}

/// What kind of thing one request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What kind of path.
    pub path: PathShape,
    /// What kind of query, if there is one.
    pub query: Option<QueryShape>,
}

impl Traits {
    /// Of a request whose head was read to its end; over HTTP/2 with the order in which its client writes pseudo-fields.
    pub fn of(head: &RequestHead, pseudo_fields: Option<PseudoOrder>) -> Self {
        let mut names = Names::default();
        if let Some(order) = pseudo_fields {
            names.push(order.letters());
        }
        let mut user_agent = None;
        for field in head.fields() {
            if field.known == Known::UserAgent && user_agent.is_none() {
                user_agent = Some(TraitHash::of(field.value));
            }
            if order::tells(field.known, field.name) {
                names.push(field.name);
            }
        }
        let header_order = names.hash();
        Self {
            header_order,
            user_agent,
        }
    }
}

impl Shape {
    /// Of a request whose head was read to its end.
    pub fn of(head: &RequestHead) -> Self {
        Self {
            path: PathShape::of(head.path()),
            query: head.query().map(QueryShape::of),
        }
    }
}

#[cfg(test)]
#[path = "traits/tests.rs"]
mod tests;
