//! Family c: how the bytes became text.

use super::coding::{
    base64, binhex, in_columns, quoted_printable, quoted_printable_text, uuencode, yenc,
};
use super::{Case, GZIP, Kit, TOP, attached, attached_raw, multipart, splice};

pub fn cases(kit: &Kit) -> Vec<Case> {
    let mut cases = ragged(kit);
    cases.extend(labels(kit));
    cases.extend(others(kit));
    cases.extend(naked(kit));
    cases
}

/// Base64 as gateways leave it.
fn ragged(kit: &Kit) -> Vec<Case> {
    let (body, package) = (&kit.body, &kit.package);
    let one_line = body.replace('\n', "");
    let unpadded = body.replace('=', "");
    let chunks: String = package.chunks(100).map(|chunk| base64(chunk, 76)).collect();
    let shaped = |by: &str, body: &str| Case::found(by, attached(GZIP, body), kit);
    let damaged = |by: &str, word, body: &str| Case::refused(by, attached(GZIP, body), word);
    vec![
        shaped("61 columns: lines that end within a group", &in_columns(&one_line, 61)),
        shaped("64 columns, of PEM", &base64(package, 64)),
        shaped("12 columns, and blanks behind", &base64(package, 12).replace('\n', "  \n")),
        shaped("998 columns", &base64(package, 998)),
        shaped("one line, by a careless script", &one_line),
        shaped("one character a line", &in_columns(&one_line, 1)),
        shaped("indented by a formatter", &body.replace('\n', "\n    ")),
        shaped("indented by a tab", &body.lines().map(|l| format!("\t{l}\n")).collect::<String>()),
        shaped("a blank line after each, by a Windows gateway", &body.replace('\n', "\n\n")),
        shaped("blank lines above and below", &format!("\n\n\n{body}\n\n\n")),
        shaped("CR CR LF, by a double conversion", &body.replace('\n', "\r\r\n")),
        shaped("stray marks in the lines", &body.replace('\n', "\n*!")),
        shaped("no padding", &unpadded),
        shaped("padding lost but for one sign", &format!("{}=", unpadded.trim_end())),
        shaped("too much padding", &format!("{}====\n", body.trim_end())),
        shaped("encoded in chunks, each padded", &chunks),
        shaped("a NUL at the end of each line", &body.replace('\n', "\0\n")),
        shaped(
            "Majordomo: a footer in the part",
            &format!("{body}_______________\nThe list: unsubscribe at lists.example\n"),
        ),
        shaped("Majordomo: a footer, and no padding", &format!("{unpadded}\n-- \nlist footer\n")),
        shaped(
            "a virus scanner's note above, in the part",
            &format!("*** Scanned by a gateway: clean ***\n\n{body}"),
        ),
        shaped(
            "several lines of prose above, in the part",
            &format!("Dear Bob,\nthe file you asked for is here:\n\n{body}"),
        ),
        shaped("zeros behind the stream", &base64(&[package, &[0; 700][..]].concat(), 76)),
        shaped("text behind the stream", &base64(&[package, &b"\r\nfooter"[..]].concat(), 76)),
        damaged("a few bits are wrong", "hidden", &[&body[..2004], "zzzz", &body[2008..]].concat()),
        damaged(
            "a line is lost",
            "checksum",
            &body
                .lines()
                .enumerate()
                .filter(|(n, _)| *n != 6)
                .map(|(_, l)| format!("{l}\n"))
                .collect::<String>(),
        ),
        damaged("cut in the middle", "damaged", &body[..body.len() / 2]),
    ]
}

/// What the field that names the encoding may look like.
fn labels(kit: &Kit) -> Vec<Case> {
    let labels = [
        ("php-mime-mail-parser#236: blanks behind", "base64  \t "),
        ("a comment", "(b) base64 (as always)"),
        ("quotes and a semicolon", "\"base64\";"),
        ("shouting", "BASE64"),
        ("folded", "\n\tbase64"),
        ("x-base64", "x-base64"),
        ("base-64", "base-64"),
        ("a charset behind it", "base64; charset=utf-8"),
        ("unknown", "x-who-knows"),
        ("7bit, and it is base64", "7bit"),
        ("8bit, and it is base64", "8bit"),
        ("binary, and it is base64", "binary"),
        ("empty", ""),
        ("quoted-printable, and it is base64", "quoted-printable"),
    ];
    let mut cases: Vec<Case> = labels
        .iter()
        .map(|(by, label)| {
            let fields =
                format!("Content-Type: application/gzip\nContent-Transfer-Encoding: {label}");
            Case::found(&format!("encoding: {by}"), attached(&fields, &kit.body), kit)
        })
        .collect();
    let lost = attached("Content-Type: application/gzip", &kit.body);
    cases.push(Case::found("encoding: the field is lost", lost, kit));
    cases
}

/// Other encodings than base64.
fn others(kit: &Kit) -> Vec<Case> {
    let package = &kit.package;
    let fields = |encoding: &str| {
        format!("Content-Type: application/octet-stream\nContent-Transfer-Encoding: {encoding}")
    };
    let uu = uuencode("remsync.tgz", package);
    let qp = quoted_printable(package);
    let mut damaged = package.clone();
    damaged.retain(|byte| *byte != b'\n');
    let eol: Vec<u8> = package
        .iter()
        .flat_map(|b| if *b == b'\n' { vec![b'\r', b'\n'] } else { vec![*b] })
        .collect();
    // The first line is the notice; the header of the file takes 31 characters of what follows.
    let binhexed = binhex(".remsync.tar.gz", package);
    let begin = binhexed.find(':').unwrap_or_default();
    let less_one = |at: usize| {
        let mut text = binhexed.clone();
        text.remove(begin + at);
        text
    };
    let damaged_binhex =
        |by: &'static str, at, word| Case::refused(by, format!("{TOP}\n{}\n", less_one(at)), word);
    let named =
        "Content-Type: application/gzip; name=remsync.tar.gz\nContent-Transfer-Encoding: 8bit";
    let spaced: String =
        uu.replace('`', " ").lines().map(|l| l.trim_end().to_owned() + "\n").collect();
    vec![
        Case::found(
            "a script: quoted-printable, each byte",
            attached(&fields("quoted-printable"), &qp),
            kit,
        ),
        Case::found(
            "sendmail: quoted-printable, what must be",
            attached(&fields("quoted-printable"), &quoted_printable_text(package)),
            kit,
        ),
        Case::found(
            "quoted-printable in small letters",
            attached(&fields("quoted-printable"), &qp.to_lowercase()),
            kit,
        ),
        Case::found(
            "quoted-printable with blanks behind",
            attached(&fields("quoted-printable"), &qp.replace('\n', " \t\n")),
            kit,
        ),
        Case::found("quoted-printable, called 7bit", attached(&fields("7bit"), &qp), kit),
        Case::found("quoted-printable, called base64", attached(&fields("base64"), &qp), kit),
        Case::found("Exchange 5.5: x-uuencode", attached(&fields("x-uuencode"), &uu), kit),
        Case::found("Outlook Express: x-uue", attached(&fields("x-uue"), &uu), kit),
        Case::found("uuencode, called base64", attached(&fields("base64"), &uu), kit),
        Case::found("uuencode, called 7bit", attached(&fields("7bit"), &uu), kit),
        Case::found(
            "uuencode in quoted-printable",
            attached(&fields("quoted-printable"), &quoted_printable_text(uu.as_bytes())),
            kit,
        ),
        Case::found(
            "uuencode in base64",
            attached(&fields("base64"), &base64(uu.as_bytes(), 76)),
            kit,
        ),
        Case::found(
            "base64 in base64",
            attached(&fields("base64"), &base64(kit.body.as_bytes(), 76)),
            kit,
        ),
        Case::found(
            "remsync's users of 1994: uuencode in the body",
            format!("From: a@x\n\nHello, here it is:\n\n{uu}\nBye\n"),
            kit,
        ),
        Case::found("uuencode as the whole mail", format!("From: a@x\n\n{uu}"), kit),
        Case::found("uuencode, blanks lost at line ends", format!("From: a@x\n\n{spaced}"), kit),
        Case::found(
            "uuencode, a blank line after each",
            format!("From: a@x\n\n{}", uu.replace('\n', "\n\n")),
            kit,
        ),
        Case::found(
            "uuencode without its end",
            format!("From: a@x\n\n{}", uu.replace("`\nend\n", "")),
            kit,
        ),
        Case::found(
            "uuencode -m",
            format!("{TOP}\nbegin-base64 644 r.tgz\n{}====\n", kit.body),
            kit,
        ),
        Case::found(
            "uuencode of a name with blanks",
            format!("{TOP}\n{}", uuencode("my files.tar.gz", package)),
            kit,
        ),
        Case::found(
            "8BITMIME and BINARYMIME: binary",
            attached_raw(&fields("binary"), package),
            kit,
        ),
        Case::found("binary, called 8bit", attached_raw(&fields("8bit"), package), kit),
        Case::found("binary, called base64", attached_raw(&fields("base64"), package), kit),
        Case::found(
            "binary as the whole mail",
            splice(&format!("{TOP}{}\n\n@@", fields("binary")), package),
            kit,
        ),
        Case::refused("binary, its line ends changed", attached_raw(named, &eol), ""),
        Case::refused("binary, its line ends lost", attached_raw(named, &damaged), ""),
        Case::found(
            "a Macintosh of 1995: BinHex",
            attached(
                "Content-Type: application/mac-binhex40; name=remsync.hqx",
                &binhex("remsync.tar.gz", package),
            ),
            kit,
        ),
        Case::found(
            "BinHex in the body",
            format!("{TOP}\nHere:\n\n{}\nBye\n", binhex("r.gz", package)),
            kit,
        ),
        Case::refused(
            "BinHex, its header damaged from its beginning",
            attached("Content-Type: application/mac-binhex40; name=remsync.hqx", &less_one(1)),
            "name of a package",
        ),
        damaged_binhex("BinHex, its name damaged", 20, "name of a package"),
        damaged_binhex("BinHex, its lengths damaged", 30, "name of a package"),
        damaged_binhex("BinHex, a character of the package lost", 300, ""),
        Case::found(
            "a news reader: yEnc",
            splice(&format!("{TOP}\nA file:\n@@\nBye\n"), &yenc("r.tgz", package, None)),
            kit,
        ),
        Case::found(
            "yEnc, one piece of one",
            splice(&format!("{TOP}\n@@"), &yenc("r.tgz", package, Some((1, 1)))),
            kit,
        ),
        Case::refused(
            "yEnc, one piece of two",
            splice(&format!("{TOP}\n@@"), &yenc("remsync.tar.gz", &package[..500], Some((1, 2)))),
            "pieces",
        ),
    ]
}

/// Base64 that no field announces.
fn naked(kit: &Kit) -> Vec<Case> {
    let body = &kit.body;
    let quoted: String = body.lines().map(|line| format!("> {line}\n")).collect();
    let second = base64(&kit.second, 76);
    let both = super::Expected::Packages(vec![kit.package.clone(), kit.second.clone()]);
    let html = format!("<html><body><p>Here:</p></body></html>\n{body}");
    vec![
        Case::found(
            "mail(1) without MIME: the body is base64",
            format!("From: a@x\n\n{body}"),
            kit,
        ),
        Case::found("base64 below some words", format!("{TOP}\nHello Bob,\n\n{body}\nBye\n"), kit),
        Case::found(
            "base64, indented, below some words",
            format!("{TOP}\nHello Bob,\n\n   {}Bye, Ann\n", body.replace('\n', "\n   ")),
            kit,
        ),
        Case::found(
            "base64 with blank lines",
            format!("{TOP}\n{}", body.replace('\n', "\n\n")),
            kit,
        ),
        Case::found(
            "base64 as one line below some words",
            format!("{TOP}\nHello\n{}\n", body.replace('\n', "")),
            kit,
        ),
        Case::found(
            "base64 in a text part of HTML",
            multipart(
                "alternative",
                "x",
                &[("Content-Type: text/plain", "Hi"), ("Content-Type: text/html", &html)],
            ),
            kit,
        ),
        Case::new(
            "two of them in one body",
            format!("{TOP}\nOne:\n\n{body}\nTwo:\n\n{second}\n-- \nAnn\n"),
            both,
        ),
        Case::nothing("a reply that quotes it", format!("{TOP}\nAnn wrote:\n{quoted}")),
    ]
}
