//! The operator's door: metrics, health and orders, on the edge's own Unix socket and on the admin
//! listener. Runs on a thread of its own, so that a stalled core can still be seen from here.
//!
//! | request | who may | answer |
//! |---|---|---|
//! | `GET /healthz` | anyone on loopback | 200 while every core turns its clock, else 503 and which does not |
//! | `GET /readyz` | anyone on loopback | 200 while the edge accepts, 503 once it drains |
//! | `GET /metrics` | anyone on loopback | Prometheus text |
//! | `GET /build`, `/config`, `/modules`, `/origins` | token | what runs, under which settings, how it fares |
//! | `GET /cache` | token | how much the cache holds and has done |
//! | `GET /cache/history?minutes=N` | token | what was asked in each of the last minutes, by what the cache did |
//! | `GET /cache/list?site=NAME&from=N` | token | a page of the URLs of which something is kept in memory; `next` is where the next begins |
//! | `GET /cache/list?disk&site=NAME&from=CURSOR` | token | the same of the disk |
//! | `GET /cache/show?url=URL&site=NAME` | token | all that is kept of a URL, why and for how long, and what a visitor gets |
//! | `POST /purge?site=NAME&url=URL` (or `prefix=`, `host=`, `tag=`, each repeatable, or `all`; and `soft`) | token | what was kept or asked for until now is not answered any more, or not as fresh |
//! | `GET /shield` | token | the orders by hand, what they have done, whom rate limits hold back now, and whom the shield leaves alone |
//! | `GET /shield/order?id=N` | token | one order |
//! | `POST /shield/allow`, `/shield/block` `?site=NAME&subject=NETWORK&owner=NAME&reason=TEXT&seconds=N` | token | somebody is let through, or kept out, for a while |
//! | `POST /shield/approve?id=N&owner=NAME` | token | a second owner agrees with an order that touches many |
//! | `DELETE /shield?id=N&owner=NAME` | token | an order is taken back |
//! | `POST /apply`, `/certificates`, `/reopen`, `/drain` | token | orders |
//!
//! `site` of `/cache/…` may be left out. Values are percent-encoded; what is unknown, repeated or empty is refused, never
//! taken for everything.
//!
//! On the Unix socket root and the edge's own user need no token: the kernel says who they are.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use aws_lc_rs::digest::{SHA256, digest};
use mangrove_http::{BodyFraming, HeadLimits, Known, Method, RequestHead};
use mangrove_shield::orders::Act;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::answer_head::{push_field, push_status_line};
use crate::edge::Edge;
use crate::edge::parameters::URL_BYTES;

/// The largest body an order may have; none needs one.
pub(crate) const ORDER_BYTES: u64 = 64 * 1024;
/// The target of a request: the longest URL to look up, each byte of it percent-encoded, and what is said beside it.
pub(crate) const TARGET_BYTES: usize = 3 * URL_BYTES + 1024;
/// The head of a request: its target, and fields as a browser sends them.
pub(crate) const HEAD_BYTES: usize = TARGET_BYTES + 32 * 1024;
/// How long one exchange may take from its first byte to its last.
pub(crate) const EXCHANGE: std::time::Duration = std::time::Duration::from_secs(40);
/// Exchanges at one time; more wait in the listen queue.
pub const AT_ONCE: usize = 64;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Root or the edge's own user, on the Unix socket.
    Trusted,
    /// Someone on loopback, token or not.
    Local,
    /// Someone from elsewhere, token or not.
    Remote,
}

/// What is said back.
#[derive(Debug)]
pub struct Reply {
    status: u16,
    content_type: &'static str,
    body: String,
}

impl Reply {
    /// Plain words.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }

    /// JSON.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            content_type: "application/json",
            body: format!("{body}\n"),
        }
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Its text.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// `{"error": …}`
    pub fn error(status: u16, what: impl Into<String>) -> Self {
        Self::json(status, &serde_json::json!({ "error": what.into() }))
    }
}

/// Answers one exchange and closes. `from` is where the asker is, unless he is on the machine.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    edge: Rc<Edge>,
    mut stream: S,
    asker: Asker,
    from: Option<IpAddr>,
) {
    let exchange = async {
        let reply = match read(&mut stream).await? {
            Ok(head) => answer(&edge, &head, asker, from).await,
            Err(reply) => reply,
        };
        let mut out = Vec::with_capacity(reply.body.len() + 256);
        push_status_line(&mut out, reply.status);
        push_field(&mut out, b"content-type", reply.content_type.as_bytes());
        push_field(
            &mut out,
            b"content-length",
            reply.body.len().to_string().as_bytes(),
        );
        push_field(&mut out, b"cache-control", b"no-store");
        push_field(&mut out, b"connection", b"close");
        if reply.status == 401 {
            push_field(&mut out, b"www-authenticate", b"Bearer realm=\"mangrove\"");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(reply.body.as_bytes());
        stream.write_all(&out).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(EXCHANGE, exchange).await; // whoever asked has gone, or is too slow
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Result<RequestHead, Reply>> {
    let mut head = RequestHead::new();
    let limits = HeadLimits {
        head_bytes: HEAD_BYTES,
        target_bytes: TARGET_BYTES,
        ..HeadLimits::default()
    };
    loop {
        match head.parse_h1(&limits) {
            Ok(Some(_)) => break,
            Ok(None) => {}
            Err(refusal) => return Ok(Err(Reply::error(refusal.status(), refusal.explain()))),
        }
        if stream.read_buf(head.octets_mut()).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    match head.framing() {
        BodyFraming::None => {}
        BodyFraming::Length(length) if length <= ORDER_BYTES => {}
        _ => return Ok(Err(Reply::error(413, "no request here needs a body"))),
    }
    Ok(Ok(head))
}

async fn answer(edge: &Rc<Edge>, head: &RequestHead, asker: Asker, from: Option<IpAddr>) -> Reply {
    let open =
        matches!(head.path(), b"/healthz" | b"/readyz" | b"/metrics") && asker != Asker::Remote;
    if !open && asker != Asker::Trusted {
        if !has_token(edge, head) {
            return Reply::error(
                401,
                "send the token in STATE/admin.token as `Authorization: Bearer TOKEN`",
            );
        }
        if let Some(from) = from {
            edge.logged_in(from);
        }
    }
    // A page in the operator's browser could post here with its cookies' blessing but not with
    // the token; a body-less order from another site is refused by its Origin all the same.
    if matches!(head.method(), Method::Post | Method::Delete) && head.field(Known::Origin).is_some()
    {
        return Reply::error(403, "orders are not taken from web pages");
    }
    match (head.method(), head.path()) {
        (Method::Get, b"/healthz") => edge.health(),
        (Method::Get, b"/readyz") => edge.readiness(),
        (Method::Get, b"/metrics") => edge.metrics(),
        (Method::Get, b"/build") => edge.build(),
        (Method::Get, b"/config") => edge.config(),
        (Method::Get, b"/modules") => edge.modules(),
        (Method::Get, b"/origins") => edge.origins().await,
        (Method::Get, b"/cache") => edge.cache_statistics().await,
        (Method::Get, b"/cache/history") => edge.cache_history(head.query()),
        (Method::Get, b"/cache/list") => edge.cache_list(head.query()).await,
        (Method::Get, b"/cache/show") => edge.cache_show(head.query()).await,
        (Method::Post, b"/purge") => edge.purge(head.query()).await,
        (Method::Get, b"/shield") => edge.shield(head.query()),
        (Method::Get, b"/shield/order") => edge.shield_order(head.query()),
        (Method::Post, b"/shield/allow") => edge.give_order(Act::Allow, head.query(), asker).await,
        (Method::Post, b"/shield/block") => edge.give_order(Act::Block, head.query(), asker).await,
        (Method::Post, b"/shield/approve") => edge.approve_order(head.query(), asker).await,
        (Method::Delete, b"/shield") => edge.remove_order(head.query(), asker).await,
        (Method::Post, b"/apply") => edge.apply_from_disk().await,
        (Method::Post, b"/certificates") => edge.reload_certificates(),
        (Method::Post, b"/reopen") => edge.reopen_log(),
        (Method::Post, b"/drain") => edge.begin_drain(),
        (Method::Get | Method::Post | Method::Delete, path) => Reply::error(
            404,
            format!("there is no {} here", String::from_utf8_lossy(path)),
        ),
        _ => Reply::error(
            405,
            "GET to look, POST to order, DELETE to take back an order of the shield",
        ),
    }
}

fn has_token(edge: &Edge, head: &RequestHead) -> bool {
    let Some(hash) = edge.token_hash() else {
        return false;
    };
    let value = head.field(Known::Authorization).unwrap_or_default();
    let token = value.strip_prefix(b"Bearer ").unwrap_or_default();
    // Only hashes are compared: how long that takes says nothing about the token.
    !token.is_empty() && digest(&SHA256, token).as_ref() == hash.as_slice()
}
