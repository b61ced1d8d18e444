//! A site's rate limits as an edge obeys them.
//!
//! How much a key may have is counted by `mangrove_shield::limits`, in one table for each limit that all cores share: a client's
//! requests come over several connections and so to several cores (record 0020). Here it is read from a request what its key is,
//! and which limits it is for. A site without limits pays one branch.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mangrove_cache::cookie;
use mangrove_config::{Counts, LimitAction, LimitKey, RateLimitSettings};
use mangrove_shield::limits::{KeyHash, Limiter, Verdict};

use crate::log::push_decimal;
use crate::pipeline::Story;
use crate::reason::{EdgeReason, Reason};

/// All limits of one site.
#[derive(Debug)]
pub struct SiteLimits(Box<[Arc<SiteLimit>]>);

/// One limit, and who owes how much under it.
#[derive(Debug)]
pub struct SiteLimit {
    settings: RateLimitSettings,
    limiter: Limiter,
    seed: [u64; 2],
    /// The value of `RateLimit-Policy`.
    policy: Box<[u8]>,
}

/// A request that was one too many.
#[derive(Clone, Debug)]
pub struct Limited {
    limit: Arc<SiteLimit>,
    wait: Duration,
}

/// When a request is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has been read.
    Asked,
    /// The cache does not answer it from what it keeps.
    Missed,
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

    /// Counts a request where it counts at this stage, and says whether it is one too many.
    pub(crate) fn judge(&self, story: &Story, stage: Stage, now: u64) -> Option<Limited> {
        self.0.iter().find_map(|limit| {
            let at = match limit.settings.counts {
                Counts::All => Stage::Asked,
                Counts::Misses => Stage::Missed,
            };
            if at != stage || !limit.is_for(story) {
                return None;
            }
            let key = limit.key_of(story);
            let verdict = match limit.settings.statuses.is_empty() {
                true => limit.limiter.charge(key, now),
                false => limit.limiter.look(key, now),
            };
            match verdict {
                Verdict::Within => None,
                Verdict::Over { wait } => Some(Limited {
                    limit: Arc::clone(limit),
                    wait,
                }),
            }
        })
    }

    /// Counts a request where its answer makes it count.
    pub(crate) fn answered(&self, story: &Story, status: u16, now: u64) {
        for limit in &self.0 {
            let statuses = &limit.settings.statuses;
            if statuses
                .iter()
                .any(|range| (range.first..=range.last).contains(&status))
                && limit.is_for(story)
            {
                limit.limiter.note(limit.key_of(story), now);
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
        Some(Arc::new(Self {
            limiter: Limiter::new(
                settings.limit()?,
                usize::try_from(settings.keys).unwrap_or(usize::MAX),
            ),
            settings: settings.clone(),
            seed: [random.hash_one(0_u64), random.hash_one(1_u64)],
            policy: policy.into(),
        }))
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

impl Limited {
    /// What it is called everywhere.
    pub fn reason(&self) -> Reason {
        match self.limit.settings.action {
            LimitAction::Refuse => EdgeReason::RateLimited.into(),
            LimitAction::Close => EdgeReason::RateLimitedClosed.into(),
        }
    }

    /// How long until the client may ask again.
    pub fn wait(&self) -> Duration {
        self.wait
    }

    /// The limit's name.
    pub fn name(&self) -> &str {
        &self.limit.settings.name
    }

    /// The fields that tell the client of it (draft-ietf-httpapi-ratelimit-headers-10; RFC 9110 section 10.2.3).
    pub fn tell(&self, mut field: impl FnMut(&'static [u8], &[u8])) {
        let seconds = self.wait.as_nanos().div_ceil(1_000_000_000);
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        let mut value = format!("\"{}\";r=0;t=", self.name()).into_bytes();
        push_decimal(&mut value, seconds);
        field(b"ratelimit-policy", &self.limit.policy);
        field(b"ratelimit", &value);
        value.clear();
        push_decimal(&mut value, seconds);
        field(b"retry-after", &value);
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
}
