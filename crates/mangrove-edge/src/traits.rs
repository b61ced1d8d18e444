//! The traits of a request, as they stand in its line, and its shape, which is counted as well.
//!
//! They are computed once, when the request is over, from a head that was read to its end: of one that was refused half read, the
//! order of its fields would be that of no client.

use mangrove_shield::traits::{self, Shape, Traits};

use crate::log::push_number;
use crate::member;
use crate::module::{Module, guard};
use crate::pipeline::Story;

/// Of a path, what is looked at for its shape.
pub(crate) const PATH_BYTES: usize = traits::PATH_BYTES;
/// Segments that a shape tells.
pub(crate) const SEGMENTS: usize = traits::SEGMENTS;
/// The longest extension that it tells.
pub(crate) const EXTENSION_BYTES: usize = traits::EXTENSION_BYTES;
/// Of a query, what is looked at.
pub(crate) const QUERY_BYTES: usize = traits::QUERY_BYTES;

/// What kind of thing a request asks for.
pub(crate) fn shape_of(story: &Story) -> Option<Shape> {
    of_whole(story, || Shape::of(&story.head))
}

/// Appends what its client and its shape have in common with others.
pub(crate) fn push(out: &mut Vec<u8>, story: &Story, shape: &Shape) {
    let opening = story.connection.http2.get();
    let pseudo_fields = opening.map(|http2| http2.pseudo_fields);
    if let Some(traits) = of_whole(story, || Traits::of(&story.head, pseudo_fields)) {
        out.extend_from_slice(member!("http.request.header_order"));
        out.push(b'"');
        out.extend_from_slice(&traits.header_order.digits());
        out.push(b'"');
        if let Some(agent) = traits.user_agent {
            out.extend_from_slice(member!("user_agent.hash"));
            out.push(b'"');
            out.extend_from_slice(&agent.digits());
            out.push(b'"');
        }
    }
    out.extend_from_slice(member!("url.path.shape"));
    out.push(b'"');
    out.extend_from_slice(shape.path.as_bytes()); // nothing to escape
    out.push(b'"');
    if let Some(query) = shape.query {
        let parameters = u64::from(query.parameters);
        push_number(out, member!("url.query.parameters"), parameters);
        push_number(out, member!("url.query.entropy"), u64::from(query.entropy));
    }
}

/// Of a head that was read to its end. Fail mode open: nobody waits for it any more.
fn of_whole<T>(story: &Story, read: impl FnOnce() -> T) -> Option<T> {
    let whole = story.head.is_whole();
    whole.then(|| guard(&story.core.metrics, Module::Traits, read).ok())?
}
