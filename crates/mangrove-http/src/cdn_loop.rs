//! CDN-Loop (RFC 8586): has this request been here before?

use crate::field::{is_tchar, is_token};
use crate::quoted;
use crate::refusal::Refusal;

/// Elements read; a request that passed through more networks is going round in circles.
pub const CDN_LOOP_ELEMENTS: usize = 32;

/// How often `own` (compared without regard to case) is in the list, given as the values of all its lines: more than 0 is
/// a loop unless the operator chains edges on purpose.
///
/// A list that cannot be read is refused: who breaks the field hides a loop (RFC 8586 section 2).
pub fn passes<'a>(lines: impl Iterator<Item = &'a [u8]>, own: &str) -> Result<usize, Refusal> {
    let (mut passes, mut elements) = (0, 0);
    for element in lines.flat_map(|line| quoted::split(line, b',')) {
        elements += 1;
        if elements > CDN_LOOP_ELEMENTS {
            return Err(Refusal::LoopDetected);
        }
        let id = cdn_id(element).ok_or(Refusal::MalformedCdnLoop)?;
        passes += usize::from(id.eq_ignore_ascii_case(own.as_bytes()));
    }
    Ok(passes)
}

/// The name before the parameters: a pseudonym, or a host with a port.
fn cdn_id(element: &[u8]) -> Option<&[u8]> {
    let mut parts = quoted::split(element, b';');
    let id = parts.next().filter(|_| !element.starts_with(b";"))?;
    let is_id = id
        .iter()
        .all(|&b| is_tchar(b) || matches!(b, b':' | b'[' | b']'));
    let is_parameter = |part| is_token(part) || quoted::parameter(part).is_some();
    (is_id && parts.all(is_parameter)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes_in(lines: &[&str]) -> Result<usize, Refusal> {
        passes(lines.iter().map(|line| line.as_bytes()), "mangrove-7f")
    }

    #[test]
    fn own_name_is_counted() {
        assert_eq!(passes_in(&[]), Ok(0));
        assert_eq!(
            passes_in(&["other.example:443; v=\"1,2\", [::1]:80", "foo"]),
            Ok(0)
        );
        assert_eq!(
            passes_in(&["foo, Mangrove-7F; hop=1", "mangrove-7f"]),
            Ok(2)
        );
        assert_eq!(passes_in(&["mangrove-7f2, \tx-mangrove-7f"]), Ok(0));
        assert_eq!(passes_in(&[&"a,".repeat(CDN_LOOP_ELEMENTS)]), Ok(0));
        assert_eq!(
            passes_in(&[&"a,".repeat(CDN_LOOP_ELEMENTS + 1)]),
            Err(Refusal::LoopDetected)
        );
    }

    #[test]
    fn a_broken_list_is_refused() {
        for wrong in ["a b", "\"mangrove-7f\"", "a; v=\"", ";a", "a;=", "a/b"] {
            assert_eq!(
                passes_in(&[wrong]),
                Err(Refusal::MalformedCdnLoop),
                "{wrong}"
            );
        }
    }
}
