//! The byte streams an edge reads and writes: TCP, TLS over it, and Unix sockets, behind one type.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::io::poll_read_buf;

use crate::outgoing::InFile;
use crate::tcp::{Account, Tcp};

/// A connected stream, either side's.
#[derive(Debug)]
pub struct Stream {
    io: Io,
    /// Bytes read before it was known who should read them.
    prefix: Vec<u8>,
}

#[derive(Debug)]
enum Io {
    Tcp(Tcp),
    Unix(UnixStream),
    ServerTls(Box<tokio_rustls::server::TlsStream<Tcp>>),
    ClientTls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl From<Tcp> for Stream {
    fn from(stream: Tcp) -> Self {
        Self {
            io: Io::Tcp(stream),
            prefix: Vec::new(),
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Tcp::from(stream).into()
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self {
            io: Io::Unix(stream),
            prefix: Vec::new(),
        }
    }
}

impl From<tokio_rustls::server::TlsStream<Tcp>> for Stream {
    fn from(stream: tokio_rustls::server::TlsStream<Tcp>) -> Self {
        Self {
            io: Io::ServerTls(Box::new(stream)),
            prefix: Vec::new(),
        }
    }
}

impl From<tokio_rustls::client::TlsStream<TcpStream>> for Stream {
    fn from(stream: tokio_rustls::client::TlsStream<TcpStream>) -> Self {
        Self {
            io: Io::ClientTls(Box::new(stream)),
            prefix: Vec::new(),
        }
    }
}

impl Stream {
    /// Gives `bytes` back: the next reads return them first.
    #[must_use]
    pub fn with_prefix(mut self, bytes: Vec<u8>) -> Self {
        self.prefix = bytes;
        self
    }

    /// Appends what one read returns to `buffer`, at most `most` bytes; `Ok(0)` is the end.
    ///
    /// Grows the buffer only when its spare room is under `most`.
    pub fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if !self.prefix.is_empty() {
            let n = self.prefix.len().min(most);
            buffer.extend(self.prefix.drain(..n));
            if self.prefix.is_empty() {
                self.prefix = Vec::new();
            }
            return Poll::Ready(Ok(n));
        }
        if buffer.capacity() - buffer.len() < most {
            buffer.reserve(most);
        }
        let mut room = buffer.limit(most);
        match &mut self.io {
            Io::Tcp(s) => poll_read_buf(Pin::new(s), cx, &mut room),
            Io::Unix(s) => poll_read_buf(Pin::new(s), cx, &mut room),
            Io::ServerTls(s) => poll_read_buf(Pin::new(s.as_mut()), cx, &mut room),
            Io::ClientTls(s) => poll_read_buf(Pin::new(s.as_mut()), cx, &mut room),
        }
    }

    /// Writes some of `bytes`. TLS keeps what it could not send yet: see [`Self::poll_flush_out`].
    pub fn poll_write_some(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }

    /// Writes some of the slices, in order, in one call where the stream can.
    pub fn poll_write_slices(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write_vectored(cx, slices)
    }

    /// Writes bytes that a file's follow, so that they may leave in one segment with them.
    pub fn poll_write_before_file(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(s) => s.poll_write_before_more(cx, bytes),
            _ => self.poll_write_some(cx, bytes),
        }
    }

    /// Sends some bytes of a file as they are; 0 where they cannot be sent from it.
    pub fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        piece: InFile<'_>,
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(s) => s.poll_send_file(cx, piece),
            _ => Poll::Ready(Ok(0)),
        }
    }

    /// Pushes out what a TLS layer holds back; nothing to do for the others.
    pub fn poll_flush_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(_) | Io::Unix(_) => Poll::Ready(Ok(())),
            Io::ServerTls(s) => Pin::new(s.as_mut()).poll_flush(cx),
            Io::ClientTls(s) => Pin::new(s.as_mut()).poll_flush(cx),
        }
    }

    /// Tells the peer that nothing more will be sent.
    pub fn poll_close_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(cx)
    }

    /// True when an idle connection of an origin is as it should be: open, and silent.
    ///
    /// An origin that sends bytes nobody asked for would have them read as the next visitor's
    /// answer (response desynchronisation), so a connection with anything to read is not reused.
    /// This asks the kernel, not tokio's readiness, which may not have seen the bytes yet.
    pub fn is_open_and_silent(&self) -> bool {
        if !self.prefix.is_empty() {
            return false;
        }
        let mut probe = [0u8; 1];
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        let outcome = rustix::net::recv(self.descriptor(), &mut probe[..], flags);
        // For TLS anything in the kernel is a ticket, an alert or data; only the first is innocent, and
        // it comes right after the handshake, before the first response. What was decrypted already
        // and not read the kernel knows nothing of.
        matches!(outcome, Err(rustix::io::Errno::AGAIN)) && !self.holds_plaintext()
    }

    /// True when a TLS layer has decrypted bytes that nobody has read, or has seen the peer's last.
    fn holds_plaintext(&self) -> bool {
        match &self.io {
            Io::Tcp(_) | Io::Unix(_) => false,
            Io::ServerTls(s) => !s.get_ref().1.wants_read(),
            Io::ClientTls(s) => !s.get_ref().1.wants_read(),
        }
    }

    /// Makes dropping this stream a reset instead of an end: where a body ends with the connection,
    /// that is all that tells a cut one from a whole one.
    pub fn end_by_reset(&self) {
        // Best effort: where it fails the socket is gone already.
        let _ = rustix::net::sockopt::set_socket_linger(
            self.descriptor(),
            Some(std::time::Duration::ZERO),
        );
    }

    /// The account of what a client was given; none on an origin's side.
    pub fn account(&self) -> Option<&Rc<Account>> {
        match &self.io {
            Io::Tcp(s) => s.account(),
            Io::ServerTls(s) => s.get_ref().0.account(),
            Io::Unix(_) | Io::ClientTls(_) => None,
        }
    }

    /// The peer's address, where there is one.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        match &self.io {
            Io::Tcp(s) => s.peer_addr().ok(),
            Io::ServerTls(s) => s.get_ref().0.peer_addr().ok(),
            Io::ClientTls(s) => s.get_ref().0.peer_addr().ok(),
            Io::Unix(_) => None,
        }
    }

    /// How much it may take of a file at once; none where the bytes on the wire are not the bytes written.
    pub fn file_window(&self) -> Option<usize> {
        match &self.io {
            Io::Tcp(s) => Some(s.file_window()),
            _ => None,
        }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.io {
            Io::Tcp(s) => s.as_fd(),
            Io::Unix(s) => s.as_fd(),
            Io::ServerTls(s) => s.get_ref().0.as_fd(),
            Io::ClientTls(s) => s.get_ref().0.as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.prefix.is_empty() {
            let n = this.prefix.len().min(buf.remaining());
            if let Some(bytes) = this.prefix.get(..n) {
                buf.put_slice(bytes);
            }
            this.prefix.drain(..n);
            if this.prefix.is_empty() {
                this.prefix = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        match &mut this.io {
            Io::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Io::Unix(s) => Pin::new(s).poll_read(cx, buf),
            Io::ServerTls(s) => Pin::new(s.as_mut()).poll_read(cx, buf),
            Io::ClientTls(s) => Pin::new(s.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(s) => Pin::new(s).poll_write(cx, bytes),
            Io::Unix(s) => Pin::new(s).poll_write(cx, bytes),
            Io::ServerTls(s) => Pin::new(s.as_mut()).poll_write(cx, bytes),
            Io::ClientTls(s) => Pin::new(s.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(s) => Pin::new(s).poll_write_vectored(cx, slices),
            Io::Unix(s) => Pin::new(s).poll_write_vectored(cx, slices),
            Io::ServerTls(s) => Pin::new(s.as_mut()).poll_write_vectored(cx, slices),
            Io::ClientTls(s) => Pin::new(s.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_out(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Io::Unix(s) => Pin::new(s).poll_shutdown(cx),
            Io::ServerTls(s) => Pin::new(s.as_mut()).poll_shutdown(cx),
            Io::ClientTls(s) => Pin::new(s.as_mut()).poll_shutdown(cx),
        }
    }
}
