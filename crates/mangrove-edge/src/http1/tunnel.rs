//! An HTTP/1 connection that has switched protocols (RFC 9110 section 7.8).

use std::rc::Rc;
use std::task::{Context, Poll};

use super::{ClientSide, Next};
use mangrove_http::Known;

use crate::answer_head::{push_field, push_status_line};
use crate::pipeline::{Story, Switched};
use crate::tunnel::{End, Pipe, Watch, poll_both};

/// Tells the client that its upgrade went through, then carries bytes both ways.
pub(super) async fn run(
    client: &Rc<ClientSide>,
    mut story: Box<Story>,
    switched: Box<Switched>,
) -> Next {
    let Switched {
        head,
        lease,
        mut stream,
        ahead,
    } = *switched;
    story.status = 101;
    let mut answer = Vec::with_capacity(256);
    push_status_line(&mut answer, 101);
    for field in head
        .fields()
        .filter(|field| !field.hop_by_hop && field.known != Known::ContentLength)
    {
        push_field(&mut answer, field.name, field.value);
    }
    push_field(&mut answer, b"connection", b"upgrade");
    push_field(
        &mut answer,
        b"upgrade",
        head.upgrade().unwrap_or(b"websocket"),
    );
    push_field(&mut answer, b"x-request-id", &story.id_text);
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(&ahead);
    let mut early = Vec::new();
    client.with_stream(|_, incoming| incoming.take_unused(client.core(), &mut early));
    let limits = &story.snapshot.settled.server.limits;
    let watch = Watch::of(&story.head, limits, client.core().wheel.now());
    let mut up = Pipe::starting_with(early).watched(watch);
    let mut down = Pipe::starting_with(answer);
    let idle = client.core().wheel.timer();
    idle.arm_in(limits.upgrade_idle);
    let mut visitor = Visitor(client);
    let ended = std::future::poll_fn(|cx| {
        poll_both(
            cx,
            client.core(),
            &mut visitor,
            &mut stream,
            &mut up,
            &mut down,
            (&idle, limits.upgrade_idle),
        )
    })
    .await;
    story.received = up.moved;
    story.sent = down.moved;
    if let Some(reason) = ended {
        story.blame(reason);
    }
    story.finish();
    drop(lease);
    Next::Close
}

/// The client's stream, borrowed anew at each poll.
struct Visitor<'a>(&'a Rc<ClientSide>);

impl End for Visitor<'_> {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        into: &mut Vec<u8>,
    ) -> Poll<std::io::Result<usize>> {
        self.0
            .with_stream(|stream, _| End::poll_read(stream, cx, into))
    }
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0
            .with_stream(|stream, _| End::poll_write(stream, cx, bytes))
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.0.with_stream(|stream, _| End::poll_flush(stream, cx))
    }
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.0.with_stream(|stream, _| End::poll_close(stream, cx))
    }
}
