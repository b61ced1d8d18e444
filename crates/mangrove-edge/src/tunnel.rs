//! Upgraded connections: bytes both ways, one deadline for silence, no buffer while nothing moves. What a WebSocket's client sends is
//! watched as it passes ([`Watch`]).

pub(crate) mod watch;

use std::io;
use std::task::{Context, Poll, ready};

pub use self::watch::Watch;
use crate::core::{Core, HEAD_READ_BYTES};
use crate::io::Stream;
use crate::reason::{EdgeReason, Reason};
use crate::wheel::Timer;

/// One end of a tunnel.
pub trait End {
    /// Appends what one read brings; `Ok(0)` is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>>;
    /// Writes some.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    /// Pushes out what was written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Says that nothing more follows.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl End for Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        self.poll_read_into(cx, into, HEAD_READ_BYTES)
    }
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_some(cx, bytes)
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_out(cx)
    }
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_close_write(cx)
    }
}

/// Bytes on their way from one end to the other.
#[derive(Debug, Default)]
pub struct Pipe {
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
    closed: bool,
    watch: Option<Box<Watch>>,
    /// Of the bytes at hand, how many it has seen.
    seen: usize,
    /// What it has found.
    fault: Option<Reason>,
    /// Bytes carried so far.
    pub moved: u64,
}

impl Pipe {
    /// A pipe with bytes that were read already.
    pub fn starting_with(bytes: Vec<u8>) -> Self {
        Self {
            buffer: bytes,
            ..Self::default()
        }
    }

    /// The same pipe, whose bytes are watched.
    #[must_use]
    pub fn watched(mut self, watch: Option<Watch>) -> Self {
        self.watch = watch.map(Box::new);
        self
    }

    /// Carries as far as it goes; ready when its source has ended and all has arrived.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        from: &mut impl End,
        to: &mut impl End,
    ) -> Poll<io::Result<()>> {
        loop {
            self.look(core)?;
            while let Some(bytes) = self.buffer.get(self.at..).filter(|bytes| !bytes.is_empty()) {
                let n = ready!(to.poll_write(cx, bytes))?;
                if n == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.at += n;
                self.moved = self.moved.saturating_add(n as u64);
            }
            self.buffer.clear();
            (self.at, self.seen) = (0, 0);
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                ready!(to.poll_close(cx))?;
                self.closed = true;
                return Poll::Ready(Ok(()));
            }
            if self.buffer.capacity() == 0 {
                self.buffer = core.take_buffer();
            }
            match from.poll_read(cx, &mut self.buffer) {
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    core.give_buffer(std::mem::take(&mut self.buffer));
                    // Whatever flushing comes to, the pipe itself waits for its source.
                    let _ = to.poll_flush(cx);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Has what has come since the last time watched before it goes on.
    fn look(&mut self, core: &Core) -> io::Result<()> {
        let Some(watch) = &mut self.watch else {
            return Ok(());
        };
        let new = self.buffer.get(self.seen..).unwrap_or_default();
        self.seen = self.buffer.len();
        watch.saw(new, core.wheel.now()).map_err(|reason| {
            self.fault = Some(reason.into());
            io::ErrorKind::InvalidData.into()
        })
    }
}

/// Carries both ways until both have ended, one fails, or nothing moves before the deadline.
pub fn poll_both(
    cx: &mut Context<'_>,
    core: &Core,
    client: &mut impl End,
    origin: &mut impl End,
    up: &mut Pipe,
    down: &mut Pipe,
    idle: (&Timer, std::time::Duration),
) -> Poll<Option<Reason>> {
    let before = up.moved.wrapping_add(down.moved);
    let went_up = up.poll(cx, core, client, origin);
    let went_down = down.poll(cx, core, origin, client);
    if up.moved.wrapping_add(down.moved) != before {
        idle.0.arm_in(idle.1);
    }
    match (went_up, went_down) {
        (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(None),
        // A reset by either side ends a tunnel as it ends a conversation: that is not a fault.
        (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(up.fault),
        _ => idle
            .0
            .poll_expired(cx)
            .map(|()| Some(EdgeReason::UpgradeIdle.into())),
    }
}
