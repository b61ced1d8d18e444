//! What an operator is told of the disk: where each answer is kept, also what memory does not have.

use serde_json::{Value, json};

use crate::disk::{are_on_disk, restart};
use crate::origin::{FRESH, send};
use crate::parts::send_all;
use crate::world::{World, eventually, fetch};

fn told(world: &World, target: &str) -> Value {
    let (status, told) = world.operator("GET", target);
    assert_eq!(status, 200, "{told}");
    told
}

fn show(world: &World, path: &str) -> Value {
    told(world, &format!("/cache/show?url=http://a.example{path}"))
}

/// All pages of the disk's list, and how many there were.
fn on_disk(world: &World, more: &str) -> (Vec<Value>, usize) {
    let (mut rows, mut pages, mut from) = (Vec::new(), 0, String::new());
    loop {
        let page = told(world, &format!("/cache/list?disk{more}{from}"));
        assert_eq!(page["why"], Value::Null);
        rows.extend(page["kept"].as_array().unwrap().iter().cloned());
        pages += 1;
        let looked = page["looked_through_mille"].as_u64().unwrap();
        match page["next"].as_str() {
            Some(next) => from = format!("&from={next}"),
            None => {
                assert_eq!(looked, 1000);
                return (rows, pages);
            }
        }
    }
}

fn urls(rows: &[Value]) -> Vec<&str> {
    let mut urls: Vec<_> = rows
        .iter()
        .map(|row| row["url"].as_str().unwrap())
        .collect();
    urls.sort_unstable();
    urls
}

/// A world in which `/a` (tagged `red`) and `/b` are on the disk, and the edge has just begun anew.
fn begun_anew() -> World {
    let mut world = World::new();
    let mut client = world.client();
    client.get("/a");
    let mut origin = world.origin.accept();
    origin.head();
    let fields = format!("{FRESH}Cache-Tag: red\r\nETag: \"1\"\r\n");
    send(&mut origin, &fields, "news");
    assert_eq!(client.answer().body, "news");
    fetch(&mut client, &mut origin, "/b", FRESH, "b");
    are_on_disk(&world, 2);
    drop((client, origin));
    restart(&mut world);
    world
}

#[test]
fn what_only_the_disk_has_is_told_and_looking_does_not_make_it_wanted() {
    let world = begun_anew();
    assert_eq!(told(&world, "/cache/list")["kept"], json!([]));
    let (rows, _) = on_disk(&world, "&site=story");
    assert_eq!(urls(&rows), ["http://a.example/a", "http://a.example/b"]);
    for row in &rows {
        assert_eq!(row["in_memory"], 0);
        assert_eq!((&row["on_disk"], &row["complete"]), (&json!(1), &json!(1)));
    }

    for _ in 0..2 {
        let told = show(&world, "/a");
        let kept = &told["kept"][0];
        assert_eq!(
            (&kept["in_memory"], &kept["memory_bytes"]),
            (&json!("no"), &json!(0))
        );
        assert_eq!(
            kept["on_disk"],
            json!({ "complete": true, "pieces": 1, "all_pieces": 1, "in_parts": false, "log": "probation", "asked": 0 })
        );
        assert_eq!(
            (&kept["complete"], &kept["bytes"]),
            (&json!(true), &json!(4))
        );
        assert_eq!(
            (&kept["etag"], &kept["tags"]),
            (&json!("\"1\""), &json!(["red"]))
        );
        assert_eq!(told["plain_get"]["reason"], "fresh");
        assert_eq!(told["disk"], json!({ "all_known": true, "why": null }));
    }

    let mut client = world.client();
    client.get("/a");
    assert_eq!(client.answer().body, "news");
    let kept = &show(&world, "/a")["kept"];
    assert_eq!(kept.as_array().unwrap().len(), 1);
    assert_eq!(
        (&kept[0]["in_memory"], &kept[0]["on_disk"]["asked"]),
        (&json!("all"), &json!(1))
    );
    let row = &told(&world, "/cache/list")["kept"][0];
    assert_eq!(
        (&row["url"], &row["on_disk"]),
        (&json!("http://a.example/a"), &json!(1))
    );
    let (rows, _) = on_disk(&world, "");
    assert_eq!(urls(&rows), ["http://a.example/a", "http://a.example/b"]);
    assert!(world.origin.is_untouched());
}

#[test]
fn what_was_purged_is_on_no_list_although_it_lies_on_the_disk_still() {
    for (purge, left) in [("tag=red", 1), ("prefix=/a", 1), ("host=a.example", 0)] {
        let world = begun_anew();
        world.operator("POST", &format!("/purge?site=story&{purge}"));
        assert_eq!(on_disk(&world, "").0.len(), left, "{purge}");
        let told = show(&world, "/a");
        assert_eq!(
            (&told["kept"], &told["plain_get"]["reason"]),
            (&json!([]), &json!("miss"))
        );
    }
    let world = begun_anew();
    let purge = "/purge?site=story&url=http://a.example/a";
    assert_eq!(world.operator("POST", purge).1["variants"], 1);
    assert_eq!(world.operator("POST", purge).1["variants"], 0);
}

#[test]
fn what_is_too_large_for_memory_has_its_head_there_and_its_content_on_the_disk() {
    let world = World::with("cache_memory = '8MiB'", "");
    let mut client = world.client();
    let large = "x".repeat(17 << 20);
    client.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    let sending = send_all(origin, FRESH, &large);
    assert!(client.answer().body == large);
    sending.join().unwrap();
    are_on_disk(&world, 1);
    let mut kept = show(&world, "/large")["kept"][0].take();
    // A client that falls behind what comes reads it from there.
    let asked = kept["on_disk"]["asked"].take();
    assert!(asked == 0 || asked == 1, "{asked}");
    let on_disk = json!({
        "complete": true, "pieces": 17, "all_pieces": 17, "in_parts": false, "log": "probation", "asked": null,
    });
    assert_eq!(
        (&kept["in_memory"], &kept["on_disk"]),
        (&json!("head"), &on_disk)
    );
    client.get("/large");
    assert!(client.answer().body == large);
    let kept = &show(&world, "/large")["kept"][0];
    assert_eq!(
        (&kept["in_memory"], &kept["complete"]),
        (&json!("head"), &json!(true))
    );
}

/// Said to be had at once, it answered nobody.
#[test]
fn what_has_lost_some_of_its_content_is_told_so() {
    let world = World::with("cache_memory = '8MiB'", "");
    let mut client = world.client();
    let large = "x".repeat(17 << 20);
    client.get("/large");
    let mut origin = world.origin.accept();
    origin.head();
    let sending = send_all(origin, FRESH, &large);
    assert!(client.answer().body == large);
    sending.join().unwrap();
    are_on_disk(&world, 1);
    drop(client);
    let mut world = world;
    restart(&mut world); // from now on content is looked at before it is sent
    let mut client = world.client();
    client.get("/large");
    assert!(client.answer().body == large);
    for slab in world.slabs() {
        slab.set_len(9 << 20).unwrap(); // the head comes last, and is gone as well; memory has it
    }
    let mut client = world.client();
    client.get("/large");
    client.rest(); // cut off
    let told = eventually("it is noticed", || {
        let told = show(&world, "/large");
        (told["kept"][0]["complete"] == false).then_some(told)
    });
    assert_eq!(told["kept"][0]["in_memory"], "head");
    assert_ne!(told["plain_get"]["reason"], "fresh", "{told}");
    let row = &told_row(&world);
    assert_eq!((&row["complete"], &row["variants"]), (&json!(0), &json!(1)));
}

fn told_row(world: &World) -> Value {
    told(world, "/cache/list")["kept"][0].clone()
}

#[test]
fn the_disks_list_is_told_page_by_page_one_past_a_page_on_the_next() {
    const PAGE: usize = 256;
    let mut world = World::new();
    let mut client = world.client();
    client.get("/0");
    let mut origin = world.origin.accept();
    origin.head();
    send(&mut origin, FRESH, "x");
    client.answer();
    for number in 1..=PAGE {
        fetch(&mut client, &mut origin, &format!("/{number}"), FRESH, "x");
    }
    are_on_disk(&world, PAGE as u64 + 1);
    drop((client, origin));
    restart(&mut world);
    let first = told(&world, "/cache/list?disk");
    assert_eq!(first["kept"].as_array().unwrap().len(), PAGE);
    assert!(first["next"].is_string());
    let (rows, _) = on_disk(&world, "");
    let mut urls = urls(&rows);
    urls.dedup();
    assert_eq!(urls.len(), PAGE + 1);
}

#[test]
fn what_is_kept_on_the_disk_under_the_other_scheme_is_pointed_at() {
    let world = begun_anew();
    let told = told(&world, "/cache/show?url=https://a.example/a");
    assert_eq!(
        (&told["kept"], &told["elsewhere"]),
        (&json!([]), &json!("http://a.example/a"))
    );
}

#[test]
fn a_disk_that_cannot_be_looked_at_is_no_empty_one() {
    let mut world = World::new();
    world.drain();
    let store = world.path("store");
    eventually("the folder is let go of", || {
        std::fs::remove_dir_all(&store).ok()
    });
    std::fs::write(&store, "not a folder").unwrap();
    world.restart();
    for why in [
        &told(&world, "/cache/list?disk")["why"],
        &show(&world, "/a")["disk"]["why"],
        &told(&world, "/cache")["disk"]["why"],
    ] {
        let why = why.as_str().unwrap();
        assert!(why.contains("could not be opened"), "{why}");
    }
}

#[test]
fn it_is_told_how_the_scan_went_and_what_the_allocator_may_waste() {
    let world = begun_anew();
    let numbers = told(&world, "/cache");
    let scan = &numbers["disk"]["scan"];
    assert_eq!((&scan["over"], &scan["records"]), (&json!(true), &json!(4)));
    assert_eq!(
        (&scan["bytes"], &scan["seconds_left"]),
        (&scan["bytes_done"], &json!(0))
    );
    assert!(scan["seconds"].is_u64());
    let beside = &numbers["memory"]["beside"];
    assert_eq!(beside["spared_bytes"], (256 << 20) / 32);
    assert!(beside["counted_bytes"].as_u64() <= beside["bytes"].as_u64());
}

#[test]
fn a_cursor_that_is_none_is_refused_and_without_a_disk_it_is_said_so() {
    let world = World::with("disk_cache = false", "");
    for wrong in ["from=1", "from=zz", "from=-1", "site=b"] {
        let (status, _) = world.operator("GET", &format!("/cache/list?disk&{wrong}"));
        assert!(matches!(status, 400 | 404), "{wrong}");
    }
    let page = told(&world, "/cache/list?disk");
    assert!(
        page["why"].as_str().unwrap().contains("disk_cache"),
        "{page}"
    );
    assert_eq!(page["off"], true);
    assert_eq!(show(&world, "/a")["disk"], Value::Null);
}

#[test]
fn what_was_asked_is_told_by_the_minute_with_its_bytes_and_begins_with_the_edge() {
    let mut world = World::new();
    let mut client = world.client();
    client.get("/a");
    let mut origin = world.origin.accept();
    origin.head();
    send(&mut origin, FRESH, "news");
    assert_eq!(client.answer().body, "news");
    are_on_disk(&world, 1);
    for _ in 0..2 {
        client.get("/a");
        assert_eq!(client.answer().body, "news");
    }
    let sum = |row: &Value| {
        let row = row.as_array().unwrap().iter();
        row.map(|n| n.as_u64().unwrap()).sum::<u64>()
    };
    let history = eventually("all three are counted", || {
        let history = told(&world, "/cache/history?minutes=1440");
        (sum(&history["requests"]["hit"]) == 2 && sum(&history["requests"]["miss"]) == 1)
            .then_some(history)
    });
    let bytes = &history["bytes"];
    assert_eq!((sum(&bytes["hit"]), sum(&bytes["miss"])), (8, 4));
    for result in ["stale", "revalidated", "bypass", "refused"] {
        let row = &history["requests"][result];
        assert_eq!(sum(row), 0, "{result}");
    }
    assert_eq!(history["seconds_a_step"], 60);
    assert!(history["began"].as_u64() <= history["now"].as_u64());
    assert_eq!(world.operator("GET", "/cache/history?minutes=1441").0, 400);
    let all = told(&world, "/cache");
    assert_eq!(all["response_body_bytes"]["hit"], 8);

    drop((client, origin));
    world.restart();
    let anew = told(&world, "/cache/history");
    assert_eq!(sum(&anew["requests"]["hit"]), 0);
    assert!(anew["began"].as_u64() > history["began"].as_u64());
}
