//! Which codings and languages a client takes, in a form in which equivalent wishes are equal (RFC 9110 section 12.5).

use mangrove_http::{Known, RequestHead, accept};

/// The most languages of one request that are put in order; of more, the rest stay out of the comparison as they came.
pub const LANGUAGES: usize = 16;

/// Which of the content codings that the edge can serve a client takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct AcceptedCodings {
    /// `zstd` (RFC 8878)
    pub zstd: bool,
    /// `br` (RFC 7932)
    pub br: bool,
    /// `gzip`, also as `x-gzip`
    pub gzip: bool,
}

impl AcceptedCodings {
    /// Reads `Accept-Encoding`: a coding counts when it, or `*`, has a weight above zero (RFC 9110 section 12.5.3).
    pub fn read(request: &RequestHead) -> AcceptedCodings {
        let (mut zstd, mut br, mut gzip, mut any) = (None, None, None, false);
        for (coding, weight) in accept::weighted(request, Known::AcceptEncoding) {
            let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
            let wanted = weight > 0;
            if is("zstd") {
                zstd = Some(wanted);
            } else if is("br") {
                br = Some(wanted);
            } else if is("gzip") || is("x-gzip") {
                gzip = Some(wanted);
            } else if coding == b"*" {
                any = wanted;
            }
        }
        AcceptedCodings {
            zstd: zstd.unwrap_or(any),
            br: br.unwrap_or(any),
            gzip: gzip.unwrap_or(any),
        }
    }

    /// The `Accept-Encoding` that says the same, to be forwarded in place of the client's, so that responses that vary on
    /// it vary on nothing else; empty when the field is to be left out.
    pub const fn as_str(self) -> &'static str {
        match (self.gzip, self.br, self.zstd) {
            (false, false, false) => "",
            (true, false, false) => "gzip",
            (false, true, false) => "br",
            (true, true, false) => "gzip, br",
            (false, false, true) => "zstd",
            (true, false, true) => "gzip, zstd",
            (false, true, true) => "br, zstd",
            (true, true, true) => "gzip, br, zstd",
        }
    }
}

/// Appends the languages in lower case, best first, without what says nothing. Languages of equal weight have no order of
/// preference (RFC 9110 section 12.5.4), so they are put in that of their names.
pub(crate) fn write_languages(request: &RequestHead, out: &mut Vec<u8>) {
    let mut known: [(u16, &[u8]); LANGUAGES] = [(0, b""); LANGUAGES];
    let mut count = 0;
    let mut more = false;
    for (language, weight) in accept::weighted(request, Known::AcceptLanguage) {
        match known.get_mut(count) {
            Some(place) => {
                *place = (weight, language);
                count += 1;
            }
            None => more = true,
        }
    }
    if more {
        // Longer than any browser's: compared as it came.
        for line in request.all(Known::AcceptLanguage) {
            out.extend_from_slice(line);
            out.push(1);
        }
        return;
    }
    let known = known.get_mut(..count).unwrap_or_default();
    known.sort_unstable_by(|(weight, name), (other_weight, other)| {
        let by_name = || {
            name.iter()
                .map(u8::to_ascii_lowercase)
                .cmp(other.iter().map(u8::to_ascii_lowercase))
        };
        other_weight.cmp(weight).then_with(by_name)
    });
    for (place, (weight, language)) in known.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend(language.iter().map(u8::to_ascii_lowercase));
        if *weight != 1000 {
            out.extend_from_slice(b";q=");
            crate::range::push_decimal(out, u64::from(*weight));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(name: &str, value: &str) -> RequestHead {
        let mut head = RequestHead::new();
        head.begin_h2();
        head.push_field(name.as_bytes(), value.as_bytes());
        head
    }

    #[test]
    fn codings() {
        let read = |value| AcceptedCodings::read(&asking("accept-encoding", value)).as_str();
        assert_eq!(read("gzip, deflate, br, zstd"), "gzip, br, zstd");
        assert_eq!(read("br;q=0.1 , X-GZIP"), "gzip, br");
        assert_eq!(read("gzip;q=0, *"), "br, zstd");
        assert_eq!(read("identity"), "");
        assert_eq!(AcceptedCodings::read(&RequestHead::new()).as_str(), "");
        for codings in [
            "",
            "gzip",
            "br",
            "gzip, br",
            "zstd",
            "gzip, zstd",
            "br, zstd",
            "gzip, br, zstd",
        ] {
            assert_eq!(read(codings), codings, "forwarded, it says the same");
        }
    }

    #[test]
    fn languages() {
        let write = |value: &str| {
            let mut out = Vec::new();
            write_languages(&asking("accept-language", value), &mut out);
            String::from_utf8(out).unwrap()
        };
        for same in ["en, de", "de, en", "eN ,   De", "de;q=1.0,en;q=1"] {
            assert_eq!(write(same), "de,en", "{same}");
        }
        assert_eq!(write("fr;q=0.5, de"), "de,fr;q=500");
        assert_ne!(write("fr;q=0.5, de"), write("de;q=0.5, fr"));
        let many = |count: usize| {
            (0..count)
                .map(|n| format!("a{n}"))
                .rev()
                .collect::<Vec<_>>()
                .join(", ")
        };
        assert!(write(&many(LANGUAGES)).starts_with("a0,"));
        assert_eq!(write(&many(LANGUAGES + 1)), many(LANGUAGES + 1) + "\x01");
    }
}
