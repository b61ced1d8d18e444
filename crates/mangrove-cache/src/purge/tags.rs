//! The names that an origin gives an answer, to let go of all that have one: `Surrogate-Key` and `Cache-Tag`.
//!
//! There is no index from a tag to what has it. The fields are kept with the object, and are read when the ledger is asked
//! about it; so tags cost no memory beside their own text, and a site that never purges by tag never reads them.

use mangrove_http::{Known, ResponseHead};

use crate::fields::Fields;
use crate::reason::NotStored;

/// The most tags of one response. One that has more is not stored: a purge by what was left out would miss it.
pub const TAGS: usize = 1024;
/// The longest tag, here and in a purge.
pub const TAG_BYTES: usize = 1024;

/// The fields that hold tags.
const FIELDS: [Known; 2] = [Known::SurrogateKey, Known::CacheTag];

/// The tags of what is stored, as often as they stand there.
pub fn tags(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    fields
        .iter()
        .filter(|field| FIELDS.contains(&field.known))
        .flat_map(|field| split(field.value))
}

/// Whether a response can be tagged whole.
pub(crate) fn check_tags(response: &ResponseHead) -> Result<(), NotStored> {
    let mut count = 0_usize;
    for known in FIELDS {
        for tag in response.all(known).flat_map(split) {
            count += 1;
            if count > TAGS || tag.len() > TAG_BYTES {
                return Err(NotStored::TooManyTags);
            }
        }
    }
    Ok(())
}

/// By white space, as in `Surrogate-Key`, and by commas, as in `Cache-Tag`: in either field, since whoever writes `a,b` into
/// the wrong one still means two.
fn split(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(ends_tag).filter(|tag| !tag.is_empty())
}

/// A control character ends a tag too: no purge could name one that holds it.
fn ends_tag(byte: &u8) -> bool {
    matches!(byte, 0..=b' ' | b',' | 0x7f)
}

pub(super) fn is_tag(text: &[u8]) -> bool {
    !text.is_empty() && !text.iter().any(ends_tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mangrove_http::{HeadLimits, Method, Version};

    fn of(lines: &[(&str, &str)]) -> Vec<String> {
        let lines = lines
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let fields: Fields = lines.collect();
        let text = |tag: &[u8]| String::from_utf8(tag.to_vec()).unwrap();
        tags(&fields).map(text).collect()
    }

    #[test]
    fn both_fields_are_read_whichever_way_they_are_separated() {
        let found = of(&[
            ("Surrogate-Key", "front  article-7\tArticle-7"),
            ("X-Other", "not-this"),
            ("cache-tag", "a, b ,,c"),
            ("cache-tag", "d e"),
        ]);
        assert_eq!(
            found,
            ["front", "article-7", "Article-7", "a", "b", "c", "d", "e"]
        );
        assert!(of(&[("Surrogate-Key", " ,\t")]).is_empty());
    }

    #[test]
    fn one_tag_too_many_or_one_byte_too_long_cannot_be_tagged() {
        let check = |fields: &[(&str, String)]| {
            let mut head = ResponseHead::new();
            head.begin(Version::Http11, 200);
            for (name, value) in fields {
                head.push_field(name.as_bytes(), value.as_bytes());
            }
            head.finish(&HeadLimits::CEILING, Method::Get).unwrap();
            check_tags(&head)
        };
        let many = |count: usize| vec!["t"; count].join(" ");
        assert!(check(&[("surrogate-key", many(TAGS))]).is_ok());
        let over = check(&[("surrogate-key", many(TAGS)), ("cache-tag", "t".into())]);
        assert_eq!(over, Err(NotStored::TooManyTags));
        assert!(check(&[("cache-tag", "x".repeat(TAG_BYTES))]).is_ok());
        let long = check(&[("cache-tag", "x".repeat(TAG_BYTES + 1))]);
        assert_eq!(long, Err(NotStored::TooManyTags));
    }
}
