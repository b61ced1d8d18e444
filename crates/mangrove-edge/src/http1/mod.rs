//! The HTTP/1 server connection: our own, so that every refusal has its name and its record, an
//! idle connection holds no buffer, and a head leaves together with its body in one call.
//!
//! ```text
//! ┌► read head ─► pipeline ─► (fetch) ─► write answer ─► rest of the body ─┐
//! └────────────────────────── keep-alive ──────────────────────────────────┘
//! ```

pub(crate) mod client;
mod respond;
mod tunnel;

use std::rc::Rc;
use std::task::Poll;

use mangrove_http::{Method, Version};

pub use self::client::ClientSide;
use self::client::HeadRead;
use self::respond::Responder;
use crate::accept::Presence;
use crate::body::RequestBody;
use crate::core::{Connection, Core};
use crate::io::Stream;
use crate::module::{Module, guarded};
use crate::pipeline::{
    Answer, Begun, Held, Interim, Outcome, Planned, Story, answer_fetched, answer_refused, begin,
    fetch, is_silent, receive, refuse,
};
use crate::reason::{EdgeReason, Reason};

/// Serves one connection until either side is done with it.
pub async fn serve(
    core: Rc<Core>,
    connection: Rc<Connection>,
    stream: Stream,
    presence: Rc<Presence>,
) {
    let client = ClientSide::new(core, connection, stream, presence);
    let mut first = true;
    loop {
        let read = std::future::poll_fn(|cx| client.poll_head(cx, first)).await;
        first = false;
        let (mut begun, readable) = match read {
            HeadRead::Nothing => {
                Box::pin(client.see_off()).await;
                return;
            }
            HeadRead::Request(head, started, whole) => {
                let received = receive(client.core(), client.connection(), head, started);
                let received = received.whole_at(whole);
                client.expect_body(received.story());
                (begin(received), true)
            }
            HeadRead::Cut(head, started) => {
                let received = receive(client.core(), client.connection(), head, started);
                received.cut(EdgeReason::ClientClosed.into());
                return;
            }
            HeadRead::Refused(head, started, reason) => {
                let received = receive(client.core(), client.connection(), head, started);
                (refuse(received.refused(reason)), false)
            }
        };
        let next = loop {
            break match begun {
                Begun::Answered(story, answer) => respond(&client, story, answer, readable).await,
                // Boxed so that an idle connection does not hold room for a fetch, or for waiting.
                Begun::Fetch(planned) => Box::pin(fetch_and_respond(&client, planned)).await,
                Begun::Held(held) => match Box::pin(its_turn(&client, held)).await {
                    Some(further) => {
                        begun = further;
                        continue;
                    }
                    None => Next::Cut,
                },
                Begun::Cut(story) => {
                    client.end_by_reset();
                    story.finish();
                    Next::Cut
                }
            };
        };
        match next {
            Next::Request => {}
            Next::Close => {
                client.close().await;
                Box::pin(client.see_off()).await;
                return;
            }
            Next::Cut => return,
        }
    }
}

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It is ready for the next request.
    Request,
    /// Everything was said; it is closed in good order.
    Close,
    /// It is dropped where it stands, so that the visitor sees a cut answer as cut.
    Cut,
}

/// Waits for a request's turn, and goes on; none where its client did not wait.
async fn its_turn(client: &Rc<ClientSide>, held: Held) -> Option<Begun> {
    let timer = held.timer();
    let gone = std::future::poll_fn(|cx| {
        if timer.poll_expired(cx).is_ready() {
            return Poll::Ready(None);
        }
        match client.poll_while_waiting(cx) {
            Poll::Ready(Err(gone)) => Poll::Ready(Some(gone)),
            _ => Poll::Pending,
        }
    });
    let Some(gone) = gone.await else {
        return Some(held.go_on());
    };
    let mut story = held.leave();
    story.blame(gone);
    story.finish();
    None
}

async fn fetch_and_respond(client: &Rc<ClientSide>, mut planned: Planned) -> Next {
    client.limit_body(planned.site().request_body_bytes);
    let body = client.request_body();
    let interim: Rc<dyn Interim> = Rc::clone(client) as Rc<dyn Interim>;
    let outcome = {
        let work = std::pin::pin!(fetch(&mut planned, body, interim));
        let mut work = guarded(Module::Pipeline, work);
        let metrics = &client.core().metrics;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(outcome) = work.poll_guarded(metrics, cx) {
                return Poll::Ready(Ok(outcome));
            }
            if let Poll::Ready(Err(reason)) = client.poll_while_waiting(cx) {
                return Poll::Ready(Err(reason));
            }
            Poll::Pending
        })
        .await
    };
    let mut story = planned.into_story();
    story.received = client.body_received();
    let answer = match outcome {
        Ok(Ok(Outcome::Fetched(fetched))) => answer_fetched(&mut story, fetched),
        Ok(Ok(Outcome::Answered(answer))) => *answer,
        Ok(Ok(Outcome::Switched(switched))) => return tunnel::run(client, story, switched).await,
        Ok(Ok(Outcome::Failed(reason))) if is_silent(reason) || reason == MADE_ROOM => {
            story.blame(reason);
            story.finish();
            client.end_by_reset();
            return Next::Cut;
        }
        Ok(Ok(Outcome::Failed(reason))) => answer_refused(&mut story, reason),
        Ok(Err(_panicked)) => answer_refused(&mut story, Reason::Edge(EdgeReason::InternalError)),
        Err(gone) => {
            story.blame(gone);
            story.finish();
            return Next::Cut;
        }
    };
    respond(client, story, Box::new(answer), true).await
}

/// Writes the answer and gets the connection ready for what comes next.
async fn respond(
    client: &Rc<ClientSide>,
    mut story: Box<Story>,
    answer: Box<Answer>,
    readable: bool,
) -> Next {
    let may_persist = |story: &Story| {
        readable
            && story.head.persistent()
            && !client.core().is_draining()
            && !story.reason.is_some_and(closes)
            && client.can_skip_body()
    };
    let mut responder = Responder::new(&story, *answer, may_persist(&story), client.given());
    let mut written = std::future::poll_fn(|cx| responder.poll(cx, client)).await;
    // Whose upload was ended by that is not told that the origin was late with the rest of its answer.
    if written.is_err() && client.has_made_room() {
        written = Err(MADE_ROOM);
    }
    // An origin's body that was broken from its first byte: nothing has gone out yet, so the visitor
    // can be told instead of cut off.
    if let Err(reason @ Reason::Origin(_)) = written
        && !responder.has_begun()
    {
        responder.give_back(&story.core);
        let page = answer_refused(&mut story, reason);
        responder = Responder::new(&story, page, may_persist(&story), client.given());
        written = std::future::poll_fn(|cx| responder.poll(cx, client)).await;
    }
    story.status = responder.status();
    story.sent = responder.sent();
    story.received = client.body_received();
    let persists = responder.persists();
    if let Err(reason) = written
        && (responder.ends_with_connection() || is_unread(reason))
    {
        client.end_by_reset();
    }
    responder.give_back(&story.core);
    match written {
        Err(reason) => {
            story.blame(reason);
            story.finish();
            return Next::Cut;
        }
        Ok(()) => story.finish(),
    }
    if !persists {
        return Next::Close;
    }
    match std::future::poll_fn(|cx| client.poll_skip_body(cx)).await {
        true => Next::Request,
        false => Next::Close,
    }
}

/// Its client was so slow that it had to go, when there was no room for another.
const MADE_ROOM: Reason = Reason::Edge(EdgeReason::MadeRoom);

/// The client did not take what it was sent. After a mere close the kernel would keep that, and offer it for minutes.
fn is_unread(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Edge(
            EdgeReason::ResponseWriteTimeout
                | EdgeReason::ResponseReadTooSlow
                | EdgeReason::MadeRoom
        )
    )
}

fn closes(reason: Reason) -> bool {
    match reason {
        Reason::Refusal(refusal) => refusal.closes(),
        Reason::Origin(_) => false,
        Reason::Edge(reason) => matches!(
            reason,
            EdgeReason::RequestBodyTooSlow
                | EdgeReason::TooManyConnections
                | EdgeReason::InternalError
                | EdgeReason::ModuleFailed
        ),
    }
}

/// A body whose length the client cannot be told beforehand, for HTTP/1.0 or without chunks, ends
/// with the connection.
fn takes_chunks(version: Version) -> bool {
    version == Version::Http11
}

/// No body follows, whatever the head says (RFC 9110 section 6.4.1).
fn has_no_body(method: Method, status: u16) -> bool {
    method == Method::Head || matches!(status, 100..=199 | 204 | 304)
}

impl ClientSide {
    /// The body of the request whose head was just read.
    fn request_body(self: &Rc<Self>) -> RequestBody {
        if self.has_body() {
            RequestBody::Http1(Rc::clone(self))
        } else {
            RequestBody::Empty
        }
    }
}
