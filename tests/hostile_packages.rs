//! Packages as strangers may send them: sound ones of every dialect are read, all others refused
//! for the reason that they deserve, and nothing panics.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::Command;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc, GzBuilder};
use proptest::prelude::*;
use remsync::format::digest::hex;
use remsync::format::package::{
    Bound, Level, Limits, NoSink, Package, PackageFault, Sink, Writer, check, peek, read,
    read_within,
};
use support::archive::{
    MTIME_S, Raw, gzip, long_name, noise, orders_head, package, pax, raw, sha256, tar,
};

const FILES: [&[u8]; 3] = [b"one\n", b"", &[7; 1500]];
const TIME: i64 = MTIME_S;
const SERIAL: u64 = 1_790_000_000_000;

fn numbered(number: u32) -> Raw {
    raw(&format!(".remsync-work/{number}"), FILES[number as usize - 1])
}

fn orders() -> Raw {
    raw(".remsync-work/orders", &orders_text(&FILES))
}

fn folder() -> Raw {
    Raw { kind: b'5', mode: "0000700", ..raw(".remsync-work/", b"") }
}

/// The smallest sound package, with `first` and `last` around its entries.
fn with(first: &[Raw], last: &[Raw]) -> Vec<u8> {
    let sound = [folder(), orders(), numbered(1), numbered(2), numbered(3)];
    package(&[first, &sound, last].concat())
}

/// The smallest sound package, its first file replaced by `instead`.
fn with_1(instead: &[Raw]) -> Vec<u8> {
    package(&[&[folder(), orders()], instead, &[numbered(2), numbered(3)]].concat())
}

fn orders_text(files: &[&[u8]]) -> Vec<u8> {
    let mut text = orders_head("notes", "ana@ship.example ~/notes", "bo@shore.example -", SERIAL);
    for (number, file) in (1..).zip(files) {
        let x = if number == 2 { "x" } else { "" };
        let signature = sha256(file) + x;
        text += &format!("check\tf{number:06} {signature} -\nupdate\tf{number:06} - {number}\n");
    }
    text.into_bytes()
}

fn sound() -> Vec<u8> {
    with(&[], &[])
}

fn written(files: &[&[u8]], level: Level) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), level);
    writer.orders(&orders_text(files), TIME).unwrap();
    for (number, file) in (1..).zip(files) {
        let size = file.len() as u64;
        let wrote = writer.member(number, size, number == 2, TIME, 0, &mut &file[..]).unwrap();
        assert!(wrote.complete && wrote.trouble.is_none());
    }
    writer.finish().unwrap()
}

/// Keeps the files, to see that what is read is what was packed.
#[derive(Default)]
struct Kept(BTreeMap<u32, Vec<u8>>);

impl Sink for Kept {
    fn member(&mut self, number: u32) -> io::Result<Box<dyn Write + '_>> {
        Ok(Box::new(self.0.entry(number).or_default()))
    }
}

fn expect_sound(name: &str, bytes: &[u8]) -> Package {
    let mut kept = Kept::default();
    let package = read(bytes, &mut kept).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    let expected: Vec<Vec<u8>> = FILES.iter().map(|file| file.to_vec()).collect();
    assert_eq!(kept.0.into_values().collect::<Vec<_>>(), expected, "{name}");
    assert!(peek(bytes).unwrap(), "{name}");
    package
}

/// What became of a package, in words.
fn outcome(bytes: &[u8]) -> String {
    match check(bytes) {
        Ok(_) => "sound".to_owned(),
        Err(fault) => fault.to_string(),
    }
}

/// Asserts of each row that its package is refused, and why.
fn expect_refused(rows: Vec<(&str, Vec<u8>, &str)>) {
    for (name, bytes, why) in rows {
        let outcome = outcome(&bytes);
        assert!(outcome != "sound" && outcome.contains(why), "{name}: {outcome}");
    }
}

#[test]
fn sound_packages_of_every_shape_are_read() {
    let v7 = |raw: Raw| Raw { kind: 0, magic: [0; 8], ..raw };
    let gnu = |raw: Raw| Raw { magic: *b"ustar  \0", ..raw };
    let dotted = |raw: Raw| Raw { name: [b"./".to_vec(), raw.name.clone()].concat(), ..raw };
    let all = || [folder(), orders(), numbered(1), numbered(2), numbered(3)];
    let tarred = tar(&all());
    let endless: Vec<u8> = all().iter().flat_map(Raw::bytes).collect();
    let (a, b) = tarred.split_at(700);
    let header = GzBuilder::new().extra(vec![1, 2, 3]).filename("n").comment("c").mtime(77);
    let mut with_header = header.write(Vec::new(), Compression::best());
    with_header.write_all(&tarred).unwrap();
    let fine = pax(&[("mtime", "1790000000.5"), ("size", "4"), ("path", ".remsync-work/1")]);
    let comment = Raw { kind: b'g', ..pax(&[("comment", "x")]) };
    let base_256 = [&[0x80], &[0; 10][..], &[4]].concat();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("plain", package(&all())),
        ("written by us", written(&FILES, Level::Usual)),
        ("written by us, stored", written(&FILES, Level::Stored)),
        ("v7", package(&all().map(v7))),
        ("gnu", package(&all().map(gnu))),
        ("names with a dot", package(&all().map(dotted))),
        ("orders last", package(&[numbered(3), numbered(1), numbered(2), orders()])),
        ("no folder", package(&all()[1..])),
        ("folder last", package(&[&all()[1..], &[folder()]].concat())),
        ("the folder above", with(&[Raw { kind: b'5', ..raw("./", b"") }], &[])),
        ("a prefix", with_1(&[Raw { prefix: ".remsync-work", ..raw("1", FILES[0]) }])),
        ("pax", with_1(&[fine, numbered(1)])),
        ("pax comment for all", with(&[comment], &[])),
        ("a long name", with_1(&[long_name(b'L', ".remsync-work/1"), numbered(1)])),
        ("setuid", with_1(&[Raw { mode: "0006755", ..numbered(1) }])),
        ("base 256", with_1(&[Raw { size: base_256, ..numbered(1) }])),
        ("blanks around a number", with_1(&[Raw { size: b"      4 ".into(), ..numbered(1) }])),
        ("no end", gzip(&endless)),
        ("half an end", gzip(&[&endless[..], &[0; 512]].concat())),
        ("a long end", gzip(&[&endless[..], &[0; 20_000]].concat())),
        ("several gzip members", [gzip(a), gzip(b""), gzip(b)].concat()),
        ("zeros behind gzip", [gzip(&tarred), vec![0; 70_000]].concat()),
        ("gzip header", with_header.finish().unwrap()),
        ("gzip header checksum", gzip_with_header_crc(&tarred, 0)),
    ];
    for (name, bytes) in rows {
        let package = expect_sound(name, &bytes);
        let executable: Vec<bool> = package.members.iter().map(|m| m.executable).collect();
        assert_eq!(executable, [false, true, false], "{name}");
        assert_eq!(package.orders_bytes, orders().data.len() as u64, "{name}");
        assert_eq!(package.member(3).map(|m| m.size_bytes), Some(1500), "{name}");
        assert_eq!((package.member(0), package.member(4)), (None, None), "{name}");
    }
}

/// gzip with FHCRC, its value off by `off`.
fn gzip_with_header_crc(bytes: &[u8], off: u16) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 2, 0, 0, 0, 0, 0, 255];
    let mut crc = Crc::new();
    crc.update(&out);
    out.extend(((crc.sum() & 0xffff) as u16).wrapping_add(off).to_le_bytes());
    let mut deflate = DeflateEncoder::new(out, Compression::fast());
    deflate.write_all(bytes).unwrap();
    let mut out = deflate.finish().unwrap();
    let mut crc = Crc::new();
    crc.update(bytes);
    out.extend(crc.sum().to_le_bytes());
    out.extend(crc.amount().to_le_bytes());
    out
}

#[test]
fn names_and_numbers_are_a_closed_grammar() {
    let also = |name: &str| with(&[], &[raw(name, b"x")]);
    let again = |entry: Raw| with(&[], &[entry]);
    let dotted = Raw { name: b"./.remsync-work/orders".into(), ..orders() };
    let digits = format!(".remsync-work/{}", "9".repeat(60));
    expect_refused(vec![
        ("traversal", also(".remsync-work/../../x"), "it holds \".remsync-work/../../x\""),
        ("above", also("../x"), "it holds \"../x\""),
        ("absolute", also("/etc/passwd"), "it holds \"/etc/passwd\""),
        ("absolute own", also("/.remsync-work/4"), "it holds \"/.remsync-work/4\""),
        ("outside", also("readme"), "it holds \"readme\""),
        ("other case", also(".REMSYNC-work/4"), "it holds \".REMSYNC-work/4\""),
        ("an escape", also("\x1b[2J"), "it holds \"\\x1b[2J\""),
        ("dot twice", also("././.remsync-work/4"), "it holds"),
        ("no name", also(""), "it holds \"\""),
        ("another name", also(".remsync-work/readme"), "it holds"),
        ("deeper", also(".remsync-work/4/4"), "it holds"),
        ("two slashes", also(".remsync-work//4"), "it holds"),
        ("leading zero", also(".remsync-work/04"), "it holds"),
        ("number zero", also(".remsync-work/0"), "it holds"),
        ("signed", also(".remsync-work/+4"), "it holds"),
        ("extra number", also(".remsync-work/4"), "no update asks for"),
        ("gap", with_1(&[]), "it lacks .remsync-work/1"),
        ("far number", also(".remsync-work/100000"), "it lacks .remsync-work/4"),
        ("too far", also(".remsync-work/100001"), "over 100000 numbered files"),
        ("much too far", also(&digits), "over 100000 numbered files"),
        ("missing last", package(&[orders(), numbered(1), numbered(2)]), "which it lacks"),
        ("a number twice", again(numbered(1)), "it holds .remsync-work/1 twice"),
        ("orders twice", again(orders()), "it holds .remsync-work/orders twice"),
        ("orders spelled twice", again(dotted), "it holds .remsync-work/orders twice"),
        ("folder twice", again(folder()), "its folder twice"),
        ("no orders", package(&[numbered(1)]), "it holds no .remsync-work/orders"),
        ("only a folder", package(&[folder()]), "it holds no .remsync-work/orders"),
        ("nonsense", package(&[raw(".remsync-work/orders", b"hello\n")]), "orders:1"),
        ("no text", package(&[raw(".remsync-work/orders", b"")]), ".remsync-work/orders"),
    ]);
}

#[test]
fn only_regular_files_are_taken() {
    let of = |kind: u8, link: &str| {
        with_1(&[Raw { kind, link: link.into(), ..raw(".remsync-work/1", b"") }])
    };
    let slash = Raw { kind: 0, ..raw(".remsync-work/1/", b"") };
    let own =
        |kind: u8, link: &str, data| Raw { kind, link: link.into(), ..raw(".remsync-work", data) };
    expect_refused(vec![
        ("symbolic link", of(b'2', "/etc/passwd"), "is a link"),
        ("hard link", of(b'1', ".remsync-work/2"), "is a link"),
        ("device", of(b'3', ""), "is a device"),
        ("block device", of(b'4', ""), "is a device"),
        ("pipe", of(b'6', ""), "is a pipe"),
        ("folder", of(b'5', ""), "is a folder"),
        ("folder by its slash", with_1(&[slash]), "it holds \".remsync-work/1/\""),
        ("contiguous", of(b'7', ""), "is no regular file"),
        ("holes", of(b'S', ""), "is a file with holes"),
        ("volume", of(b'V', ""), "is no regular file"),
        ("file with a link's name", of(b'0', "x"), "is a link"),
        ("the folder is a link", package(&[own(b'2', "/tmp", b""), orders()]), "is a link"),
        ("the folder is a file", package(&[own(b'0', "", b""), orders()]), "is a file"),
        ("the folder has bytes", package(&[own(b'5', "", b"x"), orders()]), "has contents"),
    ]);
}

#[test]
fn headers_that_disagree_are_refused() {
    let paxed = |key: &str, value: &str| with_1(&[pax(&[(key, value)]), numbered(1)]);
    let text = |text: &[u8]| with_1(&[Raw { kind: b'x', ..raw("p", text) }, numbered(1)]);
    let long = |kind, name: &str| with_1(&[long_name(kind, name), numbered(1)]);
    let twice = |entry: Raw| with_1(&[entry.clone(), entry, numbered(1)]);
    let keys = with_1(&[pax(&[("size", "4"), ("size", "4")]), numbered(1)]);
    let for_all = |key| with(&[Raw { kind: b'g', ..pax(&[(key, "4")]) }], &[]);
    expect_refused(vec![
        ("size", paxed("size", "5"), "disagree on its size"),
        ("size of nothing", paxed("size", "0"), "disagree on its size"),
        ("size of more", paxed("size", "1028"), "disagree on its size"),
        ("size of letters", paxed("size", "4x"), "\"size\" is bad"),
        ("no size", paxed("size", ""), "\"size\" is bad"),
        ("path", paxed("path", ".remsync-work/2"), "disagree on its name"),
        ("path outside", paxed("path", "../x"), "it holds \"../x\""),
        ("time", paxed("mtime", "1"), "disagree on its time"),
        ("time malformed", paxed("mtime", "1e9"), "\"mtime\" is bad"),
        ("link", paxed("linkpath", "x"), "\"linkpath\" is bad"),
        ("sparse", paxed("GNU.sparse.size", "9"), "\"GNU.sparse.size\" is bad"),
        ("real size", paxed("SCHILY.realsize", "9"), "\"SCHILY.realsize\" is bad"),
        ("a key twice", keys, "\"size\" is bad"),
        ("two pax headers", twice(pax(&[])), "two pax headers"),
        ("before nothing", with(&[], &[pax(&[("size", "4")])]), "before no file"),
        ("record too long", text(b"9999999 size=4\n"), "malformed"),
        ("record too short", text(b"5 size=4\n"), "malformed"),
        ("record of letters", text(b"x size=4\n"), "malformed"),
        ("size for all", for_all("size"), "for all"),
        ("path for all", for_all("path"), "for all"),
        ("2 MiB", paxed("comment", &"c".repeat(2 << 20)), "in one extension header"),
        ("long name", long(b'L', ".remsync-work/2"), "disagree on its name"),
        ("long name outside", long(b'L', "../x"), "it holds \"../x\""),
        ("long name hidden", long(b'L', ".remsync-work/1\0../x"), "a NUL"),
        ("two long names", twice(long_name(b'L', ".remsync-work/1")), "two long names"),
        ("long link", long(b'K', "x"), "it holds"),
    ]);
}

#[test]
fn archives_that_are_not_what_they_say_are_refused() {
    let sized = |size: &[u8]| with_1(&[Raw { size: size.into(), ..numbered(1) }]);
    let past_u64 = [&[0x80, 0, 0], &[0xff; 9][..]].concat();
    let readme = [raw("readme", b"x"), raw("src/x", b"")];
    let tarred = tar(&[folder(), orders()]);
    let two = [tar(&[folder()]), tar(&[orders()])].concat();
    expect_refused(vec![
        ("8 GiB", sized(b"100000000000"), "bytes once unpacked"),
        ("64 GiB", sized(b"777777777777"), "bytes once unpacked"),
        ("2^63", sized(&[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]), "bytes once unpacked"),
        ("past 2^64", sized(&past_u64), "size is no number"),
        ("negative", sized(&[0xff; 12]), "size is no number"),
        ("letters", sized(b"0000000000z"), "size is no number"),
        ("two numbers", sized(b"4 4"), "size is no number"),
        ("minus", sized(b"-4"), "size is no number"),
        ("blank", sized(b""), "size is no number"),
        ("longer than it is", sized(b"00000001004"), "hidden behind"),
        ("shorter than it is", sized(b"00000000003"), "hidden behind"),
        ("hidden bytes", with_1(&[Raw { padding: b'x', ..numbered(1) }]), "hidden behind"),
        ("header sum", with_1(&[Raw { sum_off: 1, ..numbered(1) }]), "checksum is wrong"),
        ("magic", with_1(&[Raw { magic: *b"custard\0", ..numbered(1) }]), "no dialect"),
        ("other contents", with_1(&[raw(".remsync-work/1", b"two\n")]), "does not hold"),
        ("more after the end", gzip(&two), "follows the end"),
        ("cut in a header", gzip(&tarred[..900]), "ends in the middle"),
        ("cut in a file", gzip(&tarred[..1100]), "ends in the middle"),
        ("text behind", [sound(), b"-- \nlist footer".to_vec()].concat(), "follows the gzip"),
        ("text behind zeros", [sound(), vec![0; 99], b"x".to_vec()].concat(), "follows the gzip"),
        ("gzip behind zeros", [sound(), vec![0; 99], sound()].concat(), "follows the gzip"),
        ("package behind", [sound(), sound()].concat(), "follows the end"),
        ("half a gzip behind", [sound(), vec![0x1f, 0x8b, 8]].concat(), "ends too early"),
        ("header checksum", gzip_with_header_crc(&tarred, 1), "checksum of its header"),
        ("gzip twice", gzip(&sound()), "not a package"),
        ("not gzip", tarred, "not compressed with gzip"),
        ("empty", vec![], "not a package: it is empty"),
        ("an empty gzip", gzip(b""), "not a package"),
        ("an empty tar", package(&[]), "not a package"),
        ("somebody's tar", package(&readme), "not a package: it holds \"readme\""),
        ("text", gzip(b"hello"), "not a package"),
    ]);
}

#[test]
fn what_claims_to_be_a_package_is_seen_at_its_beginning() {
    let file = |name: &str| raw(name, b"x");
    for (name, bytes, expected) in [
        ("sound", sound(), true),
        ("cut short", sound()[..sound().len() / 2].to_vec(), true),
        ("a link", package(&[Raw { kind: b'2', ..raw(".remsync-work", b"") }]), true),
        ("hostile first", with(&[file("../x")], &[]), true),
        ("traversal", package(&[file(".remsync-work/../../x")]), true),
        ("another's", package(&[file("readme"), file("x/.remsync-work/orders")]), false),
        ("a longer name", package(&[file(".remsync-works/orders")]), false),
        ("gzip of text", gzip(b"hello"), false),
        ("text", b"hello".to_vec(), false),
        ("nothing", vec![], false),
        ("far away", package(&[raw("x", &vec![b'x'; 2 << 20]), orders()]), false),
    ] {
        assert_eq!(peek(&bytes[..]).unwrap(), expected, "{name}");
        let is_foreign = matches!(check(&bytes[..]), Err(PackageFault::NotAPackage(_)));
        assert_eq!(is_foreign, !expected, "{name}");
    }
}

#[test]
fn updates_and_files_are_pairs() {
    let with_text = |from: &str, to: &str| {
        let text = String::from_utf8(orders().data).unwrap().replace(from, to);
        let orders = raw(".remsync-work/orders", text.as_bytes());
        outcome(&package(&[orders, numbered(1), numbered(2), numbered(3)]))
    };
    assert_eq!(with_text("", ""), "sound");
    for (name, from, to) in [
        ("one file for two", "f000002 - 2", "f000002 - 1"),
        ("a number too high", "f000003 - 3", "f000003 - 4"),
        ("an update less", "update\tf000003 - 3\n", ""),
        ("number zero", "f000003 - 3", "f000003 - 0"),
    ] {
        let outcome = with_text(from, to);
        assert!(outcome.contains("refused"), "{name}: {outcome}");
    }
}

#[test]
fn format_1_3_is_paired_by_its_sums() {
    let orders = |sum: &str| {
        let text = format!(
            "format\tremsync 1.3\ntitle\tnotes\nhere\ta@a.example ~/n\nremote\tb@b.example ~/n\n\
             visit\t0\ncopy\t0\ncheck\tf {sum} -\nupdate\tf - 1\n"
        );
        raw(".remsync-work/orders", text.as_bytes())
    };
    let one = |mode| Raw { mode, ..raw(".remsync-work/1", b"one\n") };
    for (mode, executable) in [("0000600", false), ("0000700", true), ("0000611", false)] {
        let package = check(&package(&[folder(), one(mode), orders("57445")])[..]).unwrap();
        assert_eq!(package.members[0].executable, executable, "{mode}");
        assert_eq!((package.members[0].sum, package.members[0].mtime_s), (57445, TIME));
    }
    let other = outcome(&package(&[folder(), one("0000600"), orders("57446")]));
    assert!(other.contains("does not hold"), "{other}");
}

#[test]
fn a_cut_at_any_byte_is_refused() {
    let bytes = sound();
    for at in 0..bytes.len() {
        assert_ne!(outcome(&bytes[..at]), "sound", "cut at {at}");
    }
}

#[test]
fn a_flipped_bit_never_changes_what_is_accepted() {
    for bytes in [sound(), written(&FILES, Level::Stored)] {
        let truth = check(&bytes[..]).unwrap();
        let bits = bytes.len() * 8;
        // Every bit near the ends, where the frame is, and a sample of the rest.
        for bit in (0..bits).filter(|bit| *bit < 4000 || bit % 13 == 0 || bits - bit < 128) {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(package) = check(&bytes[..]) {
                assert_eq!(package, truth, "bit {bit}");
            }
        }
    }
}

fn past(bytes: &[u8], limits: &Limits) -> Option<Bound> {
    match read_within(bytes, &mut NoSink, limits) {
        Ok(_) => None,
        Err(PackageFault::Bound { bound, .. }) => Some(bound),
        Err(fault) => panic!("{fault}"),
    }
}

#[test]
fn every_bound_holds_at_it_and_not_one_past_it() {
    let bytes = sound();
    let packed = bytes.len() as u64;
    let unpacked = tar(&[folder(), orders(), numbered(1), numbered(2), numbered(3)]).len() as u64;
    let text = orders().data;
    let text_bytes = text.len() as u64;
    let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
    let usual = Limits::default();
    type Set = fn(Limits, u64) -> Limits;
    let rows: [(Bound, u64, Set); 6] = [
        (Bound::PackedBytes, packed, |usual, n| Limits { packed_bytes: n, ..usual }),
        (Bound::UnpackedBytes, unpacked, |usual, n| Limits { unpacked_bytes: n, ..usual }),
        (Bound::Members, 3, |usual, n| Limits { members: n as u32, ..usual }),
        (Bound::OrdersBytes, text_bytes, |usual, n| Limits { orders_bytes: n, ..usual }),
        (Bound::OrdersLines, lines, |usual, n| Limits { orders_lines: n, ..usual }),
        (Bound::Ratio, unpacked, |usual, n| Limits { ratio_free_bytes: n, ratio: 1, ..usual }),
    ];
    for (bound, max, set) in rows {
        assert_eq!(past(&bytes, &set(usual, max)), None, "{bound:?}, at it");
        assert_eq!(past(&bytes, &set(usual, max - 1)), Some(bound), "{bound:?}, one past it");
    }
    let few = Limits { members: 2, ..usual };
    let fault = read_within(&bytes[..], &mut NoSink, &few).unwrap_err();
    assert_eq!(fault.to_string(), "the package is refused: it has over 2 numbered files");
}

#[test]
fn bombs_are_stopped_early() {
    struct Counting(u64);
    impl Sink for Counting {
        fn member(&mut self, _: u32) -> io::Result<Box<dyn Write + '_>> {
            Ok(Box::new(self))
        }
    }
    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let zeros = vec![0; 64 << 20];
    let size = format!("{:011o}", zeros.len()).into_bytes();
    let file = Raw { size, ..raw(".remsync-work/1", b"") }.bytes();
    for bomb in
        [gzip(&[&file, &zeros[..]].concat()), gzip(&[&tar(&[orders()]), &zeros[..]].concat())]
    {
        let mut sink = Counting(0);
        let fault = read(&bomb[..], &mut sink).unwrap_err();
        let is_ratio = matches!(fault, PackageFault::Bound { bound: Bound::Ratio, .. });
        assert!(is_ratio, "{fault}");
        assert!(sink.0 <= 10 << 20, "{} bytes were unpacked", sink.0);
    }
    let many = gzip(b"").repeat(200_000);
    let limits = Limits { packed_bytes: many.len() as u64 - 1, ..Limits::default() };
    assert_eq!(past(&many, &limits), Some(Bound::PackedBytes));
}

#[test]
fn our_writer_sees_what_a_receiver_would_take_for_a_bomb() {
    let limits = Limits { ratio_free_bytes: 1 << 20, ratio: 20, ..Limits::default() };
    let mixed = |part: usize| [noise(1, part), vec![0; (3 << 20) - part]].concat();
    for (name, file, expected) in [
        ("zeros", mixed(0), false),
        ("noise", noise(1, 3 << 20), true),
        ("a little noise first", mixed(100 << 10), false),
        ("hardly enough noise first", mixed(140 << 10), false),
        ("enough noise first", mixed(170 << 10), true),
        ("few zeros", vec![0; 800 << 10], true),
        ("noise last", mixed(1 << 20).into_iter().rev().collect(), false),
    ] {
        let files: [&[u8]; 1] = [&file];
        let pack = |level| {
            let mut writer = Writer::within(Vec::new(), level, limits);
            writer.orders(&orders_text(&files), TIME).unwrap();
            writer.member(1, file.len() as u64, false, TIME, 0, &mut &file[..]).unwrap();
            writer.finish_counted().unwrap()
        };
        let (usual, counts) = pack(Level::Usual);
        assert_eq!(counts.packed_bytes, usual.len() as u64);
        assert_eq!(counts.keeps_ratio, expected, "{name}");
        if expected {
            assert_eq!(past(&usual, &limits), None, "{name}");
        }
        let (stored, counts) = pack(Level::Stored);
        assert!(counts.keeps_ratio, "{name}");
        assert_eq!(past(&stored, &limits), None, "{name}, stored");
    }
}

#[test]
fn trouble_of_ours_is_told_from_theirs() {
    struct Full;
    impl Sink for Full {
        fn member(&mut self, _: u32) -> io::Result<Box<dyn Write + '_>> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    struct Broken<'a>(&'a [u8]);
    impl Read for Broken<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.0.read(out)? {
                0 => Err(io::Error::other("the disk is broken")),
                n => Ok(n),
            }
        }
    }
    let bytes = sound();
    assert!(read(&bytes[..], &mut Full).unwrap_err().is_ours());
    for at in [0, 5, 40, bytes.len() / 2, bytes.len()] {
        let fault = check(Broken(&bytes[..at])).unwrap_err();
        assert!(fault.is_ours(), "at {at}: {fault}");
    }
    assert!(peek(Broken(&bytes[..5])).is_err());
}

#[test]
fn times_come_back_as_they_were_written() {
    for (s, ns) in [
        (TIME, 0),
        (TIME, 1),
        (TIME, 123_456_789),
        (TIME, 500_000_000),
        (0, 0),
        (0, 5),
        (-1, 0),
        (-1, 999_999_999),
        (-2, 500_000_000),
        (0o777_7777_7777, 0),
        (0o777_7777_7777 + 1, 0),
        (1 << 50, 7),
        (i64::MAX, 0),
        (-(1 << 50), 7),
        (-i64::MAX, 7),
    ] {
        let mut writer = Writer::new(Vec::new(), Level::Usual);
        writer.orders(&orders_text(&[b"one\n"]), TIME).unwrap();
        writer.member(1, 4, false, s, ns, &mut &b"one\n"[..]).unwrap();
        let package = check(&writer.finish().unwrap()[..]).unwrap();
        assert_eq!((package.members[0].mtime_s, package.members[0].mtime_ns), (s, ns));
    }
}

#[test]
fn a_file_that_changes_under_us_is_seen() {
    struct Failing(bool);
    impl Read for Failing {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            out[0] = b'o';
            if std::mem::replace(&mut self.0, true) { Err(io::Error::other("gone")) } else { Ok(1) }
        }
    }
    for (size, from, complete, packed) in [
        (4, "one\n", true, "one\n"),
        (0, "", true, ""),
        (3, "one\n", false, "one"),
        (6, "one\n", false, "one\n\0\0"),
        (0, "x", false, ""),
    ] {
        let mut writer = Writer::new(Vec::new(), Level::Usual);
        writer.orders(b"x", TIME).unwrap();
        let wrote = writer.member(1, size, false, TIME, 0, &mut from.as_bytes()).unwrap();
        assert_eq!(wrote.complete, complete, "{size} of {from:?}");
        assert_eq!(hex(&wrote.sha256), sha256(packed.as_bytes()));
        assert_eq!(writer.unpacked_bytes() % 512, 0);
    }
    let mut writer = Writer::new(Vec::new(), Level::Usual);
    writer.orders(b"x", TIME).unwrap();
    let wrote = writer.member(1, 3, false, TIME, 0, &mut Failing(false)).unwrap();
    assert!(!wrote.complete && wrote.trouble.is_some());
    assert_eq!(hex(&wrote.sha256), sha256(b"o\0\0"));
    assert!(writer.member(3, 0, false, TIME, 0, &mut io::empty()).is_err(), "a gap");
    assert!(writer.orders(b"x", TIME).is_err(), "orders again");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(written(&FILES, Level::Usual), written(&FILES, Level::Usual));
}

/// Runs GNU tar; `None` where there is none.
fn gnu_tar(dir: &Path, arguments: &[&str]) -> Option<String> {
    let version = Command::new("tar").arg("--version").output().ok()?;
    if !String::from_utf8_lossy(&version.stdout).contains("GNU tar") {
        return None;
    }
    let mut command = Command::new("tar");
    let output = command.args(arguments).current_dir(dir).env("TZ", "UTC").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "tar {arguments:?}: {said}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn gnu_tar_reads_what_we_write() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::new(Vec::new(), Level::Usual);
    writer.orders(&orders_text(&FILES), TIME).unwrap();
    for (number, file) in (1..).zip(FILES) {
        let (size, ns) = (file.len() as u64, if number == 3 { 250_000_000 } else { 0 });
        writer.member(number, size, number == 2, TIME, ns, &mut &file[..]).unwrap();
    }
    fs::write(dir.path().join("p.tar.gz"), writer.finish().unwrap()).unwrap();
    let Some(list) = gnu_tar(dir.path(), &["-tvzf", "p.tar.gz", "--full-time"]) else { return };
    let lines: Vec<Vec<&str>> = list.lines().map(|l| l.split_whitespace().collect()).collect();
    let shown: Vec<_> = lines.iter().map(|l| (l[0], l[1], l[2], l[4], l[5])).collect();
    let length = orders().data.len().to_string();
    assert_eq!(
        shown,
        [
            ("drwx------", "0/0", "0", "14:13:20", ".remsync-work/"),
            ("-rw-------", "0/0", &*length, "14:13:20", ".remsync-work/orders"),
            ("-rw-r--r--", "0/0", "4", "14:13:20", ".remsync-work/1"),
            ("-rwxr-xr-x", "0/0", "0", "14:13:20", ".remsync-work/2"),
            ("-rw-r--r--", "0/0", "1500", "14:13:20.25", ".remsync-work/3"),
        ]
    );
    gnu_tar(dir.path(), &["-xzf", "p.tar.gz"]).unwrap();
    assert_eq!(fs::read(dir.path().join(".remsync-work/3")).unwrap(), FILES[2]);
}

#[test]
fn we_read_what_gnu_tar_writes() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(".remsync-work").join(name);
    fs::create_dir(at("")).unwrap();
    fs::write(at("orders"), orders_text(&FILES)).unwrap();
    for (number, file) in (1..).zip(FILES) {
        fs::write(at(&number.to_string()), file).unwrap();
    }
    let packed = |arguments: &[&str]| {
        gnu_tar(dir.path(), &[&["-czf", "p.tar.gz"], arguments].concat())?;
        Some(fs::read(dir.path().join("p.tar.gz")).unwrap())
    };
    for format in ["v7", "oldgnu", "gnu", "ustar", "posix"] {
        for name in [".remsync-work", "./.remsync-work", ".remsync-work/"] {
            let Some(bytes) = packed(&[&format!("--format={format}"), name]) else { return };
            expect_sound(&format!("{format} {name}"), &bytes);
        }
    }
    // GNU remsync packs links to the files, and has tar follow them.
    fs::rename(at("1"), dir.path().join("f")).unwrap();
    std::os::unix::fs::symlink("../f", at("1")).unwrap();
    expect_sound("followed", &packed(&["-h", ".remsync-work"]).unwrap());
    let linked = outcome(&packed(&[".remsync-work"]).unwrap());
    assert!(linked.contains("is a link"), "{linked}");
}

/// A package some of whose archive's bytes are changed, its headers' sums made good again so that
/// what lies behind them is reached.
fn mutated(edits: &[(usize, u8)], cut: usize) -> Vec<u8> {
    let sized = pax(&[("size", "4")]);
    let mut bytes = tar(&[folder(), orders(), sized, numbered(1), numbered(2), numbered(3)]);
    for (at, byte) in edits {
        let at = at % bytes.len();
        bytes[at] = *byte;
    }
    for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes.truncate(bytes.len() - cut % 700);
    gzip(&bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let _ = peek(&bytes[..]);
        prop_assert!(check(&bytes[..]).is_err());
        let zipped = gzip(&bytes);
        prop_assert!(check(&zipped[..]).is_err());
    }

    #[test]
    fn changed_packages_never_panic_nor_lie(
        edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        cut in any::<usize>(),
    ) {
        let bytes = mutated(&edits, cut);
        let _ = peek(&bytes[..]);
        if let Ok(package) = check(&bytes[..]) {
            for (row, member) in package.orders.rows.iter().zip(&package.members) {
                let signature = row.version.content.signature().unwrap().to_string();
                prop_assert!(signature.starts_with(&hex(&member.sha256)));
            }
        }
    }

    #[test]
    fn what_is_written_is_read(
        files in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2000), 0..6),
    ) {
        let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
        let mut kept = Kept::default();
        let package = read(&written(&files, Level::Usual)[..], &mut kept).unwrap();
        prop_assert_eq!(package.members.len(), files.len());
        prop_assert_eq!(kept.0.into_values().collect::<Vec<_>>(), files);
    }
}
