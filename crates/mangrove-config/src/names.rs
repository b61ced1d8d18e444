//! Host names, and what may stand where one is expected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Splits `host[:port]`, where an IPv6 host is in brackets; the host comes back without them.
pub(crate) fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("an IPv6 address ends with ]")?;
        host.parse::<Ipv6Addr>()
            .map_err(|_| format!("[{host}] is not an IPv6 address"))?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err("after ] comes :port or nothing".to_owned()),
        }
    } else {
        match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address is written in brackets: [::1]".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = match port {
        None => None,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(
                digits
                    .parse::<u16>()
                    .map_err(|_| format!("{digits} is not a port: they end at 65535"))?,
            )
        }
        Some(other) => return Err(format!("{other:?} is not a port number")),
    };
    Ok((host, port))
}

/// A name or address to connect to, in canonical form.
pub(crate) fn address_or_name(host: &str) -> Result<String, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    dns_name(host)
}

/// The longest name in the DNS, written out (RFC 1035 section 2.3.4).
pub const NAME_BYTES: usize = 253;
/// The longest label between two dots (RFC 1035 section 2.3.4).
pub const LABEL_BYTES: usize = 63;

/// Checks a DNS name and puts it in lower case, without a final dot. Underscores are let through: they are in use.
pub(crate) fn dns_name(name: &str) -> Result<String, String> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    if bare.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if !bare.is_ascii() {
        return Err("a name outside ASCII is written in its xn-- form (RFC 5891)".to_owned());
    }
    if bare.len() > NAME_BYTES {
        return Err(format!("a name has at most {NAME_BYTES} bytes"));
    }
    for label in bare.split('.') {
        if label.is_empty() {
            return Err("there is nothing between two dots".to_owned());
        }
        if label.len() > LABEL_BYTES {
            return Err(format!(
                "each part between dots has at most {LABEL_BYTES} bytes"
            ));
        }
        if let Some(wrong) = label
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        {
            return Err(format!("{wrong:?} cannot be in a host name"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a part between dots neither begins nor ends with -".to_owned());
        }
    }
    let last = bare.rsplit('.').next().unwrap_or(bare);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            "a name whose last part is a number would be read as an IPv4 address".to_owned(),
        );
    }
    Ok(bare.to_ascii_lowercase())
}

/// Checks what a site answers to, and puts it in canonical form: a name, `*.name`, `*`, or an address as it stands in a
/// Host field.
pub(crate) fn host_pattern(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    if text.is_empty() {
        return Err("a host is a name, `*.name`, or `*` for any host".to_owned());
    }
    if let Some(suffix) = text.strip_prefix("*.") {
        return dns_name(suffix).map(|name| format!("*.{name}"));
    }
    if text.contains('*') {
        return Err(
            "`*` stands alone, or first and for all names below: `*.news.example`".to_owned(),
        );
    }
    if text.contains(['/', '@']) {
        return Err("a host is only the name: `news.example`, not a URL".to_owned());
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(address.to_string());
    }
    let (host, port) = split_port(text)?;
    if port.is_some() {
        return Err("a host is written without its port: it answers on every listener".to_owned());
    }
    match host.parse::<Ipv6Addr>() {
        Ok(address) => Ok(format!("[{address}]")),
        Err(_) => dns_name(host),
    }
}

/// Whether this is a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hosts_are_put_in_one_form() {
        for (written, canonical) in [
            ("News.Example.", "news.example"),
            ("*.NEWS.example", "*.news.example"),
            ("*", "*"),
            ("xn--45h.example", "xn--45h.example"),
            ("my_app.internal", "my_app.internal"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(host_pattern(written).as_deref(), Ok(canonical));
        }
    }

    #[test]
    fn hosts_that_could_match_too_much_or_nothing_are_refused() {
        for wrong in [
            "",
            ".",
            "*.",
            "**",
            "*.*",
            "a*.example",
            "www.*",
            "a..b",
            "-a.example",
            "a-.example",
            "a b",
            "a:80",
            "http://a",
            "::1",
            "1.2.3",
            "256.1.1.1",
            "বাংলা.example",
            "a\0b",
            "*.192.0.2.1",
        ] {
            assert!(host_pattern(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_end_where_the_dns_ends_them() {
        let label = "a".repeat(LABEL_BYTES);
        assert!(dns_name(&label).is_ok());
        assert!(dns_name(&format!("{label}a")).is_err());
        let longest = format!(
            "{label}.{label}.{label}.{}",
            "a".repeat(NAME_BYTES - 3 * (LABEL_BYTES + 1))
        );
        assert!(dns_name(&longest).is_ok());
        assert!(dns_name(&format!("{longest}a")).is_err());
    }

    proptest! {
        #[test]
        fn what_is_a_host_here_is_a_host_to_http(text in "\\*?\\.?[a-z0-9:.\\[\\]_-]{0,20}") {
            if let Ok(canonical) = host_pattern(&text) {
                prop_assert!(mangrove_http::HostPattern::parse(&canonical).is_some(), "{canonical}");
            }
        }

        #[test]
        fn the_canonical_form_of_a_host_is_its_own(text in "[*.a-zA-Z0-9:\\[\\]_-]{0,20}") {
            if let Ok(canonical) = host_pattern(&text) {
                prop_assert_eq!(host_pattern(&canonical), Ok(canonical));
            }
        }
    }
}
