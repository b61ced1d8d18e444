//! Signals as something to poll: each one writes a byte to a socket of its own.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;

use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::pipe;

/// What a signal asks of the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGUSR1.
    Reopen,
}

/// The signals that are listened for.
#[derive(Debug)]
pub(crate) struct Signals {
    roads: Vec<(Asked, UnixStream)>,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        let asked = [
            (SIGHUP, Asked::Reload),
            (SIGTERM, Asked::Stop),
            (SIGINT, Asked::Stop),
            (SIGUSR1, Asked::Reopen),
        ];
        let roads = asked.into_iter().map(|(signal, asked)| {
            let (ours, theirs) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            pipe::register(signal, theirs)?;
            Ok((asked, ours))
        });
        let roads = roads.collect::<io::Result<_>>()?;
        Ok(Self { roads })
    }

    /// What to poll.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &UnixStream> {
        self.roads.iter().map(|(_, stream)| stream)
    }

    /// What was asked since the last call. SIGTERM twice is twice: the second one has no patience.
    pub(crate) fn take(&mut self) -> Vec<Asked> {
        let mut asked = Vec::new();
        for (what, stream) in &mut self.roads {
            let mut bytes = [0; 64];
            if let Ok(count) = stream.read(&mut bytes) {
                let times = if *what == Asked::Stop {
                    count
                } else {
                    count.min(1)
                };
                asked.extend(std::iter::repeat_n(*what, times));
            }
        }
        asked
    }
}
