//! A second reading of RFC 9112: whole input only, one character class at a time, copying everything, taking its time.
//!
//! It shares no code with the reader it is compared with. Where that reader is stricter than the RFC on purpose, the
//! function here says so. Limits are those of `HeadLimits::default()` and the constants of the body decoder.

/// What came of reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T> {
    /// Everything so far may be the beginning of a message.
    Incomplete,
    /// No continuation makes this a message.
    Refused(&'static str),
    /// A message, and how many bytes it took.
    Whole(T, usize),
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// No body.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunked.
    Chunked,
    /// Until the connection ends.
    UntilClose,
}

/// A field line: name, value, and whether it is for this connection only.
pub type FieldLine = (Vec<u8>, Vec<u8>, bool);

/// A request head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Vec<u8>,
    /// In origin-form.
    pub target: Vec<u8>,
    /// Host and port as they came; empty in HTTP/1.0 without.
    pub authority: Vec<u8>,
    /// Of HTTP/1.
    pub minor: u8,
    /// All lines.
    pub fields: Vec<FieldLine>,
    /// How long the body is.
    pub body: Body,
    /// Whether the connection goes on.
    pub persistent: bool,
}

/// A response head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Of HTTP/1.
    pub minor: u8,
    /// All lines.
    pub fields: Vec<FieldLine>,
    /// How long the body is.
    pub body: Body,
    /// Whether the connection goes on.
    pub persistent: bool,
}

const HEAD_BYTES: usize = 32 * 1024;
const FIELDS: usize = 100;
const TARGET_BYTES: usize = 8 * 1024;
const METHOD_BYTES: usize = 32;
const FIRST_LINE_BYTES: usize = METHOD_BYTES + 1 + TARGET_BYTES + 1 + 8 + 2;

type Verdict<T> = Result<T, &'static str>;

/// `request-line CRLF *( field-line CRLF ) CRLF`, after at most one empty line.
pub fn request(input: &[u8]) -> Reading<Request> {
    let skipped = if input.starts_with(b"\r\n") { 2 } else { 0 };
    if skipped == 0 && input == b"\r" {
        return Reading::Incomplete;
    }
    match head(input, skipped, Some(FIRST_LINE_BYTES), |line| {
        request_line(line).map(|_| ())
    }) {
        Reading::Incomplete => Reading::Incomplete,
        Reading::Refused(why) => Reading::Refused(why),
        Reading::Whole((first, lines), length) => match settle_request(&first, lines) {
            Ok(request) => Reading::Whole(request, length),
            Err(why) => Reading::Refused(why),
        },
    }
}

/// `status-line CRLF *( field-line CRLF ) CRLF`, answering `method`.
pub fn response(input: &[u8], method: &[u8]) -> Reading<Response> {
    match head(input, 0, None, |line| status_line(line).map(|_| ())) {
        Reading::Incomplete => Reading::Incomplete,
        Reading::Refused(why) => Reading::Refused(why),
        Reading::Whole((first, lines), length) => match settle_response(&first, lines, method) {
            Ok(response) => Reading::Whole(response, length),
            Err(why) => Reading::Refused(why),
        },
    }
}

type Lines = (Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

/// Reads line by line; every line is judged as soon as it is whole, and every character as soon as it is there.
fn head(
    input: &[u8],
    start: usize,
    first_line_bytes: Option<usize>,
    check_first: impl Fn(&[u8]) -> Verdict<()>,
) -> Reading<Lines> {
    let mut first: Option<Vec<u8>> = None;
    let mut fields = Vec::new();
    let mut line = Vec::new();
    let mut at = start;
    loop {
        let first_line_ended = first.is_some();
        if !first_line_ended && first_line_bytes.is_some_and(|most| at - start >= most) {
            return Reading::Refused("first line too long");
        }
        if at >= HEAD_BYTES {
            return Reading::Refused("head too large");
        }
        match (input.get(at), input.get(at + 1)) {
            (None, _) => return Reading::Incomplete,
            (Some(b'\r'), None) => {
                // The line feed would be one byte further, where a limit may lie.
                let beyond = at + 1 >= HEAD_BYTES
                    || (!first_line_ended
                        && first_line_bytes.is_some_and(|most| at + 1 - start >= most));
                return if beyond {
                    Reading::Refused("too long")
                } else {
                    Reading::Incomplete
                };
            }
            (Some(b'\r'), Some(b'\n')) => {
                at += 2;
                if at > HEAD_BYTES
                    || (!first_line_ended && first_line_bytes.is_some_and(|most| at - start > most))
                {
                    return Reading::Refused("too long");
                }
                let text = std::mem::take(&mut line);
                match &first {
                    None => match check_first(&text) {
                        Ok(()) => first = Some(text),
                        Err(why) => return Reading::Refused(why),
                    },
                    Some(first) if text.is_empty() => {
                        return Reading::Whole((first.clone(), fields), at);
                    }
                    Some(_) if fields.len() == FIELDS => {
                        return Reading::Refused("too many fields");
                    }
                    Some(_) => match field_line(&text) {
                        Ok(field) => fields.push(field),
                        Err(why) => return Reading::Refused(why),
                    },
                }
            }
            (Some(b), _) if is_vchar(*b) || is_obs_text(*b) || *b == b' ' || *b == b'\t' => {
                line.push(*b);
                at += 1;
            }
            (Some(_), _) => return Reading::Refused("a control character, bare CR or bare LF"),
        }
    }
}

/// `method SP request-target SP HTTP-version`
fn request_line(line: &[u8]) -> Verdict<(Vec<u8>, Vec<u8>, u8)> {
    let words: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
    let [method, target, version] = words.as_slice() else {
        return Err("not three words");
    };
    let minor = match *version {
        b"HTTP/1.1" => 1,
        b"HTTP/1.0" => 0,
        _ => return Err("version"),
    };
    if !is_token(method) || method.len() > METHOD_BYTES {
        return Err("method");
    }
    // Stricter: CONNECT is not offered.
    if *method == b"CONNECT" {
        return Err("CONNECT");
    }
    // Wider: any visible character but `#`, as browsers send some that RFC 3986 excludes.
    if target.is_empty()
        || target.len() > TARGET_BYTES
        || !target.iter().all(|&b| is_vchar(b) && b != b'#')
    {
        return Err("target");
    }
    split_target(method, target)?;
    Ok((method.to_vec(), target.to_vec(), minor))
}

/// Origin-form, absolute-form of http and https, or `*` with OPTIONS: the default port, the authority and origin-form.
/// Stricter: no query without a path.
fn split_target(method: &[u8], target: &[u8]) -> Verdict<(Option<u16>, Vec<u8>, Vec<u8>)> {
    if target.first() == Some(&b'/') {
        return Ok((None, Vec::new(), target.to_vec()));
    }
    if target == b"*" && method == b"OPTIONS" {
        return Ok((None, Vec::new(), target.to_vec()));
    }
    let lower = target.to_ascii_lowercase();
    let (port, skip) = if lower.starts_with(b"http://") {
        (80, 7)
    } else if lower.starts_with(b"https://") {
        (443, 8)
    } else {
        return Err("form of the target");
    };
    let rest: Vec<u8> = target.iter().skip(skip).copied().collect();
    let authority: Vec<u8> = rest
        .iter()
        .copied()
        .take_while(|&b| b != b'/' && b != b'?')
        .collect();
    let mut path: Vec<u8> = rest.iter().skip(authority.len()).copied().collect();
    if path.first() == Some(&b'?') {
        return Err("query without a path");
    }
    if path.is_empty() {
        path = if method == b"OPTIONS" {
            b"*".to_vec()
        } else {
            b"/".to_vec()
        };
    }
    Ok((Some(port), authority, path))
}

/// `HTTP-version SP status-code [ SP reason-phrase ]`; wider: without a reason its space may be missing.
fn status_line(line: &[u8]) -> Verdict<(u8, u16)> {
    let text: Vec<char> = line.iter().map(|&b| char::from(b)).collect();
    let version: String = text.iter().take(9).collect();
    let minor = match version.as_str() {
        "HTTP/1.1 " => 1,
        "HTTP/1.0 " => 0,
        _ => return Err("version"),
    };
    let digits: String = text.iter().skip(9).take_while(|&&c| c != ' ').collect();
    if digits.len() != 3 || !digits.chars().all(|c| c.is_ascii_digit()) {
        return Err("status");
    }
    match digits.parse() {
        Ok(status @ 100..=599) => Ok((minor, status)),
        _ => Err("status"),
    }
}

/// `field-name ":" OWS field-value OWS`
fn field_line(line: &[u8]) -> Verdict<(Vec<u8>, Vec<u8>)> {
    let colon = line.iter().position(|&b| b == b':').ok_or("no colon")?;
    let name: Vec<u8> = line.iter().take(colon).copied().collect();
    if !is_token(&name) {
        return Err("field name");
    }
    Ok((
        name,
        without_ows(&line.iter().skip(colon + 1).copied().collect::<Vec<_>>()),
    ))
}

fn settle_request(first: &[u8], lines: Vec<(Vec<u8>, Vec<u8>)>) -> Verdict<Request> {
    let (method, target, minor) = request_line(first)?;
    let (default_port, from_target, target) = split_target(&method, &target)?;
    let hosts = values(&lines, "host");
    let authority = match (hosts.as_slice(), default_port) {
        ([], _) if minor == 1 => return Err("no Host"),
        ([], None) => Vec::new(),
        ([], Some(_)) => from_target,
        ([host], None) => host.clone(),
        ([host], Some(port)) => {
            let (named, asked) = (host_and_port(host)?, host_and_port(&from_target)?);
            if named.0 != asked.0 || named.1.unwrap_or(port) != asked.1.unwrap_or(port) {
                return Err("Host and target disagree");
            }
            from_target
        }
        _ => return Err("many Hosts"),
    };
    if !(authority.is_empty() && hosts.is_empty() && default_port.is_none()) {
        host_and_port(&authority)?;
    }
    let body = match framing(&lines, minor)? {
        None => Body::None,
        Some(body) => body,
    };
    let (nominated, persistent) = connection(&lines, minor, false)?;
    if minor == 1
        && values(&lines, "expect")
            .iter()
            .any(|value| !value.eq_ignore_ascii_case(b"100-continue"))
    {
        return Err("Expect");
    }
    Ok(Request {
        method,
        target,
        authority,
        minor,
        fields: marked(lines, &nominated),
        body,
        persistent,
    })
}

fn settle_response(
    first: &[u8],
    lines: Vec<(Vec<u8>, Vec<u8>)>,
    method: &[u8],
) -> Verdict<Response> {
    let (minor, status) = status_line(first)?;
    let said = framing(&lines, minor)?;
    let body = match said {
        _ if (100..200).contains(&status) || status == 204 => match said {
            None | Some(Body::Length(0)) => Body::None,
            Some(_) => return Err("a body where none can be"),
        },
        _ if status == 304 || method == b"HEAD" => Body::None,
        None => Body::UntilClose,
        Some(body) => body,
    };
    let (nominated, persistent) = connection(&lines, minor, true)?;
    let persistent = persistent && body != Body::UntilClose && status != 101;
    Ok(Response {
        status,
        minor,
        fields: marked(lines, &nominated),
        body,
        persistent,
    })
}

/// RFC 9112 section 6.3, where every case that gives a choice is refused.
fn framing(lines: &[(Vec<u8>, Vec<u8>)], minor: u8) -> Verdict<Option<Body>> {
    let codings = values(lines, "transfer-encoding");
    let lengths = values(lines, "content-length");
    match (codings.as_slice(), lengths.as_slice()) {
        ([], []) => Ok(None),
        ([coding], []) if minor == 1 && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Some(Body::Chunked))
        }
        ([], [length])
            if !length.is_empty()
                && length.len() <= 20
                && length.iter().all(u8::is_ascii_digit) =>
        {
            let length = String::from_utf8_lossy(length)
                .parse()
                .map_err(|_| "length too large")?;
            Ok(Some(Body::Length(length)))
        }
        _ => Err("framing"),
    }
}

/// The nominated names in lower case, and whether the connection goes on. Stricter: at most 32 options, none of them a
/// field that recipients need.
fn connection(
    lines: &[(Vec<u8>, Vec<u8>)],
    minor: u8,
    is_response: bool,
) -> Verdict<(Vec<Vec<u8>>, bool)> {
    const NEEDED: [&str; 18] = [
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "content-range",
        "range",
        "authorization",
        "cookie",
        "set-cookie",
        "cache-control",
        "vary",
        "location",
        "cdn-loop",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    ];
    let mut options = Vec::new();
    for value in values(lines, "connection") {
        for option in value
            .split(|&b| b == b',')
            .map(without_ows)
            .filter(|option| !option.is_empty())
        {
            options.push(option.to_ascii_lowercase());
        }
    }
    if options.len() > 32 || !options.iter().all(|option| is_token(option)) {
        return Err("Connection");
    }
    if options
        .iter()
        .any(|option| NEEDED.iter().any(|name| name.as_bytes() == option))
    {
        return Err("Connection nominates what everyone needs");
    }
    let has = |name: &[u8]| options.iter().any(|option| option == name);
    if !is_response && has(b"transfer-encoding") {
        return Err("Connection nominates Transfer-Encoding");
    }
    let persistent = !has(b"close") && (minor == 1 || has(b"keep-alive"));
    Ok((options, persistent))
}

fn marked(lines: Vec<(Vec<u8>, Vec<u8>)>, nominated: &[Vec<u8>]) -> Vec<FieldLine> {
    const ALWAYS: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "proxy-authenticate",
        "proxy-authorization",
    ];
    let for_connection = |name: &[u8]| {
        let name = name.to_ascii_lowercase();
        ALWAYS.iter().any(|always| always.as_bytes() == name) || nominated.contains(&name)
    };
    lines
        .into_iter()
        .map(|(name, value)| (name.clone(), value, for_connection(&name)))
        .collect()
}

/// `uri-host [ ":" port ]`, the host in lower case. Stricter: names of letters, digits, `-`, `_` and single dots.
pub fn host_and_port(authority: &[u8]) -> Verdict<(String, Option<u16>)> {
    let text = String::from_utf8(authority.to_vec()).map_err(|_| "host")?;
    let (host, port) = if text.starts_with('[') {
        let (address, after) = text.split_once(']').ok_or("no closing bracket")?;
        address
            .trim_start_matches('[')
            .parse::<std::net::Ipv6Addr>()
            .map_err(|_| "IPv6")?;
        if address.starts_with("[[") {
            return Err("brackets");
        }
        (format!("{address}]"), after.to_owned())
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), format!(":{port}")),
            None => (text.clone(), String::new()),
        }
    };
    if !host.starts_with('[') {
        let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(&host).split('.').collect();
        let is_label = |label: &&str| {
            !label.is_empty()
                && label
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        if !labels.iter().all(is_label) || host.len() > 254 {
            return Err("name");
        }
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some(digits)
            if (1..=5).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit()) =>
        {
            Some(digits.parse().map_err(|_| "port")?)
        }
        _ => return Err("port"),
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// A chunked body with the trailers that may stay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chunked {
    /// The data of all chunks.
    pub data: Vec<u8>,
    /// Names and values.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why reading stopped.
enum Stop {
    More,
    Bad(&'static str),
}

/// Hands out one byte at a time.
struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Result<u8, Stop> {
        self.input.get(self.at).copied().ok_or(Stop::More)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, byte: u8, why: &'static str) -> Result<(), Stop> {
        if self.byte()? == byte {
            Ok(())
        } else {
            Err(Stop::Bad(why))
        }
    }
}

/// `*chunk last-chunk trailer-section CRLF` (RFC 9112 section 7.1).
pub fn chunked(input: &[u8]) -> Reading<Chunked> {
    let mut cursor = Cursor { input, at: 0 };
    match read_chunked(&mut cursor) {
        Ok(body) => Reading::Whole(body, cursor.at),
        Err(Stop::More) => Reading::Incomplete,
        Err(Stop::Bad(why)) => Reading::Refused(why),
    }
}

fn read_chunked(cursor: &mut Cursor<'_>) -> Result<Chunked, Stop> {
    let mut body = Chunked::default();
    let mut extensions = 0;
    loop {
        let size = chunk_size(cursor)?;
        extensions += chunk_extensions(cursor, extensions)?;
        cursor.expect(b'\r', "line of a chunk")?;
        cursor.expect(b'\n', "line of a chunk")?;
        if size == 0 {
            break;
        }
        for _ in 0..size {
            body.data.push(cursor.byte()?);
        }
        cursor.expect(b'\r', "end of a chunk")?;
        cursor.expect(b'\n', "end of a chunk")?;
    }
    let (mut bytes, mut count) = (0, 0);
    loop {
        let mut line = Vec::new();
        loop {
            match cursor.byte()? {
                b'\r' => break,
                b'\n' => return Err(Stop::Bad("bare LF")),
                byte => line.push(byte),
            }
            bytes += 1;
            if bytes > 16 * 1024 {
                return Err(Stop::Bad("trailers too large"));
            }
        }
        cursor.expect(b'\n', "bare CR")?;
        if line.is_empty() {
            return Ok(body);
        }
        count += 1;
        if count > 32 {
            return Err(Stop::Bad("too many trailers"));
        }
        if line
            .iter()
            .any(|&b| !is_vchar(b) && !is_obs_text(b) && b != b' ' && b != b'\t')
        {
            return Err(Stop::Bad("control character"));
        }
        let (name, value) = field_line(&line).map_err(Stop::Bad)?;
        if may_be_trailer(&name) {
            body.trailers.push((name, value));
        }
    }
}

/// `1*HEXDIG`; stricter: at most 16.
fn chunk_size(cursor: &mut Cursor<'_>) -> Result<u64, Stop> {
    let mut digits = String::new();
    while cursor.peek()?.is_ascii_hexdigit() {
        digits.push(char::from(cursor.byte()?));
        if digits.len() > 16 {
            return Err(Stop::Bad("size too large"));
        }
    }
    u64::from_str_radix(&digits, 16).map_err(|_| Stop::Bad("no size"))
}

/// `*( BWS ";" BWS … )`, whose insides are dropped unread but for control characters; stricter: at most 256 bytes in a chunk
/// and 16 KiB in a body.
fn chunk_extensions(cursor: &mut Cursor<'_>, before: u32) -> Result<u32, Stop> {
    let (mut count, mut begun, mut space) = (0, false, false);
    loop {
        match cursor.peek()? {
            b'\r' if begun || !space => return Ok(count),
            b' ' | b'\t' if !begun => space = true,
            b';' => begun = true,
            b if begun && (is_vchar(b) || is_obs_text(b) || b == b' ' || b == b'\t') => {}
            _ => return Err(Stop::Bad("extension")),
        }
        cursor.at += 1;
        count += 1;
        if count > 256 || before + count > 16 * 1024 {
            return Err(Stop::Bad("extensions too long"));
        }
    }
}

/// RFC 9110 section 6.5.1: nothing for framing, routing, authentication, request modifiers, controls or content handling.
fn may_be_trailer(name: &[u8]) -> bool {
    const NEVER: [&str; 44] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "proxy-authenticate",
        "proxy-authorization",
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "content-range",
        "range",
        "authorization",
        "cookie",
        "set-cookie",
        "cache-control",
        "location",
        "cdn-loop",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "trailer",
        "expect",
        "max-forwards",
        "pragma",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "if-range",
        "www-authenticate",
        "age",
        "expires",
        "date",
        "retry-after",
        "vary",
        "via",
        "cdn-cache-control",
        "mangrove-cache-control",
    ];
    !NEVER
        .iter()
        .any(|never| name.eq_ignore_ascii_case(never.as_bytes()))
}

fn values(lines: &[(Vec<u8>, Vec<u8>)], name: &str) -> Vec<Vec<u8>> {
    let is_it = |line: &&(Vec<u8>, Vec<u8>)| line.0.eq_ignore_ascii_case(name.as_bytes());
    lines
        .iter()
        .filter(is_it)
        .map(|(_, value)| value.clone())
        .collect()
}

fn without_ows(text: &[u8]) -> Vec<u8> {
    let is_ows = |b: &&u8| **b == b' ' || **b == b'\t';
    let mut trimmed: Vec<u8> = text.iter().skip_while(is_ows).copied().collect();
    while matches!(trimmed.last(), Some(b' ' | b'\t')) {
        trimmed.pop();
    }
    trimmed
}

/// `1*tchar`
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|&b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// `%x21-7E`
fn is_vchar(b: u8) -> bool {
    (0x21..=0x7e).contains(&b)
}

/// `%x80-FF`
fn is_obs_text(b: u8) -> bool {
    b >= 0x80
}
