//! The reader of orders: what it reads it writes, and what it wrote it reads and writes the same. (Not
//! that both readings are equal: a pattern has several spellings, of which one is written.)
#![no_main]

use libfuzzer_sys::fuzz_target;
use remsync::format::orders;

fuzz_target!(|text: &[u8]| {
    let Ok(mut read) = orders::parse(text, "orders") else { return };
    // They are read, and never written: what they lack is put in when it is known.
    if read.is_oldest {
        return;
    }
    // What 1.3 cannot name is left out.
    let format = read.identity.format;
    read.rows.retain(|row| orders::is_writable(format, &row.path));
    let written = orders::print(&read);
    let again = orders::parse(written.as_slice(), "orders").expect("what was written can be read");
    assert_eq!(again.rows, read.rows);
    assert_eq!(orders::print(&again), written);
});
