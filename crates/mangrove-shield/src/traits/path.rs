//! What kind of path: `/news/4711/photo.jpg` is `/w/n/w.jpg`.

/// Octets of a path that are looked at.
pub const PATH_BYTES: usize = 256;
/// Segments that are told.
pub const SEGMENTS: usize = 8;
/// The longest extension that is told; a longer one is part of the word.
pub const EXTENSION_BYTES: usize = 5;

/// Letters and digits from which on hexadecimal is taken for an id.
const ID_BYTES: usize = 8;
/// Characters from which on something may be random.
const RANDOM_BYTES: usize = 16;
/// Something is random where one character in so many is of another kind than the one before: drawn by lot from letters of both
/// cases and digits two in five are, and in names that people make up hardly one in eight.
const RANDOM_TURNS: usize = 4;

/// Octets of the longest text: eight segments, an extension, and a mark that more came.
const TEXT_BYTES: usize = 2 * SEGMENTS + 1 + EXTENSION_BYTES + 1;

/// What a segment is, or of a whole path the one that tells most: the last of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PathKind {
    /// No segment: `/`, or `*`.
    Root,
    /// `w`: letters, whatever stands between them. What is not ASCII counts as letters.
    Word,
    /// `n`: digits, whatever stands between them.
    Number,
    /// `m`: letters and digits.
    Mixed,
    /// `h`: hexadecimal, with digits and letters, eight or more of them; a UUID is one.
    Id,
    /// `r`: long, and of letters and digits that change as if drawn by lot. Letters of one case alone are a word, since nothing here
    /// knows the languages of words.
    Random,
}

impl PathKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Root,
        Self::Word,
        Self::Number,
        Self::Mixed,
        Self::Id,
        Self::Random,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Word => "word",
            Self::Number => "number",
            Self::Mixed => "mixed",
            Self::Id => "id",
            Self::Random => "random",
        }
    }

    fn letter(self) -> Option<u8> {
        match self {
            Self::Root => None,
            Self::Word => Some(b'w'),
            Self::Number => Some(b'n'),
            Self::Mixed => Some(b'm'),
            Self::Id => Some(b'h'),
            Self::Random => Some(b'r'),
        }
    }
}

/// The shape of a path as a text of at most 23 characters: of each segment what it is, and of a file its extension. `+` says that there
/// was more. A text rather than a hash, since a person reads it, and since those that occur are few: who varies it has to ask for
/// paths of other kinds, which is seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathShape {
    text: [u8; TEXT_BYTES],
    length: u8,
    kind: PathKind,
}

impl PathShape {
    /// Of a path as it was asked for. No more than [`PATH_BYTES`] of it are looked at.
    pub fn of(path: &[u8]) -> Self {
        let mut shape = Self {
            text: [0; TEXT_BYTES],
            length: 0,
            kind: PathKind::Root,
        };
        let (path, is_cut) = match path.split_at_checked(PATH_BYTES) {
            Some((start, rest)) => (start, !rest.is_empty()),
            None => (path, false),
        };
        let [b'/', segments @ ..] = path else {
            shape.push(b'*');
            return shape;
        };
        let mut rest = Some(segments);
        for _ in 0..SEGMENTS {
            let Some(segments) = rest else {
                break;
            };
            let (segment, seen, behind) = first_of(segments);
            shape.segment(segment, seen, behind.is_none() && !is_cut);
            rest = behind;
        }
        if is_cut || rest.is_some() {
            shape.push(b'+');
        }
        shape
    }

    /// As text, which is ASCII.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// As bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.text
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    /// The kind of the segment that tells most.
    pub fn kind(&self) -> PathKind {
        self.kind
    }

    fn segment(&mut self, segment: &[u8], seen: u8, is_last: bool) {
        let (stem, extension) = match is_last && seen & DOT != 0 {
            true => split_extension(segment),
            false => (segment, None),
        };
        self.push(b'/');
        let kind = match extension {
            None => kind_of(stem, seen),
            Some(_) => kind_of(stem, seen_in(stem)),
        };
        if let Some(letter) = kind.letter() {
            self.push(letter);
        }
        self.kind = self.kind.max(kind);
        if let Some(extension) = extension {
            self.push(b'.');
            extension
                .iter()
                .for_each(|byte| self.push(byte.to_ascii_lowercase()));
        }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(usize::from(self.length)) {
            *place = byte;
            self.length += 1;
        }
    }
}

impl std::fmt::Debug for PathShape {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} ({})", self.as_str(), self.kind.name())
    }
}

/// `photo.min.jpg` is `photo.min` and `jpg`.
fn split_extension(name: &[u8]) -> (&[u8], Option<&[u8]>) {
    // From the end: names are long, extensions are not.
    let within = name.len().saturating_sub(EXTENSION_BYTES + 1);
    let end = name.get(within..).unwrap_or_default();
    let Some(dot) = end.iter().rposition(|&byte| byte == b'.') else {
        return (name, None);
    };
    let (stem, extension) = name.split_at(within + dot);
    let extension = extension.get(1..).unwrap_or_default();
    let is_one = extension.iter().all(u8::is_ascii_alphanumeric)
        && extension.iter().any(u8::is_ascii_alphabetic);
    match is_one {
        true => (stem, Some(extension)),
        false => (name, None),
    }
}

/// The first of some segments, what characters it has, and those behind it.
fn first_of(segments: &[u8]) -> (&[u8], u8, Option<&[u8]>) {
    let mut seen = 0;
    for (at, &byte) in segments.iter().enumerate() {
        let this = character(byte);
        if this == SLASH {
            let (segment, rest) = segments.split_at(at);
            return (segment, seen, rest.get(1..));
        }
        seen |= this;
    }
    (segments, seen, None)
}

fn seen_in(segment: &[u8]) -> u8 {
    segment.iter().fold(0, |seen, &byte| seen | character(byte))
}

/// What a character is; of several all bits.
const DIGIT: u8 = 1;
const HEX_LETTER: u8 = 2;
const OTHER_LETTER: u8 = 4;
const ESCAPE: u8 = 8;
const DOT: u8 = 16;
const SLASH: u8 = 32;
/// All that counts as a letter or digit.
const COUNTED: u8 = DIGIT | HEX_LETTER | OTHER_LETTER;

// An array of 256 indexed by a byte is always in bounds.
#[allow(clippy::indexing_slicing)]
static CHARACTERS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    loop {
        table[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' | b'A'..=b'F' => HEX_LETTER,
            b'g'..=b'z' | b'G'..=b'Z' | 0x80.. => OTHER_LETTER,
            b'%' => ESCAPE,
            b'.' => DOT,
            b'/' => SLASH,
            _ => 0,
        };
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

// The same.
#[allow(clippy::indexing_slicing)]
#[inline]
fn character(byte: u8) -> u8 {
    CHARACTERS[usize::from(byte)]
}

/// By what was seen in it, where that is enough.
fn kind_of(segment: &[u8], seen: u8) -> PathKind {
    match seen & (COUNTED | ESCAPE) {
        _ if segment.is_empty() => PathKind::Root,
        DIGIT => PathKind::Number,
        seen if seen & (DIGIT | ESCAPE) == 0 && segment.len() < RANDOM_BYTES => PathKind::Word,
        _ => Tally::of(segment).kind(),
    }
}

/// A segment looked at closely.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    seen: u8,
    characters: usize,
    letters_and_digits: usize,
    /// Characters of another kind than the one before: a digit and a letter, or a capital behind a small letter.
    turns: usize,
}

impl Tally {
    fn of(segment: &[u8]) -> Self {
        let mut tally = Self::default();
        let (mut before, mut rest) = (0, segment);
        while let [byte, after @ ..] = rest {
            let (byte, after) = unescaped(*byte, after);
            tally.note(before, byte);
            (before, rest) = (byte, after);
        }
        tally
    }

    fn note(&mut self, before: u8, byte: u8) {
        let (last, this) = (character(before) & COUNTED, character(byte) & COUNTED);
        self.seen |= this;
        self.characters += 1;
        self.letters_and_digits += usize::from(this != 0);
        let is_turn = (last == DIGIT) != (this == DIGIT) && last != 0 && this != 0
            || before.is_ascii_lowercase() && byte.is_ascii_uppercase();
        self.turns += usize::from(is_turn);
    }

    fn kind(self) -> PathKind {
        let is_random =
            self.characters >= RANDOM_BYTES && self.turns * RANDOM_TURNS >= self.characters;
        match self.seen {
            DIGIT => PathKind::Number,
            seen if seen == DIGIT | HEX_LETTER && self.letters_and_digits >= ID_BYTES => {
                PathKind::Id
            }
            _ if is_random => PathKind::Random,
            seen if seen & DIGIT != 0 => PathKind::Mixed,
            _ => PathKind::Word,
        }
    }
}

/// The character that an escape stands for, and what follows it. A `%` that begins none is as good as a full stop.
fn unescaped(byte: u8, after: &[u8]) -> (u8, &[u8]) {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    match (byte, after) {
        (b'%', [high, low, rest @ ..]) => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => (high << 4 | low, rest),
            _ => (b'.', after),
        },
        (b'%', _) => (b'.', after),
        _ => (byte, after),
    }
}
