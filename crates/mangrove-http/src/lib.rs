//! What HTTP means, for every part of Mangrove.
//!
//! Pure: no sockets, clocks or files. Hostile bytes go in; a message comes out, or a named reason why not. The hot path
//! allocates nothing once its buffers are warm and copies nothing: a head is read where it lies.
//!
//! The flow of a request: the connection reads into [`RequestHead::octets_mut`] and calls [`RequestHead::parse_h1`] until
//! it has a head or a [`Refusal`]; [`BodyDecoder`] finds the data in what follows. An origin's answer takes the same way
//! through [`ResponseHead`], and what is wrong with it is an [`OriginFault`].
//!
//! ```
//! use mangrove_http::{BodyDecoder, Decoded, HeadLimits, Known, Method, Refusal, RequestHead};
//!
//! let mut head = RequestHead::new();
//! head.octets_mut().extend_from_slice(b"POST /comments?page=2 HTTP/1.1\r\nHost: news.example\r\nContent-Length: 5\r\n\r\nhello");
//! let length = head.parse_h1(&HeadLimits::default())?.expect("the whole head is there");
//! assert_eq!((head.method(), head.path(), head.host()), (Method::Post, &b"/comments"[..], &b"news.example"[..]));
//! assert_eq!(head.field(Known::ContentLength), Some(&b"5"[..]));
//!
//! let mut body = BodyDecoder::for_request(head.framing());
//! assert_eq!(body.decode(&head.octets()[length..]), Ok(Decoded::Data { range: 0..5 }));
//! assert!(body.at_end());
//!
//! head.clear();
//! head.octets_mut().extend_from_slice(b"GET / HTTP/1.1\r\nHost : news.example\r\n");
//! assert_eq!(head.parse_h1(&HeadLimits::default()), Err(Refusal::SpaceBeforeColon)); // no need to wait for the rest
//! # Ok::<(), Refusal>(())
//! ```

pub mod accept;
mod body;
pub mod cdn_loop;
mod client;
mod field;
mod host;
mod known;
mod message;
mod origin_fault;
mod path;
mod plain;
pub mod proxy_protocol;
pub mod quoted;
mod refusal;
mod request;
mod response;
mod time;
mod trace_context;
pub mod websocket;
mod words;

pub use body::{
    BodyDecoder, BodyFault, CHUNK_EXTENSION_BYTES, CHUNK_EXTENSIONS_TOTAL, CHUNK_HEAD_BYTES,
    CHUNK_SIZE_DIGITS, Decoded, TRAILER_BYTES, TRAILER_FIELDS, Trailers, chunk_head, write_field,
    write_last_chunk,
};
pub use client::{FORWARDED_ELEMENTS, Prefix, PrefixFault, Prefixes, client_address};
pub use field::{Field, LENGTH_DIGITS, is_token, list, trim};
pub use host::{Authority, HOST_BYTES, HostPattern};
pub use known::Known;
pub use message::{BodyFraming, HeadLimits, METHOD_BYTES, Method, Scheme, Version};
pub use origin_fault::OriginFault;
pub use path::{is_normal, normalize};
pub use refusal::Refusal;
pub use request::{KEPT_OCTETS, RequestHead};
pub use response::{ResponseFraming, ResponseHead};
pub use time::{LAST_DATE_SECS, Moment, UnixMillis, imf_fixdate, parse_http_date};
pub use trace_context::{RequestId, TraceParent};
pub use words::contains;
