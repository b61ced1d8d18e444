//! Which streams their client lets be answered at all.
//!
//! A client may say that its streams begin with a window of nothing (SETTINGS_INITIAL_WINDOW_SIZE, RFC 9113 section 6.9.2). Whoever asks
//! in that way for a hundred large things has the origin make all of them, and takes none. So the origin is not asked before
//! the window of the stream is open.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use super::tap::push_bounded;

/// Streams that are not over, of which it is remembered whether their client opened their windows: as many as may be open at most.
pub(crate) const WINDOWS_KEPT: usize = 1_000;

/// RFC 9113 section 6.5.2.
const INITIAL_WINDOW_SIZE: u16 = 4;
/// What a stream begins with unless the client says otherwise.
const USUAL: u32 = 65_535;
/// Octets of one setting.
const SETTING_BYTES: usize = 6;

/// Finds the initial window in SETTINGS, whose payload comes in any pieces.
#[derive(Debug, Default)]
pub(super) struct Settings {
    setting: [u8; SETTING_BYTES],
    known: usize,
    initial: Option<u32>,
}

impl Settings {
    /// What comes next of a payload. One that ends within a setting ends its connection.
    pub(super) fn read(&mut self, octets: &[u8]) {
        for octet in octets {
            if let Some(place) = self.setting.get_mut(self.known) {
                *place = *octet;
            }
            self.known += 1;
            if self.known == SETTING_BYTES {
                self.known = 0;
                let [i, j, a, b, c, d] = self.setting;
                if u16::from_be_bytes([i, j]) == INITIAL_WINDOW_SIZE {
                    self.initial = Some(u32::from_be_bytes([a, b, c, d]));
                }
            }
        }
    }

    /// The window that was told last, since this was last asked.
    pub(super) fn take_initial(&mut self) -> Option<u32> {
        self.initial.take()
    }
}

/// The windows of one connection's streams, as far as they are open or not.
#[derive(Debug)]
pub(super) struct Windows {
    initial: u32,
    /// Those that are not over, and whether their client opened the window of that one.
    streams: VecDeque<(u32, bool)>,
    waiting: Vec<(u32, Waker)>,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            initial: USUAL,
            streams: VecDeque::new(),
            waiting: Vec::new(),
        }
    }
}

impl Windows {
    /// Streams begin with this window, also those that have begun: what their client opened beside it stays (RFC 9113 section 6.9.2).
    pub(super) fn begin_with(&mut self, initial: u32) {
        self.initial = initial;
        if initial > 0 {
            self.waiting.drain(..).for_each(|(_, waker)| waker.wake());
        }
    }

    /// The client asks for something on this stream.
    pub(super) fn begin(&mut self, stream: u32) {
        push_bounded(&mut self.streams, (stream, false), WINDOWS_KEPT);
    }

    /// The client opened the window of one; of one that is over it comes too late.
    pub(super) fn open(&mut self, stream: u32) {
        let mut streams = self.streams.iter_mut();
        if let Some((_, is_open)) = streams.find(|(of, _)| *of == stream) {
            *is_open = true;
        }
        let at = self.waiting.iter().position(|(of, _)| *of == stream);
        if let Some(at) = at {
            self.waiting.swap_remove(at).1.wake();
        }
    }

    /// The stream is over.
    pub(super) fn over(&mut self, stream: u32) {
        let at = self.streams.iter().position(|(of, _)| *of == stream);
        if let Some(at) = at {
            self.streams.remove(at); // in their order: the oldest is the one to forget
        }
        self.waiting.retain(|(of, _)| *of != stream);
    }

    /// Ready when something may be sent on it.
    pub(super) fn poll_open(&mut self, stream: u32, cx: &Context<'_>) -> Poll<()> {
        if self.initial > 0 || self.streams.contains(&(stream, true)) {
            return Poll::Ready(());
        }
        self.waiting.retain(|(of, _)| *of != stream);
        self.waiting.push((stream, cx.waker().clone()));
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(windows: &mut Windows, stream: u32) -> bool {
        let cx = Context::from_waker(Waker::noop());
        windows.poll_open(stream, &cx).is_ready()
    }

    #[test]
    fn streams_that_begin_with_nothing_wait_until_they_are_opened() {
        let mut windows = Windows::default();
        assert!(is_open(&mut windows, 1));
        windows.begin_with(0);
        [1, 3].into_iter().for_each(|stream| windows.begin(stream));
        assert!(!is_open(&mut windows, 1) && !is_open(&mut windows, 3));
        (0..2_000).for_each(|_| windows.open(3));
        assert!(!is_open(&mut windows, 1) && is_open(&mut windows, 3));
        assert_eq!(windows.waiting.len(), 1);
        windows.begin_with(1);
        assert!(is_open(&mut windows, 1) && windows.waiting.is_empty());
    }

    #[test]
    fn streams_that_are_over_are_not_remembered_nor_one_more_than_may_be_open() {
        let most = u32::try_from(WINDOWS_KEPT).unwrap();
        let mut windows = Windows::default();
        windows.begin_with(0);
        for stream in 0..=most {
            windows.begin(stream);
            windows.open(stream);
        }
        assert!(!is_open(&mut windows, 0) && is_open(&mut windows, 1));
        assert_eq!(windows.streams.len(), WINDOWS_KEPT);
        for stream in 0..=most {
            windows.over(stream);
            windows.open(stream); // too late
            assert!(!windows.streams.iter().any(|(of, _)| *of == stream));
        }
        assert!(windows.streams.is_empty() && windows.waiting.is_empty());
    }

    /// One that is over once took the newest to its place, which then was the next to be forgotten.
    #[test]
    fn of_too_many_the_oldest_is_forgotten_whichever_are_over() {
        let most = u32::try_from(WINDOWS_KEPT).unwrap();
        let mut windows = Windows::default();
        windows.begin_with(0);
        for stream in 0..most {
            windows.begin(stream);
            windows.open(stream);
        }
        windows.over(0);
        for stream in [most, most + 1] {
            windows.begin(stream);
            windows.open(stream);
        }
        assert!(!is_open(&mut windows, 1));
        assert!((2..most + 2).all(|stream| is_open(&mut windows, stream)));
    }

    /// Settings that come later take away what streams began with, and nothing else (RFC 9113 section 6.9.2).
    #[test]
    fn what_was_opened_while_streams_began_with_more_stays_open() {
        let mut windows = Windows::default();
        windows.begin(1);
        windows.begin(3);
        windows.open(1);
        windows.begin_with(0);
        assert!(is_open(&mut windows, 1) && !is_open(&mut windows, 3));
        windows.begin_with(1);
        windows.begin_with(0);
        assert!(is_open(&mut windows, 1) && !is_open(&mut windows, 3));
    }

    #[test]
    fn the_initial_window_is_found_wherever_it_stands_and_the_last_counts() {
        let payload = [
            0, 3, 0, 0, 0, 100, 0, 4, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7, 0, 5, 0, 0, 64, 0,
        ];
        for cut in 1..payload.len() {
            let mut settings = Settings::default();
            payload.chunks(cut).for_each(|piece| settings.read(piece));
            assert_eq!(settings.take_initial(), Some(7), "{cut}");
            assert_eq!(settings.take_initial(), None);
        }
    }
}
