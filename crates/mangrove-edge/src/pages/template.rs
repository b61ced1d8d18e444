//! Text with named holes, cut once, so that filling it later only copies.

/// A text cut at its holes. `H` names the holes that stay open until a request fills them.
pub(super) struct Template<H> {
    parts: Vec<Part<H>>,
}

enum Part<H> {
    Text(Vec<u8>),
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
        let mut parts = Parts::default();
        let mut rest = source;
        while let Some((before, name, after)) = next_hole(rest) {
            push_unindented(before, &mut parts.text);
            match slot(name) {
                Some(Slot::Text(known)) => parts.text.extend_from_slice(known.as_bytes()),
                Some(Slot::Hole(hole)) => parts.leave_open(hole),
                None => {
                    for piece in ["[[", name, "]]"] {
                        parts.text.extend_from_slice(piece.as_bytes());
                    }
                }
            }
            rest = after;
        }
        push_unindented(rest, &mut parts.text);
        parts.end()
    }

    /// The same with some holes filled for good; those for which `fill` gives a name stay open under that.
    pub(super) fn settle<L>(
        &self,
        mut fill: impl FnMut(H, &mut Vec<u8>) -> Option<L>,
    ) -> Template<L> {
        let mut parts = Parts::default();
        for part in &self.parts {
            match part {
                Part::Text(text) => parts.text.extend_from_slice(text),
                Part::Hole(hole) => {
                    if let Some(open) = fill(*hole, &mut parts.text) {
                        parts.leave_open(open);
                    }
                }
            }
        }
        parts.end()
    }

    /// Bytes of it that are there already.
    pub(super) fn length(&self) -> usize {
        let lengths = self.parts.iter().map(|part| match part {
            Part::Text(text) => text.len(),
            Part::Hole(_) => 0,
        });
        lengths.sum()
    }

    /// Writes the text to `out`, letting `fill` write what goes into each hole.
    pub(super) fn fill(&self, out: &mut Vec<u8>, mut fill: impl FnMut(H, &mut Vec<u8>)) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Hole(hole) => fill(*hole, out),
            }
        }
    }
}

/// A template as it comes about: what was cut off already, and the text since.
struct Parts<H> {
    parts: Vec<Part<H>>,
    text: Vec<u8>,
}

impl<H> Default for Parts<H> {
    fn default() -> Self {
        let (parts, text) = (Vec::new(), Vec::new());
        Self { parts, text }
    }
}

impl<H> Parts<H> {
    fn leave_open(&mut self, hole: H) {
        self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        self.parts.push(Part::Hole(hole));
    }

    fn end(mut self) -> Template<H> {
        self.parts.push(Part::Text(self.text));
        let parts = self.parts;
        Template { parts }
    }
}

fn next_hole(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("[[")?;
    let (name, after) = rest.split_once("]]")?;
    Some((before, name, after))
}

fn push_unindented(source: &str, text: &mut Vec<u8>) {
    for (number, line) in source.split('\n').enumerate() {
        if number == 0 {
            text.extend_from_slice(line.as_bytes());
        } else {
            text.push(b'\n');
            text.extend_from_slice(line.trim_start().as_bytes());
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
    fn a_hole_that_is_settled_is_text_and_the_others_stay_open() {
        let template = Template::cut("[[a]]-[[b]]-[[a]]", |name| match name {
            "a" => Some(Slot::Hole('a')),
            _ => Some(Slot::Hole('b')),
        });
        let settled = template.settle(|hole, out| match hole {
            'a' => {
                out.extend_from_slice(b"leaf");
                None
            }
            other => Some(other.to_ascii_uppercase()),
        });
        assert_eq!(settled.parts.len(), 3);
        assert_eq!(settled.length(), "leaf--leaf".len());
        let mut out = Vec::new();
        settled.fill(&mut out, |hole, out| out.push(u8::try_from(hole).unwrap()));
        assert_eq!(out, b"leaf-B-leaf");
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
