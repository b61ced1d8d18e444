//! What passes over an HTTP/2 connection, seen frame by frame.
//!
//! The `h2` crate refuses much by itself and tells nobody: a malformed request never becomes one, and its stream is reset
//! without a word to us. So the heads of frames (RFC 9113 section 4.1) are watched both ways as the bytes pass. Nothing is
//! decoded, held or changed.
//!
//! What frames cost beside their requests has a budget (`mangrove_shield::protocol`). Once one is spent, the read that it was in is
//! not handed on, nor any after it: [`Tap::spent`] says why, and the connection is ended.

use std::collections::VecDeque;

use mangrove_http::{Moment, Refusal, TRAILER_BYTES};
use mangrove_shield::protocol::{Guard, Kind, Spent};

use self::kind::{
    CONTINUATION, DATA, GOAWAY, HEADERS, PING, PRIORITY, PRIORITY_UPDATE, PUSH_PROMISE, RST_STREAM,
    SETTINGS, WINDOW_UPDATE,
};
use super::ahead::Ahead;
use super::windows::{Settings, Windows};
use crate::reason::{EdgeReason, Reason};

/// Streams of one connection that were opened and not yet taken up or refused. The crate deals with what it has read before
/// it reads on, so more than one read holds is no client's; the oldest is forgotten.
pub(crate) const OPENED_KEPT: usize = 4096;
/// Resets sent that are remembered, to tell a stream that asks why it ended.
pub(crate) const RESETS_KEPT: usize = 64;

/// Streams that were answered to their end and are remembered: a client may reset one that it has all of (curl does), and
/// that costs nobody anything. More than are answered within a round trip, with the streams that are offered by default.
pub(crate) const ANSWERED_KEPT: usize = 256;

/// Octets of a frame's head.
const HEAD_BYTES: usize = 9;
/// Of a payload, what is looked at: GOAWAY's error code is in its second half.
const START_BYTES: usize = 8;
/// Octets before a client's first frame.
const PREFACE_BYTES: u32 = 24;

/// RFC 9113 section 6, and RFC 9218 section 7.1.
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const PRIORITY: u8 = 2;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PUSH_PROMISE: u8 = 5;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
    pub(super) const PRIORITY_UPDATE: u8 = 16;
}

/// DATA that is the last of its stream; in PING, an answer (RFC 9113 sections 6.1 and 6.7).
const END_STREAM_OR_ACK: u8 = 1;

/// RFC 9113 section 7.
mod code {
    pub(super) const NO_ERROR: u32 = 0;
    pub(super) const PROTOCOL_ERROR: u32 = 1;
    pub(super) const FLOW_CONTROL_ERROR: u32 = 3;
    pub(super) const STREAM_CLOSED: u32 = 5;
    pub(super) const FRAME_SIZE_ERROR: u32 = 6;
    pub(super) const REFUSED_STREAM: u32 = 7;
    pub(super) const COMPRESSION_ERROR: u32 = 9;
    pub(super) const ENHANCE_YOUR_CALM: u32 = 11;
}

/// The head of a frame, and how its payload begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
    start: [u8; START_BYTES],
    /// The window of streams that was told before it, since the frame before.
    initial_window: Option<u32>,
}

/// Finds frames in a stream of bytes that comes in any pieces.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; HEAD_BYTES],
    /// Octets of the head that are known.
    known: usize,
    frame: Frame,
    /// Octets of the payload still to come, or of the preface.
    left: u32,
    settings: Settings,
}

impl Frames {
    /// What a client sends: its first octets are no frame (RFC 9113 section 3.4).
    fn after_preface() -> Self {
        Self {
            left: PREFACE_BYTES,
            ..Self::default()
        }
    }

    /// Tells of each frame once its head and the start of its payload are known.
    fn read(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Frame)) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.left == 0 {
                if let Some(octet) = self.head.get_mut(self.known) {
                    *octet = first;
                }
                self.known += 1;
                bytes = rest;
                if self.known == HEAD_BYTES {
                    self.known = 0;
                    self.frame = Frame::of(self.head);
                    self.left = self.frame.length;
                    if self.left == 0 {
                        self.frame.initial_window = self.settings.take_initial();
                        tell(self.frame);
                    }
                }
                continue;
            }
            let at = self.frame.length.saturating_sub(self.left) as usize;
            let wanted = START_BYTES.min(self.frame.length as usize);
            if at < wanted {
                if let Some(octet) = self.frame.start.get_mut(at) {
                    *octet = first;
                }
                if self.frame.kind == SETTINGS {
                    self.settings.read(&[first]);
                }
                self.left -= 1;
                bytes = rest;
                if at + 1 == wanted {
                    self.frame.initial_window = self.settings.take_initial();
                    tell(self.frame);
                }
            } else {
                let passed = bytes.len().min(self.left as usize);
                self.left -= u32::try_from(passed).unwrap_or(self.left);
                if self.frame.kind == SETTINGS {
                    self.settings.read(bytes.get(..passed).unwrap_or_default());
                }
                bytes = bytes.get(passed..).unwrap_or_default();
            }
        }
    }
}

impl Frame {
    fn of(head: [u8; HEAD_BYTES]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
        Self {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]), // its first bit is reserved
            start: [0; START_BYTES],
            initial_window: None,
        }
    }

    /// What a client's frame is, where it has a budget.
    fn costs(&self) -> Option<Kind> {
        let flagged = self.flags & END_STREAM_OR_ACK != 0;
        match self.kind {
            DATA => (self.length == 0 && !flagged).then_some(Kind::EmptyData),
            PING => (!flagged).then_some(Kind::Ping),
            RST_STREAM => Some(Kind::Reset),
            SETTINGS => Some(Kind::Settings),
            PRIORITY | PRIORITY_UPDATE => Some(Kind::Priority),
            CONTINUATION => Some(Kind::Continuation),
            WINDOW_UPDATE => Some(Kind::WindowUpdate),
            HEADERS | PUSH_PROMISE | GOAWAY => None,
            _ => Some(Kind::Unknown),
        }
    }

    /// The error code of RST_STREAM or GOAWAY.
    fn code(&self) -> u32 {
        let [a, b, c, d, e, f, g, h] = self.start;
        match self.kind {
            GOAWAY => u32::from_be_bytes([e, f, g, h]),
            _ => u32::from_be_bytes([a, b, c, d]),
        }
    }
}

/// What is known of one connection from its frames.
#[derive(Debug)]
pub(super) struct Tap {
    incoming: Frames,
    outgoing: Frames,
    last_opened: u32,
    /// Opened, and neither taken up nor refused.
    opened: VecDeque<u32>,
    /// Refused before it was taken up, and why.
    refused: Vec<Reason>,
    resets: VecDeque<(u32, u32)>,
    /// Answered to the end, and not reset since.
    answered: VecDeque<u32>,
    gone_away: Option<u32>,
    /// The trailer section that came last: its stream, and its octets as they are encoded.
    trailers: (u32, u64),
    /// Streams whose trailers were longer than is read.
    long_trailers: VecDeque<u32>,
    /// What its answers hold.
    pub(super) ahead: Ahead,
    /// Which of its streams may be answered.
    pub(super) windows: Windows,
    guard: Guard,
    spent: Option<EdgeReason>,
}

impl Tap {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            incoming: Frames::after_preface(),
            outgoing: Frames::default(),
            last_opened: 0,
            opened: VecDeque::new(),
            refused: Vec::new(),
            resets: VecDeque::new(),
            answered: VecDeque::new(),
            gone_away: None,
            trailers: (0, 0),
            long_trailers: VecDeque::new(),
            ahead: Ahead::default(),
            windows: Windows::default(),
            guard: Guard::new(now.0),
            spent: None,
        }
    }

    /// The client sent `bytes`.
    pub(super) fn received(&mut self, bytes: &[u8], now: Moment) {
        let mut frames = std::mem::take(&mut self.incoming);
        frames.read(bytes, |frame| {
            if let Some(initial) = frame.initial_window {
                self.windows.begin_with(initial);
            }
            if let Some(kind) = frame.costs()
                && !(kind == Kind::Reset && take_from(&mut self.answered, frame.stream))
            {
                self.spend(kind, now);
            }
            match frame.kind {
                HEADERS if frame.stream > self.last_opened => {
                    self.last_opened = frame.stream;
                    self.guard.request();
                    self.windows.begin(frame.stream);
                    push_bounded(&mut self.opened, frame.stream, OPENED_KEPT);
                }
                HEADERS => self.trailers_came(frame, 0),
                CONTINUATION if frame.stream == self.trailers.0 => {
                    self.trailers_came(frame, self.trailers.1);
                }
                RST_STREAM => {
                    self.ahead.reset(frame.stream);
                    self.windows.over(frame.stream);
                }
                WINDOW_UPDATE if frame.stream > 0 => self.windows.open(frame.stream),
                _ => {}
            }
        });
        if let Some(initial) = frames.settings.take_initial() {
            self.windows.begin_with(initial);
        }
        self.incoming = frames;
    }

    /// `bytes` were sent to the client.
    pub(super) fn sent(&mut self, bytes: &[u8], now: Moment) {
        let mut frames = std::mem::take(&mut self.outgoing);
        frames.read(bytes, |frame| {
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM_OR_ACK != 0 {
                push_bounded(&mut self.answered, frame.stream, ANSWERED_KEPT);
                self.windows.over(frame.stream);
            }
            self.sent_frame(frame, now);
        });
        self.outgoing = frames;
    }

    fn sent_frame(&mut self, frame: Frame, now: Moment) {
        match frame.kind {
            DATA => {
                self.guard.piece();
                self.ahead.left(frame.stream, u64::from(frame.length));
            }
            // The crate's own 431, see `Builder::max_header_list_size`.
            HEADERS if self.take(frame.stream) => self.refused.push(Refusal::HeadTooLarge.into()),
            RST_STREAM => {
                if is_forced(frame.code()) {
                    self.spend(Kind::ForcedReset, now);
                }
                if self.take(frame.stream) {
                    self.refused.push(of_stream(frame.code()).into());
                } else {
                    self.ahead.reset(frame.stream);
                    self.windows.over(frame.stream);
                    push_bounded(&mut self.resets, (frame.stream, frame.code()), RESETS_KEPT);
                }
            }
            GOAWAY => self.gone_away = Some(frame.code()),
            _ => {}
        }
    }

    /// Why the connection should end, once one of its budgets is spent.
    pub(super) fn spent(&self) -> Option<EdgeReason> {
        self.spent
    }

    /// The client made us deal with one of this kind.
    pub(super) fn spend(&mut self, kind: Kind, now: Moment) {
        if let Err(Spent(kind)) = self.guard.spend(kind, now.0) {
            self.spent.get_or_insert(of_flood(kind));
        }
    }

    /// A request was made of the stream.
    pub(super) fn taken_up(&mut self, stream: u32) {
        self.take(stream);
    }

    /// One stream that the crate has refused since it was last asked.
    pub(super) fn next_refused(&mut self) -> Option<Reason> {
        self.refused.pop()
    }

    /// Why a stream is over that was taken up; it was not us who ended it.
    pub(super) fn why_over(&self, stream: u32) -> EdgeReason {
        if let Some(reason) = self.spent {
            return reason;
        }
        let reset = self.resets.iter().find(|(of, _)| *of == stream);
        match (reset, self.gone_away) {
            (Some(&(_, code)), _) => of_stream(code),
            (None, Some(code)) if code != code::NO_ERROR => of_connection(code),
            _ => EdgeReason::ClientReset,
        }
    }

    /// Whether the stream's trailers were longer than is read. The crate leaves out what is beyond its own ceiling and
    /// gives what is left for the whole.
    pub(super) fn had_long_trailers(&self, stream: u32) -> bool {
        self.long_trailers.contains(&stream)
    }

    fn trailers_came(&mut self, frame: Frame, before: u64) {
        let octets = before.saturating_add(u64::from(frame.length));
        self.trailers = (frame.stream, octets);
        if octets > TRAILER_BYTES as u64 {
            push_bounded(&mut self.long_trailers, frame.stream, RESETS_KEPT);
        }
    }

    fn take(&mut self, stream: u32) -> bool {
        take_from(&mut self.opened, stream)
    }
}

fn take_from(streams: &mut VecDeque<u32>, stream: u32) -> bool {
    let at = streams.iter().position(|known| *known == stream);
    at.is_some_and(|at| streams.remove(at).is_some())
}

pub(super) fn push_bounded<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    if queue.len() >= most {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// Whether we reset a stream for what its client did on it. REFUSED_STREAM is none of these: a client may open more than it
/// may before it has read how many that are, and the crate has a ceiling for it ([`super::STREAMS_REFUSED`]).
fn is_forced(code: u32) -> bool {
    matches!(
        code,
        code::PROTOCOL_ERROR
            | code::FLOW_CONTROL_ERROR
            | code::STREAM_CLOSED
            | code::FRAME_SIZE_ERROR
            | code::COMPRESSION_ERROR
            | code::ENHANCE_YOUR_CALM
    )
}

/// What it is called here when the budget of this kind is spent.
fn of_flood(kind: Kind) -> EdgeReason {
    match kind {
        Kind::Reset => EdgeReason::Http2ResetFlood,
        Kind::ForcedReset => EdgeReason::Http2ForcedResets,
        Kind::Ping => EdgeReason::Http2PingFlood,
        Kind::Settings => EdgeReason::Http2SettingsFlood,
        Kind::Priority => EdgeReason::Http2PriorityFlood,
        Kind::EmptyData => EdgeReason::Http2EmptyDataFlood,
        Kind::Continuation => EdgeReason::Http2ContinuationFlood,
        Kind::WindowUpdate => EdgeReason::Http2WindowFlood,
        Kind::TinyWindow => EdgeReason::Http2TinyWindows,
        Kind::Unknown => EdgeReason::Http2UnknownFlood,
    }
}

/// What it is called here when a stream is ended with this code.
fn of_stream(code: u32) -> EdgeReason {
    match code {
        code::FLOW_CONTROL_ERROR => EdgeReason::Http2FlowControlError,
        code::STREAM_CLOSED => EdgeReason::Http2StreamClosed,
        code::FRAME_SIZE_ERROR => EdgeReason::Http2FrameSizeError,
        code::REFUSED_STREAM => EdgeReason::Http2TooManyStreams,
        code::ENHANCE_YOUR_CALM => EdgeReason::Http2Flood,
        _ => EdgeReason::Http2MalformedMessage,
    }
}

/// What it is called here when a connection is ended with this code.
pub(super) fn of_connection(code: u32) -> EdgeReason {
    match code {
        code::FLOW_CONTROL_ERROR => EdgeReason::Http2FlowControlError,
        code::STREAM_CLOSED => EdgeReason::Http2StreamClosed,
        code::FRAME_SIZE_ERROR => EdgeReason::Http2FrameSizeError,
        code::COMPRESSION_ERROR => EdgeReason::Http2CompressionError,
        code::ENHANCE_YOUR_CALM => EdgeReason::Http2Flood,
        _ => EdgeReason::Http2ProtocolError,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, 0]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn tap() -> Tap {
        let mut tap = Tap::new(Moment(0));
        tap.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Moment(0));
        tap
    }

    fn reset(code: u32) -> [u8; 4] {
        code.to_be_bytes()
    }

    #[test]
    fn a_stream_that_is_reset_before_it_was_taken_up_was_refused() {
        let mut tap = tap();
        for stream in [1, 3, 5] {
            tap.received(&frame(HEADERS, stream, b"x"), Moment(0));
        }
        tap.taken_up(1);
        tap.sent(&frame(RST_STREAM, 1, &reset(8)), Moment(0));
        tap.sent(&frame(RST_STREAM, 3, &reset(1)), Moment(0));
        tap.sent(&frame(HEADERS, 5, b"\x08\x03431"), Moment(0));
        tap.sent(&frame(RST_STREAM, 5, &reset(1)), Moment(0));
        assert_eq!(tap.next_refused(), Some(Refusal::HeadTooLarge.into()));
        assert_eq!(
            tap.next_refused(),
            Some(EdgeReason::Http2MalformedMessage.into())
        );
        assert_eq!(tap.next_refused(), None);
    }

    /// Once what was opened behind them in the same read counted for nothing.
    #[test]
    fn settings_hold_from_the_next_frame_on() {
        let mut tap = tap();
        let mut bytes = frame(SETTINGS, 0, &[0, 3, 0, 0, 0, 9, 0, 4, 0, 0, 0, 0]);
        bytes.extend(frame(HEADERS, 1, b"x"));
        bytes.extend(frame(WINDOW_UPDATE, 1, &[0, 0, 0, 1]));
        bytes.extend(frame(HEADERS, 3, b"x"));
        tap.received(&bytes, Moment(0));
        let cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(tap.windows.poll_open(1, &cx).is_ready());
        assert!(tap.windows.poll_open(3, &cx).is_pending());
        tap.received(&frame(SETTINGS, 0, &[0, 4, 0, 0, 0, 1]), Moment(0));
        assert!(tap.windows.poll_open(3, &cx).is_ready());
    }

    #[test]
    fn a_stream_is_over_by_its_reset_or_the_connections_end_or_the_client() {
        let mut tap = tap();
        assert_eq!(tap.why_over(1), EdgeReason::ClientReset);
        tap.sent(&frame(RST_STREAM, 1, &reset(3)), Moment(0));
        tap.sent(&frame(GOAWAY, 0, &[0; 8]), Moment(0));
        assert_eq!(tap.why_over(3), EdgeReason::ClientReset);
        tap.sent(
            &frame(GOAWAY, 0, &[0, 0, 0, 1, 0, 0, 0, 11, b'w', b'h', b'y']),
            Moment(0),
        );
        assert_eq!(tap.why_over(1), EdgeReason::Http2FlowControlError);
        assert_eq!(tap.why_over(3), EdgeReason::Http2Flood);
    }

    #[test]
    fn trailers_are_long_from_one_octet_past_the_ceiling_on_in_however_many_frames() {
        let mut tap = tap();
        for stream in [1, 3, 5] {
            tap.received(
                &frame(HEADERS, stream, &vec![0; 2 * TRAILER_BYTES]),
                Moment(0),
            );
            tap.received(&frame(HEADERS, stream, &vec![0; TRAILER_BYTES]), Moment(0));
            assert!(!tap.had_long_trailers(stream));
            if stream == 3 {
                tap.received(&frame(CONTINUATION, 3, &[0]), Moment(0));
            }
        }
        assert_eq!(
            [1, 3, 5].map(|s| tap.had_long_trailers(s)),
            [false, true, false]
        );
    }

    #[test]
    fn a_budget_that_is_spent_has_the_name_of_what_it_was_spent_on() {
        for kind in Kind::ALL {
            let (number, payload): (u8, &[u8]) = match kind {
                Kind::Reset => (RST_STREAM, &[0, 0, 0, 8]),
                Kind::ForcedReset => (RST_STREAM, &[0, 0, 0, 1]),
                Kind::Ping => (PING, &[0; 8]),
                Kind::Settings => (SETTINGS, &[]),
                Kind::Priority => (PRIORITY_UPDATE, b"\0\0\0\x01u=1"),
                Kind::EmptyData => (DATA, &[]),
                Kind::Continuation => (CONTINUATION, &[0]),
                Kind::WindowUpdate => (WINDOW_UPDATE, &[0, 0, 0, 1]),
                Kind::Unknown => (0xfa, &[1]),
                Kind::TinyWindow => (DATA, b"x"), // it is told of by who sends
            };
            let mut tap = tap();
            let one = frame(number, 1, payload);
            for n in 0..=kind.budget().burst {
                assert_eq!(tap.spent(), None, "{kind:?} after {n}");
                match kind {
                    Kind::ForcedReset => tap.sent(&one, Moment(0)),
                    Kind::TinyWindow => tap.spend(kind, Moment(0)),
                    _ => tap.received(&one, Moment(0)),
                }
            }
            assert_eq!(tap.spent(), Some(of_flood(kind)));
            assert_eq!(tap.why_over(1), of_flood(kind));
        }
    }

    #[test]
    fn what_ends_a_stream_or_answers_costs_nothing() {
        let mut tap = tap();
        for kind in [DATA, PING] {
            let mut last = frame(kind, 1, b"");
            last[4] = END_STREAM_OR_ACK;
            for _ in 0..1_000 {
                tap.received(&last, Moment(0));
            }
        }
        let own = frame(RST_STREAM, 1, &reset(8));
        for _ in 0..1_000 {
            tap.sent(&own, Moment(0)); // we gave up, or the origin did
        }
        assert_eq!(tap.spent(), None);
    }

    /// As curl does with every stream of many.
    #[test]
    fn resetting_what_was_answered_to_the_end_costs_nothing_once() {
        let mut tap = tap();
        let cancel = |stream| frame(RST_STREAM, stream, &reset(8));
        for stream in (1..).step_by(2).take(1_000) {
            tap.received(&frame(HEADERS, stream, b"x"), Moment(0));
            let mut answer = frame(HEADERS, stream, b"x");
            answer[4] = END_STREAM_OR_ACK;
            tap.taken_up(stream);
            tap.sent(&answer, Moment(0));
            tap.received(&cancel(stream), Moment(0));
            assert_eq!(tap.spent(), None, "{stream}");
        }
        for _ in 0..=Kind::Reset.budget().burst {
            tap.received(&cancel(1), Moment(0));
        }
        assert_eq!(tap.spent(), Some(EdgeReason::Http2ResetFlood));
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let mut tap = tap();
        let mut last = frame(DATA, 0, b"");
        last[4] = END_STREAM_OR_ACK;
        for _ in 0..=ANSWERED_KEPT {
            tap.sent(&last, Moment(0));
        }
        assert_eq!(tap.answered.len(), ANSWERED_KEPT);
        for stream in (1..).step_by(2).take(OPENED_KEPT + 1) {
            tap.received(&frame(HEADERS, stream, b""), Moment(0));
        }
        assert_eq!((tap.opened.len(), tap.opened[0]), (OPENED_KEPT, 3));
        for stream in (1_000_000..).take(RESETS_KEPT + 1) {
            tap.sent(&frame(RST_STREAM, stream, &reset(1)), Moment(0));
        }
        assert_eq!(
            (tap.resets.len(), tap.resets[0].0),
            (RESETS_KEPT, 1_000_001)
        );
    }

    proptest! {
        #[test]
        fn frames_are_the_same_in_whatever_pieces_they_come(
            frames in proptest::collection::vec((0u8..12, 0u32..1_000, proptest::collection::vec(any::<u8>(), 0..40)), 0..12),
            cuts in proptest::collection::vec(1usize..30, 1..40),
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, stream, payload)| frame(*kind, *stream, payload)).collect();
            let mut whole = Vec::new();
            Frames::default().read(&bytes, |frame| whole.push(frame));
            let heads: Vec<_> = whole.iter().map(|f| (f.kind, f.stream, f.length as usize)).collect();
            let sent: Vec<_> = frames.iter().map(|(kind, stream, payload)| (*kind, *stream, payload.len())).collect();
            prop_assert_eq!(heads, sent);
            let (mut pieces, mut reader, mut rest) = (Vec::new(), Frames::default(), &bytes[..]);
            for cut in cuts.iter().cycle() {
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                reader.read(piece, |frame| pieces.push(frame));
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(pieces, whole);
        }

        #[test]
        fn no_bytes_make_the_tap_panic(received in proptest::collection::vec(any::<u8>(), 0..600), sent in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut tap = tap();
            tap.received(&received, Moment(0));
            tap.sent(&sent, Moment(0));
        }
    }
}
