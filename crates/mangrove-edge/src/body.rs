//! Bodies as sequences of chunks, read by whoever carries them on.
//!
//! Both kinds work like a buffered reader: fill until there is data or the end, look at the data,
//! consume what was carried on. Nothing holds a whole body.

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use mangrove_http::Trailers;

use crate::cache::{Follower, KeptBody};
use crate::http1::ClientSide;
use crate::http2::RequestStream;
use crate::origin::http1::Http1Exchange;
use crate::origin::http2::Http2Exchange;
use crate::reason::Reason;

/// No chunk that is handed on at once is larger (design section 3).
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// What a fill brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// There is data to look at.
    Data,
    /// The body is complete.
    End,
}

/// The body of a request, from the client's connection.
#[derive(Debug)]
pub enum RequestBody {
    /// There is none.
    Empty,
    /// On an HTTP/1 connection.
    Http1(Rc<ClientSide>),
    /// A stream of an HTTP/2 connection.
    Http2(Box<RequestStream>),
}

impl RequestBody {
    /// Brings data or the end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Reason>> {
        match self {
            Self::Empty => Poll::Ready(Ok(Filled::End)),
            Self::Http1(client) => client.poll_body(cx),
            Self::Http2(stream) => stream.poll_fill(cx),
        }
    }

    /// Looks at the data that is there.
    pub fn with_data<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Self::Empty => look(&[]),
            Self::Http1(client) => client.with_body_data(look),
            Self::Http2(stream) => look(stream.data()),
        }
    }

    /// Takes `n` bytes of the data away.
    pub fn consume(&mut self, n: usize) {
        match self {
            Self::Empty => {}
            Self::Http1(client) => client.consume_body(n),
            Self::Http2(stream) => stream.consume(n),
        }
    }

    /// The data as a chunk of its own, at most `most` bytes.
    pub fn take(&mut self, most: usize) -> Bytes {
        match self {
            Self::Empty => Bytes::new(),
            Self::Http1(client) => {
                let chunk = client.with_body_data(|data| {
                    Bytes::copy_from_slice(data.get(..most.min(data.len())).unwrap_or(data))
                });
                client.consume_body(chunk.len());
                chunk
            }
            Self::Http2(stream) => stream.take(most),
        }
    }

    /// Trailer fields, once the end was reached.
    pub fn with_trailers<T>(&self, look: impl FnOnce(Option<&Trailers>) -> T) -> T {
        match self {
            Self::Empty => look(None),
            Self::Http1(client) => client.with_trailers(look),
            Self::Http2(stream) => look(stream.trailers()),
        }
    }

    /// The client was promised nothing yet, and waits with its body for `100 (Continue)`.
    pub fn was_touched(&self) -> bool {
        match self {
            Self::Empty => false,
            Self::Http1(client) => client.body_touched(),
            Self::Http2(stream) => stream.touched(),
        }
    }

    /// True when there is no body at all.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

/// The body of an answer.
#[derive(Debug, Default)]
pub enum ResponseBody {
    /// None.
    #[default]
    Empty,
    /// All of it at hand.
    Whole {
        /// The content.
        bytes: Bytes,
        /// How much of it has gone.
        at: usize,
    },
    /// From an origin over HTTP/1.
    Http1(Box<Http1Exchange>),
    /// From an origin over HTTP/2.
    Http2(Box<Http2Exchange>),
    /// From the cache.
    Kept(KeptBody),
    /// From the cache, as it arrives there.
    Following(Follower),
}

impl ResponseBody {
    /// A body that is at hand.
    pub fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Whole { bytes, at: 0 }
        }
    }

    /// Brings data or the end; drives a request body that is still on its way to the origin.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Filled, Reason>> {
        match self {
            Self::Empty => Poll::Ready(Ok(Filled::End)),
            Self::Whole { bytes, at } => Poll::Ready(Ok(if *at < bytes.len() {
                Filled::Data
            } else {
                Filled::End
            })),
            Self::Http1(exchange) => exchange.poll_fill(cx),
            Self::Http2(exchange) => exchange.poll_fill(cx),
            Self::Kept(body) => body.poll_fill(cx),
            Self::Following(follower) => follower.poll_fill(cx),
        }
    }

    /// From now on, what one read of the origin's connection takes at most, where it has a buffer of its own.
    pub fn read_at_most(&mut self, bytes: usize) {
        if let Self::Http1(exchange) = self {
            exchange.read_at_most(bytes);
        }
    }

    /// Bytes that it holds for this answer alone.
    pub fn held(&self) -> usize {
        match self {
            Self::Http1(exchange) => exchange.held(),
            Self::Http2(exchange) => exchange.data().len(),
            Self::Kept(body) => body.held(),
            _ => 0,
        }
    }

    /// Carries on with a request body that is still on its way to the origin.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Empty | Self::Whole { .. } | Self::Kept(_) | Self::Following(_) => {}
            Self::Http1(exchange) => exchange.poll_upload(cx),
            Self::Http2(exchange) => exchange.poll_upload(cx),
        }
    }

    /// The data that is there.
    pub fn data(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Whole { bytes, at } => bytes.get(*at..).unwrap_or_default(),
            Self::Http1(exchange) => exchange.data(),
            Self::Http2(exchange) => exchange.data(),
            Self::Kept(body) => body.data(),
            Self::Following(follower) => follower.data(),
        }
    }

    /// Takes `n` bytes of the data away.
    pub fn consume(&mut self, n: usize) {
        match self {
            Self::Empty => {}
            Self::Whole { at, .. } => *at = at.saturating_add(n),
            Self::Http1(exchange) => exchange.consume(n),
            Self::Http2(exchange) => exchange.consume(n),
            Self::Kept(body) => body.consume(n),
            Self::Following(follower) => follower.consume(n),
        }
    }

    /// The data as a chunk of its own, at most `most` bytes; copied only where it must be.
    pub fn take(&mut self, most: usize) -> Bytes {
        match self {
            Self::Empty => Bytes::new(),
            Self::Whole { bytes, at } => {
                let end = at.saturating_add(most).min(bytes.len());
                let chunk = bytes.slice((*at).min(end)..end);
                *at = end;
                chunk
            }
            Self::Http1(exchange) => {
                let data = exchange.data();
                let chunk =
                    Bytes::copy_from_slice(data.get(..most.min(data.len())).unwrap_or(data));
                exchange.consume(chunk.len());
                chunk
            }
            Self::Http2(exchange) => exchange.take(most),
            Self::Kept(body) => body.take(most),
            Self::Following(follower) => follower.take(most),
        }
    }

    /// Trailer fields, once the end was reached.
    pub fn trailers(&self) -> Option<&Trailers> {
        match self {
            Self::Empty | Self::Whole { .. } | Self::Kept(_) | Self::Following(_) => None,
            Self::Http1(exchange) => exchange.trailers(),
            Self::Http2(exchange) => exchange.trailers(),
        }
    }

    /// True when it is known, before any is asked for, that neither content nor trailers will come.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole { .. } | Self::Http1(_) | Self::Following(_) => false,
            Self::Kept(body) => body.length() == 0,
            Self::Http2(exchange) => exchange.is_over(),
        }
    }

    /// How many bytes are to come, where that is known before the first.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Whole { bytes, at } => Some((bytes.len() - at) as u64),
            Self::Http1(exchange) => exchange.length(),
            Self::Http2(exchange) => exchange.length(),
            Self::Kept(body) => Some(body.length()),
            Self::Following(follower) => follower.length(),
        }
    }
}
