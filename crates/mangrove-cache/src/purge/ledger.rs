//! All purges of an edge, by site.
//!
//! **Locks.** That of all sites, then one site's; whoever asks for a verdict takes the site's alone, to read. Nothing foreign
//! runs under either.
//!
//! **Order.** A purge takes its number, writes its entries and raises the site's version while it holds the site's lock to
//! write. So whoever reads that version, or is born with that number, finds the entries once he has the lock. That a later
//! request sees the new version is not the ordering's work: it comes after the purge's answer by way of the operator, through
//! the kernel at each end, and no load that comes after a store in that sense can read what was there before it. A request
//! that runs beside the purge may see either version, and was not promised anything. Hence relaxed loads on the way of a hit.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mangrove_http::UnixMillis;

use super::book::{Asked, Book, Subject};
use super::filter::Filter;
use super::wire::Purge;
use super::{Force, Generation};

/// All purges of an edge.
#[derive(Debug)]
pub struct Ledger {
    generation: AtomicU64,
    ceiling: usize,
    sites: Mutex<Sites>,
    /// Has read the seed, and nothing else yet.
    hasher: DefaultHasher,
}

#[derive(Debug, Default)]
struct Sites {
    by_name: HashMap<Box<str>, Arc<SiteLedger>>,
    /// Of all sites together.
    entries: usize,
    folded: u64,
}

/// The purges of one site. On cache lines of its own, and the version apart from the lock: what every hit reads is written
/// by purges only.
#[repr(align(128))]
#[derive(Debug)]
pub struct SiteLedger {
    version: AtomicU64,
    page: Page,
}

#[repr(align(128))]
#[derive(Debug)]
struct Page(RwLock<Book>);

/// What became of a purge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// Whatever was born before is meant.
    pub generation: Generation,
    /// Entries that had to make room: more is purged than was asked, of these sites.
    pub folded: Vec<Folded>,
}

/// Older entries of a site that were put together into one about all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Which site.
    pub site: Box<str>,
    /// How many.
    pub entries: usize,
}

impl Ledger {
    /// An empty one for at most `ceiling` entries of all sites together; a site's purge of everything needs none. `seed` must
    /// be secret: whoever knows it can make filters that collide, and have more purged than was asked.
    ///
    /// At the ceiling, the older half of the entries of the site that has most becomes part of that site's floor.
    pub fn new(seed: [u64; 2], ceiling: usize) -> Self {
        let mut hasher = DefaultHasher::new();
        seed.iter().for_each(|word| hasher.write_u64(*word));
        Self {
            generation: AtomicU64::new(1),
            ceiling,
            sites: Mutex::default(),
            hasher,
        }
    }

    /// The number of now, for what is asked for now. Read before the origin is asked.
    pub fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// The purges of a site, by its name: the same for as long as the ledger lives.
    pub fn site(&self, name: &str) -> Arc<SiteLedger> {
        Arc::clone(self.lock().site(name, &self.hasher))
    }

    /// Begins the next generation: what was born before it, is the site's and is meant by one of `filters`, is purged.
    pub fn purge(&self, site: &str, filters: &[Filter], force: Force, at: UnixMillis) -> Entered {
        let mut sites = self.lock();
        let ledger = Arc::clone(sites.site(site, &self.hasher));
        let folded = self.make_room(&mut sites, &ledger, filters);
        let mut book = ledger.write();
        let before = book.entries();
        let generation = Generation(self.generation.fetch_add(1, Ordering::AcqRel) + 1);
        for filter in filters {
            book.purge(filter, force, generation, at);
        }
        sites.entries += book.entries() - before;
        ledger.publish(&book);
        Entered { generation, folded }
    }

    /// What an earlier process used up: whatever is asked for from now on is born after it.
    pub fn begin_above(&self, generation: Generation) {
        let next = generation.0.saturating_add(1);
        self.generation.fetch_max(next, Ordering::AcqRel);
    }

    /// Enters a purge of an earlier process, from its journal: everything asked for from now on is born after it.
    pub fn replay(&self, purge: &Purge) -> Vec<Folded> {
        let mut sites = self.lock();
        let ledger = Arc::clone(sites.site(&purge.site, &self.hasher));
        let filters = std::slice::from_ref(&purge.filter);
        let folded = self.make_room(&mut sites, &ledger, filters);
        let mut book = ledger.write();
        let before = book.entries();
        self.generation
            .fetch_max(purge.generation.0, Ordering::AcqRel);
        book.purge(&purge.filter, purge.force, purge.generation, purge.at);
        sites.entries += book.entries() - before;
        ledger.publish(&book);
        folded
    }

    fn make_room(&self, sites: &mut Sites, ledger: &SiteLedger, filters: &[Filter]) -> Vec<Folded> {
        let mut folded: Vec<Folded> = Vec::new();
        let wanted = || {
            let book = ledger.read();
            filters.iter().filter(|filter| !book.knows(filter)).count()
        };
        while sites.entries > 0 && sites.entries + wanted() > self.ceiling {
            let most = sites
                .by_name
                .iter()
                .max_by_key(|(_, site)| site.read().entries());
            let Some((name, site)) = most else {
                break;
            };
            let (name, entries) = (name.clone(), site.write().fold());
            if entries == 0 {
                break;
            }
            sites.entries -= entries;
            sites.folded += entries as u64;
            match folded.iter_mut().find(|other| other.site == name) {
                Some(other) => other.entries += entries,
                None => folded.push(Folded {
                    site: name,
                    entries,
                }),
            }
        }
        folded
    }

    /// Lets go of entries that are about nothing any more: all that is kept anywhere, and all that is on its way, was born
    /// with `oldest` or later.
    pub fn forget_before(&self, oldest: Generation) {
        let mut sites = self.lock();
        let mut left = 0;
        for site in sites.by_name.values() {
            let mut book = site.write();
            book.forget_before(oldest);
            left += book.entries();
        }
        sites.entries = left;
    }

    /// Entries of all sites.
    pub fn entries(&self) -> usize {
        self.lock().entries
    }

    /// Entries that had to make room since the start.
    pub fn folded(&self) -> u64 {
        self.lock().folded
    }

    /// Bytes of the tables of all sites.
    pub fn bytes(&self) -> usize {
        let sites = self.lock();
        let of_site = |site: &SiteLedger| site.read().bytes() + size_of::<SiteLedger>();
        let books = sites.by_name.values().map(|site| of_site(site));
        let names = sites.by_name.keys().map(|name| name.len());
        books.chain(names).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Sites> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sites {
    fn site(&mut self, name: &str, hasher: &DefaultHasher) -> &Arc<SiteLedger> {
        self.by_name
            .entry(name.into())
            .or_insert_with(|| Arc::new(SiteLedger::new(hasher.clone())))
    }
}

impl SiteLedger {
    fn new(hasher: DefaultHasher) -> Self {
        Self {
            version: AtomicU64::new(0),
            page: Page(RwLock::new(Book::new(hasher))),
        }
    }

    /// The number of the site's last purge. What was born with it or later, or found alive in it, is alive.
    #[inline]
    pub fn version(&self) -> Generation {
        Generation(self.version.load(Ordering::Relaxed)) // see the module
    }

    /// What has become of something born with a number.
    pub fn verdict(&self, born: Generation, subject: &Subject<'_>) -> Asked {
        let book = self.read();
        Asked {
            verdict: book.verdict(born, subject),
            version: book.version(),
        }
    }

    fn publish(&self, book: &Book) {
        self.version.store(book.version().0, Ordering::Release);
    }

    fn read(&self) -> RwLockReadGuard<'_, Book> {
        self.page.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Book> {
        self.page.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
