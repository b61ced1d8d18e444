//! An object as a writer has it.

use std::sync::Arc;

use bytes::Bytes;

use crate::object::chunk_length;
use crate::record::{HEADER, Head, Header, Kind, SLAB_HEADER, record_bytes};
use crate::state::{Inner, Task};
use crate::words::{CHUNK_BYTES, Generation, KeyHash, ObjectId, Refused, Site, Subject, Variant};

/// What a new object is begun with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewObject {
    /// Of its key.
    pub key: KeyHash,
    /// Within its key. When the object is complete it replaces older ones of the same key and variant.
    pub variant: Variant,
    /// Whose it is.
    pub site: Site,
    /// When it was asked for.
    pub born: Generation,
    /// Bytes of its whole content, where known.
    pub total: Option<u64>,
}

/// An object being written, in any order, by one or by several. Nothing here waits: what is accepted is written soon, and what
/// is refused is not, which costs a later request at most.
///
/// An object is found once its head is written, with the chunks that are there. It is complete once a head told its total and
/// every chunk is there. Dropped before any head was accepted, it is forgotten.
#[derive(Debug)]
pub struct Writing {
    inner: Arc<Inner>,
    subject: Subject,
    id: ObjectId,
    total: Option<u64>,
    main: bool,
    headed: bool,
}

impl Writing {
    pub(crate) fn begin(inner: &Arc<Inner>, new: NewObject) -> Result<Writing, Refused> {
        if let Err(why) = inner.takes_writes() {
            return inner.refused(why);
        }
        let NewObject {
            key,
            variant,
            site,
            born,
            total,
        } = new;
        // Nothing leaves for what will not fit in the end, and would have to make room for itself.
        if total.is_some_and(|total| !inner.index.may_hold(site, total)) {
            return inner.refused(Refused::SiteFull);
        }
        // At least its head and first chunk.
        let first = total.map_or(0, |total| chunk_length(total, 0));
        if !inner
            .index
            .make_site_room(site, first.saturating_add(2 * HEADER as u64))
        {
            return inner.refused(Refused::SiteFull);
        }
        let id = ObjectId(inner.next_sequence());
        let main = crate::lock::lock(&inner.policy).place(key) == crate::record::Log::Main;
        let subject = Subject {
            key,
            variant,
            site,
            born,
        };
        inner.index.begin(subject, id, total, main);
        Ok(Writing {
            inner: Arc::clone(inner),
            subject,
            id,
            total,
            main,
            headed: false,
        })
    }

    pub(crate) fn of(
        inner: Arc<Inner>,
        subject: Subject,
        id: ObjectId,
        total: Option<u64>,
        main: bool,
    ) -> Writing {
        Writing {
            inner,
            subject,
            id,
            total,
            main,
            headed: true,
        }
    }

    /// Whose it is, and when it was asked for.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Which object it is.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Hands over a head; a later one takes its place. `born` is when the head was asked for: the object's own birth for the
    /// first, later for one that its origin confirmed. `total` is the content's length if it is known by now.
    pub fn try_head(
        &mut self,
        born: Generation,
        total: Option<u64>,
        head: &Head,
    ) -> Result<(), Refused> {
        let payload = head.payload();
        self.total = total.or(self.total);
        self.subject.born = born;
        self.hand_over(Kind::Head, 0, payload)?;
        self.headed = true;
        Ok(())
    }

    /// Hands over a chunk: [`CHUNK_BYTES`] of content from `index * CHUNK_BYTES` on, and only the last one less. The bytes
    /// are not copied.
    pub fn try_chunk(&self, index: u32, content: Bytes) -> Result<(), Refused> {
        if content.len() > CHUNK_BYTES as usize {
            return self.inner.refused(Refused::TooLarge);
        }
        let fits = self
            .total
            .is_none_or(|total| content.len() as u64 == chunk_length(total, index));
        if content.is_empty() || !fits {
            return self.inner.refused(Refused::Misfit);
        }
        self.hand_over(Kind::Chunk, index, content)
    }

    /// The same object, for somebody else to write to as well.
    pub fn share(&self) -> Writing {
        let inner = Arc::clone(&self.inner);
        Writing::of(inner, self.subject, self.id, self.total, self.main)
    }

    /// Whether a chunk is written. It counts as no wish to have it.
    pub fn has_chunk(&self, index: u32) -> bool {
        let Subject { key, .. } = self.subject;
        self.inner.index.has_chunk(key, self.id, index)
    }

    /// The first chunk from `from` on that is not written, perhaps one past the last.
    pub fn first_missing(&self, from: u32) -> u32 {
        self.inner
            .index
            .first_missing(self.subject.key, self.id, from)
    }

    /// The first chunk from `from` on that is written.
    pub fn first_there(&self, from: u32) -> Option<u32> {
        self.inner
            .index
            .first_there(self.subject.key, self.id, from)
    }

    /// Removes the object, and older ones of its key and variant; also where its head waits to be written.
    pub fn remove(&self) {
        let Subject { key, variant, .. } = self.subject;
        self.inner.remove(key, Some(variant), self.id);
    }

    fn hand_over(&self, kind: Kind, index: u32, payload: Bytes) -> Result<(), Refused> {
        if let Err(why) = self.inner.takes_writes() {
            return self.inner.refused(why);
        }
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        if record_bytes(length) > self.inner.settings.slab_bytes - SLAB_HEADER {
            return self.inner.refused(Refused::TooLarge);
        }
        if !self
            .inner
            .index
            .make_site_room(self.subject.site, record_bytes(length))
        {
            return self.inner.refused(Refused::SiteFull);
        }
        if !self.inner.index.has(self.subject.key, self.id) {
            return self.inner.refused(Refused::Gone);
        }
        let header = Header {
            kind,
            every_variant: false,
            length,
            index,
            site: self.subject.site,
            at: 0,
            sequence: self.inner.next_sequence(),
            object: self.id,
            key: self.subject.key,
            variant: self.subject.variant,
            born: self.subject.born,
            total: self.total,
            payload_sum: 0,
        };
        let task = Task::Record {
            header,
            payload,
            main: self.main,
        };
        self.inner
            .tasks
            .push(task.bytes(), task)
            .or_else(|why| self.inner.refused(why))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.headed {
            self.inner.index.abandon(self.subject.key, self.id);
        }
    }
}

impl Inner {
    /// Removes objects of a key (and variant) up to an id.
    pub(crate) fn remove(&self, key: KeyHash, variant: Option<Variant>, up_to: ObjectId) -> usize {
        let count = self.index.bury(key, variant, up_to);
        let header = self.grave(key, variant, up_to);
        // Graves are small, and must not be refused because content waits.
        let _ = self.tasks.push_anyway(Task::Record {
            header,
            payload: Bytes::new(),
            main: true,
        });
        count
    }
}
