//! Requests waiting for a place at an origin: first come, first served, each with a deadline.

use std::collections::VecDeque;
use std::time::Duration;

use mangrove_http::Moment;
use smallvec::SmallVec;

use super::{MemberId, Reason};

/// A place in the queue. Never given out twice by one pool or its heirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// Members that a request has been to. Few: each is one attempt.
pub(super) type Tried = SmallVec<[MemberId; 2]>;

/// One waiting request.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) since: Moment,
    pub(super) deadline: Moment,
    /// What it waits for: a place, or an address.
    pub(super) reason: Reason,
    /// Members it must not be given, because it tried them before.
    pub(super) tried: Tried,
}

/// The waiters in order of arrival. Every wait is equally long, so this is also the order of their deadlines.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiters: VecDeque<Waiter>,
    next_ticket: u64,
}

impl Queue {
    /// An empty queue that never repeats a ticket of `other`.
    pub(super) fn after(other: &Self) -> Self {
        Self {
            waiters: VecDeque::new(),
            next_ticket: other.next_ticket,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Puts a request at the end. The caller has checked the ceiling.
    pub(super) fn push(
        &mut self,
        tried: &[MemberId],
        reason: Reason,
        wait: Duration,
        now: Moment,
    ) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.saturating_add(1);
        self.waiters.push_back(Waiter {
            ticket,
            since: now,
            deadline: now + wait,
            reason,
            tried: SmallVec::from_slice(tried),
        });
        ticket
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.iter()
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Waiter> {
        let place = self
            .waiters
            .iter()
            .position(|waiter| waiter.ticket == ticket)?;
        self.waiters.remove(place)
    }

    /// Whether someone who came earlier would take this member.
    pub(super) fn wants(&self, member: MemberId) -> bool {
        self.waiters
            .iter()
            .any(|waiter| !waiter.tried.contains(&member))
    }

    /// The first one whose deadline has come, taken out.
    pub(super) fn pop_expired(&mut self, now: Moment) -> Option<Waiter> {
        self.waiters
            .front()
            .filter(|waiter| waiter.deadline <= now)?;
        self.waiters.pop_front()
    }

    /// The next deadline.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.waiters.front().map(|waiter| waiter.deadline)
    }
}
