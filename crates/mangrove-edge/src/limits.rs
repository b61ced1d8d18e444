//! A site's rate limits as an edge obeys them.
//!
//! How much a key may have is counted by `mangrove_shield::limits`, in one table for each limit that all cores share: a client's
//! requests come over several connections and so to several cores (record 0020). Here it is read from a request what its key is,
//! and which limits it is for. A site without limits pays one branch.

mod limited;
mod turn;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use mangrove_cache::cookie;
use mangrove_config::{Counts as Counted, LimitAction, LimitKey, RateLimitSettings};
use mangrove_shield::limits::{Counts, KeyHash, Limiter, Verdict};

use self::limited::Why;
pub(crate) use self::limited::tell;
pub use self::limited::{Limited, Told};
pub(crate) use self::turn::Turn;
use crate::log::push_decimal;
use crate::pipeline::Story;

/// All limits of one site.
#[derive(Debug)]
pub struct SiteLimits(Box<[Arc<SiteLimit>]>);

/// One limit, and who owes how much under it.
#[derive(Debug)]
pub struct SiteLimit {
    settings: RateLimitSettings,
    limiter: Limiter,
    seed: [u64; 2],
    /// Its member of `RateLimit-Policy`.
    policy: Box<[u8]>,
    /// How many requests wait for their turn, on all cores.
    waiting: AtomicU32,
}

/// What one limit has decided so far.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// Its name.
    pub limit: &'a str,
    /// What becomes of whom it refuses.
    pub refuses_by: LimitAction,
    /// How often.
    pub counts: Counts,
}

/// When a request is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has been read.
    Asked,
    /// The cache does not answer it from what it keeps.
    Missed,
}

/// What one limit has to say of a key.
enum Judge {
    /// It owes so much now.
    Within(Duration),
    Later(Turn),
    Over(Limited),
}

/// What a site's limits have to say of a request.
#[derive(Debug)]
pub(crate) enum Judged {
    /// It may go on.
    Within,
    /// It may go on when its turn has come.
    Later(Turn),
    /// It was one too many.
    Over(Limited),
}

impl SiteLimits {
    /// As settings say; none where they say nothing. A limit that was there before under the same settings goes on as it is.
    pub fn new(settings: &[RateLimitSettings], previous: Option<&Self>) -> Option<Arc<Self>> {
        let kept = |settings: &RateLimitSettings| {
            let before = previous?.0.iter().find(|limit| limit.settings == *settings);
            before.map(Arc::clone)
        };
        let limits = settings
            .iter()
            .filter_map(|settings| kept(settings).or_else(|| SiteLimit::new(settings)));
        let limits: Box<[_]> = limits.collect();
        (!limits.is_empty()).then(|| Arc::new(Self(limits)))
    }

    /// What each limit has decided so far, under its name.
    pub fn decided(&self) -> impl Iterator<Item = Decided<'_>> {
        self.0.iter().map(|limit| Decided {
            limit: &limit.settings.name,
            refuses_by: match limit.settings.action {
                LimitAction::Close => LimitAction::Close,
                LimitAction::Refuse | LimitAction::Delay => LimitAction::Refuse,
            },
            counts: limit.limiter.counts(),
        })
    }

    /// Whether some of them are for misses alone.
    pub(crate) fn of_misses(&self) -> bool {
        self.0.iter().any(|limit| limit.stage() == Stage::Missed)
    }

    /// Counts a request where it counts at this stage, and says whether it is one too many. What is left where it is not goes
    /// to `told`, of those limits that tell it.
    pub(crate) fn judge(
        &self,
        story: &Story,
        stage: Stage,
        now: u64,
        told: &mut Vec<Told>,
    ) -> Judged {
        let mut judged = Judged::Within;
        for limit in &self.0 {
            if limit.stage() != stage || !limit.is_for(story) {
                continue;
            }
            let key = limit.key_of(story);
            match limit.judge(key, now) {
                Judge::Within(owes) if limit.settings.tell => told.push(Told::new(limit, owes)),
                Judge::Within(_) => {}
                Judge::Later(turn) => judged = judged.or_later(turn),
                Judge::Over(limited) => return Judged::Over(limited),
            }
        }
        judged
    }

    /// Counts a request where its answer makes it count.
    pub(crate) fn answered(&self, story: &Story, status: u16, now: u64) {
        for limit in &self.0 {
            let statuses = &limit.settings.statuses;
            if statuses.is_empty() || limit.stage() == Stage::Missed && !story.missed {
                continue;
            }
            let counts = statuses
                .iter()
                .any(|range| (range.first..=range.last).contains(&status));
            match limit.settings.share {
                _ if counts && limit.is_for(story) => limit.limiter.note(limit.key_of(story), now),
                Some(share) if (200..400).contains(&status) && limit.is_for(story) => {
                    limit.limiter.forgive(limit.key_of(story), now, share);
                }
                _ => {}
            }
        }
    }
}

impl SiteLimit {
    fn new(settings: &RateLimitSettings) -> Option<Arc<Self>> {
        let random = RandomState::new(); // nobody outside may know which keys lie together
        let mut policy = format!("\"{}\";q=", settings.name).into_bytes();
        push_decimal(&mut policy, u64::from(settings.rate?));
        policy.extend_from_slice(b";w=");
        push_decimal(&mut policy, settings.per.as_secs().max(1));
        let keys = usize::try_from(settings.keys).unwrap_or(usize::MAX);
        let limiter = Limiter::new(settings.limit()?, keys);
        Some(Arc::new(Self {
            limiter: match settings.ttl {
                Some(time) => limiter.holding(time),
                None => limiter,
            },
            settings: settings.clone(),
            seed: [random.hash_one(0_u64), random.hash_one(1_u64)],
            policy: policy.into(),
            waiting: AtomicU32::new(0),
        }))
    }

    /// When it judges.
    fn stage(&self) -> Stage {
        match self.settings.counts {
            Counted::All => Stage::Asked,
            Counted::Misses => Stage::Missed,
        }
    }

    /// Gives a key one more, or a turn, or neither.
    fn judge(self: &Arc<Self>, key: u64, now: u64) -> Judge {
        let limiter = &self.limiter;
        let settings = &self.settings;
        let (verdict, full) = match settings.action {
            _ if !settings.statuses.is_empty() => (limiter.look(key, now), false),
            LimitAction::Refuse | LimitAction::Close => (limiter.charge(key, now), false),
            LimitAction::Delay if Turn::is_room(self) => (
                limiter.charge_or_wait(key, now, settings.longest_delay),
                false,
            ),
            LimitAction::Delay => (limiter.charge(key, now), true),
        };
        let (wait, why) = match verdict {
            Verdict::Within { owes } => return Judge::Within(owes),
            Verdict::Later { wait } => match Turn::take(self, wait) {
                Some(turn) => return Judge::Later(turn),
                None => (wait, Why::NoRoomToWait),
            },
            Verdict::Over { wait } if full => (wait, Why::NoRoomToWait),
            Verdict::Over { wait } => (wait, Why::Spent),
        };
        Judge::Over(Limited::new(self, wait, why))
    }

    fn is_for(&self, story: &Story) -> bool {
        let methods = &self.settings.methods;
        let method = story.head.method_bytes();
        (methods.is_empty() || methods.iter().any(|of| of.as_bytes() == method))
            && self
                .settings
                .pattern()
                .is_none_or(|pattern| pattern.matches(story.path()))
    }

    fn key_of(&self, story: &Story) -> u64 {
        let hash = KeyHash::new(self.seed);
        let hash = self.settings.key.iter().fold(hash, |hash, key| match key {
            LimitKey::Address => address(hash, story.client, 4, 8),
            LimitKey::Prefix => address(hash, story.client, 3, 6),
            LimitKey::Ja4 => {
                let tls = story.connection.tls.as_ref();
                let client = tls.and_then(|tls| tls.fingerprint.as_ref());
                part(hash, client.map(|client| &client.stable.as_bytes()[..]))
            }
            LimitKey::Site => hash,
            // All lines: else a second one would make a client another.
            LimitKey::Header(name) => {
                let mut lines = story.head.named(name.as_str().as_bytes()).peekable();
                match lines.peek() {
                    Some(_) => lines.fold(hash, |hash, line| hash.part(line)),
                    None => hash.missing(),
                }
            }
            LimitKey::Cookie(name) => part(hash, cookie(&story.head, name.as_str())),
            LimitKey::PathPart(number) => {
                let mut parts = story.path().split(|&byte| byte == b'/');
                part(hash, parts.nth(usize::from(*number)))
            }
        });
        hash.finish()
    }
}

/// The first bytes of an address: so many of IPv4, or so many of IPv6.
fn address(hash: KeyHash, address: IpAddr, of_v4: usize, of_v6: usize) -> KeyHash {
    match address.to_canonical() {
        IpAddr::V4(v4) => part(hash, v4.octets().get(..of_v4)),
        IpAddr::V6(v6) => part(hash, v6.octets().get(..of_v6)),
    }
}

fn part(hash: KeyHash, bytes: Option<&[u8]>) -> KeyHash {
    match bytes {
        Some(bytes) => hash.part(bytes),
        None => hash.missing(),
    }
}

impl Judged {
    /// And this turn: whoever has two waits for the later one.
    fn or_later(self, turn: Turn) -> Self {
        match self {
            Self::Later(before) if before.wait() >= turn.wait() => Self::Later(before),
            _ => Self::Later(turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(name: &str, rate: u32) -> RateLimitSettings {
        RateLimitSettings {
            name: name.to_owned(),
            rate: Some(rate),
            keys: 1_024,
            ..RateLimitSettings::default()
        }
    }

    #[test]
    fn a_reload_forgets_nothing_under_limits_that_stay_the_same() {
        let before = SiteLimits::new(&[settings("a", 1), settings("b", 1)], None).unwrap();
        let after = [settings("b", 1), settings("a", 2), settings("c", 1)];
        let after = SiteLimits::new(&after, Some(&before)).unwrap();
        let stays = |at: usize, was: usize| Arc::ptr_eq(&after.0[at], &before.0[was]);
        assert_eq!(
            [stays(0, 1), stays(1, 0), stays(2, 0)],
            [true, false, false]
        );
        assert!(SiteLimits::new(&[], Some(&before)).is_none());
    }

    /// More networks than an attack has, through the table that a site has unless it says otherwise.
    #[test]
    fn a_million_networks_take_no_memory_and_the_heavy_ones_get_what_they_may_have() {
        const HEAVY: u32 = 100;
        let settings = RateLimitSettings {
            key: vec![LimitKey::Prefix],
            keys: RateLimitSettings::default().keys,
            ..settings("networks", 10)
        };
        let limits = SiteLimits::new(&[settings], None).unwrap();
        let limit = &limits.0[0];
        let before = limit.limiter.bytes();
        assert!(before <= 65_536 * 17 + 64 * 4_096, "{before}");
        let ask = |network: u32, host: u32, now: u64| {
            let visitor = std::net::Ipv4Addr::from_bits((network << 8) | (host % 256)).into();
            let key = address(KeyHash::new(limit.seed), visitor, 3, 6).finish();
            matches!(limit.judge(key, now), Judge::Within(_))
        };
        let (mut refused, mut allowed) = (0, [0; HEAVY as usize]);
        for n in 0..1_000_000 {
            let now = u64::from(n) * 10_000; // 100,000 a second, for ten seconds
            refused += u32::from(!ask(HEAVY + n, n, now));
            let heavy = n % HEAVY; // from each of its addresses in turn
            allowed[heavy as usize] += u32::from(ask(heavy, n / HEAVY, now));
        }
        // A whole burst and ten a second; one more where its very first request was forgotten.
        assert!(
            allowed.iter().all(|n| (109..=110).contains(n)),
            "{allowed:?}"
        );
        assert!(refused < 1_000, "{refused} of those who asked once");
        assert_eq!(limit.limiter.bytes(), before);
    }
}
