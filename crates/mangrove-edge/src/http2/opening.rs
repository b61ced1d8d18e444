//! Which software an HTTP/2 client is, by the way it opens its connection: heard as the first bytes pass.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mangrove_shield::opening::{self, Opening};

use crate::core::{Connection, Http2Facts};
use crate::metrics::CoreMetrics;
use crate::module::{Module, guard};

/// Settings of a client that its fingerprint tells.
pub(crate) const SETTINGS_TOLD: usize = opening::SETTINGS;
/// Priorities before its first request that its fingerprint tells.
pub(crate) const PRIORITIES_TOLD: usize = opening::PRIORITIES;

/// Listens until the first request's pseudo-fields are known, and holds nothing from then on.
#[derive(Debug)]
pub(super) struct Ear {
    connection: Rc<Connection>,
    metrics: Arc<CoreMetrics>,
    opening: RefCell<Option<Box<Opening>>>,
}

impl Ear {
    pub(super) fn new(connection: &Rc<Connection>, metrics: &Arc<CoreMetrics>) -> Self {
        Self {
            connection: Rc::clone(connection),
            metrics: Arc::clone(metrics),
            opening: RefCell::new(Some(Box::default())),
        }
    }

    /// The client sent this next.
    pub(super) fn hear(&self, bytes: &[u8]) {
        let mut listening = self.opening.borrow_mut();
        let Some(opening) = listening.as_mut() else {
            return;
        };
        let heard = guard(&self.metrics, Module::Fingerprint, || {
            opening.read(bytes).then(|| Http2Facts {
                fingerprint: opening.to_string().into(),
                pseudo_fields: opening.order(),
            })
        });
        match heard {
            Ok(None) => return,
            Ok(Some(facts)) => {
                let _ = self.connection.http2.set(Box::new(facts)); // nobody else sets it
            }
            Err(_) => {} // fail mode open: without a name it is served like any other
        }
        *listening = None;
    }
}
