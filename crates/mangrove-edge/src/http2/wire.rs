//! The client's end of an HTTP/2 connection: lent to the `h2` crate, which never gives a stream back, and ours again when
//! it is done.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::accept::Presence;
use crate::closing::{Closing, LINGER};
use crate::core::Core;
use crate::io::Stream;

/// A stream with several handles, all on one core.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    stream: Rc<RefCell<Stream>>,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream: Rc::new(RefCell::new(stream)),
        }
    }

    /// Closes in good order, see [`Closing`]; at once when `presence` must make room.
    pub(super) async fn close(&self, core: &Core, presence: &Presence) {
        let deadline = core.wheel.timer();
        deadline.arm_in(LINGER);
        let mut closing = Closing::default();
        std::future::poll_fn(|cx| {
            let closed = closing.poll(cx, &mut self.stream.borrow_mut());
            if closed.is_ready() || presence.poll_evicted(cx).is_ready() {
                return Poll::Ready(());
            }
            deadline.poll_expired(cx)
        })
        .await;
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)
    }
}
