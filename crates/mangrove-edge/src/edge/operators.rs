//! Who is logged in: the addresses from which the operator's token was shown a while ago. The shield leaves them alone, so that
//! nobody locks himself out while he fights.
//!
//! Whoever asks on the edge's own Unix socket has no address: he is on the machine, and cannot be locked out of it. The same goes
//! for 127.0.0.1 and ::1, and through a proxy on the machine they would be everybody's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use mangrove_config::{Network, Server};
use mangrove_http::{Moment, UnixMillis};
use tokio::sync::oneshot;

use super::core_thread::CoreOrder;
use super::orders::Orders;
use super::{APPLY_PATIENCE, CoreHandle, Edge};
use crate::standing::Said;

/// How long somebody counts as logged in after he has shown the token.
pub(crate) const LOGGED_IN: Duration = Duration::from_secs(15 * 60);
/// Addresses that are logged in at one time; with one more, whoever has shown the token longest ago is not.
pub(crate) const OPERATORS: usize = 64;

/// Whoever is logged in, the last to ask at the end.
#[derive(Debug, Default)]
pub(super) struct Operators(Vec<(IpAddr, Moment)>);

impl Operators {
    /// Somebody has shown the token; true when nobody had from there.
    pub(super) fn came(&mut self, from: IpAddr, now: Moment) -> bool {
        let from = from.to_canonical();
        if from == Ipv4Addr::LOCALHOST || from == Ipv6Addr::LOCALHOST {
            return false;
        }
        let known = self.0.iter().position(|(address, _)| *address == from);
        match known {
            Some(at) => drop(self.0.remove(at)),
            None if self.0.len() >= OPERATORS => drop(self.0.remove(0)),
            None => {}
        }
        self.0.push((from, now));
        known.is_none()
    }

    /// Forgets who has not asked for long; true when there was somebody.
    pub(super) fn forget(&mut self, now: Moment) -> bool {
        let before = self.0.len();
        self.0
            .retain(|(_, since)| now.saturating_since(*since) < LOGGED_IN);
        self.0.len() < before
    }

    /// Their addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().map(|(address, _)| *address)
    }

    /// And for how long they still count.
    pub(super) fn known(&self, now: Moment) -> impl Iterator<Item = (IpAddr, Duration)> {
        let left = move |since| LOGGED_IN.saturating_sub(now.saturating_since(since));
        self.0
            .iter()
            .map(move |(address, since)| (*address, left(*since)))
    }
}

impl Edge {
    /// Somebody has shown the operator's token.
    pub(crate) fn logged_in(&self, from: IpAddr) {
        let is_new = self.operators.borrow_mut().came(from, self.clock.now());
        if is_new {
            self.send_said();
        }
    }

    /// Tells every core what the operator has said of clients; how many have not heard it in time.
    pub(super) async fn tell_said(&self) -> usize {
        let mut late = 0;
        for heard in self.send_said() {
            let heard = tokio::time::timeout(APPLY_PATIENCE, heard).await;
            late += usize::from(heard.is_err());
        }
        late
    }

    pub(super) fn send_said(&self) -> Vec<oneshot::Receiver<()>> {
        let said = self.said();
        let tell = |core: &CoreHandle| {
            let (heard, is_heard) = oneshot::channel();
            let _ = core.orders.send(CoreOrder::Said(Arc::clone(&said), heard));
            is_heard
        };
        self.cores.iter().map(tell).collect()
    }

    /// What is said of clients now.
    pub(super) fn said(&self) -> Arc<Said> {
        let server = &self.snapshot.borrow().settled.server;
        let orders = self.orders.borrow();
        said(server, &self.operators.borrow(), &orders, self.clock.wall())
    }
}

/// What is to be said of clients: who the settings name, who is logged in, and which orders are in force.
pub(super) fn said(
    server: &Server,
    operators: &Operators,
    orders: &Orders,
    now: UnixMillis,
) -> Arc<Said> {
    let logged_in = operators.addresses().map(Network::of_client);
    let exempt = server.exempt_clients.iter().copied().chain(logged_in);
    Said::new(exempt, orders.in_force(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: usize) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 | u32::try_from(n).unwrap()).into()
    }

    #[test]
    fn whoever_shows_the_token_is_logged_in_for_a_while() {
        let mut operators = Operators::default();
        assert!(operators.came(address(1), Moment(0)));
        assert!(!operators.came(address(1), Moment(1_000)));
        let last = u64::try_from(LOGGED_IN.as_millis()).unwrap();
        assert!(!operators.forget(Moment(999 + last)));
        assert_eq!(operators.addresses().collect::<Vec<_>>(), [address(1)]);
        assert!(operators.forget(Moment(1_000 + last)));
        assert_eq!(operators.addresses().count(), 0);
    }

    #[test]
    fn one_operator_too_many_puts_out_who_asked_longest_ago() {
        let mut operators = Operators::default();
        for n in 0..OPERATORS {
            operators.came(address(n), Moment(0));
        }
        operators.came(address(0), Moment(1));
        operators.came(address(OPERATORS), Moment(2));
        assert_eq!(operators.addresses().count(), OPERATORS);
        let is_in = |n| operators.addresses().any(|known| known == address(n));
        assert!(is_in(0) && !is_in(1) && is_in(OPERATORS));
    }

    #[test]
    fn who_is_on_the_machine_is_not_logged_in_from_it() {
        let mut operators = Operators::default();
        for here in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(!operators.came(here.parse().unwrap(), Moment(0)));
        }
        assert_eq!(operators.addresses().count(), 0);
    }
}
