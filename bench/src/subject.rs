//! A whole Mangrove that is put to the proof: its folder, its processes, its commands.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clock;
use crate::process::free_address;
use crate::tls::Identity;

/// How long it may take to be ready, or to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// It and everything it started end when this value goes.
pub(crate) struct Subject {
    program: PathBuf,
    folder: PathBuf,
    /// Whose certificate it shows.
    pub(crate) identity: Identity,
    /// Where it speaks cleartext.
    pub(crate) http: SocketAddr,
    /// Where it speaks TLS.
    pub(crate) https: SocketAddr,
    /// Where it is asked for its metrics.
    pub(crate) admin: SocketAddr,
    supervisor: Option<Child>,
    servings: usize,
}

impl Subject {
    /// One that does not run yet, with a folder of its own below the system's for passing things.
    pub(crate) fn prepare(program: &Path, name: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("mangrove-{name}-{}", std::process::id()));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        // The edge may run as another user, who must reach its state.
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            program: program.to_owned(),
            identity: Identity::create(&folder)?,
            folder,
            http: free_address()?,
            https: free_address()?,
            admin: free_address()?,
            supervisor: None,
            servings: 0,
        })
    }

    /// Writes its configuration: addresses and certificate, then `limits` for `[server.limits]`, then the `sites`.
    pub(crate) fn configure(&self, limits: &str, sites: &str) -> Result<()> {
        self.configure_with("", limits, sites)
    }

    /// The same with further lines for `[server]`.
    pub(crate) fn configure_with(&self, server: &str, limits: &str, sites: &str) -> Result<()> {
        let mut text = String::new();
        write!(
            text,
            r#"[server]
http = ["{http}"]
https = ["{https}"]
admin = "{admin}"
{server}

[[server.tls.certificate]]
cert = "{certificate}"
key = "{key}"

[server.limits]
{limits}

{sites}"#,
            http = self.http,
            https = self.https,
            admin = self.admin,
            certificate = self.identity.certificate.display(),
            key = self.identity.key.display(),
        )?;
        fs::write(self.config(), text).context("writing the configuration")
    }

    /// `mangrove serve`, until it says that it serves.
    pub(crate) fn serve(&mut self) -> Result<()> {
        self.begin_serving()?;
        clock::poll(PATIENCE, || Ok(self.serves()?.then_some(())))
            .context("waiting for mangrove to serve")
    }

    /// `mangrove serve`, without waiting.
    pub(crate) fn begin_serving(&mut self) -> Result<()> {
        self.servings += 1;
        let log = File::create(self.log_path())?;
        let child = self
            .command("serve")
            .arg("--config")
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A Ctrl-C at the terminal is for the bench, which ends the others in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        self.supervisor = Some(child);
        Ok(())
    }

    /// Whether it has said that it serves; an error when it has ended instead.
    pub(crate) fn serves(&mut self) -> Result<bool> {
        let child = self.supervisor.as_mut().context("no supervisor runs")?;
        if let Some(status) = child.try_wait()? {
            bail!("mangrove serve ended ({status}): {}", self.log());
        }
        Ok(self.log().contains("Ctrl-C"))
    }

    /// A command for the running one, of one word or several, ready to be given more arguments.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(name.split(' '));
        command.arg("--state").arg(self.state());
        command.env_remove("NOTIFY_SOCKET");
        command
    }

    /// A copy of the program, as an upgrade would bring.
    pub(crate) fn copy_of_program(&self) -> Result<PathBuf> {
        let copy = self.folder.join("mangrove-next");
        fs::copy(&self.program, &copy).context("copying the program")?;
        Ok(copy)
    }

    /// The folder that all of it lies in; gone with this value.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its disk tier lies.
    pub(crate) fn store(&self) -> PathBuf {
        self.state().join("store")
    }

    /// What the last `serve` said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The supervisor's process.
    pub(crate) fn supervisor(&self) -> Result<Pid> {
        let child = self.supervisor.as_ref().context("no supervisor runs")?;
        i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("a process id")
    }

    /// The edges that run, whoever their parent is, the newest last.
    pub(crate) fn edges(&self) -> Result<Vec<Pid>> {
        let state = self.state();
        let mut edges = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let here = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == state);
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if let Some(generation) = generation(&words).filter(|_| here)
                && let Some(pid) = Pid::from_raw(pid)
                && !is_gone(pid)
            {
                edges.push((generation, pid));
            }
        }
        edges.sort_unstable_by_key(|(generation, _)| *generation);
        Ok(edges.into_iter().map(|(_, pid)| pid).collect())
    }

    /// The edge that serves.
    pub(crate) fn edge(&self) -> Result<Pid> {
        self.edges()?.pop().context("no edge runs")
    }

    /// A number that its metrics tell.
    pub(crate) async fn metric(&self, name: &str) -> Result<u64> {
        let ask = async {
            let mut stream = TcpStream::connect(self.admin).await?;
            let ask = format!(
                "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                self.admin
            );
            stream.write_all(ask.as_bytes()).await?;
            let mut page = String::new();
            stream.read_to_string(&mut page).await?;
            anyhow::Ok(page)
        };
        let page = timeout(PATIENCE, ask)
            .await
            .context("the edge does not tell its metrics")??;
        let line = page.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.with_context(|| format!("no {name} in the metrics: {page}"))
    }

    /// Kills the supervisor and nobody else.
    pub(crate) fn kill_supervisor(&mut self) -> Result<()> {
        rustix::process::kill_process(self.supervisor()?, Signal::KILL)?;
        if let Some(mut child) = self.supervisor.take() {
            child.wait()?;
        }
        Ok(())
    }

    /// Ends it in good order; an error if it took too long.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let supervisor = self.supervisor()?;
        rustix::process::kill_process(supervisor, Signal::TERM)?;
        let Some(child) = &mut self.supervisor else {
            return Ok(());
        };
        clock::poll(PATIENCE, || Ok(child.try_wait()?)).context("stopping mangrove")?;
        self.supervisor = None;
        ensure!(self.edges()?.is_empty(), "an edge was left behind");
        Ok(())
    }

    /// Where the first edge takes orders.
    pub(crate) fn edge_socket(&self) -> PathBuf {
        self.state().join("edge/edge-1.sock")
    }

    /// Where the newest edge takes orders; the socket of one that was killed may still lie there.
    pub(crate) fn newest_edge_socket(&self) -> Result<PathBuf> {
        let folder = self.state().join("edge");
        let number = |name: &str| -> Option<u64> {
            name.strip_prefix("edge-")?
                .strip_suffix(".sock")?
                .parse()
                .ok()
        };
        let mut newest = None;
        for entry in fs::read_dir(&folder)?.flatten() {
            newest = newest.max(entry.file_name().to_str().and_then(number));
        }
        let newest = newest.context("no edge takes orders")?;
        Ok(folder.join(format!("edge-{newest}.sock")))
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    fn config(&self) -> PathBuf {
        self.folder.join("mangrove.toml")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join(format!("serve-{}.log", self.servings))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        if let Ok(supervisor) = self.supervisor() {
            let _ = rustix::process::kill_process(supervisor, Signal::TERM);
            let _ = rustix::process::kill_process(supervisor, Signal::INT); // waits for nobody
        }
        if let Some(child) = &mut self.supervisor
            && clock::poll(PATIENCE, || Ok(child.try_wait()?)).is_err()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
        for edge in self.edges().unwrap_or_default() {
            let _ = rustix::process::kill_process(edge, Signal::KILL);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether a process has ended; it may still wait to be reaped.
pub(crate) fn is_gone(pid: Pid) -> bool {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let Ok(stat) = fs::read_to_string(path) else {
        return true;
    };
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

/// The number behind `--generation`, of an edge's command line.
fn generation(command_line: &[u8]) -> Option<u64> {
    let mut words = command_line.split(|byte| *byte == 0).skip(1);
    let number = match (words.next()?, words.next()?) {
        (b"edge", word) => word.strip_prefix(b"--generation=")?,
        _ => return None,
    };
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_known_by_its_command_line() {
        assert_eq!(generation(b"mangrove\0edge\0--generation=17\0"), Some(17));
        assert_eq!(generation(b"mangrove\0serve\0--generation=17\0"), None);
        assert_eq!(generation(b""), None);
    }
}
