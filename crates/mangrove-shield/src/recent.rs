//! Recent clients: how many of those who came lately are of one network.
//!
//! Each client counts once, however much it asks for: else an attacker would be most of everybody, and to keep him out would look
//! like keeping out everybody. A client is an address, of IPv6 its first 64 bits.
//!
//! Of each site the clients with the smallest seeded hashes are remembered, at most [`SAMPLED`] for each of two windows of
//! [`WINDOW_MS`]. Nobody outside can choose his hash, so these are an even sample of all. The error that this makes, and all of it:
//!
//! 1. Of at most [`SAMPLED`] clients all are known, and the answer is exact.
//! 2. Of more, a share has a standard error of the root of `p (1 - p) / 256`: at 5 % that is 1.4 points.
//! 3. "Lately" is from one window to two. Who came earlier is forgotten.
//! 4. A client who comes with several kinds of software counts as the first of them in each window.
//! 5. At most [`SITES`] sites are known at one time; of another nothing can be told, which is not the same as nobody
//!    ([`RecentClients::share`]).
//!
//! ```
//! use mangrove_shield::recent::RecentClients;
//!
//! let mut recent = RecentClients::new([7, 7]);
//! for _ in 0..1_000 {
//!     recent.note("shop", "198.51.100.1".parse()?, None, 0); // asks without end, and is one
//! }
//! recent.note("shop", "203.0.113.9".parse()?, None, 0);
//! let share = recent.share("shop", &"198.51.100.0/24".parse()?, 1_000).expect("there is room for this site");
//! assert_eq!((share.touched(), share.clients), (1, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::HashMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ja4::Ja4;
use crate::limits::KeyHash;
use crate::network::Network;
use crate::subject::Subject;

/// Clients of a site that are remembered from one window.
pub const SAMPLED: usize = 256;
/// Sites whose clients are remembered at one time: 24 MiB when each has as many as are remembered.
pub const SITES: usize = 1_024;
/// How long a window is, in milliseconds: ten minutes.
pub const WINDOW_MS: u64 = 10 * 60 * 1_000;

/// An even sample of different clients, and from it how many there are. Of each it keeps a `T`.
#[derive(Clone, Debug)]
pub struct Sample<T> {
    /// Those with the smallest hashes, in their order.
    entries: Vec<(u64, T)>,
}

impl<T> Default for Sample<T> {
    /// Of nobody yet.
    fn default() -> Self {
        let entries = Vec::new();
        Self { entries }
    }
}

/// A client as a sample knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Where it comes from.
    pub network: Network,
    /// A number for the software it is, or 0 where that is not known.
    pub software: u64,
}

impl<T: Copy> Sample<T> {
    /// One of them, or the same once more.
    pub fn note(&mut self, hash: u64, client: T) {
        if self.entries.len() >= SAMPLED
            && self.entries.last().is_some_and(|(most, _)| hash > *most)
        {
            return; // as nearly all are where there are many
        }
        if let Err(at) = self.entries.binary_search_by_key(&hash, |(hash, _)| *hash) {
            if self.entries.len() >= SAMPLED {
                self.entries.pop(); // first, or it would take twice the memory
            }
            self.entries.insert(at, (hash, client));
        }
    }

    /// About how many there are; exactly, where it is fewer than are remembered.
    pub fn count(&self) -> u64 {
        let known = self.entries.len() as u64;
        match self.entries.last() {
            // They lie evenly: so many up to this hash, so many more up to the largest there is.
            Some((most, _)) if self.entries.len() >= SAMPLED => {
                let all = u128::from(known - 1) * u128::from(u64::MAX) / u128::from(*most).max(1);
                u64::try_from(all).unwrap_or(u64::MAX).max(known)
            }
            _ => known,
        }
    }

    fn join(&mut self, other: &Self) {
        for (hash, client) in &other.entries {
            self.note(*hash, *client);
        }
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// How many of the recent clients of a site are of one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Of those who are remembered.
    pub inside: u64,
    /// How many are remembered.
    pub sampled: u64,
    /// About how many there were.
    pub clients: u64,
}

impl Share {
    /// About how many of the network there were.
    pub fn touched(&self) -> u64 {
        let touched = u128::from(self.inside) * u128::from(self.clients);
        let touched = touched / u128::from(self.sampled).max(1);
        u64::try_from(touched).unwrap_or(u64::MAX)
    }

    /// Whether they are more than so many of a hundred.
    pub fn is_over(&self, percent: u64) -> bool {
        u128::from(self.inside) * 100 > u128::from(self.sampled) * u128::from(percent)
    }
}

/// Who came lately, by site.
#[derive(Debug)]
pub struct RecentClients {
    seed: [u64; 2],
    sites: HashMap<Box<str>, Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    began: u64,
    current: Sample<Client>,
    before: Sample<Client>,
}

impl Windows {
    /// Lets go of what is over.
    fn turn(&mut self, now: u64) {
        let window = now / WINDOW_MS;
        match window.saturating_sub(self.began) {
            0 => {}
            1 => self.before = std::mem::take(&mut self.current),
            _ => (self.before, self.current) = Default::default(),
        }
        self.began = self.began.max(window);
    }
}

impl RecentClients {
    /// Nobody yet. Nobody outside may know `seed`.
    pub fn new(seed: [u64; 2]) -> Self {
        Self {
            seed,
            sites: HashMap::new(),
        }
    }

    /// Somebody came to a site, at `now` in milliseconds, with software that greets like that.
    pub fn note(&mut self, site: &str, address: IpAddr, ja4: Option<&Ja4>, now: u64) {
        let network = Network::of_client(address);
        let hash = self.hash(&network);
        let software = ja4.map_or(0, |ja4| self.software(ja4));
        let client = Client { network, software };
        if let Some(known) = self.sites.get_mut(site) {
            known.turn(now);
            known.current.note(hash, client);
        } else if self.sites.len() < SITES || self.forget(now) {
            let mut new = Windows::default();
            new.turn(now);
            new.current.note(hash, client);
            self.sites.insert(site.into(), new);
        }
    }

    /// How many of those who came to a site lately `subject` is about. None where this cannot be told: more sites are asked for than
    /// are remembered.
    pub fn share(&self, site: &str, subject: &Subject, now: u64) -> Option<Share> {
        let Some(known) = self.sites.get(site) else {
            return (self.sites.len() < SITES).then(Share::default);
        };
        let mut all = Sample::default();
        match (now / WINDOW_MS).saturating_sub(known.began) {
            0 => {
                all.join(&known.current);
                all.join(&known.before);
            }
            1 => all.join(&known.current),
            _ => {}
        }
        let inside = all.entries.iter();
        let is_meant = |client: &Client| match subject {
            Subject::Network(network) => network.touches(&client.network),
            Subject::Ja4(ja4) => client.software == self.software(ja4),
        };
        let inside = inside.filter(|(_, client)| is_meant(client)).count();
        Some(Share {
            inside: inside as u64,
            sampled: all.entries.len() as u64,
            clients: all.count(),
        })
    }

    fn software(&self, ja4: &Ja4) -> u64 {
        KeyHash::new(self.seed).part(ja4.as_bytes()).finish().max(1)
    }

    /// A number for a client that nobody outside can choose.
    pub fn hash(&self, client: &Network) -> u64 {
        hash_of(self.seed, client)
    }

    /// Makes room by sites that nobody has come to lately; false when there is none.
    fn forget(&mut self, now: u64) -> bool {
        self.sites.retain(|_, known| {
            known.turn(now);
            !(known.current.is_empty() && known.before.is_empty())
        });
        self.sites.len() < SITES
    }
}

/// A number for a client that nobody can choose who does not know the seed.
pub fn hash_of(seed: [u64; 2], client: &Network) -> u64 {
    let hash = KeyHash::new(seed);
    match client.first() {
        IpAddr::V4(address) => hash.part(&address.octets()).finish(),
        IpAddr::V6(address) => hash.part(&address.octets()).finish(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn v4(bits: u32) -> IpAddr {
        Ipv4Addr::from_bits(bits).into()
    }

    fn share(recent: &RecentClients, network: &str, now: u64) -> Share {
        recent.share("a", &network.parse().unwrap(), now).unwrap()
    }

    /// The promise: a share of a million clients is right to its stated error, in memory that stays.
    #[test]
    fn a_share_of_a_million_is_about_right_and_of_few_exact() {
        let mut recent = RecentClients::new([1, 2]);
        for n in 0..u32::try_from(SAMPLED).unwrap() {
            recent.note("a", v4(0x0a00_0000 | n << 8), None, 0);
        }
        let exact = share(&recent, "10.0.0.0/16", 0);
        assert_eq!(
            (exact.inside, exact.sampled, exact.clients),
            (256, 256, 256)
        );

        for n in 0..1_000_000_u32 {
            // One of 16 in 10.0.0.0/8, the others all over.
            let address = match n % 16 {
                0 => 0x0a00_0000 | n,
                _ => n.wrapping_mul(0x9e37_79b1) | 0x8000_0000,
            };
            recent.note("a", v4(address), None, 0);
        }
        let about = share(&recent, "10.0.0.0/8", 0);
        assert_eq!(about.sampled, SAMPLED as u64);
        // 6.25 % of 256 are 16, and the standard error is 4.
        assert!((4..=28).contains(&about.inside), "{about:?}");
        assert!((800_000..1_200_000).contains(&about.clients), "{about:?}");
        let kept = &recent.sites["a"];
        assert!(kept.current.entries.capacity() <= SAMPLED);
    }

    /// Else an attacker who asks a thousand times a second would be nearly everybody.
    #[test]
    fn who_asks_much_is_one() {
        let mut recent = RecentClients::new([1, 2]);
        (0..1_000).for_each(|_| recent.note("a", v4(7), None, 0));
        (0..39).for_each(|n| recent.note("a", v4(0x0a00_0000 | n), None, 0));
        let one = share(&recent, "0.0.0.7", 0);
        assert_eq!((one.touched(), one.clients), (1, 40));
        assert!(!one.is_over(5) && one.is_over(2));
        let two = share(&recent, "10.0.0.0/30", 0);
        assert!(two.is_over(5));
    }

    #[test]
    fn of_a_software_each_client_counts_that_came_with_it() {
        let mut recent = RecentClients::new([1, 2]);
        let curl: Ja4 = "t13d3112h2_e8f1e7e78f70_375ca2c5e164".parse().unwrap();
        let browser: Ja4 = "t13d1516h2_8daaf6152771_e5627efa2ab1".parse().unwrap();
        for n in 0..100 {
            let ja4 = match n {
                0..4 => Some(&curl),
                4..90 => Some(&browser),
                _ => None,
            };
            (0..3).for_each(|_| recent.note("a", v4(n), ja4, 0));
        }
        let of = |ja4| recent.share("a", &Subject::Ja4(ja4), 0).unwrap();
        assert_eq!((of(curl).inside, of(browser).inside), (4, 86));
        assert!(!of(curl).is_over(5) && of(browser).is_over(5));
    }

    #[test]
    fn five_of_a_hundred_are_not_over_five_percent_and_one_more_is() {
        let of = |inside| Share {
            inside,
            sampled: 100,
            clients: 100,
        };
        assert!(!of(5).is_over(5) && of(6).is_over(5));
        assert!(!Share::default().is_over(5));
    }

    #[test]
    fn of_ipv6_a_customer_is_one_and_an_address_touches_him() {
        let mut recent = RecentClients::new([1, 2]);
        for host in ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"] {
            recent.note("a", host.parse().unwrap(), None, 0);
        }
        assert_eq!(share(&recent, "2001:db8::9", 0).inside, 1);
        assert_eq!(share(&recent, "2001:db8::/48", 0).inside, 2);
    }

    #[test]
    fn who_came_two_windows_ago_is_forgotten() {
        let mut recent = RecentClients::new([1, 2]);
        let all = "0.0.0.0/0";
        recent.note("a", v4(1), None, 0);
        recent.note("a", v4(2), None, WINDOW_MS);
        assert_eq!(share(&recent, all, WINDOW_MS).clients, 2);
        assert_eq!(share(&recent, all, 2 * WINDOW_MS).clients, 1);
        assert_eq!(share(&recent, all, 3 * WINDOW_MS).clients, 0);
        recent.note("a", v4(3), None, 2 * WINDOW_MS);
        assert_eq!(share(&recent, all, 2 * WINDOW_MS).clients, 2);
    }

    #[test]
    fn of_one_site_too_many_nothing_can_be_told_until_another_is_forgotten() {
        let mut recent = RecentClients::new([1, 2]);
        let all = "0.0.0.0/0".parse().unwrap();
        assert_eq!(recent.share("new", &all, 0), Some(Share::default()));
        for n in 0..SITES {
            recent.note(&format!("site {n}"), v4(1), None, 0);
        }
        recent.note("new", v4(1), None, 0);
        assert_eq!(recent.share("new", &all, 0), None);
        assert_eq!(recent.sites.len(), SITES);
        recent.note("new", v4(1), None, 2 * WINDOW_MS);
        let known = recent.share("new", &all, 2 * WINDOW_MS).unwrap();
        assert_eq!(known.clients, 1);
    }
}
