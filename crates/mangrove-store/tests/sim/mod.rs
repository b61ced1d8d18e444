//! A disk that fails in every way that disks do, by a seed; and a clock that is set by hand.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs
)]

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use mangrove_store::{Clock, Disk, DiskFile, InPipe, PIPE_BYTES, Pipe, Reach};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A small generator of numbers (xorshift64*).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.bits() >> 11) % bound.max(1)
    }

    pub fn one_in(&mut self, of: u64) -> bool {
        of != 0 && self.below(of) == 0
    }
}

#[derive(Debug, Default)]
pub struct HandClock(AtomicU64);

impl HandClock {
    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// How often what goes wrong: once in so many calls, 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    pub no_space: u64,
    pub io_error: u64,
    pub short: u64,
    pub failed_sync: u64,
}

#[derive(Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    hang: Arc<(Mutex<bool>, Condvar)>,
}

#[derive(Debug, Clone)]
struct State {
    random: Random,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    inodes: HashMap<u64, Inode>,
    next_inode: u64,
    /// The call at which the machine stops; none after it succeeds.
    stops_in: Option<u64>,
    stopped: bool,
    faults: Faults,
    read_only: bool,
    capacity: u64,
    locked: Arc<AtomicBool>,
    calls: u64,
    reach: Option<Reach>,
    pours: bool,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Made(String, u64),
    Removed(String),
    Renamed(String, String, u64),
}

impl SimDisk {
    pub fn new(seed: u64) -> Arc<SimDisk> {
        SimDisk::of(State {
            random: Random::new(seed),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            inodes: HashMap::new(),
            next_inode: 1,
            stops_in: None,
            stopped: false,
            faults: Faults::default(),
            read_only: false,
            capacity: u64::MAX,
            locked: Arc::default(),
            calls: 0,
            reach: None,
            pours: true,
        })
    }

    fn of(state: State) -> Arc<SimDisk> {
        Arc::new(SimDisk {
            state: Arc::new(Mutex::new(state)),
            hang: Arc::default(),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    pub fn set_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    pub fn stop_in(&self, calls: u64) {
        self.state().stops_in = Some(calls);
    }

    pub fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How far what was brought last was to reach.
    pub fn reach(&self) -> Option<Reach> {
        self.state().reach
    }

    /// Whether files can be read past the kernel's memory.
    pub fn set_pours(&self, pours: bool) {
        self.state().pours = pours;
    }

    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    pub fn content(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.inodes[&state.names[name]].content.clone()
    }

    /// Puts a file there as if it had always been.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut state = self.state();
        let inode = match state.names.get(name) {
            Some(inode) => *inode,
            None => {
                state.next_inode += 1;
                state.next_inode
            }
        };
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
        let file = Inode {
            content: content.to_vec(),
            durable: content.to_vec(),
            unsynced: Vec::new(),
        };
        state.inodes.insert(inode, file);
    }

    /// Changes bits of what is kept, in silence.
    pub fn flip(&self, random: &mut Random, bits: u64) {
        let mut state = self.state();
        let inodes: Vec<u64> = state
            .names
            .iter()
            .filter(|(name, _)| name.ends_with(".slab"))
            .map(|(_, inode)| *inode)
            .collect();
        for _ in 0..bits {
            if inodes.is_empty() {
                return;
            }
            let inode = state
                .inodes
                .get_mut(&inodes[random.below(inodes.len() as u64) as usize])
                .unwrap();
            if inode.content.is_empty() {
                continue;
            }
            let at = random.below(inode.content.len() as u64) as usize;
            let bit = 1 << random.below(8);
            inode.content[at] ^= bit;
            if let Some(byte) = inode.durable.get_mut(at) {
                *byte ^= bit;
            }
        }
    }

    /// Every call waits until this is taken back.
    pub fn hang(&self, hang: bool) {
        *self.hang.0.lock().unwrap() = hang;
        self.hang.1.notify_all();
    }

    /// The disk as the next process finds it after this one was killed: nothing that was written is lost.
    pub fn after_kill(&self) -> Arc<SimDisk> {
        let mut state = self.state().clone();
        state.stopped = false;
        state.stops_in = None;
        state.faults = Faults::default();
        state.locked = Arc::default();
        SimDisk::of(state)
    }

    /// The disk after a power loss that took everything which was not synced.
    pub fn after_losing_all_unsynced(&self) -> Arc<SimDisk> {
        let mut state = self.state().clone();
        state.names = state.durable_names.clone();
        state.name_changes.clear();
        for file in state.inodes.values_mut() {
            file.content = file.durable.clone();
            file.unsynced.clear();
        }
        state.locked = Arc::default();
        SimDisk::of(state)
    }

    /// The disk after a power loss: of what was not synced any part may be there, in pieces, in any order.
    pub fn after_power_loss(&self, random: &mut Random) -> Arc<SimDisk> {
        let old = self.state().clone();
        let mut names = old.durable_names.clone();
        // Most often the changes are there up to some point; sometimes any of them are.
        let some_order = random.one_in(2);
        let until = random.below(old.name_changes.len() as u64 + 1) as usize;
        for (number, change) in old.name_changes.iter().enumerate() {
            if if some_order {
                number >= until
            } else {
                random.one_in(2)
            } {
                continue;
            }
            match change.clone() {
                NameChange::Made(name, inode) => {
                    names.insert(name, inode);
                }
                NameChange::Removed(name) => {
                    names.remove(&name);
                }
                NameChange::Renamed(from, to, inode) => {
                    if names.get(&from) == Some(&inode) {
                        names.remove(&from);
                    }
                    names.insert(to, inode);
                }
            }
        }
        let mut inodes = HashMap::new();
        for inode in names.values() {
            let file = &old.inodes[inode];
            let mut content = file.durable.clone();
            let mut writes = file.unsynced.clone();
            for at in (1..writes.len()).rev() {
                if random.one_in(3) {
                    writes.swap(at, random.below(at as u64 + 1) as usize);
                }
            }
            for (at, bytes) in writes {
                let lost = random.below(4);
                for (piece, sector) in bytes.chunks(SECTOR).enumerate() {
                    if lost == 0 || lost == 1 && random.one_in(2) {
                        continue;
                    }
                    let from = at + piece * SECTOR;
                    write(&mut content, from, sector);
                }
            }
            inodes.insert(
                *inode,
                Inode {
                    durable: content.clone(),
                    content,
                    unsynced: Vec::new(),
                },
            );
        }
        SimDisk::of(State {
            random: random.clone(),
            durable_names: names.clone(),
            names,
            name_changes: Vec::new(),
            inodes,
            next_inode: old.next_inode,
            stops_in: None,
            stopped: false,
            faults: Faults::default(),
            read_only: false,
            capacity: old.capacity,
            locked: Arc::default(),
            calls: 0,
            reach: None,
            pours: true,
        })
    }

    fn wait_while_hung(&self) {
        wait_while_hung(&self.hang);
    }
}

fn wait_while_hung(hang: &(Mutex<bool>, Condvar)) {
    let mut hung = hang.0.lock().unwrap();
    while *hung {
        hung = hang.1.wait(hung).unwrap();
    }
}

fn write(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

fn os(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

impl State {
    /// Counts a call; an error if the machine has stopped. True if it stops within this very call.
    fn call(&mut self) -> io::Result<bool> {
        self.calls += 1;
        if self.stopped {
            return Err(os(EIO));
        }
        if let Some(left) = &mut self.stops_in {
            if *left == 0 {
                self.stopped = true;
                return Ok(true);
            }
            *left -= 1;
        }
        Ok(false)
    }

    fn change(&mut self, more: bool) -> io::Result<bool> {
        let stops = self.call()?;
        if self.read_only {
            return Err(os(EROFS));
        }
        let Faults {
            no_space, io_error, ..
        } = self.faults;
        if more && self.random.one_in(no_space) {
            return Err(os(ENOSPC));
        }
        if self.random.one_in(io_error) {
            return Err(os(EIO));
        }
        Ok(stops)
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .map(|inode| self.inodes[inode].content.len() as u64)
            .sum()
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.wait_while_hung();
        let mut state = self.state();
        if state.call()? {
            return Err(os(EIO));
        }
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.wait_while_hung();
        let mut state = self.state();
        let stops = state.change(true)?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.next_inode += 1;
        let inode = state.next_inode;
        state.names.insert(name.to_owned(), inode);
        state
            .name_changes
            .push(NameChange::Made(name.to_owned(), inode));
        state.inodes.insert(inode, Inode::default());
        drop(state);
        self.opened(inode, stops)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.wait_while_hung();
        let mut state = self.state();
        let stops = state.call()?;
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        drop(state);
        self.opened(inode, stops)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.wait_while_hung();
        let mut state = self.state();
        let stops = state.change(false)?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state
            .name_changes
            .push(NameChange::Removed(name.to_owned()));
        if stops { Err(os(EIO)) } else { Ok(()) }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.wait_while_hung();
        let mut state = self.state();
        let stops = state.change(false)?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        state
            .name_changes
            .push(NameChange::Renamed(from.to_owned(), to.to_owned(), inode));
        if stops { Err(os(EIO)) } else { Ok(()) }
    }

    fn sync_names(&self) -> io::Result<()> {
        self.wait_while_hung();
        let mut state = self.state();
        let stops = state.call()?;
        let failed_sync = state.faults.failed_sync;
        if state.random.one_in(failed_sync) {
            return Err(os(EIO));
        }
        if stops {
            return Err(os(EIO));
        }
        state.durable_names = state.names.clone();
        state.name_changes.clear();
        Ok(())
    }

    fn lock(&self, _: &str) -> io::Result<Box<dyn std::fmt::Debug + Send + Sync>> {
        let locked = Arc::clone(&self.state().locked);
        if locked.swap(true, Ordering::SeqCst) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock(locked)))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        Ok(state.capacity.saturating_sub(state.used()))
    }
}

#[derive(Debug)]
struct SimLock(Arc<AtomicBool>);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl SimDisk {
    fn opened(&self, inode: u64, stops: bool) -> io::Result<Arc<dyn DiskFile>> {
        if stops {
            return Err(os(EIO));
        }
        Ok(Arc::new(SimFile {
            state: Arc::clone(&self.state),
            hang: Arc::clone(&self.hang),
            inode,
        }))
    }
}

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    hang: Arc<(Mutex<bool>, Condvar)>,
    inode: u64,
}

impl DiskFile for SimFile {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        wait_while_hung(&self.hang);
        let mut state = self.state.lock().unwrap();
        if state.call()? {
            return Err(os(EIO));
        }
        let (io_error, short) = (state.faults.io_error, state.faults.short);
        if state.random.one_in(io_error) {
            return Err(os(EIO));
        }
        let short = state.random.one_in(short);
        let content = &state.inodes[&self.inode].content;
        let from = (at as usize).min(content.len());
        let mut count = into.len().min(content.len() - from);
        if short && count > 1 {
            count /= 2;
        }
        into[..count].copy_from_slice(&content[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, at: u64, from: &[IoSlice<'_>]) -> io::Result<usize> {
        wait_while_hung(&self.hang);
        let mut bytes = Vec::new();
        from.iter().for_each(|slice| bytes.extend_from_slice(slice));
        let mut state = self.state.lock().unwrap();
        let stops = state.change(true)?;
        if state.used() + bytes.len() as u64 > state.capacity {
            return Err(os(ENOSPC));
        }
        let short = state.faults.short;
        if (stops || state.random.one_in(short)) && bytes.len() > 1 {
            let left = state.random.below(bytes.len() as u64) as usize;
            bytes.truncate(left.max(1));
        }
        let count = bytes.len();
        let file = state.inodes.get_mut(&self.inode).unwrap();
        write(&mut file.content, at as usize, &bytes);
        file.unsynced.push((at as usize, bytes));
        if stops { Err(os(EIO)) } else { Ok(count) }
    }

    fn sync(&self) -> io::Result<()> {
        wait_while_hung(&self.hang);
        let mut state = self.state.lock().unwrap();
        let stops = state.call()?;
        let failed_sync = state.faults.failed_sync;
        let fails = state.random.one_in(failed_sync);
        let file = state.inodes.get_mut(&self.inode).unwrap();
        if fails {
            // As the page cache does it: what could not be written counts as written from now on.
            file.unsynced.clear();
            return Err(os(EIO));
        }
        if stops {
            return Err(os(EIO));
        }
        for (at, bytes) in std::mem::take(&mut file.unsynced) {
            write(&mut file.durable, at, &bytes);
        }
        Ok(())
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        wait_while_hung(&self.hang);
        let mut state = self.state.lock().unwrap();
        state.change(true)?;
        if state.used() + bytes > state.capacity {
            return Err(os(ENOSPC));
        }
        Ok(())
    }

    fn bring(&self, at: u64, length: u64, reach: Reach) -> io::Result<()> {
        self.state.lock().unwrap().reach = Some(reach);
        let mut bytes = vec![0; length as usize];
        let mut done = 0;
        while done < bytes.len() {
            match self.read_at(at + done as u64, &mut bytes[done..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(())
    }

    fn pours(&self) -> bool {
        self.state.lock().unwrap().pours
    }

    /// With the rest of a sector after it, as from a real disk, and room for that.
    fn pour(&self, at: u64, length: u64, pipe: &Pipe) -> io::Result<Option<InPipe>> {
        let most = PIPE_BYTES - SECTOR;
        let mut bytes = vec![0; (length as usize).min(most)];
        let mut content = 0;
        while content < bytes.len() {
            match self.read_at(at + content as u64, &mut bytes[content..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => content += count,
            }
        }
        let after = SECTOR - 1;
        bytes.resize(content + after, b'?');
        let into = pipe.into().try_clone_to_owned()?;
        io::Write::write_all(&mut File::from(into), &bytes)?;
        Ok(Some(InPipe { content, after }))
    }

    fn forget(&self) {
        let mut state = self.state.lock().unwrap();
        let file = state.inodes.get_mut(&self.inode).unwrap();
        // What it has yet to write stays.
        file.content.clone_from(&file.durable);
        for (at, bytes) in file.unsynced.clone() {
            write(&mut file.content, at, &bytes);
        }
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.state.lock().unwrap();
        Ok(state.inodes[&self.inode].content.len() as u64)
    }

    fn as_file(&self) -> Option<&File> {
        None
    }
}
