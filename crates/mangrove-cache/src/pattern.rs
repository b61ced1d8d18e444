//! Which paths a rule is for.

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
        let mut pieces = self.0.as_bytes().split(|&b| b == b'*');
        let Some(mut rest) = path.strip_prefix(pieces.next().unwrap_or_default()) else {
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
}
