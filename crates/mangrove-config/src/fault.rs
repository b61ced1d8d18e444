//! What is wrong with settings, and where: by path first, so that a draft and a stored form are judged by one set of
//! rules; a draft then turns each path into a line and a column.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

/// The most problems one reading reports; further ones are counted.
pub const PROBLEMS: usize = 50;

/// One step on the way to a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// Into a table, by key.
    Key(&'static str),
    /// Into a list, by position.
    Entry(usize),
}

/// Where a fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Path(Vec<Step>),
    /// Bytes of the file: for what has no place among the settings.
    Span(Range<usize>),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) what: What,
    pub(crate) help: Option<String>,
    /// A second place that matters, and why.
    pub(crate) also: Option<(Vec<Step>, &'static str)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Wrong(String),
    /// A key that must be there and not be empty.
    Required(&'static str),
}

/// Collects faults while walking through settings.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    path: Vec<Step>,
    /// At most [`PROBLEMS`]; `more` counts the rest.
    found: Vec<Fault>,
    more: usize,
    /// Places already reported, and all places above them: what follows from a fault is not reported again.
    faulty: HashSet<Vec<Step>>,
    above: HashSet<Vec<Step>>,
}

impl Faults {
    /// Takes one step for as long as `walk` runs.
    pub(crate) fn within<T>(&mut self, step: Step, walk: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let result = walk(self);
        self.path.pop();
        result
    }

    /// The path so far.
    pub(crate) fn here(&self) -> Vec<Step> {
        self.path.clone()
    }

    /// Something is wrong here.
    pub(crate) fn refuse(&mut self, what: impl Into<String>, help: Option<String>) {
        self.add(What::Wrong(what.into()), help, None);
    }

    /// Something is wrong here because of another place.
    pub(crate) fn refuse_for(
        &mut self,
        what: String,
        help: Option<String>,
        other: Vec<Step>,
        why: &'static str,
    ) {
        self.add(What::Wrong(what), help, Some((other, why)));
    }

    /// What must be here is missing or empty.
    pub(crate) fn require(&mut self, key: &'static str, help: Option<String>) {
        self.add(What::Required(key), help, None);
    }

    /// Something that is no setting is in the file. `meant` is the key it was probably meant to be.
    pub(crate) fn refuse_stranger(
        &mut self,
        span: Range<usize>,
        what: String,
        help: String,
        meant: Option<&'static str>,
    ) {
        if let Some(meant) = meant {
            self.within(Step::Key(meant), Self::remember);
        }
        self.push(Fault {
            place: Place::Span(span),
            what: What::Wrong(what),
            help: Some(help),
            also: None,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The faults, and how many more there were.
    pub(crate) fn into_parts(self) -> (Vec<Fault>, usize) {
        (self.found, self.more)
    }

    fn add(&mut self, what: What, help: Option<String>, also: Option<(Vec<Step>, &'static str)>) {
        if self.follows_from_another() {
            return;
        }
        self.remember();
        self.push(Fault {
            place: Place::Path(self.path.clone()),
            what,
            help,
            also,
        });
    }

    fn push(&mut self, fault: Fault) {
        if self.found.len() < PROBLEMS {
            self.found.push(fault);
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    fn follows_from_another(&self) -> bool {
        !self.faulty.is_empty()
            && (self.above.contains(&self.path)
                || (0..=self.path.len()).any(|end| {
                    self.path
                        .get(..end)
                        .is_some_and(|path| self.faulty.contains(path))
                }))
    }

    fn remember(&mut self) {
        for end in 0..self.path.len() {
            self.above
                .extend(self.path.get(..end).map(<[Step]>::to_vec));
        }
        self.faulty.insert(self.path.clone());
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Place::Path(path) = &self.place {
            write!(out, "{}: ", Path(path))?;
        }
        match &self.what {
            What::Wrong(what) => out.write_str(what),
            What::Required(key) => write!(out, "`{key}` is missing or empty"),
        }
    }
}

/// A path as it is shown: `site[3].hosts[0]`.
pub(crate) struct Path<'a>(pub(crate) &'a [Step]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if position == 0 => out.write_str(key)?,
                Step::Key(key) => write!(out, ".{key}")?,
                Step::Entry(entry) => write!(out, "[{entry}]")?,
            }
        }
        Ok(())
    }
}
