//! Certificates for an edge that is not root.
//!
//! Keys are often readable by root alone, and the edge must not be root. So the supervisor copies each pair into
//! `STATE/certificates/`, readable by the edge's user, and copies it again when it changes. The folder itself is the
//! supervisor's: an edge that was broken into cannot make root write anywhere else.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use mangrove_config::Certificate;

use crate::privileges::Account;
use crate::state::StateDir;

/// The copies that an edge reads.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    owner: Option<Account>,
    files: Vec<Copied>,
}

#[derive(Debug)]
struct Copied {
    original: PathBuf,
    /// In the state folder.
    name: String,
    mark: Mark,
}

/// What tells one state of a file from another.
type Mark = (Option<SystemTime>, u64);

impl Copies {
    /// Copies all of `certificates` for `owner`, and makes them name the copies.
    pub(crate) fn make(
        state: &StateDir,
        certificates: &mut [Certificate],
        owner: &Account,
    ) -> Result<Self> {
        let mut copies = Self {
            owner: Some(owner.clone()),
            files: Vec::new(),
        };
        state.folder("certificates")?;
        for (index, certificate) in certificates.iter_mut().enumerate() {
            let mut paths = vec![
                (&mut certificate.cert, "crt"),
                (&mut certificate.key, "key"),
            ];
            paths.extend(certificate.ocsp.as_mut().map(|path| (path, "ocsp")));
            for (path, kind) in paths {
                let copied = Copied {
                    original: PathBuf::from(&*path),
                    name: format!("certificates/{index}.{kind}"),
                    mark: mark(Path::new(&*path))?,
                };
                copies.copy(state, &copied)?;
                *path = state.path().join(&copied.name).display().to_string();
                copies.files.push(copied);
            }
        }
        Ok(copies)
    }

    /// Whether there is nothing to keep up to date.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Copies what has changed since; tells whether anything had.
    pub(crate) fn renew(&mut self, state: &StateDir) -> Result<bool> {
        let mut renewed = false;
        for index in 0..self.files.len() {
            let Some(copied) = self.files.get(index) else {
                break;
            };
            let mark = mark(&copied.original)?;
            if mark == copied.mark {
                continue;
            }
            self.copy(state, copied)?;
            renewed = true;
            if let Some(copied) = self.files.get_mut(index) {
                copied.mark = mark;
            }
        }
        Ok(renewed)
    }

    fn copy(&self, state: &StateDir, copied: &Copied) -> Result<()> {
        let content = fs::read(&copied.original)
            .with_context(|| format!("{} cannot be read", copied.original.display()))?;
        state.write(&copied.name, &content, self.owner.as_ref())
    }
}

fn mark(path: &Path) -> Result<Mark> {
    let file = fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok((file.modified().ok(), file.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_pair_is_copied_again_and_an_unchanged_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("state")).unwrap();
        let (cert, key) = (folder.path().join("a.crt"), folder.path().join("a.key"));
        fs::write(&cert, "certificate").unwrap();
        fs::write(&key, "key").unwrap();
        let mut certificates = [Certificate {
            cert: cert.display().to_string(),
            key: key.display().to_string(),
            ocsp: None,
        }];
        let ourselves = Account {
            name: "ourselves".into(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        };
        let mut copies = Copies::make(&state, &mut certificates, &ourselves).unwrap();
        let copy = certificates[0].key.clone();
        assert_ne!(copy, key.display().to_string());
        assert_eq!(fs::read_to_string(&copy).unwrap(), "key");

        assert!(!copies.renew(&state).unwrap());
        fs::write(&key, "another key").unwrap();
        assert!(copies.renew(&state).unwrap());
        assert_eq!(fs::read_to_string(&copy).unwrap(), "another key");
        assert!(!copies.renew(&state).unwrap());

        fs::remove_file(&key).unwrap();
        assert!(copies.renew(&state).is_err());
        assert_eq!(fs::read_to_string(&copy).unwrap(), "another key");
    }
}
