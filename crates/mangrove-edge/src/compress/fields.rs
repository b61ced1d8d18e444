//! What coding changes in a head.

use mangrove_cache::{EntityTag, Fields};
use mangrove_http::{Known, list};

use super::Coding;

/// The field lines of a kept answer whose content is there in codings: as this one, of `length` bytes, or with `None` as
/// it is.
///
/// In all of them `Vary` names `Accept-Encoding`, so that caches further on tell them apart. A coded one has its coding and
/// length; its entity tag is the same made weak, by which `If-None-Match` still finds it (weak comparison, RFC 9110 section
/// 13.1.2) and `If-Range` never does (section 13.1.5); and it offers no ranges.
pub fn coded_fields(fields: &Fields, coding: Option<(Coding, u64)>) -> Fields {
    let mut varies = false;
    let mut coded = Fields::new();
    for field in fields.iter() {
        match field.known {
            Known::Vary => {
                varies |= list(field.value)
                    .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"));
                coded.push(field.name, field.value);
            }
            Known::ContentLength | Known::AcceptRanges if coding.is_some() => {}
            Known::ETag if coding.is_some() => match EntityTag::parse(field.value) {
                Some(tag) if !tag.weak => {
                    let weak = [b"W/", field.value].concat();
                    coded.push(field.name, &weak);
                }
                Some(_) => coded.push(field.name, field.value),
                // Not an entity tag: whoever compares it byte by byte must not find two contents under one.
                None => {}
            },
            _ => coded.push(field.name, field.value),
        }
    }
    if !varies {
        coded.push(b"vary", Known::AcceptEncoding.name().as_bytes());
    }
    if let Some((coding, length)) = coding {
        coded.push(
            Known::ContentEncoding.name().as_bytes(),
            coding.name().as_bytes(),
        );
        coded.push(
            Known::ContentLength.name().as_bytes(),
            length.to_string().as_bytes(),
        );
    }
    coded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(fields: &[(&str, &str)], coding: Option<(Coding, u64)>) -> Vec<String> {
        let mut stored = Fields::new();
        for (name, value) in fields {
            stored.push(name.as_bytes(), value.as_bytes());
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        coded_fields(&stored, coding)
            .iter()
            .map(|field| format!("{}: {}", text(field.name), text(field.value)))
            .collect()
    }

    #[test]
    fn a_coded_one_has_a_weak_tag_its_own_length_and_no_ranges() {
        let fields = [
            ("etag", "\"x\""),
            ("content-length", "9000"),
            ("accept-ranges", "bytes"),
            ("vary", "origin"),
        ];
        assert_eq!(
            shown(&fields, Some((Coding::Br, 1234))),
            [
                "etag: W/\"x\"",
                "vary: origin",
                "vary: accept-encoding",
                "content-encoding: br",
                "content-length: 1234"
            ]
        );
    }

    #[test]
    fn as_it_is_it_only_varies() {
        let fields = [("etag", "\"x\""), ("content-length", "9")];
        assert_eq!(
            shown(&fields, None),
            ["etag: \"x\"", "content-length: 9", "vary: accept-encoding"]
        );
        for vary in ["Accept-Encoding", "*", "origin, accept-encoding"] {
            assert_eq!(shown(&[("vary", vary)], None), [format!("vary: {vary}")]);
        }
    }

    #[test]
    fn tags_that_are_weak_already_or_none() {
        let tag =
            |value| shown(&[("etag", value), ("vary", "*")], Some((Coding::Gzip, 1))).remove(0);
        assert_eq!(tag("W/\"x\""), "etag: W/\"x\"");
        assert_eq!(tag("x"), "vary: *");
    }

    #[test]
    fn a_client_that_has_any_form_is_told_that_it_has_not_changed() {
        let stored = EntityTag::parse(b"\"x\"").unwrap();
        let coded = EntityTag::parse(b"W/\"x\"").unwrap();
        assert!(stored.is_weakly(coded) && coded.is_weakly(stored) && !coded.is_strongly(coded));
    }
}
