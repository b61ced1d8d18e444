//! Edges that outlived their supervisor are found again by their sockets in the state folder.

use std::fs;
use std::net::SocketAddr;
use std::rc::Rc;

use rustix::net::SocketAddrAny;

use crate::edge_process::EdgeProcess;
use crate::handover::{self, PassedListener};
use crate::listeners::Sockets;
use crate::state::StateDir;
use crate::supervisor::Generation;

/// An edge that is still running.
#[derive(Debug)]
pub(crate) struct Survivor {
    pub(crate) generation: Generation,
    pub(crate) process: EdgeProcess,
    /// None when it is draining.
    pub(crate) sockets: Sockets,
}

/// What is left in the state folder.
#[derive(Debug, Default)]
pub(crate) struct Survivors {
    /// In the order of their numbers.
    pub(crate) edges: Vec<Survivor>,
    /// The highest number that was ever seen.
    pub(crate) highest: Generation,
}

/// Looks for living edges and clears away the sockets of dead ones. Call it with the lock held. `edge_uid` is the
/// user that edges run as, if not ours.
pub(crate) fn find(state: &StateDir, edge_uid: Option<u32>) -> Survivors {
    let mut survivors = Survivors::default();
    for generation in generations(state) {
        survivors.highest = generation;
        match ask(state, generation, edge_uid) {
            Some(survivor) => survivors.edges.push(survivor),
            None => {
                for kind in ["edge", "fds"] {
                    let name = format!("edge/{kind}-{generation}.sock");
                    let _ = fs::remove_file(state.path().join(name));
                }
            }
        }
    }
    survivors
}

/// The numbers of the edges that have, or had, a socket here, rising.
pub(crate) fn generations(state: &StateDir) -> Vec<Generation> {
    let names = fs::read_dir(state.path().join("edge"));
    let mut generations: Vec<Generation> = names
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| generation_of(entry.file_name().to_str()?))
        .collect();
    generations.sort_unstable();
    generations.dedup();
    generations
}

fn ask(state: &StateDir, generation: Generation, edge_uid: Option<u32>) -> Option<Survivor> {
    let path = state.socket(&format!("edge/fds-{generation}.sock"));
    let handed = handover::receive_fds(&path, edge_uid).ok()?;
    let process = EdgeProcess::watch(handed.pid, None).ok()?;
    let genuine = handed.listeners.into_iter().filter(is_what_it_says);
    Some(Survivor {
        generation,
        process,
        sockets: genuine.map(Rc::new).collect(),
    })
}

/// A listening socket at the address it claims; anything else from an edge is not to be believed.
fn is_what_it_says(listener: &PassedListener) -> bool {
    let listens = rustix::net::sockopt::socket_acceptconn(&listener.fd).unwrap_or(false);
    let addr = rustix::net::getsockname(&listener.fd)
        .ok()
        .and_then(|addr: SocketAddrAny| SocketAddr::try_from(addr).ok());
    listens && addr == Some(listener.addr)
}

/// `edge-7.sock` and `fds-7.sock` are of edge 7.
fn generation_of(name: &str) -> Option<Generation> {
    let number = name.strip_suffix(".sock")?;
    let number = number
        .strip_prefix("edge-")
        .or_else(|| number.strip_prefix("fds-"))?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::ListenerKind;
    use std::net::TcpListener;

    #[test]
    fn sockets_are_known_by_their_names() {
        assert_eq!(generation_of("edge-7.sock"), Some(7));
        assert_eq!(generation_of("fds-12.sock"), Some(12));
        for other in ["edge-.sock", "edge-x.sock", "edge-7", "settled.json"] {
            assert_eq!(generation_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_dead_edge_left_is_cleared_away_but_its_number_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let left = folder.path().join("edge/edge-41.sock");
        drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
        let survivors = find(&state, None);
        assert!(survivors.edges.is_empty());
        assert_eq!(survivors.highest, 41);
        assert!(!left.exists());
    }

    #[test]
    fn a_socket_that_listens_elsewhere_than_it_says_is_not_believed() {
        let passed = |addr: Option<&str>| {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = addr.map_or(socket.local_addr().unwrap(), |addr| addr.parse().unwrap());
            PassedListener {
                fd: socket.into(),
                kind: ListenerKind::Http,
                addr,
                core: 0,
            }
        };
        assert!(is_what_it_says(&passed(None)));
        assert!(!is_what_it_says(&passed(Some("127.0.0.1:1"))));
    }
}
