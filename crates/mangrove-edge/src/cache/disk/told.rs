//! What the disk has, for people: looking at it counts as no wish to have it, and waits on no thread that serves.

use std::sync::Arc;
use std::time::Duration;

use mangrove_cache::CompressRules;
use mangrove_store::{Cursor, Handle, Head, Health, KeyHash, ObjectId, ReadError, Refused};
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{DiskTier, OnDisk};
use crate::cache::{FillReport, Object};

/// How long a person's look waits for one head. With one read at a time, a visitor's read waits for no more than that one.
pub(crate) const LOOK_PATIENCE: Duration = Duration::from_secs(1);

/// How an object lies on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceOnDisk {
    /// Which it is.
    pub id: ObjectId,
    /// Whether all of its content is there.
    pub complete: bool,
    /// Pieces of its content that are there, each of up to 1 MiB.
    pub pieces: usize,
    /// Whether it has moved to the main log because it was asked for again; else it is on probation.
    pub in_main: bool,
    /// How often it was asked for there of late; more than three are three.
    pub asked: u32,
}

/// An answer on the disk, as its head tells it.
#[derive(Debug)]
pub struct SeenOnDisk {
    /// Its whole key.
    pub key: Box<[u8]>,
    /// The answer; its content stays where it is.
    pub object: Arc<Object>,
    /// How it lies there.
    pub place: PlaceOnDisk,
}

/// Why something could not be looked at. Worth another try later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unseen {
    /// The store does not take the question.
    #[error("{0}")]
    Refused(Refused),
    /// The answer takes too long.
    #[error("the disk does not answer")]
    Slow,
}

impl PlaceOnDisk {
    /// As it is found now.
    pub fn of(handle: &Handle) -> Self {
        Self {
            id: handle.id(),
            complete: handle.is_complete(),
            pieces: handle.chunks_there(),
            in_main: handle.is_in_main(),
            asked: handle.asked(),
        }
    }
}

impl DiskTier {
    /// Why nothing on the disk can be seen now; none if all that is known can.
    pub fn out_of_sight(&self) -> Option<String> {
        match self.health() {
            None => Some(
                "another edge, that ends, still has the store, or it could not be opened"
                    .to_owned(),
            ),
            Some(Health::OutOfUse(trouble)) if !trouble.reads_go_on => Some(trouble.to_string()),
            Some(_) => None,
        }
    }

    /// Whether everything on the disk is known: what an earlier edge left there has been looked through.
    pub fn is_all_known(&self) -> bool {
        self.opened()
            .is_some_and(|open| open.store.progress().is_over)
    }

    /// What is known of a key's objects without reading anything: by the key's hash alone.
    pub fn places(&self, key: &[u8]) -> SmallVec<[PlaceOnDisk; 2]> {
        let Some(open) = self.opened() else {
            return SmallVec::new();
        };
        let found = open.store.peek(open.key(key));
        found.iter().map(PlaceOnDisk::of).collect()
    }

    /// What is on its way to the disk, for one key or for all: of each answer, how much has come.
    pub fn under_way(&self, key: Option<&[u8]>) -> Vec<FillReport> {
        let open = self.opened();
        let reports = open.map(|open| open.parts.reports(key.map(|key| open.key(key))));
        reports.unwrap_or_default()
    }

    /// The next keys of which something is there, of one site or of all, and where to go on.
    pub fn keys(
        &self,
        from: Cursor,
        most: usize,
        site: Option<&str>,
    ) -> (Vec<KeyHash>, Option<Cursor>) {
        let Some(open) = self.opened() else {
            return (Vec::new(), None);
        };
        let site = site.map(|site| open.site(site.as_bytes()));
        open.store.keys(from, most, site)
    }

    /// Reads the heads of all that is there under a key.
    pub async fn see(&self, key: &[u8]) -> Result<Vec<SeenOnDisk>, Unseen> {
        let Some(open) = self.opened() else {
            return Ok(Vec::new());
        };
        let mut seen = self.see_all(open.key(key)).await?;
        seen.retain(|seen| *seen.key == *key);
        Ok(seen)
    }

    /// The same for a hash, which several keys may share.
    pub async fn see_all(&self, hash: KeyHash) -> Result<Vec<SeenOnDisk>, Unseen> {
        let Some(open) = self.opened() else {
            return Ok(Vec::new());
        };
        let mut seen = Vec::new();
        for handle in open.store.peek(hash) {
            let Some(head) = read_head(&handle).await? else {
                continue; // it has left meanwhile
            };
            let (key, place): (Box<[u8]>, _) = (head.key().into(), PlaceOnDisk::of(&handle));
            if open.key(&key) != hash {
                continue;
            }
            if let Some(found) = OnDisk::read(handle, &head, &key) {
                let all_as_it_is = CompressRules::default();
                let object = found.into_object(None, &open, &all_as_it_is);
                let object = Arc::new(object);
                seen.push(SeenOnDisk { key, object, place });
            }
        }
        Ok(seen)
    }
}

/// Read by a reader's thread of the store; `None` if it is not there any more.
async fn read_head(handle: &Handle) -> Result<Option<Head>, Unseen> {
    let (word, told) = oneshot::channel();
    let done = move |read: Result<Head, ReadError>| drop(word.send(read.ok()));
    match handle.read_head_then(done) {
        Ok(()) => {}
        Err(Refused::Gone) => return Ok(None),
        Err(refused) => return Err(Unseen::Refused(refused)),
    }
    match tokio::time::timeout(LOOK_PATIENCE, told).await {
        Ok(read) => Ok(read.unwrap_or(None)),
        Err(_) => Err(Unseen::Slow),
    }
}
