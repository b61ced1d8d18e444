//! Stories of the supervisor, told without processes.

use std::path::Path;

use super::*;

const RELEASED: &str = "/opt/mangrove";

/// A supervisor whose first edge (1) serves since `now`.
fn serving(now: Instant) -> Supervisor {
    let mut supervisor = Supervisor::new(1);
    let boot = Event::Boot {
        program: RELEASED.into(),
        fallback: false,
    };
    assert_eq!(supervisor.on(boot, now), [start(1)]);
    let actions = supervisor.on(Event::Ready(1), now);
    assert!(actions.contains(&Action::Keep));
    assert_eq!(supervisor.status(), Status::Serving);
    supervisor
}

fn start(generation: Generation) -> Action {
    Action::Start {
        generation,
        program: RELEASED.into(),
    }
}

fn killed(generation: Generation) -> Event {
    Event::Exited(generation, Exit::Outside("SIGKILL".into()))
}

fn crashed(generation: Generation) -> Event {
    Event::Exited(generation, Exit::Fault("exit code 101".into()))
}

fn reload(sockets: bool) -> Event {
    Event::Configured {
        asker: Asker::Caller(7),
        sockets,
    }
}

/// What the asker was told, and whether it was good news.
fn told(actions: &[Action]) -> Option<bool> {
    actions.iter().find_map(|action| match action {
        Action::Answer(_, outcome) => Some(outcome.is_ok()),
        _ => None,
    })
}

fn starts(actions: &[Action]) -> Vec<Generation> {
    let starts = actions.iter().filter_map(|action| match action {
        Action::Start { generation, .. } => Some(*generation),
        _ => None,
    });
    starts.collect()
}

#[test]
fn an_edge_killed_from_outside_is_replaced_in_the_same_breath() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    for generation in 1..20 {
        let actions = supervisor.on(killed(generation), now);
        assert_eq!(starts(&actions), [generation + 1]);
        assert_eq!(supervisor.status(), Status::Recovering);
        supervisor.on(Event::Ready(generation + 1), now);
        assert_eq!(supervisor.serving(), Some(generation + 1));
    }
}

#[test]
fn an_edge_that_crashes_at_once_is_given_a_pause_and_the_person_is_told() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    assert_eq!(starts(&supervisor.on(crashed(1), now)), [2]);

    let actions = supervisor.on(crashed(2), now);
    assert_eq!(starts(&actions), [0; 0]);
    assert!(matches!(&actions[..], [Action::Say(said)] if said.contains("2 times in a row")));

    let then = supervisor.deadline().unwrap();
    assert_eq!(then - now, Duration::from_millis(250));
    assert_eq!(supervisor.on(Event::Tick, now), []);
    assert_eq!(starts(&supervisor.on(Event::Tick, then)), [3]);
}

#[test]
fn a_reload_is_applied_in_place_then_the_certificates_then_answered() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    let ok = |call| Event::Answered(1, call, Ok(String::new()));

    let actions = supervisor.on(reload(false), now);
    assert_eq!(actions, [Action::Call(1, Call::Apply)]);
    let actions = supervisor.on(ok(Call::Apply), now);
    assert_eq!(actions, [Action::Keep, Action::Call(1, Call::Certificates)]);
    assert_eq!(
        told(&supervisor.on(ok(Call::Certificates), now)),
        Some(true)
    );
    assert_eq!(supervisor.refuses_change(), None);
}

#[test]
fn a_refused_configuration_is_taken_back_before_it_is_answered() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    supervisor.on(reload(false), now);
    let refused = Event::Answered(1, Call::Apply, Err("no such file".into()));
    let actions = supervisor.on(refused, now);
    let answer = Action::Answer(Asker::Caller(7), Err("no such file".into()));
    assert_eq!(actions, [Action::TakeBack, answer]);
    assert_eq!(supervisor.serving(), Some(1));
}

#[test]
fn a_configuration_that_crashes_the_edge_is_blamed_and_taken_back() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    supervisor.on(reload(false), now);
    let actions = supervisor.on(crashed(1), now);
    assert_eq!(actions[0], Action::TakeBack);
    assert_eq!(told(&actions), Some(false));
    assert_eq!(starts(&actions), [2]);
}

#[test]
fn a_kill_in_the_middle_of_a_reload_does_not_blame_the_configuration() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    supervisor.on(reload(false), now);
    let actions = supervisor.on(killed(1), now);
    assert_eq!(starts(&actions), [2]);
    assert_eq!(told(&actions), None);
    assert_eq!(told(&supervisor.on(Event::Ready(2), now)), Some(true));
}

#[test]
fn other_sockets_mean_another_edge_and_the_old_one_drains_once_it_is_ready() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    assert_eq!(supervisor.on(reload(true), now), [start(2)]);
    assert_eq!(supervisor.serving(), Some(1));

    let actions = supervisor.on(Event::Ready(2), now);
    assert_eq!(actions[..2], [Action::Keep, Action::Call(1, Call::Drain)]);
    assert_eq!(told(&actions), Some(true));
    assert_eq!(supervisor.on(Event::Exited(1, Exit::Clean), now), []);
    assert_eq!(supervisor.serving(), Some(2));
}

#[test]
fn a_new_edge_that_never_becomes_ready_leaves_the_old_one_serving() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    supervisor.on(reload(true), now);
    let late = now + READY_LIMIT;
    let actions = supervisor.on(Event::Tick, late);
    assert!(actions.contains(&Action::Signal(2, Stop::Kill)));

    let actions = supervisor.on(killed(2), late); // by our own hand: no excuse for it
    assert_eq!(actions[0], Action::TakeBack);
    assert_eq!(told(&actions), Some(false));
    assert_eq!(supervisor.serving(), Some(1));
}

#[test]
fn a_new_edge_killed_from_outside_is_tried_again_so_many_times() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    supervisor.on(reload(true), now);
    assert_eq!(starts(&supervisor.on(killed(2), now)), [3]);
    assert_eq!(starts(&supervisor.on(killed(3), now)), [4]);
    assert_eq!(told(&supervisor.on(killed(4), now)), Some(false));
}

#[test]
fn both_edges_lost_in_a_failed_change_bring_back_what_served_before() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    supervisor.on(reload(true), now);
    assert_eq!(starts(&supervisor.on(killed(1), now)), [0; 0]);
    let actions = supervisor.on(crashed(2), now);
    assert_eq!(actions[0], Action::TakeBack);
    assert_eq!(starts(&actions), [3]);
}

#[test]
fn an_upgrade_starts_the_new_program_and_then_becomes_it() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    let asker = Asker::Caller(1);
    let program = PathBuf::from("/opt/mangrove-2");
    let upgrade = Event::Upgrade {
        asker,
        program: program.clone(),
    };
    let started = Action::Start {
        generation: 2,
        program: program.clone(),
    };
    assert_eq!(supervisor.on(upgrade, now), [started]);
    assert_eq!(
        supervisor.on(Event::Ready(2), now),
        [
            Action::Keep,
            Action::Call(1, Call::Drain),
            Action::Become { program, asker }
        ]
    );
}

#[test]
fn a_failed_upgrade_goes_on_with_the_old_program() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    let upgrade = Event::Upgrade {
        asker: Asker::Caller(1),
        program: "/opt/broken".into(),
    };
    supervisor.on(upgrade, now);
    assert_eq!(told(&supervisor.on(crashed(2), now)), Some(false));
    assert_eq!(supervisor.program.as_path(), Path::new(RELEASED));
    assert_eq!(supervisor.on(killed(1), now)[0], start(3));
}

#[test]
fn one_change_at_a_time() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    supervisor.on(reload(true), now);
    assert_eq!(told(&supervisor.on(reload(false), now)), Some(false));
    assert_eq!(told(&supervisor.on(Event::Ready(2), now)), Some(true));
}

#[test]
fn a_first_start_that_fails_says_so_and_leaves() {
    let now = crate::clock::now();
    let mut supervisor = Supervisor::new(1);
    let boot = |fallback| Event::Boot {
        program: RELEASED.into(),
        fallback,
    };
    supervisor.on(boot(false), now);
    let actions = supervisor.on(crashed(1), now);
    assert_eq!(told(&actions), Some(false));
    assert_eq!(actions.last(), Some(&Action::Exit(1)));

    let mut supervisor = Supervisor::new(1);
    supervisor.on(boot(true), now);
    let actions = supervisor.on(crashed(1), now);
    assert_eq!(actions[0], Action::TakeBack);
    assert_eq!(starts(&actions), [2]);
}

#[test]
fn stopping_drains_every_edge_and_waits_for_the_last() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    supervisor.on(reload(true), now);
    supervisor.on(Event::Ready(2), now);
    let actions = supervisor.on(Event::Terminate, now);
    assert_eq!(actions, [Action::Close, Action::Call(2, Call::Drain)]);
    assert_eq!(supervisor.on(Event::Exited(2, Exit::Clean), now), []);
    let actions = supervisor.on(Event::Exited(1, Exit::Clean), now);
    assert_eq!(actions, [Action::Exit(0)]);
}

#[test]
fn a_drain_that_takes_too_long_is_ended_and_a_second_signal_waits_for_nothing() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    supervisor.on(Event::Terminate, now);
    assert_eq!(supervisor.deadline(), Some(now + DRAIN_LIMIT));
    let actions = supervisor.on(Event::Tick, now + DRAIN_LIMIT);
    assert_eq!(actions, [Action::Signal(1, Stop::Kill)]);

    let mut supervisor = serving(now);
    supervisor.on(Event::Terminate, now);
    let actions = supervisor.on(Event::Terminate, now);
    assert_eq!(actions, [Action::Signal(1, Stop::Kill), Action::Exit(0)]);
}

#[test]
fn an_adopted_edge_serves_on_and_its_end_brings_a_child_of_our_own() {
    let now = crate::clock::now();
    let mut supervisor = Supervisor::new(1);
    let adopted = |generation, serves| Event::Adopted {
        generation,
        serves,
        program: RELEASED.into(),
    };
    let actions = supervisor.on(adopted(4, false), now);
    assert_eq!(actions, [Action::Call(4, Call::Drain)]);
    assert_eq!(supervisor.on(adopted(9, true), now), []);
    assert_eq!(supervisor.status(), Status::Serving);
    let actions = supervisor.on(Event::Exited(9, Exit::Unknown), now);
    assert_eq!(starts(&actions), [10]);
}

#[test]
fn an_edge_deaf_to_its_health_questions_is_ended_one_past_the_limit() {
    let mut now = crate::clock::now();
    let mut supervisor = serving(now);
    let deaf = Event::Answered(1, Call::Health, Err("no answer".into()));
    for _ in 1..HEALTH_FAILURES {
        now += HEALTH_INTERVAL;
        let asked = supervisor.on(Event::Tick, now);
        assert_eq!(asked, [Action::Call(1, Call::Health)]);
        assert_eq!(supervisor.on(deaf.clone(), now), []);
    }
    let actions = supervisor.on(deaf, now);
    assert_eq!(actions, [Action::Signal(1, Stop::Kill)]);
    assert_eq!(starts(&supervisor.on(killed(1), now)), [2]);
}

#[test]
fn an_edge_that_does_not_take_the_drain_call_is_asked_by_signal() {
    let now = crate::clock::now();
    let mut supervisor = serving(now);
    supervisor.on(reload(true), now);
    supervisor.on(Event::Ready(2), now);
    let unheard = Event::Answered(1, Call::Drain, Err("refused".into()));
    let actions = supervisor.on(unheard, now);
    assert_eq!(actions, [Action::Signal(1, Stop::Terminate)]);
}
