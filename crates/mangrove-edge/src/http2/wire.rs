//! The client's end of an HTTP/2 connection: lent to the `h2` crate, which never gives a stream back, and ours again when
//! it is done.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use mangrove_shield::protocol::Kind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::accept::{Awaited, Presence};
use crate::ceiling::Ceiling;
use crate::closing::{Closing, LINGER};
use crate::core::{Connection, Core};
use crate::io::Stream;
use crate::reason::{EdgeReason, Reason};
use crate::tcp::Account;
use crate::wheel::Wheel;

use super::ahead::piece;
use super::opening::Ear;
use super::tap::Tap;

/// A stream with several handles, all on one core, and what was seen pass over it.
#[derive(Clone, Debug)]
pub struct Wire {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    account: Rc<Account>,
    wheel: Rc<Wheel>,
    stream: RefCell<Stream>,
    tap: RefCell<Tap>,
    ear: Ear,
    ceiling: Arc<Ceiling>,
    /// What its answers may hold before they go on in small pieces.
    most_ahead: u64,
    presence: Rc<Presence>,
    /// It is cut, to make room.
    makes_room: Cell<bool>,
    /// What the process was told that they hold.
    told_ahead: Cell<u64>,
}

impl Shared {
    /// Lets `work` look at the frames' books, and the process know what has come of it.
    fn with_tap<T>(&self, work: impl FnOnce(&mut Tap) -> T) -> T {
        let mut tap = self.tap.borrow_mut();
        let done = work(&mut tap);
        let held = tap.ahead.held();
        let told = self.told_ahead.replace(held);
        if told != held {
            self.ceiling.held_by_all.replace(told, held);
        }
        done
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.ceiling.held_by_all.replace(self.told_ahead.get(), 0);
    }
}

impl Wire {
    /// `most_ahead` is what answers may hold on it before they go on in small pieces.
    pub(super) fn new(
        stream: Stream,
        account: Rc<Account>,
        core: &Core,
        connection: &Rc<Connection>,
        presence: &Rc<Presence>,
        most_ahead: u64,
    ) -> Self {
        Self {
            shared: Rc::new(Shared {
                account,
                wheel: Rc::clone(&core.wheel),
                stream: RefCell::new(stream),
                tap: RefCell::new(Tap::new(core.wheel.now())),
                ear: Ear::new(connection, &core.metrics),
                ceiling: Arc::clone(&core.ceiling),
                most_ahead,
                presence: Rc::clone(presence),
                makes_room: Cell::new(false),
                told_ahead: Cell::new(0),
            }),
        }
    }

    /// What the client was given.
    pub(super) fn account(&self) -> &Account {
        &self.shared.account
    }

    /// The connection as those know it who look for room.
    pub(super) fn presence(&self) -> &Presence {
        &self.shared.presence
    }

    /// One of its streams waits for the client, until what this gives is dropped.
    pub(super) fn awaits(&self) -> Awaited {
        self.shared.presence.awaits(&self.shared.wheel)
    }

    /// From now on its streams are over because it had to make room.
    pub(super) fn make_room(&self) {
        self.shared.makes_room.set(true);
        self.shared.account.end_by_reset();
    }

    /// A request was made of the stream.
    pub(super) fn taken_up(&self, stream: h2::StreamId) {
        self.shared.tap.borrow_mut().taken_up(stream.into());
    }

    /// One stream that came to nothing before it was a request, and why.
    pub(super) fn next_refused(&self) -> Option<Reason> {
        self.shared.tap.borrow_mut().next_refused()
    }

    /// Why the connection should end, once the client has made us do more than its requests are worth.
    pub(super) fn spent(&self) -> Option<Reason> {
        self.shared.tap.borrow().spent().map(Into::into)
    }

    /// Why a stream is over that we have not ended.
    pub(super) fn why_over(&self, stream: h2::StreamId) -> Reason {
        match self.shared.makes_room.get() {
            true => EdgeReason::MadeRoom.into(),
            false => self.shared.tap.borrow().why_over(stream.into()).into(),
        }
    }

    /// Whether the stream's trailers were longer than is read.
    pub(super) fn had_long_trailers(&self, stream: h2::StreamId) -> bool {
        self.shared.tap.borrow().had_long_trailers(stream.into())
    }

    /// How much an answer takes from its origin, or gives to its client, at once: see [`super::ahead`].
    pub(super) fn piece(&self) -> usize {
        let held = self.shared.told_ahead.get();
        let by_all = self.shared.ceiling.held_by_all.bytes();
        piece(held, self.shared.most_ahead, by_all)
    }

    /// An answer has so much at hand.
    pub(super) fn at_hand(&self, stream: h2::StreamId, bytes: usize) {
        let bytes = bytes as u64;
        self.shared
            .with_tap(|tap| tap.ahead.at_hand(stream.into(), bytes));
    }

    /// So much of an answer was given to the crate.
    pub(super) fn queued(&self, stream: h2::StreamId, bytes: usize) {
        let bytes = bytes as u64;
        self.shared
            .with_tap(|tap| tap.ahead.queued(stream.into(), bytes));
    }

    /// Ready when the client lets something be sent on the stream.
    pub(super) fn poll_window(&self, stream: h2::StreamId, cx: &Context<'_>) -> Poll<()> {
        let mut tap = self.shared.tap.borrow_mut();
        tap.windows.poll_open(stream.into(), cx)
    }

    /// The client made us deal with one of this kind.
    pub(super) fn spend(&self, kind: Kind) {
        let now = self.shared.wheel.now();
        self.shared.tap.borrow_mut().spend(kind, now);
    }

    /// Ready when all that was given to the crate has left.
    pub(super) fn poll_left(&self, stream: h2::StreamId, cx: &Context<'_>) -> Poll<()> {
        self.shared
            .with_tap(|tap| tap.ahead.poll_left(stream.into(), cx))
    }

    /// Closes in good order, see [`Closing`]; at once when `presence` must make room.
    pub(super) async fn close(&self, core: &Core, presence: &Presence) {
        let deadline = core.wheel.timer();
        deadline.arm_in(LINGER);
        let mut closing = Closing::default();
        std::future::poll_fn(|cx| {
            let closed = closing.poll(cx, &mut self.shared.stream.borrow_mut());
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
        if self.spent().is_some() {
            return Poll::Pending; // whoever polls the connection looks why; see `Tap::spent`
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut *self.shared.stream.borrow_mut()).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        let now = self.shared.wheel.now();
        self.shared.ear.hear(read);
        self.shared.with_tap(|tap| tap.received(read, now));
        if self.spent().is_some() {
            buf.set_filled(before);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut stream = self.shared.stream.borrow_mut();
        let written = match slices {
            [one] => ready!(Pin::new(&mut *stream).poll_write(cx, one))?,
            several => ready!(Pin::new(&mut *stream).poll_write_vectored(cx, several))?,
        };
        let now = self.shared.wheel.now();
        self.shared.with_tap(|tap| {
            let mut left = written;
            for slice in slices {
                let sent = slice.get(..left.min(slice.len())).unwrap_or_default();
                left -= sent.len();
                tap.sent(sent, now);
            }
        });
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.shared.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.shared.stream.borrow_mut()).poll_shutdown(cx)
    }
}
