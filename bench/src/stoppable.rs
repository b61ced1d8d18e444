//! An origin that can be stopped and comes back at the same address. What it says on a connection is given.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::LocalRuntime;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::origin::bound;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A running origin.
pub(crate) struct Stoppable {
    /// Where it listens, when it does.
    pub(crate) address: SocketAddr,
    runs: watch::Sender<bool>,
}

impl Stoppable {
    /// Starts one on a thread of its own; it ends with this process.
    pub(crate) fn start<Conversation>(
        converse: impl Fn(TcpStream) -> Conversation + Send + 'static,
    ) -> Result<Self>
    where
        Conversation: Future<Output = io::Result<()>> + 'static,
    {
        let (tell, told) = channel();
        let (runs, seen) = watch::channel(true);
        thread::Builder::new()
            .name("origin".to_owned())
            .spawn(move || {
                let Ok(runtime) = LocalRuntime::new() else {
                    return;
                };
                let _ = runtime.block_on(async {
                    let socket = bound((Ipv4Addr::LOCALHOST, 0).into())?;
                    let _ = tell.send(socket.local_addr()?);
                    live(socket, seen, &converse).await
                });
            })?;
        let address = told.recv().context("starting the origin")?;
        Ok(Self { address, runs })
    }

    /// Whether it answers. Stopped, nobody listens and every connection has ended.
    pub(crate) fn be(&self, runs: bool) {
        self.runs.send_replace(runs);
    }
}

async fn live<Conversation>(
    mut socket: TcpSocket,
    mut runs: watch::Receiver<bool>,
    converse: &impl Fn(TcpStream) -> Conversation,
) -> io::Result<Infallible>
where
    Conversation: Future<Output = io::Result<()>> + 'static,
{
    let address = socket.local_addr()?;
    loop {
        if !*runs.borrow_and_update() {
            let _ = runs.changed().await;
            continue;
        }
        let listener = socket.listen(BACKLOG)?;
        let seen = runs.clone();
        tokio::select! {
            _ = accept(&listener, &seen, converse) => {}
            _ = runs.changed() => {}
        }
        drop(listener);
        socket = bound(address)?;
    }
}

async fn accept<Conversation>(
    listener: &TcpListener,
    runs: &watch::Receiver<bool>,
    converse: &impl Fn(TcpStream) -> Conversation,
) -> io::Result<Infallible>
where
    Conversation: Future<Output = io::Result<()>> + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (mut runs, conversation) = (runs.clone(), converse(stream));
                drop(tokio::task::spawn_local(async move {
                    tokio::select! {
                        _ = conversation => {}
                        _ = runs.changed() => {}
                    }
                }));
            }
            Err(_) => sleep(Duration::from_millis(50)).await, // out of descriptors, for a moment
        }
    }
}
