//! Error pages: whose trouble it is, what it is called, what to do now.

use std::collections::HashMap;

use super::template::{Slot, Template};
use super::visible::{push_hostile, push_text};
use super::words::Words;

/// Whose side the trouble is on: the first thing a page tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The request itself: malformed, not allowed, too much.
    Visitor,
    /// This edge.
    Edge,
    /// The website behind it.
    Origin,
}

/// How the page is written. Chosen from `Accept` (RFC 9110 section 12.5.1): HTML only for clients that name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A page for a browser.
    Html,
    /// Plain text, for a terminal.
    Text,
    /// `application/problem+json` (RFC 9457), for a program.
    Problem,
}

/// The languages pages are written in. Chosen from `Accept-Language`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    English,
    /// Bengali.
    Bengali,
}

/// One error, as everyone is told of it who meets it. Carries nothing an outsider may not know: no origin address, no path.
#[derive(Clone, Copy, Debug)]
pub struct Trouble<'a> {
    /// Whose side the trouble is on.
    pub fault: Fault,
    /// The status code of the answer.
    pub status: u16,
    /// The reason's stable name, as in the header, the log and the metric.
    pub reason: &'a str,
    /// What the reason means, in one English sentence.
    pub explain: &'a str,
}

/// What only one who met it is told.
#[derive(Clone, Copy, Debug)]
pub struct Met<'a> {
    /// What to quote when asking for help: our own letters and digits.
    pub request_id: &'a [u8],
    /// The host asked for, as it came.
    pub host: &'a [u8],
    /// When, in seconds since 1970 (UTC).
    pub time_unix: u64,
}

/// The `Content-Type` of each format.
#[must_use]
pub const fn content_type(format: Format) -> &'static str {
    match format {
        Format::Html => "text/html; charset=utf-8",
        Format::Text => "text/plain; charset=utf-8",
        Format::Problem => "application/problem+json",
    }
}

impl Language {
    /// The language's tag (RFC 5646), for `Content-Language` and `lang`.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Bengali => "bn",
        }
    }

    const ALL: [Self; 2] = [Self::English, Self::Bengali];

    const fn source(self) -> &'static str {
        match self {
            Self::English => include_str!("en.ftl"),
            Self::Bengali => include_str!("bn.ftl"),
        }
    }
}

/// A DNS name has at most 253 characters (RFC 1035 section 2.3.4); more of a host is not worth showing.
pub(crate) const HOST_SHOWN: usize = 253;
/// Reasons and request ids are our own and short; a longer one is somebody's mistake.
pub(crate) const NAME_SHOWN: usize = 80;
/// A sentence, not an essay.
pub(crate) const EXPLAIN_SHOWN: usize = 400;

/// Every error page, rendered save for what differs from request to request.
///
/// Made once at start (a few milliseconds, about 400 KiB). It holds plain text and can be shared by all cores.
pub struct Pages {
    sheets: Vec<Sheet>,
    /// What the named reasons mean, in a language of its own. English takes [`Trouble::explain`].
    bengali: HashMap<String, String>,
}

/// One page in all formats, with holes.
struct Sheet {
    language: Language,
    fault: Fault,
    kind: Kind,
    html: Template<Hole>,
    text: Template<Hole>,
    problem: Template<Hole>,
}

/// The page of one error, whole but for what only one who met it is told.
pub struct Page {
    template: Template<Particular>,
    format: Format,
    length: usize,
}

/// What is not written yet on a sheet.
#[derive(Clone, Copy)]
enum Hole {
    Status,
    Reason,
    Explain,
    Particular(Particular),
}

/// What is filled in when a request is answered.
#[derive(Clone, Copy)]
enum Particular {
    RequestId,
    Host,
    Time,
    TimeRfc3339,
}

/// Kinds of trouble that call for different words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Request,
    Forbidden,
    NotFound,
    Method,
    Slow,
    TooLarge,
    UnknownSite,
    TooMany,
    EdgeTrouble,
    EdgeBusy,
    Loop,
    OriginUnreachable,
    OriginSlow,
    OriginBusy,
    OriginGarbled,
}

impl Default for Pages {
    fn default() -> Self {
        Self::new()
    }
}

impl Pages {
    /// Renders every page in every language, leaving holes for what a request fills in.
    #[must_use]
    pub fn new() -> Self {
        let mut pages = Self {
            sheets: Vec::with_capacity(Language::ALL.len() * Kind::ALL.len()),
            bengali: HashMap::new(),
        };
        for language in Language::ALL {
            let words = Words::read(language.tag(), language.source());
            for &(fault, kind) in Kind::ALL {
                pages
                    .sheets
                    .push(Sheet::draw(language, fault, kind, &words));
            }
            if language == Language::Bengali {
                pages.bengali = words.reasons("reason-", language.source());
            }
        }
        pages
    }

    /// The page of an error; there is one for each, which a test makes sure of.
    #[must_use]
    pub fn page(&self, trouble: &Trouble<'_>, format: Format, language: Language) -> Option<Page> {
        let explain = match language {
            Language::English => trouble.explain,
            Language::Bengali => self
                .bengali
                .get(trouble.reason)
                .map_or(trouble.explain, String::as_str),
        };
        let sheet = self.sheet(trouble, language)?;
        let template = sheet.template(format).settle(|hole, out| {
            match hole {
                Hole::Status => push_hostile(trouble.status.to_string().as_bytes(), 5, format, out),
                Hole::Reason => push_hostile(trouble.reason.as_bytes(), NAME_SHOWN, format, out),
                Hole::Explain => push_text(explain, EXPLAIN_SHOWN, format, out),
                Hole::Particular(particular) => return Some(particular),
            }
            None
        });
        let length = template.length();
        Some(Page {
            template,
            format,
            length,
        })
    }

    fn sheet(&self, trouble: &Trouble<'_>, language: Language) -> Option<&Sheet> {
        let kind = Kind::of(trouble);
        self.sheets.iter().find(|sheet| {
            sheet.language == language && sheet.fault == trouble.fault && sheet.kind == kind
        })
    }
}

impl Page {
    /// Writes it to one who met the error: a few copies, no formatting machinery.
    #[must_use]
    pub fn write(&self, met: &Met<'_>) -> Vec<u8> {
        let Self { format, length, .. } = *self;
        let particular = met.request_id.len() + met.host.len() + 2 * UTC_BYTES;
        let mut out = Vec::with_capacity(length + 2 * particular);
        self.template.fill(&mut out, |hole, out| match hole {
            Particular::RequestId => out.extend_from_slice(met.request_id),
            Particular::Host => push_hostile(met.host, HOST_SHOWN, format, out),
            Particular::Time => push_utc(met.time_unix, b' ', b" UTC", out),
            Particular::TimeRfc3339 => push_utc(met.time_unix, b'T', b"Z", out),
        });
        out
    }
}

impl Sheet {
    fn draw(language: Language, fault: Fault, kind: Kind, words: &Words) -> Self {
        let cut = |source: &str, format: Format| {
            Template::cut(source, |name| {
                slot(name, language, fault, kind, format, words)
            })
        };
        Self {
            language,
            fault,
            kind,
            html: cut(include_str!("error.html"), Format::Html),
            text: cut(include_str!("error.txt"), Format::Text),
            problem: cut(include_str!("problem.json"), Format::Problem),
        }
    }

    const fn template(&self, format: Format) -> &Template<Hole> {
        match format {
            Format::Html => &self.html,
            Format::Text => &self.text,
            Format::Problem => &self.problem,
        }
    }
}

/// What belongs in the place called `name`.
fn slot(
    name: &str,
    language: Language,
    fault: Fault,
    kind: Kind,
    format: Format,
    words: &Words,
) -> Option<Slot<Hole>> {
    let hole = match name {
        "status" => Hole::Status,
        "reason" => Hole::Reason,
        "explain" => Hole::Explain,
        "request-id" => Hole::Particular(Particular::RequestId),
        "host" => Hole::Particular(Particular::Host),
        "time" => Hole::Particular(Particular::Time),
        "time-rfc3339" => Hole::Particular(Particular::TimeRfc3339),
        _ => return fixed(name, language, fault, kind, format, words).map(Slot::Text),
    };
    Some(Slot::Hole(hole))
}

fn fixed(
    name: &str,
    language: Language,
    fault: Fault,
    kind: Kind,
    format: Format,
    words: &Words,
) -> Option<String> {
    let stops = Stop::all(fault);
    if let Some((which, part)) = name.split_once('-')
        && let Some((_, stop)) = stops.iter().find(|(stop, _)| *stop == which)
    {
        match part {
            "state" => return Some(stop.class().to_owned()),
            "mark" => return Some(stop.mark().to_owned()),
            "sign" => return Some(stop.sign().to_owned()),
            "word" => {
                return Some(escaped(
                    &words.sentence(&format!("{which}-{}", stop.word()))?,
                    format,
                ));
            }
            _ => {}
        }
    }
    let sentence = match name {
        "style" => return Some(include_str!("error.css").replace('\n', "")),
        "tag" => return Some(language.tag().to_owned()),
        "fault" => return Some(fault.name().to_owned()),
        "title" => words.sentence(kind.id())?,
        "happened" | "todo" | "owner" => words.sentence(&format!("{}.{name}", kind.id()))?,
        _ => words.sentence(name)?,
    };
    Some(escaped(&sentence, format))
}

fn escaped(text: &str, format: Format) -> String {
    let mut out = Vec::with_capacity(text.len());
    push_text(text, usize::MAX, format, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// One of the three stops a request passes: visitor, edge, origin.
#[derive(Clone, Copy)]
enum Stop {
    Ok,
    Bad,
    NotAsked,
    NotKnown,
}

impl Stop {
    const fn all(fault: Fault) -> [(&'static str, Self); 3] {
        let [visitor, edge, origin] = match fault {
            Fault::Visitor => [Self::Bad, Self::Ok, Self::NotAsked],
            Fault::Edge => [Self::Ok, Self::Bad, Self::NotKnown],
            Fault::Origin => [Self::Ok, Self::Ok, Self::Bad],
        };
        [("visitor", visitor), ("edge", edge), ("origin", origin)]
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Bad => "bad",
            Self::NotAsked => "not-asked",
            Self::NotKnown => "not-known",
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Bad => "bad",
            Self::NotAsked | Self::NotKnown => "idle",
        }
    }

    /// For plain text, where a screen reader meets it too.
    const fn sign(self) -> &'static str {
        match self {
            Self::Ok => "[ok]",
            Self::Bad => "[!!]",
            Self::NotAsked | Self::NotKnown => "[--]",
        }
    }

    /// Shape as well as colour: a tick, a cross or a dash on the corner of the picture.
    const fn mark(self) -> &'static str {
        match self {
            Self::Ok => {
                r#"<circle class="m" cx="54" cy="11" r="10"/><path class="n" d="m49 11 4 4 6-8"/>"#
            }
            Self::Bad => {
                r#"<circle class="m" cx="54" cy="11" r="10"/><path class="n" d="m50 7 8 8m0-8-8 8"/>"#
            }
            Self::NotAsked | Self::NotKnown => {
                r#"<circle class="m" cx="54" cy="11" r="10"/><path class="n" d="M50 11h8"/>"#
            }
        }
    }
}

impl Fault {
    /// The fault's stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::Edge => "edge",
            Self::Origin => "origin",
        }
    }
}

impl Kind {
    /// Every kind, with whose fault it can be.
    const ALL: &[(Fault, Self)] = &[
        (Fault::Visitor, Self::Request),
        (Fault::Visitor, Self::Forbidden),
        (Fault::Visitor, Self::NotFound),
        (Fault::Visitor, Self::Method),
        (Fault::Visitor, Self::Slow),
        (Fault::Visitor, Self::TooLarge),
        (Fault::Visitor, Self::UnknownSite),
        (Fault::Visitor, Self::TooMany),
        (Fault::Visitor, Self::Loop),
        (Fault::Edge, Self::EdgeTrouble),
        (Fault::Edge, Self::EdgeBusy),
        (Fault::Edge, Self::Loop),
        (Fault::Origin, Self::OriginUnreachable),
        (Fault::Origin, Self::OriginSlow),
        (Fault::Origin, Self::OriginBusy),
        (Fault::Origin, Self::OriginGarbled),
        (Fault::Origin, Self::Loop),
    ];

    fn of(trouble: &Trouble<'_>) -> Self {
        match (trouble.fault, trouble.status) {
            (_, 508) => Self::Loop,
            (Fault::Visitor, 401 | 402 | 403 | 451) => Self::Forbidden,
            (Fault::Visitor, 404 | 410) => Self::NotFound,
            (Fault::Visitor, 405 | 501) => Self::Method,
            (Fault::Visitor, 408) => Self::Slow,
            (Fault::Visitor, 413 | 414 | 431) => Self::TooLarge,
            (Fault::Visitor, 421) => Self::UnknownSite,
            (Fault::Visitor, 429) => Self::TooMany,
            (Fault::Visitor, _) => Self::Request,
            (Fault::Edge, 503) => Self::EdgeBusy,
            (Fault::Edge, _) => Self::EdgeTrouble,
            (Fault::Origin, 504) => Self::OriginSlow,
            (Fault::Origin, _) if unreachable(trouble.reason) => Self::OriginUnreachable,
            (Fault::Origin, 503) => Self::OriginBusy,
            (Fault::Origin, _) => Self::OriginGarbled,
        }
    }

    const fn id(self) -> &'static str {
        match self {
            Self::Request => "visitor-request",
            Self::Forbidden => "visitor-forbidden",
            Self::NotFound => "visitor-not-found",
            Self::Method => "visitor-method",
            Self::Slow => "visitor-slow",
            Self::TooLarge => "visitor-too-large",
            Self::UnknownSite => "visitor-unknown-site",
            Self::TooMany => "visitor-too-many",
            Self::EdgeTrouble => "edge-trouble",
            Self::EdgeBusy => "edge-busy",
            Self::Loop => "loop",
            Self::OriginUnreachable => "origin-unreachable",
            Self::OriginSlow => "origin-slow",
            Self::OriginBusy => "origin-busy",
            Self::OriginGarbled => "origin-garbled",
        }
    }
}

/// No answer at all, as opposed to a late one, one that cannot be trusted, or a server that is up and full.
fn unreachable(reason: &str) -> bool {
    let reached_nobody = ["name-not-resolved", "no-healthy-origin", "breaker-open"];
    let broke_off = ["reset", "ended-early"];
    reached_nobody.contains(&reason)
        || broke_off.contains(&reason)
        || reason.starts_with("connect-")
        || reason.starts_with("tls-")
}

/// The last second that four digits of year can say.
const END_OF_9999: u64 = 253_402_300_799;

/// Bytes that a time has at most.
const UTC_BYTES: usize = "2026-11-22 18:41:53 UTC".len();

/// `2026-11-22T18:41:53Z`, with the given words between date and time and at the end.
fn push_utc(unix: u64, between: u8, end: &[u8], out: &mut Vec<u8>) {
    let unix = unix.min(END_OF_9999);
    let (day, second) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(day);
    let [c, y] = [digits(year / 100), digits(year % 100)];
    let [m, d] = [digits(month), digits(day)];
    let [h, n] = [digits(second / 3600), digits(second / 60 % 60)];
    let s = digits(second % 60);
    out.extend_from_slice(&[
        c[0], c[1], y[0], y[1], b'-', m[0], m[1], b'-', d[0], d[1], between, h[0], h[1], b':',
        n[0], n[1], b':', s[0], s[1],
    ]);
    out.extend_from_slice(end);
}

/// The last two.
#[allow(clippy::cast_possible_truncation)] // each is a digit
fn digits(number: u64) -> [u8; 2] {
    [number / 10, number].map(|number| b'0' + (number % 10) as u8)
}

/// Year, month and day of a count of days since 1970, in the Gregorian calendar. Counts from 1 March of year 0, so that
/// the leap day ends a year and every month's start is a straight line.
const fn civil(days: u64) -> (u64, u64, u64) {
    /// Days from 1 March of year 0 to 1 January 1970.
    const TO_1970: u64 = 719_468;
    /// Days in 400, 100, 4 and 1 years.
    const CYCLE: [u64; 4] = [146_097, 36_524, 1_461, 365];
    let [in_400, in_100, in_4, in_1] = CYCLE;
    let mut left = days + TO_1970;
    let mut year = left / in_400 * 400;
    left %= in_400;
    // The last day of a cycle belongs to its last century, and 29 February to the fourth year.
    let century = if left / in_100 > 3 { 3 } else { left / in_100 };
    year += century * 100;
    left -= century * in_100;
    year += left / in_4 * 4;
    left %= in_4;
    let single = if left / in_1 > 3 { 3 } else { left / in_1 };
    year += single;
    left -= single * in_1;
    // Months from March have 31 30 31 30 31 | 31 30 31 30 31 | 31 28/29 days: 153 for each five.
    let month = (left * 5 + 2) / 153;
    let day = left - (month * 153 + 2) / 5 + 1;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
