//! Which fields tell of the client, and which of the request.

use mangrove_http::Known;

/// Fields that one client sends with some requests and not with others, or that somebody on the way adds.
const CHANGING: &[Known] = &[
    // What it was given before.
    Known::Cookie,
    Known::Authorization,
    Known::ProxyAuthorization,
    // What it keeps already, and whether its person asked for it to be loaded anew.
    Known::IfMatch,
    Known::IfNoneMatch,
    Known::IfModifiedSince,
    Known::IfUnmodifiedSince,
    Known::IfRange,
    Known::Range,
    Known::CacheControl,
    Known::Pragma,
    // What it sends. Fields that begin with `content-` and have no number are looked at by name.
    Known::ContentType,
    Known::ContentLength,
    Known::ContentEncoding,
    Known::ContentLanguage,
    Known::ContentLocation,
    Known::ContentRange,
    Known::ContentMd5,
    Known::ContentDisposition,
    Known::TransferEncoding,
    Known::Trailer,
    Known::Expect,
    // Where it was before, and whether it wants a page, a picture, a script, or what a script wants.
    Known::Referer,
    Known::Origin,
    Known::UpgradeInsecureRequests,
    Known::SecFetchUser,
    Known::SecPurpose,
    Known::XRequestedWith,
    Known::Priority,
    // A WebSocket, or an offer that is made once on a connection.
    Known::Upgrade,
    Known::Http2Settings,
    Known::SecWebSocketKey,
    Known::SecWebSocketVersion,
    Known::SecWebSocketProtocol,
    Known::SecWebSocketExtensions,
    // What proxies add.
    Known::Via,
    Known::Forwarded,
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedPort,
    Known::XForwardedProto,
    Known::XRealIp,
    Known::XRequestId,
    Known::CdnLoop,
    Known::TraceParent,
    Known::TraceState,
    Known::MaxForwards,
    Known::EarlyData,
];

/// A bit for each of [`CHANGING`].
#[allow(clippy::indexing_slicing)] // runs while compiling, where a panic is an error message
const CHANGING_BITS: [u64; 2] = {
    let mut bits = [0; 2];
    let mut at = 0;
    while at < CHANGING.len() {
        let number = CHANGING[at] as usize;
        bits[number / 64] |= 1 << (number % 64);
        at += 1;
    }
    bits
};

const _: () = assert!(
    (Known::Other as usize) < 128,
    "there is a bit for every name"
);

/// Whether a field says something of the client that sends it.
#[inline]
pub(super) fn tells(known: Known, name: &[u8]) -> bool {
    if known == Known::Other {
        return !is_about_content(name);
    }
    let number = known as usize;
    let bits = CHANGING_BITS.get(number / 64).copied().unwrap_or(0);
    bits >> (number % 64) & 1 == 0
}

fn is_about_content(name: &[u8]) -> bool {
    const START: &[u8] = b"content-";
    matches!(name, [b'c' | b'C', ..])
        && name
            .get(..START.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(START))
}
