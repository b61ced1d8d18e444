//! The configuration and sockets in force, and those on trial beside them.
//!
//! `STATE/settled.json` is what was last seen to work and changes only when a trial ends well; the edge's own copy
//! under `STATE/edge/` is what an edge starts from and changes when a trial begins and when it is taken back.

use anyhow::{Context as _, Result};
use mangrove_config::Settled;

use crate::certificates::Copies;
use crate::listeners::{self, Sockets};
use crate::privileges::{self, Account};
use crate::state::StateDir;
use crate::terminal;

const SETTLED: &str = "settled.json";
const PREVIOUS: &str = "settled.json.previous";
const EDGE_COPY: &str = "edge/settled.json";

/// A configuration and the sockets that go with it.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) settled: Settled,
    pub(crate) sockets: Sockets,
}

/// What serves, and what is to.
#[derive(Debug, Default)]
pub(crate) struct Wholes {
    pub(crate) in_force: Option<Whole>,
    on_trial: Option<Whole>,
    /// Of the configuration that the edge was given last.
    copies: Copies,
}

impl Wholes {
    /// The sockets for the next edge to start.
    pub(crate) fn sockets(&self) -> Option<&Sockets> {
        let whole = self.on_trial.as_ref().or(self.in_force.as_ref())?;
        Some(&whole.sockets)
    }

    /// The configuration that the next edge starts with.
    pub(crate) fn settled(&self) -> Option<&Settled> {
        let whole = self.on_trial.as_ref().or(self.in_force.as_ref())?;
        Some(&whole.settled)
    }

    /// Binds what `settled` needs and lays it before the edge. Tells whether the set of sockets is another one.
    pub(crate) fn begin(
        &mut self,
        state: &StateDir,
        settled: Settled,
        spare: &Sockets,
    ) -> Result<bool> {
        let held = self.in_force.as_ref().map_or(spare, |whole| &whole.sockets);
        let (sockets, changed) = open(held, &settled)?;
        self.copies = give_to_edge(state, &settled)?;
        self.on_trial = Some(Whole { settled, sockets });
        Ok(changed)
    }

    /// The trial ended well. Returns the sockets that are no longer listened on.
    pub(crate) fn keep(&mut self, state: &StateDir) -> Result<Sockets> {
        let Some(whole) = self.on_trial.take() else {
            return Ok(Sockets::new());
        };
        let before = self.in_force.replace(whole);
        let now = self.in_force.as_ref();
        let closed = before
            .as_ref()
            .map(|before| only_in(&before.sockets, now.map(|now| &now.sockets)));
        if let Some(before) = state.read(SETTLED)? {
            state.write(PREVIOUS, &before, None)?;
        }
        if let Some(now) = now {
            state.write(SETTLED, now.settled.to_json().as_bytes(), None)?;
        }
        Ok(closed.unwrap_or_default())
    }

    /// The trial failed: the edge's copy is again what is in force.
    pub(crate) fn take_back(&mut self, state: &StateDir) -> Result<()> {
        let Some(failed) = self.on_trial.take() else {
            return Ok(());
        };
        let Some(whole) = &mut self.in_force else {
            return Ok(());
        };
        if whole.sockets.is_empty() {
            whole.sockets = open(&failed.sockets, &whole.settled)?.0;
        }
        self.copies = give_to_edge(state, &whole.settled)?;
        Ok(())
    }

    /// Stops listening.
    pub(crate) fn close(&mut self) {
        self.on_trial = None;
        if let Some(whole) = &mut self.in_force {
            whole.sockets.clear();
        }
    }

    /// Whether the edge reads copies of its certificates.
    pub(crate) fn copies_certificates(&self) -> bool {
        !self.copies.is_empty()
    }

    /// Copies the certificates that have changed; tells whether any had.
    pub(crate) fn renew_certificates(&mut self, state: &StateDir) -> Result<bool> {
        self.copies.renew(state)
    }
}

/// The configuration that was last seen to work in this state folder.
pub(crate) fn last_settled(state: &StateDir) -> Option<Settled> {
    let bytes = state.read(SETTLED).ok().flatten()?;
    Settled::from_json(&bytes).ok()
}

/// Who the edge runs as: `server.user`, or the usual user if there is one; nobody else unless we are root.
pub(crate) fn edge_account(settled: &Settled) -> Result<Option<Account>> {
    if !privileges::are_root() {
        return Ok(None);
    }
    match &settled.server.user {
        Some(name) => privileges::account(name)?
            .with_context(|| format!("server.user: there is no user {name} on this machine"))
            .map(Some),
        None => Ok(privileges::account(privileges::USUAL_USER)?),
    }
}

/// Opens the sockets of `settled`, leaving out an IPv6 loopback that this machine does not have.
fn open(held: &Sockets, settled: &Settled) -> Result<(Sockets, bool)> {
    let mut places = listeners::places(&settled.server);
    let cores = listeners::cores(&settled.server);
    loop {
        match listeners::open(held, &places, cores) {
            Err(listeners::BindProblem::NotHere(addr))
                if addr.is_ipv6() && addr.ip().is_loopback() =>
            {
                terminal::warn(format_args!(
                    "{addr} is left out: this machine has no IPv6 loopback"
                ));
                places.retain(|place| place.addr != addr);
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// Writes the edge's copy of the configuration.
fn give_to_edge(state: &StateDir, settled: &Settled) -> Result<Copies> {
    let owner = edge_account(settled)?;
    let owner = owner.as_ref();
    for folder in ["edge", "log", "store"] {
        crate::state::give(&state.path().join(folder), owner)?;
    }
    state.admin_token(owner)?;
    let mut copy = settled.clone();
    let copies = match owner {
        Some(owner) => Copies::make(state, &mut copy.server.tls.certificates, owner)?,
        None => Copies::default(),
    };
    state.write(EDGE_COPY, copy.to_json().as_bytes(), owner)?;
    Ok(copies)
}

fn only_in(sockets: &Sockets, others: Option<&Sockets>) -> Sockets {
    let also = |socket| {
        others
            .into_iter()
            .flatten()
            .any(|other| std::rc::Rc::ptr_eq(other, socket))
    };
    sockets
        .iter()
        .filter(|socket| !also(*socket))
        .cloned()
        .collect()
}
