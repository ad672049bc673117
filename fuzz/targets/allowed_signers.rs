//! The readers of whom we trust: `allowed_signers` and the two kinds of lists of revoked keys. What is
//! trusted of a line is no more than what it says.
#![no_main]

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use remsync::format::allowed_signers;
use remsync::format::revoked::Revoked;
use remsync::format::seal_keys::SealKeys;
use remsync::format::sshsig::NAMESPACE;
use remsync::model::Address;

const NOW_MS: i64 = 1_795_305_600_000;

fuzz_target!(|bytes: &[u8]| {
    let revoked = Revoked::parse(bytes);
    let text = String::from_utf8_lossy(bytes);
    let _ = SealKeys::parse(&text);
    let signers = allowed_signers::parse(&text, &TimeZone::UTC);
    let nobody = Address::new("nobody@nowhere.example").expect("an address");
    for line in &signers.lines {
        let standing = signers.standing(&line.key, nobody.as_str(), NAMESPACE, NOW_MS);
        // Who speaks for everybody says so by a pattern.
        assert!(!standing.is_good() || text.contains(['*', '?']) || text.contains("nobody"));
        assert!(!signers.standing(&line.key, "", "", NOW_MS).is_good() || text.contains('*'));
        // What we would write of it trusts the same key, and for the one address.
        let ours = allowed_signers::line(&nobody, &line.key);
        let again = allowed_signers::parse(&ours, &TimeZone::UTC);
        assert_eq!(again.faults, []);
        assert!(again.standing(&line.key, nobody.as_str(), NAMESPACE, NOW_MS).is_good());
        assert!(!again.standing(&line.key, nobody.as_str(), "git", NOW_MS).is_good());
        let _ = revoked.as_ref().is_ok_and(|revoked| revoked.has(&line.key));
    }
});
