use super::*;

#[test]
fn a_switch_says_to_what() {
    let mut head = ResponseHead::new();
    head.octets_mut().extend_from_slice(
        b"HTTP/1.1 101 \r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00",
    );
    let length = head
        .parse_h1(&HeadLimits::default(), Method::Get)
        .unwrap()
        .unwrap();
    assert_eq!(
        (head.upgrade(), head.is_interim()),
        (Some(&b"websocket"[..]), false)
    );
    assert_eq!(
        &head.octets()[length..],
        b"\x81\x00",
        "what follows is no longer HTTP"
    );
}

#[test]
fn a_fault_stays_until_the_head_is_cleared() {
    let mut head = ResponseHead::new();
    head.octets_mut()
        .extend_from_slice(b"HTTP/1.1 200 OK\nServer: x\r\n\r\n");
    assert_eq!(
        head.parse_h1(&HeadLimits::default(), Method::Get),
        Err(OriginFault::BareLf)
    );
    head.octets_mut()
        .extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(
        head.parse_h1(&HeadLimits::default(), Method::Get),
        Err(OriginFault::BareLf)
    );
}
