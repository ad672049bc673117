//! The reader of `.remsync`: what it reads it writes, and what it wrote it reads and writes the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remsync::format::project;

fuzz_target!(|text: &[u8]| {
    let Ok(read) = project::parse(text, ".remsync") else { return };
    let written = project::print(&read);
    let again = project::parse(&written, ".remsync").expect("what was written can be read");
    assert_eq!(project::print(&again), written);
});
