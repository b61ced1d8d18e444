//! What holds for every hello, and for every string of bytes.

use mangrove_shield::ja4::{Fingerprint, LENGTH};
use proptest::prelude::*;

use crate::hello::{Hello, protocols, records};

/// RFC 8701 section 2.
fn grease() -> impl Strategy<Value = u16> {
    (0u16..16).prop_map(|n| n * 0x1010 + 0x0a0a)
}

fn hello() -> impl Strategy<Value = Hello> {
    let numbers = |most| proptest::collection::vec(1u16..0x0a00, 0..most);
    (
        numbers(30),
        proptest::collection::btree_set(0u16..60, 0..20),
        numbers(10),
    )
        .prop_map(|(ciphers, extensions, signatures)| {
            let extensions: Vec<u16> = extensions.into_iter().collect();
            Hello::listing(&ciphers, &extensions, &signatures)
        })
}

fn of(hello: &Hello) -> Fingerprint {
    Fingerprint::of(&hello.record()).unwrap()
}

proptest! {
    #[test]
    fn the_order_of_ciphers_and_extensions_never_matters(
        (hello, shuffled) in hello().prop_flat_map(|hello| {
            let ciphers = Just(hello.ciphers.clone()).prop_shuffle();
            let extensions = Just(hello.extensions.clone()).prop_shuffle();
            let version = hello.version;
            let shuffled = (ciphers, extensions).prop_map(move |(ciphers, extensions)| Hello { version, ciphers, extensions });
            (Just(hello), shuffled)
        }),
    ) {
        prop_assert_eq!(of(&hello), of(&shuffled));
    }

    #[test]
    fn grease_never_matters(hello in hello(), cipher in grease(), extension in grease(), at: proptest::sample::Index) {
        let mut greased = hello.clone();
        greased.ciphers.insert(at.index(hello.ciphers.len() + 1), cipher);
        greased.extensions.insert(at.index(hello.extensions.len() + 1), (extension, vec![0]));
        prop_assert_eq!(of(&hello), of(&greased));
    }

    #[test]
    fn what_comes_and_goes_with_resumption_and_protocol_leaves_the_stable_form(
        hello in hello(),
        changing in proptest::sample::subsequence(vec![16u16, 21, 35, 41, 42], 0..=5),
    ) {
        let mut other = hello.clone();
        other.extensions.retain(|(kind, _)| ![16, 21, 35, 41, 42].contains(kind));
        other.extensions.extend(changing.iter().map(|&kind| match kind {
            16 => (16, protocols(&["http/1.1"])),
            _ => (kind, vec![1; 3]),
        }));
        prop_assert_eq!(of(&hello).stable, of(&other).stable);
    }

    #[test]
    fn fragments_of_any_size_and_what_follows_change_nothing(hello in hello(), most in 1usize..300, after: Vec<u8>) {
        let mut bytes = records(&hello.message(), most);
        bytes.extend(after);
        prop_assert_eq!(Fingerprint::of(&bytes), Ok(of(&hello)));
    }

    #[test]
    fn a_name_has_one_form(hello in hello()) {
        let Fingerprint { ja4, stable } = of(&hello);
        for name in [ja4, stable] {
            prop_assert_eq!(name.as_str().len(), LENGTH);
            prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Fingerprint::of(&bytes);
    }

    #[test]
    fn no_change_of_a_hello_makes_it_panic(hello in hello(), changes: Vec<(proptest::sample::Index, u8)>) {
        let mut bytes = hello.record();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = Fingerprint::of(&bytes);
    }
}
