//! What rate limits have decided: one row for each limit that a site declares, and none for its keys.

use std::fmt;

use mangrove_config::LimitAction;
use mangrove_shield::limits::Counts;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;

use super::Number;
use crate::limits::Decided;

/// What one limit has decided since it began.
#[derive(Debug)]
pub struct LimitFacts {
    site: String,
    limit: String,
    refuses_by: LimitAction,
    counts: Counts,
}

impl LimitFacts {
    /// Of a site's limit.
    pub fn of((site, decided): (&str, Decided<'_>)) -> Self {
        Self {
            site: site.to_owned(),
            limit: decided.limit.to_owned(),
            refuses_by: decided.refuses_by,
            counts: decided.counts,
        }
    }

    /// What became of those who were over, by the word that settings have for it.
    fn over(&self) -> [(&'static str, u64); 2] {
        let refused = match self.refuses_by {
            LimitAction::Close => "close",
            LimitAction::Refuse | LimitAction::Delay => "refuse",
        };
        [("delay", self.counts.later), (refused, self.counts.over)]
    }
}

pub(super) fn encode(limits: &[LimitFacts], out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = out.encode_descriptor(
        "mangrove_rate_limit_seen",
        "Requests that a rate limit has judged, by site and limit",
        None,
        MetricType::Counter,
    )?;
    for facts in limits {
        let labels = [("site", &*facts.site), ("limit", &*facts.limit)];
        Number(facts.counts.seen, MetricType::Counter).encode(family.encode_family(&labels)?)?;
    }
    let mut family = out.encode_descriptor(
        "mangrove_rate_limit_over",
        "Of these, those that were one too many, by what became of them",
        None,
        MetricType::Counter,
    )?;
    for facts in limits {
        for (action, n) in facts.over() {
            let labels = [
                ("site", &*facts.site),
                ("limit", &*facts.limit),
                ("action", action),
            ];
            if n > 0 {
                Number(n, MetricType::Counter).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}
