//! An origin whose pages change, a cache made of this crate's decisions, and everything that happened between them.

use mangrove_cache::{
    Action, Answer, Asked, Failure, Found, OriginState, Place, Rules, Stored, Times, admit, answer,
    conditions, decide, freshen, invalidated_keys, is_replaced_when_revalidating, on_error,
    place_for, select, write_key,
};
use mangrove_http::{RequestHead, ResponseHead, Scheme, UnixMillis};
use proptest::prelude::*;

use crate::plain::{Contact, Exchange, Headers, ORIGIN};
use crate::talk::{START, date, request, response};

/// Pages there are; the second and third vary on a field, the third on another too.
pub(crate) const URLS: usize = 3;
const VARY: [&str; URLS] = ["", "X-A", "x-a, Accept-Language"];
const METHODS: [&str; 5] = ["GET", "GET", "GET", "POST", "DELETE"];

const CONTROL: &[&str] = &[
    "max-age=30",
    "max-age=30",
    "Max-Age=\"300\", Public",
    "s-maxage=20, max-age=200",
    "max-age=10, stale-while-revalidate=50",
    "max-age=10, stale-if-error=50",
    "max-age=10,must-revalidate",
    "max-age=10, proxy-revalidate",
    "max-age=60, immutable",
    "no-cache",
    "no-cache, max-age=60",
    "no-store",
    "max-age=60, private",
    "public",
    "max-age=0",
    "",
    "",
];
const WISHES: &[&str] = &[
    "",
    "",
    "",
    "",
    "no-cache",
    "no-store",
    "max-age=0",
    "max-age=15",
    "min-fresh=15",
    "max-stale",
    "max-stale=20",
    "only-if-cached",
    "stale-if-error=100",
    "max-age=5, max-stale=100",
];

/// One request, and what the origin would say to it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    wait: u64,
    url: usize,
    method: usize,
    /// Value of `X-A`, and of `Accept-Language`.
    variant: (usize, usize),
    wish: usize,
    pragma: bool,
    authorization: bool,
    /// Which version the client has: If-None-Match.
    has: Option<u64>,
    control: usize,
    validators: u8,
    dates: u8,
    age: u64,
    delay: u64,
    expires: Option<i64>,
    cookie: bool,
    /// The page changes before.
    changes: bool,
    fails: u8,
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = (
        prop_oneof![
            0..20_u64,
            prop::sample::select(vec![10_u64, 20, 30, 60]),
            0..200_u64
        ],
        0..URLS,
        0..METHODS.len(),
        (0..2_usize, 0..2_usize),
        0..WISHES.len(),
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.1),
        prop::option::weighted(0.3, 0..3_u64),
    );
    let origin = (
        0..CONTROL.len(),
        0..8_u8,
        0..8_u8,
        prop_oneof![Just(0), Just(0), 0..40_u64],
        prop_oneof![Just(0), Just(0), 0..6_u64],
        prop::option::weighted(0.2, -20..60_i64),
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.2),
        0..12_u8,
    );
    let step = (client, origin).prop_map(|(client, origin)| Step {
        wait: client.0,
        url: client.1,
        method: client.2,
        variant: client.3,
        wish: client.4,
        pragma: client.5,
        authorization: client.6,
        has: client.7,
        control: origin.0,
        validators: origin.1,
        dates: origin.2,
        age: origin.3,
        delay: origin.4,
        expires: origin.5,
        cookie: origin.6,
        changes: origin.7,
        fails: origin.8,
    });
    prop::collection::vec(step, 1..40)
}

/// What is stored, and where it came from.
struct Entry {
    stored: Stored,
    /// The exchange that brought it, and those that confirmed it.
    chain: Vec<usize>,
}

/// What the cache answered with something stored.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) request: Exchange,
    pub(crate) now: u64,
    pub(crate) chain: Vec<usize>,
    pub(crate) contact: Contact,
    pub(crate) not_modified: bool,
    /// Whether the page was changed through this cache since the last exchange of the chain.
    pub(crate) changed: bool,
}

pub(crate) struct World {
    rules: Rules,
    now: u64,
    versions: [u64; URLS],
    changed_at: [u64; URLS],
    entries: Vec<Vec<Entry>>,
    pub(crate) history: Vec<Exchange>,
    /// By URL, how many exchanges there were when it was last changed through this cache.
    pub(crate) changes: Vec<(usize, usize)>,
    pub(crate) answered: Vec<Answered>,
    /// Requests that went to the origin although something was stored for them.
    pub(crate) forwarded: Vec<Answered>,
}

enum Told {
    Nothing,
    Response(Box<ResponseHead>, Times, usize),
}

fn head_fields(headers: &Headers) -> Vec<(&str, &str)> {
    headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect()
}

fn millis(now: u64) -> UnixMillis {
    UnixMillis((START + now - ORIGIN) * 1000)
}

fn dated(now: u64) -> String {
    date(i64::try_from(now).unwrap() - i64::try_from(ORIGIN).unwrap())
}

impl World {
    pub(crate) fn new() -> World {
        World {
            rules: Rules::default(),
            now: ORIGIN,
            versions: [0; URLS],
            changed_at: [ORIGIN - 50_000; URLS],
            entries: (0..URLS).map(|_| Vec::new()).collect(),
            history: Vec::new(),
            changes: Vec::new(),
            answered: Vec::new(),
            forwarded: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self, step: &Step) {
        self.now += step.wait;
        if step.changes {
            self.change(step.url);
        }
        let headers = self.client_headers(step);
        let method = METHODS[step.method];
        let head = request(&format!("{method} /{}", step.url), &head_fields(&headers));
        let rules = self.rules.clone();
        let asked = Asked::read(&head, head.path(), &rules);
        let found = {
            let stored = self.entries[step.url].iter().map(|entry| &entry.stored);
            select(stored, &head, &rules, &mut Vec::new())
        };
        let entry = found.map(|place| &self.entries[step.url][place]);
        let origin = match step.fails {
            0 => OriginState::Down,
            _ => OriginState::Reachable,
        };
        let given = match (entry, self.entries[step.url].is_empty()) {
            (Some(entry), _) => Found::This(&entry.stored),
            (None, true) => Found::Nothing,
            (None, false) => Found::OtherVariants,
        };
        let decision = decide(&asked, given, millis(self.now), origin, &rules);
        let contact = match origin {
            OriginState::Down => Contact::Failed,
            OriginState::Reachable => Contact::None,
        };
        match decision.action {
            Action::Serve => self.answer(step, &asked, &headers, found.unwrap(), contact),
            Action::ServeStale { revalidate } => {
                let place = found.unwrap();
                self.answer(step, &asked, &headers, place, contact);
                if revalidate {
                    self.ask(step, &asked, &headers, Some(place), true);
                }
            }
            Action::Revalidate | Action::Fetch => {
                if let Some(place) = found.filter(|_| contact == Contact::None && method == "GET") {
                    let answered = self.answered_by(step, &headers, place, contact, false);
                    self.forwarded.push(answered);
                }
                let about = found.filter(|_| decision.action == Action::Revalidate);
                self.ask(step, &asked, &headers, about, false);
            }
            Action::Refuse => assert!(asked.directives.only_if_cached),
        }
    }

    fn client_headers(&self, step: &Step) -> Headers {
        let mut headers = Headers::new();
        let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
        add("x-a", ["one", "two"][step.variant.0]);
        add("accept-language", ["bn", "en"][step.variant.1]);
        if !WISHES[step.wish].is_empty() {
            add("cache-control", WISHES[step.wish]);
        }
        if step.pragma {
            add("pragma", "no-cache");
        }
        if step.authorization {
            add("authorization", "Basic YTpi");
        }
        if let Some(back) = step.has {
            let version = self.versions[step.url].saturating_sub(back);
            add("if-none-match", &format!("\"{}\"", content(step, version)));
        }
        headers
    }

    fn change(&mut self, url: usize) {
        self.versions[url] += 1;
        self.changed_at[url] = self.now;
    }

    fn answered_by(
        &self,
        step: &Step,
        headers: &Headers,
        place: usize,
        contact: Contact,
        not_modified: bool,
    ) -> Answered {
        let chain = self.entries[step.url][place].chain.clone();
        let last = chain[chain.len() - 1];
        Answered {
            changed: (self.changes.iter()).any(|(url, place)| *url == step.url && *place > last),
            request: Exchange {
                method: METHODS[step.method],
                url: step.url,
                request: headers.clone(),
                status: 0,
                response: Headers::new(),
                sent: self.now,
                came: self.now,
                content: content(step, self.versions[step.url]),
            },
            now: self.now,
            chain,
            contact,
            not_modified,
        }
    }

    fn answer(
        &mut self,
        step: &Step,
        asked: &Asked<'_>,
        headers: &Headers,
        place: usize,
        contact: Contact,
    ) {
        let stored = &self.entries[step.url][place].stored;
        let not_modified = answer(asked, stored, None, millis(self.now)) == Answer::NotModified;
        let answered = self.answered_by(step, headers, place, contact, not_modified);
        self.answered.push(answered);
    }

    /// Asks the origin, about what is at `place` if there is something to ask with, and acts on its answer.
    fn ask(
        &mut self,
        step: &Step,
        asked: &Asked<'_>,
        headers: &Headers,
        place: Option<usize>,
        unseen: bool,
    ) {
        let mut sent = headers.clone();
        if let Some(place) = place {
            let of = |name: &str| mangrove_http::Known::of(name.as_bytes());
            sent.retain(|(name, _)| !is_replaced_when_revalidating(of(name)));
            let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
            let asking = conditions(&self.entries[step.url][place].stored);
            sent.extend(asking.map(|(name, value)| (name.to_owned(), text(value))));
        }
        let told = self.origin(step, &sent);
        let (response, times, exchange) = match told {
            Told::Nothing => return self.failed(step, asked, headers, Failure::NoResponse, unseen),
            Told::Response(response, times, exchange) => (response, times, exchange),
        };
        let failure = Failure::Status(response.status());
        if failure.is_failure() {
            return self.failed(step, asked, headers, failure, unseen);
        }
        let rules = self.rules.clone();
        if let (304, Some(place)) = (response.status(), place) {
            let entry = &mut self.entries[step.url][place];
            let before = entry.stored.clone();
            let (stored, kept) = freshen(&before, &response, asked, &rules, times).into_stored();
            let same = stored == before;
            entry.stored = stored;
            entry.chain.push(exchange);
            if !unseen {
                self.answer(step, asked, headers, place, Contact::Confirmed);
            }
            let entry = &mut self.entries[step.url][place];
            if same {
                entry.chain.pop();
            }
            if !kept {
                self.entries[step.url].remove(place);
            }
            return;
        }
        for key in invalidated_keys(&rules, Scheme::Http, asked.request, asked.path, &response) {
            self.invalidate(&key);
        }
        if let Ok(stored) = admit(asked, &response, &rules, times) {
            let entries = &mut self.entries[step.url];
            let place = place_for(&stored, entries.iter().map(|entry| &entry.stored), &rules);
            let entry = Entry {
                stored,
                chain: vec![exchange],
            };
            match place {
                Place::Instead(place) => entries[place] = entry,
                Place::Beside => entries.push(entry),
            }
        }
    }

    fn failed(
        &mut self,
        step: &Step,
        asked: &Asked<'_>,
        headers: &Headers,
        failure: Failure,
        unseen: bool,
    ) {
        let stored = self.entries[step.url].iter().map(|entry| &entry.stored);
        let place = select(stored, asked.request, &self.rules, &mut Vec::new());
        let stored = place.map(|place| &self.entries[step.url][place].stored);
        let decision = on_error(asked, stored, millis(self.now), failure, &self.rules);
        if let (Some(_), Some(place), false) = (decision, place, unseen) {
            self.answer(step, asked, headers, place, Contact::Failed);
        }
    }

    fn invalidate(&mut self, key: &[u8]) {
        for url in 0..URLS {
            let head: RequestHead = request(&format!("GET /{url}"), &[]);
            let mut other = Vec::new();
            write_key(&self.rules, Scheme::Http, &head, head.path(), &mut other);
            if other == key {
                self.changes.push((url, self.history.len()));
                self.entries[url]
                    .iter_mut()
                    .for_each(|entry| entry.stored.invalidate());
            }
        }
    }

    /// What the origin says. It is honest: it varies on what it says, and no two contents have one tag.
    fn origin(&mut self, step: &Step, sent: &Headers) -> Told {
        if step.fails <= 1 {
            return Told::Nothing;
        }
        let requested = self.now;
        self.now += step.delay;
        let method = METHODS[step.method];
        let is_get = method == "GET";
        if !is_get && step.fails > 3 {
            self.change(step.url);
        }
        let version = self.versions[step.url];
        let content = content(step, version);
        let mut said = Headers::new();
        let mut add = |name: &str, value: String| said.push((name.to_owned(), value));
        if !CONTROL[step.control].is_empty() {
            add("cache-control", CONTROL[step.control].to_owned());
        }
        if !VARY[step.url].is_empty() {
            add("vary", VARY[step.url].to_owned());
        }
        if step.dates & 3 != 0 {
            // Some clocks are late.
            add("date", dated(self.now - u64::from(step.dates >> 2) * 7));
        }
        let modified = self.changed_at[step.url];
        // A date tells versions apart only when they are more than a second old (RFC 9110 section 8.8.2.2).
        let by_date = step.validators & 2 != 0 && modified + 60 <= self.now;
        if step.validators & 1 != 0 {
            let weak = if step.validators & 4 != 0 { "W/" } else { "" };
            add("etag", format!("{weak}\"{content}\""));
        }
        if by_date {
            add("last-modified", dated(modified));
        }
        if step.age > 0 {
            add("age", step.age.to_string());
        }
        if let Some(seconds) = step.expires {
            let at = i64::try_from(self.now - ORIGIN).unwrap() + seconds;
            add("expires", date(at));
        }
        if step.cookie {
            add("set-cookie", "a=b".to_owned());
        }
        let status = match step.fails {
            2 => 503,
            3 if !is_get => 404,
            _ if is_get && self.is_current(step, sent, &content) => 304,
            _ => 200,
        };
        let exchange = Exchange {
            method,
            url: step.url,
            request: sent.clone(),
            status,
            response: said,
            sent: requested,
            came: self.now,
            content,
        };
        let head = response(status, &head_fields(&exchange.response));
        let times = Times {
            requested_at: millis(requested),
            received_at: millis(self.now),
        };
        self.history.push(exchange);
        Told::Response(Box::new(head), times, self.history.len() - 1)
    }

    fn is_current(&self, step: &Step, sent: &Headers, content: &str) -> bool {
        let value = |name: &str| {
            sent.iter()
                .find(|(other, _)| other == name)
                .map(|(_, value)| &**value)
        };
        match (value("if-none-match"), value("if-modified-since")) {
            (Some(tag), _) => tag.trim_start_matches("W/").trim_matches('"') == content,
            (None, Some(since)) => since == dated(self.changed_at[step.url]),
            (None, None) => false,
        }
    }
}

/// What the page is, for this client.
fn content(step: &Step, version: u64) -> String {
    let (a, language) = step.variant;
    let (a, language) = match step.url {
        0 => (0, 0),
        1 => (a, 0),
        _ => (a, language),
    };
    format!("{}-v{version}-{a}{language}", step.url)
}
