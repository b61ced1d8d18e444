//! Connections: who goes first when there is no room for one more.
//!
//! While there is room, nobody goes: a school behind one address may hold ten thousand connections, and so may a test on loopback.
//! When there is none, those go first of whose kind there are most. Connections are counted by address, and by the two networks
//! around it; a network that holds many customers may hold more before it weighs as much as one address ([`SHARES`]). Of those who
//! weigh about the same, the idlest goes first. Where nobody idle is left, those go who have a request under way and are slow
//! ([`crate::gait`]), again of whose kind there are most, the slowest first; who moves well, or waits for us, never goes.
//!
//! The counts are two rows of cells ([`CELLS`]), found by a seeded hash that nobody outside can aim at, and the smaller of the two
//! is believed: half a megabyte, however many addresses come, and six cells to touch for each connection that comes or leaves. The
//! error that this makes, and all of it: a count may be too high by what others have in the same cell of both rows, and is never
//! too low. All are wrong by about as much, and weights are compared by their magnitude alone ([`Rank`]).
//!
//! ```
//! use std::sync::Arc;
//! use mangrove_shield::connections::{Crowd, Rank};
//!
//! let crowd = Arc::new(Crowd::new([7, 7]));
//! let visitor = crowd.enter("203.0.113.9".parse()?);
//! let flood: Vec<_> = (0..1_000).map(|_| crowd.enter("198.51.100.1".parse().unwrap())).collect();
//! assert!(flood[999].weight() >= 1_000);
//! // Who came a second ago goes before somebody who has waited a minute.
//! assert!(Rank::new(flood[999].weight(), 60_000) < Rank::new(visitor.weight(), 1_000));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::limits::KeyHash;
pub use crate::network::SHARES;
use crate::network::{Prefix, around};

/// Cells of each of the two rows: as many as a number of 16 bits names.
pub const CELLS: usize = 1 << 16;
const ROWS: usize = 2;

/// How many connections there are of each kind, in one process.
#[derive(Debug)]
pub struct Crowd {
    seed: [u64; 2],
    rows: [Box<[AtomicU32]>; ROWS],
}

/// What one connection counts for; it leaves the crowd when it is dropped.
#[derive(Debug)]
pub struct Footprint {
    crowd: Arc<Crowd>,
    cells: [[u16; ROWS]; SHARES.len()],
}

impl Crowd {
    /// Of nobody yet.
    pub fn new(seed: [u64; 2]) -> Self {
        let row = || (0..CELLS).map(|_| AtomicU32::new(0)).collect();
        Self {
            seed,
            rows: [row(), row()],
        }
    }

    /// One more, from `address`.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Footprint {
        let cells = around(address).map(|network| self.cells_of(network));
        let footprint = Footprint {
            crowd: Arc::clone(self),
            cells,
        };
        footprint.each_cell(|cell| {
            cell.fetch_add(1, Ordering::Relaxed);
        });
        footprint
    }

    fn cells_of(&self, network: Prefix) -> [u16; ROWS] {
        let hash = KeyHash::new(self.seed).part(network.bytes()).finish();
        let [first, second, third, fourth, ..] = hash.to_le_bytes();
        [
            u16::from_le_bytes([first, second]),
            u16::from_le_bytes([third, fourth]),
        ]
    }

    fn cell(&self, row: usize, at: u16) -> Option<&AtomicU32> {
        self.rows.get(row)?.get(usize::from(at))
    }

    /// Bytes that it takes, whoever comes.
    pub fn bytes(&self) -> usize {
        let cells: usize = self.rows.iter().map(|row| row.len()).sum();
        cells * size_of::<AtomicU32>()
    }
}

impl Footprint {
    /// How much its kind weighs: connections of the address, or of a network by its share, whichever is more.
    pub fn weight(&self) -> u32 {
        let count = |cells: &[u16; ROWS]| {
            let counts = cells.iter().enumerate().filter_map(|(row, &at)| {
                let cell = self.crowd.cell(row, at)?;
                Some(cell.load(Ordering::Relaxed))
            });
            counts.min().unwrap_or(0)
        };
        let weights = self.cells.iter().zip(SHARES);
        let weights = weights.map(|(cells, share)| count(cells) / share);
        weights.max().unwrap_or(0)
    }

    fn each_cell(&self, mut touch: impl FnMut(&AtomicU32)) {
        for network in &self.cells {
            for (row, &at) in network.iter().enumerate() {
                if let Some(cell) = self.crowd.cell(row, at) {
                    touch(cell);
                }
            }
        }
    }
}

impl Drop for Footprint {
    fn drop(&mut self) {
        self.each_cell(|cell| {
            cell.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Where a connection stands among those who might go: the smaller goes first. One number, so that cores can tell each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(u64);

/// Bits of a rank that tell since when; in milliseconds that is four million years.
const SINCE_BITS: u32 = 57;
/// The bit of those who have a request under way.
const SLOW: u64 = 1 << 63;

impl Rank {
    /// Of a connection that weighs so much and has been idle since then, in milliseconds. Weights of one magnitude (from a power of
    /// two to the next) are the same: no visitor goes before another because his browser opened one connection more.
    pub fn new(weight: u32, idle_since: u64) -> Self {
        Self::within_its_kind(weight, idle_since)
    }

    /// Of a connection with a request under way whose client moves so many bytes a second: behind all that are idle.
    pub fn of_slow(weight: u32, rate: u64) -> Self {
        Self(SLOW | Self::within_its_kind(weight, rate).0)
    }

    /// Whether it is one with a request under way.
    pub fn is_slow(self) -> bool {
        self.0 & SLOW != 0
    }

    fn within_its_kind(weight: u32, first: u64) -> Self {
        let magnitude = u64::from(u32::BITS - weight.leading_zeros());
        let lightness = 63 - magnitude; // at most 32 is taken from it
        let last = (1 << SINCE_BITS) - 2; // so that no rank is all ones
        Self(lightness << SINCE_BITS | first.min(last))
    }

    /// As a number for others to read, which is never `u64::MAX`.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Of such a number.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn crowd() -> Arc<Crowd> {
        Arc::new(Crowd::new([1, 2]))
    }

    fn v4(bits: u32) -> IpAddr {
        Ipv4Addr::from_bits(bits).into()
    }

    fn enter(crowd: &Arc<Crowd>, addresses: impl Iterator<Item = IpAddr>) -> Vec<Footprint> {
        addresses.map(|address| crowd.enter(address)).collect()
    }

    #[test]
    fn whoever_holds_most_weighs_most_and_nothing_once_all_have_left() {
        let crowd = crowd();
        let one = crowd.enter(v4(0x0a00_0001));
        let many = enter(&crowd, std::iter::repeat_n(v4(0xcb00_7109), 1_000));
        assert_eq!((one.weight(), many[0].weight()), (1, 1_000));
        drop(many);
        assert_eq!(one.weight(), 1);
        drop(one);
        let left = crowd.rows.iter().flatten();
        assert!(
            left.into_iter()
                .all(|cell| cell.load(Ordering::Relaxed) == 0)
        );
    }

    /// Else a flood would have to come from one address to be seen; and a mobile network would be one.
    #[test]
    fn a_network_weighs_by_its_share() {
        for (width, share) in [(8, 4), (16, 16)] {
            let crowd = crowd();
            // All different addresses of one network, and for /16 of different /24 too.
            let flood = enter(&crowd, (0..256).map(|n| v4(0xcb00_0000 | n << (width - 8))));
            assert_eq!(flood[0].weight(), 256 / share, "/{}", 32 - width);
        }
        for (group, share) in [(4, 1), (3, 4), (2, 16)] {
            let crowd = crowd();
            let addresses = (0..256).map(|n| {
                let mut groups = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1];
                groups[group] = n;
                IpAddr::from(Ipv6Addr::from(groups))
            });
            let flood = enter(&crowd, addresses);
            assert_eq!(flood[0].weight(), 256 / share, "group {group}");
        }
    }

    #[test]
    fn ipv4_in_the_clothes_of_ipv6_is_ipv4() {
        let crowd = crowd();
        let _plain = crowd.enter(v4(0x0a00_0001));
        let dressed = crowd.enter("::ffff:10.0.0.1".parse().unwrap());
        let stranger = crowd.enter("::ffff:203.0.113.9".parse().unwrap());
        assert_eq!((dressed.weight(), stranger.weight()), (2, 1));
    }

    /// The promise: memory stays, and the one heavy address stands out among as many strangers as a process may ever hold.
    #[test]
    fn among_a_million_addresses_the_heavy_one_stands_out() {
        let crowd = crowd();
        let before = crowd.bytes();
        assert_eq!(before, 512 * 1024);
        // Each in a /16 of its own as far as there are any.
        let strangers = enter(
            &crowd,
            (0..1_000_000_u32).map(|n| v4(n.wrapping_mul(0x9e37_79b1))),
        );
        let flood = enter(&crowd, std::iter::repeat_n(v4(0x0a00_0001), 1_000));
        assert_eq!(crowd.bytes(), before);
        let heaviest = strangers.iter().map(Footprint::weight).max().unwrap();
        let overcount = flood[0].weight() - 1_000;
        assert!(heaviest < 250, "{heaviest}");
        assert!(overcount < 100, "{overcount}");
    }

    #[test]
    fn the_heavier_goes_first_and_of_equals_the_idlest() {
        let mut queue = [
            Rank::new(0, 5),
            Rank::new(1, 1),
            Rank::new(3, 9),
            Rank::new(2, 10),
            Rank::new(u32::MAX, u64::MAX),
            Rank::new(1_000, 2),
        ];
        let wanted = [4, 5, 2, 3, 1, 0].map(|at| queue[at]);
        queue.sort();
        assert_eq!(queue, wanted);
    }

    #[test]
    fn the_slow_go_behind_all_that_are_idle_the_heaviest_and_of_those_the_slowest_first() {
        let mut queue = [
            Rank::of_slow(1, 0),
            Rank::new(0, u64::MAX),
            Rank::of_slow(1_000, 300),
            Rank::of_slow(600, 2),
            Rank::of_slow(0, u64::MAX),
            Rank::new(1, 7),
        ];
        let wanted = [5, 1, 3, 2, 0, 4].map(|at| queue[at]);
        queue.sort();
        assert_eq!(queue, wanted);
        assert_ne!(queue[5].to_bits(), u64::MAX);
    }

    proptest! {
        /// However connections come and leave, no count is too low.
        #[test]
        fn no_count_is_ever_too_low(steps in prop::collection::vec((0_u8..4, any::<bool>()), 0..200)) {
            let crowd = crowd();
            let mut there: Vec<(u8, Footprint)> = Vec::new();
            for (who, comes) in steps {
                match there.iter().position(|(other, _)| *other == who) {
                    Some(at) if !comes => drop(there.swap_remove(at)),
                    _ => there.push((who, crowd.enter(v4(u32::from(who) << 16)))),
                }
                for (who, footprint) in &there {
                    let same = there.iter().filter(|(other, _)| other == who).count();
                    prop_assert!(footprint.weight() as usize >= same);
                }
            }
        }

        #[test]
        fn a_rank_is_told_as_it_is(weight: u32, since: u64) {
            let rank = Rank::new(weight, since);
            prop_assert_eq!(Rank::from_bits(rank.to_bits()), rank);
        }
    }
}
