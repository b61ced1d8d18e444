//! Smuggling and desynchronisation, shown on raw sockets.
//!
//! Every story has three on stage: a client that writes bytes, a real edge, and an origin that is the test itself. It
//! says what the client sends, what the origin sees of it (or that it sees nothing), and what the client gets.
//!
//! | file | about |
//! |---|---|
//! | `lengths` | where a request's body ends: Content-Length, Transfer-Encoding |
//! | `chunks` | the framing of chunked requests |
//! | `heads` | lines, names, hosts, versions, ceilings |
//! | `pipelining` | requests behind requests |
//! | `expect` | 100-continue |
//! | `websockets` | what a WebSocket may carry, and how long it may be silent |
//! | `forwarding` | which fields and which path an origin sees |
//! | `addresses` | who the visitor is said to be |
//! | `origin_heads`, `origin_bodies` | what an origin says, and what is believed of it |
//! | `reuse` | which connections to an origin are used again |
//! | `cached` | one fetch for many, and nobody gets what is another's |
//! | `operator` | what an operator is told of the cache, and what a purge leaves |
//! | `purged` | what a purge means to visitors, whichever way it was asked for |
//! | `disk` | what outlives the edge, and what is larger than its memory |
//! | `parts` | large answers of which not all is on the disk: who joins them, and which bytes the origin is asked for |
//! | `parts_kept` | who may be answered with such an answer, and what takes the place of what |
//! | `told` | what an operator is told of the disk, and of what was asked over time |
//! | `tls` | who a client is by the way it greets |
//! | `handshakes` | who waits when more TLS handshakes are wanted than can be made |
//! | `traits` | what requests have in common, whatever addresses they come from |
//! | `readers` | whoever takes an answer slowly, or not at all |
//! | `connections` | who makes room where there is none, and that nobody is refused while there is |
//! | `making_room` | that who is slow in the middle of a request makes room where nobody is idle |
//! | `limits` | how much one client may ask for |
//! | `turns` | how a client who asks too much waits for his turn |
//! | `budgets` | how much of its origin a whole site may be made to ask |
//! | `standing` | whom the operator has named: whoever the shield leaves alone |
//! | `orders` | whom the operator keeps out or lets through by hand |
//! | `floods` | clients that make the edge work and ask for nothing |
//! | `attacks` | every family of attack, and the story that shows what becomes of it |
//! | `http2`, `downgrade`, `streams` | the same distrust in HTTP/2, and on its way to an HTTP/1 origin |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a test program: what is not as expected should stop it, and its patience is measured on the real clock"
)]

mod addresses;
mod attacks;
mod budgets;
mod cached;
mod chunks;
mod connections;
mod disk;
mod downgrade;
mod expect;
mod floods;
mod forwarding;
mod frames;
mod handshakes;
mod heads;
mod http2;
mod lengths;
mod limits;
mod making_room;
mod operator;
mod orders;
mod origin;
mod origin_bodies;
mod origin_heads;
mod parts;
mod parts_kept;
mod pipelining;
mod purged;
mod readers;
mod reuse;
mod standing;
mod streams;
mod tls;
mod told;
mod traits;
mod turns;
mod websockets;
mod wire;
mod world;
