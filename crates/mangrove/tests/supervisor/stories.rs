//! The stories.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::running::{Running, is_alive, kill, read_answer, wait_for};

type Story = (&'static str, fn());

pub const ALL: &[Story] = &[
    (
        "a_first_run_says_where_to_look",
        a_first_run_says_where_to_look,
    ),
    (
        "check_explains_or_points_at_the_line",
        check_explains_or_points_at_the_line,
    ),
    (
        "a_second_serve_on_the_state_folder_is_refused_by_pid",
        a_second_serve_on_the_state_folder_is_refused_by_pid,
    ),
    (
        "a_second_serve_on_the_address_is_refused_by_name",
        a_second_serve_on_the_address_is_refused_by_name,
    ),
    (
        "an_edge_that_cannot_start_ends_serve",
        an_edge_that_cannot_start_ends_serve,
    ),
    (
        "a_killed_edge_is_replaced_and_nobody_is_refused",
        a_killed_edge_is_replaced_and_nobody_is_refused,
    ),
    (
        "an_edge_that_keeps_crashing_does_not_take_its_sockets_along",
        an_edge_that_keeps_crashing_does_not_take_its_sockets_along,
    ),
    (
        "a_reload_is_applied_without_a_restart",
        a_reload_is_applied_without_a_restart,
    ),
    (
        "a_broken_configuration_is_told_to_the_caller_and_not_applied",
        a_broken_configuration_is_told_to_the_caller_and_not_applied,
    ),
    (
        "a_configuration_the_edge_refuses_or_dies_of_is_taken_back",
        a_configuration_the_edge_refuses_or_dies_of_is_taken_back,
    ),
    (
        "a_new_address_brings_a_new_edge_and_the_old_one_drains",
        a_new_address_brings_a_new_edge_and_the_old_one_drains,
    ),
    ("hup_reloads_and_usr1_reopens", hup_reloads_and_usr1_reopens),
    ("term_lets_requests_finish", term_lets_requests_finish),
    ("a_second_term_does_not_wait", a_second_term_does_not_wait),
    (
        "edges_outlive_their_supervisor_and_the_next_one_adopts_them",
        edges_outlive_their_supervisor_and_the_next_one_adopts_them,
    ),
    (
        "an_adopting_serve_applies_what_changed_meanwhile",
        an_adopting_serve_applies_what_changed_meanwhile,
    ),
    (
        "a_broken_file_at_start_serves_what_was_in_force",
        a_broken_file_at_start_serves_what_was_in_force,
    ),
    (
        "an_upgrade_replaces_supervisor_and_edge_under_a_request",
        an_upgrade_replaces_supervisor_and_edge_under_a_request,
    ),
    (
        "an_upgrade_to_something_else_is_refused_by_step",
        an_upgrade_to_something_else_is_refused_by_step,
    ),
    (
        "root_is_given_up_and_cannot_be_taken_back",
        root_is_given_up_and_cannot_be_taken_back,
    ),
    (
        "sockets_that_systemd_kept_are_used_again",
        sockets_that_systemd_kept_are_used_again,
    ),
    (
        "reload_without_a_mangrove_says_how_to_start_one",
        reload_without_a_mangrove_says_how_to_start_one,
    ),
];

fn words(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

fn a_first_run_says_where_to_look() {
    let running = Running::serving("hello");
    let log = running.log();
    assert!(log.contains("look at   http://127.0.0.1:"), "{log}");
    assert!(log.contains("reload --state"), "{log}");
    assert_eq!(running.ask().body, "hello");
    assert!(running.state().join("admin.token").exists());
}

fn check_explains_or_points_at_the_line() {
    let running = Running::prepared("hello");
    let good = running
        .command("check")
        .arg(running.config())
        .output()
        .unwrap();
    assert!(good.status.success(), "{}", words(&good));

    let mut child = running
        .command("check")
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = b"[[site]]\nname = \"a\"\nhosts = [\"*\"]\norigns = [\"http://127.0.0.1:1\"]\n";
    child.stdin.take().unwrap().write_all(text).unwrap();
    let bad = child.wait_with_output().unwrap();
    assert_eq!(bad.status.code(), Some(1));
    let said = words(&bad);
    assert!(
        said.contains("standard input:4") && said.contains("`origins`"),
        "{said}"
    );

    let missing = running
        .command("check")
        .arg("/no/such/file")
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(words(&missing).contains("/no/such/file cannot be read"));
}

fn a_second_serve_on_the_state_folder_is_refused_by_pid() {
    let running = Running::serving("first");
    let second = running.command("serve").output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = words(&second);
    assert!(said.contains(&format!("(pid {})", running.pid())), "{said}");
    assert_eq!(running.ask().body, "first");
}

fn a_second_serve_on_the_address_is_refused_by_name() {
    let first = Running::serving("first");
    let mut second = Running::prepared("second");
    second.configure_with("second", &format!("http = [\"{}\"]", first.addrs()[0]));
    second.serve();
    assert_eq!(second.left().code(), Some(1));
    let said = second.log();
    assert!(
        said.contains(&first.addrs()[0]) && said.contains("already in use by"),
        "{said}"
    );
}

fn an_edge_that_cannot_start_ends_serve() {
    let mut running = Running::serving("crash");
    assert_eq!(running.left().code(), Some(1));
    assert!(running.log().contains("exit code 3"), "{}", running.log());
}

fn a_killed_edge_is_replaced_and_nobody_is_refused() {
    let running = Running::serving("hello");
    let mut before = running.ask();
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let killed = Instant::now();
        kill(before.pid, Signal::KILL);
        let after = running.ask_until(|answer| answer.generation > before.generation);
        quickest = quickest.min(killed.elapsed());
        before = after;
    }
    // The machine may be busy with other tests, but not every time.
    assert!(quickest < Duration::from_millis(250), "{quickest:?}");
}

fn an_edge_that_keeps_crashing_does_not_take_its_sockets_along() {
    let running = Running::serving("hello");
    let edge = running.ask();
    // What the next edge will read, behind the supervisor's back.
    let copy = running.state().join("edge/settled.json");
    let good = fs::read_to_string(&copy).unwrap();
    fs::write(&copy, good.replace("hello", "crash")).unwrap();
    kill(edge.pid, Signal::KILL);
    wait_for("the loop is told", || {
        running.log().contains("times in a row")
    });
    let _queued = running.connect();
    fs::write(&copy, good).unwrap();
    let back = running.ask_until(|answer| answer.body == "hello");
    assert!(back.generation >= edge.generation + 3);
}

fn a_reload_is_applied_without_a_restart() {
    let running = Running::serving("old");
    let before = running.ask();
    running.configure("new");
    let reload = running.reload();
    assert!(reload.status.success(), "{}", words(&reload));
    let after = running.ask();
    assert_eq!((after.body.as_str(), after.pid), ("new", before.pid));
}

fn a_broken_configuration_is_told_to_the_caller_and_not_applied() {
    let running = Running::serving("old");
    running.configure_with("new", "htp = []");
    let reload = running.reload();
    assert_eq!(reload.status.code(), Some(1));
    assert!(
        words(&reload).contains("mangrove.toml:2"),
        "{}",
        words(&reload)
    );
    assert_eq!(running.ask().body, "old");
}

fn a_configuration_the_edge_refuses_or_dies_of_is_taken_back() {
    let running = Running::serving("old");
    for (body, why) in [("refuse", "no such origin"), ("crash", "exit code 3")] {
        running.configure(body);
        let reload = running.reload();
        assert_eq!(reload.status.code(), Some(1));
        assert!(words(&reload).contains(why), "{}", words(&reload));
        running.ask_until(|answer| answer.body == "old");
    }
}

fn a_new_address_brings_a_new_edge_and_the_old_one_drains() {
    let running = Running::serving("hello");
    let old = running.ask();
    let kept = running.addrs()[0].clone();
    let mut slow = running.connect();
    slow.write_all(b"GET /slow HTTP/1.1\r\n\r\n").unwrap();
    running.ask(); // what was accepted after it was answered, so it is under way

    running.configure_with("hello", &format!("http = [\"{kept}\", \"[::1]:0\"]"));
    let reload = running.reload();
    assert!(reload.status.success(), "{}", words(&reload));
    running.ask_until(|answer| answer.generation == old.generation + 1);
    slow.write_all(b"go").unwrap();
    assert_eq!(read_answer(slow).generation, old.generation);
    wait_for("the old edge leaves", || !is_alive(old.pid));
}

fn hup_reloads_and_usr1_reopens() {
    let running = Running::serving("old");
    running.configure("new");
    running.signal(Signal::HUP);
    running.ask_until(|answer| answer.body == "new");
    running.signal(Signal::USR1);
    let reopened = running.state().join("edge/reopened");
    wait_for("the logs are reopened", || reopened.exists());
}

fn term_lets_requests_finish() {
    let mut running = Running::serving("hello");
    let mut slow = running.connect();
    slow.write_all(b"GET /slow HTTP/1.1\r\n\r\n").unwrap();
    running.ask();
    running.ask();
    running.signal(Signal::TERM);
    // Who comes now is refused at once, not left waiting in a queue that nobody serves.
    let addr = running.addrs()[0].clone();
    wait_for("the door closes", || TcpStream::connect(&addr).is_err());
    slow.write_all(b"go").unwrap();
    assert_eq!(read_answer(slow).body, "hello");
    assert_eq!(running.left().code(), Some(0));
}

fn a_second_term_does_not_wait() {
    let mut running = Running::serving("hello");
    let edge = running.ask().pid;
    let mut slow = running.connect();
    slow.write_all(b"GET /slow HTTP/1.1\r\n\r\n").unwrap();
    running.ask();
    running.signal(Signal::TERM);
    running.signal(Signal::INT);
    assert_eq!(running.left().code(), Some(0));
    wait_for("the edge is gone", || !is_alive(edge));
}

fn edges_outlive_their_supervisor_and_the_next_one_adopts_them() {
    let mut running = Running::serving("hello");
    let before = running.ask();
    running.signal(Signal::KILL);
    running.left();
    assert_eq!(running.ask(), before);

    let addr = running.addrs();
    running.serve();
    assert!(running.log().contains("Adopted edge"), "{}", running.log());
    assert_eq!(running.addrs(), addr);
    assert_eq!(running.ask(), before);

    kill(before.pid, Signal::KILL);
    let after = running.ask_until(|answer| answer.pid != before.pid);
    assert_eq!(after.generation, before.generation + 1);
}

fn an_adopting_serve_applies_what_changed_meanwhile() {
    let mut running = Running::serving("old");
    let before = running.ask();
    running.signal(Signal::KILL);
    running.left();
    running.configure("new");
    running.serve();
    let after = running.ask();
    assert_eq!((after.body.as_str(), after.pid), ("new", before.pid));
}

fn a_broken_file_at_start_serves_what_was_in_force() {
    let mut running = Running::serving("good");
    running.signal(Signal::TERM);
    running.left();
    running.configure_with("bad", "htp = []");
    running.serve();
    assert!(
        running.log().contains("mangrove.toml:2"),
        "{}",
        running.log()
    );
    assert_eq!(running.ask().body, "good");

    // The same when only the edge can tell that it is no good.
    running.signal(Signal::TERM);
    running.left();
    running.configure("crash");
    running.serve();
    wait_for("it falls back", || !running.addrs().is_empty());
    assert_eq!(running.ask().body, "good");
}

fn an_upgrade_replaces_supervisor_and_edge_under_a_request() {
    let running = Running::serving("hello");
    let before = running.ask();
    let mut slow = running.connect();
    slow.write_all(b"GET /slow HTTP/1.1\r\n\r\n").unwrap();
    running.ask();

    let next = running.state().join("mangrove-next");
    fs::copy(std::env::current_exe().unwrap(), &next).unwrap();
    let upgrade = running.command("upgrade").arg(&next).output().unwrap();
    assert!(upgrade.status.success(), "{}", words(&upgrade));
    assert!(words(&upgrade).contains("Upgraded"), "{}", words(&upgrade));
    let program = fs::read_link(format!("/proc/{}/exe", running.pid())).unwrap();
    assert_eq!(program, next);
    let after = running.ask_until(|answer| answer.generation == before.generation + 1);

    slow.write_all(b"go").unwrap();
    assert_eq!(read_answer(slow).pid, before.pid);
    wait_for("the old edge is gone and buried", || !is_alive(before.pid));
    // The new supervisor holds all that the old one held.
    running.configure("newer");
    assert!(running.reload().status.success());
    assert_eq!(running.ask().body, "newer");
    assert!(!running.command("serve").output().unwrap().status.success());
    kill(after.pid, Signal::KILL);
    running.ask_until(|answer| answer.generation > after.generation);
}

fn an_upgrade_to_something_else_is_refused_by_step() {
    let running = Running::serving("hello");
    let before = running.ask();
    for (program, step) in [
        ("/bin/false", "Step 1"),
        ("/bin/true", "Step 1"),
        ("/etc/passwd", "Step 1"),
    ] {
        let upgrade = running.command("upgrade").arg(program).output().unwrap();
        assert_eq!(upgrade.status.code(), Some(1));
        assert!(words(&upgrade).contains(step), "{}", words(&upgrade));
    }
    assert_eq!(running.ask(), before);
}

fn reload_without_a_mangrove_says_how_to_start_one() {
    let running = Running::prepared("hello");
    let reload = running.reload();
    assert_eq!(reload.status.code(), Some(1));
    assert!(
        words(&reload).contains("serve --state"),
        "{}",
        words(&reload)
    );
}

fn root_is_given_up_and_cannot_be_taken_back() {
    if !rustix::process::geteuid().is_root() {
        return; // only root has something to give up
    }
    let mut running = Running::prepared("hello");
    running.configure_with("hello", "http = [\"127.0.0.1:0\"]\nuser = \"nobody\"");
    running.serve();
    let edge = running.ask();
    let status = fs::read_to_string(format!("/proc/{}/status", edge.pid)).unwrap();
    let field = |name| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_ascii_whitespace().skip(1).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid:"), ["65534"; 4]);
    assert_eq!(field("CapEff:"), ["0000000000000000"]);
    assert_eq!(field("CapPrm:"), ["0000000000000000"]);
    assert_eq!(field("NoNewPrivs:"), ["1"]);

    let owner = |name| fs::metadata(running.state().join(name)).unwrap().uid();
    assert_eq!(owner("admin.token"), 0);
    assert_eq!(owner("edge/admin.token.sha256"), 65534);
    // It still reloads, is replaced, and is adopted.
    kill(edge.pid, Signal::KILL);
    running.ask_until(|answer| answer.generation > edge.generation);
    running.signal(Signal::KILL);
    running.left();
    running.serve();
    assert!(running.log().contains("Adopted"), "{}", running.log());
    let settled = fs::read_to_string(running.config()).unwrap();
    fs::write(running.config(), settled.replace("hello", "newer")).unwrap();
    assert!(running.reload().status.success());
    assert_eq!(running.ask().body, "newer");
}

fn sockets_that_systemd_kept_are_used_again() {
    let mut running = Running::prepared("hello");
    let notified = UnixDatagram::bind(running.notify_socket()).unwrap();
    let kept = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    kept.set_reuse_port(true).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    kept.bind(&any.into()).unwrap();
    kept.listen(16).unwrap();
    let addr = kept.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = TcpStream::connect(addr).unwrap(); // while nothing ran
    waiting.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();

    running.serve_as_systemd(kept.into(), "http-0-kept");
    assert_eq!(running.addrs(), [addr.to_string()], "{}", running.log());
    assert_eq!(read_answer(waiting).body, "hello");
    let mut told = Vec::new();
    notified.set_nonblocking(true).unwrap();
    let mut message = [0; 256];
    while let Ok(count) = notified.recv(&mut message) {
        told.push(String::from_utf8_lossy(&message[..count]).into_owned());
    }
    assert!(
        told.iter().any(|one| one.starts_with("READY=1\n")),
        "{told:?}"
    );
    let stored = told.iter().filter(|one| one.starts_with("FDSTORE=1\n"));
    assert_eq!(stored.count(), 2, "one socket for each core: {told:?}");
}
