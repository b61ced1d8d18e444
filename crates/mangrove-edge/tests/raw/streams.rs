//! HTTP/2 with a well-behaved client: trailers, interim responses and WebSocket, end to end.

use std::future::Future;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, Response};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use crate::websockets::{TEXT, frame};
use crate::wire::PATIENCE;
use crate::world::World;

/// A client of the `h2` crate whose connection is driven by a thread of its own.
struct Browser {
    send: SendRequest<Bytes>,
    runtime: Runtime,
}

impl Browser {
    fn of(world: &World) -> Self {
        let (own, driver) = (runtime(), runtime());
        let (send, connection) = driver.block_on(async {
            let stream = TcpStream::connect(world.address()).await.unwrap();
            h2::client::handshake(stream).await.unwrap()
        });
        std::thread::spawn(move || driver.block_on(connection));
        Self { send, runtime: own }
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        let in_time = async { tokio::time::timeout(PATIENCE, work).await };
        self.runtime
            .block_on(in_time)
            .expect("the edge did not answer")
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://a.example{path}"))
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn body_of(response: &mut Response<h2::RecvStream>) -> (Vec<u8>, Option<HeaderMap>) {
    let stream = response.body_mut();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.unwrap();
        stream.flow_control().release_capacity(chunk.len()).unwrap();
        body.extend_from_slice(&chunk);
    }
    (body, stream.trailers().await.unwrap())
}

#[test]
fn trailers_pass_both_ways() {
    let world = World::new();
    let mut browser = Browser::of(&world);
    let request = browser.request(Method::POST, "/").header("te", "trailers");
    let (response, mut up) = browser
        .send
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    up.send_data(Bytes::from_static(b"question"), false)
        .unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-up", "1".parse().unwrap());
    up.send_trailers(trailers).unwrap();

    let mut origin = world.origin.accept();
    assert_eq!(origin.head().field("te"), Some("trailers"));
    assert_eq!(
        origin.chunked(),
        ("question".to_owned(), vec!["x-up: 1".to_owned()])
    );
    origin.send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nanswer\r\n0\r\n\
         grpc-status: 0\r\ncontent-length: 7\r\nset-cookie: a=b\r\n\r\n",
    );
    let (body, trailers) = browser.wait(async { body_of(&mut response.await.unwrap()).await });
    assert_eq!(body, b"answer");
    let trailers = trailers.unwrap();
    assert_eq!(
        (trailers.len(), &trailers["grpc-status"]),
        (1, &"0".parse().unwrap())
    );
}

#[test]
fn early_hints_come_before_the_answer() {
    let world = World::new();
    let mut browser = Browser::of(&world);
    let request = browser.request(Method::GET, "/").body(()).unwrap();
    let (mut response, _) = browser.send.send_request(request, true).unwrap();
    let mut origin = world.origin.accept();
    origin.head();
    origin.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\n\r\n");
    let early = browser.wait(std::future::poll_fn(|cx| response.poll_informational(cx)));
    let early = early.unwrap().unwrap();
    assert_eq!(
        (early.status().as_u16(), &early.headers()["link"]),
        (103, &"</a.css>".parse().unwrap())
    );
    assert!(early.headers().get("connection").is_none());
    origin.answer("fine");
    let (body, _) = browser.wait(async { body_of(&mut response.await.unwrap()).await });
    assert_eq!(body, b"fine");
}

/// RFC 8441: the stream becomes a tunnel to an origin that speaks RFC 6455.
#[test]
fn a_websocket_inside_a_stream_reaches_an_origin_that_knows_only_http_1() {
    let world = World::new();
    let mut browser = Browser::of(&world);
    browser.send = browser.wait(browser.send.clone().ready()).unwrap();
    let mut request = browser
        .request(Method::CONNECT, "/chat")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "talk")
        .body(())
        .unwrap();
    request
        .extensions_mut()
        .insert(h2::ext::Protocol::from_static("websocket"));
    let (response, mut up) = browser.send.send_request(request, false).unwrap();

    let mut origin = world.origin.accept();
    let head = origin.head();
    assert_eq!(head.first_line(), "GET /chat HTTP/1.1");
    assert_eq!(
        (head.field("upgrade"), head.field("connection")),
        (Some("websocket"), Some("upgrade"))
    );
    assert!(head.all("transfer-encoding").is_empty() && head.all("content-length").is_empty());
    let accept =
        mangrove_http::websocket::accept(head.field("sec-websocket-key").unwrap().as_bytes());
    let accept = String::from_utf8(accept.to_vec()).unwrap();
    origin.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: talk\r\n\r\nhello"
    ));
    let mut response = browser.wait(response).unwrap();
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["sec-websocket-protocol"]
        ),
        (200, &"talk".parse().unwrap())
    );
    assert!(response.headers().get("sec-websocket-accept").is_none());
    let ping = frame(TEXT, "ping");
    up.send_data(Bytes::from(ping.clone()), false).unwrap();
    assert_eq!(origin.take(ping.len()), ping);
    origin.send(" pong");
    drop(origin);
    let (body, _) = browser.wait(body_of(&mut response));
    assert_eq!(body, b"hello pong");
}

#[test]
fn a_websocket_whose_origin_answers_with_a_wrong_key_is_refused() {
    let world = World::new();
    let mut browser = Browser::of(&world);
    browser.send = browser.wait(browser.send.clone().ready()).unwrap();
    let request = browser
        .request(Method::CONNECT, "/chat")
        .header("sec-websocket-version", "13");
    let mut request = request.body(()).unwrap();
    request
        .extensions_mut()
        .insert(h2::ext::Protocol::from_static("websocket"));
    let (response, _up) = browser.send.send_request(request, false).unwrap();
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
    );
    assert_eq!(browser.wait(response).unwrap().status(), 502);
    origin.ends();
}
