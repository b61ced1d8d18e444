//! The field's policies, each in its plainest form: none of them pays for its lists, ghosts and counters out of the ceiling,
//! and none is held to Mangrove's promises on pinned slots or bounded work. Weights are bytes throughout.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::queue::Queue;
use super::trace::{Object, Request};

/// What keeps some of what it is asked for.
pub(super) trait Policy {
    /// Whether it had this. The request is the trace's `now`-th.
    fn ask(&mut self, now: u64, request: &Request) -> bool;

    /// Bytes that a log on disk would have been given so far: newcomers, and what stays although its place in the log is
    /// given up. Nothing where no log could keep this order.
    fn written(&self) -> Option<u64> {
        None
    }
}

/// Least recently used leaves.
#[derive(Default)]
pub(super) struct Lru {
    ceiling: u64,
    queue: Queue,
}

/// First in, first out; with `again`, whoever was asked for since it came goes in once more instead (CLOCK).
#[derive(Default)]
pub(super) struct Fifo {
    ceiling: u64,
    again: bool,
    queue: Queue,
    asked: HashSet<u32>,
    written: u64,
}

/// A hand goes from old to young and takes the first that was not asked for since it last passed (Zhang and others, NSDI 2024).
#[derive(Default)]
pub(super) struct Sieve {
    ceiling: u64,
    queue: Queue,
    asked: HashSet<u32>,
    hand: u64,
}

/// Two lists, of what was asked for once and more often, with memories of what left either; hits in the memories move the
/// border (Megiddo and Modha, FAST 2003), here in bytes.
#[derive(Default)]
pub(super) struct Arc {
    ceiling: u64,
    once: Queue,
    often: Queue,
    left_once: Queue,
    left_often: Queue,
    once_share: u64,
}

/// Three queues (Yang and others, SOSP 2023): a small one for newcomers, a main one for whoever was asked for twice in it or
/// came back soon after, and a memory of who left the small one.
#[derive(Default)]
pub(super) struct S3Fifo {
    ceiling: u64,
    small: Queue,
    main: Queue,
    memory: Queue,
    counts: HashMap<u32, u8>,
    written: u64,
}

/// A small window, and a segmented LRU that a newcomer enters only if it is asked for more often than all those together whom
/// it would drive out (Einziger and others, 2017 and, for sizes, 2021). Counts are exact and halved now and then.
#[derive(Default)]
pub(super) struct TinyLfu {
    ceiling: u64,
    window: Queue,
    probation: Queue,
    protected: Queue,
    counts: HashMap<u32, u32>,
    counted: usize,
}

/// Greedy dual (Cao and Irani, 1997; with counts, Cherkasova, 1998), told by an exact order: whoever has the lowest level at
/// filing + count / cost(weight) leaves, and the level rises to it.
#[derive(Default)]
pub(super) struct GreedyDual {
    ceiling: u64,
    /// By the square root of the weight in place of the weight.
    root: bool,
    /// A newcomer worth less than whom it would drive out does not come in.
    door: bool,
    order: BTreeSet<(u64, u64, u32)>,
    kept: HashMap<u32, Filed>,
    /// Counts of those who are not here, for the door and for whoever comes back.
    remembered: HashMap<u32, u32>,
    level: u64,
    filings: u64,
    weight: u64,
}

#[derive(Clone, Copy)]
struct Filed {
    priority: u64,
    filing: u64,
    count: u32,
    weight: u64,
}

/// Who sees ahead: whoever is asked for last leaves, and a newcomer who would be that one does not come in (Belady, 1966).
/// With `by_size` it is whoever has the largest weight × time until then, which gains objects where sizes differ.
#[derive(Default)]
pub(super) struct Clairvoyant {
    ceiling: u64,
    by_size: bool,
    /// By half-octaves of weight (all in one class without `by_size`): who is asked for last.
    classes: BTreeMap<u32, BTreeSet<(u64, u32)>>,
    kept: HashMap<u32, (u64, Object)>,
    weight: u64,
}

impl Lru {
    pub(super) fn new(ceiling: u64) -> Self {
        Self {
            ceiling,
            ..Self::default()
        }
    }
}

impl Policy for Lru {
    fn ask(&mut self, _now: u64, request: &Request) -> bool {
        let object = request.object;
        if self.queue.renew(object.name) {
            return true;
        }
        if object.weight <= self.ceiling {
            while self.queue.weight() + object.weight > self.ceiling {
                self.queue.pop();
            }
            self.queue.push(object);
        }
        false
    }
}

impl Fifo {
    pub(super) fn new(ceiling: u64, again: bool) -> Self {
        Self {
            ceiling,
            again,
            ..Self::default()
        }
    }
}

impl Policy for Fifo {
    fn ask(&mut self, _now: u64, request: &Request) -> bool {
        let object = request.object;
        if self.queue.has(object.name) {
            if self.again {
                self.asked.insert(object.name);
            }
            return true;
        }
        if object.weight > self.ceiling {
            return false;
        }
        while self.queue.weight() + object.weight > self.ceiling {
            let Some(oldest) = self.queue.pop() else {
                break;
            };
            if self.asked.remove(&oldest.name) {
                self.queue.push(oldest);
                self.written += oldest.weight;
            }
        }
        self.queue.push(object);
        self.written += object.weight;
        false
    }

    fn written(&self) -> Option<u64> {
        Some(self.written)
    }
}

impl Sieve {
    pub(super) fn new(ceiling: u64) -> Self {
        Self {
            ceiling,
            ..Self::default()
        }
    }
}

impl Policy for Sieve {
    fn ask(&mut self, _now: u64, request: &Request) -> bool {
        let object = request.object;
        if self.queue.has(object.name) {
            self.asked.insert(object.name);
            return true;
        }
        if object.weight > self.ceiling {
            return false;
        }
        while self.queue.weight() + object.weight > self.ceiling {
            let Some((place, at_hand)) = self.queue.from(self.hand) else {
                break;
            };
            self.hand = place + 1;
            if !self.asked.remove(&at_hand.name) {
                self.queue.remove(at_hand.name);
            }
        }
        self.queue.push(object);
        false
    }
}

impl Arc {
    pub(super) fn new(ceiling: u64) -> Self {
        Self {
            ceiling,
            ..Self::default()
        }
    }

    /// Lets one object leave for the memories.
    fn replace(&mut self, came_back_often: bool) {
        let over = self.once.weight() > self.once_share
            || (came_back_often && self.once.weight() == self.once_share);
        let from_once = self.often.oldest().is_none() || (over && self.once.oldest().is_some());
        match from_once {
            true => self
                .once
                .pop()
                .into_iter()
                .for_each(|left| self.left_once.push(left)),
            false => self
                .often
                .pop()
                .into_iter()
                .for_each(|left| self.left_often.push(left)),
        }
    }

    fn make_room(&mut self, weight: u64, came_back_often: bool) {
        while self.once.weight() + self.often.weight() + weight > self.ceiling {
            self.replace(came_back_often);
        }
    }

    /// Half of the memories' weight at most on one side, and all of it at most the ceiling.
    fn forget(&mut self) {
        while self.once.weight() + self.left_once.weight() > self.ceiling {
            if self.left_once.pop().is_none() {
                break;
            }
        }
        let all = |own: &Self| {
            own.once.weight()
                + own.often.weight()
                + own.left_once.weight()
                + own.left_often.weight()
        };
        while all(self) > 2 * self.ceiling {
            if self.left_often.pop().is_none() {
                break;
            }
        }
    }
}

impl Policy for Arc {
    fn ask(&mut self, _now: u64, request: &Request) -> bool {
        let object = request.object;
        if self.once.remove(object.name).is_some() || self.often.remove(object.name).is_some() {
            self.often.push(object);
            return true;
        }
        if object.weight > self.ceiling {
            return false;
        }
        let ratio =
            |more: u64, less: u64| object.weight.saturating_mul((more / less.max(1)).max(1));
        if self.left_once.has(object.name) {
            let step = ratio(self.left_often.weight(), self.left_once.weight());
            self.once_share = (self.once_share + step).min(self.ceiling);
            self.left_once.remove(object.name);
            self.make_room(object.weight, false);
            self.often.push(object);
        } else if self.left_often.has(object.name) {
            let step = ratio(self.left_once.weight(), self.left_often.weight());
            self.once_share = self.once_share.saturating_sub(step);
            self.left_often.remove(object.name);
            self.make_room(object.weight, true);
            self.often.push(object);
        } else {
            self.make_room(object.weight, false);
            self.once.push(object);
        }
        self.forget();
        false
    }
}

impl S3Fifo {
    /// The small queue's part of the ceiling, and the most that hits are counted to.
    const SMALL_PART: u64 = 10;
    const COUNT_MOST: u8 = 3;

    pub(super) fn new(ceiling: u64) -> Self {
        Self {
            ceiling,
            ..Self::default()
        }
    }

    fn let_one_leave(&mut self) {
        if self.small.weight() > self.ceiling / Self::SMALL_PART || self.main.oldest().is_none() {
            let Some(oldest) = self.small.pop() else {
                return;
            };
            let count = self.counts.remove(&oldest.name).unwrap_or(0);
            if count > 1 {
                self.main.push(oldest);
                self.written += oldest.weight;
            } else {
                self.memory.push(oldest);
                while self.memory.weight() > self.ceiling - self.ceiling / Self::SMALL_PART {
                    self.memory.pop();
                }
            }
        } else if let Some(oldest) = self.main.pop() {
            let count = self.counts.remove(&oldest.name).unwrap_or(0);
            if let Some(less) = count.checked_sub(1) {
                self.counts.insert(oldest.name, less);
                self.main.push(oldest);
                self.written += oldest.weight;
            }
        }
    }
}

impl Policy for S3Fifo {
    fn ask(&mut self, _now: u64, request: &Request) -> bool {
        let object = request.object;
        if self.small.has(object.name) || self.main.has(object.name) {
            let count = self.counts.entry(object.name).or_default();
            *count = (*count + 1).min(Self::COUNT_MOST);
            return true;
        }
        if object.weight > self.ceiling {
            return false;
        }
        while self.small.weight() + self.main.weight() + object.weight > self.ceiling {
            self.let_one_leave();
        }
        match self.memory.remove(object.name) {
            Some(_) => self.main.push(object),
            None => self.small.push(object),
        }
        self.written += object.weight;
        false
    }

    fn written(&self) -> Option<u64> {
        Some(self.written)
    }
}

impl TinyLfu {
    /// The window's part of the ceiling, and the protected segment's part of the rest, in hundredths.
    const WINDOW_PART: u64 = 100;
    const PROTECTED: u64 = 80;
    /// Counts are halved after so many requests for each object that is kept.
    const SAMPLE: usize = 10;

    pub(super) fn new(ceiling: u64) -> Self {
        Self {
            ceiling,
            ..Self::default()
        }
    }

    fn count(&mut self, name: u32, kept: usize) {
        *self.counts.entry(name).or_default() += 1;
        self.counted += 1;
        if self.counted > Self::SAMPLE * kept.max(100) {
            self.counted /= 2;
            self.counts.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
        }
    }

    fn counted(&self, name: u32) -> u32 {
        self.counts.get(&name).copied().unwrap_or(0)
    }

    /// Lets whoever left the window into the main part, if it is asked for more than those it would drive out.
    fn admit(&mut self, candidate: Object) {
        let main = self.ceiling - self.ceiling / Self::WINDOW_PART;
        let held = self.probation.weight() + self.protected.weight();
        let mut wanted = (held + candidate.weight).saturating_sub(main);
        let (mut leaving, mut worth) = (Vec::new(), 0_u32);
        for victim in self.probation.iter().chain(self.protected.iter()) {
            if wanted == 0 {
                break;
            }
            worth = worth.saturating_add(self.counted(victim.name));
            wanted = wanted.saturating_sub(victim.weight);
            leaving.push(victim.name);
            if worth >= self.counted(candidate.name) {
                return;
            }
        }
        if wanted > 0 {
            return;
        }
        for name in leaving {
            self.probation.remove(name);
            self.protected.remove(name);
        }
        self.probation.push(candidate);
    }
}

impl Policy for TinyLfu {
    fn ask(&mut self, _now: u64, request: &Request) -> bool {
        let object = request.object;
        let kept = self.window.len() + self.probation.len() + self.protected.len();
        self.count(object.name, kept);
        if self.window.renew(object.name) || self.protected.renew(object.name) {
            return true;
        }
        if self.probation.remove(object.name).is_some() {
            self.protected.push(object);
            let main = self.ceiling - self.ceiling / Self::WINDOW_PART;
            while self.protected.weight() > main * Self::PROTECTED / 100 {
                let Some(oldest) = self.protected.pop() else {
                    break;
                };
                self.probation.push(oldest);
            }
            return true;
        }
        if object.weight > self.ceiling {
            return false;
        }
        self.window.push(object);
        while self.window.weight() > self.ceiling / Self::WINDOW_PART {
            let Some(candidate) = self.window.pop() else {
                break;
            };
            self.admit(candidate);
        }
        false
    }
}

impl GreedyDual {
    /// One over the cost of a byte, so that whole numbers do.
    const SCALE: u64 = 1 << 32;
    /// The most that a count grows to.
    const COUNT_MOST: u32 = 64;

    /// By weight (GDSF), everyone let in.
    pub(super) fn by_weight(ceiling: u64) -> Self {
        Self {
            ceiling,
            ..Self::default()
        }
    }

    /// By the square root of the weight, with or without a door: what Mangrove's queues stand for.
    pub(super) fn by_root(ceiling: u64, door: bool) -> Self {
        Self {
            ceiling,
            root: true,
            door,
            ..Self::default()
        }
    }

    fn priority(&self, count: u32, weight: u64) -> u64 {
        let cost = match self.root {
            true => weight.isqrt(),
            false => weight,
        };
        self.level + u64::from(count) * Self::SCALE / cost.max(1)
    }

    fn file(&mut self, name: u32, count: u32, weight: u64) {
        let filed = Filed {
            priority: self.priority(count, weight),
            filing: self.filings,
            count,
            weight,
        };
        self.filings += 1;
        self.order.insert((filed.priority, filed.filing, name));
        self.kept.insert(name, filed);
        self.weight += weight;
    }

    fn unfile(&mut self, name: u32) -> Option<Filed> {
        let filed = self.kept.remove(&name)?;
        self.order.remove(&(filed.priority, filed.filing, name));
        self.weight -= filed.weight;
        Some(filed)
    }
}

impl Policy for GreedyDual {
    fn ask(&mut self, _now: u64, request: &Request) -> bool {
        let Object { name, weight } = request.object;
        if let Some(filed) = self.unfile(name) {
            self.file(name, (filed.count + 1).min(Self::COUNT_MOST), weight);
            return true;
        }
        if weight > self.ceiling {
            return false;
        }
        let count = self.remembered.get(&name).map_or(1, |count| count + 1);
        let count = count.min(Self::COUNT_MOST);
        let stake = self.priority(count, weight);
        while self.weight + weight > self.ceiling {
            let Some((priority, _, lowest)) = self.order.first().copied() else {
                break;
            };
            if self.door && priority > stake {
                self.remembered.insert(name, count);
                return false;
            }
            self.level = priority;
            if let Some(left) = self.unfile(lowest).filter(|_| self.root) {
                self.remembered.insert(lowest, left.count);
            }
        }
        self.remembered.remove(&name);
        self.file(name, count, weight);
        false
    }
}

impl Clairvoyant {
    pub(super) fn new(ceiling: u64, by_size: bool) -> Self {
        Self {
            ceiling,
            by_size,
            ..Self::default()
        }
    }

    fn class(&self, weight: u64) -> u32 {
        match self.by_size {
            true => weight.saturating_mul(weight).max(1).ilog2(),
            false => 0,
        }
    }

    /// How gladly an object is let go.
    fn burden(&self, now: u64, next: u64, weight: u64) -> u128 {
        let distance = u128::from(next.saturating_sub(now));
        match self.by_size {
            true => distance * u128::from(weight),
            false => distance,
        }
    }

    fn file(&mut self, next: u64, object: Object) {
        let class = self.class(object.weight);
        let class = self.classes.entry(class).or_default();
        class.insert((next, object.name));
        self.kept.insert(object.name, (next, object));
        self.weight += object.weight;
    }

    fn unfile(&mut self, name: u32) -> Option<(u64, Object)> {
        let (next, object) = self.kept.remove(&name)?;
        let class = self.class(object.weight);
        if let Some(class) = self.classes.get_mut(&class) {
            class.remove(&(next, name));
        }
        self.weight -= object.weight;
        Some((next, object))
    }

    fn heaviest(&self, now: u64) -> Option<(u128, u32)> {
        let last = self.classes.values().filter_map(BTreeSet::last);
        let burdens = last.filter_map(|(next, name)| {
            let (_, object) = self.kept.get(name)?;
            Some((self.burden(now, *next, object.weight), *name))
        });
        burdens.max()
    }
}

impl Policy for Clairvoyant {
    fn ask(&mut self, now: u64, request: &Request) -> bool {
        let object = request.object;
        if self.unfile(object.name).is_some() {
            self.file(request.next, object);
            return true;
        }
        if object.weight > self.ceiling || request.next == u64::MAX {
            return false;
        }
        let own = self.burden(now, request.next, object.weight);
        let mut left = Vec::new();
        while self.weight + object.weight > self.ceiling {
            let heaviest = self.heaviest(now).filter(|(burden, _)| *burden > own);
            let Some(gone) = heaviest.and_then(|(_, name)| self.unfile(name)) else {
                for (next, stayed) in left {
                    self.file(next, stayed);
                }
                return false;
            };
            left.push(gone);
        }
        self.file(request.next, object);
        false
    }
}

#[cfg(test)]
mod tests;
