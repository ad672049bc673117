//! Family f: what is not for us.

use super::coding::{base64, quoted_printable_text, uuencode};
use super::{Case, GZIP, Kit, TOP, attached, multipart};
use crate::archive::{gzip, noise, package, raw};

pub fn cases(kit: &Kit) -> Vec<Case> {
    let photos = package(&[raw("holidays/beach.jpg", &noise(9, 3_000))]);
    let ours_outside = package(&[raw("notes/.remsync", b"format\tremsync 2.0\n")]);
    let quoted: String = kit.body.lines().map(|line| format!("> {line}\n")).collect();
    let named = "Content-Type: application/gzip; name=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64";
    let patch = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-begin 644 x\n+begin 6444 x\n";
    let text = |body: &str| format!("{TOP}\n{body}");
    let pdf = base64(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\nbegin 644 no\nmore\n", 76);
    vec![
        Case::nothing("nothing", ""),
        Case::nothing("one byte", "x"),
        Case::nothing("no header", "hello\n"),
        Case::nothing(
            "a letter",
            text("See .remsync.tar.gz and begin 644 x\nbegin 644\nH4sI is how gzip begins.\n"),
        ),
        Case::nothing(
            "a letter in quoted-printable",
            format!(
                "{TOP}Content-Transfer-Encoding: quoted-printable\n\n{}",
                quoted_printable_text("Grüße =\n".as_bytes())
            ),
        ),
        Case::nothing("a patch", text(patch)),
        Case::nothing("a reply that quotes a package", text(&format!("Ann wrote:\n{quoted}"))),
        Case::nothing("somebody's archive", attached(GZIP, &base64(&photos, 76))),
        Case::nothing("somebody's archive under our name", attached(named, &base64(&photos, 76))),
        Case::nothing(
            "somebody's archive of a project of ours",
            attached(named, &base64(&ours_outside, 76)),
        ),
        Case::nothing("a compressed text", attached(GZIP, &base64(&gzip(b"dear all\n"), 76))),
        Case::nothing("a compressed nothing", attached(GZIP, &base64(&gzip(b""), 76))),
        Case::nothing(
            "a picture in uuencode",
            text(&uuencode("a.jpg", b"\xff\xd8\xff\xe0 a picture")),
        ),
        Case::nothing(
            "a PDF with odd lines in it",
            attached("Content-Type: application/pdf\nContent-Transfer-Encoding: base64", &pdf),
        ),
        Case::nothing(
            "a calendar",
            multipart(
                "alternative",
                "x",
                &[(
                    "Content-Type: text/calendar; method=REQUEST",
                    "BEGIN:VCALENDAR\nEND:VCALENDAR\n",
                )],
            ),
        ),
        Case::nothing(
            "BinHex of nothing",
            text("(This file must be converted with BinHex 4.0)\n\n:::\n"),
        ),
        Case::nothing(
            "a key block",
            text(
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQENBF\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n",
            ),
        ),
        Case::nothing(
            "a mail that is only a boundary",
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b--\n--b\n--b--\n",
        ),
        Case::nothing("noise", noise(77, 20_000)),
    ]
}
