//! Orders by hand as the keeper keeps them: in one small file of the state folder, and in force on every core.
//!
//! The file is what all edges under one state folder share (record 0023): whoever changes it takes its lock, reads what another has
//! written meanwhile, and replaces it whole. An edge that begins has read it before its first visitor, one that runs looks once
//! a second whether it is another. A disk that fails or hangs keeps nobody from giving an order: it holds, and is said not to be
//! on the disk.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mangrove_http::UnixMillis;
use mangrove_shield::orders::{Act, Book, Order, Refused, Second, Wanted};
use mangrove_shield::recent::Share;
use rustix::fs::{FlockOperation, flock};
use tokio::sync::oneshot;

use super::{Edge, behind, complain};
use crate::standing::InForce;
use crate::tls::TlsFault;
use crate::tls::private_file;

/// How long an order waits for the disk before it is said not to be there.
pub(crate) const ORDER_PATIENCE: Duration = Duration::from_secs(2);
/// How often the file is looked at for what another edge has written.
pub(crate) const ORDERS_WATCH: Duration = Duration::from_secs(1);
/// The largest file that is read: as many orders as there may be, each as long as it may be, and as much again.
pub(crate) const FILE_BYTES: u64 = 512 * 1024;

/// All orders, and which of them the cores obey.
#[derive(Debug)]
pub(super) struct Orders {
    path: PathBuf,
    book: Book,
    stamp: Option<Stamp>,
    /// As many as there are orders in force or waiting, with what they have done.
    held: Vec<Arc<InForce>>,
}

/// Which file it was: one that is replaced is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    modified: (i64, i64),
    bytes: u64,
}

/// What is to become of an order.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Give(Wanted, Option<Share>),
    Approve { id: u64, owner: String },
    Remove { id: u64, owner: String },
}

/// A change that was made.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) order: Order,
    /// Why it is not on the disk, if it is not.
    pub(super) not_durable: Option<String>,
    /// Cores that have not heard of it in time.
    pub(super) late: usize,
}

impl Change {
    fn apply(&self, book: &mut Book, now: UnixMillis) -> Result<Order, Refused> {
        match self {
            Self::Give(wanted, touches) => book.give(wanted.clone(), *touches, now).cloned(),
            Self::Approve { id, owner } => book.approve(*id, owner, now).cloned(),
            Self::Remove { id, .. } => book.remove(*id, now),
        }
    }

    /// For the operator's journal.
    fn tell(&self, order: &Order) {
        let (id, owner, reason) = (order.id, &order.owner, &order.reason);
        let what = in_words(order);
        complain(&match self {
            Self::Give(..) if order.second == Second::Awaited => {
                format!(
                    "order {id}: {owner} wants to {what}, which waits for somebody to approve it: {reason}"
                )
            }
            Self::Give(..) => format!("order {id}: {owner} has ordered to {what}: {reason}"),
            Self::Approve { owner, .. } => {
                format!("order {id}: {} approves to {what}", owner.trim())
            }
            Self::Remove { owner, .. } => format!(
                "order {id} is removed by {}: no longer {what}",
                owner.trim()
            ),
        });
    }
}

fn in_words(order: &Order) -> String {
    let (act, subject, site) = (order.act, order.subject, &order.site);
    match act {
        Act::Allow => format!("let {subject} through on site {site}"),
        Act::Block => format!("keep {subject} out of site {site}"),
    }
}

impl Orders {
    /// As the state folder has them; what cannot be read is told, and is none.
    pub(super) fn open(state: &Path, now: UnixMillis) -> Self {
        let mut orders = Self {
            path: state.join("edge").join("orders.json"),
            book: Book::default(),
            stamp: None,
            held: Vec::new(),
        };
        orders.read_again(now);
        orders
    }

    /// Takes over what the file says if it is another than it was; true when it was.
    fn read_again(&mut self, now: UnixMillis) -> bool {
        let stamp = Stamp::of(&self.path);
        if stamp == self.stamp {
            return false;
        }
        self.stamp = stamp;
        match read(&self.path) {
            Ok(book) => self.hold(book, now),
            Err(why) => complain(&format!(
                "{}: {why}; the orders by hand that are in force stay as they are",
                self.path.display()
            )),
        }
        true
    }

    fn hold(&mut self, mut book: Book, now: UnixMillis) {
        book.expire(now);
        let held = book.orders().iter().map(|order| {
            let known = self.held.iter().find(|held| held.order == *order);
            known.map_or_else(|| InForce::new(order.clone()), Arc::clone)
        });
        self.held = held.collect();
        self.book = book;
    }

    /// All of them, with what they have done.
    pub(super) fn held(&self) -> &[Arc<InForce>] {
        &self.held
    }

    /// Those that do something.
    pub(super) fn in_force(&self, now: UnixMillis) -> impl Iterator<Item = Arc<InForce>> {
        let holds = move |held: &&Arc<InForce>| held.order.is_in_force(now);
        self.held.iter().filter(holds).map(Arc::clone)
    }
}

impl Edge {
    /// Changes an order, on the disk and on every core.
    pub(super) async fn change_order(&self, change: Change) -> Result<Changed, Refused> {
        let _alone = self.ordering.lock().await;
        let now = self.clock.wall();
        let (path, mine, stamp) = {
            let orders = self.orders.borrow();
            (orders.path.clone(), orders.book.clone(), orders.stamp)
        };
        let (written, is_written) = oneshot::channel();
        let wanted = change.clone();
        behind("orders", move || {
            let outcome = replace(&path, mine, stamp, |book| wanted.apply(book, now));
            let _ = written.send(outcome); // whoever asked has given up
        });
        let outcome = match tokio::time::timeout(ORDER_PATIENCE, is_written).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Trouble::Disk("the thread that writes it ended".to_owned())),
            Err(_) => Err(Trouble::Disk(format!(
                "the disk has not answered for {} s",
                ORDER_PATIENCE.as_secs()
            ))),
        };
        let (order, not_durable) = match outcome {
            Ok((book, order, stamp)) => {
                let mut orders = self.orders.borrow_mut();
                orders.hold(book, now);
                orders.stamp = stamp;
                (order, None)
            }
            Err(Trouble::Refused(refused)) => return Err(refused),
            // It holds all the same.
            Err(Trouble::Disk(why)) => {
                let mut orders = self.orders.borrow_mut();
                let mut book = orders.book.clone();
                let order = change.apply(&mut book, now)?;
                orders.hold(book, now);
                (order, Some(why))
            }
        };
        change.tell(&order);
        if let Some(why) = &not_durable {
            complain(&format!(
                "order {}: that holds, but it is not on the disk: {why}",
                order.id
            ));
        }
        let late = self.tell_said().await;
        Ok(Changed {
            order,
            not_durable,
            late,
        })
    }

    /// Takes over what another edge has ordered, and lets go of what is over.
    pub(super) fn look_after_orders(&self) {
        let now = self.clock.wall();
        let mut orders = self.orders.borrow_mut();
        let mut changed = self.ordering.try_lock().is_ok() && orders.read_again(now);
        let mut book = orders.book.clone();
        let over = book.expire(now);
        for order in &over {
            complain(&format!(
                "order {} has expired: no longer {}",
                order.id,
                in_words(order)
            ));
        }
        if !over.is_empty() {
            orders.hold(book, now);
            changed = true;
        }
        drop(orders);
        if changed {
            self.send_said();
        }
    }
}

/// Why a change is not on the disk.
#[derive(Debug)]
enum Trouble {
    /// It may not be.
    Refused(Refused),
    Disk(String),
}

/// Changes the file: what another edge has written since it was `stamp` counts, else `mine`.
fn replace(
    path: &Path,
    mine: Book,
    stamp: Option<Stamp>,
    change: impl FnOnce(&mut Book) -> Result<Order, Refused>,
) -> Result<(Book, Order, Option<Stamp>), Trouble> {
    let disk = |error: io::Error| Trouble::Disk(error.to_string());
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.with_extension("lock"))
        .map_err(disk)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| disk(error.into()))?;
    let mut book = match Stamp::of(path) == stamp {
        true => mine,
        false => read(path).unwrap_or(mine), // what cannot be read is replaced by what is in force
    };
    let order = change(&mut book).map_err(Trouble::Refused)?;
    let text = serde_json::to_vec(&book).map_err(|error| Trouble::Disk(error.to_string()))?;
    private_file::replace(path, &text).map_err(disk)?;
    Ok((book, order, Stamp::of(path)))
}

/// No file is no order.
fn read(path: &Path) -> Result<Book, String> {
    match private_file::read(path, FILE_BYTES) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
        Err(TlsFault::Missing) => Ok(Book::default()),
        Err(fault) => Err(fault.to_string()),
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let about = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: about.ino(),
            modified: (about.mtime(), about.mtime_nsec()),
            bytes: about.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use mangrove_shield::orders::{LONGEST_MS, ORDERS, OWNER_BYTES, REASON_BYTES};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
    const NOBODY: Option<Share> = Some(Share {
        inside: 0,
        sampled: 100,
        clients: 100,
    });

    fn give(subject: &str) -> Change {
        let wanted = Wanted {
            act: Act::Block,
            site: "shop".to_owned(),
            subject: subject.parse().unwrap(),
            owner: "mina".to_owned(),
            reason: "a test".to_owned(),
            ttl_ms: 60_000,
        };
        Change::Give(wanted, NOBODY)
    }

    fn folder() -> tempfile::TempDir {
        let state = tempfile::tempdir().unwrap();
        std::fs::create_dir(state.path().join("edge")).unwrap();
        state
    }

    /// What the keeper does, without waiting.
    fn change(orders: &mut Orders, change: &Change) -> Order {
        let (mine, stamp) = (orders.book.clone(), orders.stamp);
        let made = replace(&orders.path, mine, stamp, |book| change.apply(book, NOW));
        let (book, order, stamp) = made.unwrap();
        orders.hold(book, NOW);
        orders.stamp = stamp;
        order
    }

    fn ids(orders: &Orders) -> Vec<u64> {
        orders.held().iter().map(|held| held.order.id).collect()
    }

    /// As while one takes over from the other: neither loses what the other was told, and no number comes twice.
    #[test]
    fn two_edges_of_one_state_folder_share_their_orders() {
        let state = folder();
        let open = || Orders::open(state.path(), NOW);
        let (mut old, mut new) = (open(), open());
        assert_eq!(change(&mut old, &give("10.0.0.1")).id, 1);
        assert_eq!(change(&mut new, &give("10.0.0.2")).id, 2);
        assert_eq!(ids(&new), [1, 2]);
        assert!(old.read_again(NOW) && !old.read_again(NOW));
        assert_eq!(ids(&old), [1, 2]);
        let removed = Change::Remove {
            id: 1,
            owner: "rafi".to_owned(),
        };
        change(&mut old, &removed);
        assert_eq!(ids(&open()), [2]);
    }

    #[test]
    fn what_an_order_has_done_is_known_on_when_others_change() {
        let state = folder();
        let mut orders = Orders::open(state.path(), NOW);
        change(&mut orders, &give("10.0.0.1"));
        let visitors = crate::standing::Visitors::new([1, 2]);
        orders.held()[0].touches("10.0.0.1".parse().unwrap(), &visitors);
        change(&mut orders, &give("10.0.0.2"));
        assert_eq!(orders.held()[0].requests(), 1);
        assert_eq!(orders.in_force(NOW).count(), 2);
        assert_eq!(orders.in_force(UnixMillis(NOW.0 + 60_000)).count(), 0);
    }

    #[test]
    fn a_damaged_file_is_no_orders_at_a_start_and_changes_nothing_later() {
        let state = folder();
        let mut orders = Orders::open(state.path(), NOW);
        change(&mut orders, &give("10.0.0.1"));
        for damage in ["", "{", "{\"given\":1,\"orders\":[{}]}"] {
            std::fs::write(&orders.path, damage).unwrap();
            assert!(ids(&Orders::open(state.path(), NOW)).is_empty());
            orders.read_again(NOW);
            assert_eq!(ids(&orders), [1]);
        }
        // The next order makes it whole again.
        change(&mut orders, &give("10.0.0.2"));
        assert_eq!(ids(&Orders::open(state.path(), NOW)), [1, 2]);
    }

    #[test]
    fn the_largest_book_there_may_be_is_read_and_one_byte_more_than_may_be_is_not() {
        let state = folder();
        let mut orders = Orders::open(state.path(), NOW);
        let mut book = Book::default();
        for n in 0..ORDERS {
            let wanted = Wanted {
                act: Act::Block,
                site: "s".repeat(64),
                subject: format!("2001:db8:aaaa:bbbb:cccc:dddd:eeee:{n:x}")
                    .parse()
                    .unwrap(),
                owner: "\"".repeat(OWNER_BYTES),
                reason: "\"".repeat(REASON_BYTES),
                ttl_ms: LONGEST_MS,
            };
            book.give(wanted, NOBODY, NOW).unwrap();
        }
        let text = serde_json::to_vec(&book).unwrap();
        assert!((text.len() as u64) < FILE_BYTES, "{}", text.len());
        std::fs::write(&orders.path, &text).unwrap();
        assert!(orders.read_again(NOW));
        assert_eq!(ids(&orders).len(), ORDERS);
        let mut padded = text;
        padded.resize(usize::try_from(FILE_BYTES).unwrap() + 1, b' ');
        std::fs::write(&orders.path, padded).unwrap();
        assert!(ids(&Orders::open(state.path(), NOW)).is_empty());
    }
}
