//! The operator's door for purges.
//!
//! A purge holds from the moment its answer is written, whatever is stored: it is one entry in the cache's ledger. Everything
//! that is asked is judged before anything is done, so that an order does all it says or nothing.

use std::sync::Arc;

use mangrove_cache::purge::{Entered, Filter, Force, Kind};
use mangrove_http::UnixMillis;
use serde_json::{Value, json};

use super::cache_door::{KeptUnder, hosting, named, site_name, text_of, url_of};
use super::parameters::{Parameter, Parameters, Url};
use super::{Edge, behind, complain};
use crate::admin::Reply;
use crate::cache::{Durable, PlaceOnDisk};
use crate::snapshot::SharedSnapshot;

/// The most filters of one order.
pub(crate) const PURGE_FILTERS: usize = 256;

const WHAT: &str = "say what to purge of which site: site=NAME and one of url=URL, prefix=/PATH, host=HOST, tag=TAG or all; \
                    of one kind several may be given";

/// What an order is about.
struct Wanted<'p> {
    kind: Kind,
    texts: Vec<&'p str>,
    force: Force,
}

/// What was purged, to be noted where it outlives the process.
struct Ordered {
    site: String,
    filters: Vec<Filter>,
    force: Force,
    at: UnixMillis,
    entered: Entered,
}

/// What is known of URLs before they are purged.
#[derive(Default)]
struct Known {
    filters: Vec<Filter>,
    /// As a person wrote them, in the form that is compared.
    shown: Vec<String>,
    variants: usize,
    fills: usize,
    elsewhere: Option<String>,
}

impl Edge {
    /// `POST /purge?site=NAME&…`: from now on nothing is answered that was kept, or asked for, before; or, with `soft`, not as
    /// fresh.
    pub async fn purge(&self, query: Option<&[u8]>) -> Reply {
        match self.try_purge(query) {
            Ok((mut told, ordered)) => {
                let durable = self.make_durable(ordered).await;
                if let Some(told) = told.as_object_mut() {
                    let (is, why) = tell_durable(durable);
                    told.insert("durable".into(), is);
                    told.insert("not_durable_because".into(), why);
                }
                Reply::json(200, &told)
            }
            Err(refused) => refused,
        }
    }

    /// Waits until a purge outlives the process. It holds meanwhile.
    async fn make_durable(&self, ordered: Ordered) -> Durable {
        let Ordered {
            site,
            filters,
            force,
            at,
            entered,
        } = ordered;
        if force == Force::Hard && filters.iter().any(|filter| filter.kind() == Kind::All) {
            let (cache, site) = (Arc::clone(&self.cache), site.clone());
            let generation = entered.generation;
            // Its room on the disk comes back at once; nobody waits for that.
            behind("store-let-go", move || {
                if let Some(disk) = cache.disk() {
                    disk.let_go(&site, generation);
                }
            });
        }
        let made = self
            .cache
            .make_durable(&site, &filters, force, at, &entered);
        made.await
    }

    fn try_purge(&self, query: Option<&[u8]>) -> Result<(Value, Ordered), Reply> {
        let known = [
            Parameter::Value("site"),
            Parameter::Values("url", PURGE_FILTERS),
            Parameter::Values("prefix", PURGE_FILTERS),
            Parameter::Values("host", PURGE_FILTERS),
            Parameter::Values("tag", PURGE_FILTERS),
            Parameter::Flag("all"),
            Parameter::Flag("soft"),
        ];
        let said = Parameters::read(query, &known)?;
        let site = said.value("site").ok_or_else(|| Reply::error(400, WHAT))?;
        let wanted = Wanted::read(&said)?;
        let snapshot = self.snapshot.borrow();
        let index = named(&snapshot, site)?;
        let rules = snapshot.rules(index);
        let known = match wanted.kind {
            Kind::Url => self.known_of_urls(&snapshot, index, &wanted)?,
            _ => Known::of_filters(&snapshot, index, &wanted)?,
        };
        let mut told = json!({
            "site": site,
            "cached": rules.is_some_and(|rules| rules.on),
            "purge": wanted.kind.name(),
            "soft": wanted.force == Force::Soft,
            "filters": known.shown,
            "variants": null,
            "fills": null,
            "elsewhere": known.elsewhere,
        });
        let now = self.clock.wall();
        let entered = self.cache.purge(site, &known.filters, wanted.force, now);
        if let Some(told) = told.as_object_mut() {
            told.insert("generation".into(), entered.generation.0.into());
            told.insert("folded".into(), tell_folded(&entered));
            if wanted.kind == Kind::Url {
                told.insert("variants".into(), known.variants.into());
                told.insert("fills".into(), known.fills.into());
            }
        }
        let ordered = Ordered {
            site: site.to_owned(),
            filters: known.filters,
            force: wanted.force,
            at: now,
            entered,
        };
        Ok((told, ordered))
    }

    /// The keys that URLs are kept under, and what is there.
    fn known_of_urls(
        &self,
        snapshot: &SharedSnapshot,
        index: u32,
        wanted: &Wanted<'_>,
    ) -> Result<Known, Reply> {
        let site = site_name(snapshot, index);
        let mut known = Known::default();
        for text in &wanted.texts {
            let url = Url::read(text)?;
            is_of_site(snapshot, index, url.request.host())?;
            let Some(rules) = snapshot.rules(index) else {
                continue; // its answers are made at the edge
            };
            let under = self.kept_under(site, &url, url.scheme, &rules);
            for (at, kept) in under.iter().enumerate() {
                if at == 0 {
                    known.shown.push(text_of(&kept.key));
                }
                let hash = self.cache.memory().hash(&kept.key);
                known.variants += kept.living().count() + self.only_on_disk(kept);
                known.fills += self.cache.fills().report(hash, &kept.key).len();
                let filter = Filter::read(Kind::Url, url_of(&kept.key));
                known.filters.push(filter.map_err(|wrong| refused(&wrong))?);
            }
            if wanted.texts.len() == 1 {
                known.elsewhere = self.elsewhere(site, &url, &rules);
            }
        }
        Ok(known)
    }
}

impl Edge {
    /// How many answers the disk alone has under a key. Nobody waits for its heads: one that an earlier purge by tag or prefix
    /// has taken counts until its room is given back.
    fn only_on_disk(&self, kept: &KeptUnder) -> usize {
        let places = self.cache.disk().map(|disk| disk.places(&kept.key));
        let ids: Vec<_> = kept.living().filter_map(|object| object.id()).collect();
        let only_there = |place: &&PlaceOnDisk| place.complete && !ids.contains(&place.id);
        places.iter().flatten().filter(only_there).count()
    }
}

impl Known {
    fn of_filters(
        snapshot: &SharedSnapshot,
        index: u32,
        wanted: &Wanted<'_>,
    ) -> Result<Self, Reply> {
        let mut known = Self::default();
        if wanted.kind == Kind::All {
            known.filters.push(Filter::all());
        }
        for text in &wanted.texts {
            let filter =
                Filter::read(wanted.kind, text.as_bytes()).map_err(|wrong| refused(&wrong))?;
            if wanted.kind == Kind::Host {
                is_of_site(snapshot, index, filter.text())?;
            }
            let shown = String::from_utf8_lossy(filter.text()).into_owned();
            known.shown.push(shown);
            known.filters.push(filter);
        }
        Ok(known)
    }
}

impl<'p> Wanted<'p> {
    fn read(said: &'p Parameters) -> Result<Self, Reply> {
        let kinds = [Kind::Url, Kind::Prefix, Kind::Host, Kind::Tag, Kind::All];
        let mut asked = kinds.into_iter().filter(|kind| said.has(kind.name()));
        let (Some(kind), None) = (asked.next(), asked.next()) else {
            return Err(Reply::error(400, WHAT));
        };
        Ok(Self {
            kind,
            texts: match kind {
                Kind::All => Vec::new(),
                kind => said.values(kind.name()).collect(),
            },
            force: match said.has("soft") {
                true => Force::Soft,
                false => Force::Hard,
            },
        })
    }
}

/// Whether a purge outlives the process, and why not; null twice where nothing is kept on a disk.
pub(crate) fn tell_durable(durable: Durable) -> (Value, Value) {
    match durable {
        Durable::Yes => (json!(true), Value::Null),
        Durable::NotNeeded => (Value::Null, Value::Null),
        Durable::No(why) => (json!(false), json!(why)),
    }
}

/// What was purged beyond what was asked, told to whoever asked and to the operator's journal.
pub(crate) fn tell_folded(entered: &Entered) -> Value {
    let folded = entered.folded.iter().map(|folded| {
        let (site, entries) = (&folded.site, folded.entries);
        complain(&format!(
            "the ledger of purges is full: {entries} older ones of site {site} count for all of that site"
        ));
        json!({ "site": site, "entries": entries })
    });
    folded.collect()
}

fn refused(wrong: &mangrove_cache::purge::WrongFilter) -> Reply {
    Reply::error(400, format!("{wrong}. Nothing was purged"))
}

fn is_of_site(snapshot: &SharedSnapshot, index: u32, host: &[u8]) -> Result<(), Reply> {
    let owner = hosting(snapshot, host)?;
    if owner == index {
        return Ok(());
    }
    let (host, owner) = (text_of(host), site_name(snapshot, owner));
    let site = site_name(snapshot, index);
    Err(Reply::error(
        409,
        format!("the host {host} belongs to site {owner}, not to {site}: nothing was purged"),
    ))
}
