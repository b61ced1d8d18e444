//! What the store asks of a file system, as a trait: the real one here, a failing one in the tests.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::num::NonZero;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Advice, FallocateFlags, FlockOperation, OFlags, fadvise};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use crate::pipes::{Pipe, nowhere};

/// One folder, and the files directly in it.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes a new, empty file; an error if there is one of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that is there, to read.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Removes a name. What has the file open reads on.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Puts a file in another's place.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes creations, removals and renames until now survive a power loss.
    fn sync_names(&self) -> io::Result<()>;
    /// Locks a file for this process alone; [`io::ErrorKind::WouldBlock`] if another has it. Unlocked when dropped.
    fn lock(&self, name: &str) -> io::Result<Box<dyn fmt::Debug + Send + Sync>>;
    /// Bytes that may still be written.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Reads some bytes; 0 at the end.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes some of the bytes.
    fn write_at(&self, at: u64, from: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Makes what was written until now survive a power loss.
    fn sync(&self) -> io::Result<()>;
    /// Takes room for so many bytes from the start, without making the file longer.
    fn reserve(&self, bytes: u64) -> io::Result<()>;
    /// Bytes in it.
    fn length(&self) -> io::Result<u64>;
    /// The file itself, to send from; a simulated one has none.
    fn as_file(&self) -> Option<&File>;
    /// Lets the kernel forget what it has of it in its memory and need not write, so that it is read from the disk again.
    fn forget(&self) {}
    /// Waits until the kernel has bytes of it in its memory: exactly these, or, where they are a part of something longer, as many
    /// beyond them as it sees fit.
    fn bring(&self, at: u64, length: u64, reach: Reach) -> io::Result<()> {
        let _ = reach; // there is one way to read a simulated one
        read_for_nothing(self, at, length)
    }
    /// Whether it can be read past the kernel's memory.
    fn pours(&self) -> bool {
        false
    }
    /// Waits for bytes of it that the kernel does not keep in its memory, and puts them into an empty pipe: as many as that holds, and
    /// nothing before them. None where that cannot be done with this file.
    fn pour(&self, at: u64, length: u64, pipe: &Pipe) -> io::Result<Option<InPipe>> {
        let _ = (at, length, pipe);
        Ok(None)
    }
}

/// What was put into a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InPipe {
    /// So many of the bytes that were wanted.
    pub content: usize,
    /// So many that come after them, and that nobody wants.
    pub after: usize,
}

/// How much is brought into the kernel's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What is asked for and no more.
    Exact,
    /// What follows as well, as far as the kernel reads ahead. It takes larger pages for it, which is less work.
    Ahead,
}

/// So much is read in one call; what is longer in steps, so that the kernel reads ahead.
const ONE_CALL_BYTES: usize = 256 << 10;
/// Such a step: few enough pages for the kernel to see what is read as one stream.
const STEP_BYTES: usize = 64 << 10;
/// What lies on a disk is read past the kernel's memory in whole blocks of so many bytes. Where it has larger ones, the kernel refuses.
const BLOCK_BYTES: u64 = 4 << 10;

/// Reads as many bytes as there is room for, or fails.
pub(crate) fn read_whole<F: DiskFile + ?Sized>(
    file: &F,
    at: u64,
    into: &mut [u8],
) -> io::Result<()> {
    let step = match into.len() <= ONE_CALL_BYTES {
        true => ONE_CALL_BYTES,
        false => STEP_BYTES,
    };
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let most = rest.len().min(step);
        let rest = rest.get_mut(..most).unwrap_or_default();
        match file.read_at(at + done as u64, rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads bytes that nobody wants, so that the kernel has them.
fn read_for_nothing<F: DiskFile + ?Sized>(file: &F, at: u64, length: u64) -> io::Result<()> {
    let mut bytes = vec![0; STEP_BYTES];
    let mut done = 0;
    while done < length {
        let left = usize::try_from(length - done).unwrap_or(usize::MAX);
        let most = left.min(bytes.len());
        read_whole(file, at + done, bytes.get_mut(..most).unwrap_or_default())?;
        done += most as u64;
    }
    Ok(())
}

/// Writes all the bytes, or fails.
pub(crate) fn write_whole(file: &dyn DiskFile, at: u64, from: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = from.iter().map(|bytes| IoSlice::new(bytes)).collect();
    let mut rest = &mut slices[..];
    let mut done = 0;
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        // No kernel takes more than IOV_MAX slices at once.
        let now = rest.get(..rest.len().min(SLICES)).unwrap_or_default();
        match file.write_at(at + done, now) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                done += count as u64;
                IoSlice::advance_slices(&mut rest, count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

const SLICES: usize = 1_024;

/// A folder of the real file system.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    itself: File,
}

impl Folder {
    /// Makes the folder if there is none.
    pub fn open(path: &Path) -> io::Result<Folder> {
        std::fs::create_dir_all(path)?;
        let itself = File::open(path)?;
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            // So that a new folder survives a power loss; where that is not possible the store starts empty.
            let _ = File::open(parent).and_then(|parent| parent.sync_all());
        }
        Ok(Folder {
            path: path.to_owned(),
            itself,
        })
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours; its place in the count is kept.
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path.join(name))?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        // Neither a link nor a pipe that somebody left there is followed or waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = File::options()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(self.path.join(name))?;
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Arc::new(RealFile::new(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.itself.sync_all()
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn fmt::Debug + Send + Sync>> {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path.join(name))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let told = rustix::fs::fstatvfs(&self.itself)?;
        Ok(told.f_bavail.saturating_mul(told.f_frsize))
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
    /// The same, to be read past the kernel's memory; none where that cannot be.
    direct: OnceLock<Option<File>>,
}

impl RealFile {
    fn new(file: File) -> RealFile {
        let direct = OnceLock::new();
        RealFile { file, direct }
    }

    /// The file may have lost its name by now, so it is opened by its descriptor.
    fn direct(&self) -> Option<&File> {
        if let Some(known) = self.direct.get() {
            return known.as_ref();
        }
        let itself = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let flags = OFlags::DIRECT.bits().cast_signed();
        let mut options = File::options();
        let opened = match options.read(true).custom_flags(flags).open(itself) {
            Ok(opened) => Some(opened),
            Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                // For now.
                Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => return None,
                _ => None,
            },
        };
        self.direct.get_or_init(|| opened).as_ref()
    }
}

impl DiskFile for RealFile {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(into, at)
    }

    fn write_at(&self, at: u64, from: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.file, from, at)?)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            // Not every file system can. Then a full disk is noticed when it is written to.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            told => Ok(told?),
        }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn as_file(&self) -> Option<&File> {
        Some(&self.file)
    }

    fn forget(&self) {
        let _ = fadvise(&self.file, 0, None, Advice::DontNeed); // advice; what it does not take was never certain
    }

    fn bring(&self, at: u64, length: u64, reach: Reach) -> io::Result<()> {
        // None would mean all that follows.
        if let (Reach::Exact, Some(length)) = (reach, NonZero::new(length)) {
            let _ = fadvise(&self.file, at, Some(length), Advice::WillNeed); // where it is not taken, the walk below reads
        }
        // The kernel gives its pages to a pipe and that to nobody: nothing is copied, nor looked at.
        let nowhere = nowhere();
        let (mut from, end) = (at, at + length);
        while from < end {
            let most = usize::try_from(end - from).unwrap_or(usize::MAX);
            let sent = nowhere
                .map(|nowhere| rustix::fs::sendfile(nowhere, &self.file, Some(&mut from), most));
            match sent {
                Some(Ok(1..) | Err(Errno::INTR)) => {}
                Some(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                // Not every file system can.
                None | Some(Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)) => {
                    return read_for_nothing(self, from, end - from);
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn pours(&self) -> bool {
        self.direct().is_some()
    }

    fn pour(&self, at: u64, length: u64, pipe: &Pipe) -> io::Result<Option<InPipe>> {
        let Some(direct) = self.direct() else {
            return Ok(None);
        };
        let before = at % BLOCK_BYTES;
        let wanted = before.saturating_add(length);
        let (mut from, end) = (
            at - before,
            (at - before).saturating_add(wanted.next_multiple_of(BLOCK_BYTES)),
        );
        while from < end {
            let most = usize::try_from(end - from).unwrap_or(usize::MAX);
            match splice(
                direct,
                Some(&mut from),
                pipe.into(),
                None,
                most,
                SpliceFlags::NONBLOCK,
            ) {
                Ok(1..) | Err(Errno::INTR) => {}
                // It ends there, or the pipe is full.
                Ok(0) | Err(Errno::AGAIN) => break,
                Err(error @ Errno::IO) => return Err(error.into()),
                // Not every file system can, nor is it allowed everywhere, nor is there always memory for it.
                Err(_) => return Ok(None),
            }
        }
        let got = from.saturating_sub(at).min(length);
        if got == 0 && length > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        if pipe.discard(size(before)).is_err() {
            return Ok(None);
        }
        Ok(Some(InPipe {
            content: size(got),
            after: size(from.saturating_sub(at) - got),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipes::PIPE_BYTES;

    #[test]
    fn bytes_that_are_brought_are_there_or_it_fails() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Folder::open(folder.path()).unwrap();
        let file = disk.create("file").unwrap();
        let one = ONE_CALL_BYTES as u64;
        let all = 2 * one + 1;
        let bytes = vec![7; usize::try_from(all).unwrap()];
        write_whole(&*file, 0, &[&bytes]).unwrap();
        let bring = |at, length| {
            let exact = file.bring(at, length, Reach::Exact).is_ok();
            let ahead = file.bring(at, length, Reach::Ahead).is_ok();
            let read = read_for_nothing(&*file, at, length).is_ok();
            assert_eq!((exact, ahead), (read, read), "{at} {length}");
            read
        };
        for (at, length) in [
            (0, 0),
            (0, 1),
            (all - 1, 1),
            (1, one),
            (0, one + 1),
            (0, all),
        ] {
            assert!(bring(at, length));
        }
        for (at, length) in [(all, 1), (0, all + 1), (u64::MAX >> 1, 1)] {
            assert!(!bring(at, length));
        }
        assert_eq!(file.length().unwrap(), all);
    }

    /// It is read in whole blocks, wherever it begins and ends.
    #[test]
    fn what_is_poured_is_exactly_what_lies_there() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Folder::open(folder.path()).unwrap();
        let file = disk.create("file").unwrap();
        let block = usize::try_from(BLOCK_BYTES).unwrap();
        let bytes: Vec<u8> = (0..PIPE_BYTES + 3 * block + 99)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect();
        write_whole(&*file, 0, &[&bytes]).unwrap();
        file.sync().unwrap();
        disk.remove("file").unwrap();
        for (at, length, most) in [
            (0, 1, 1),
            (0, block, block),
            (1, block, block),
            (block - 1, 2, 2),
            (96, 100_000, 100_000),
            (0, PIPE_BYTES, PIPE_BYTES),
            (32, PIPE_BYTES, PIPE_BYTES - 32),
            (block - 1, usize::MAX >> 8, PIPE_BYTES - block + 1),
            (bytes.len() - 9, 9, 9),
            (bytes.len() - 9, 10, 9),
        ] {
            let pipe = Pipe::new().unwrap();
            let poured = file.pour(at as u64, length as u64, &pipe).unwrap();
            let Some(InPipe { content, after }) = poured else {
                return; // this file system has no way past the kernel's memory
            };
            assert_eq!(content, most, "{at} {length}");
            let mut got = vec![0; content + after + 1];
            let count = rustix::io::read(pipe.from(), &mut got).unwrap();
            assert_eq!(count, content + after, "{at} {length}");
            assert!(got[..content] == bytes[at..at + content], "{at} {length}");
            assert!(after < block);
        }
        let pipe = Pipe::new().unwrap();
        assert!(file.pour(bytes.len() as u64, 1, &pipe).is_err());
    }
}
