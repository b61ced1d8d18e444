//! Frames as clients send them, and as none does.

use proptest::prelude::*;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let one = |(number, value): &(u16, u32)| {
        let [a, b] = number.to_be_bytes();
        let [c, d, e, f] = value.to_be_bytes();
        [a, b, c, d, e, f]
    };
    frame(
        SETTINGS_FRAME,
        0,
        0,
        settings.iter().map(one).collect::<Vec<_>>().as_flattened(),
    )
}

fn window(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

fn priority(stream: u32, depends_on: u32, weight: u8) -> Vec<u8> {
    let mut payload = depends_on.to_be_bytes().to_vec();
    payload.push(weight - 1);
    frame(PRIORITY, 0, stream, &payload)
}

/// GET https://a/ with the fields in this order, each in its shortest form.
fn request(order: &str) -> Vec<u8> {
    let field = |letter| match letter {
        'm' => &b"\x82"[..],
        'a' => b"\x41\x01a",
        's' => b"\x87",
        'p' => b"\x84",
        other => panic!("{other}"),
    };
    let mut block: Vec<u8> = order.chars().flat_map(field).copied().collect();
    block.extend(b"\x7a\x01x"); // user-agent, with a value
    frame(HEADERS, END_HEADERS, 1, &block)
}

/// What is told of a client that sends these frames.
fn told(frames: &[Vec<u8>]) -> String {
    let mut opening = Opening::default();
    opening.read(PREFACE);
    let last = frames.len() - 1;
    for (at, frame) in frames.iter().enumerate() {
        assert_eq!(opening.read(frame), at == last, "frame {at}");
    }
    opening.to_string()
}

/// With one whole request behind these settings and the rest, which is in one block.
fn told_of_block(flags: u8, payload: &[u8]) -> String {
    told(&[settings(&[]), frame(HEADERS, flags, 1, payload)])
}

#[test]
fn software_has_the_text_that_others_give_it() {
    let chrome = [
        settings(&[(1, 65_536), (2, 0), (4, 6_291_456), (6, 262_144)]),
        window(0, 15_663_105),
        request("masp"),
    ];
    assert_eq!(
        told(&chrome),
        "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p"
    );
    // Of 2017, when it still built a tree of priorities.
    let firefox = [
        settings(&[(1, 65_536), (4, 131_072), (5, 16_384)]),
        window(0, 12_517_377),
        priority(3, 0, 201),
        priority(5, 0, 101),
        priority(7, 0, 1),
        priority(9, 7, 1),
        priority(11, 3, 1),
        priority(13, 0, 241),
        request("mpas"),
    ];
    assert_eq!(
        told(&firefox),
        "1:65536;4:131072;5:16384|12517377|3:0:0:201,5:0:0:101,7:0:0:1,9:0:7:1,11:0:3:1,13:0:0:241|m,p,a,s"
    );
}

#[test]
fn what_is_not_sent_is_told_too() {
    assert_eq!(told(&[settings(&[]), request("mspa")]), "|00|0|m,s,p,a");
    assert_eq!(told_of_block(END_HEADERS, b"\x7a\x01x"), "|00|0|");
    assert_eq!(told_of_block(END_HEADERS, b""), "|00|0|");
}

#[test]
fn only_the_first_of_each_counts_and_what_comes_behind_the_request_does_not() {
    let mut opening = Opening::default();
    let sent = [
        PREFACE.to_vec(),
        settings(&[(4, 1)]),
        frame(SETTINGS_FRAME, ACK, 0, b""),
        frame(6, 0, 0, &[0; 8]), // PING
        settings(&[(4, 2)]),
        window(1, 7),
        window(0, 8),
        window(0, 9),
        request("mp"),
        priority(3, 1, 9),
        request("as"),
    ];
    assert!(opening.read(&sent.concat()));
    assert_eq!(opening.to_string(), "4:1|8|0|m,p");
    assert_eq!(opening.order().letters(), b"mp");
}

#[test]
fn an_exclusive_priority_and_one_on_the_request_itself() {
    let sent = [
        settings(&[]),
        priority(3, 1 << 31 | 5, 9),
        frame(
            HEADERS,
            END_HEADERS | PRIORITISED | PADDED,
            1,
            b"\x03\x80\0\0\0\xff\x82\x84\x82\x82\x82",
        ),
    ];
    // Padding is no field, whatever it looks like.
    assert_eq!(told(&sent), "|00|3:1:5:9|m,p");
}

#[test]
fn settings_drawn_by_lot_are_left_out() {
    let sent = [
        settings(&[(1, 2), (0x3a3a, 77), (0x0a0a, 1), (0x3a4a, 5)]),
        request("m"),
    ];
    assert_eq!(told(&sent), "1:2;14922:5|00|0|m");
}

#[test]
fn one_setting_too_many_is_only_marked() {
    let many = |count: usize| -> String {
        let all: Vec<_> = (1..=count)
            .map(|n| (u16::try_from(n).unwrap(), 0))
            .collect();
        told(&[settings(&all), request("m")])
    };
    let whole = many(SETTINGS);
    assert!(whole.starts_with("1:0;") && whole.ends_with(";16:0|00|0|m"));
    assert_eq!(many(SETTINGS + 1), whole.replace("|00|", ";+|00|"));
}

#[test]
fn one_priority_too_many_is_only_marked() {
    let many = |count: u32| -> String {
        let mut sent = vec![settings(&[])];
        sent.extend((0..count).map(|n| priority(2 * n + 3, 0, 1)));
        sent.push(request("m"));
        told(&sent)
    };
    let most = u32::try_from(PRIORITIES).unwrap();
    let whole = many(most);
    assert!(whole.ends_with(",17:0:0:1|m"), "{whole}");
    assert_eq!(many(most + 1), whole.replace("|m", ",+|m"));
}

/// The codes of names are those that other implementations write.
#[test]
fn names_may_be_written_out_with_or_without_their_code() {
    for (plain, coded) in [
        (&b":method"[..], &b"\xb9\x49\x53\x39\xe4"[..]),
        (b":authority", b"\xb8\x3b\x53\x39\xec\x32\x7d\x7f"),
        (b":scheme", b"\xb8\x82\x4e\x5a\x4b"),
        (b":path", b"\xb9\x58\xd3\x3f"),
        (b":protocol", b"\xb9\x5d\x87\x49\xc8\x7a\x3f"),
    ] {
        let letter = match plain[1..3] {
            [b'p', b'r'] => String::new(),
            [letter, _] => char::from(letter).to_string(),
            _ => panic!(),
        };
        let mut texts = Vec::new();
        for (name, mark) in [(plain, 0), (coded, 0x80)] {
            for first in [0x40, 0x10, 0] {
                let mut block = vec![first, u8::try_from(name.len()).unwrap() | mark];
                block.extend(name);
                block.extend(b"\x02xx\x7a\x01x");
                texts.push(told_of_block(END_HEADERS, &block));
            }
        }
        let expected = format!("|00|0|{letter}");
        assert!(texts.iter().all(|text| *text == expected), "{texts:?}");
    }
    // One bit beside a code, and one octet more than any name has.
    assert_eq!(
        told_of_block(END_HEADERS, b"\0\x84\xb9\x58\xd3\x3e\0"),
        "|00|0|"
    );
    assert_eq!(told_of_block(END_HEADERS, b"\0\x0b:authorityx\0"), "|00|0|");
}

#[test]
fn values_and_sizes_of_the_table_are_passed_over_however_long() {
    let long = |octets: usize| {
        let mut block = b"\x3f\xe1\x1f\x20\x82\x44\x7f".to_vec(); // two sizes, :method, and :path with a long value
        let mut rest = octets - 127;
        while rest >= 128 {
            block.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        block.push(u8::try_from(rest).unwrap());
        block.extend(vec![0x82; octets]);
        block.extend(b"\x41\0\x87\x7a\x01x");
        block
    };
    for octets in [127, 128, 254, 255, 256, 8_192, 16_000] {
        assert_eq!(told_of_block(END_HEADERS, &long(octets)), "|00|0|m,p,a,s");
    }
    // In as many frames as it takes.
    let block = long(8_192);
    let (first, rest) = block.split_at(5_000);
    let sent = [
        settings(&[]),
        frame(HEADERS, 0, 1, first),
        frame(CONTINUATION, END_HEADERS, 1, rest),
    ];
    assert_eq!(told(&sent), "|00|0|m,p,a,s");
    // A length that no section has ends the reading.
    let endless = [&b"\x82\x44\x7f"[..], &[0xff; 40]].concat();
    assert_eq!(told_of_block(0, &endless), "|00|0|m,p");
}

proptest! {
    #[test]
    fn the_text_is_the_same_in_whatever_pieces_it_comes(
        told in proptest::collection::vec((any::<u16>(), any::<u32>()), 0..20),
        more: u32,
        order in Just("masp".chars().collect::<Vec<_>>()).prop_shuffle(),
        cuts in proptest::collection::vec(1_usize..30, 1..20),
    ) {
        let order: String = order.into_iter().collect();
        let sent = [PREFACE.to_vec(), settings(&told), window(0, more), request(&order)].concat();
        let mut whole = Opening::default();
        prop_assert!(whole.read(&sent));
        let (mut pieces, mut rest) = (Opening::default(), &sent[..]);
        for cut in cuts.iter().cycle() {
            let (piece, later) = rest.split_at((*cut).min(rest.len()));
            pieces.read(piece);
            rest = later;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(pieces.to_string(), whole.to_string());
        let letters = whole.order();
        prop_assert_eq!(letters.letters(), order.as_bytes());
    }

    #[test]
    fn no_bytes_make_it_panic_or_tell_without_end(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut opening = Opening::default();
        opening.read(PREFACE);
        opening.read(&bytes);
        prop_assert!(opening.to_string().len() <= 600);
    }
}
