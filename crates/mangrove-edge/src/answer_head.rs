//! The head of an answer on its way to a client: an origin's, or one made at the edge.

use std::rc::Rc;

use bytes::Bytes;
use mangrove_http::ResponseHead;

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
}

impl AnswerHead {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.head().status()
    }

    /// Status and fields.
    pub fn head(&self) -> &ResponseHead {
        match self {
            Self::Own(head) => head,
            Self::Prepared(prepared) => &prepared.head,
        }
    }
}

/// Appends one HTTP/1 field line.
pub fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends `HTTP/1.1 200 OK` and its line end. The phrase is for people who read traces
/// (RFC 9112 section 4 lets it be empty); an origin's own is not passed on.
pub fn push_status_line(out: &mut Vec<u8>, status: u16) {
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
