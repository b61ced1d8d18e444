use super::*;

fn parse(text: &str) -> Result<RequestHead, Refusal> {
    let mut head = RequestHead::new();
    head.octets_mut().extend_from_slice(text.as_bytes());
    assert!(head.parse_h1(&HeadLimits::default())?.is_some());
    Ok(head)
}

#[test]
fn absolute_form() {
    let head = parse("GET http://A.example:80/x?y HTTP/1.1\r\nHost: a.example\r\nConnection: x-mine, close\r\nX-Mine: 1\r\n\r\n").unwrap();
    assert_eq!(
        (head.authority(), head.host(), head.port()),
        (&b"A.example:80"[..], &b"A.example"[..], Some(80))
    );
    assert_eq!((head.path(), head.query()), (&b"/x"[..], Some(&b"y"[..])));
    assert!(!head.persistent());
    let kept: Vec<_> = head
        .fields()
        .filter(|field| !head.is_hop_by_hop(field))
        .map(|field| field.known)
        .collect();
    assert_eq!(kept, [Known::Host]);
}

#[test]
fn http2() {
    let mut head = RequestHead::new();
    head.begin_h2();
    head.h2_method(b"GET");
    head.h2_scheme(b"https");
    head.h2_authority(b"a.example");
    head.h2_path(b"/");
    head.push_field(b"cookie", b"a=1");
    head.push_field(b"accept", b"*/*");
    head.push_field(b"cookie", b"b=2");
    head.h2_end_stream();
    head.finish_h2(&HeadLimits::default()).unwrap();
    assert_eq!(head.field(Known::Cookie), Some(&b"a=1; b=2"[..]));
    assert_eq!(
        (head.fields().count(), head.host(), head.framing()),
        (2, &b"a.example"[..], BodyFraming::None)
    );
}
