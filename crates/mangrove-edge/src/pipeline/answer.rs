//! Answer: the head and body a visitor gets, from an origin, from a site's own words, or a page
//! that tells visitor, edge and origin apart.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use mangrove_cache::memory::Slot;
use mangrove_cache::{Asked, ContentRange, Multipart};
use mangrove_http::{Known, Method, Refusal, ResponseHead, UnixMillis, Version};

use super::fetch::Fetched;
use super::parts::bringer;
use super::record::Story;
use super::refused::answer_refused;
use crate::answer_head::{AnswerHead, Form, HeadSource, KeptAnswer, Prepared};
use crate::body::ResponseBody;
use crate::cache::{Content, Follower, Kept, KeptBody, Resource, SiteCache};
use crate::compress::{NotEncoded, Wishes};
use crate::pages::{self, Arrival};
use crate::reason::{EdgeReason, Reason};

/// What goes to the visitor.
#[derive(Debug)]
pub struct Answer {
    /// Status and fields.
    pub head: AnswerHead,
    /// Content.
    pub body: ResponseBody,
}

/// An origin's answer, passed on.
pub fn answer_fetched(story: &mut Story, fetched: Fetched) -> Answer {
    let Fetched { head, body } = fetched;
    story.status = head.status();
    Answer {
        head: AnswerHead::Own(head),
        body,
    }
}

/// What the cache keeps, as an answer to this request: whole, not modified, or some of its bytes.
pub(super) fn answer_kept(story: &mut Story, cache: &SiteCache, kept: &Kept) -> Answer {
    answer_with(story, cache, kept, true)
}

/// The same without cutting a range out of it: the origin does not either, and the rest would have to be waited for.
pub(super) fn answer_kept_whole(story: &mut Story, cache: &SiteCache, kept: &Kept) -> Answer {
    answer_with(story, cache, kept, false)
}

fn answer_with(story: &mut Story, cache: &SiteCache, kept: &Kept, cut: bool) -> Answer {
    let now = story.judged_at;
    let kept = &in_coding(story, cache, kept);
    let Some(object) = kept.object() else {
        return answer_refused(story, EdgeReason::InternalError.into());
    };
    let stored = &object.head.stored;
    let asked = Asked::read(&story.head, story.path(), &cache.rules);
    let is_part = matches!(stored.content, mangrove_cache::Content::Part { .. });
    let length = (cut && !is_part).then(|| object.content.length());
    let answer = mangrove_cache::answer(&asked, stored, length, now);
    if let Some(tale) = &mut story.cache {
        tale.ttl = Some(stored.ttl(now));
    }
    let (form, mut body) = match answer {
        mangrove_cache::Answer::Whole => (Form::Whole, KeptBody::whole(kept.clone())),
        mangrove_cache::Answer::NotModified => {
            return kept_answer(story, kept.clone(), now, Form::NotModified, None);
        }
        mangrove_cache::Answer::Part { piece, total } => {
            // Positions are those of the whole; of a part, what is held begins later.
            let before = match stored.content {
                mangrove_cache::Content::Part { held, .. } => held.first,
                mangrove_cache::Content::Whole { .. } => 0,
            };
            let body = KeptBody::part(
                kept.clone(),
                piece.first.saturating_sub(before),
                piece.length(),
            );
            (Form::Part(ContentRange { held: piece, total }), body)
        }
        mangrove_cache::Answer::Parts { pieces, total } => {
            let content_type = stored.fields.field(Known::ContentType);
            let seed = u128::from(story.core.random()) << 64 | u128::from(story.core.random());
            let plan = Multipart::plan(&pieces, total, content_type, seed);
            let mut content_type = Vec::new();
            plan.write_content_type(&mut content_type);
            (
                Form::Parts(content_type),
                KeptBody::parts(kept.clone(), plan),
            )
        }
        mangrove_cache::Answer::Unsatisfiable { total } => {
            return kept_answer(story, kept.clone(), now, Form::Unsatisfiable(total), None);
        }
    };
    if body.is_coming()
        && let Some(bring) = bringer(story, object)
    {
        body.bring_with(bring);
    }
    kept_answer(story, kept.clone(), now, form, Some(body))
}

/// What is kept, in the coding that the visitor likes best of those that are there. What he likes better and is not there
/// is made, for those who come after him.
fn in_coding(story: &Story, cache: &SiteCache, kept: &Kept) -> Kept {
    let Some(object) = kept.object().filter(|object| object.is_codable()) else {
        return kept.clone();
    };
    let wishes = Wishes::read(&story.head);
    if let Some(coding) = wishes.best(|coding| object.may_have(coding))
        && object.form(coding).is_none()
        && let Some(compressor) = story.core.cache.shared.compressor()
        && let Some(slot) = kept.hold.slot()
        && object.ask_for(coding)
    {
        let lent = Lent {
            content: Arc::clone(&object.content),
            _slot: Arc::clone(slot),
        };
        match compressor.encode(coding, coding.level(&cache.compress), lent) {
            Ok(encoding) => {
                let shared = Arc::clone(&story.core.cache.shared);
                let (object, slot) = (Arc::clone(object), Arc::clone(slot));
                tokio::task::spawn_local(async move {
                    match encoding.await {
                        Ok(pieces) => {
                            let coded = Content::gather(pieces);
                            shared.keep_form(&slot, &object.content, coding, &coded);
                        }
                        Err(NotEncoded::NotSmaller) => object.is_not_worth(coding),
                        Err(_) => object.forget_asking(coding),
                    }
                });
            }
            Err(_full) => object.forget_asking(coding),
        }
    }
    kept.coded(wishes.best(|coding| object.form(coding).is_some()))
}

/// Content lent to whoever codes it, counted until he is done.
struct Lent {
    content: Arc<Content>,
    _slot: Arc<Slot<Resource>>,
}

impl AsRef<[Bytes]> for Lent {
    fn as_ref(&self) -> &[Bytes] {
        self.content.pieces()
    }
}

fn kept_answer(
    story: &mut Story,
    kept: Kept,
    now: UnixMillis,
    form: Form,
    body: Option<KeptBody>,
) -> Answer {
    let length = body.as_ref().map(KeptBody::length);
    let head = KeptAnswer {
        source: HeadSource::Kept(kept),
        form,
        now,
        length,
    };
    story.status = head.status();
    let body = match body {
        Some(body) if story.head.method() != Method::Head => ResponseBody::Kept(body),
        _ => ResponseBody::Empty,
    };
    Answer {
        head: AnswerHead::Kept(Box::new(head)),
        body,
    }
}

/// An answer that the cache is being filled with: its content is read as it arrives.
pub(super) fn answer_filling(story: &mut Story, cache: &SiteCache, follower: Follower) -> Answer {
    let now = story.judged_at;
    let Some(head) = follower.head() else {
        return answer_refused(story, EdgeReason::InternalError.into());
    };
    let asked = Asked::read(&story.head, story.path(), &cache.rules);
    let not_modified = matches!(
        mangrove_cache::answer(&asked, &head.stored, None, now),
        mangrove_cache::Answer::NotModified
    );
    if let Some(tale) = &mut story.cache {
        tale.ttl = Some(head.stored.ttl(now));
        if not_modified {
            tale.forward_status = Some(head.stored.status);
        }
    }
    let (form, length) = match not_modified {
        true => (Form::NotModified, None),
        false => (Form::Whole, follower.length()),
    };
    let head = KeptAnswer {
        source: HeadSource::Filling(head),
        form,
        now,
        length,
    };
    story.status = head.status();
    Answer {
        head: AnswerHead::Kept(Box::new(head)),
        body: match not_modified {
            true => ResponseBody::Empty,
            false => ResponseBody::Following(follower),
        },
    }
}

/// An answer made when the snapshot was.
pub fn answer_prepared(story: &Story, prepared: &Rc<Prepared>) -> Answer {
    let body = if story.head.method() == Method::Head {
        ResponseBody::Empty
    } else {
        ResponseBody::whole(prepared.body.clone())
    };
    Answer {
        head: AnswerHead::Prepared(Rc::clone(prepared)),
        body,
    }
}

/// A page of the built-in sample site.
pub fn answer_sample(story: &mut Story) -> Answer {
    if !matches!(story.head.method(), Method::Get | Method::Head) {
        return answer_refused(story, Reason::Refusal(Refusal::MethodNotAllowed));
    }
    let file = pages::sample(story.path()).unwrap_or_else(pages::sample_not_found);
    let protocol = match (story.head.version(), story.connection.tls.is_some()) {
        (Version::Http10, false) => "HTTP/1.0",
        (Version::Http11, false) => "HTTP/1.1",
        (Version::Http2, false) => "HTTP/2",
        (Version::Http10, true) => "HTTP/1.0 over TLS",
        (Version::Http11, true) => "HTTP/1.1 over TLS",
        (Version::Http2, true) => "HTTP/2 over TLS",
    };
    let id = story.id_text;
    let mut content = Vec::with_capacity(file.body.len() + 256);
    file.write(
        &Arrival {
            protocol,
            request_id: std::str::from_utf8(&id).unwrap_or_default(),
            host: story.head.authority(),
        },
        &mut content,
    );
    let mut head = story.core.take_response_head();
    head.begin(Version::Http11, file.status);
    head.push_field(b"content-type", file.content_type.as_bytes());
    head.push_field(b"cache-control", file.cache_control.as_bytes());
    finish(story, head, content)
}

/// What a purge has done, in JSON.
pub(super) fn answer_told(story: &mut Story, told: &serde_json::Value) -> Answer {
    let mut head = story.core.take_response_head();
    head.begin(Version::Http11, 200);
    head.push_field(b"content-type", b"application/json");
    head.push_field(b"cache-control", b"no-store");
    finish(story, head, format!("{told}\n").into_bytes())
}

/// An answer made for this exchange.
pub(super) fn finish(story: &mut Story, mut head: ResponseHead, content: Vec<u8>) -> Answer {
    story.status = head.status();
    let body = if story.head.method() == Method::Head {
        head.push_field(
            Known::ContentLength.name().as_bytes(),
            content.len().to_string().as_bytes(),
        );
        let limits = story.snapshot.response_limits;
        let _ = head.finish(&limits, Method::Head); // our own words; it is read for the length
        ResponseBody::Empty
    } else {
        ResponseBody::whole(Bytes::from(content))
    };
    Answer {
        head: AnswerHead::Own(head),
        body,
    }
}
