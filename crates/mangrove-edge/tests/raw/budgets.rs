//! How much of its origin a whole site may be made to ask: queries and paths that nobody has heard of spend a budget, and what is
//! kept is answered all the same.

use std::net::{IpAddr, Ipv4Addr};

use mangrove_edge::reason::EdgeReason;

use crate::disk::{are_on_disk, restart};
use crate::limits::{asks, plain_get};
use crate::world::World;

fn visitor(n: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, n).into()
}

/// Has `/kept` brought into the cache.
fn keep(world: &World) {
    let mut client = world.client();
    client.get("/kept");
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\nkept");
    assert_eq!(client.answer().body, "kept");
}

fn is_hit(world: &World, from: IpAddr) {
    let mut client = world.client_from(from);
    client.get("/kept");
    assert_eq!(client.answer().body, "kept");
}

fn is_refused(world: &World, from: IpAddr, path: &str) {
    let mut client = world.client_from(from);
    client.get(path);
    let answer = client.answer();
    assert_eq!(answer.head.status(), 429, "{path}");
    assert_eq!(answer.reason(), Some("rate-limited"));
}

#[test]
fn random_queries_from_many_addresses_spend_the_budget_of_misses_and_hits_go_on() {
    let world = World::with(
        "",
        "[[site.rate_limit]]\nname = 'misses'\nkey = ['site']\ncounts = 'misses'\nrate = 5\nper = '1h'",
    );
    keep(&world);
    for n in 1..=4 {
        let mut client = world.client_from(visitor(n));
        asks(&world, &mut client, &plain_get(&format!("/kept?{n}")), 200);
    }
    for n in 5..=60 {
        is_refused(&world, visitor(n), &format!("/kept?{n}"));
        is_hit(&world, visitor(n));
    }
    assert_eq!(world.counts(EdgeReason::RateLimited, 56), 56);
    assert!(
        world.origin.is_untouched(),
        "it was asked more than five times"
    );
}

/// What only the disk has is kept as well.
#[test]
fn what_the_disk_has_is_answered_while_the_budget_is_spent_and_what_it_has_not_is_not() {
    let mut world = World::with(
        "",
        "[[site.rate_limit]]\nname = 'misses'\nkey = ['site']\ncounts = 'misses'\nrate = 1\nper = '1h'",
    );
    keep(&world);
    are_on_disk(&world, 1);
    restart(&mut world);
    asks(&world, &mut world.client(), &plain_get("/other"), 404);
    is_refused(&world, visitor(1), "/kept?1");
    // The disk has an answer to this URL, and not to this question: that is known when it has been looked at.
    let mut client = world.client_from(visitor(3));
    client.send("GET /kept HTTP/1.1\r\nHost: a.example\r\nCache-Control: no-cache\r\n\r\n");
    assert_eq!(client.answer().reason(), Some("rate-limited"));
    is_hit(&world, visitor(2));
    assert!(world.origin.is_untouched());
}

/// As many 404s as are a fifth of what is asked for cost nothing, however many that is; random paths are told apart by their share.
#[test]
fn a_share_of_answers_may_be_404_and_random_paths_are_more_than_that() {
    let world = World::with(
        "",
        "[[site.rate_limit]]\nname = 'lost'\nkey = ['site']\ncounts = 'misses'\nstatuses = ['404']\nshare = 20\n\
         rate = 1\nper = '1h'\nburst = 4",
    );
    keep(&world);
    let mut asked = 0;
    let mut ask = |status| {
        asked += 1;
        let mut client = world.client_from(visitor(asked));
        asks(
            &world,
            &mut client,
            &plain_get(&format!("/{asked}")),
            status,
        );
        world.records_of(usize::from(asked) + 1);
    };
    // One in five, and six of them: more than would have been let through without a share.
    for _ in 0..6 {
        ask(404);
        (0..4).for_each(|_| ask(200));
    }
    (0..4).for_each(|_| ask(404));
    for n in 100..=120 {
        is_refused(&world, visitor(n), &format!("/random/{n}"));
        is_hit(&world, visitor(n));
    }
    assert!(world.origin.is_untouched());
}
