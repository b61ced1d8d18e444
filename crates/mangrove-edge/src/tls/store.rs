//! The certificates an edge can show, chosen by the name the client asks for.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::UnixTime;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::pair::{CertFiles, Pair};
use super::problem::TlsProblem;

/// Certificates and keys, read, checked and indexed by name. Built whole, never changed.
#[derive(Debug, Default)]
pub struct CertStore {
    pairs: Vec<Arc<Pair>>,
    /// Keyed by the whole name, in lower case.
    exact: HashMap<String, Candidates>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<String, Candidates>,
}

/// Certificates for the same name, cheapest signature first; with RSA beside ECDSA, a client gets
/// the first that it can verify.
type Candidates = Vec<Arc<CertifiedKey>>;

impl CertStore {
    /// Reads everything; any problem at all, a bad staple included, refuses the whole.
    ///
    /// This is the strict reading, for checking a configuration. An edge that starts or reloads
    /// takes what is good with [`CertStore::reload`]. Reads files: not for the request path.
    pub fn load(files: &[CertFiles], now: UnixTime) -> Result<Self, Vec<TlsProblem>> {
        let (store, problems) = Self::reload(&Self::default(), files, now);
        if problems.is_empty() {
            Ok(store)
        } else {
            Err(problems)
        }
    }

    /// Reads everything again. Where a pair is bad now, the old store's pair from the same
    /// certificate file goes on serving; where only the staple is bad, none is sent.
    ///
    /// With an empty old store this is how an edge starts: what is good serves.
    pub fn reload(old: &Self, files: &[CertFiles], now: UnixTime) -> (Self, Vec<TlsProblem>) {
        let earlier: HashMap<&Path, &Arc<Pair>> = old
            .pairs
            .iter()
            .map(|pair| (pair.files.cert.as_path(), pair))
            .collect();
        let mut seen = HashSet::new();
        let mut pairs = Vec::new();
        let mut problems = Vec::new();
        // Sites may share a pair: each is read once.
        for files in files.iter().filter(|files| seen.insert(*files)) {
            let kept = earlier.get(files.cert.as_path()).copied();
            match Pair::read(files, kept.map(Arc::as_ref), now, &mut problems) {
                Ok(pair) => pairs.push(Arc::new(pair)),
                Err(mut problem) => {
                    problem.kept = kept.is_some();
                    problems.push(problem);
                    pairs.extend(kept.cloned());
                }
            }
        }
        (Self::index(pairs), problems)
    }

    /// Whether a client asking for this host gets a certificate that names it.
    pub fn covers(&self, host: &str) -> bool {
        !self.candidates(&host.to_ascii_lowercase()).is_empty()
    }

    /// Whether there is no certificate at all.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// When a certificate or staple in it first runs out: the time to reload by, at the latest.
    pub fn next_expiry(&self) -> Option<UnixTime> {
        let ends = |pair: &Arc<Pair>| [Some(pair.facts.not_after), pair.staple_end];
        self.pairs.iter().flat_map(ends).flatten().min()
    }

    /// The certificate for a server name (already in lower case, as rustls gives it) that the
    /// client's signature schemes can verify. Without a name, or with one we do not know, the
    /// first certificate's candidates serve.
    fn choose(
        &self,
        server_name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<&Arc<CertifiedKey>> {
        let mut candidates = server_name.map_or(&[][..], |name| self.candidates(name));
        if candidates.is_empty() {
            candidates = self.default_candidates();
        }
        let usable =
            |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
        candidates.iter().find(usable).or(candidates.first())
    }

    /// An exact name goes before a wildcard, which stands for one label (RFC 9525 section 6.3).
    fn candidates(&self, name: &str) -> &[Arc<CertifiedKey>] {
        if let Some(exact) = self.exact.get(name) {
            return exact;
        }
        let parent = name
            .split_once('.')
            .and_then(|(_, parent)| self.wildcard.get(parent));
        parent.map_or(&[], Vec::as_slice)
    }

    /// The first pair, with its companions of other key types for the same name.
    fn default_candidates(&self) -> &[Arc<CertifiedKey>] {
        let Some(first) = self.pairs.first() else {
            return &[];
        };
        let Some(name) = first.facts.dns_names.first() else {
            return std::slice::from_ref(&first.certified);
        };
        let found = match name.strip_prefix("*.") {
            Some(parent) => self.wildcard.get(parent),
            None => self.exact.get(name),
        };
        found.map_or(&[], Vec::as_slice)
    }

    fn index(pairs: Vec<Arc<Pair>>) -> Self {
        let mut store = Self {
            pairs,
            ..Self::default()
        };
        for pair in &store.pairs {
            for name in &pair.facts.dns_names {
                let candidates = match name.strip_prefix("*.") {
                    Some(parent) => store.wildcard.entry(parent.to_owned()),
                    None => store.exact.entry(name.clone()),
                };
                candidates.or_default().push(Arc::clone(&pair.certified));
            }
        }
        let all = store.exact.values_mut().chain(store.wildcard.values_mut());
        // The sort is stable: among equals the order of the configuration stands.
        all.for_each(|candidates| candidates.sort_by_key(|certified| signing_cost(certified)));
        store
    }
}

/// Order of preference: an ECDSA P-256 signature costs a twentieth of an RSA 2048 one, and the few
/// clients without ECDSA say so. Ed25519 is as cheap, but no public authority issues it.
fn signing_cost(certified: &CertifiedKey) -> u8 {
    match certified.key.algorithm() {
        SignatureAlgorithm::ECDSA => 0,
        SignatureAlgorithm::ED25519 | SignatureAlgorithm::ED448 => 1,
        _ => 2,
    }
}

/// Hands each handshake its certificate from a store that can be swapped under it.
#[derive(Debug, Default)]
pub struct CertResolver {
    /// Read-locked for one lookup per handshake, write-locked for one pointer swap per reload.
    store: RwLock<Arc<CertStore>>,
}

impl CertResolver {
    /// A resolver over this store.
    pub fn new(store: CertStore) -> Arc<Self> {
        Arc::new(Self {
            store: RwLock::new(Arc::new(store)),
        })
    }

    /// The store that handshakes see now.
    pub fn store(&self) -> Arc<CertStore> {
        Arc::clone(&self.store.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Handshakes from now on see this store; those under way keep the certificate they have.
    pub fn swap(&self, store: CertStore) {
        let mut slot = self.store.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *slot, Arc::new(store));
        drop(slot);
        drop(old); // thousands of keys may be freed here, no longer under the lock
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        store
            .choose(hello.server_name(), hello.signature_schemes())
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};

    use super::super::pair::MAX_CHAIN;
    use super::super::problem::TlsFault;
    use super::super::testing::{
        DAY, Issued, NOW, SERIAL, STAPLE_END, at, issue, issue_by, staple,
    };
    use super::*;

    const ANY: &[SignatureScheme] = &[
        SignatureScheme::RSA_PSS_SHA256,
        SignatureScheme::ECDSA_NISTP256_SHA256,
    ];

    /// Whose certificate a client asking for this name is shown.
    fn shown<'a>(store: &CertStore, name: Option<&str>, of: &[(&'a str, &Issued)]) -> &'a str {
        let chosen = store.choose(name, ANY).unwrap();
        let found = of
            .iter()
            .find(|(_, issued)| chosen.cert[0].as_ref() == issued.der);
        found.map(|(label, _)| *label).unwrap()
    }

    fn faults(problems: &[TlsProblem]) -> Vec<(&str, &str, bool)> {
        problems
            .iter()
            .map(|problem| {
                let file = problem.file.file_name().and_then(|name| name.to_str());
                (file.unwrap(), problem.fault.name(), problem.kept)
            })
            .collect()
    }

    #[test]
    fn the_name_asked_for_chooses_exact_before_wildcard_before_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = issue(&["first.example"]);
        let wild = issue(&["*.news.example", "news.example"]);
        let exact = issue(&["www.news.example"]);
        let all = [("first", &first), ("wild", &wild), ("exact", &exact)];
        let files = all.map(|(label, issued)| issued.write(folder.path(), label));
        let store = CertStore::load(&files, at(NOW)).unwrap();

        assert_eq!(shown(&store, Some("www.news.example"), &all), "exact");
        assert_eq!(shown(&store, Some("img.news.example"), &all), "wild");
        assert_eq!(shown(&store, Some("news.example"), &all), "wild");
        assert_eq!(
            shown(&store, Some("a.b.news.example"), &all),
            "first",
            "one label only"
        );
        assert_eq!(shown(&store, Some("other.example"), &all), "first");
        assert_eq!(shown(&store, None, &all), "first");
        assert!(store.covers("IMG.news.example") && !store.covers("a.b.news.example"));
        assert!(
            CertStore::load(&[], at(NOW))
                .unwrap()
                .choose(None, ANY)
                .is_none()
        );
    }

    #[test]
    fn beside_each_other_ecdsa_goes_first_and_rsa_to_those_who_need_it() {
        let folder = tempfile::tempdir().unwrap();
        let (begin, end) = (NOW - DAY, NOW + DAY);
        let rsa = issue_by(&PKCS_RSA_SHA256, &["news.example"], begin, end);
        let ecdsa = issue_by(&PKCS_ECDSA_P256_SHA256, &["news.example"], begin, end);
        let ed25519 = issue_by(&PKCS_ED25519, &["ed.example"], begin, end);
        let all = [("rsa", &rsa), ("ecdsa", &ecdsa), ("ed25519", &ed25519)];
        let files = all.map(|(label, issued)| issued.write(folder.path(), label));
        let store = CertStore::load(&files, at(NOW)).unwrap();

        assert_eq!(shown(&store, Some("news.example"), &all), "ecdsa");
        assert_eq!(
            shown(&store, None, &all),
            "ecdsa",
            "the default has its companions too"
        );
        let old_client = [SignatureScheme::RSA_PKCS1_SHA256];
        let chosen = store.choose(Some("news.example"), &old_client).unwrap();
        assert_eq!(chosen.cert[0].as_ref(), rsa.der);
        assert_eq!(
            shown(&store, Some("ed.example"), &all),
            "ed25519",
            "rustls says the rest"
        );
    }

    #[test]
    fn every_bad_pair_is_refused_by_name_and_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let good = issue(&["good.example"]);
        let dated = |begin, end| issue_by(&PKCS_ECDSA_P256_SHA256, &["a.example"], begin, end);
        let expired = dated(NOW - 9 * DAY, NOW - 1).write(folder, "expired");
        let early = dated(NOW + 1, NOW + DAY).write(folder, "early");
        let nameless = issue(&[]).write(folder, "nameless");
        let mismatch = good.write(folder, "mismatch");
        std::fs::write(&mismatch.key, issue(&["good.example"]).key).unwrap();
        let keyless = good.write(folder, "keyless");
        std::fs::write(&keyless.key, &good.cert).unwrap();
        let encrypted = good.write(folder, "encrypted");
        std::fs::write(&encrypted.key, good.key.replace("BEGIN", "BEGIN ENCRYPTED")).unwrap();
        let certless = good.write(folder, "certless");
        std::fs::write(&certless.cert, &good.key).unwrap();
        let absent = good.write(folder, "absent");
        std::fs::remove_file(&absent.cert).unwrap();
        let garbled = good.write(folder, "garbled");
        std::fs::write(
            &garbled.cert,
            "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----",
        )
        .unwrap();
        let hollow = good.write(folder, "hollow");
        std::fs::write(
            &hollow.cert,
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----",
        )
        .unwrap();
        let long = good.write(folder, "long");
        std::fs::write(&long.cert, good.cert.repeat(MAX_CHAIN + 1)).unwrap();
        let longest = good.write(folder, "longest");
        std::fs::write(&longest.cert, good.cert.repeat(MAX_CHAIN)).unwrap();

        let files = [
            expired, early, nameless, mismatch, keyless, encrypted, certless, absent, garbled,
            hollow, long, longest,
        ];
        let problems = CertStore::load(&files, at(NOW)).unwrap_err();
        assert_eq!(
            faults(&problems),
            [
                ("expired.crt", "expired", false),
                ("early.crt", "not-yet-valid", false),
                ("nameless.crt", "no-names", false),
                ("mismatch.key", "key-mismatch", false),
                ("keyless.key", "no-private-key", false),
                ("encrypted.key", "encrypted-key", false),
                ("certless.crt", "no-certificate", false),
                ("absent.crt", "missing", false),
                ("garbled.crt", "not-pem", false),
                ("hollow.crt", "bad-certificate", false),
                ("long.crt", "chain-too-long", false),
            ]
        );
    }

    #[test]
    fn a_problem_reads_as_what_is_wrong_and_what_to_do() {
        let mut problem = TlsProblem::new(Path::new("news.crt"), TlsFault::Expired(at(NOW)));
        let text = "news.crt: the certificate expired on 2027-01-15; renew the certificate";
        assert_eq!(problem.to_string(), text);
        problem.kept = true;
        assert_eq!(
            problem.to_string(),
            format!("{text}; the earlier pair goes on serving")
        );
    }

    #[test]
    fn at_reload_a_bad_pair_keeps_the_old_one_and_a_good_one_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (issue(&["a.example"]), issue(&["b.example"]));
        let files = [a.write(folder.path(), "a"), b.write(folder.path(), "b")];
        let old = CertStore::load(&files, at(NOW)).unwrap();

        let (new_a, new_b) = (issue(&["a.example"]), issue(&["b.example"]));
        new_a.write(folder.path(), "a");
        std::fs::write(&files[1].cert, &new_b.cert).unwrap(); // and not its key
        let all = [("a", &a), ("b", &b), ("new a", &new_a), ("new b", &new_b)];
        let (store, problems) = CertStore::reload(&old, &files, at(NOW));
        assert_eq!(faults(&problems), [("b.key", "key-mismatch", true)]);
        assert_eq!(shown(&store, Some("a.example"), &all), "new a");
        assert_eq!(shown(&store, Some("b.example"), &all), "b");

        std::fs::write(&files[1].key, &new_b.key).unwrap();
        let (store, problems) = CertStore::reload(&store, &files[1..], at(NOW));
        assert_eq!(problems, []);
        assert_eq!(shown(&store, Some("b.example"), &all), "new b");
        assert!(!store.covers("a.example"), "what is no longer listed goes");
    }

    #[test]
    fn an_unchanged_pair_takes_over_its_parsed_key_but_not_its_dates() {
        let folder = tempfile::tempdir().unwrap();
        let issued = issue(&["a.example"]);
        let files = [issued.write(folder.path(), "a")];
        let old = CertStore::load(&files, at(NOW)).unwrap();
        let (new, problems) = CertStore::reload(&old, &files, at(NOW));
        assert_eq!(problems, []);
        assert!(Arc::ptr_eq(
            &old.pairs[0].certified.key,
            &new.pairs[0].certified.key
        ));
        let (late, problems) = CertStore::reload(&new, &files, at(issued.not_after + 1));
        assert_eq!(faults(&problems), [("a.crt", "expired", true)]);
        assert!(late.covers("a.example"));
    }

    #[test]
    fn a_bad_staple_costs_the_staple_and_not_the_pair() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = issue(&["a.example"]).write(folder.path(), "a");
        let path = folder.path().join("a.ocsp");
        files.ocsp = Some(path.clone());
        let reload = |content: &[u8], now| {
            std::fs::write(&path, content).unwrap();
            let (store, problems) =
                CertStore::reload(&CertStore::default(), std::slice::from_ref(&files), at(now));
            let sent = store
                .choose(None, ANY)
                .and_then(|certified| certified.ocsp.clone());
            (
                sent,
                problems.first().map(|problem| problem.fault.name()),
                store.next_expiry(),
            )
        };
        let (good, end) = (staple(&SERIAL, true), NOW + 60 * DAY);
        assert_eq!(
            reload(&good, NOW),
            (Some(good.clone()), None, Some(at(end)))
        );
        assert_eq!(
            reload(&staple(&SERIAL, false), NOW).1,
            Some("staple-not-good")
        );
        assert_eq!(reload(&staple(&[9], true), NOW).1, Some("staple-mismatch"));
        assert_eq!(
            reload(b"junk", NOW),
            (None, Some("bad-staple"), Some(at(end)))
        );
        let too_large = vec![0; 16_385];
        assert_eq!(reload(&too_large, NOW).1, Some("too-large"));
        assert_eq!(
            reload(&good, STAPLE_END).1,
            Some("expired"),
            "the pair ends before the staple"
        );
    }
}
