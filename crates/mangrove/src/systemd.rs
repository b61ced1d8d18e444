//! What systemd is told (sd_notify(3)), and what it keeps for us (the file descriptor store).
//!
//! Listening sockets are left in the store, so when systemd restarts the whole service after a crash the queues are
//! still open and no connection was refused.

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;

use rustix::io::FdFlags;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr,
};

use crate::handover::{ListenerKind, PassedListener};
use crate::listeners::Sockets;
use crate::supervisor::Status;

/// The road to systemd, if it started us.
#[derive(Debug)]
pub(crate) struct Notify {
    road: Option<(UnixDatagram, SocketAddrUnix)>,
    told: Option<Status>,
}

impl Notify {
    /// Reads `$NOTIFY_SOCKET`.
    pub(crate) fn from_environment() -> Self {
        let road = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let addr = address(&name).ok()?;
            Some((UnixDatagram::unbound().ok()?, addr))
        });
        Self { road, told: None }
    }

    /// Tells the status, if it is another than was told last.
    pub(crate) fn status(&mut self, status: Status) {
        if self.told.replace(status) == Some(status) {
            return;
        }
        let message = match status {
            Status::Starting => "STATUS=Starting the first edge".to_owned(),
            Status::Serving => format!("READY=1\nSTATUS=Serving\nMAINPID={}", std::process::id()),
            Status::Changing => format!(
                "RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=A change is under way",
                monotonic_usec()
            ),
            Status::Recovering => "STATUS=The edge is gone; another one is starting".to_owned(),
            Status::Stopping => "STOPPING=1\nSTATUS=Finishing requests".to_owned(),
        };
        self.send(&message, &[]);
    }

    /// Leaves `sockets` in the store.
    pub(crate) fn keep<'a>(&self, sockets: impl IntoIterator<Item = &'a Rc<PassedListener>>) {
        for socket in sockets {
            let message = format!("FDSTORE=1\nFDNAME={}", store_name(socket));
            self.send(&message, &[socket.fd.as_fd()]);
        }
    }

    /// Takes them out again.
    pub(crate) fn forget<'a>(&self, sockets: impl IntoIterator<Item = &'a Rc<PassedListener>>) {
        for socket in sockets {
            let message = format!("FDSTOREREMOVE=1\nFDNAME={}", store_name(socket));
            self.send(&message, &[]);
        }
    }

    /// systemd that does not listen is no reason to stop.
    fn send(&self, message: &str, fds: &[BorrowedFd<'_>]) {
        let Some((socket, addr)) = &self.road else {
            return;
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        let text = [IoSlice::new(message.as_bytes())];
        let _ = sendmsg_addr(socket, addr, &text, &mut control, SendFlags::NOSIGNAL);
    }
}

/// The sockets that systemd kept or opened for us, by `$LISTEN_FDS` and `$LISTEN_FDNAMES`. What is not ours by name is
/// closed. Call it before any thread starts.
pub(crate) fn kept_sockets() -> Sockets {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut passed = listenfd::ListenFd::from_env();
    let mut sockets = Sockets::new();
    for (index, name) in (0..passed.len()).zip(names.split(':')) {
        let Ok(Some(listener)) = passed.take_tcp_listener(index) else {
            continue;
        };
        // systemd passes them open across exec; an edge gets only what it is sent.
        if rustix::io::fcntl_setfd(&listener, FdFlags::CLOEXEC).is_err() {
            continue;
        }
        sockets.extend(from_store(listener, name).map(Rc::new));
    }
    sockets
}

fn from_store(listener: TcpListener, name: &str) -> Option<PassedListener> {
    let (kind, core) = name.split_once('-')?;
    let kind = [ListenerKind::Http, ListenerKind::Https, ListenerKind::Admin]
        .into_iter()
        .find(|known| known.as_str() == kind)?;
    let core = core.split('-').next()?.parse().ok()?;
    listener.set_nonblocking(true).ok()?;
    let addr = listener.local_addr().ok()?;
    Some(PassedListener {
        fd: listener.into(),
        kind,
        addr,
        core,
    })
}

/// Names in the store may hold no colon: `https-3-____8443`.
fn store_name(socket: &PassedListener) -> String {
    let addr: String = socket
        .addr
        .to_string()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '_'
            }
        })
        .collect();
    format!("{}-{}-{addr}", socket.kind.as_str(), socket.core)
}

fn address(name: &OsString) -> io::Result<SocketAddrUnix> {
    match name.as_bytes() {
        [b'@', rest @ ..] => Ok(SocketAddrUnix::new_abstract_name(rest)?),
        path => Ok(SocketAddrUnix::new(path)?),
    }
}

/// `Type=notify-reload` wants the moment; plain `notify` ignores it.
fn monotonic_usec() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec
        .saturating_mul(1_000_000)
        .saturating_add(now.tv_nsec / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::ListenerNote;

    fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    #[test]
    fn a_socket_comes_back_from_the_store_as_what_it_was() {
        let passed = PassedListener {
            addr: "[::]:8443".parse().unwrap(),
            fd: listener().into(),
            kind: ListenerKind::Https,
            core: 3,
        };
        let name = store_name(&passed);
        assert!(!name.contains(':'), "{name}");
        let back = from_store(listener(), &name).unwrap();
        let note = ListenerNote::from(&back);
        assert_eq!((note.kind, note.core), (ListenerKind::Https, 3));
    }

    #[test]
    fn a_socket_of_another_name_is_not_ours() {
        for name in ["", "connection", "http", "http-", "http-x-1", "gopher-1-a"] {
            assert!(from_store(listener(), name).is_none(), "{name}");
        }
    }

    #[test]
    fn systemd_hears_each_status_once_and_gets_the_sockets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let addr = address(&path.into_os_string()).unwrap();
        let mut notify = Notify {
            road: Some((UnixDatagram::unbound().unwrap(), addr)),
            told: None,
        };
        let hear = || {
            let mut message = [0; 512];
            let count = systemd.recv(&mut message).ok()?;
            Some(String::from_utf8_lossy(&message[..count]).into_owned())
        };
        notify.status(Status::Serving);
        notify.status(Status::Serving);
        assert!(hear().unwrap().starts_with("READY=1\n"));
        assert_eq!(hear(), None);

        let passed = PassedListener {
            addr: "127.0.0.1:80".parse().unwrap(),
            fd: listener().into(),
            kind: ListenerKind::Http,
            core: 0,
        };
        notify.keep([&Rc::new(passed)]);
        assert_eq!(hear().unwrap(), "FDSTORE=1\nFDNAME=http-0-127.0.0.1_80");
    }
}
