//! Certificates, staples and clocks for the tests of this folder.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, SanType, SignatureAlgorithm};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use super::der;
use super::pair::CertFiles;

/// A day in 2027 on which all issued pairs are valid.
pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const DAY: u64 = 86_400;
/// The serial number of every issued certificate.
pub(super) const SERIAL: [u8; 3] = [1, 2, 3];

pub(super) fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// A clock that stands still at [`NOW`].
#[derive(Debug)]
pub(super) struct Stopped;

impl TimeProvider for Stopped {
    fn current_time(&self) -> Option<UnixTime> {
        Some(at(NOW))
    }
}

/// A certificate with its key.
pub(super) struct Issued {
    pub(super) der: Vec<u8>,
    pub(super) cert: String,
    pub(super) key: String,
    pub(super) not_before: u64,
    pub(super) not_after: u64,
}

impl Issued {
    /// Writes `NAME.crt` and `NAME.key`.
    pub(super) fn write(&self, folder: &Path, name: &str) -> CertFiles {
        let files = CertFiles {
            cert: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
            ocsp: None,
        };
        std::fs::write(&files.cert, &self.cert).unwrap();
        std::fs::write(&files.key, &self.key).unwrap();
        files
    }
}

/// ECDSA, valid for 90 days around [`NOW`].
pub(super) fn issue(names: &[&str]) -> Issued {
    issue_by(
        &PKCS_ECDSA_P256_SHA256,
        names,
        NOW - 30 * DAY,
        NOW + 60 * DAY,
    )
}

pub(super) fn issue_by(
    algorithm: &'static SignatureAlgorithm,
    names: &[&str],
    not_before: u64,
    not_after: u64,
) -> Issued {
    let name = |name: &&str| match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName((*name).try_into().unwrap()),
    };
    let key = KeyPair::generate_for(algorithm).unwrap();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.not_before = epoch + Duration::from_secs(not_before);
    params.not_after = epoch + Duration::from_secs(not_after);
    params.serial_number = Some(SERIAL.to_vec().into());
    params.subject_alt_names = names.iter().map(name).collect();
    let certificate = params.self_signed(&key).unwrap();
    Issued {
        der: certificate.der().to_vec(),
        cert: certificate.pem(),
        key: key.serialize_pem(),
        not_before,
        not_after,
    }
}

/// The `nextUpdate` of every [`staple`]: 2030-01-01.
pub(super) const STAPLE_END: u64 = 1_893_456_000;

/// An OCSP response about this serial number, signed by nobody.
pub(super) fn staple(serial: &[u8], good: bool) -> Vec<u8> {
    let sequence = |parts: &[Vec<u8>]| element(der::SEQUENCE, &parts.concat());
    let time = |text: &str| element(der::GENERALIZED_TIME, text.as_bytes());
    let id = sequence(&[
        sequence(&[]),
        element(der::OCTET_STRING, b"name"),
        element(der::OCTET_STRING, b"key"),
        element(der::INTEGER, serial),
    ]);
    let status = if good {
        element(der::context(0), &[])
    } else {
        element(der::context_constructed(1), &time("20260101000000Z"))
    };
    let next_update = element(der::context_constructed(0), &time("20300101000000Z"));
    let single = sequence(&[id, status, time("20260101000000Z"), next_update]);
    let responder = element(
        der::context_constructed(2),
        &element(der::OCTET_STRING, b"key"),
    );
    let data = sequence(&[responder, time("20260101000000Z"), sequence(&[single])]);
    let basic = sequence(&[data]);
    let kind = element(der::OBJECT_IDENTIFIER, super::staple::BASIC_RESPONSE);
    let bytes = sequence(&[kind, element(der::OCTET_STRING, &basic)]);
    let successful = element(der::ENUMERATED, &[0]);
    sequence(&[successful, element(der::context_constructed(0), &bytes)])
}

fn element(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    let head = if length < 0x80 {
        vec![tag, length]
    } else {
        vec![tag, 0x81, length]
    };
    [&head, value].concat()
}
