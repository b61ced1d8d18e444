//! What a person reads. A terminal that went away is no reason to stop, so errors in writing to it are ignored.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Prints what was asked for.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{}", trimmed(&text));
}

/// Prints what went wrong, or what happened unasked.
pub(crate) fn warn(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "mangrove: {}", trimmed(&text));
}

/// This program as the person called it, to be typed again: `mangrove`, `target/release/mangrove`, …
pub(crate) fn invoked() -> String {
    let typed = std::env::args_os().next().map(PathBuf::from);
    let by_path = typed.filter(|typed| typed.components().count() > 1);
    let found_on_path = "mangrove".to_owned();
    match by_path {
        None => found_on_path,
        Some(typed) if typed.exists() => shell_word(&typed),
        Some(_) => std::env::current_exe().map_or(found_on_path, |exe| shell_word(&exe)),
    }
}

/// `path` as one word of a shell command.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=~".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn trimmed(text: &impl Display) -> String {
    text.to_string().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_only_when_a_shell_would_break_it() {
        assert_eq!(
            shell_word(Path::new("./mangrove-state")),
            "./mangrove-state"
        );
        assert_eq!(shell_word(Path::new("/tmp/my state")), "'/tmp/my state'");
        assert_eq!(shell_word(Path::new("it's")), r"'it'\''s'");
    }
}
