//! A data plane that obeys its supervisor and misbehaves on request.
//!
//! The body of its first site says what it does: `crash` ends it at once, `deaf` never becomes ready, `refuse` is
//! refused when applied; anything else is what it answers, with its number and pid. A request for `/slow` is answered
//! once the client has said `go`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use mangrove::EdgeArgs;
use mangrove::handover::{PassedListener, serve_fds};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

const TURN: Duration = Duration::from_millis(10);

struct FakeEdge {
    generation: u64,
    body: Mutex<String>,
    draining: AtomicBool,
    requests: AtomicUsize,
    acceptors: AtomicUsize,
}

pub fn run(args: EdgeArgs) -> ExitCode {
    let edge = Arc::new(FakeEdge {
        generation: args.generation,
        body: Mutex::new(configured_body()),
        draining: AtomicBool::new(false),
        requests: AtomicUsize::new(0),
        acceptors: AtomicUsize::new(0),
    });
    let first = edge.body.lock().unwrap().clone();
    match first.as_str() {
        "crash" => return ExitCode::from(3),
        "deaf" => loop {
            thread::sleep(Duration::from_secs(1));
        },
        _ => {}
    }
    let calls = UnixListener::bind(format!("edge/edge-{}.sock", args.generation)).unwrap();
    let given = UnixListener::bind(format!("edge/fds-{}.sock", args.generation)).unwrap();
    let listeners: Vec<_> = args.listeners.into_iter().map(Arc::new).collect();
    for listener in &listeners {
        let (edge, listener) = (Arc::clone(&edge), Arc::clone(listener));
        edge.acceptors.fetch_add(1, SeqCst);
        thread::spawn(move || edge.accept(&listener));
    }
    {
        let listeners = listeners.iter().map(Arc::downgrade).collect::<Vec<_>>();
        thread::spawn(move || FakeEdge::give(&given, &listeners));
    }
    {
        let edge = Arc::clone(&edge);
        thread::spawn(move || edge.take_calls(&calls));
    }
    std::fs::File::from(args.ready_fd)
        .write_all(b"ready\n")
        .unwrap();
    drop(listeners); // the acceptors have them now, and close them when draining
    while !(edge.draining.load(SeqCst)
        && edge.requests.load(SeqCst) == 0
        && edge.acceptors.load(SeqCst) == 0)
    {
        thread::sleep(TURN);
    }
    for kind in ["edge", "fds"] {
        let _ = std::fs::remove_file(format!("edge/{kind}-{}.sock", args.generation));
    }
    ExitCode::SUCCESS
}

impl FakeEdge {
    /// The socket is shared with the next edge and non-blocking for both, so it is polled.
    fn accept(self: &Arc<Self>, listener: &PassedListener) {
        let socket = TcpListener::from(listener.fd.try_clone().unwrap());
        let turn = Timespec::try_from(TURN).unwrap();
        while !self.draining.load(SeqCst) {
            let mut fds = [PollFd::new(&socket, PollFlags::IN)];
            let _ = poll(&mut fds, Some(&turn));
            if let Ok((stream, _)) = socket.accept() {
                let edge = Arc::clone(self);
                edge.requests.fetch_add(1, SeqCst);
                thread::spawn(move || {
                    let _ = edge.answer(&stream);
                    edge.requests.fetch_sub(1, SeqCst);
                });
            }
        }
        self.acceptors.fetch_sub(1, SeqCst);
    }

    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let line = read_head(stream)?;
        if line.contains("/slow") {
            stream.read_exact(&mut [0; 2])?;
        }
        let body = self.body.lock().unwrap().clone();
        let (generation, pid) = (self.generation, std::process::id());
        let body = format!("{body} {generation} {pid}");
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    }

    fn take_calls(&self, calls: &UnixListener) {
        for stream in calls.incoming().flatten() {
            let Ok(line) = read_head(&stream) else {
                continue;
            };
            let mut answer = "200 OK\r\nContent-Length: 2\r\n\r\n{}";
            if line.starts_with("POST /apply") {
                let body = configured_body();
                match body.as_str() {
                    "crash" => std::process::exit(3),
                    "refuse" => {
                        answer =
                            "422 No\r\nContent-Length: 25\r\n\r\n{\"error\":\"no such origin\"}";
                    }
                    _ => *self.body.lock().unwrap() = body,
                }
            } else if line.starts_with("POST /drain") {
                self.draining.store(true, SeqCst);
            } else if line.starts_with("POST /reopen") {
                std::fs::write("edge/reopened", "").unwrap();
            }
            let _ = write!(&stream, "HTTP/1.1 {answer}");
        }
    }

    fn give(door: &UnixListener, listeners: &[Weak<PassedListener>]) {
        for stream in door.incoming().flatten() {
            let open: Vec<_> = listeners.iter().filter_map(Weak::upgrade).collect();
            let given = open.iter().map(|one| ((&**one).into(), one.fd.as_fd()));
            let _ = serve_fds(&stream, given);
        }
    }
}

/// What the configuration wants of us; it is in the working folder, as for any edge.
fn configured_body() -> String {
    let settled = std::fs::read(Path::new("edge/settled.json")).unwrap();
    let settled: serde_json::Value = serde_json::from_slice(&settled).unwrap();
    let body = &settled["sites"][0]["respond"]["body"];
    body.as_str().unwrap_or("sample").to_owned()
}

/// The request line; the rest of the head is read and dropped.
fn read_head(stream: impl std::io::Read) -> std::io::Result<String> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::from("-");
    while line.trim_end() != "" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
    }
    Ok(first)
}
