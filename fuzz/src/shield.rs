//! What the shield reads of clients.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a target tells what it found by panicking, and the campaign catches it"
)]

use mangrove_shield::ja4::{Fingerprint, LENGTH, NoFingerprint};

use crate::mutate::Grammar;
use crate::targets::Target;

pub(crate) const TARGETS: [Target; 1] = [Target {
    name: "ja4",
    about: "a fingerprint has one form, and depends on the first whole message alone",
    grammar: CLIENT_HELLO,
    run: ja4,
}];

/// Small greetings whose lengths fit when nothing stands between; mutations of captured ones come from the corpus.
const CLIENT_HELLO: Grammar = Grammar {
    first: &[
        "\x16\x03\x01\0\x2d\x01\0\0\x29\x03\x03rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr\0\0\x02\x13\x01\x01\0",
        "\x16\x03\x01\0\x04\x01\0\0\x01",
        "\x16\x03\x01\0\x01\x01\x16\x03\x01\0\x03\0\0\x10",
        "\x16\x03\x01\0",
    ],
    then: &[
        "\0\0\0\0",
        "\0\x2b\0\x03\x02\x03\x04",
        "\0\x0d\0\x04\0\x02\x04\x03",
        "\0\x10\0\x05\0\x03\x02h2",
        "\x0a\x0a\0\0",
        "\x16\x03\x03\0\x01",
    ],
    last: &["", "\0", "\x14\x03\x03\0\x01\x01"],
};

fn ja4(input: &[u8]) {
    let verdict = Fingerprint::of(input);
    match verdict {
        Ok(Fingerprint { ja4, stable }) => {
            for name in [ja4, stable] {
                assert_eq!(name.as_str().len(), LENGTH);
                assert!(
                    name.as_str()
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'_')
                );
            }
            assert_eq!(&stable.as_str()[8..10], "00", "a protocol is not stable");
            assert_eq!(ja4.as_str()[..6], stable.as_str()[..6]);
            assert_eq!(ja4.as_str()[10..23], stable.as_str()[10..23]);
        }
        // Only what ends too early can become something else.
        Err(NoFingerprint::Unfinished) => return,
        Err(_) => {}
    }
    assert_eq!(Fingerprint::of(&[input, b"more"].concat()), verdict);
}
