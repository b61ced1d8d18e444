//! TLS handshakes: whose turn it is when more are wanted than can be made at once.
//!
//! A handshake costs who asks for it one packet, and the server a signature and a key agreement: a few thousand a second keep a core
//! busy. While no more are wanted than a core can make, nobody waits, however many come from one address. When more are, they stand
//! in a [`Line`] of two rows: those whose networks have had no more than their [`Share`] lately, and the others. Of [`LAST_EVERY`]
//! that go, one is of the second row, so that an office that comes back all at once is late and not shut out; the rest are of the
//! first, so that a flood from one network costs the others no more than that.
//!
//! A share is counted by address and by the two networks around it ([`SHARES`]), each in a table of its own that never grows
//! ([`crate::limits`] states the error). It is counted also while nobody waits: who has asked for much is known when it matters.
//!
//! ```
//! use mangrove_shield::handshakes::{Line, Share, Shares};
//!
//! let shares = Shares::new([7, 7]);
//! let now = 0;
//! let mut line = Line::default();
//! for n in 0..500 {
//!     let share = shares.charge("198.51.100.1".parse()?, now);
//!     line.join(n, share).expect("there is room for as many");
//! }
//! // Whoever comes from elsewhere does not stand behind all of them.
//! line.join(1_000, shares.charge("203.0.113.9".parse()?, now)).expect("and for one more");
//! let before = std::iter::from_fn(|| line.next(|_| true)).position(|who| who == 1_000);
//! assert!(before < Some(70));
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::limits::{KeyHash, Limiter, Rate};
use crate::network::{SHARES, around};

/// Handshakes of one address, each second, that are its share; a network's is as much more as [`SHARES`] says.
pub const A_SECOND: u32 = 10;
/// And so many at once: a browser opens six connections to each host of a page, and an office comes back from lunch.
pub const AT_ONCE: u32 = 50;
/// Addresses told apart at one time, and as many networks of each width. One is forgotten a tenth of a second after its last
/// handshake, if it has had no more than its share.
pub const KEYS: usize = 4_096;
/// Who may wait in one row. One more is refused: he would be gone before his turn came.
pub const ROW: usize = 1_024;
/// Of so many that go, one is of those who have had more than their share.
pub const LAST_EVERY: u32 = 4;

/// Whether a client's networks have had more than their share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// None of them has.
    Within,
    /// One of them has.
    Over,
}

/// Who has had how much of it, shared by all cores.
#[derive(Debug)]
pub struct Shares {
    seed: [u64; 2],
    widths: Vec<Limiter>,
}

impl Shares {
    /// Nobody has had any. Nobody outside may know `seed`.
    pub fn new(seed: [u64; 2]) -> Self {
        let limiter = |share: u32| {
            let (rate, burst) = (
                A_SECOND.saturating_mul(share),
                AT_ONCE.saturating_mul(share),
            );
            let rate = Rate::new(rate, Duration::from_secs(1), burst)?;
            Some(Limiter::new(rate, KEYS))
        };
        Self {
            seed,
            widths: SHARES.into_iter().filter_map(limiter).collect(),
        }
    }

    /// A client wants one more at `now`, in nanoseconds. The narrowest network is asked first, and what it has too much of is not
    /// taken from the wider: one address does not use up its neighbours' share.
    pub fn charge(&self, address: IpAddr, now: u64) -> Share {
        let networks = around(address);
        let mut counts = networks.iter().zip(&self.widths);
        let over = counts.any(|(network, limiter)| {
            let key = KeyHash::new(self.seed).part(network.bytes()).finish();
            !limiter.charge(key, now).is_within()
        });
        if over { Share::Over } else { Share::Within }
    }

    /// Bytes that it takes, whoever comes.
    pub fn bytes(&self) -> usize {
        self.widths.iter().map(Limiter::bytes).sum()
    }
}

/// Those who wait for their turn on one core.
#[derive(Debug)]
pub struct Line<T> {
    within: VecDeque<T>,
    over: VecDeque<T>,
    gone: u32,
}

/// The row is full: who came is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            within: VecDeque::new(),
            over: VecDeque::new(),
            gone: 0,
        }
    }
}

impl<T> Line<T> {
    /// Waits behind all who wait in the same row.
    ///
    /// # Errors
    /// When as many wait there as may.
    pub fn join(&mut self, who: T, share: Share) -> Result<(), Full<T>> {
        let row = self.row(share);
        if row.len() >= ROW {
            return Err(Full(who));
        }
        row.push_back(who);
        Ok(())
    }

    /// Gives the places away of those in that row who are no longer `there`.
    pub fn drop_gone(&mut self, share: Share, there: impl FnMut(&T) -> bool) {
        self.row(share).retain(there);
    }

    fn row(&mut self, share: Share) -> &mut VecDeque<T> {
        match share {
            Share::Within => &mut self.within,
            Share::Over => &mut self.over,
        }
    }

    /// Whose turn it is, of those who are still `there`.
    pub fn next(&mut self, mut there: impl FnMut(&T) -> bool) -> Option<T> {
        let mut first_there =
            |row: &mut VecDeque<T>| std::iter::from_fn(|| row.pop_front()).find(|who| there(who));
        let turn_of_the_last = self.gone % LAST_EVERY == LAST_EVERY - 1;
        let (first, second) = match turn_of_the_last {
            true => (&mut self.over, &mut self.within),
            false => (&mut self.within, &mut self.over),
        };
        let next = first_there(first).or_else(|| first_there(second))?;
        self.gone = self.gone.wrapping_add(1);
        Some(next)
    }

    /// How many places are taken, also by those who have left since.
    pub fn len(&self) -> usize {
        self.within.len() + self.over.len()
    }

    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn v4(bits: u32) -> IpAddr {
        Ipv4Addr::from_bits(bits).into()
    }

    fn v6(groups: [u16; 8]) -> IpAddr {
        Ipv6Addr::from(groups).into()
    }

    /// How many of these are within their share, all at once.
    fn within(shares: &Shares, addresses: impl Iterator<Item = IpAddr>) -> usize {
        let each = addresses.map(|address| shares.charge(address, 0));
        each.filter(|share| *share == Share::Within).count()
    }

    #[test]
    fn an_address_has_its_share_at_once_and_more_each_second() {
        let (shares, flood) = (Shares::new([1, 2]), v4(0xc633_6401));
        assert_eq!(within(&shares, std::iter::repeat_n(flood, 1_000)), 50);
        let later = (0..100).filter(|_| shares.charge(flood, SECOND) == Share::Within);
        assert_eq!(later.count(), 10);
        // Its neighbours in the same /24 have theirs: what it was refused was not taken from them.
        assert_eq!(
            within(&shares, std::iter::repeat_n(v4(0xc633_6402), 50)),
            50
        );
    }

    #[test]
    fn a_network_has_the_share_of_few_addresses_however_many_it_has() {
        // Different addresses of one /24; of one /16 and different /24.
        for (shift, share) in [(0, 4), (8, 16)] {
            let shares = Shares::new([1, 2]);
            let flood = (0..20_000_u32).map(|n| v4(0xc633_0000 | (n % 256) << shift));
            assert_eq!(within(&shares, flood), 50 * share, "<< {shift}");
            assert_eq!(shares.charge(v4(0xc733_0001), 0), Share::Within);
        }
        for (group, share) in [(4, 1), (3, 4), (2, 16)] {
            let shares = Shares::new([1, 2]);
            let flood = (0..20_000_u16).map(|n| {
                let mut groups = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1];
                groups[group] = n % 256;
                v6(groups)
            });
            assert_eq!(within(&shares, flood), 50 * share, "group {group}");
            let elsewhere = v6([0x2001, 0xdb9, 0, 0, 0, 0, 0, 1]);
            assert_eq!(shares.charge(elsewhere, 0), Share::Within);
        }
    }

    #[test]
    fn two_hundred_thousand_networks_take_no_more_memory_than_none() {
        let shares = Shares::new([1, 2]);
        let before = shares.bytes();
        assert!(before <= 256 * 1024, "{before}");
        let flood = v4(0x0a00_0001);
        for n in 0..200_000_u32 {
            let now = u64::from(n) * SECOND / 10_000;
            shares.charge(v4(n.wrapping_mul(0x9e37_79b1)), now);
            shares.charge(flood, now);
        }
        assert_eq!(shares.bytes(), before);
        // Ten thousand strangers a second have not made it forgotten.
        let more = (0..100).filter(|_| shares.charge(flood, 20 * SECOND) == Share::Within);
        assert!(more.count() <= 1);
    }

    #[test]
    fn of_four_that_go_one_has_had_more_than_its_share() {
        let mut line = Line::default();
        for n in 0..100 {
            line.join(n, Share::Over).unwrap();
            line.join(1_000 + n, Share::Within).unwrap();
        }
        let order: Vec<i32> = std::iter::from_fn(|| line.next(|_| true)).collect();
        assert_eq!(order[..8], [1_000, 1_001, 1_002, 0, 1_003, 1_004, 1_005, 1]);
        assert_eq!(order.len(), 200);
        assert!(line.is_empty());
    }

    #[test]
    fn one_past_a_full_row_is_refused_and_the_other_row_is_not() {
        let mut line = Line::default();
        for n in 0..ROW {
            line.join(n, Share::Over).unwrap();
        }
        assert_eq!(line.join(7, Share::Over), Err(Full(7)));
        for n in 0..ROW {
            line.join(n, Share::Within).unwrap();
        }
        assert_eq!(line.join(8, Share::Within), Err(Full(8)));
        assert_eq!(line.len(), 2 * ROW);
        line.next(|_| true);
        assert_eq!(line.join(8, Share::Within), Ok(()));
    }

    #[test]
    fn who_has_left_is_passed_over() {
        let mut line = Line::default();
        for n in 0..10 {
            line.join(n, Share::Within).unwrap();
        }
        assert_eq!(line.next(|n| *n > 6), Some(7));
        assert_eq!(line.len(), 2);
        assert_eq!(line.next(|_| false), None);
        assert!(line.is_empty());
    }

    proptest! {
        /// Whatever a flood does, who is within his share waits for those before him in his row and a third as many others.
        #[test]
        fn nobody_within_his_share_waits_for_a_flood(flood in 0..ROW, before in 0_usize..100, gone in 0_u32..9) {
            let mut line = Line { gone, ..Line::default() };
            for _ in 0..flood {
                line.join(0, Share::Over).unwrap();
            }
            for _ in 0..before {
                line.join(1, Share::Within).unwrap();
            }
            line.join(2, Share::Within).unwrap();
            let waited = std::iter::from_fn(|| line.next(|_| true)).position(|who| who == 2).unwrap();
            prop_assert!(waited <= before + before / 3 + 1, "{} of {}", waited, before);
        }
    }
}
