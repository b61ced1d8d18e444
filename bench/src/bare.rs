//! The bare loop: the least a server can do, and so the measure of all the others.
//!
//! One thread, one epoll, one `read` and one `write` per request, one prepared answer. It knows no pipelining and reads
//! no field: a request is over at its empty line. The same program on the other core is the origin of the pass-through rows.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// The byte that every body in the benchmark is made of.
pub(crate) const FILL: u8 = b'x';

/// The longest request head that is waited for; a longer one ends the connection.
const HEAD_LIMIT: usize = 16 * 1024;
/// Connections waiting to be accepted.
const BACKLOG: i32 = 4096;
/// Events taken from the kernel at once.
const EVENTS: usize = 256;

/// Fields of every answer of the loop. The date is fixed: the loop owns no clock.
const FIELDS: &str = "date: Sat, 01 Nov 2025 00:00:00 GMT\r\n\
    content-type: text/plain\r\n\
    cache-control: no-store\r\n";

/// A response of `body` bytes whose head is `head` bytes long, or the shortest one that the loop can make when that is longer.
pub(crate) fn response(head: usize, body: usize) -> Vec<u8> {
    let first = format!("HTTP/1.1 200 OK\r\n{FIELDS}content-length: {body}\r\n");
    padded(first, head, body)
}

/// The answer to one who has it already, of `head` bytes if that is long enough.
pub(crate) fn unchanged(head: usize) -> Vec<u8> {
    padded(format!("HTTP/1.1 304 Not Modified\r\n{FIELDS}"), head, 0)
}

fn padded(first: String, head: usize, body: usize) -> Vec<u8> {
    let mut bytes = first.into_bytes();
    const PADDING: &[u8] = b"x-pad: \r\n";
    const EMPTY_LINE: &[u8] = b"\r\n";
    let unpadded = bytes.len() + EMPTY_LINE.len();
    if let Some(missing) = head.checked_sub(unpadded + PADDING.len()) {
        bytes.extend_from_slice(b"x-pad: ");
        bytes.extend(std::iter::repeat_n(b'p', missing));
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(EMPTY_LINE);
    bytes.extend(std::iter::repeat_n(FILL, body));
    bytes
}

/// Answers every request on `address` with `response`, until a signal ends the process.
pub(crate) fn serve(address: SocketAddr, response: &[u8]) -> Result<()> {
    let listener = listen(address).with_context(|| format!("listening on {address}"))?;
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poller, &listener, token(&listener)?, EventFlags::IN)?;

    let mut clients = Clients(Vec::new());
    let mut buffer = vec![0; HEAD_LIMIT];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        match epoll::wait(&poller, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for events"),
        }
        for event in events.drain(..) {
            let key = event.data.u64();
            let Some(client) = clients.at(key) else {
                accept_all(&listener, &poller, &mut clients)?;
                continue;
            };
            match client.advance(&poller, &mut buffer, response) {
                Ok(true) => {}
                // The descriptor's closing takes it out of the epoll set.
                Ok(false) | Err(_) => clients.remove(key),
            }
        }
    }
}

fn listen(address: SocketAddr) -> Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn accept_all(listener: &OwnedFd, poller: &OwnedFd, clients: &mut Clients) -> Result<()> {
    loop {
        match rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => {
                sockopt::set_tcp_nodelay(&socket, true)?;
                let key = token(&socket)?;
                epoll::add(poller, &socket, key, EventFlags::IN)?;
                clients.insert(Client {
                    socket,
                    key,
                    head: Vec::new(),
                    sent: None,
                });
            }
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(error) => return Err(error).context("accepting"),
        }
    }
}

fn token(socket: &OwnedFd) -> Result<EventData> {
    Ok(EventData::new_u64(u64::try_from(socket.as_raw_fd())?))
}

/// Clients by the number of their descriptor, which the kernel keeps as small as it can.
struct Clients(Vec<Option<Client>>);

impl Clients {
    fn at(&mut self, key: u64) -> Option<&mut Client> {
        self.0.get_mut(usize::try_from(key).ok()?)?.as_mut()
    }

    fn insert(&mut self, client: Client) {
        let Ok(place) = usize::try_from(client.key.u64()) else {
            return;
        };
        if self.0.len() <= place {
            self.0.resize_with(place + 1, || None);
        }
        if let Some(free) = self.0.get_mut(place) {
            *free = Some(client);
        }
    }

    fn remove(&mut self, key: u64) {
        let place = usize::try_from(key)
            .ok()
            .and_then(|place| self.0.get_mut(place));
        if let Some(taken) = place {
            *taken = None;
        }
    }
}

struct Client {
    socket: OwnedFd,
    key: EventData,
    /// What has come of a head that did not arrive in one piece; at most [`HEAD_LIMIT`] bytes.
    head: Vec<u8>,
    /// How much of the response went out, while the kernel had no room for the rest.
    sent: Option<usize>,
}

impl Client {
    /// Does what the socket is ready for; false when the client has gone.
    fn advance(&mut self, poller: &OwnedFd, buffer: &mut [u8], response: &[u8]) -> Result<bool> {
        let from = match self.sent {
            Some(sent) => sent,
            None => {
                let count = match rustix::io::read(&self.socket, &mut *buffer) {
                    Ok(0) => return Ok(false),
                    Ok(count) => count,
                    Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
                    Err(error) => return Err(error.into()),
                };
                if !self.head_is_over(buffer.get(..count).unwrap_or_default())? {
                    return Ok(true);
                }
                0
            }
        };
        let rest = response.get(from..).unwrap_or_default();
        let written = match rustix::io::write(&self.socket, rest) {
            Ok(written) => written,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        match (self.sent, written == rest.len()) {
            (None, true) => {}
            (None, false) => {
                self.sent = Some(written);
                epoll::modify(poller, &self.socket, self.key, EventFlags::OUT)?;
            }
            (Some(_), true) => {
                self.sent = None;
                epoll::modify(poller, &self.socket, self.key, EventFlags::IN)?;
            }
            (Some(sent), false) => self.sent = Some(sent + written),
        }
        Ok(true)
    }

    fn head_is_over(&mut self, piece: &[u8]) -> Result<bool> {
        if self.head.is_empty() && piece.ends_with(b"\r\n\r\n") {
            return Ok(true);
        }
        self.head.extend_from_slice(piece);
        ensure!(
            self.head.len() <= HEAD_LIMIT,
            "request head over {HEAD_LIMIT} bytes"
        );
        let over = self.head.ends_with(b"\r\n\r\n");
        if over {
            self.head.clear();
        }
        Ok(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    #[test]
    fn a_response_has_exactly_the_length_asked_for() {
        for head in [150, 200, 317] {
            let unchanged = unchanged(head);
            assert_eq!(unchanged.len(), head);
            assert!(unchanged.starts_with(b"HTTP/1.1 304 ") && unchanged.ends_with(b"\r\n\r\n"));
            for body in [0, 1024, 1 << 20] {
                let bytes = response(head, body);
                assert_eq!(bytes.len(), head + body);
                assert_eq!(
                    bytes.windows(4).position(|four| four == b"\r\n\r\n"),
                    Some(head - 4)
                );
                assert!(bytes[head..].iter().all(|byte| *byte == FILL));
            }
        }
    }

    #[test]
    fn a_head_too_short_to_make_becomes_the_shortest_one() {
        assert_eq!(response(0, 10), response(1, 10));
        assert!(!String::from_utf8(response(0, 0)).unwrap().contains("x-pad"));
    }

    #[test]
    fn a_client_is_answered_twice_on_one_connection_even_when_its_head_comes_in_pieces() {
        let address = crate::process::free_address().unwrap();
        let answer = response(200, 300_000);
        let expected = answer.clone();
        std::thread::spawn(move || serve(address, &answer));

        let mut client = crate::clock::poll(std::time::Duration::from_secs(5), || {
            Ok(TcpStream::connect(address).ok())
        })
        .unwrap();
        for pieces in [
            &["GET / HTTP/1.1\r\nhost: a\r\n\r\n"][..],
            &["GET / HTTP/1.1\r\n", "host: a\r\n\r", "\n"][..],
        ] {
            for piece in pieces {
                client.write_all(piece.as_bytes()).unwrap();
            }
            let mut got = vec![0; expected.len()];
            client.read_exact(&mut got).unwrap();
            assert!(got == expected);
        }
    }
}
