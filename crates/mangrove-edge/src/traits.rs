//! The traits of a request, as they stand in its line.
//!
//! They are computed once, when the request is over, from a head that was read to its end: of one that was refused half read, the
//! order of its fields would be that of no client.

use mangrove_shield::traits::{self, Traits};

use crate::log::push_number;
use crate::module::{Module, guard};
use crate::pipeline::Story;
use crate::{member, next_text};

/// Of a path, what is looked at for its shape.
pub(crate) const PATH_BYTES: usize = traits::PATH_BYTES;
/// Segments that a shape tells.
pub(crate) const SEGMENTS: usize = traits::SEGMENTS;
/// The longest extension that it tells.
pub(crate) const EXTENSION_BYTES: usize = traits::EXTENSION_BYTES;
/// Of a query, what is looked at.
pub(crate) const QUERY_BYTES: usize = traits::QUERY_BYTES;

/// What a request has in common with others.
pub(crate) fn of(story: &Story) -> Option<Traits> {
    if !story.head.is_whole() {
        return None;
    }
    let opening = story.connection.http2.get();
    let pseudo_fields = opening.map(|http2| http2.pseudo_fields);
    // Fail mode open: nobody waits for it any more.
    let read = guard(&story.core.metrics, Module::Traits, || {
        Traits::of(&story.head, pseudo_fields)
    });
    read.ok()
}

/// Appends them to a line.
pub(crate) fn push(out: &mut Vec<u8>, traits: &Traits) {
    out.extend_from_slice(member!("http.request.header_order"));
    out.push(b'"');
    out.extend_from_slice(&traits.header_order.digits());
    if let Some(agent) = traits.user_agent {
        out.extend_from_slice(next_text!("user_agent.hash"));
        out.extend_from_slice(&agent.digits());
    }
    out.extend_from_slice(next_text!("url.path.shape"));
    out.extend_from_slice(traits.path.as_bytes()); // nothing to escape
    out.push(b'"');
    if let Some(query) = traits.query {
        let parameters = u64::from(query.parameters);
        push_number(out, member!("url.query.parameters"), parameters);
        push_number(out, member!("url.query.entropy"), u64::from(query.entropy));
    }
}
