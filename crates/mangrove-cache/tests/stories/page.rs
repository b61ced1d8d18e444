//! The page of every state and reason.

use mangrove_cache::{NotStored, Reason, decisions_markdown};

/// The committed page says what the code says. `MANGROVE_WRITE_DOCS=1` writes it anew.
#[test]
fn the_page_of_decisions_is_up_to_date() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cache-decisions.md");
    let page = decisions_markdown();
    if std::env::var_os("MANGROVE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/cache-decisions.md is out of date: run this test with MANGROVE_WRITE_DOCS=1"
    );
}

#[test]
fn the_page_names_every_reason() {
    let page = decisions_markdown();
    let names = Reason::ALL
        .iter()
        .map(|reason| reason.name())
        .chain(NotStored::ALL.iter().map(|reason| reason.name()));
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
