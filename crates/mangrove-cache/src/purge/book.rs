//! One site's page of the ledger: which numbers are gone, by what they are about.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use mangrove_http::{UnixMillis, is_normal, normalize};

use super::filter::{Filter, Kind};
use super::tags::tags;
use super::{Force, Generation};
use crate::fields::Fields;

/// What a ledger says of something that was born with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// No purge is about it.
    Alive,
    /// It is stale, and has been since then, by a soft purge.
    StaleSince(UnixMillis),
    /// It must not be answered.
    Gone,
}

/// A verdict, and until when it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What was found.
    pub verdict: Verdict,
    /// The site's version that it was found in: it holds for as long as the site has no higher one.
    pub version: Generation,
}

/// What is asked about: everything by which a purge may mean it.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    key: &'a [u8],
    host: &'a [u8],
    path: Cow<'a, [u8]>,
    fields: Option<&'a Fields>,
}

impl<'a> Subject<'a> {
    /// Something that is kept, or on its way, under a key that [`write_key`](crate::write_key) has made. Without fields its
    /// tags are not known yet, and none is found.
    pub fn of_key(key: &'a [u8], fields: Option<&'a Fields>) -> Self {
        let after = |at: usize| key.get(at..).unwrap_or_default();
        let authority = key.iter().position(|&b| b == b':').map_or(0, |at| at + 3);
        let rest = after(authority);
        let length = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(length).unwrap_or_default();
        let ends_host = match authority {
            [b'[', ..] => authority.iter().position(|&b| b == b']').map(|at| at + 1),
            _ => authority.iter().position(|&b| b == b':'),
        };
        let host = ends_host.and_then(|end| authority.get(..end));
        let path = target.split(|&b| b == b'?').next().unwrap_or_default();
        let path = match is_normal(path) {
            true => Cow::Borrowed(path),
            false => {
                let mut normal = Vec::with_capacity(path.len());
                normalize(path, &mut normal);
                Cow::Owned(normal)
            }
        };
        Self {
            key,
            host: host.unwrap_or(authority),
            path,
            fields,
        }
    }

    /// Whether a filter means it: the plain reading, which the ledger's hashes agree with.
    pub fn is_meant_by(&self, filter: &Filter) -> bool {
        match filter.kind() {
            Kind::All => true,
            Kind::Host => self.host == filter.text(),
            Kind::Prefix => self.path.starts_with(filter.text()),
            Kind::Tag => self.tags().any(|tag| tag == filter.text()),
            Kind::Url => self.key == filter.text(),
        }
    }

    fn tags(&self) -> impl Iterator<Item = &'a [u8]> {
        self.fields.into_iter().flat_map(tags)
    }
}

/// What purges of one filter have done: the last of each force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    /// Whatever has a lower number is gone.
    hard: Generation,
    /// Whatever has a lower number is stale since then.
    soft: Generation,
    soft_at: UnixMillis,
}

impl Mark {
    fn purge(&mut self, force: Force, generation: Generation, at: UnixMillis) {
        match force {
            Force::Hard => self.hard = self.hard.max(generation),
            Force::Soft if generation >= self.soft => (self.soft, self.soft_at) = (generation, at),
            Force::Soft => {}
        }
    }

    /// Takes over what another mark says, so that nothing of it is lost: the later number, and the earlier time.
    fn take_over(&mut self, other: Mark) {
        self.hard = self.hard.max(other.hard);
        if other.soft > Generation(0) {
            self.soft_at = match self.soft {
                Generation(0) => other.soft_at,
                _ => self.soft_at.min(other.soft_at),
            };
            self.soft = self.soft.max(other.soft);
        }
    }

    fn newest(&self) -> Generation {
        self.hard.max(self.soft)
    }

    fn judge(&self, born: Generation, verdict: &mut Verdict) {
        if born < self.hard {
            *verdict = Verdict::Gone;
        } else if born < self.soft {
            *verdict = match *verdict {
                Verdict::Alive => Verdict::StaleSince(self.soft_at),
                Verdict::StaleSince(earlier) => Verdict::StaleSince(earlier.min(self.soft_at)),
                Verdict::Gone => Verdict::Gone,
            };
        }
    }
}

/// Marks by the hash of their filter.
#[derive(Debug, Default)]
struct Marks(HashTable<(u64, Mark)>);

impl Marks {
    fn knows(&self, hash: u64) -> bool {
        self.0.find(hash, |(other, _)| *other == hash).is_some()
    }

    fn mark(&mut self, hash: u64) -> &mut Mark {
        let entry = self
            .0
            .entry(hash, |(other, _)| *other == hash, |(other, _)| *other);
        let (_, mark) = match entry {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(place) => place.insert((hash, Mark::default())).into_mut(),
        };
        mark
    }

    fn judge(&self, hash: u64, born: Generation, verdict: &mut Verdict) {
        if let Some((_, mark)) = self.0.find(hash, |(other, _)| *other == hash) {
            mark.judge(born, verdict);
        }
    }

    /// Keeps only what `wanted` says, and gives memory back where much has gone.
    fn retain(&mut self, mut wanted: impl FnMut(&Mark) -> bool) {
        self.0.retain(|(_, mark)| wanted(mark));
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to_fit(|(hash, _)| *hash);
        }
    }
}

/// A site's purges.
#[derive(Debug)]
pub(super) struct Book {
    /// The number of the last one.
    version: Generation,
    floor: Mark,
    hosts: Marks,
    tags: Marks,
    urls: Marks,
    /// By length, so that a path is read once, from its beginning to its end.
    prefixes: BTreeMap<usize, Marks>,
    /// Has read the seed, and nothing else yet.
    hasher: DefaultHasher,
}

impl Book {
    pub(super) fn new(hasher: DefaultHasher) -> Self {
        Self {
            version: Generation::default(),
            floor: Mark::default(),
            hosts: Marks::default(),
            tags: Marks::default(),
            urls: Marks::default(),
            prefixes: BTreeMap::new(),
            hasher,
        }
    }

    pub(super) fn version(&self) -> Generation {
        self.version
    }

    /// Writes a purge down.
    pub(super) fn purge(
        &mut self,
        filter: &Filter,
        force: Force,
        generation: Generation,
        at: UnixMillis,
    ) {
        let hash = self.hash(filter.kind(), filter.text());
        let mark = match filter.kind() {
            Kind::All => &mut self.floor,
            Kind::Host => self.hosts.mark(hash),
            Kind::Prefix => self
                .prefixes
                .entry(filter.text().len())
                .or_default()
                .mark(hash),
            Kind::Tag => self.tags.mark(hash),
            Kind::Url => self.urls.mark(hash),
        };
        mark.purge(force, generation, at);
        self.version = self.version.max(generation);
    }

    /// Whether a purge of this filter needs no entry more.
    pub(super) fn knows(&self, filter: &Filter) -> bool {
        let hash = self.hash(filter.kind(), filter.text());
        match filter.kind() {
            Kind::All => true,
            Kind::Host => self.hosts.knows(hash),
            Kind::Prefix => {
                let marks = self.prefixes.get(&filter.text().len());
                marks.is_some_and(|marks| marks.knows(hash))
            }
            Kind::Tag => self.tags.knows(hash),
            Kind::Url => self.urls.knows(hash),
        }
    }

    pub(super) fn verdict(&self, born: Generation, subject: &Subject<'_>) -> Verdict {
        let mut verdict = Verdict::Alive;
        if born >= self.version {
            return verdict;
        }
        self.floor.judge(born, &mut verdict);
        for (marks, kind, text) in [
            (&self.urls, Kind::Url, subject.key),
            (&self.hosts, Kind::Host, subject.host),
        ] {
            if verdict != Verdict::Gone && !marks.0.is_empty() {
                marks.judge(self.hash(kind, text), born, &mut verdict);
            }
        }
        self.judge_prefixes(&subject.path, born, &mut verdict);
        if verdict != Verdict::Gone && !self.tags.0.is_empty() {
            for tag in subject.tags() {
                self.tags
                    .judge(self.hash(Kind::Tag, tag), born, &mut verdict);
            }
        }
        verdict
    }

    fn judge_prefixes(&self, path: &[u8], born: Generation, verdict: &mut Verdict) {
        let mut hasher = self.hasher_of(Kind::Prefix);
        let mut read = 0;
        for (&length, marks) in &self.prefixes {
            let Some(next) = path.get(read..length) else {
                break; // longer than the path, and so are those behind it
            };
            if *verdict == Verdict::Gone {
                break;
            }
            // Read in pieces or at once, the hash is the same: that is how SipHash reads octets, and a law below holds it.
            hasher.write(next);
            read = length;
            marks.judge(hasher.finish(), born, verdict);
        }
    }

    fn hash(&self, kind: Kind, text: &[u8]) -> u64 {
        let mut hasher = self.hasher_of(kind);
        hasher.write(text);
        hasher.finish()
    }

    fn hasher_of(&self, kind: Kind) -> DefaultHasher {
        let mut hasher = self.hasher.clone();
        hasher.write_u8(kind as u8);
        hasher
    }

    fn tables(&self) -> impl Iterator<Item = &Marks> {
        [&self.hosts, &self.tags, &self.urls]
            .into_iter()
            .chain(self.prefixes.values())
    }

    fn tables_mut(&mut self) -> impl Iterator<Item = &mut Marks> {
        [&mut self.hosts, &mut self.tags, &mut self.urls]
            .into_iter()
            .chain(self.prefixes.values_mut())
    }

    /// How many filters have an entry; the floor has none.
    pub(super) fn entries(&self) -> usize {
        self.tables().map(|marks| marks.0.len()).sum()
    }

    /// Bytes of its tables.
    pub(super) fn bytes(&self) -> usize {
        let tables: usize = self.tables().map(|marks| marks.0.allocation_size()).sum();
        tables + self.prefixes.len() * size_of::<(usize, Marks)>()
    }

    /// Lets the older half of the entries become part of the floor: more is purged than was asked, and nothing less. Says how
    /// many went.
    ///
    /// What was found alive before stays so, since the version stays: those entries were not about it.
    pub(super) fn fold(&mut self) -> usize {
        let marks = self.tables().flat_map(|marks| marks.0.iter());
        let mut numbers: Vec<Generation> = marks.map(|(_, mark)| mark.newest()).collect();
        let before = numbers.len();
        if before == 0 {
            return 0;
        }
        let (_, &mut middle, _) = numbers.select_nth_unstable(before.saturating_sub(1) / 2);
        let mut folded = self.floor;
        for marks in self.tables_mut() {
            marks.retain(|mark| {
                let stays = mark.newest() > middle;
                if !stays {
                    folded.take_over(*mark);
                }
                stays
            });
        }
        self.floor = folded;
        self.prefixes.retain(|_, marks| !marks.0.is_empty());
        before - self.entries()
    }

    /// Lets go of what is about nothing any more: everything that lives was born with `oldest` or later.
    pub(super) fn forget_before(&mut self, oldest: Generation) {
        for marks in self.tables_mut() {
            marks.retain(|mark| mark.newest() > oldest);
        }
        self.prefixes.retain(|_, marks| !marks.0.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_apart() {
        for (key, host, path) in [
            ("https://news.example/a/b?c=/d", "news.example", "/a/b"),
            ("http://news.example:8080/", "news.example", "/"),
            ("http://[::1]:8080/%7ea/./b", "[::1]", "/~a/b"),
            ("http://a", "a", ""),
            ("", "", ""),
            (":", "", ""),
        ] {
            let subject = Subject::of_key(key.as_bytes(), None);
            assert_eq!(subject.host, host.as_bytes(), "{key}");
            assert_eq!(&*subject.path, path.as_bytes(), "{key}");
        }
    }

    /// What the walk over prefixes relies on.
    #[test]
    fn a_text_read_in_pieces_has_the_hash_of_the_whole() {
        let text: Vec<u8> = (0..200_u8).collect();
        let whole = |text: &[u8]| {
            let mut hasher = DefaultHasher::new();
            hasher.write(text);
            hasher.finish()
        };
        for step in 1..20 {
            let mut hasher = DefaultHasher::new();
            for (at, piece) in text.chunks(step).enumerate() {
                hasher.write(piece);
                assert_eq!(hasher.finish(), whole(&text[..at * step + piece.len()]));
            }
        }
    }
}
