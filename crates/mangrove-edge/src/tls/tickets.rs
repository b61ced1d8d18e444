//! Session tickets that any core and any process of this edge can open, also after a restart.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;

use super::private_file;
use super::problem::{TlsFault, TlsProblem};
use super::ticket_ring::{
    Damaged, ID_LEN, MAX_FILE_LEN, OPENS_FOR, SEALS_FOR, SECRET_LEN, TicketKey, TicketRing,
};

/// Seals and opens session tickets (RFC 5077, RFC 8446 section 4.6.1) with keys kept in the state
/// folder and shared by all who use it. Removing the file revokes every ticket within a minute.
///
/// A ticket is `ciphertext ‖ tag ‖ nonce ‖ key id`, AES-256-GCM, the key id authenticated too. The
/// nonces are random: a key must seal less than 2^32 tickets, which is 99,000 a second for all its
/// 12 hours.
pub struct TicketKeys {
    file: PathBuf,
    /// Read-locked to find a key in a handful, write-locked a few times a day.
    turn: RwLock<Turn>,
}

/// The keys between two rotations.
#[derive(Default)]
struct Turn {
    ring: TicketRing,
    ready: Vec<Ready>,
    sealing: Option<[u8; ID_LEN]>,
}

/// A key expanded for use.
struct Ready {
    id: [u8; ID_LEN],
    key: Arc<RandomizedNonceKey>,
}

impl TicketKeys {
    /// Takes up the keys in `STATE/edge/tls/ticket-keys`, or makes the first.
    ///
    /// A file that cannot be read or written is told of, and costs resumption across processes
    /// and restarts, nothing more.
    pub fn open(state: &Path, now: UnixTime) -> (Arc<Self>, Option<TlsProblem>) {
        let file = super::folder(state).join("ticket-keys");
        let keys = Self {
            file,
            turn: RwLock::default(),
        };
        let problem = keys.rotate(now);
        (Arc::new(keys), problem)
    }

    /// Takes in what other processes have written, drops what is over, makes what is due. To be
    /// called once a minute, off the request path: it reads, and a few times a day writes, one
    /// small file.
    pub fn rotate(&self, now: UnixTime) -> Option<TlsProblem> {
        let (on_disk, mut fault) = self.read();
        let held = self
            .turn
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .ring
            .clone();
        let ring = TicketRing::turn(&held, &on_disk, now, new_key);
        // What could not be read may be whole: it is not written over.
        let may_write = matches!(fault, None | Some(TlsFault::TicketKeysDamaged));
        if may_write
            && ring.differs_from(&on_disk)
            && let Err(error) = private_file::replace(&self.file, &ring.render())
        {
            fault = Some(TlsFault::Unwritable(error.to_string()));
        }
        let sealing = ring.sealing_at(now.as_secs()).map(|key| key.id);
        let ready = ring.keys().iter().filter_map(Ready::expand).collect();
        *self.turn.write().unwrap_or_else(PoisonError::into_inner) = Turn {
            ring,
            ready,
            sealing,
        };
        fault.map(|fault| TlsProblem::new(&self.file, fault))
    }

    /// No file is an empty one; one that we cannot read revokes nothing.
    fn read(&self) -> (Result<TicketRing, Damaged>, Option<TlsFault>) {
        let limit = u64::try_from(MAX_FILE_LEN).unwrap_or(u64::MAX);
        match private_file::read(&self.file, limit).map(|bytes| TicketRing::parse(&bytes)) {
            Ok(Ok(ring)) => (Ok(ring), None),
            Err(TlsFault::Missing) => (Ok(TicketRing::default()), None),
            Ok(Err(Damaged)) | Err(TlsFault::TooLarge { .. }) => {
                (Err(Damaged), Some(TlsFault::TicketKeysDamaged))
            }
            Err(fault) => (Err(Damaged), Some(fault)),
        }
    }

    fn key(&self, choose: impl FnOnce(&Turn) -> Option<[u8; ID_LEN]>) -> Option<Ready> {
        let turn = self.turn.read().unwrap_or_else(PoisonError::into_inner);
        let id = choose(&turn)?;
        turn.ready
            .iter()
            .find(|ready| ready.id == id)
            .map(Ready::share)
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    /// A ticket sealed in a key's last second can still be opened for this long.
    fn lifetime(&self) -> u32 {
        u32::try_from(OPENS_FOR - SEALS_FOR).unwrap_or(0)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let Ready { id, key } = self.key(|turn| turn.sealing)?;
        let mut ticket =
            Vec::with_capacity(plain.len() + AES_256_GCM.tag_len() + NONCE_LEN + ID_LEN);
        ticket.extend_from_slice(plain);
        let nonce = key
            .seal_in_place_append_tag(Aad::from(id), &mut ticket)
            .ok()?;
        ticket.extend_from_slice(nonce.as_ref());
        ticket.extend_from_slice(&id);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (rest, id) = ticket.split_last_chunk::<ID_LEN>()?;
        let (sealed, nonce) = rest.split_last_chunk::<NONCE_LEN>()?;
        let Ready { id, key } = self.key(|_| Some(*id))?;
        let mut opened = sealed.to_vec();
        let plain = key
            .open_in_place(Nonce::from(nonce), Aad::from(id), &mut opened)
            .ok()?;
        let length = plain.len();
        opened.truncate(length);
        Some(opened)
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Ready {
    fn expand(key: &TicketKey) -> Option<Self> {
        let expanded = RandomizedNonceKey::new(&AES_256_GCM, &key.secret).ok()?;
        Some(Self {
            id: key.id,
            key: Arc::new(expanded),
        })
    }

    fn share(&self) -> Self {
        Self {
            id: self.id,
            key: Arc::clone(&self.key),
        }
    }
}

fn new_key(from: u64) -> Option<TicketKey> {
    let mut id = [0; ID_LEN];
    let mut secret = [0; SECRET_LEN];
    rand::fill(&mut id).ok()?;
    rand::fill(&mut secret).ok()?;
    Some(TicketKey {
        id,
        from,
        secret,
        saved: false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::at;
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn open(state: &Path, now: u64) -> Arc<TicketKeys> {
        let (keys, problem) = TicketKeys::open(state, at(now));
        assert_eq!(problem, None);
        keys
    }

    #[test]
    fn a_ticket_from_one_process_opens_in_another_and_after_a_restart() {
        let state = tempfile::tempdir().unwrap();
        let one = open(state.path(), NOW);
        let other = open(state.path(), NOW);
        let ticket = one.encrypt(b"session").unwrap();
        assert_eq!(other.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        drop((one, other));
        let restarted = open(state.path(), NOW + 3_600);
        assert_eq!(restarted.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    }

    #[test]
    fn a_ticket_opens_for_its_lifetime_and_its_key_is_gone_after_a_day() {
        let state = tempfile::tempdir().unwrap();
        let keys = open(state.path(), NOW);
        let last = NOW + SEALS_FOR - 1;
        keys.rotate(at(last));
        let ticket = keys.encrypt(b"session").unwrap();
        keys.rotate(at(last + u64::from(keys.lifetime())));
        assert!(keys.decrypt(&ticket).is_some());
        keys.rotate(at(NOW + OPENS_FOR));
        assert!(keys.decrypt(&ticket).is_none());
    }

    #[test]
    fn an_altered_or_cut_ticket_is_none() {
        let state = tempfile::tempdir().unwrap();
        let keys = open(state.path(), NOW);
        let ticket = keys.encrypt(b"session").unwrap();
        for index in 0..ticket.len() {
            let mut altered = ticket.clone();
            altered[index] ^= 1;
            assert_eq!(keys.decrypt(&altered), None);
            assert_eq!(keys.decrypt(&ticket[..index]), None);
        }
    }

    #[test]
    fn a_damaged_file_is_told_of_and_made_anew() {
        let state = tempfile::tempdir().unwrap();
        let before = open(state.path(), NOW);
        let file = state.path().join("edge/tls/ticket-keys");
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();

        let (after, problem) = TicketKeys::open(state.path(), at(NOW));
        assert_eq!(problem.unwrap().fault, TlsFault::TicketKeysDamaged);
        assert!(
            after
                .decrypt(&before.encrypt(b"session").unwrap())
                .is_none()
        );
        assert_eq!(before.rotate(at(NOW + 60)), None);
        assert!(
            before
                .decrypt(&after.encrypt(b"session").unwrap())
                .is_some()
        );
    }

    #[test]
    fn without_a_usable_folder_tickets_still_work_in_this_process() {
        let state = tempfile::tempdir().unwrap();
        std::fs::write(
            state.path().join("edge"),
            b"a file where the folder should be",
        )
        .unwrap();
        let (keys, problem) = TicketKeys::open(state.path(), at(NOW));
        assert_eq!(problem.unwrap().fault.name(), "unreadable");
        let ticket = keys.encrypt(b"session").unwrap();
        keys.rotate(at(NOW + 60));
        assert!(
            keys.decrypt(&ticket).is_some(),
            "an unsaved key is not dropped"
        );
    }

    proptest! {
        #[test]
        fn no_ticket_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let state = tempfile::tempdir().unwrap();
            prop_assert!(open(state.path(), NOW).decrypt(&bytes).is_none());
        }
    }
}
