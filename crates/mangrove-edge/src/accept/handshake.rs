//! The TLS handshake of a new connection: the client's greeting, its turn, and what is left of it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mangrove_shield::handshakes::Share;
use mangrove_shield::ja4::Fingerprint;
use rustls::server::Acceptor;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::Presence;
use crate::core::{Connection, Core, TlsFacts};
use crate::module::{Module, guard};
use crate::pipeline::receive;
use crate::reason::{EdgeReason, Reason};
use crate::tcp::Tcp;

/// A handshake that went through.
pub(super) struct Shaken {
    pub(super) stream: TlsStream<Tcp>,
    pub(super) facts: TlsFacts,
}

/// One that did not, and what is known of the client all the same.
pub(super) struct Failed {
    reason: EdgeReason,
    facts: Option<TlsFacts>,
}

impl From<EdgeReason> for Failed {
    fn from(reason: EdgeReason) -> Self {
        Self {
            reason,
            facts: None,
        }
    }
}

/// Shakes hands within `deadline`, waiting for a turn included. Only a greeting that has come whole stands in line.
pub(super) async fn shake(
    core: &Core,
    stream: Tcp,
    config: Arc<ServerConfig>,
    client: SocketAddr,
    presence: &Presence,
    deadline: Duration,
) -> Result<Shaken, Failed> {
    let timer = core.wheel.timer();
    timer.arm_in(deadline);
    let greeting = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let mut greeting = match timer.bound(greeting).await {
        Some(Ok(greeting)) => greeting,
        Some(Err(_)) => return Err(EdgeReason::TlsHandshakeFailed.into()),
        None => return Err(EdgeReason::TlsHandshakeTimeout.into()),
    };
    if !presence.is_exempt() {
        // Who speaks for many is nobody's flood, and waits for his turn like everybody.
        let share = match presence.speaks_for_many() {
            true => Share::Within,
            false => {
                let now = core.clock.now().0.saturating_mul(1_000_000);
                core.ceiling.handshakes.charge(client.ip(), now)
            }
        };
        let waits = || core.metrics.tls_waited.add(1);
        let turn = timer.bound(core.handshakes.turn(share, waits)).await;
        if !matches!(turn, Some(Ok(()))) {
            let name = greeting.client_hello().server_name().map(Into::into);
            return Err(Failed {
                reason: EdgeReason::TooManyHandshakes,
                facts: Some(TlsFacts {
                    version: None,
                    server_name: name,
                    resumed: false,
                    fingerprint: named(core, &greeting.io.overheard()),
                }),
            });
        }
    }
    let mut stream = match timer.bound(greeting.into_stream(config)).await {
        Some(Ok(stream)) => stream,
        Some(Err(_)) => return Err(EdgeReason::TlsHandshakeFailed.into()),
        None => return Err(EdgeReason::TlsHandshakeTimeout.into()),
    };
    let (tcp, session) = stream.get_mut();
    let fingerprint = named(core, &tcp.overheard());
    let facts = TlsFacts {
        version: Some(match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        }),
        server_name: session.server_name().map(Into::into),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        fingerprint,
    };
    core.metrics.tls_handshakes.add(1);
    core.metrics.tls_resumed.add(u64::from(facts.resumed));
    Ok(Shaken { stream, facts })
}

/// Counts one that failed. Those that we refused have a line in the log as well, as far as lines are written of them.
pub(super) fn refuse(core: &Rc<Core>, client: SocketAddr, local: SocketAddr, failed: Failed) {
    let Failed { reason, facts } = failed;
    if facts.is_none() || !core.handshakes.tells(core.wheel.now()) {
        return core.metrics.reason(Reason::Edge(reason));
    }
    let connection = Rc::new(Connection::new(client, local, facts));
    let head = core.take_request_head();
    let mut story = receive(core, &connection, head, core.clock.nanos())
        .refused(reason.into())
        .story;
    story.blame(reason.into());
    story.status = reason.status();
    story.finish();
}

/// Who a client is by the way it greeted.
fn named(core: &Core, heard: &[u8]) -> Option<Fingerprint> {
    // Fail mode open: without a name it is served like any other.
    let read = guard(&core.metrics, Module::Fingerprint, || {
        Fingerprint::of(heard)
    });
    let fingerprint = read.ok().and_then(Result::ok);
    core.metrics
        .tls_unnamed
        .add(u64::from(fingerprint.is_none()));
    fingerprint
}
