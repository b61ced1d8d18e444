//! What is kept about a response, and how old and how fresh it is (RFC 9111 section 4.2).

use std::sync::atomic::{AtomicU64, Ordering};

use mangrove_http::{Known, UnixMillis};

use crate::directives::DELTA_CEILING;
use crate::fields::Fields;
use crate::range::Interval;
use crate::rules::Rules;
use crate::targeted::PolicyField;
use crate::validator::EntityTag;
use crate::vary::Vary;

/// A stored response without its content: made by [`admit`](crate::admit) only, and by what updates one.
///
/// Plain data: everything that later decisions need, nothing borrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The status.
    pub status: u16,
    /// The fields it was stored with or updated to, without those of section 3.1 and without `Age`.
    pub fields: Fields,
    /// How much of the representation is stored.
    pub content: Content,
    /// When the request was sent whose response this is, or that confirmed it last.
    pub requested_at: UnixMillis,
    /// When the head of that response had arrived.
    pub received_at: UnixMillis,
    /// How old it was then, in milliseconds (`corrected_initial_age`, section 4.2.3).
    pub initial_age: u64,
    /// How long it is fresh, from when it was generated.
    pub lifetime: Lifetime,
    /// What of its directives matters later.
    pub reuse: Reuse,
    /// `Last-Modified`, in seconds since 1970, when it is a date.
    pub last_modified: Option<u64>,
    /// `Date`, in seconds since 1970; when it arrived, if the origin did not say.
    pub date: u64,
    /// On which request fields it varies.
    pub vary: Vary,
    /// What the site's key parts and those fields were in the request it answers.
    pub variant: Box<[u8]>,
    /// Whether it must not be used, not even stale, before the origin has confirmed it (section 4.4).
    pub invalidated: bool,
    /// Since when it is stale whatever its lifetime says: a soft purge.
    pub expiry: Expiry,
}

/// Since when something is stale in spite of its lifetime, if it is. The one part of what is stored that changes while
/// others read it, so that a soft purge copies nothing: it only ever becomes earlier.
#[derive(Debug)]
pub struct Expiry(AtomicU64);

impl Expiry {
    const NEVER: u64 = u64::MAX;

    /// Since when, if it is.
    pub fn at(&self) -> Option<UnixMillis> {
        let at = self.0.load(Ordering::Relaxed);
        (at != Self::NEVER).then_some(UnixMillis(at))
    }
}

impl Default for Expiry {
    fn default() -> Self {
        Self(AtomicU64::new(Self::NEVER))
    }
}

impl Clone for Expiry {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

impl PartialEq for Expiry {
    fn eq(&self, other: &Self) -> bool {
        self.at() == other.at()
    }
}

impl Eq for Expiry {}

/// How much of a representation is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// All; its length if the head said so.
    Whole {
        /// Bytes.
        length: Option<u64>,
    },
    /// Some bytes in one piece.
    Part {
        /// Which.
        held: Interval,
        /// The length of the whole, if it was said.
        total: Option<u64>,
    },
}

/// How long a response is fresh, and which rule says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Seconds, at most [`DELTA_CEILING`].
    pub seconds: u32,
    /// Which rule.
    pub source: LifetimeSource,
}

macro_rules! sources {
    ($( $variant:ident = $name:literal, $source:literal, $explain:literal; )*) => {
        /// Which rule gave a response its lifetime; the first that applies.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum LifetimeSource { $( #[doc = $explain] $variant, )* }

        impl LifetimeSource {
            /// All of them, in the order in which they apply.
            pub const ALL: &[LifetimeSource] = &[ $( LifetimeSource::$variant, )* ];
            /// The stable name.
            pub const fn name(self) -> &'static str { match self { $( LifetimeSource::$variant => $name, )* } }
            /// Where the rule comes from.
            pub const fn source(self) -> &'static str { match self { $( LifetimeSource::$variant => $source, )* } }
            /// One sentence for a person.
            pub const fn explain(self) -> &'static str { match self { $( LifetimeSource::$variant => $explain, )* } }
        }
    };
}

sources! {
    Override = "override", "the site's settings", "The site sets it in spite of what the origin says.";
    SMaxAge = "s-maxage", "RFC 9111 section 5.2.2.10", "The origin's `s-maxage`.";
    MaxAge = "max-age", "RFC 9111 section 5.2.2.1", "The origin's `max-age`.";
    Expires = "expires", "RFC 9111 section 5.3", "`Expires` less `Date`; a malformed one is in the past.";
    Default = "default", "the site's settings", "The site sets it where the origin says nothing.";
    Negative = "negative", "the site's settings", "The site keeps such a status for a short while.";
    Heuristic = "heuristic", "RFC 9111 section 4.2.2", "A part of the time since `Last-Modified`, up to a ceiling.";
    Unsaid = "unsaid", "RFC 9111 section 4.2", "Nothing says how long: it is stale from the start.";
}

/// What of a response's directives matters when it is reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reuse {
    /// The field that said so.
    pub policy: PolicyField,
    /// `no-cache`: never without asking.
    pub no_cache: bool,
    /// `must-revalidate`, `proxy-revalidate`, or the `s-maxage` that implies it: never stale.
    pub must_revalidate: bool,
    /// `s-maxage` is the only one of them.
    pub only_s_maxage: bool,
    /// `immutable`.
    pub immutable: bool,
    /// `no-transform`: not to be compressed either (RFC 9110 section 7.7).
    pub no_transform: bool,
    /// `stale-while-revalidate`, in seconds.
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error`, in seconds.
    pub stale_if_error: Option<u32>,
}

impl Stored {
    /// `current_age` (section 4.2.3), in milliseconds. A clock that steps back makes nothing younger than it was.
    pub fn age_millis(&self, now: UnixMillis) -> u64 {
        let resident = now.0.saturating_sub(self.received_at.0);
        self.initial_age.saturating_add(resident)
    }

    /// `current_age` in whole seconds, at most [`DELTA_CEILING`]: the value of `Age`.
    pub fn age(&self, now: UnixMillis) -> u32 {
        u32::try_from(self.age_millis(now) / 1000)
            .map_or(DELTA_CEILING, |age| age.min(DELTA_CEILING))
    }

    /// Whether it is fresh (section 4.2).
    pub fn is_fresh(&self, now: UnixMillis) -> bool {
        self.fresh_for(now).is_some()
    }

    /// Seconds it stays fresh, at least one; `None` once it is stale. What has expired stays so, also should the clock be set
    /// back.
    pub fn fresh_for(&self, now: UnixMillis) -> Option<u32> {
        let left = self.lifetime.seconds.checked_sub(self.age(now))?;
        (left > 0 && self.expiry.at().is_none()).then_some(left)
    }

    /// Seconds it stays fresh; negative when it is stale: the `ttl` of `Cache-Status` (RFC 9211 section 2.4).
    pub fn ttl(&self, now: UnixMillis) -> i64 {
        match self.fresh_for(now) {
            Some(left) => i64::from(left),
            None => -i64::from(self.age(now).saturating_sub(self.stale_from_age())),
        }
    }

    /// How long it has been stale, in seconds; `None` while it is fresh.
    pub fn staleness(&self, now: UnixMillis) -> Option<u32> {
        match self.fresh_for(now) {
            Some(_) => None,
            None => Some(self.age(now).saturating_sub(self.stale_from_age())),
        }
    }

    /// The age at which it became, or becomes, stale.
    fn stale_from_age(&self) -> u32 {
        let expired = self.expiry.at().map(|at| self.age(at));
        expired.map_or(self.lifetime.seconds, |age| age.min(self.lifetime.seconds))
    }

    /// For how long it may be served stale while the origin is asked (RFC 5861 section 3), in seconds; 0 when it may not.
    pub fn stale_while_revalidate(&self, rules: &Rules) -> u32 {
        let said = self.reuse.stale_while_revalidate;
        self.stale_allowance(said, rules.stale_while_revalidate_for(said), rules)
    }

    /// For how long it may be served stale when the origin fails, in seconds; 0 when it may not.
    pub fn stale_if_error(&self, rules: &Rules) -> u32 {
        let said = self.reuse.stale_if_error;
        self.stale_allowance(said, rules.stale_if_error_for(said), rules)
    }

    /// For how long it may be served stale while no origin can be reached, in seconds; 0 when it may not.
    pub fn stale_origin_down(&self, rules: &Rules) -> u32 {
        let said = self.reuse.stale_if_error;
        self.stale_allowance(said, rules.stale_origin_down_for(said), rules)
    }

    /// `allowed`, where nothing forbids it. `said` is what the origin said of it.
    fn stale_allowance(&self, said: Option<u32>, allowed: u32, rules: &Rules) -> u32 {
        let lifted = rules.stale_beside_s_maxage
            && self.reuse.only_s_maxage
            && said.is_some()
            && !self.needs_confirmation();
        match said {
            _ if self.never_stale() && !lifted => 0,
            // Nobody ever said that this may be shared without asking.
            None if self.lifetime.seconds == 0 => 0,
            _ => allowed,
        }
    }

    /// Whether it must not be used at all, fresh or stale, before the origin has confirmed it.
    pub fn needs_confirmation(&self) -> bool {
        self.invalidated || self.reuse.no_cache
    }

    /// Whether a directive forbids to serve it stale to whomever (section 4.2.4).
    pub fn never_stale(&self) -> bool {
        self.needs_confirmation() || self.reuse.must_revalidate
    }

    /// The entity tag, when there is a proper one.
    pub fn entity_tag(&self) -> Option<EntityTag<'_>> {
        EntityTag::parse(self.fields.field(Known::ETag)?)
    }

    /// Whether the origin can be asked about it: there is an entity tag or a date of modification.
    pub fn has_validator(&self) -> bool {
        self.last_modified.is_some()
            || self
                .fields
                .field(Known::ETag)
                .is_some_and(|tag| !tag.is_empty())
    }

    /// `Last-Modified`, when it can stand for a strong validator (RFC 9110 section 8.8.2.2): a minute older than `Date`.
    pub fn strong_date(&self) -> Option<u64> {
        self.last_modified
            .filter(|modified| modified.saturating_add(60) <= self.date)
    }

    /// Whether `other` is a response with the same bytes: their strong validators agree (section 3.4).
    pub fn is_same_representation(&self, other: &Stored) -> bool {
        match (self.entity_tag(), other.entity_tag()) {
            (Some(mine), Some(theirs)) => mine.is_strongly(theirs),
            (None, None) => {
                self.strong_date().is_some() && self.strong_date() == other.strong_date()
            }
            _ => false,
        }
    }

    /// Makes it stale as of `since`, so that what may be served stale still is: a soft purge. Of several the earliest counts.
    pub fn expire(&self, since: UnixMillis) {
        // A number by itself, which nothing else depends on; whoever tells others that it was set orders that.
        self.expiry.0.fetch_min(since.0, Ordering::Relaxed);
    }

    /// Makes it unusable until the origin confirms it (section 4.4).
    pub fn invalidate(&mut self) {
        self.invalidated = true;
    }

    /// Bytes of memory it takes beside its content.
    pub fn weight(&self) -> usize {
        size_of::<Stored>() + self.fields.weight() + self.variant.len() + self.vary.weight()
    }
}
