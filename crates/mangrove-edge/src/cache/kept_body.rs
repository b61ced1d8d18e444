//! The content of what is kept, as one answer sends it: all of it, one range, or several with their part heads.

use bytes::Bytes;
use mangrove_cache::{Interval, Multipart};

use super::object::Kept;

/// What is still to be sent of something kept.
#[derive(Debug)]
pub struct KeptBody {
    kept: Kept,
    /// The next byte of the content, and the end of the segment it is in.
    at: u64,
    end: u64,
    /// What follows, for an answer of several ranges.
    more: Option<Box<More>>,
}

#[derive(Debug)]
struct More {
    /// Part heads and the end of the last part, with the range that follows each, last first.
    segments: Vec<(Vec<u8>, Option<Interval>)>,
    /// The part head being sent, and how much of it has gone.
    words: Bytes,
}

impl KeptBody {
    /// All of it.
    pub fn whole(kept: Kept) -> Self {
        let end = kept.object().map_or(0, |object| object.content.length());
        Self {
            kept,
            at: 0,
            end,
            more: None,
        }
    }

    /// So many bytes of what is held, from `at` on.
    pub fn part(kept: Kept, at: u64, length: u64) -> Self {
        Self {
            kept,
            at,
            end: at.saturating_add(length),
            more: None,
        }
    }

    /// Several ranges.
    pub fn parts(kept: Kept, plan: Multipart) -> Self {
        let parts = plan
            .parts
            .into_iter()
            .map(|(head, piece)| (head, Some(piece)));
        let mut segments: Vec<_> = parts.chain([(plan.end, None)]).collect();
        segments.reverse();
        let mut body = Self {
            kept,
            at: 0,
            end: 0,
            more: Some(Box::new(More {
                segments,
                words: Bytes::new(),
            })),
        };
        body.settle();
        body
    }

    /// The bytes that are next; none when it is over.
    pub fn data(&self) -> &[u8] {
        if let Some(more) = &self.more
            && !more.words.is_empty()
        {
            return &more.words;
        }
        self.kept
            .object()
            .map_or(&[], |object| object.content.slice(self.at, self.end))
    }

    /// Takes bytes away.
    pub fn consume(&mut self, n: usize) {
        if let Some(more) = &mut self.more
            && !more.words.is_empty()
        {
            let _ = more.words.split_to(n.min(more.words.len()));
        } else {
            self.at = self.at.saturating_add(n as u64);
        }
        self.settle();
    }

    /// The next bytes as a chunk of its own, nothing copied.
    pub fn take(&mut self, most: usize) -> Bytes {
        let most = self.data().len().min(most);
        let chunk = match &self.more {
            Some(more) if !more.words.is_empty() => more.words.slice(..most),
            _ => self
                .kept
                .object()
                .map_or_else(Bytes::new, |object| object.content.share(self.at, most)),
        };
        self.consume(chunk.len());
        chunk
    }

    /// How many bytes are to come.
    pub fn length(&self) -> u64 {
        let here = self.end.saturating_sub(self.at);
        let Some(more) = &self.more else {
            return here;
        };
        let later = more.segments.iter().map(|(words, piece)| {
            (words.len() as u64).saturating_add(piece.map_or(0, Interval::length))
        });
        later.fold(here + more.words.len() as u64, u64::saturating_add)
    }

    /// Goes on to the next segment where one is used up.
    fn settle(&mut self) {
        let Some(more) = &mut self.more else {
            return;
        };
        while more.words.is_empty() && self.at >= self.end {
            let Some((words, piece)) = more.segments.pop() else {
                return;
            };
            more.words = words.into();
            if let Some(piece) = piece {
                (self.at, self.end) = (piece.first, piece.last.saturating_add(1));
            }
        }
    }
}
