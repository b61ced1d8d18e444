//! The load generator: a fixed number of requests over a fixed number of connections, each answer checked in full.
//!
//! Each connection has one request in flight. Nothing is sampled or timed here: the caller reads the server's account
//! before and after. Every run has a deadline.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::asks::{Question, Questions};
use crate::tls::{self, Group, HOST, Identity};

mod h1;
mod h2c;

/// Connections held during a keep-alive row.
pub(crate) const CONNECTIONS: usize = 64;
/// Connections being opened at once, when thousands are.
const OPENING: usize = 32;
/// The longest that any one run of requests may take.
const DEADLINE: Duration = Duration::from_secs(120);
/// Loopback addresses that clients come from, in turn: 127.0.0.2 and on. One alone would run out of ports.
const SOURCES: u16 = 16;

/// What goes over the wire between generator and server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wire {
    /// HTTP/1.1 in cleartext.
    H1,
    /// HTTP/1.1 over TLS.
    H1Tls(Group),
    /// HTTP/2 in cleartext with prior knowledge (RFC 9113 section 3.3).
    H2,
    /// HTTP/2 over TLS.
    H2Tls(Group),
}

impl Wire {
    fn alpn(self) -> &'static [u8] {
        match self {
            Self::H1 | Self::H1Tls(_) => b"http/1.1",
            Self::H2 | Self::H2Tls(_) => b"h2",
        }
    }

    fn group(self) -> Option<Group> {
        match self {
            Self::H1 | Self::H2 => None,
            Self::H1Tls(group) | Self::H2Tls(group) => Some(group),
        }
    }

    /// Whether the wire is encrypted.
    pub(crate) fn is_tls(self) -> bool {
        self.group().is_some()
    }

    fn is_h2(self) -> bool {
        matches!(self, Self::H2 | Self::H2Tls(_))
    }
}

/// Whom to ask, over what, and for what.
pub(crate) struct Target<'a> {
    /// The server.
    pub(crate) address: SocketAddr,
    /// How to talk to it.
    pub(crate) wire: Wire,
    /// Whose certificate it has to show.
    pub(crate) identity: &'a Identity,
    /// What is asked for.
    pub(crate) questions: Questions,
}

/// The size of an answer as it came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Size {
    /// Status line and fields with the empty line; zero on HTTP/2, where it depends on what came before.
    pub(crate) head: usize,
    /// Content.
    pub(crate) body: usize,
}

/// A thread's worth of generator.
pub(crate) struct Generator {
    runtime: tokio::runtime::Runtime,
}

impl Generator {
    /// A generator on the calling thread.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        })
    }

    /// Asks once, on a connection of its own.
    pub(crate) fn probe(&self, target: &Target<'_>, limit: Duration) -> Result<Size> {
        let question = target.questions.clone().next();
        self.ask(target, question, limit)
    }

    /// Asks once for the first object, as somebody who does not have it.
    pub(crate) fn probe_anew(&self, target: &Target<'_>, limit: Duration) -> Result<Size> {
        let question = target.questions.all().next();
        self.ask(
            target,
            question.context("there is nothing to ask for")?,
            limit,
        )
    }

    fn ask(&self, target: &Target<'_>, question: Question, limit: Duration) -> Result<Size> {
        let caller = Caller::new(target, false)?;
        self.bounded(limit, async move {
            caller.connect(false).await?.exchange(&question).await
        })
    }

    /// Asks for every object there is, one after the other, so that a cache has them all.
    pub(crate) fn ask_for_all(&self, target: &Target<'_>) -> Result<()> {
        let caller = Caller::new(target, false)?;
        self.bounded(DEADLINE, async move {
            let mut connection = caller.connect(false).await?;
            for question in caller.questions.all() {
                connection.exchange(&question).await?;
            }
            Ok(())
        })
    }

    /// Opens connections and completes one request on each.
    pub(crate) fn open(&self, target: &Target<'_>, count: usize) -> Result<Fleet> {
        let caller = Caller::new(target, false)?;
        let questions = caller.questions.clone();
        let connections = self.bounded(DEADLINE, async move {
            let left = Arc::new(AtomicUsize::new(count));
            let mut tasks = JoinSet::new();
            for _ in 0..OPENING.min(count) {
                let (caller, left) = (caller.clone(), Arc::clone(&left));
                tasks.spawn(async move {
                    let mut mine = Vec::new();
                    while take(&left) {
                        let mut connection = caller.connect(false).await?;
                        connection
                            .exchange(&caller.questions.clone().next())
                            .await?;
                        mine.push(connection);
                    }
                    anyhow::Ok(mine)
                });
            }
            let mut all = Vec::with_capacity(count);
            while let Some(done) = tasks.join_next().await {
                all.append(&mut done??);
            }
            anyhow::Ok(all)
        })?;
        Ok(Fleet {
            connections,
            questions,
        })
    }

    /// Completes `requests` requests over the fleet's connections, in waves: one is sent on each connection, then all
    /// answers are read. A server so has work in front of it until a wave is over, whoever is faster, and sleeps and
    /// wakes equally seldom in every run: left to chance, that alone moved a fast server's CPU by half.
    pub(crate) fn run(&self, fleet: &mut Fleet, requests: usize) -> Result<()> {
        let Fleet {
            connections,
            questions,
        } = fleet;
        self.bounded(DEADLINE, async move {
            let mut left = requests;
            while left > 0 {
                let wave = left.min(connections.len());
                ensure!(wave > 0, "no connection is open");
                let asked: Vec<_> = (0..wave).map(|_| questions.next()).collect();
                for (connection, question) in connections.iter_mut().zip(&asked) {
                    connection.send(question).await?;
                }
                for (connection, question) in connections.iter_mut().zip(&asked) {
                    connection.receive(question).await?;
                }
                left -= wave;
            }
            Ok(())
        })
    }

    /// How many of the fleet's connections the server has ended.
    pub(crate) fn ended(&self, fleet: &mut Fleet) -> usize {
        let _inside = self.runtime.enter();
        // One turn of the loop, so that what the kernel knows is known here.
        self.runtime
            .block_on(tokio::time::sleep(Duration::from_millis(20)));
        fleet
            .connections
            .iter_mut()
            .filter_map(|connection| connection.is_ended().then_some(()))
            .count()
    }

    /// Makes ready for runs of short connections.
    pub(crate) fn callers(&self, target: &Target<'_>, resume: bool) -> Result<Callers> {
        let callers = (0..OPENING)
            .map(|_| Caller::new(target, resume))
            .collect::<Result<Vec<_>>>()?;
        let mut callers = Callers {
            callers,
            resume: false,
        };
        // The first call of each gets the tickets for the second.
        self.call(&mut callers, OPENING)?;
        callers.resume = resume;
        Ok(callers)
    }

    /// Completes `requests` requests, each on a new connection that the client then ends.
    pub(crate) fn call(&self, callers: &mut Callers, requests: usize) -> Result<()> {
        let resume = callers.resume;
        let share = requests.div_ceil(callers.callers.len().max(1));
        let own = callers.callers.clone();
        self.bounded(DEADLINE, async move {
            let left = Arc::new(AtomicUsize::new(requests));
            let mut tasks = JoinSet::new();
            for caller in own {
                let left = Arc::clone(&left);
                tasks.spawn(async move {
                    for _ in 0..share {
                        if !take(&left) {
                            break;
                        }
                        let mut connection = caller.connect(resume).await?;
                        connection
                            .exchange(&caller.questions.clone().next())
                            .await?;
                        connection.close().await;
                    }
                    anyhow::Ok(())
                });
            }
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            anyhow::Ok(())
        })
    }

    fn bounded<T>(&self, limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async {
            match tokio::time::timeout(limit, work).await {
                Ok(result) => result,
                Err(_) => bail!("no answer within {} s", limit.as_secs()),
            }
        })
    }
}

/// Open connections to one server.
pub(crate) struct Fleet {
    connections: Vec<Connection>,
    questions: Questions,
}

/// Clients that connect anew for each request, each with a session cache of its own.
pub(crate) struct Callers {
    callers: Vec<Caller>,
    resume: bool,
}

fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(1)
    })
    .is_ok()
}

#[derive(Clone)]
struct Caller {
    address: SocketAddr,
    wire: Wire,
    tls: Option<Arc<ClientConfig>>,
    questions: Questions,
}

impl Caller {
    fn new(target: &Target<'_>, resume: bool) -> Result<Self> {
        let tls = match target.wire.group() {
            Some(group) => Some(tls::client(
                target.identity,
                group,
                target.wire.alpn(),
                resume,
            )?),
            None => None,
        };
        Ok(Self {
            address: target.address,
            wire: target.wire,
            tls,
            questions: target.questions.clone(),
        })
    }

    async fn connect(&self, resumed: bool) -> Result<Connection> {
        let tcp = self.connect_tcp().await?;
        let (Some(config), Some(group)) = (&self.tls, self.wire.group()) else {
            return Ok(match self.wire.is_h2() {
                true => Connection::H2(h2c::Client::start(tcp, "http").await?),
                false => Connection::Plain(h1::Client::new(tcp)),
            });
        };
        let name = ServerName::try_from(HOST).map_err(|_| anyhow!("{HOST} is no server name"))?;
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, tcp)
            .await
            .context("TLS handshake")?;
        tls::check(stream.get_ref().1, group, self.wire.alpn(), resumed)?;
        Ok(match self.wire.is_h2() {
            true => Connection::H2(h2c::Client::start(stream, "https").await?),
            false => Connection::Tls(Box::new(h1::Client::new(stream))),
        })
    }

    async fn connect_tcp(&self) -> Result<TcpStream> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let socket = TcpSocket::new_v4()?;
        let [_, last] = (2 + NEXT.fetch_add(1, Ordering::Relaxed) % SOURCES).to_be_bytes();
        socket
            .bind((Ipv4Addr::new(127, 0, 0, last), 0).into())
            .context("binding a client's address")?;
        let stream = socket.connect(self.address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

enum Connection {
    Plain(h1::Client<TcpStream>),
    Tls(Box<h1::Client<TlsStream<TcpStream>>>),
    H2(h2c::Client),
}

impl Connection {
    async fn exchange(&mut self, question: &Question) -> Result<Size> {
        self.send(question).await?;
        self.receive(question).await
    }

    async fn send(&mut self, question: &Question) -> Result<()> {
        match self {
            Self::Plain(client) => client.send(question).await,
            Self::Tls(client) => client.send(question).await,
            Self::H2(client) => client.send(question).await,
        }
    }

    async fn receive(&mut self, question: &Question) -> Result<Size> {
        let size = match self {
            Self::Plain(client) => client.receive(question).await?,
            Self::Tls(client) => client.receive(question).await?,
            Self::H2(client) => client.receive(question).await?,
        };
        ensure!(
            question.in_its_words || size.body == question.body,
            "a body of {} bytes, not {}",
            size.body,
            question.body
        );
        Ok(size)
    }

    fn is_ended(&mut self) -> bool {
        match self {
            Self::Plain(client) => is_ended(client.stream()),
            Self::Tls(client) => is_ended(client.stream().get_ref().0),
            Self::H2(client) => client.is_ended(),
        }
    }

    async fn close(self) {
        match self {
            Self::Plain(client) => client.close().await,
            Self::Tls(client) => client.close().await,
            Self::H2(client) => drop(client),
        }
    }
}

fn is_ended(stream: &TcpStream) -> bool {
    // Session tickets may still lie unread: only an end of file or an error means the end.
    let mut byte = [0];
    match rustix::net::recv(stream, &mut byte, rustix::net::RecvFlags::PEEK) {
        Ok((count, _)) => count == 0,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => false,
        Err(_) => true,
    }
}

/// An error unless all of a body's bytes are the expected ones.
fn check_content(piece: &[u8], question: &Question) -> Result<()> {
    ensure!(
        question.in_its_words || piece.iter().all(|byte| *byte == question.fill),
        "the body of {} was changed on its way",
        question.path
    );
    Ok(())
}
