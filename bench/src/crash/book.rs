//! What is known of every object without asking the edge: its bytes, what was purged, and what must still be there.
//!
//! The origin numbers its answers. An answer bears the number of the one that brought its content, its *version*, and of the
//! last that confirmed it, by which it was *asked*. So a purge is two numbers: what the origin had given before it was
//! ordered was surely before it, and what it gives after the word of it was surely not.

use std::collections::BTreeMap;

use super::visitor::Answer;

/// Objects, of two sites.
pub(super) const OBJECTS: usize = 512;
/// Folders of a site.
const FOLDERS: usize = 8;
/// Tags; each object has one.
const TAGS: usize = 16;
/// The last objects are so large that memory does not take them, nor a piece that is spooled: a little more than 16 MiB.
const LARGE: usize = OBJECTS - 2;
const LARGE_BYTES: u64 = (16 << 20) + 1;
const SMALLEST: f64 = 100.0;
/// The largest is so many times the smallest, those of [`LARGE`] apart: 4 MiB.
const SPAN: f64 = 41_943.0;
/// What was finished so long before the kill must be there.
pub(super) const GRACE_MILLIS: f64 = 1000.0;

/// One of the two sites.
pub(super) fn site(object: usize) -> &'static str {
    if object.is_multiple_of(2) {
        "one"
    } else {
        "two"
    }
}

/// The host that an object is asked of.
pub(super) fn host(object: usize) -> String {
    format!("{}.example", site(object))
}

/// Its path.
pub(super) fn path(object: usize) -> String {
    format!("/g{}/{object}", folder(object))
}

/// The object of a path.
pub(super) fn object_of(path: &str) -> Option<usize> {
    let object = path.rsplit_once('/')?.1.parse().ok()?;
    (object < OBJECTS && self::path(object) == path).then_some(object)
}

/// Its tag.
pub(super) fn tag(object: usize) -> String {
    format!("t{}", object / 2 % TAGS)
}

fn folder(object: usize) -> usize {
    object / 2 / TAGS % FOLDERS
}

/// The bytes of one version of an object: no two have the same, nor the same anywhere in the same place.
pub(super) fn content(object: usize, version: u64) -> Vec<u8> {
    let mut seed = (object as u64) << 40 | version;
    let part = crate::asks::unit(&mut seed);
    let length = if object >= LARGE {
        LARGE_BYTES + version
    } else {
        length(part)
    };
    let words = length.div_ceil(8);
    let mut bytes: Vec<u8> = (0..words)
        .flat_map(|word| {
            let mixed = (seed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed.rotate_left(29).to_le_bytes()
        })
        .collect();
    bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
    bytes
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 100 to 4 MiB"
)]
fn length(part: f64) -> u64 {
    (SMALLEST * SPAN.powf(part.powf(1.5))) as u64
}

/// An order to purge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) what: What,
    pub(super) object: usize,
    pub(super) soft: bool,
}

/// What of the site of an object is purged: what it has in common with that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Url,
    Tag,
    Prefix,
    Host,
    All,
}

impl Order {
    /// The next of a seeded row: mostly small ones.
    pub(super) fn draw(random: &mut u64) -> Self {
        let what = match crate::asks::unit(random) {
            part if part < 0.60 => What::Url,
            part if part < 0.80 => What::Tag,
            part if part < 0.96 => What::Prefix,
            part if part < 0.98 => What::Host,
            _ => What::All,
        };
        Self {
            what,
            object: draw(random),
            soft: crate::asks::unit(random) < 0.4,
        }
    }

    /// As the operator's door takes it.
    pub(super) fn query(&self) -> String {
        let object = self.object;
        let what = match self.what {
            What::Url => format!("url=http://{}{}", host(object), path(object)),
            What::Tag => format!("tag={}", tag(object)),
            What::Prefix => format!("prefix=/g{}/", folder(object)),
            What::Host => format!("host={}", host(object)),
            What::All => "all".to_owned(),
        };
        let soft = if self.soft { "&soft" } else { "" };
        format!("site={}&{what}{soft}", site(object))
    }

    fn means(&self, object: usize) -> bool {
        site(object) == site(self.object)
            && match self.what {
                What::Url => object == self.object,
                What::Tag => tag(object) == tag(self.object),
                What::Prefix => folder(object) == folder(self.object),
                What::Host | What::All => true,
            }
    }
}

/// An object to ask for: the first ones more often.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place among a few hundred"
)]
pub(super) fn draw(random: &mut u64) -> usize {
    let part = crate::asks::unit(random);
    ((part * part * OBJECTS as f64) as usize).min(OBJECTS - 1)
}

/// Everything that happened to every object.
#[derive(Debug)]
pub(super) struct Book(Vec<Entry>);

#[derive(Clone, Debug, Default)]
struct Entry {
    floors: Floors,
    /// Up to this version it may have been purged, whether or not anyone was told.
    doubtful: u64,
    /// Versions that somebody got whole.
    finished: Vec<Finished>,
}

/// A version that somebody got whole.
#[derive(Clone, Debug)]
struct Finished {
    version: u64,
    /// When the edge had first said that it keeps it, and what it said then; never, where it has not.
    kept: Option<(f64, String)>,
}

/// What must not be answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Floors {
    /// Versions up to this one not at all.
    hard: u64,
    /// What was asked up to this one not as fresh.
    soft: u64,
}

/// What an answer is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The right bytes, from what is kept, fresh.
    Fresh,
    /// The right bytes, from what is kept, stale.
    Stale,
    /// The right bytes, from the origin, as the cache says in these words.
    Asked(String),
    /// A page: it is not there.
    Absent,
    /// Right bytes, and then the connection broke off: nobody takes it for whole.
    Cut,
    /// What must never be, in words.
    Wrong(String),
}

impl Book {
    pub(super) fn new() -> Self {
        Self(vec![Entry::default(); OBJECTS])
    }

    /// To be taken before an object is asked for: what is purged meanwhile may still be answered.
    pub(super) fn floors(&self, object: usize) -> Floors {
        self.0
            .get(object)
            .map_or_else(Floors::default, |entry| entry.floors)
    }

    /// Somebody got all of a version, and the edge said so of it.
    pub(super) fn finished(&mut self, object: usize, version: u64, said: &str, at: f64) {
        let Some(entry) = self.0.get_mut(object) else {
            return;
        };
        // What memory and disk had no room for is passed on, and said to be.
        let is_kept = said.contains("; hit") || said.contains("; stored");
        let kept = is_kept.then(|| (at, said.to_owned()));
        let mut known = entry.finished.iter_mut();
        match known.find(|known| known.version == version) {
            None => entry.finished.push(Finished { version, kept }),
            Some(known) if known.kept.is_none() => known.kept = kept,
            Some(_) => {}
        }
    }

    /// A purge is about to be ordered.
    pub(super) fn order(&mut self, order: Order) {
        for entry in self.meant(order).filter(|_| !order.soft) {
            entry.doubtful = u64::MAX;
        }
    }

    /// Its word has come: it is durable. The origin had given `before` answers when it was ordered and `after` now.
    pub(super) fn acknowledge(&mut self, order: Order, before: u64, after: u64) {
        for entry in self.meant(order) {
            if order.soft {
                entry.floors.soft = entry.floors.soft.max(before);
            } else {
                entry.floors.hard = entry.floors.hard.max(before);
                entry.doubtful = after;
            }
        }
    }

    /// The round is over: what has had no word until now will have none.
    pub(super) fn settle(&mut self, given: u64) {
        for entry in &mut self.0 {
            entry.doubtful = entry.doubtful.min(given);
            let doubtful = entry.doubtful;
            entry.finished.retain(|known| known.version > doubtful);
        }
    }

    /// The objects that must be there after a kill: kept long enough before it, and not purged since; and what the edge said of
    /// them.
    pub(super) fn expected(&self, killed: f64) -> BTreeMap<usize, String> {
        // The newest: what came last took the place of what was there before, also on the disk.
        let newest = |entry: &Entry| {
            let newest = entry.finished.iter().max_by_key(|known| known.version)?;
            let (at, said) = newest.kept.as_ref()?;
            let is_expected = newest.version > entry.doubtful && *at <= killed - GRACE_MILLIS;
            is_expected.then(|| said.clone())
        };
        let entries = self.0.iter().enumerate();
        entries
            .filter_map(|(object, entry)| Some((object, newest(entry)?)))
            .collect()
    }

    fn meant(&mut self, order: Order) -> impl Iterator<Item = &mut Entry> {
        let entries = self.0.iter_mut().enumerate();
        entries
            .filter(move |(object, _)| order.means(*object))
            .map(|(_, entry)| entry)
    }
}

/// Says what an answer is.
pub(super) fn judge(object: usize, floors: Floors, answer: &Answer) -> Verdict {
    let wrong = |what: String| Verdict::Wrong(format!("{}{}: {what}", host(object), path(object)));
    match answer.status {
        200 => {}
        502..=504 => return Verdict::Absent,
        status => return wrong(format!("status {status}")),
    }
    let (Some(version), Some(asked)) = (answer.version, answer.asked) else {
        return wrong("an answer without its numbers".to_owned());
    };
    let content = content(object, version);
    if !content.starts_with(&answer.body) {
        let pairs = content.iter().zip(&answer.body);
        let place = pairs.take_while(|(one, other)| one == other).count();
        return wrong(format!(
            "version {version}: another byte at {place}; {} of {} came",
            answer.body.len(),
            content.len()
        ));
    }
    if version <= floors.hard {
        return wrong(format!(
            "version {version}, and all up to {} were purged: {}",
            floors.hard, answer.cache_status
        ));
    }
    let is_hit = answer.cache_status.contains("; hit");
    let is_fresh = is_hit && answer.cache_status.contains("detail=fresh");
    // An origin was tried, and what is kept stands in for what it did not give.
    let is_stand_in = answer.cache_status.contains("detail=stale-if-error");
    if is_fresh && asked <= floors.soft {
        return wrong(format!(
            "fresh, asked at {asked}, and all up to {} were purged softly",
            floors.soft
        ));
    }
    match (answer.is_cut, content.len() == answer.body.len()) {
        (true, _) => Verdict::Cut,
        (false, false) => wrong(format!(
            "version {version} is {} bytes, and {} looked whole",
            content.len(),
            answer.body.len()
        )),
        (false, true) if is_fresh => Verdict::Fresh,
        (false, true) if is_hit || is_stand_in => Verdict::Stale,
        (false, true) => Verdict::Asked(answer.cache_status.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: usize = 34;
    const STORED: &str = "mangrove; fwd=uri-miss; stored";

    fn answer(version: u64) -> Answer {
        Answer {
            status: 200,
            version: Some(version),
            asked: Some(version),
            cache_status: "mangrove; hit; ttl=9; detail=fresh".to_owned(),
            body: content(OBJECT, version),
            is_cut: false,
        }
    }

    fn is_wrong(answer: &Answer, floors: Floors) -> bool {
        matches!(judge(OBJECT, floors, answer), Verdict::Wrong(_))
    }

    #[test]
    fn a_changed_a_missing_and_a_borrowed_byte_are_wrong_and_a_visible_cut_is_not() {
        let none = Floors::default();
        assert_eq!(judge(OBJECT, none, &answer(7)), Verdict::Fresh);
        let mut changed = answer(7);
        *changed.body.last_mut().unwrap() ^= 1;
        assert!(is_wrong(&changed, none));
        let mut short = answer(7);
        short.body.pop();
        assert!(is_wrong(&short, none));
        short.is_cut = true;
        assert_eq!(judge(OBJECT, none, &short), Verdict::Cut);
        let mut borrowed = answer(7);
        borrowed.body = content(OBJECT, 8);
        assert!(is_wrong(&borrowed, none));
        let mut unnumbered = answer(7);
        unnumbered.version = None;
        assert!(is_wrong(&unnumbered, none));
    }

    #[test]
    fn what_was_purged_is_wrong_and_softly_only_as_fresh() {
        let hard = Floors { hard: 7, soft: 0 };
        assert!(is_wrong(&answer(7), hard) && !is_wrong(&answer(8), hard));
        let soft = Floors { hard: 0, soft: 7 };
        assert!(is_wrong(&answer(7), soft));
        let mut stale = answer(7);
        stale.cache_status = "mangrove; hit; ttl=-1; detail=origin-down".to_owned();
        assert_eq!(judge(OBJECT, soft, &stale), Verdict::Stale);
        stale.cache_status = "mangrove; fwd=stale; detail=stale-if-error".to_owned();
        assert_eq!(judge(OBJECT, soft, &stale), Verdict::Stale);
        stale.cache_status = "mangrove; fwd=stale; stored".to_owned();
        assert!(matches!(judge(OBJECT, soft, &stale), Verdict::Asked(_)));
        let mut confirmed = answer(7);
        confirmed.asked = Some(8);
        assert_eq!(judge(OBJECT, soft, &confirmed), Verdict::Fresh);
    }

    #[test]
    fn a_purge_means_what_its_query_says() {
        let count = |what| {
            let order = Order {
                what,
                object: OBJECT,
                soft: false,
            };
            (0..OBJECTS).filter(|other| order.means(*other)).count()
        };
        assert_eq!(count(What::Url), 1);
        assert_eq!(count(What::Tag), OBJECTS / 2 / TAGS);
        assert_eq!(count(What::Prefix), OBJECTS / 2 / FOLDERS);
        assert_eq!((count(What::Host), count(What::All)), (256, 256));
        assert!((0..OBJECTS).all(|object| object_of(&path(object)) == Some(object)));
    }

    #[test]
    fn what_may_have_been_purged_or_came_too_late_is_not_expected() {
        let order = Order {
            what: What::Url,
            object: OBJECT,
            soft: false,
        };
        let mut book = Book::new();
        book.finished(OBJECT, 7, STORED, 500.0);
        assert!(book.expected(1499.0).is_empty());
        assert!(book.expected(1500.0).contains_key(&OBJECT));
        book.order(order);
        assert!(book.expected(1500.0).is_empty());
        assert_eq!(
            judge(OBJECT, book.floors(OBJECT), &answer(7)),
            Verdict::Fresh
        );
        book.acknowledge(order, 9, 10);
        book.finished(OBJECT, 10, STORED, 600.0);
        assert!(book.expected(2000.0).is_empty());
        assert!(is_wrong(&answer(9), book.floors(OBJECT)));
        book.finished(OBJECT, 11, STORED, 600.0);
        assert!(book.expected(2000.0).contains_key(&OBJECT));
    }

    #[test]
    fn what_the_edge_said_it_does_not_keep_is_not_expected_before_it_says_otherwise() {
        let mut book = Book::new();
        book.finished(OBJECT, 7, "mangrove; fwd=uri-miss; detail=too-large", 0.0);
        assert!(book.expected(5000.0).is_empty());
        book.finished(OBJECT, 7, STORED, 4500.0);
        assert!(book.expected(5000.0).is_empty());
        assert!(book.expected(5500.0).contains_key(&OBJECT));
    }

    /// It took the place of the one before and was not yet written: a fifth of all was called lost for that.
    #[test]
    fn what_was_brought_anew_at_the_last_moment_is_not_expected() {
        let mut book = Book::new();
        book.finished(OBJECT, 7, STORED, 500.0);
        book.finished(OBJECT, 8, STORED, 1700.0);
        assert!(book.expected(2000.0).is_empty());
        assert!(book.expected(2700.0).contains_key(&OBJECT));
    }

    #[test]
    fn a_purge_without_word_leaves_doubt_only_about_what_was_before() {
        let order = Order {
            what: What::All,
            object: OBJECT,
            soft: false,
        };
        let mut book = Book::new();
        book.order(order);
        book.settle(20);
        book.finished(OBJECT, 20, STORED, 0.0);
        assert!(book.expected(5000.0).is_empty());
        book.finished(OBJECT, 21, STORED, 0.0);
        assert!(book.expected(5000.0).contains_key(&OBJECT));
    }
}
