use super::*;

#[test]
fn chunks_and_trailers() {
    let input = b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\nHost: x\r\n\r\nGET";
    let mut decoder = BodyDecoder::for_request(BodyFraming::Chunked);
    let (mut rest, mut data) = (&input[..], Vec::new());
    loop {
        match decoder.decode(rest).unwrap() {
            Decoded::Data { range } => {
                data.extend_from_slice(&rest[range.clone()]);
                rest = &rest[range.end..];
            }
            Decoded::End { consumed } => {
                rest = &rest[consumed..];
                break;
            }
            Decoded::NeedMore { .. } => panic!("all of it is there"),
        }
    }
    assert_eq!((data.as_slice(), rest), (&b"hello!"[..], &b"GET"[..]));
    let names: Vec<_> = decoder
        .trailers()
        .fields()
        .map(|field| field.name)
        .collect();
    assert_eq!(names, [b"X-Sum"]);
}

#[test]
fn chunk_heads() {
    let mut out = [0; CHUNK_HEAD_BYTES];
    assert_eq!(chunk_head(1, &mut out), b"1\r\n");
    assert_eq!(chunk_head(0xab0, &mut out), b"ab0\r\n");
    assert_eq!(chunk_head(usize::MAX, &mut out), b"ffffffffffffffff\r\n");
}
