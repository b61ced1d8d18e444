//! Stories and laws of the pool, on simulated time.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::origin::health::{ActiveSettings, PassiveSettings};

fn at(seconds: u64) -> Moment {
    Moment(seconds * 1000)
}

fn origin(port: u16, weight: u16) -> Origin {
    Origin {
        key: format!("http://192.0.2.1:{port}").into(),
        endpoint: Endpoint::Address(SocketAddr::from(([192, 0, 2, 1], port))),
        weight,
    }
}

fn named(host: &str) -> Origin {
    Origin {
        key: format!("http://{host}:80").into(),
        endpoint: Endpoint::Name {
            host: host.into(),
            port: 80,
        },
        weight: 1,
    }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn pool(members: u16, settings: PoolSettings) -> Pool {
    let origins = (0..members)
        .map(|number| origin(8000 + number, 1))
        .collect();
    Pool::new(settings, origins, 1, at(0))
}

fn small(max_outstanding: u32, queue_length: usize) -> PoolSettings {
    PoolSettings {
        max_outstanding,
        queue_length,
        ..PoolSettings::default()
    }
}

fn probed() -> PoolSettings {
    PoolSettings {
        active: Some(ActiveSettings::default()),
        ..PoolSettings::default()
    }
}

fn ids(pool: &Pool, now: Moment) -> Vec<MemberId> {
    pool.explain(now)
        .iter()
        .map(|report| report.member)
        .collect()
}

fn standing(pool: &Pool, member: MemberId, now: Moment) -> Standing {
    let reports = pool.explain(now);
    reports
        .iter()
        .find(|report| report.member == member)
        .unwrap()
        .standing
}

fn fail(pool: &mut Pool, member: MemberId, outcome: Outcome, times: u32, now: Moment) {
    for _ in 0..times {
        pool.report(member, outcome, now);
    }
}

fn probe(pool: &mut Pool, member: MemberId, good: bool, times: u32, now: Moment) {
    for _ in 0..times {
        pool.probe_result(member, good, now);
    }
}

fn granted(acquired: Acquired) -> MemberId {
    let Acquired::Granted(member) = acquired else {
        panic!("{acquired:?}")
    };
    member
}

fn queued(acquired: Acquired) -> Ticket {
    let Acquired::Queued(ticket) = acquired else {
        panic!("{acquired:?}")
    };
    ticket
}

#[test]
fn a_retry_is_given_another_member_until_none_is_left() {
    let mut pool = pool(2, PoolSettings::default());
    let first = granted(pool.acquire(at(0), &[]));
    let second = granted(pool.acquire(at(0), &[first]));
    assert_ne!(first, second);
    assert_eq!(
        pool.acquire(at(0), &[first, second]),
        Acquired::Refused(Reason::AllTried)
    );
}

#[test]
fn weights_are_split_among_the_addresses_of_a_name() {
    let mut pool = Pool::new(
        PoolSettings::default(),
        vec![origin(1, 1), named("app")],
        1,
        at(0),
    );
    pool.resolved("app", &[ip(1), ip(2), ip(3)]);
    let mut counts = BTreeMap::new();
    for _ in 0..600 {
        let Choice::Use(member) = pool.choose(at(0), &[]) else {
            panic!()
        };
        *counts.entry(member).or_insert(0) += 1;
    }
    let counts: Vec<i32> = counts.into_values().collect();
    let due = [300, 100, 100, 100];
    assert!(
        counts
            .iter()
            .zip(due)
            .all(|(count, due)| (count - due).abs() <= 2),
        "{counts:?}"
    );
}

#[test]
fn a_full_pool_queues_first_come_first_served_and_a_full_queue_refuses() {
    let mut pool = pool(1, small(2, 2));
    let member = granted(pool.acquire(at(0), &[]));
    granted(pool.acquire(at(0), &[]));
    assert_eq!(standing(&pool, member, at(0)), Standing::Full);
    let first = queued(pool.acquire(at(0), &[]));
    let second = queued(pool.acquire(at(1), &[]));
    assert_eq!(
        pool.acquire(at(1), &[]),
        Acquired::Refused(Reason::AtCapacity)
    );

    let turn = pool.release(member, at(2));
    assert_eq!(
        turn,
        Some(Turn::Granted {
            ticket: first,
            member
        })
    );
    let turn = pool.release(member, at(2));
    assert_eq!(
        turn,
        Some(Turn::Granted {
            ticket: second,
            member
        })
    );
    assert_eq!(pool.release(member, at(2)), None);
    assert_eq!(pool.release(member, at(2)), None);
    assert_eq!(pool.explain(at(2))[0].outstanding, 0);
}

#[test]
fn a_wait_ends_at_its_deadline_and_not_before() {
    let mut pool = pool(1, small(1, 9));
    granted(pool.acquire(at(0), &[]));
    let ticket = queued(pool.acquire(at(0), &[]));
    assert_eq!(pool.next_due(at(0)), Some(at(5)));
    assert!(pool.advance(Moment(4_999)).is_empty());
    let refused = Turn::Refused {
        ticket,
        reason: Reason::QueueTimeout,
    };
    assert_eq!(pool.advance(at(5)), [refused]);
    assert_eq!(pool.queued(), 0);
}

#[test]
fn one_who_left_the_queue_is_given_nothing() {
    let mut pool = pool(1, small(1, 9));
    let member = granted(pool.acquire(at(0), &[]));
    let left = queued(pool.acquire(at(0), &[]));
    let stayed = queued(pool.acquire(at(0), &[]));
    pool.abandon(left, at(1));
    let turn = pool.release(member, at(1));
    assert_eq!(
        turn,
        Some(Turn::Granted {
            ticket: stayed,
            member
        })
    );
}

#[test]
fn a_waiting_retry_is_not_given_the_member_it_tried() {
    let mut pool = pool(2, small(1, 9));
    let a = granted(pool.acquire(at(0), &[]));
    let b = granted(pool.acquire(at(0), &[]));
    let retry = queued(pool.acquire(at(0), &[a]));
    assert_eq!(pool.release(a, at(1)), None);
    assert_eq!(
        granted(pool.acquire(at(1), &[])),
        a,
        "nobody who waits would take it"
    );
    assert_eq!(
        pool.release(b, at(1)),
        Some(Turn::Granted {
            ticket: retry,
            member: b
        })
    );
}

#[test]
fn a_free_place_reaches_one_who_can_use_it_past_any_number_who_cannot() {
    let mut pool = pool(2, small(1, 99));
    let a = granted(pool.acquire(at(0), &[]));
    granted(pool.acquire(at(0), &[]));
    for _ in 0..50 {
        queued(pool.acquire(at(0), &[a]));
    }
    let ticket = queued(pool.acquire(at(0), &[]));
    let turn = pool.release(a, at(1));
    assert_eq!(turn, Some(Turn::Granted { ticket, member: a }));
}

#[test]
fn newcomers_do_not_overtake_those_who_wait() {
    let mut pool = Pool::new(small(1, 9), vec![named("app")], 1, at(0));
    pool.resolved("app", &[ip(1)]);
    granted(pool.acquire(at(0), &[]));
    let first = queued(pool.acquire(at(0), &[]));
    pool.resolved("app", &[ip(1), ip(2)]);
    let second = queued(pool.acquire(at(0), &[]));
    let turns = pool.advance(at(0));
    assert!(
        matches!(turns[..], [Turn::Granted { ticket, .. }] if ticket == first),
        "{turns:?}"
    );
    assert!(second > first);
}

#[test]
fn when_waits_have_become_long_no_more_are_begun_but_free_places_are_still_given() {
    let mut pool = pool(1, small(1, 100));
    let member = granted(pool.acquire(at(0), &[]));
    for _ in 0..20 {
        queued(pool.acquire(at(0), &[]));
    }
    assert_eq!(pool.advance(at(5)).len(), 20);
    assert_eq!(
        pool.acquire(at(5), &[]),
        Acquired::Refused(Reason::BreakerOpen)
    );
    pool.release(member, at(6));
    assert_eq!(pool.acquire(at(6), &[]), Acquired::Granted(member));
    assert_eq!(
        pool.acquire(at(6), &[]),
        Acquired::Refused(Reason::BreakerOpen)
    );
    queued(pool.acquire(at(10), &[]));
}

#[test]
fn failing_members_are_left_out_and_come_back() {
    let mut pool = pool(2, PoolSettings::default());
    let [a, b] = ids(&pool, at(0))[..] else {
        panic!()
    };
    fail(&mut pool, a, Outcome::Reset, 5, at(0));
    assert_eq!(
        standing(&pool, a, at(0)),
        Standing::Ejected { until: at(10) }
    );
    for _ in 0..50 {
        assert_eq!(pool.choose(at(1), &[]), Choice::Use(b));
    }
    let later: Vec<Choice> = (0..4).map(|_| pool.choose(at(10), &[])).collect();
    assert!(later.contains(&Choice::Use(a)));
}

#[test]
fn no_more_than_the_share_is_ejected() {
    let mut pool = pool(5, PoolSettings::default());
    let now = at(0);
    for member in ids(&pool, now) {
        fail(&mut pool, member, Outcome::Reset, 50, now);
    }
    let out = |report: &MemberReport| matches!(report.standing, Standing::Ejected { .. });
    assert_eq!(
        pool.explain(now)
            .iter()
            .filter(|report| out(report))
            .count(),
        2
    );
}

#[test]
fn a_single_origin_is_never_ejected() {
    let mut pool = pool(1, PoolSettings::default());
    let member = ids(&pool, at(0))[0];
    fail(&mut pool, member, Outcome::TimedOut, 100, at(0));
    assert_eq!(pool.choose(at(0), &[]), Choice::Use(member));
}

#[test]
fn when_only_ejected_members_are_left_the_least_recently_failed_is_tried() {
    let settings = PoolSettings {
        passive: PassiveSettings {
            pool_percent: 100,
            ..PassiveSettings::default()
        },
        ..PoolSettings::default()
    };
    let mut pool = pool(2, settings);
    let [a, b] = ids(&pool, at(0))[..] else {
        panic!()
    };
    fail(&mut pool, b, Outcome::Reset, 5, at(0));
    fail(&mut pool, a, Outcome::Reset, 5, at(1));
    assert_eq!(pool.choose(at(2), &[]), Choice::Use(b));
    pool.report(b, Outcome::Reset, at(2));
    assert_eq!(pool.choose(at(3), &[]), Choice::Use(a));
}

#[test]
fn a_breaker_opens_on_failed_connections_only_and_closes_after_trials() {
    let mut pool = pool(1, PoolSettings::default());
    let member = ids(&pool, at(0))[0];
    for outcome in [Outcome::TimedOut, Outcome::Reset, Outcome::Status5xx(503)] {
        fail(&mut pool, member, outcome, 100, at(0));
        assert_eq!(pool.choose(at(0), &[]), Choice::Use(member), "{outcome:?}");
    }
    fail(&mut pool, member, Outcome::ConnectFailed, 20, at(20));
    assert_eq!(
        pool.acquire(at(20), &[]),
        Acquired::Refused(Reason::BreakerOpen)
    );
    for _ in 0..3 {
        granted(pool.acquire(at(25), &[]));
    }
    assert_eq!(
        pool.acquire(at(25), &[]),
        Acquired::Refused(Reason::BreakerOpen)
    );
    fail(&mut pool, member, Outcome::Ok, 3, at(26));
    granted(pool.acquire(at(26), &[]));
}

#[test]
fn members_that_probes_find_down_are_left_out_and_come_back() {
    let mut pool = pool(2, probed());
    let [a, b] = ids(&pool, at(0))[..] else {
        panic!()
    };
    probe(&mut pool, a, false, 2, at(0));
    assert_eq!(standing(&pool, a, at(0)), Standing::Ready);
    probe(&mut pool, a, false, 1, at(0));
    assert_eq!(standing(&pool, a, at(0)), Standing::Down);
    assert!((0..50).all(|_| pool.choose(at(0), &[]) == Choice::Use(b)));
    probe(&mut pool, a, true, 2, at(20));
    assert_eq!(standing(&pool, a, at(20)), Standing::Ready);
}

#[test]
fn with_all_down_and_both_witnesses_agreeing_all_but_a_trial_each_second_are_refused() {
    let mut pool = pool(2, probed());
    for member in ids(&pool, at(0)) {
        pool.report(member, Outcome::Reset, at(0));
        probe(&mut pool, member, false, 3, at(0));
    }
    assert!(
        matches!(pool.choose(at(1), &[]), Choice::Use(_)),
        "the trial"
    );
    for _ in 0..50 {
        assert_eq!(
            pool.choose(at(1), &[]),
            Choice::Refuse(Reason::NoHealthyOrigin)
        );
    }
    assert!(
        matches!(pool.choose(at(2), &[]), Choice::Use(_)),
        "the next"
    );
}

#[test]
fn a_wrong_probe_does_not_take_the_site_off_the_net() {
    let mut pool = pool(2, probed());
    for member in ids(&pool, at(0)) {
        probe(&mut pool, member, false, 3, at(0));
    }
    let Choice::Use(trial) = pool.choose(at(1), &[]) else {
        panic!()
    };
    pool.report(trial, Outcome::Ok, at(1));
    for second in 2..100 {
        assert_eq!(pool.choose(at(second), &[]), Choice::Use(trial));
        pool.report(trial, Outcome::Ok, at(second));
    }
    pool.report(trial, Outcome::Reset, at(100));
    pool.choose(at(100), &[]);
    assert_eq!(
        pool.choose(at(100), &[]),
        Choice::Refuse(Reason::NoHealthyOrigin)
    );
}

#[test]
fn each_member_is_probed_about_once_an_interval() {
    let mut pool = pool(3, probed());
    let mut sent = 0;
    for tenth in 0..1000 {
        let now = Moment(tenth * 100);
        for probe in pool.due_probes(now) {
            sent += 1;
            pool.probe_result(probe.member, true, now);
        }
    }
    assert!((27..=33).contains(&sent), "{sent} in 100 s");
    assert!(pool.next_due(at(100)).unwrap() > at(99));
}

#[test]
fn requests_wait_for_a_first_address_and_no_longer_than_it_takes() {
    let mut pool = Pool::new(PoolSettings::default(), vec![named("app")], 1, at(0));
    let ticket = queued(pool.acquire(at(0), &[]));
    pool.resolved("app", &[ip(1)]);
    let turns = pool.advance(at(1));
    assert!(
        matches!(turns[..], [Turn::Granted { ticket: t, .. }] if t == ticket),
        "{turns:?}"
    );

    let mut pool = Pool::new(PoolSettings::default(), vec![named("app")], 1, at(0));
    let ticket = queued(pool.acquire(at(0), &[]));
    pool.resolution_failed("app");
    let refused = Turn::Refused {
        ticket,
        reason: Reason::NameNotResolved,
    };
    assert_eq!(pool.advance(at(1)), [refused]);
    assert_eq!(
        pool.acquire(at(1), &[]),
        Acquired::Refused(Reason::NameNotResolved)
    );
}

#[test]
fn an_empty_answer_changes_nothing_and_a_new_one_lets_the_old_members_finish() {
    let mut pool = Pool::new(PoolSettings::default(), vec![named("app")], 1, at(0));
    pool.resolved("app", &[ip(1)]);
    let old = granted(pool.acquire(at(0), &[]));
    pool.resolved("app", &[]);
    assert_eq!(pool.choose(at(0), &[]), Choice::Use(old));

    pool.resolved("app", &[ip(2)]);
    assert_eq!(standing(&pool, old, at(0)), Standing::Leaving);
    let new = granted(pool.acquire(at(0), &[]));
    assert_ne!(new, old);
    pool.release(old, at(1));
    assert_eq!(ids(&pool, at(1)), [new]);
    assert_eq!(pool.target(old), None);
}

#[test]
fn members_past_the_ceiling_are_left_out() {
    let ceiling = u16::try_from(MAX_MEMBERS).unwrap();
    assert_eq!(pool(ceiling, PoolSettings::default()).left_out(), 0);
    let pool = pool(ceiling + 2, PoolSettings::default());
    assert_eq!((ids(&pool, at(0)).len(), pool.left_out()), (MAX_MEMBERS, 2));
}

#[test]
fn an_heir_knows_what_its_elder_knew_and_counts_with_it() {
    let origins = vec![named("app"), origin(1, 1)];
    let mut old = Pool::new(PoolSettings::default(), origins, 1, at(0));
    old.resolved("app", &[ip(1), ip(2)]);
    let sick = ids(&old, at(0))[1];
    fail(&mut old, sick, Outcome::Reset, 5, at(0));
    let busy = granted(old.acquire(at(0), &[]));

    let origins = vec![origin(2, 1), origin(1, 9), named("app")];
    let mut new = Pool::new(PoolSettings::default(), origins, 2, at(1));
    new.inherit(&old);
    assert_eq!(
        ids(&new, at(1)).len(),
        4,
        "addresses are known without asking"
    );
    assert_eq!(
        standing(&new, sick, at(1)),
        Standing::Ejected { until: at(10) }
    );
    let outstanding = |pool: &Pool| {
        let reports = pool.explain(at(1));
        reports
            .iter()
            .find(|report| report.member == busy)
            .unwrap()
            .outstanding
    };
    assert_eq!(outstanding(&new), 1);
    old.release(busy, at(2));
    assert_eq!(outstanding(&new), 0);
    let mut all = ids(&new, at(1));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 4);
}

#[test]
fn it_explains_itself_in_one_line_each() {
    let mut pool = pool(2, PoolSettings::default());
    let a = ids(&pool, at(0))[0];
    fail(&mut pool, a, Outcome::Status5xx(503), 5, at(4));
    assert_eq!(
        pool.explain(at(6))[0].to_string(),
        "http://192.0.2.1:8000 at 192.0.2.1:8000: ejected for 8 s more, share 50.0%, outstanding 0, \
         ejected 1 times lately, last failure status-5xx 2 s ago (status 503)"
    );
}

#[test]
fn reasons_have_distinct_names() {
    let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Reason::ALL.len());
}

/// One thing that happens to a pool.
#[derive(Debug, Clone)]
enum Event {
    Arrive,
    Finish(usize, Outcome),
    Probe(usize, bool),
    Leave(usize),
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Ok),
        2 => Just(Outcome::ConnectFailed),
        1 => Just(Outcome::TimedOut),
        1 => Just(Outcome::Status5xx(502)),
    ];
    let event = prop_oneof![
        8 => Just(Event::Arrive),
        6 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Event::Finish(which, outcome)),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, good)| Event::Probe(which, good)),
        1 => any::<usize>().prop_map(Event::Leave),
        3 => (0u64..3000).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 0..400)
}

proptest! {
    #[test]
    fn the_laws_hold_whatever_happens(members in 1u16..6, cap in 1u32..4, length in 0usize..5, seed: u64, events in events()) {
        let settings = PoolSettings { active: Some(ActiveSettings::default()), ..small(cap, length) };
        let origins = (0..members).map(|number| origin(number, 1 + number)).collect();
        let mut pool = Pool::new(settings, origins, seed, at(0));
        let everyone = ids(&pool, at(0));
        let mut now = at(0);
        let mut running: Vec<MemberId> = Vec::new();
        let mut waiting: VecDeque<Ticket> = VecDeque::new();
        for event in events {
            let mut turns = Vec::new();
            match event {
                Event::Arrive => {
                    let before = pool.explain(now);
                    match pool.acquire(now, &[]) {
                        Acquired::Granted(member) => {
                            let chosen = before.iter().find(|report| report.member == member).unwrap();
                            let a_ready_one = before.iter().any(|report| report.standing == Standing::Ready);
                            prop_assert!(chosen.standing == Standing::Ready || !a_ready_one, "{before:?}");
                            let broken = matches!(chosen.standing, Standing::BreakerOpen { .. });
                            prop_assert!(!broken, "{chosen}");
                            running.push(member);
                        }
                        Acquired::Queued(ticket) => waiting.push_back(ticket),
                        Acquired::Refused(_) => {}
                    }
                }
                Event::Finish(which, outcome) if !running.is_empty() => {
                    let member = running.swap_remove(which % running.len());
                    pool.report(member, outcome, now);
                    turns.extend(pool.release(member, now));
                }
                Event::Probe(which, good) => {
                    pool.probe_result(everyone[which % everyone.len()], good, now);
                }
                Event::Leave(which) if !waiting.is_empty() => {
                    let ticket = waiting.remove(which % waiting.len()).unwrap();
                    pool.abandon(ticket, now);
                }
                Event::Pass(milliseconds) => {
                    now = now + Duration::from_millis(milliseconds);
                    turns.extend(pool.advance(now));
                }
                Event::Finish(..) | Event::Leave(_) => {}
            }
            for turn in turns {
                let first = waiting.pop_front();
                match turn {
                    Turn::Granted { ticket, member } => {
                        prop_assert_eq!(first, Some(ticket), "first come, first served");
                        running.push(member);
                    }
                    Turn::Refused { ticket, .. } => prop_assert_eq!(first, Some(ticket)),
                }
            }
            prop_assert!(pool.queued() <= length);
            prop_assert_eq!(pool.queued(), waiting.len());
            for report in pool.explain(now) {
                prop_assert!(report.outstanding <= cap, "{report}");
                let truly = running.iter().filter(|member| **member == report.member).count();
                prop_assert_eq!(report.outstanding as usize, truly);
            }
            let ejected = pool.explain(now).iter().filter(|r| matches!(r.standing, Standing::Ejected { .. })).count();
            prop_assert!(ejected * 2 <= usize::from(members), "{ejected} of {members} ejected");
        }
    }
}
