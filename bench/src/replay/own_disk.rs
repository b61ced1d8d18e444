//! Mangrove's own disk tier in a replay: the store of an edge, with its slabs, heads and headers, on a disk that holds no content.
//!
//! All content is zeros, and the disk holds no page that is only that; so whatever a trace asks for, what a replay takes of memory is
//! what the store writes beside content.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use mangrove_store::{
    CHUNK_BYTES, Disk, DiskFile, Generation, Handle, Hands, Head, KeyHash, MachineClock, NewObject,
    Settings, Site, Store, Variant,
};

use super::peers::Policy;
use super::trace::{Request, Trace};

/// What an edge writes as an object's head beside its key: a dozen fields.
const STORED: [u8; 400] = [7; 400];
static CONTENT: [u8; CHUNK_BYTES as usize] = [0; CHUNK_BYTES as usize];
/// Of the store's checksums: the same in every run, and no secret here.
const SECRET: u64 = 0x7265_706c;

/// A store of an edge, its work done by hand after each request.
pub(super) struct OwnDisk<'a> {
    store: Store,
    hands: Hands,
    born: Generation,
    trace: &'a Trace,
}

impl<'a> OwnDisk<'a> {
    /// One of so many bytes; none if no store can be so small.
    pub(super) fn new(ceiling: u64, trace: &'a Trace) -> Result<Self> {
        let settings = Settings {
            secret: Some(SECRET),
            keep_free: 0,
            ..Settings::of_bytes(ceiling)
        };
        let (disk, clock) = (Arc::new(BlankDisk::default()), MachineClock::default());
        let (opened, mut hands) = Store::open_on(disk, Arc::new(clock), settings)?;
        while hands.scan() {}
        Ok(Self {
            born: Generation(opened.generation.0 + 1),
            store: opened.store,
            hands,
            trace,
        })
    }

    fn write(&mut self, name: u32, length: u64) -> Result<()> {
        let new = NewObject {
            key: key(name),
            variant: Variant(0),
            site: Site(1),
            born: self.born,
            total: Some(length),
        };
        let head = Head::new(self.trace.key(name), b"\"validator\"", &STORED);
        let head = head.context("a head too large")?;
        let mut writing = self.store.begin(new)?;
        writing.try_head(self.born, Some(length), &head)?;
        let mut left = length;
        for index in 0_u32.. {
            if left == 0 {
                break;
            }
            let now = left.min(CHUNK_BYTES.into());
            let content = CONTENT.get(..usize::try_from(now)?).unwrap_or_default();
            writing.try_chunk(index, Bytes::from_static(content))?;
            left -= now;
            while self.hands.write() {}
        }
        while self.hands.write() {}
        Ok(())
    }
}

impl Policy for OwnDisk<'_> {
    fn ask(&mut self, _now: u64, request: &Request) -> bool {
        let name = request.object.name;
        let found = self.store.lookup(key(name));
        if found.iter().any(Handle::is_complete) {
            return true;
        }
        // What it refuses (larger than it takes, say) is asked for in vain the next time, too.
        let _ = self.write(name, request.content);
        false
    }

    fn written(&self) -> Option<u64> {
        Some(self.store.statistics().bytes_written)
    }
}

/// Numbers mixed well (SplitMix64's last steps): the store takes them for hashes.
fn key(name: u32) -> KeyHash {
    let mut mixed = u64::from(name).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    KeyHash(mixed ^ (mixed >> 31))
}

/// A disk in memory that holds no page of zeros.
#[derive(Debug, Default)]
struct BlankDisk(Mutex<BTreeMap<String, Arc<BlankFile>>>);

#[derive(Default)]
struct BlankFile(Mutex<Blank>);

#[derive(Default)]
struct Blank {
    length: u64,
    pages: HashMap<u64, Box<[u8]>>,
}

const PAGE: usize = 4096;

impl Disk for BlankDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.0).keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = Arc::new(BlankFile::default());
        lock(&self.0).insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = lock(&self.0).get(name).cloned();
        Ok(file.ok_or(io::ErrorKind::NotFound)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let removed = lock(&self.0).remove(name);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = lock(&self.0);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _name: &str) -> io::Result<Box<dyn fmt::Debug + Send + Sync>> {
        Ok(Box::new(()))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX / 2)
    }
}

impl DiskFile for BlankFile {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let blank = lock(&self.0);
        let left = usize::try_from(blank.length.saturating_sub(at)).unwrap_or(usize::MAX);
        let count = into.len().min(left);
        let into = into.get_mut(..count).unwrap_or_default();
        let mut done = 0;
        while done < count {
            let (page, within) = place(at + done as u64);
            let now = (PAGE - within).min(count - done);
            if let Some(into) = into.get_mut(done..done + now) {
                match blank.pages.get(&page) {
                    Some(page) => {
                        into.copy_from_slice(page.get(within..within + now).unwrap_or_default());
                    }
                    None => into.fill(0),
                }
            }
            done += now;
        }
        Ok(count)
    }

    fn write_at(&self, at: u64, from: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut blank = lock(&self.0);
        let mut done = 0;
        for slice in from {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                let (page, within) = place(at + done as u64);
                let (now, later) = rest.split_at((PAGE - within).min(rest.len()));
                if now.iter().any(|byte| *byte != 0) || blank.pages.contains_key(&page) {
                    let page = blank.pages.entry(page);
                    let page = page.or_insert_with(|| vec![0; PAGE].into());
                    if let Some(place) = page.get_mut(within..within + now.len()) {
                        place.copy_from_slice(now);
                    }
                }
                done += now.len();
                rest = later;
            }
        }
        blank.length = blank.length.max(at + done as u64);
        Ok(done)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn reserve(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(lock(&self.0).length)
    }

    fn as_file(&self) -> Option<&File> {
        None
    }
}

impl fmt::Debug for BlankFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlankFile").finish_non_exhaustive()
    }
}

/// Page, and place within it.
fn place(at: u64) -> (u64, usize) {
    let within = at % PAGE as u64;
    (at / PAGE as u64, usize::try_from(within).unwrap_or(0))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_file_reads_as_it_was_written_across_pages() {
        let file = BlankFile::default();
        let mut written = vec![0; 3 * PAGE];
        // From two bytes before the end of the file's first page on.
        written[PAGE - 52..PAGE - 48].fill(9);
        let (first, second) = written.split_at(100);
        let slices = [IoSlice::new(first), IoSlice::new(second)];
        assert_eq!(file.write_at(50, &slices).unwrap(), 3 * PAGE);
        let mut read = vec![1; 3 * PAGE + 10];
        assert_eq!(file.read_at(50, &mut read).unwrap(), 3 * PAGE);
        assert_eq!(read[..3 * PAGE], written);
        assert_eq!(lock(&file.0).pages.len(), 2);
        assert_eq!(file.read_at(50 + 3 * PAGE as u64, &mut read).unwrap(), 0);
    }
}
