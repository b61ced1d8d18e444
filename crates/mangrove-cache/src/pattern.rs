//! Which paths and which names a rule is for.

use mangrove_http::normalize;

/// A pattern over normal paths: `*` stands for any run of bytes, also an empty one, and for `/` too.
///
/// `/assets/*` is everything below, `*.jpg` every path that ends so, `/login` that path alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern(Box<str>);

/// The longest pattern, in bytes.
pub const PATTERN_BYTES: usize = 1024;
/// The most stars in a pattern.
pub const PATTERN_STARS: usize = 8;

impl PathPattern {
    /// Reads a pattern; `None` when it is empty, begins with neither `/` nor `*`, is longer than [`PATTERN_BYTES`] or has
    /// more than [`PATTERN_STARS`] stars.
    pub fn parse(text: &str) -> Option<PathPattern> {
        let stars = text.bytes().filter(|&b| b == b'*').count();
        let begins = text.starts_with(['/', '*']);
        (begins && text.len() <= PATTERN_BYTES && stars <= PATTERN_STARS)
            .then(|| PathPattern(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `path`, in its normal form, fits.
    pub fn matches(&self, path: &[u8]) -> bool {
        matches(&self.0, path)
    }

    /// Whether every path that `other` matches is matched by this one too.
    pub fn covers(&self, other: &PathPattern) -> bool {
        // What stands between our stars holds none, so that only a star of ours can take up one of the other's.
        self.matches(other.0.as_bytes())
    }

    /// The pattern as paths in normal form have it. Where it is another than the pattern, the pattern matches no path:
    /// `/%7Euser` and `/a/../b` never occur, `/~user` and `/b` do.
    pub fn in_normal_form(&self) -> String {
        let mut normal = Vec::with_capacity(self.0.len() + 1);
        if self.0.starts_with('*') {
            normalize(format!("/{}", self.0).as_bytes(), &mut normal);
            normal.remove(0);
        } else {
            normalize(self.0.as_bytes(), &mut normal);
        }
        String::from_utf8_lossy(&normal).into_owned()
    }
}

/// A pattern over names, such as those of cookies: `session` is that name alone, `wordpress_*` every name that begins so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamePattern(Box<str>);

/// The longest pattern over names, in bytes.
pub const NAME_PATTERN_BYTES: usize = 256;

impl NamePattern {
    /// Reads a pattern; `None` when it is empty, is longer than [`NAME_PATTERN_BYTES`], or has a star before its end.
    pub fn parse(text: &str) -> Option<NamePattern> {
        let stem = text.strip_suffix('*').unwrap_or(text);
        let length = 1..=NAME_PATTERN_BYTES;
        (length.contains(&text.len()) && !stem.contains('*')).then(|| NamePattern(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name fits, byte for byte.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.matches_bytes(name.iter().copied())
    }

    pub(crate) fn matches_bytes(&self, mut name: impl Iterator<Item = u8>) -> bool {
        let stem = self.0.strip_suffix('*');
        let begins = stem
            .unwrap_or(&self.0)
            .bytes()
            .all(|byte| name.next() == Some(byte));
        begins && (stem.is_some() || name.next().is_none())
    }

    /// Whether every name that `other` matches is matched by this one too.
    pub fn covers(&self, other: &NamePattern) -> bool {
        self.matches(other.0.as_bytes())
    }
}

/// Whether `text` is `pattern`, where `*` stands for any run of bytes.
pub(crate) fn matches(pattern: &str, text: &[u8]) -> bool {
    let mut pieces = pattern.as_bytes().split(|&b| b == b'*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty(); // no star at all
    };
    for piece in pieces {
        // The first place is as good as any later one: what follows may begin anywhere after it.
        let Some(at) = find(rest, piece) else {
            return false;
        };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    if piece.is_empty() {
        return Some(0);
    }
    text.windows(piece.len()).position(|window| window == piece)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns() {
        let matches = |pattern: &str, path: &str| {
            PathPattern::parse(pattern)
                .unwrap()
                .matches(path.as_bytes())
        };
        assert!(
            matches("/login", "/login")
                && !matches("/login", "/login/")
                && !matches("/login", "/a/login")
        );
        assert!(
            matches("/assets/*", "/assets/a/b.css")
                && matches("/assets/*", "/assets/")
                && !matches("/assets/*", "/assets")
        );
        assert!(matches("*.jpg", "/a/b.jpg") && !matches("*.jpg", "/a.jpg/b"));
        assert!(matches("/a/*/c*d", "/a/b/c/c/d") && !matches("/a/*/c*d", "/a/c/d"));
        assert!(matches("*", "/") && matches("**", "*"));
        assert!(!matches("/ab*b", "/ab"), "one byte is not matched twice");
        let stars = |count| PathPattern::parse(&"*".repeat(count));
        assert!(stars(PATTERN_STARS).is_some() && stars(PATTERN_STARS + 1).is_none());
        let long = |length| PathPattern::parse(&"/".repeat(length));
        assert!(long(PATTERN_BYTES).is_some() && long(PATTERN_BYTES + 1).is_none());
        assert!(PathPattern::parse("").is_none() && PathPattern::parse("a").is_none());
    }

    #[test]
    fn names() {
        let matches = |pattern: &str, name: &str| {
            NamePattern::parse(pattern)
                .unwrap()
                .matches(name.as_bytes())
        };
        assert!(matches("session", "session") && !matches("session", "sessions"));
        assert!(!matches("session", "Session") && !matches("session", "sess"));
        assert!(matches("utm_*", "utm_source") && matches("utm_*", "utm_"));
        assert!(!matches("utm_*", "utm") && matches("*", "x"));
        for wrong in ["", "a*b", "**", "*a"] {
            assert!(NamePattern::parse(wrong).is_none(), "{wrong}");
        }
        let long = |length| NamePattern::parse(&"a".repeat(length));
        assert!(long(NAME_PATTERN_BYTES).is_some() && long(NAME_PATTERN_BYTES + 1).is_none());
    }

    #[test]
    fn a_pattern_that_no_normal_path_fits_has_another_normal_form() {
        let normal = |pattern: &str| PathPattern::parse(pattern).unwrap().in_normal_form();
        for same in [
            "/a/*",
            "*.jpg",
            "*",
            "/.well-known/*",
            "/a..*",
            "/%20*",
            "/%*",
        ] {
            assert_eq!(normal(same), same);
        }
        assert_eq!(normal("/%7euser/*"), "/~user/*");
        assert_eq!(normal("*/%2f"), "*/%2F");
        assert_eq!(normal("/a/../b*"), "/b*");
    }

    proptest! {
        #[test]
        fn what_covers_matches_all_that_the_covered_matches(
            wide in "[/*][ab/*]{0,6}", narrow in "[/*][ab/*]{0,6}", path in "/[ab/]{0,8}",
        ) {
            if let (Some(wide), Some(narrow)) = (PathPattern::parse(&wide), PathPattern::parse(&narrow))
                && wide.covers(&narrow)
                && narrow.matches(path.as_bytes())
            {
                prop_assert!(wide.matches(path.as_bytes()));
            }
        }

        #[test]
        fn a_pattern_in_another_than_its_normal_form_matches_no_normal_path(
            pattern in "[/*][a.%27eE/*~]{0,8}", path in "/[a.%27eE/~]{0,8}",
        ) {
            let mut normal = Vec::new();
            normalize(path.as_bytes(), &mut normal);
            if let Some(pattern) = PathPattern::parse(&pattern) && pattern.matches(&normal) {
                prop_assert_eq!(pattern.in_normal_form(), pattern.as_str());
            }
        }
    }
}
