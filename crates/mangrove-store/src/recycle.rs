//! Making room: the oldest slab of a log comes up, what is to stay is written again to main, and the file goes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::disk::read_whole;
use crate::lock::lock;
use crate::object::{Part, Place};
use crate::policy::Fate;
use crate::record::{HEADER, Header, Kind, Log, sum};
use crate::scan;
use crate::slab::{Scan, Slab};
use crate::state::more;
use crate::walk::Walk;
use crate::writer::Writer;

/// Of a slab of main, the share that may stay when it comes up, in quarters: so each gives back at least one.
const STAYS_QUARTERS: u64 = 3;

impl Writer {
    /// Recycles the oldest slab of a log. Unread, everything in it leaves.
    pub(crate) fn recycle(&mut self, log: Log, unread: bool) -> io::Result<()> {
        let Some(slab) = self.log_mut(log).sealed.pop_front() else {
            return Ok(());
        };
        if *lock(&slab.scan) == Scan::Retired {
            return Ok(());
        }
        let outcome = self.move_what_stays(log, &slab, unread);
        if let Err(error) = outcome {
            self.log_mut(log).sealed.push_front(slab);
            return Err(error);
        }
        // From here on nothing is taken from it into the index.
        *lock(&slab.scan) = Scan::Retired;
        // What is left was not met on the way: damaged, not readable any more, or not looked at.
        if slab.live.load(Ordering::Relaxed) > 0 {
            let count = self.inner.index.evict_slab(slab.id);
            more(&self.inner.counts.evicted, count);
        }
        more(&self.inner.counts.slabs_recycled, 1);
        self.inner.index.slabs.forget(slab.id);
        match self.inner.disk.remove(&slab.name.file_name()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Before anything that told of its records goes too.
        self.inner.disk.sync_names()
    }

    fn move_what_stays(&mut self, log: Log, slab: &Arc<Slab>, unread: bool) -> io::Result<()> {
        if unread {
            return Ok(());
        }
        if *lock(&slab.scan) != Scan::Done {
            scan::whole(&self.inner, slab);
        }
        let Ok(mut walk) = Walk::new(Arc::clone(slab), 0) else {
            return Ok(());
        };
        let most = slab.bytes.load(Ordering::Relaxed) / 4 * STAYS_QUARTERS;
        let mut moved = 0;
        // A slab that cannot be read any more leaves as it is.
        while let Ok(Some(header)) = walk.next() {
            if header.kind == Kind::Gone {
                if self.probation_reaches_back(header.sequence) {
                    self.append_moved(header, Bytes::new(), place(slab, &header), 0)?;
                }
                continue;
            }
            let Some(asked) = self.inner.index.asked(&header, slab.id) else {
                continue;
            };
            let fate = lock(&self.inner.policy).fate(log, header.key, asked);
            match fate {
                Fate::Stays(asked) if log == Log::Probation || moved < most => {
                    let Some(payload) = read_payload(slab, &header, self.inner.secret) else {
                        more(&self.inner.counts.damaged, 1);
                        self.let_go(slab, &header);
                        continue;
                    };
                    moved += header.record_bytes();
                    let count = if log == Log::Main {
                        &self.inner.counts.kept_on
                    } else {
                        &self.inner.counts.promoted
                    };
                    more(count, 1);
                    self.append_moved(header, payload, place(slab, &header), asked)?;
                }
                Fate::Stays(_) | Fate::Leaves => {
                    more(&self.inner.counts.evicted, 1);
                    self.let_go(slab, &header);
                }
            }
        }
        // The copies must be there before what they were copied from is not.
        self.write_out(Log::Main)?;
        self.sync()
    }

    fn let_go(&self, slab: &Slab, header: &Header) {
        self.inner.index.evict(
            header.key,
            header.object,
            Part::of(header),
            place(slab, header),
        );
    }
}

fn place(slab: &Slab, header: &Header) -> Place {
    Place::new(slab.id, header.at, header.length)
}

fn read_payload(slab: &Slab, header: &Header, secret: u64) -> Option<Bytes> {
    let mut payload = vec![0; usize::try_from(header.length).ok()?];
    read_whole(&*slab.file, header.at + HEADER as u64, &mut payload).ok()?;
    (sum(secret, &payload) == header.payload_sum).then(|| payload.into())
}
