//! `mangrove-fuzz [TARGET|all|list] [--seconds N] [--seed S] [--hex INPUT]`

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command talks to its user"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use mangrove_fuzz::campaign::{self, Failure};
use mangrove_fuzz::targets::{self, Target};

const USAGE: &str = "usage: mangrove-fuzz [TARGET|all|list] [--seconds N] [--seed S] [--hex INPUT]

Runs a target, or all of them, for N seconds each (5) from seed S (1); or one target on one input in hexadecimal.";

struct Arguments {
    target: String,
    seconds: u64,
    seed: u64,
    input: Option<Vec<u8>>,
}

fn main() -> ExitCode {
    let Some(arguments) = read_arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if arguments.target == "list" {
        targets::all().for_each(|target| println!("{:18} {}", target.name, target.about));
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<&Target> = match arguments.target.as_str() {
        "all" => targets::all().collect(),
        name => targets::named(name).into_iter().collect(),
    };
    if chosen.is_empty() {
        eprintln!(
            "no target is called {}; `mangrove-fuzz list` names them",
            arguments.target
        );
        return ExitCode::from(2);
    }
    // What a target says is printed by `report`; the hook would print it once more, in the middle of a line.
    std::panic::set_hook(Box::new(|_| {}));
    let mut code = ExitCode::SUCCESS;
    for target in chosen {
        let outcome = match &arguments.input {
            Some(input) => campaign::run_once(target, input).map(|()| 1),
            None => run_for(target, &arguments),
        };
        match outcome {
            Ok(count) => println!(
                "{:18} {count:9} executions, seed {}: nothing found",
                target.name, arguments.seed
            ),
            Err(failure) => {
                report(target, &arguments, &failure);
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

#[allow(
    clippy::disallowed_methods,
    reason = "how long to go on is decided here, nothing else"
)]
fn run_for(target: &Target, arguments: &Arguments) -> Result<u64, Failure> {
    let start = Instant::now();
    let time = Duration::from_secs(arguments.seconds);
    campaign::run(target, &campaign::corpus(target), arguments.seed, |_| {
        start.elapsed() < time
    })
}

fn report(target: &Target, arguments: &Arguments, failure: &Failure) {
    let hex: String = failure
        .input
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!(
        "{:18} FAILED, seed {}: {}",
        target.name, arguments.seed, failure.message
    );
    println!("  input: {}", failure.input.escape_ascii());
    println!(
        "  again: cargo run -p mangrove-fuzz -- {} --hex {hex}",
        target.name
    );
}

fn read_arguments() -> Option<Arguments> {
    let mut arguments = Arguments {
        target: "all".to_owned(),
        seconds: 5,
        seed: 1,
        input: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        match word.as_str() {
            "--seconds" => arguments.seconds = given.next()?.parse().ok()?,
            "--seed" => arguments.seed = given.next()?.parse().ok()?,
            "--hex" => arguments.input = Some(from_hex(&given.next()?)?),
            word if word.starts_with('-') => return None,
            word => arguments.target = word.to_owned(),
        }
    }
    Some(arguments)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits
        .len()
        .is_multiple_of(2)
        .then(|| digits.chunks(2).map(byte).collect())
        .flatten()
}
