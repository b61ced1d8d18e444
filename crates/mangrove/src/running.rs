//! Asking the edges of a running Mangrove, for a command.

use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use serde::de::DeserializeOwned;

use crate::edge_call::{self, Refused};
use crate::state::StateDir;
use crate::supervisor::Generation;
use crate::{adoption, control};

/// What one living edge said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Which edge.
    pub(crate) generation: Generation,
    /// The outer error: it is there and did not answer. The inner one: its own reason.
    pub(crate) outcome: io::Result<Result<String, Refused>>,
}

/// Asks the edge in charge, which is the newest that answers; older ones are finishing their requests.
pub(crate) fn ask_in_charge(state: &Path, line: &str) -> Result<String> {
    let folder = StateDir::existing(state).map_err(|error| control::nobody(state, &error))?;
    let mut trouble = anyhow!("no edge answers");
    for generation in adoption::generations(&folder).into_iter().rev() {
        match ask(&folder, generation, line) {
            Some(Ok(Ok(answer))) => return Ok(answer),
            Some(Ok(Err(refused))) => return Err(anyhow!("{}", refused.reason)),
            Some(Err(error)) => trouble = unreachable(generation, &error),
            None => {}
        }
    }
    Err(control::nobody(state, &trouble))
}

/// Asks every living edge, the newest first: also one that is only finishing its requests still answers some.
pub(crate) fn ask_each(state: &Path, line: &str) -> Result<Vec<Said>> {
    let folder = StateDir::existing(state).map_err(|error| control::nobody(state, &error))?;
    let generations = adoption::generations(&folder).into_iter().rev();
    let said: Vec<Said> = generations
        .filter_map(|generation| {
            let outcome = ask(&folder, generation, line)?;
            Some(Said {
                generation,
                outcome,
            })
        })
        .collect();
    match said.is_empty() {
        true => Err(control::nobody(state, &anyhow!("no edge answers"))),
        false => Ok(said),
    }
}

/// Reads an edge's JSON.
pub(crate) fn understood<T: DeserializeOwned>(answer: &str) -> Result<T> {
    serde_json::from_str(answer)
        .context("the edge's answer is not what this build expects; is it of another version?")
}

/// Why an edge could not be asked, and what to do.
pub(crate) fn unreachable(generation: Generation, error: &io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::PermissionDenied => anyhow!(
            "edge {generation} may not be asked by this user: run it as root, or as the user that the edge runs as"
        ),
        _ => anyhow!("edge {generation} does not answer: {error}"),
    }
}

/// `value` as a part of a request's query.
pub(crate) fn encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |text, byte| match byte {
        b'%' | b'&' | b'#' => text + &format!("%{byte:02X}"),
        _ if byte.is_ascii_graphic() => text + char::from(byte).encode_utf8(&mut [0; 4]),
        _ => text + &format!("%{byte:02X}"),
    })
}

/// `None` where no edge is any more, only the name of its socket.
fn ask(
    folder: &StateDir,
    generation: Generation,
    line: &str,
) -> Option<io::Result<Result<String, Refused>>> {
    let socket = folder.socket(&format!("edge/edge-{generation}.sock"));
    match edge_call::ask_and_wait(&socket, line) {
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            None
        }
        outcome => Some(outcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;
    use std::thread::JoinHandle;

    /// An edge that says one thing to one caller, and gives back what it was asked.
    fn edge(folder: &StateDir, generation: u64, answer: &'static str) -> JoinHandle<String> {
        let path = folder.path().join(format!("edge/edge-{generation}.sock"));
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 512];
            let n = stream.read(&mut asked).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&asked[..n]).into_owned()
        })
    }

    fn dead(folder: &StateDir, generation: u64) {
        let path = folder.path().join(format!("edge/edge-{generation}.sock"));
        drop(UnixListener::bind(path).unwrap());
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    const NO: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 15\r\n\r\n{\"error\":\"not\"}";

    #[test]
    fn every_living_edge_is_asked_and_the_newest_answers_for_all() {
        let place = tempfile::tempdir().unwrap();
        let folder = StateDir::open(place.path()).unwrap();
        let edges = [edge(&folder, 2, NO), edge(&folder, 4, OK)];
        dead(&folder, 3);
        dead(&folder, 5);
        let said = ask_each(place.path(), "POST /purge").unwrap();
        let statuses: Vec<_> = said
            .iter()
            .map(|said| match said.outcome.as_ref().unwrap() {
                Ok(_) => (said.generation, None),
                Err(refused) => (said.generation, refused.status),
            })
            .collect();
        assert_eq!(statuses, [(4, None), (2, Some(404))]);
        for edge in edges {
            assert!(edge.join().unwrap().starts_with("POST /purge HTTP/1.1\r\n"));
        }

        let place = tempfile::tempdir().unwrap();
        let folder = StateDir::open(place.path()).unwrap();
        let newest = edge(&folder, 4, OK);
        dead(&folder, 5);
        assert_eq!(ask_in_charge(place.path(), "GET /cache").unwrap(), "{}");
        newest.join().unwrap();
        assert!(ask_in_charge(place.path(), "GET /cache").is_err());
        assert!(ask_each(place.path(), "GET /cache").is_err());
    }

    #[test]
    fn a_value_is_written_so_that_it_is_one() {
        assert_eq!(
            encoded("http://a/?b=1&c=%2F+#d \u{e9}"),
            "http://a/?b=1%26c=%252F+%23d%20%C3%A9"
        );
    }
}
