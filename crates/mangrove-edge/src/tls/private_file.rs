//! Reading small files that may be anything, and writing our own so that a crash leaves the old
//! content or the new, never half of one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use rustix::fs::OFlags;

use super::problem::TlsFault;

/// Reads a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, TlsFault> {
    // NONBLOCK: a named pipe in the place of a file must not hang the edge.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| unreadable(&error))?;
    let about = file.metadata().map_err(|error| unreadable(&error))?;
    if !about.is_file() {
        return Err(TlsFault::Unreadable("not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    let mut bounded = file.take(limit.saturating_add(1));
    bounded
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
        Ok(bytes)
    } else {
        Err(TlsFault::TooLarge { limit })
    }
}

/// Puts `bytes` at `path`, readable by the owner only, over whatever was there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = Draft::write(path, bytes)?;
    std::fs::rename(&draft.path, path)?;
    sync_folder(path)
}

/// Puts `bytes` at `path` unless something is there already; answers whether it did.
pub(super) fn place(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let draft = Draft::write(path, bytes)?;
    match std::fs::hard_link(&draft.path, path) {
        Ok(()) => sync_folder(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// A whole, synced file under a name of its own beside its destination; gone when dropped.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(destination: &Path, bytes: &[u8]) -> io::Result<Self> {
        let folder = folder_of(destination);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let mut unique = [0; 8];
        rand::fill(&mut unique).map_err(|_| io::Error::other("no randomness"))?;
        let name = format!(".draft-{:016x}", u64::from_ne_bytes(unique));
        let draft = Self {
            path: folder.join(name),
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft.path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename it is already gone; there is nobody to tell of any other failure.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Makes the new name itself survive a power cut.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn unreadable(error: &io::Error) -> TlsFault {
    match error.kind() {
        io::ErrorKind::NotFound => TlsFault::Missing,
        _ => TlsFault::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_replaced_file_is_whole_private_and_alone_in_its_folder() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("tls/key");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"new");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let folder = path.parent().unwrap();
        assert_eq!(
            std::fs::metadata(folder).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(
            std::fs::read_dir(folder).unwrap().count(),
            1,
            "no draft is left behind"
        );
    }

    #[test]
    fn a_placed_file_never_covers_another() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("key");
        assert!(place(&path, b"first").unwrap());
        assert!(!place(&path, b"second").unwrap());
        assert_eq!(read(&path, 99).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_missing_too_large_or_no_file_is_told_apart() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("file");
        assert_eq!(read(&path, 4), Err(TlsFault::Missing));
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(read(&path, 4), Err(TlsFault::TooLarge { limit: 4 }));
        assert!(matches!(
            read(state.path(), 4),
            Err(TlsFault::Unreadable(_))
        ));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            state.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(matches!(
            read(&state.path().join("pipe"), 4),
            Err(TlsFault::Unreadable(_))
        ));
    }
}
