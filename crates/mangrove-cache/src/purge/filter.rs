//! What a purge is about, read strictly: one that is misread may purge too much, or nothing.

use mangrove_http::{Authority, normalize};

use super::tags::{TAG_BYTES, is_tag};

/// The longest prefix of a path, in its normal form. Each length in use is looked for once per object and purge.
pub const PREFIX_BYTES: usize = 1024;
/// The longest key of a URL: a target as long as settings allow (64 KiB), and scheme, host and port before it.
pub const URL_KEY_BYTES: usize = 66 * 1024;

/// Which part of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Everything.
    All = 0,
    /// One of its hosts, whatever scheme and port.
    Host = 1,
    /// Paths that begin so, in normal form, whatever host and query.
    Prefix = 2,
    /// What its origin tagged so.
    Tag = 3,
    /// One URL, by its key.
    Url = 4,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::All, Self::Host, Self::Prefix, Self::Tag, Self::Url];

    /// The word of commands, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Host => "host",
            Self::Prefix => "prefix",
            Self::Tag => "tag",
            Self::Url => "url",
        }
    }
}

/// What a purge is about: made only by [`Filter::read`], so that an empty one does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    kind: Kind,
    text: Box<[u8]>,
}

/// Why a filter is none, told so that a person can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongFilter {
    /// Nothing, or nothing but white space.
    Empty(Kind),
    /// More than may be: so many bytes.
    TooLong(Kind, usize),
    /// Everything has no text.
    AllWithText,
    /// No host name or address.
    NotAHost,
    /// A host with its port.
    HostWithPort,
    /// A prefix that does not begin with `/`.
    NotAPath,
    /// A prefix with what no path holds.
    NotInAPath,
    /// A prefix that every path begins with.
    EveryPath,
    /// A prefix that ends in a star, as patterns do.
    Star,
    /// A tag with white space, a comma or a control character.
    NotATag,
    /// No key of a URL.
    NotAKey,
}

impl Filter {
    /// Everything of a site.
    pub fn all() -> Self {
        Self {
            kind: Kind::All,
            text: Box::default(),
        }
    }

    /// Reads one, and puts it in the form that is compared: a host in lower case without a final dot, a prefix in normal
    /// form. A URL is given as the key that [`write_key`](crate::write_key) makes of it.
    ///
    /// # Errors
    /// What is wrong with it; nothing is guessed.
    pub fn read(kind: Kind, text: &[u8]) -> Result<Self, WrongFilter> {
        if kind == Kind::All {
            return match text {
                [] => Ok(Self::all()),
                _ => Err(WrongFilter::AllWithText),
            };
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(WrongFilter::Empty(kind));
        }
        let longest = match kind {
            Kind::Prefix => PREFIX_BYTES,
            Kind::Tag => TAG_BYTES,
            Kind::All | Kind::Host | Kind::Url => URL_KEY_BYTES,
        };
        if text.len() > longest {
            return Err(WrongFilter::TooLong(kind, longest));
        }
        let text = match kind {
            Kind::Host => host(text)?,
            Kind::Prefix => prefix(text)?,
            Kind::Tag if is_tag(text) => text.into(),
            Kind::Tag => return Err(WrongFilter::NotATag),
            Kind::Url if is_key(text) => text.into(),
            Kind::Url | Kind::All => return Err(WrongFilter::NotAKey),
        };
        Ok(Self { kind, text })
    }

    /// Which part of a site.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Which host, prefix, tag or key, as it is compared; empty for everything.
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

fn host(text: &[u8]) -> Result<Box<[u8]>, WrongFilter> {
    let authority = Authority::parse(text).ok_or(WrongFilter::NotAHost)?;
    if authority.port.is_some() {
        return Err(WrongFilter::HostWithPort);
    }
    Ok(authority.host_without_dot().to_ascii_lowercase().into())
}

fn prefix(text: &[u8]) -> Result<Box<[u8]>, WrongFilter> {
    if !text.starts_with(b"/") {
        return Err(WrongFilter::NotAPath);
    }
    let in_path = |b: &u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#');
    if !text.iter().all(in_path) {
        return Err(WrongFilter::NotInAPath);
    }
    if text.ends_with(b"*") {
        return Err(WrongFilter::Star);
    }
    let mut normal = Vec::with_capacity(text.len());
    normalize(text, &mut normal);
    match &*normal {
        b"/" => Err(WrongFilter::EveryPath),
        _ => Ok(normal.into()),
    }
}

fn is_key(text: &[u8]) -> bool {
    let rest = text
        .strip_prefix(b"http://")
        .or_else(|| text.strip_prefix(b"https://"));
    rest.is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_graphic))
}

impl std::fmt::Display for WrongFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty(kind) => write!(f, "{} is empty: an empty filter is never everything; to purge the whole site, say all", kind.name()),
            Self::TooLong(kind, most) => write!(f, "{} has at most {most} bytes", kind.name()),
            Self::AllWithText => f.write_str("all takes no value"),
            Self::NotAHost => f.write_str("host is no host name or address: write it as it stands in a URL, such as news.example or [2001:db8::1]"),
            Self::HostWithPort => f.write_str("host is written without a port: all ports of a host are purged together"),
            Self::NotAPath => f.write_str("prefix is the beginning of a path and begins with /: write /news/ rather than news or a URL; for a host, use host"),
            Self::NotInAPath => f.write_str("prefix holds what no path does: leave query and fragment out, and percent-encode spaces and letters beyond ASCII"),
            Self::EveryPath => f.write_str("every path begins with /: to purge the whole site, say all"),
            Self::Star => f.write_str("prefix is no pattern: leave the * at its end out; what begins so is purged"),
            Self::NotATag => f.write_str("tag holds white space, a comma or a control character, which end a tag in Surrogate-Key and Cache-Tag: give each tag by itself"),
            Self::NotAKey => f.write_str("url is no key of this cache: write a whole http or https URL"),
        }
    }
}

impl std::error::Error for WrongFilter {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, text: &str) -> Result<String, WrongFilter> {
        let filter = Filter::read(kind, text.as_bytes())?;
        assert_eq!(filter.kind(), kind);
        Ok(String::from_utf8(filter.text().to_vec()).unwrap())
    }

    #[test]
    fn a_filter_is_kept_in_the_form_that_is_compared() {
        assert_eq!(read(Kind::All, ""), Ok(String::new()));
        assert_eq!(read(Kind::Host, "News.Example."), Ok("news.example".into()));
        assert_eq!(read(Kind::Host, "[::1]"), Ok("[::1]".into()));
        assert_eq!(read(Kind::Prefix, "/a/../%7eb/"), Ok("/~b/".into()));
        assert_eq!(read(Kind::Prefix, "/a*b"), Ok("/a*b".into()));
        assert_eq!(read(Kind::Tag, "article-7"), Ok("article-7".into()));
        assert_eq!(read(Kind::Tag, "Ünïcode"), Ok("Ünïcode".into()));
        assert_eq!(read(Kind::Url, "https://a/?b"), Ok("https://a/?b".into()));
    }

    #[test]
    fn empty_is_never_everything_and_nothing_is_guessed() {
        for kind in [Kind::Host, Kind::Prefix, Kind::Tag, Kind::Url] {
            for empty in ["", " ", "\t \r\n"] {
                assert_eq!(
                    read(kind, empty),
                    Err(WrongFilter::Empty(kind)),
                    "{empty:?}"
                );
            }
        }
        for (kind, text, why) in [
            (Kind::All, "x", WrongFilter::AllWithText),
            (Kind::Host, "*", WrongFilter::NotAHost),
            (Kind::Host, "https://a", WrongFilter::NotAHost),
            (Kind::Host, "a:80", WrongFilter::HostWithPort),
            (Kind::Prefix, "news", WrongFilter::NotAPath),
            (Kind::Prefix, "https://a/news", WrongFilter::NotAPath),
            (Kind::Prefix, "/a?b", WrongFilter::NotInAPath),
            (Kind::Prefix, "/a b", WrongFilter::NotInAPath),
            (Kind::Prefix, "/\u{e9}", WrongFilter::NotInAPath),
            (Kind::Prefix, "/", WrongFilter::EveryPath),
            (Kind::Prefix, "/.", WrongFilter::EveryPath),
            (Kind::Prefix, "/a/..", WrongFilter::EveryPath),
            (Kind::Prefix, "/assets/*", WrongFilter::Star),
            (Kind::Prefix, "/*", WrongFilter::Star),
            (Kind::Tag, "a b", WrongFilter::NotATag),
            (Kind::Tag, "a,b", WrongFilter::NotATag),
            (Kind::Tag, " a", WrongFilter::NotATag),
            (Kind::Tag, "a\u{7f}", WrongFilter::NotATag),
            (Kind::Url, "/a", WrongFilter::NotAKey),
            (Kind::Url, "https://", WrongFilter::NotAKey),
            (Kind::Url, "https://a/ b", WrongFilter::NotAKey),
        ] {
            assert_eq!(read(kind, text), Err(why), "{text}");
        }
    }

    #[test]
    fn one_byte_too_long_is_refused() {
        for (kind, most, start) in [
            (Kind::Prefix, PREFIX_BYTES, "/"),
            (Kind::Tag, TAG_BYTES, "t"),
            (Kind::Url, URL_KEY_BYTES, "http://a/"),
        ] {
            let of = |length: usize| format!("{start}{}", "x".repeat(length - start.len()));
            assert!(read(kind, &of(most)).is_ok());
            assert_eq!(
                read(kind, &of(most + 1)),
                Err(WrongFilter::TooLong(kind, most))
            );
        }
    }

    #[test]
    fn each_no_says_what_to_do() {
        for wrong in [
            WrongFilter::Empty(Kind::Tag),
            WrongFilter::EveryPath,
            WrongFilter::Star,
            WrongFilter::NotATag,
        ] {
            assert!(wrong.to_string().len() > 30, "{wrong}");
        }
        let empty = WrongFilter::Empty(Kind::Host).to_string();
        assert!(empty.contains("never everything") && empty.contains("all"));
    }
}
