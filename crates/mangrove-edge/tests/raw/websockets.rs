//! WebSockets: what their clients send is passed on as it is, as long as it is a WebSocket, within its limits, and not silent.

use std::net::IpAddr;

use mangrove_edge::reason::EdgeReason;

use crate::origin::Visit;
use crate::world::{ATTACKER, BYSTANDER, Client, World, eventually};

/// A whole message of text (RFC 6455 section 5.2).
pub(crate) const TEXT: u8 = 0x81;
/// The first fragment of one.
const FRAGMENT: u8 = 0x01;
/// One that goes on.
const MORE: u8 = 0x00;
const PING: u8 = 0x89;

/// A client's frame; its mask changes nothing.
pub(crate) fn frame(first: u8, text: &str) -> Vec<u8> {
    let mut frame = vec![first];
    match text.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// How a client asks for one (RFC 6455 section 1.3).
pub(crate) const ASKS: &str = "GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// One that is open, and the origin's end of it.
pub(crate) struct Open {
    client: Client,
    origin: Visit,
    id: String,
}

pub(crate) fn open(world: &World, from: IpAddr) -> Open {
    let mut client = world.client_from(from);
    client.send(ASKS);
    let mut origin = world.origin.accept();
    origin.head();
    origin.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    );
    let head = client.head();
    assert_eq!(head.status(), 101);
    let id = head.field("x-request-id").unwrap().to_owned();
    Open { client, origin, id }
}

impl Open {
    pub(crate) fn carries(&mut self, message: &[u8]) {
        self.client.send(message);
        assert_eq!(self.origin.take(message.len()), message);
    }

    /// It is over on both sides, by this name and no other; nothing of what was too much has reached the origin.
    fn ends_as(mut self, world: &World, reason: EdgeReason) {
        self.client.ends();
        assert_eq!(self.origin.rest().0, "");
        let record = world.record_with_id(&self.id);
        assert_eq!(record["reason"], reason.name());
        assert_eq!(record["http.response.status_code"], 101);
        assert_eq!(record["fault"], "visitor");
    }
}

#[test]
fn a_message_longer_than_allowed_ends_its_websocket_and_no_other() {
    let world = World::with("limits.websocket_message_bytes = '2KiB'", "");
    let mut bystander = open(&world, BYSTANDER);
    let full = "x".repeat(2_048);
    bystander.carries(&frame(TEXT, &full));

    let mut attacker = open(&world, ATTACKER);
    attacker.carries(&frame(TEXT, &full));
    attacker.client.send(frame(TEXT, &(full.clone() + "x")));
    attacker.ends_as(&world, EdgeReason::WebSocketMessageTooLong);

    let mut attacker = open(&world, ATTACKER);
    attacker.carries(&frame(FRAGMENT, &full));
    attacker.carries(&frame(PING, "still there?"));
    attacker.client.send(frame(MORE, "x"));
    attacker.ends_as(&world, EdgeReason::WebSocketMessageTooLong);

    bystander.carries(&frame(TEXT, &full));
    assert_eq!(world.counted(EdgeReason::WebSocketMessageTooLong), 2);
}

#[test]
fn frames_without_end_end_their_websocket() {
    let world = World::with("limits.websocket_frames = 5", "");
    let mut bystander = open(&world, BYSTANDER);
    let mut attacker = open(&world, ATTACKER);
    // Ten seconds' worth, and one more than time may have brought since.
    attacker.carries(&frame(PING, "").repeat(50));
    attacker.client.send(frame(PING, "").repeat(200));
    attacker.ends_as(&world, EdgeReason::WebSocketFlood);
    bystander.carries(&frame(TEXT, "hello"));
    assert_eq!(world.counted(EdgeReason::WebSocketFlood), 1);
}

#[test]
fn what_is_no_websocket_is_not_carried_as_one() {
    let world = World::new();
    let mut bystander = open(&world, BYSTANDER);
    let mut unmasked = frame(TEXT, "hello");
    unmasked[1] &= 0x7f;
    for bytes in [
        unmasked,
        frame(MORE, "of nothing"),
        frame(0x8b, ""),
        b"GET / HTTP/1.1\r\n".to_vec(),
    ] {
        let mut attacker = open(&world, ATTACKER);
        attacker.client.send(bytes);
        attacker.ends_as(&world, EdgeReason::WebSocketMalformed);
    }
    bystander.carries(&frame(TEXT, "hello"));
}

#[test]
fn silent_websockets_are_gone_by_their_deadline() {
    const SILENT: u64 = 50;
    let world = World::with("limits.upgrade_idle = '2s'", "");
    let mut bystander = open(&world, BYSTANDER);
    let silent: Vec<Open> = (0..SILENT).map(|_| open(&world, ATTACKER)).collect();
    eventually("the silent are gone", || {
        bystander.carries(&frame(PING, ""));
        (world.connections() == 1).then_some(())
    });
    assert_eq!(world.counts(EdgeReason::UpgradeIdle, SILENT), SILENT);
    bystander.carries(&frame(TEXT, "hello"));
    drop(silent);
}
