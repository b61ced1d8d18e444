//! What a visitor wants an error page to look like (RFC 9110 section 12.5).

use crate::field::trim;
use crate::known::Known;
use crate::quoted;
use crate::request::RequestHead;

/// Elements of Accept and Accept-Language looked at; browsers send about ten.
pub const ACCEPT_ELEMENTS: usize = 64;

/// The forms a page of ours comes in, in the order we prefer them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageForm {
    /// `text/html`
    Html,
    /// `text/plain`
    Plain,
    /// `application/problem+json` (RFC 9457), also for who asks for any JSON
    ProblemJson,
}

/// The languages our pages are written in, in the order we prefer them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// `en`
    English,
    /// `bn`
    Bengali,
}

impl Language {
    /// As `Content-Language` and `lang` write it.
    pub const fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Bengali => "bn",
        }
    }
}

/// The form with the highest quality by Accept; plain text when nothing is said, or nothing of ours is wanted.
///
/// HTML is only for who names it: every browser does, and `*/*` is what programs send.
pub fn preferred_form(head: &RequestHead) -> PageForm {
    let mut lines = head.all(Known::Accept);
    if let (None | Some(b"*/*"), None) = (lines.next(), lines.next()) {
        return PageForm::Plain; // what nearly every program says; floods of refusals are not worth more
    }
    const FORMS: [PageForm; 3] = [PageForm::Html, PageForm::Plain, PageForm::ProblemJson];
    let mut qualities = [(0, 0); FORMS.len()];
    for (range, quality) in weighted(head, Known::Accept) {
        for (found, form) in qualities.iter_mut().zip(FORMS) {
            // The most specific range that covers the form decides its quality (RFC 9110 section 12.5.1).
            let specific = specificity(range, form);
            if specific > found.0 {
                *found = (specific, quality);
            } else if specific == found.0 && specific > 0 {
                found.1 = found.1.max(quality);
            }
        }
    }
    let mut best = (0, PageForm::Plain);
    for ((_, quality), form) in qualities.into_iter().zip(FORMS) {
        if quality > best.0 {
            best = (quality, form);
        }
    }
    best.1
}

/// How closely a range describes a form; 0 where it does not cover it.
fn specificity(range: &[u8], form: PageForm) -> u8 {
    let is = |text: &[u8]| range.eq_ignore_ascii_case(text);
    match form {
        PageForm::Html if is(b"text/html") || is(b"application/xhtml+xml") => 4,
        PageForm::Plain if is(b"text/plain") => 4,
        PageForm::ProblemJson if is(b"application/problem+json") => 4,
        PageForm::ProblemJson if is(b"application/json") => 3,
        PageForm::Plain if is(b"text/*") => 2,
        PageForm::ProblemJson if is(b"application/*") => 2,
        PageForm::Plain | PageForm::ProblemJson if is(b"*/*") => 1,
        _ => 0,
    }
}

/// The language with the highest quality by Accept-Language; of equals the one named first, otherwise English.
///
/// A range means its language in any region or script: `bn-BD` is Bengali (lookup, RFC 4647 section 3.4).
pub fn preferred_language(head: &RequestHead) -> Language {
    let mut best = (0, Language::English);
    for (range, quality) in weighted(head, Known::AcceptLanguage) {
        let primary = range.split(|&b| b == b'-').next().unwrap_or_default();
        let is = |tag: &[u8]| primary.eq_ignore_ascii_case(tag);
        let language = if is(b"en") || range == b"*" {
            Language::English
        } else if is(b"bn") {
            Language::Bengali
        } else {
            continue;
        };
        if quality > best.0 {
            best = (quality, language);
        }
    }
    best.1
}

/// The elements of all lines with their quality in thousandths; an element with a malformed `q` is left out.
pub fn weighted(head: &RequestHead, known: Known) -> impl Iterator<Item = (&[u8], u16)> {
    let elements = head.all(known).flat_map(|line| quoted::split(line, b','));
    elements.take(ACCEPT_ELEMENTS).filter_map(|element| {
        let mut parts = quoted::split(element, b';');
        let range = parts.next()?;
        let mut quality = 1000;
        for part in parts {
            if let [b'q' | b'Q', rest @ ..] = part
                && let [b'=', value @ ..] = trim(rest)
            {
                quality = quality_thousandths(trim(value))?;
            }
        }
        Some((range, quality))
    })
}

/// `0`, `1`, `0.5`, `1.000` (RFC 9110 section 12.4.2).
fn quality_thousandths(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let digit = |b: &u8| b.is_ascii_digit().then(|| u16::from(b - b'0'));
    let mut thousandths = digit(whole)?;
    for place in 0..3 {
        thousandths = thousandths * 10 + fraction.get(place).map_or(Some(0), digit)?;
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(name: &str, value: &str) -> RequestHead {
        let mut head = RequestHead::new();
        head.begin_h2();
        head.push_field(name.as_bytes(), value.as_bytes());
        head
    }

    #[test]
    fn forms() {
        let form = |value| preferred_form(&head("accept", value));
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        assert_eq!(form(browser), PageForm::Html);
        assert_eq!(form("*/*"), PageForm::Plain);
        assert_eq!(
            form("image/png"),
            PageForm::Plain,
            "nothing of ours is wanted"
        );
        assert_eq!(form("text/html, text/plain"), PageForm::Html);
        assert_eq!(
            form("application/json, text/plain;q=0.9, */*;q=0.8"),
            PageForm::ProblemJson
        );
        assert_eq!(
            form("application/problem+json;q=0, application/json, text/*;q=0.1"),
            PageForm::Plain,
            "the specific range decides"
        );
        assert_eq!(form("text/plain;q=0, */*"), PageForm::ProblemJson);
        assert_eq!(form("text/html;q=0.5, text/plain;q=0.51"), PageForm::Plain);
        assert_eq!(
            form("text/html;q=2, text/plain;q=0.1"),
            PageForm::Plain,
            "a malformed weight counts for nothing"
        );
        assert_eq!(
            form("text/html;level=\"1,2\";q=0.2, text/plain;Q = 0.1"),
            PageForm::Html
        );
        assert_eq!(preferred_form(&RequestHead::new()), PageForm::Plain);
    }

    #[test]
    fn languages() {
        let language = |value| preferred_language(&head("accept-language", value));
        assert_eq!(language("bn-BD,bn;q=0.9,en;q=0.8"), Language::Bengali);
        assert_eq!(language("en-GB, bn"), Language::English);
        assert_eq!(language("de, bn;q=0.2"), Language::Bengali);
        assert_eq!(language("BN-Beng"), Language::Bengali);
        assert_eq!(language("en;q=0, bn;q=0.1"), Language::Bengali);
        assert_eq!(language("*"), Language::English);
        assert_eq!(language("bnx, fr"), Language::English);
        assert_eq!(preferred_language(&RequestHead::new()), Language::English);
    }

    #[test]
    fn elements_beyond_the_limit_are_not_seen() {
        let late = |others: usize| format!("{}bn", "de,".repeat(others));
        assert_eq!(
            preferred_language(&head("accept-language", &late(ACCEPT_ELEMENTS - 1))),
            Language::Bengali
        );
        assert_eq!(
            preferred_language(&head("accept-language", &late(ACCEPT_ELEMENTS))),
            Language::English
        );
    }

    #[test]
    fn qualities() {
        let quality = |text: &str| quality_thousandths(text.as_bytes());
        assert_eq!(
            [
                quality("0"),
                quality("1."),
                quality("0.5"),
                quality("0.123")
            ],
            [Some(0), Some(1000), Some(500), Some(123)]
        );
        for wrong in ["", "2", "1.001", "0.1234", ".5", "-1", "0,5", "0.x"] {
            assert_eq!(quality(wrong), None, "{wrong}");
        }
    }
}
