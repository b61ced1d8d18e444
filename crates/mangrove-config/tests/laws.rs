//! Laws that hold for every settled form and every string of bytes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should say so and stop"
)]

use std::time::Duration;

use mangrove_config::{
    BypassSettings, CacheSettings, CompressSettings, Defaults, DeviceKey, Draft, Health,
    HostPolicy, LifetimeSettings, LogTarget, NegativeSettings, Origin, OriginProtocol, PathPolicy,
    Respond, Server, Settled, Site, StaleSettings, TargetedField, TlsVersion, diff, explain,
};
use proptest::prelude::*;

fn origin() -> impl Strategy<Value = Origin> {
    let url = prop_oneof![
        (1_u16.., "[a-z]{1,8}").prop_map(|(port, name)| format!("http://{name}.example:{port}")),
        "[a-z]{1,8}".prop_map(|name| format!("https://{name}.example")),
        "[a-z]{1,8}".prop_map(|name| format!("unix:/run/{name}.sock")),
    ];
    (url, 1_u16..=1_000).prop_map(|(url, weight)| Origin::parse(&url, weight).unwrap())
}

/// Settings of a cache that contradict nothing: each list has one entry at most, so that none stands for another.
fn cache() -> impl Strategy<Value = CacheSettings> {
    let key = (
        prop::option::of("[a-z]{1,6}\\*?"),
        any::<bool>(),
        prop::option::of("[a-z]{1,6}"),
        prop::option::of("[a-z]{2}(-[a-z]{2})?"),
        prop_oneof![Just(DeviceKey::Off), Just(DeviceKey::Each)],
    );
    let rules = (
        prop::option::of("/out/[a-z]{0,4}\\*?"),
        prop::option::of(("/in/[a-z]{0,4}", 0_u64..100_000, any::<bool>())),
        prop::option::of((430_u16..600, 0_u64..100)),
        0_u64..=24 * 7,
        prop::option::of(Just(TargetedField::Cdn)),
        1_u32..=1_024,
    );
    (key, rules).prop_map(
        |(
            (parameter, only, cookie, language, device),
            (out, lifetime, error, hours, field, variants),
        )| {
            let mut cache = CacheSettings {
                key_cookies: cookie.iter().map(|name| name.parse().unwrap()).collect(),
                key_languages: language.iter().map(|tag| tag.parse().unwrap()).collect(),
                key_device: device,
                bypass: BypassSettings {
                    paths: out.iter().map(|paths| paths.parse().unwrap()).collect(),
                    ..BypassSettings::default()
                },
                stale: StaleSettings {
                    if_error: Duration::from_secs(hours * 3_600),
                    ..StaleSettings::default()
                },
                targeted: field.into_iter().collect(),
                max_variants: variants,
                ..CacheSettings::default()
            };
            let parameters = parameter.iter().map(|name| name.parse().unwrap()).collect();
            if only {
                cache.query_only = parameters;
            } else {
                cache.query_ignore = parameters;
            }
            cache
                .lifetimes
                .extend(lifetime.map(|(path, seconds, overrides)| LifetimeSettings {
                    path: Some(path.parse().unwrap()),
                    ttl: Some(Duration::from_secs(seconds)),
                    overrides,
                    ..LifetimeSettings::default()
                }));
            let error = error.filter(|(status, _)| !mangrove_cache::is_never_stored(*status));
            cache
                .negative
                .extend(error.map(|(status, seconds)| NegativeSettings {
                    status: Some(status.to_string().parse().unwrap()),
                    ttl: Some(Duration::from_secs(seconds)),
                }));
            cache
        },
    )
}

fn site() -> impl Strategy<Value = Site> {
    let respond = ("[ -~]{0,40}", 200_u16..=203).prop_map(|(body, status)| Respond {
        status,
        body,
        ..Respond::default()
    });
    let content = prop_oneof![
        origin().prop_map(|origin| (Some(origin), None)),
        respond.prop_map(|respond| (None, Some(respond)))
    ];
    let host = prop_oneof![
        Just(HostPolicy::Preserve),
        Just(HostPolicy::Origin),
        "[a-z]{1,8}\\.example".prop_map(HostPolicy::Literal)
    ];
    let protocol = prop_oneof![
        Just(OriginProtocol::Auto),
        Just(OriginProtocol::Http1),
        Just(OriginProtocol::H2)
    ];
    let health = prop::option::of((500_u64..60_000, 50_u64..=500).prop_map(
        |(interval, timeout)| Health {
            interval: Duration::from_millis(interval),
            timeout: Duration::from_millis(timeout),
            ..Health::default()
        },
    ));
    (
        content,
        host,
        protocol,
        health,
        any::<bool>(),
        prop::option::of(1_u64..1 << 40),
        50_u64..60_000,
        (cache(), 1_u32..=19),
    )
        .prop_map(
            |(
                (origin, respond),
                host,
                protocol,
                health,
                normalized,
                body,
                connect,
                (cache, zstd_level),
            )| {
                let mut site = Site {
                    origins: origin.into_iter().collect(),
                    respond,
                    request_body_bytes: body,
                    cache,
                    compress: CompressSettings {
                        zstd_level,
                        ..CompressSettings::default()
                    },
                    ..Site::default()
                };
                site.origin.host = host;
                site.origin.protocol = protocol;
                site.origin.health = health;
                site.origin.connect_timeout = Duration::from_millis(connect);
                site.path = if normalized {
                    PathPolicy::Normalized
                } else {
                    PathPolicy::AsReceived
                };
                site
            },
        )
}

fn settled() -> impl Strategy<Value = Settled> {
    let sites = prop::collection::vec(site(), 1..5);
    (
        sites,
        1_000_u64..=120_000,
        any::<bool>(),
        prop::option::of(1_u16..=1_024),
    )
        .prop_map(|(mut sites, head, off, workers)| {
            for (position, site) in sites.iter_mut().enumerate() {
                site.name = format!("site-{position}");
                site.hosts = vec![
                    format!("host-{position}.example"),
                    format!("*.wild-{position}.example"),
                ];
            }
            let mut server = Server {
                workers,
                ..Server::on_loopback()
            };
            server.limits.request_head = Duration::from_millis(head);
            server.log.to = if off {
                LogTarget::Off
            } else {
                LogTarget::Stdout
            };
            server.tls.min_version = if off {
                TlsVersion::V1_3
            } else {
                TlsVersion::V1_2
            };
            Settled {
                sites,
                ..Settled::sample(server)
            }
        })
}

proptest! {
    #[test]
    fn what_is_stored_comes_back_the_same(settled in settled()) {
        let read = Settled::from_json(settled.to_json().as_bytes()).unwrap();
        prop_assert_eq!(&read, &settled);
        prop_assert_eq!(read.digest(), settled.digest());
        prop_assert_eq!(diff(&read, &settled), "");
        prop_assert!(explain(&settled).contains(&settled.digest()));
    }

    #[test]
    fn what_is_settled_is_obeyed_whole(settled in settled()) {
        for site in &settled.sites {
            let (cache, rules) = (&site.cache, site.cache.rules("mangrove"));
            prop_assert_eq!(rules.lifetimes.len(), cache.lifetimes.len());
            prop_assert_eq!(rules.negative.len(), cache.negative.len());
            prop_assert_eq!(rules.bypass.paths.len(), cache.bypass.paths.len());
            prop_assert_eq!(rules.key.cookies.len(), cache.key_cookies.len());
            prop_assert_eq!(rules.targeted.len(), cache.targeted.len());
            prop_assert_eq!(site.compress.rules().types.len(), site.compress.types.len());
        }
    }

    #[test]
    fn any_difference_is_told(one in settled(), other in settled()) {
        prop_assert_eq!(one == other, diff(&one, &other).is_empty());
        prop_assert_eq!(one == other, one.digest() == other.digest());
    }

    #[test]
    fn stored_bytes_that_were_damaged_are_refused_or_still_right(settled in settled(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = settled.to_json().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Settled::from_json(&bytes) {
            prop_assert!(read.check().is_ok());
        }
    }

    #[test]
    fn no_bytes_make_reading_a_stored_form_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Settled::from_json(&bytes);
    }

    #[test]
    fn no_text_makes_settling_panic(text in "(\\[+(server|site|site\\.origin|server\\.limits|site\\.cache|site\\.cache\\.lifetime|site\\.cache\\.bypass|site\\.compress)\\]+\n|[a-z_]{1,10} ?= ?[-\"'\\[{0-9a-z.:/]{0,20}[\\]}\"']?\n|\\PC{0,20}\n){0,12}") {
        if let Err(problems) = Draft::parse("f", &text).and_then(|draft| draft.settle(&Defaults::default())) {
            prop_assert!(!problems.list.is_empty());
            prop_assert!(!problems.to_string().is_empty());
        }
    }
}
