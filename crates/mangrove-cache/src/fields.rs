//! The header fields of what is stored, in one piece of memory.

use mangrove_http::{Field, Known};

/// Field lines in order: names and values end to end, and where each begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    octets: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    known: Known,
    start: u32,
    name: u32,
    value: u32,
}

impl Fields {
    /// None yet.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// Adds a line at the end. A line that would end beyond 4 GiB is left out; heads are limited far below.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let (Ok(start), Ok(name_length), Ok(value_length)) = (
            u32::try_from(self.octets.len()),
            u32::try_from(name.len()),
            u32::try_from(value.len()),
        ) else {
            return;
        };
        self.octets.extend_from_slice(name);
        self.octets.extend_from_slice(value);
        self.lines.push(Line {
            known: Known::of(name),
            start,
            name: name_length,
            value: value_length,
        });
    }

    /// Every line, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Field<'_>> + Clone {
        self.lines.iter().map(|line| {
            let start = line.start as usize;
            let middle = start + line.name as usize;
            let end = middle + line.value as usize;
            Field {
                known: line.known,
                name: self.octets.get(start..middle).unwrap_or_default(),
                value: self.octets.get(middle..end).unwrap_or_default(),
                hop_by_hop: false,
            }
        })
    }

    /// The value of the first line of that name.
    pub fn field(&self, known: Known) -> Option<&[u8]> {
        self.all(known).next()
    }

    /// The values of all lines of that name, in order.
    pub fn all(&self, known: Known) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        self.iter()
            .filter(move |field| field.known == known)
            .map(|field| field.value)
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Bytes of memory they take.
    pub fn weight(&self) -> usize {
        self.octets.capacity() + self.lines.capacity() * size_of::<Line>()
    }

    pub(crate) fn shrink(&mut self) {
        self.octets.shrink_to_fit();
        self.lines.shrink_to_fit();
    }
}

impl<'a> FromIterator<(&'a [u8], &'a [u8])> for Fields {
    fn from_iter<T: IntoIterator<Item = (&'a [u8], &'a [u8])>>(lines: T) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.push(name, value);
        }
        fields.shrink();
        fields
    }
}
