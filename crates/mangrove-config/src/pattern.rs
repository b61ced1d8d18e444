//! Names, and patterns over paths and names, as the cache is told about them. Each is checked when it is made and cannot
//! exist unchecked.

use std::fmt;
use std::str::FromStr;

use mangrove_cache::{
    MEDIA_PATTERN_BYTES, MediaPattern, NAME_PATTERN_BYTES, NamePattern, PATTERN_BYTES,
    PATTERN_STARS, PathPattern,
};
use serde::{Deserialize, Serialize};

use crate::names::is_token;

/// The longest name of a field or cookie, in bytes.
pub const FIELD_NAME_BYTES: usize = 256;
/// The longest word looked for in a field, in bytes.
pub const FIELD_WORD_BYTES: usize = 128;
/// The longest language tag (RFC 5646 section 4.4.1 asks for 35).
pub const LANGUAGE_BYTES: usize = 35;

macro_rules! checked {
    ($( $(#[$meta:meta])* $name:ident of $inner:ty, $parse:path; )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub(crate) $inner);

        impl $name {
            /// In the form in which it is compared.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                $parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.as_str())
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.as_str().to_owned()
            }
        }
    )* };
}

checked! {
    /// Paths: one, or those that a pattern with `*` matches.
    Paths of PathPattern, paths;
    /// Names of parameters in the query, decoded: one, or all that begin in a certain way.
    ParameterPattern of NamePattern, parameters;
    /// Names of cookies: one, or all that begin in a certain way.
    CookiePattern of NamePattern, cookies;
    /// The name of one cookie.
    CookieName of String, cookie;
    /// The name of a field, in lower case.
    FieldName of String, field;
    /// What is looked for in a field's value, in lower case.
    FieldWord of String, word;
    /// A language, in lower case: `en`, `pt-br` (RFC 5646).
    LanguageTag of String, language;
    /// Media types: one, or those that a pattern with `*` in its subtype matches. In lower case.
    MediaTypes of MediaPattern, media_types;
}

fn paths(text: &str) -> Result<PathPattern, String> {
    let Some(pattern) = PathPattern::parse(text) else {
        return Err(format!(
            "paths begin with / or *, and have at most {PATTERN_BYTES} bytes and {PATTERN_STARS} stars: \"/assets/*\", \"*.jpg\""
        ));
    };
    if text.contains(['?', '#']) {
        return Err("it matches no path: a path ends where the query begins".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "it matches no path: spaces and letters outside ASCII are escaped in paths, as in /%20"
                .to_owned(),
        );
    }
    let normal = pattern.in_normal_form();
    if normal != text {
        let matching = PathPattern::parse(&normal)
            .map(|_| format!("; write {normal:?}"))
            .unwrap_or_default();
        return Err(format!(
            "it matches no path: paths are compared in normal form (RFC 3986 section 6.2.2){matching}"
        ));
    }
    Ok(pattern)
}

fn pattern(text: &str) -> Result<NamePattern, String> {
    NamePattern::parse(text).ok_or_else(|| {
        format!(
            "a name has from 1 to {NAME_PATTERN_BYTES} bytes; `*` stands only at its end, for all that begin so"
        )
    })
}

fn parameters(text: &str) -> Result<NamePattern, String> {
    let pattern = pattern(text)?;
    if text.chars().any(char::is_control) {
        return Err("a name has no control characters".to_owned());
    }
    let escape = |window: &[u8]| matches!(window, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
    if text.as_bytes().windows(3).any(escape) {
        return Err(
            "it matches nothing: names are compared decoded, so write it decoded".to_owned(),
        );
    }
    Ok(pattern)
}

fn cookies(text: &str) -> Result<NamePattern, String> {
    let pattern = pattern(text)?;
    // The star is a token's character, too.
    if is_token(text) {
        Ok(pattern)
    } else {
        Err(NO_COOKIE.to_owned())
    }
}

const NO_COOKIE: &str = "a cookie's name has no spaces and none of ( ) < > @ , ; : \\ \" / [ ] ? = { } (RFC 6265 section 4.1.1)";

fn cookie(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("`*` cannot stand here: each cookie that counts is named".to_owned());
    }
    if text.len() > FIELD_NAME_BYTES {
        return Err(format!(
            "a cookie's name has at most {FIELD_NAME_BYTES} bytes here"
        ));
    }
    is_token(text)
        .then(|| text.to_owned())
        .ok_or_else(|| NO_COOKIE.to_owned())
}

fn field(text: &str) -> Result<String, String> {
    if text.len() > FIELD_NAME_BYTES {
        return Err(format!(
            "a field's name has at most {FIELD_NAME_BYTES} bytes here"
        ));
    }
    if text.contains('*') {
        return Err("`*` cannot stand here: each field that counts is named".to_owned());
    }
    if !is_token(text) {
        return Err(
            "a field's name is one word, such as \"x-country\" (RFC 9110 section 5.1)".to_owned(),
        );
    }
    Ok(text.to_ascii_lowercase())
}

fn word(text: &str) -> Result<String, String> {
    let length = 1..=FIELD_WORD_BYTES;
    let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if !length.contains(&text.len()) || !text.bytes().all(visible) || text.trim() != text {
        return Err(format!(
            "what is looked for has from 1 to {FIELD_WORD_BYTES} visible ASCII characters, with no space around them"
        ));
    }
    Ok(text.to_ascii_lowercase())
}

fn language(text: &str) -> Result<String, String> {
    let part = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let begins = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    if text.len() > LANGUAGE_BYTES || !begins || !text.split('-').all(part) {
        return Err("a language is written \"en\", \"bn\" or \"pt-br\" (RFC 5646)".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

fn media_types(text: &str) -> Result<MediaPattern, String> {
    MediaPattern::parse(&text.to_ascii_lowercase()).ok_or_else(|| {
        format!(
            "a media type is written \"text/html\", \"text/*\" or \"application/*+json\", without parameters, in at most {MEDIA_PATTERN_BYTES} bytes"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_that_cannot_match_is_refused_and_the_right_one_named() {
        let why = |text: &str| text.parse::<Paths>().unwrap_err();
        assert!(why("/a?b").contains("query"));
        assert!(why("/বাংলা").contains("escaped"));
        assert!(why("/%7euser/*").contains("write \"/~user/*\""));
        assert!(why("/a/../b").contains("write \"/b\""));
        assert!(why("*/../b").ends_with("6.2.2)"), "nothing to propose");
        for wrong in ["", "a", "/**********"] {
            assert!(why(wrong).contains("begin with"), "{wrong}");
        }
        for right in ["/a/*", "*.jpg", "*", "/.well-known/*", "/%E0%A6%AC*"] {
            assert!(right.parse::<Paths>().is_ok(), "{right}");
        }
    }

    #[test]
    fn names_that_cannot_match_are_refused() {
        for wrong in ["", "a*b", "%41", "a\n"] {
            assert!(wrong.parse::<ParameterPattern>().is_err(), "{wrong}");
        }
        for right in ["utm_*", "filter[a]", "100%", "বাংলা", "*"] {
            assert!(right.parse::<ParameterPattern>().is_ok(), "{right}");
        }
        for wrong in ["", "a b", "a=b", "a;b", "*a"] {
            assert!(wrong.parse::<CookiePattern>().is_err(), "{wrong}");
            assert!(wrong.parse::<CookieName>().is_err(), "{wrong}");
        }
        assert!("wordpress_*".parse::<CookiePattern>().is_ok());
        assert!("wordpress_*".parse::<CookieName>().is_err());
        assert_eq!(
            "X-Country".parse::<FieldName>().unwrap().as_str(),
            "x-country"
        );
        assert_eq!(
            "Image/AVIF".parse::<FieldWord>().unwrap().as_str(),
            "image/avif"
        );
        for wrong in ["", " a", "a\t", "\u{e9}"] {
            assert!(wrong.parse::<FieldWord>().is_err(), "{wrong}");
            assert!(wrong.parse::<FieldName>().is_err(), "{wrong}");
        }
        assert_eq!("pt-BR".parse::<LanguageTag>().unwrap().as_str(), "pt-br");
        for wrong in ["", "*", "en_GB", "en-", "123456789", "e n"] {
            assert!(wrong.parse::<LanguageTag>().is_err(), "{wrong}");
        }
        assert_eq!("Text/*".parse::<MediaTypes>().unwrap().as_str(), "text/*");
        assert!("text/html; charset=utf-8".parse::<MediaTypes>().is_err());
    }

    #[test]
    fn names_end_where_they_say() {
        let long = |length: usize| "a".repeat(length);
        assert!(long(FIELD_NAME_BYTES).parse::<FieldName>().is_ok());
        assert!(long(FIELD_NAME_BYTES + 1).parse::<FieldName>().is_err());
        assert!(long(FIELD_NAME_BYTES).parse::<CookieName>().is_ok());
        assert!(long(FIELD_NAME_BYTES + 1).parse::<CookieName>().is_err());
        assert!(long(FIELD_WORD_BYTES).parse::<FieldWord>().is_ok());
        assert!(long(FIELD_WORD_BYTES + 1).parse::<FieldWord>().is_err());
        assert!(long(NAME_PATTERN_BYTES).parse::<ParameterPattern>().is_ok());
        assert!(
            long(NAME_PATTERN_BYTES + 1)
                .parse::<ParameterPattern>()
                .is_err()
        );
        let tag = |length: usize| "abcdefgh-".repeat(5).get(..length).unwrap().to_owned();
        assert!(tag(LANGUAGE_BYTES).parse::<LanguageTag>().is_ok());
        assert!(tag(LANGUAGE_BYTES + 2).parse::<LanguageTag>().is_err());
    }

    proptest! {
        #[test]
        fn the_form_compared_is_its_own(text in "[*/a-zA-Z0-9%._=;?é-]{0,12}") {
            fn same<T: FromStr<Err = String> + fmt::Display + PartialEq + fmt::Debug>(text: &str) {
                if let Ok(value) = text.parse::<T>() {
                    assert_eq!(value.to_string().parse::<T>(), Ok(value));
                }
            }
            same::<Paths>(&text);
            same::<ParameterPattern>(&text);
            same::<CookiePattern>(&text);
            same::<CookieName>(&text);
            same::<FieldName>(&text);
            same::<FieldWord>(&text);
            same::<LanguageTag>(&text);
            same::<MediaTypes>(&text);
        }
    }
}
