//! The certificate of the first run: made here, kept in the state folder, trusted by nobody until
//! a person says so.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::rand;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::UnixTime;

use super::certificate::{CertificateFacts, dns_name};
use super::pair::{CertFiles, read_facts};
use super::private_file;
use super::problem::{TlsFault, TlsProblem};

const DAY: u64 = 86_400;
/// Longest validity that Safari takes, even for a certificate its owner trusts: 398 days.
pub(crate) const VALID_FOR: u64 = 397 * DAY;
/// Clients whose clocks are behind still take it.
pub(crate) const BACKDATED: u64 = DAY;
/// With less than this left it is made anew.
pub(crate) const RENEWED_BEFORE: u64 = 30 * DAY;
/// Most hosts named in it: every full handshake carries them all.
pub(crate) const MAX_NAMES: usize = 100;
/// Largest key file read; a P-256 key in PEM is 241 bytes.
pub(crate) const MAX_KEY_BYTES: u64 = 4 << 10;

/// Where the self-signed pair is, and whether it is a new one, whose fingerprint nobody knows yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfSigned {
    /// The pair, to be loaded like any other.
    pub files: CertFiles,
    /// Whether the certificate was made by this call.
    pub renewed: bool,
}

/// Finds or makes `STATE/edge/tls/self-signed.{crt,key}`: ECDSA P-256, for localhost, its two
/// addresses, and those of `hosts` that a certificate can name (names, `*.` names and addresses;
/// the first hundred).
///
/// The pair is used again while it is whole, names all of them, and has 30 days left. The key is
/// made once and kept, so that whatever two processes do at the same time, certificate and key
/// belong together. Reads and writes files: not for the request path.
pub fn self_signed(
    state: &Path,
    hosts: &[String],
    now: UnixTime,
) -> Result<SelfSigned, TlsProblem> {
    let folder = super::folder(state);
    let (cert, key) = (
        folder.join("self-signed.crt"),
        folder.join("self-signed.key"),
    );
    let files = CertFiles {
        cert,
        key,
        ocsp: None,
    };
    let wanted = Names::of(hosts);
    if is_still_good(&files, &wanted, now) {
        return Ok(SelfSigned {
            files,
            renewed: false,
        });
    }
    let key = keep_key(&files.key)?;
    let certificate = issue(&key, wanted, now);
    let certificate = certificate.map_err(|fault| TlsProblem::new(&files.cert, fault))?;
    write(&files.cert, &certificate, private_file::replace)?;
    Ok(SelfSigned {
        files,
        renewed: true,
    })
}

/// What the certificate is to name, each once.
struct Names {
    dns: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Names {
    fn of(hosts: &[String]) -> Self {
        let mut dns = BTreeSet::from(["localhost".to_owned()]);
        let mut addresses: BTreeSet<IpAddr> =
            BTreeSet::from([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        for host in hosts.iter().take(MAX_NAMES) {
            match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                Ok(address) => _ = addresses.insert(address),
                Err(_) => dns.extend(dns_name(host.as_bytes())),
            }
        }
        Self { dns, addresses }
    }
}

fn is_still_good(files: &CertFiles, wanted: &Names, now: UnixTime) -> bool {
    let Ok(CertificateFacts {
        dns_names,
        ip_addresses,
        not_after,
        ..
    }) = read_facts(files, now)
    else {
        return false;
    };
    wanted.dns.iter().all(|name| dns_names.contains(name))
        && wanted
            .addresses
            .iter()
            .all(|address| ip_addresses.contains(address))
        && not_after.as_secs() >= now.as_secs().saturating_add(RENEWED_BEFORE)
}

/// The key on disk; a first one is put there without covering another process', and one that
/// cannot be used is replaced.
fn keep_key(path: &Path) -> Result<KeyPair, TlsProblem> {
    if let Some(key) = read_key(path) {
        return Ok(key);
    }
    let not_issued =
        |error: rcgen::Error| TlsProblem::new(path, TlsFault::NotIssued(error.to_string()));
    let made = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(not_issued)?;
    let pem = made.serialize_pem();
    if write(path, &pem, private_file::place)? {
        return Ok(made);
    }
    if let Some(theirs) = read_key(path) {
        return Ok(theirs);
    }
    write(path, &pem, private_file::replace)?;
    Ok(made)
}

fn read_key(path: &Path) -> Option<KeyPair> {
    let pem = String::from_utf8(private_file::read(path, MAX_KEY_BYTES).ok()?).ok()?;
    KeyPair::from_pem_and_sign_algo(&pem, &PKCS_ECDSA_P256_SHA256).ok()
}

fn write<T>(
    path: &Path,
    pem: &str,
    by: impl FnOnce(&Path, &[u8]) -> std::io::Result<T>,
) -> Result<T, TlsProblem> {
    by(path, pem.as_bytes())
        .map_err(|error| TlsProblem::new(path, TlsFault::Unwritable(error.to_string())))
}

fn issue(key: &KeyPair, names: Names, now: UnixTime) -> Result<String, TlsFault> {
    let not_issued = |error: rcgen::Error| TlsFault::NotIssued(error.to_string());
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // The clamp, in the year 9000, keeps a broken clock out of the calendar's last years.
    let now = now.as_secs().min(221_845_392_000);
    let mut params = CertificateParams::default();
    params.not_before = epoch + Duration::from_secs(now.saturating_sub(BACKDATED));
    params.not_after = epoch + Duration::from_secs(now - now.min(BACKDATED) + VALID_FOR);
    // Firefox refuses a second certificate with the issuer and serial number of another, and the
    // key, from which a number would otherwise be derived, stays.
    let mut serial = [0; 16];
    rand::fill(&mut serial).map_err(|_| TlsFault::NotIssued("no randomness".to_owned()))?;
    params.serial_number = Some(serial.to_vec().into());
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Mangrove self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for name in names.dns {
        params
            .subject_alt_names
            .push(SanType::DnsName(name.try_into().map_err(not_issued)?));
    }
    params
        .subject_alt_names
        .extend(names.addresses.into_iter().map(SanType::IpAddress));
    params
        .self_signed(key)
        .map(|certificate| certificate.pem())
        .map_err(not_issued)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::store::CertStore;
    use super::super::testing::at;
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn make(state: &Path, hosts: &[&str], now: u64) -> SelfSigned {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        self_signed(state, &hosts, at(now)).unwrap()
    }

    #[test]
    fn the_first_run_makes_a_private_pair_that_names_this_machine_and_the_hosts() {
        let state = tempfile::tempdir().unwrap();
        let hosts = [
            "News.Example",
            "*.news.example",
            "*",
            "192.0.2.1",
            "[2001:db8::1]",
        ];
        let made = make(state.path(), &hosts, NOW);
        assert!(made.renewed);
        let facts = read_facts(&made.files, at(NOW)).unwrap();
        assert_eq!(
            facts.dns_names,
            ["*.news.example", "localhost", "news.example"]
        );
        let addresses: Vec<String> = facts.ip_addresses.iter().map(IpAddr::to_string).collect();
        assert_eq!(addresses, ["127.0.0.1", "192.0.2.1", "::1", "2001:db8::1"]);
        for file in [&made.files.cert, &made.files.key] {
            assert_eq!(
                std::fs::metadata(file).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        let store = CertStore::load(&[made.files], at(NOW)).unwrap();
        assert!(store.covers("localhost") && store.covers("www.news.example"));
    }

    #[test]
    fn it_is_used_again_until_thirty_days_are_left() {
        let state = tempfile::tempdir().unwrap();
        make(state.path(), &["a.example"], NOW);
        let until = NOW - BACKDATED + VALID_FOR - RENEWED_BEFORE;
        assert!(!make(state.path(), &["a.example"], until).renewed);
        assert!(make(state.path(), &["a.example"], until + 1).renewed);
        assert!(!make(state.path(), &["a.example"], until + 1).renewed);
    }

    #[test]
    fn a_new_host_renews_it_with_the_same_key_and_a_new_serial_number() {
        let state = tempfile::tempdir().unwrap();
        let first = make(state.path(), &["a.example"], NOW);
        let key = std::fs::read(&first.files.key).unwrap();
        let serial = read_facts(&first.files, at(NOW)).unwrap().serial;
        assert!(make(state.path(), &["a.example", "b.example"], NOW).renewed);
        assert!(
            !make(state.path(), &["b.example"], NOW).renewed,
            "fewer hosts are still covered"
        );
        assert_eq!(std::fs::read(&first.files.key).unwrap(), key);
        assert_ne!(read_facts(&first.files, at(NOW)).unwrap().serial, serial);
    }

    #[test]
    fn a_damaged_certificate_or_key_is_made_anew() {
        let state = tempfile::tempdir().unwrap();
        let SelfSigned { files, .. } = make(state.path(), &[], NOW);
        std::fs::write(&files.cert, "").unwrap();
        assert!(make(state.path(), &[], NOW).renewed);
        std::fs::write(&files.key, "-----BEGIN PRIVATE KEY-----").unwrap();
        assert!(make(state.path(), &[], NOW).renewed);
        assert!(!make(state.path(), &[], NOW).renewed);
    }

    #[test]
    fn more_than_a_hundred_hosts_are_cut_and_do_not_renew_it_each_time() {
        let state = tempfile::tempdir().unwrap();
        let hosts: Vec<String> = (0..=MAX_NAMES).map(|n| format!("{n}.example")).collect();
        let made = self_signed(state.path(), &hosts, at(NOW)).unwrap();
        let named = read_facts(&made.files, at(NOW)).unwrap().dns_names;
        assert_eq!(named.len(), MAX_NAMES + 1, "localhost and a hundred");
        assert!(!named.contains(&format!("{MAX_NAMES}.example")));
        assert!(!self_signed(state.path(), &hosts, at(NOW)).unwrap().renewed);
    }
}
