//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::purge::{By, Wanted};
use crate::{shield, source};

/// Where state is kept when nobody says otherwise.
const USUAL_STATE: &str = "./mangrove-state";

/// Mangrove: a fast, strict front for web sites that anyone can run.
#[derive(Debug, Parser)]
#[command(
    name = "mangrove",
    version = version(),
    max_term_width = 100,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Try it now:\n  \
        mangrove serve                                   a sample site on http://127.0.0.1:8080\n  \
        mangrove serve --origin http://127.0.0.1:3000    the same in front of your own site\n  \
        mangrove check mangrove.toml                     what a configuration means, or what is wrong with it"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let kind = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let commit = option_env!("MANGROVE_COMMIT").map(|commit| format!(", commit {commit}"));
    let commit = commit.unwrap_or_default();
    format!("{} ({kind} build{commit})", env!("CARGO_PKG_VERSION"))
});

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve: listen, start the edge, keep it running until told to stop
    #[command(after_help = "Examples:\n  \
        mangrove serve\n  \
        mangrove serve --origin http://127.0.0.1:3000 --listen 80\n  \
        mangrove serve --config /etc/mangrove/mangrove.toml --state /var/lib/mangrove\n\n\
        Signals: HUP reads the configuration again, USR1 opens the log files again, TERM or INT finish \
        the requests under way and stop; a second one stops at once.")]
    Serve(Serve),

    /// Say what a configuration means, or point at what is wrong with it
    #[command(after_help = "Examples:\n  \
        mangrove check mangrove.toml\n  \
        generate-config | mangrove check -\n\n\
        Exits with 0 if the configuration can be used, with 1 if not. Nothing is started or changed.")]
    Check(Check),

    /// Make the running Mangrove read its configuration again
    #[command(
        after_help = "If anything is wrong, it is told here, the exit code is 1, and what served before serves on."
    )]
    Reload(Reload),

    /// Replace the running Mangrove by another binary without refusing a connection
    #[command(after_help = "Examples:\n  \
        mangrove upgrade                        the file that Mangrove was started from, now newer\n  \
        mangrove upgrade ./mangrove-next\n\n\
        Steps: 1 the binary runs, 2 it understands the configuration in force, 3 its edge is ready and the old \
        edge finishes its requests, 4 the supervisor itself is replaced. A step that fails is named, and what \
        served before serves on.")]
    Upgrade(Upgrade),

    /// List the guarded steps on a request's way: what each may cost, and what happens when it fails
    #[command(
        after_help = "A step that panics costs itself, not the request: one that fails open is skipped, one that \
        fails closed answers with 500. `panics` counts since the edge was started."
    )]
    Modules(Modules),

    /// Tell what is kept of answers: how much, of which URLs, and for one URL why and for how long
    #[command(subcommand)]
    Cache(CacheCommand),

    /// Let go of what is kept: of a URL, a prefix, a host, a tag, or a whole site, at once
    #[command(after_help = "Examples:\n  \
        mangrove purge news --url https://news.example/a\n  \
        mangrove purge news --tag article-7 --tag front --soft\n  \
        mangrove purge news --prefix /sport/\n  \
        mangrove purge news --all\n\n\
        Whoever asks once this has returned gets what the origin says by then. Who was being answered gets the rest of \
        that answer. What the origin was asked for earlier is not kept. Edges that are only finishing their requests are \
        told as well. A URL is purged with all its variants; http and https are two URLs.\n\n\
        With --soft what is kept is only stale from now on: it is still answered while the origin is asked or fails, where \
        stale answers are allowed. If something must not be seen again, leave --soft out.\n\n\
        One kind of filter at a time, up to 256 of it. An empty one is refused: nothing but --all is everything.\n\n\
        Exits with 0 when every edge has purged, also if nothing was kept; with 1 when one has not, or the site, host or URL \
        is none of theirs; with 2 when the command line is wrong.")]
    Purge(Purge),

    /// Let a network through, or keep it out of a site, for a while; and tell who is, by whom and why
    #[command(subcommand)]
    Shield(ShieldCommand),

    /// The data plane; started by `serve`
    #[command(hide = true)]
    Edge {
        /// The edge's number, for whoever reads the list of processes
        #[arg(long)]
        generation: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Configuration file; without one, and without --origin, a sample site is served
    #[arg(long, value_name = "FILE", conflicts_with = "origin")]
    pub(crate) config: Option<PathBuf>,

    /// Serve this one origin for every host
    #[arg(long, value_name = "URL")]
    pub(crate) origin: Option<String>,

    /// Listen here instead, in cleartext: ADDRESS:PORT, or a port alone for every address of this machine
    #[arg(long, value_name = "ADDRESS", value_parser = listen)]
    pub(crate) listen: Vec<Listen>,

    #[command(flatten)]
    pub(crate) state: State,

    /// Go on from the supervisor that became this process
    #[arg(long, hide = true)]
    pub(crate) resume: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Configuration file, or - for standard input
    #[arg(value_name = "FILE", required_unless_present = "settled")]
    pub(crate) file: Option<PathBuf>,

    /// Check a settled configuration instead
    #[arg(long, value_name = "FILE", hide = true, conflicts_with = "file")]
    pub(crate) settled: Option<PathBuf>,

    /// Also check that this build can go on from a supervisor that writes this form
    #[arg(long, value_name = "NUMBER", hide = true)]
    pub(crate) resume_format: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Reload {
    /// Wait until the configuration is settled
    #[arg(long)]
    pub(crate) wait: bool,

    #[command(flatten)]
    pub(crate) running: Running,
}

#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// The new binary [default: the file that the running Mangrove was started from]
    #[arg(value_name = "PATH")]
    pub(crate) program: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) running: Running,
}

#[derive(Debug, Args)]
pub(crate) struct Modules {
    #[command(flatten)]
    pub(crate) told: Told,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// How much is kept, how often it was found, and what left or was refused
    #[command(
        after_help = "Counts since the edge was started. Exits with 0 when the edge has told, with 1 if not."
    )]
    Stats(CacheStats),

    /// What was asked over time, drawn: hits, stale answers, revalidations and misses by the minute
    #[command(
        after_help = "The last column is the minute under way. Where the terminal is narrow a column stands for several \
        minutes, and shows their average. An edge that takes over counts anew; then it is said since when. Colours are left \
        out with NO_COLOR, and blocks where the locale has no UTF-8.\n\n\
        Exits with 0 when the edge has told, with 1 if not."
    )]
    Chart(CacheChart),

    /// The URLs of which something is kept, in memory or on the disk
    #[command(
        after_help = "`age` and `left` are those of the answer received last; `left` is how long it stays fresh, by \
        what is said in `by`. `where` is \
        memory, disk or both, or mixed where that differs from variant to variant; with `part`, not all of the content of each \
        is there.\n\n\
        Memory is told of first. What the disk has is read from there, an entry at a time so that no visitor waits for it: some \
        thousand URLs a second, fewer from a slow disk. Exits with 0 when the edge has told, with 1 if not."
    )]
    List(CacheList),

    /// What is kept of a URL: why, for how long, for whom, and what a visitor gets now
    #[command(after_help = "Examples:\n  \
        mangrove cache show https://news.example/a?b=c\n  \
        mangrove cache show http://127.0.0.1:8080/ --json\n\n\
        Cookies and credentials are counted, not shown. Exits with 0 when the edge has told, whatever it keeps; with 1 if \
        not.")]
    Show(CacheShow),
}

#[derive(Debug, Args)]
pub(crate) struct CacheStats {
    #[command(flatten)]
    pub(crate) told: Told,
}

#[derive(Debug, Args)]
pub(crate) struct CacheChart {
    /// The last day instead of the last hour
    #[arg(long)]
    pub(crate) day: bool,

    /// Draw with ASCII alone
    #[arg(long)]
    pub(crate) ascii: bool,

    #[command(flatten)]
    pub(crate) told: Told,
}

#[derive(Debug, Args)]
pub(crate) struct CacheList {
    /// Only of this site
    #[arg(long, value_name = "NAME")]
    pub(crate) site: Option<String>,

    /// Only what is kept here
    #[arg(long = "in", value_name = "TIER")]
    pub(crate) tier: Option<Tier>,

    /// How many URLs to list
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub(crate) most: usize,

    #[command(flatten)]
    pub(crate) told: Told,
}

/// Where something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tier {
    Memory,
    Disk,
}

#[derive(Debug, Args)]
pub(crate) struct CacheShow {
    /// The whole URL, as a visitor's browser shows it
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// What is kept of it for this site [default: the one that has its host]
    #[arg(long, value_name = "NAME")]
    pub(crate) site: Option<String>,

    #[command(flatten)]
    pub(crate) told: Told,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ShieldCommand {
    /// All orders by hand, whom rate limits hold back now, and whom the shield leaves alone
    #[command(
        after_help = "`left` is how long an order still lasts; `requests` counts those that it was about, since the edge was \
        started. Exits with 0 when the edge has told, with 1 if not."
    )]
    Status(ShieldStatus),

    /// One order, or one client: who keeps it out or holds it back, why, and until when
    #[command(
        after_help = "An order's number stands in `shield status`, and as `shield.order` in the log line of a request that it was \
        about. Of a client, or a network, it is told which rate limits hold it back now, which orders are about it, and whether the \
        shield leaves it alone.\n\nExamples:\n  \
        mangrove shield explain 7\n  \
        mangrove shield explain 198.51.100.9"
    )]
    Explain(ShieldExplain),

    /// Let a network through: no rate limit of the site counts it, and no order keeps it out
    #[command(after_help = ORDER_HELP)]
    Allow(ShieldOrder),

    /// Keep a network out of a site: each request gets 403 blocked-by-hand, also on connections that are open
    #[command(after_help = ORDER_HELP)]
    Block(ShieldOrder),

    /// Agree with somebody else's order that waits, because it touches many
    #[command(
        after_help = "Look at it first with `mangrove shield explain ID`. It ends when it was to end. Exits with 0 once it is in \
        force, with 1 if not."
    )]
    Approve(ShieldChange),

    /// Take an order back, whether it waits or is in force
    Remove(ShieldChange),
}

const ORDER_HELP: &str = "Examples:\n  \
    mangrove shield block shop 198.51.100.0/24 --for 2h --reason \"scrapes the search\"\n  \
    mangrove shield allow shop 2001:db8:7::/48 --reason \"load test until noon\"\n  \
    mangrove shield block shop --ja4 t13d3112h2_e8f1e7e78f70_375ca2c5e164 --reason \"one script, many addresses\"\n\n\
    It ends by itself. Behind a listed proxy the visitor's address counts. What would touch more than 5 % of the site's recent \
    clients changes nothing until somebody else has approved it.\n\n\
    Exits with 0 when the order is taken, also if it waits; with 1 if not; with 2 when the command line is wrong.";

#[derive(Debug, Args)]
pub(crate) struct ShieldStatus {
    #[command(flatten)]
    pub(crate) told: Told,
}

#[derive(Debug, Args)]
pub(crate) struct ShieldExplain {
    /// An order's number, or an address or network
    #[arg(value_name = "ID or ADDRESS")]
    pub(crate) what: shield::What,

    #[command(flatten)]
    pub(crate) told: Told,
}

#[derive(Debug, Args)]
pub(crate) struct ShieldOrder {
    /// Name of the site
    #[arg(value_name = "SITE")]
    site: String,

    /// An address, or a network such as 198.51.100.0/24
    #[arg(value_name = "NETWORK", required_unless_present = "ja4")]
    subject: Option<String>,

    /// To keep out: all TLS clients that greet so, `tls.client.ja4_stable` in the log; a browser's is millions of people's
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "subject")]
    ja4: Option<String>,

    /// Why, for whoever reads it tomorrow
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// For how long: 90s, 30m, 2h; at most 24h
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = shield::seconds)]
    seconds: u64,

    /// Who says so [default: whoever types]
    #[arg(long, value_name = "NAME")]
    pub(crate) owner: Option<String>,

    #[command(flatten)]
    pub(crate) told: Told,
}

impl ShieldOrder {
    /// What is to be done.
    pub(crate) fn wanted(&self, allow: bool) -> shield::Wanted {
        shield::Wanted::Give(shield::Given {
            allow,
            site: self.site.clone(),
            subject: match (&self.subject, &self.ja4) {
                (Some(network), _) => network.clone(),
                (None, ja4) => format!("ja4:{}", ja4.as_deref().unwrap_or_default()),
            },
            reason: self.reason.clone(),
            seconds: self.seconds,
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct ShieldChange {
    /// The order's number
    #[arg(value_name = "ID")]
    pub(crate) id: u64,

    /// Who says so [default: whoever types]
    #[arg(long, value_name = "NAME")]
    pub(crate) owner: Option<String>,

    #[command(flatten)]
    pub(crate) told: Told,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct Purge {
    /// Name of the site
    #[arg(value_name = "SITE")]
    pub(crate) site: String,

    /// This URL, all of it as a visitor's browser shows it
    #[arg(long, value_name = "URL", group = "what")]
    url: Vec<String>,

    /// Every path that begins so, on all hosts of the site: /news/ is a folder, /news is also /newsletter
    #[arg(long, value_name = "PATH", group = "what")]
    prefix: Vec<String>,

    /// Everything of this host of the site, under http and https
    #[arg(long, value_name = "HOST", group = "what")]
    host: Vec<String>,

    /// What the origin has given this tag, in Surrogate-Key or Cache-Tag
    #[arg(long, value_name = "TAG", group = "what")]
    tag: Vec<String>,

    /// Everything that is kept for the site
    #[arg(long, group = "what")]
    all: bool,

    /// Leave it stale instead: still answered while the origin is asked or fails, where stale answers are allowed
    #[arg(long)]
    soft: bool,

    #[command(flatten)]
    pub(crate) told: Told,
}

impl Purge {
    /// What is to be purged; the command line takes exactly one kind.
    pub(crate) fn wanted(&self) -> Wanted {
        let lists = [
            (By::Url, &self.url),
            (By::Prefix, &self.prefix),
            (By::Host, &self.host),
            (By::Tag, &self.tag),
        ];
        let given = lists.into_iter().find(|(_, texts)| !texts.is_empty());
        let (by, texts) = given.map_or((By::All, Vec::new()), |(by, texts)| (by, texts.clone()));
        Wanted {
            by,
            texts,
            soft: self.soft,
        }
    }
}

/// Who is asked, and how what he tells is printed.
#[derive(Debug, Args)]
pub(crate) struct Told {
    /// Print JSON, for a program to read
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) running: Running,
}

/// Which running Mangrove is meant.
#[derive(Debug, Args)]
pub(crate) struct Running {
    #[command(flatten)]
    state: State,

    /// The configuration file it serves: the state folder is the one that the file names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct State {
    /// State folder: sockets, certificates, logs, the operator's token [default: ./mangrove-state]
    #[arg(long = "state", value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// One `--listen`: a port alone stands for two addresses.
#[derive(Clone, Debug)]
pub(crate) struct Listen(pub(crate) Vec<SocketAddr>);

/// Version, kind of build, and the commit if the build was told of one.
pub(crate) fn version() -> &'static str {
    VERSION.as_str()
}

impl State {
    /// Whether it was given on the command line.
    pub(crate) fn is_typed(&self) -> bool {
        self.dir.is_some()
    }

    /// The folder: as typed, else as `configured`, else systemd's (`$STATE_DIRECTORY`), else the usual one.
    pub(crate) fn folder(&self, configured: Option<PathBuf>) -> PathBuf {
        let typed = self.dir.clone().or(configured);
        let systemd = || {
            let folders = std::env::var("STATE_DIRECTORY").ok()?;
            folders.split(':').next().map(PathBuf::from)
        };
        typed
            .or_else(systemd)
            .unwrap_or_else(|| PathBuf::from(USUAL_STATE))
    }
}

impl Running {
    /// Its state folder. The error: the file cannot be read, or does not make sense.
    pub(crate) fn folder(self) -> anyhow::Result<PathBuf> {
        let named = match self.config {
            Some(file) if !self.state.is_typed() => source::state_named_in(&file)
                .with_context(|| format!("{} does not tell the state folder", file.display()))?,
            _ => None,
        };
        Ok(self.state.folder(named))
    }
}

fn listen(text: &str) -> Result<Listen, String> {
    source::parse_listen(text).map(Listen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_purge_says_what_and_an_empty_one_is_never_everything() {
        let wanted = |typed: &[&str]| {
            let typed = ["mangrove", "purge"].iter().chain(typed);
            match Arguments::try_parse_from(typed)?.command {
                Command::Purge(purge) => Ok::<_, clap::Error>(purge.wanted()),
                other => panic!("{other:?}"),
            }
        };
        let of = |by, texts: &[&str], soft| Wanted {
            by,
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
            soft,
        };
        assert_eq!(wanted(&["news", "--all"]).unwrap(), of(By::All, &[], false));
        let url = "https://news.example/";
        let one = wanted(&["news", "--url", url]).unwrap();
        assert_eq!(one, of(By::Url, &[url], false));
        let two = wanted(&["news", "--tag", "a", "--soft", "--tag", "b"]).unwrap();
        assert_eq!(two, of(By::Tag, &["a", "b"], true));
        let prefix = wanted(&["news", "--prefix", "/a"]).unwrap();
        assert_eq!(prefix, of(By::Prefix, &["/a"], false));
        let host = wanted(&["news", "--host", "a"]).unwrap();
        assert_eq!(host, of(By::Host, &["a"], false));
        for wrong in [
            &["news"][..],
            &["news", "--soft"],
            &["--all"],
            &["news", "--url"],
            &["news", "--url", url, "--all"],
            &["news", "--url", url, "--tag", "a"],
            &["news", "--prefix", "/a", "--host", "a"],
        ] {
            assert!(wanted(wrong).is_err(), "{wrong:?}");
        }
        // The edge refuses an empty one by name.
        assert_eq!(
            wanted(&["news", "--url", ""]).unwrap(),
            of(By::Url, &[""], false)
        );
    }

    #[test]
    fn a_file_and_an_origin_exclude_each_other() {
        let typed = ["mangrove", "serve", "--config", "a", "--origin", "http://b"];
        assert!(Arguments::try_parse_from(typed).is_err());
    }

    #[test]
    fn the_running_one_is_found_by_state_folder_or_by_file() {
        let running = |typed: &[&str]| {
            let typed = ["mangrove", "reload"].iter().chain(typed);
            match Arguments::try_parse_from(typed).unwrap().command {
                Command::Reload(reload) => reload.running.folder(),
                other => panic!("{other:?}"),
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mangrove.toml");
        let file = file.to_str().unwrap();
        let site = "[[site]]\nname = 'a'\nhosts = ['*']\norigins = ['http://127.0.0.1:1']\n";
        std::fs::write(file, format!("[server]\nstate = '/srv/m'\n{site}")).unwrap();
        assert_eq!(
            running(&["--config", file]).unwrap(),
            PathBuf::from("/srv/m")
        );
        let both = ["--config", file, "--state", "/typed"];
        assert_eq!(running(&both).unwrap(), PathBuf::from("/typed"));

        std::fs::write(file, site).unwrap(); // names none
        assert_eq!(running(&["--config", file]).unwrap(), running(&[]).unwrap());
        std::fs::write(file, "[server\n").unwrap();
        let error = format!("{:#}", running(&["--config", file]).unwrap_err());
        assert!(error.contains("does not tell the state folder"), "{error}");
        assert!(running(&["--config", "/nowhere"]).is_err());
    }

    #[test]
    fn the_short_help_has_no_internal_commands() {
        let help = Arguments::command().render_help().to_string();
        assert!(help.contains("serve") && !help.contains("edge "), "{help}");
    }
}
