//! One key for every server, and clients that accept one way of using it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::CertificateDer;
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore,
};

/// The name in the certificate, and the `Host` of every request.
pub(crate) const HOST: &str = "bench.example";

/// Tickets a client keeps. OpenSSL and rustls send two after a full handshake.
const TICKETS: usize = 4;

/// The ECDSA P-256 key and its certificate, in the forms that servers want.
pub(crate) struct Identity {
    /// PEM certificate.
    pub(crate) certificate: PathBuf,
    /// PEM private key.
    pub(crate) key: PathBuf,
    /// Both in one PEM file.
    pub(crate) bundle: PathBuf,
    der: CertificateDer<'static>,
}

impl Identity {
    /// Makes a new key and writes it into `folder`.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).context("making a key")?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let identity = Self {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
            bundle: folder.join("bundle.pem"),
            der: made.cert.der().clone(),
        };
        fs::write(&identity.certificate, &certificate)?;
        fs::write(&identity.key, &key)?;
        fs::write(&identity.bundle, certificate + &key)?;
        Ok(identity)
    }
}

/// The only key agreement a client offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    /// X25519 (RFC 7748).
    X25519,
    /// The hybrid with ML-KEM-768 (draft-ietf-tls-ecdhe-mlkem).
    X25519MlKem768,
}

impl Group {
    fn name(self) -> NamedGroup {
        match self {
            Self::X25519 => NamedGroup::X25519,
            Self::X25519MlKem768 => NamedGroup::X25519MLKEM768,
        }
    }
}

/// A client of TLS 1.3 with AES-128-GCM, one group and one protocol; its session cache is its own.
pub(crate) fn client(
    identity: &Identity,
    group: Group,
    alpn: &[u8],
    resume: bool,
) -> Result<Arc<ClientConfig>> {
    let provider = rustls::crypto::CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![match group {
            Group::X25519 => kx_group::X25519,
            Group::X25519MlKem768 => kx_group::X25519MLKEM768,
        }],
        ..aws_lc_rs::default_provider()
    };
    let mut roots = RootCertStore::empty();
    roots.add(identity.der.clone())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = if resume {
        Resumption::in_memory_sessions(TICKETS)
    } else {
        Resumption::disabled()
    };
    Ok(Arc::new(config))
}

/// An error unless the handshake was the one to be measured.
pub(crate) fn check(
    connection: &ClientConnection,
    group: Group,
    alpn: &[u8],
    resumed: bool,
) -> Result<()> {
    let suite = connection
        .negotiated_cipher_suite()
        .map(|suite| suite.suite());
    ensure!(
        suite == Some(CipherSuite::TLS13_AES_128_GCM_SHA256),
        "negotiated {suite:?}"
    );
    let agreed = connection
        .negotiated_key_exchange_group()
        .map(|group| group.name());
    ensure!(agreed == Some(group.name()), "negotiated {agreed:?}");
    ensure!(
        connection.alpn_protocol() == Some(alpn),
        "negotiated protocol {:?}",
        connection.alpn_protocol()
    );
    let wanted = if resumed {
        HandshakeKind::Resumed
    } else {
        HandshakeKind::Full
    };
    let kind = connection.handshake_kind();
    ensure!(
        kind == Some(wanted),
        "handshake was {kind:?}, not {wanted:?}"
    );
    Ok(())
}
