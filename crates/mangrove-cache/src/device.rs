//! Coarse classes of clients, for sites whose pages differ by device or language but do not say so in `Vary`.

use mangrove_http::{Known, RequestHead, accept};

use crate::rules::DeviceRule;

/// What kind of device a request seems to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// Anything else, and whoever does not say.
    Desktop,
}

impl Device {
    /// `phone`, `tablet` or `desktop`: to be forwarded to the origin, so that both mean the same.
    pub const fn name(self) -> &'static str {
        match self {
            Device::Phone => "phone",
            Device::Tablet => "tablet",
            Device::Desktop => "desktop",
        }
    }
}

/// The class of a device where only `rule` counts: where tablets do not, they are desktops, as `Sec-CH-UA-Mobile` has it.
pub fn device_class(request: &RequestHead, rule: DeviceRule) -> Device {
    match (rule, device(request)) {
        (DeviceRule::Off, _) | (DeviceRule::Phones, Device::Tablet) => Device::Desktop,
        (_, device) => device,
    }
}

/// By `Sec-CH-UA-Mobile` (User-Agent Client Hints, section 3.4), which only phones answer with `?1`; without it, and to
/// find tablets, by `User-Agent`.
fn device(request: &RequestHead) -> Device {
    let mut hints = request.named(b"sec-ch-ua-mobile");
    match (hints.next(), by_agent(request)) {
        (Some(b"?1"), _) => Device::Phone,
        (Some(b"?0"), Device::Phone) => Device::Desktop,
        (_, by_agent) => by_agent,
    }
}

/// Browsers on phones say `Mobile`, those on Android tablets say `Android` alone.
fn by_agent(request: &RequestHead) -> Device {
    let agent = request.field(Known::UserAgent).unwrap_or_default();
    let says = |word: &[u8]| agent.windows(word.len()).any(|window| window == word);
    if says(b"iPad") || says(b"Tablet") || (says(b"Android") && !says(b"Mobile")) {
        Device::Tablet
    } else if says(b"Mobi") || says(b"iPhone") || says(b"Opera Mini") {
        Device::Phone
    } else {
        Device::Desktop
    }
}

/// The one of `languages` that the request likes best; the first when it likes none.
///
/// A range means its language in any region or script, as in `bn-BD` (lookup, RFC 4647 section 3.4).
pub fn language_class<'l>(request: &RequestHead, languages: &'l [Box<str>]) -> &'l str {
    let mut best = (0, languages.first());
    for (range, weight) in accept::weighted(request, Known::AcceptLanguage) {
        let primary = range.split(|&b| b == b'-').next().unwrap_or_default();
        let whole = languages
            .iter()
            .find(|language| range.eq_ignore_ascii_case(language.as_bytes()));
        let by_primary = || {
            languages
                .iter()
                .find(|language| primary.eq_ignore_ascii_case(language.as_bytes()))
        };
        if let Some(language) = whole.or_else(by_primary)
            && weight > best.0
        {
            best = (weight, Some(language));
        }
    }
    best.1.map_or("", |language| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(name: &str, value: &str) -> RequestHead {
        let mut head = RequestHead::new();
        head.begin_h2();
        head.push_field(name.as_bytes(), value.as_bytes());
        head
    }

    #[test]
    fn devices() {
        let class = |agent| device_class(&asking("user-agent", agent), DeviceRule::Each);
        assert_eq!(
            class("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148"),
            Device::Phone
        );
        assert_eq!(
            class("Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/140 Mobile Safari/537.36"),
            Device::Phone
        );
        assert_eq!(
            class("Mozilla/5.0 (Linux; Android 15; SM-X910) Chrome/140 Safari/537.36"),
            Device::Tablet
        );
        assert_eq!(
            class("Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) Mobile/15E148"),
            Device::Tablet
        );
        assert_eq!(
            class("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"),
            Device::Desktop
        );
        let none = RequestHead::new();
        assert_eq!(device_class(&none, DeviceRule::Each), Device::Desktop);
    }

    #[test]
    fn what_the_client_hint_says_counts_before_what_the_agent_says() {
        let class = |hint: &str, agent: &str| {
            let mut head = asking("user-agent", agent);
            head.push_field(b"sec-ch-ua-mobile", hint.as_bytes());
            device_class(&head, DeviceRule::Each)
        };
        let (phone, tablet) = ("Android 10; K Mobile", "Android 10; K");
        assert_eq!(class("?1", "Windows NT 10.0"), Device::Phone);
        assert_eq!(
            class("?0", phone),
            Device::Desktop,
            "it asks for the desktop's page"
        );
        assert_eq!(class("?0", tablet), Device::Tablet);
        assert_eq!(class("nonsense", phone), Device::Phone);
    }

    #[test]
    fn only_what_the_site_tells_apart_counts() {
        let phone = asking("user-agent", "iPhone");
        let tablet = asking("user-agent", "iPad");
        let class = |rule| (device_class(&phone, rule), device_class(&tablet, rule));
        assert_eq!(class(DeviceRule::Each), (Device::Phone, Device::Tablet));
        assert_eq!(class(DeviceRule::Phones), (Device::Phone, Device::Desktop));
        assert_eq!(class(DeviceRule::Off), (Device::Desktop, Device::Desktop));
    }

    #[test]
    fn languages() {
        let site: Vec<Box<str>> = vec!["en".into(), "bn".into(), "pt-br".into()];
        let class = |value| language_class(&asking("accept-language", value), &site);
        assert_eq!(class("bn-BD, en;q=0.5"), "bn");
        assert_eq!(class("de, fr"), "en");
        assert_eq!(class("de, pt-BR;q=0.2"), "pt-br");
        assert_eq!(class("bn;q=0"), "en");
        assert_eq!(language_class(&RequestHead::new(), &[]), "");
    }
}
