//! A purge as bytes, for a journal that outlives the process.
//!
//! ```text
//! version 1 │ kind │ force │ generation u64 │ at u64, ms since 1970 │ site's length u16 │ site │ text's length u32 │ text
//! ```
//!
//! Numbers are little-endian. The texts are written, not their hashes: a seed is then no part of what must be kept secret and
//! kept for ever, and a journal can be read by a person. What is read is judged as an operator's own words are.

use mangrove_http::UnixMillis;

use super::filter::{Filter, Kind, URL_KEY_BYTES};
use super::{Force, Generation};

/// The longest name of a site that a journal holds; settings allow 64.
pub const SITE_BYTES: usize = 255;
/// The form that is written.
const VERSION: u8 = 1;

/// One purge, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// The site's name: 1 to [`SITE_BYTES`] bytes, without a NUL.
    pub site: Box<str>,
    /// What of it.
    pub filter: Filter,
    /// What is left.
    pub force: Force,
    /// What was born before it is meant.
    pub generation: Generation,
    /// When it was ordered: a soft one makes stale from then on.
    pub at: UnixMillis,
}

/// Bytes that are no purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("these bytes are no purge that this build has written")
    }
}

impl std::error::Error for Malformed {}

impl Purge {
    /// Appends it to `out`.
    ///
    /// # Errors
    /// When the site's name is empty, too long or holds a NUL: no settled site's is.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let site = self.site.as_bytes();
        let text = self.filter.text();
        let (true, Ok(site_length), Ok(text_length)) = (
            is_site(site),
            u16::try_from(site.len()),
            u32::try_from(text.len()),
        ) else {
            return Err(Malformed);
        };
        let force = match self.force {
            Force::Hard => 0,
            Force::Soft => 1,
        };
        out.extend_from_slice(&[VERSION, self.filter.kind() as u8, force]);
        out.extend_from_slice(&self.generation.0.to_le_bytes());
        out.extend_from_slice(&self.at.0.to_le_bytes());
        out.extend_from_slice(&site_length.to_le_bytes());
        out.extend_from_slice(site);
        out.extend_from_slice(&text_length.to_le_bytes());
        out.extend_from_slice(text);
        Ok(())
    }

    /// Reads exactly one.
    ///
    /// # Errors
    /// For whatever [`Purge::encode`] does not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::read(bytes).ok_or(Malformed)
    }

    fn read(mut rest: &[u8]) -> Option<Self> {
        let [version, kind, force] = take(&mut rest)?;
        let kind = Kind::ALL.into_iter().find(|known| *known as u8 == kind)?;
        let force = match force {
            0 => Force::Hard,
            1 => Force::Soft,
            _ => return None,
        };
        let generation = Generation(u64::from_le_bytes(take(&mut rest)?));
        let at = UnixMillis(u64::from_le_bytes(take(&mut rest)?));
        let length = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let (site, after) = rest.split_at_checked(length)?;
        rest = after;
        let length = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?;
        // Exactly one: what follows would be lost without a word.
        if version != VERSION || !is_site(site) || rest.len() != length || length > URL_KEY_BYTES {
            return None;
        }
        let filter = Filter::read(kind, rest).ok()?;
        let same = filter.text() == rest; // another form of the same was never written
        same.then_some(Self {
            site: std::str::from_utf8(site).ok()?.into(),
            filter,
            force,
            generation,
            at,
        })
    }
}

fn is_site(name: &[u8]) -> bool {
    (1..=SITE_BYTES).contains(&name.len()) && !name.contains(&0)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(purge: &Purge) -> Vec<u8> {
        let mut out = Vec::new();
        purge.encode(&mut out).unwrap();
        out
    }

    fn purge() -> impl Strategy<Value = Purge> {
        let filter = prop_oneof![
            Just(Filter::all()),
            "[a-z]{1,9}(\\.[a-z]{1,9}){0,3}".prop_map(|host| Filter::read(
                Kind::Host,
                host.as_bytes()
            )
            .unwrap()),
            "/[a-z/%.]{0,20}[a-z]"
                .prop_map(|prefix| Filter::read(Kind::Prefix, prefix.as_bytes()).unwrap()),
            "[!-+\\--~]{1,20}".prop_map(|tag| Filter::read(Kind::Tag, tag.as_bytes()).unwrap()),
            "https?://[a-z]{1,9}/[!-~]{0,20}".prop_map(|url| Filter::read(
                Kind::Url,
                url.as_bytes()
            )
            .unwrap()),
        ];
        let force = prop_oneof![Just(Force::Hard), Just(Force::Soft)];
        ("[a-z-]{1,20}", filter, force, any::<u64>(), any::<u64>()).prop_map(
            |(site, filter, force, generation, at)| Purge {
                site: site.into(),
                filter,
                force,
                generation: Generation(generation),
                at: UnixMillis(at),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(purge in purge()) {
            prop_assert_eq!(Purge::decode(&written(&purge)), Ok(purge));
        }

        /// Whatever is read is what would be written: there is one form of each purge.
        #[test]
        fn what_is_read_is_written_so(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(purge) = Purge::decode(&bytes) {
                prop_assert_eq!(written(&purge), bytes);
            }
        }

        #[test]
        fn a_damaged_purge_is_another_one_or_none(purge in purge(), at in any::<usize>(), bit in 0..8_u8) {
            let mut bytes = written(&purge);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert_ne!(Purge::decode(&bytes), Ok(purge.clone()));
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Purge::decode(&bytes[..at]), Err(Malformed));
            bytes.push(0);
            prop_assert_eq!(Purge::decode(&bytes), Err(Malformed));
        }
    }

    #[test]
    fn one_byte_too_much_of_a_site_is_not_written() {
        let of = |site: String| Purge {
            site: site.into(),
            filter: Filter::all(),
            force: Force::Hard,
            generation: Generation(1),
            at: UnixMillis(0),
        };
        assert!(of("s".repeat(SITE_BYTES)).encode(&mut Vec::new()).is_ok());
        for wrong in ["s".repeat(SITE_BYTES + 1), String::new(), "a\0b".into()] {
            assert_eq!(of(wrong).encode(&mut Vec::new()), Err(Malformed));
        }
    }
}
