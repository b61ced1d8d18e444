//! The deadlines and ceilings of the data plane: nothing a client or an origin can hold is without one.

use std::time::Duration;

use crate::setting::settings;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

settings! {
    /// Deadlines and ceilings, one row each, for every connection of the edge.
    Limits {
        protocol_sniff: Duration = seconds(5), Time 100 ..= 60_000,
            "How long a new connection may take to show which protocol it speaks, its PROXY header included. A client that opens and says nothing is the cheapest flood there is.";
        tls_handshake: Duration = seconds(10), Time 1_000 ..= 60_000,
            "The whole TLS handshake. Handshakes cost the edge more than the client, so one that stalls must end.";
        request_head: Duration = seconds(10), Time 1_000 ..= 120_000,
            "A whole request head, from its first byte to its empty line; counted in total, not per read, so that one byte at a time (Slowloris) gains nothing.";
        request_body_idle: Duration = seconds(30), Time 1_000 ..= 600_000,
            "The longest silence inside a request body.";
        request_body_min_rate: u64 = 240, Rate 1 ..= 1_048_576,
            "The slowest average at which a request body may arrive once `min_rate_grace` has passed: below the slowest modem, above a slow-body attack.";
        response_write_idle: Duration = seconds(30), Time 1_000 ..= 600_000,
            "The longest time a client may keep its response waiting without acknowledging a single byte of it; a slow reader holds memory at the edge and a connection at the origin. What buffers on the way hold does not count (`docs/life-of-a-request.md`).";
        response_min_rate: u64 = 240, Rate 1 ..= 1_048_576,
            "The slowest average at which a client may acknowledge its response once `min_rate_grace` has passed; only time spent waiting for the client counts.";
        min_rate_grace: Duration = seconds(10), Time 1_000 ..= 300_000,
            "How long a body may move before its rate is judged, either way: one lost packet on a bad radio link is not an attack.";
        keep_alive_idle: Duration = seconds(60), Time 1_000 ..= 3_600_000,
            "How long an HTTP/1.1 connection may wait between requests (RFC 9112 section 9.5). It holds no buffer meanwhile.";
        h2_idle: Duration = seconds(60), Time 1_000 ..= 3_600_000,
            "How long an HTTP/2 connection may stay without an open stream before GOAWAY (RFC 9113 section 9.1).";
        upgrade_idle: Duration = seconds(300), Time 1_000 ..= 86_400_000,
            "The longest silence, in both directions together, of an upgraded connection such as a WebSocket.";
        websocket_message_bytes: u64 = 16_777_216, Bytes 1_024 ..= 1_099_511_627_776,
            "A whole message that a WebSocket's client sends, all its fragments together. Above it the WebSocket ends: most servers hold a message whole. What the origin sends is its own affair.";
        websocket_frames: u32 = 1_000, Count 1 ..= 1_000_000,
            "Frames that a WebSocket's client may send each second, pings included; ten seconds' worth at once. Beyond it the WebSocket ends.";
        drain: Duration = seconds(60), Time 0 ..= 60_000,
            "How long an edge that was replaced or told to stop may go on with the requests it has; what is left then is cut and counted.";
        head_bytes: u32 = 32_768, Bytes 4_096 ..= 262_144,
            "A whole request head, request line and fields. Answered with 431 above it (RFC 6585 section 5).";
        head_fields: u32 = 100, Count 16 ..= 1_000,
            "Field lines in a request head. Answered with 431 above it.";
        target_bytes: u32 = 16_384, Bytes 8_000 ..= 65_536,
            "The request target. RFC 9112 section 3 asks for at least 8000; answered with 414 above it.";
        request_body_bytes: u64 = 1_073_741_824, Bytes 1 ..= 1_099_511_627_776,
            "A request body; answered with 413 above it. Bodies are passed on as they arrive, so this protects the origin; a site may set its own.";
        response_head_bytes: u32 = 65_536, Bytes 4_096 ..= 1_048_576,
            "A response head from an origin; one above it is the origin's error and becomes a 502.";
        response_head_fields: u32 = 256, Count 16 ..= 2_000,
            "Field lines in a response head from an origin.";
        interim_responses: u32 = 8, Count 1 ..= 100,
            "Interim (1xx) responses an origin may send before the final one (RFC 9110 section 15.2 sets no end).";
        connection_buffer_bytes: u32 = 262_144, Bytes 65_536 ..= 16_777_216,
            "What one HTTP/2 connection may hold in buffers, each way, every stream of it together; an HTTP/1 connection never holds more than two reads of 64 KiB.";
        connections: u32 = 20_000, Count 16 ..= 1_000_000,
            "Client connections of one edge process. At the ceiling idle ones are closed, so that newcomers are served: first those of the address or network that holds most, and of these the idlest; where nobody is idle, the slowest. Keep LimitNOFILE above twice this.";
        h2_streams: u32 = 100, Count 1 ..= 1_000,
            "Concurrent streams per HTTP/2 connection; RFC 9113 section 6.5.2 recommends no fewer than 100.";
    }
}
