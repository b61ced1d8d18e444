//! Paragraphs beside their names, no wider than the terminal.

use crate::look::Look;

/// Columns of a name, before a paragraph.
pub(super) const MARGIN: usize = 11;
/// A paragraph is no wider than this: longer lines are hard to read.
pub(super) const COLUMNS: usize = 88;

/// How wide a paragraph is.
pub(super) fn columns(look: Look) -> usize {
    let room = look.width.map(|width| width.saturating_sub(MARGIN));
    room.unwrap_or(COLUMNS).min(COLUMNS)
}

/// Lines of at most so many columns, under one another; a word that is longer stays whole, to be copied.
pub(super) fn wrapped(text: &str, columns: usize) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        match width {
            0 => {}
            _ if width + 1 + length > columns => {
                lines.push('\n');
                lines.extend(std::iter::repeat_n(' ', MARGIN));
                width = 0;
            }
            _ => {
                lines.push(' ');
                width += 1;
            }
        }
        lines.push_str(word);
        width += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_no_wider_than_a_terminal_but_a_word_stays_whole() {
        let word = "x".repeat(COLUMNS - 2);
        let wrapped = |text: &str| wrapped(text, COLUMNS);
        assert_eq!(wrapped(&format!("{word} y")), format!("{word} y"));
        assert_eq!(
            wrapped(&format!("{word} yy z")),
            format!("{word}\n           yy z")
        );
        let long = "x".repeat(COLUMNS + 1);
        assert_eq!(
            wrapped(&format!("a {long} b")),
            format!("a\n           {long}\n           b")
        );
    }

    #[test]
    fn a_wide_terminal_makes_no_longer_lines() {
        let of = |width| {
            columns(Look {
                width,
                unicode: false,
                colour: false,
            })
        };
        assert_eq!([of(Some(80)), of(Some(200)), of(None)], [69, 88, 88]);
    }
}
