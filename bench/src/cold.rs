//! What the kernel has of a server's files in its memory: nothing, before a cold turn.
//!
//! Everything is written first, for what has not been written cannot be let go of; then the kernel is advised to let go of every
//! file (`POSIX_FADV_DONTNEED`), and asked page by page what it still has (`fincore`, which asks `mincore`). Advice is only advice:
//! a turn that begins with more than [`RESIDENT_MOST`] is no cold one, and its server is out of the row.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::fs::{Advice, fadvise};
use rustix::process::Pid;

use crate::clock;
use crate::cpu;

/// Of a store's bytes, so much may still be in the kernel's memory when a cold turn begins: one in so many.
pub(crate) const RESIDENT_MOST: u64 = 100;
/// How often the kernel is advised before it is given up: what is being read or written just then stays.
const TRIES: usize = 5;
/// Files that are asked about at once: a command line has an end.
const ASKED_AT_ONCE: usize = 512;

/// Sees to it that the kernel has next to nothing of a store in memory; an error if it keeps more.
pub(crate) fn chill(store: &Path) -> Result<()> {
    let files = files_below(store)?;
    ensure!(!files.is_empty(), "nothing lies in {}", store.display());
    let mut left = (0, 0);
    for attempt in 0..TRIES {
        if attempt > 0 {
            clock::rest();
        }
        for file in &files {
            let file = match File::open(file) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).context("opening what a server keeps"),
            };
            file.sync_data()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
        left = resident(&files)?;
        if left.0 <= left.1 / RESIDENT_MOST {
            return Ok(());
        }
    }
    let (resident, all) = left;
    anyhow::bail!("void: {resident} of {all} bytes of its store are still in the kernel's memory")
}

/// Bytes that the kernel has in memory of these files, and all of their bytes.
fn resident(files: &[PathBuf]) -> Result<(u64, u64)> {
    let (mut resident, mut all) = (0, 0);
    for files in files.chunks(ASKED_AT_ONCE) {
        let told = Command::new("fincore")
            .args([
                "--bytes",
                "--noheadings",
                "--raw",
                "--output",
                "RES,SIZE",
                "--",
            ])
            .args(files)
            .output()
            .context("fincore is missing: apt install util-linux")?;
        // It fails where a file has been removed meanwhile, and tells of the others.
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        for line in told.lines() {
            let (its, size) = both(line).with_context(|| format!("fincore says `{line}`"))?;
            resident += its;
            all += size;
        }
    }
    Ok((resident, all))
}

/// `RES SIZE`, as fincore prints them.
fn both(line: &str) -> Option<(u64, u64)> {
    let (resident, size) = line.trim().split_once(' ')?;
    Some((resident.parse().ok()?, size.trim().parse().ok()?))
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("looking into {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    Ok(files)
}

/// Bytes that these processes and all their descendants have had read from a disk until now; what the kernel had in memory, or
/// read ahead for others, is not among them (`proc_pid_io(5)`).
pub(crate) fn read_from_disk(roots: &[Pid]) -> Result<u64> {
    let mut total = 0;
    for pid in cpu::tree(roots)? {
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/io")) else {
            continue;
        };
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("read_bytes:"));
        total += line
            .and_then(|line| line.trim().parse::<u64>().ok())
            .context("reading /proc/PID/io")?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_fincore_prints_is_understood_and_nothing_else() {
        assert_eq!(both("4096 1048576"), Some((4096, 1_048_576)));
        assert_eq!(both("0  0"), Some((0, 0)));
        assert_eq!(both("4096"), None);
        assert_eq!(both("RES SIZE"), None);
    }

    #[test]
    fn a_file_that_was_just_written_is_in_the_kernels_memory_until_it_is_chilled() {
        // Not in /tmp, which may be memory itself.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("work/cold-test");
        fs::create_dir_all(folder.join("below")).unwrap();
        let path = folder.join("below/file");
        File::create(&path)
            .unwrap()
            .write_all(&vec![7; 1 << 20])
            .unwrap();
        let files = files_below(&folder).unwrap();
        assert_eq!(files, [path]);
        assert_eq!(resident(&files).unwrap(), (1 << 20, 1 << 20));
        chill(&folder).unwrap();
        assert!(resident(&files).unwrap().0 <= (1 << 20) / RESIDENT_MOST);
        fs::remove_dir_all(folder).unwrap();
    }
}
