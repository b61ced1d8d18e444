//! Who a client is by the way it greets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use mangrove_shield::ja4::Fingerprint;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use crate::wire::{Head, PATIENCE};
use crate::world::World;

/// A client that remembers what it was given to resume with.
pub(crate) struct Client {
    config: Arc<ClientConfig>,
}

impl Client {
    pub(crate) fn new() -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        Self {
            config: Arc::new(config),
        }
    }

    /// Gets `path` on a connection of its own; the greeting's fingerprint, and the log's line about it.
    fn get(&self, world: &World, path: &str) -> (Fingerprint, serde_json::Value) {
        self.get_with(world, path, || world.origin.accept().answer("fine"))
    }

    /// The same where the origin is not to hear of it.
    fn get_from_nobody(&self, world: &World, path: &str) -> (Fingerprint, serde_json::Value) {
        self.get_with(world, path, || {})
    }

    /// A handshake that has begun, and the bytes that it begins with.
    pub(crate) fn greeting(&self) -> (ClientConnection, Vec<u8>) {
        let name = ServerName::try_from("a.example").unwrap();
        let mut tls = ClientConnection::new(Arc::clone(&self.config), name).unwrap();
        let mut hello = Vec::new();
        tls.write_tls(&mut hello).unwrap();
        (tls, hello)
    }

    fn get_with(
        &self,
        world: &World,
        path: &str,
        meanwhile: impl FnOnce(),
    ) -> (Fingerprint, serde_json::Value) {
        let (tls, hello) = self.greeting();
        let mut socket = TcpStream::connect(world.address_v6()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&hello).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, socket);
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        meanwhile();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = Head::of(&answer[..end + 4]);
        let record = world.record_with_id(head.field("x-request-id").unwrap());
        (Fingerprint::of(&hello).unwrap(), record)
    }
}

#[test]
fn a_client_is_named_in_the_log_by_its_greeting_and_keeps_its_stable_name_when_it_resumes() {
    let world = World::with_tls("");
    let client = Client::new();
    let (fresh, first) = client.get(&world, "/first");
    let (resumed, second) = client.get(&world, "/second");
    for (fingerprint, record) in [(&fresh, &first), (&resumed, &second)] {
        assert_eq!(record["tls.client.ja4"], fingerprint.ja4.as_str());
        assert_eq!(record["tls.client.ja4_stable"], fingerprint.stable.as_str());
    }
    assert_eq!(world.metric("mangrove_tls_handshakes_resumed_total"), 1);
    assert_ne!(fresh.ja4, resumed.ja4);
    assert_eq!(fresh.stable, resumed.stable);
    assert_eq!(world.metric("mangrove_tls_handshakes_unnamed_total"), 0);
}

/// Whatever address it comes from, and whether it resumes or not.
#[test]
fn a_limit_may_count_all_clients_of_one_software_together() {
    let world = World::with_tls(
        "[[site.rate_limit]]\nname = 'software'\nkey = ['ja4']\nrate = 2\nper = '1h'",
    );
    let client = Client::new();
    assert_eq!(client.get(&world, "/").1["http.response.status_code"], 200);
    assert_eq!(client.get(&world, "/").1["http.response.status_code"], 200);
    let (_, record) = client.get_from_nobody(&world, "/");
    assert_eq!(record["reason"], "rate-limited");
    assert!(world.origin.is_untouched());
}

/// Whatever address it comes from; and whoever speaks to the same site in cleartext does not notice.
#[test]
fn an_order_may_keep_out_all_clients_of_one_software() {
    let world = World::with_tls("");
    let client = Client::new();
    let (name, record) = client.get(&world, "/");
    assert_eq!(record["http.response.status_code"], 200);
    let order = format!(
        "/shield/block?site=story&subject=ja4:{}&owner=mina&reason=a%20script&seconds=60",
        name.stable
    );
    let (status, told) = world.operator("POST", &order);
    assert_eq!((status, &told["pending"]), (200, &true.into()));
    assert_eq!(told["would_touch"]["clients"], 1);
    assert_eq!(client.get(&world, "/").1["http.response.status_code"], 200);
    let (status, told) = world.operator("POST", "/shield/approve?id=1&owner=rafi");
    assert_eq!((status, &told["pending"]), (200, &false.into()));
    let (_, record) = client.get_from_nobody(&world, "/");
    assert_eq!(record["reason"], "blocked-by-hand");
    assert_eq!(record["shield.order"], 1);
    let mut other = world.client();
    other.get("/");
    world.origin.accept().answer("fine");
    assert_eq!(other.answer().body, "fine");
    let allow = order.replace("/block?", "/allow?");
    assert_eq!(world.operator("POST", &allow).0, 400);
    assert!(world.origin.is_untouched());
}

#[test]
fn without_tls_there_is_no_name() {
    let world = World::new();
    let mut client = world.client();
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    world.origin.accept().answer("fine");
    let record = world.record_of(&client.answer());
    assert_eq!(record.get("tls.client.ja4"), None);
}

/// The edge's own certificate is nobody's to vouch for.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
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
