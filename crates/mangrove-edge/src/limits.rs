//! A site's rate limits as an edge obeys them.
//!
//! How much a key may have is counted by `mangrove_shield::limits`, in one table for each limit that all cores share: a client's
//! requests come over several connections and so to several cores (record 0020). Here it is read from a request what its key is,
//! and which limits it is for. A site without limits pays one branch.

mod limited;
mod turn;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use mangrove_cache::cookie;
use mangrove_config::{Counts as Counted, LimitAction, LimitKey, RateLimitSettings};
use mangrove_shield::limits::{Counts, Key, KeyHash, Limiter, Verdict};
use mangrove_shield::network::around;

use self::limited::Why;
pub(crate) use self::limited::tell;
pub use self::limited::{Limited, Told};
use self::turn::Place;
pub(crate) use self::turn::Turn;
use crate::log::push_decimal;
use crate::pipeline::Story;

/// All limits of one site, the narrow ones first: who is one too many for his own spends nothing of what others share.
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
        let mut limits: Box<[_]> = limits.collect();
        limits.sort_by_key(|limit| limit.width());
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

    /// Counts a request where it counts at this stage, and says whether it is one too many: then it counts under no other of
    /// this stage. What is left where it is not goes to `told`, of those limits that tell it.
    pub(crate) fn judge(
        &self,
        story: &Story,
        stage: Stage,
        now: u64,
        told: &mut Vec<Told>,
    ) -> Judged {
        let mut judged = Judged::Within;
        let mut delayed = Vec::new();
        let told_before = told.len();
        for (position, limit) in self.0.iter().enumerate() {
            if !limit.judges(story, stage) {
                continue;
            }
            match limit.judge(limit.key_of(story), now) {
                Judge::Within(owes) if limit.settings.tell => told.push(Told::new(limit, owes)),
                Judge::Within(_) => {}
                Judge::Later(turn) => {
                    delayed.push(position);
                    judged = judged.or_later(turn);
                }
                Judge::Over(limited) => {
                    told.truncate(told_before);
                    for (position, limit) in self.0.iter().enumerate().take(position) {
                        if limit.judges(story, stage) {
                            let later = delayed.contains(&position);
                            limit.give_back(limit.key_of(story), now, later);
                        }
                    }
                    return Judged::Over(limited);
                }
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
        let keys = usize::try_from(settings.keys).unwrap_or(usize::MAX);
        let limiter = Limiter::new(settings.limit()?, keys);
        Some(Arc::new(Self {
            limiter: match settings.ttl {
                Some(time) => limiter.holding(time),
                None => limiter,
            },
            settings: settings.clone(),
            seed: [random.hash_one(0_u64), random.hash_one(1_u64)],
            policy: policy(settings)?,
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

    /// How many a key of it stands for: one client, his network, all clients of one software or of one part of the site, or
    /// everybody. Of several parts the narrowest counts.
    fn width(&self) -> u8 {
        let parts = self.settings.key.iter().map(|key| match key {
            LimitKey::Address | LimitKey::Cookie(_) | LimitKey::Header(_) => 0,
            LimitKey::Prefix => 1,
            LimitKey::Ja4 => 2,
            LimitKey::PathPart(_) => 3,
            LimitKey::Site => 4,
        });
        parts.min().unwrap_or(u8::MAX)
    }

    /// Gives a key one more, or a turn, or neither.
    fn judge(self: &Arc<Self>, key: Key, now: u64) -> Judge {
        let limiter = &self.limiter;
        let settings = &self.settings;
        let verdict = match settings.action {
            _ if !settings.statuses.is_empty() => limiter.look(key, now),
            LimitAction::Refuse | LimitAction::Close => limiter.charge(key, now),
            LimitAction::Delay => return self.judge_or_delay(key, now),
        };
        match verdict {
            Verdict::Within { owes } => Judge::Within(owes),
            Verdict::Later { wait } | Verdict::Over { wait } => {
                Judge::Over(Limited::new(self, wait, Why::Spent))
            }
        }
    }

    /// What [`Self::judge`] has just given was for nothing, since another limit refuses. Under one with a `ttl` to have asked is what
    /// counts, and who only counts once he is answered owes nothing yet.
    fn give_back(&self, key: Key, now: u64, later: bool) {
        if self.settings.ttl.is_none() && self.settings.statuses.is_empty() {
            self.limiter.give_back(key, now, later);
        }
    }

    fn judge_or_delay(self: &Arc<Self>, key: Key, now: u64) -> Judge {
        let place = Place::take(self);
        let (patience, why) = match place {
            Some(_) => (self.settings.longest_delay, Why::Spent),
            None => (Duration::ZERO, Why::NoRoomToWait),
        };
        match (self.limiter.charge_or_wait(key, now, patience), place) {
            (Verdict::Within { owes }, _) => Judge::Within(owes),
            (Verdict::Later { wait }, Some(place)) => Judge::Later(Turn::new(place, wait)),
            (Verdict::Later { wait } | Verdict::Over { wait }, _) => {
                Judge::Over(Limited::new(self, wait, why))
            }
        }
    }

    /// Whether it judges this request at this stage.
    fn judges(&self, story: &Story, stage: Stage) -> bool {
        self.stage() == stage && self.is_for(story)
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

    fn key_of(&self, story: &Story) -> Key {
        let hash = KeyHash::new(self.seed);
        let hash = self.settings.key.iter().fold(hash, |hash, key| match key {
            LimitKey::Address => {
                let [address, ..] = around(story.client);
                hash.part(address.bytes())
            }
            LimitKey::Prefix => {
                let [_, network, ..] = around(story.client);
                hash.part(network.bytes())
            }
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
        hash.key()
    }
}

/// What `RateLimit-Policy` tells: so many (`q`) in so many seconds (`w`). Where more may come at once than the rate says, that many,
/// in the time that they take: else more could be left than there is. Seconds are rounded up: who keeps to them is never refused.
fn policy(settings: &RateLimitSettings) -> Option<Box<[u8]>> {
    let rate = settings.rate?;
    let quota = rate.max(settings.burst.unwrap_or(rate));
    let nanos = settings.per.as_nanos().saturating_mul(u128::from(quota));
    let each = u128::from(rate).saturating_mul(1_000_000_000);
    let seconds = nanos.div_ceil(each.max(1));
    let mut policy = format!("\"{}\";q=", settings.name).into_bytes();
    push_decimal(&mut policy, u64::from(quota));
    policy.extend_from_slice(b";w=");
    push_decimal(&mut policy, u64::try_from(seconds).unwrap_or(u64::MAX));
    Some(policy.into())
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

    #[test]
    fn narrow_keys_are_judged_before_wide_ones_and_else_as_written() {
        let keyed = |name: &str, key: &[LimitKey]| RateLimitSettings {
            key: key.to_vec(),
            ..settings(name, 1)
        };
        let limits = SiteLimits::new(
            &[
                keyed("site", &[LimitKey::Site]),
                keyed("part", &[LimitKey::PathPart(1)]),
                keyed("network", &[LimitKey::Prefix]),
                keyed("first", &[LimitKey::Address]),
                keyed("both", &[LimitKey::Prefix, LimitKey::Address]),
                keyed("software", &[LimitKey::Ja4]),
            ],
            None,
        );
        let limits = limits.unwrap();
        let order: Vec<_> = limits.decided().map(|decided| decided.limit).collect();
        assert_eq!(
            order,
            ["first", "both", "network", "software", "part", "site"]
        );
    }

    #[test]
    fn a_policy_tells_no_more_than_there_is_and_no_less_than_is_left() {
        let told = |rate, burst, millis| {
            let settings = RateLimitSettings {
                burst,
                per: Duration::from_millis(millis),
                ..settings("a", rate)
            };
            String::from_utf8(policy(&settings).unwrap().into()).unwrap()
        };
        assert_eq!(told(10, None, 1_000), "\"a\";q=10;w=1");
        assert_eq!(told(10, None, 1_999), "\"a\";q=10;w=2");
        assert_eq!(told(10, Some(5), 60_000), "\"a\";q=10;w=60");
        assert_eq!(told(20, Some(200), 1_000), "\"a\";q=200;w=10");
        assert_eq!(told(3, Some(4), 1_000), "\"a\";q=4;w=2");
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
            let [_, network, ..] = around(visitor);
            let key = KeyHash::new(limit.seed).part(network.bytes()).finish();
            matches!(limit.judge(key.into(), now), Judge::Within(_))
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
