//! One certificate with its key and staple: read from files, and checked before anyone is shown it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::Error;
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;

use super::certificate::CertificateFacts;
use super::private_file;
use super::problem::{TlsFault, TlsProblem};
use super::staple::check_staple;

/// Largest certificate, key or bundle file that is read. A chain is some 10 KB; what is far larger
/// is the wrong file.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most certificates in one chain, which is sent whole in every full handshake.
pub(crate) const MAX_CHAIN: usize = 16;
/// Largest OCSP response; real ones are 0.5 to 3 KB, and each full handshake carries it.
pub(crate) const MAX_STAPLE_BYTES: u64 = 16 << 10;

/// Where one certificate is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertFiles {
    /// PEM: the certificate, then its intermediates.
    pub cert: PathBuf,
    /// PEM: the private key, unencrypted.
    pub key: PathBuf,
    /// DER: an OCSP response to staple, if any.
    pub ocsp: Option<PathBuf>,
}

/// One certificate with its key, as it was good when read.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) files: CertFiles,
    /// SHA-256 of the certificate's and the key's file.
    digests: [Vec<u8>; 2],
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) facts: CertificateFacts,
    pub(super) staple_end: Option<UnixTime>,
}

impl Pair {
    /// `Err` when it cannot serve; a staple that cannot be sent is only told of. Parsing a key
    /// costs a millisecond for RSA, so an unchanged pair takes over the earlier one's.
    pub(super) fn read(
        files: &CertFiles,
        earlier: Option<&Self>,
        now: UnixTime,
        problems: &mut Vec<TlsProblem>,
    ) -> Result<Self, TlsProblem> {
        let content = Content::read(files)?;
        let digests = content.digests();
        let (certified, facts) = match earlier.filter(|earlier| earlier.digests == digests) {
            Some(same) => (CertifiedKey::clone(&same.certified), same.facts.clone()),
            None => content.parse(files)?,
        };
        facts
            .check_dates(now)
            .map_err(|fault| TlsProblem::new(&files.cert, fault))?;
        let staple = files
            .ocsp
            .as_deref()
            .map(|path| read_staple(path, &facts, now));
        let (ocsp, staple_end) = match staple.transpose() {
            Ok(staple) => staple.unzip(),
            Err(problem) => {
                problems.push(problem);
                (None, None)
            }
        };
        let certified = Arc::new(CertifiedKey { ocsp, ..certified });
        let staple_end = staple_end.flatten();
        Ok(Self {
            files: files.clone(),
            digests,
            certified,
            facts,
            staple_end,
        })
    }
}

/// A pair's files as they were read.
struct Content {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Content {
    fn read(files: &CertFiles) -> Result<Self, TlsProblem> {
        let read = |path: &Path| {
            private_file::read(path, MAX_FILE_BYTES).map_err(|fault| TlsProblem::new(path, fault))
        };
        Ok(Self {
            cert: read(&files.cert)?,
            key: read(&files.key)?,
        })
    }

    fn digests(&self) -> [Vec<u8>; 2] {
        [&self.cert, &self.key].map(|bytes| digest(&SHA256, bytes).as_ref().to_vec())
    }

    fn parse(&self, files: &CertFiles) -> Result<(CertifiedKey, CertificateFacts), TlsProblem> {
        let in_cert = |fault| TlsProblem::new(&files.cert, fault);
        let in_key = |fault| TlsProblem::new(&files.key, fault);
        let chain = parse_certificates(&self.cert).map_err(in_cert)?;
        if chain.len() > MAX_CHAIN {
            return Err(in_cert(TlsFault::ChainTooLong { limit: MAX_CHAIN }));
        }
        let facts = chain.first().and_then(|leaf| CertificateFacts::read(leaf));
        let facts = facts.ok_or(TlsFault::BadCertificate).map_err(in_cert)?;
        if facts.dns_names.is_empty() && facts.ip_addresses.is_empty() {
            return Err(in_cert(TlsFault::NoNames));
        }
        let key = parse_key(&self.key).map_err(in_key)?;
        let certified = CertifiedKey::from_der(chain, key, &provider::default_provider());
        let certified = certified.map_err(|error| match error {
            Error::InconsistentKeys(_) => in_key(TlsFault::KeyMismatch {
                certificate: files.cert.clone(),
            }),
            Error::InvalidCertificate(_) => in_cert(TlsFault::BadCertificate),
            error => in_key(TlsFault::BadPrivateKey(error.to_string())),
        })?;
        Ok((certified, facts))
    }
}

/// Reads a pair with the same eyes as the store, for what its certificate says.
pub(super) fn read_facts(files: &CertFiles, now: UnixTime) -> Result<CertificateFacts, TlsProblem> {
    Pair::read(files, None, now, &mut Vec::new()).map(|pair| pair.facts)
}

/// All certificates of a PEM file.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    parse_certificates(&private_file::read(path, MAX_FILE_BYTES)?)
}

fn parse_certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|error| TlsFault::NotPem(error.to_string()))?;
    if found.is_empty() {
        Err(TlsFault::NoCertificate)
    } else {
        Ok(found)
    }
}

fn parse_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsFault> {
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
        // In a section's name (PKCS#8), or in the old header `Proc-Type: 4,ENCRYPTED`.
        _ if bytes.windows(9).any(|word| word == b"ENCRYPTED") => TlsFault::EncryptedKey,
        pem::Error::NoItemsFound => TlsFault::NoPrivateKey,
        error => TlsFault::NotPem(error.to_string()),
    })
}

fn read_staple(
    path: &Path,
    facts: &CertificateFacts,
    now: UnixTime,
) -> Result<(Vec<u8>, Option<UnixTime>), TlsProblem> {
    let staple = private_file::read(path, MAX_STAPLE_BYTES);
    let checked = staple.and_then(|staple| {
        let end = check_staple(&staple, &facts.serial, now)?;
        Ok((staple, end))
    });
    checked.map_err(|fault| TlsProblem::new(path, fault))
}
