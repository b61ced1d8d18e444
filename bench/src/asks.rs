//! What is asked for, and what has to come back: always the same, or one of many objects.

use std::sync::{Arc, LazyLock};

use crate::bare::FILL;

/// Objects that a server holds in the rows of many.
pub(crate) const OBJECTS: usize = 10_000;
/// How steeply popularity falls: the object of rank `r` is asked for in proportion to `r` to the minus this. Between what
/// was seen at proxies (0.64 to 0.83: Breslau and others, "Web Caching and Zipf-like Distributions", 1999) and the law itself.
const EXPONENT: f64 = 0.9;
/// Requests after which the sequence begins anew.
const SEQUENCE: usize = 1 << 18;
/// Where the sequence comes from: the same in every run.
const SEED: u64 = 0x6d61_6e67_726f_7665;

static BY_ZIPF: LazyLock<Arc<[u16]>> = LazyLock::new(|| zipf(SEQUENCE));

/// What a row asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asks {
    /// Always the same.
    Same,
    /// The same, by one who has it already: `If-None-Match` with its validator (RFC 9110 section 13.1.2).
    Known,
    /// The same, by one who has asked for too much and is told so.
    TooMuch,
    /// One of [`OBJECTS`], popular ones more often, by Zipf's law.
    Zipf,
    /// Each of so many once, in no order that a disk could guess, before any comes again.
    Each(u16),
}

/// Questions, one after the other.
#[derive(Clone)]
pub(crate) struct Questions {
    asks: Asks,
    /// Bytes in each body.
    body: usize,
    /// Whether objects have names and each content of its own.
    named: bool,
    /// Whether whoever is asked has one answer for everything, and always the same.
    one_answer: bool,
    next: usize,
    sequence: Arc<[u16]>,
}

/// One question and the right answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Question {
    /// Path of the target.
    pub(crate) path: String,
    /// The validator of what the asker has.
    pub(crate) validator: Option<String>,
    /// The status that has to come back.
    pub(crate) status: u16,
    /// Bytes in the body that has to come back.
    pub(crate) body: usize,
    /// What all of them are.
    pub(crate) fill: u8,
    /// Whether the body is whatever the server says: a page with words of its own.
    pub(crate) in_its_words: bool,
}

impl Questions {
    /// For `/`, whatever answers it, with `body` bytes of [`FILL`].
    pub(crate) fn root(body: usize) -> Self {
        Self {
            asks: Asks::Same,
            body,
            named: false,
            one_answer: true,
            next: 0,
            sequence: Arc::new([]),
        }
    }

    /// For `/` of a server that answers nobody any more.
    pub(crate) fn too_many() -> Self {
        Self {
            asks: Asks::TooMuch,
            ..Self::root(0)
        }
    }

    /// For objects of `body` bytes that a cache can hold.
    pub(crate) fn kept(asks: Asks, body: usize) -> Self {
        let sequence = match asks {
            Asks::Same | Asks::Known | Asks::TooMuch => Arc::new([]),
            Asks::Zipf => Arc::clone(&BY_ZIPF),
            Asks::Each(objects) => shuffled(objects),
        };
        Self {
            asks,
            body,
            named: true,
            one_answer: false,
            next: 0,
            sequence,
        }
    }

    /// The same of a server that has one answer for everything.
    pub(crate) fn of_one_answer(mut self) -> Self {
        self.one_answer = true;
        self
    }

    /// The same, from another place in the sequence.
    pub(crate) fn at_place(mut self, place: usize) -> Self {
        self.next = place;
        self
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Question {
        let place = self.next.checked_rem(self.sequence.len()).unwrap_or(0);
        self.next = self.next.wrapping_add(1);
        let object = self.sequence.get(place).copied().unwrap_or(0);
        self.of(object.into(), self.asks == Asks::Known)
    }

    /// One for each object there is, asked by somebody who has none of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = Question> {
        let objects = match self.asks {
            Asks::Zipf if !self.one_answer => OBJECTS,
            Asks::Each(objects) if !self.one_answer => objects.into(),
            _ => 1,
        };
        let is_known = self.one_answer && self.asks == Asks::Known;
        (0..objects).map(move |object| self.of(object, is_known))
    }

    fn of(&self, object: usize, is_known: bool) -> Question {
        Question {
            path: match self.named {
                // Of one length, so that all requests are.
                true => format!("/kept/{}/{object:05}", self.body),
                false => "/".to_owned(),
            },
            validator: is_known.then(|| validator(self.body, object)),
            status: match self.asks {
                Asks::TooMuch => 429,
                _ if is_known => 304,
                _ => 200,
            },
            in_its_words: self.asks == Asks::TooMuch,
            body: if is_known { 0 } else { self.body },
            fill: match self.one_answer {
                true => FILL,
                false => fill(object),
            },
        }
    }
}

/// The entity tag of an object.
pub(crate) fn validator(body: usize, object: usize) -> String {
    format!("\"{body}-{object:05}\"")
}

/// The byte that an object is made of; that of object 0 is [`FILL`].
pub(crate) fn fill(object: usize) -> u8 {
    const LETTERS: usize = 26;
    let letter = (usize::from(FILL - b'a') + object) % LETTERS;
    b'a' + u8::try_from(letter).unwrap_or(0)
}

/// So many numbers of objects, the most popular one being 0.
fn zipf(count: usize) -> Arc<[u16]> {
    let mut shares = Vec::with_capacity(OBJECTS);
    let mut total = 0.0;
    for rank in 1..=u16::try_from(OBJECTS).unwrap_or(u16::MAX) {
        total += f64::from(rank).powf(-EXPONENT);
        shares.push(total);
    }
    let mut state = SEED;
    let draw = |_| {
        let at = unit(&mut state) * total;
        let object = shares.partition_point(|share| *share < at).min(OBJECTS - 1);
        u16::try_from(object).unwrap_or(0)
    };
    (0..count).map(draw).collect()
}

/// The numbers of so many objects, each once: the same in every run (Fisher and Yates).
fn shuffled(objects: u16) -> Arc<[u16]> {
    let mut all: Vec<u16> = (0..objects).collect();
    let mut state = SEED;
    for left in (1..=objects).rev() {
        let place = (unit(&mut state) * f64::from(left)).floor();
        // Below `left`, and so within 16 bits.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let place = place as u16;
        all.swap(usize::from(left) - 1, usize::from(place.min(left - 1)));
    }
    all.into()
}

/// The next number from 0 to 1: SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
#[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
pub(crate) fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_an_object_expects_to_be_told_that_it_has_not_changed() {
        let mut questions = Questions::kept(Asks::Known, 1024);
        let asked = questions.next();
        assert_eq!(asked.validator.as_deref(), Some("\"1024-00000\""));
        assert_eq!((asked.status, asked.body), (304, 0));
        let first = questions.all().next().unwrap();
        assert_eq!(
            (first.validator, first.status, first.body),
            (None, 200, 1024)
        );
    }

    #[test]
    fn a_hundred_objects_of_ten_thousand_are_asked_for_in_two_of_five_requests() {
        let sequence = zipf(SEQUENCE);
        // Shares of the harmonic sums: H(100, 0.9) / H(10,000, 0.9) = 6.53 / 15.69.
        let popular = sequence.iter().filter(|object| **object < 100).count();
        let share = popular * 1000 / SEQUENCE;
        assert!((410..=422).contains(&share), "{share} of 1,000");
        assert!(sequence.iter().all(|object| usize::from(*object) < OBJECTS));
        let rare = sequence.iter().filter(|object| **object >= 5000).count();
        assert!(rare > 0);
    }

    #[test]
    fn the_sequence_is_the_same_in_every_run_and_goes_on_where_it_is_told() {
        assert_eq!(zipf(100), zipf(SEQUENCE)[..100].into());
        let questions = Questions::kept(Asks::Zipf, 1024);
        let mut passed = questions.clone();
        for _ in 0..10 {
            passed.next();
        }
        assert_eq!(passed.next(), questions.at_place(10).next());
    }

    #[test]
    fn each_object_comes_once_before_any_comes_again_and_neighbours_lie_apart() {
        let mut questions = Questions::kept(Asks::Each(2560), 1024);
        assert_eq!(questions.all().count(), 2560);
        let round = |questions: &mut Questions| -> Vec<_> {
            (0..2560).map(|_| questions.next().path).collect()
        };
        let (first, second) = (round(&mut questions), round(&mut questions));
        assert_eq!(first, second);
        let different: std::collections::HashSet<_> = first.iter().collect();
        assert_eq!(different.len(), 2560);
        let order = shuffled(2560);
        let follow = order.windows(2).filter(|two| two[0].abs_diff(two[1]) < 8);
        assert!(follow.count() < 50);
    }

    #[test]
    fn every_object_has_its_name_and_neighbours_differ_in_content() {
        let questions = Questions::kept(Asks::Zipf, 1024);
        let all: Vec<_> = questions.all().collect();
        assert_eq!(all.len(), OBJECTS);
        assert_eq!((all[0].fill, all[1].fill), (b'x', b'y'));
        assert_eq!(
            (all[0].path.len(), all[3].path.as_str()),
            (16, "/kept/1024/00003")
        );
        let same = questions.of_one_answer();
        assert_eq!(same.all().count(), 1);
        assert!(same.all().all(|question| question.fill == FILL));
    }
}
