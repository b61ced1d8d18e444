//! An HTTP/2 client that writes frames itself, so that it can write what no library would.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::wire::{End, Wire};
use crate::world::{Client, World};

pub(crate) const PROTOCOL_ERROR: Outcome = Outcome::Reset(1);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection with prior knowledge (RFC 9113 section 3.3).
#[derive(Debug)]
pub(crate) struct Http2 {
    wire: Wire,
    next: u32,
    /// Frames that are to leave together.
    held: Option<Vec<u8>>,
    outcomes: HashMap<u32, Outcome>,
}

/// What became of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered, with this status.
    Status(u16),
    /// It was reset, with this error code.
    Reset(u32),
    /// The whole connection was ended, with this error code.
    GoneAway(u32),
}

impl Http2 {
    pub(crate) fn connect(world: &World) -> Self {
        Self::with(world.client())
    }

    /// From another address.
    pub(crate) fn connect_from(world: &World, address: IpAddr) -> Self {
        Self::with(world.client_from(address))
    }

    fn with(client: Client) -> Self {
        let mut wire = Wire::from(client);
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        // SETTINGS: no dynamic table for the edge's answers, which are then readable one by one.
        wire.send(b"\0\0\x06\x04\0\0\0\0\0\0\x01\0\0\0\0");
        Self::over(wire)
    }

    /// With every window as wide as can be, and a side that takes little that it does not read.
    pub(crate) fn connect_with_little_room(world: &World) -> Self {
        let mut wire = Wire::from(world.client_with_little_room());
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        // SETTINGS_INITIAL_WINDOW_SIZE, and WINDOW_UPDATE for the connection.
        wire.send(b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff");
        wire.send(b"\0\0\x04\x08\0\0\0\0\0\x7f\0\0\0");
        Self::over(wire)
    }

    fn over(wire: Wire) -> Self {
        Self {
            wire,
            next: 1,
            held: None,
            outcomes: HashMap::new(),
        }
    }

    /// Rests for a moment, then reads what is there.
    pub(crate) fn sip(&mut self, rest: Duration) -> usize {
        self.wire.sip(rest)
    }

    /// Waits for GOAWAY; says with which error code.
    pub(crate) fn goes_away(&mut self) -> u32 {
        loop {
            let (kind, _, payload) = self.next_frame();
            if kind == GOAWAY {
                return number(&payload[4..]);
            }
        }
    }

    /// Opens a stream with these fields and nothing after them.
    pub(crate) fn ask(&mut self, fields: &[(&str, &str)]) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.send_headers(stream, fields, true);
        stream
    }

    /// The same, also where nobody is there to ask any more.
    pub(crate) fn tries_to_ask(&mut self, fields: &[(&str, &str)]) {
        self.holds_back();
        self.ask(fields);
        let asked = self.held.take().unwrap_or_default();
        self.wire.try_send(asked);
    }

    /// Opens a stream with these fields and a body to come.
    pub(crate) fn begin(&mut self, fields: &[(&str, &str)]) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.send_headers(stream, fields, false);
        stream
    }

    /// Ends the stream with these trailers.
    pub(crate) fn trailers(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.send_headers(stream, fields, true);
    }

    pub(crate) fn data(&mut self, stream: u32, data: &str, last: bool) {
        let flags = if last { END_STREAM } else { 0 };
        self.frame(DATA, flags, stream, data.as_bytes());
    }

    /// Opens a window by so much: a stream's, or with 0 the connection's.
    pub(crate) fn opens_window(&mut self, stream: u32, by: u32) {
        self.frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    }

    /// Resets a stream.
    pub(crate) fn cancels(&mut self, stream: u32) {
        self.frame(RST_STREAM, 0, stream, &8u32.to_be_bytes());
    }

    /// Opens a stream with a field section that is no HPACK.
    pub(crate) fn ask_in_no_code(&mut self) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0xff; 12]); // an index without end
        stream
    }

    /// From now on frames wait for each other.
    pub(crate) fn holds_back(&mut self) {
        self.held = Some(Vec::new());
    }

    /// Sends all of them at once.
    pub(crate) fn lets_go(&mut self) {
        if let Some(held) = self.held.take() {
            self.wire.send(held);
        }
    }

    /// Opens a stream with a field section in as many frames as it takes, and nothing after it.
    pub(crate) fn ask_in_pieces(&mut self, fields: &[(&str, &str)]) -> u32 {
        let stream = self.next;
        self.next += 2;
        self.trailers_in_pieces(stream, fields);
        stream
    }

    /// Opens a stream with a field section in so many frames beyond the first, and nothing after it.
    pub(crate) fn ask_in_crumbs(&mut self, fields: &[(&str, &str)], more: usize) -> u32 {
        let stream = self.next;
        self.next += 2;
        let block = block_of(fields);
        let size = block.len().div_ceil(more + 1);
        let crumbs: Vec<&[u8]> = block.chunks(size).collect();
        for (n, crumb) in crumbs.iter().enumerate() {
            let (kind, ends) = match n {
                0 => (HEADERS, END_STREAM),
                _ => (CONTINUATION, 0),
            };
            let last = if n + 1 == crumbs.len() {
                END_HEADERS
            } else {
                0
            };
            self.frame(kind, ends | last, stream, crumb);
        }
        stream
    }

    /// Waits for the end of an answer whose head has come.
    pub(crate) fn is_answered(&mut self, stream: u32) {
        loop {
            match self.next_frame_flagged() {
                (DATA, flags, on, _) if on == stream && flags & END_STREAM != 0 => return,
                (RST_STREAM | GOAWAY, _, _, payload) => panic!("no end: {payload:?}"),
                _ => {}
            }
        }
    }

    /// Waits for the next piece of an answer; says how long it is.
    pub(crate) fn next_data(&mut self, stream: u32) -> usize {
        loop {
            match self.next_frame() {
                (DATA, on, payload) if on == stream => return payload.len(),
                (RST_STREAM | GOAWAY, _, payload) => panic!("no data: {payload:?}"),
                _ => {}
            }
        }
    }

    /// The next piece of an answer; none when the edge says GOAWAY instead.
    pub(crate) fn next_data_or_end(&mut self, stream: u32) -> Option<usize> {
        loop {
            match self.next_frame() {
                (DATA, on, payload) if on == stream => return Some(payload.len()),
                (GOAWAY, _, payload) => {
                    self.outcomes
                        .insert(0, Outcome::GoneAway(number(&payload[4..])));
                    return None;
                }
                _ => {}
            }
        }
    }

    /// From now on its streams begin with this window.
    pub(crate) fn begins_with_window(&mut self, window: u32) {
        let [a, b, c, d] = window.to_be_bytes();
        self.frame(SETTINGS, 0, 0, &[0, 4, a, b, c, d]);
    }

    /// Ends the stream with trailers in as many frames as it takes.
    pub(crate) fn trailers_in_pieces(&mut self, stream: u32, fields: &[(&str, &str)]) {
        let block = block_of(fields);
        let mut pieces = block.chunks(16 * 1024).peekable();
        let mut kind = HEADERS;
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() {
                END_HEADERS
            } else {
                0
            };
            let ends = if kind == HEADERS { END_STREAM } else { 0 };
            self.frame(kind, last | ends, stream, piece);
            kind = CONTINUATION;
        }
    }

    /// Waits for what becomes of `stream`.
    pub(crate) fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            if let Some(&outcome) = self.outcomes.get(&stream) {
                return outcome;
            }
            let (kind, on, payload) = self.next_frame();
            match kind {
                HEADERS => {
                    self.outcomes
                        .insert(on, Outcome::Status(status_in(&payload)));
                }
                RST_STREAM => {
                    self.outcomes.insert(on, Outcome::Reset(number(&payload)));
                }
                GOAWAY => {
                    let code = number(&payload[4..]);
                    self.outcomes.insert(stream, Outcome::GoneAway(code));
                }
                _ => {}
            }
        }
    }

    /// Waits for the reset of a stream that was answered already.
    pub(crate) fn reset(&mut self, stream: u32) -> u32 {
        loop {
            let (kind, on, payload) = self.next_frame();
            match kind {
                RST_STREAM if on == stream => return number(&payload),
                DATA if on == stream => {}
                HEADERS | GOAWAY => panic!("not a reset: {kind} {payload:?}"),
                _ => {}
            }
        }
    }

    /// The connection serves another stream.
    pub(crate) fn goes_on(&mut self, world: &World) {
        let stream = self.ask(&get("/next"));
        let mut origin = world.origin.accept();
        assert_eq!(origin.head().first_line(), "GET /next HTTP/1.1");
        origin.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(self.outcome(stream), Outcome::Status(200));
    }

    /// Waits for the edge to close the connection; says how.
    pub(crate) fn ends(mut self) -> End {
        self.wire.rest().1
    }

    /// Waits for the edge to say that nothing more comes; says how.
    pub(crate) fn is_told_the_end(&mut self) -> End {
        self.wire.rest().1
    }

    /// Sends bytes that are no frames; false when they are not taken.
    pub(crate) fn babbles(&mut self, bytes: usize) -> bool {
        self.wire.try_send(vec![0xff; bytes]) // zeros would be frames, and a flood of them
    }

    /// Leaves without a word.
    pub(crate) fn leave(self) {
        self.wire.reset();
    }

    fn send_headers(&mut self, stream: u32, fields: &[(&str, &str)], last: bool) {
        let block = block_of(fields);
        let flags = if last {
            END_HEADERS | END_STREAM
        } else {
            END_HEADERS
        };
        self.frame(HEADERS, flags, stream, &block);
    }

    /// A PING, and everything up to its answer; false when the edge says GOAWAY instead.
    pub(crate) fn is_heard(&mut self) -> bool {
        self.frame(PING, 0, 0, &[7; 8]);
        loop {
            match self.next_frame() {
                (PING, ..) => return true,
                (GOAWAY, _, payload) => {
                    self.outcomes
                        .insert(0, Outcome::GoneAway(number(&payload[4..])));
                    return false;
                }
                (RST_STREAM, on, payload) => {
                    self.outcomes.insert(on, Outcome::Reset(number(&payload)));
                }
                _ => {}
            }
        }
    }

    /// Sends any frame.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        match &mut self.held {
            Some(held) => held.extend(frame),
            None => self.wire.send(frame),
        }
    }

    fn next_frame(&mut self) -> (u8, u32, Vec<u8>) {
        let (kind, _, stream, payload) = self.next_frame_flagged();
        (kind, stream, payload)
    }

    fn next_frame_flagged(&mut self) -> (u8, u8, u32, Vec<u8>) {
        let head = self.wire.take(9);
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = self.wire.take(length as usize);
        (head[3], head[4], number(&head[5..]), payload)
    }
}

/// The fields of a GET that is as it should be.
pub(crate) fn get(path: &str) -> [(&str, &str); 4] {
    [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", path),
    ]
}

/// Those of a POST, and more.
pub(crate) fn post<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = get("/").to_vec();
    fields[0].1 = "POST";
    fields.extend(more);
    fields
}

pub(crate) fn block_of(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0); // a literal that is not indexed, with a name of its own (RFC 7541 section 6.2.2)
        push_text(&mut block, name);
        push_text(&mut block, value);
    }
    block
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// A string without Huffman coding (RFC 7541 section 5.2).
fn push_text(block: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        block.push(length as u8);
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push(length as u8 | 128);
            length >>= 7;
        }
        block.push(length as u8);
    }
    block.extend(text.as_bytes());
}

/// `:status` comes first in a response: from the static table, or as a literal of three digits.
fn status_in(block: &[u8]) -> u16 {
    let block = match block {
        [0x20..=0x3f, rest @ ..] => rest, // a size update of the table
        block => block,
    };
    match block {
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        [0x48 | 0x08 | 0x18, length, text @ ..] if length & 128 != 0 => {
            digits_in(&text[..usize::from(length & 127)])
        }
        other => panic!("no status: {other:x?}"),
    }
}

/// Three digits in the Huffman code of RFC 7541: `0` to `2` have five bits, the others six.
fn digits_in(text: &[u8]) -> u16 {
    let mut bits = text
        .iter()
        .flat_map(|b| (0..8).rev().map(move |at| u16::from(b >> at & 1)));
    let mut number = 0;
    for _ in 0..3 {
        let five = (0..5).fold(0, |code, _| code << 1 | bits.next().unwrap());
        let digit = match five {
            0..=2 => five,
            _ => (five << 1 | bits.next().unwrap()) - 22,
        };
        number = number * 10 + digit;
    }
    number
}
