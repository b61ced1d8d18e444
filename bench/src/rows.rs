//! The rows of the table: what is asked of every server, and how often.

use crate::asks::{Asks, Questions};
use crate::load::{CONNECTIONS, Wire};
use crate::run::{FEW_TURNS, TURNS};
use crate::tls::Group;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// One thing that is measured of every server.
pub(crate) struct Row {
    /// The name for `--rows`.
    pub(crate) name: &'static str,
    /// What a person calls it.
    pub(crate) title: &'static str,
    /// Where the answer comes from.
    pub(crate) source: Source,
    /// Bytes in each answer's body.
    pub(crate) body: usize,
    /// What goes over the wire.
    pub(crate) wire: Wire,
    /// What is counted.
    pub(crate) measure: Measure,
}

impl Row {
    /// Whether a server that makes every answer itself can take part: a connection that has nothing to do is idle whoever
    /// answered it.
    pub(crate) fn suits_an_answerer(&self) -> bool {
        self.source == Source::Edge || matches!(self.measure, Measure::IdleMemory { .. })
    }

    /// Whether anybody but Mangrove takes part.
    pub(crate) fn is_for_all(&self) -> bool {
        self.source != Source::Refusal
    }

    /// What is asked for.
    pub(crate) fn questions(&self) -> Questions {
        match self.source {
            Source::Edge | Source::Origin => Questions::root(self.body),
            Source::Cache(asks) => Questions::kept(asks, self.body),
            Source::Disk(shelf) => Questions::kept(Asks::Each(shelf.objects), self.body),
            Source::Refusal => Questions::too_many(),
        }
    }

    /// What lies on a server's disk for this row.
    pub(crate) fn shelf(&self) -> Option<Shelf> {
        match self.source {
            Source::Disk(shelf) => Some(shelf),
            Source::Edge | Source::Origin | Source::Refusal | Source::Cache(_) => None,
        }
    }

    /// Bytes of everything that is asked for.
    pub(crate) fn set_bytes(&self) -> u64 {
        let objects = self.shelf().map_or(1, |shelf| shelf.objects);
        u64::from(objects) * self.body as u64
    }

    /// Turns that each server takes in a round: fewer where one is long.
    pub(crate) fn turns(&self) -> usize {
        match self.shelf() {
            Some(shelf) if shelf.is_cold || self.body > MIB => FEW_TURNS,
            _ => TURNS,
        }
    }

    /// Requests in each of a round's turns, of so many in all of it.
    pub(crate) fn turn(&self, measure: Measure) -> usize {
        measure.requests().div_ceil(self.turns())
    }

    /// Requests that go first in each turn, unmeasured.
    pub(crate) fn warm_up(&self, measure: Measure) -> usize {
        let share = self.turn(measure).div_ceil(WARM_UP_SHARE);
        share.max(self.to_find_windows())
    }

    /// Connections that a keep-alive row's requests come over: fewer where one answer is work enough.
    pub(crate) fn connections(&self) -> usize {
        if self.body > MIB {
            FEW_CONNECTIONS
        } else {
            CONNECTIONS
        }
    }

    /// Requests until TCP, and whoever answers, knows how much each connection takes. Before that a large answer leaves in
    /// pieces, which is not what a connection that is kept alive costs.
    fn to_find_windows(&self) -> usize {
        match (self.measure, (LARGE..VERY_LARGE).contains(&self.body)) {
            (Measure::KeepAlive { .. }, true) => {
                self.connections() * WINDOWS.div_ceil(self.body).max(2)
            }
            _ => 0,
        }
    }
}

/// Where a row's answers come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The server makes them.
    Edge,
    /// The origin makes each of them.
    Origin,
    /// The server makes them, and all of them say no: its clients have asked for too much. Compared with its own hit.
    Refusal,
    /// The server's cache has them.
    Cache(Asks),
    /// The server's disk has them, and its memory has no room for them.
    Disk(Shelf),
}

/// What lies on a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shelf {
    /// How many objects.
    pub(crate) objects: u16,
    /// Whether the kernel has none of it in memory when a turn begins; else it has all of it.
    pub(crate) is_cold: bool,
}

/// What a row counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Measure {
    /// CPU time of a request on connections that stay open.
    KeepAlive {
        /// Requests in each round.
        requests: usize,
    },
    /// CPU time of a connection with one request.
    NewConnection {
        /// Connections in each round.
        requests: usize,
        /// Whether TLS sessions are resumed.
        resume: bool,
    },
    /// Resident memory of a connection that has nothing to do.
    IdleMemory {
        /// Connections held at once.
        connections: usize,
    },
}

impl Measure {
    /// Requests in each round.
    pub(crate) fn requests(self) -> usize {
        match self {
            Self::KeepAlive { requests } | Self::NewConnection { requests, .. } => requests,
            Self::IdleMemory { connections } => connections,
        }
    }

    /// The same with fewer requests, for a first look.
    pub(crate) fn quick(self) -> Self {
        const SHARE: usize = 10;
        match self {
            Self::KeepAlive { requests } => Self::KeepAlive {
                requests: requests.div_ceil(SHARE),
            },
            Self::NewConnection { requests, resume } => Self::NewConnection {
                requests: requests.div_ceil(SHARE),
                resume,
            },
            Self::IdleMemory { connections } => Self::IdleMemory {
                connections: connections.div_ceil(SHARE),
            },
        }
    }
}

/// The share of a turn's requests that goes first, unmeasured.
const WARM_UP_SHARE: usize = 5;
/// From here on an answer is large,
pub(crate) const LARGE: usize = 64 * KIB;
/// and from here on so large that the one which each connection begins with has found its windows.
const VERY_LARGE: usize = 32 * MIB;
/// Connections of a row whose answers are larger than 1 MiB.
pub(crate) const FEW_CONNECTIONS: usize = 4;
/// What a connection carries before its windows have grown to what a large answer needs.
const WINDOWS: usize = 2 * MIB;
/// Idle connections held by each server.
const IDLE: usize = 10_000;

/// All rows, in the order of the report.
pub(crate) static ROWS: [Row; 30] = [
    Row {
        name: "respond-1k",
        title: "1 KiB made at the edge, HTTP/1.1 keep-alive",
        source: Source::Edge,
        body: KIB,
        wire: Wire::H1,
        measure: Measure::KeepAlive { requests: 50_000 },
    },
    hit(
        "hit-1k",
        "1 KiB hit, HTTP/1.1 keep-alive",
        Asks::Same,
        KIB,
        Wire::H1,
        50_000,
    ),
    Row {
        name: "refused-1k",
        title: "one too many (429), HTTP/1.1 keep-alive",
        source: Source::Refusal,
        body: KIB,
        wire: Wire::H1,
        measure: Measure::KeepAlive { requests: 50_000 },
    },
    hit(
        "hit-100k",
        "100 KiB hit, HTTP/1.1 keep-alive",
        Asks::Same,
        100 * KIB,
        Wire::H1,
        8_192,
    ),
    hit(
        "hit-1m",
        "1 MiB hit, HTTP/1.1 keep-alive",
        Asks::Same,
        MIB,
        Wire::H1,
        3_072,
    ),
    hit(
        "hit-10m",
        "10 MiB hit, HTTP/1.1 keep-alive",
        Asks::Same,
        10 * MIB,
        Wire::H1,
        192,
    ),
    hit(
        "hit-tls-1k",
        "1 KiB hit, HTTP/1.1 over TLS, keep-alive",
        Asks::Same,
        KIB,
        Wire::H1Tls(Group::X25519),
        20_000,
    ),
    hit(
        "hit-h2-1k",
        "1 KiB hit, HTTP/2 over TLS",
        Asks::Same,
        KIB,
        Wire::H2Tls(Group::X25519),
        20_000,
    ),
    hit(
        "hit-304",
        "hit, not changed (304), HTTP/1.1 keep-alive",
        Asks::Known,
        KIB,
        Wire::H1,
        50_000,
    ),
    hit(
        "hit-zipf",
        "1 KiB hits among 10,000 objects by Zipf's law, HTTP/1.1 keep-alive",
        Asks::Zipf,
        KIB,
        Wire::H1,
        50_000,
    ),
    disk(
        "disk-100k",
        "100 KiB from the disk, warm, HTTP/1.1 keep-alive",
        Shelf::warm(2_560),
        100 * KIB,
        8_192,
    ),
    disk(
        "disk-100k-cold",
        "100 KiB from the disk, cold, HTTP/1.1 keep-alive",
        Shelf::cold(2_560),
        100 * KIB,
        1_536,
    ),
    disk(
        "disk-1m",
        "1 MiB from the disk, warm, HTTP/1.1 keep-alive",
        Shelf::warm(1_024),
        MIB,
        1_536,
    ),
    disk(
        "disk-1m-cold",
        "1 MiB from the disk, cold, HTTP/1.1 keep-alive",
        Shelf::cold(1_024),
        MIB,
        768,
    ),
    disk(
        "disk-100m",
        "100 MiB from the disk, warm, HTTP/1.1 keep-alive",
        Shelf::warm(12),
        100 * MIB,
        48,
    ),
    disk(
        "disk-100m-cold",
        "100 MiB from the disk, cold, HTTP/1.1 keep-alive",
        Shelf::cold(12),
        100 * MIB,
        24,
    ),
    pass(
        "pass-1k",
        "1 KiB passed through, HTTP/1.1 keep-alive",
        KIB,
        Wire::H1,
        30_000,
    ),
    pass(
        "pass-100k",
        "100 KiB passed through, HTTP/1.1 keep-alive",
        100 * KIB,
        Wire::H1,
        8_192,
    ),
    pass(
        "pass-1m",
        "1 MiB passed through, HTTP/1.1 keep-alive",
        MIB,
        Wire::H1,
        3_072,
    ),
    pass(
        "tls-1k",
        "1 KiB passed through, HTTP/1.1 over TLS, keep-alive",
        KIB,
        Wire::H1Tls(Group::X25519),
        20_000,
    ),
    handshake(
        "tls-new",
        "TLS 1.3 handshake, new, and 1 KiB",
        Group::X25519,
        false,
    ),
    handshake(
        "tls-resumed",
        "TLS 1.3 handshake, resumed, and 1 KiB",
        Group::X25519,
        true,
    ),
    handshake(
        "tls-mlkem",
        "TLS 1.3 handshake, new, X25519MLKEM768, and 1 KiB",
        Group::X25519MlKem768,
        false,
    ),
    pass(
        "h2c-1k",
        "1 KiB passed through, HTTP/2 in cleartext",
        KIB,
        Wire::H2,
        20_000,
    ),
    pass(
        "h2-1k",
        "1 KiB passed through, HTTP/2 over TLS",
        KIB,
        Wire::H2Tls(Group::X25519),
        20_000,
    ),
    pass(
        "h2-100k",
        "100 KiB passed through, HTTP/2 over TLS",
        100 * KIB,
        Wire::H2Tls(Group::X25519),
        4_096,
    ),
    idle(
        "idle-h1",
        "memory of an idle connection, HTTP/1.1",
        Wire::H1,
    ),
    idle(
        "idle-tls",
        "memory of an idle connection, HTTP/1.1 over TLS",
        Wire::H1Tls(Group::X25519),
    ),
    idle(
        "idle-h2c",
        "memory of an idle connection, HTTP/2 in cleartext",
        Wire::H2,
    ),
    idle(
        "idle-h2",
        "memory of an idle connection, HTTP/2 over TLS",
        Wire::H2Tls(Group::X25519),
    ),
];

const fn hit(
    name: &'static str,
    title: &'static str,
    asks: Asks,
    body: usize,
    wire: Wire,
    requests: usize,
) -> Row {
    Row {
        name,
        title,
        source: Source::Cache(asks),
        body,
        wire,
        measure: Measure::KeepAlive { requests },
    }
}

impl Shelf {
    const fn warm(objects: u16) -> Self {
        Self {
            objects,
            is_cold: false,
        }
    }

    const fn cold(objects: u16) -> Self {
        Self {
            objects,
            is_cold: true,
        }
    }
}

const fn disk(
    name: &'static str,
    title: &'static str,
    shelf: Shelf,
    body: usize,
    requests: usize,
) -> Row {
    Row {
        name,
        title,
        source: Source::Disk(shelf),
        body,
        wire: Wire::H1,
        measure: Measure::KeepAlive { requests },
    }
}

const fn pass(
    name: &'static str,
    title: &'static str,
    body: usize,
    wire: Wire,
    requests: usize,
) -> Row {
    Row {
        name,
        title,
        source: Source::Origin,
        body,
        wire,
        measure: Measure::KeepAlive { requests },
    }
}

const fn handshake(name: &'static str, title: &'static str, group: Group, resume: bool) -> Row {
    let measure = Measure::NewConnection {
        requests: 2_000,
        resume,
    };
    Row {
        name,
        title,
        source: Source::Edge,
        body: KIB,
        wire: Wire::H1Tls(group),
        measure,
    }
}

const fn idle(name: &'static str, title: &'static str, wire: Wire) -> Row {
    let measure = Measure::IdleMemory { connections: IDLE };
    Row {
        name,
        title,
        source: Source::Origin,
        body: KIB,
        wire,
        measure,
    }
}

/// The row of this name.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_own_name() {
        for row in &ROWS {
            assert!(std::ptr::eq(find(row.name).unwrap(), row));
        }
        assert!(find("").is_none());
    }

    #[test]
    fn what_is_cold_is_asked_for_once_before_it_is_made_cold_again() {
        for row in &ROWS {
            let Some(shelf) = row.shelf().filter(|shelf| shelf.is_cold) else {
                continue;
            };
            let asked = row.turn(row.measure) + row.warm_up(row.measure);
            assert!(asked <= shelf.objects.into(), "{}: {asked}", row.name);
        }
    }

    #[test]
    fn a_first_look_asks_for_less_but_never_for_nothing() {
        assert_eq!(
            Measure::KeepAlive { requests: 11 }.quick(),
            Measure::KeepAlive { requests: 2 }
        );
        for row in &ROWS {
            let quick = row.measure.quick().requests();
            assert!((1..row.measure.requests()).contains(&quick), "{}", row.name);
        }
    }
}
