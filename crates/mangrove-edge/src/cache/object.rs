//! One answer that is kept, and all that are kept of one URL.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use mangrove_cache::memory::{Held, Slot};
use mangrove_cache::purge::{Generation, SiteLedger, Subject, Verdict};
use mangrove_cache::{Fields, Interval, Place, Rules, Stored, combine, place_for};
use mangrove_http::{Known, UnixMillis};
use mangrove_store::ObjectId;

use super::disk::Located;
use super::parts::Partial;
use super::reading::DISK_PIECE_BYTES;
use super::{is_for_caches, is_told_afresh};
use crate::answer_head::push_field;
use crate::body::CHUNK_BYTES;
use crate::compress::{Coding, coded_fields};

/// What an allocator and a counted pointer add to a block.
const BLOCK_BYTES: u64 = 32;

/// Status and fields of an answer that is kept, ready to be sent.
#[derive(Debug)]
pub struct KeptHead {
    /// What the decisions know of it.
    pub stored: Stored,
    /// The fields that are told, where they are not those of `stored`.
    told: Option<Fields>,
    /// Its field lines as HTTP/1 writes them, but for those that are told afresh each time or to nobody.
    pub http1_fields: Box<[u8]>,
    /// Whether `Date` is among them.
    pub dated: bool,
}

impl KeptHead {
    /// Renders the field lines once, for every answer to come.
    pub fn new(stored: Stored) -> Arc<Self> {
        Self::telling(stored, None)
    }

    /// The same for content that may be there in codings as well, which `Vary` tells.
    pub fn codable(stored: Stored) -> Arc<Self> {
        let told = coded_fields(&stored.fields, None);
        Self::telling(stored, Some(told))
    }

    fn telling(stored: Stored, told: Option<Fields>) -> Arc<Self> {
        let (mut lines, mut dated) = (Vec::new(), false);
        for field in told.as_ref().unwrap_or(&stored.fields).iter() {
            if is_told_afresh(field.known) || is_for_caches(field.known) {
                continue;
            }
            dated |= field.known == Known::Date;
            push_field(&mut lines, field.name, field.value);
        }
        Arc::new(Self {
            stored,
            told,
            http1_fields: lines.into(),
            dated,
        })
    }

    /// The fields that are told, and those that only caches are.
    pub fn fields(&self) -> &Fields {
        self.told.as_ref().unwrap_or(&self.stored.fields)
    }

    fn weight(&self) -> u64 {
        let told = self.told.as_ref().map_or(0, Fields::weight);
        (self.stored.weight() + told + self.http1_fields.len()) as u64 + 2 * BLOCK_BYTES
    }
}

/// One answer: head and content. Never changes; what updates it makes another that shares the content.
#[derive(Debug)]
pub struct Object {
    /// Status and fields.
    pub head: Arc<KeptHead>,
    /// The content in pieces of at most [`CHUNK_BYTES`].
    pub content: Arc<Content>,
    /// The number of the time when its origin was asked.
    pub born: Generation,
    /// The version of the site's purges in which it was found alive last; at first, that of its birth.
    checked: AtomicU64,
    /// The same content in codings; none of them has forms of its own.
    forms: Vec<(Coding, Arc<Object>)>,
    /// Whether the content may be coded.
    codable: bool,
    /// Which codings were asked for, and which of them were not worth it.
    codings: AtomicU8,
    /// Where in the disk tier it is, or will be soon.
    located: OnceLock<Located>,
}

/// Of [`Object::codings`], the bit that says that a coding was asked for.
const fn asked_for(coding: Coding) -> u8 {
    1 << coding as u8
}

/// And the one that says that it is not worth it.
const fn not_worth(coding: Coding) -> u8 {
    8 << coding as u8
}

/// Content in pieces. All but the last are [`CHUNK_BYTES`] long, so that a position finds its piece by division. Or on the
/// disk, from where each answer reads it: then there are no pieces here.
#[derive(Debug, Default)]
pub struct Content {
    pieces: Box<[Bytes]>,
    length: u64,
    on_disk: Option<Located>,
}

impl Content {
    /// Copies pieces of any size into ones of the right size, unless they are already. What came as one piece stays as it is.
    pub fn gather(pieces: impl IntoIterator<Item = Bytes>) -> Arc<Self> {
        let pieces: Vec<Bytes> = pieces
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .collect();
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let fits = match pieces.split_last() {
            None => true,
            Some((last, before)) => {
                last.len() <= CHUNK_BYTES && before.iter().all(|piece| piece.len() == CHUNK_BYTES)
            }
        };
        if fits {
            return Arc::new(Self {
                pieces: pieces.into(),
                length,
                on_disk: None,
            });
        }
        let mut gathered = Vec::new();
        let mut left = usize::try_from(length).unwrap_or(usize::MAX);
        let mut chunk: Vec<u8> = Vec::with_capacity(left.min(CHUNK_BYTES));
        for piece in pieces {
            let mut rest: &[u8] = &piece;
            while !rest.is_empty() {
                let room = CHUNK_BYTES - chunk.len();
                let (now, later) = rest.split_at(room.min(rest.len()));
                chunk.extend_from_slice(now);
                rest = later;
                if chunk.len() == CHUNK_BYTES {
                    left -= CHUNK_BYTES;
                    let next = Vec::with_capacity(left.min(CHUNK_BYTES));
                    gathered.push(Bytes::from(std::mem::replace(&mut chunk, next)));
                }
            }
        }
        if !chunk.is_empty() {
            gathered.push(Bytes::from(chunk));
        }
        Arc::new(Self {
            pieces: gathered.into(),
            length,
            on_disk: None,
        })
    }

    /// Content that stays on the disk.
    pub fn on_disk(located: Located, length: u64) -> Arc<Self> {
        Arc::new(Self {
            pieces: Box::default(),
            length,
            on_disk: Some(located),
        })
    }

    /// Where it is, if that is on the disk.
    pub fn located(&self) -> Option<&Located> {
        self.on_disk.as_ref()
    }

    /// Whether it can be had: it is in memory, or the disk has it still and gives it, and what is missing there can be got.
    #[inline]
    pub fn is_at_hand(&self) -> bool {
        match &self.on_disk {
            None => true,
            Some(located) => located.is_at_hand(),
        }
    }

    /// What of it is on its way, where it is on the disk and not all there.
    pub fn partial(&self) -> Option<Arc<Partial>> {
        let located = self.on_disk.as_ref()?;
        match located.is_complete() {
            true => None,
            false => located.partial(self.length),
        }
    }

    /// Bytes in all.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The pieces, in order.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// What of the piece at `at` comes before `end`: nothing where there is nothing.
    pub fn slice(&self, at: u64, end: u64) -> &[u8] {
        let piece = usize::try_from(at / CHUNK_BYTES as u64).unwrap_or(usize::MAX);
        let Some(piece) = self.pieces.get(piece) else {
            return &[];
        };
        let from = usize::try_from(at % CHUNK_BYTES as u64).unwrap_or(usize::MAX);
        let most = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
        let rest = piece.get(from..).unwrap_or_default();
        rest.get(..most).unwrap_or(rest)
    }

    /// The same, held on to.
    pub fn share(&self, at: u64, most: usize) -> Bytes {
        let piece = usize::try_from(at / CHUNK_BYTES as u64).unwrap_or(usize::MAX);
        let Some(piece) = self.pieces.get(piece) else {
            return Bytes::new();
        };
        let from = usize::try_from(at % CHUNK_BYTES as u64).unwrap_or(usize::MAX);
        let from = from.min(piece.len());
        let end = from.saturating_add(most).min(piece.len());
        piece.slice(from..end)
    }

    fn weight(&self) -> u64 {
        if self.on_disk.is_some() {
            return size_of::<Located>() as u64 + BLOCK_BYTES;
        }
        self.length + self.pieces.len() as u64 * (BLOCK_BYTES + size_of::<Bytes>() as u64)
    }
}

impl Object {
    /// An object whose content is there as it is, and perhaps may be coded.
    pub fn new(stored: Stored, content: Arc<Content>, born: Generation, codable: bool) -> Self {
        Self::with_forms(stored, content, born, codable.then_some(&[]), 0)
    }

    /// An object of `stored` with the content and the coded forms of this one, unless it may not be coded any more.
    pub fn renewed(&self, stored: Stored, born: Generation, codable: bool) -> Self {
        let forms: Vec<_> = self
            .forms
            .iter()
            .map(|(coding, form)| (*coding, Arc::clone(&form.content)))
            .collect();
        let codings = self.codings.load(Ordering::Relaxed);
        let forms = (codable && self.content.located().is_none()).then_some(&*forms);
        let renewed = Self::with_forms(stored, Arc::clone(&self.content), born, forms, codings);
        renewed.is_kept_as(self.located().cloned());
        renewed
    }

    /// The same with one coded form more.
    pub fn with_form(&self, coding: Coding, content: Arc<Content>) -> Self {
        let known = self
            .forms
            .iter()
            .map(|(coding, form)| (*coding, Arc::clone(&form.content)));
        let forms: Vec<_> = known.chain([(coding, content)]).collect();
        let codings = self.codings.load(Ordering::Relaxed);
        let (stored, content) = (self.head.stored.clone(), Arc::clone(&self.content));
        let with = Self::with_forms(stored, content, self.born, Some(&forms), codings);
        with.is_kept_as(self.located().cloned());
        with
    }

    fn with_forms(
        stored: Stored,
        content: Arc<Content>,
        born: Generation,
        forms: Option<&[(Coding, Arc<Content>)]>,
        codings: u8,
    ) -> Self {
        let coded = |(coding, content): &(Coding, Arc<Content>)| {
            let length = content.length();
            let stored = Stored {
                fields: coded_fields(&stored.fields, Some((*coding, length))),
                content: mangrove_cache::Content::Whole {
                    length: Some(length),
                },
                ..stored.clone()
            };
            let form = Self::with_forms(stored, Arc::clone(content), born, None, 0);
            (*coding, Arc::new(form))
        };
        Self {
            forms: forms.into_iter().flatten().map(coded).collect(),
            codable: forms.is_some(),
            head: match forms {
                Some(_) => KeptHead::codable(stored),
                None => KeptHead::new(stored),
            },
            content,
            born,
            checked: AtomicU64::new(born.0),
            codings: AtomicU8::new(codings),
            located: OnceLock::new(),
        }
    }

    /// The same with its content on the disk alone, if it is there and more than a piece: an answer then holds a piece at a time.
    pub fn without_content(self: &Arc<Self>) -> Arc<Self> {
        let is_a_piece = self.content.length() <= DISK_PIECE_BYTES as u64;
        let Some(located) = self.located().filter(|_| !is_a_piece) else {
            return Arc::clone(self);
        };
        let content = Content::on_disk(located.clone(), self.content.length());
        let without = Self::new(self.head.stored.clone(), content, self.born, false);
        Arc::new(without.kept_as(located.clone()))
    }

    /// The same, known to be on the disk.
    pub fn kept_as(self, located: Located) -> Self {
        self.is_kept_as(Some(located));
        self
    }

    /// It is on the disk, or will be soon.
    pub fn is_kept_as(&self, located: Option<Located>) {
        if let Some(located) = located {
            let _ = self.located.set(located); // it is given once
        }
    }

    /// Where in the disk tier it is, or will be soon.
    pub fn located(&self) -> Option<&Located> {
        self.located.get()
    }

    /// Which object of the disk tier it is, or will be soon.
    pub fn id(&self) -> Option<ObjectId> {
        self.located().map(|located| located.id)
    }

    /// Whether no purge has taken it; `url` is its key, without the site's prefix. What was purged softly is stale afterwards.
    ///
    /// A hit reads two numbers. Only if a purge of its site has come since it was looked at last is the ledger asked.
    #[inline]
    pub fn is_alive(&self, ledger: &SiteLedger, url: &[u8]) -> bool {
        // Acquire: whoever sees that it was looked at sees what came of it, an expiry.
        let checked = Generation(self.checked.load(Ordering::Acquire));
        checked >= ledger.version() || self.ask(ledger, url)
    }

    #[cold]
    fn ask(&self, ledger: &SiteLedger, url: &[u8]) -> bool {
        let subject = Subject::of_key(url, Some(&self.head.stored.fields));
        let asked = ledger.verdict(self.born, &subject);
        match asked.verdict {
            Verdict::Alive => {}
            Verdict::StaleSince(since) => {
                self.head.stored.expire(since);
                let forms = self.forms.iter();
                forms.for_each(|(_, form)| form.head.stored.expire(since));
            }
            Verdict::Gone => return false,
        }
        self.checked.fetch_max(asked.version.0, Ordering::Release);
        true
    }

    /// Whether the content may be coded.
    pub fn is_codable(&self) -> bool {
        self.codable
    }

    /// The content in a coding, if it is there.
    pub fn form(&self, coding: Coding) -> Option<&Arc<Object>> {
        let mut forms = self.forms.iter();
        forms.find_map(|(known, form)| (*known == coding).then_some(form))
    }

    /// The codings that are there.
    pub fn codings(&self) -> impl Iterator<Item = Coding> {
        self.forms.iter().map(|(coding, _)| *coding)
    }

    /// Whether a coding could still be of use: it was not found to save nothing.
    pub fn may_have(&self, coding: Coding) -> bool {
        self.codings.load(Ordering::Relaxed) & not_worth(coding) == 0
    }

    /// True for the first who asks for a coding.
    pub fn ask_for(&self, coding: Coding) -> bool {
        self.codings.fetch_or(asked_for(coding), Ordering::Relaxed) & asked_for(coding) == 0
    }

    /// A coding that was asked for saves nothing.
    pub fn is_not_worth(&self, coding: Coding) {
        self.codings.fetch_or(not_worth(coding), Ordering::Relaxed);
    }

    /// A coding that was asked for did not come about: it may be asked for again.
    pub fn forget_asking(&self, coding: Coding) {
        self.codings
            .fetch_and(!asked_for(coding), Ordering::Relaxed);
    }

    /// Some bytes of the representation; `None` unless all of them are held.
    fn bytes(&self, piece: Interval) -> Option<Vec<Bytes>> {
        let before = match self.head.stored.content {
            mangrove_cache::Content::Part { held, .. } => held.first,
            mangrove_cache::Content::Whole { .. } => 0,
        };
        let mut at = piece.first.checked_sub(before)?;
        let end = at.checked_add(piece.length())?;
        let mut pieces = Vec::new();
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(usize::MAX);
            let bytes = self.content.share(at, most);
            if bytes.is_empty() {
                return None;
            }
            at += bytes.len() as u64;
            pieces.push(bytes);
        }
        Some(pieces)
    }

    /// Bytes of memory: content, head and bookkeeping.
    pub fn weight(&self) -> u64 {
        let forms: u64 = self.forms.iter().map(|(_, form)| form.weight()).sum();
        let list = self.forms.len() * size_of::<(Coding, Arc<Object>)>();
        let own = (size_of::<Self>() + list) as u64 + BLOCK_BYTES;
        self.content.weight() + self.head.weight() + forms + own
    }
}

/// Everything kept of one URL.
#[derive(Debug, Default)]
pub struct Resource {
    /// One for each way of asking that gave a different answer.
    pub variants: Vec<Arc<Object>>,
    /// Until then nobody waits for another's fetch of it: its answers were of no use to others.
    pub uncollapsible_until: UnixMillis,
}

impl Resource {
    /// What is there, with `object` in its place; without what purges have left behind.
    pub fn with(
        there: Option<&Resource>,
        object: &Arc<Object>,
        rules: &Rules,
        is_alive: impl Fn(&Object) -> bool,
    ) -> Self {
        let mut variants: Vec<Arc<Object>> = there
            .into_iter()
            .flat_map(|resource| &resource.variants)
            .filter(|known| is_alive(known))
            .cloned()
            .collect();
        let all = variants.iter().map(|known| &known.head.stored);
        match place_for(&object.head.stored, all, rules) {
            Place::Instead(at) => {
                if let Some(place) = variants.get_mut(at) {
                    *place = Arc::clone(object);
                }
            }
            Place::Beside => variants.push(Arc::clone(object)),
        }
        Self {
            variants,
            uncollapsible_until: UnixMillis::default(),
        }
    }

    /// Whether what `object` would take the place of is alive and no older.
    pub fn has_newer(
        &self,
        object: &Object,
        rules: &Rules,
        is_alive: impl Fn(&Object) -> bool,
    ) -> bool {
        let all = self.variants.iter().map(|known| &known.head.stored);
        let Place::Instead(at) = place_for(&object.head.stored, all, rules) else {
            return false;
        };
        let known = self.variants.get(at);
        known.is_some_and(|known| {
            is_alive(known) && known.head.stored.received_at >= object.head.stored.received_at
        })
    }

    /// A part together with the part that is there, where they overlap or touch (RFC 9111 section 3.4); otherwise as it is.
    pub fn combined(
        there: Option<&Resource>,
        object: &Arc<Object>,
        rules: &Rules,
        is_alive: impl Fn(&Object) -> bool,
    ) -> Arc<Object> {
        let Some(there) = there else {
            return Arc::clone(object);
        };
        let all = there.variants.iter().map(|known| &known.head.stored);
        let Place::Instead(at) = place_for(&object.head.stored, all, rules) else {
            return Arc::clone(object);
        };
        let old = there.variants.get(at).filter(|old| is_alive(old));
        let combined = old.and_then(|old| {
            let combined = combine(&old.head.stored, &object.head.stored)?;
            let mut pieces = Vec::new();
            for (from, piece) in &combined.pieces {
                let from = match from {
                    mangrove_cache::From::Old => old,
                    mangrove_cache::From::New => object,
                };
                pieces.extend(from.bytes(*piece)?);
            }
            Some(Arc::new(Object::new(
                combined.stored,
                Content::gather(pieces),
                object.born,
                false,
            )))
        });
        combined.unwrap_or_else(|| Arc::clone(object))
    }

    /// The same without one of its objects.
    pub fn without(&self, object: &Arc<Object>) -> Self {
        let others = self
            .variants
            .iter()
            .filter(|known| !Arc::ptr_eq(known, object));
        Self {
            variants: others.cloned().collect(),
            uncollapsible_until: self.uncollapsible_until,
        }
    }

    /// The same without what purges have left behind.
    pub fn living(&self, is_alive: impl Fn(&Object) -> bool) -> Self {
        let living = self.variants.iter().filter(|known| is_alive(known));
        Self {
            variants: living.cloned().collect(),
            uncollapsible_until: self.uncollapsible_until,
        }
    }

    /// The same with `new` where `old` is; `None` when that is gone.
    pub fn exchanged(&self, old: &Arc<Object>, new: &Arc<Object>) -> Option<Self> {
        let at = self.place_of(old)?;
        let mut variants = self.variants.clone();
        *variants.get_mut(at)? = Arc::clone(new);
        Some(Self {
            variants,
            uncollapsible_until: UnixMillis::default(),
        })
    }

    /// Where an object is.
    pub fn place_of(&self, object: &Arc<Object>) -> Option<usize> {
        self.variants
            .iter()
            .position(|known| Arc::ptr_eq(known, object))
    }

    /// Bytes of memory.
    pub fn weight(&self) -> u64 {
        let all: u64 = self.variants.iter().map(|object| object.weight()).sum();
        all + (self.variants.len() * size_of::<Arc<Object>>()) as u64 + BLOCK_BYTES
    }
}

/// An object, held so that its bytes count until they are let go.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What holds it.
    pub hold: Hold,
    /// The coding that is meant, if not the content as it is.
    coding: Option<Coding>,
}

/// What holds an object.
#[derive(Clone, Debug)]
pub enum Hold {
    /// A slot, through this core's front, and the place in it.
    Held(Held<Resource>, usize),
    /// A slot, as any core may hold it, and the place in it.
    Shared(Arc<Slot<Resource>>, usize),
    /// Nothing else: there was no room, or it is not wanted by others.
    Alone(Arc<Object>),
}

impl From<Hold> for Kept {
    fn from(hold: Hold) -> Self {
        Self { hold, coding: None }
    }
}

impl Hold {
    /// The object as it is kept.
    pub fn object(&self) -> Option<&Arc<Object>> {
        match self {
            Self::Held(slot, at) => slot.value().variants.get(*at),
            Self::Shared(slot, at) => slot.value().variants.get(*at),
            Self::Alone(object) => Some(object),
        }
    }

    /// The slot.
    pub fn slot(&self) -> Option<&Arc<Slot<Resource>>> {
        match self {
            Self::Held(held, _) => Some(held.shared()),
            Self::Shared(slot, _) => Some(slot),
            Self::Alone(_) => None,
        }
    }
}

impl Kept {
    /// The object, in the coding that is meant.
    pub fn object(&self) -> Option<&Arc<Object>> {
        let object = self.hold.object()?;
        match self.coding {
            None => Some(object),
            Some(coding) => object.form(coding),
        }
    }

    /// The same in a coding.
    pub fn coded(&self, coding: Option<Coding>) -> Self {
        Self {
            hold: self.hold.clone(),
            coding,
        }
    }

    /// What the decisions know of it.
    pub fn stored(&self) -> Option<&Stored> {
        self.object().map(|object| &object.head.stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However it came in pieces, every byte is found where it belongs.
        #[test]
        fn a_position_finds_its_byte(sizes in proptest::collection::vec(0usize..900_000, 0..6), at in any::<u64>()) {
            let mut next = 0u8;
            let pieces: Vec<Bytes> = sizes
                .iter()
                .map(|size| (0..*size).map(|_| { next = next.wrapping_add(7); next }).collect::<Vec<u8>>().into())
                .collect();
            let all: Vec<u8> = pieces.iter().flatten().copied().collect();
            let content = Content::gather(pieces);
            prop_assert_eq!(content.length(), all.len() as u64);
            prop_assert_eq!(content.pieces().iter().flatten().copied().collect::<Vec<u8>>(), all.clone());
            let at = at % (all.len() as u64 + 2);
            let slice = content.slice(at, all.len() as u64);
            let from = usize::try_from(at).unwrap().min(all.len());
            prop_assert_eq!(slice, &all[from..from + slice.len()]);
            prop_assert_eq!(slice.is_empty(), from == all.len());
            prop_assert_eq!(&content.share(at, slice.len())[..], slice);
        }
    }
}
