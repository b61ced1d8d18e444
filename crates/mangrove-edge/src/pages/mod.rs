//! What people read: the pages an edge answers with when a request cannot be carried, and the built-in sample site.
//!
//! An [`ErrorPage`] says whose trouble it is (the visitor's, the edge's or the origin's) and by what name; [`Pages`]
//! turns it into HTML, plain text or `application/problem+json` (RFC 9457), in English or Bengali. Everything that does
//! not depend on the request is rendered once, when [`Pages`] is made, so that an attack made of errors costs copies
//! and no formatting.
//!
//! ```text
//! en.ftl, bn.ftl ─┐
//! error.html/css ─┼─ Pages::new ──► sheets with holes ── render(page) ──► bytes
//! error.txt       │                                        ▲
//! problem.json   ─┘                   status, reason, host, id, time
//! ```

pub(crate) mod error;
pub(crate) mod sample;
mod template;
mod visible;
mod words;

pub use error::{ErrorPage, Fault, Format, Language, Pages, content_type};
pub use sample::{Arrival, SampleFile, sample, sample_not_found};
