use super::*;

#[test]
fn an_answer() {
    let mut head = ResponseHead::new();
    head.octets_mut()
        .extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(
        head.parse_h1(&HeadLimits::default(), Method::Get),
        Ok(Some(38))
    );
    assert_eq!(
        (head.status(), head.framing()),
        (200, ResponseFraming::Length(5))
    );
}
