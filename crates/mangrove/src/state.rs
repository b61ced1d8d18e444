//! The state folder: what survives a restart, and who may touch it.
//!
//! ```text
//! STATE/lock                     held by the one live supervisor; its pid is the content
//! STATE/supervisor.sock          where `reload` and `upgrade` ask
//! STATE/settled.json             the configuration in force, and .previous before it
//! STATE/started.json             what the last `serve` was told to serve
//! STATE/admin.token              the operator's secret; the edge knows only its SHA-256
//! STATE/certificates/            copies of certificates for an edge that is not root
//! STATE/edge/                    the edge's own: its copy of settled.json, sockets, ticket keys, orders by hand
//! STATE/log/                     access logs
//! ```
//!
//! Everything but `edge/` and `log/` belongs to the supervisor's user. An edge that was broken into can write its own
//! folder only, so nothing is ever read back from there.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, Gid, Uid, flock};
use sha2::{Digest as _, Sha256};

use crate::privileges::{Account, are_root};

/// Linux takes socket paths of at most 107 bytes (`sun_path`).
const SOCKET_PATH_BYTES: usize = 107;
/// A file of ours that is larger was not written by us.
const FILE_BYTES: u64 = 256 << 20;

/// An open state folder.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    folder: File,
}

/// The proof that no other supervisor uses this state folder.
#[derive(Debug)]
pub(crate) struct Lock(pub(crate) OwnedFd);

impl StateDir {
    /// Opens `path`, making what is missing.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        // An edge with a user of its own must be able to pass through, not to look around.
        let mode = if are_root() { 0o711 } else { 0o700 };
        make(path, mode)
            .with_context(|| format!("the state folder {} cannot be made", path.display()))?;
        let state = Self::existing(path)?;
        for name in ["edge", "log", "store"] {
            let folder = state.path.join(name);
            make(&folder, 0o700).with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        Ok(state)
    }

    /// Makes a folder of ours that the edge can pass through.
    pub(crate) fn folder(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        make(&path, 0o711).with_context(|| format!("{} cannot be made", path.display()))
    }

    /// Opens `path` only if it is there.
    pub(crate) fn existing(path: &Path) -> Result<Self> {
        let problem = || format!("the state folder {} cannot be opened", path.display());
        let path = path.canonicalize().with_context(problem)?;
        let folder = File::open(&path).with_context(problem)?;
        Ok(Self { path, folder })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path to the socket `name` that is short enough for the kernel.
    pub(crate) fn socket(&self, name: &str) -> PathBuf {
        let plain = self.path.join(name);
        if plain.as_os_str().len() <= SOCKET_PATH_BYTES {
            return plain;
        }
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.folder.as_raw_fd()))
    }

    /// Takes the lock, or tells the pid of who has it.
    pub(crate) fn lock(&self) -> Result<Result<Lock, String>> {
        let path = self.path.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("{} cannot be opened", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let _ = (&file).take(32).read_to_string(&mut pid);
                return Ok(Err(pid.trim().to_owned()));
            }
            Err(error) => bail!("{} cannot be locked: {error}", path.display()),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Ok(Lock(file.into())))
    }

    /// The content of one of our own files; `None` if there is none.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = Vec::new();
        file.take(FILE_BYTES).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// Replaces a file as a whole: after a power cut there is the old one or the new one.
    pub(crate) fn write(&self, name: &str, content: &[u8], owner: Option<&Account>) -> Result<()> {
        let target = self.path.join(name);
        replace(&target, content, owner)
            .with_context(|| format!("{} cannot be written", target.display()))
    }

    /// Makes sure that there is an operator's token, and that the edge knows its hash.
    pub(crate) fn admin_token(&self, owner: Option<&Account>) -> Result<()> {
        let token = match self.read("admin.token")? {
            Some(token) if token.trim_ascii().len() >= 32 => token,
            _ => {
                let mut random = [0; 32];
                File::open("/dev/urandom")?.read_exact(&mut random)?;
                let token = hex(&random) + "\n";
                self.write("admin.token", token.as_bytes(), None)?;
                token.into_bytes()
            }
        };
        let hash = hex(&Sha256::digest(token.trim_ascii())) + "\n";
        self.write("edge/admin.token.sha256", hash.as_bytes(), owner)
    }
}

/// Gives `path` to the edge's user, if it has one of its own.
pub(crate) fn give(path: &Path, owner: Option<&Account>) -> io::Result<()> {
    let Some(owner) = owner else { return Ok(()) };
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    Ok(rustix::fs::chown(path, Some(uid), Some(gid))?)
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn replace(target: &Path, content: &[u8], owner: Option<&Account>) -> io::Result<()> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    let mut temporary = target.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // `create_new` never follows a link that the folder's owner may have put there.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    if let Some(owner) = owner {
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        rustix::fs::fchown(&file, Some(uid), Some(gid))?;
    }
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, target)?;
    File::open(folder)?.sync_all()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_one_supervisor_holds_a_state_folder() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let first = state.lock().unwrap().unwrap();
        let holder = state.lock().unwrap().unwrap_err();
        assert_eq!(holder, std::process::id().to_string());
        drop(first);
        state.lock().unwrap().unwrap();
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        assert_eq!(state.read("settled.json").unwrap(), None);
        state.write("settled.json", b"first", None).unwrap();
        // What a power cut may have left behind is no obstacle.
        fs::write(state.path().join("settled.json.new"), "half").unwrap();
        state.write("settled.json", b"second", None).unwrap();
        assert_eq!(state.read("settled.json").unwrap().unwrap(), b"second");
        assert_eq!(mode(&state.path().join("settled.json")), 0o600);
        assert!(!state.path().join("settled.json.new").exists());
    }

    #[test]
    fn the_token_is_made_once_and_the_edge_gets_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        state.admin_token(None).unwrap();
        let token = state.read("admin.token").unwrap().unwrap();
        state.admin_token(None).unwrap();
        assert_eq!(state.read("admin.token").unwrap().unwrap(), token);
        assert_eq!(token.trim_ascii().len(), 64);
        let hash = state.read("edge/admin.token.sha256").unwrap().unwrap();
        assert_eq!(
            hash.trim_ascii(),
            hex(&Sha256::digest(token.trim_ascii())).as_bytes()
        );
        assert_eq!(mode(&state.path().join("admin.token")), 0o600);
    }

    #[test]
    fn a_deep_folder_still_has_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(150));
        let state = StateDir::open(&deep).unwrap();
        let path = state.socket("supervisor.sock");
        std::os::unix::net::UnixListener::bind(path).unwrap();
        assert!(deep.join("supervisor.sock").exists());
    }
}
