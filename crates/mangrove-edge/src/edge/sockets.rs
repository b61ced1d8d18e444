//! The doors of the edge process that are not for visitors: orders, descriptors, the admin listener.

use std::os::fd::AsFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::{Edge, WATCH, complain, copy};
use crate::admin::{self, Asker};
use crate::handover::{ListenerKind, ListenerNote, serve_fds};

/// The edge's own sockets; their names go when the edge does.
pub(super) struct Sockets {
    paths: Vec<PathBuf>,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for path in &self.paths {
            let _ = std::fs::remove_file(path); // a successor may have cleared up already
        }
    }
}

impl Sockets {
    /// Opens them and serves them, and the admin listener, from tasks of the keeper.
    pub(super) fn open(edge: &Rc<Edge>, generation: u64) -> Result<Self, String> {
        let folder = edge.state.join("edge");
        let orders_path = folder.join(format!("edge-{generation}.sock"));
        let descriptors_path = folder.join(format!("fds-{generation}.sock"));
        let room = Arc::new(Semaphore::new(admin::AT_ONCE));

        let orders = UnixListener::from_std(bind(&orders_path)?).map_err(|e| e.to_string())?;
        let (keeper, places) = (Rc::clone(edge), Arc::clone(&room));
        tokio::task::spawn_local(async move {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                let Ok((stream, _)) = orders.accept().await else {
                    tokio::time::sleep(WATCH).await;
                    continue;
                };
                let own = rustix::process::geteuid().as_raw();
                let trusted = stream
                    .peer_cred()
                    .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own);
                let keeper = Rc::clone(&keeper);
                tokio::task::spawn_local(async move {
                    admin::serve(
                        keeper,
                        stream,
                        if trusted {
                            Asker::Trusted
                        } else {
                            Asker::Remote
                        },
                        None,
                    )
                    .await;
                    drop(place);
                });
            }
        });

        let descriptors =
            UnixListener::from_std(bind(&descriptors_path)?).map_err(|e| e.to_string())?;
        let keeper = Rc::clone(edge);
        tokio::task::spawn_local(async move {
            loop {
                let accepted = descriptors.accept().await;
                let Ok(Ok(stream)) = accepted.map(|(stream, _)| stream.into_std()) else {
                    tokio::time::sleep(WATCH).await;
                    continue;
                };
                // A handful of messages between processes of one machine, bounded by `PATIENCE`.
                let handed = keeper.hand_over(&stream);
                if let Err(error) = handed {
                    complain(&format!(
                        "the listening sockets could not be handed over: {error}"
                    ));
                }
            }
        });

        for listener in edge
            .listeners
            .borrow()
            .iter()
            .filter(|l| l.kind == ListenerKind::Admin)
        {
            let Some(listener) = copy(listener).and_then(|l| TcpListener::from_std(l).ok()) else {
                continue;
            };
            let (keeper, places) = (Rc::clone(edge), Arc::clone(&room));
            tokio::task::spawn_local(async move {
                loop {
                    let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                        return;
                    };
                    let accepted = tokio::select! {
                        () = keeper.admin_closed() => return,
                        accepted = listener.accept() => accepted,
                    };
                    let Ok((stream, peer)) = accepted else {
                        tokio::time::sleep(WATCH).await;
                        continue;
                    };
                    let asker = if peer.ip().to_canonical().is_loopback() {
                        Asker::Local
                    } else {
                        Asker::Remote
                    };
                    let keeper = Rc::clone(&keeper);
                    tokio::task::spawn_local(async move {
                        admin::serve(keeper, stream, asker, Some(peer.ip())).await;
                        drop(place);
                    });
                }
            });
        }
        Ok(Self {
            paths: vec![orders_path, descriptors_path],
        })
    }
}

impl Edge {
    fn hand_over(&self, stream: &std::os::unix::net::UnixStream) -> std::io::Result<()> {
        let listeners = self.listeners.borrow();
        serve_fds(
            stream,
            listeners
                .iter()
                .map(|listener| (ListenerNote::from(listener), listener.fd.as_fd())),
        )
    }

    /// A draining edge leaves the admin listener to its successor.
    async fn admin_closed(&self) {
        if !self.draining.get() {
            self.admin_close.notified().await;
        }
    }
}

fn bind(path: &Path) -> Result<StdUnixListener, String> {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::remove_file(path); // an edge of this number that was killed left it
    StdUnixListener::bind(path)
        .and_then(|socket| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .map_err(|e| format!("{} cannot be opened: {e}", path.display()))
}
