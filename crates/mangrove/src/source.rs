//! What `serve` was told to serve, and how it is settled: at the start and at every reload.

use std::fs;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use mangrove_config::{Defaults, Draft, FILE_BYTES, Origin, Server, Settled};
use serde::{Deserialize, Serialize};

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) from: From,
    /// Cleartext listeners that replace the configured ones; empty: as configured.
    pub(crate) listen: Vec<SocketAddr>,
}

/// The kinds of [`Source`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum From {
    /// A file, by absolute path.
    File(PathBuf),
    /// One origin for every host.
    Origin(String),
    /// The built-in sample site.
    Sample,
}

/// A source that was settled.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) settled: Settled,
    pub(crate) notices: Vec<String>,
}

impl Source {
    /// Reads and settles it. The error is what the person reads.
    pub(crate) fn settle(&self) -> Result<Wanted> {
        let mut wanted = match &self.from {
            From::File(path) => settle_text(&path.display().to_string(), &read(path)?)?,
            From::Origin(url) => {
                let origin = Origin::parse(url, 1)
                    .map_err(|problem| anyhow::anyhow!("--origin {url}: {problem}"))?;
                Wanted::plain(Settled::for_origin(origin, self.loopback()))
            }
            From::Sample => Wanted::plain(Settled::sample(self.loopback())),
        };
        if let From::File(path) = &self.from {
            anchor_paths(&mut wanted.settled, path.parent().unwrap_or(Path::new("/")));
        }
        if !self.listen.is_empty() {
            wanted.settled.server.http.clone_from(&self.listen);
        }
        Ok(wanted)
    }

    /// The state folder that the file names, if it is a file and names one.
    pub(crate) fn state(&self) -> Result<Option<PathBuf>> {
        let From::File(path) = &self.from else {
            return Ok(None);
        };
        state_named_in(path)
    }

    /// Without a file nothing listens beyond this machine unless it was asked to. Who says where cleartext goes has
    /// not asked for TLS beside it.
    fn loopback(&self) -> Server {
        let mut server = Server::on_loopback();
        if !self.listen.is_empty() {
            server.https.clear();
        }
        server
    }
}

impl Wanted {
    fn plain(settled: Settled) -> Self {
        Self {
            settled,
            notices: Vec::new(),
        }
    }
}

/// The state folder that a file names, if it does.
pub(crate) fn state_named_in(path: &Path) -> Result<Option<PathBuf>> {
    let text = read(path)?;
    let draft = Draft::parse(&path.display().to_string(), &text)
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    Ok(draft.state().map(PathBuf::from))
}

/// Settles the text of a configuration; `name` is how errors call it.
pub(crate) fn settle_text(name: &str, text: &str) -> Result<Wanted> {
    let settlement = Draft::parse(name, text)
        .and_then(|draft| draft.settle(&Defaults::default()))
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    Ok(Wanted {
        settled: settlement.settled,
        notices: settlement.notices.iter().map(ToString::to_string).collect(),
    })
}

/// The text of a configuration file; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<String> {
    let limit = u64::try_from(FILE_BYTES).unwrap_or(u64::MAX) + 1;
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("{} cannot be read", path.display()))?;
    let Ok(text) = String::from_utf8(bytes) else {
        bail!("{} is not UTF-8 text", path.display());
    };
    Ok(text)
}

/// `--listen`: `ADDRESS:PORT`, or a port alone for every address of the machine.
pub(crate) fn parse_listen(text: &str) -> Result<Vec<SocketAddr>, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok(vec![
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        ]);
    }
    text.parse().map(|addr| vec![addr]).map_err(|_| {
        "write ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080, or a port alone for every address"
            .into()
    })
}

/// Paths in a file are meant from where the file is; the edge runs in the state folder.
fn anchor_paths(settled: &mut Settled, folder: &Path) {
    let anchor = |path: &mut String| *path = folder.join(&path).display().to_string();
    for certificate in &mut settled.server.tls.certificates {
        anchor(&mut certificate.cert);
        anchor(&mut certificate.key);
        certificate.ocsp.iter_mut().for_each(anchor);
    }
    settled.server.log.path.iter_mut().for_each(anchor);
    for site in &mut settled.sites {
        site.origin.tls_ca.iter_mut().for_each(anchor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_every_address() {
        let listen = parse_listen("8080").unwrap();
        assert_eq!(parse_listen(":8080").unwrap(), listen);
        assert_eq!(listen.len(), 2);
        assert!(listen.iter().all(|addr| addr.ip().is_unspecified()));
        assert_eq!(parse_listen("[::1]:80").unwrap().len(), 1);
        for wrong in ["", "localhost", "127.0.0.1", "70000", "::1:80:"] {
            assert!(parse_listen(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_a_file_only_this_machine_is_listened_to() {
        let sample = |listen| Source {
            from: From::Sample,
            listen,
        };
        let server = sample(Vec::new()).settle().unwrap().settled.server;
        let mut addrs = server.http.iter().chain(&server.https).chain(&server.admin);
        assert!(addrs.all(|addr| addr.ip().is_loopback()));

        let listen = parse_listen("0.0.0.0:80").unwrap();
        let server = sample(listen.clone()).settle().unwrap().settled.server;
        assert_eq!((server.http, server.https), (listen, Vec::new()));
    }

    #[test]
    fn paths_are_meant_from_where_the_file_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.toml");
        let text = "[[server.tls.certificate]]\ncert = \"a.crt\"\nkey = \"/keys/a.key\"\n\
                    [[site]]\nname = \"a\"\nhosts = [\"*\"]\norigins = [\"http://127.0.0.1:1\"]\n";
        fs::write(&path, text).unwrap();
        let source = Source {
            from: From::File(path),
            listen: Vec::new(),
        };
        let tls = source.settle().unwrap().settled.server.tls;
        let certificate = tls.certificates.first().unwrap();
        assert_eq!(
            certificate.cert,
            folder.path().join("a.crt").display().to_string()
        );
        assert_eq!(certificate.key, "/keys/a.key");
    }
}
