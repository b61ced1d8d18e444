//! What a person should know about settings that are right: what is not built, has no effect, or is easily regretted.

use crate::fault::Step;
use crate::server::LogTarget;
use crate::settled::Settled;
use crate::site::Site;

/// Something to know, and the setting it is about. It is said only where that setting was written.
pub(crate) type Remark = (Vec<Step>, String);

/// Everything to know about `settled`.
pub(crate) fn remarks(settled: &Settled) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if settled.server.status.is_some() {
        remarks.push((
            keys(&["server", "status"]),
            "the status board is not built yet; nothing listens there".to_owned(),
        ));
    }
    if settled.server.log.to != LogTarget::File && settled.server.log.path.is_some() {
        remarks.push((
            keys(&["server", "log", "path"]),
            "the path is not used: the access log does not go to a file".to_owned(),
        ));
    }
    for (entry, network) in settled.server.exempt_clients.iter().enumerate() {
        if network.is_everyone() {
            let mut path = keys(&["server", "exempt_clients"]);
            path.push(Step::Entry(entry));
            let what = format!(
                "{network} is everyone: the shield protects from nobody who comes from there"
            );
            remarks.push((path, what));
        }
    }
    for (position, site) in settled.sites.iter().enumerate() {
        for (below, text) in cache_remarks(site) {
            let mut path = vec![Step::Key("site"), Step::Entry(position)];
            path.extend(below);
            remarks.push((path, text));
        }
    }
    remarks
}

fn keys(keys: &[&'static str]) -> Vec<Step> {
    keys.iter().map(|key| Step::Key(key)).collect()
}

fn cache_remarks(site: &Site) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if site.origins.is_empty() {
        remarks.push((
            keys(&["cache"]),
            "the cache is not used: the site's content comes from no origin".to_owned(),
        ));
        return remarks;
    }
    if site.cache.store_set_cookie {
        remarks.push((
            keys(&["cache", "store_set_cookie"]),
            "responses with Set-Cookie are kept: a cookie made for one visitor reaches others"
                .to_owned(),
        ));
    }
    for (entry, name) in site.cache.key_headers.iter().enumerate() {
        let Some(instead) = instead_of_key(name.as_str()) else {
            continue;
        };
        let mut path = keys(&["cache", "key_headers"]);
        path.push(Step::Entry(entry));
        remarks.push((
            path,
            format!(
                "nearly every visitor sends another {:?}, and little is shared; {instead}",
                name.as_str()
            ),
        ));
    }
    remarks
}

/// What tells visitors apart well enough, in place of a field that nearly all of them send differently.
fn instead_of_key(field: &str) -> Option<&'static str> {
    match field {
        "cookie" => Some("`key_cookies` names the cookies that matter"),
        "user-agent" => Some("`key_device` tells phones from other devices"),
        "accept-language" => Some("`key_languages` lists the languages of the site"),
        "accept" => Some("`key_words` looks for the words that matter"),
        "authorization" => {
            Some("responses to requests with credentials are stored only if they say `public`")
        }
        _ => None,
    }
}
