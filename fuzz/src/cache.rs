//! One function per parser of what caches are told. Each panics when its parser breaks a law.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a target tells what it found by panicking, and the campaign catches it"
)]

use mangrove_cache::purge::{Filter, Force, Generation, Kind, Purge, Subject};
use mangrove_cache::{
    AcceptedCodings, AskedRange, ByteRanges, ContentRange, EntityTag, PathPattern, RANGES_ANSWERED,
    RequestDirectives, ResponseDirectives, Rules, Satisfied, Stored, TagList, Times, VARY_FIELDS,
    Vary, admit, answer, combine, dictionary, distinctions, freshen, key_of_url, policy, write_key,
    write_variant,
};
use mangrove_http::{
    HeadLimits, Method, RequestHead, ResponseHead, Scheme, UnixMillis, Version, is_token, normalize,
};

use crate::mutate::Grammar;
use crate::targets::Target;

/// All of them.
pub(crate) const TARGETS: [Target; 11] = [
    Target {
        name: "cache-control",
        about: "no line takes back what another restricts, and a plain reading finds the same",
        grammar: CACHE_CONTROL,
        run: cache_control,
    },
    Target {
        name: "targeted",
        about: "fields for some caches are read or ignored whole, and seconds have a ceiling",
        grammar: TARGETED,
        run: targeted,
    },
    Target {
        name: "range",
        about: "the bytes answered are those a plain reading counts one by one",
        grammar: RANGE,
        run: range,
    },
    Target {
        name: "content-range",
        about: "what is read prints and reads again",
        grammar: CONTENT_RANGE,
        run: content_range,
    },
    Target {
        name: "vary",
        about: "a variant's bytes tell the fields it varies on, each once",
        grammar: VARY,
        run: vary,
    },
    Target {
        name: "entity-tags",
        about: "a tag is found in every list that it stands in",
        grammar: TAGS,
        run: entity_tags,
    },
    Target {
        name: "codings",
        about: "codings said again in our words are the same",
        grammar: CODINGS,
        run: codings,
    },
    Target {
        name: "cache-key",
        about: "the key of a key is that key, and that of a request for it",
        grammar: KEY,
        run: cache_key,
    },
    Target {
        name: "path-pattern",
        about: "a pattern matches what a plain reading matches",
        grammar: PATTERN,
        run: path_pattern,
    },
    Target {
        name: "purge",
        about: "a filter is in the form that is compared, and a purge is written in one way",
        grammar: PURGE,
        run: purge,
    },
    Target {
        name: "admission",
        about: "whatever is stored ages, is answered and confirmed",
        grammar: ADMISSION,
        run: admission,
    },
];

const DIRECTIVES: &[&str] = &[
    "max-age=60",
    "MAX-AGE=\"60\"",
    "max-age=99999999999999999999",
    "s-maxage=5",
    "no-store",
    "No-Cache",
    "no-cache=\"a, b\"",
    "private",
    "private=\"set-cookie\"",
    "public",
    "must-revalidate",
    "must-understand",
    "immutable",
    "stale-while-revalidate=9",
    "stale-if-error=-9",
    "max-stale",
    "min-fresh=4",
    "x=\"a\\\"b, no-store\"",
    "x=\"no end",
    ",",
    ", ",
    "\t;",
    "\n",
    "max-age = 5",
];

const CACHE_CONTROL: Grammar = Grammar {
    first: &["", "max-age=60", "no-store", "private"],
    then: DIRECTIVES,
    last: &["", ",", "\n", ", no-store"],
};

const TARGETED: Grammar = Grammar {
    first: &[
        "max-age=60",
        "no-store",
        "a=(1 2);b",
        "content=\"ESI/1.0\"",
        "",
    ],
    then: &[
        ", ",
        ",",
        "max-age=60",
        "no-store",
        "private=?0",
        "no-cache=?1",
        "a=:aGk=:",
        "b=\"\\\"\"",
        "c=(\"x\" y;z)",
        ";mangrove",
        ";other",
        "max-age=60+30",
        "d=1.5",
        "e=@9",
        "f=*a",
        "\n",
        "s-maxage=4",
        "no-store-remote",
        "A=1",
        "g=-1",
        "h=;i=?1",
    ],
    last: &["", ",", ";", "\n"],
};

const RANGE: Grammar = Grammar {
    first: &[
        "bytes=",
        "bytes=",
        "Bytes =",
        "bytes",
        "items=",
        "bytes=0-4",
    ],
    then: &[
        "0-4",
        "-5",
        "7-",
        "3-2",
        "10-20",
        ",",
        ", ",
        "0-0",
        "18446744073709551615-",
        "-0",
        "1-99999999999999999999",
        "-",
        "4-6,5-9",
        " ",
        "a-b",
        "2-3,2-3,2-3",
        "60-63",
    ],
    last: &["", ",", "-"],
};

const CONTENT_RANGE: Grammar = Grammar {
    first: &[
        "bytes 0-4/10",
        "bytes 0-4/*",
        "BYTES  5-9/10",
        "bytes */10",
        "bytes ",
        "",
    ],
    then: &[
        "0-4",
        "/10",
        "/*",
        "5-18446744073709551614",
        "/18446744073709551615",
        " ",
        "9-1",
    ],
    last: &["", " ", "/"],
};

const VARY: Grammar = Grammar {
    first: &["accept-encoding", "*", "Cookie", "x-a", ""],
    then: &[
        ", ",
        ",",
        "X-A",
        "accept-language",
        "origin",
        "authorization",
        "a b",
        "\n",
        "*",
        "x-a,x-a,x-a",
        "user-agent",
        "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o",
        "accept-encoding",
    ],
    last: &["", ",", "\n"],
};

const TAGS: Grammar = Grammar {
    first: &["\"a\"", "W/\"a\"", "*", "\"\"", ""],
    then: &[
        ", ",
        ",",
        "\"b\"",
        "W/\"b\"",
        "w/\"b\"",
        "\"a,b\"",
        "\"a",
        "a",
        " ",
        "*",
        "\"\\\"\"",
        "\"\u{e9}\"",
        "\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",",
    ],
    last: &["", ",", "\""],
};

const CODINGS: Grammar = Grammar {
    first: &["gzip", "br", "zstd", "*", "identity", ""],
    then: &[
        ", ",
        ",",
        ";q=0",
        ";q=0.5",
        ";Q=1.000",
        "gzip",
        "x-gzip",
        "br",
        "zstd",
        "*",
        "identity;q=0",
        ";q=2",
        "deflate",
    ],
    last: &["", ",", ";"],
};

const KEY: Grammar = Grammar {
    first: &[
        "http://a.example/",
        "https://A.example.:443",
        "https://[::1]:8443/",
        "http://a",
        "ftp://a/",
        "//a/",
    ],
    then: &[
        "/", "..", "/./", "%41", "%2f", "b", "?", "a=b", "&", "&b=a", "#f", "=", "+", ":", "%",
        "?x",
    ],
    last: &["", "/", "?", "#"],
};

const PURGE: Grammar = Grammar {
    first: &[
        "/",
        "/a",
        "news.example",
        "https://a/",
        "[::1]",
        "tag",
        "\x01\x03\x00",
        "\x01\x02\x01\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x01\0s\x02\0\0\0/a",
    ],
    then: &[
        "/", "..", ".", "%41", "%7e", "%", "a", "*", ",", " ", "?", ":80", "\0",
    ],
    last: &["", "/", "*", "."],
};

const PATTERN: Grammar = Grammar {
    first: &["/a", "/*", "/", "*", ""],
    then: &["a", "b", "*", "/", "ab", "?", ".css"],
    last: &[
        "\n/a",
        "\n/ab/ab",
        "\n/aab.css",
        "\n/",
        "\n/abababab/aaaaaaab",
    ],
};

const ADMISSION: Grammar = Grammar {
    first: &[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 206 \r\n",
        "HTTP/1.1 304 \r\n",
        "HTTP/1.1 404 \r\n",
        "HTTP/1.1 500 \r\n",
        "HTTP/1.1 799 \r\n",
    ],
    then: &[
        "Cache-Control: max-age=60\r\n",
        "Cache-Control: s-maxage=9, public\r\n",
        "Cache-Control: no-cache\r\n",
        "CDN-Cache-Control: max-age=1\r\n",
        "Surrogate-Control: max-age=5+9\r\n",
        "Expires: 0\r\n",
        "Age: 4\r\n",
        "Age: 99999999999\r\n",
        "Date: Tue, 18 Nov 2025 00:00:00 GMT\r\n",
        "Date: Tue, 18 Nov 2099 00:00:00 GMT\r\n",
        "Expires: Tuesday, 18-Nov-25 00:01:00 GMT\r\n",
        "Last-Modified: Mon, 17 Nov 2025 00:00:00 GMT\r\n",
        "ETag: \"a\"\r\n",
        "ETag: W/\"b\"\r\n",
        "Vary: x-a\r\n",
        "Vary: *\r\n",
        "Set-Cookie: a=b\r\n",
        "Content-Range: bytes 0-4/10\r\n",
        "Content-Length: 5\r\n",
        "Connection: x-b\r\nX-B: 1\r\n",
        "Pragma: no-cache\r\n",
    ],
    last: &["\r\n"],
};

const NOW: UnixMillis = UnixMillis(1_763_424_000_000);

fn lines(input: &[u8]) -> Vec<&[u8]> {
    input
        .split(|&b| b == b'\n')
        .map(<[u8]>::trim_ascii)
        .collect()
}

fn request_with(name: &[u8], lines: &[&[u8]]) -> RequestHead {
    let mut head = RequestHead::new();
    head.begin_h2();
    head.h2_method(b"GET");
    for line in lines {
        head.push_field(name, line);
    }
    head
}

fn response_with(fields: &[(&[u8], &[u8])]) -> ResponseHead {
    let mut head = ResponseHead::new();
    head.begin(Version::Http2, 200);
    for (name, value) in fields {
        head.push_field(name, value);
    }
    head
}

/// What must not be forgotten: from least to most, so that more words make it no less.
fn restrictions(said: &ResponseDirectives) -> [bool; 5] {
    [
        said.no_store,
        said.no_cache,
        said.private,
        said.must_revalidate,
        said.proxy_revalidate,
    ]
}

fn cache_control(input: &[u8]) {
    // Control characters are no white space of HTTP (RFC 9110 section 5.6.3), but of what is compared with below.
    if input
        .iter()
        .any(|byte| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n'))
    {
        return;
    }
    let lines = lines(input);
    let all = ResponseDirectives::read(lines.iter().copied());
    for end in 0..lines.len() {
        let some = ResponseDirectives::read(lines[..end].iter().copied());
        for (less, more) in restrictions(&some).into_iter().zip(restrictions(&all)) {
            assert!(
                !less || more,
                "a later line takes back what an earlier one restricts"
            );
        }
        for (some, all) in [(some.max_age, all.max_age), (some.s_maxage, all.s_maxage)] {
            assert!(some.is_none_or(|some| all.is_some_and(|all| all <= some)));
        }
    }
    let mut reversed = lines.clone();
    reversed.reverse();
    let reversed = ResponseDirectives::read(reversed.into_iter());
    assert_eq!(
        restrictions(&reversed),
        restrictions(&all),
        "the order of lines means nothing"
    );
    let mut asked = RequestDirectives::default();
    lines.iter().for_each(|line| asked.read_line(line));
    let written = |name: &str| {
        input
            .to_ascii_lowercase()
            .windows(name.len())
            .any(|at| at == name.as_bytes())
    };
    assert!(written("no-store") || !(all.no_store || asked.no_store));
    if !input.contains(&b'"') && !input.contains(&b'\\') {
        let named = |name: &str| {
            let elements = lines.iter().flat_map(|line| line.split(|&b| b == b','));
            elements.map(<[u8]>::trim_ascii).any(|element| {
                let end = element
                    .iter()
                    .position(|b| !is_token(&[*b]))
                    .unwrap_or(element.len());
                element[..end].eq_ignore_ascii_case(name.as_bytes())
            })
        };
        // Ours also obeys what stands behind something malformed.
        assert!(!named("no-store") || (all.no_store && asked.no_store));
        assert!(
            !named("no-cache") || (asked.no_cache && (all.no_cache || !all.withheld.is_empty()))
        );
        assert!(!named("must-revalidate") || all.must_revalidate);
    }
}

fn targeted(input: &[u8]) {
    let lines = lines(input);
    if let Some(said) = dictionary(lines.iter().copied()) {
        let own: [&[u8]; 1] = [b"no-store"];
        // With one member more it may be too long; otherwise it says what it said, and that.
        if let Some(more) = dictionary(lines.iter().copied().chain(own)) {
            assert!(more.no_store);
            assert_eq!(more.max_age, said.max_age);
        }
        let mut bad = lines.clone();
        bad.push(b"a=(");
        assert_eq!(
            dictionary(bad.into_iter()),
            None,
            "malformed anywhere is ignored whole"
        );
    }
    let rules = Rules::default();
    for name in [
        &b"mangrove-cache-control"[..],
        b"cdn-cache-control",
        b"surrogate-control",
    ] {
        let fields: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
        let response = response_with(&fields);
        let (said, _) = policy(&response, &rules);
        let ceiling = mangrove_cache::DELTA_CEILING;
        assert!(
            [said.max_age, said.s_maxage]
                .into_iter()
                .flatten()
                .all(|seconds| seconds <= ceiling)
        );
        assert_eq!(policy(&response, &rules).0, said);
    }
}

fn range(input: &[u8]) {
    let asked = AskedRange::parse(input);
    let ranges = ByteRanges::parse(input);
    assert_eq!(asked == AskedRange::Whole, ranges.is_none());
    let Some(ranges) = ranges else {
        return;
    };
    for length in [0_u64, 1, 5, 64] {
        let wanted = plain_bytes(input, length);
        let pieces = match ranges.within(length) {
            Satisfied::Whole => {
                assert!(wanted.iter().filter(|wanted| **wanted).count() > RANGES_ANSWERED);
                continue;
            }
            Satisfied::Unsatisfiable => Vec::new(),
            Satisfied::One(one) => vec![one],
            Satisfied::Several(pieces) => {
                assert!((2..=RANGES_ANSWERED).contains(&pieces.len()));
                pieces
            }
        };
        let mut answered = vec![false; usize::try_from(length).unwrap()];
        for piece in &pieces {
            for at in piece.first..=piece.last {
                let place = &mut answered[usize::try_from(at).unwrap()];
                assert!(!*place, "no byte twice");
                *place = true;
            }
        }
        assert_eq!(answered, wanted);
        if let AskedRange::One(spec) = asked {
            assert_eq!(spec.within(length), pieces.first().copied());
        }
    }
    let _ = ranges.within(u64::MAX);
}

/// Which bytes of so many a `Range` that was accepted asks for, one by one.
fn plain_bytes(input: &[u8], length: u64) -> Vec<bool> {
    let text = String::from_utf8_lossy(input);
    let (_, set) = text.split_once('=').expect("it was accepted");
    let number = |digits: &str| digits.parse::<u128>().unwrap_or(u128::MAX);
    let length = u128::from(length);
    let mut wanted = vec![false; usize::try_from(length).unwrap()];
    for element in set
        .split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
    {
        let (first, last) = element.split_once('-').expect("it was accepted");
        for at in 0..length {
            let inside = match (first, last) {
                ("", count) => length - at <= number(count),
                (first, "") => at >= number(first),
                (first, last) => at >= number(first) && at <= number(last),
            };
            wanted[usize::try_from(at).unwrap()] |= inside;
        }
    }
    wanted
}

fn content_range(input: &[u8]) {
    let Some(range) = ContentRange::parse(input) else {
        return;
    };
    assert!(range.held.first <= range.held.last);
    assert!(range.total.is_none_or(|total| range.held.last < total));
    let mut printed = Vec::new();
    range.write(&mut printed);
    assert_eq!(ContentRange::parse(&printed), Some(range));
    // Printing takes leading zeros and white space away, and nothing else.
    assert!(printed.len() <= input.len() || range.held.last == u64::MAX - 1);
}

fn vary(input: &[u8]) {
    let lines = lines(input);
    let fields: Vec<(&[u8], &[u8])> = lines.iter().map(|line| (&b"vary"[..], *line)).collect();
    let Ok(vary) = Vary::read(&response_with(&fields)) else {
        return;
    };
    let names: Vec<&[u8]> = vary.names().collect();
    assert!(names.len() <= VARY_FIELDS && !names.contains(&&b"*"[..]));
    for name in &names {
        assert!(is_token(name) && !name.iter().any(u8::is_ascii_uppercase));
        assert_eq!(names.iter().filter(|other| *other == name).count(), 1);
    }
    let rules = Rules::default();
    let mut request = request_with(b"x-a", &lines);
    request.push_field(b"accept-encoding", lines[0]);
    request.push_field(b"cookie", lines[0]);
    let mut written = Vec::new();
    write_variant(&vary, &request, &rules, &mut written);
    if !input.contains(&0) {
        let told: Vec<&[u8]> = distinctions(&written).map(|part| part.name).collect();
        assert_eq!(told, names);
    }
}

fn entity_tags(input: &[u8]) {
    let lines = lines(input);
    for line in &lines {
        let Some(tag) = EntityTag::parse(line) else {
            continue;
        };
        let printed = [
            if tag.weak { &b"W/\""[..] } else { b"\"" },
            tag.opaque,
            b"\"",
        ]
        .concat();
        assert_eq!(printed, *line);
        assert!(tag.is_weakly(tag) && tag.is_strongly(tag) != tag.weak);
        let is = |other: EntityTag<'_>| other.is_weakly(tag);
        let alone = TagList::search([*line].into_iter(), is);
        assert_eq!(alone, TagList::Found);
        // Among others it is found too, unless they make the list malformed.
        match TagList::search(lines.iter().copied(), is) {
            TagList::Found | TagList::Malformed => {}
            other => panic!("{other:?}"),
        }
    }
    let any = TagList::search(lines.iter().copied(), |_| true);
    let none = TagList::search(lines.iter().copied(), |_| false);
    assert_eq!(any == TagList::Malformed, none == TagList::Malformed);
    assert_ne!(none, TagList::Found);
}

fn codings(input: &[u8]) {
    let read = |lines: &[&[u8]]| AcceptedCodings::read(&request_with(b"accept-encoding", lines));
    let accepted = read(&lines(input));
    let again = accepted.as_str();
    assert_eq!(read(&[again.as_bytes()]), accepted);
}

fn cache_key(input: &[u8]) {
    let rules = Rules::default();
    let mut key = b"x".to_vec();
    if !key_of_url(&rules, input, &mut key) {
        assert_eq!(key, b"x", "nothing is appended");
        return;
    }
    let key = &key[1..];
    let mut again = Vec::new();
    assert!(
        key_of_url(&rules, key, &mut again),
        "{}",
        key.escape_ascii()
    );
    assert_eq!(again, key);
    let text = std::str::from_utf8(key).expect("a key of a URL is ASCII");
    let (scheme, rest) = text.split_once("://").expect("a scheme");
    let (host, target) = rest.split_at(rest.find('/').expect("a path"));
    let mut head = RequestHead::new();
    let line = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    head.octets_mut().extend_from_slice(line.as_bytes());
    let limits = HeadLimits::CEILING;
    if !matches!(head.parse_h1(&limits), Ok(Some(_))) {
        return; // longer than a request may be
    }
    let (mut path, mut asked) = (Vec::new(), Vec::new());
    normalize(head.path(), &mut path);
    let scheme = Scheme::of(scheme.as_bytes()).expect("http or https");
    write_key(&rules, scheme, &head, &path, &mut asked);
    assert_eq!(asked, key);
}

fn purge(input: &[u8]) {
    for kind in Kind::ALL {
        let Ok(filter) = Filter::read(kind, input) else {
            continue;
        };
        assert_eq!(filter.kind(), kind);
        assert_eq!(filter.text().is_empty(), kind == Kind::All);
        assert_eq!(Filter::read(kind, filter.text()).as_ref(), Ok(&filter));
        let purge = Purge {
            site: "news".into(),
            filter,
            force: Force::Soft,
            generation: Generation(7),
            at: UnixMillis(9),
        };
        let mut bytes = Vec::new();
        purge.encode(&mut bytes).expect("a name of a site");
        assert_eq!(Purge::decode(&bytes), Ok(purge));
    }
    if let Ok(purge) = Purge::decode(input) {
        let mut bytes = Vec::new();
        purge.encode(&mut bytes).expect("it was read");
        assert_eq!(bytes, input);
    }
    let subject = Subject::of_key(input, None);
    assert!(subject.is_meant_by(&Filter::all()));
}

fn path_pattern(input: &[u8]) {
    let (pattern, path) = input.split_at(
        input
            .iter()
            .position(|&b| b == b'\n')
            .unwrap_or(input.len()),
    );
    let path = path.get(1..).unwrap_or_default();
    let Some(pattern) = std::str::from_utf8(pattern)
        .ok()
        .and_then(PathPattern::parse)
    else {
        return;
    };
    if path.len() < 200 {
        assert_eq!(
            pattern.matches(path),
            plainly_matches(pattern.as_str().as_bytes(), path)
        );
    }
    let _ = pattern.matches(path);
    assert!(pattern.covers(&pattern));
}

/// By a table of what of the pattern matches what of the path.
fn plainly_matches(pattern: &[u8], path: &[u8]) -> bool {
    let mut row = vec![false; path.len() + 1];
    row[0] = true;
    for &b in pattern {
        let mut next = vec![false; path.len() + 1];
        for at in 0..=path.len() {
            next[at] = match b {
                b'*' => row[at] || (at > 0 && next[at - 1]),
                b => at > 0 && row[at - 1] && path[at - 1] == b,
            };
        }
        row = next;
    }
    row[path.len()]
}

fn admission(input: &[u8]) {
    let mut response = ResponseHead::new();
    response.octets_mut().extend_from_slice(input);
    if !matches!(
        response.parse_h1(&HeadLimits::default(), Method::Get),
        Ok(Some(_))
    ) {
        return;
    }
    let rules = Rules::default();
    let mut request = RequestHead::new();
    request
        .octets_mut()
        .extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-4\r\nX-A: 1\r\n\r\n");
    request.parse_h1(&HeadLimits::default()).expect("a request");
    let asked = mangrove_cache::Asked::read(&request, b"/", &rules);
    let times = Times {
        requested_at: NOW,
        received_at: UnixMillis(NOW.0 + 1_500),
    };
    let Ok(stored) = admit(&asked, &response, &rules, times) else {
        return;
    };
    let said = policy(&response, &rules).0;
    assert!(!said.private && (!said.no_store || said.must_understand));
    ages(&stored);
    let _ = answer(&asked, &stored, Some(10), NOW);
    let (freshened, _) = freshen(&stored, &response, &asked, &rules, times).into_stored();
    ages(&freshened);
    if let Some(combined) = combine(&stored, &freshened) {
        ages(&combined.stored);
    }
    let _ = stored.weight();
}

fn ages(stored: &Stored) {
    let mut before = (stored.age(UnixMillis(0)), stored.ttl(UnixMillis(0)));
    for now in [NOW.0, NOW.0 + 2_000, NOW.0 + 90_000, u64::MAX / 2, u64::MAX] {
        let now = UnixMillis(now);
        let after = (stored.age(now), stored.ttl(now));
        assert!(after.0 >= before.0 && after.1 <= before.1);
        assert_eq!(stored.is_fresh(now), stored.ttl(now) > 0);
        before = after;
    }
}
