//! The whole program, with the real edge: what changes under a stream of visitors, and what they notice of it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a test program"
)]

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn visitors_notice_no_change_of_configuration_binary_or_supervisor() {
    let mut mangrove = Mangrove::prepared("first");
    mangrove.serve();
    let visitors = Visitors::of(mangrove.addr());

    mangrove.configure("second", "");
    mangrove.run("reload", &[]);
    assert_eq!(mangrove.ask(), Ok("second".into()));

    mangrove.configure("third", ", \"127.0.0.1:0\""); // another socket: another edge
    mangrove.run("reload", &[]);
    mangrove.wait_for_body("third");

    let next = mangrove.folder.path().join("mangrove-next");
    fs::copy(env!("CARGO_BIN_EXE_mangrove"), &next).unwrap();
    mangrove.run("upgrade", &[&next]);
    let program = fs::read_link(format!("/proc/{}/exe", mangrove.pid())).unwrap();
    assert_eq!(program, next);

    kill(mangrove.pid(), Signal::KILL);
    mangrove.child.take().unwrap().wait().unwrap();
    assert_eq!(mangrove.ask(), Ok("third".into()));
    mangrove.serve();
    assert!(
        mangrove.log().contains("Adopted edge"),
        "{}",
        mangrove.log()
    );

    let failures = visitors.leave();
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn the_running_one_tells_of_its_modules_and_is_found_by_its_file() {
    let mut mangrove = Mangrove::prepared("hello");
    let state = mangrove.folder.path().join("state");
    let (file, folder) = (mangrove.config(), state.to_str().unwrap());
    let text = fs::read_to_string(&file).unwrap();
    let named = format!("[server]\nstate = \"{folder}\"");
    fs::write(&file, text.replace("[server]", &named)).unwrap();
    mangrove.serve();
    let told = |name: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mangrove"));
        command.arg(name).arg("--config").arg(&file).args(more);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    told("reload", &["--wait"]);
    let table = told("modules", &[]);
    assert!(
        table.contains("module ") && table.contains("\ntrace "),
        "{table}"
    );
    let json: Vec<serde_json::Value> = serde_json::from_str(&told("modules", &["--json"])).unwrap();
    assert_eq!(json.len() + 1, table.lines().count());
    assert_eq!(json[0]["panics"], 0);
}

/// A newcomer's first minutes with the cache: a miss, a hit, the reason for both, and a purge.
#[test]
fn a_newcomer_sees_a_miss_a_hit_and_why_and_purges() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut mangrove = Mangrove::prepared("unused");
    mangrove.configure_before(&origin, "");
    // It answers three times, and then is gone.
    let origin = thread::spawn(move || {
        for number in 0..3 {
            let mut stream = question(&origin);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close\r\nContent-Length: 1\r\n\r\n{number}"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    mangrove.serve();
    let url = format!("http://{}/", mangrove.addr());
    let log = mangrove.log();
    let suggested: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("curl ") || line.contains("cache show"))
        .collect();
    assert_eq!(suggested.len(), 2, "{log}");
    assert!(suggested.iter().all(|line| line.contains(&url)), "{log}");
    let told = |arguments: &[&str]| mangrove.told(arguments);
    let asked = || ask_as(&mangrove.addr(), &mangrove.addr()).unwrap();
    let status = |head: &str| {
        let mut lines = head.lines();
        let line = lines.find_map(|line| line.strip_prefix("Cache-Status: "));
        line.or_else(|| {
            head.lines()
                .find_map(|line| line.strip_prefix("cache-status: "))
        })
        .unwrap_or_else(|| panic!("{head}"))
        .to_owned()
    };

    let (code, text) = told(&["cache", "show", &url]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("Nothing is kept") && text.contains("(miss;"),
        "{text}"
    );
    let (head, body) = asked();
    assert_eq!(body, "0");
    assert!(status(&head).contains("fwd=uri-miss"), "{head}");
    wait_until(|| {
        told(&["cache", "show", &url])
            .1
            .contains("One answer is kept")
    });
    let (head, body) = asked();
    assert_eq!(body, "0");
    assert!(status(&head).contains("; hit; ttl="), "{head}");
    assert!(head.to_ascii_lowercase().contains("\r\nage: "), "{head}");
    let (_, text) = told(&["cache", "show", &url]);
    assert!(
        text.contains("The origin's `max-age`. (Cache-Control;"),
        "{text}"
    );
    assert!(told(&["cache", "list"]).1.contains(&url));
    assert!(told(&["cache", "stats"]).1.contains("1 URL, "));

    for (purge, number, says) in [
        (&["--url", &*url][..], "1", "1 answer was kept"),
        (&["--all"], "2", "Purged everything of site a."),
    ] {
        let (code, text) = told(&[&["purge", "a"], purge].concat());
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(says), "{text}");
        let (head, body) = asked();
        assert_eq!(body, number);
        assert!(status(&head).contains("fwd=uri-miss"), "{head}");
        wait_until(|| {
            told(&["cache", "show", &url])
                .1
                .contains("One answer is kept")
        });
    }
    let (code, text) = told(&["purge", "b", "--all"]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("nothing was purged: there is no site \"b\"; there are: a"),
        "{text}"
    );
    assert_eq!(asked().1, "2");
    origin.join().unwrap();
}

/// Nobody has asked the new edge for anything, and memory is empty: what it tells comes from the disk.
#[test]
fn what_an_edge_that_was_killed_has_left_is_told_before_anybody_asks_for_it() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut mangrove = Mangrove::prepared("unused");
    mangrove.configure_before(&origin, "");
    let origin = thread::spawn(move || {
        let mut stream = question(&origin);
        let answer = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close\r\nContent-Length: 1\r\n\r\n0";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    mangrove.serve();
    let (addr, url) = (mangrove.addr(), "http://a.example/");
    let told = |arguments: &[&str]| mangrove.told(arguments).1;
    let (_, body) = ask_as(&addr, "a.example").unwrap();
    assert_eq!(body, "0");
    origin.join().unwrap();
    wait_until(|| told(&["cache", "list"]).contains("both"));
    let chart = told(&["cache", "chart", "--ascii"]);
    assert!(
        chart.contains(". miss                 1   100.0 %"),
        "{chart}"
    );

    kill(mangrove.edge(), Signal::KILL);
    wait_until(|| told(&["cache", "stats"]).contains("looked through in"));
    let list = told(&["cache", "list"]);
    let row = list.lines().last().unwrap();
    assert!(row.contains("  disk  ") && row.contains(url), "{list}");
    assert!(!told(&["cache", "list", "--in", "memory"]).contains(url));
    let shown = told(&["cache", "show", url]);
    assert!(shown.contains("on the disk alone"), "{shown}");
    let chart = told(&["cache", "chart"]);
    assert!(chart.contains("this edge began then"), "{chart}");
    assert!(chart.contains("Nobody has asked for anything."), "{chart}");

    let (_, body) = ask_as(&addr, "a.example").unwrap();
    assert_eq!(body, "0");
    assert!(told(&["cache", "list", "--in", "disk"]).contains("  both  "));
}

/// The old edge still has a request under way: what it keeps may yet be answered.
#[test]
fn a_purge_reaches_the_edge_that_is_only_finishing_its_requests() {
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut mangrove = Mangrove::prepared("unused");
    mangrove.configure_before(&origin, "");
    mangrove.serve();
    let addr = mangrove.addr();
    let visitor = thread::spawn(move || ask(&addr));
    let mut asked = question(&origin);
    mangrove.configure_before(&origin, ", \"127.0.0.1:0\""); // another socket: another edge
    mangrove.run("reload", &[]);
    let (code, text) = mangrove.told(&["purge", "a", "--url", "http://a.example/", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let purged: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let of = |at: usize| (&purged[at]["edge"], &purged[at]["fills"]);
    assert_eq!(
        (of(0), of(1)),
        ((&2.into(), &0.into()), (&1.into(), &1.into()))
    );
    asked
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        .unwrap();
    assert_eq!(visitor.join().unwrap(), Ok("done".into()));
}

/// The hand that slips waits for a second person; what two have agreed on is lost with no process.
#[test]
fn who_is_kept_out_by_hand_stays_out_when_the_edge_is_killed_or_replaced() {
    let mut mangrove = Mangrove::prepared("hello");
    mangrove.serve();
    assert_eq!(mangrove.ask(), Ok("hello".into()));
    let keep_out = ["shield", "block", "a", "127.0.0.1", "--reason", "a test"];
    let (code, text) = mangrove.told(&[&keep_out[..], &["--owner", "mina"]].concat());
    assert_eq!(code, Some(0), "{text}");
    // He is everybody who has come.
    assert!(text.starts_with("Order 1 waits"), "{text}");
    assert_eq!(mangrove.ask(), Ok("hello".into()));
    let (code, text) = mangrove.told(&["shield", "approve", "1", "--owner", "mina"]);
    assert!(code == Some(1) && text.contains("somebody else"), "{text}");
    let (code, text) = mangrove.told(&["shield", "approve", "1", "--owner", "rafi"]);
    assert!(
        code == Some(0) && text.contains("That is on the disk"),
        "{text}"
    );

    let is_out = || {
        mangrove
            .ask()
            .is_err_and(|said| said.contains("blocked-by-hand"))
    };
    assert!(is_out());
    let edge = mangrove.edge();
    kill(edge, Signal::KILL);
    wait_until(|| mangrove.edge_or_none().is_some_and(|pid| pid != edge));
    wait_until(|| mangrove.told(&["shield", "status"]).0 == Some(0));
    assert!(is_out());
    mangrove.run("upgrade", &[]);
    assert!(is_out());
    let (_, text) = mangrove.told(&["shield", "status"]);
    assert!(text.contains("mina with rafi"), "{text}");

    let (code, text) = mangrove.told(&["shield", "remove", "1"]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(mangrove.ask(), Ok("hello".into()));
    let (code, text) = mangrove.told(&["shield", "explain", "1"]);
    assert!(code == Some(1) && text.contains("no order 1"), "{text}");
}

#[test]
fn a_killed_edge_refuses_no_connection_and_is_back_within_250_ms() {
    let mut mangrove = Mangrove::prepared("hello");
    mangrove.serve();
    let visitors = Visitors::of(mangrove.addr());
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let edge = mangrove.edge();
        let killed = Instant::now();
        kill(edge, Signal::KILL);
        // The first one to be answered by another process.
        while mangrove.edge_or_none().is_none_or(|pid| pid == edge) || mangrove.ask().is_err() {
            assert!(killed.elapsed() < PATIENCE);
        }
        quickest = quickest.min(killed.elapsed());
    }
    // The machine may be busy with other tests, but not every time.
    assert!(quickest < Duration::from_millis(250), "{quickest:?}");
    let failures = visitors.leave();
    let refused = failures
        .iter()
        .filter(|failure| failure.contains("refused"));
    assert_eq!(refused.count(), 0, "{failures:?}");
}

struct Mangrove {
    folder: tempfile::TempDir,
    child: Option<Child>,
    serves: usize,
}

impl Mangrove {
    fn prepared(body: &str) -> Self {
        let mangrove = Self {
            folder: tempfile::tempdir().unwrap(),
            child: None,
            serves: 0,
        };
        mangrove.configure(body, "");
        mangrove
    }

    fn configure(&self, body: &str, more: &str) {
        let text = format!(
            "[server]\nhttp = [\"127.0.0.1:0\"{more}]\nhttps = \"off\"\nadmin = \"off\"\n\
             [[site]]\nname = \"a\"\nhosts = [\"*\"]\nrespond = {{ status = 200, body = \"{body}\" }}\n"
        );
        fs::write(self.config(), text).unwrap();
    }

    /// With an origin in place of a fixed answer.
    fn configure_before(&self, origin: &TcpListener, more: &str) {
        self.configure("unused", more);
        let text = fs::read_to_string(self.config()).unwrap();
        let fixed = text.find("respond").unwrap();
        let origin = origin.local_addr().unwrap();
        let site = format!("{}origins = [\"http://{origin}\"]\n", &text[..fixed]);
        fs::write(self.config(), site).unwrap();
    }

    /// The exit code of a command, and all it said.
    fn told(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mangrove"));
        command.args(arguments).arg("--state");
        let output = command.arg(self.folder.path().join("state")).output();
        let output = output.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complained = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said + &complained)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("mangrove.toml")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mangrove"));
        command.arg(name).env_remove("NOTIFY_SOCKET");
        command.arg("--state").arg(self.folder.path().join("state"));
        command
    }

    fn serve(&mut self) {
        self.serves += 1;
        let log = File::create(self.log_path()).unwrap();
        let mut serve = self.command("serve");
        serve.arg("--config").arg(self.config());
        serve.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(serve.spawn().unwrap());
        wait_until(|| self.log().contains("Ctrl-C"));
    }

    fn run(&self, name: &str, arguments: &[&Path]) {
        let output = self.command(name).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join(format!("{}.log", self.serves))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn addr(&self) -> String {
        let log = self.log();
        let mut lines = log.lines();
        let addr = lines.find_map(|line| line.trim().strip_prefix("look at   http://"));
        addr.unwrap().trim_end_matches('/').to_owned()
    }

    fn ask(&self) -> Result<String, String> {
        ask(&self.addr())
    }

    fn wait_for_body(&self, body: &str) {
        wait_until(|| self.ask().is_ok_and(|answer| answer == body));
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().unwrap().id()).unwrap()
    }

    fn edge(&self) -> i32 {
        self.edge_or_none().unwrap()
    }

    /// The supervisor's one living child.
    fn edge_or_none(&self) -> Option<i32> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_ascii_whitespace().next()?.parse().ok()
    }
}

impl Drop for Mangrove {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let pid = i32::try_from(child.id()).unwrap();
            kill(pid, Signal::TERM);
            kill(pid, Signal::INT); // without waiting for anyone
            let _ = child.wait();
        }
        let state = self.folder.path().join("state");
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let ours = processes
            .filter(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|at| at == state))
            .filter_map(|process| process.file_name().to_str()?.parse().ok());
        ours.for_each(|pid| kill(pid, Signal::KILL));
    }
}

/// Someone who comes again and again, each time on a new connection.
struct Visitors {
    gone: Arc<AtomicBool>,
    visits: JoinHandle<Vec<String>>,
}

impl Visitors {
    fn of(addr: String) -> Self {
        let gone = Arc::new(AtomicBool::new(false));
        let leaving = Arc::clone(&gone);
        let visits = thread::spawn(move || {
            let mut failures = Vec::new();
            while !leaving.load(SeqCst) {
                failures.extend(ask(&addr).err());
                thread::sleep(Duration::from_millis(1));
            }
            failures
        });
        Self { gone, visits }
    }

    /// What went wrong in all their visits.
    fn leave(self) -> Vec<String> {
        self.gone.store(true, SeqCst);
        self.visits.join().unwrap()
    }
}

/// Waits for a request to the origin.
fn question(origin: &TcpListener) -> TcpStream {
    let (mut stream, _) = origin.accept().unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 1024];
        let n = stream.read(&mut bytes).unwrap();
        assert!(n > 0, "half a question");
        request.extend_from_slice(&bytes[..n]);
    }
    stream
}

fn ask(addr: &str) -> Result<String, String> {
    ask_as(addr, "a.example").map(|(_, body)| body)
}

/// The head and the body of what is there for a host.
fn ask_as(addr: &str, host: &str) -> Result<(String, String), String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(addr).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(told)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(told)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => {
            Ok((head.to_owned(), body.to_owned()))
        }
        _ => Err(format!("not an answer: {answer:?}")),
    }
}

fn kill(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

fn wait_until(mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < PATIENCE, "waited in vain");
        thread::sleep(Duration::from_millis(5));
    }
}
