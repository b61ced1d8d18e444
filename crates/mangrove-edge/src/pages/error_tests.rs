use std::collections::HashSet;

use super::*;
use crate::reason::Reason;

const MET: Met<'static> = Met {
    request_id: b"01JD9ZK3Q8W4V7N2",
    host: b"news.example",
    time_unix: 1_795_372_913,
};

fn trouble(fault: Fault, status: u16, reason: &'static str) -> Trouble<'static> {
    Trouble {
        fault,
        status,
        reason,
        explain: "The origin refused the connection.",
    }
}

fn rendered(trouble: &Trouble<'_>, format: Format, language: Language) -> String {
    written(&Pages::new(), trouble, &MET, format, language)
}

fn written(
    pages: &Pages,
    trouble: &Trouble<'_>,
    met: &Met<'_>,
    format: Format,
    language: Language,
) -> String {
    let page = pages.page(trouble, format, language).unwrap();
    String::from_utf8(page.write(met)).unwrap()
}

const FORMATS: [Format; 3] = [Format::Html, Format::Text, Format::Problem];

/// One page of every kind.
const EVERY_KIND: [(Fault, u16, &str); 17] = [
    (Fault::Visitor, 400, "bare-lf"),
    (Fault::Visitor, 403, "not-allowed"),
    (Fault::Visitor, 404, "no-such-file"),
    (Fault::Visitor, 405, "method-not-allowed"),
    (Fault::Visitor, 408, "head-timeout"),
    (Fault::Visitor, 431, "head-too-large"),
    (Fault::Visitor, 421, "unknown-host"),
    (Fault::Visitor, 429, "rate-limited"),
    (Fault::Visitor, 508, "loop-detected"),
    (Fault::Edge, 500, "module-panicked"),
    (Fault::Edge, 503, "too-many-connections"),
    (Fault::Edge, 508, "loop-detected"),
    (Fault::Origin, 502, "connect-refused"),
    (Fault::Origin, 504, "first-byte-timeout"),
    (Fault::Origin, 503, "queue-timeout"),
    (Fault::Origin, 502, "malformed-chunk-size"),
    (Fault::Origin, 508, "loop-detected"),
];

#[test]
fn every_sentence_exists_in_every_language() {
    let pages = Pages::new();
    assert_eq!(EVERY_KIND.len(), Kind::ALL.len());
    for (fault, status, reason) in EVERY_KIND {
        for language in Language::ALL {
            for format in FORMATS {
                let trouble = trouble(fault, status, reason);
                let text = written(&pages, &trouble, &MET, format, language);
                assert!(
                    text.contains(reason) && !text.contains("[["),
                    "{reason} {language:?} {format:?}: {text}"
                );
            }
        }
    }
}

#[test]
fn any_status_at_all_gets_a_page() {
    let pages = Pages::new();
    for fault in [Fault::Visitor, Fault::Edge, Fault::Origin] {
        for status in 0..=1000 {
            let asked = trouble(fault, status, "some-reason");
            assert!(
                pages.sheet(&asked, Language::Bengali).is_some(),
                "{asked:?}"
            );
        }
    }
}

#[test]
fn one_glance_tells_whose_trouble_it_is() {
    let states = |fault, status| {
        let html = rendered(
            &trouble(fault, status, "some-reason"),
            Format::Html,
            Language::English,
        );
        html.split("<li class=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(states(Fault::Visitor, 400), ["bad", "ok", "idle"]);
    assert_eq!(states(Fault::Edge, 500), ["ok", "bad", "idle"]);
    assert_eq!(states(Fault::Origin, 502), ["ok", "ok", "bad"]);
}

#[test]
fn every_origin_fault_gets_the_words_that_fit_it() {
    let kind = |status, reason| Kind::of(&trouble(Fault::Origin, status, reason));
    assert_eq!(kind(502, "connect-refused"), Kind::OriginUnreachable);
    assert_eq!(kind(503, "no-healthy-origin"), Kind::OriginUnreachable);
    assert_eq!(kind(503, "queue-timeout"), Kind::OriginBusy);
    assert_eq!(kind(504, "connect-timeout"), Kind::OriginSlow);
    assert_eq!(kind(502, "malformed-chunk-size"), Kind::OriginGarbled);
}

#[test]
fn no_page_is_over_six_kibibytes_or_asks_for_anything_else() {
    const SIX_KIB: usize = 6 * 1024;
    let mut largest = 0;
    for (fault, status, reason) in EVERY_KIND {
        for language in Language::ALL {
            let html = rendered(&trouble(fault, status, reason), Format::Html, language);
            for outside in [
                "<script", "http://", "https://", "src=", "href=", "url(", "@import",
            ] {
                assert!(!html.contains(outside), "{outside} in {reason}");
            }
            largest = largest.max(html.len());
        }
    }
    assert!(largest < SIX_KIB, "{largest}");
}

#[test]
fn a_hostile_host_cannot_leave_its_place() {
    let met = Met {
        host: b"<img src=x onerror=alert(1)>\"\\\x1b[31m\xff",
        ..MET
    };
    let trouble = trouble(Fault::Origin, 502, "connect-refused");
    let pages = Pages::new();
    let written = |format| written(&pages, &trouble, &met, format, Language::English);
    let html = written(Format::Html);
    assert!(html.contains("&lt;img?src=x?onerror=alert(1)&gt;&quot;\\?[31m?"));
    let text = written(Format::Text);
    assert!(!text.contains('\x1b'));
    let problem = written(Format::Problem);
    let parsed: serde_json::Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(parsed["host"], "<img?src=x?onerror=alert(1)>\"\\?[31m?");
}

#[test]
fn a_host_one_past_the_limit_is_cut() {
    let long = [b'a'; HOST_SHOWN + 1];
    let met = Met { host: &long, ..MET };
    let trouble = trouble(Fault::Visitor, 421, "unknown-host");
    let text = written(
        &Pages::new(),
        &trouble,
        &met,
        Format::Text,
        Language::English,
    );
    let shown = text
        .lines()
        .find_map(|line| line.strip_prefix("Host: "))
        .unwrap();
    assert_eq!(shown, format!("{}…", "a".repeat(HOST_SHOWN)));
}

#[test]
fn a_program_gets_the_members_of_rfc_9457() {
    let problem = rendered(
        &trouble(Fault::Origin, 502, "connect-refused"),
        Format::Problem,
        Language::English,
    );
    let parsed: serde_json::Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(parsed["type"], "urn:mangrove:reason:connect-refused");
    assert_eq!(parsed["title"], "The website is not answering");
    assert_eq!(parsed["status"], 502);
    assert_eq!(parsed["fault"], "origin");
    assert_eq!(parsed["reason"], "connect-refused");
    assert_eq!(parsed["request_id"], "01JD9ZK3Q8W4V7N2");
    assert_eq!(parsed["time"], "2026-11-22T18:41:53Z");
}

#[test]
fn a_terminal_gets_the_same_story_in_words() {
    let text = rendered(
        &trouble(Fault::Origin, 502, "connect-refused"),
        Format::Text,
        Language::English,
    );
    assert!(text.starts_with("502 The website is not answering\n\n[ok] You: Connected\n"));
    assert!(text.contains("[ok] Mangrove edge: Working\n[!!] Website: Problem here\n"));
    assert!(text.contains("Time: 2026-11-22 18:41:53 UTC\n"));
}

#[test]
fn bengali_says_the_reason_itself_and_falls_back_to_english() {
    let own = rendered(
        &trouble(Fault::Origin, 502, "connect-refused"),
        Format::Html,
        Language::Bengali,
    );
    assert!(own.contains("<html lang=\"bn\" dir=\"ltr\">"));
    assert!(!own.contains("The origin refused"));
    let fallback = rendered(
        &trouble(Fault::Origin, 502, "a-reason-made-tomorrow"),
        Format::Html,
        Language::Bengali,
    );
    assert!(fallback.contains("The origin refused the connection."));
}

#[test]
fn bengali_has_a_sentence_for_every_reason_and_for_no_other() {
    let pages = Pages::new();
    let mut missing = Vec::new();
    let mut unused: HashSet<String> = pages.bengali.keys().cloned().collect();
    for reason in Reason::all() {
        unused.remove(reason.name());
        let asked = Trouble {
            fault: reason.fault(),
            reason: reason.name(),
            ..trouble(Fault::Edge, 500, "")
        };
        if !pages.bengali.contains_key(asked.reason) {
            missing.push(reason.name());
        }
    }
    assert!(
        missing.is_empty() && unused.is_empty(),
        "bn.ftl lacks {missing:?}, and has {unused:?} too many"
    );
}

#[test]
fn the_calendar_knows_its_corners() {
    let date = |unix| {
        let mut out = Vec::new();
        push_utc(unix, b'T', b"Z", &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(date(0), "1970-01-01T00:00:00Z");
    assert_eq!(date(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(date(951_868_799), "2000-02-29T23:59:59Z");
    assert_eq!(date(1_709_164_800), "2024-02-29T00:00:00Z");
    assert_eq!(date(1_735_689_599), "2024-12-31T23:59:59Z");
    assert_eq!(date(4_107_542_400), "2100-03-01T00:00:00Z");
    assert_eq!(date(u64::MAX), "9999-12-31T23:59:59Z");
}
