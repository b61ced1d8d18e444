//! A body on its way in over HTTP/1: reads from the stream, unwraps the framing, copies nothing.

use std::io;
use std::ops::Range;
use std::task::{Context, Poll};

use mangrove_http::{BodyDecoder, BodyFault, Decoded};

use crate::body::Filled;
use crate::core::{Core, READ_BYTES};
use crate::io::Stream;

/// What was read and not yet used; holds no memory when that is nothing.
#[derive(Debug, Default)]
pub struct Incoming {
    buffer: Vec<u8>,
    at: usize,
    data: Range<usize>,
}

/// Why no more of the body comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The framing is broken.
    Malformed(BodyFault),
    /// The stream ended, or failed, before the body was over.
    Cut,
}

impl Incoming {
    /// Starts with bytes that were read together with the head.
    pub fn start_with(&mut self, core: &Core, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.buffer.capacity() == 0 {
            self.buffer = core.take_buffer();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Brings data or the end of the body, in reads of at most `most` bytes; `progress` hears of every read.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        stream: &mut Stream,
        decoder: &mut BodyDecoder,
        most: usize,
        mut progress: impl FnMut(usize),
    ) -> Poll<Result<Filled, Stop>> {
        if !self.data.is_empty() {
            return Poll::Ready(Ok(Filled::Data));
        }
        loop {
            if decoder.at_end() {
                return Poll::Ready(Ok(Filled::End));
            }
            match decoder.decode(self.unused()) {
                Ok(Decoded::Data { range }) => {
                    self.data = self.at + range.start..self.at + range.end;
                    return Poll::Ready(Ok(Filled::Data));
                }
                Ok(Decoded::End { consumed }) => {
                    self.at += consumed;
                    return Poll::Ready(Ok(Filled::End));
                }
                Ok(Decoded::NeedMore { consumed }) => self.at += consumed,
                Err(fault) => return Poll::Ready(Err(Stop::Malformed(fault))),
            }
            if most < READ_BYTES && self.is_empty() && self.buffer.capacity() != most {
                self.release(core);
                self.buffer = Vec::with_capacity(most);
            }
            match self.poll_read(cx, core, stream, most) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(n)) if n > 0 => progress(n),
                // A reset, or TLS without its close_notify: a body until close was cut, not ended
                // (RFC 9112 section 8).
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Stop::Cut)),
                Poll::Ready(Ok(_)) => {
                    return Poll::Ready(match decoder.on_eof() {
                        Ok(()) => Ok(Filled::End),
                        Err(_) => Err(Stop::Cut),
                    });
                }
            }
        }
    }

    /// Reads once behind what is there; `Ok(0)` at the end of the stream. The buffer is held only
    /// while there is something in it.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        core: &Core,
        stream: &mut Stream,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if self.is_empty() {
            self.buffer.clear();
            self.at = 0;
            if self.buffer.capacity() == 0 {
                self.buffer = core.take_buffer();
            }
        }
        let read = stream.poll_read_into(cx, &mut self.buffer, most);
        if read.is_pending() {
            self.release(core);
        }
        read
    }

    /// Bytes of memory that it holds.
    pub fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// The body data at hand.
    pub fn data(&self) -> &[u8] {
        self.buffer.get(self.data.clone()).unwrap_or_default()
    }

    /// Takes `n` bytes of it away.
    pub fn consume(&mut self, n: usize) {
        self.data.start = self.data.start.saturating_add(n).min(self.data.end);
        if self.data.is_empty() {
            self.at = self.at.max(self.data.end);
            self.data = 0..0;
        }
    }

    /// Bytes that are neither looked at nor used: after the body's end they are the next message's.
    pub fn unused(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// Takes all unused bytes away.
    pub fn take_unused(&mut self, core: &Core, into: &mut Vec<u8>) {
        into.extend_from_slice(self.unused());
        self.at = self.buffer.len();
        self.release(core);
    }

    /// True when nothing is left over.
    pub fn is_empty(&self) -> bool {
        self.at >= self.buffer.len()
    }

    /// Forgets everything.
    pub fn discard(&mut self, core: &Core) {
        self.at = self.buffer.len();
        self.release(core);
    }

    /// Gives the memory back if nothing is in it.
    pub fn release(&mut self, core: &Core) {
        if self.is_empty() {
            core.give_buffer(std::mem::take(&mut self.buffer));
            self.at = 0;
            self.data = 0..0;
        }
    }
}
