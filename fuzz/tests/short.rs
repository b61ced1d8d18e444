//! Every target for a short, fixed while: the same inputs each time.

use mangrove_fuzz::{campaign, targets};

/// Made-up inputs for each target; a few seconds in a debug build for all of them.
const EXECUTIONS: u64 = 3_000;

#[test]
fn nothing_is_found_in_a_short_while() {
    for target in targets::all() {
        let corpus = campaign::corpus(target);
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        let outcome = campaign::run(target, &corpus, 1, |count| count < EXECUTIONS);
        let failure = outcome
            .as_ref()
            .err()
            .map(|failure| (failure.input.escape_ascii().to_string(), &failure.message));
        assert_eq!(failure, None, "{}", target.name);
    }
}
