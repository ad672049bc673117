//! Family e: what is in the package. The whole grammar is tried in `hostile_packages.rs`; here are
//! the ways in which mail, and who writes it, change a package.

use flate2::{Compression, GzBuilder};
use remsync::format::package::Level;

use super::coding::base64;
use super::{Case, Expected, Kit, TOP, attached, content, multipart, orders, write};
use crate::archive::{self, Raw, gzip, long_name, pax, raw, tar};

pub fn cases(kit: &Kit) -> Vec<Case> {
    let mut cases = sound(kit);
    cases.extend(hostile());
    cases.extend(damaged(kit));
    cases
}

fn mail(package: &[u8]) -> String {
    let fields = "Content-Type: application/gzip; name=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64";
    attached(fields, &base64(package, 76))
}

fn numbered(name: &str) -> Raw {
    raw(&format!(".remsync-work/{name}"), &content("T"))
}

fn told() -> Raw {
    raw(".remsync-work/orders", orders("T", &content("T")).as_bytes())
}

fn folder() -> Raw {
    Raw { kind: b'5', mode: "0000700", ..raw(".remsync-work/", b"") }
}

fn packed(entries: &[Raw]) -> Vec<u8> {
    archive::package(entries)
}

fn sound(kit: &Kit) -> Vec<Case> {
    let (told, one) = (told(), numbered("1"));
    let dotted = |raw: &Raw| Raw { name: [b"./", raw.name.as_slice()].concat(), ..raw.clone() };
    let v7 = |raw: &Raw| Raw { kind: 0, magic: [0; 8], ..raw.clone() };
    let gnu = |raw: &Raw| Raw { magic: *b"ustar  \0", ..raw.clone() };
    let plain = tar(&[told.clone(), one.clone()]);
    let (half, rest) = plain.split_at(900);
    let named = {
        let mut gz = GzBuilder::new()
            .filename("r.tar")
            .comment("by hand")
            .extra(vec![1, 2, 3, 4])
            .write(Vec::new(), Compression::best());
        std::io::Write::write_all(&mut gz, &plain).unwrap();
        gz.finish().unwrap()
    };
    let endless: Vec<u8> = [&told, &one].iter().flat_map(|raw| raw.bytes()).collect();
    let times = pax(&[("mtime", "1790000000.5")]);
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("GNU tar and gzip", packed(&[folder(), gnu(&told), gnu(&one)])),
        (
            "tar of the folder above: ./",
            packed(&[
                Raw { kind: b'5', ..raw("./", b"") },
                dotted(&folder()),
                dotted(&told),
                dotted(&one),
            ]),
        ),
        ("tar of 1979", packed(&[v7(&told), v7(&one)])),
        ("pax", packed(&[told.clone(), times, one.clone()])),
        ("the orders last", packed(&[one.clone(), told.clone()])),
        ("no final zeros", gzip(&endless)),
        ("gzip with a name, a comment and a field", named),
        ("gzip of several members", [gzip(half), gzip(rest)].concat()),
        (
            "packed as small as can be",
            write(&orders("T", &content("T")), &content("T"), Level::Usual),
        ),
    ];
    let mut cases: Vec<Case> = table
        .into_iter()
        .map(|(by, package)| Case::new(by, mail(&package), Expected::Packages(vec![package])))
        .collect();
    let good_and_bad = multipart(
        "mixed",
        "x",
        &[(super::GZIP, &kit.body), (super::GZIP, &base64(&packed(&[told, numbered("2")]), 76))],
    );
    cases.push(Case::new(
        "a sound one beside a hostile one",
        good_and_bad,
        Expected::Packages(vec![kit.package.clone()]),
    ));
    cases
}

fn hostile() -> Vec<Case> {
    let linked =
        |kind: u8, to: &str| Raw { kind, link: to.to_owned(), ..raw(".remsync-work/1", b"") };
    let special = |kind: u8| Raw { kind, ..raw(".remsync-work/1", b"") };
    let text = content("T");
    let written = |orders: String| write(&orders, &text, Level::Stored);
    let vast = Raw { size: b"77777777777".to_vec(), ..raw(".remsync-work/1", b"x") };
    let table: Vec<(&str, Vec<u8>, &'static str)> = vec![
        ("a file more", packed(&[told(), numbered("1"), raw("extra", b"x")]), "extra"),
        ("a way up in the archive", packed(&[told(), numbered("../../1")]), "it holds"),
        (
            "an absolute path in the archive",
            packed(&[told(), numbered("1"), raw("/etc/passwd", b"x")]),
            "passwd",
        ),
        ("a link", packed(&[told(), linked(b'2', "/etc/passwd")]), "link"),
        (
            "a link of the folder",
            packed(&[
                Raw { kind: b'2', link: "/etc".into(), ..raw(".remsync-work", b"") },
                told(),
                numbered("1"),
            ]),
            "link",
        ),
        ("a hard link", packed(&[told(), linked(b'1', "orders")]), "link"),
        ("a device", packed(&[told(), special(b'3')]), "device"),
        ("a pipe", packed(&[told(), special(b'6')]), "pipe"),
        ("no orders", packed(&[numbered("1")]), "orders"),
        ("orders twice", packed(&[told(), told(), numbered("1")]), "twice"),
        ("number 01", packed(&[told(), numbered("01")]), "it holds"),
        ("number 2 and no 1", packed(&[told(), numbered("2")]), "lacks"),
        (
            "a long name that leads elsewhere",
            packed(&[told(), long_name(b'L', "../../x"), numbered("1")]),
            "it holds",
        ),
        ("a size of 8 GiB", packed(&[told(), vast]), "unpacked"),
        (
            "a bomb of zeros",
            gzip(&tar(&[told(), raw(".remsync-work/1", &vec![0; 12 << 20])])),
            "each packed one",
        ),
        ("a path that leads up", written(orders("T", &text).replace("file", "../file")), "orders"),
        (
            "a path into our own files",
            written(orders("T", &text).replace("file", ".remsync.d/x")),
            "orders",
        ),
        ("other contents than said", written(orders("T", b"other")), "check"),
        (
            "orders of no known words",
            written("format\tremsync 2.0\nfoo\tbar\n".to_owned()),
            "orders",
        ),
        ("orders that are empty", written(String::new()), "orders"),
    ];
    table.into_iter().map(|(by, package, word)| Case::refused(by, mail(&package), word)).collect()
}

fn damaged(kit: &Kit) -> Vec<Case> {
    let package = &kit.package;
    let at_end = |n: usize| {
        let mut bytes = package.clone();
        let at = bytes.len() - n;
        bytes[at] ^= 0xff;
        bytes
    };
    let plain = tar(&[told(), numbered("1")]);
    let early = |mut bytes: Vec<u8>| {
        bytes[14] ^= 0xff;
        bytes
    };
    vec![
        Case::refused("cut short", mail(&package[..package.len() - 9]), "damaged"),
        Case::refused("cut to its first bytes", mail(&package[..40]), "cut short"),
        Case::refused("a wrong checksum", mail(&at_end(8)), "checksum"),
        Case::refused("a wrong length", mail(&at_end(1)), "length"),
        Case::refused("damaged at its beginning", mail(&early(package.clone())), "damaged"),
        Case::refused("compressed once more", mail(&gzip(package)), "once more"),
        Case::refused("a browser that unpacked it", mail(&plain), "unpacked it"),
        Case::found(
            "zeros behind it, by a tape",
            mail(&[package.as_slice(), &[0; 9000]].concat()),
            kit,
        ),
        Case::refused("nothing at all under that name", mail(b""), "name of a package"),
        Case::refused("something else under that name", mail(&[0; 99]), "name of a package"),
        Case::refused(
            "a virus wall's note under that name",
            attached(
                "Content-Type: text/plain; name=\".remsync.tar.gz\"",
                "The attachment .remsync.tar.gz was removed: archives are not allowed.\n",
            ),
            "name of a package",
        ),
        Case::nothing(
            "a virus wall's note in its place",
            format!("{TOP}\n[An attachment of type application/gzip was removed]\n"),
        ),
    ]
}
