//! The server side: how visitors are spoken to over TLS.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use rustls::{Error, ServerConfig, SupportedProtocolVersion, version};

use super::store::CertResolver;
use super::tickets::TicketKeys;

/// Tickets sent after a full TLS 1.3 handshake. Browsers use each once (RFC 8446 appendix C.4) and
/// may open two connections before either has brought a new one; a third would be paid for by
/// every visitor and used by few.
pub(crate) const TLS13_TICKETS: usize = 2;

/// The oldest TLS version that visitors may use. RFC 8996 forbids those before 1.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MinVersion {
    /// TLS 1.2, with forward secrecy and authenticated ciphers only.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// How to speak TLS to visitors: X25519MLKEM768 before X25519 and P-256, h2 before HTTP/1.1,
/// ciphers in the client's order (it knows whether it has AES in hardware), no 0-RTT, since early
/// data can be replayed.
///
/// Sessions live in the tickets: the server remembers none, whatever the number of visitors.
pub fn server_config(
    certificates: Arc<CertResolver>,
    tickets: Arc<TicketKeys>,
    min_version: MinVersion,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ServerConfig>, Error> {
    let versions: &[&SupportedProtocolVersion] = match min_version {
        MinVersion::Tls12 => &[&version::TLS13, &version::TLS12],
        MinVersion::Tls13 => &[&version::TLS13],
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_details(provider, clock)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = tickets;
    config.send_tls13_tickets = TLS13_TICKETS;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
