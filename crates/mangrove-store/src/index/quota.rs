//! What each site may have of the disk: past it, its own oldest objects leave, and nobody else's.

use std::collections::{HashMap, VecDeque};

use super::Index;
use crate::lock::lock;
use crate::words::{KeyHash, ObjectId, Site};

/// Objects that a full site passes over, because they were asked for, before a new one is refused.
const SITE_SECOND_CHANCES: u32 = 64;
/// A site's list of objects is looked through for those that have left once it has so many, and then each time it is twice as long
/// as it was left.
const SITE_LIST_LOOKED_THROUGH: usize = 4_096;

/// What is kept of one site.
#[derive(Debug, Default)]
pub(super) struct SiteLedger {
    /// Bytes on disk.
    pub(super) live: u64,
    quota: Option<u64>,
    /// In the order of their coming; kept only for sites with a quota. Some have left since.
    objects: VecDeque<(KeyHash, ObjectId)>,
    /// How long the list was when it was last looked through.
    left_at: usize,
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
                None => ledger.objects = VecDeque::new(),
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
            let since = std::mem::replace(&mut ledger.objects, list.into());
            ledger.objects.extend(since);
        }
    }

    /// Strikes what has left off a long list of a site's objects, so that the list is no longer than it must be.
    pub(super) fn look_through(&self, site: Site) {
        let mut sites = lock(&self.sites);
        let Some(ledger) = sites.get_mut(&site) else {
            return;
        };
        if ledger.objects.len() < SITE_LIST_LOOKED_THROUGH.max(2 * ledger.left_at) {
            return;
        }
        let mut objects = std::mem::take(&mut ledger.objects);
        drop(sites); // who holds a shard waits for the sites, so not the other way round
        objects.retain(|(key, id)| self.has(*key, *id));
        let mut sites = lock(&self.sites);
        let ledger = sites.entry(site).or_default();
        ledger.left_at = objects.len();
        let since = std::mem::replace(&mut ledger.objects, objects);
        ledger.objects.extend(since);
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
            let Some((key, id)) = ledger.objects.pop_front() else {
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
                    ledger.objects.push_back((key, id));
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

    pub(super) fn note_for_site(&self, site: Site, key: KeyHash, id: ObjectId) {
        let mut sites = lock(&self.sites);
        let ledger = sites.entry(site).or_default();
        if ledger.quota.or(self.site_quota).is_some() {
            ledger.objects.push_back((key, id));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it found by panicking")]

    use super::*;
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
        lock(&index.sites).get(&SITE).unwrap().objects.len()
    }

    /// A site that never reaches its quota, and whose objects come and go, would otherwise be listed for ever.
    #[test]
    fn what_has_left_is_struck_off_a_sites_list() {
        let index = Index::new(None);
        index.set_quotas(&[(SITE, Some(1 << 30))]);
        for key in 0..SITE_LIST_LOOKED_THROUGH as u64 {
            begin(&index, key);
            if key % 4 != 0 {
                index.abandon(KeyHash(key), ObjectId(key));
            }
        }
        assert_eq!(
            listed(&index),
            SITE_LIST_LOOKED_THROUGH / 4 + 1,
            "it was looked through when the last one came, which has left since"
        );
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
