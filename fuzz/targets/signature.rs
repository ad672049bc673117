//! The reader of detached signatures, with its armour and without: it never fails but by an error, and
//! the key that it finds is one that is written and read the same. No signature that was not made of
//! these bytes holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remsync::format::public_key::PublicKey;
use remsync::format::sshsig;

fuzz_target!(|bytes: &[u8]| {
    for read in [sshsig::parse(bytes), sshsig::parse_blob(bytes)].into_iter().flatten() {
        assert_eq!(PublicKey::from_blob(&read.key.blob()).as_ref(), Ok(&read.key));
        assert_eq!(PublicKey::parse(&read.key.bare_line()).as_ref(), Ok(&read.key));
        assert!(!read.is_over(b"a digest that nobody signed"), "{read:?}");
        let text = format!("{} {}", read.namespace, read.key);
        assert!(!text.contains(char::is_control), "{text:?}");
    }
});
