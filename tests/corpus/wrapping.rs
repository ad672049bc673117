//! Family d: files within files.

use super::coding::{Zipped, apple_single, base64, tnef, uuencode, zip};
use super::{Case, Expected, GZIP, Kit, TOP, attached, entity, multipart};

const NAME: &str = ".remsync.tar.gz";

pub fn cases(kit: &Kit) -> Vec<Case> {
    let mut cases = zipped(kit);
    cases.extend(macintosh(kit));
    cases.extend(outlook(kit));
    cases.extend(archives(kit));
    cases
}

fn file(name: &str, bytes: &[u8]) -> String {
    let fields = format!(
        "Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=\"{name}\"\nContent-Transfer-Encoding: base64"
    );
    attached(&fields, &base64(bytes, 76))
}

fn zipped(kit: &Kit) -> Vec<Case> {
    let package = kit.package.as_slice();
    let one = |how| file("files.zip", &zip(&[(NAME, package, how)]));
    let photo = [0xff; 500].as_slice();
    let around = zip(&[
        ("a.jpg", photo, Zipped::Deflated),
        ("d/", b"", Zipped::Stored),
        (NAME, package, Zipped::Deflated),
        ("b", photo, Zipped::Stored),
    ]);
    let streamed = zip(&[("a", photo, Zipped::Streamed), (NAME, package, Zipped::Streamed)]);
    let twice = zip(&[(NAME, package, Zipped::Stored), ("b.gz", &kit.second, Zipped::Deflated)]);
    let inner = zip(&[(NAME, package, Zipped::Deflated)]);
    let deep = (0..9).fold(package.to_vec(), |bytes, _| zip(&[("x.zip", &bytes, Zipped::Stored)]));
    let other = |how| file("photos.zip", &zip(&[("a.jpg", photo, how)]));
    vec![
        Case::found("a gateway that zips: deflated", one(Zipped::Deflated), kit),
        Case::found("a gateway that zips: stored", one(Zipped::Stored), kit),
        Case::found("macOS: zipped to a pipe", one(Zipped::Streamed), kit),
        Case::found("zip64", one(Zipped::Zip64), kit),
        Case::found("a zip of more files", file("files.zip", &around), kit),
        Case::found("a zip of more files, to a pipe", file("files.zip", &streamed), kit),
        Case::new(
            "two packages in a zip",
            file("files.zip", &twice),
            Expected::Packages(vec![kit.package.clone(), kit.second.clone()]),
        ),
        Case::found(
            "a zip in a zip",
            file("files.zip", &zip(&[("inner.zip", &inner, Zipped::Deflated)])),
            kit,
        ),
        Case::nothing("a zip in a zip, nine deep: past the bound", file("files.zip", &deep)),
        Case::found("a zip in uuencode", format!("{TOP}\n{}", uuencode("files.zip", &inner)), kit),
        Case::found("a zip without its end", file("files.zip", &around[..around.len() - 300]), kit),
        Case::refused("a zip with a password", one(Zipped::Locked), "password"),
        Case::refused("a zip of another method", one(Zipped::Lzma), "zip archive of a kind"),
        Case::found("a zip stored to a pipe: no lengths", one(Zipped::StoredStreamed), kit),
        Case::nothing("somebody's photos", other(Zipped::Deflated)),
        Case::nothing("somebody's photos, with a password", other(Zipped::Locked)),
        Case::nothing("a zip of nothing", file("empty.zip", &zip(&[]))),
    ]
}

fn macintosh(kit: &Kit) -> Vec<Case> {
    let single = base64(&apple_single(NAME, &kit.package), 76);
    let mut fork = apple_single(NAME, b"");
    fork[3] = 7;
    let fork = base64(&fork, 76);
    let double = entity(
        "appledouble",
        "ad",
        &[
            ("Content-Type: application/applefile\nContent-Transfer-Encoding: base64", &fork),
            (GZIP, &kit.body),
        ],
    );
    vec![
        Case::found(
            "AppleSingle",
            attached(
                "Content-Type: application/applefile\nContent-Transfer-Encoding: base64",
                &single,
            ),
            kit,
        ),
        Case::found(
            "Apple Mail: AppleDouble",
            multipart("mixed", "x", &[("", "Hi"), (&double.0, &double.1)]),
            kit,
        ),
        Case::found(
            "AppleDouble, called parallel",
            format!("{TOP}{}\n\n{}", double.0.replace("appledouble", "parallel"), double.1),
            kit,
        ),
    ]
}

fn outlook(kit: &Kit) -> Vec<Case> {
    let tnef_part = |name: &str, bytes: &[u8]| {
        let body = base64(&tnef(name, bytes), 76);
        attached(
            "Content-Type: application/ms-tnef; name=\"winmail.dat\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"winmail.dat\"",
            &body,
        )
    };
    let zipped = zip(&[(NAME, kit.package.as_slice(), Zipped::Deflated)]);
    vec![
        Case::found("Outlook: winmail.dat", tnef_part("remsync.tar.gz", &kit.package), kit),
        Case::found("Outlook: a zip in winmail.dat", tnef_part("files.zip", &zipped), kit),
        Case::nothing("Outlook: winmail.dat of a letter", tnef_part("a.txt", b"dear all")),
    ]
}

fn archives(kit: &Kit) -> Vec<Case> {
    let bytes = [7; 200].as_slice();
    let with = |magic: &[u8]| [magic, bytes].concat();
    vec![
        Case::refused(
            "a gateway that packs with bzip2",
            file("remsync.tar.bz2", &with(b"BZh91AY&SY")),
            "bzip2",
        ),
        Case::refused("xz", file("remsync.tar.xz", &with(b"\xfd7zXZ\0")), "xz"),
        Case::refused("zstd", file("remsync.tar.zst", &with(b"\x28\xb5\x2f\xfd")), "zstd"),
        Case::refused("7z", file(".remsync.7z", &with(b"7z\xbc\xaf\x27\x1c")), "7z"),
        Case::refused("rar", file("remsync.rar", &with(b"Rar!\x1a\x07\x01\0")), "rar"),
        Case::nothing("somebody's 7z", file("photos.7z", &with(b"7z\xbc\xaf\x27\x1c"))),
        Case::found("the file is called so, and is no zip", file("remsync.zip", &kit.package), kit),
    ]
}
