//! How open sockets travel between Mangrove's processes.
//!
//! A *parcel* is a note (JSON) and the descriptors it speaks of, sent over a Unix stream socket with `SCM_RIGHTS`.
//! Nothing is passed by descriptor number, so nothing leaks into a child by accident and a lost parcel closes what it
//! held. Three roads use it:
//!
//! - the supervisor to the edge it starts, over the edge's standard input (the same socket then carries `ready`),
//! - an edge to a supervisor that adopts it, over `STATE/edge/fds-N.sock` ([`serve_fds`], [`receive_fds`]),
//! - a supervisor to the newer supervisor that it becomes.
//!
//! Wire form: four bytes of big-endian length, the note, then one byte for every batch of at most [`BATCH_FDS`]
//! descriptors. All calls block, for at most [`PATIENCE`] a step when [`with_patience`] was asked for.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Descriptors in one message. Linux refuses more than 253 (`SCM_MAX_FD`).
pub const BATCH_FDS: usize = 64;
/// Descriptors in one parcel: 128 addresses on 64 cores. One more is refused by both ends.
pub const PARCEL_FDS: usize = 8192;
/// Bytes of the note in one parcel. One more is refused by both ends.
pub const NOTE_BYTES: usize = 1 << 20;
/// How long either end waits for the other at one step. Both are on one machine and have nothing else to do.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What is spoken on a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerKind {
    /// Cleartext: HTTP/1.1, or HTTP/2 by prior knowledge.
    Http,
    /// TLS, with the version of HTTP chosen by ALPN.
    Https,
    /// The operator's listener.
    Admin,
}

impl ListenerKind {
    /// The word for it in arguments, logs and descriptor names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Admin => "admin",
        }
    }
}

/// One open listening socket and what it is for.
#[derive(Debug)]
pub struct PassedListener {
    /// The socket: bound, listening, non-blocking, close-on-exec.
    pub fd: OwnedFd,
    /// What is spoken on it.
    pub kind: ListenerKind,
    /// Where it listens, with the port that was really bound.
    pub addr: SocketAddr,
    /// Which core accepts from it, counted from 0.
    pub core: u16,
}

/// The description of one listener, as it stands in a note beside its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerNote {
    /// What is spoken on it.
    pub kind: ListenerKind,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Which core accepts from it, counted from 0.
    pub core: u16,
}

impl From<&PassedListener> for ListenerNote {
    fn from(listener: &PassedListener) -> Self {
        let &PassedListener {
            kind, addr, core, ..
        } = listener;
        Self { kind, addr, core }
    }
}

/// Whether the process at the other end may be talked to: it has our user id, or root's.
///
/// # Errors
/// When the kernel cannot tell who is there.
pub fn is_trusted_peer(stream: &UnixStream) -> io::Result<bool> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    Ok(peer.uid.is_root() || peer.uid == rustix::process::geteuid())
}

/// Answers one connection to `fds-N.sock`: all `listeners`, described and duplicated into the asking process.
///
/// # Errors
/// `PermissionDenied` when the peer is neither root nor our own user; otherwise whatever the socket said.
pub fn serve_fds<'a>(
    stream: &UnixStream,
    listeners: impl IntoIterator<Item = (ListenerNote, BorrowedFd<'a>)>,
) -> io::Result<()> {
    with_patience(stream)?;
    if !is_trusted_peer(stream)? {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "descriptors are given only to root and to the edge's own user",
        ));
    }
    let (notes, fds): (Vec<_>, Vec<_>) = listeners.into_iter().unzip();
    send(stream, &notes, &fds)
}

/// What an edge handed over.
#[derive(Debug)]
pub struct Handed {
    /// The edge's process.
    pub pid: rustix::process::Pid,
    /// Its listening sockets; none when it is draining.
    pub listeners: Vec<PassedListener>,
}

/// Asks the edge behind `path` for all its listening sockets. Beside root and our own user, the edge may run as
/// `edge_uid`.
///
/// # Errors
/// When nobody answers, when the peer is a stranger, or when what came is not a list of listeners with exactly one
/// descriptor each.
pub fn receive_fds(path: &Path, edge_uid: Option<u32>) -> io::Result<Handed> {
    let stream = UnixStream::connect(path)?;
    with_patience(&stream)?;
    let peer = rustix::net::sockopt::socket_peercred(&stream)?;
    if !is_trusted_peer(&stream)? && edge_uid != Some(peer.uid.as_raw()) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the process behind the socket is neither root's nor ours",
        ));
    }
    let (notes, fds) = receive::<Vec<ListenerNote>>(&stream)?;
    Ok(Handed {
        pid: peer.pid,
        listeners: pair(notes, fds)?,
    })
}

/// Puts each description beside its descriptor.
///
/// # Errors
/// When there is not exactly one descriptor for each description.
pub fn pair(notes: Vec<ListenerNote>, fds: Vec<OwnedFd>) -> io::Result<Vec<PassedListener>> {
    if notes.len() != fds.len() {
        return Err(malformed(
            "as many descriptors as descriptions were promised",
        ));
    }
    let listeners = notes.into_iter().zip(fds);
    Ok(listeners
        .map(|(ListenerNote { kind, addr, core }, fd)| PassedListener {
            fd,
            kind,
            addr,
            core,
        })
        .collect())
}

/// Bounds every later read and write on `stream` by [`PATIENCE`].
///
/// # Errors
/// Whatever the kernel said.
pub fn with_patience(stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

/// Sends one parcel.
///
/// # Errors
/// `InvalidInput` over [`NOTE_BYTES`] or [`PARCEL_FDS`]; otherwise whatever the socket said.
pub fn send<T: Serialize>(
    mut stream: &UnixStream,
    note: &T,
    fds: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let note = serde_json::to_vec(&Envelope {
        fds: fds.len(),
        note,
    })?;
    if note.len() > NOTE_BYTES || fds.len() > PARCEL_FDS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the parcel is too large to send",
        ));
    }
    let length = u32::try_from(note.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&note)?;
    for batch in fds.chunks(BATCH_FDS) {
        send_batch(stream, batch)?;
    }
    Ok(())
}

/// Receives one parcel. Every descriptor in it is close-on-exec.
///
/// # Errors
/// `InvalidData` for a note or a number of descriptors that was not announced or is over the limits; `UnexpectedEof`
/// when the sender left early; otherwise whatever the socket said.
pub fn receive<T: DeserializeOwned>(mut stream: &UnixStream) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > NOTE_BYTES {
        return Err(malformed("the note is too long"));
    }
    let mut note = vec![0; length];
    stream.read_exact(&mut note)?;
    let Envelope {
        fds: promised,
        note,
    } = serde_json::from_slice::<Envelope<T>>(&note)?;
    if promised > PARCEL_FDS {
        return Err(malformed("too many descriptors are announced"));
    }
    let mut fds = Vec::new();
    while fds.len() < promised {
        let expected = BATCH_FDS.min(promised - fds.len());
        let batch = receive_batch(stream)?;
        if batch.len() != expected {
            return Err(malformed("a batch holds another number of descriptors"));
        }
        fds.extend(batch);
    }
    Ok((note, fds))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<T> {
    fds: usize,
    note: T,
}

fn send_batch(stream: &UnixStream, batch: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(batch)) {
        return Err(io::Error::other("the batch does not fit its buffer"));
    }
    loop {
        match sendmsg(
            stream.as_fd(),
            &[IoSlice::new(b"+")],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// One byte is read at a time, so that the kernel never joins two batches.
fn receive_batch(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received = loop {
        match recvmsg(
            stream.as_fd(),
            &mut [IoSliceMut::new(&mut byte)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Ok(received) => break received,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let fds = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // The kernel cuts what does not fit, and what is over our descriptor limit, and tells only here.
    if received.flags.contains(rustix::net::ReturnFlags::CTRUNC) {
        return Err(malformed("descriptors were lost on the way"));
    }
    Ok(fds)
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixListener;
    use std::thread;

    fn listener(core: u16) -> (PassedListener, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let kind = ListenerKind::Http;
        let fd = socket.into();
        (
            PassedListener {
                fd,
                kind,
                addr,
                core,
            },
            addr,
        )
    }

    #[test]
    fn an_adopted_socket_accepts_what_was_queued_for_its_first_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fds-1.sock");
        let door = UnixListener::bind(&path).unwrap();
        let (passed, addr) = listener(3);

        let edge = thread::spawn(move || {
            let (stream, _) = door.accept().unwrap();
            serve_fds(&stream, [((&passed).into(), passed.fd.as_fd())]).unwrap();
        });
        let _waiting = TcpStream::connect(addr).unwrap();
        let mut handed = receive_fds(&path, None).unwrap();
        edge.join().unwrap(); // the first owner's descriptor is closed by now

        assert_eq!(handed.pid, rustix::process::getpid());
        let adopted = handed.listeners.pop().unwrap();
        assert_eq!((adopted.core, adopted.addr), (3, addr));
        TcpListener::from(adopted.fd).accept().unwrap();
    }

    #[test]
    fn two_hundred_descriptors_travel_in_batches_and_keep_their_order() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let files: Vec<_> = (0..200).map(|_| listener(0)).collect();
        let fds: Vec<_> = files.iter().map(|(passed, _)| passed.fd.as_fd()).collect();
        send(&ours, &"two hundred", &fds).unwrap();

        let (note, received) = receive::<String>(&theirs).unwrap();
        assert_eq!(note, "two hundred");
        let received: Vec<_> = received
            .into_iter()
            .map(|fd| TcpListener::from(fd).local_addr().unwrap())
            .collect();
        assert_eq!(
            received,
            files.iter().map(|(_, addr)| *addr).collect::<Vec<_>>()
        );
    }

    #[test]
    fn received_descriptors_do_not_leak_into_children() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (passed, _) = listener(0);
        send(&ours, &(), &[passed.fd.as_fd()]).unwrap();
        let ((), fds) = receive(&theirs).unwrap();
        let flags = rustix::io::fcntl_getfd(&fds[0]).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn a_note_one_byte_over_the_limit_is_refused_before_it_is_read() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let over = u32::try_from(NOTE_BYTES + 1).unwrap();
        ours.write_all(&over.to_be_bytes()).unwrap();
        let error = receive::<String>(&theirs).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);

        let note = "x".repeat(NOTE_BYTES);
        let error = send(&ours, &note, &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn one_descriptor_over_the_limit_is_refused_by_both_ends() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (passed, _) = listener(0);
        let fds = vec![passed.fd.as_fd(); PARCEL_FDS + 1];
        let error = send(&ours, &(), &fds).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);

        let note = format!(r#"{{"fds":{},"note":null}}"#, PARCEL_FDS + 1);
        ours.write_all(&u32::try_from(note.len()).unwrap().to_be_bytes())
            .unwrap();
        ours.write_all(note.as_bytes()).unwrap();
        let error = receive::<()>(&theirs).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_promise_without_descriptors_is_an_error_not_a_wait() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let note = br#"{"fds":1,"note":null}"#;
        ours.write_all(&u32::try_from(note.len()).unwrap().to_be_bytes())
            .unwrap();
        ours.write_all(note).unwrap();
        ours.write_all(b"+").unwrap(); // the byte, and nothing with it
        let error = receive::<()>(&theirs).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_sender_that_leaves_half_way_is_noticed() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(&[0, 0, 0, 9, b'{']).unwrap();
        drop(ours);
        let error = receive::<()>(&theirs).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn fewer_descriptors_than_descriptions_is_an_error() {
        let note = ListenerNote {
            kind: ListenerKind::Admin,
            addr: "[::1]:9180".parse().unwrap(),
            core: 0,
        };
        assert!(pair(vec![note], Vec::new()).is_err());
    }
}
