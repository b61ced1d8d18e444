//! Opening connections to origins.

use std::io;
use std::rc::Rc;

use mangrove_config::OriginProtocol;
use mangrove_http::OriginFault;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::pool::Address;
use super::upstreams::Lease;
use crate::io::Stream;

/// An idle HTTP/1 connection.
#[derive(Debug)]
pub struct KeptConnection {
    /// Its stream; nothing was read ahead.
    pub stream: Stream,
}

impl KeptConnection {
    /// Fit for another request: open, and nothing arrived that nobody asked for.
    pub fn is_open_and_silent(&self) -> bool {
        self.stream.is_open_and_silent()
    }
}

/// A fresh connection, and what is spoken on it.
#[derive(Debug)]
pub struct Opened {
    /// The stream.
    pub stream: Stream,
    /// HTTP/2 was agreed on, or is what the settings say.
    pub http2: bool,
}

/// Connects to the leased member within the site's deadline. `http1_only` for exchanges that want
/// to upgrade the connection itself.
pub async fn open(lease: &Lease, http1_only: bool) -> Result<Opened, OriginFault> {
    let deadline = lease.core().wheel.timer();
    deadline.arm_in(lease.upstreams().policy.connect_timeout);
    lease.core().metrics.origin_connects.add(1);
    match deadline.bound(connect(lease, http1_only)).await {
        Some(outcome) => outcome,
        None => Err(OriginFault::ConnectTimeout),
    }
}

async fn connect(lease: &Lease, http1_only: bool) -> Result<Opened, OriginFault> {
    let upstreams = Rc::clone(lease.upstreams());
    let protocol = upstreams.policy.protocol;
    let prior_knowledge = protocol == OriginProtocol::H2 && !http1_only;
    let tcp = match &lease.target.address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path.as_ref())
                .await
                .map_err(|e| fault_of(&e))?;
            return Ok(Opened {
                stream: stream.into(),
                http2: prior_knowledge,
            });
        }
        Address::Ip(address) => TcpStream::connect(address)
            .await
            .map_err(|e| fault_of(&e))?,
    };
    // Heads and chunks are written whole; Nagle's algorithm would only hold back the last piece.
    let _ = tcp.set_nodelay(true);
    let Some((config, name)) = upstreams.tls_for(lease.target.origin)? else {
        return Ok(Opened {
            stream: tcp.into(),
            http2: prior_knowledge,
        });
    };
    let connector = TlsConnector::from(config);
    let connecting = if http1_only {
        connector
            .with_alpn(vec![b"http/1.1".to_vec()])
            .connect(name, tcp)
    } else {
        connector.connect(name, tcp)
    };
    let tls = connecting.await.map_err(|e| tls_fault_of(&e))?;
    let http2 = match tls.get_ref().1.alpn_protocol() {
        Some(b"h2") => true,
        // No ALPN from an origin that is said to speak HTTP/2: RFC 9113 section 3.2 wants it, the
        // settings know better.
        None => prior_knowledge,
        Some(_) => false,
    };
    Ok(Opened {
        stream: tls.into(),
        http2,
    })
}

fn fault_of(error: &io::Error) -> OriginFault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => OriginFault::ConnectRefused,
        io::ErrorKind::TimedOut => OriginFault::ConnectTimeout,
        _ => OriginFault::ConnectFailed,
    }
}

fn tls_fault_of(error: &io::Error) -> OriginFault {
    let cause = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            OriginFault::TlsCertificate
        }
        Some(_) => OriginFault::TlsHandshake,
        None => OriginFault::Reset,
    }
}
