//! What a person reads. A terminal that went away is no reason to stop, so errors in writing to it are ignored.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a person waits without being told what for.
const PATIENT: Duration = Duration::from_secs(2);

/// Prints what was asked for.
pub(crate) fn say(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{}", trimmed(&text));
}

/// Prints what went wrong, or what happened unasked.
pub(crate) fn warn(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "mangrove: {}", trimmed(&text));
}

/// A line that says what is being waited for, in one place while it changes, and gone when nothing is. It stays away where
/// nobody looks, and from what takes no time.
#[derive(Debug)]
pub(crate) struct Waiting {
    since: Instant,
    shown: bool,
}

impl Waiting {
    /// From now on.
    pub(crate) fn new(now: Instant) -> Self {
        let shown = false;
        Self { since: now, shown }
    }

    /// Shows how far it is.
    pub(crate) fn tell(&mut self, now: Instant, text: &str) {
        if self.is_due(now) && io::stderr().is_terminal() {
            self.shown = true;
            let _ = write!(io::stderr().lock(), "\r{text} …\x1b[K");
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) > PATIENT
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
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

/// What an edge says on behalf of strangers, without anything that a terminal would obey.
pub(crate) fn shown(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// So many bytes, as a person reads them.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match UNITS.iter().find(|(_, bits)| count >> bits > 0) {
        None => format!("{count} B"),
        Some((unit, bits)) => {
            // In tenths, rounded down: what is not whole is not told as whole.
            let tenths = (u128::from(count) * 10) >> bits;
            match tenths % 10 {
                0 => format!("{} {unit}", tenths / 10),
                tenth => format!("{}.{tenth} {unit}", tenths / 10),
            }
        }
    }
}

/// So long, in at most two units.
pub(crate) fn span(seconds: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut parts = Vec::new();
    let mut rest = seconds;
    for (unit, size) in UNITS {
        let count = rest / size;
        rest %= size;
        match count {
            0 if parts.is_empty() => {}
            0 => break,
            _ => parts.push(format!("{count} {unit}")),
        }
        if parts.len() == 2 {
            break;
        }
    }
    match parts.is_empty() {
        true => "0 s".to_owned(),
        false => parts.join(" "),
    }
}

/// One of it, or several.
pub(crate) fn counted(count: u64, one: &str, several: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {several}"),
    }
}

fn trimmed(text: &impl Display) -> String {
    text.to_string().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_as_people_tell_them() {
        for (count, told) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1 KiB"),
            (1_536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (256 << 20, "256 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), told);
        }
        for (seconds, told) in [
            (0, "0 s"),
            (59, "59 s"),
            (90, "1 min 30 s"),
            (3_600, "1 h"),
            (3_605, "1 h"),
            (86_400 + 7_200 + 59, "1 d 2 h"),
        ] {
            assert_eq!(span(seconds), told);
        }
        assert_eq!(counted(1, "URL", "URLs"), "1 URL");
        assert_eq!(counted(0, "URL", "URLs"), "0 URLs");
    }

    #[test]
    fn whoever_waits_two_seconds_is_told_nothing_yet() {
        let now = crate::clock::now();
        let waiting = Waiting::new(now);
        assert!(!waiting.is_due(now + PATIENT));
        assert!(waiting.is_due(now + PATIENT + Duration::from_millis(1)));
    }

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
