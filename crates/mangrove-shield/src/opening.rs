//! How an HTTP/2 client opens its connection: which software it is, by the first frames that it sends.
//!
//! What software asks for before its first request is built into it: its settings and their order, how far it opens the
//! connection's window, which priorities it gives, and in which order it writes the pseudo-fields. All of it is one short text, in
//! the form that the literature uses (Akamai, *Passive Fingerprinting of HTTP/2 Clients*, Black Hat EU 2017):
//!
//! ```
//! use mangrove_shield::opening::Opening;
//!
//! let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
//! sent.extend(b"\0\0\x0c\x04\0\0\0\0\0\0\x01\0\x01\0\0\0\x04\0\x02\0\0"); // SETTINGS
//! sent.extend(b"\0\0\x04\x08\0\0\0\0\0\0\xbf\0\x01"); // WINDOW_UPDATE
//! sent.extend(b"\0\0\x0c\x01\x05\0\0\0\x01\x82\x84\x41\x07example\x87"); // HEADERS
//! let mut opening = Opening::default();
//! assert!(opening.read(&sent));
//! assert_eq!(opening.to_string(), "1:65536;4:131072|12517377|0|m,p,a,s");
//! ```
//!
//! The parts are the first SETTINGS in its order; what the first WINDOW_UPDATE of the connection adds, `00` where there is none
//! before the first request; PRIORITY frames before it as `stream:exclusive:depends on:weight`, `0` where there are none; and the
//! pseudo-fields of the first request. `+` ends a list of which more came than is told. Settings whose numbers are drawn by lot
//! (`0x?a?a`, as in TLS) are left out: the text would be another each time.
//!
//! Of the first request only the names before its first ordinary field are read, values are passed over and nothing is remembered:
//! no second decoder of field sections. Nothing is refused here: whoever reads the frames to serve them says what is wrong with
//! them. It is evidence, not identity: whoever wants to can open like a browser.

mod names;

use std::fmt;

use self::names::Names;
pub use self::names::PseudoOrder;
use crate::ja4::is_grease;

/// Settings that are told: RFC 9113 knows six, and no client is known to send more than eight.
pub const SETTINGS: usize = 16;
/// PRIORITY frames that are told: the old Firefox, which sent most, has six.
pub const PRIORITIES: usize = 8;

/// Octets before the first frame (RFC 9113 section 3.4).
const PREFACE_BYTES: u8 = 24;
/// Octets of a frame's head (RFC 9113 section 4.1).
const HEAD_BYTES: usize = 9;
/// The longest of [`Item`].
const ITEM_BYTES: usize = 6;

/// Frame types and flags (RFC 9113 section 6).
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const SETTINGS_FRAME: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITISED: u8 = 32;

/// What a client sends at the beginning of its connection, as far as it has come.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Octets of the preface still to come.
    preface: u8,
    head: [u8; HEAD_BYTES],
    known: usize,
    frame: Frame,
    /// Octets of the payload still to come.
    left: u32,
    item: [u8; ITEM_BYTES],
    item_known: usize,
    settings: List<(u16, u32), SETTINGS>,
    has_settings: bool,
    window: Option<u32>,
    priorities: List<Priority, PRIORITIES>,
    names: Names,
    is_over: bool,
}

/// What is done with the payload of the frame that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    Passed,
    Items(Item),
    Section(Section),
}

/// Things of which a payload holds one, or several, one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Setting,
    Window,
    Priority(u32),
}

impl Item {
    fn octets(self) -> usize {
        match self {
            Self::Setting => 6,
            Self::Window => 4,
            Self::Priority(_) => 5,
        }
    }
}

/// A piece of a field section: HEADERS, or CONTINUATION.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Section {
    /// The next octet says how much padding ends the payload.
    says_padding: bool,
    padding: u8,
    /// Octets of a priority still to come.
    priority: u8,
    is_last: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Priority {
    stream: u32,
    exclusive: bool,
    depends_on: u32,
    weight: u16,
}

/// The first of them, and how many there were.
#[derive(Clone, Copy, Debug)]
struct List<T, const MOST: usize> {
    first: [T; MOST],
    came: usize,
}

impl<T: Copy + Default, const MOST: usize> List<T, MOST> {
    fn new() -> Self {
        Self {
            first: [T::default(); MOST],
            came: 0,
        }
    }

    fn push(&mut self, item: T) {
        if let Some(place) = self.first.get_mut(self.came) {
            *place = item;
        }
        self.came = self.came.saturating_add(1);
    }

    fn first(&self) -> &[T] {
        self.first.get(..self.came).unwrap_or(&self.first)
    }

    fn is_cut(&self) -> bool {
        self.came > MOST
    }
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            preface: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            known: 0,
            frame: Frame::Passed,
            left: 0,
            item: [0; ITEM_BYTES],
            item_known: 0,
            settings: List::new(),
            has_settings: false,
            window: None,
            priorities: List::new(),
            names: Names::default(),
            is_over: false,
        }
    }
}

impl Opening {
    /// Reads on, from the first octet of the connection, in whatever pieces. True once all is known; what comes then is nothing to it.
    pub fn read(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            if self.is_over {
                break;
            }
            self.step(byte);
        }
        self.is_over
    }

    /// In which order the first request's pseudo-fields stood.
    pub fn order(&self) -> PseudoOrder {
        self.names.order()
    }

    fn step(&mut self, byte: u8) {
        if self.preface > 0 {
            self.preface -= 1;
            return;
        }
        if self.left > 0 {
            self.payload(byte);
            self.left -= 1;
            if self.left == 0 {
                self.end();
            }
            return;
        }
        if let Some(octet) = self.head.get_mut(self.known) {
            *octet = byte;
        }
        self.known += 1;
        if self.known == HEAD_BYTES {
            self.known = 0;
            self.begin();
            if self.left == 0 {
                self.end();
            }
        }
    }

    /// The head of a frame is known.
    fn begin(&mut self) {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.head;
        self.left = u32::from_be_bytes([0, l0, l1, l2]);
        self.item_known = 0;
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]); // its first bit is reserved
        self.frame = match kind {
            SETTINGS_FRAME if flags & ACK == 0 && !self.has_settings => {
                self.has_settings = true;
                Frame::Items(Item::Setting)
            }
            WINDOW_UPDATE if stream == 0 && self.window.is_none() => Frame::Items(Item::Window),
            PRIORITY => Frame::Items(Item::Priority(stream)),
            HEADERS => Frame::Section(Section {
                says_padding: flags & PADDED != 0,
                padding: 0,
                priority: if flags & PRIORITISED != 0 { 5 } else { 0 },
                is_last: flags & END_HEADERS != 0,
            }),
            // Only behind HEADERS; elsewhere it ends the connection (RFC 9113 section 6.10).
            CONTINUATION => Frame::Section(Section {
                says_padding: false,
                padding: 0,
                priority: 0,
                is_last: flags & END_HEADERS != 0,
            }),
            _ => Frame::Passed,
        };
    }

    fn payload(&mut self, byte: u8) {
        match &mut self.frame {
            Frame::Passed => {}
            Frame::Items(item) => {
                let item = *item;
                if let Some(octet) = self.item.get_mut(self.item_known) {
                    *octet = byte;
                }
                self.item_known += 1;
                if self.item_known == item.octets() {
                    self.item_known = 0;
                    self.take(item);
                }
            }
            Frame::Section(section) => {
                if section.says_padding {
                    section.says_padding = false;
                    section.padding = byte;
                } else if section.priority > 0 {
                    section.priority -= 1;
                } else if self.left > u32::from(section.padding) {
                    self.is_over = self.names.read(byte).is_break();
                }
            }
        }
    }

    fn take(&mut self, item: Item) {
        let [a, b, c, d, e, f] = self.item;
        match item {
            Item::Setting => {
                let number = u16::from_be_bytes([a, b]);
                if !is_grease(number) {
                    let value = u32::from_be_bytes([c, d, e, f]);
                    self.settings.push((number, value));
                }
            }
            Item::Window => {
                let more = u32::from_be_bytes([a & 0x7f, b, c, d]);
                self.window.get_or_insert(more);
            }
            Item::Priority(stream) => self.priorities.push(Priority {
                stream,
                exclusive: a & 0x80 != 0,
                depends_on: u32::from_be_bytes([a & 0x7f, b, c, d]),
                weight: u16::from(e) + 1, // RFC 7540 section 6.3
            }),
        }
    }

    /// A frame has come to its end.
    fn end(&mut self) {
        if let Frame::Section(section) = self.frame {
            self.is_over |= section.is_last;
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parted = "";
        for (number, value) in self.settings.first() {
            write!(out, "{parted}{number}:{value}")?;
            parted = ";";
        }
        if self.settings.is_cut() {
            out.write_str(";+")?;
        }
        match self.window {
            Some(more) => write!(out, "|{more}|")?,
            None => out.write_str("|00|")?,
        }
        if self.priorities.first().is_empty() {
            out.write_str("0")?;
        }
        let mut parted = "";
        for one in self.priorities.first() {
            let exclusive = u8::from(one.exclusive);
            let (stream, depends_on, weight) = (one.stream, one.depends_on, one.weight);
            write!(out, "{parted}{stream}:{exclusive}:{depends_on}:{weight}")?;
            parted = ",";
        }
        if self.priorities.is_cut() {
            out.write_str(",+")?;
        }
        write!(out, "|{}", self.order())
    }
}

#[cfg(test)]
#[path = "opening/tests.rs"]
mod tests;
