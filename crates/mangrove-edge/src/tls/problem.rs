//! What can be wrong with certificates, keys and their files: each with a name, the file, and what
//! a person should do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::UnixTime;

use super::der::Date;

/// One thing wrong with one file, in words for the person who can put it right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {fault}; {}{}", file.display(), fault.remedy(), Kept(*.kept))]
pub struct TlsProblem {
    /// The file to look at.
    pub file: PathBuf,
    /// What is wrong with it.
    pub fault: TlsFault,
    /// Whether an earlier good pair goes on serving in its place.
    pub kept: bool,
}

impl TlsProblem {
    pub(super) fn new(file: &Path, fault: TlsFault) -> Self {
        Self {
            file: file.to_owned(),
            fault,
            kept: false,
        }
    }
}

/// Why a file was not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// There is no such file.
    #[error("the file is missing")]
    Missing,
    /// The system would not let us read it, or it is no regular file.
    #[error("the file cannot be read ({0})")]
    Unreadable(String),
    /// Over the ceiling for its kind.
    #[error("the file is larger than {limit} bytes")]
    TooLarge {
        /// The ceiling, in bytes.
        limit: u64,
    },
    /// Not PEM as RFC 7468 has it.
    #[error("the file is not PEM ({0})")]
    NotPem(String),
    /// PEM, but no CERTIFICATE section.
    #[error("there is no certificate in the file")]
    NoCertificate,
    /// PEM, but no private key section that we can read.
    #[error("there is no private key in the file")]
    NoPrivateKey,
    /// A passphrase would be needed, and nobody is there to type it.
    #[error("the private key is encrypted")]
    EncryptedKey,
    /// More certificates than a chain may have.
    #[error("the chain has more than {limit} certificates")]
    ChainTooLong {
        /// The ceiling, in certificates.
        limit: usize,
    },
    /// The first certificate is not X.509 as RFC 5280 has it.
    #[error("the first certificate cannot be parsed")]
    BadCertificate,
    /// The key is of a kind or form that we cannot sign with.
    #[error("the private key cannot be used ({0})")]
    BadPrivateKey(String),
    /// The key belongs to another certificate.
    #[error("the private key does not match the certificate {}", certificate.display())]
    KeyMismatch {
        /// The certificate it was paired with.
        certificate: PathBuf,
    },
    /// Its last day is over.
    #[error("the certificate expired on {}", Date(*.0))]
    Expired(UnixTime),
    /// Its first day is still to come.
    #[error("the certificate is not valid before {}", Date(*.0))]
    NotYetValid(UnixTime),
    /// No subject alternative name; RFC 9525 section 2 forbids falling back to the common name.
    #[error("the certificate names no host")]
    NoNames,
    /// Not a successful OCSP response (RFC 6960 section 4.2.1).
    #[error("the OCSP staple cannot be parsed as a successful response")]
    BadStaple,
    /// An OCSP response about something else.
    #[error("the OCSP staple is for another certificate")]
    StapleMismatch,
    /// The responder does not say "good".
    #[error("the OCSP staple does not say that the certificate is good")]
    StapleNotGood,
    /// Its `nextUpdate` is over.
    #[error("the OCSP staple expired on {}", Date(*.0))]
    StapleExpired(UnixTime),
    /// Session ticket keys that are truncated, altered, or of a version that we do not know.
    #[error("the session ticket keys are damaged")]
    TicketKeysDamaged,
    /// The state folder refused a write.
    #[error("the file cannot be written ({0})")]
    Unwritable(String),
    /// Making a key or certificate failed.
    #[error("no certificate could be made ({0})")]
    NotIssued(String),
    /// No certificate authority to verify origins by.
    #[error("no certificate authority was found")]
    NoAuthorities,
    /// A certificate in a bundle of authorities cannot serve as one.
    #[error("a certificate in the bundle is no usable authority")]
    BadAuthority,
    /// The TLS library refused what it was given.
    #[error("TLS cannot be set up ({0})")]
    Unusable(String),
}

impl TlsFault {
    /// The name used in logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable(_) => "unreadable",
            Self::TooLarge { .. } => "too-large",
            Self::NotPem(_) => "not-pem",
            Self::NoCertificate => "no-certificate",
            Self::NoPrivateKey => "no-private-key",
            Self::EncryptedKey => "encrypted-key",
            Self::ChainTooLong { .. } => "chain-too-long",
            Self::BadCertificate => "bad-certificate",
            Self::BadPrivateKey(_) => "bad-private-key",
            Self::KeyMismatch { .. } => "key-mismatch",
            Self::Expired(_) => "expired",
            Self::NotYetValid(_) => "not-yet-valid",
            Self::NoNames => "no-names",
            Self::BadStaple => "bad-staple",
            Self::StapleMismatch => "staple-mismatch",
            Self::StapleNotGood => "staple-not-good",
            Self::StapleExpired(_) => "staple-expired",
            Self::TicketKeysDamaged => "ticket-keys-damaged",
            Self::Unwritable(_) => "unwritable",
            Self::NotIssued(_) => "not-issued",
            Self::NoAuthorities => "no-authorities",
            Self::BadAuthority => "bad-authority",
            Self::Unusable(_) => "unusable",
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Missing => "check the path",
            Self::Unreadable(_) => "give the edge's user the right to read it",
            Self::TooLarge { .. } | Self::NotPem(_) => "check that it is the file you meant",
            Self::NoCertificate => "put the certificate first, then its intermediates, as PEM",
            Self::NoPrivateKey => "put a PKCS#8, SEC1 or PKCS#1 key here, as PEM",
            Self::EncryptedKey => "decrypt it, for example with `openssl pkey`",
            Self::ChainTooLong { .. } => "keep the certificate and its intermediates only",
            Self::BadCertificate => "fetch the certificate again from its issuer",
            Self::BadPrivateKey(_) => "use an ECDSA, Ed25519 or RSA (2048 bits or more) key",
            Self::KeyMismatch { .. } => "use the key that the certificate was requested with",
            Self::Expired(_) => "renew the certificate",
            Self::NotYetValid(_) => "check this machine's clock, or wait",
            Self::NoNames => "have it issued with subject alternative names",
            Self::BadStaple | Self::StapleMismatch | Self::StapleExpired(_) => {
                "fetch the staple again (DER); until then none is sent"
            }
            Self::StapleNotGood => "ask the issuer why; until then no staple is sent",
            Self::TicketKeysDamaged => "nothing: the keys at hand are written in their place",
            Self::Unwritable(_) => "give the edge's user the right to write there, and room",
            Self::NotIssued(_) => "give a certificate of your own",
            Self::NoAuthorities => "install ca-certificates, or name a bundle for this origin",
            Self::BadAuthority => "put only certificates of authorities in the bundle",
            Self::Unusable(_) => "report this: it is a fault of this build",
        }
    }
}

/// Ends a problem's sentence with what goes on serving meanwhile.
struct Kept(bool);

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 {
            "; the earlier pair goes on serving"
        } else {
            ""
        })
    }
}
