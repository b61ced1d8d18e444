//! The access log: NDJSON under OpenTelemetry's attribute names, through a bounded queue.
//!
//! A core writes lines into its own batch and hands batches to one writer thread. A slow or full
//! disk costs lines, which are counted, never a request.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mangrove_http::contains;

use crate::metrics::CoreMetrics;

/// A core's batch is handed over when it has grown to this, or at the next turn of its clock.
pub const BATCH_BYTES: usize = 32 * 1024;
/// No line is longer than this: user agents and targets are cut before they are written.
pub const LINE_BYTES: usize = 16 * 1024;
/// How much of one text field (path, query, user agent, referer) is written.
pub const FIELD_BYTES: usize = 2 * 1024;

/// Empty batches that are kept to be filled again: pages that come and go with each batch cost a core more than its lines.
pub(crate) const SPARE_BATCHES: usize = 8;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file, reopened on demand.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// Nowhere.
    Off,
}

/// The writer's end, shared by all cores.
#[derive(Clone, Debug)]
pub struct LogQueue {
    sender: Option<SyncSender<Message>>,
    spares: Arc<Spares>,
    waiting: Arc<AtomicU64>,
    ceiling: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

/// Empty batches on their way back from the writer.
#[derive(Debug, Default)]
struct Spares(Mutex<Vec<Vec<u8>>>);

impl Spares {
    /// One of them, or a new one.
    fn take(&self) -> Vec<u8> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BATCH_BYTES + LINE_BYTES))
    }

    /// Keeps it, if there is room.
    fn put(&self, mut batch: Vec<u8>) {
        batch.clear();
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < SPARE_BATCHES {
            spares.push(batch);
        }
    }
}

#[derive(Debug)]
enum Message {
    Lines(Vec<u8>, u64),
    Reopen,
    Target(Target),
    Flush(SyncSender<()>),
}

/// How many messages may wait beside the ceiling in bytes.
pub(crate) const QUEUE_MESSAGES: usize = 16 * 1024;

impl LogQueue {
    /// Starts the writer thread. `ceiling` bounds the bytes that wait for it.
    pub fn start(target: Target, ceiling: u64) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE_MESSAGES);
        let queue = Self {
            sender: Some(sender),
            spares: Arc::default(),
            waiting: Arc::default(),
            ceiling: Arc::new(AtomicU64::new(ceiling)),
            written: Arc::default(),
            failed: Arc::default(),
        };
        let mut writer = Writer {
            target,
            out: None,
            spares: Arc::clone(&queue.spares),
            waiting: Arc::clone(&queue.waiting),
            written: Arc::clone(&queue.written),
            failed: Arc::clone(&queue.failed),
        };
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.run(&receiver))?;
        Ok(queue)
    }

    /// A queue that takes lines and keeps none, for tests and `to = "off"`.
    pub fn nowhere() -> Self {
        Self {
            sender: None,
            spares: Arc::default(),
            waiting: Arc::default(),
            ceiling: Arc::default(),
            written: Arc::default(),
            failed: Arc::default(),
        }
    }

    /// Closes the file and opens its name again, for log rotation.
    pub fn reopen(&self) {
        if let Some(sender) = &self.sender {
            let _ = sender.try_send(Message::Reopen);
        }
    }

    /// From now on, lines go to `target`.
    pub fn retarget(&self, target: Target) {
        if let Some(sender) = &self.sender {
            let _ = sender.try_send(Message::Target(target));
        }
    }

    /// From now on, at most so many bytes wait.
    pub fn set_ceiling(&self, bytes: u64) {
        self.ceiling.store(bytes, Ordering::Relaxed);
    }

    /// Lines that reached the target.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines the target refused: a full disk, a closed pipe.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Waits until what was sent before is written, or `at_most` has passed.
    pub fn flush(&self, at_most: Duration) {
        if let Some(sender) = &self.sender {
            let (done, wait) = sync_channel(1);
            if sender.try_send(Message::Flush(done)).is_ok() {
                let _ = wait.recv_timeout(at_most);
            }
        }
    }

    fn send(&self, batch: Vec<u8>, lines: u64) -> Result<(), u64> {
        let Some(sender) = &self.sender else {
            return Ok(());
        };
        let bytes = batch.len() as u64;
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes
            > self.ceiling.load(Ordering::Relaxed)
            || sender.try_send(Message::Lines(batch, lines)).is_err()
        {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            return Err(lines);
        }
        Ok(())
    }
}

/// One core's end.
#[derive(Debug)]
pub struct CoreLog {
    queue: LogQueue,
    batch: RefCell<(Vec<u8>, u64)>,
}

impl CoreLog {
    /// An empty batch for `queue`.
    pub fn new(queue: LogQueue) -> Self {
        Self {
            queue,
            batch: RefCell::default(),
        }
    }

    /// Adds one line, written by `write` without its line end.
    pub fn line(&self, metrics: &CoreMetrics, write: impl FnOnce(&mut Vec<u8>)) {
        if self.queue.sender.is_none() {
            return;
        }
        let full = {
            let mut batch = self.batch.borrow_mut();
            if batch.0.capacity() == 0 {
                batch.0 = self.queue.spares.take();
            }
            let start = batch.0.len();
            write(&mut batch.0);
            if batch.0.len() == start {
                return;
            }
            batch.0.push(b'\n');
            batch.1 += 1;
            batch.0.len() >= BATCH_BYTES
        };
        if full {
            self.hand_over(metrics);
        }
    }

    /// Hands the batch to the writer; what it cannot take is counted as dropped.
    pub fn hand_over(&self, metrics: &CoreMetrics) {
        let (batch, lines) = std::mem::take(&mut *self.batch.borrow_mut());
        if lines > 0
            && let Err(dropped) = self.queue.send(batch, lines)
        {
            metrics.log_dropped.add(dropped);
        }
    }
}

struct Writer {
    target: Target,
    out: Option<File>,
    spares: Arc<Spares>,
    waiting: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl Writer {
    fn run(&mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.recv() {
            match message {
                Message::Lines(batch, lines) => {
                    let counter = if self.write(&batch).is_ok() {
                        &self.written
                    } else {
                        &self.failed
                    };
                    counter.fetch_add(lines, Ordering::Relaxed);
                    self.waiting
                        .fetch_sub(batch.len() as u64, Ordering::Relaxed);
                    self.spares.put(batch);
                }
                Message::Reopen => self.out = None,
                Message::Target(target) => {
                    self.target = target;
                    self.out = None;
                }
                Message::Flush(done) => {
                    let _ = done.send(());
                }
            }
        }
    }

    fn write(&mut self, batch: &[u8]) -> std::io::Result<()> {
        let outcome = match &self.target {
            Target::Off => Ok(()),
            Target::Stdout => {
                let mut out = std::io::stdout().lock();
                out.write_all(batch).and_then(|()| out.flush())
            }
            Target::File(path) => {
                if self.out.is_none() {
                    let opened = OpenOptions::new()
                        .create(true)
                        .append(true)
                        .mode(0o640)
                        .open(path)?;
                    self.out = Some(opened);
                }
                match &mut self.out {
                    Some(file) => file.write_all(batch),
                    None => Ok(()),
                }
            }
        };
        if outcome.is_err() {
            self.out = None; // the next batch tries to open it afresh
        }
        outcome
    }
}

/// The name of a member of a line, with what stands around it: `,"name":`. Joined by the compiler,
/// so that a line is a handful of copies.
#[macro_export]
macro_rules! member {
    ($name:literal) => {
        concat!(",\"", $name, "\":").as_bytes()
    };
}

/// The same for a member that is text and comes after another one: `","name":"`. It ends the text before it and begins its
/// own, which the next such member ends, or a quote.
#[macro_export]
macro_rules! next_text {
    ($name:literal) => {
        concat!("\",\"", $name, "\":\"").as_bytes()
    };
}

/// Appends `text` as the inside of a JSON string; bytes that are not UTF-8 become U+FFFD.
pub fn push_json_text(out: &mut Vec<u8>, text: &[u8]) {
    let text = text.get(..FIELD_BYTES.min(text.len())).unwrap_or_default();
    // Nearly everything is plain ASCII.
    if !contains(text, |b| {
        !matches!(b, b' '..=b'~') | (b == b'"') | (b == b'\\')
    }) {
        return out.extend_from_slice(text);
    }
    push_escaped(out, text);
}

fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for &byte in chunk.valid().as_bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0x20..=0x7e | 0x80.. => out.push(byte),
                _ => {
                    out.extend_from_slice(b"\\u00");
                    out.push(hex_digit(byte >> 4));
                    out.push(hex_digit(byte & 15));
                }
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Appends a [`next_text!`] member with its text.
#[inline]
pub fn push_next_text(out: &mut Vec<u8>, member: &[u8], text: &[u8]) {
    out.extend_from_slice(member);
    push_json_text(out, text);
}

/// Appends a [`member!`] that is text.
#[inline]
pub fn push_text(out: &mut Vec<u8>, member: &[u8], text: &[u8]) {
    out.extend_from_slice(member);
    out.push(b'"');
    push_json_text(out, text);
    out.push(b'"');
}

/// Appends a [`member!`] that is a number.
#[inline]
pub fn push_number(out: &mut Vec<u8>, member: &[u8], number: u64) {
    out.extend_from_slice(member);
    push_decimal(out, number);
}

/// Appends a decimal number.
pub fn push_decimal(out: &mut Vec<u8>, number: u64) {
    match number {
        0..10 => {
            let [_, ones] = pair(number);
            out.push(*ones);
        }
        10..100 => out.extend_from_slice(pair(number)),
        100..10_000 => {
            let ([a, b], [c, d]) = (pair(number / 100), pair(number));
            match a {
                b'0' => out.extend_from_slice(&[*b, *c, *d]),
                _ => out.extend_from_slice(&[*a, *b, *c, *d]),
            }
        }
        10_000.. => push_long_decimal(out, number),
    }
}

fn push_long_decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [[b'0'; 2]; 10]; // the largest number of 64 bits has twenty
    let mut left = number;
    for place in digits.iter_mut().rev() {
        if left == 0 {
            break;
        }
        *place = *pair(left);
        left /= 100;
    }
    let digits = digits.as_flattened();
    let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
    out.extend_from_slice(digits.get(zeros..).unwrap_or_default());
}

/// The last two digits.
// An array of 100 indexed by a rest of division by 100 is always in bounds.
#[allow(clippy::indexing_slicing)]
#[inline]
fn pair(number: u64) -> &'static [u8; 2] {
    static PAIRS: [[u8; 2]; 100] = {
        let mut pairs = [[b'0'; 2]; 100];
        let mut number = 0_u8;
        while number < 100 {
            pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
            number += 1;
        }
        pairs
    };
    &PAIRS[(number % 100) as usize]
}

/// An address as the log writes it: whole, or cut to its network (/24, /48) when `truncated`.
pub fn address_text(address: IpAddr, truncated: bool) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) if truncated => IpAddr::V4((v4.to_bits() & 0xffff_ff00).into()),
        IpAddr::V6(v6) if truncated => IpAddr::V6((v6.to_bits() & !(u128::MAX >> 48)).into()),
        whole => whole,
    }
    .to_string()
}

const fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + (nibble - 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(target: Target, ceiling: u64, lines: usize) -> (LogQueue, CoreMetrics) {
        let queue = LogQueue::start(target, ceiling).unwrap();
        let log = CoreLog::new(queue.clone());
        let metrics = CoreMetrics::new(0);
        for i in 0..lines {
            log.line(&metrics, |out| {
                out.extend_from_slice(format!("{{\"n\":{i}}}").as_bytes())
            });
        }
        log.hand_over(&metrics);
        queue.flush(Duration::from_secs(10));
        (queue, metrics)
    }

    #[test]
    fn lines_reach_the_file_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ndjson");
        let (queue, metrics) = line(Target::File(path.clone()), 1 << 20, 10_000);
        assert_eq!((queue.written(), metrics.log_dropped.value()), (10_000, 0));
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().next_back(), Some("{\"n\":9999}"));
        assert_eq!(text.lines().count(), 10_000);
    }

    #[test]
    fn no_more_batches_are_spared_than_the_limit_and_they_are_empty() {
        let spares = Spares::default();
        for _ in 0..=SPARE_BATCHES {
            spares.put(b"line".to_vec());
        }
        assert_eq!(spares.0.lock().unwrap().len(), SPARE_BATCHES);
        assert!(spares.take().is_empty());
        assert_eq!(spares.0.lock().unwrap().len(), SPARE_BATCHES - 1);
    }

    #[test]
    fn a_full_queue_drops_whole_batches_and_counts_their_lines() {
        let dir = tempfile::tempdir().unwrap();
        let (queue, metrics) = line(Target::File(dir.path().join("a")), 10, 7);
        assert_eq!((queue.written(), metrics.log_dropped.value()), (0, 7));
    }

    #[test]
    fn a_disk_that_refuses_is_counted_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing").join("a");
        let (queue, _) = line(Target::File(path), 1 << 20, 3);
        assert_eq!((queue.written(), queue.failed()), (0, 3));
    }

    #[test]
    fn truncated_addresses_keep_their_network_only() {
        let text = |address: &str, truncated| address_text(address.parse().unwrap(), truncated);
        assert_eq!(text("203.0.113.77", true), "203.0.113.0");
        assert_eq!(text("2001:db8:1:2:3::4", true), "2001:db8:1::");
        assert_eq!(text("::ffff:203.0.113.77", false), "203.0.113.77");
    }

    proptest! {
        #[test]
        fn whatever_a_visitor_sends_the_line_stays_one_json_string(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut out = b"\"".to_vec();
            push_json_text(&mut out, &text);
            out.push(b'"');
            let parsed: String = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(parsed, String::from_utf8_lossy(&text).into_owned());
        }

        #[test]
        fn decimals_are_decimals(n: u64) {
            // From the longest to the shortest.
            for n in (0..64).map(|shift| n >> shift) {
                let mut out = Vec::new();
                push_decimal(&mut out, n);
                prop_assert_eq!(String::from_utf8(out).unwrap(), n.to_string());
            }
        }
    }
}
