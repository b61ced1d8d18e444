//! Which of several responses stored for one URL answers a request (RFC 9111 section 4.1).
//!
//! A variant is known by bytes made from the request that was answered: the site's own key parts (cookies, header fields,
//! device, language), then every field that `Vary` lists, in a form in which equivalent values are equal.

use mangrove_http::{Known, RequestHead, ResponseHead, is_token, list, quoted};

use crate::accept::{AcceptedCodings, write_languages};
use crate::asked::cookie;
use crate::device::{device_class, language_class};
use crate::reason::NotStored;
use crate::rules::{DeviceRule, KeyRules, Rules};
use crate::stored::Stored;

/// The most fields that `Vary` may list.
pub const VARY_FIELDS: usize = 16;
/// The most bytes by which a variant is known.
pub const VARIANT_BYTES: usize = 4096;
/// How far into each line of a field the words of [`WordsOfField`](crate::WordsOfField) are looked for, in bytes.
pub const WORDS_WITHIN: usize = 2048;

/// The fields that a response varies on: lower-case names in order, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vary {
    names: Box<[(Known, Box<[u8]>)]>,
}

impl Vary {
    /// Reads `Vary`. A `*` anywhere, a name that is none, or too many are reasons not to store.
    pub fn read(response: &ResponseHead) -> Result<Vary, NotStored> {
        Vary::of(response.all(Known::Vary))
    }

    pub(crate) fn of<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Result<Vary, NotStored> {
        let mut names: Vec<(Known, Box<[u8]>)> = Vec::new();
        for name in lines.flat_map(list) {
            if name == b"*" {
                return Err(NotStored::VaryStar);
            }
            if !is_token(name) {
                return Err(NotStored::VaryMalformed);
            }
            names.push((Known::of(name), name.to_ascii_lowercase().into()));
            if names.len() > VARY_FIELDS {
                return Err(NotStored::VaryTooWide);
            }
        }
        names.sort();
        names.dedup();
        Ok(Vary {
            names: names.into(),
        })
    }

    /// Whether it varies on nothing.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.names.iter().map(|(_, name)| &**name)
    }

    pub(crate) fn weight(&self) -> usize {
        self.names
            .iter()
            .map(|(_, name)| name.len() + size_of::<(Known, Box<[u8]>)>())
            .sum()
    }
}

/// Appends the bytes that tell a request from others among the variants of its URL.
///
/// Every part begins with NUL and its kind, and no value can hold a NUL: different parts never give the same bytes.
pub fn write_variant(vary: &Vary, request: &RequestHead, rules: &Rules, out: &mut Vec<u8>) {
    write_key_parts(&rules.key, request, out);
    for (known, name) in &vary.names {
        out.extend_from_slice(b"\0v");
        out.extend_from_slice(name);
        write_field(*known, name, request, rules, out);
    }
}

fn write_key_parts(rules: &KeyRules, request: &RequestHead, out: &mut Vec<u8>) {
    for name in &rules.cookies {
        out.extend_from_slice(b"\0c");
        out.extend_from_slice(name.as_bytes());
        if let Some(value) = cookie(request, name) {
            out.push(b'=');
            out.extend_from_slice(value);
        }
    }
    for name in &rules.headers {
        out.extend_from_slice(b"\0h");
        out.extend_from_slice(name.as_bytes());
        write_lines(request.named(name.as_bytes()), out);
    }
    for part in &rules.words {
        out.extend_from_slice(b"\0w");
        out.extend_from_slice(part.header.as_bytes());
        out.push(b'=');
        for word in &part.words {
            let has = |line| holds(line, word.as_bytes());
            let found = request.named(part.header.as_bytes()).any(has);
            out.push(if found { b'1' } else { b'0' });
        }
    }
    if rules.device != DeviceRule::Off {
        out.extend_from_slice(b"\0d");
        out.extend_from_slice(device_class(request, rules.device).name().as_bytes());
    }
    if !rules.languages.is_empty() {
        out.extend_from_slice(b"\0l");
        out.extend_from_slice(language_class(request, &rules.languages).as_bytes());
    }
}

/// One way in which the requests that a variant answers are alike, for a person to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distinction<'v> {
    /// What tells them from others.
    pub kind: DistinctionKind,
    /// The name of the field or cookie, in lower case; empty for device and language.
    pub name: &'v [u8],
    /// Its value in normal form, lines joined by the byte 1; `None` when the requests have none. Of words it is a digit for
    /// each: 1 where the field holds it.
    pub value: Option<&'v [u8]>,
}

/// What tells the requests of one variant from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistinctionKind {
    /// A field that the response's `Vary` names.
    Vary,
    /// A cookie of the site's key.
    Cookie,
    /// A header field of the site's key.
    Header,
    /// Words of a header field of the site's key.
    Words,
    /// The kind of device.
    Device,
    /// The language of the site's own that the request likes best.
    Language,
}

impl DistinctionKind {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            DistinctionKind::Vary => "vary",
            DistinctionKind::Cookie => "cookie",
            DistinctionKind::Header => "header",
            DistinctionKind::Words => "words",
            DistinctionKind::Device => "device",
            DistinctionKind::Language => "language",
        }
    }
}

/// Reads what [`write_variant`] wrote, in its order; what it cannot have written is left out.
pub fn distinctions(variant: &[u8]) -> impl Iterator<Item = Distinction<'_>> {
    variant.split(|&b| b == 0).filter_map(|part| {
        let (kind, rest) = part.split_first()?;
        let kind = match kind {
            b'v' => DistinctionKind::Vary,
            b'c' => DistinctionKind::Cookie,
            b'h' => DistinctionKind::Header,
            b'w' => DistinctionKind::Words,
            b'd' => DistinctionKind::Device,
            b'l' => DistinctionKind::Language,
            _ => return None,
        };
        let (name, value) = match kind {
            DistinctionKind::Device | DistinctionKind::Language => (&b""[..], Some(rest)),
            // No name holds an equals sign.
            _ => match rest.iter().position(|&b| b == b'=') {
                Some(at) => (rest.get(..at)?, rest.get(at + 1..)),
                None => (rest, None),
            },
        };
        Some(Distinction { kind, name, value })
    })
}

/// Whether `word` is in the first [`WORDS_WITHIN`] bytes of `line`, whatever its case.
fn holds(line: &[u8], word: &[u8]) -> bool {
    let looked_at = line.get(..WORDS_WITHIN).unwrap_or(line);
    looked_at
        .windows(word.len().max(1))
        .any(|window| window.eq_ignore_ascii_case(word))
}

fn write_field(known: Known, name: &[u8], request: &RequestHead, rules: &Rules, out: &mut Vec<u8>) {
    match known {
        Known::AcceptEncoding if rules.normalize_encoding => {
            out.push(b'=');
            out.extend_from_slice(AcceptedCodings::read(request).as_str().as_bytes());
        }
        Known::AcceptLanguage => {
            if request.field(known).is_some() {
                out.push(b'=');
                write_languages(request, out);
            }
        }
        // Not lists: every byte counts.
        Known::Cookie | Known::Authorization => write_lines(request.all(known), out),
        Known::Other => write_list(request.named(name), out),
        known => write_list(request.all(known), out),
    }
}

/// Lines as they came; no value can hold the byte between them.
fn write_lines<'a>(lines: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for (place, line) in lines.enumerate() {
        out.push(if place == 0 { b'=' } else { 1 });
        out.extend_from_slice(line);
    }
}

/// Lines as one list without white space around its commas (RFC 9111 section 4.1).
fn write_list<'a>(lines: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for (place, line) in lines.enumerate() {
        out.push(if place == 0 { b'=' } else { b',' });
        for (place, element) in quoted::split(line, b',').enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend_from_slice(element);
        }
    }
}

/// Which of the responses stored for a URL answers the request: of those that match, the one generated last.
///
/// `scratch` is memory to be used again; what is in it is lost.
pub fn select<'s>(
    stored: impl IntoIterator<Item = &'s Stored>,
    request: &RequestHead,
    rules: &Rules,
    scratch: &mut Vec<u8>,
) -> Option<usize> {
    let mut best: Option<(usize, &Stored)> = None;
    let mut written: Option<&Vary> = None;
    for (place, stored) in stored.into_iter().enumerate() {
        // Responses of one URL mostly vary on the same fields.
        if written != Some(&stored.vary) {
            scratch.clear();
            write_variant(&stored.vary, request, rules, scratch);
            written = Some(&stored.vary);
        }
        let later =
            |best: &Stored| (stored.date, stored.received_at) >= (best.date, best.received_at);
        if *scratch == *stored.variant && best.is_none_or(|(_, best)| later(best)) {
            best = Some((place, stored));
        }
    }
    best.map(|(place, _)| place)
}

/// Where a newly stored response goes among those of its URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In place of this one.
    Instead(usize),
    /// Beside the others.
    Beside,
}

/// Finds the place: that of the response it supersedes, or of the one received first when there are as many as the site
/// keeps.
pub fn place_for<'s>(
    new: &Stored,
    stored: impl IntoIterator<Item = &'s Stored> + Clone,
    rules: &Rules,
) -> Place {
    let mut all = stored.clone().into_iter();
    if let Some(same) = all.position(|old| old.variant == new.variant && old.vary == new.vary) {
        return Place::Instead(same);
    }
    if stored.clone().into_iter().count() < rules.variants.max(1) {
        return Place::Beside;
    }
    let oldest = stored
        .into_iter()
        .enumerate()
        .min_by_key(|(_, stored)| stored.received_at);
    oldest.map_or(Place::Beside, |(place, _)| Place::Instead(place))
}
