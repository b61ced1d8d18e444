//! Which coding a client gets (RFC 9110 section 12.5.3), and whether there may be one.

use mangrove_cache::{Asked, CompressRules, Content, ResponseDirectives, Stored};
use mangrove_http::{Known, RequestHead, accept};

use super::Coding;

/// What a client says of content codings: the weight of each in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wishes {
    /// In the order of [`Coding::ALL`]; 0 is not wanted.
    coded: [u16; Coding::ALL.len()],
    /// Of the content as it is.
    identity: u16,
}

impl Wishes {
    /// Reads `Accept-Encoding`.
    ///
    /// Without the field, and with an empty one, nothing is coded. A request for a part (`Range`) gets the content as it is
    /// as well: positions in a coded form mean nothing to who has the other.
    pub fn read(request: &RequestHead) -> Wishes {
        if request.field(Known::Range).is_some() {
            return Wishes::NONE;
        }
        let (mut named, mut identity, mut any) = ([None; Coding::ALL.len()], None, None);
        for (name, weight) in accept::weighted(request, Known::AcceptEncoding) {
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            if is("identity") {
                identity = Some(weight);
            } else if is("*") {
                any = Some(weight);
            } else if is("x-gzip") {
                // RFC 9110 section 8.4.1.3: the same as gzip.
                let [.., gzip] = &mut named;
                *gzip = gzip.or(Some(weight));
            }
            for (coding, known) in Coding::ALL.iter().zip(&mut named) {
                if is(coding.name()) {
                    *known = Some(weight);
                }
            }
        }
        Wishes {
            coded: named.map(|weight| weight.or(any).unwrap_or(0)),
            // Unnamed, it is acceptable, but was not asked for.
            identity: identity.unwrap_or(0),
        }
    }

    /// Nothing but the content as it is.
    pub const NONE: Wishes = Wishes {
        coded: [0; Coding::ALL.len()],
        identity: 0,
    };

    /// The coding that the client likes best among those that are `there`; of equals the first of [`Coding::ALL`]. `None`
    /// for the content as it is: liked better, or nothing else there that is wanted.
    ///
    /// A client that refuses the content as it is (`identity;q=0`) and everything that is there gets it nevertheless: RFC
    /// 9110 section 12.5.3 leaves that to the server, and an answer is of more use than 406.
    pub fn best(self, mut there: impl FnMut(Coding) -> bool) -> Option<Coding> {
        let mut best = (0, None);
        for (coding, weight) in Coding::ALL.into_iter().zip(self.coded) {
            if weight > best.0 && weight >= self.identity && there(coding) {
                best = (weight, Some(coding));
            }
        }
        best.1
    }
}

macro_rules! uncoded {
    ($( $variant:ident = $name:literal, $explain:literal; )*) => {
        /// Why kept content is not coded; the first reason that applies.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Uncoded { $( #[doc = $explain] $variant, )* }

        impl Uncoded {
            /// All of them, in the order in which they are looked for.
            pub const ALL: &[Uncoded] = &[ $( Uncoded::$variant, )* ];
            /// The stable name.
            pub const fn name(self) -> &'static str { match self { $( Uncoded::$variant => $name, )* } }
            /// One sentence for a person.
            pub const fn explain(self) -> &'static str { match self { $( Uncoded::$variant => $explain, )* } }
        }
    };
}

uncoded! {
    Off = "off", "The site wants nothing coded.";
    Part = "part", "Only a part of the content is kept, or its length is not known.";
    NoContent = "no-content", "A response of this status has no content.";
    TooSmall = "too-small", "The content is smaller than the site's `minimum_bytes`.";
    TooLarge = "too-large", "The content is larger than the site's `maximum_bytes`.";
    CodedAlready = "coded-already", "The origin has coded it.";
    NoTransform = "no-transform", "The origin forbids to change it (RFC 9110 section 7.7).";
    Digest = "digest", "The origin says what the content's digest is, and the coded content has another.";
    SetCookie = "set-cookie", "It sets a cookie: what is for one visitor is not coded.";
    Credentials = "credentials", "The request carried credentials: what is for one visitor is not coded.";
    ContentType = "content-type", "Its type is none that the site wants coded, or is not said.";
}

/// Whether content that is kept may be coded; if not, why.
///
/// `asked` is what it was fetched for. Nothing that may be for one visitor is coded: where a secret and what an attacker
/// chooses stand in one compressed text, its length tells the secret (BREACH, CVE-2013-3587). A cache keeps only what
/// everyone may have, which holds no such secret; credentials and cookies set are the marks of an origin that thought
/// otherwise. Cookies of the request are not: most visitors carry some, and an origin that answers by them must say
/// `private` or `Vary`, lest it serve one visitor's page to all, coded or not.
pub fn why_uncoded(stored: &Stored, asked: &Asked<'_>, rules: &CompressRules) -> Option<Uncoded> {
    why_uncoded_after(stored, asked.authorization, rules)
}

/// The same, where of the request only that is known still: whether it carried credentials.
pub fn why_uncoded_after(
    stored: &Stored,
    credentials: bool,
    rules: &CompressRules,
) -> Option<Uncoded> {
    if !rules.on {
        return Some(Uncoded::Off);
    }
    let length = match stored.content {
        Content::Whole {
            length: Some(length),
        } => length,
        Content::Whole { length: None } | Content::Part { .. } => return Some(Uncoded::Part),
    };
    let has = |known| stored.fields.field(known).is_some();
    let digest = [&b"repr-digest"[..], b"content-digest", b"digest"];
    let is_digest = |name: &[u8]| digest.iter().any(|known| name.eq_ignore_ascii_case(known));
    Some(match () {
        () if matches!(stored.status, 204 | 205 | 206 | 304) => Uncoded::NoContent,
        () if length < rules.smallest => Uncoded::TooSmall,
        () if length > rules.largest => Uncoded::TooLarge,
        () if has(Known::ContentEncoding) => Uncoded::CodedAlready,
        () if stored.reuse.no_transform || says_no_transform(stored) => Uncoded::NoTransform,
        () if has(Known::ContentMd5) => Uncoded::Digest,
        () if stored.fields.iter().any(|field| is_digest(field.name)) => Uncoded::Digest,
        () if has(Known::SetCookie) => Uncoded::SetCookie,
        () if credentials => Uncoded::Credentials,
        () => {
            let mut types = stored.fields.all(Known::ContentType);
            match (types.next(), types.next()) {
                (Some(only), None) if rules.wants_type(only) => return None,
                _ => Uncoded::ContentType,
            }
        }
    })
}

/// Also where a field for caches like this one (RFC 9213) says otherwise: caches further on read this one.
fn says_no_transform(stored: &Stored) -> bool {
    ResponseDirectives::read(stored.fields.all(Known::CacheControl)).no_transform
}

#[cfg(test)]
mod tests {
    use super::*;
    use mangrove_cache::{Rules, Times, admit};
    use mangrove_http::{HeadLimits, Method, ResponseHead, UnixMillis};

    fn request(fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::new();
        head.begin_h2();
        for (name, value) in fields {
            head.push_field(name.as_bytes(), value.as_bytes());
        }
        head
    }

    fn best(accept: &str) -> Option<Coding> {
        Wishes::read(&request(&[("accept-encoding", accept)])).best(|_| true)
    }

    #[test]
    fn of_equals_ours_and_otherwise_the_clients() {
        use Coding::*;
        for (accept, expected) in [
            ("gzip, deflate, br, zstd", Some(Zstd)),
            ("gzip, deflate, br", Some(Br)),
            ("gzip", Some(Gzip)),
            ("X-GZip", Some(Gzip)),
            ("x-gzip;q=0.2, br;q=0.1", Some(Gzip)),
            ("gzip;q=0, x-gzip", None),
            ("deflate, compress", None),
            ("", None),
            ("identity", None),
            ("gzip;q=0.5, br;q=0.4", Some(Gzip)),
            ("gzip;q=1.0, identity;q=0.5, *;q=0", Some(Gzip)),
            ("*", Some(Zstd)),
            ("*;q=0", None),
            ("zstd;q=0, *", Some(Br)),
            ("zstd;q=0, *;q=0.3, gzip;q=0.4", Some(Gzip)),
            ("gzip;q=0.5, identity", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip)),
            ("identity;q=0, gzip;q=0.001", Some(Gzip)),
            ("identity;q=0", None),
            ("gzip;q=2", None),
            ("BR", Some(Br)),
        ] {
            assert_eq!(best(accept), expected, "{accept}");
        }
    }

    #[test]
    fn only_what_is_there_and_wanted() {
        let wishes = Wishes::read(&request(&[("accept-encoding", "gzip;q=0.5, br")]));
        assert_eq!(
            wishes.best(|coding| coding == Coding::Gzip),
            Some(Coding::Gzip)
        );
        assert_eq!(wishes.best(|coding| coding == Coding::Zstd), None);
        assert_eq!(Wishes::read(&request(&[])), Wishes::NONE);
        assert_eq!(Wishes::NONE.best(|_| true), None);
    }

    #[test]
    fn a_part_comes_as_it_is() {
        let head = request(&[("accept-encoding", "gzip"), ("range", "bytes=0-99")]);
        assert_eq!(Wishes::read(&head), Wishes::NONE);
    }

    /// Why a response with these fields, asked for with those, is not coded.
    fn why(status: u16, fields: &[(&str, &str)], asked: &[(&str, &str)]) -> Option<Uncoded> {
        let mut response = ResponseHead::new();
        response.begin(mangrove_http::Version::Http2, status);
        response.push_field(b"cache-control", b"public, max-age=60");
        for (name, value) in fields {
            response.push_field(name.as_bytes(), value.as_bytes());
        }
        response
            .finish(&HeadLimits::default(), Method::Get)
            .unwrap();
        let mut head = RequestHead::new();
        head.octets_mut()
            .extend_from_slice(b"GET / HTTP/1.1\r\nHost: news.example\r\n");
        for (name, value) in asked {
            head.octets_mut()
                .extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        head.octets_mut().extend_from_slice(b"\r\n");
        head.parse_h1(&HeadLimits::default()).unwrap();
        let rules = Rules {
            store_set_cookie: true,
            ..Rules::default()
        };
        let asked = Asked::read(&head, b"/", &rules);
        let at = UnixMillis(1_763_424_000_000);
        let times = Times {
            requested_at: at,
            received_at: at,
        };
        let stored = admit(&asked, &response, &rules, times).expect("stored");
        why_uncoded(&stored, &asked, &CompressRules::default())
    }

    #[test]
    fn every_reason_against_it() {
        let html = ("content-type", "text/html; charset=utf-8");
        let length = ("content-length", "5000");
        assert_eq!(why(200, &[html, length], &[]), None);
        assert_eq!(why(404, &[html, length], &[("cookie", "a=1")]), None);
        assert_eq!(why(200, &[html], &[]), Some(Uncoded::Part));
        assert_eq!(
            why(
                206,
                &[html, ("content-range", "bytes 0-4999/9999"), length],
                &[("range", "bytes=0-4999")]
            ),
            Some(Uncoded::Part)
        );
        for (field, expected) in [
            (("content-encoding", "gzip"), Uncoded::CodedAlready),
            (("content-encoding", "identity"), Uncoded::CodedAlready),
            (("cache-control", "no-transform"), Uncoded::NoTransform),
            (("content-md5", "Q2hlY2sgSW50ZWdyaXR5IQ=="), Uncoded::Digest),
            (("repr-digest", "sha-256=:AA==:"), Uncoded::Digest),
            (("set-cookie", "a=1"), Uncoded::SetCookie),
        ] {
            assert_eq!(
                why(200, &[html, length, field], &[]),
                Some(expected),
                "{field:?}"
            );
        }
        let authorization = ("authorization", "Basic YTpi");
        assert_eq!(
            why(200, &[html, length], &[authorization]),
            Some(Uncoded::Credentials)
        );
        // Whoever listens to the field for caches alone must still not change what it forbids to change.
        let targeted = [
            html,
            length,
            ("cdn-cache-control", "max-age=9"),
            ("cache-control", "no-transform"),
        ];
        assert_eq!(why(200, &targeted, &[]), Some(Uncoded::NoTransform));
    }

    #[test]
    fn sizes_at_the_limits_and_one_past() {
        let rules = CompressRules::default();
        let of = |length: u64| {
            let length = length.to_string();
            why(
                200,
                &[("content-type", "text/css"), ("content-length", &length)],
                &[],
            )
        };
        assert_eq!(of(rules.smallest - 1), Some(Uncoded::TooSmall));
        assert_eq!(of(rules.smallest), None);
        assert_eq!(of(rules.largest), None);
        assert_eq!(of(rules.largest + 1), Some(Uncoded::TooLarge));
        assert_eq!(of(0), Some(Uncoded::TooSmall));
    }

    #[test]
    fn a_type_that_is_said_twice_or_not_at_all() {
        let twice = [
            ("content-type", "text/html"),
            ("content-type", "text/css"),
            ("content-length", "5000"),
        ];
        assert_eq!(why(200, &twice, &[]), Some(Uncoded::ContentType));
        assert_eq!(
            why(200, &[("content-length", "5000")], &[]),
            Some(Uncoded::ContentType)
        );
    }

    #[test]
    fn names_are_stable_and_differ() {
        let mut names: Vec<_> = Uncoded::ALL.iter().map(|reason| reason.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Uncoded::ALL.len());
    }
}
