//! Making room for a newcomer, within the rules on large objects and on pinned ones.

use std::sync::Arc;

use super::policy::{Effort, Policy};
use super::slot::{Ledger, Slot};
use super::{KeyHash, Refused};

/// Objects up to this part of the ceiling are always let in. A larger one must be worth as much as what it would drive out;
/// each refusal adds to its worth. `bench/HIT-RATE.md` has what the welcome costs: next to nothing.
pub(super) const WELCOME_PART: u64 = 8;
/// Pins drive nothing out of this part of the ceiling.
pub(super) const FLOOR_PART: u64 = 2;
/// Pinned slots that are passed over below the floor before the newcomer is refused.
pub(super) const PASSED_OVER_MOST: u32 = 64;
/// Slots that leave before others may have the policy's lock: so it is held for microseconds, whatever the newcomer's size.
const BATCH: usize = 64;
/// Who holds a slot that nobody has asked for: its shard, and whoever has just taken it out of its queue.
const OWN_HOLDS: usize = 2;

/// The making of room, once.
#[derive(Debug)]
pub(super) struct Room {
    ceiling: u64,
    /// Weight that counts still, but will be gone as soon as the newcomer is in.
    leaving_anyway: u64,
    /// Hash and weight of a newcomer who must be worth what it drives out, until its priority is known.
    contender: Option<(KeyHash, u64)>,
    stake: Option<u64>,
    too_large: bool,
    /// Who does not leave, since it has just come.
    spared: Option<KeyHash>,
    effort: Effort,
    passed_over: u32,
}

impl Room {
    /// For a slot whose weight counts already, in the stead of `before`.
    pub(super) fn for_newcomer<V>(
        ceiling: u64,
        slot: &Slot<V>,
        before: Option<&Arc<Slot<V>>>,
    ) -> Self {
        let contends = before.is_none() && slot.weight() > ceiling / WELCOME_PART;
        // Held by its shard, its queue and the one who replaces it.
        let unpinned = before.filter(|before| Arc::strong_count(before) <= OWN_HOLDS + 1);
        Self {
            leaving_anyway: unpinned.map_or(0, |before| before.weight()),
            contender: contends.then(|| (slot.hash(), slot.weight())),
            too_large: slot.weight() > ceiling,
            spared: None,
            ..Self::for_tables(ceiling, slot.hash())
        }
    }

    /// For tables that have grown to take in this newcomer.
    pub(super) fn for_tables(ceiling: u64, newcomer: KeyHash) -> Self {
        Self {
            spared: Some(newcomer),
            ..Self::for_nobody(ceiling)
        }
    }

    /// For what counts beside the slots.
    pub(super) fn for_nobody(ceiling: u64) -> Self {
        Self {
            ceiling,
            leaving_anyway: 0,
            contender: None,
            stake: None,
            too_large: false,
            spared: None,
            effort: Effort::default(),
            passed_over: 0,
        }
    }

    /// Lets up to [`BATCH`] slots leave: into `leaving`, dead, to be taken out of their shards. Says how it ended, if it did.
    pub(super) fn make_some<V>(
        &mut self,
        policy: &mut Policy<V>,
        ledger: &Ledger,
        leaving: &mut Vec<Arc<Slot<V>>>,
    ) -> Option<Result<(), Refused>> {
        if self.too_large {
            return Some(Err(Refused::TooLarge));
        }
        if let Some((hash, weight)) = self.contender.take() {
            self.stake = Some(policy.priority_of(hash, weight));
        }
        for _ in 0..BATCH {
            if ledger.held().saturating_sub(self.leaving_anyway) <= self.ceiling {
                return Some(Ok(()));
            }
            let Some(lowest) = policy.lowest() else {
                return Some(Err(Refused::Pinned)); // nothing is kept, and still there is no room
            };
            if self.stake.is_some_and(|stake| lowest > stake) {
                return Some(Err(Refused::NotWorthIt));
            }
            let outgoing = policy.next_to_leave(&mut self.effort)?;
            let pinned = Arc::strong_count(&outgoing.slot) > OWN_HOLDS;
            // Below the floor it would free nothing to let it leave: it counts until its holder is done.
            let in_vain = pinned && policy.weight() < self.ceiling / FLOOR_PART;
            if in_vain || self.spared == Some(outgoing.slot.hash()) {
                policy.take_back(outgoing);
                self.passed_over += 1;
                if self.passed_over > PASSED_OVER_MOST {
                    return Some(Err(Refused::Pinned));
                }
                continue;
            }
            leaving.push(policy.evict(outgoing, pinned));
        }
        None
    }
}
