//! The parameters of an operator's request: read strictly, because one that is misread may purge too much.

use mangrove_http::{HeadLimits, RequestHead, Scheme};

use crate::admin::Reply;

/// The longest URL that is looked up: a target as long as the settings allow, and scheme, host and port before it.
pub(crate) const URL_BYTES: usize = 66 * 1024;

/// What a request may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    /// `name=value`, where the value is not empty; once.
    Value(&'static str),
    /// The same, so many times at the most.
    Values(&'static str, usize),
    /// `name`, without a value; once.
    Flag(&'static str),
}

/// What it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    /// Reads a query. A value is percent-encoded; `+` is a plus sign, since no URL and no name holds a space.
    ///
    /// # Errors
    /// 400 with what to send instead, for whatever is unknown, repeated, empty or malformed: nothing is guessed.
    pub(super) fn read(query: Option<&[u8]>, known: &[Parameter]) -> Result<Self, Reply> {
        let mut said: Vec<(&'static str, String)> = Vec::new();
        let query = query.unwrap_or_default();
        for part in query.split(|&b| b == b'&').filter(|part| !part.is_empty()) {
            let equals = part.iter().position(|&b| b == b'=');
            let (name, value) = match equals.and_then(|at| part.split_at_checked(at)) {
                Some((name, value)) => (name, value.get(1..)),
                None => (part, None),
            };
            let of_name = |known: &&Parameter| known.name().as_bytes() == name;
            let Some(parameter) = known.iter().find(of_name) else {
                return Err(unknown(name, known));
            };
            let name = parameter.name();
            let before = said.iter().filter(|(other, _)| *other == name).count();
            match parameter {
                Parameter::Values(_, most) if before < *most => {}
                Parameter::Values(_, most) => {
                    let why =
                        format!("{name} is given more than {most} times: order the rest by itself");
                    return Err(Reply::error(400, why));
                }
                _ if before == 0 => {}
                _ => return Err(Reply::error(400, format!("{name} is given twice"))),
            }
            let value = match (parameter, value) {
                (Parameter::Flag(_), None) => String::new(),
                (Parameter::Flag(_), Some(_)) => {
                    return Err(Reply::error(
                        400,
                        format!("{name} takes no value: write `{name}` alone, or leave it out"),
                    ));
                }
                (Parameter::Value(_) | Parameter::Values(..), None | Some(b"")) => {
                    return Err(Reply::error(
                        400,
                        format!("{name} is empty: write {name}=VALUE, or leave it out"),
                    ));
                }
                (Parameter::Value(_) | Parameter::Values(..), Some(value)) => {
                    let decoded = decode(value).and_then(|value| String::from_utf8(value).ok());
                    decoded.ok_or_else(|| {
                        let why = "% begins two hexadecimal digits, which give UTF-8 text";
                        Reply::error(400, format!("{name} is not percent-encoded well: {why}"))
                    })?
                }
            };
            said.push((name, value));
        }
        Ok(Self(said))
    }

    /// What is said under a name.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let mut said = self.0.iter();
        said.find_map(|(other, value)| (*other == name).then_some(value.as_str()))
    }

    /// All that is said under a name, in order.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let said = self.0.iter().filter(move |(other, _)| *other == name);
        said.map(|(_, value)| value.as_str())
    }

    /// Whether a flag is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

impl Parameter {
    const fn name(self) -> &'static str {
        match self {
            Self::Value(name) | Self::Values(name, _) | Self::Flag(name) => name,
        }
    }
}

fn unknown(name: &[u8], known: &[Parameter]) -> Reply {
    let name = String::from_utf8_lossy(name);
    let known: Vec<String> = known
        .iter()
        .map(|parameter| match parameter {
            Parameter::Value(name) | Parameter::Values(name, _) => format!("{name}=…"),
            Parameter::Flag(name) => (*name).to_owned(),
        })
        .collect();
    let known = match known.is_empty() {
        true => "nothing".to_owned(),
        false => known.join(", "),
    };
    Reply::error(
        400,
        format!(
            "{name} means nothing here; known: {known}. Within a URL, write & as %26, % as %25 and # as %23"
        ),
    )
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let [high, low] = digits else { return None };
        out.push(hex(*high)? << 4 | hex(*low)?);
        rest = after;
    }
    Some(out)
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

/// The URL of something kept, as the plainest request for it.
#[derive(Debug)]
pub(super) struct Url {
    /// `GET` of it, without fields.
    pub(super) request: RequestHead,
    /// http or https.
    pub(super) scheme: Scheme,
    /// Its path in normal form.
    pub(super) normal: Vec<u8>,
}

impl Url {
    /// Reads an absolute URL. What follows `#` is no part of it.
    ///
    /// # Errors
    /// 400 with what to write instead; 414 when it is longer than [`URL_BYTES`].
    pub(super) fn read(text: &str) -> Result<Self, Reply> {
        if text.len() > URL_BYTES {
            let most = URL_BYTES / 1024;
            return Err(Reply::error(
                414,
                format!("a URL has at most {most} KiB here"),
            ));
        }
        let text = text.split('#').next().unwrap_or_default();
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            let why = "it holds spaces or letters beyond ASCII; write those percent-encoded, and names in Punycode";
            return Err(no_url(text, why));
        }
        let mut request = RequestHead::new();
        let line = format!("GET {text} HTTP/1.0\r\n\r\n");
        request.octets_mut().extend_from_slice(line.as_bytes());
        let parsed = request.parse_h1(&HeadLimits::CEILING);
        let scheme = request.scheme().filter(|_| matches!(parsed, Ok(Some(_))));
        let (Some(scheme), false) = (scheme, request.host().is_empty()) else {
            return Err(no_url(text, "it has no scheme and host, or a wrong one"));
        };
        let mut normal = Vec::new();
        mangrove_http::normalize(request.path(), &mut normal);
        Ok(Self {
            request,
            scheme,
            normal,
        })
    }

    /// Whether its path is not in normal form, so that a site may keep it under two keys.
    pub(super) fn is_spelled_otherwise(&self) -> bool {
        self.request.path() != self.normal
    }
}

fn no_url(text: &str, why: &str) -> Reply {
    Reply::error(
        400,
        format!(
            "{text:?} is no URL to look up: {why}. Write all of it, such as https://news.example/a?b=c"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Parameter] = &[
        Parameter::Value("site"),
        Parameter::Value("url"),
        Parameter::Values("tag", 3),
        Parameter::Flag("all"),
    ];

    fn read(query: &str) -> Result<Parameters, Reply> {
        Parameters::read(Some(query.as_bytes()), KNOWN)
    }

    #[test]
    fn what_is_said_is_found_decoded() {
        let said = read("site=news&url=http%3a//a/?b=1%26c=%252F+%C3%A9").unwrap();
        assert_eq!(said.value("site"), Some("news"));
        assert_eq!(said.value("url"), Some("http://a/?b=1&c=%2F+\u{e9}"));
        assert!(!said.has("all"));
        assert!(read("all&site=news").unwrap().has("all"));
        assert_eq!(
            Parameters::read(None, KNOWN).unwrap(),
            Parameters::default()
        );
    }

    #[test]
    fn one_value_too_many_is_refused() {
        let said = read("tag=a&tag=b&site=x&tag=a").unwrap();
        assert_eq!(said.values("tag").collect::<Vec<_>>(), ["a", "b", "a"]);
        let reply = read("tag=a&tag=b&tag=c&tag=d").unwrap_err();
        assert!(reply.body().contains("more than 3 times"), "{reply:?}");
    }

    #[test]
    fn nothing_is_guessed() {
        for (query, says) in [
            ("url=http://a/?b=1&c=2", "c means nothing here"),
            ("site=a&site=a", "site is given twice"),
            ("all&all", "all is given twice"),
            ("all=", "takes no value"),
            ("all=false", "takes no value"),
            ("site", "site is empty"),
            ("site=", "site is empty"),
            ("tag=a&tag=", "tag is empty"),
            ("url=%", "not percent-encoded well"),
            ("url=%4", "not percent-encoded well"),
            ("url=%zz", "not percent-encoded well"),
            ("url=%ff", "not percent-encoded well"),
            ("=x", "means nothing here"),
        ] {
            let reply = read(query).unwrap_err();
            assert_eq!(reply.status(), 400, "{query}");
            assert!(reply.body().contains(says), "{query}: {reply:?}");
        }
    }

    #[test]
    fn a_url_is_one_or_is_told_apart_from_one() {
        let url = Url::read("HTTPS://News.example:8443/a/../%7eb?q=1#top").unwrap();
        assert_eq!(url.scheme, Scheme::Https);
        assert_eq!(url.request.host(), b"News.example");
        assert_eq!(url.request.port(), Some(8443));
        assert_eq!(url.request.query(), Some(&b"q=1"[..]));
        assert_eq!(url.normal, b"/~b");
        assert!(url.is_spelled_otherwise());
        assert_eq!(Url::read("http://a").unwrap().normal, b"/");
        for wrong in [
            "",
            "/a",
            "news.example/a",
            "ftp://a/",
            "http://",
            "http:///a",
            "http://u@a/",
            "http://a b/",
            "http://a/\u{e9}",
            "http://a/\r\nx: y",
            "*",
        ] {
            let reply = Url::read(wrong).unwrap_err();
            assert_eq!(reply.status(), 400, "{wrong}");
            assert!(reply.body().contains("https://news.example/a"), "{wrong}");
        }
    }

    #[test]
    fn a_url_one_byte_too_long_is_not_looked_up() {
        let url = |bytes: usize| format!("http://a/{}", "x".repeat(bytes - "http://a/".len()));
        assert!(Url::read(&url(URL_BYTES)).is_ok());
        assert_eq!(Url::read(&url(URL_BYTES + 1)).unwrap_err().status(), 414);
    }
}
