//! Text with named holes, cut once at start, so that filling it later only copies.

/// A text cut at its holes. `H` names the holes that stay open until a request fills them.
pub(super) struct Template<H> {
    parts: Vec<Part<H>>,
}

enum Part<H> {
    Text(String),
    Hole(H),
}

/// What stands where a source said `[[name]]`.
pub(super) enum Slot<H> {
    /// Known now, the same for every request; already escaped.
    Text(String),
    /// Known only when a request is answered.
    Hole(H),
}

impl<H: Copy> Template<H> {
    /// Cuts `source` at each `[[name]]` and asks `slot` what belongs there. A name that `slot` does not know stays in
    /// the text as it was written, where a reader and a test will see it. Indentation is dropped: it is for us, not
    /// for the wire.
    pub(super) fn cut(source: &str, slot: impl Fn(&str) -> Option<Slot<H>>) -> Self {
        let mut parts = Vec::new();
        let mut text = String::with_capacity(source.len());
        let mut rest = source;
        while let Some((before, name, after)) = next_hole(rest) {
            push_unindented(before, &mut text);
            match slot(name) {
                Some(Slot::Text(known)) => text.push_str(&known),
                Some(Slot::Hole(hole)) => {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Hole(hole));
                }
                None => {
                    text.push_str("[[");
                    text.push_str(name);
                    text.push_str("]]");
                }
            }
            rest = after;
        }
        push_unindented(rest, &mut text);
        parts.push(Part::Text(text));
        Self { parts }
    }

    /// Writes the text to `out`, letting `fill` write what goes into each hole.
    pub(super) fn fill(&self, out: &mut Vec<u8>, mut fill: impl FnMut(H, &mut Vec<u8>)) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Hole(hole) => fill(*hole, out),
            }
        }
    }
}

fn next_hole(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("[[")?;
    let (name, after) = rest.split_once("]]")?;
    Some((before, name, after))
}

fn push_unindented(source: &str, text: &mut String) {
    for (number, line) in source.split('\n').enumerate() {
        if number == 0 {
            text.push_str(line);
        } else {
            text.push('\n');
            text.push_str(line.trim_start());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(source: &str) -> String {
        let template = Template::cut(source, |name| match name {
            "known" => Some(Slot::Text("leaf".into())),
            "later" => Some(Slot::Hole('x')),
            _ => None,
        });
        let mut out = Vec::new();
        template.fill(&mut out, |hole, out| {
            out.extend_from_slice(hole.to_string().as_bytes());
        });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_words_are_set_at_once_and_holes_wait_for_the_request() {
        assert_eq!(
            filled("a [[known]] and [[later]][[later]]."),
            "a leaf and xx."
        );
    }

    #[test]
    fn a_misspelt_name_stays_visible() {
        assert_eq!(filled("a [[knwon]] b"), "a [[knwon]] b");
        assert_eq!(filled("a [[open"), "a [[open");
    }

    #[test]
    fn indentation_stays_at_home() {
        assert_eq!(filled("<a>\n    <b>\n"), "<a>\n<b>\n");
    }
}
