//! The operator's door to the list of what is kept, a page at a time.
//!
//! What memory has is told by looking at it. What the disk has is known by hashes alone, and each URL stands in a head that has
//! to be read: by the store's own threads, one at a time, so that visitors who read from the disk wait for one of them at the
//! most. A page takes what can be read in [`DISK_PAGE`], and whoever asks goes on where it ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mangrove_cache::memory::Slot;
use mangrove_store::{Cursor, KeyHash};
use serde_json::{Value, json};

use super::cache_door::named;
use super::parameters::{Parameter, Parameters};
use super::whereabouts::{Whereabouts, under_key};
use super::{Edge, explain};
use crate::admin::Reply;
use crate::cache::{DiskTier, Object, SeenOnDisk, Unseen, split_key};

/// Places of the memory that are looked at together; a page of the list ends with the first so many URLs.
pub(crate) const LIST_URLS: u32 = 256;
/// The most times that so many places are looked at for one page, should few of them hold what is wanted.
pub(crate) const LIST_PAGES: usize = 256;
/// How long heads are read from the disk for one page; the one that is being read then still counts.
pub(crate) const DISK_PAGE: Duration = Duration::from_secs(1);

const OFF: &str = "nothing is kept on the disk: `disk_cache` is off";

/// Where a list goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Memory(u32),
    Disk(Cursor),
}

impl Edge {
    /// `GET /cache/list?site=NAME&from=N`: some of the URLs of which something is kept in memory, in no order; or, with `disk`
    /// and the cursor of the page before, on the disk.
    pub async fn cache_list(&self, query: Option<&[u8]>) -> Reply {
        match self.wanted_of_list(query) {
            Ok((site, From::Memory(from))) => self.list(site.as_deref(), from).await,
            Ok((site, From::Disk(from))) => self.list_disk(site.as_deref(), from).await,
            Err(refused) => refused,
        }
    }

    fn wanted_of_list(&self, query: Option<&[u8]>) -> Result<(Option<String>, From), Reply> {
        let known = [
            Parameter::Value("site"),
            Parameter::Value("from"),
            Parameter::Flag("disk"),
        ];
        let said = Parameters::read(query, &known)?;
        let from = match (said.has("disk"), said.value("from")) {
            (false, None) => Some(From::Memory(0)),
            (false, Some(from)) => from.parse().ok().map(From::Memory),
            (true, None) => Some(From::Disk(Cursor::START)),
            (true, Some(from)) => cursor_in(from).map(From::Disk),
        };
        let Some(from) = from else {
            let why = "from is the `next` of the page before, or left out for the first";
            return Err(Reply::error(400, why));
        };
        let site = said.value("site");
        if let Some(name) = site {
            named(&self.snapshot.borrow(), name)?;
        }
        Ok((site.map(str::to_owned), from))
    }

    async fn list(&self, site: Option<&str>, from: u32) -> Reply {
        let (mut rows, mut next): (Vec<Value>, _) = (Vec::new(), Some(from));
        for _ in 0..LIST_PAGES {
            let Some(from) = next.filter(|_| rows.len() < LIST_URLS as usize) else {
                break;
            };
            let page = self.cache.memory().page(from, LIST_URLS);
            rows.extend(page.slots.iter().filter_map(|slot| {
                let (name, url) = split_key(slot.key())?;
                let name = std::str::from_utf8(name).ok()?;
                if site.is_some_and(|site| site != name) {
                    return None;
                }
                let ledger = self.cache.ledger().site(name);
                let variants = slot.value().variants.iter();
                let living: Vec<_> = variants
                    .filter(|object| object.is_alive(&ledger, url))
                    .collect();
                let places = match self.cache.disk() {
                    Some(disk) if !living.is_empty() => disk.places(slot.key()),
                    _ => Default::default(),
                };
                let kept: Vec<_> = living
                    .into_iter()
                    .map(|object| Whereabouts::in_memory(object, &places))
                    .collect();
                explain::row(name.as_bytes(), url, &kept, self.clock.wall())
            }));
            next = page.next;
            tokio::task::yield_now().await; // others ask the keeper too
        }
        Reply::json(200, &json!({ "kept": rows, "next": next }))
    }

    async fn list_disk(&self, site: Option<&str>, from: Cursor) -> Reply {
        let Some(disk) = self.cache.disk() else {
            return told(&[], None, true, Some(OFF));
        };
        if let Some(why) = disk.out_of_sight() {
            return told(&[], None, false, Some(&why));
        }
        let known = disk.is_all_known();
        let deadline = self.clock.now() + DISK_PAGE;
        let (mut rows, mut next): (Vec<Value>, _) = (Vec::new(), Some(from));
        while let Some(from) = next {
            let room = (LIST_URLS as usize).saturating_sub(rows.len());
            let (keys, then) = disk.keys(from, room, site);
            next = then;
            for key in keys {
                match self.rows_of(disk, key, site).await {
                    Ok(more) => rows.extend(more),
                    Err(why) => return told(&rows, None, known, Some(&why.to_string())),
                }
                if self.clock.now() >= deadline {
                    return told(&rows, Cursor::after(key), known, None);
                }
            }
            if rows.len() >= LIST_URLS as usize || self.clock.now() >= deadline {
                break;
            }
            tokio::task::yield_now().await; // others ask the keeper too
        }
        told(&rows, next, known, None)
    }

    /// The rows of a hash: one, or as many as there are keys that share it.
    async fn rows_of(
        &self,
        disk: &DiskTier,
        hash: KeyHash,
        site: Option<&str>,
    ) -> Result<Vec<Value>, Unseen> {
        let mut by_key: BTreeMap<Box<[u8]>, Vec<SeenOnDisk>> = BTreeMap::new();
        for seen in disk.see_all(hash).await? {
            by_key.entry(seen.key.clone()).or_default().push(seen);
        }
        let snapshot = Arc::clone(&self.snapshot.borrow());
        let row_of = |(key, seen): (Box<[u8]>, Vec<SeenOnDisk>)| {
            let (name, url) = split_key(&key)?;
            let name = std::str::from_utf8(name).ok()?;
            if site.is_some_and(|site| site != name) {
                return None;
            }
            let ledger = self.cache.ledger().site(name);
            let rules = snapshot
                .site_named(name)
                .and_then(|site| snapshot.rules(site));
            let is_alive = |object: &Object| object.is_alive(&ledger, url);
            let slot = self.cache.peek(&key);
            let places: Vec<_> = seen.iter().map(|seen| seen.place).collect();
            let in_memory = slot.as_deref().map(Slot::value);
            let kept = under_key(in_memory, &places, &seen, rules.as_deref(), is_alive);
            explain::row(name.as_bytes(), url, &kept, self.clock.wall())
        };
        Ok(by_key.into_iter().filter_map(row_of).collect())
    }
}

/// A page; `known` says that all there is on the disk has been found again, `why` what it could not be read for.
fn told(rows: &[Value], next: Option<Cursor>, known: bool, why: Option<&str>) -> Reply {
    let looked = next.map_or(1000, Cursor::mille);
    let next = next.map(|next| format!("{:016x}", next.0));
    Reply::json(
        200,
        &json!({
            "kept": rows,
            "next": next,
            "looked_through_mille": looked,
            "all_known": known,
            "off": why == Some(OFF),
            "why": why,
        }),
    )
}

/// Reads what [`told`] writes, and nothing else.
fn cursor_in(text: &str) -> Option<Cursor> {
    let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let is_whole = text.len() == 16 && text.bytes().all(digits);
    let cursor = is_whole.then(|| u64::from_str_radix(text, 16).ok());
    cursor.flatten().map(Cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_no_other() {
        assert_eq!(cursor_in("00000000000000ff"), Some(Cursor(255)));
        assert_eq!(cursor_in("ffffffffffffffff"), Some(Cursor(u64::MAX)));
        for wrong in [
            "",
            "0",
            "00000000000000FF",
            "+0000000000000ff",
            "00000000000000ff0",
        ] {
            assert_eq!(cursor_in(wrong), None, "{wrong}");
        }
    }
}
