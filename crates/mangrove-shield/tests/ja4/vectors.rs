//! Names that others have published, and what has none.

use mangrove_shield::ja4::{Fingerprint, HELLO_BYTES, NoFingerprint};

use crate::hello::{Hello, records};

const CIPHERS: [u16; 15] = [
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
    0x009d, 0x002f, 0x0035,
];
const SIGNATURES: [u16; 8] = [
    0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
];

fn ja4(hello: &Hello) -> String {
    Fingerprint::of(&hello.record()).unwrap().ja4.to_string()
}

/// The example of the specification, and two releases of Chromium since.
#[test]
fn browsers_have_the_names_that_others_give_them() {
    let of = |extensions: &[u16]| ja4(&Hello::listing(&CIPHERS, extensions, &SIGNATURES));
    assert_eq!(
        of(&[
            0, 23, 65281, 10, 11, 35, 16, 5, 13, 18, 51, 45, 43, 27, 0x4469, 21
        ]),
        "t13d1516h2_8daaf6152771_e5627efa2ab1"
    );
    assert_eq!(
        of(&[
            0xfe0d, 51, 65281, 23, 27, 10, 0, 16, 5, 43, 45, 18, 11, 0x4469, 13, 35
        ]),
        "t13d1516h2_8daaf6152771_02713d6af862"
    );
    assert_eq!(
        of(&[
            0xfe0d, 51, 65281, 23, 27, 10, 0, 16, 5, 43, 45, 18, 11, 0x44cd, 13, 35
        ]),
        "t13d1516h2_8daaf6152771_d8a2da3f94cd"
    );
}

#[test]
fn what_is_not_there_is_told_by_zeros() {
    let mut hello = Hello::listing(&[], &[], &[]);
    assert_eq!(ja4(&hello), "t12i000000_000000000000_000000000000");
    hello.version = 0x0301;
    hello.ciphers = vec![0x0a0a];
    hello.extensions = vec![(0x1a1a, vec![0])];
    assert_eq!(ja4(&hello), "t10i000000_000000000000_000000000000");
    hello.version = 0x7f1c;
    assert_eq!(ja4(&hello), "t00i000000_000000000000_000000000000");
}

#[test]
fn what_is_no_client_hello_has_no_fingerprint_and_says_why() {
    use NoFingerprint::{Malformed, NotClientHello, NotHandshake, TooLong, Unfinished};
    let of = |bytes: &[u8]| Fingerprint::of(bytes).unwrap_err();
    let whole = Hello::listing(&CIPHERS, &[0, 13, 16, 43], &SIGNATURES).record();
    assert_eq!(of(b""), Unfinished);
    assert_eq!(of(&whole[..whole.len() - 1]), Unfinished);
    assert_eq!(of(b"PRI * HTTP/2.0\r\n\r\n"), NotHandshake);
    assert_eq!(of(b"\x80\x2e\x01\x03\x01"), NotHandshake); // SSL 2
    assert_eq!(of(b"\x16\x03\x01\0\x04\x02\0\0\0"), NotClientHello);
    assert_eq!(of(b"\x16\x03\x01\0\0"), Malformed); // an empty fragment
    assert_eq!(of(b"\x16\x03\x01\0\x04\x01\0\0\0"), Malformed);
    // Extensions that say they are one byte shorter than they are.
    let mut shorter = Hello::listing(&CIPHERS, &[5], &[]).message();
    let at = shorter.len() - 6;
    shorter[at + 1] -= 1;
    assert_eq!(of(&records(&shorter, usize::MAX)), Malformed);
    let mut odd = Hello::listing(&CIPHERS, &[13], &SIGNATURES);
    odd.extensions[0].1 = vec![0, 3, 4, 3, 8];
    assert_eq!(of(&odd.record()), Malformed);
    let long = |bytes: usize| {
        let mut hello = Hello::listing(&CIPHERS, &[], &[]);
        hello.extensions.push((21, Vec::new()));
        let rest = bytes - (hello.message().len() - 4);
        hello.extensions[0].1 = vec![0; rest];
        records(&hello.message(), usize::MAX)
    };
    assert!(Fingerprint::of(&long(HELLO_BYTES)).is_ok());
    assert_eq!(of(&long(HELLO_BYTES + 1)), TooLong);
}
