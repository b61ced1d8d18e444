//! What clients on one machine sent, captured by `tests/hellos/capture.py`: curl 7.88 and s_client over OpenSSL 3.0, and
//! Chromium 156; each when it began, and when it resumed.
//!
//! The names were computed by a second reading of the same bytes, in another language; curl's is also the one that others have
//! published for it. This Chromium draws one of its signature algorithms by lot, too.

use mangrove_shield::ja4::Fingerprint;

fn both(name: &str) -> [Fingerprint; 2] {
    ["fresh", "resumed"].map(|state| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hellos");
        let bytes = std::fs::read(format!("{folder}/{name}-{state}.bin")).unwrap();
        Fingerprint::of(&bytes).unwrap()
    })
}

#[test]
fn real_clients_have_these_names() {
    for (name, fresh_name, resumed_name, stable_name) in [
        (
            "chromium",
            "t13d1517h2_8daaf6152771_cb7bf5808d99",
            "t13d1518h2_8daaf6152771_e2d80978ab2e",
            "t13d151500_8daaf6152771_22db41f7518f",
        ),
        (
            "curl",
            "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6",
            "t13d3112h2_e8f1e7e78f70_ee8ba1ecc37f",
            "t13d311000_e8f1e7e78f70_375ca2c5e164",
        ),
        (
            "openssl",
            "t13d311000_e8f1e7e78f70_1f22a2ca17c4",
            "t13d311100_e8f1e7e78f70_dbd39dd1d406",
            "t13d310900_e8f1e7e78f70_c9e58cc61e36",
        ),
    ] {
        let [fresh, resumed] = both(name);
        assert_eq!(fresh.ja4.as_str(), fresh_name, "{name}");
        assert_eq!(resumed.ja4.as_str(), resumed_name, "{name}");
        // Resuming changes JA4 itself, as everyone computes it, and not the stable form.
        assert_eq!(fresh.stable.as_str(), stable_name, "{name}");
        assert_eq!(fresh.stable, resumed.stable, "{name}");
    }
}
