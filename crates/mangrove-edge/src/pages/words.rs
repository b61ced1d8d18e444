//! The sentences of one language, read from its Fluent file.

use std::collections::HashMap;

use fluent_bundle::{FluentBundle, FluentResource};
use unic_langid::LanguageIdentifier;

/// The sentences of one language. Made once at start and dropped when the sheets are rendered.
pub(super) struct Words {
    bundle: FluentBundle<FluentResource>,
}

impl Words {
    /// Reads a Fluent file. The files are part of the program and tested, so a part that does not parse is left out
    /// rather than refused: an error page with a missing sentence is better than an edge that does not start.
    pub(super) fn read(tag: &str, source: &str) -> Self {
        let language = tag.parse::<LanguageIdentifier>().unwrap_or_default();
        let mut bundle = FluentBundle::new(vec![language]);
        // Isolation marks are for foreign text inside a sentence; no sentence here has any.
        bundle.set_use_isolating(false);
        let resource = FluentResource::try_new(source.to_owned())
            .unwrap_or_else(|(readable, _errors)| readable);
        bundle.add_resource_overriding(resource);
        Self { bundle }
    }

    /// The sentence called `id`, or its attribute when the name is `id.attribute`.
    pub(super) fn sentence(&self, name: &str) -> Option<String> {
        let pattern = match name.split_once('.') {
            None => self.bundle.get_message(name)?.value()?,
            Some((id, attribute)) => self
                .bundle
                .get_message(id)?
                .get_attribute(attribute)?
                .value(),
        };
        let mut errors = Vec::new();
        let text = self.bundle.format_pattern(pattern, None, &mut errors);
        errors.is_empty().then(|| text.into_owned())
    }

    /// What each named reason means, for the languages that say it themselves: every `{prefix}NAME = …` of the file.
    /// Names may have dots, identifiers in Fluent may not: there they are underscores.
    pub(super) fn reasons(&self, prefix: &str, source: &str) -> HashMap<String, String> {
        source
            .lines()
            .filter_map(|line| line.split_once(" =")?.0.strip_prefix(prefix))
            .filter(|name| *name != "label")
            .filter_map(|name| {
                let sentence = self.sentence(&format!("{prefix}{name}"))?;
                Some((name.replace('_', "."), sentence))
            })
            .collect()
    }
}
