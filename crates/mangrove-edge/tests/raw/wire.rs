//! One end of a connection, for tests that write and read bytes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;

/// No story waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A connected socket and what was read from it too early.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In good order (FIN).
    Closed,
    /// Visibly broken (RST).
    Reset,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// For bytes that the other side may no longer want.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Reads a head, its empty line included.
    pub(crate) fn head(&mut self) -> Head {
        let end = loop {
            match self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => assert!(self.more(), "no whole head: {self:?}"),
            }
        };
        Head::of(&self.take(end))
    }

    /// Reads so many bytes.
    pub(crate) fn take(&mut self, n: usize) -> Vec<u8> {
        while self.unread.len() < n {
            assert!(self.more(), "{n} bytes were to come: {self:?}");
        }
        self.unread.drain(..n).collect()
    }

    pub(crate) fn take_text(&mut self, n: usize) -> String {
        String::from_utf8(self.take(n)).unwrap()
    }

    /// Reads up to a line end, which is dropped.
    pub(crate) fn line(&mut self) -> String {
        let end = loop {
            match self.unread.windows(2).position(|two| two == b"\r\n") {
                Some(at) => break at,
                None => assert!(self.more(), "no whole line: {self:?}"),
            }
        };
        let line = self.take_text(end);
        self.take(2);
        line
    }

    /// Reads a chunked body: its data, and the trailer lines.
    pub(crate) fn chunked(&mut self) -> (String, Vec<String>) {
        let mut data = String::new();
        loop {
            let size = usize::from_str_radix(&self.line(), 16).unwrap();
            if size == 0 {
                break;
            }
            data += &self.take_text(size);
            assert_eq!(self.line(), "");
        }
        let mut trailers = Vec::new();
        loop {
            match self.line() {
                line if line.is_empty() => return (data, trailers),
                line => trailers.push(line),
            }
        }
    }

    /// Rests for a moment, then reads what is there: as much as the system keeps for one who rests.
    pub(crate) fn sip(&mut self, rest: Duration) -> usize {
        std::thread::sleep(rest);
        self.read().unwrap_or_default()
    }

    /// Everything up to the end of the connection, and how that came.
    pub(crate) fn rest(&mut self) -> (String, End) {
        let end = loop {
            match self.read() {
                Ok(0) => break End::Closed,
                Ok(_) => {}
                Err(ErrorKind::ConnectionReset) => break End::Reset,
                Err(error) => panic!("{error}: the connection stays open: {self:?}"),
            }
        };
        let rest = std::mem::take(&mut self.unread);
        (String::from_utf8_lossy(&rest).into_owned(), end)
    }

    /// Waits for the end; nothing more comes before it.
    pub(crate) fn ends(&mut self) {
        let (rest, _) = self.rest();
        assert_eq!(rest, "", "more came before the end");
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish_sending(&mut self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Breaks the connection off.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    fn more(&mut self) -> bool {
        match self.read() {
            Ok(n) => n > 0,
            Err(error) => panic!("{error}: {self:?}"),
        }
    }

    fn read(&mut self) -> Result<usize, ErrorKind> {
        let mut bytes = [0; 16 * 1024];
        let n = self.stream.read(&mut bytes).map_err(|e| e.kind())?;
        self.unread.extend_from_slice(&bytes[..n]);
        Ok(n)
    }
}

/// A head as it stands on the wire.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    lines: Vec<String>,
}

impl Head {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        let text = text.strip_suffix("\r\n\r\n").unwrap();
        Self {
            lines: text.split("\r\n").map(str::to_owned).collect(),
        }
    }

    /// The request or status line.
    pub(crate) fn first_line(&self) -> &str {
        &self.lines[0]
    }

    pub(crate) fn status(&self) -> u16 {
        let status = self.first_line().strip_prefix("HTTP/1.1 ").unwrap();
        status[..3].parse().unwrap()
    }

    /// The values of all lines of that name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.lines[1..]
            .iter()
            .map(|line| line.split_once(':').unwrap());
        let named = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).collect()
    }

    /// The value of its only line of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} stands more than once: {self:?}");
        all.first().copied()
    }
}
