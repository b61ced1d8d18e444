//! `mangrove check`: what a configuration means, or what is wrong with it.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use mangrove_config::Settled;

use crate::arguments::Check;
use crate::resume;
use crate::{source, terminal};

/// Prints the meaning of a configuration.
pub(crate) fn run(check: &Check) -> Result<ExitCode> {
    if let Some(format) = check.resume_format {
        anyhow::ensure!(
            format == resume::FORMAT,
            "the running supervisor hands over in form {format}; this build reads {}. Stop and start instead",
            resume::FORMAT
        );
    }
    if let Some(path) = &check.settled {
        let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Settled::from_json(&bytes).with_context(|| format!("{} cannot be used", path.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = check.file.as_deref().unwrap_or(Path::new("-"));
    let name = if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    };
    let wanted = source::settle_text(&name, &source::read(path)?)?;
    for notice in &wanted.notices {
        terminal::say(format_args!("Notice: {notice}"));
    }
    terminal::say(mangrove_config::explain(&wanted.settled));
    Ok(ExitCode::SUCCESS)
}
