//! What each site may have of the disk.

use std::collections::BTreeMap;

use super::{DiskTier, lock};

/// What sites may have of the disk, by their names; where nothing is said, all that there is.
pub type Quotas = BTreeMap<Box<str>, u64>;

/// Quotas as they were said last, and as the store has them.
#[derive(Debug, Default)]
pub(super) struct Said {
    last: Quotas,
    in_force: Quotas,
}

impl DiskTier {
    /// Says what sites may have from now on; in force once [`enforce_quotas`](Self::enforce_quotas) is called.
    pub fn say_quotas(&self, quotas: Quotas) {
        lock(&self.quotas).last = quotas;
    }

    /// Brings the store to the quotas that were said last. Where a site has more, its oldest leaves. Looks at every object where
    /// a site had none before.
    pub fn enforce_quotas(&self) {
        let Some(open) = self.opened() else {
            return;
        };
        let mut said = lock(&self.quotas);
        let Said { last, in_force } = &mut *said;
        if last == in_force {
            return;
        }
        let site = |name: &str| open.site(name.as_bytes());
        let ended = in_force.keys().filter(|name| !last.contains_key(*name));
        let ended = ended.map(|name| (site(name), None));
        let changed = last
            .iter()
            .filter(|(name, bytes)| in_force.get(*name) != Some(*bytes));
        let changed = changed.map(|(name, bytes)| (site(name), Some(*bytes)));
        let quotas: Vec<_> = ended.chain(changed).collect();
        open.store.set_quotas(&quotas);
        in_force.clone_from(last);
    }

    /// Of each site that has a quota: its name, what it has on disk, and the quota.
    pub fn quotas(&self) -> Vec<(Box<str>, u64, u64)> {
        let quotas = lock(&self.quotas).last.clone();
        let open = self.opened();
        let held = |name: &str| {
            let open = open.as_ref();
            open.map_or(0, |open| open.store.site_bytes(open.site(name.as_bytes())))
        };
        let told = quotas.into_iter().map(|(name, quota)| {
            let held = held(&name);
            (name, held, quota)
        });
        told.collect()
    }
}
