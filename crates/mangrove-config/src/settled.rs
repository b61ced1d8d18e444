//! The settled form: complete, validated, canonical. What an edge keeps on its disk and starts from.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fault::Faults;
use crate::server::Server;
use crate::site::Site;
use crate::target::Origin;
use crate::validate::validate;

/// The version of the settled form that this build writes and reads.
pub const FORMAT: u32 = 1;

/// Everything an edge does, decided: no key missing, no reference open, no default left to the reader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// The version of this form, [`FORMAT`].
    pub format: u32,
    /// What belongs to the machine.
    pub server: Server,
    /// Who is served, in the order written.
    pub sites: Vec<Site>,
}

/// The largest settled form read back, in bytes.
pub const SETTLED_BYTES: usize = 256 * 1024 * 1024;

/// Why bytes are not a settled form this build can start from.
#[derive(Debug, thiserror::Error)]
pub enum Unsettled {
    /// Longer than [`SETTLED_BYTES`].
    #[error("the settled form has {0} bytes, more than {SETTLED_BYTES}")]
    TooLarge(usize),
    /// Not JSON, or not of this shape.
    #[error("the settled form cannot be read: {0}")]
    Shape(#[from] serde_json::Error),
    /// A value that settling would have refused.
    #[error("the settled form cannot be used: {0}")]
    Refused(String),
    /// Written in another version of the form.
    #[error("the settled form is of format {0}; this build reads {FORMAT}")]
    Format(u32),
}

impl Settled {
    /// The canonical JSON: one line, keys in the order of the types.
    pub fn to_json(&self) -> String {
        // Writing these types to memory has no way to fail: no map with keys that are not text, no I/O.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what `to_json` wrote, trusting none of it.
    ///
    /// # Errors
    /// When the bytes are too many, are not this form, or hold a value that settling would have refused.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Unsettled> {
        if bytes.len() > SETTLED_BYTES {
            return Err(Unsettled::TooLarge(bytes.len()));
        }
        let settled: Self = serde_json::from_slice(bytes)?;
        settled.check()?;
        Ok(settled)
    }

    /// Judges a form that was made or changed in memory, such as after replacing its listeners.
    ///
    /// # Errors
    /// When the format is another, or by path what is wrong.
    pub fn check(&self) -> Result<(), Unsettled> {
        if self.format != FORMAT {
            return Err(Unsettled::Format(self.format));
        }
        let mut faults = Faults::default();
        validate(self, &mut faults);
        if faults.is_empty() {
            Ok(())
        } else {
            Err(refused(faults))
        }
    }

    /// SHA-256 of the canonical JSON, as 64 hexadecimal digits.
    pub fn digest(&self) -> String {
        use std::fmt::Write;
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(self.to_json()) {
            let _ = write!(hex, "{byte:02x}");
        }
        hex
    }
}

impl Settled {
    /// One site named `origin` on every host, in front of `origin`, listening as `server` says.
    pub fn for_origin(origin: Origin, server: Server) -> Self {
        let site = Site {
            name: "origin".to_owned(),
            hosts: vec!["*".to_owned()],
            origins: vec![origin],
            ..Site::default()
        };
        Self {
            format: FORMAT,
            server,
            sites: vec![site],
        }
    }

    /// The built-in sample site on every host, listening as `server` says.
    pub fn sample(server: Server) -> Self {
        let site = Site {
            name: "sample".to_owned(),
            hosts: vec!["*".to_owned()],
            sample: true,
            ..Site::default()
        };
        Self {
            format: FORMAT,
            server,
            sites: vec![site],
        }
    }
}

/// The first few faults in one line: nobody edits this form, so nobody needs them all.
fn refused(faults: Faults) -> Unsettled {
    const NAMED: usize = 3;
    let (found, more) = faults.into_parts();
    let more = more.saturating_add(found.len().saturating_sub(NAMED));
    let named: Vec<String> = found.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if more == 0 {
        String::new()
    } else {
        format!("; and {more} more")
    };
    Unsettled::Refused(format!("{}{more}", named.join("; ")))
}

impl Server {
    /// Listening on loopback only: what is used where nothing else is said.
    pub fn on_loopback() -> Self {
        let both = |port| {
            vec![
                SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
            ]
        };
        Self {
            http: both(8080),
            https: both(8443),
            admin: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9180))),
            ..Self::default()
        }
    }
}
