//! Refused: the page that tells a visitor what went wrong, and with whom.
//!
//! A flood is made of what is refused, so that must cost less than what is served: head and page are made once for each reason, and
//! then only what is particular to one request is filled in.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use mangrove_http::accept::{Language as Tongue, PageForm, preferred_form, preferred_language};
use mangrove_http::{Method, Refusal, ResponseHead, Version};

use super::answer::{Answer, finish};
use super::record::Story;
use crate::answer_head::{AnswerHead, Prepared};
use crate::body::ResponseBody;
use crate::keyed_hash::Keyed;
use crate::module::{Module, guard};
use crate::pages::{Format, Language, Met, Page, Pages, Trouble, content_type};
use crate::reason::{EdgeReason, Reason};

/// What is refused on one core under one snapshot, each made when it is first needed. There are as many as reasons, formats and
/// languages, of at most six kibibytes each.
#[derive(Debug, Default)]
pub struct RefusedPages(RefCell<HashMap<Told, Rc<RefusedPage>, Keyed>>);

type Told = (Reason, Format, Language);

/// One of them: what is the same for everyone who is refused for that reason.
struct RefusedPage {
    head: Rc<Prepared>,
    page: Page,
}

impl fmt::Debug for RefusedPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusedPage")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl RefusedPages {
    fn of(&self, pages: &Pages, told: Told, name: &str) -> Option<Rc<RefusedPage>> {
        if let Some(known) = self.0.borrow().get(&told) {
            return Some(Rc::clone(known));
        }
        let (reason, format, language) = told;
        let trouble = Trouble {
            fault: reason.fault(),
            status: reason.status(),
            reason: reason.name(),
            explain: reason.explain(),
        };
        let mut head = ResponseHead::new();
        push_head(&mut head, name, reason, Some((format, language)), None);
        let made = Rc::new(RefusedPage {
            head: Prepared::new(head, Bytes::new()),
            page: pages.page(&trouble, format, language)?,
        });
        self.0.borrow_mut().insert(told, Rc::clone(&made));
        Some(made)
    }
}

/// The page that tells of `reason`.
pub fn answer_refused(story: &mut Story, reason: Reason) -> Answer {
    story.blame(reason);
    let format = match preferred_form(&story.head) {
        PageForm::Html => Format::Html,
        PageForm::Plain => Format::Text,
        PageForm::ProblemJson => Format::Problem,
    };
    let language = match preferred_language(&story.head) {
        Tongue::English => Language::English,
        Tongue::Bengali => Language::Bengali,
    };
    let name = &story.snapshot.settled.server.cdn_id;
    let drawn = guard(&story.core.metrics, Module::Page, || {
        let refused = &story.snapshot.refused;
        let refused = refused.of(&story.core.pages, (reason, format, language), name)?;
        let content = refused.page.write(&Met {
            request_id: &story.id_text,
            host: story.head.host(),
            time_unix: story.core.wall().secs(),
        });
        Some((Rc::clone(&refused.head), content))
    });
    let received = story.origin.status;
    let (form, content) = match drawn {
        Ok(Some((head, content))) if received.is_none() && story.head.method() != Method::Head => {
            story.status = head.head.status();
            return Answer {
                head: AnswerHead::Prepared(head),
                body: ResponseBody::whole(Bytes::from(content)),
            };
        }
        Ok(Some((_, content))) => (Some((format, language)), content),
        _ => (None, format!("{}\n", reason.name()).into_bytes()),
    };
    let mut head = story.core.take_response_head();
    push_head(&mut head, name, reason, form, received);
    finish(story, head, content)
}

/// Status and fields of what is refused; `form` where there is a page, `received` the status that an origin gave, `name` ours.
fn push_head(
    head: &mut ResponseHead,
    name: &str,
    reason: Reason,
    form: Option<(Format, Language)>,
    received: Option<u16>,
) {
    let status = reason.status();
    head.begin(Version::Http11, status);
    match form {
        Some((format, language)) => {
            head.push_field(b"content-type", content_type(format).as_bytes());
            head.push_field(b"content-language", language.tag().as_bytes());
        }
        None => head.push_field(b"content-type", b"text/plain; charset=utf-8"),
    }
    // A page about this one request: nobody else's, and not for later.
    head.push_field(b"cache-control", b"no-store");
    head.push_field(b"vary", b"accept, accept-language");
    // The page is one file with its own style; nothing else may run or load in the site's name.
    head.push_field(
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'",
    );
    head.push_field(b"x-content-type-options", b"nosniff");
    head.push_field(b"proxy-status", &proxy_status(name, reason, received));
    match reason {
        Reason::Refusal(Refusal::MethodNotAllowed | Refusal::ConnectRefused) => {
            head.push_field(b"allow", b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
        }
        Reason::Refusal(Refusal::WebSocketVersion) => {
            head.push_field(b"sec-websocket-version", b"13")
        }
        Reason::Origin(_) if status == 503 => head.push_field(b"retry-after", b"5"),
        Reason::Edge(EdgeReason::TooManyConnections | EdgeReason::Drained) => {
            head.push_field(b"retry-after", b"1")
        }
        _ => {}
    }
}

/// `mangrove; error=connection_refused; details="connect-refused"` (RFC 9209).
fn proxy_status(name: &str, reason: Reason, received: Option<u16>) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"; error=");
    out.extend_from_slice(reason.proxy_status().as_bytes());
    if let Some(status) = received {
        out.extend_from_slice(b"; received-status=");
        crate::log::push_decimal(&mut out, u64::from(status));
    }
    out.extend_from_slice(b"; details=\"");
    out.extend_from_slice(reason.name().as_bytes());
    out.push(b'"');
    out
}
