//! The ledger agrees with a plain list of purges that is walked from its beginning to its end.

use mangrove_cache::Fields;
use mangrove_cache::purge::{Filter, Force, Generation, Kind, Ledger, Purge, Subject, Verdict};
use mangrove_http::UnixMillis;
use proptest::prelude::*;

const SITES: [&str; 2] = ["news", "shop"];

/// Something that was asked for.
#[derive(Debug, Clone)]
struct Thing {
    site: &'static str,
    key: String,
    tags: Fields,
    born: Generation,
}

#[derive(Debug, Clone)]
enum Step {
    /// Something is asked for.
    Ask(usize, String, Vec<String>),
    /// Something is purged.
    Purge(usize, Vec<Filter>, Force),
}

fn word() -> impl Strategy<Value = String> {
    "[ab]{1,2}"
}

fn key() -> impl Strategy<Value = String> {
    let path = "(/[ab]{0,2}){1,3}(/\\./[ab])?(%6[12])?(\\?[ab])?";
    ("https?", "[ab]\\.example(:8080)?", path)
        .prop_map(|(scheme, host, path)| format!("{scheme}://{host}{path}"))
}

fn filter() -> impl Strategy<Value = Filter> {
    let read = |kind, text: String| Filter::read(kind, text.as_bytes()).unwrap();
    prop_oneof![
        1 => Just(Filter::all()),
        3 => "[ab]\\.example".prop_map(move |text| read(Kind::Host, text)),
        5 => "(/[ab]{1,2}){1,2}/?".prop_map(move |text| read(Kind::Prefix, text)),
        5 => word().prop_map(move |text| read(Kind::Tag, text)),
        5 => key().prop_map(move |text| read(Kind::Url, text)),
    ]
}

fn force() -> impl Strategy<Value = Force> {
    prop_oneof![2 => Just(Force::Hard), 1 => Just(Force::Soft)]
}

fn step() -> impl Strategy<Value = Step> {
    let site = 0..SITES.len();
    let tags = proptest::collection::vec(word(), 0..3);
    let filters = proptest::collection::vec(filter(), 1..3);
    prop_oneof![
        3 => (site.clone(), key(), tags).prop_map(|(site, key, tags)| Step::Ask(site, key, tags)),
        2 => (site, filters, force()).prop_map(|(site, filters, force)| Step::Purge(site, filters, force)),
    ]
}

/// Plays a story through a ledger, and writes everything down.
fn play(steps: &[Step], ledger: &Ledger) -> (Vec<Thing>, Vec<Purge>) {
    let (mut things, mut purges) = (Vec::new(), Vec::new());
    for (at, step) in (1_u64..).zip(steps) {
        match step {
            Step::Ask(site, key, tags) => {
                let name = &b"surrogate-key"[..];
                things.push(Thing {
                    site: SITES[*site],
                    key: key.clone(),
                    tags: tags.iter().map(|tag| (name, tag.as_bytes())).collect(),
                    born: ledger.generation(),
                });
            }
            Step::Purge(site, filters, force) => {
                let at = UnixMillis(at);
                let entered = ledger.purge(SITES[*site], filters, *force, at);
                purges.extend(filters.iter().map(|filter| Purge {
                    site: SITES[*site].into(),
                    filter: filter.clone(),
                    force: *force,
                    generation: entered.generation,
                    at,
                }));
            }
        }
    }
    (things, purges)
}

/// All purges, one after the other. Of soft ones of the same filter the last counts, of different ones the earliest.
fn walked(thing: &Thing, purges: &[Purge]) -> Verdict {
    let subject = Subject::of_key(thing.key.as_bytes(), Some(&thing.tags));
    let meant = |purge: &&Purge| {
        purge.site.as_ref() == thing.site
            && thing.born < purge.generation
            && subject.is_meant_by(&purge.filter)
    };
    let is_last = |purge: &&Purge| {
        let later = |other: &&Purge| other.generation > purge.generation;
        let same = |other: &Purge| {
            (&other.site, &other.filter, other.force) == (&purge.site, &purge.filter, purge.force)
        };
        !purges.iter().filter(later).any(same)
    };
    let meant: Vec<&Purge> = purges.iter().filter(meant).collect();
    if meant.iter().any(|purge| purge.force == Force::Hard) {
        return Verdict::Gone;
    }
    let since = meant
        .into_iter()
        .filter(is_last)
        .map(|purge| purge.at)
        .min();
    since.map_or(Verdict::Alive, Verdict::StaleSince)
}

fn asked(thing: &Thing, ledger: &Ledger) -> Verdict {
    let subject = Subject::of_key(thing.key.as_bytes(), Some(&thing.tags));
    ledger
        .site(thing.site)
        .verdict(thing.born, &subject)
        .verdict
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_ledger_agrees_with_a_walk_over_all_purges(steps in proptest::collection::vec(step(), 1..40)) {
        let ledger = Ledger::new([1, 2], 1_000);
        let (things, purges) = play(&steps, &ledger);
        for thing in &things {
            prop_assert_eq!(asked(thing, &ledger), walked(thing, &purges), "{:?} {:?}", thing, purges);
        }
    }

    /// What was found alive in a version is alive for as long as there is no higher one: what a hit relies on.
    #[test]
    fn a_verdict_holds_until_the_version_changes(before in proptest::collection::vec(step(), 1..20), after in proptest::collection::vec(step(), 1..20)) {
        let ledger = Ledger::new([1, 2], 1_000);
        let (things, _) = play(&before, &ledger);
        let known: Vec<_> = things.iter().map(|thing| {
            let subject = Subject::of_key(thing.key.as_bytes(), Some(&thing.tags));
            ledger.site(thing.site).verdict(thing.born, &subject)
        }).collect();
        play(&after, &ledger);
        for (thing, known) in things.iter().zip(known) {
            if ledger.site(thing.site).version() == known.version {
                prop_assert_eq!(asked(thing, &ledger), known.verdict);
            }
        }
    }

    /// At the ceiling more is purged than was asked, and nothing less.
    #[test]
    fn a_full_ledger_purges_more_and_never_less(steps in proptest::collection::vec(step(), 1..60), ceiling in 2..6_usize) {
        let ledger = Ledger::new([1, 2], ceiling);
        let (things, purges) = play(&steps, &ledger);
        prop_assert!(ledger.entries() <= ceiling);
        for thing in &things {
            let (found, walked) = (asked(thing, &ledger), walked(thing, &purges));
            let holds = match (found, walked) {
                (Verdict::StaleSince(found), Verdict::StaleSince(_)) => found.0 > 0,
                (found, walked) => found >= walked,
            };
            prop_assert!(holds, "{found:?} {walked:?} {thing:?} {purges:?}");
        }
    }

    /// Entries that are about nothing any more change no verdict when they go.
    #[test]
    fn forgetting_changes_nothing_for_what_lives(steps in proptest::collection::vec(step(), 1..40), oldest in 0..12_u64) {
        let ledger = Ledger::new([1, 2], 1_000);
        let (things, purges) = play(&steps, &ledger);
        ledger.forget_before(Generation(oldest));
        for thing in things.iter().filter(|thing| thing.born.0 >= oldest) {
            prop_assert_eq!(asked(thing, &ledger), walked(thing, &purges));
        }
    }

    /// A journal read by the next process, under another seed, says the same.
    #[test]
    fn a_journal_tells_the_next_process_everything(steps in proptest::collection::vec(step(), 1..40)) {
        let first = Ledger::new([1, 2], 1_000);
        let (things, purges) = play(&steps, &first);
        let next = Ledger::new([3, 4], 1_000);
        for purge in &purges {
            let mut bytes = Vec::new();
            purge.encode(&mut bytes).unwrap();
            next.replay(&Purge::decode(&bytes).unwrap());
        }
        prop_assert_eq!(next.generation(), first.generation());
        for thing in &things {
            prop_assert_eq!(asked(thing, &next), asked(thing, &first));
        }
    }
}

#[test]
fn one_entry_too_many_folds_the_older_half_of_the_site_that_has_most() {
    let ledger = Ledger::new([1, 2], 4);
    let tag = |name: &str| [Filter::read(Kind::Tag, name.as_bytes()).unwrap()];
    let at = UnixMillis(7);
    let born = ledger.generation();
    for name in ["a", "b", "c"] {
        assert!(
            ledger
                .purge("news", &tag(name), Force::Hard, at)
                .folded
                .is_empty()
        );
    }
    assert!(
        ledger
            .purge("shop", &tag("a"), Force::Hard, at)
            .folded
            .is_empty()
    );
    // What has an entry needs none more, and a whole site needs none at all.
    assert!(
        ledger
            .purge("news", &tag("c"), Force::Soft, at)
            .folded
            .is_empty()
    );
    assert!(
        ledger
            .purge("shop", &[Filter::all()], Force::Soft, at)
            .folded
            .is_empty()
    );
    assert_eq!((ledger.entries(), ledger.folded()), (4, 0));

    let entered = ledger.purge("shop", &tag("b"), Force::Hard, at);
    assert_eq!(entered.folded.len(), 1);
    assert_eq!(
        (&*entered.folded[0].site, entered.folded[0].entries),
        ("news", 2)
    );
    assert_eq!((ledger.entries(), ledger.folded()), (3, 2));
    // All of news that is older than the folded ones is gone, and nothing that is younger.
    let untagged = Subject::of_key(b"https://a/", None);
    let verdict = |site: &str, born| ledger.site(site).verdict(born, &untagged).verdict;
    assert_eq!(verdict("news", born), Verdict::Gone);
    assert_eq!(verdict("news", Generation(born.0 + 2)), Verdict::Alive);
    assert_eq!(verdict("shop", born), Verdict::StaleSince(at));
}

#[test]
fn forgotten_entries_give_their_memory_back() {
    let ledger = Ledger::new([1, 2], 10_000);
    let empty = {
        ledger.site("news");
        ledger.bytes()
    };
    for tag in 0..5_000 {
        let tag = Filter::read(Kind::Tag, format!("t{tag}").as_bytes()).unwrap();
        ledger.purge("news", &[tag], Force::Hard, UnixMillis(0));
    }
    let full = ledger.bytes();
    assert!(full > empty + 5_000 * 32, "{full}");
    ledger.forget_before(ledger.generation());
    assert_eq!((ledger.entries(), ledger.bytes()), (0, empty));
}
