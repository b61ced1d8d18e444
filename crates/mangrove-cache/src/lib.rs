//! What a shared cache may store, reuse, revalidate and refuse (RFC 9111), told as a state table.
//!
//! Pure: no sockets, clocks or files; every function is given `now`. The tables of every state and reason, made from this
//! code, are in `docs/cache-decisions.md`.
//!
//! The flow of a request:
//!
//! 1. [`write_key`] names its URL, [`Asked::read`] says what it asks of caches.
//! 2. [`select`] finds the variant among those stored for the URL.
//! 3. [`decide`] says what to do: serve, serve stale, ask the origin about it, fetch, or refuse; with a [`Reason`].
//! 4. What is served becomes an [`answer()`]: the whole, 304, 206 or 416.
//! 5. What the origin sends is stored if [`admit`] says so, or updates what is stored: [`freshen`] (304),
//!    [`freshen_by_head`], [`combine`] (206). If it fails, [`on_error`] says whether the stored response serves instead.
//!    If it answered an unsafe method, [`invalidated_keys`] go.
//! 6. What an operator wants gone is written into a [`purge::Ledger`], which is asked about whatever was kept before.
//!
//! ```
//! use mangrove_cache::{Action, Asked, Found, OriginState, Reason, Rules, Times, admit, decide};
//! use mangrove_http::{HeadLimits, Method, RequestHead, ResponseHead, UnixMillis};
//!
//! let mut request = RequestHead::new();
//! request.octets_mut().extend_from_slice(b"GET /news HTTP/1.1\r\nHost: news.example\r\n\r\n");
//! request.parse_h1(&HeadLimits::default()).unwrap();
//! let mut response = ResponseHead::new();
//! response.octets_mut().extend_from_slice(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\n");
//! response.parse_h1(&HeadLimits::default(), Method::Get).unwrap();
//!
//! let rules = Rules::default();
//! let asked = Asked::read(&request, b"/news", &rules);
//! let at = |seconds: u64| UnixMillis(1_763_424_000_000 + seconds * 1000);
//! let times = Times { requested_at: at(0), received_at: at(0) };
//! let stored = admit(&asked, &response, &rules, times).unwrap();
//!
//! let later = |seconds| decide(&asked, Found::This(&stored), at(seconds), OriginState::Reachable, &rules);
//! assert_eq!((later(59).action, later(59).reason), (Action::Serve, Reason::Fresh));
//! assert_eq!((later(60).action, later(60).reason), (Action::Fetch, Reason::Stale)); // no validator to ask with
//! ```

mod accept;
mod admit;
mod asked;
mod cache_status;
mod compress;
mod conditions;
mod decide;
mod device;
mod directives;
mod fields;
mod invalidate;
mod key;
pub mod memory;
mod page;
mod partial;
mod pattern;
pub mod purge;
mod range;
mod reason;
mod revalidate;
mod rules;
mod stored;
mod targeted;
mod validator;
mod vary;
mod wire;

pub use accept::{AcceptedCodings, LANGUAGES};
pub use admit::{Times, admit, is_never_stored};
pub use asked::{Asked, cookie};
pub use cache_status::{CacheStatus, Outcome};
pub use compress::{COMPRESSIBLE, CompressRules, MEDIA_PATTERN_BYTES, MediaPattern};
pub use conditions::{Answer, answer, is_in_not_modified, is_not_modified};
pub use decide::{
    Action, Decision, Failure, Found, OriginState, decide, decide_in_parts, on_error,
};
pub use device::{Device, device_class, language_class};
pub use directives::{
    DELTA_CEILING, RequestDirectives, ResponseDirectives, WITHHELD_FIELDS, delta_seconds,
};
pub use fields::Fields;
pub use invalidate::invalidated_keys;
pub use key::{SORTED_PARAMETERS, key_of_url, write_key};
pub use page::decisions_markdown;
pub use partial::{Combined, From, combine, missing, whole_of};
pub use pattern::{NAME_PATTERN_BYTES, NamePattern, PATTERN_BYTES, PATTERN_STARS, PathPattern};
pub use range::{
    AskedRange, ByteRanges, ContentRange, Interval, Multipart, RANGES_ANSWERED, RANGES_ASKED,
    RangeSpec, Satisfied, write_unsatisfied,
};
pub use reason::{Forward, NotStored, Reason};
pub use revalidate::{
    Freshened, conditions, confirmed_by, freshen, freshen_by_head, is_replaced_when_revalidating,
};
pub use rules::{
    BypassRules, DeviceRule, KeyRules, LifetimeRule, NegativeRule, QueryRule, Rules, WordsOfField,
};
pub use stored::{Content, Expiry, Lifetime, LifetimeSource, Reuse, Stored};
pub use targeted::{
    DICTIONARY_MEMBERS, PolicyField, dictionary, is_capability_of, policy,
    write_surrogate_capability,
};
pub use validator::{ENTITY_TAGS, EntityTag, TagList};
pub use vary::{
    Distinction, DistinctionKind, Place, VARIANT_BYTES, VARY_FIELDS, Vary, WORDS_WITHIN,
    distinctions, place_for, select, write_variant,
};
pub use wire::{WIRE_FIELDS, decode, encode};
