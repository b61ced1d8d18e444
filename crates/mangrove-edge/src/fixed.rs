//! Limits of the edge that no setting moves: the second half of `docs/limits.md`.
//!
//! Each stands where it is obeyed; this is the one list of them, and a test finds what is missing from it.

use std::fmt::{self, Write};
use std::time::Duration;

use mangrove_shield::protocol::Kind;

use crate::{
    accept, admin, allocator, body, cache, ceiling, closing, compress, core, edge, handover,
    history, http1, http2, log, origin, outgoing, pages, pipeline, standing, tcp, tls, traits,
    tunnel, uptake, wheel,
};

/// How much a fixed limit is, with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Shown in milliseconds, seconds, minutes or hours.
    Time(Duration),
    /// Shown in bytes, KiB or MiB.
    Bytes(u64),
    /// So many of what the row says.
    Count(u64),
}

/// A limit that no setting moves.
#[derive(Clone, Copy, Debug)]
pub struct Fixed {
    /// Where it stands: file and constant, as paths in this crate are written.
    pub name: &'static str,
    /// How much.
    pub amount: Amount,
    /// What it is for, and why it is no more and no less.
    pub why: &'static str,
}

macro_rules! fixed {
    ($($unit:ident $module:ident $(:: $name:ident)+: $why:literal;)+) => {
        /// All of them, in the order of a request's life.
        pub const FIXED: &[Fixed] = &[$(Fixed {
            name: concat!(stringify!($module), $("::", stringify!($name)),+),
            amount: fixed!(@$unit $module $(:: $name)+),
            why: $why,
        },)+];
    };
    (@time $path:path) => { Amount::Time($path) };
    (@seconds $path:path) => { Amount::Time(Duration::from_secs($path as u64)) };
    (@bytes $path:path) => { Amount::Bytes($path as u64) };
    (@count $path:path) => { Amount::Count($path as u64) };
}

fixed! {
    // Before the first byte of HTTP.
    time accept::BREATH: "How long a core that ran out of descriptors leaves its queue alone: trying again at once would burn it for nothing.";
    count accept::register::SAMPLE: "Connections looked at to find who goes first when there is no room: near enough to the first of all, at a cost that a flood cannot raise. An address that holds half of all is missed once in 65,536 times.";
    time accept::register::SLOW_AFTER: "Where there is no room and nobody is idle, a connection may be cut in the middle of a request whose client was waited for so long in all,";
    bytes accept::register::MOVES_WELL: "and has moved less than this each second meanwhile: less than the slowest mobile network carries.";
    count accept::EXEMPT_BEYOND: "Connections of exempt clients beyond `connections` where nobody may make room: an operator gets in also when all others are busy.";
    count ceiling::OWED_BY_A_CORE: "Connections that other cores may have asked one core to close, at a time: so many beyond `connections` the process may hold per core, for a turn of the clock.";
    bytes accept::UNSENT_BYTES: "What the kernel takes of an answer beyond what is under way to the client. Without it megabytes are taken for one that reads nothing.";
    bytes tcp::TAKES_MUCH_BYTES: "A client that was given so much on one connection takes what it is given: more than all buffers hold of one that reads nothing.";
    bytes tcp::MUCH_UNSENT_BYTES: "What the kernel takes from then on beyond what is under way: a large answer takes few calls.";
    bytes tcp::OVERHEARD_BYTES: "Of what a client sends while it shakes hands, what is kept for its fingerprint. One that greets with more has none.";
    count tls::line::EACH_TURN: "TLS handshakes that a core begins before everything else that is ready has had its turn: about a millisecond's work.";
    count tls::line::ROW: "TLS handshakes that wait for their turn on one core: so many of networks that have had no more than their share, and as many others. One more is refused.";
    count tls::line::SHARE_A_SECOND: "Handshakes of one address, each second, that are its share; a /24 has four times as many, a /16 sixteen times. While there is room it is only counted.";
    count tls::line::SHARE_AT_ONCE: "And so many at once: a browser opens six connections to each host of a page, and an office comes back from lunch.";
    count tls::line::LAST_EVERY: "Where handshakes wait, one in so many turns is of those who have had more than their share: they are late, and not shut out.";
    time tls::line::TOLD_EVERY: "How often a core writes a line about TLS handshakes that it refuses; all of them are counted.";
    bytes core::HEAD_READ_BYTES: "One read of a head, and of the bytes that show which protocol is spoken: nearly every head fits in.";
    bytes core::READ_BYTES: "One read of a body: a body of 1 MiB takes few calls.";
    bytes body::CHUNK_BYTES: "The largest piece of a body that is handed on at once.";
    // HTTP/1.
    time http1::client::LAST_CALL: "While the edge drains, how long an idle connection may still send one request: it gets an orderly close, not one that crosses it.";
    time http1::client::HALF_CLOSED: "A client that has closed for sending may be gone or only done asking; it is given so long for each next piece of its answer.";
    bytes http1::client::SKIP_BYTES: "Of a body that nobody wants, what is read to save the connection; a longer one costs more than a new connection.";
    bytes http1::client::INTERIM_BYTES: "Interim responses waiting to go out; what does not fit is left out.";
    bytes outgoing::COPY_BYTES: "A chunk up to this is copied behind the head: one plain write is cheaper than a gathered one.";
    time closing::LINGER: "How long a connection that is closing may take to read our last words.";
    bytes closing::LINGER_BYTES: "What is read and thrown away meanwhile; whoever sends on is reset.";
    // HTTP/2.
    bytes http2::STREAM_WINDOW: "What a client may send ahead on one stream: a round trip of 10 ms at 100 Mbit/s.";
    count http2::SEND_SHARE: "What one stream's answer may take of `connection_buffer_bytes` while it waits for its turn: one part in so many.";
    count http2::REMEMBERED_RESETS: "Streams that ended by a reset of ours and are remembered for a moment, since their client may not know yet.";
    count http2::RESETS_BEFORE_SERVED: "Streams that a client may reset before they are taken up, at one time; one more is a flood (CVE-2023-44487), and the connection ends.";
    count http2::STREAMS_REFUSED: "Malformed streams that one connection is forgiven; one more, and it ends.";
    count http2::tap::OPENED_KEPT: "Streams that were opened and not yet taken up, as the edge remembers them to name what becomes of them.";
    count http2::tap::ANSWERED_KEPT: "Streams of one connection that were answered to their end and are remembered, since to reset those is free: more than are answered within a round trip.";
    count http2::tap::RESETS_KEPT: "Streams that were reset, as the edge remembers them for the same.";
    count http2::windows::WINDOWS_KEPT: "Streams that are not over, of which a connection remembers whether their client opened their windows: as many as `h2_streams` may be.";
    bytes http2::send::TINY_PIECE_BYTES: "A piece of an answer that has less though there is more, because the client's window takes no more. Two in a row are a sign; the budget is below.";
    bytes http2::ahead::PROCESS_BYTES: "What answers may hold for all HTTP/2 clients before each goes on in small pieces, as one connection's do from `connection_buffer_bytes` on.";
    bytes http2::ahead::SMALL_PIECE_BYTES: "Such a piece: what is taken from the origin, and given to the client, at once. What fits into one frame.";
    count http2::opening::SETTINGS_TOLD: "Settings of a client that its fingerprint tells, in their order: twice as many as any is known to send. One more is only marked.";
    count http2::opening::PRIORITIES_TOLD: "Priorities before its first request that its fingerprint tells; one more is only marked.";
    time http2::LINGER: "How long a stream is kept after its answer while its client still sends: some clients lose an answer that comes with a reset.";
    time http2::GOAWAY_HEARD: "How long a connection without streams stays after GOAWAY, to hear it (RFC 9113 section 6.8).";
    // The shield.
    time standing::LOOK_AGAIN: "How long a connection's client is taken to stand with the operator as he was found to, while nothing more is said.";
    bytes traits::PATH_BYTES: "Of a path, what is looked at for its shape.";
    count traits::SEGMENTS: "Segments that the shape of a path tells; one more is only marked.";
    bytes traits::EXTENSION_BYTES: "The longest extension of a file that the shape of its path tells; what is longer is part of the name.";
    bytes traits::QUERY_BYTES: "Of a query, what is looked at to count its parameters and what is in their values.";
    // WebSockets.
    time tunnel::watch::FRAMES_AT_ONCE: "So much of `websocket_frames` may come at once: who was away for a moment sends what has gathered.";
    // Slow readers.
    time uptake::LOOK: "The longest between two looks at a waiting client's socket, and so how much later than its deadline it may be found silent.";
    count uptake::LOOKS: "Looks until a deadline that is short.";
    bytes uptake::WORTH_A_LOOK: "A connection that was given less in all has left nothing behind that matters.";
    // The cache.
    count cache::FILLS_SHARE: "Of that, what answers on their way may take before they are kept: one part in so many.";
    count cache::WASTE_SHARE: "Of that, what the allocator may hold beyond what it was asked for before it costs content: one part in so many.";
    count cache::FRONT_SLOTS: "Objects that a core finds without asking what all cores share.";
    bytes cache::disk::WHOLE_BYTES: "Content on the disk comes into memory whole up to this; what is larger is read from there by each answer.";
    bytes cache::disk::SPOOLED_BYTES: "Content of so much and more goes to the disk as it comes, where there is one, and is not held in memory; less where cache_memory is under 256 MiB: a sixteenth of that.";
    bytes cache::reading::DISK_PIECE_BYTES: "What an answer takes from the disk at once: so much memory each that is read from there holds.";
    bytes tcp::FILE_WINDOW_BYTES: "What a connection that has not taken much yet is offered of a file at once.";
    bytes cache::kept_body::FROM_FILE_BYTES: "So much in one piece is sent from the disk's file, on connections without TLS of HTTP/1, even where memory has it.";
    bytes cache::kept_body::POURED_BYTES: "Of what is rarely asked for, an answer of which no more than this is left is read past the kernel's memory. For more the kernel reads ahead in large pages, which is less work.";
    seconds mangrove_store::REMEMBERED_SECONDS: "When a chunk on the disk was in the kernel's memory, or was asked for without being there, is remembered for so long: what comes back sooner is worth that memory.";
    seconds mangrove_store::SEEN_WHOLE_SECONDS: "A chunk that was there as a whole so long ago, and of which a part is seen now, is remembered for that part alone.";
    count mangrove_store::REMEMBERED_CHUNKS: "And of so many chunks; another takes the place of one of them.";
    seconds mangrove_store::REGAINED_SECONDS: "Once the kernel was seen to keep things for less than that, it is taken to keep them twice as long after so long without a sign.";
    count mangrove_store::PIPES: "Pipes for what is read past the kernel's memory. What a visitor who is slow leaves in one stays there; others then do without.";
    bytes mangrove_store::PIPE_BYTES: "What one holds: the kernel gives more to root alone.";
    bytes cache::resident::RESIDENT_EVERY: "Before a file is sent from, the first byte, the last, and one in so many are asked for: is it in the kernel's memory?";
    bytes cache::resident::FOLLOWS_BYTES: "What lies no further behind what was there just now is asked for at its end alone: the kernel reads, and forgets, in order.";
    time cache::resident::RESIDENT_FOR: "What was there is not asked for again for so long: the kernel lets go first of what was not wanted in longer.";
    count cache::resident::RESIDENT_PIECES: "Pieces of files that a core has seen there of late.";
    time cache::kept_body::DISK_BEHIND: "Where more wait for the disk than may, how long it is before an answer asks again.";
    time pipeline::parts::SPOOL_PATIENCE: "An answer that goes to the disk as it comes is held up by a disk that is behind, so long with each MiB; a slower disk does not get it.";
    bytes cache::parts::AHEAD_BYTES: "What comes to go to the disk may be so far ahead of whoever reads furthest, who may leave or look elsewhere.";
    bytes cache::parts::SOON_BYTES: "Whoever wants what will come behind no more than this waits for it; for what is further away the origin is asked.";
    count cache::parts::RUNS: "Answers of origins on their way into one object at a time, one for each place that is read of it. Who wants one more waits for one of them, or asks as he came.";
    count cache::parts::TRIES: "How often one reader asks for the same byte.";
    count cache::parts::FAILURES: "Of one object, the failed ones that are remembered: who waited for the same does not ask again.";
    count cache::parts::held::HELD_SHARE: "What was let go of and is still read may take one part in so many of the disk; what is over it is asked for again, where it can be.";
    bytes pipeline::parts::WORTH_CHUNKS_BYTES: "Where so much or more is wanted of an object and some of it is missing on the disk, that is asked for in whole chunks, at most eight times as much; for less the origin is asked as the visitor asked.";
    time pipeline::parts::WRITTEN_WITHIN: "When all of an answer has come, how long it is found although the disk has yet to write the end.";
    count cache::disk::QUEUE_SHARE: "Of cache_memory, what may wait for the disk: one part in so many,";
    bytes cache::disk::QUEUE_LEAST: "but at least so much,";
    bytes cache::disk::QUEUE_MOST: "and at most so much.";
    time cache::disk::durable::DURABLE_WAIT: "How long whoever purges waits for the disk; what was purged is not served meanwhile.";
    time pipeline::from_disk::DISK_WAIT: "How long a request waits for the disk before it asks the origin.";
    time edge::STORE_OPEN: "How long an edge that begins waits for the disk before it accepts visitors all the same.";
    time edge::STORE_CLOSE: "How long an edge that ends waits for the disk to take what it was given.";
    time edge::STORE_WATCH: "How often the disk tier is looked after: opened once no other edge has it, and its troubles told.";
    count cache::disk::PURGES_AHEAD: "Purges remembered while an edge that ends still has the store; with one more, all of its site counts as purged.";
    bytes cache::disk::COMPACT_BYTES: "The journal of purges is looked through for what later ones say as well once it has so much, and then each time it has twice what was left.";
    bytes cache::disk::FOLD_BYTES: "Past this, what the journal has of each site becomes one purge of all of it: more than was asked, never less.";
    count cache::SWEPT_PLACES: "Places of that front looked through for what is gone, each turn of the clock.";
    count cache::GONE_SHARE: "Where what is gone, and still held by somebody, has more than one part in so many of the ceiling, a core lets go of all of it at once.";
    count cache::LEDGER_ENTRIES: "Filters of purges remembered, of all sites together, in some 4 MiB; with one more, the older half of those of the site that has most become one about all of that site.";
    count cache::sweep::STEP_PLACES: "Places of the memory that are looked through at once for what was purged.";
    time cache::sweep::STEP_REST: "The rest between two such looks: a million URLs take some ten seconds, and a tenth of the keeper's time.";
    time cache::sweep::ROUND_REST: "The rest between two rounds, so that many purges are one round.";
    count cache::LOOK_SHARE: "Of that, how much content comes until is looked again what the allocator holds beyond what it was asked for: one part in so many.";
    time allocator::PAGES_KEPT: "How long the allocator keeps free pages, in case they are wanted again; while content comes and they are too many they go back at once.";
    time allocator::LOOK: "The longest until that is looked at again.";
    count cache::fill::SHARDS: "Tables of answers on their way, each with its own lock.";
    bytes cache::fill::PIECE_BYTES: "What of an origin's answer is taken at once.";
    bytes cache::fill::WINDOW_BYTES: "Of an answer that will not be kept, how far its fastest reader may be ahead of the slowest.";
    bytes cache::fill::FINISH_BYTES: "An answer that nobody waits for any more is fetched to its end if no more than this is missing.";
    time pipeline::cached::COLLAPSED_WAIT: "How long a request waits for the head of another's answer before it asks for itself.";
    time pipeline::cached::UNCOLLAPSIBLE: "How long nobody waits for another's fetch of what was of no use to those who waited.";
    count pipeline::cached::LOOKS: "How often a request looks again before it asks for itself.";
    count pipeline::cached::TRIES: "Failures of other requests that a request lives through.";
    // Compression.
    count compress::pool::QUEUE_JOBS: "Contents that wait to be coded; with one more it stays as it is.";
    bytes compress::pool::QUEUE_BYTES: "What waits or is being coded. A larger content is taken on when there is nothing else.";
    count compress::pool::CORES_PER_THREAD: "Cores to which one thread for coding is given.";
    count compress::pool::STAND_BACK: "How much these threads stand back for the cores, as `nice` counts.";
    bytes compress::encode::STEP_BYTES: "Content between two looks at whether the work is still wanted.";
    count compress::encode::SAVED_PART: "What a coded form must save to be worth its memory: one byte in so many.";
    count compress::encode::BROTLI_WINDOW: "The logarithm of brotli's window: 4 MiB, the default of its format.";
    count compress::encode::ZSTD_WINDOW: "The logarithm of the window that a client must have for zstd: 8 MiB (RFC 9659 section 3).";
    bytes compress::encode::BROTLI_BUFFER: "What brotli gives at once.";
    // Origins.
    count origin::upstreams::KEPT_PER_ORIGIN: "Idle connections kept to one origin on one core, whatever the settings allow in use.";
    count origin::pool::MAX_MEMBERS: "Addresses of one site's origins on one core; more are left out, and counted.";
    count origin::pool::OFFERS: "Waiters that a free place is offered to, in order, when the first have tried that member already.";
    time origin::pool::TRIAL_EVERY: "While every member is down, one request in this time is let through as a trial.";
    time origin::pool::EVIDENCE_FOR: "How long a visitor's success stands against a failed check.";
    count origin::budget::SAVED_RETRIES: "Unused retries saved up: a blip's worth. What a quiet day did not use is no right to a storm.";
    count origin::breaker::WINDOW_SECONDS: "Seconds of results that a breaker looks back on.";
    count origin::breaker::LONGEST_OPEN_DOUBLINGS: "How often a breaker's open time is doubled while its trials fail.";
    time origin::http1::CONTINUE_PATIENCE: "How long an origin may take to say `100 (Continue)` before the body is sent all the same (RFC 9110 section 10.1.1).";
    bytes origin::http2::STREAM_WINDOW: "What an origin may send ahead on one HTTP/2 stream.";
    bytes origin::http2::CONNECTION_WINDOW: "What it may send ahead on one HTTP/2 connection, all streams together.";
    count origin::resolve::MAX_ADDRESSES: "Addresses kept of one name.";
    count origin::resolve::MAX_NAMES: "Names watched at once.";
    count origin::resolve::LOOKUPS_AT_ONCE: "Lookups under way at once: each may hold a thread inside the system's resolver.";
    time origin::resolve::LOOKUP_DEADLINE: "A lookup has failed after this long.";
    time origin::resolve::REFRESH: "How soon a name is asked for again when the answer does not say how long it holds.";
    time origin::resolve::SHORTEST_TTL: "A shorter time to live is taken as this long.";
    time origin::resolve::LONGEST_TTL: "A longer time to live is taken as this long.";
    time origin::resolve::FIRST_PAUSE: "How soon a lookup that failed is tried again; doubled while it fails.";
    // TLS.
    count tls::server::TLS13_TICKETS: "Tickets given in one handshake: browsers may open two connections before either has brought a new one.";
    count tls::origin::MAX_SESSIONS: "Sessions with origins remembered for resumption; beyond it the oldest name is forgotten.";
    seconds tls::ticket_ring::SEALS_FOR: "How long one key seals session tickets.";
    seconds tls::ticket_ring::OPENS_FOR: "How long it opens them, from its first sealing.";
    seconds tls::ticket_ring::LEAD: "How long before it seals a key is made, so that every process knows it.";
    count tls::ticket_ring::MAX_KEYS: "Ticket keys held or read; beyond it the oldest go.";
    bytes tls::pair::MAX_FILE_BYTES: "A certificate, key or bundle file; what is larger is the wrong file.";
    count tls::pair::MAX_CHAIN: "Certificates in one chain, which every full handshake carries.";
    bytes tls::pair::MAX_STAPLE_BYTES: "An OCSP response, which every full handshake carries.";
    seconds tls::self_signed::VALID_FOR: "How long a self-signed certificate is valid: the longest that every browser takes is 398 days.";
    seconds tls::self_signed::BACKDATED: "How far it reaches back, for clients whose clocks are behind.";
    seconds tls::self_signed::RENEWED_BEFORE: "With less than this left it is made anew.";
    count tls::self_signed::MAX_NAMES: "Hosts named in it, which every full handshake carries.";
    bytes tls::self_signed::MAX_KEY_BYTES: "Its key file.";
    // The log and the pages.
    bytes log::LINE_BYTES: "A line of the access log.";
    bytes log::FIELD_BYTES: "Of one text field (path, query, user agent, referer), what is written; longer ones are cut.";
    bytes log::BATCH_BYTES: "A core's batch of lines, handed to the writer when it is full or its clock turns.";
    count log::SPARE_BATCHES: "Empty batches that are kept to be filled again.";
    count log::QUEUE_MESSAGES: "Batches waiting for the writer, beside the ceiling in bytes.";
    bytes pages::error::HOST_SHOWN: "Of a host, what a page shows (RFC 1035 section 2.3.4).";
    bytes pages::error::NAME_SHOWN: "Of a reason or request id, what a page shows.";
    bytes pages::error::EXPLAIN_SHOWN: "Of an explanation, what a page shows.";
    bytes pages::sample::SHOWN: "Of a value, what the sample site shows.";
    // The process.
    time wheel::TICK: "How often deadlines are looked at, and so how late one may fire.";
    count wheel::SLOTS: "Turns of the wheel after which every timer was looked at.";
    count wheel::SPARES: "Spare timers kept by one core.";
    count core::SPARES: "Spare heads and buffers kept by one core, of each kind.";
    bytes core::SPARE_BYTES: "The largest spare buffer; what has grown past it goes back to the allocator.";
    time edge::STALLED: "A core that has not turned its clock for so long is stalled, and another accepts in its place.";
    time edge::WATCH: "How often that is looked at.";
    time edge::CERTIFICATE_WATCH: "How often certificate files are looked at, and ticket keys turned.";
    time edge::APPLY_PATIENCE: "How long a core may take to swap a snapshot before the order is answered with an error.";
    bytes admin::ORDER_BYTES: "The body of an operator's order.";
    bytes admin::TARGET_BYTES: "The target of an operator's request: the longest URL to look up, each byte percent-encoded.";
    bytes admin::HEAD_BYTES: "The head of an operator's request.";
    bytes edge::parameters::URL_BYTES: "A URL that an operator looks up or purges: the longest target that can be allowed, with scheme and host.";
    count edge::list_door::LIST_URLS: "Places of the cache looked at together when it is listed, and URLs on a page; between two such looks others have it.";
    count edge::list_door::LIST_PAGES: "The most such looks for one page of the list.";
    time edge::list_door::DISK_PAGE: "How long heads are read from the disk for one page of its list; whoever asks goes on with the next.";
    time cache::disk::told::LOOK_PATIENCE: "How long an operator's look waits for one head on the disk.";
    count edge::cache_door::SITES_NAMED: "Sites named to an operator who mistyped one.";
    time edge::cache_door::FRONT_PATIENCE: "How long a core may take to tell of its own front before its numbers are left out.";
    time edge::cache_door::TELLING: "How long the scan after a start goes on before an operator is told how long it will.";
    count history::MINUTES: "Minutes of what was asked that an edge remembers, in some 140 KiB; with one more, the oldest is forgotten.";
    count edge::purge_door::PURGE_FILTERS: "URLs, prefixes, hosts or tags of one order to purge.";
    count standing::TOLD_OF: "Visitors behind listed proxies whom a core remembers to have noted as recent clients this minute; whoever is not among them is noted again, for the price of a lock.";
    count standing::HELD: "Clients that an operator is told of as held back by rate limits; where there are more, those refused least often are left out.";
    count standing::ORDERS: "Orders by hand at one time, of all sites; one more is refused until another is removed or has expired.";
    count standing::CLIENTS_SAMPLED: "Clients of a site that are remembered from ten minutes, to tell how many an order would touch; of more, a share of 5 % is told with a standard error of 1.4 points.";
    count standing::SITES_SAMPLED: "Sites whose clients are remembered; where there are more, an order for another waits for a second owner.";
    time edge::orders::ORDER_PATIENCE: "How long an order waits for the disk before it is said not to be there. It holds all the same.";
    time edge::orders::ORDERS_WATCH: "How often an edge looks for orders that another edge of its state folder was given.";
    bytes edge::orders::FILE_BYTES: "The file of orders; a larger one was not written by us.";
    time edge::operators::LOGGED_IN: "How long the shield leaves an address alone from which the operator's token was shown.";
    count edge::operators::OPERATORS: "Such addresses at one time; with one more, whoever has shown it longest ago is a visitor like any other.";
    count edge::explain::TAGS_TOLD: "Tags of one variant that an operator is told of.";
    count edge::explain::VARIANTS_TOLD: "Variants of one URL that an operator is told of; the rest are counted.";
    bytes edge::explain::VALUE_TOLD: "Of a field's value, what an operator is shown.";
    time admin::EXCHANGE: "An operator's exchange, from its first byte to its last.";
    count admin::AT_ONCE: "Operators' exchanges at one time; more wait to be accepted.";
    count handover::BATCH_FDS: "Descriptors in one message between processes; Linux refuses more than 253.";
    count handover::PARCEL_FDS: "Listening sockets handed over at once: 128 addresses on 64 cores.";
    bytes handover::NOTE_BYTES: "The note beside them.";
    time handover::PATIENCE: "How long either process waits for the other at one step.";
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TIMES: &[(u64, &str)] = &[(3_600_000, "h"), (60_000, "min"), (1_000, "s")];
        const SIZES: &[(u64, &str)] = &[(1 << 20, "MiB"), (1 << 10, "KiB")];
        let (n, units, smallest) = match *self {
            Self::Time(time) => (
                u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
                TIMES,
                " ms",
            ),
            Self::Bytes(bytes) => (bytes, SIZES, " B"),
            Self::Count(count) => (count, &[][..], ""),
        };
        match units.iter().find(|(size, _)| n > 0 && n % size == 0) {
            Some((size, unit)) => write!(f, "{} {unit}", n / size),
            None => write!(f, "{n}{smallest}"),
        }
    }
}

/// The heading under which `docs/limits.md` lists them, behind what `mangrove-config` writes.
pub const HEADING: &str = "## Fixed in the edge";

/// The part of `docs/limits.md` from [`HEADING`] on.
pub fn fixed_markdown() -> String {
    let mut page = format!(
        "{HEADING}\n\nGenerated from `crates/mangrove-edge/src/fixed.rs`; each stands where it is obeyed.\n\n\
         | where | limit | reason |\n|---|---|---|\n"
    );
    for fixed in FIXED {
        let Fixed { name, amount, why } = fixed;
        let _ = writeln!(page, "| `{name}` | {amount} | {why} |"); // a String takes everything
    }
    page.push_str(
        "\n### What an HTTP/2 client may send beside its requests, on one connection\n\n\
         Generated from `crates/mangrove-shield/src/protocol.rs`. One more than this ends the connection with ENHANCE_YOUR_CALM.\n\n\
         | what | at once | each second | each request | each piece of an answer | at most | reason |\n|---|---|---|---|---|---|---|\n",
    );
    for kind in Kind::ALL {
        let budget = kind.budget();
        let _ = writeln!(
            page,
            "| `{kind:?}` | {} | {} | {} | {} | {} | {} |",
            budget.burst,
            budget.per_second,
            budget.per_request,
            budget.per_piece,
            budget.most,
            budget.why
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    /// Numbers that limit nothing: a file, or a constant in it.
    const NO_LIMITS: &[(&str, &str)] = &[
        ("cache::parts::FIRST", "the number of the first run"),
        ("pages::error::UTC_BYTES", "the form of a time"),
        ("cache::disk::CODABLE", "the form of our own file"),
        ("cache::disk::located::UNKNOWN", "a state"),
        ("cache::disk::located::SENDS_PARTS", "a state"),
        ("cache::disk::located::SENDS_NO_PARTS", "a state"),
        ("tls::der", "what DER writes"),
        ("tls::staple::GOOD", "what OCSP writes"),
        ("tls::ticket_ring::ID_LEN", "the form of our own file"),
        ("tls::ticket_ring::SECRET_LEN", "the form of our own file"),
        ("tls::ticket_ring::VERSION", "the form of our own file"),
        ("tls::ticket_ring::HEAD_LEN", "the form of our own file"),
        ("tls::ticket_ring::ENTRY_LEN", "the form of our own file"),
        ("tls::ticket_ring::CHECKSUM_LEN", "the form of our own file"),
        ("tls::ticket_ring::MAX_FILE_LEN", "follows from MAX_KEYS"),
        ("tls::self_signed::DAY", "a unit"),
        ("sock_diag", "what the kernel writes"),
        ("cache::object::BLOCK_BYTES", "what an allocator adds"),
        ("cache::parts::CHUNK", "is CHUNK_BYTES"),
        ("http2::tap::END_STREAM_OR_ACK", "the form of a frame"),
        ("http2::tap::HEAD_BYTES", "the form of a frame"),
        ("http2::tap::START_BYTES", "the form of a frame"),
        ("http2::tap::PREFACE_BYTES", "the form of a preface"),
        (
            "http2::windows::INITIAL_WINDOW_SIZE",
            "the number of a setting",
        ),
        ("http2::windows::USUAL", "what RFC 9113 says"),
        ("http2::windows::SETTING_BYTES", "the form of a frame"),
        ("ceiling::NOBODY", "a mark"),
        ("standing::OF_NOTE", "a mark"),
        ("standing::NEXT", "a mark"),
        ("uptake::FIN", "what the kernel counts"),
        ("wheel::TICK_MS", "is TICK"),
        ("wheel::NEVER", "a mark"),
        ("wheel::UNFILED", "a mark"),
        ("origin::budget::ONE_RETRY", "a unit"),
        ("origin::pool::member::WEIGHT_UNIT", "a unit"),
        ("history::STEP", "a unit"),
        (
            "edge::history_door::USUAL",
            "what is told unless asked otherwise",
        ),
        ("metrics::STATUSES", "what statuses there are"),
        ("pages::error::END_OF_9999", "the calendar's"),
    ];

    fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            match name {
                _ if path.is_dir() => sources(&path, into),
                "tests.rs" | "testing.rs" | "error_tests.rs" => {}
                _ if name.ends_with(".rs") => into.push(path),
                _ => {}
            }
        }
    }

    /// Every constant at the top of a file that is a number or a time, as `module::NAME`.
    fn constants() -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        sources(&root, &mut files);
        let mut found = Vec::new();
        for file in files {
            let module = file.strip_prefix(&root).unwrap().with_extension("");
            let module = module.to_str().unwrap().replace('/', "::");
            let module = module.trim_end_matches("::mod").to_owned();
            let text = std::fs::read_to_string(&file).unwrap();
            let tests = text.find("#[cfg(test)]\nmod tests {");
            for line in text[..tests.unwrap_or(text.len())].lines() {
                let line = line
                    .strip_prefix("pub(crate) ")
                    .or_else(|| line.strip_prefix("pub(super) "))
                    .or_else(|| line.strip_prefix("pub "))
                    .unwrap_or(line);
                let declared = line.strip_prefix("const ").and_then(|l| l.split_once(": "));
                if let Some((name, kind)) = declared
                    && !name.contains(' ')
                    && [
                        "Duration",
                        "std::time",
                        "usize",
                        "u64",
                        "u32",
                        "u16",
                        "u8",
                        "i32",
                    ]
                    .iter()
                    .any(|number| kind.starts_with(number))
                {
                    found.push(format!("{module}::{name}"));
                }
            }
        }
        found
    }

    #[test]
    fn every_number_in_the_edge_is_in_the_table_or_limits_nothing() {
        let constants = constants();
        assert!(constants.len() > FIXED.len(), "{constants:?}");
        let rows = FIXED.iter().map(|fixed| fixed.name);
        // Those of the store are there, or this would not compile; which of its numbers a visitor or an operator notices is said there.
        let mut rows: Vec<&str> = rows
            .filter(|row| !row.starts_with("mangrove_store::"))
            .collect();
        for constant in &constants {
            let limits_nothing = NO_LIMITS
                .iter()
                .any(|(name, _)| constant == name || constant.starts_with(&format!("{name}::")));
            match rows.iter().position(|row| row == constant) {
                Some(at) => {
                    assert!(!limits_nothing, "{constant} is in both lists");
                    rows.remove(at);
                }
                None => assert!(
                    limits_nothing,
                    "{constant} is a number without a reason: add a row to FIXED, which becomes a line of docs/limits.md, \
                     or to NO_LIMITS here"
                ),
            }
        }
        assert!(rows.is_empty(), "rows without a constant: {rows:?}");
    }

    #[test]
    fn amounts_are_shown_in_the_largest_whole_unit() {
        let shown = |amount: Amount| amount.to_string();
        assert_eq!(shown(Amount::Time(Duration::from_millis(1_500))), "1500 ms");
        assert_eq!(shown(Amount::Time(Duration::from_secs(90))), "90 s");
        assert_eq!(shown(Amount::Time(Duration::from_secs(7_200))), "2 h");
        assert_eq!(shown(Amount::Bytes(1 << 20)), "1 MiB");
        assert_eq!(shown(Amount::Bytes(1_000)), "1000 B");
        assert_eq!(shown(Amount::Count(64)), "64");
        assert_eq!(shown(Amount::Bytes(0)), "0 B");
    }

    /// The committed page says what the table says. `MANGROVE_WRITE_DOCS=1` writes it anew.
    #[test]
    fn the_page_of_limits_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/limits.md");
        let page = std::fs::read_to_string(&path).unwrap();
        let at = page.find(HEADING).unwrap_or(page.len());
        let settings = page[..at].trim_end();
        if std::env::var_os("MANGROVE_WRITE_DOCS").is_some() {
            std::fs::write(&path, format!("{settings}\n\n{}", fixed_markdown())).unwrap();
            return;
        }
        assert!(
            page[at..] == fixed_markdown(),
            "docs/limits.md is out of date: run this test with MANGROVE_WRITE_DOCS=1"
        );
    }
}
