//! What the kernel knows of a TCP connection and no other call tells without `unsafe`: how many bytes it was given
//! that the other side has not acknowledged (sock_diag(7)). Asked only about a client that keeps a transfer waiting.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// `SOCK_DIAG_BY_FAMILY`, as asked and as answered.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
const TCP: u8 = 6;
/// Whatever the cookie: the addresses are enough for a socket that is ours.
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
const QUESTION_BYTES: u32 = 16 + 56;
/// `struct nlmsghdr` and `struct inet_diag_msg`.
const ANSWER_BYTES: usize = 16 + 72;
/// Where they stand in an answer: `nlmsg_type`, `nlmsg_seq`, `idiag_wqueue`.
const TYPE_AT: usize = 4;
const SEQUENCE_AT: usize = 8;
const QUEUED_AT: usize = 16 + 60;
/// Answers to earlier questions that may lie before ours.
const STALE: usize = 4;

/// A way to ask; opened at the first question.
#[derive(Debug, Default)]
pub struct SockDiag {
    socket: OnceCell<OwnedFd>,
}

impl SockDiag {
    /// Bytes of the connection that were given to the kernel and not acknowledged by the other side, a FIN counted as
    /// one. None where the kernel knows no such connection, or does not tell.
    pub fn queued(&self, local: SocketAddr, peer: SocketAddr) -> Option<u32> {
        let socket = match self.socket.get() {
            Some(socket) => socket,
            None => {
                let opened = open()?;
                self.socket.get_or_init(|| opened)
            }
        };
        // The peer's port tells apart what two questions in a row are about.
        let sequence = u32::from(peer.port()) << 16 | u32::from(local.port());
        send(
            socket,
            &question(local, peer, sequence),
            SendFlags::DONTWAIT,
        )
        .ok()?;
        for _ in 0..STALE {
            // The kernel has answered by the time the question is sent.
            let mut answer = [0; ANSWER_BYTES];
            let (length, _) = recv(socket, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
            let answer = answer.get(..length)?;
            if number(answer, SEQUENCE_AT)? == sequence {
                return queued_in(answer);
            }
        }
        None
    }
}

fn open() -> Option<OwnedFd> {
    socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )
    .ok()
}

/// Header fields are in the machine's order, ports and addresses in the network's.
fn question(local: SocketAddr, peer: SocketAddr, sequence: u32) -> Vec<u8> {
    let family = if local.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let interface = match local {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(local) => local.scope_id(),
    };
    let mut question = Vec::with_capacity(QUESTION_BYTES as usize);
    question.extend(QUESTION_BYTES.to_ne_bytes());
    question.extend(BY_FAMILY.to_ne_bytes());
    question.extend(REQUEST.to_ne_bytes());
    question.extend(sequence.to_ne_bytes());
    question.extend(0u32.to_ne_bytes()); // from whoever we are
    question.extend([family.as_raw().to_le_bytes()[0], TCP, 0, 0]);
    question.extend(u32::MAX.to_ne_bytes()); // in any state
    question.extend(local.port().to_be_bytes());
    question.extend(peer.port().to_be_bytes());
    question.extend(octets(local.ip()));
    question.extend(octets(peer.ip()));
    question.extend(interface.to_ne_bytes());
    question.extend(NO_COOKIE);
    question
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
    }
}

fn queued_in(answer: &[u8]) -> Option<u32> {
    let kind = answer.get(TYPE_AT..TYPE_AT + 2)?.try_into().ok()?;
    // Anything else is an error's number.
    (u16::from_ne_bytes(kind) == BY_FAMILY).then_some(())?;
    number(answer, QUEUED_AT)
}

fn number(answer: &[u8], at: usize) -> Option<u32> {
    let bytes = answer.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn connection(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    fn ask(diag: &SockDiag, end: &TcpStream) -> Option<u32> {
        diag.queued(end.local_addr().unwrap(), end.peer_addr().unwrap())
    }

    /// Fills every buffer on the way; says how much that was.
    fn fill(end: &mut TcpStream) -> usize {
        end.set_nonblocking(true).unwrap();
        let mut given = 0;
        while let Ok(n) = end.write(&[0; 65_536]) {
            given += n;
        }
        given
    }

    #[test]
    fn what_nobody_reads_is_queued_until_it_is_read() {
        let diag = SockDiag::default();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (mut server, mut client) = connection(address);
            assert_eq!(ask(&diag, &server), Some(0), "{address}");
            let given = fill(&mut server);
            let queued = ask(&diag, &server).unwrap() as usize;
            assert!(queued > 0 && queued < given, "{queued} of {given}");
            client.read_exact(&mut vec![0; given]).unwrap();
            assert_eq!(ask(&diag, &server), Some(0), "{address}");
        }
    }

    #[test]
    fn a_connection_that_is_not_there_is_not_told_of() {
        let diag = SockDiag::default();
        let (server, client) = connection("127.0.0.1:0");
        let (local, peer) = (server.local_addr().unwrap(), server.peer_addr().unwrap());
        let nobody = SocketAddr::new(peer.ip(), 1);
        assert_eq!(diag.queued(local, nobody), None);
        assert_eq!(diag.queued(local, peer), Some(0));
        drop((server, client));
    }

    #[test]
    fn an_answer_that_is_short_or_an_error_tells_nothing() {
        assert_eq!(queued_in(&[0; ANSWER_BYTES]), None);
        let mut answer = [0; ANSWER_BYTES];
        answer[TYPE_AT..TYPE_AT + 2].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        answer[QUEUED_AT] = 7;
        assert_eq!(queued_in(&answer).map(u32::to_le), Some(7));
        for length in 0..QUEUED_AT + 4 {
            assert_eq!(queued_in(&answer[..length]), None);
        }
    }
}
