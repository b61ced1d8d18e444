//! A table for a terminal: a row each, columns as wide as they need to be.

use std::fmt::Write as _;

use crate::terminal;

/// Writes a table; the last column is not padded.
pub(crate) fn of<const COLUMNS: usize>(
    head: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let rows = rows
        .into_iter()
        .map(|row| row.map(|cell| terminal::shown(&cell)));
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned))
        .chain(rows)
        .collect();
    let widths: Vec<usize> = (0..COLUMNS.saturating_sub(1))
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    rows.iter().fold(String::new(), |mut text, row| {
        for (at, cell) in row.iter().enumerate() {
            let width = widths.get(at).copied().unwrap_or(0);
            let _ = write!(text, "{cell:width$}  ");
        }
        text.truncate(text.trim_end().len());
        text + "\n"
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |first: &str| [first.to_owned(), "last".to_owned()];
        assert_eq!(
            super::of(["a", "b"], [row("wide\u{1b}[2J"), row("\u{e9}")]),
            "a         b\nwide\u{fffd}[2J  last\n\u{e9}         last\n"
        );
    }
}
