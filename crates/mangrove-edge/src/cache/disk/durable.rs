//! Whether a purge outlives the process, for whoever asked for it.

use std::time::Duration;

use tokio::sync::oneshot;

/// So long whoever purges waits for the disk. What was purged is not served meanwhile.
pub(crate) const DURABLE_WAIT: Duration = Duration::from_secs(10);

/// What became of a purge in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durable {
    /// It holds after a power loss.
    Yes,
    /// There is no disk tier: nothing outlives the process anyway.
    NotNeeded,
    /// It holds now, and why it might not after a restart.
    No(String),
}

/// The disk's word on a purge, if it comes before `patience` is over.
pub(in crate::cache) async fn word_of(
    told: oneshot::Receiver<Durable>,
    patience: impl Future<Output = ()>,
) -> Durable {
    tokio::select! {
        biased;
        told = told => {
            told.unwrap_or_else(|_| Durable::No("the journal of purges has ended".to_owned()))
        }
        () = patience => {
            let waited = DURABLE_WAIT.as_secs();
            Durable::No(format!(
                "the disk has not taken it in {waited} s; it holds now, and is written as soon as the disk goes on"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it found by panicking")]

    use super::*;
    use std::future::{pending, ready};

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(future)
    }

    #[test]
    fn the_disk_is_waited_for_and_no_longer_than_that() {
        let (word, told) = oneshot::channel();
        word.send(Durable::Yes).unwrap();
        // What has come in time counts, however late it is looked at.
        assert_eq!(block_on(word_of(told, ready(()))), Durable::Yes);

        let (word, told) = oneshot::channel();
        let Durable::No(why) = block_on(word_of(told, ready(()))) else {
            unreachable!("nobody said that it is on the disk")
        };
        assert!(why.contains("not taken it in 10 s"), "{why}");
        assert!(word.is_closed());

        let (word, told) = oneshot::channel();
        drop(word);
        let Durable::No(why) = block_on(word_of(told, pending())) else {
            unreachable!("nobody said that it is on the disk")
        };
        assert!(why.contains("has ended"), "{why}");
    }
}
