//! A queue with two ceilings, bytes and items: past either, what comes is refused at once.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::lock::lock;
use crate::words::Refused;

#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    comes: Condvar,
    bytes_most: usize,
    items_most: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(bytes_most: usize, items_most: usize) -> Queue<T> {
        let state = State {
            items: VecDeque::new(),
            bytes: 0,
            closed: false,
        };
        Queue {
            state: Mutex::new(state),
            comes: Condvar::new(),
            bytes_most,
            items_most,
        }
    }

    /// Hands an item over, or says why not.
    pub(crate) fn push(&self, bytes: usize, item: T) -> Result<(), Refused> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Refused::Closing);
        }
        if state.items.len() >= self.items_most
            || state.bytes.saturating_add(bytes) > self.bytes_most
        {
            return Err(Refused::Behind);
        }
        state.bytes += bytes;
        state.items.push_back((bytes, item));
        drop(state);
        self.comes.notify_one();
        Ok(())
    }

    /// Hands an item over although the queue may be full; twice its items are the end.
    pub(crate) fn push_anyway(&self, item: T) -> Result<(), Refused> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(Refused::Closing);
        }
        if state.items.len() / 2 >= self.items_most {
            return Err(Refused::Behind);
        }
        state.items.push_back((0, item));
        drop(state);
        self.comes.notify_one();
        Ok(())
    }

    /// The first items, about so many bytes.
    pub(crate) fn take(&self, bytes_wanted: usize) -> Vec<T> {
        let mut state = lock(&self.state);
        let mut taken = Vec::new();
        let mut bytes = 0;
        while bytes < bytes_wanted {
            let Some((its, item)) = state.items.pop_front() else {
                break;
            };
            bytes += its.max(1);
            state.bytes -= its;
            taken.push(item);
        }
        taken
    }

    /// The first item.
    pub(crate) fn take_one(&self) -> Option<T> {
        let mut state = lock(&self.state);
        let (bytes, item) = state.items.pop_front()?;
        state.bytes -= bytes;
        Some(item)
    }

    /// Waits until something is there, the queue is closed, or the time is over.
    pub(crate) fn wait(&self, most: Duration) {
        let state = lock(&self.state);
        if state.items.is_empty() && !state.closed {
            drop(
                self.comes
                    .wait_timeout(state, most)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
    }

    /// Refuses everything from now on; what is there can still be taken.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.comes.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        lock(&self.state).bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.state).items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_past_either_ceiling_is_refused() {
        let queue = Queue::new(10, 3);
        assert_eq!(queue.push(10, 'a'), Ok(()));
        assert_eq!(queue.bytes(), 10);
        assert_eq!(queue.push(1, 'b'), Err(Refused::Behind));
        assert_eq!(queue.take(1), ['a']);
        for item in ['c', 'd', 'e'] {
            assert_eq!(queue.push(0, item), Ok(()));
        }
        assert_eq!(queue.push(0, 'f'), Err(Refused::Behind));
        queue.close();
        assert_eq!(queue.push(0, 'g'), Err(Refused::Closing));
        assert_eq!(queue.take(usize::MAX), ['c', 'd', 'e']);
    }
}
