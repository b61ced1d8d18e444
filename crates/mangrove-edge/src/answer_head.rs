//! The head of an answer on its way to a client: an origin's, or one made at the edge.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use mangrove_cache::{ContentRange, is_in_not_modified, write_unsatisfied};
use mangrove_http::{Field, Known, ResponseHead, UnixMillis};

use crate::cache::{Kept, KeptHead, is_for_caches, is_told_afresh};

/// An answer that is the same for everyone, made when its snapshot was.
#[derive(Debug)]
pub struct Prepared {
    /// Status and fields, without what is particular to one exchange.
    pub head: ResponseHead,
    /// The head's field lines as HTTP/1 writes them.
    pub http1_fields: Box<[u8]>,
    /// The content.
    pub body: Bytes,
}

impl Prepared {
    /// Renders the field lines once, for every exchange to come.
    pub fn new(head: ResponseHead, body: Bytes) -> Rc<Self> {
        let mut fields = Vec::new();
        for field in head.fields() {
            push_field(&mut fields, field.name, field.value);
        }
        Rc::new(Self {
            head,
            http1_fields: fields.into(),
            body,
        })
    }
}

/// Where the status and fields of an answer come from.
#[derive(Debug)]
pub enum AnswerHead {
    /// An origin's, or made for this exchange.
    Own(ResponseHead),
    /// The same for everyone.
    Prepared(Rc<Prepared>),
    /// From the cache.
    Kept(Box<KeptAnswer>),
}

impl AnswerHead {
    /// The status code.
    pub fn status(&self) -> u16 {
        match self {
            Self::Own(head) => head.status(),
            Self::Prepared(prepared) => prepared.head.status(),
            Self::Kept(kept) => kept.status(),
        }
    }

    /// The fields, but for those that every answer is given afresh, and those that only caches are told.
    pub fn for_each_field(&self, mut look: impl FnMut(&Field<'_>)) {
        match self {
            Self::Own(head) => {
                let told = head.fields().filter(|field| !is_for_caches(field.known));
                told.for_each(|field| look(&field));
            }
            Self::Prepared(prepared) => prepared.head.fields().for_each(|field| look(&field)),
            Self::Kept(kept) => kept.for_each_field(look),
        }
    }

    /// The length that an answer without content tells: what a GET would have brought (RFC 9110 section 8.6).
    pub fn told_length(&self) -> Option<u64> {
        match self {
            Self::Own(head) => head.content_length(),
            Self::Prepared(prepared) => Some(prepared.body.len() as u64),
            Self::Kept(kept) => kept.length,
        }
    }
}

/// The head of an answer from the cache.
#[derive(Debug)]
pub struct KeptAnswer {
    /// Where status and fields are.
    pub source: HeadSource,
    /// What the request makes of them.
    pub form: Form,
    /// The time that its age is told for.
    pub now: UnixMillis,
    /// Bytes of content, where that is known.
    pub length: Option<u64>,
}

/// Where status and fields of an answer from the cache are.
#[derive(Debug)]
pub enum HeadSource {
    /// In the cache.
    Kept(Kept),
    /// On their way into it.
    Filling(Arc<KeptHead>),
}

/// What a request makes of what is kept.
#[derive(Debug)]
pub enum Form {
    /// As it is.
    Whole,
    /// 304.
    NotModified,
    /// 206 with one range.
    Part(ContentRange),
    /// 206 with several, under this content type.
    Parts(Vec<u8>),
    /// 416 of so many bytes.
    Unsatisfiable(u64),
}

impl KeptAnswer {
    /// The head it is made from.
    pub fn kept(&self) -> Option<&KeptHead> {
        match &self.source {
            HeadSource::Kept(kept) => kept.object().map(|object| &*object.head),
            HeadSource::Filling(head) => Some(head),
        }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        match self.form {
            Form::Whole => self.kept().map_or(500, |head| head.stored.status),
            Form::NotModified => 304,
            Form::Part(_) | Form::Parts(_) => 206,
            Form::Unsatisfiable(_) => 416,
        }
    }

    /// Seconds since the origin made or confirmed it (RFC 9111 section 5.1).
    pub fn age(&self) -> u32 {
        self.kept().map_or(0, |head| head.stored.age(self.now))
    }

    /// The field lines as they are kept for HTTP/1, where the request changes nothing in them.
    pub fn http1_fields(&self) -> Option<(&[u8], bool)> {
        match (&self.form, self.kept()) {
            (Form::Whole, Some(head)) => Some((&head.http1_fields, head.dated)),
            _ => None,
        }
    }

    fn for_each_field(&self, mut look: impl FnMut(&Field<'_>)) {
        let Some(head) = self.kept() else {
            return;
        };
        for field in head.fields().iter() {
            let told = match &self.form {
                _ if is_told_afresh(field.known) || is_for_caches(field.known) => false,
                Form::Whole => true,
                Form::NotModified => is_in_not_modified(&head.stored, &field),
                Form::Part(_) => field.known != Known::ContentRange,
                Form::Parts(_) => !matches!(field.known, Known::ContentRange | Known::ContentType),
                // Of a representation that is not sent, only what finds it again.
                Form::Unsatisfiable(_) => {
                    matches!(
                        field.known,
                        Known::Date
                            | Known::ETag
                            | Known::LastModified
                            | Known::Vary
                            | Known::CacheControl
                            | Known::Expires
                    )
                }
            };
            if told {
                look(&field);
            }
        }
        let mut value = Vec::new();
        let (known, written) = match &self.form {
            Form::Whole | Form::NotModified => return,
            Form::Part(range) => {
                range.write(&mut value);
                (Known::ContentRange, &value)
            }
            Form::Parts(content_type) => (Known::ContentType, content_type),
            Form::Unsatisfiable(total) => {
                write_unsatisfied(*total, &mut value);
                (Known::ContentRange, &value)
            }
        };
        look(&Field {
            known,
            name: known.name().as_bytes(),
            value: written,
            hop_by_hop: false,
        });
    }
}

/// Appends one HTTP/1 field line.
#[inline] // names and lengths are mostly known where it is called
pub fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends `HTTP/1.1 200 OK` and its line end. The phrase is for people who read traces
/// (RFC 9112 section 4 lets it be empty); an origin's own is not passed on.
pub fn push_status_line(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"); // nearly always, and ready
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    crate::log::push_decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The status code's name in the registry of RFC 9110 section 16.2.
pub fn phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|s| s.canonical_reason())
        .unwrap_or("")
}
