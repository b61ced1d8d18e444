//! Whatever the cache answers, a plain reading of the RFC allows it; and what is plainly fresh, it answers itself.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use crate::plain::{self, Contact, Exchange};
use crate::world::{Answered, World, steps};

fn judge(world: &World, answered: &Answered) -> Result<(), TestCaseError> {
    let chain: Vec<&Exchange> = answered
        .chain
        .iter()
        .map(|place| &world.history[*place])
        .collect();
    let fault = plain::fault(
        &chain,
        &answered.request,
        answered.now,
        answered.contact,
        answered.changed,
    );
    prop_assert_eq!(fault, None, "{:?}\nchain: {:#?}", answered, chain);
    // What the origin would have said to this client once, never what it said to another kind.
    let kind = |content: &str| content.rsplit('-').next().unwrap().to_owned();
    prop_assert_eq!(kind(&chain[0].content), kind(&answered.request.content));
    if answered.contact == Contact::Confirmed {
        prop_assert_eq!(
            &chain[0].content,
            &chain[chain.len() - 1].content,
            "confirmed, but something else"
        );
    }
    if answered.not_modified {
        let client = answered
            .request
            .request
            .iter()
            .find(|(name, _)| name == "if-none-match");
        let (_, tag) = client.unwrap();
        prop_assert_eq!(tag.trim_matches('"'), &chain[0].content);
    }
    Ok(())
}

/// Rare turns of events need more tries than most laws.
fn many() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = default.cases * 3;
    ProptestConfig { cases, ..default }
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn every_answer_is_one_that_the_rfc_allows(steps in steps()) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.run(step));
        for answered in &world.answered {
            judge(&world, answered)?;
        }
        for forwarded in &world.forwarded {
            let chain: Vec<&Exchange> = forwarded.chain.iter().map(|place| &world.history[*place]).collect();
            let needless = !forwarded.changed && plain::is_plainly_fresh(&chain, &forwarded.request, forwarded.now);
            prop_assert!(!needless, "{:?}\nchain: {:#?}", forwarded, chain);
        }
    }
}

/// The law above says something only if answers of every kind are among those judged.
#[test]
fn the_made_up_world_has_answers_of_every_kind() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    let mut invalidated = 0;
    for _ in 0..1_500 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        let mut world = World::new();
        steps.iter().for_each(|step| world.run(step));
        invalidated += world.changes.len();
        for answered in &world.answered {
            let kind = format!(
                "{:?}, not modified: {}, chain: {}",
                answered.contact,
                answered.not_modified,
                answered.chain.len().min(2)
            );
            *kinds.entry(kind).or_default() += 1;
        }
    }
    assert!(invalidated > 300, "{invalidated}");
    assert!(
        kinds.len() >= 10 && kinds.values().all(|count| *count > 1),
        "{kinds:#?}"
    );
}
