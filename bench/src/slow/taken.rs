//! What the kernels have taken for clients that do not read it, and acknowledged, as the kernel itself tells.
//!
//! A reader's deadline counts from the last byte that its side acknowledged. When that was, nobody may take the edge's word
//! for: it is seen at the sockets (proc_pid_net(5), `tcp`). Bytes pile up in the receive queue of the client's; an
//! acknowledgment makes the send queue of the edge's shorter. Thousands of readers with small buffers press on the kernel's
//! memory, so that segments and acknowledgments are dropped and sent again, at intervals that double, for many seconds; each
//! reader has a deadline of its own from then on.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::Instant;

/// How often the table is looked at: it is a long one.
const LOOK: Duration = Duration::from_millis(250);

/// The sockets of clients at some doors.
pub(super) struct Taken {
    doors: [String; 2],
    /// By the client's address.
    sockets: HashMap<String, Socket>,
    longest: Duration,
}

#[derive(Clone, Copy)]
struct Socket {
    /// Bytes that were taken and not read.
    queued: u64,
    /// Bytes that the edge's side has sent, or is to send, and that were not acknowledged.
    unacknowledged: u64,
    moved: Instant,
    seen: Instant,
}

/// Looks again and again on a thread of its own: what keeps the clients' thread busy makes nobody's stay look longer.
pub(super) struct Watch {
    over: Arc<AtomicBool>,
    looking: JoinHandle<Result<Taken>>,
}

impl Watch {
    /// Looks from now on.
    pub(super) fn begin(mut taken: Taken) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let looking = thread::spawn(move || {
            loop {
                // Known before the last look, so that this one sees who has gone.
                let is_last = told.load(Relaxed);
                taken.look(Instant::now())?;
                if is_last {
                    return Ok(taken);
                }
                thread::sleep(LOOK);
            }
        });
        Self { over, looking }
    }

    /// Looks once more; the longest that a socket with unread bytes stayed after its last byte had come.
    pub(super) fn end(self) -> Result<Duration> {
        self.over.store(true, Relaxed);
        let looking = self.looking.join();
        let taken = looking.map_err(|_| anyhow!("the thread that looks at sockets has died"))??;
        Ok(taken.longest)
    }
}

impl Taken {
    /// Nothing seen yet. A door is the end of an address as the table has it, a colon and four hexadecimal digits.
    pub(super) fn at(doors: [String; 2]) -> Self {
        Self {
            doors,
            sockets: HashMap::new(),
            longest: Duration::ZERO,
        }
    }

    /// Looks what is there now.
    fn look(&mut self, now: Instant) -> Result<()> {
        self.see(&fs::read_to_string("/proc/self/net/tcp")?, now);
        Ok(())
    }

    fn see(&mut self, table: &str, now: Instant) {
        for line in table.lines().skip(1) {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (Some(local), Some(remote), Some(queues)) =
                (fields.next(), fields.next(), fields.nth(1))
            else {
                continue;
            };
            let is_door = |end: &str| self.doors.iter().any(|door| end.ends_with(door));
            let number = |text| u64::from_str_radix(text, 16).ok();
            let Some((sent, received)) = queues.split_once(':') else {
                continue;
            };
            let (Some(sent), Some(received)) = (number(sent), number(received)) else {
                continue;
            };
            if is_door(remote) {
                let socket = self.sockets.entry(local.to_owned()).or_insert(Socket {
                    queued: received,
                    unacknowledged: 0,
                    moved: now,
                    seen: now,
                });
                if received > socket.queued {
                    socket.moved = now;
                }
                (socket.queued, socket.seen) = (received, now);
            } else if is_door(local)
                && let Some(socket) = self.sockets.get_mut(remote)
            {
                if sent < socket.unacknowledged {
                    socket.moved = now;
                }
                socket.unacknowledged = sent;
            }
        }
        let longest = &mut self.longest;
        self.sockets.retain(|_, socket| {
            let is_there = socket.seen == now;
            // Whoever has read everything is no slow reader: a bystander.
            if !is_there && socket.queued > 0 {
                *longest = (*longest).max(now - socket.moved);
            }
            is_there
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of the table: whose end it is, the other's, bytes to be acknowledged, bytes to be read.
    fn line(local: &str, remote: &str, sent: u64, received: u64) -> String {
        format!(
            "   1: {local} {remote} 01 {sent:08X}:{received:08X} 00:00000000 00000000  0  0 7 1 x 20\n"
        )
    }

    const DOOR: &str = "0100007F:1F90";
    const SLOW: &str = "0100007F:D431";
    const BYSTANDER: &str = "0100007F:D432";
    const HEAD: &str = "  sl  local_address rem_address ...\n";

    fn taken() -> Taken {
        Taken::at([":1F90".to_owned(), ":20FB".to_owned()])
    }

    #[test]
    fn a_reader_is_timed_from_its_last_byte_to_its_end() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut taken = taken();
        let stranger = line(SLOW, "0100007F:0050", 0, 9);
        taken.see(
            &[
                HEAD,
                &line(SLOW, DOOR, 0, 10),
                &line(BYSTANDER, DOOR, 0, 0),
                &stranger,
            ]
            .concat(),
            at(0),
        );
        taken.see(
            &[HEAD, &line(SLOW, DOOR, 0, 90), &line(BYSTANDER, DOOR, 0, 0)].concat(),
            at(3),
        );
        taken.see(&[HEAD, &line(SLOW, DOOR, 0, 90)].concat(), at(5));
        assert_eq!(taken.longest, Duration::ZERO); // the bystander had read everything
        taken.see(HEAD, at(9));
        assert_eq!(taken.longest, Duration::from_secs(6));
    }

    #[test]
    fn an_acknowledgment_that_was_late_counts_from_when_it_came() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut taken = taken();
        for (second, unacknowledged) in [(0, 500), (4, 400), (6, 400)] {
            let ends = [
                HEAD,
                &line(SLOW, DOOR, 0, 10),
                &line(DOOR, SLOW, unacknowledged, 0),
            ];
            taken.see(&ends.concat(), at(second));
        }
        taken.see(HEAD, at(9));
        assert_eq!(taken.longest, Duration::from_secs(5));
    }
}
