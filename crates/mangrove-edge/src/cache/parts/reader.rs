//! Whoever reads an object of which not all is there.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Bring, Brought, CHUNK, Failed, Partial, Run, Seat, State, TRIES, chunk_of};
use crate::reason::{EdgeReason, Reason};

/// Whoever reads what is there of an object, and waits for the rest.
#[derive(Debug)]
pub struct Reader {
    partial: Arc<Partial>,
    seat: usize,
    /// The run that it asked for last.
    claimed: Option<u64>,
    awaited: Awaited,
}

/// The byte that a reader waits for.
#[derive(Debug)]
struct Awaited {
    at: u64,
    /// How many runs there had been when it began to.
    since: u64,
    /// How often it has asked.
    tries: u32,
}

impl Reader {
    /// What it reads.
    pub fn partial(&self) -> &Arc<Partial> {
        &self.partial
    }

    /// It has read up to `at`, and wants what follows up to `end`.
    pub fn move_to(&self, at: u64, end: u64) {
        let mut state = self.partial.lock();
        if let Some(Some(seat)) = state.seats.get_mut(self.seat) {
            (seat.at, seat.end) = (at, end);
        }
        state.let_go(&self.partial);
        state.runs.iter_mut().for_each(Run::wake);
    }

    /// Is told when something changes.
    pub fn wait(&self, cx: &Context<'_>) {
        self.partial.lock().wait(self.seat, cx);
    }

    /// Brings what comes at `at`; `bring` asks for it where nobody does.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        at: u64,
        end: u64,
        bring: Option<&dyn Bring>,
    ) -> Poll<Result<Brought, Reason>> {
        let partial = Arc::clone(&self.partial);
        let mut state = partial.lock();
        if let Some(Some(seat)) = state.seats.get_mut(self.seat) {
            (seat.at, seat.end) = (at, end);
        }
        if chunk_of(at).is_some_and(|chunk| partial.has_chunk(chunk)) {
            return Poll::Ready(Ok(Brought::OnDisk));
        }
        if self.awaited.at != at {
            self.awaited = Awaited {
                at,
                since: state.numbered,
                tries: 0,
            };
        }
        if let Some(run) = state.bringing(at) {
            if let Some(piece) = run.piece(at) {
                return Poll::Ready(Ok(Brought::Bytes(piece)));
            }
            state.wait(self.seat, cx);
            return Poll::Pending;
        }
        let reason = match partial.located.strong {
            true => state.why_not_again(self.claimed, &self.awaited),
            false => state.failed.back().map(|failed| failed.reason),
        };
        if let Some(reason) = reason {
            return Poll::Ready(Err(reason));
        }
        let lost = || Poll::Ready(Err(EdgeReason::KeptContentLost.into()));
        let fetchable = partial.located.strong
            && partial.located().sends_parts() != Some(false)
            && !state.outdated;
        if let Some(bring) = bring.filter(|_| fetchable) {
            if self.awaited.tries >= TRIES {
                return lost();
            }
            state.wait(self.seat, cx);
            if !state.has_room() {
                return Poll::Pending; // one of them ends
            }
            let to = partial.claimable(&state, at, end);
            let run = partial.begin(&mut state, at - at % CHUNK, to);
            drop(state);
            self.claimed = Some(run.number);
            self.awaited.tries += 1;
            bring.bring(run, at);
            return Poll::Pending;
        }
        if state.comes_to(at) && !state.outdated {
            state.wait(self.seat, cx);
            return Poll::Pending;
        }
        lost()
    }
}

impl State {
    fn wait(&mut self, seat: usize, cx: &Context<'_>) {
        if let Some(Some(seat)) = self.seats.get_mut(seat) {
            seat.waker = Some(cx.waker().clone());
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.partial.lock();
        if let Some(seat) = state.seats.get_mut(self.seat) {
            *seat = None;
        }
        state.let_go(&self.partial);
        state.runs.iter_mut().for_each(Run::wake);
    }
}

impl Partial {
    /// A place from which these bytes are read.
    pub fn sit(self: &Arc<Self>, at: u64, end: u64) -> Reader {
        let mut state = self.lock();
        let seat = Some(Seat {
            at,
            end,
            waker: None,
        });
        let free = state.seats.iter().position(Option::is_none);
        let place = match free.and_then(|free| Some((free, state.seats.get_mut(free)?))) {
            Some((free, place)) => {
                *place = seat;
                free
            }
            None => {
                state.seats.push(seat);
                state.seats.len() - 1
            }
        };
        Reader {
            partial: Arc::clone(self),
            seat: place,
            claimed: None,
            awaited: Awaited {
                at,
                since: state.numbered,
                tries: 0,
            },
        }
    }
}

impl State {
    /// Why somebody who has waited for a byte, or asked himself, does not ask for it again.
    fn why_not_again(&self, claimed: Option<u64>, awaited: &Awaited) -> Option<Reason> {
        let mut failed = self.failed.iter().rev();
        let is_his = |failed: &&Failed| {
            let is_for_him = failed.for_all
                && failed.number > awaited.since
                && (failed.from..failed.to).contains(&awaited.at);
            is_for_him || claimed == Some(failed.number)
        };
        failed.find(is_his).map(|failed| failed.reason)
    }
}
