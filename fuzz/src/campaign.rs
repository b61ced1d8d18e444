//! Running a target for a while.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::mutate::{Random, mutate};
use crate::targets::Target;

/// An input that broke a law.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The input.
    pub input: Vec<u8>,
    /// What the target said.
    pub message: String,
}

/// Runs a target on one input.
pub fn run_once(target: &Target, input: &[u8]) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message =
            message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failure {
            input: input.to_vec(),
            message: message.unwrap_or_else(|| "panicked".to_owned()),
        }
    })
}

/// Runs a target on `corpus` and then on made-up input until `go_on` (asked now and then, with the count so far) says no.
///
/// The same seed and corpus give the same inputs. Returns how many there were.
pub fn run(
    target: &Target,
    corpus: &[Vec<u8>],
    seed: u64,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<u64, Failure> {
    for input in corpus {
        run_once(target, input)?;
    }
    let mut random = Random::new(seed);
    let mut count = 0_u64;
    while !count.is_multiple_of(64) || go_on(count) {
        let mut input = target.grammar.generate(&mut random);
        // A quarter begins from the corpus instead.
        if random.below(4) == 0
            && let Some(seed) = corpus.get(random.below(corpus.len()))
        {
            input.clone_from(seed);
            (0..=random.below(4)).for_each(|_| mutate(&mut input, &mut random));
        }
        run_once(target, &input)?;
        count += 1;
    }
    Ok(count)
}

/// The corpus of a target: every file in its folder, in the order of their names. None if there is no folder.
pub fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target.name);
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .collect()
}
