//! Admit: is this a request for one of our sites that may be passed on at all?

use std::rc::Rc;

use mangrove_http::{BodyFraming, Known, Method, Refusal, cdn_loop, websocket};

use super::Refused;
use super::receive::Received;
use super::record::Story;
use crate::reason::{EdgeReason, Reason};
use crate::snapshot::Site;

/// A request that belongs to a site and breaks none of its laws.
#[derive(Debug)]
pub struct Admitted {
    story: Box<Story>,
    site: Rc<Site>,
}

/// Finds the site and applies what the parser cannot know: the site's own rules and ours.
pub fn admit(received: Received) -> Result<Admitted, Refused> {
    let mut story = received.into_story();
    let Some(site) = story.snapshot.site_for(story.head.host()) else {
        return Err(Refused {
            story,
            reason: Reason::Edge(EdgeReason::UnknownHost),
        });
    };
    story.site = Some(Rc::clone(&site));
    match check(&mut story, &site) {
        Ok(()) => Ok(Admitted { story, site }),
        Err(refusal) => Err(Refused {
            story,
            reason: Reason::Refusal(refusal),
        }),
    }
}

impl Admitted {
    pub(super) fn into_parts(self) -> (Box<Story>, Rc<Site>) {
        (self.story, self.site)
    }
}

fn check(story: &mut Story, site: &Site) -> Result<(), Refusal> {
    let head = &story.head;
    // TRACE would show a script the visitor's cookies and our own added fields.
    if head.method() == Method::Trace {
        return Err(Refusal::MethodNotAllowed);
    }
    if head.count(Known::CdnLoop) > 0
        && cdn_loop::passes(
            head.all(Known::CdnLoop),
            &story.snapshot.settled.server.cdn_id,
        )? > 0
    {
        return Err(Refusal::LoopDetected);
    }
    if let BodyFraming::Length(length) = head.framing()
        && length > site.request_body_bytes
    {
        return Err(Refusal::BodyTooLarge);
    }
    let token = head.upgrade().or(head.protocol_h2());
    if let Some(token) = token {
        let listed = site
            .upgrade
            .iter()
            .any(|t| t.as_bytes().eq_ignore_ascii_case(token));
        let is_websocket = token.eq_ignore_ascii_case(b"websocket");
        if !listed {
            // Any other offer may be ignored (RFC 9110 section 7.8): `curl --http2` offers h2c on
            // every request and is served by HTTP/1.1. A WebSocket client waits for a clear no,
            // and an extended CONNECT has no other meaning.
            if is_websocket || head.protocol_h2().is_some() {
                return Err(Refusal::UpgradeNotAllowed);
            }
        } else {
            if is_websocket {
                websocket::check_request(head)?;
            }
            if !matches!(head.framing(), BodyFraming::None) && head.upgrade().is_some() {
                return Err(Refusal::MalformedUpgrade);
            }
            story.upgrade = true;
        }
    }
    Ok(())
}
