//! The end of a client's connection in good order, over either version of HTTP.

use std::task::{Context, Poll};
use std::time::Duration;

use crate::core::HEAD_READ_BYTES;
use crate::io::Stream;

/// How long a connection that is closing may take to read our last words.
pub const LINGER: Duration = Duration::from_secs(2);
/// How much is read and thrown away meanwhile.
pub const LINGER_BYTES: usize = 1024 * 1024;

/// Says that nothing follows, then reads what the client still sends: a socket that is closed with bytes unread, or that
/// gets some later, resets the connection, and the reset overtakes our last words (RFC 9112 section 9.6; HTTP/2's GOAWAY
/// is lost in the same way). Ends by itself after [`LINGER_BYTES`]; whoever polls it gives it [`LINGER`].
#[derive(Debug, Default)]
pub struct Closing {
    thrown_away: usize,
    rest: Vec<u8>,
}

impl Closing {
    /// Ready when the client has ended too, has gone, or has sent more than is read.
    pub fn poll(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<()> {
        if stream.poll_close_write(cx).is_pending() {
            return Poll::Pending;
        }
        while self.thrown_away < LINGER_BYTES {
            self.rest.clear();
            match stream.poll_read_into(cx, &mut self.rest, HEAD_READ_BYTES) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(n)) if n > 0 => self.thrown_away += n,
                Poll::Ready(_) => break,
            }
        }
        Poll::Ready(())
    }
}
