//! What people read: the pages an edge answers with when a request cannot be carried, and the built-in sample site.
//!
//! [`Trouble`] says whose it is (the visitor's, the edge's or the origin's) and by what name; [`Pages`] turns it into HTML,
//! plain text or `application/problem+json` (RFC 9457), in English or Bengali. What is the same for everyone is rendered once,
//! so that an attack made of errors costs copies and no formatting.
//!
//! ```text
//! en.ftl, bn.ftl ─┐
//! error.html/css ─┼─ Pages::new ──► sheets with holes ── page(trouble) ──► page with holes ── write(met) ──► bytes
//! error.txt       │   at start                  ▲         once for each                ▲
//! problem.json   ─┘              status, reason, what it means                  host, id, time
//! ```

pub(crate) mod error;
pub(crate) mod sample;
mod template;
mod visible;
mod words;

pub use error::{Fault, Format, Language, Met, Page, Pages, Trouble, content_type};
pub use sample::{Arrival, SampleFile, sample, sample_not_found};
