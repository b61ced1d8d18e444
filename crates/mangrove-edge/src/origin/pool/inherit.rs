//! What a new pool takes over from the one it replaces, when the settings change.

use std::net::SocketAddr;
use std::rc::Rc;

use super::queue::Queue;
use super::{Address, Endpoint, MemberId, Pool, Resolution};

impl Pool {
    /// Takes over what `old` knows of everything that is unchanged: addresses of names, health, breakers and outstanding
    /// requests of members (same origin as written, same address), the retry budget, the identity of members.
    ///
    /// Requests begun under the old pool go on with it and count here too, until it is dropped; its waiters stay with it.
    pub fn inherit(&mut self, old: &Self) {
        self.next_id = self.next_id.max(old.next_id);
        self.next_trial = old.next_trial;
        self.queue = Queue::after(&old.queue);
        self.queue_breaker = old.queue_breaker.clone();
        self.retries.inherit(&old.retries);
        for index in 0..self.origins.len() {
            if let Some(addresses) = self.addresses_known_to(old, index) {
                self.place(index, &addresses);
            }
        }
        let mut taken = Vec::new();
        for member in &mut self.members {
            // An origin may be listed twice: each of its members is inherited by one.
            let known = old.members.iter().find(|known| {
                known.address == member.address
                    && old.key_of(known) == self.origins.get(member.origin).map(|o| &o.origin.key)
                    && !taken.contains(&known.id)
            });
            if let Some(known) = known {
                taken.push(known.id);
                member.id = known.id;
                member.credit = known.credit;
                member.vitals = Rc::clone(&known.vitals);
            } else {
                member.id = MemberId(self.next_id);
                self.next_id = self.next_id.saturating_add(1);
            }
        }
    }

    /// The addresses `old` holds for the origin at `index`, if it is a name that `old` has resolved.
    fn addresses_known_to(&self, old: &Self, index: usize) -> Option<Vec<Address>> {
        let Endpoint::Name { host, port } = &self.origins.get(index)?.origin.endpoint else {
            return None;
        };
        let theirs = (0..old.origins.len()).find(|theirs| {
            let known = old.origins.get(*theirs).map(|pooled| pooled.resolution);
            old.port_of(*theirs, host).is_some() && known == Some(Resolution::Known)
        })?;
        let members = old
            .members
            .iter()
            .filter(|m| m.origin == theirs && !m.leaving);
        let addresses = members.filter_map(|member| match &member.address {
            Address::Ip(address) => Some(Address::Ip(SocketAddr::new(address.ip(), *port))),
            Address::Unix(_) => None,
        });
        Some(addresses.collect::<Vec<_>>()).filter(|addresses| !addresses.is_empty())
    }
}
