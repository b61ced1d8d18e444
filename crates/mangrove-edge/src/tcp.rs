//! A TCP socket, and, where it is a client's, the account of what it was given, and its first bytes while they are wanted.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind::{Interrupted, WouldBlock};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::pipe::{SpliceFlags, splice};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use mangrove_shield::ja4::HELLO_BYTES;

use crate::outgoing::{Holder, InFile};
use crate::sock_diag::SockDiag;

/// A client that was given so much on one connection has taken most of it: its buffers and ours together hold less.
pub(crate) const TAKES_MUCH_BYTES: u64 = 1 << 20;
/// What the kernel takes from then on beyond what is under way to it, so that a large answer takes few calls. Beyond half of it
/// the kernel says each time that there is room again (`tcp_stream_memory_free`), which is of no use after an answer of 1 MiB.
pub(crate) const MUCH_UNSENT_BYTES: u32 = 4 << 20;

/// What a connection that has not taken much yet is offered of a file at once: about what the kernel takes for it.
pub(crate) const FILE_WINDOW_BYTES: usize = 256 * 1024;

/// What is kept of a client's first bytes: the longest greeting that has a fingerprint, with room for the heads of the records
/// that it comes in.
pub(crate) const OVERHEARD_BYTES: usize = HELLO_BYTES + 1024;

/// A connected socket.
#[derive(Debug)]
pub struct Tcp {
    stream: TcpStream,
    account: Option<Rc<Account>>,
    /// What it has sent so far, while somebody wants to know.
    overheard: Option<Vec<u8>>,
    /// Whether it was found to take much.
    takes_much: bool,
}

/// What was given to the kernel for one client, whatever protocols lie between.
#[derive(Debug)]
pub struct Account {
    /// The socket's own ends: what a PROXY header says changes nothing here.
    local: SocketAddr,
    peer: SocketAddr,
    given: Cell<u64>,
    ends_by_reset: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Account {
    /// An account of the connection between these two; nothing was given yet.
    pub fn new(local: SocketAddr, peer: SocketAddr) -> Rc<Self> {
        Rc::new(Self {
            local,
            peer,
            given: Cell::new(0),
            ends_by_reset: Cell::new(false),
            waker: RefCell::new(None),
        })
    }

    /// Bytes given to the kernel so far.
    pub fn given(&self) -> u64 {
        self.given.get()
    }

    /// Bytes that the client's side has not acknowledged; none where the kernel does not tell.
    pub fn queued(&self, diag: &SockDiag) -> Option<u64> {
        diag.queued(self.local, self.peer).map(u64::from)
    }

    /// Bytes that the client's side has acknowledged; none where the kernel does not tell.
    pub fn taken(&self, diag: &SockDiag) -> Option<u64> {
        Some(self.given().saturating_sub(self.queued(diag)?))
    }

    /// From now on, letting go of the socket is a reset: what the kernel holds for it is thrown away.
    pub fn end_by_reset(&self) {
        self.ends_by_reset.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Ready once that was decided.
    pub fn poll_ends_by_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ends_by_reset.get() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Tcp {
    /// A client's, with its account.
    pub fn of_client(stream: TcpStream, account: Rc<Account>) -> Self {
        Self {
            stream,
            account: Some(account),
            overheard: None,
            takes_much: false,
        }
    }

    /// From now on, keeps what it sends, up to a ceiling.
    pub fn overhear(&mut self) {
        self.overheard = Some(Vec::new());
    }

    /// What it has sent since then; from now on nothing more is kept.
    pub fn overheard(&mut self) -> Vec<u8> {
        self.overheard.take().unwrap_or_default()
    }

    /// Its account, where it is a client's.
    pub fn account(&self) -> Option<&Rc<Account>> {
        self.account.as_ref()
    }

    /// The other end's address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Makes dropping it a reset instead of an end.
    pub fn end_by_reset(&self) {
        // Best effort: where it fails the socket is gone already.
        let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }

    /// How much it may take of a file at once.
    pub fn file_window(&self) -> usize {
        match self.takes_much {
            true => MUCH_UNSENT_BYTES as usize,
            false => FILE_WINDOW_BYTES,
        }
    }

    /// Writes bytes that more will follow at once: what does not fill a segment waits for that.
    pub fn poll_write_before_more(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        self.poll_give(cx, |stream| rustix::net::send(stream, bytes, flags))
    }

    /// Sends some bytes of a file; 0 where the file is at fault, and they must be brought another way.
    pub fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        piece: InFile<'_>,
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(self.poll_give(cx, |stream| {
            match piece.holder {
                Holder::File(file, mut at) => {
                    rustix::fs::sendfile(stream, file, Some(&mut at), piece.length)
                }
                Holder::Pipe(pipe) => splice(
                    pipe,
                    None,
                    stream,
                    None,
                    piece.length,
                    SpliceFlags::NONBLOCK,
                ),
            }
        }));
        let of_the_file = |error: &io::Error| {
            let told = error.raw_os_error().map(Errno::from_raw_os_error);
            matches!(
                told,
                Some(Errno::IO | Errno::INVAL | Errno::OVERFLOW | Errno::NOMEM | Errno::NOSYS)
            )
        };
        Poll::Ready(match sent {
            Err(error) if of_the_file(&error) => Ok(0),
            sent => sent,
        })
    }

    /// Gives the kernel something once it takes it.
    fn poll_give(
        &mut self,
        cx: &mut Context<'_>,
        give: impl Fn(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let stream = &self.stream;
            match stream.try_io(Interest::WRITABLE, || Ok(give(stream)?)) {
                Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => {}
                gave => {
                    if let Ok(n) = gave {
                        self.gave(n);
                    }
                    return Poll::Ready(gave);
                }
            }
        }
    }

    fn gave(&mut self, n: usize) {
        let Some(account) = &self.account else {
            return;
        };
        let given = account.given().saturating_add(n as u64);
        account.given.set(given);
        if given >= TAKES_MUCH_BYTES && !self.takes_much {
            self.takes_much = true;
            // Best effort: without it a large answer takes more calls.
            let _ = SockRef::from(&self.stream).set_tcp_notsent_lowat(MUCH_UNSENT_BYTES);
        }
    }
}

impl From<TcpStream> for Tcp {
    /// An origin's: nobody keeps account of it.
    fn from(stream: TcpStream) -> Self {
        Self {
            stream,
            account: None,
            overheard: None,
            takes_much: false,
        }
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        if self
            .account
            .as_ref()
            .is_some_and(|account| account.ends_by_reset.get())
        {
            self.end_by_reset();
        }
    }
}

impl AsFd for Tcp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if let Some(heard) = &mut self.overheard {
            let read = buf.filled().get(before..).unwrap_or_default();
            let room = OVERHEARD_BYTES.saturating_sub(heard.len());
            heard.extend_from_slice(read.get(..room).unwrap_or(read));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.gave(n);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.gave(n);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
