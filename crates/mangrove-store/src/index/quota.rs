//! What each site may have of the disk: past it, its own oldest objects leave, and nobody else's.

use std::collections::{HashMap, VecDeque};

use smallvec::SmallVec;

use super::Index;
use crate::lock::lock;
use crate::words::{KeyHash, ObjectId, Site};

/// Objects that a full site passes over, because they were asked for, before a new one is refused.
const SITE_SECOND_CHANCES: u32 = 64;
/// With each object that a site's list gets, so many of it are looked at, and struck off if they have left: the list has no more
/// of these than of others, and nobody has to wait while all of it is looked through.
const LOOKED_AT: usize = 2;

/// What is kept of one site.
#[derive(Debug, Default)]
pub(super) struct SiteLedger {
    /// Bytes on disk.
    pub(super) live: u64,
    quota: Option<u64>,
    list: List,
}

/// A site's objects in the order of their coming; kept only for sites with a quota. Some have left since.
#[derive(Debug, Default)]
struct List {
    /// Those that have been looked at in this round: the older ones.
    seen: VecDeque<(KeyHash, ObjectId)>,
    /// Those that are yet to be.
    unseen: VecDeque<(KeyHash, ObjectId)>,
}

impl List {
    fn push(&mut self, entry: (KeyHash, ObjectId)) {
        self.unseen.push_back(entry);
    }

    fn pop(&mut self) -> Option<(KeyHash, ObjectId)> {
        self.seen.pop_front().or_else(|| self.unseen.pop_front())
    }

    /// Those that are to be looked at next.
    fn next(&mut self) -> SmallVec<[(KeyHash, ObjectId); LOOKED_AT]> {
        if self.unseen.is_empty() {
            std::mem::swap(&mut self.seen, &mut self.unseen);
        }
        self.unseen.iter().take(LOOKED_AT).copied().collect()
    }

    /// One of them was looked at.
    fn saw(&mut self, entry: (KeyHash, ObjectId), is_there: bool) {
        // It may have been popped meanwhile.
        if self.unseen.front() == Some(&entry) {
            self.unseen.pop_front();
            if is_there {
                self.seen.push_back(entry);
            }
        }
    }
}

impl Index {
    /// Bytes on disk of all that is kept of a site.
    pub(crate) fn site_bytes(&self, site: Site) -> u64 {
        lock(&self.sites).get(&site).map_or(0, |ledger| ledger.live)
    }

    /// Gives sites quotas of their own, or none. What is kept of them counts, and leaves, the oldest first, as far as it is too
    /// much. Looks at every object if there is a quota where there was none.
    pub(crate) fn set_quotas(&self, quotas: &[(Site, Option<u64>)]) {
        let mut unlisted: HashMap<Site, Vec<(KeyHash, ObjectId)>> = HashMap::new();
        let mut sites = lock(&self.sites);
        for (site, quota) in quotas {
            let ledger = sites.entry(*site).or_default();
            let was_listed = ledger.quota.or(self.site_quota).is_some();
            ledger.quota = *quota;
            match quota.or(self.site_quota) {
                None => ledger.list = List::default(),
                Some(_) if !was_listed => drop(unlisted.insert(*site, Vec::new())),
                Some(_) => {}
            }
        }
        drop(sites);
        if !unlisted.is_empty() {
            self.list(unlisted);
        }
        for (site, _) in quotas {
            self.make_site_room(*site, 0);
        }
    }

    /// Lists what is kept of sites, before what has come since they have a quota.
    fn list(&self, mut of: HashMap<Site, Vec<(KeyHash, ObjectId)>>) {
        for shard in &self.shards {
            for object in lock(shard).iter() {
                if let Some(list) = of.get_mut(&object.subject.site) {
                    list.push((object.subject.key, object.id));
                }
            }
        }
        for (site, mut list) in of {
            list.sort_unstable_by_key(|(_, id)| *id);
            let mut sites = lock(&self.sites);
            let ledger = sites.entry(site).or_default();
            // What is listed twice has left when it comes up again, or has another chance.
            let before = List {
                seen: VecDeque::new(),
                unseen: list.into(),
            };
            let mut since = std::mem::replace(&mut ledger.list, before);
            while let Some(entry) = since.pop() {
                ledger.list.push(entry);
            }
        }
    }

    /// Whether a site may have so many bytes at all, with nothing beside them.
    pub(crate) fn may_hold(&self, site: Site, bytes: u64) -> bool {
        let sites = lock(&self.sites);
        let own = sites.get(&site).and_then(|ledger| ledger.quota);
        own.or(self.site_quota).is_none_or(|quota| bytes <= quota)
    }

    /// Lets go of a site's oldest objects until so many bytes more are within its quota. False if they are all asked for.
    pub(crate) fn make_site_room(&self, site: Site, bytes: u64) -> bool {
        let mut chances = SITE_SECOND_CHANCES;
        loop {
            let mut sites = lock(&self.sites);
            let Some(ledger) = sites.get_mut(&site) else {
                return self.site_quota.is_none_or(|quota| bytes <= quota);
            };
            let quota = ledger.quota.or(self.site_quota);
            if quota.is_none_or(|quota| ledger.live.saturating_add(bytes) <= quota) {
                return true;
            }
            let Some((key, id)) = ledger.list.pop() else {
                return false;
            };
            drop(sites);
            let mut shard = lock(self.shard(key));
            let Ok(mut entry) = shard.find_entry(key.0, |object| object.id == id) else {
                continue;
            };
            let object = entry.get_mut();
            if object.head.asked() > 0 || !object.head.is_somewhere() {
                object.head.set_asked(object.head.asked().saturating_sub(1));
                drop(shard);
                if let Some(ledger) = lock(&self.sites).get_mut(&site) {
                    ledger.list.push((key, id));
                }
                chances -= 1;
                if chances == 0 {
                    return false;
                }
                continue;
            }
            let (object, _) = entry.remove();
            self.release_all(&object);
        }
    }

    /// Lists an object, where the site has a list; says which others are to be looked at then.
    pub(super) fn note_for_site(
        &self,
        site: Site,
        key: KeyHash,
        id: ObjectId,
    ) -> SmallVec<[(KeyHash, ObjectId); LOOKED_AT]> {
        let mut sites = lock(&self.sites);
        let ledger = sites.entry(site).or_default();
        if ledger.quota.or(self.site_quota).is_none() {
            return SmallVec::new();
        }
        let listed = ledger.list.next();
        ledger.list.push((key, id));
        listed
    }

    /// Strikes those off a site's list that have left. For whoever holds no shard: who does, waits for the sites.
    pub(super) fn look_at(&self, site: Site, listed: &[(KeyHash, ObjectId)]) {
        for (key, id) in listed {
            let is_there = self.has(*key, *id);
            if let Some(ledger) = lock(&self.sites).get_mut(&site) {
                ledger.list.saw((*key, *id), is_there);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it found by panicking")]

    use super::*;
    use crate::object::Place;
    use crate::words::{Generation, Subject, Variant};

    const SITE: Site = Site(3);

    fn begin(index: &Index, key: u64) {
        let subject = Subject {
            key: KeyHash(key),
            variant: Variant(0),
            site: SITE,
            born: Generation(1),
        };
        index.begin(subject, ObjectId(key), None, false);
    }

    fn listed(index: &Index) -> usize {
        let sites = lock(&index.sites);
        let list = &sites.get(&SITE).unwrap().list;
        list.seen.len() + list.unseen.len()
    }

    /// A site that never reaches its quota, and whose objects come and go, would otherwise be listed for ever.
    #[test]
    fn of_those_that_have_left_a_site_lists_no_more_than_of_others() {
        let index = Index::new(None);
        index.set_quotas(&[(SITE, Some(1 << 30))]);
        let (mut stay, mut most) = (0, 0);
        for key in 0..10_000 {
            begin(&index, key);
            match key % 4 {
                0 => stay += 1,
                _ => index.abandon(KeyHash(key), ObjectId(key)),
            }
            most = most.max(listed(&index).saturating_sub(2 * stay));
        }
        assert!(most <= LOOKED_AT, "{most} more than twice those that stay");
        // In their order.
        let mut sites = lock(&index.sites);
        let list = &mut sites.get_mut(&SITE).unwrap().list;
        let order: Vec<_> = std::iter::from_fn(|| list.pop())
            .map(|(_, id)| id)
            .collect();
        assert!(order.is_sorted());
    }

    /// One more than may be passed over is not looked for: what is new is refused.
    #[test]
    fn so_many_are_passed_over_and_one_more_is_not() {
        for (asked, is_room) in [
            (SITE_SECOND_CHANCES - 1, true),
            (SITE_SECOND_CHANCES, false),
        ] {
            let index = Index::new(None);
            index.set_quotas(&[(SITE, Some(1 << 20))]);
            for key in 0..=u64::from(asked) {
                begin(&index, key);
            }
            // Without a head they are being written, and are passed over; the last one has one.
            index.hold(SITE, Place::new(0, 0, 1 << 20));
            let last = u64::from(asked);
            let mut shard = lock(index.shard(KeyHash(last)));
            let object = shard.find_mut(last, |object| object.id == ObjectId(last));
            object.unwrap().head = Place::new(0, 0, 1 << 20);
            drop(shard);
            assert_eq!(index.make_site_room(SITE, 1 << 19), is_room, "{asked}");
        }
    }

    #[test]
    fn a_site_without_a_quota_has_no_list() {
        let index = Index::new(None);
        begin(&index, 1);
        assert_eq!(listed(&index), 0);
        index.set_quotas(&[(SITE, Some(1 << 30))]);
        assert_eq!(listed(&index), 1, "what was there before is known");
        index.set_quotas(&[(SITE, None)]);
        assert_eq!(listed(&index), 0);
    }
}
