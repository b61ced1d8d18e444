//! What the place that takes the output can show: how wide it is, and whether it has more than ASCII and colours.

use std::io::{self, IsTerminal as _};

/// A width no terminal has; less is taken as this much.
const WIDTH_LEAST: usize = 40;

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Columns; none where that is not known, as in a file.
    pub(crate) width: Option<usize>,
    /// More than ASCII.
    pub(crate) unicode: bool,
    /// Colours.
    pub(crate) colour: bool,
}

impl Look {
    /// Of standard output.
    pub(crate) fn of_output() -> Self {
        let width = rustix::termios::tcgetwinsize(io::stdout())
            .ok()
            .map(|size| usize::from(size.ws_col));
        let variable = |name: &str| std::env::var(name).ok();
        Self::read(variable, io::stdout().is_terminal(), width)
    }

    fn read(
        variable: impl Fn(&str) -> Option<String>,
        is_terminal: bool,
        width: Option<usize>,
    ) -> Self {
        let said = |name: &str| variable(name).filter(|value| !value.is_empty());
        let columns = || said("COLUMNS")?.parse().ok();
        // The first that is set decides, as everywhere.
        let language = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(said);
        let language = language.unwrap_or_default().to_ascii_lowercase();
        let is_dumb = said("TERM").is_none_or(|term| term == "dumb");
        Self {
            width: width
                .filter(|width| *width > 0)
                .or_else(columns)
                .map(|width| width.max(WIDTH_LEAST)),
            unicode: language.contains("utf-8") || language.contains("utf8"),
            colour: is_terminal && !is_dumb && said("NO_COLOR").is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(variables: &[(&str, &str)], is_terminal: bool, width: Option<usize>) -> Look {
        let variable = |name: &str| {
            let mut all = variables.iter();
            all.find_map(|(known, value)| (*known == name).then(|| (*value).to_owned()))
        };
        Look::read(variable, is_terminal, width)
    }

    #[test]
    fn a_terminal_is_believed_and_then_the_environment() {
        assert_eq!(look(&[("COLUMNS", "99")], true, Some(120)).width, Some(120));
        assert_eq!(look(&[("COLUMNS", "99")], true, Some(0)).width, Some(99));
        assert_eq!(look(&[("COLUMNS", "x")], false, None).width, None);
        assert_eq!(look(&[], true, Some(1)).width, Some(WIDTH_LEAST));
    }

    #[test]
    fn letters_beyond_ascii_are_shown_where_the_first_that_is_set_says_so() {
        for (variables, unicode) in [
            (&[("LANG", "en_GB.UTF-8")][..], true),
            (&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")], false),
            (&[("LANG", "C.utf8"), ("LC_ALL", "")], true),
            (&[], false),
        ] {
            assert_eq!(
                look(variables, true, None).unicode,
                unicode,
                "{variables:?}"
            );
        }
    }

    #[test]
    fn colours_are_for_terminals_whose_user_does_not_mind() {
        let term = ("TERM", "xterm");
        assert!(look(&[term], true, None).colour);
        assert!(!look(&[term], false, None).colour);
        assert!(!look(&[term, ("NO_COLOR", "1")], true, None).colour);
        assert!(look(&[term, ("NO_COLOR", "")], true, None).colour);
        assert!(!look(&[("TERM", "dumb")], true, None).colour);
    }
}
