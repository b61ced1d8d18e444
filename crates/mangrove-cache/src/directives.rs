//! `Cache-Control`, as a request and as a response say it (RFC 9111 section 5.2).
//!
//! What is malformed is read the safe way: what restricts is obeyed, what permits is not believed. Of several values the
//! shortest counts.

use mangrove_http::{RequestHead, is_token, list, quoted};

/// The largest number of seconds there is; a larger one counts as this (RFC 9111 section 1.2.2). 68 years.
pub const DELTA_CEILING: u32 = 1 << 31;

/// The most field names that `no-cache="…"` and `private="…"` may list together; with more, nothing is reused unasked.
pub const WITHHELD_FIELDS: usize = 32;

/// `1*DIGIT`, at most [`DELTA_CEILING`]; `None` for anything else.
pub fn delta_seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u32, |seconds, &b| {
        let digit = b.is_ascii_digit().then(|| u32::from(b - b'0'))?;
        Some(
            seconds
                .saturating_mul(10)
                .saturating_add(digit)
                .min(DELTA_CEILING),
        )
    })
}

/// What a request says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// Ask the origin first.
    pub no_cache: bool,
    /// Keep nothing of this exchange.
    pub no_store: bool,
    /// Answer from the cache or not at all.
    pub only_if_cached: bool,
    /// The greatest age wanted, in seconds.
    pub max_age: Option<u32>,
    /// How long it must stay fresh, in seconds.
    pub min_fresh: Option<u32>,
    /// How stale it may be, in seconds; [`DELTA_CEILING`] when no number was given.
    pub max_stale: Option<u32>,
    /// How stale it may be when the origin fails, in seconds (RFC 5861 section 4).
    pub stale_if_error: Option<u32>,
}

impl RequestDirectives {
    /// Reads every line of `Cache-Control`; without one, `Pragma: no-cache` (RFC 9111 section 5.4).
    pub fn read(request: &RequestHead) -> RequestDirectives {
        use mangrove_http::Known;
        let mut said = RequestDirectives::default();
        if request.field(Known::CacheControl).is_none() {
            said.no_cache = request
                .all(Known::Pragma)
                .flat_map(list)
                .any(|directive| directive.eq_ignore_ascii_case(b"no-cache"));
            return said;
        }
        for line in request.all(Known::CacheControl) {
            said.read_line(line);
        }
        said
    }

    /// Adds one line.
    pub fn read_line(&mut self, line: &[u8]) {
        for (name, argument) in directives(line) {
            let is = |directive: &str| name.eq_ignore_ascii_case(directive.as_bytes());
            if is("no-cache") {
                self.no_cache = true;
            } else if is("no-store") {
                self.no_store = true;
            } else if is("only-if-cached") {
                self.only_if_cached = true;
            } else if is("max-age") {
                shorten(&mut self.max_age, argument.seconds().unwrap_or(0));
            } else if is("min-fresh") {
                let seconds = argument.seconds().unwrap_or(DELTA_CEILING);
                self.min_fresh = Some(self.min_fresh.unwrap_or(0).max(seconds));
            } else if is("max-stale") {
                let seconds = match argument {
                    Argument::Absent => DELTA_CEILING,
                    argument => argument.seconds().unwrap_or(0),
                };
                shorten(&mut self.max_stale, seconds);
            } else if is("stale-if-error") {
                shorten(&mut self.stale_if_error, argument.seconds().unwrap_or(0));
            }
            if let Argument::Malformed(text) = argument {
                self.restrict(text);
            }
        }
    }

    /// A quote that never closes hides what follows it: whatever restricts is obeyed all the same.
    fn restrict(&mut self, text: &[u8]) {
        for piece in list(text) {
            let (name, _) = split_name(piece);
            self.no_store |= name.eq_ignore_ascii_case(b"no-store");
            self.no_cache |= name.eq_ignore_ascii_case(b"no-cache");
        }
    }
}

/// What a response says, in `Cache-Control` or in a targeted field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// `no-store`
    pub no_store: bool,
    /// `no-cache` without a list of fields.
    pub no_cache: bool,
    /// `private` without a list of fields.
    pub private: bool,
    /// `public`
    pub public: bool,
    /// `must-revalidate`
    pub must_revalidate: bool,
    /// `proxy-revalidate`
    pub proxy_revalidate: bool,
    /// `must-understand`
    pub must_understand: bool,
    /// `no-transform`
    pub no_transform: bool,
    /// `immutable` (RFC 8246)
    pub immutable: bool,
    /// `max-age` in seconds; 0 when it was malformed.
    pub max_age: Option<u32>,
    /// `s-maxage` in seconds; 0 when it was malformed.
    pub s_maxage: Option<u32>,
    /// `stale-while-revalidate` in seconds (RFC 5861 section 3); 0 when it was malformed.
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error` in seconds (RFC 5861 section 4); 0 when it was malformed.
    pub stale_if_error: Option<u32>,
    /// Lower-case names listed by `no-cache="…"` and `private="…"`: these fields are not kept.
    pub withheld: Vec<Box<[u8]>>,
}

impl ResponseDirectives {
    /// Reads the lines of `Cache-Control`.
    pub fn read<'a>(lines: impl Iterator<Item = &'a [u8]>) -> ResponseDirectives {
        let mut said = ResponseDirectives::default();
        for line in lines {
            for (name, argument) in directives(line) {
                said.add(name, argument);
                if let Argument::Malformed(text) = argument {
                    said.restrict(text);
                }
            }
        }
        said
    }

    /// Adds one directive.
    pub(crate) fn add(&mut self, name: &[u8], argument: Argument<'_>) {
        let is = |directive: &str| name.eq_ignore_ascii_case(directive.as_bytes());
        let seconds = || argument.seconds().unwrap_or(0);
        let plain = argument == Argument::Absent;
        if is("max-age") {
            shorten(&mut self.max_age, seconds());
        } else if is("s-maxage") {
            shorten(&mut self.s_maxage, seconds());
        } else if is("no-cache") {
            self.no_cache |= !self.withhold(argument);
        } else if is("private") {
            self.private |= !self.withhold(argument);
        } else if is("no-store") {
            self.no_store = true;
        } else if is("public") {
            self.public |= plain;
        } else if is("must-revalidate") {
            self.must_revalidate = true;
        } else if is("proxy-revalidate") {
            self.proxy_revalidate = true;
        } else if is("must-understand") {
            self.must_understand = true;
        } else if is("no-transform") {
            self.no_transform = true;
        } else if is("immutable") {
            self.immutable |= plain;
        } else if is("stale-while-revalidate") {
            shorten(&mut self.stale_while_revalidate, seconds());
        } else if is("stale-if-error") {
            shorten(&mut self.stale_if_error, seconds());
        }
    }

    /// Takes up the listed fields; false when there is no proper list, and the directive is about the whole response.
    fn withhold(&mut self, argument: Argument<'_>) -> bool {
        let Argument::Given(names) = argument else {
            return false;
        };
        let within = self.withheld.len() + list(names).count() <= WITHHELD_FIELDS;
        if !within || list(names).next().is_none() || !list(names).all(is_token) {
            return false;
        }
        self.withheld
            .extend(list(names).map(|name| name.to_ascii_lowercase().into_boxed_slice()));
        true
    }

    /// A quote that never closes hides what follows it: whatever restricts is obeyed all the same.
    fn restrict(&mut self, text: &[u8]) {
        for piece in list(text) {
            let (name, _) = split_name(piece);
            let is = |directive: &str| name.eq_ignore_ascii_case(directive.as_bytes());
            self.no_store |= is("no-store");
            self.no_cache |= is("no-cache");
            self.private |= is("private");
            self.must_revalidate |= is("must-revalidate");
            self.proxy_revalidate |= is("proxy-revalidate");
        }
    }
}

/// What stands behind the name of a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    Absent,
    /// A token, or what is between the quotes; both forms are accepted everywhere (RFC 9111 section 5.2).
    Given(&'a [u8]),
    /// Neither; the rest of the element.
    Malformed(&'a [u8]),
}

impl Argument<'_> {
    fn seconds(self) -> Option<u32> {
        match self {
            Argument::Given(text) => delta_seconds(text),
            _ => None,
        }
    }
}

/// The directives of one line, with their arguments.
fn directives(line: &[u8]) -> impl Iterator<Item = (&[u8], Argument<'_>)> {
    quoted::split(line, b',').map(|element| {
        let (name, rest) = split_name(element);
        let argument = match (rest, quoted::parameter(element)) {
            ([], _) => Argument::Absent,
            (_, Some((_, value))) => Argument::Given(value),
            (rest, None) => Argument::Malformed(rest),
        };
        (name, argument)
    })
}

/// The token an element begins with, and the rest.
pub(crate) fn split_name(element: &[u8]) -> (&[u8], &[u8]) {
    let length = element
        .iter()
        .position(|b| !is_token(std::slice::from_ref(b)))
        .unwrap_or(element.len());
    element.split_at_checked(length).unwrap_or((element, &[]))
}

fn shorten(value: &mut Option<u32>, seconds: u32) {
    *value = Some(value.map_or(seconds, |value| value.min(seconds)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> ResponseDirectives {
        ResponseDirectives::read(lines.iter().map(|line| line.as_bytes()))
    }

    #[test]
    fn seconds() {
        let read = |text: &str| delta_seconds(text.as_bytes());
        assert_eq!(read("003600"), Some(3600));
        assert_eq!(read("2147483648"), Some(DELTA_CEILING));
        assert_eq!(read("99999999999999999999999"), Some(DELTA_CEILING));
        for wrong in ["", "-1", "1.0", "a1", "1a", "'1'", " 1", "+1"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_in_any_case_arguments_quoted_or_not() {
        let said = read(&[
            "No-StOrE",
            "max-age=\"5\", S-MaxAge=7,unknown=\"max-age=1, private\"",
        ]);
        assert!(said.no_store && !said.private);
        assert_eq!((said.max_age, said.s_maxage), (Some(5), Some(7)));
    }

    #[test]
    fn the_shortest_of_several_counts_and_a_malformed_one_is_zero() {
        assert_eq!(
            read(&["max-age=3600, max-age=5", "max-age=9"]).max_age,
            Some(5)
        );
        for wrong in [
            "max-age",
            "max-age=",
            "max-age=a1",
            "max-age= 5",
            "max-age =5",
            "max-age=-5",
            "max-age='5'",
            "max-age=5.0",
        ] {
            assert_eq!(read(&[wrong]).max_age, Some(0), "{wrong}");
        }
    }

    #[test]
    fn listed_fields_are_withheld_and_a_bad_list_means_everything() {
        let said = read(&["no-cache=\"Set-Cookie, X-A\", private=x-b"]);
        assert!(!said.no_cache && !said.private);
        assert_eq!(
            said.withheld,
            [&b"set-cookie"[..], b"x-a", b"x-b"].map(Box::from)
        );
        for wrong in [
            "no-cache=\"\"",
            "no-cache=\"a b\"",
            "no-cache=\"a",
            "no-cache=",
            "no-cache=\"a\", no-cache",
        ] {
            assert!(read(&[wrong]).no_cache, "{wrong}");
        }
        let names = |count| format!("private=\"{}\"", vec!["a"; count].join(","));
        assert!(!read(&[&names(WITHHELD_FIELDS)]).private);
        assert!(read(&[&names(WITHHELD_FIELDS + 1)]).private);
    }

    #[test]
    fn a_quote_that_never_closes_hides_no_prohibition() {
        let said = read(&["max-age=60, x=\"oops, no-store, public, max-age=9"]);
        assert!(said.no_store && !said.public);
        assert_eq!(said.max_age, Some(60));
    }

    #[test]
    fn requests() {
        let read = |line: &str| {
            let mut said = RequestDirectives::default();
            said.read_line(line.as_bytes());
            said
        };
        assert!(read("NO-CACHE").no_cache && read("no-store=1").no_store);
        assert_eq!(read("max-stale").max_stale, Some(DELTA_CEILING));
        assert_eq!(read("max-stale=x").max_stale, Some(0));
        assert_eq!(read("max-stale, max-stale=5").max_stale, Some(5));
        assert_eq!(read("min-fresh=5, min-fresh=9").min_fresh, Some(9));
        assert_eq!(read("max-age=x").max_age, Some(0));
        let hidden = read("x=\"oops, no-store, No-Cache");
        assert!(hidden.no_store && hidden.no_cache && !read("x=\"no-store\"").no_store);
    }
}
