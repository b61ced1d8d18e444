//! Problems as people read them: file, line, column, the text, what is wrong, what to do.

use std::fmt;
use std::ops::Range;

/// The most text of one line that is shown around a problem, in characters.
const SHOWN: usize = 100;

/// Everything that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file's name as it was given.
    pub file: String,
    /// What is wrong, in the order of the file; never empty.
    pub list: Vec<Problem>,
    /// How many further problems there were.
    pub more: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, if it is in one place.
    pub excerpt: Option<Excerpt>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: Option<String>,
    /// A second place that matters, and why.
    pub also: Option<(Excerpt, &'static str)>,
}

/// A place in a file with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The text of the line, or the part of it around the place.
    pub text: String,
    /// How many characters of `text` are before the place.
    pub before: usize,
    /// How many characters the place has, at least 1.
    pub width: usize,
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = self
            .list
            .iter()
            .flat_map(Problem::excerpts)
            .map(|excerpt| digits(excerpt.line))
            .max()
            .unwrap_or(1);
        for (position, problem) in self.list.iter().enumerate() {
            if position > 0 {
                writeln!(out)?;
            }
            match &problem.excerpt {
                Some(excerpt) => {
                    writeln!(
                        out,
                        "{}:{}:{}: {}",
                        self.file, excerpt.line, excerpt.column, problem.what
                    )?;
                    excerpt.write(out, indent, "")?;
                }
                None => writeln!(out, "{}: {}", self.file, problem.what)?,
            }
            if let Some((excerpt, why)) = &problem.also {
                excerpt.write(out, indent, why)?;
            }
            if let Some(help) = &problem.help {
                writeln!(out, " {:indent$} = {help}", "")?;
            }
        }
        if self.more > 0 {
            writeln!(out, "\n{}: and {} more", self.file, self.more)?;
        }
        Ok(())
    }
}

impl Problem {
    fn excerpts(&self) -> impl Iterator<Item = &Excerpt> {
        self.excerpt
            .iter()
            .chain(self.also.iter().map(|(excerpt, _)| excerpt))
    }
}

impl Excerpt {
    fn write(&self, out: &mut fmt::Formatter<'_>, indent: usize, why: &str) -> fmt::Result {
        let (blank, before) = (" ".repeat(self.before), "^".repeat(self.width));
        writeln!(out, " {:indent$} | {}", self.line, self.text)?;
        writeln!(
            out,
            "{}",
            format!(" {:indent$} | {blank}{before} {why}", "").trim_end()
        )
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// A file's text with its lines found once.
pub(crate) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let after_newline = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after_newline).collect(),
        }
    }

    /// The line of a byte offset, from 1.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// The place of `span`, shown on its first line.
    pub(crate) fn excerpt(&self, span: Range<usize>) -> Excerpt {
        let line = self.line_of(span.start);
        let start = self
            .starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(0);
        let rest = self.text.get(start..).unwrap_or_default();
        let whole = rest
            .split('\n')
            .next()
            .unwrap_or_default()
            .trim_end_matches('\r');
        let into = span.start.saturating_sub(start).min(whole.len());
        let before = whole.get(..into).unwrap_or(whole).chars().count();
        let until = span.end.saturating_sub(start).min(whole.len());
        let width = whole
            .get(into..until)
            .map_or(1, |marked| marked.chars().count())
            .max(1);
        let skipped = if before + width > SHOWN {
            before.saturating_sub(SHOWN / 4)
        } else {
            0
        };
        let text: String = whole.chars().skip(skipped).take(SHOWN).map(shown).collect();
        let width = width.min(SHOWN.saturating_sub(before - skipped)).max(1);
        Excerpt {
            line,
            column: before + 1,
            text: text.trim_end().to_owned(),
            before: before - skipped,
            width,
        }
    }
}

/// A character that cannot move the terminal's cursor or colour what follows.
fn shown(character: char) -> char {
    match character {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        // Marks that reorder text on screen (Unicode UAX 9) would show a line other than the one in the file.
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_place_in_a_very_long_line_is_shown_alone() {
        let text = format!("a = 1\n{}X{}", "-".repeat(5_000), "-".repeat(5_000));
        let at = text.find('X').unwrap();
        let excerpt = Lines::new(&text).excerpt(at..at + 1);
        assert_eq!((excerpt.line, excerpt.column, excerpt.width), (2, 5_001, 1));
        assert!(excerpt.text.chars().count() <= SHOWN);
        assert_eq!(excerpt.text.chars().nth(excerpt.before), Some('X'));
    }

    #[test]
    fn a_file_cannot_write_to_the_terminal() {
        let excerpt = Lines::new("name = \"\u{1b}[2J\u{202e}\"").excerpt(0..4);
        assert!(!excerpt.text.contains('\u{1b}') && !excerpt.text.contains('\u{202e}'));
    }

    proptest! {
        #[test]
        fn any_span_of_any_text_can_be_shown(text in "[a\t\r\n\u{e9}\u{1f333}]{0,300}", start in 0_usize..400, length in 0_usize..400) {
            let excerpt = Lines::new(&text).excerpt(start..start + length);
            prop_assert!(excerpt.text.chars().count() <= SHOWN && excerpt.width >= 1 && excerpt.width <= SHOWN);
        }
    }
}
