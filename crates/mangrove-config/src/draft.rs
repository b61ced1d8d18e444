//! The draft: what a person wrote. It knows lines and columns, so that what is wrong can be pointed at.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::fault::{Fault, Faults, PROBLEMS, Place, Step, What};
use crate::names::{dns_name, host_pattern};
use crate::notices::{Remark, remarks};
use crate::problem::{Lines, Problem, Problems};
use crate::reference::{self, STATE};
use crate::server::Server;
use crate::settled::{FORMAT, Settled};
use crate::site::Site;
use crate::validate::{SITES, validate};
use crate::value::{Section, Value, refuse_strangers};

/// The largest configuration file, in bytes.
pub const FILE_BYTES: usize = 16 * 1024 * 1024;

/// A configuration file, read but not yet judged.
#[derive(Debug)]
pub struct Draft<'a> {
    file: String,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

/// What holds where the file says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The server block to start from.
    pub server: Server,
}

impl Default for Defaults {
    /// Listening on loopback only.
    fn default() -> Self {
        Self {
            server: Server::on_loopback(),
        }
    }
}

/// A draft that was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// What the edge will do.
    pub settled: Settled,
    /// What the person should know, though nothing is wrong.
    pub notices: Vec<Notice>,
}

/// Something to know about a file that is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The file's name as it was given.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// What to know, in one line.
    pub text: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.file, self.line, self.text)
    }
}

impl<'a> Draft<'a> {
    /// Reads TOML. `file_name` is only for messages.
    ///
    /// # Errors
    /// When the text is not TOML or is longer than [`FILE_BYTES`].
    pub fn parse(file_name: &str, text: &'a str) -> Result<Self, Problems> {
        let file = file_name.to_owned();
        if text.len() > FILE_BYTES {
            let what = format!(
                "the file has {} bytes; at most {FILE_BYTES} are read",
                text.len()
            );
            let problem = Problem {
                excerpt: None,
                what,
                help: None,
                also: None,
            };
            return Err(Problems {
                file,
                list: vec![problem],
                more: 0,
            });
        }
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { file, text, root });
        }
        let lines = Lines::new(text);
        let problem = |error: &toml::de::Error| Problem {
            excerpt: error.span().map(|span| lines.excerpt(span)),
            what: error.message().lines().collect::<Vec<_>>().join("; "),
            help: None,
            also: None,
        };
        let more = errors.len().saturating_sub(PROBLEMS);
        Err(Problems {
            file,
            list: errors.iter().take(PROBLEMS).map(problem).collect(),
            more,
        })
    }

    /// `[server] state`: the folder that everything is kept in. It is no part of the settled form, which lives inside it.
    /// `None` also when it is wrong, which `settle` reports.
    pub fn state(&self) -> Option<&str> {
        let server = self.root.get_ref().get("server")?.get_ref().as_table()?;
        server
            .get(STATE.key)?
            .get_ref()
            .as_str()
            .filter(|state| !state.is_empty())
    }

    /// Decides everything, or says all that is wrong.
    ///
    /// # Errors
    /// Every problem found, up to a bound.
    pub fn settle(&self, defaults: &Defaults) -> Result<Settlement, Problems> {
        let mut faults = Faults::default();
        let settled = self.read(defaults, &mut faults);
        validate(&settled, &mut faults);
        if faults.is_empty() {
            let notices = self.notices(&settled);
            return Ok(Settlement { settled, notices });
        }
        Err(self.locate(faults))
    }

    fn read(&self, defaults: &Defaults, faults: &mut Faults) -> Settled {
        let root = self.root.get_ref();
        refuse_strangers(root, reference::ROOT, &[], faults);
        let mut server = defaults.server.clone();
        if let Some(written) = root.get("server") {
            faults.within(Step::Key("server"), |faults| {
                read_server(&mut server, written.get_ref(), faults)
            });
        }
        let sites = root.get("site").map(|written| {
            faults.within(Step::Key("site"), |faults| {
                read_sites(written.get_ref(), faults)
            })
        });
        Settled {
            format: FORMAT,
            server,
            sites: sites.unwrap_or_default(),
        }
    }

    fn notices(&self, settled: &Settled) -> Vec<Notice> {
        let lines = Lines::new(self.text);
        let notice = |(path, text): Remark| {
            let (span, written) = self.span_of(&path);
            written.then(|| Notice {
                file: self.file.clone(),
                line: lines.line_of(span.start),
                text,
            })
        };
        remarks(settled).into_iter().filter_map(notice).collect()
    }

    /// Turns paths into lines and columns, and puts problems in the order of the file.
    fn locate(&self, faults: Faults) -> Problems {
        let (faults, more) = faults.into_parts();
        let lines = Lines::new(self.text);
        let mut located: Vec<(usize, Problem)> = faults
            .into_iter()
            .map(|fault| self.locate_one(fault, &lines))
            .collect();
        located.sort_by_key(|(at, _)| *at);
        Problems {
            file: self.file.clone(),
            list: located.into_iter().map(|(_, problem)| problem).collect(),
            more,
        }
    }

    fn locate_one(&self, fault: Fault, lines: &Lines<'_>) -> (usize, Problem) {
        let (span, written) = match &fault.place {
            Place::Path(path) => self.span_of(path),
            Place::Span(span) => (span.clone(), true),
        };
        let what = match fault.what {
            What::Wrong(what) => what,
            What::Required(key) if written => format!("`{key}` is empty"),
            What::Required(key) => format!("`{key}` is missing"),
        };
        let also = fault.also.and_then(|(path, why)| {
            let (span, written) = self.span_of(&path);
            written.then(|| (lines.excerpt(span), why))
        });
        // What is nowhere in the file, such as the lack of any site, is a problem of the file as a whole.
        let nowhere = span.is_empty();
        let excerpt = (!nowhere).then(|| lines.excerpt(span.clone()));
        (
            span.start,
            Problem {
                excerpt,
                what,
                help: fault.help,
                also,
            },
        )
    }

    /// Where `path` was written, or the nearest table above it; and whether it was written itself.
    fn span_of(&self, path: &[Step]) -> (Range<usize>, bool) {
        let mut span = 0..0;
        let mut node: Option<&DeValue<'_>> = None;
        for (depth, step) in path.iter().enumerate() {
            let next = match (step, node) {
                (Step::Key(key), None) if depth == 0 => self.root.get_ref().get(*key),
                (Step::Key(key), Some(DeValue::Table(table))) => table.get(*key),
                (Step::Entry(entry), Some(DeValue::Array(entries))) => entries.get(*entry),
                _ => None,
            };
            let Some(next) = next else {
                return (span, false);
            };
            if !next.span().is_empty() {
                span = next.span();
            }
            node = Some(next.get_ref());
        }
        (span, true)
    }
}

fn read_server(server: &mut Server, written: &DeValue<'_>, faults: &mut Faults) {
    let DeValue::Table(table) = written else {
        faults.refuse(
            "`server` is a table of settings",
            Some("write [server] on a line of its own".to_owned()),
        );
        return;
    };
    refuse_strangers(table, Server::SETTINGS, &[STATE.key], faults);
    if let Some(written) = table.get(STATE.key) {
        faults.within(Step::Key(STATE.key), |faults| {
            if let Some(state) = String::read(written.get_ref(), &STATE, None, faults) {
                state.check(&STATE, faults);
            }
        });
    }
    server.read_fields(table, faults);
}

fn read_sites(written: &DeValue<'_>, faults: &mut Faults) -> Vec<Site> {
    let DeValue::Array(entries) = written else {
        faults.refuse(
            "there can be many sites",
            Some("write [[site]], with two brackets on each side".to_owned()),
        );
        return Vec::new();
    };
    if entries.len() > SITES {
        faults.refuse(
            format!(
                "there are at most {SITES} sites; here there are {}",
                entries.len()
            ),
            None,
        );
        return Vec::new();
    }
    let mut sites = Vec::with_capacity(entries.len());
    for (position, written) in entries.iter().enumerate() {
        let site = faults.within(Step::Entry(position), |faults| {
            Site::read(written.get_ref(), &reference::SITE, None, faults)
        });
        // A site that is not even a table is reported; something must keep its place.
        sites.push(canonical(site.unwrap_or_default()));
    }
    sites
}

/// Names in the one form they are compared in. What has no such form is left for `validate` to refuse.
fn canonical(mut site: Site) -> Site {
    for host in &mut site.hosts {
        if let Ok(canonical) = host_pattern(host) {
            *host = canonical;
        }
    }
    for token in &mut site.upgrade {
        token.make_ascii_lowercase();
    }
    if let Some(name) = &mut site.origin.tls_sni
        && let Ok(canonical) = dns_name(name)
    {
        *name = canonical;
    }
    site
}
