//! Header lines: where they lie in a head's octets, and how one is read.

use crate::known::{Known, KnownSet};
use crate::message::{HeadLimits, Version};
use crate::plain;

/// A header field line, borrowed from its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Which field it is, if it is one this program acts on.
    pub known: Known,
    /// The name as it came.
    pub name: &'a [u8],
    /// The value without white space around it (OWS, RFC 9110 section 5.6.3).
    pub value: &'a [u8],
    /// Whether it concerns this connection only, and is not forwarded: see `is_hop_by_hop`.
    pub hop_by_hop: bool,
}

/// What can be wrong with the lines of any head; requests and responses give it their own name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadFault {
    BareCr,
    BareLf,
    Nul,
    Control,
    Folded,
    SpaceBeforeColon,
    EmptyFieldName,
    MalformedFieldName,
    TooLarge,
    MalformedConnection,
    ProtectedNomination,
    LengthBesideTransferEncoding,
    RepeatedContentLength,
    ListedContentLength,
    MalformedContentLength,
    RepeatedTransferEncoding,
    TransferEncodingNotChunked,
    TransferEncodingInHttp10,
}

/// A part of a head's octets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Span {
        // `HeadLimits::CEILING` keeps positions far below 2^32.
        Span {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(end).unwrap_or(u32::MAX),
        }
    }

    /// Of positions that are known to be within `HeadLimits::CEILING`.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn within_ceiling(start: usize, end: usize) -> Span {
        debug_assert!(end <= HeadLimits::CEILING.head_bytes);
        Span {
            start: start as u32,
            end: end as u32,
        }
    }

    pub(crate) fn of(self, octets: &[u8]) -> &[u8] {
        octets
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    pub(crate) fn end(self) -> usize {
        self.end as usize
    }

    pub(crate) fn length(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) known: Known,
    pub(crate) hop_by_hop: bool,
}

/// Lines whose memory, 20 bytes each, stays with a connection for its next head: the default limit of fields.
pub(crate) const KEPT_LINES: usize = 100;

/// The field lines of one message, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    lines: Vec<Line>,
    present: KnownSet,
    /// Names of more than one line.
    repeated: KnownSet,
}

impl Lines {
    /// Keeps memory for [`KEPT_LINES`].
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.lines.shrink_to(KEPT_LINES);
        self.present = KnownSet::default();
        self.repeated = KnownSet::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(crate) fn push(&mut self, octets: &[u8], name: Span, value: Span) -> Known {
        let known = Known::of(name.of(octets));
        self.push_known(name, value, known);
        known
    }

    #[inline(always)] // of two callers only the one in the loop of nearly all heads matters
    fn push_known(&mut self, name: Span, value: Span, known: Known) {
        if self.present.insert(known) {
            self.repeated.insert(known);
        }
        self.lines.push(Line {
            name,
            value,
            known,
            hop_by_hop: known.is_connection_specific(),
        });
    }

    /// Reads the lines that `scan` stands at the beginning of, as long as they are all there and have nothing unusual, at
    /// most up to `most` lines. True when the empty line behind them was read too; otherwise what comes after them is for
    /// [`LineScan::next_line`].
    pub(crate) fn read_plain(
        &mut self,
        octets: &[u8],
        scan: &mut LineScan,
        ceiling: usize,
        most: usize,
    ) -> bool {
        if scan.seen != scan.line_start {
            return false; // the beginning of the line was looked at already
        }
        let within = octets.get(..ceiling.min(octets.len())).unwrap_or_default();
        while self.lines.len() < most
            && let Some(line) = plain::field_line(within, scan.line_start)
        {
            self.push_known(line.name, line.value, line.known);
            scan.skip_to(line.end);
        }
        let end = scan.line_start + b"\r\n".len();
        let is_empty = within.get(scan.line_start..end) == Some(b"\r\n");
        if is_empty {
            scan.skip_to(end);
        }
        is_empty
    }

    pub(crate) fn fields<'a>(
        &'a self,
        octets: &'a [u8],
    ) -> impl DoubleEndedIterator<Item = Field<'a>> + Clone {
        self.lines.iter().map(|line| Field {
            known: line.known,
            name: line.name.of(octets),
            value: line.value.of(octets),
            hop_by_hop: line.hop_by_hop,
        })
    }

    pub(crate) fn contains(&self, known: Known) -> bool {
        self.present.contains(known)
    }

    pub(crate) fn all<'a>(
        &'a self,
        octets: &'a [u8],
        known: Known,
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> + Clone {
        let lines = if self.present.contains(known) {
            self.lines.as_slice()
        } else {
            &[]
        };
        lines
            .iter()
            .filter(move |line| line.known == known)
            .map(|line| line.value.of(octets))
    }

    pub(crate) fn named<'a>(
        &'a self,
        octets: &'a [u8],
        name: &'a [u8],
    ) -> impl DoubleEndedIterator<Item = &'a [u8]> + Clone {
        let matches = move |line: &&Line| line.name.of(octets).eq_ignore_ascii_case(name);
        self.lines
            .iter()
            .filter(matches)
            .map(|line| line.value.of(octets))
    }

    /// The value of the line at `index`, if it is of that name.
    pub(crate) fn value_at(&self, index: usize, known: Known) -> Option<Span> {
        self.lines
            .get(index)
            .filter(|line| line.known == known)
            .map(|line| line.value)
    }

    /// Whether there is more than one line of that name.
    pub(crate) fn is_repeated(&self, known: Known) -> bool {
        self.repeated.contains(known)
    }

    /// The value of the first line of that name; empty when there is none.
    pub(crate) fn value_span(&self, known: Known) -> Span {
        self.lines
            .iter()
            .find(|line| line.known == known)
            .map(|line| line.value)
            .unwrap_or_default()
    }

    /// Puts `value` in the place of the first line of that name, and takes all others away.
    pub(crate) fn join(&mut self, known: Known, value: Span) {
        let mut first = true;
        self.lines
            .retain(|line| line.known != known || std::mem::take(&mut first));
        if let Some(line) = self.lines.iter_mut().find(|line| line.known == known) {
            line.value = value;
        }
        self.repeated.remove(known);
    }

    /// Reads `Connection`: marks the lines it nominates as hop-by-hop (RFC 9110 section 7.6.1).
    pub(crate) fn read_connection(
        &mut self,
        octets: &[u8],
        tolerate: Option<Known>,
    ) -> Result<Connection, HeadFault> {
        let mut connection = Connection::default();
        if !self.present.contains(Known::Connection) {
            return Ok(connection);
        }
        // What nearly every client sends, where it nominates nothing.
        if !self.is_repeated(Known::Connection)
            && !self.present.contains(Known::KeepAlive)
            && self
                .value_span(Known::Connection)
                .of(octets)
                .eq_ignore_ascii_case(b"keep-alive")
        {
            connection.keep_alive = true;
            return Ok(connection);
        }
        let mut options = 0;
        for index in 0..self.lines.len() {
            let Some(line) = self
                .lines
                .get(index)
                .filter(|line| line.known == Known::Connection)
            else {
                continue;
            };
            for option in list(line.value.of(octets)) {
                options += 1;
                if options > CONNECTION_OPTIONS || !is_token(option) {
                    return Err(HeadFault::MalformedConnection);
                }
                connection.read_option(option);
                self.nominate(octets, option, tolerate)?;
            }
        }
        Ok(connection)
    }

    fn nominate(
        &mut self,
        octets: &[u8],
        option: &[u8],
        tolerate: Option<Known>,
    ) -> Result<(), HeadFault> {
        let known = Known::of(option);
        if (known.is_protected() || known == Known::TransferEncoding) && Some(known) != tolerate {
            return Err(HeadFault::ProtectedNomination);
        }
        // A known name that is not there needs no search; most options are `keep-alive` or `close`.
        if known != Known::Other && !self.present.contains(known) {
            return Ok(());
        }
        for line in self.lines.iter_mut().filter(|line| line.known == known) {
            line.hop_by_hop |=
                known != Known::Other || line.name.of(octets).eq_ignore_ascii_case(option);
        }
        Ok(())
    }

    /// Reads `Content-Length` and `Transfer-Encoding` (RFC 9112 section 6.3), taking nothing for granted.
    pub(crate) fn read_framing(
        &self,
        octets: &[u8],
        version: Version,
    ) -> Result<Framing, HeadFault> {
        let length = self.present.contains(Known::ContentLength);
        if self.present.contains(Known::TransferEncoding) {
            let mut codings = self.all(octets, Known::TransferEncoding);
            let coding = codings.next().unwrap_or_default();
            return match version {
                _ if length => Err(HeadFault::LengthBesideTransferEncoding),
                Version::Http10 => Err(HeadFault::TransferEncodingInHttp10),
                _ if codings.next().is_some() => Err(HeadFault::RepeatedTransferEncoding),
                _ if !coding.eq_ignore_ascii_case(b"chunked") => {
                    Err(HeadFault::TransferEncodingNotChunked)
                }
                _ => Ok(Framing::Chunked),
            };
        }
        if !length {
            return Ok(Framing::Unsaid);
        }
        let mut lengths = self.all(octets, Known::ContentLength);
        let value = lengths.next().unwrap_or_default();
        if lengths.next().is_some() {
            return Err(HeadFault::RepeatedContentLength);
        }
        match parse_length(value) {
            Some(length) => Ok(Framing::Length(length)),
            None if value.contains(&b',') => Err(HeadFault::ListedContentLength),
            None => Err(HeadFault::MalformedContentLength),
        }
    }
}

/// What the fields say about the length of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Unsaid,
    Length(u64),
    Chunked,
}

/// Options of `Connection` read over all its lines; a real client sends two or three.
pub(crate) const CONNECTION_OPTIONS: usize = 32;

/// The options of `Connection` that have a meaning of their own.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Connection {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}

impl Connection {
    fn read_option(&mut self, option: &[u8]) {
        self.close |= option.eq_ignore_ascii_case(b"close");
        self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
    }

    /// RFC 9112 section 9.3.
    pub(crate) fn persists(self, version: Version) -> bool {
        match version {
            _ if self.close => false,
            Version::Http10 => self.keep_alive,
            _ => true,
        }
    }
}

/// The elements of a comma-separated list, trimmed, without the empty ones (RFC 9110 section 5.6.1.2).
///
/// Knows no quoted strings: only for lists of tokens.
pub fn list(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value
        .split(|&b| b == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// Without spaces and tabs at both ends.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// One or more characters of a token (RFC 9110 section 5.6.2).
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| is_tchar(b))
}

// An array of 256 indexed by a byte is always in bounds.
#[allow(clippy::indexing_slicing)]
pub(crate) const fn is_tchar(b: u8) -> bool {
    TCHAR[b as usize]
}

#[allow(clippy::indexing_slicing)]
static TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128_u8 {
        table[b as usize] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        b += 1;
    }
    table
};

/// The most digits a `Content-Length` may have: as many as the largest 64-bit number.
pub const LENGTH_DIGITS: usize = 20;

/// `1*DIGIT` up to [`LENGTH_DIGITS`], not above `u64::MAX`.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > LENGTH_DIGITS {
        return None;
    }
    value.iter().try_fold(0_u64, |length, &b| {
        let digit = b.is_ascii_digit().then(|| b - b'0')?;
        length.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Reads one line without its ending as `name: value`; both as parts of `octets`.
pub(crate) fn read_field_line(octets: &[u8], line: Span) -> Result<(Span, Span), HeadFault> {
    let text = line.of(octets);
    if matches!(text, [b' ' | b'\t', ..]) {
        return Err(HeadFault::Folded);
    }
    let name_length = text
        .iter()
        .position(|&b| !is_tchar(b))
        .ok_or(HeadFault::MalformedFieldName)?;
    match text.get(name_length) {
        Some(b':') if name_length == 0 => return Err(HeadFault::EmptyFieldName),
        Some(b':') => {}
        Some(b' ' | b'\t') if next_is_colon(text, name_length) => {
            return Err(HeadFault::SpaceBeforeColon);
        }
        _ => return Err(HeadFault::MalformedFieldName),
    }
    let untrimmed = text.get(name_length + 1..).unwrap_or_default();
    let leading = untrimmed
        .iter()
        .take_while(|b| matches!(b, b' ' | b'\t'))
        .count();
    let value_start = line.start() + name_length + 1 + leading;
    let value_end = value_start + trim(untrimmed).len();
    Ok((
        Span::new(line.start(), line.start() + name_length),
        Span::new(value_start, value_end),
    ))
}

fn next_is_colon(text: &[u8], from: usize) -> bool {
    let rest = text.get(from..).unwrap_or_default();
    rest.iter().find(|b| !matches!(b, b' ' | b'\t')) == Some(&b':')
}

/// Finds the lines of a head as its bytes arrive, looking at every byte once however the bytes are split, and refusing a
/// bad one as soon as it is seen.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct LineScan {
    line_start: usize,
    seen: usize,
}

impl LineScan {
    /// The next whole line without its CR LF; `None` when it has not arrived yet. A line must end before `ceiling`.
    pub(crate) fn next_line(
        &mut self,
        octets: &[u8],
        ceiling: usize,
    ) -> Result<Option<Span>, HeadFault> {
        let within = octets.get(..ceiling.min(octets.len())).unwrap_or_default();
        let unseen = within.get(self.seen..).unwrap_or_default();
        let lf = memchr::memchr(b'\n', unseen);
        let text = unseen.get(..lf.unwrap_or(unseen.len())).unwrap_or_default();
        // A carriage return at the end may yet get its line feed: it is looked at again with what follows.
        let (text, ends_in_cr) = match text {
            [text @ .., b'\r'] => (text, true),
            text => (text, false),
        };
        if let Some(fault) = control_fault(text) {
            return Err(fault);
        }
        match lf {
            Some(_) if !ends_in_cr => Err(HeadFault::BareLf),
            Some(lf) => {
                let line = Span::new(self.line_start, self.seen + lf - 1);
                self.seen += lf + 1;
                self.line_start = self.seen;
                Ok(Some(line))
            }
            None if octets.len() >= ceiling => Err(HeadFault::TooLarge),
            None => {
                self.seen += text.len();
                Ok(None)
            }
        }
    }

    /// The line that begins at [`position`](Self::position) ends before `end`, and nothing is wrong with it.
    #[inline]
    pub(crate) fn skip_to(&mut self, end: usize) {
        self.line_start = end;
        self.seen = end;
    }

    /// True while no octet was looked at.
    pub(crate) fn is_at_start(self) -> bool {
        self.seen == 0
    }

    /// Where the next line begins: after the last line, that is the end of the head.
    pub(crate) fn position(self) -> usize {
        self.line_start
    }
}

/// The first character of `text` that no line may hold.
pub(crate) fn control_fault(text: &[u8]) -> Option<HeadFault> {
    // Without an early exit the compiler looks at 16 bytes at once; bad bytes are rare.
    let clean = text.iter().fold(true, |clean, &b| clean & !is_control(b));
    if clean {
        return None;
    }
    text.iter().find_map(|&b| match b {
        0 => Some(HeadFault::Nul),
        b'\r' => Some(HeadFault::BareCr),
        b'\n' => Some(HeadFault::BareLf),
        b if is_control(b) => Some(HeadFault::Control),
        _ => None,
    })
}

const fn is_control(b: u8) -> bool {
    (b < b' ' && b != b'\t') || b == 0x7f
}
