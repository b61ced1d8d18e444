//! The stage: a real edge between a client and an origin, and a look into its books.

use std::fmt::Debug;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use mangrove_config::{Defaults, Draft};
use mangrove_edge::handover::{ListenerKind, PassedListener};
use mangrove_edge::reason::Reason;
use mangrove_edge::{EdgeArgs, run};
use mangrove_http::Refusal;
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::origin::{Origin, Visit, send};
use crate::wire::{Head, PATIENCE, Wire};

/// A client from here is a proxy whose word about its visitors is believed.
pub(crate) const TRUSTED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// A client from here is a balancer that begins with a PROXY header.
pub(crate) const BALANCER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// Where those come from in the stories who mean no good.
pub(crate) const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 99, 0, 1));
/// Who stands by meanwhile.
pub(crate) const BYSTANDER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 1, 0, 1));
/// Many who come from one address, or whom the operator has named.
pub(crate) const OFFICE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 98, 0, 1));

/// What an operator shows.
const TOKEN: &str = "the operator's own";

/// One edge with one site, which answers any host from one origin.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) origin: Origin,
    ipv4: SocketAddr,
    ipv6: SocketAddr,
    admin: SocketAddr,
    edge: Option<JoinHandle<ExitCode>>,
    state: TempDir,
    second_core: u16,
    tls: Tls,
}

/// Which of its two listeners speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tls {
    None,
    Ipv4,
    Ipv6,
}

impl Tls {
    /// As the lines of its `[server]` block say first.
    fn of(server: &str) -> Self {
        match server {
            _ if server.starts_with(HTTPS_V4) => Self::Ipv4,
            _ if server.starts_with(HTTPS_V6) => Self::Ipv6,
            _ => Self::None,
        }
    }
}

const HTTPS_V4: &str = "https = ['127.0.0.1:0']";
const HTTPS_V6: &str = "https = ['[::1]:0']";

impl World {
    pub(crate) fn new() -> Self {
        Self::with("", "")
    }

    /// With further lines in the `[server]` and `[[site]]` blocks.
    pub(crate) fn with(server: &str, site: &str) -> Self {
        Self::made(server, site, 0)
    }

    /// With two cores: one for those who come over IPv4, one for the others.
    pub(crate) fn over_two_cores() -> Self {
        Self::over_two_cores_with("")
    }

    /// The same, with further lines in the `[server]` block.
    pub(crate) fn over_two_cores_with(server: &str) -> Self {
        Self::made(server, "", 1)
    }

    /// The same, with further lines in the `[[site]]` block.
    pub(crate) fn over_two_cores_for(site: &str) -> Self {
        Self::made("", site, 1)
    }

    /// Whose listener over IPv6 speaks TLS, with a certificate that it made for itself.
    pub(crate) fn with_tls(site: &str) -> Self {
        Self::made(HTTPS_V6, site, 0)
    }

    /// Whose listener over IPv4 does, with further lines in the `[server]` block; it begins to accept when `before` has done its
    /// work with the address.
    pub(crate) fn with_tls_over_ipv4(server: &str, before: impl FnOnce(SocketAddr)) -> Self {
        Self::made_after(&format!("{HTTPS_V4}\n{server}"), "", 0, before)
    }

    fn made(server: &str, site: &str, second_core: u16) -> Self {
        Self::made_after(server, site, second_core, |_| {})
    }

    fn made_after(
        server: &str,
        site: &str,
        second_core: u16,
        before: impl FnOnce(SocketAddr),
    ) -> Self {
        let origin = Origin::new();
        let state = tempfile::tempdir().unwrap();
        let tls = Tls::of(server);
        for folder in ["edge", "log", "store"] {
            std::fs::create_dir(state.path().join(folder)).unwrap();
        }
        let text = settled(origin.address(), server, site);
        std::fs::write(state.path().join("edge/settled.json"), text).unwrap();
        let token: String = digest(&SHA256, TOKEN.as_bytes())
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        std::fs::write(state.path().join("edge/admin.token.sha256"), token).unwrap();
        let ([ipv4, ipv6, admin], edge) = start(state.path(), second_core, tls, before);
        Self {
            origin,
            ipv4,
            ipv6,
            admin,
            edge: Some(edge),
            state,
            second_core,
            tls,
        }
    }

    /// The edge ends, and another begins with what it left on the disk; as after an upgrade, only that nobody overlaps.
    pub(crate) fn restart(&mut self) {
        let _ = self.try_order("POST", "/drain"); // it may have ended already
        if let Some(edge) = self.edge.take() {
            edge.join().unwrap();
        }
        let (addresses, edge) = start(self.state.path(), self.second_core, self.tls, |_| {});
        [self.ipv4, self.ipv6, self.admin] = addresses;
        self.edge = Some(edge);
    }

    /// A file or folder of its state.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    /// The files that hold what is on its disk, to be damaged.
    pub(crate) fn slabs(&self) -> Vec<File> {
        let files = std::fs::read_dir(self.path("store")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        let slabs = paths.filter(|path| path.extension().is_some_and(|ending| ending == "slab"));
        let open = |path| File::options().write(true).open(path).unwrap();
        slabs.map(open).collect()
    }

    /// Where the edge listens over IPv4, with TLS where there is TLS there.
    pub(crate) fn address(&self) -> SocketAddr {
        self.ipv4
    }

    /// Where the edge listens over IPv6, with TLS where there is TLS.
    pub(crate) fn address_v6(&self) -> SocketAddr {
        self.ipv6
    }

    /// A visitor who has connected and said nothing.
    pub(crate) fn client(&self) -> Client {
        self.client_from(Ipv4Addr::LOCALHOST.into())
    }

    /// One who comes from another address.
    pub(crate) fn client_from(&self, address: IpAddr) -> Client {
        self.client_with(address, None)
    }

    /// One whose side takes little that it does not read.
    pub(crate) fn client_with_little_room(&self) -> Client {
        self.client_with(Ipv4Addr::LOCALHOST.into(), Some(4 * 1024))
    }

    /// The same, from another address.
    pub(crate) fn client_with_little_room_from(&self, address: IpAddr) -> Client {
        self.client_with(address, Some(4 * 1024))
    }

    fn client_with(&self, address: IpAddr, room: Option<usize>) -> Client {
        let to = if address.is_ipv4() {
            self.ipv4
        } else {
            self.ipv6
        };
        bound(address, to, room)
    }

    /// Has an answer for all from now on; a visitor from here asked for it first.
    pub(crate) fn keeps(&self, from: IpAddr) {
        let mut first = self.client_from(from);
        first.get("/");
        let mut origin = self.origin.accept();
        origin.head();
        send(&mut origin, "Cache-Control: max-age=600\r\n", "kept");
        assert_eq!(first.answer().body, "kept");
    }

    /// Sends `request` on a fresh connection, which must come to nothing: refused by name, in the answer, the log and the
    /// counter, with the connection closed where it should be and nothing said to the origin.
    pub(crate) fn refuses(&self, request: impl AsRef<[u8]>, refusal: Refusal) {
        let request = request.as_ref();
        let shown = String::from_utf8_lossy(&request[..request.len().min(200)]);
        let before = self.counted(refusal);
        let mut client = self.client();
        client.send(request);
        let answer = client.answer();
        assert_eq!(answer.reason(), Some(refusal.name()), "{shown:?}");
        assert_eq!(answer.head.status(), refusal.status(), "{shown:?}");
        if refusal.closes() {
            assert_eq!(answer.head.field("connection"), Some("close"), "{shown:?}");
            client.ends();
        }
        let count = self.counts(refusal, before + 1);
        assert_eq!(count, before + 1, "{shown:?} is counted once");
        let record = self.record_of(&answer);
        assert_eq!(record["reason"], refusal.name(), "{shown:?}");
        assert_eq!(record["http.response.status_code"], refusal.status());
        assert!(self.origin.is_untouched(), "{shown:?} reached the origin");
    }

    /// How often the edge has said so until now.
    pub(crate) fn counted(&self, reason: impl Into<Reason>) -> u64 {
        let reason = reason.into();
        let metrics = self.order("GET", "/metrics");
        let (name, fault) = (reason.name(), reason.fault().name());
        let row = format!("mangrove_reasons_total{{reason=\"{name}\",fault=\"{fault}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&row));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// The count, once it is `at_least` so much: a request is recorded just after its answer has gone out.
    pub(crate) fn counts(&self, reason: impl Into<Reason>, at_least: u64) -> u64 {
        let reason = reason.into();
        eventually(reason.name(), || {
            Some(self.counted(reason)).filter(|&count| count >= at_least)
        })
    }

    /// The access log's line about an answer.
    pub(crate) fn record_of(&self, answer: &Answer) -> serde_json::Value {
        self.record_with_id(answer.head.field("x-request-id").unwrap())
    }

    /// The access log's line with this request id.
    pub(crate) fn record_with_id(&self, id: &str) -> serde_json::Value {
        eventually(id, || {
            self.records().into_iter().find(|r| r["request_id"] == id)
        })
    }

    /// All lines of the access log until now.
    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        let log = std::fs::read_to_string(self.state.path().join("log/access.ndjson"));
        let log = log.unwrap_or_default();
        // The last line may be half written.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits until so many requests have been recorded.
    pub(crate) fn records_of(&self, requests: usize) {
        eventually("their records", || {
            (self.records().len() >= requests).then_some(())
        });
    }

    /// How many connections of clients the edge holds.
    pub(crate) fn connections(&self) -> u64 {
        self.metric("mangrove_connections_open")
    }

    /// The value of a plain number among the metrics.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let found = self.metric_if_any(name);
        found.unwrap_or_else(|| panic!("no metric {name}"))
    }

    /// The same of a row that is there only once there is something to count; `name` has its labels.
    pub(crate) fn metric_if_any(&self, name: &str) -> Option<u64> {
        let metrics = self.order("GET", "/metrics");
        metrics.lines().find_map(|line| {
            let value = line.strip_prefix(name)?;
            value.strip_prefix(' ')?.parse().ok()
        })
    }

    /// What an operator is told on the edge's own socket: status and JSON.
    pub(crate) fn operator(&self, method: &str, target: &str) -> (u16, serde_json::Value) {
        let answer = self.order(method, target);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse();
        (status.unwrap(), serde_json::from_str(body).unwrap())
    }

    /// The status an operator gets who asks from elsewhere and shows a token.
    pub(crate) fn operator_from(&self, from: IpAddr, is_right: bool, asks: &str) -> u16 {
        let mut client = bound(from, self.admin, None);
        let token = if is_right { TOKEN } else { "a guess" };
        client.send(format!(
            "{asks} HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {token}\r\n\r\n"
        ));
        client.answer().head.status()
    }

    /// Has the edge read its settings anew, with other lines in the `[server]` and `[[site]]` blocks.
    pub(crate) fn reload(&self, server: &str, site: &str) {
        let settled = settled(self.origin.address(), server, site);
        std::fs::write(self.path("edge/settled.json"), settled).unwrap();
        assert_eq!(self.operator("POST", "/apply").0, 200);
    }

    /// Tells the edge to end when the last request has.
    pub(crate) fn drain(&self) {
        self.order("POST", "/drain");
    }

    fn order(&self, method: &str, path: &str) -> String {
        self.try_order(method, path).unwrap()
    }

    fn try_order(&self, method: &str, path: &str) -> std::io::Result<String> {
        let mut socket = UnixStream::connect(self.state.path().join("edge/edge-1.sock"))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: edge\r\n\r\n");
        socket.write_all(request.as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.try_order("POST", "/drain"); // it may have ended already
        if let Some(edge) = self.edge.take() {
            let _ = edge.join(); // a story that failed has said why already
        }
    }
}

/// The settings of a world, as an edge reads them.
fn settled(origin: SocketAddr, server: &str, site: &str) -> String {
    let drain = match server.contains("limits.drain") {
        true => "",
        false => "limits.drain = '0s'",
    };
    let hosts = match site.starts_with("hosts = ") {
        true => "",
        false => "hosts = ['*']",
    };
    let listeners = match Tls::of(server) {
        Tls::Ipv4 => "http = ['[::1]:0']",
        Tls::Ipv6 => "http = ['127.0.0.1:0']",
        Tls::None => "http = ['127.0.0.1:0', '[::1]:0']\nhttps = 'off'",
    };
    let text = format!(
        "[server]\n{listeners}\nadmin = 'off'\n{drain}\n\
         trusted_proxies = ['{TRUSTED}']\nproxy_protocol = ['{BALANCER}']\n{server}\n\
         [[site]]\nname = 'story'\n{hosts}\norigins = ['http://{}']\n{site}\n",
        origin
    );
    let draft = Draft::parse("story.toml", &text);
    let settlement = draft.and_then(|draft| draft.settle(&Defaults::default()));
    let settlement = settlement.unwrap_or_else(|problems| panic!("{problems}"));
    settlement.settled.to_json()
}

/// Asks until there is an answer; what is asked for happens in another thread.
pub(crate) fn eventually<T>(what: impl Debug, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Fetches what may be kept.
pub(crate) fn fetch(client: &mut Client, origin: &mut Visit, path: &str, fields: &str, body: &str) {
    client.get(path);
    origin.head();
    send(origin, fields, body);
    assert_eq!(client.answer().body, body);
}

fn bound(from: IpAddr, to: SocketAddr, room: Option<usize>) -> Client {
    Client(Wire::new(connected(from, to, room)))
}

/// A connection from this address, with so much room for what its client does not read.
pub(crate) fn connected(from: IpAddr, to: SocketAddr, room: Option<usize>) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    if let Some(bytes) = room {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// An edge in a thread of its own, ready.
fn start(
    state: &Path,
    second_core: u16,
    tls: Tls,
    before: impl FnOnce(SocketAddr),
) -> ([SocketAddr; 3], JoinHandle<ExitCode>) {
    let (ipv4, mut first) = listen("127.0.0.1:0", 0);
    let (ipv6, mut second) = listen("[::1]:0", second_core);
    match tls {
        Tls::Ipv4 => first.kind = ListenerKind::Https,
        Tls::Ipv6 => second.kind = ListenerKind::Https,
        Tls::None => {}
    }
    let (admin, mut third) = listen("127.0.0.1:0", 0);
    third.kind = ListenerKind::Admin;
    let (mut ready, tell_ready) = std::io::pipe().unwrap();
    let args = EdgeArgs {
        state_dir: state.to_owned(),
        listeners: vec![first, second, third],
        ready_fd: Some(tell_ready.into()),
        generation: 1,
    };
    before(ipv4);
    let edge = std::thread::spawn(move || run(args));
    let mut word = [0; 6];
    ready.read_exact(&mut word).expect("the edge did not start");
    ([ipv4, ipv6, admin], edge)
}

fn listen(address: &str, core: u16) -> (SocketAddr, PassedListener) {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(4_096).unwrap(); // as the supervisor's sockets wait for many
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr().unwrap();
    let passed = PassedListener {
        fd: listener.into(),
        kind: ListenerKind::Http,
        addr,
        core,
    };
    (addr, passed)
}

/// A visitor's end of a connection.
#[derive(Debug)]
pub(crate) struct Client(Wire);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: String,
}

impl Client {
    /// Sends a GET that is as it should be.
    pub(crate) fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
    }

    /// Reads an answer to anything but HEAD, to its end and not a byte further.
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head();
        let body = match (head.status(), head.field("content-length")) {
            (100..=199 | 204 | 304, _) => String::new(),
            (_, Some(length)) => self.take_text(length.parse().unwrap()),
            _ if head.field("transfer-encoding") == Some("chunked") => self.chunked().0,
            _ => self.rest().0,
        };
        Answer { head, body }
    }

    /// Reads an answer to HEAD.
    pub(crate) fn answer_to_head(&mut self) -> Answer {
        let (head, body) = (self.head(), String::new());
        Answer { head, body }
    }
}

impl Answer {
    /// The name in `Proxy-Status`.
    pub(crate) fn reason(&self) -> Option<&str> {
        let (_, details) = self.head.field("proxy-status")?.split_once("details=\"")?;
        Some(details.trim_end_matches('"'))
    }

    /// What `Cache-Status` says.
    pub(crate) fn cache_status(&self) -> &str {
        self.head.field("cache-status").unwrap()
    }

    pub(crate) fn is_hit(&self) -> bool {
        self.cache_status().contains("; hit;")
    }
}

impl Deref for Client {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.0
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.0
    }
}

impl From<Client> for Wire {
    fn from(client: Client) -> Self {
        client.0
    }
}
