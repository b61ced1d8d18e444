//! What the person at the terminal sees.

use std::io::Write;

/// One line, or several. A terminal that has gone away stops nothing.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}
