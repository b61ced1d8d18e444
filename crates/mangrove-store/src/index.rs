//! Which objects there are and where their records lie, in memory: a lookup touches no disk and waits for none.
//!
//! The table is split into [`SHARDS`], each behind a lock that is held for the change of one object and never while anything is
//! read or written. An object takes about 130 bytes and 16 more for each chunk after its first; a million of one chunk each
//! are 136 MB, measured.

mod quota;

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::cursor::{Cursor, SHARD_BITS};
use crate::index::quota::SiteLedger;
use crate::lock::lock;
use crate::object::{
    Found, Landed, NO_TOTAL, Object, Origin, PINNED_CHUNKS, Part, Pinned, Place, fits,
};
use crate::record::{Header, Kind, record_bytes};
use crate::slab::Slabs;
use crate::words::{Generation, KeyHash, ObjectId, Site, Subject, VARIANTS_ANSWERED, Variant};

/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 1 << SHARD_BITS;
/// Objects that are gone up to an id, of which the scan may still find records.
#[derive(Clone, Copy, Debug)]
struct Grave {
    variant: Option<Variant>,
    up_to: ObjectId,
}

pub(crate) type Shard = HashTable<Box<Object>>;

#[derive(Debug)]
pub(crate) struct Index {
    shards: Box<[Mutex<Shard>]>,
    pub(crate) slabs: Slabs,
    sites: Mutex<HashMap<Site, SiteLedger>>,
    site_quota: Option<u64>,
    /// While the start-up scan goes on.
    graves: Mutex<Option<HashMap<KeyHash, SmallVec<[Grave; 1]>>>>,
}

impl Index {
    pub(crate) fn new(site_quota: Option<u64>) -> Index {
        Index {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            slabs: Slabs::default(),
            sites: Mutex::default(),
            site_quota,
            graves: Mutex::new(Some(HashMap::new())),
        }
    }

    pub(crate) fn shard(&self, key: KeyHash) -> &Mutex<Shard> {
        let number = usize::try_from(Cursor::of(key).shard()).unwrap_or(0) % SHARDS;
        #[allow(
            clippy::indexing_slicing,
            reason = "a number under SHARDS, of which there are SHARDS"
        )]
        &self.shards[number]
    }

    /// Makes an object without records, which are to be written.
    pub(crate) fn begin(&self, subject: Subject, id: ObjectId, total: Option<u64>, main: bool) {
        let mut shard = lock(self.shard(subject.key));
        insert(&mut shard, subject, id, total, main);
        drop(shard);
        let listed = self.note_for_site(subject.site, subject.key, id);
        self.look_at(subject.site, &listed);
    }

    /// Removes an object that never got a head.
    pub(crate) fn abandon(&self, key: KeyHash, id: ObjectId) {
        let mut shard = lock(self.shard(key));
        if let Ok(entry) = shard.find_entry(key.0, |object| object.id == id)
            && !entry.get().head.is_somewhere()
        {
            let (object, _) = entry.remove();
            self.release_all(&object);
        }
    }

    pub(crate) fn has(&self, key: KeyHash, id: ObjectId) -> bool {
        lock(self.shard(key))
            .find(key.0, |object| object.id == id)
            .is_some()
    }

    /// Takes a record in.
    pub(crate) fn land(&self, header: &Header, place: Place, origin: Origin) -> Landed {
        let mut shard = lock(self.shard(header.key));
        let is_it = |object: &Object| object.id == header.object;
        if shard.find(header.key.0, |object| is_it(object)).is_none() {
            if origin == Origin::Written
                || self.is_buried(header.key, header.variant, header.object)
            {
                return Landed::default();
            }
            let subject = Subject {
                key: header.key,
                variant: header.variant,
                site: header.site,
                born: header.born,
            };
            insert(&mut shard, subject, header.object, header.total, false);
            self.note_for_site(header.site, header.key, header.object);
        }
        let Some(object) = shard.find_mut(header.key.0, |object| is_it(object)) else {
            return Landed::default();
        };
        let kept = match header.kind {
            Kind::Head => self.land_head(object, header, place, origin),
            Kind::Chunk => self.land_chunk(object, header, place, origin),
            Kind::Gone => false,
        };
        object.complete = object.is_complete();
        if !object.complete || !object.head.is_somewhere() {
            return Landed {
                kept,
                replaced: None,
            };
        }
        self.replace_older(&mut shard, header, kept)
    }

    fn land_head(
        &self,
        object: &mut Object,
        header: &Header,
        place: Place,
        origin: Origin,
    ) -> bool {
        let known = object.head.is_somewhere();
        if known
            && (header.sequence < object.head_sequence
                || origin == Origin::Recovered && header.sequence == object.head_sequence)
        {
            return false;
        }
        let asked = object.head.asked();
        self.release(object.subject.site, object.head);
        self.hold(object.subject.site, place);
        object.head = place;
        object.head.set_asked(asked);
        object.head_sequence = header.sequence;
        object.subject.born = header.born;
        if let Some(total) = header.total {
            object.total = total;
            let site = object.subject.site;
            object.chunks.retain(|(index, place)| {
                let fits = fits(total, *index, place.length());
                if !fits {
                    self.release(site, *place);
                }
                fits
            });
        }
        true
    }

    fn land_chunk(
        &self,
        object: &mut Object,
        header: &Header,
        place: Place,
        origin: Origin,
    ) -> bool {
        if !fits(object.total, header.index, place.length()) {
            return false;
        }
        let site = object.subject.site;
        match object
            .chunks
            .binary_search_by_key(&header.index, |(index, _)| *index)
        {
            Ok(_) if origin == Origin::Recovered => return false,
            Ok(at) => {
                if let Some((_, there)) = object.chunks.get_mut(at) {
                    self.release(site, std::mem::replace(there, place));
                }
            }
            Err(at) => object.chunks.insert(at, (header.index, place)),
        }
        self.hold(site, place);
        true
    }

    /// Lets go of older objects of the key and variant, if this one is the newest complete one; else of it.
    fn replace_older(&self, shard: &mut Shard, header: &Header, kept: bool) -> Landed {
        let same = |object: &Object| {
            object.subject.variant == header.variant && object.head.is_somewhere()
        };
        let newest = shard
            .iter_hash(header.key.0)
            .filter(|object| object.subject.key == header.key && object.complete && same(object))
            .map(|object| object.id)
            .max();
        let Some(newest) = newest else {
            return Landed {
                kept,
                replaced: None,
            };
        };
        let mut replaced = None;
        while let Ok(entry) = shard.find_entry(header.key.0, |object| {
            object.subject.key == header.key && object.id < newest && same(object)
        }) {
            let (object, _) = entry.remove();
            replaced = replaced.max(Some(object.id));
            self.release_all(&object);
        }
        Landed {
            kept: kept && header.object >= newest,
            replaced,
        }
    }

    /// Whether the record there is what the index points to, and how often it was asked for.
    pub(crate) fn asked(&self, header: &Header, slab: u32) -> Option<u8> {
        let shard = lock(self.shard(header.key));
        let object = shard.find(header.key.0, |object| object.id == header.object)?;
        let place = object.place(header)?;
        place
            .same_spot(Place::new(slab, header.at, 0))
            .then(|| u8::try_from(place.asked()).unwrap_or(0))
    }

    /// Points to a record's copy instead, if it still points to the record.
    pub(crate) fn relocate(&self, header: &Header, from: Place, mut to: Place, asked: u8) -> bool {
        let mut shard = lock(self.shard(header.key));
        let Some(object) = shard.find_mut(header.key.0, |object| object.id == header.object) else {
            return false;
        };
        object.main = true;
        let site = object.subject.site;
        let Some(place) = object
            .place_mut(header)
            .filter(|place| place.same_spot(from))
        else {
            return false;
        };
        to.set_asked(u32::from(asked));
        let old = std::mem::replace(place, to);
        self.release(site, old);
        self.hold(site, to);
        true
    }

    /// Lets go of one record, and of its object if nothing can be answered without it. True if the object went.
    pub(crate) fn evict(&self, key: KeyHash, id: ObjectId, part: Part, spot: Place) -> bool {
        let mut shard = lock(self.shard(key));
        let Ok(mut entry) = shard.find_entry(key.0, |object| object.id == id) else {
            return false;
        };
        let object = entry.get_mut();
        match part {
            Part::Head if object.head.same_spot(spot) => {}
            Part::Head => return false,
            Part::Chunk(index) => {
                let Ok(at) = object
                    .chunks
                    .binary_search_by_key(&index, |(index, _)| *index)
                else {
                    return false;
                };
                let still = object
                    .chunks
                    .get(at)
                    .is_some_and(|(_, place)| place.same_spot(spot));
                if !still {
                    return false;
                }
                let (_, place) = object.chunks.remove(at);
                self.release(object.subject.site, place);
                object.complete = false;
                // Without any content there is nothing to answer with; a fill under way is written on.
                if !object.chunks.is_empty() || !object.head.is_somewhere() {
                    return false;
                }
            }
        }
        let (object, _) = entry.remove();
        self.release_all(&object);
        true
    }

    /// Lets go of everything in a slab; how many records. It looks at every object: for slabs that cannot be walked through.
    pub(crate) fn evict_slab(&self, slab: u32) -> u64 {
        let mut count = 0;
        for shard in &self.shards {
            lock(shard).retain(|object| {
                let site = object.subject.site;
                let before = object.chunks.len();
                object.chunks.retain(|(_, place)| {
                    let stays = place.slab != slab;
                    if !stays {
                        self.release(site, *place);
                    }
                    stays
                });
                let gone = before - object.chunks.len();
                count += gone as u64;
                object.complete &= gone == 0;
                let headless = object.head.is_somewhere() && object.head.slab == slab;
                let stays = !headless
                    && (gone == 0 || !object.chunks.is_empty() || !object.head.is_somewhere());
                if !stays {
                    count += 1;
                    self.release_all(object);
                }
                stays
            });
        }
        count
    }

    /// Whether there is anything under a key, in whatever state.
    pub(crate) fn has_any(&self, key: KeyHash) -> bool {
        let shard = lock(self.shard(key));
        shard
            .find(key.0, |object| object.subject.key == key)
            .is_some()
    }

    /// The objects of a key that have a head and are alive, the newest first. Each is counted as asked for.
    pub(crate) fn find(
        &self,
        key: KeyHash,
        alive: &dyn Fn(&Subject) -> bool,
    ) -> SmallVec<[Found; 2]> {
        self.answer(key, alive, |object| object.head.ask())
    }

    /// The same for somebody who only looks: nothing stays longer for it.
    pub(crate) fn peek(
        &self,
        key: KeyHash,
        alive: &dyn Fn(&Subject) -> bool,
    ) -> SmallVec<[Found; 2]> {
        self.answer(key, alive, |_| ())
    }

    fn answer(
        &self,
        key: KeyHash,
        alive: &dyn Fn(&Subject) -> bool,
        note: impl Fn(&mut Object),
    ) -> SmallVec<[Found; 2]> {
        let mut shard = lock(self.shard(key));
        let mut newest: SmallVec<[ObjectId; 4]> = SmallVec::new();
        let mut dead: SmallVec<[ObjectId; 4]> = SmallVec::new();
        for object in shard
            .iter_hash(key.0)
            .filter(|object| object.subject.key == key)
        {
            if !object.head.is_somewhere() {
                continue;
            }
            let list = if alive(&object.subject) {
                &mut newest
            } else {
                &mut dead
            };
            list.push(object.id);
        }
        // While the scan goes on, a newer head of a dead object may still be found, and make it alive.
        let scanning = !dead.is_empty() && lock(&self.graves).is_some();
        for id in dead.into_iter().filter(|_| !scanning) {
            if let Ok(entry) = shard.find_entry(key.0, |object| object.id == id) {
                let (object, _) = entry.remove();
                self.release_all(&object);
            }
        }
        newest.sort_unstable_by(|one, other| other.cmp(one));
        newest.truncate(VARIANTS_ANSWERED);
        let mut found = SmallVec::new();
        for id in newest {
            if let Some(object) = shard.find_mut(key.0, |object| object.id == id) {
                note(object);
                found.extend(self.take_out(object));
            }
        }
        found
    }

    fn take_out(&self, object: &Object) -> Option<Found> {
        let pin = |place: Place| {
            Some(Pinned {
                slab: self.slabs.by_id(place.slab)?,
                place,
            })
        };
        let mut chunks = SmallVec::new();
        if object.chunks.len() <= PINNED_CHUNKS {
            for (index, place) in &object.chunks {
                if let Some(pinned) = pin(*place) {
                    chunks.push((*index, pinned));
                }
            }
        }
        Some(Found {
            subject: object.subject,
            id: object.id,
            total: Some(object.total).filter(|total| *total != NO_TOTAL),
            complete: object.complete,
            main: object.main,
            chunk_count: object.chunks.len(),
            head: pin(object.head)?,
            chunks,
        })
    }

    /// The first keys from there on of which something has a head and is wanted, at most so many of one shard, and where to go
    /// on. Looks at every object of the shard under its lock, as counting them does.
    pub(crate) fn keys(
        &self,
        from: Cursor,
        most: usize,
        wanted: &dyn Fn(&Subject) -> bool,
    ) -> (Vec<KeyHash>, Option<Cursor>) {
        let shard = lock(self.shard(from.key()));
        let (mut first, mut more) = (BTreeSet::new(), false);
        let headed = shard.iter().filter(|object| object.head.is_somewhere());
        for subject in headed.map(|object| &object.subject) {
            let at = Cursor::of(subject.key);
            let is_late = first.len() == most && first.last().is_some_and(|last| *last < at);
            if at < from || !wanted(subject) {
                continue;
            }
            more |= is_late;
            if !is_late && first.insert(at) && first.len() > most {
                first.pop_last();
                more = true;
            }
        }
        drop(shard);
        let next = match first.last() {
            Some(last) if more => Cursor::after(last.key()),
            _ => from.next_shard(),
        };
        (first.into_iter().map(Cursor::key).collect(), next)
    }

    /// Where a chunk lies now; counted as asked for.
    pub(crate) fn chunk(&self, key: KeyHash, id: ObjectId, index: u32) -> Option<Pinned> {
        let mut shard = lock(self.shard(key));
        let object = shard.find_mut(key.0, |object| object.id == id)?;
        let at = object
            .chunks
            .binary_search_by_key(&index, |(index, _)| *index)
            .ok()?;
        let (_, place) = object.chunks.get_mut(at)?;
        place.ask();
        Some(Pinned {
            slab: self.slabs.by_id(place.slab)?,
            place: *place,
        })
    }

    /// Remembers that a record was found whole by this process, as are those that it writes.
    pub(crate) fn verified(&self, key: KeyHash, id: ObjectId, part: Part, spot: Place) {
        let mut shard = lock(self.shard(key));
        let Some(object) = shard.find_mut(key.0, |object| object.id == id) else {
            return;
        };
        let place = match part {
            Part::Head => Some(&mut object.head),
            Part::Chunk(index) => object.chunk_mut(index),
        };
        if let Some(place) = place.filter(|place| place.same_spot(spot)) {
            place.set_verified();
        }
    }

    /// Counts a hit that another tier answered.
    pub(crate) fn touch(&self, key: KeyHash, variant: Variant) {
        let mut shard = lock(self.shard(key));
        for object in shard
            .iter_hash_mut(key.0)
            .filter(|object| object.subject.key == key && object.subject.variant == variant)
        {
            object.head.ask();
            for (_, place) in object.chunks.iter_mut().take(PINNED_CHUNKS) {
                place.ask();
            }
        }
    }

    /// Removes the objects of a key (and variant) up to an id, also those that the scan has yet to find. How many there were.
    pub(crate) fn bury(&self, key: KeyHash, variant: Option<Variant>, up_to: ObjectId) -> usize {
        if let Some(graves) = lock(&self.graves).as_mut() {
            graves
                .entry(key)
                .or_default()
                .push(Grave { variant, up_to });
        }
        let mut shard = lock(self.shard(key));
        let mut count = 0;
        while let Ok(entry) = shard.find_entry(key.0, |object| {
            object.subject.key == key
                && object.id <= up_to
                && variant.is_none_or(|variant| variant == object.subject.variant)
        }) {
            let (object, _) = entry.remove();
            self.release_all(&object);
            count += 1;
        }
        count
    }

    fn is_buried(&self, key: KeyHash, variant: Variant, id: ObjectId) -> bool {
        let graves = lock(&self.graves);
        let Some(graves) = graves.as_ref().and_then(|graves| graves.get(&key)) else {
            return false;
        };
        graves
            .iter()
            .any(|grave| id <= grave.up_to && grave.variant.is_none_or(|its| its == variant))
    }

    /// Ends the time in which records are found: graves are forgotten, and what never got a head before `first_id`.
    pub(crate) fn scanned(&self, first_id: ObjectId) {
        *lock(&self.graves) = None;
        for shard in &self.shards {
            lock(shard).retain(|object| {
                let stays = object.head.is_somewhere() || object.id >= first_id;
                if !stays {
                    self.release_all(object);
                }
                stays
            });
        }
    }

    /// Keeps only what the filter says; how many objects went. One shard at a time, so that lookups go on.
    pub(crate) fn retain(&self, filter: &dyn Fn(&Subject) -> bool) -> usize {
        let mut count = 0;
        for shard in &self.shards {
            lock(shard).retain(|object| {
                let stays = filter(&object.subject);
                if !stays {
                    self.release_all(object);
                    count += 1;
                }
                stays
            });
        }
        count
    }

    /// The lowest generation that anything kept was born in.
    pub(crate) fn oldest(&self) -> Option<Generation> {
        let oldest =
            |shard: &Mutex<Shard>| lock(shard).iter().map(|object| object.subject.born).min();
        self.shards.iter().filter_map(oldest).min()
    }

    /// How many objects have a head, how many of them are complete, and about how many bytes all of this takes.
    pub(crate) fn size(&self) -> (usize, usize, usize) {
        let (mut objects, mut complete, mut bytes) = (0, 0, 0);
        for shard in &self.shards {
            let shard = lock(shard);
            bytes += shard.capacity() * (size_of::<Box<Object>>() + 1);
            for object in shard.iter() {
                objects += usize::from(object.head.is_somewhere());
                complete += usize::from(object.complete && object.head.is_somewhere());
                // 16: what an allocator keeps beside.
                bytes += size_of::<Object>() + 16;
                if object.chunks.spilled() {
                    bytes += object.chunks.capacity() * size_of::<(u32, Place)>() + 16;
                }
            }
        }
        (objects, complete, bytes)
    }

    fn hold(&self, site: Site, place: Place) {
        let bytes = record_bytes(place.length());
        self.slabs.live_more(place.slab, bytes);
        lock(&self.sites).entry(site).or_default().live += bytes;
    }

    fn release(&self, site: Site, place: Place) {
        if place.is_somewhere() {
            let bytes = record_bytes(place.length());
            self.slabs.live_less(place.slab, bytes);
            let mut sites = lock(&self.sites);
            let ledger = sites.entry(site).or_default();
            ledger.live = ledger.live.saturating_sub(bytes);
        }
    }

    fn release_all(&self, object: &Object) {
        self.release(object.subject.site, object.head);
        for (_, place) in &object.chunks {
            self.release(object.subject.site, *place);
        }
    }
}

fn insert(shard: &mut Shard, subject: Subject, id: ObjectId, total: Option<u64>, main: bool) {
    let object = Object {
        subject,
        id,
        total: total.unwrap_or(NO_TOTAL),
        head_sequence: 0,
        head: Place::NOWHERE,
        chunks: SmallVec::new(),
        complete: false,
        main,
    };
    shard.insert_unique(subject.key.0, Box::new(object), |object| {
        object.subject.key.0
    });
}
