//! Who does the work: a few threads beside the cores, behind a queue that is never long.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::oneshot;

use super::{Coding, NotEncoded, encode};

/// The most jobs that wait; with one more, the content stays as it is.
pub const QUEUE_JOBS: usize = 256;
/// The most bytes of content that waits or is being coded. One larger object is taken on when there is nothing else.
pub const QUEUE_BYTES: u64 = 32 << 20;
/// Cores to which one thread is given.
pub(crate) const CORES_PER_THREAD: usize = 4;
/// How much these threads stand back for the cores, as `nice` counts: a core that has work comes before them.
pub(crate) const STAND_BACK: i32 = 10;

/// How many threads go with so many cores: one for four, at least one.
pub fn threads_for(cores: usize) -> usize {
    cores.div_ceil(CORES_PER_THREAD).max(1)
}

/// Codes content on threads of its own. Dropping it lets queued work end as unwanted; what is under way stops within a step.
pub struct Compressor {
    shared: Arc<Shared>,
}

/// There is too much to do already: [`QUEUE_JOBS`] or [`QUEUE_BYTES`]. The content stays as it is; ask again with the next
/// hit on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the compression queue is full: the content stays as it is")]
pub struct QueueFull;

/// Work that was taken on: a future, on whatever runtime, of the coded pieces. Dropping it cancels the work.
#[derive(Debug)]
pub struct Encoding {
    result: oneshot::Receiver<Result<Vec<Bytes>, NotEncoded>>,
    coding: Coding,
}

/// What has become of all work so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs that ended with coded content.
    pub encoded: u64,
    /// Bytes of content of those.
    pub bytes_before: u64,
    /// Bytes of the coded content.
    pub bytes_after: u64,
    /// Jobs that ended as [`NotEncoded::NotSmaller`].
    pub not_smaller: u64,
    /// Jobs that nobody waited for any more.
    pub unwanted: u64,
    /// Jobs whose coder failed or panicked.
    pub failed: u64,
    /// Jobs refused as [`QueueFull`].
    pub queue_full: u64,
}

struct Shared {
    queue: Mutex<Queue>,
    comes: Condvar,
    counts: Tallies,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Bytes of content of these and of the jobs under way.
    bytes: u64,
    closed: bool,
}

struct Job {
    coding: Coding,
    level: u8,
    content: Box<dyn AsRef<[Bytes]> + Send>,
    length: u64,
    result: oneshot::Sender<Result<Vec<Bytes>, NotEncoded>>,
}

#[derive(Debug, Default)]
struct Tallies {
    encoded: AtomicU64,
    bytes_before: AtomicU64,
    bytes_after: AtomicU64,
    not_smaller: AtomicU64,
    unwanted: AtomicU64,
    failed: AtomicU64,
    queue_full: AtomicU64,
}

impl Compressor {
    /// Starts so many threads (at least one). Fails when the system gives none.
    pub fn start(threads: usize) -> io::Result<Self> {
        let compressor = Self::without_threads();
        for _ in 0..threads.max(1) {
            let shared = Arc::clone(&compressor.shared);
            thread::Builder::new()
                .name("compress".to_owned())
                .spawn(move || {
                    // Standing back is a kindness: without it the work is done all the same.
                    let _ = rustix::process::nice(STAND_BACK);
                    work(&shared);
                })?;
        }
        Ok(compressor)
    }

    fn without_threads() -> Self {
        Self {
            shared: Arc::new(Shared {
                queue: Mutex::default(),
                comes: Condvar::new(),
                counts: Tallies::default(),
            }),
        }
    }

    /// Takes on the coding of `content`, at a [`Coding::level`], or refuses at once: never waits.
    ///
    /// `content` lends its pieces until the work is done, and is dropped then: content of a slot comes with the slot, so that
    /// its weight counts for as long. What comes out is in pieces of [`CHUNK_BYTES`](crate::body::CHUNK_BYTES) but for the
    /// last.
    pub fn encode(
        &self,
        coding: Coding,
        level: u8,
        content: impl AsRef<[Bytes]> + Send + 'static,
    ) -> Result<Encoding, QueueFull> {
        let length = content
            .as_ref()
            .iter()
            .map(|piece| piece.len() as u64)
            .sum();
        let (sender, result) = oneshot::channel();
        let mut queue = self.shared.lock();
        let fits = queue.bytes == 0 || queue.bytes.saturating_add(length) <= QUEUE_BYTES;
        if queue.jobs.len() >= QUEUE_JOBS || !fits {
            drop(queue);
            add(&self.shared.counts.queue_full, 1);
            return Err(QueueFull);
        }
        queue.bytes += length;
        queue.jobs.push_back(Job {
            coding,
            level,
            content: Box::new(content),
            length,
            result: sender,
        });
        drop(queue);
        self.shared.comes.notify_one();
        Ok(Encoding { result, coding })
    }

    /// What has become of all work so far.
    pub fn counts(&self) -> Counts {
        let counts = &self.shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            encoded: read(&counts.encoded),
            bytes_before: read(&counts.bytes_before),
            bytes_after: read(&counts.bytes_after),
            not_smaller: read(&counts.not_smaller),
            unwanted: read(&counts.unwanted),
            failed: read(&counts.failed),
            queue_full: read(&counts.queue_full),
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Compressor")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        let waiting = {
            let mut queue = self.shared.lock();
            queue.closed = true;
            std::mem::take(&mut queue.jobs)
        };
        self.shared.comes.notify_all();
        drop(waiting); // with no lock held: it wakes whoever waits
    }
}

impl Future for Encoding {
    type Output = Result<Vec<Bytes>, NotEncoded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let coding = self.coding;
        Pin::new(&mut self.result).poll(context).map(|result| {
            // Nothing is sent by a coder that panicked, and by a pool that ends.
            result.unwrap_or_else(|gone| {
                Err(NotEncoded::Failed {
                    coding,
                    source: io::Error::other(gone),
                })
            })
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, once there is one; none when the pool ends.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            queue = self
                .comes
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

fn work(shared: &Shared) {
    while let Some(job) = shared.next() {
        run(shared, job, &|coding, level, content, wanted| {
            encode(coding, level, content, wanted)
        });
    }
}

type Work = dyn Fn(Coding, u8, &[Bytes], &dyn Fn() -> bool) -> Result<Vec<Bytes>, NotEncoded>;

/// Does one job. A coder that panics costs the job, not the thread.
fn run(shared: &Shared, job: Job, encode: &Work) {
    let Job {
        coding,
        level,
        content,
        length,
        result,
    } = job;
    let wanted = || !result.is_closed() && !shared.is_closed();
    let encoded = match wanted() {
        true => catch_unwind(AssertUnwindSafe(|| {
            encode(coding, level, (*content).as_ref(), &wanted)
        })),
        false => Ok(Err(NotEncoded::Unwanted)),
    };
    drop(content);
    shared.lock().bytes -= length;
    let counts = &shared.counts;
    match &encoded {
        Ok(Ok(pieces)) => {
            let after = pieces.iter().map(|piece| piece.len() as u64).sum();
            add(&counts.encoded, 1);
            add(&counts.bytes_before, length);
            add(&counts.bytes_after, after);
        }
        Ok(Err(NotEncoded::NotSmaller)) => add(&counts.not_smaller, 1),
        Ok(Err(NotEncoded::Unwanted)) => add(&counts.unwanted, 1),
        Ok(Err(NotEncoded::Failed { .. })) | Err(_) => add(&counts.failed, 1),
    }
    if let Ok(encoded) = encoded {
        // Whoever waited may have gone just now.
        let _ = result.send(encoded);
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::super::encode::tests::{decode, markup};
    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    fn content(length: usize) -> Vec<Bytes> {
        vec![Bytes::from(markup(length))]
    }

    fn run_next(compressor: &Compressor) {
        let job = compressor.shared.next().expect("a job waits");
        run(
            &compressor.shared,
            job,
            &|coding, level, content, wanted| encode(coding, level, content, wanted),
        );
    }

    #[test]
    fn what_comes_back_is_the_content() {
        let compressor = Compressor::start(2).unwrap();
        let work: Vec<_> = (0..12)
            .map(|n| {
                let coding = Coding::ALL[n % 3];
                let content = content(10_000 * (n + 1));
                (
                    coding,
                    content.concat(),
                    compressor.encode(coding, 3, content).unwrap(),
                )
            })
            .collect();
        for (coding, content, encoding) in work {
            let coded = block_on(encoding).unwrap();
            assert_eq!(decode(coding, &coded), content);
        }
        let counts = compressor.counts();
        assert_eq!((counts.encoded, counts.bytes_before), (12, 780_000));
        assert!(counts.bytes_after < counts.bytes_before / 2);
    }

    #[test]
    fn content_that_is_empty_or_gets_no_smaller_says_so() {
        let compressor = Compressor::start(1).unwrap();
        let encoding = compressor.encode(Coding::Zstd, 3, Vec::new()).unwrap();
        assert!(matches!(block_on(encoding), Err(NotEncoded::NotSmaller)));
        assert_eq!(compressor.counts().not_smaller, 1);
    }

    #[test]
    fn one_job_past_the_queue_is_refused_and_counted() {
        let compressor = Compressor::without_threads();
        let mut waiting = Vec::new();
        for _ in 0..QUEUE_JOBS {
            waiting.push(compressor.encode(Coding::Gzip, 3, content(600)).unwrap());
        }
        assert_eq!(
            compressor.encode(Coding::Gzip, 3, content(600)).err(),
            Some(QueueFull)
        );
        assert_eq!(compressor.counts().queue_full, 1);
        run_next(&compressor);
        assert!(compressor.encode(Coding::Gzip, 3, content(600)).is_ok());
    }

    #[test]
    fn one_byte_past_the_queue_is_refused_until_the_work_is_done() {
        let compressor = Compressor::without_threads();
        let half = Bytes::from(vec![0; usize::try_from(QUEUE_BYTES / 2).unwrap()]);
        let first = compressor
            .encode(Coding::Zstd, 3, vec![half.clone()])
            .unwrap();
        let rest = compressor.encode(Coding::Zstd, 3, vec![half]);
        assert!(rest.is_ok(), "exactly full");
        let one = || vec![Bytes::from_static(b"x")];
        assert_eq!(
            compressor.encode(Coding::Zstd, 3, one()).err(),
            Some(QueueFull)
        );
        drop(first);
        run_next(&compressor);
        assert!(compressor.encode(Coding::Zstd, 3, one()).is_ok());
    }

    #[test]
    fn one_object_larger_than_the_queue_is_taken_on_alone() {
        let compressor = Compressor::without_threads();
        let large = || {
            vec![Bytes::from(vec![
                0;
                usize::try_from(QUEUE_BYTES).unwrap() + 1
            ])]
        };
        let waiting = compressor.encode(Coding::Zstd, 1, large()).unwrap();
        assert_eq!(
            compressor.encode(Coding::Zstd, 1, large()).err(),
            Some(QueueFull)
        );
        run_next(&compressor);
        assert!(block_on(waiting).is_ok());
    }

    #[test]
    fn what_is_dropped_is_not_done() {
        let compressor = Compressor::without_threads();
        drop(compressor.encode(Coding::Br, 3, content(100_000)).unwrap());
        run_next(&compressor);
        assert_eq!(
            (compressor.counts().unwanted, compressor.counts().encoded),
            (1, 0)
        );
        assert_eq!(compressor.shared.lock().bytes, 0);
    }

    #[test]
    fn whoever_waits_when_the_pool_ends_is_told() {
        let compressor = Compressor::without_threads();
        let waiting = compressor.encode(Coding::Br, 3, content(100_000)).unwrap();
        drop(compressor);
        assert!(matches!(block_on(waiting), Err(NotEncoded::Failed { .. })));
    }

    #[test]
    fn a_coder_that_panics_costs_its_job_alone() {
        let compressor = Compressor::without_threads();
        let waiting = compressor.encode(Coding::Br, 3, content(1_000)).unwrap();
        let job = compressor.shared.next().unwrap();
        run(&compressor.shared, job, &|_, _, _, _| panic!("on purpose"));
        assert!(matches!(block_on(waiting), Err(NotEncoded::Failed { .. })));
        assert_eq!(compressor.counts().failed, 1);
        assert_eq!(compressor.shared.lock().bytes, 0);
    }

    #[test]
    fn the_pieces_are_let_go_when_the_work_is_done() {
        let compressor = Compressor::without_threads();
        let piece = Bytes::from(markup(10_000));
        let encoding = compressor
            .encode(Coding::Zstd, 3, vec![piece.clone()])
            .unwrap();
        assert!(!piece.is_unique());
        run_next(&compressor);
        assert!(piece.is_unique());
        drop(encoding);
    }

    #[test]
    fn threads_end_with_the_pool() {
        let compressor = Compressor::start(2).unwrap();
        let shared = Arc::downgrade(&compressor.shared);
        let encoding = compressor.encode(Coding::Gzip, 3, content(10_000)).unwrap();
        block_on(encoding).unwrap();
        drop(compressor);
        while shared.strong_count() > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn one_thread_for_four_cores() {
        assert_eq!([0, 1, 4, 5, 64].map(threads_for), [1, 1, 1, 2, 16]);
    }
}
