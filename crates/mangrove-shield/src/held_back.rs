//! Who is held back: the clients that rate limits have refused lately, for a person to look at.
//!
//! A limit itself knows nobody by name, only by hashes. So whoever is refused is noted here, with what refused him and when he may
//! ask again. At most [`HELD`] are known, in sets of [`WAYS`] by a seeded hash of the client. Where a set is full, somebody whose time is over
//! makes room, else whoever was refused least often: a flood that is refused once each pushes out nobody who was refused more. So
//! the list may miss some, and never names anybody who was not refused.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::limits::KeyHash;
use crate::network::Network;

/// Clients that are known to be held back.
pub const HELD: usize = 256;
/// Of these, how many lie together.
pub const WAYS: usize = 8;

/// Somebody who was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// On which site.
    pub site: Box<str>,
    /// By which of its limits.
    pub limit: Box<str>,
    /// Who: an address, or of IPv6 the first 64 bits.
    pub client: Network,
    /// How often, since he was last not held back.
    pub refused: u64,
    /// When he may ask again, in milliseconds.
    pub until: u64,
}

/// Everybody who was refused lately, as far as there is room.
#[derive(Debug)]
pub struct HeldBack {
    seed: [u64; 2],
    sets: Box<[Mutex<Vec<Held>>]>,
}

impl HeldBack {
    /// Nobody yet. Nobody outside may know `seed`.
    pub fn new(seed: [u64; 2]) -> Self {
        let sets = (0..HELD / WAYS).map(|_| Mutex::default()).collect();
        Self { seed, sets }
    }

    /// Somebody was refused at `now`, and may ask again at `until`, both in milliseconds.
    pub fn note(&self, site: &str, limit: &str, address: IpAddr, now: u64, until: u64) {
        let client = Network::of_client(address);
        let hash = KeyHash::new(self.seed);
        let hash = match client.first() {
            IpAddr::V4(address) => hash.part(&address.octets()),
            IpAddr::V6(address) => hash.part(&address.octets()),
        };
        let sets = self.sets.len() as u64;
        let at = usize::try_from(hash.finish() % sets.max(1)).unwrap_or(0);
        let Some(set) = self.sets.get(at) else {
            return;
        };
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let is_he = |held: &&mut Held| {
            held.client == client && *held.limit == *limit && *held.site == *site
        };
        if let Some(held) = set.iter_mut().find(is_he) {
            let before = if held.until > now { held.refused } else { 0 };
            held.refused = before.saturating_add(1);
            held.until = held.until.max(until);
            return;
        }
        let new = Held {
            site: site.into(),
            limit: limit.into(),
            client,
            refused: 1,
            until,
        };
        if set.len() < WAYS {
            return set.push(new);
        }
        let weight = |held: &&mut Held| if held.until > now { held.refused } else { 0 };
        if let Some(least) = set.iter_mut().min_by_key(weight)
            && weight(&least) <= 1
        {
            *least = new;
        }
    }

    /// Who is held back at `now`, whoever was refused most often first.
    pub fn list(&self, now: u64) -> Vec<Held> {
        let mut all = Vec::new();
        for set in &self.sets {
            let set = set.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(set.iter().filter(|held| held.until > now).cloned());
        }
        all.sort_by(|a, b| {
            b.refused
                .cmp(&a.refused)
                .then_with(|| a.until.cmp(&b.until))
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn v4(bits: u32) -> IpAddr {
        Ipv4Addr::from_bits(bits).into()
    }

    #[test]
    fn who_was_refused_is_named_until_he_may_ask_again() {
        let held_back = HeldBack::new([1, 2]);
        for now in 0..3 {
            held_back.note("shop", "log-ins", v4(7), now, 100 + now);
        }
        held_back.note("shop", "search", v4(7), 0, 50);
        held_back.note("news", "log-ins", "2001:db8::7".parse().unwrap(), 0, 60);
        let told = |now| -> Vec<String> {
            let told = held_back.list(now).into_iter();
            told.map(|held| {
                format!(
                    "{} {} {} {}",
                    held.site, held.limit, held.client, held.refused
                )
            })
            .collect()
        };
        assert_eq!(
            told(49),
            [
                "shop log-ins 0.0.0.7/32 3",
                "shop search 0.0.0.7/32 1",
                "news log-ins 2001:db8::/64 1"
            ]
        );
        assert_eq!(told(60), ["shop log-ins 0.0.0.7/32 3"]);
        assert!(told(102).is_empty());
        // Held back anew, and not since then.
        held_back.note("shop", "log-ins", v4(7), 200, 300);
        assert_eq!(told(200), ["shop log-ins 0.0.0.7/32 1"]);
    }

    /// The promise: memory stays, and a flood that is refused once each hides nobody who is refused more often.
    #[test]
    fn a_million_refused_once_hide_nobody_who_is_refused_more() {
        let held_back = HeldBack::new([1, 2]);
        for n in 0..1_000_000 {
            held_back.note("shop", "misses", v4(1_000 + n), 0, 100);
            if n % 1_000 == 0 {
                (0..2).for_each(|_| held_back.note("shop", "misses", v4(7), 0, 100));
            }
        }
        let list = held_back.list(0);
        assert_eq!(list.len(), HELD);
        assert_eq!(
            (list[0].client, list[0].refused),
            (Network::of_client(v4(7)), 2_000)
        );
        // Once their time is over, whoever comes has room.
        held_back.note("shop", "misses", v4(8), 100, 200);
        assert_eq!(held_back.list(100).len(), 1);
    }

    #[test]
    fn whoever_may_ask_again_makes_room_and_nobody_who_was_refused_twice_does() {
        let held_back = HeldBack::new([1, 2]);
        for n in 0..10_000 {
            let until = if n % 3 == 0 { 50 } else { 1_000 };
            (0..2).for_each(|_| held_back.note("shop", "misses", v4(n), 0, until));
        }
        assert_eq!(held_back.list(0).len(), HELD);
        (0..10_000).for_each(|n| held_back.note("shop", "misses", v4(20_000 + n), 0, 1_000));
        assert!(held_back.list(0).iter().all(|held| held.refused == 2));

        let staying = held_back.list(60);
        assert!(staying.len() < HELD);
        (0..10_000).for_each(|n| held_back.note("shop", "misses", v4(40_000 + n), 60, 1_000));
        let after = held_back.list(60);
        assert_eq!(after.len(), HELD);
        assert!(staying.iter().all(|held| after.contains(held)));
    }
}
