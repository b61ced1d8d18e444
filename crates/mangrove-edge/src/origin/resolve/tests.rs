//! Stories of names: simulated time for the core, a name server on loopback for the shell.

use std::net::Ipv4Addr;

use super::*;
use tokio::net::UdpSocket;

fn at(seconds: u64) -> Moment {
    Moment(seconds * 1000)
}

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn answer(last: &[u8], ttl: u64) -> Result<Answer, LookupFailed> {
    Ok(Answer {
        addresses: last.iter().map(|last| ip(*last)).collect(),
        ttl: Some(Duration::from_secs(ttl)),
    })
}

fn watching(name: &str) -> Names {
    let mut names = Names::new(1);
    names.watch(name, at(0)).unwrap();
    assert_eq!(names.due(at(0)), [Arc::from(name)]);
    names
}

#[test]
fn a_name_is_asked_for_again_when_its_time_to_live_is_over() {
    let mut names = watching("app");
    assert!(names.due(at(5)).is_empty(), "under way");
    assert_eq!(
        names.answered("app", answer(&[2, 1], 60), at(5)),
        Learned::Changed
    );
    assert_eq!(names.addresses("app"), [ip(1), ip(2)]);
    assert!(names.due(at(64)).is_empty());
    assert_eq!(names.due(at(65)).len(), 1);
    assert_eq!(
        names.answered("app", answer(&[1, 2], 60), at(65)),
        Learned::Unchanged
    );
}

#[test]
fn times_to_live_are_clamped() {
    for (ttl, next) in [
        (0, 1),
        (1, 1),
        (2, 2),
        (299, 299),
        (300, 300),
        (301, 300),
        (86_400, 300),
    ] {
        let mut names = watching("app");
        names.answered("app", answer(&[1], ttl), at(0));
        assert_eq!(names.next_due(), Some(at(next)), "{ttl}");
    }
}

#[test]
fn empty_is_never_everything() {
    let mut names = watching("app");
    names.answered("app", answer(&[1], 60), at(0));
    names.due(at(60));
    assert_eq!(
        names.answered("app", answer(&[], 60), at(60)),
        Learned::KeptLastGood
    );
    assert_eq!(names.addresses("app"), [ip(1)]);
    let unspecified = Ok(Answer {
        addresses: vec!["0.0.0.0".parse().unwrap()],
        ttl: None,
    });
    assert_eq!(
        names.answered("app", unspecified, at(61)),
        Learned::KeptLastGood
    );
    let report = names.explain().remove(0);
    assert_eq!(report.stale_since, Some(at(60)));
    assert_eq!(report.last_failure, Some(LookupFailed::NoAddress));
    names.answered("app", answer(&[1], 60), at(70));
    assert_eq!(names.explain().remove(0).stale_since, None);
}

#[test]
fn a_name_never_resolved_is_said_to_be_unknown() {
    let mut names = watching("app");
    let failed = Err(LookupFailed::TimedOut);
    assert_eq!(names.answered("app", failed, at(0)), Learned::StillUnknown);
    assert!(names.addresses("app").is_empty());
    assert_eq!(
        names.answered("other", answer(&[1], 1), at(0)),
        Learned::NotWatched
    );
}

#[test]
fn failures_are_asked_about_ever_less_often_up_to_the_cap() {
    let mut names = watching("app");
    let mut now = at(0);
    for seconds in [1, 2, 4, 8, 16, 30, 30] {
        names.answered("app", Err(LookupFailed::ServerFailed), now);
        let next = names.next_due().unwrap();
        let pause = next.saturating_since(now).as_millis();
        assert!(
            (seconds * 900..=seconds * 1100).contains(&pause),
            "{pause} for {seconds}"
        );
        now = next;
        assert_eq!(names.due(now).len(), 1);
    }
}

#[test]
fn an_unanswered_lookup_is_taken_for_failed() {
    let mut names = watching("app");
    assert!(names.due(Moment(19_999)).is_empty());
    assert!(names.due(at(20)).is_empty());
    assert_eq!(
        names.explain().remove(0).last_failure,
        Some(LookupFailed::TimedOut)
    );
    assert_eq!(names.due(at(22)).len(), 1);
}

#[test]
fn no_more_lookups_than_the_ceiling_are_under_way() {
    let mut names = Names::new(1);
    for number in 0..40 {
        names.watch(&format!("app{number}"), at(0)).unwrap();
    }
    let first = names.due(at(0));
    assert_eq!(first.len(), LOOKUPS_AT_ONCE);
    assert!(names.due(at(1)).is_empty());
    names.answered(&first[0], answer(&[1], 60), at(1));
    assert_eq!(names.due(at(1)).len(), 1);
    names.retain(|name| name != &*first[1]);
    assert_eq!(
        names.due(at(1)).len(),
        1,
        "a forgotten lookup frees its place"
    );
}

#[test]
fn one_name_past_the_ceiling_is_refused() {
    let mut names = Names::new(1);
    for number in 0..MAX_NAMES {
        names.watch(&number.to_string(), at(0)).unwrap();
    }
    assert_eq!(names.watch("0", at(0)), Ok(()));
    assert_eq!(names.watch("one more", at(0)), Err(TooManyNames));
}

#[test]
fn one_address_past_the_ceiling_is_left_out_and_the_choice_does_not_wander() {
    let mut names = watching("app");
    let many: Vec<u8> = (1..=17).collect();
    names.answered("app", answer(&many, 60), at(0));
    assert_eq!(names.addresses("app"), (1..=16).map(ip).collect::<Vec<_>>());
    // Address 1 leaves, 17 takes its place; when 1 comes back, those in use stay.
    names.answered("app", answer(&many[1..], 60), at(1));
    assert_eq!(names.addresses("app").last(), Some(&ip(17)));
    let reversed: Vec<u8> = (1..=17).rev().collect();
    assert_eq!(
        names.answered("app", answer(&reversed, 60), at(2)),
        Learned::Unchanged
    );
}

#[test]
fn an_empty_list_of_servers_is_refused() {
    assert!(matches!(
        Resolver::dns(&[]),
        Err(ResolverProblem::NoServers)
    ));
}

#[tokio::test]
async fn the_system_resolves_localhost() {
    let answer = Resolver::system().lookup("localhost").await.unwrap();
    assert!(
        answer.addresses.iter().all(IpAddr::is_loopback),
        "{answer:?}"
    );
    assert_eq!(answer.ttl, None);
}

#[tokio::test]
async fn name_servers_are_asked_for_both_kinds_of_address() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::dns(&[server.local_addr().unwrap()]).unwrap();
    let serving = tokio::spawn(name_server(server));

    let found = resolver.lookup("app.example").await.unwrap();
    let mut addresses = found.addresses;
    addresses.sort_unstable();
    assert_eq!(addresses, [ip(7), "2001:db8::7".parse().unwrap()]);
    assert_eq!(
        found.ttl,
        Some(Duration::from_secs(42)),
        "the shorter of 42 and 60"
    );

    assert_eq!(
        resolver.lookup("gone.example").await,
        Err(LookupFailed::NoAddress)
    );
    assert_eq!(resolver.lookup("..").await, Err(LookupFailed::NotAName));
    serving.abort();
}

/// Answers A with 42 s and AAAA with 60 s to live; for names that begin with `gone`, that there is no such name.
async fn name_server(socket: UdpSocket) {
    let mut query = [0; 512];
    while let Ok((length, client)) = socket.recv_from(&mut query).await {
        let query = &query[..length];
        let name_end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let question = &query[12..name_end + 4];
        let gone = query[13..].starts_with(b"gone");
        let data: &[u8] = match query[name_end + 1] {
            1 => &[0, 1, 0, 1, 0, 0, 0, 42, 0, 4, 192, 0, 2, 7],
            _ => &[
                0, 28, 0, 1, 0, 0, 0, 60, 0, 16, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 7,
            ],
        };
        let mut reply = query[..2].to_vec();
        reply.extend([
            0x81,
            if gone { 0x83 } else { 0x80 },
            0,
            1,
            0,
            u8::from(!gone),
            0,
            0,
            0,
            0,
        ]);
        reply.extend(question);
        if !gone {
            reply.extend([0xc0, 12]);
            reply.extend(data);
        }
        socket.send_to(&reply, client).await.unwrap();
    }
}
