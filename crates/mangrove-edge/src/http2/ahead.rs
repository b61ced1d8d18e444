//! What answers hold between their origins and one HTTP/2 client: data at hand, and data given to the `h2` crate and not yet
//! on its way. A client that opens wide windows and many streams, and then reads slowly, has all of them filled.
//!
//! Nothing waits for room, for streams that stand still would then hold up those that go. Instead, once a connection (or the
//! process) holds its ceiling, each of its streams goes on in small pieces: it takes the next from its origin only when the
//! last has left. The origin notices by its own flow control.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use crate::core::READ_BYTES;

/// A piece when there is no room: what fits into one frame (RFC 9113 section 4.2).
pub(crate) const SMALL_PIECE_BYTES: usize = 16 * 1024;
/// What all connections of a process may hold before each goes on in small pieces.
pub(crate) const PROCESS_BYTES: u64 = 64 * 1024 * 1024;

/// What all connections of the process hold.
#[derive(Debug, Default)]
pub struct HeldByAll(AtomicU64);

impl HeldByAll {
    /// Bytes.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn replace(&self, before: u64, now: u64) {
        // Wraps around to the difference where it is less than before.
        let change = now.wrapping_sub(before);
        self.0.fetch_add(change, Ordering::Relaxed);
    }
}

/// How much a stream takes from its origin at once, and gives to its client at once.
pub(super) fn piece(connection: u64, most: u64, process: u64) -> usize {
    if connection < most && process < PROCESS_BYTES {
        READ_BYTES
    } else {
        SMALL_PIECE_BYTES
    }
}

/// By stream, what one connection holds.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    streams: HashMap<u32, Stream>,
    held: u64,
}

#[derive(Debug, Default)]
struct Stream {
    at_hand: u64,
    queued: u64,
    waker: Option<Waker>,
}

impl Ahead {
    /// Bytes of all streams.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// The stream has so much at hand; 0 when its answer is over.
    pub(super) fn at_hand(&mut self, stream: u32, bytes: u64) {
        self.change(stream, |stream| stream.at_hand = bytes);
    }

    /// So much more of it waits to be sent.
    pub(super) fn queued(&mut self, stream: u32, bytes: u64) {
        self.change(stream, |stream| stream.queued += bytes);
    }

    /// So much of it was sent.
    pub(super) fn left(&mut self, stream: u32, bytes: u64) {
        self.change(stream, |stream| {
            stream.queued = stream.queued.saturating_sub(bytes);
        });
    }

    /// The stream was reset: what waited is thrown away.
    pub(super) fn reset(&mut self, stream: u32) {
        self.change(stream, |stream| stream.queued = 0);
    }

    /// Ready when nothing of the stream waits to be sent.
    pub(super) fn poll_left(&mut self, stream: u32, cx: &Context<'_>) -> Poll<()> {
        match self.streams.get_mut(&stream) {
            Some(stream) if stream.queued > 0 => {
                stream.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    fn change(&mut self, id: u32, change: impl FnOnce(&mut Stream)) {
        let stream = self.streams.entry(id).or_default();
        let before = stream.at_hand.saturating_add(stream.queued);
        change(stream);
        let now = stream.at_hand.saturating_add(stream.queued);
        if stream.queued == 0
            && let Some(waker) = stream.waker.take()
        {
            waker.wake();
        }
        self.held = self.held.saturating_sub(before).saturating_add(now);
        if now == 0 {
            self.streams.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_small_from_the_ceiling_on_of_the_connection_or_the_process() {
        assert_eq!(piece(99, 100, 0), READ_BYTES);
        assert_eq!(piece(100, 100, 0), SMALL_PIECE_BYTES);
        assert_eq!(piece(0, 100, PROCESS_BYTES - 1), READ_BYTES);
        assert_eq!(piece(0, 100, PROCESS_BYTES), SMALL_PIECE_BYTES);
    }

    #[test]
    fn what_is_held_is_what_is_at_hand_and_what_waits() {
        let mut ahead = Ahead::default();
        ahead.at_hand(1, 100);
        ahead.queued(1, 30);
        ahead.at_hand(1, 70);
        ahead.queued(3, 5);
        assert_eq!(ahead.held(), 105);
        ahead.left(1, 30);
        ahead.at_hand(1, 0);
        ahead.reset(3);
        assert_eq!((ahead.held(), ahead.streams.len()), (0, 0));
        // What was not counted, or twice, takes nothing from others.
        ahead.queued(5, 7);
        ahead.left(7, 1_000);
        ahead.left(5, 1_000);
        assert_eq!((ahead.held(), ahead.streams.len()), (0, 0));
    }

    /// As an answer is sent: a piece is taken, then queued, then leaves; nobody leaves here.
    #[test]
    fn streams_that_stand_still_hold_no_more_than_the_ceiling_and_two_small_pieces_each() {
        const MOST: u64 = 256 * 1024;
        let (mut ahead, streams) = (Ahead::default(), 0..100);
        let cx = Context::from_waker(Waker::noop());
        for _ in 0..10 {
            for stream in streams.clone() {
                let piece = piece(ahead.held(), MOST, 0) as u64;
                if piece == READ_BYTES as u64 || ahead.poll_left(stream, &cx).is_ready() {
                    ahead.queued(stream, piece);
                }
                let small = SMALL_PIECE_BYTES as u64;
                let hand = if ahead.held() < MOST {
                    READ_BYTES as u64
                } else {
                    small
                };
                ahead.at_hand(stream, hand);
            }
        }
        let most = MOST + 2 * READ_BYTES as u64 + 100 * 2 * SMALL_PIECE_BYTES as u64;
        assert!(ahead.held() <= most, "{}", ahead.held());
    }

    #[test]
    fn the_process_counts_what_each_connection_last_said() {
        let all = HeldByAll::default();
        all.replace(0, 500);
        all.replace(0, 20);
        all.replace(500, 100);
        assert_eq!(all.bytes(), 120);
        all.replace(100, 0);
        all.replace(20, 0);
        assert_eq!(all.bytes(), 0);
    }
}
