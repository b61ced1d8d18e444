//! The client side: how origins are spoken to over TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::pair::read_certificates;
use super::problem::{TlsFault, TlsProblem};

/// Sessions remembered for resumption by one configuration; rustls keeps up to 8 for each server
/// name, so this is for 128 names. Beyond it the oldest name is forgotten.
pub(crate) const MAX_SESSIONS: usize = 1_024;

/// By whom an origin's certificate must be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginTrust<'a> {
    /// The authorities that this machine trusts.
    System,
    /// Those in this PEM file, and no others.
    Bundle(&'a Path),
    /// Anybody. Whoever stands between can read and change everything: only when told so.
    Anybody,
}

/// What is offered to an origin by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginProtocol {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
    /// HTTP/2, or HTTP/1.1 where the origin has no HTTP/2.
    Either,
}

/// How to speak TLS to origins with this trust and protocol. It holds the session cache, so it is
/// to be built once per policy and shared. Reads files: not for the request path.
pub fn client_config(
    trust: OriginTrust<'_>,
    protocol: OriginProtocol,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, TlsProblem> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        OriginTrust::System => by_roots(system_roots(), Path::new("system authorities"))?,
        OriginTrust::Bundle(path) => by_roots(bundle_roots(path)?, path)?,
        OriginTrust::Anybody => Arc::new(TakesAnybody(provider.signature_verification_algorithms)),
    };
    let mut config = ClientConfig::builder_with_details(provider, clock)
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            TlsProblem::new(
                Path::new("origin TLS"),
                TlsFault::Unusable(error.to_string()),
            )
        })?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = match protocol {
        OriginProtocol::Http1 => vec![b"http/1.1".to_vec()],
        OriginProtocol::Http2 => vec![b"h2".to_vec()],
        OriginProtocol::Either => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    config.resumption = Resumption::in_memory_sessions(MAX_SESSIONS);
    Ok(Arc::new(config))
}

fn by_roots(roots: RootCertStore, from: &Path) -> Result<Arc<WebPkiServerVerifier>, TlsProblem> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    // An empty set is refused by the builder: it would trust nobody, and look like every origin's fault.
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|_| TlsProblem::new(from, TlsFault::NoAuthorities))
}

/// Unreadable entries among many are passed over, as every other program on the machine does.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// In a bundle that the operator gave, every entry must be good.
fn bundle_roots(path: &Path) -> Result<RootCertStore, TlsProblem> {
    let in_bundle = |fault| TlsProblem::new(path, fault);
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path).map_err(in_bundle)? {
        roots
            .add(certificate)
            .map_err(|_| in_bundle(TlsFault::BadAuthority))?;
    }
    Ok(roots)
}

/// Takes any certificate. The handshake's signature is still checked, so that at least whoever
/// holds that certificate's key is there.
#[derive(Debug)]
struct TakesAnybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for TakesAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_authority_at_all_is_an_error_and_never_means_all() {
        let problem =
            by_roots(RootCertStore::empty(), Path::new("system authorities")).unwrap_err();
        assert_eq!(problem.fault, TlsFault::NoAuthorities);
    }
}
