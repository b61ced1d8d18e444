//! The origin: a listening socket whose answers the story writes itself.

use std::net::{SocketAddr, TcpListener};
use std::ops::{Deref, DerefMut};

use socket2::SockRef;

use crate::wire::{PATIENCE, Wire};

/// A field of an answer that may be kept for a while.
pub(crate) const FRESH: &str = "Cache-Control: max-age=60\r\n";

/// Where the edge sends requests.
#[derive(Debug)]
pub(crate) struct Origin {
    listener: TcpListener,
}

/// One connection of the edge's.
#[derive(Debug)]
pub(crate) struct Visit(Wire);

impl Origin {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        SockRef::from(&listener)
            .set_read_timeout(Some(PATIENCE))
            .unwrap();
        Self { listener }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Waits for the edge's next connection.
    pub(crate) fn accept(&self) -> Visit {
        let (stream, _) = self.listener.accept().expect("the edge did not connect");
        Visit(Wire::new(stream))
    }

    /// How many connections the edge has opened that were not accepted; they are let go.
    pub(crate) fn unaccepted(&self) -> usize {
        self.listener.set_nonblocking(true).unwrap();
        let count = std::iter::from_fn(|| self.listener.accept().ok()).count();
        self.listener.set_nonblocking(false).unwrap();
        count
    }

    /// True when the edge has opened no connection but those accepted.
    pub(crate) fn is_untouched(&self) -> bool {
        self.listener.set_nonblocking(true).unwrap();
        let accepted = self.listener.accept();
        self.listener.set_nonblocking(false).unwrap();
        accepted.is_err()
    }
}

impl Visit {
    /// Answers with 200 and `body`.
    pub(crate) fn answer(&mut self, body: &str) {
        send(self, "", body);
    }
}

/// Answers with 200, these fields, and `body`.
pub(crate) fn send(origin: &mut Visit, fields: &str, body: &str) {
    let length = body.len();
    origin.send(format!(
        "HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    ));
}

impl Deref for Visit {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.0
    }
}

impl DerefMut for Visit {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.0
    }
}

impl From<Visit> for Wire {
    fn from(visit: Visit) -> Self {
        visit.0
    }
}
