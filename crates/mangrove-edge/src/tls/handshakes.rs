//! Whole handshakes in memory: our server's configuration against our client's, and against
//! clients that can do less.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, DigitallySignedStruct, Error, HandshakeKind,
    NamedGroup, ProtocolVersion, ServerConfig, ServerConnection, SideData, SignatureScheme,
    SupportedProtocolVersion, version,
};

use super::testing::{Issued, NOW, SERIAL, Stopped, at, issue, staple};
use super::*;

type Peers = (ClientConnection, ServerConnection);

/// A state folder with one certificate for `news.example`, and a server on it.
struct Edge {
    state: tempfile::TempDir,
    files: CertFiles,
    issued: Issued,
    resolver: Arc<CertResolver>,
}

impl Edge {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let issued = issue(&["news.example"]);
        let files = issued.write(state.path(), "news");
        let store = CertStore::load(std::slice::from_ref(&files), at(NOW)).unwrap();
        Self {
            state,
            files,
            issued,
            resolver: CertResolver::new(store),
        }
    }

    /// As a process started now would have it.
    fn server(&self, min_version: MinVersion) -> Arc<ServerConfig> {
        let (tickets, problem) = TicketKeys::open(self.state.path(), at(NOW));
        assert_eq!(problem, None);
        server_config(
            Arc::clone(&self.resolver),
            tickets,
            min_version,
            Arc::new(Stopped),
        )
        .unwrap()
    }

    /// A client that trusts this edge's certificate.
    fn client(&self, protocol: OriginProtocol) -> Arc<ClientConfig> {
        client(OriginTrust::Bundle(&self.files.cert), protocol)
    }

    fn old_client(&self) -> Arc<ClientConfig> {
        client_with(&[&version::TLS12], Arc::new(Recorder::default()))
    }
}

fn client(trust: OriginTrust<'_>, protocol: OriginProtocol) -> Arc<ClientConfig> {
    client_config(trust, protocol, Arc::new(Stopped)).unwrap()
}

fn client_with(
    versions: &[&'static SupportedProtocolVersion],
    verifier: Arc<Recorder>,
) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_details(provider, Arc::new(Stopped))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Arc::new(config)
}

/// Shakes hands, then lets the server's tickets reach the client.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &'static str,
) -> Result<Peers, Error> {
    let name = ServerName::try_from(name).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    for _ in 0..8 {
        let heard = carry(&mut client, &mut server);
        let answered = carry(&mut server, &mut client);
        heard.and(answered)?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn carry<A: SideData, B: SideData>(
    from: &mut ConnectionCommon<A>,
    to: &mut ConnectionCommon<B>,
) -> Result<(), Error> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut unread = wire.as_slice();
    while !unread.is_empty() {
        to.read_tls(&mut unread).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn by_default_the_key_exchange_is_post_quantum_and_the_protocol_h2() {
    let edge = Edge::new();
    let server = edge.server(MinVersion::Tls12);
    let (client, server) = handshake(
        &edge.client(OriginProtocol::Either),
        &server,
        "news.example",
    )
    .unwrap();
    let group = client.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(
        client.peer_certificates().unwrap()[0].as_ref(),
        edge.issued.der
    );
}

#[test]
fn a_client_of_http1_only_gets_http1() {
    let edge = Edge::new();
    let server = edge.server(MinVersion::Tls12);
    let (_, server) =
        handshake(&edge.client(OriginProtocol::Http1), &server, "news.example").unwrap();
    assert_eq!(server.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn tls_1_2_is_spoken_unless_the_minimum_is_1_3() {
    let edge = Edge::new();
    let old = edge.old_client();
    let (client, _) = handshake(&old, &edge.server(MinVersion::Tls12), "news.example").unwrap();
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let refused = handshake(&old, &edge.server(MinVersion::Tls13), "news.example");
    assert!(
        matches!(refused, Err(Error::PeerIncompatible(_))),
        "{refused:?}"
    );
}

#[test]
fn sessions_of_both_versions_resume_in_another_process() {
    let edge = Edge::new();
    for client in [edge.client(OriginProtocol::Either), edge.old_client()] {
        let (first, _) =
            handshake(&client, &edge.server(MinVersion::Tls12), "news.example").unwrap();
        assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
        let another_process = edge.server(MinVersion::Tls12);
        let (second, _) = handshake(&client, &another_process, "news.example").unwrap();
        assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
    }
}

#[test]
fn a_full_handshake_brings_two_tickets_and_no_early_data() {
    let edge = Edge::new();
    let client = edge.client(OriginProtocol::Either);
    let (mut first, _) =
        handshake(&client, &edge.server(MinVersion::Tls12), "news.example").unwrap();
    assert_eq!(first.tls13_tickets_received(), 2);
    assert!(first.early_data().is_none());
}

#[test]
fn without_the_key_file_sessions_start_anew() {
    let edge = Edge::new();
    let client = edge.client(OriginProtocol::Either);
    handshake(&client, &edge.server(MinVersion::Tls12), "news.example").unwrap();
    std::fs::remove_file(edge.state.path().join("edge/tls/ticket-keys")).unwrap();
    let (second, _) = handshake(&client, &edge.server(MinVersion::Tls12), "news.example").unwrap();
    assert_eq!(second.handshake_kind(), Some(HandshakeKind::Full));
}

#[test]
fn a_swapped_store_is_seen_by_the_next_handshake_of_the_same_server() {
    let edge = Edge::new();
    let server = edge.server(MinVersion::Tls12);
    let client = client(OriginTrust::Anybody, OriginProtocol::Either);
    let renewed = issue(&["news.example"]);
    let files = [renewed.write(edge.state.path(), "news")];
    let (store, problems) = CertStore::reload(&edge.resolver.store(), &files, at(NOW));
    assert_eq!(problems, []);
    edge.resolver.swap(store);
    let (client, _) = handshake(&client, &server, "news.example").unwrap();
    assert_eq!(client.peer_certificates().unwrap()[0].as_ref(), renewed.der);
}

#[test]
fn the_staple_is_delivered() {
    let edge = Edge::new();
    let response = staple(&SERIAL, true);
    let ocsp = edge.state.path().join("news.ocsp");
    std::fs::write(&ocsp, &response).unwrap();
    let files = [CertFiles {
        ocsp: Some(ocsp),
        ..edge.files.clone()
    }];
    edge.resolver
        .swap(CertStore::load(&files, at(NOW)).unwrap());
    for versions in [&version::TLS12, &version::TLS13] {
        let recorder = Arc::new(Recorder::default());
        let client = client_with(&[versions], Arc::clone(&recorder));
        handshake(&client, &edge.server(MinVersion::Tls12), "news.example").unwrap();
        assert_eq!(*recorder.staple.lock().unwrap(), response);
    }
}

#[test]
fn without_any_certificate_the_handshake_fails_and_nothing_else() {
    let edge = Edge::new();
    edge.resolver.swap(CertStore::default());
    let client = client(OriginTrust::Anybody, OriginProtocol::Either);
    assert!(handshake(&client, &edge.server(MinVersion::Tls12), "news.example").is_err());
}

#[test]
fn an_origin_must_be_trusted_and_named_unless_anybody_will_do() {
    let edge = Edge::new();
    let server = edge.server(MinVersion::Tls12);
    let stranger = issue(&["news.example"]).write(edge.state.path(), "stranger");
    let untrusting = client(OriginTrust::Bundle(&stranger.cert), OriginProtocol::Either);
    let refused = handshake(&untrusting, &server, "news.example");
    assert!(
        matches!(refused, Err(Error::InvalidCertificate(_))),
        "{refused:?}"
    );
    let misnamed = handshake(
        &edge.client(OriginProtocol::Either),
        &server,
        "shop.example",
    );
    assert!(
        matches!(misnamed, Err(Error::InvalidCertificate(_))),
        "{misnamed:?}"
    );
    let anybody = client(OriginTrust::Anybody, OriginProtocol::Either);
    handshake(&anybody, &server, "192.0.2.1").unwrap();
}

#[test]
fn a_bundle_without_authorities_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let fault = |path: &Path| {
        client_config(
            OriginTrust::Bundle(path),
            OriginProtocol::Either,
            Arc::new(Stopped),
        )
        .map(|_| ())
        .map_err(|problem| (problem.file, problem.fault.name()))
    };
    let path = folder.path().join("ca.pem");
    assert_eq!(fault(&path), Err((path.clone(), "missing")));
    std::fs::write(&path, "").unwrap();
    assert_eq!(fault(&path), Err((path.clone(), "no-certificate")));
    let hollow = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    std::fs::write(&path, issue(&["ca.example"]).cert + hollow).unwrap();
    assert_eq!(fault(&path), Err((path.clone(), "bad-authority")));
}

/// Takes any certificate and remembers the staple that came with it.
#[derive(Debug, Default)]
struct Recorder {
    staple: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.staple.lock().unwrap() = ocsp_response.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
