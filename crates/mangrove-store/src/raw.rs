//! The format without a disk: slabs and journals as bytes in memory, for the fuzz targets and for tools.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::DiskFile;
use crate::journal::{self, Replayed};
use crate::object::Part;
use crate::record::{ALIGN_BYTES, HEADER, Header, Kind, Log, SlabName, sum};
use crate::slab::{Scan, Slabs};
use crate::walk::Walk;
use crate::words::{Generation, KeyHash, ObjectId, Site, Variant};

/// The first slab of a store's probation log, of no generation over 0.
const NAME: SlabName = SlabName {
    epoch: 1,
    number: 1,
    log: Log::Probation,
    ceiling: Generation(0),
};

/// A record of a slab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Hash of its key.
    pub key: KeyHash,
    /// Which record of its object.
    pub part: Part,
    /// Its payload; none if that is not what was written.
    pub payload: Option<Bytes>,
}

/// A slab with these records; one without a payload is left out.
pub fn write_slab(secret: u64, records: &[Record]) -> Vec<u8> {
    let mut file = NAME.header(secret).to_vec();
    for (number, record) in records.iter().enumerate() {
        let Some(payload) = &record.payload else {
            continue;
        };
        let (kind, index) = match record.part {
            Part::Head => (Kind::Head, 0),
            Part::Chunk(index) => (Kind::Chunk, index),
        };
        let header = Header {
            kind,
            every_variant: false,
            length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            index,
            site: Site(0),
            at: file.len() as u64,
            sequence: number as u64,
            object: ObjectId(record.key.0),
            key: record.key,
            variant: Variant(0),
            born: Generation(0),
            total: None,
            payload_sum: sum(secret, payload),
        };
        file.extend_from_slice(&header.write(NAME.seed(secret)));
        file.extend_from_slice(payload);
        file.resize(file.len().next_multiple_of(ALIGN_BYTES), 0);
    }
    file
}

/// The records that the scan finds in a slab, as a reader gets them.
pub fn read_slab(secret: u64, file: &[u8]) -> Vec<Record> {
    let memory = Arc::new(Memory(Bytes::copy_from_slice(file)));
    let slab = Slabs::default().add(NAME, secret, memory, file.len() as u64, 0, Scan::At(0));
    let mut found = Vec::new();
    let Ok(mut walk) = Walk::new(slab, 0) else {
        return found;
    };
    while let Ok(Some(header)) = walk.next() {
        let from = usize::try_from(header.at)
            .unwrap_or(usize::MAX)
            .saturating_add(HEADER);
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let payload = file.get(from..from.saturating_add(length));
        let payload = payload.filter(|payload| sum(secret, payload) == header.payload_sum);
        let part = Part::of(&header);
        found.push(Record {
            key: header.key,
            part,
            payload: payload.map(Bytes::copy_from_slice),
        });
    }
    found
}

/// A journal with these entries, of which the first so many were acknowledged.
pub fn write_journal(secret: u64, entries: &[(Generation, Bytes)], acknowledged: usize) -> Vec<u8> {
    journal::write(secret, entries, acknowledged)
}

/// What a start finds in a journal; none if it is none.
pub fn read_journal(file: &[u8]) -> Option<Replayed> {
    let read = journal::read(file)?;
    Some(Replayed {
        entries: read.entries,
        cut: read.cut,
        floor: read.floor,
        fresh: false,
    })
}

#[derive(Debug)]
struct Memory(Bytes);

impl DiskFile for Memory {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        let there = self.0.get(from..).unwrap_or_default();
        let count = there.len().min(into.len());
        if let (Some(into), Some(there)) = (into.get_mut(..count), there.get(..count)) {
            into.copy_from_slice(there);
        }
        Ok(count)
    }

    fn write_at(&self, _: u64, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn as_file(&self) -> Option<&File> {
        None
    }
}
