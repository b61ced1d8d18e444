//! Binding: one `SO_REUSEPORT` socket for each core and address, and a clear word when an address is taken.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use mangrove_config::Server;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::handover::{ListenerKind, ListenerNote, PassedListener};

/// Connections that may wait in one socket's queue; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A place to listen, on every core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) kind: ListenerKind,
    pub(crate) addr: SocketAddr,
}

/// Sockets are shared between the set in force and the set on trial.
pub(crate) type Sockets = Vec<Rc<PassedListener>>;

/// Why a place could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindProblem {
    #[error(
        "{addr} is already in use{by}.\nStop that program, or listen somewhere else with --listen ADDRESS or in [server]."
    )]
    Taken { addr: SocketAddr, by: String },
    #[error(
        "{0} needs more rights: ports below 1024 are for root or CAP_NET_BIND_SERVICE.\n\
         Use the systemd unit, start as root (the edge then runs as another user), or listen on a higher port."
    )]
    Forbidden(SocketAddr),
    #[error("{0} is not an address of this machine.")]
    NotHere(SocketAddr),
    #[error("{0} cannot be listened on: {1}.")]
    Other(SocketAddr, io::Error),
}

/// Where `server` wants to listen.
pub(crate) fn places(server: &Server) -> Vec<Place> {
    let of = |kind, addrs: &[SocketAddr]| -> Vec<Place> {
        addrs.iter().map(|&addr| Place { kind, addr }).collect()
    };
    let mut places = of(ListenerKind::Http, &server.http);
    places.extend(of(ListenerKind::Https, &server.https));
    places.extend(of(ListenerKind::Admin, server.admin.as_slice()));
    places
}

/// The CPUs this process may run on.
pub(crate) fn cores(server: &Server) -> u16 {
    let allowed = rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count());
    server
        .workers
        .unwrap_or_else(|| u16::try_from(allowed).unwrap_or(u16::MAX))
        .max(1)
}

/// The sockets for `places`: those already `held` are kept as they are, the others are bound. Tells whether the set
/// differs from what was held. Nothing is closed here, so a failure changes nothing.
pub(crate) fn open(
    held: &Sockets,
    places: &[Place],
    cores: u16,
) -> Result<(Sockets, bool), BindProblem> {
    let notes: Vec<ListenerNote> = held.iter().map(|socket| (&**socket).into()).collect();
    let mut sockets = Sockets::new();
    for &place in places {
        let addr = settled_addr(&notes, place, places);
        let reach = Reach::of(place, places);
        let mut bound = addr;
        for core in 0..cores {
            let kept = held
                .iter()
                .find(|socket| (socket.kind, socket.addr, socket.core) == (place.kind, addr, core));
            if let Some(kept) = kept {
                sockets.push(Rc::clone(kept));
                continue;
            }
            let ours = core > 0 || notes.iter().any(|note| note.addr == addr);
            if !ours {
                probe(addr, reach)?;
            }
            let fd = bind(bound, reach).map_err(|error| problem(bound, error))?;
            bound = local_addr(&fd).map_err(|error| problem(bound, error))?;
            sockets.push(Rc::new(PassedListener {
                fd: fd.into(),
                kind: place.kind,
                addr: bound,
                core,
            }));
        }
    }
    let fresh = |socket: &Rc<PassedListener>| !held.iter().any(|old| Rc::ptr_eq(old, socket));
    let changed = sockets.len() != held.len() || sockets.iter().any(fresh);
    Ok((sockets, changed))
}

/// Port 0 means "any": once bound, the port that was found is kept.
fn settled_addr(held: &[ListenerNote], place: Place, places: &[Place]) -> SocketAddr {
    if place.addr.port() != 0 {
        return place.addr;
    }
    let named = |addr| places.iter().any(|other| other.addr == addr);
    held.iter()
        .find(|note| {
            note.kind == place.kind && note.addr.ip() == place.addr.ip() && !named(note.addr)
        })
        .map_or(place.addr, |note| note.addr)
}

/// With `SO_REUSEPORT` a stranger's socket and ours would silently share the visitors, so the address is first bound
/// without it.
fn probe(addr: SocketAddr, reach: Reach) -> Result<(), BindProblem> {
    let socket = unbound(addr, reach).map_err(|error| problem(addr, error))?;
    socket
        .bind(&SockAddr::from(addr))
        .map_err(|error| problem(addr, error))
}

fn bind(addr: SocketAddr, reach: Reach) -> io::Result<Socket> {
    let socket = unbound(addr, reach)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(addr))?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Whether an IPv6 socket takes IPv4 as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The address as it stands.
    Own,
    /// `[::]`: every address of the machine, IPv4 too.
    Every,
}

impl Reach {
    /// `[::]:80` means every address, unless `0.0.0.0:80` or another IPv4 address stands beside it.
    fn of(place: Place, places: &[Place]) -> Self {
        let beside = |other: &Place| other.addr.is_ipv4() && other.addr.port() == place.addr.port();
        if place.addr.is_ipv6() && place.addr.ip().is_unspecified() && !places.iter().any(beside) {
            Self::Every
        } else {
            Self::Own
        }
    }
}

fn unbound(addr: SocketAddr, reach: Reach) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?; // connections of an earlier run may still be in TIME_WAIT
    if addr.is_ipv6() {
        socket.set_only_v6(reach == Reach::Own)?;
    }
    Ok(socket)
}

fn local_addr(socket: &Socket) -> io::Result<SocketAddr> {
    let addr = socket.local_addr()?;
    addr.as_socket()
        .ok_or_else(|| io::Error::other("the socket has no address"))
}

fn problem(addr: SocketAddr, error: io::Error) -> BindProblem {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::ADDRINUSE) => BindProblem::Taken {
            addr,
            by: holder(addr).map_or_else(String::new, |holder| format!(" by {holder}")),
        },
        Some(Errno::ACCESS | Errno::PERM) => BindProblem::Forbidden(addr),
        Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) => BindProblem::NotHere(addr),
        _ => BindProblem::Other(addr, error),
    }
}

/// Which process listens on `addr`, as far as we may see: its name and pid.
fn holder(addr: SocketAddr) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| {
            let table = fs::read_to_string(table).ok()?;
            table
                .lines()
                .filter_map(listening)
                .find(|(taken, _)| overlap(*taken, addr))
                .map(|(_, inode)| inode)
        })?;
    let link = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.into_iter().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let fds = fs::read_dir(process.path().join("fd")).ok()?;
        fds.flatten()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == link.as_str()))
            .then(|| {
                let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                format!("{} (pid {pid})", name.trim())
            })
    })
}

/// One line of /proc/net/tcp or tcp6, if it is a listening socket: its address and inode.
fn listening(line: &str) -> Option<(SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    let fields: Vec<_> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Addresses are printed as 32-bit words in the machine's own byte order.
    let words = (0..ip.len() / 8).map(|word| {
        let digits = ip.get(word * 8..word * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    });
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
    let ip = <[u8; 4]>::try_from(bytes.as_slice())
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(IpAddr::from))
        .ok()?;
    Some((SocketAddr::new(ip, port), fields.get(9)?.parse().ok()?))
}

fn overlap(taken: SocketAddr, wanted: SocketAddr) -> bool {
    taken.port() == wanted.port()
        && (taken.ip() == wanted.ip()
            || taken.ip().is_unspecified()
            || wanted.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn place(addr: &str) -> Place {
        Place {
            kind: ListenerKind::Http,
            addr: addr.parse().unwrap(),
        }
    }

    #[test]
    fn every_core_gets_its_own_socket_on_one_port() {
        let (sockets, changed) = open(&Sockets::new(), &[place("127.0.0.1:0")], 3).unwrap();
        assert!(changed);
        assert_eq!(
            sockets.iter().map(|s| s.core).collect::<Vec<_>>(),
            [0, 1, 2]
        );
        assert!(sockets.iter().all(|s| s.addr == sockets[0].addr));
        assert_ne!(sockets[0].addr.port(), 0);
    }

    #[test]
    fn a_reload_keeps_the_sockets_it_does_not_change() {
        let first = [place("127.0.0.1:0")];
        let (before, _) = open(&Sockets::new(), &first, 2).unwrap();
        let (same, changed) = open(&before, &first, 2).unwrap();
        assert!(!changed);
        assert!(Rc::ptr_eq(&same[0], &before[0]));

        let more = [place("127.0.0.1:0"), place("[::1]:0")];
        let (after, changed) = open(&before, &more, 2).unwrap();
        assert!(changed);
        assert!(Rc::ptr_eq(&after[0], &before[0]));
        assert_eq!(after.len(), 4);
    }

    #[test]
    fn the_address_of_all_addresses_takes_ipv4_unless_ipv4_stands_beside_it() {
        use std::net::{Ipv4Addr, TcpStream};
        let (sockets, _) = open(&Sockets::new(), &[place("[::]:0")], 1).unwrap();
        let port = sockets[0].addr.port();
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());

        let places = [
            place("[::]:80"),
            place("0.0.0.0:80"),
            place("[::]:81"),
            place("[::1]:82"),
        ];
        let reach = places.map(|place| Reach::of(place, &places));
        assert_eq!(reach, [Reach::Own, Reach::Own, Reach::Every, Reach::Own]);
    }

    #[test]
    fn an_address_somebody_listens_on_is_refused_with_their_name() {
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = stranger.local_addr().unwrap().to_string();
        let problem = open(&Sockets::new(), &[place(&addr)], 1).unwrap_err();
        let text = problem.to_string();
        let pid = format!("(pid {})", std::process::id());
        assert!(text.contains(&addr) && text.contains(&pid), "{text}");
    }

    #[test]
    fn another_mangrove_on_the_same_address_does_not_share_it() {
        let (theirs, _) = open(&Sockets::new(), &[place("127.0.0.1:0")], 1).unwrap();
        let addr = theirs[0].addr.to_string();
        assert!(matches!(
            open(&Sockets::new(), &[place(&addr)], 1),
            Err(BindProblem::Taken { .. })
        ));
    }

    #[test]
    fn the_kernels_table_is_read_for_both_families() {
        let v4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1";
        let (addr, inode) = listening(v4).unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(addr.to_string(), "127.0.0.1:8080");
        }
        assert_eq!(inode, 4242);
        let v6 = "   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 77 1";
        assert_eq!(listening(v6).unwrap().0.to_string(), "[::]:8080");
        for broken in ["", "x", "0: zz:1F90 0 0A", "0: 01:1F90 a 0A b c d e f g"] {
            assert_eq!(listening(broken), None);
        }
    }
}
