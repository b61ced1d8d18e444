//! After a start: what the slabs hold goes into the index, at a bounded rate, while the store is already in use.
//!
//! The main log comes first, because graves lie there; within a log the newest slab, because its objects replace older ones.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::disk::read_whole;
use crate::lock::lock;
use crate::object::{Origin, Place};
use crate::record::{Header, Kind, SLAB_HEADER, SLAB_HEADER_BYTES};
use crate::slab::{Scan, Slab};
use crate::state::{Inner, more};
use crate::walk::Walk;
use crate::words::Subject;
use crate::writer::Next;

/// Records taken in between two looks at the clock. Also how long the writer may have to wait for a slab that comes up.
const RECORDS_A_STEP: u32 = 256;
/// The scanner's place among the threads that the store's condition watches.
const SCANNER_THREAD: usize = 1;

/// What is left to scan.
#[derive(Debug)]
pub(crate) struct Scanner {
    inner: Arc<Inner>,
    slabs: VecDeque<Arc<Slab>>,
    walk: Option<(Arc<Slab>, Walk)>,
    began: Duration,
    read: u64,
    over: bool,
}

impl Scanner {
    pub(crate) fn new(inner: Arc<Inner>, mut slabs: Vec<Arc<Slab>>) -> Scanner {
        slabs.sort_unstable_by_key(|slab| {
            std::cmp::Reverse((slab.name.log, slab.name.epoch, slab.name.number))
        });
        let counts = &inner.counts;
        counts
            .scan_slabs
            .store(slabs.len() as u64, Ordering::Relaxed);
        let bytes = slabs
            .iter()
            .map(|slab| slab.bytes.load(Ordering::Relaxed))
            .sum();
        counts.scan_bytes.store(bytes, Ordering::Relaxed);
        let began = inner.clock.now();
        Scanner {
            inner,
            slabs: slabs.into(),
            walk: None,
            began,
            read: 0,
            over: false,
        }
    }

    /// When, on the store's clock.
    pub(crate) fn began(&self) -> Duration {
        self.began
    }

    /// Takes some more records in. None once all are.
    pub(crate) fn step(&mut self) -> Option<Next> {
        if self.over {
            return None;
        }
        let inner = Arc::clone(&self.inner);
        let now = inner.clock.now();
        // What was read may be read in so long; nothing before that.
        let due = self.began
            + Duration::from_secs_f64(self.read as f64 / inner.settings.scan_rate as f64);
        if now < due {
            return Some(Next::At(due));
        }
        let _calling = inner.condition.calling(SCANNER_THREAD, now);
        let Some((slab, mut walk)) = self.walk.take().or_else(|| self.next_slab()) else {
            inner.index.scanned(inner.first_id());
            let took = inner.clock.now().saturating_sub(self.began).as_nanos();
            let took = u64::try_from(took).unwrap_or(u64::MAX);
            inner.counts.scan_nanos.store(took, Ordering::Relaxed);
            inner.counts.scan_over.store(1, Ordering::Release);
            self.over = true;
            return None;
        };
        let before = (walk.read, walk.damaged, walk.at());
        let mut state = lock(&slab.scan);
        let more_to_come = match *state {
            Scan::At(_) => {
                let outcome = take_in(&inner, &slab, &mut walk, RECORDS_A_STEP);
                *state = match outcome {
                    Ok(true) => Scan::At(walk.at()),
                    Ok(false) | Err(_) => Scan::Done,
                };
                matches!(outcome, Ok(true))
            }
            Scan::Done | Scan::Retired => false,
        };
        drop(state);
        self.read += walk.read - before.0;
        let counts = &inner.counts;
        more(&counts.scan_bytes_read, walk.read - before.0);
        more(&counts.scan_damaged, walk.damaged - before.1);
        more(&counts.scan_bytes_done, walk.at().saturating_sub(before.2));
        if more_to_come {
            self.walk = Some((slab, walk));
        } else {
            // Its writer may have been killed before it did this; if it cannot be done, a power loss may cost what is in it.
            let _ = slab.sync();
            more(&counts.scan_slabs_done, 1);
            let all = slab.bytes.load(Ordering::Relaxed);
            more(
                &counts.scan_bytes_done,
                all.saturating_sub(walk.at().max(SLAB_HEADER)),
            );
        }
        Some(Next::Now)
    }

    fn next_slab(&mut self) -> Option<(Arc<Slab>, Walk)> {
        loop {
            let slab = self.slabs.pop_front()?;
            let headed = is_headed(&self.inner, &slab);
            let walk = Walk::new(Arc::clone(&slab), 0);
            match (headed, walk) {
                (Ok(true), Ok(walk)) if slab.bytes.load(Ordering::Relaxed) > SLAB_HEADER => {
                    more(&self.inner.counts.scan_bytes_done, SLAB_HEADER);
                    return Some((slab, walk));
                }
                // Empty, or not what its name says.
                (Ok(headed), _) => {
                    more(&self.inner.counts.scan_damaged, u64::from(!headed));
                    self.discard(&slab);
                }
                // What cannot be read now is left where it is.
                (Err(_), _) => more(&self.inner.counts.read_failures, 1),
            }
            more(&self.inner.counts.scan_slabs_done, 1);
            more(
                &self.inner.counts.scan_bytes_done,
                slab.bytes.load(Ordering::Relaxed),
            );
        }
    }

    fn discard(&self, slab: &Slab) {
        let mut state = lock(&slab.scan);
        if *state != Scan::Retired {
            *state = Scan::Retired;
            slab.bytes.store(0, Ordering::Relaxed);
            self.inner.index.slabs.forget(slab.id);
            let _ = self.inner.disk.remove(&slab.name.file_name());
        }
    }
}

/// Takes in all records of a slab that comes up before its turn.
pub(crate) fn whole(inner: &Inner, slab: &Arc<Slab>) {
    let mut state = lock(&slab.scan);
    if let Scan::At(at) = *state {
        if let (Ok(true), Ok(mut walk)) = (is_headed(inner, slab), Walk::new(Arc::clone(slab), at))
        {
            while matches!(take_in(inner, slab, &mut walk, u32::MAX), Ok(true)) {}
            more(&inner.counts.scan_damaged, walk.damaged);
        }
        *state = Scan::Done;
    }
}

fn is_headed(inner: &Inner, slab: &Slab) -> io::Result<bool> {
    let mut there = [0; SLAB_HEADER_BYTES];
    match read_whole(&*slab.file, 0, &mut there) {
        Ok(()) => Ok(there == slab.name.header(inner.secret)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes some records in; whether there are more.
fn take_in(inner: &Inner, slab: &Slab, walk: &mut Walk, records: u32) -> io::Result<bool> {
    for _ in 0..records {
        let Some(header) = walk.next()? else {
            return Ok(false);
        };
        more(&inner.counts.scan_records, 1);
        take_in_one(inner, slab, &header);
    }
    Ok(true)
}

fn take_in_one(inner: &Inner, slab: &Slab, header: &Header) {
    if header.kind == Kind::Gone {
        let variant = (!header.every_variant).then_some(header.variant);
        inner.index.bury(header.key, variant, header.object);
        return;
    }
    // A chunk's birth says nothing: a newer head may have made its object younger.
    let subject = Subject {
        key: header.key,
        variant: header.variant,
        site: header.site,
        born: header.born,
    };
    if header.kind == Kind::Head && !inner.is_alive(&subject) {
        return;
    }
    inner.index.land(
        header,
        Place::new(slab.id, header.at, header.length),
        Origin::Recovered,
    );
}
