//! The built-in sample site: what a first run shows before there is an origin.

use super::Format;
use super::template::{Slot, Template};
use super::visible::{push_hostile, push_text};

/// One file of the sample site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleFile {
    /// The status to answer with.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `Cache-Control`: pages tell about one request and are not stored, the rest is.
    pub cache_control: &'static str,
    /// The file. A page has holes in it (`[[request-id]]`): send what [`SampleFile::write`] makes of it.
    pub body: &'static [u8],
}

/// What the sample page tells about the request that asked for it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The protocol in words, such as `HTTP/2 over TLS`.
    pub protocol: &'a str,
    /// The request id, as in the log.
    pub request_id: &'a str,
    /// The host asked for, as it came.
    pub host: &'a [u8],
}

/// The file at `path` (without query), or `None` where the site has nothing: answer with [`sample_not_found`].
#[must_use]
pub fn sample(path: &[u8]) -> Option<SampleFile> {
    let (content_type, cache_control, body) = match path {
        b"/" | b"/index.html" => (HTML, "no-store", include_str!("sample.html")),
        b"/mangrove.css" => ("text/css; charset=utf-8", KEPT, include_str!("sample.css")),
        b"/mangrove.svg" | b"/favicon.ico" => ("image/svg+xml", KEPT, include_str!("sample.svg")),
        _ => return None,
    };
    Some(SampleFile {
        status: 200,
        content_type,
        cache_control,
        body: body.as_bytes(),
    })
}

/// The sample site's page for an address where it has nothing.
#[must_use]
pub fn sample_not_found() -> SampleFile {
    SampleFile {
        status: 404,
        content_type: HTML,
        cache_control: "no-store",
        body: include_str!("sample_404.html").as_bytes(),
    }
}

const HTML: &str = "text/html; charset=utf-8";
const KEPT: &str = "public, max-age=3600";

/// Longer values are cut on the page, not refused.
pub(crate) const SHOWN: usize = 120;

#[derive(Clone, Copy)]
enum Hole {
    Protocol,
    RequestId,
    Host,
}

impl SampleFile {
    /// Writes the file to the end of `out`, its holes filled with what happened to this request. The page is small and
    /// read by a person trying Mangrove, so it is cut anew each time.
    pub fn write(&self, arrival: &Arrival<'_>, out: &mut Vec<u8>) {
        if self.content_type != HTML {
            out.extend_from_slice(self.body);
            return;
        }
        let page = String::from_utf8_lossy(self.body);
        let template = Template::cut(&page, |name| {
            Some(Slot::Hole(match name {
                "protocol" => Hole::Protocol,
                "request-id" => Hole::RequestId,
                "host" => Hole::Host,
                _ => return None,
            }))
        });
        template.fill(out, |hole, out| match hole {
            Hole::Protocol => push_text(arrival.protocol, SHOWN, Format::Html, out),
            Hole::RequestId => {
                push_hostile(arrival.request_id.as_bytes(), SHOWN, Format::Html, out);
            }
            Hole::Host => push_hostile(arrival.host, SHOWN, Format::Html, out),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(file: SampleFile, host: &[u8]) -> String {
        let arrival = Arrival {
            protocol: "HTTP/2 over TLS",
            request_id: "01JD9ZK3Q8W4V7N2",
            host,
        };
        let mut out = Vec::new();
        file.write(&arrival, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_first_page_tells_what_happened_to_this_request() {
        let page = written(sample(b"/").unwrap(), b"localhost:8080");
        for told in ["HTTP/2 over TLS", "01JD9ZK3Q8W4V7N2", "localhost:8080"] {
            assert!(page.contains(told), "{told}");
        }
        assert!(!page.contains("[["));
    }

    #[test]
    fn everything_the_pages_link_to_is_there() {
        for file in [sample(b"/").unwrap(), sample_not_found()] {
            let page = written(file, b"localhost");
            let links = page.split("href=\"").chain(page.split("src=\"")).skip(1);
            for link in links.filter_map(|rest| rest.split('"').next()) {
                if link.starts_with('/') {
                    assert!(sample(link.as_bytes()).is_some(), "{link}");
                }
            }
        }
    }

    #[test]
    fn elsewhere_there_is_nothing() {
        assert_eq!(sample(b"/admin"), None);
        assert_eq!(sample(b""), None);
        assert_eq!(sample_not_found().status, 404);
    }

    #[test]
    fn a_hostile_host_is_shown_and_does_no_harm() {
        let page = written(sample(b"/").unwrap(), b"<script>");
        assert!(page.contains("&lt;script&gt;"));
    }
}
