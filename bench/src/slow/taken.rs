//! What the kernel has taken for clients that do not read it, as the kernel itself tells.
//!
//! A reader's deadline counts from the last byte that its side took. When that was, nobody may take the edge's word for:
//! it is seen at the client's own sockets, in whose receive queues the bytes pile up (proc_pid_net(5), `tcp`). Thousands
//! of readers with small buffers press on the kernel's memory, so that it goes on taking a few bytes for some of them for
//! many seconds; each has a deadline of its own from then on.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

/// The sockets of clients at some doors.
pub(super) struct Taken {
    doors: [String; 2],
    /// By inode.
    sockets: HashMap<u64, Socket>,
    longest: Duration,
}

#[derive(Clone, Copy)]
struct Socket {
    /// Bytes that were taken and not read.
    queued: u64,
    grown: Instant,
    seen: Instant,
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
    pub(super) fn look(&mut self, now: Instant) -> Result<()> {
        self.see(&fs::read_to_string("/proc/self/net/tcp")?, now);
        Ok(())
    }

    /// The longest that a socket with unread bytes stayed after its last byte had come.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    fn see(&mut self, table: &str, now: Instant) {
        for line in table.lines().skip(1) {
            let mut fields = line.split_ascii_whitespace().skip(2);
            let (Some(remote), Some(queues)) = (fields.next(), fields.nth(1)) else {
                continue;
            };
            if !self.doors.iter().any(|door| remote.ends_with(door)) {
                continue;
            }
            let received = queues.split_once(':').map_or("", |(_, received)| received);
            let inode = fields.nth(4).and_then(|inode| inode.parse().ok());
            let (Ok(queued), Some(inode)) = (u64::from_str_radix(received, 16), inode) else {
                continue;
            };
            let socket = self.sockets.entry(inode).or_insert(Socket {
                queued,
                grown: now,
                seen: now,
            });
            if queued > socket.queued {
                socket.grown = now;
            }
            (socket.queued, socket.seen) = (queued, now);
        }
        let longest = &mut self.longest;
        self.sockets.retain(|_, socket| {
            let is_there = socket.seen == now;
            // Whoever has read everything is no slow reader: a bystander.
            if !is_there && socket.queued > 0 {
                *longest = (*longest).max(now - socket.grown);
            }
            is_there
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of the table: a client's socket, its unread bytes, its inode.
    fn line(remote: &str, unread: u64, inode: u64) -> String {
        format!(
            "   1: 0100007F:D431 {remote} 01 00000000:{unread:08X} 00:00000000 00000000  0  0 {inode} 1 x 20\n"
        )
    }

    #[test]
    fn a_reader_is_timed_from_its_last_byte_to_its_end() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut taken = Taken::at([":1F90".to_owned(), ":20FB".to_owned()]);
        let door = "0100007F:1F90";
        let head = "  sl  local_address rem_address ...\n";
        taken.see(
            &[
                head,
                &line(door, 10, 7),
                &line(door, 0, 8),
                &line("0100007F:0050", 9, 9),
            ]
            .concat(),
            at(0),
        );
        taken.see(
            &[head, &line(door, 90, 7), &line(door, 0, 8)].concat(),
            at(3),
        );
        taken.see(&[head, &line(door, 90, 7)].concat(), at(5));
        assert_eq!(taken.longest(), Duration::ZERO); // 8 had read everything, 9 is nobody of ours
        taken.see(head, at(9));
        assert_eq!(taken.longest(), Duration::from_secs(6));
    }
}
