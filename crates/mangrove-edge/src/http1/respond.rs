//! Writing an answer to an HTTP/1 client: head and first chunk in one call, then chunk by chunk as
//! the client takes them. Nothing is buffered that the client has not asked for by reading.

use std::io::IoSlice;
use std::task::{Context, Poll};

use mangrove_http::{Known, Method, Version};

use super::client::ClientSide;
use super::{has_no_body, takes_chunks};
use crate::answer_head::{AnswerHead, push_field, push_status_line};
use crate::body::ResponseBody;
use crate::core::Core;
use crate::limits::tell;
use crate::log::push_decimal;
use crate::outgoing::{Broken, InFile, Outgoing, OutgoingFraming, Progress, Sink, Window};
use crate::pipeline::{Answer, Story};
use crate::reason::Reason;
use crate::uptake::Uptake;

/// One answer on its way out.
#[derive(Debug)]
pub(super) struct Responder {
    head: AnswerHead,
    body: ResponseBody,
    outgoing: Outgoing,
    persists: bool,
    uptake: Uptake,
    status: u16,
}

impl Responder {
    /// Renders the head; `persists` is whether the connection could go on after it, `given` what the client was given on
    /// it before.
    pub(super) fn new(story: &Story, answer: Answer, persists: bool, given: u64) -> Self {
        let Answer { head, body } = answer;
        let core = &story.core;
        let version = story.head.version();
        let status = head.status();
        let framing = if has_no_body(story.head.method(), status) {
            OutgoingFraming::None
        } else {
            match body.length() {
                Some(length) => OutgoingFraming::Length(length),
                None if takes_chunks(version) => OutgoingFraming::Chunked,
                None => OutgoingFraming::UntilClose,
            }
        };
        let persists = persists && framing != OutgoingFraming::UntilClose;
        let mut out = core.take_buffer();
        push_status_line(&mut out, status);
        let mut dated = false;
        match &head {
            AnswerHead::Prepared(prepared) => out.extend_from_slice(&prepared.http1_fields),
            AnswerHead::Kept(kept) if let Some((lines, has_date)) = kept.http1_fields() => {
                out.extend_from_slice(lines);
                dated = has_date;
            }
            head => head.for_each_field(|field| {
                // Length and id are told below, in our own words.
                let is_ours = matches!(field.known, Known::ContentLength | Known::XRequestId);
                if field.hop_by_hop || is_ours {
                    return;
                }
                dated |= field.known == Known::Date;
                push_field(&mut out, field.name, field.value);
            }),
        }
        if let AnswerHead::Kept(kept) = &head {
            out.extend_from_slice(b"age: ");
            push_decimal(&mut out, u64::from(kept.age()));
            out.extend_from_slice(b"\r\n");
        }
        if let Some(tale) = &story.cache {
            out.extend_from_slice(b"cache-status: ");
            tale.write(story.cache_name(), &mut out);
            out.extend_from_slice(b"\r\n");
        }
        tell(story, |name, value| push_field(&mut out, name, value));
        if !dated {
            push_field(&mut out, b"date", &core.date());
        }
        match framing {
            OutgoingFraming::Length(length) => push_length(&mut out, length),
            OutgoingFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            OutgoingFraming::UntilClose => {}
            // What a GET would have had (RFC 9110 section 8.6); never on 204 or 1xx.
            OutgoingFraming::None => {
                if let Some(length) = told_length(story.head.method(), status, &head) {
                    push_length(&mut out, length);
                }
            }
        }
        push_field(&mut out, b"x-request-id", &story.id_text);
        if !persists {
            out.extend_from_slice(b"connection: close\r\n");
        } else if version == Version::Http10 {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        let limits = &story.snapshot.settled.server.limits;
        Self {
            head,
            body,
            outgoing: Outgoing::new(out, framing),
            persists,
            uptake: Uptake::new(limits, given),
            status,
        }
    }

    /// The status in the head.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Body bytes written so far.
    pub(super) fn sent(&self) -> u64 {
        self.outgoing.sent()
    }

    /// Whether the head promised that the connection goes on.
    pub(super) fn persists(&self) -> bool {
        self.persists
    }

    /// Whether a byte of it has gone out.
    pub(super) fn has_begun(&self) -> bool {
        self.outgoing.has_begun()
    }

    /// Whether the body ends with the connection, so that an early end would look like a whole body.
    pub(super) fn ends_with_connection(&self) -> bool {
        self.outgoing.framing() == OutgoingFraming::UntilClose
    }

    /// Returns what was borrowed from the core.
    pub(super) fn give_back(self, core: &Core) {
        core.give_buffer(self.outgoing.into_buffer());
        if let AnswerHead::Own(head) = self.head {
            core.give_response_head(head);
        }
    }

    /// Writes until everything has gone.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &ClientSide,
    ) -> Poll<Result<(), Reason>> {
        self.outgoing.put_before(client.take_interim());
        let uptake = &mut self.uptake;
        let sink = ToClient { client, uptake };
        let progress = self.outgoing.poll(cx, &mut self.body, sink);
        let uptake = &mut self.uptake;
        match progress {
            Err(Broken::Source(reason) | Broken::Sink(reason)) => Poll::Ready(Err(reason)),
            Ok(Progress::Done) => client.poll_flush(cx, uptake).map_ok(|_| ()),
            Ok(Progress::AwaitsSource) => {
                // A quiet answer (server-sent events, say): notice when nobody is there to hear it.
                for polled in [
                    client.poll_flush(cx, uptake).map_ok(|_| ()),
                    client.poll_while_waiting(cx),
                ] {
                    if let Poll::Ready(Err(reason)) = polled {
                        return Poll::Ready(Err(reason));
                    }
                }
                Poll::Pending
            }
            Ok(Progress::AwaitsSink) => {
                // A client may read only once its own body is through: that must go on meanwhile.
                self.body.poll_upload(cx);
                Poll::Pending
            }
        }
    }
}

/// A client, and how it takes this answer.
struct ToClient<'a> {
    client: &'a ClientSide,
    uptake: &'a mut Uptake,
}

impl Sink for ToClient<'_> {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Reason>> {
        self.client.poll_write(cx, slices, self.uptake)
    }

    fn file_window(&self) -> Option<Window<'_>> {
        self.client.file_window()
    }

    fn poll_write_before_file(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Reason>> {
        self.client.poll_write_before_file(cx, bytes, self.uptake)
    }

    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        piece: InFile<'_>,
    ) -> Poll<Result<usize, Reason>> {
        self.client.poll_send_file(cx, piece, self.uptake)
    }
}

fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    push_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

fn told_length(method: Method, status: u16, head: &AnswerHead) -> Option<u64> {
    match (head, status) {
        (_, 100..=199 | 204) => None,
        (AnswerHead::Own(head), _) => head.content_length(),
        _ if method == Method::Head => head.told_length(),
        _ => None,
    }
}
