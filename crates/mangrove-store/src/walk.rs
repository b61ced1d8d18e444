//! Reading the records of a slab one after the other, and finding the way again behind damage.

use std::io;
use std::sync::Arc;

use crate::record::{ALIGN, HEADER, Header, NoHeader, SLAB_HEADER};
use crate::slab::Slab;

/// Bytes read at once where records are large: a page, for one header.
const SMALL_WINDOW: usize = 4 << 10;
/// Bytes read at once where records are small, or the way is lost.
const LARGE_WINDOW: usize = 256 << 10;

/// A way through the headers of a slab.
#[derive(Debug)]
pub(crate) struct Walk {
    slab: Arc<Slab>,
    at: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    large: bool,
    /// Bytes read so far.
    pub(crate) read: u64,
    /// Stretches that were not blank and held no record.
    pub(crate) damaged: u64,
}

impl Walk {
    /// From the record at `at`; from the first if that is 0.
    pub(crate) fn new(slab: Arc<Slab>, at: u64) -> io::Result<Walk> {
        let end = slab.file.length()?;
        Ok(Walk {
            slab,
            at: at.max(SLAB_HEADER),
            end,
            window: Vec::new(),
            window_at: 0,
            large: false,
            read: 0,
            damaged: 0,
        })
    }

    /// Where it goes on.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next record; none at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Header>> {
        let mut in_damage = false;
        while self.at.saturating_add(HEADER as u64) <= self.end {
            let (at, seed) = (self.at, self.slab.seed);
            match self
                .header_bytes(at)
                .map(|bytes| Header::read(bytes, seed, at))?
            {
                Ok(header)
                    if at.saturating_add(HEADER as u64 + u64::from(header.length)) <= self.end =>
                {
                    self.at = at.saturating_add(header.record_bytes());
                    self.large = header.record_bytes() < (SMALL_WINDOW * 4) as u64;
                    return Ok(Some(header));
                }
                Ok(_) | Err(NoHeader::Damaged) => {
                    self.damaged += u64::from(!in_damage);
                    in_damage = true;
                    self.lost();
                }
                Err(NoHeader::Blank) => self.lost(),
            }
        }
        Ok(None)
    }

    fn lost(&mut self) {
        self.large = true;
        self.at = self.at.saturating_add(ALIGN);
    }

    fn header_bytes(&mut self, at: u64) -> io::Result<&[u8]> {
        let inside = at
            .checked_sub(self.window_at)
            .and_then(|offset| usize::try_from(offset).ok())
            .filter(|offset| offset.saturating_add(HEADER) <= self.window.len());
        let offset = match inside {
            Some(offset) => offset,
            None => {
                let window = if self.large {
                    LARGE_WINDOW
                } else {
                    SMALL_WINDOW
                };
                let left = usize::try_from(self.end - at).unwrap_or(usize::MAX);
                self.window.resize(window.min(left), 0);
                self.window_at = at;
                crate::disk::read_whole(&*self.slab.file, at, &mut self.window)?;
                self.read += self.window.len() as u64;
                0
            }
        };
        Ok(self
            .window
            .get(offset..offset.saturating_add(HEADER))
            .unwrap_or_default())
    }
}
