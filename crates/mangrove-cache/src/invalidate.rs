//! What a change through this cache makes invalid (RFC 9111 section 4.4).

use mangrove_http::{Known, RequestHead, ResponseHead, Scheme, normalize};

use crate::key::{key_of_url, write_key, write_origin};
use crate::rules::Rules;

/// The keys of everything that the response to an unsafe request makes invalid: that of the request itself, and of
/// `Location` and `Content-Location` where they name something of the same origin. None when the method is safe or the
/// response is an error.
///
/// Everything under these keys, every variant, goes or is [`invalidated`](crate::Stored::invalidate).
pub fn invalidated_keys(
    rules: &Rules,
    scheme: Scheme,
    request: &RequestHead,
    path: &[u8],
    response: &ResponseHead,
) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    if request.method().is_safe() || !matches!(response.status(), 200..=399) {
        return keys;
    }
    let mut key = Vec::new();
    write_key(rules, scheme, request, path, &mut key);
    keys.push(key);
    for known in [Known::Location, Known::ContentLocation] {
        let named = response
            .field(known)
            .and_then(|reference| named_key(rules, scheme, request, reference));
        keys.extend(named.filter(|key| !keys.contains(key)));
    }
    keys
}

/// Whether `Content-Location` names the URL of the request: then the response to a POST is also one to a GET of it
/// (RFC 9110 section 9.3.3).
pub(crate) fn names_itself(request: &RequestHead, response: &ResponseHead) -> bool {
    let Some(reference) = response.field(Known::ContentLocation) else {
        return false;
    };
    let rules = Rules::default();
    let mut path = Vec::new();
    normalize(request.path(), &mut path);
    // The request does not say its own scheme in HTTP/1; a reference that names one has to agree with one of them.
    [Scheme::Http, Scheme::Https].into_iter().any(|scheme| {
        let mut key = Vec::new();
        write_key(&rules, scheme, request, &path, &mut key);
        named_key(&rules, scheme, request, reference) == Some(key)
    })
}

/// The key of a reference relative to the request's URL (RFC 3986 section 5.2), if it is of the same origin.
fn named_key(
    rules: &Rules,
    scheme: Scheme,
    request: &RequestHead,
    reference: &[u8],
) -> Option<Vec<u8>> {
    let mut origin = Vec::new();
    write_origin(scheme, request.host(), request.port(), &mut origin);
    let mut url = Vec::new();
    let reference = reference.split(|&b| b == b'#').next().unwrap_or_default();
    match reference {
        [b'/', b'/', ..] => {
            url.extend_from_slice(match scheme {
                Scheme::Http => b"http:",
                Scheme::Https => b"https:",
            });
        }
        [b'/', ..] => url.extend_from_slice(&origin),
        reference if has_scheme(reference) => {}
        relative => {
            url.extend_from_slice(&origin);
            write_base(request, relative, &mut url);
        }
    }
    url.extend_from_slice(reference);
    let mut key = Vec::new();
    let same_origin = |key: &[u8]| {
        key.strip_prefix(&*origin)
            .is_some_and(|rest| rest.starts_with(b"/"))
    };
    (key_of_url(rules, &url, &mut key) && same_origin(&key)).then_some(key)
}

/// What stands before a relative reference: of the path all up to the last slash, or more when it has no path itself.
fn write_base(request: &RequestHead, relative: &[u8], url: &mut Vec<u8>) {
    let path = request.path();
    match relative {
        [] => url.extend_from_slice(request.target()),
        [b'?', ..] => url.extend_from_slice(path),
        _ => {
            let directory = path
                .iter()
                .rposition(|&b| b == b'/')
                .map_or(0, |slash| slash + 1);
            url.extend_from_slice(path.get(..directory).unwrap_or_default());
        }
    }
}

fn has_scheme(reference: &[u8]) -> bool {
    let end = reference
        .iter()
        .position(|b| matches!(b, b':' | b'/' | b'?'));
    let end = end.filter(|&end| end > 0 && reference.get(end) == Some(&b':'));
    end.and_then(|end| reference.get(..end))
        .is_some_and(|scheme| {
            scheme
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mangrove_http::{HeadLimits, Method, Version};

    fn request(line: &str) -> RequestHead {
        let mut head = RequestHead::new();
        head.octets_mut()
            .extend_from_slice(format!("{line} HTTP/1.1\r\nHost: news.example\r\n\r\n").as_bytes());
        head.parse_h1(&HeadLimits::default()).unwrap();
        head
    }

    fn response(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead::new();
        head.begin(Version::Http11, status);
        fields
            .iter()
            .for_each(|(name, value)| head.push_field(name.as_bytes(), value.as_bytes()));
        head.finish(&HeadLimits::default(), Method::Post).unwrap();
        head
    }

    fn keys(line: &str, status: u16, fields: &[(&str, &str)]) -> Vec<String> {
        let request = request(line);
        let keys = invalidated_keys(
            &Rules::default(),
            Scheme::Https,
            &request,
            request.path(),
            &response(status, fields),
        );
        keys.into_iter()
            .map(|key| String::from_utf8(key).unwrap())
            .collect()
    }

    #[test]
    fn a_change_makes_its_own_url_invalid_and_those_it_names() {
        assert_eq!(
            keys("POST /a/b?c", 200, &[]),
            ["https://news.example/a/b?c"]
        );
        assert_eq!(
            keys(
                "M-SEARCH /a/b",
                303,
                &[("location", "/x"), ("content-location", "y#z")]
            ),
            [
                "https://news.example/a/b",
                "https://news.example/x",
                "https://news.example/a/y"
            ]
        );
        assert_eq!(
            keys(
                "PUT /a",
                201,
                &[("location", "https://NEWS.example:443/./z")]
            )[1..],
            ["https://news.example/z"]
        );
        assert_eq!(
            keys("PUT /a?b", 201, &[("location", "?c")])[1..],
            ["https://news.example/a?c"]
        );
        assert_eq!(keys("PUT /a?b", 201, &[("location", "")]).len(), 1);
    }

    #[test]
    fn other_origins_errors_and_safe_methods_make_nothing_invalid() {
        for elsewhere in [
            "https://other.example/",
            "http://news.example/x",
            "//other.example/x",
            "https://news.example:8443/x",
            "https://news.example.evil/x",
            "mailto:a@b",
            "urn:x",
        ] {
            assert_eq!(
                keys("POST /a", 200, &[("location", elsewhere)]).len(),
                1,
                "{elsewhere}"
            );
        }
        assert!(keys("POST /a", 500, &[]).is_empty());
        assert!(keys("POST /a", 404, &[]).is_empty());
        assert!(keys("GET /a", 200, &[]).is_empty());
    }

    #[test]
    fn a_response_that_names_its_own_url() {
        let names = |reference| {
            names_itself(
                &request("POST /a?b"),
                &response(200, &[("content-location", reference)]),
            )
        };
        assert!(
            names("/a?b")
                && names("")
                && names("http://news.example/a?b")
                && names("https://news.example/a?b")
        );
        assert!(!names("/a") && !names("//other.example/a?b"));
        assert!(!names_itself(&request("POST /a"), &response(200, &[])));
    }
}
