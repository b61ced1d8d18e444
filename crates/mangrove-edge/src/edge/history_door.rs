//! The operator's door to what was asked over time.

use serde_json::{Map, Value, json};

use super::parameters::{Parameter, Parameters};
use super::{CoreHandle, Edge};
use crate::admin::Reply;
use crate::cache::CacheResult;
use crate::history::{History, MINUTES, STEP, Tally};

/// Minutes that are told of unless somebody says otherwise.
const USUAL: usize = 60;

impl Edge {
    /// `GET /cache/history?minutes=N`: requests and bytes of each of the last minutes, by what the cache did.
    pub fn cache_history(&self, query: Option<&[u8]>) -> Reply {
        let minutes = match wanted(query) {
            Ok(minutes) => minutes,
            Err(refused) => return refused,
        };
        self.note_history();
        let (history, now) = (self.history.borrow(), self.clock.now());
        let mut told = tell(&history, minutes);
        let left = history.left(now);
        told.extend([
            ("began".into(), self.clock.wall_of(history.began()).0.into()),
            ("now".into(), self.clock.wall_of(now).0.into()),
            ("seconds_a_step".into(), STEP.as_secs().into()),
            (
                "seconds_under_way".into(),
                STEP.saturating_sub(left).as_secs().into(),
            ),
        ]);
        Reply::json(200, &Value::Object(told))
    }

    /// What the cores have counted until now.
    pub(super) fn tally(&self) -> Tally {
        let of_core = |core: &CoreHandle| core.metrics.cache_tally();
        Tally::of_all(self.cores.iter().map(of_core))
    }

    fn note_history(&self) {
        let (now, totals) = (self.clock.now(), self.tally());
        self.history.borrow_mut().note(now, &totals);
    }

    /// Closes each minute as it ends.
    pub(super) async fn keep_history(&self) {
        loop {
            let left = self.history.borrow().left(self.clock.now());
            tokio::time::sleep(left).await;
            self.note_history();
        }
    }
}

fn wanted(query: Option<&[u8]>) -> Result<usize, Reply> {
    let said = Parameters::read(query, &[Parameter::Value("minutes")])?;
    match said.value("minutes").map(str::parse) {
        None => Ok(USUAL),
        Some(Ok(minutes)) if (1..=MINUTES).contains(&minutes) => Ok(minutes),
        Some(_) => {
            let why = format!("minutes is a number from 1 to {MINUTES}: a day is remembered");
            Err(Reply::error(400, why))
        }
    }
}

/// Rows by name, each from the oldest minute to the one under way.
fn tell(history: &History, minutes: usize) -> Map<String, Value> {
    let row = |of: fn(&Tally) -> &[u64; CacheResult::ALL.len()]| {
        let rows = CacheResult::ALL.iter().enumerate().map(|(at, result)| {
            let minutes = history.last(minutes);
            let row: Vec<u64> = minutes
                .filter_map(|tally| of(tally).get(at).copied())
                .collect();
            (result.name().to_owned(), json!(row))
        });
        Value::Object(rows.collect())
    };
    [
        ("requests".to_owned(), row(|tally| &tally.requests)),
        ("bytes".to_owned(), row(|tally| &tally.bytes)),
    ]
    .into_iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use mangrove_http::Moment;

    use super::*;

    #[test]
    fn one_minute_more_than_a_day_is_refused() {
        let of = |minutes: &str| wanted(Some(format!("minutes={minutes}").as_bytes()));
        assert_eq!(wanted(None).unwrap(), USUAL);
        assert_eq!(of("1440").unwrap(), MINUTES);
        for wrong in ["1441", "0", "-1", "x"] {
            assert_eq!(of(wrong).unwrap_err().status(), 400, "{wrong}");
        }
    }

    #[test]
    fn each_result_has_its_row() {
        let mut history = History::new(Moment(0));
        let mut totals = Tally::default();
        for (minute, (hit, miss)) in [(1, (1, 2)), (2, (4, 8))] {
            (totals.requests[0], totals.requests[3], totals.bytes[0]) = (hit, miss, hit * 10);
            history.note(Moment(minute * 60_000), &totals);
        }
        let told = tell(&history, 3);
        assert_eq!(told["requests"]["hit"], json!([1, 3, 0]));
        assert_eq!(told["requests"]["miss"], json!([2, 6, 0]));
        assert_eq!(told["bytes"]["hit"], json!([10, 30, 0]));
        assert_eq!(told["requests"]["refused"], json!([0, 0, 0]));
    }
}
