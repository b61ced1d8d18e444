//! What is kept of a response, as bytes for a disk: [`encode`] and [`decode`].
//!
//! Numbers are little-endian; `bytes` is a length of 32 bits and so many octets. In order:
//!
//! ```text
//! version u8 = 1 · status u16 · flags u16 · policy u8 · lifetime source u8 · lifetime u32
//! requested_at u64 · received_at u64 · initial_age u64 · date u64
//! last_modified u64, if flag 6 · stale_while_revalidate u32, if flag 7 · stale_if_error u32, if flag 8
//! a part: first u64 · last u64, if flag 9 · length of the whole u64, if flag 10
//! variant bytes · how many Vary names u8 · each bytes · how many field lines u16 · each name bytes, value bytes
//! ```
//!
//! Flags, from bit 0: `no_cache`, `must_revalidate`, `only_s_maxage`, `immutable`, `no_transform`, `invalidated`, then the
//! presence of what is named above. What a soft purge has made stale is not among it: the ledger of purges knows. Files are hostile bytes: [`decode`] takes back only what [`encode`] could have written
//! of something that [`admit`](crate::admit) lets in, whatever checksum it came with.

use mangrove_http::{UnixMillis, is_token};

use crate::directives::DELTA_CEILING;
use crate::fields::Fields;
use crate::range::Interval;
use crate::stored::{Content, Expiry, Lifetime, LifetimeSource, Reuse, Stored};
use crate::targeted::PolicyField;
use crate::vary::{VARIANT_BYTES, Vary};

/// The form that is written and read. Another is not guessed at: what it holds is fetched again.
const VERSION: u8 = 1;
/// The most field lines that are read back; heads are refused at far fewer.
pub const WIRE_FIELDS: usize = 1024;

const NO_CACHE: u16 = 1;
const MUST_REVALIDATE: u16 = 1 << 1;
const ONLY_S_MAXAGE: u16 = 1 << 2;
const IMMUTABLE: u16 = 1 << 3;
const NO_TRANSFORM: u16 = 1 << 4;
const INVALIDATED: u16 = 1 << 5;
const HAS_LAST_MODIFIED: u16 = 1 << 6;
const HAS_WHILE_REVALIDATE: u16 = 1 << 7;
const HAS_IF_ERROR: u16 = 1 << 8;
const IS_PART: u16 = 1 << 9;
const HAS_TOTAL: u16 = 1 << 10;
const ALL: u16 = (1 << 11) - 1;

/// Appends what is kept of a response.
pub fn encode(stored: &Stored, out: &mut Vec<u8>) {
    let reuse = &stored.reuse;
    let (part, total) = match stored.content {
        Content::Whole { length } => (None, length),
        Content::Part { held, total } => (Some(held), total),
    };
    let flags = [
        (NO_CACHE, reuse.no_cache),
        (MUST_REVALIDATE, reuse.must_revalidate),
        (ONLY_S_MAXAGE, reuse.only_s_maxage),
        (IMMUTABLE, reuse.immutable),
        (NO_TRANSFORM, reuse.no_transform),
        (INVALIDATED, stored.invalidated),
        (HAS_LAST_MODIFIED, stored.last_modified.is_some()),
        (HAS_WHILE_REVALIDATE, reuse.stale_while_revalidate.is_some()),
        (HAS_IF_ERROR, reuse.stale_if_error.is_some()),
        (IS_PART, part.is_some()),
        (HAS_TOTAL, total.is_some()),
    ];
    let flags = flags
        .into_iter()
        .filter(|(_, set)| *set)
        .fold(0, |all, (flag, _)| all | flag);
    out.push(VERSION);
    out.extend_from_slice(&stored.status.to_le_bytes());
    out.extend_from_slice(&flags.to_le_bytes());
    out.push(code_of_policy(reuse.policy));
    out.push(code_of_source(stored.lifetime.source));
    out.extend_from_slice(&stored.lifetime.seconds.to_le_bytes());
    let times = [
        stored.requested_at.0,
        stored.received_at.0,
        stored.initial_age,
        stored.date,
    ];
    for number in times.into_iter().chain(stored.last_modified) {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let allowances = [reuse.stale_while_revalidate, reuse.stale_if_error];
    for number in allowances.into_iter().flatten() {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let ends = part.into_iter().flat_map(|held| [held.first, held.last]);
    for number in ends.chain(total) {
        out.extend_from_slice(&number.to_le_bytes());
    }
    push_bytes(out, &stored.variant);
    let names = stored.vary.names();
    out.push(u8::try_from(names.clone().count()).unwrap_or(u8::MAX));
    names.for_each(|name| push_bytes(out, name));
    out.extend_from_slice(
        &u16::try_from(stored.fields.len())
            .unwrap_or(u16::MAX)
            .to_le_bytes(),
    );
    for field in stored.fields.iter() {
        push_bytes(out, field.name);
        push_bytes(out, field.value);
    }
}

/// Reads it back; `None` when it is not exactly that.
pub fn decode(bytes: &[u8]) -> Option<Stored> {
    let mut rest = Rest(bytes);
    if rest.u8()? != VERSION {
        return None;
    }
    let status = rest.u16()?;
    let flags = rest.u16()?;
    let has = |flag| flags & flag != 0;
    let policy = policy_of_code(rest.u8()?)?;
    let source = source_of_code(rest.u8()?)?;
    let seconds = rest.u32()?;
    if !(200..=599).contains(&status) || flags & !ALL != 0 || seconds > DELTA_CEILING {
        return None;
    }
    let requested_at = UnixMillis(rest.u64()?);
    let received_at = UnixMillis(rest.u64()?);
    let (initial_age, date) = (rest.u64()?, rest.u64()?);
    let last_modified = rest.u64_if(has(HAS_LAST_MODIFIED))?;
    let stale_while_revalidate = rest.u32_if(has(HAS_WHILE_REVALIDATE))?;
    let stale_if_error = rest.u32_if(has(HAS_IF_ERROR))?;
    let held = match has(IS_PART) {
        true => Some(Interval::new(rest.u64()?, rest.u64()?)?),
        false => None,
    };
    let total = rest.u64_if(has(HAS_TOTAL))?;
    let content = match held {
        None => Content::Whole { length: total },
        Some(held) if total.is_some_and(|total| held.last >= total) => return None,
        Some(held) => Content::Part { held, total },
    };
    let variant: Box<[u8]> = rest.bytes()?.into();
    if variant.len() > VARIANT_BYTES {
        return None;
    }
    let names = (0..rest.u8()?)
        .map(|_| rest.bytes())
        .collect::<Option<Vec<_>>>()?;
    let vary = Vary::of(names.iter().copied()).ok()?;
    if !vary.names().eq(names) {
        return None; // not in our order, not in lower case, or not one name each
    }
    let lines = usize::from(rest.u16()?);
    if lines > WIRE_FIELDS {
        return None;
    }
    let mut fields = Fields::new();
    for _ in 0..lines {
        let (name, value) = (rest.bytes()?, rest.bytes()?);
        if !is_token(name) || value.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
            return None;
        }
        fields.push(name, value);
    }
    fields.shrink();
    rest.0.is_empty().then_some(Stored {
        status,
        fields,
        content,
        requested_at,
        received_at,
        initial_age,
        lifetime: Lifetime { seconds, source },
        reuse: Reuse {
            policy,
            no_cache: has(NO_CACHE),
            must_revalidate: has(MUST_REVALIDATE),
            only_s_maxage: has(ONLY_S_MAXAGE),
            immutable: has(IMMUTABLE),
            no_transform: has(NO_TRANSFORM),
            stale_while_revalidate,
            stale_if_error,
        },
        last_modified,
        date,
        vary,
        variant,
        invalidated: has(INVALIDATED),
        expiry: Expiry::default(),
    })
}

/// On disk for good: a number that was given is never given to another.
const fn code_of_policy(policy: PolicyField) -> u8 {
    match policy {
        PolicyField::CacheControl => 0,
        PolicyField::Mangrove => 1,
        PolicyField::Cdn => 2,
        PolicyField::Surrogate => 3,
    }
}

fn policy_of_code(code: u8) -> Option<PolicyField> {
    let mut all = PolicyField::TARGETED
        .iter()
        .copied()
        .chain([PolicyField::CacheControl]);
    all.find(|policy| code_of_policy(*policy) == code)
}

/// Likewise.
const fn code_of_source(source: LifetimeSource) -> u8 {
    match source {
        LifetimeSource::Override => 0,
        LifetimeSource::SMaxAge => 1,
        LifetimeSource::MaxAge => 2,
        LifetimeSource::Expires => 3,
        LifetimeSource::Default => 4,
        LifetimeSource::Negative => 5,
        LifetimeSource::Heuristic => 6,
        LifetimeSource::Unsaid => 7,
    }
}

fn source_of_code(code: u8) -> Option<LifetimeSource> {
    let mut all = LifetimeSource::ALL.iter().copied();
    all.find(|source| code_of_source(*source) == code)
}

/// Longer than 4 GiB there is nothing: heads are limited far below.
fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes.get(..length as usize).unwrap_or_default());
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The number, where one is there: the outer `None` is the end of the bytes.
    fn u32_if(&mut self, there: bool) -> Option<Option<u32>> {
        if there {
            self.u32().map(Some)
        } else {
            Some(None)
        }
    }

    /// Likewise.
    fn u64_if(&mut self, there: bool) -> Option<Option<u64>> {
        if there {
            self.u64().map(Some)
        } else {
            Some(None)
        }
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }
}
