//! A Mangrove that runs in a folder of its own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take before a story fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Running {
    folder: TempDir,
    child: Option<Child>,
    serves: usize,
}

/// Who answered, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub body: String,
    pub generation: u64,
    pub pid: i32,
}

impl Running {
    /// A folder with a configuration; nothing runs yet.
    pub fn prepared(body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = Self {
            folder,
            child: None,
            serves: 0,
        };
        running.configure(body);
        running
    }

    /// Serving `body`.
    pub fn serving(body: &str) -> Self {
        let mut running = Self::prepared(body);
        running.serve();
        running
    }

    /// Starts `serve` and waits until it has said that it serves, or until it has left.
    pub fn serve(&mut self) {
        let mut serve = self.command("serve");
        serve.arg("--config").arg(self.config());
        self.spawn(serve);
    }

    /// The same, with a socket named as systemd names what it kept.
    pub fn serve_as_systemd(&mut self, kept: OwnedFd, name: &str) {
        let mut serve = Command::new("/bin/sh");
        let script = "LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 </dev/null";
        serve
            .args(["-c", script])
            .arg(std::env::current_exe().unwrap())
            .arg("serve")
            .arg("--config")
            .arg(self.config())
            .arg("--state")
            .arg(self.state())
            .env("NOTIFY_SOCKET", self.notify_socket())
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", name)
            .stdin(kept);
        self.spawn(serve);
    }

    fn spawn(&mut self, mut serve: Command) {
        self.serves += 1;
        let log = File::create(self.log_path()).unwrap();
        let child = serve.stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.child = Some(child.unwrap());
        wait_for("it serves or leaves", || {
            self.log().contains("Ctrl-C")
                || self.child.as_mut().unwrap().try_wait().unwrap().is_some()
        });
    }

    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(name).env_remove("NOTIFY_SOCKET");
        if name != "check" {
            command.arg("--state").arg(self.state());
        }
        command
    }

    pub fn configure(&self, body: &str) {
        self.configure_with(body, "http = [\"127.0.0.1:0\"]");
    }

    pub fn configure_with(&self, body: &str, http: &str) {
        let text = format!(
            "[server]\n{http}\nhttps = \"off\"\nadmin = \"off\"\nworkers = 2\n\
             [[site]]\nname = \"a\"\nhosts = [\"*\"]\nrespond = {{ status = 200, body = \"{body}\" }}\n"
        );
        fs::write(self.config(), text).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("mangrove.toml")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn notify_socket(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    fn log_path(&self) -> PathBuf {
        self.folder
            .path()
            .join(format!("serve-{}.log", self.serves))
    }

    /// What the last `serve` said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Where it listens, as it told.
    pub fn addrs(&self) -> Vec<String> {
        let log = self.log();
        log.lines()
            .filter_map(|line| line.trim().strip_prefix("look at   http://"))
            .map(|addr| addr.trim_end_matches('/').to_owned())
            .collect()
    }

    pub fn connect(&self) -> TcpStream {
        let addrs = self.addrs();
        let addr = addrs.last().unwrap_or_else(|| panic!("{}", self.log()));
        let stream = TcpStream::connect(addr).expect("no connection may be refused");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub fn ask(&self) -> Answer {
        let mut stream = self.connect();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        read_answer(stream)
    }

    /// Asks until the answer is `good`; a connection cut by a kill is asked again, a refused one fails the story.
    pub fn ask_until(&self, good: impl Fn(&Answer) -> bool) -> Answer {
        let mut last = None;
        wait_for("the right answer", || {
            let mut stream = self.connect();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            last = try_read_answer(stream);
            last.as_ref().is_some_and(&good)
        });
        last.unwrap()
    }

    pub fn reload(&self) -> Output {
        self.command("reload").output().unwrap()
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().unwrap().id()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    /// Waits until the supervisor has left.
    pub fn left(&mut self) -> ExitStatus {
        let child = self.child.as_mut().unwrap();
        let mut status = None;
        wait_for("it leaves", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Running {
    /// Ends what a story left running.
    fn drop(&mut self) {
        if let Some(child) = &mut self.child
            && child.try_wait().unwrap().is_none()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
        for pid in edges_in(&self.state()) {
            kill(pid, Signal::KILL);
        }
    }
}

pub fn kill(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

pub fn is_alive(pid: i32) -> bool {
    rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
}

/// Polls for a real process to get there.
pub fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn read_answer(stream: TcpStream) -> Answer {
    try_read_answer(stream).expect("an answer")
}

fn try_read_answer(mut stream: TcpStream) -> Option<Answer> {
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let mut words = text.split("\r\n\r\n").nth(1)?.rsplitn(3, ' ');
    let pid = words.next()?.parse().ok()?;
    let generation = words.next()?.parse().ok()?;
    let body = words.next()?.to_owned();
    Some(Answer {
        body,
        generation,
        pid,
    })
}

/// The edges whose working folder is `state`.
fn edges_in(state: &Path) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == state))
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}
