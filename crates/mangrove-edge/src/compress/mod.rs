//! Answers in fewer bytes: which content coding a client gets, what may be coded at all, and who does the work.
//!
//! Only what the cache keeps for everyone is coded, once, off the cores that serve visitors:
//!
//! ```text
//! kept whole ─► why_uncoded ─► Compressor ─► a thread: encode ─► Coding ─► the coded content beside the uncoded one
//!                                 │ queue full: stays as it is, and is counted
//! request ───► Wishes::read ─► Wishes::best(of what is there) ─► coded_fields ─► answer
//! ```
//!
//! The uncoded content stays what the cache decides about: its validators, its ranges. A coded form is another
//! representation of it (RFC 9110 section 8.4.1), known by the same entity tag made weak; docs/decisions/0014 says why.
//!
//! ```
//! use mangrove_edge::compress::{Coding, Wishes};
//! use mangrove_http::RequestHead;
//!
//! let mut request = RequestHead::new();
//! request.begin_h2();
//! request.push_field(b"accept-encoding", b"gzip, br;q=0.9");
//! let wishes = Wishes::read(&request);
//! assert_eq!(wishes.best(|_| true), Some(Coding::Gzip));
//! assert_eq!(wishes.best(|coding| coding == Coding::Br), Some(Coding::Br));
//! assert_eq!(wishes.best(|_| false), None); // as it is
//! ```

use mangrove_cache::CompressRules;

mod choice;
pub(crate) mod encode;
mod fields;
pub(crate) mod pool;

pub use choice::{Uncoded, Wishes, why_uncoded, why_uncoded_after};
pub use encode::{NotEncoded, STEP_BYTES, encode};
pub use fields::coded_fields;
pub use pool::{Compressor, Counts, Encoding, QUEUE_BYTES, QUEUE_JOBS, QueueFull, threads_for};

/// A content coding that the edge can make (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Coding {
    /// `zstd` (RFC 8878), in a window of at most 8 MiB (RFC 9659).
    Zstd,
    /// `br` (RFC 7932)
    Br,
    /// `gzip` (RFC 1952)
    Gzip,
}

impl Coding {
    /// All of them; of codings that a client likes equally, the first is taken.
    pub const ALL: [Coding; 3] = [Self::Zstd, Self::Br, Self::Gzip];

    /// As `Content-Encoding` and `Accept-Encoding` write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    /// How hard a site wants it tried, on the coding's own scale; docs/compression.md has what each level costs and gains.
    pub const fn level(self, rules: &CompressRules) -> u8 {
        match self {
            Self::Zstd => rules.zstd_level,
            Self::Br => rules.brotli_level,
            Self::Gzip => rules.gzip_level,
        }
    }

    /// The levels there are, least effort first.
    pub const fn levels(self) -> std::ops::RangeInclusive<u8> {
        match self {
            Self::Zstd => 1..=19,
            Self::Br => 0..=11,
            Self::Gzip => 1..=9,
        }
    }
}
