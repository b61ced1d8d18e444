//! hyper's HTTP/1 server with the least around it: what Mangrove's own connection is measured against.
//!
//! It answers what Mangrove's built-in responder answers, field for field: status, `content-type`, `date`,
//! `content-length`, an `x-request-id` of 26 characters, and the body. It reads request bodies to their end, and answers 400
//! when one breaks the rules of its framing. It has no log, no metrics, no limits and no routes.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Task, Poll};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::bare::FILL;

/// As long as Mangrove's connections may be idle in this benchmark.
const HEAD_DEADLINE: Duration = Duration::from_secs(600);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers every request on `address` with `body` bytes, until a signal ends the process. With `deadline`, each head has
/// to arrive in time, as Mangrove's have; hyper's default is to wait for ever.
pub(crate) fn serve(address: SocketAddr, body: usize, deadline: bool) -> Result<()> {
    let mut http = http1::Builder::new();
    if deadline {
        http.timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE);
    }
    let content = Bytes::from(vec![FILL; body]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address}"))?;
        loop {
            let (stream, _) = listener.accept().await.context("accepting")?;
            stream.set_nodelay(true)?;
            let content = content.clone();
            let service = service_fn(move |request| answer(request, content.clone()));
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    })
}

async fn answer(request: Request<Incoming>, content: Bytes) -> Result<Response<Whole>, Infallible> {
    let mut response = match drain(request.into_body()).await {
        Ok(()) => Response::new(Whole(Some(content))),
        Err(_) => {
            let mut refusal = Response::new(Whole(None));
            *refusal.status_mut() = StatusCode::BAD_REQUEST;
            refusal
        }
    };
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if let Some(id) = request_id() {
        fields.insert(REQUEST_ID, id);
    }
    Ok(response)
}

/// The cheapest value of the right length that is never the same twice.
fn request_id() -> Option<HeaderValue> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut digits = *b"00000000000000000000000000";
    let mut number = NEXT.fetch_add(1, Ordering::Relaxed);
    for place in digits.iter_mut().rev() {
        if number == 0 {
            break;
        }
        *place = b"0123456789abcdef"
            .get(usize::try_from(number % 16).unwrap_or(0))
            .copied()?;
        number /= 16;
    }
    HeaderValue::from_bytes(&digits).ok()
}

/// Reads a body to its end and drops it.
pub(crate) async fn drain(body: Incoming) -> hyper::Result<()> {
    let mut body = pin!(body);
    while !body.is_end_stream() {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None => break,
        }
    }
    Ok(())
}

/// A body that is there at once.
pub(crate) struct Whole(pub(crate) Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.0.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_has_26_characters_and_is_not_repeated() {
        let (one, two) = (request_id().unwrap(), request_id().unwrap());
        assert_eq!((one.len(), two.len()), (26, 26));
        assert_ne!(one, two);
    }
}
