//! Where an answer is kept: in memory, on the disk, or both. Pure.

use std::sync::Arc;

use mangrove_cache::{Content, Rules, select};
use mangrove_http::RequestHead;
use serde_json::{Value, json};

use crate::body::CHUNK_BYTES;
use crate::cache::{Object, PlaceOnDisk, Resource, SeenOnDisk};

/// One answer that is kept, and where.
#[derive(Debug)]
pub(super) struct Whereabouts {
    /// The answer.
    pub(super) object: Arc<Object>,
    /// Memory has its head at least.
    pub(super) in_memory: bool,
    /// The disk has its head at least.
    pub(super) on_disk: Option<PlaceOnDisk>,
}

impl Whereabouts {
    /// Of what memory has of a key, when it is known how its objects lie on the disk.
    pub(super) fn in_memory(object: &Arc<Object>, places: &[PlaceOnDisk]) -> Self {
        let place = |id| places.iter().find(|place| place.id == id).copied();
        Self {
            object: Arc::clone(object),
            in_memory: true,
            on_disk: object.id().and_then(place),
        }
    }

    /// Whether memory has its content as well.
    fn is_whole_in_memory(&self) -> bool {
        self.in_memory && self.object.content.located().is_none()
    }

    /// Whether it is answered with: what has lost some of its content is not, unless the rest can be asked for; a part that
    /// came as one is.
    fn is_at_hand(&self) -> bool {
        self.is_whole_in_memory() || self.is_complete() || self.is_in_parts()
    }

    /// Whether some of it is there, and the rest can be asked for.
    fn is_in_parts(&self) -> bool {
        let is_strong = self.object.located().is_some_and(|at| at.strong);
        is_strong && self.on_disk.is_some_and(|place| !place.complete)
    }

    /// Whether all of the content is there, and not only a part of it.
    pub(super) fn is_complete(&self) -> bool {
        let is_part = matches!(self.object.head.stored.content, Content::Part { .. });
        let is_on_disk = || self.on_disk.is_some_and(|place| place.complete);
        !is_part && (self.is_whole_in_memory() || is_on_disk())
    }

    /// What `/cache/show` tells of it beside the answer itself.
    pub(super) fn tell(&self, told: &mut serde_json::Map<String, Value>) {
        let in_memory = match (self.in_memory, self.is_whole_in_memory()) {
            (false, _) => "no",
            (true, false) => "head",
            (true, true) => "all",
        };
        let on_disk = self.on_disk.map(|place| {
            json!({
                "complete": place.complete,
                "pieces": place.pieces,
                "all_pieces": self.object.content.length().div_ceil(CHUNK_BYTES as u64),
                "in_parts": self.is_in_parts(),
                "log": if place.in_main { "main" } else { "probation" },
                "asked": place.asked,
            })
        });
        told.insert("in_memory".into(), in_memory.into());
        told.insert("on_disk".into(), on_disk.into());
        told.insert("complete".into(), self.is_complete().into());
        if !self.in_memory {
            told.insert("memory_bytes".into(), 0.into());
        }
    }
}

/// Everything that is kept under a key and was not purged: what memory has, lying on the disk in `places`, then what only the
/// disk has. What the disk has of an answer that memory has a newer one of is on its way out, and answers nobody.
pub(super) fn under_key(
    resource: Option<&Resource>,
    places: &[PlaceOnDisk],
    seen: &[SeenOnDisk],
    rules: Option<&Rules>,
    is_alive: impl Fn(&Object) -> bool,
) -> Vec<Whereabouts> {
    let in_memory = resource.into_iter().flat_map(|resource| &resource.variants);
    let mut all: Vec<Whereabouts> = in_memory
        .filter(|object| is_alive(object))
        .map(|object| Whereabouts::in_memory(object, places))
        .collect();
    let is_outdated = |object: &Object| match (resource, rules) {
        (Some(resource), Some(rules)) => resource.has_newer(object, rules, &is_alive),
        _ => false,
    };
    let ids: Vec<_> = all.iter().filter_map(|known| known.object.id()).collect();
    let only_there = seen.iter().filter(|seen| {
        !ids.contains(&seen.place.id) && is_alive(&seen.object) && !is_outdated(&seen.object)
    });
    all.extend(only_there.map(|seen| Whereabouts {
        object: Arc::clone(&seen.object),
        in_memory: false,
        on_disk: Some(seen.place),
    }));
    all
}

/// What a request finds: what memory has, and where nothing of that answers it, what the disk would bring.
pub(super) fn as_found(
    kept: &[Whereabouts],
    request: &RequestHead,
    rules: &Rules,
    is_alive: impl Fn(&Object) -> bool,
) -> Resource {
    let at_hand = |in_memory: bool| {
        let there = kept
            .iter()
            .filter(move |known| known.in_memory == in_memory);
        there.filter(|known| known.is_at_hand())
    };
    let mut found = Resource {
        variants: at_hand(true)
            .map(|known| Arc::clone(&known.object))
            .collect(),
        ..Resource::default()
    };
    let answers = |objects: &[Arc<Object>]| {
        let all = objects.iter().map(|object| &object.head.stored);
        select(all, request, rules, &mut Vec::new()).is_some()
    };
    if !answers(&found.variants) {
        let brought = at_hand(false).find(|known| answers(std::slice::from_ref(&known.object)));
        if let Some(known) = brought {
            found = Resource::with(Some(&found), &known.object, rules, is_alive);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mangrove_cache::purge::{Generation, Ledger};
    use mangrove_cache::{Asked, Times, admit};
    use mangrove_http::{HeadLimits, Method, ResponseHead, UnixMillis};

    use super::super::explain;
    use super::*;
    use crate::cache::disk::Located;
    use crate::cache::{self, DiskTier};

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis((1_763_424_000 + seconds) * 1000)
    }

    fn request() -> RequestHead {
        let mut head = RequestHead::new();
        let text = b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n";
        head.octets_mut().extend_from_slice(text);
        head.parse_h1(&HeadLimits::default()).unwrap().unwrap();
        head
    }

    fn object(received: u64, born: u64) -> Object {
        let (mut response, rules) = (ResponseHead::new(), Rules::default());
        let text = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\n";
        response.octets_mut().extend_from_slice(text.as_bytes());
        let parsed = response.parse_h1(&HeadLimits::default(), Method::Get);
        parsed.unwrap().unwrap();
        let request = request();
        let asked = Asked::read(&request, b"/a", &rules);
        let times = Times {
            requested_at: at(received),
            received_at: at(received),
        };
        let stored = admit(&asked, &response, &rules, times).unwrap();
        let content = cache::Content::gather([Bytes::from_static(b"news")]);
        Object::new(stored, content, Generation(born), false)
    }

    /// Where a store puts things, one after the other.
    fn places() -> [Located; 2] {
        let folder = tempfile::tempdir().unwrap();
        let disk = DiskTier::new(folder.path().to_owned(), 1 << 30, 1 << 28);
        disk.try_open(&Ledger::new([1, 2], 16)).unwrap();
        let keys: [&[u8]; 2] = [b"news\0http://a.example/1", b"news\0http://a.example/2"];
        let places = keys.map(|key| disk.write(key, &object(0, 7)).unwrap());
        disk.close();
        disk.end();
        places
    }

    fn on_disk(object: Object, at: &Located, complete: bool) -> SeenOnDisk {
        SeenOnDisk {
            key: Box::from(*b"news\0http://a.example/a"),
            object: Arc::new(object.kept_as(at.clone())),
            place: PlaceOnDisk {
                id: at.id,
                complete,
                pieces: 1,
                in_main: false,
                asked: 0,
            },
        }
    }

    fn in_memory(object: Object) -> Resource {
        Resource {
            variants: vec![Arc::new(object)],
            ..Resource::default()
        }
    }

    fn tell(memory: Option<&Resource>, seen: &[SeenOnDisk], floor: u64) -> Vec<(bool, bool, bool)> {
        let is_alive = |object: &Object| object.born >= Generation(floor);
        let places: Vec<_> = seen.iter().map(|seen| seen.place).collect();
        let all = under_key(memory, &places, seen, Some(&Rules::default()), is_alive);
        let told = all.iter();
        told.map(|known| {
            (
                known.in_memory,
                known.on_disk.is_some(),
                known.is_complete(),
            )
        })
        .collect()
    }

    #[test]
    fn an_answer_is_in_memory_on_the_disk_or_both() {
        let [at_one, _] = places();
        let (memory, both) = (
            in_memory(object(0, 7)),
            in_memory(object(0, 7).kept_as(at_one.clone())),
        );
        let seen = [on_disk(object(0, 7), &at_one, true)];
        assert_eq!(tell(Some(&memory), &[], 0), [(true, false, true)]);
        assert_eq!(tell(Some(&both), &seen, 0), [(true, true, true)]);
        assert_eq!(tell(None, &seen, 0), [(false, true, true)]);
        assert_eq!(tell(None, &[], 0), []);
        // It has left the disk, or is on its way there.
        assert_eq!(tell(Some(&both), &[], 0), [(true, false, true)]);
    }

    #[test]
    fn what_is_not_whole_is_told_so_and_answers_nobody() {
        let [at_one, _] = places();
        let seen = [on_disk(object(0, 7), &at_one, false)];
        assert_eq!(tell(None, &seen, 0), [(false, true, false)]);
        let rules = Rules::default();
        let found = |seen: &[SeenOnDisk]| {
            let all = under_key(None, &[], seen, Some(&rules), |_| true);
            as_found(&all, &request(), &rules, |_| true)
        };
        assert!(found(&seen).variants.is_empty());
        let seen = [on_disk(object(0, 7), &at_one, true)];
        assert_eq!(found(&seen).variants.len(), 1);
    }

    #[test]
    fn what_was_purged_is_told_by_neither_tier() {
        let [one, other] = places();
        let memory = in_memory(object(0, 7).kept_as(one));
        let seen = [on_disk(object(0, 7), &other, true)];
        for (floor, told) in [(7, 1), (8, 0)] {
            assert_eq!(tell(Some(&memory), &[], floor).len(), told);
            assert_eq!(tell(None, &seen, floor).len(), told);
        }
    }

    /// The disk's is removed once memory's has been written; until then two would seem to be kept.
    #[test]
    fn what_memory_has_a_newer_one_of_is_not_told() {
        let [older, newer] = places();
        let memory = in_memory(object(9, 7).kept_as(newer));
        let seen = [on_disk(object(5, 7), &older, true)];
        assert_eq!(tell(Some(&memory), &seen, 0), [(true, false, true)]);
    }

    #[test]
    fn a_row_tells_of_all_that_is_kept_of_a_url_by_what_came_last() {
        let [at_one, _] = places();
        let seen = [on_disk(object(5, 7), &at_one, true)];
        let kept = under_key(None, &[], &seen, None, |_| true);
        let row = |kept: &[Whereabouts]| explain::row(b"news", b"http://a.example/a", kept, at(10));
        assert_eq!(
            row(&kept),
            Some(json!({
                "site": "news", "url": "http://a.example/a", "variants": 1, "in_memory": 0, "on_disk": 1,
                "complete": 1, "bytes": 4, "status": 200, "age": 5, "ttl": 55, "lifetime_from": "max-age",
            }))
        );
        assert_eq!(row(&[]), None);
    }
}
