//! Requests by what kind of path and query they ask for: a table that is as large on the first day as on the last.

use std::fmt;
use std::sync::Arc;

use mangrove_shield::traits::{ENTROPY_CLASSES, PathKind, Shape};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;

use super::{CoreMetrics, Count, Number};

/// By the kind of the path, and what is in the query: nothing there is the first.
#[derive(Debug, Default)]
pub struct Shapes([[Count; QUERIES.len()]; PathKind::ALL.len()]);

/// Labels of queries.
const QUERIES: [&str; ENTROPY_CLASSES + 1] = ["none", "0", "1", "2", "3", "4", "5", "6"];

impl Shapes {
    /// A request is over.
    pub fn note(&self, shape: &Shape) {
        let query = shape
            .query
            .map_or(0, |query| 1 + usize::from(query.entropy));
        if let Some(count) = self.at(shape.path.kind(), query) {
            count.add(1);
        }
    }

    fn at(&self, path: PathKind, query: usize) -> Option<&Count> {
        self.0.get(path as usize)?.get(query)
    }
}

pub(super) fn encode(cores: &[Arc<CoreMetrics>], out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = out.encode_descriptor(
        "mangrove_request_shapes",
        "Requests by what kind of path they ask for, and by the whole bits in each octet of their query's values",
        None,
        MetricType::Counter,
    )?;
    for path in PathKind::ALL {
        for (at, query) in QUERIES.into_iter().enumerate() {
            let counts = cores.iter().filter_map(|core| core.shapes.at(path, at));
            let n = counts.map(Count::value).fold(0, u64::wrapping_add);
            if n > 0 {
                let labels = [("path", path.name()), ("query_entropy", query)];
                Number(n, MetricType::Counter).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}
