//! Families g and h: whole mails as more programs write them, and shapes that broke others.

use super::coding::{base64, uuencode};
use super::{Case, Expected, GZIP, Kit, TOP, attached, entity, multipart};

pub fn cases(kit: &Kit) -> Vec<Case> {
    let body = kit.body.as_str();
    let in_crlf = |text: &str| text.replace('\n', "\r\n");
    let (mixed, inner) = entity(
        "mixed",
        "----=_Part_1",
        &[
            ("Content-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: 7bit", "Hi"),
            (GZIP, body),
        ],
    );
    let table: Vec<(&str, String)> = vec![
        (
            "GNU Mailutils: mail -A",
            format!(
                "{TOP}Content-Type: multipart/mixed; boundary=\"1804289383-1700000000=:1\"\n\n--1804289383-1700000000=:1\nContent-Type: text/plain; charset=UTF-8\nContent-Disposition: inline\nContent-Transfer-Encoding: 8bit\n\n\n--1804289383-1700000000=:1\nContent-ID: <1@b>\nContent-Type: application/octet-stream; name=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\".remsync.tar.gz\"\n\n{body}--1804289383-1700000000=:1--\n"
            ),
        ),
        (
            "s-nail",
            format!(
                "{TOP}Content-Type: multipart/mixed;\n boundary=\"=-=abc-=-=\"\n\nThis is a multi-part message in MIME format.\n\n--=-=abc-=-=\nContent-Type: text/plain; charset=us-ascii\nContent-Disposition: inline\n\nHi\n\n--=-=abc-=-=\nContent-Type: application/gzip\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;\n filename=\".remsync.tar.gz\"\n\n{body}\n--=-=abc-=-=--\n"
            ),
        ),
        (
            "swaks",
            format!(
                "{TOP}X-Mailer: swaks v20240103.0\nContent-Type: multipart/mixed; boundary=\"----=_MIME_BOUNDARY_000_1\"\n\n------=_MIME_BOUNDARY_000_1\nContent-Type: text/plain\n\ntest\n------=_MIME_BOUNDARY_000_1\nContent-Type: application/octet-stream; name=\"r.tgz\"\nContent-Description: r.tgz\nContent-Disposition: attachment; filename=\"r.tgz\"\nContent-Transfer-Encoding: BASE64\n\n{body}\n------=_MIME_BOUNDARY_000_1--\n\n"
            ),
        ),
        (
            "Python's smtplib example",
            format!(
                "Content-Type: multipart/mixed; boundary=\"===============123==\"\nMIME-Version: 1.0\nSubject: x\n\n--===============123==\nContent-Type: application/octet-stream\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"r\"\n\n{body}\n--===============123==--\n"
            ),
        ),
        ("JavaMail", format!("{TOP}{mixed}\n\n{inner}")),
        (
            "PHPMailer",
            attached(
                "Content-Type: application/gzip; name=\"=?us-ascii?Q?r.gz?=\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=r.gz",
                body,
            ),
        ),
        (
            "Gnus: MML",
            multipart(
                "mixed",
                "=-=-=",
                &[
                    ("Content-Type: text/plain", "Hi\n"),
                    (
                        "Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=.remsync.tar.gz\nContent-Transfer-Encoding: base64",
                        body,
                    ),
                ],
            ),
        ),
        ("VM: a content length", attached(&format!("{GZIP}\nContent-Length: 99"), body)),
        (
            "Outlook.com through Exchange Online",
            multipart(
                "mixed",
                "_004_DB7PR0=prod_",
                &[
                    (
                        "Content-Type: multipart/alternative;\n\tboundary=\"_000_DB7=prod_\"",
                        "--_000_DB7=prod_\nContent-Type: text/plain; charset=\"us-ascii\"\nContent-Transfer-Encoding: quoted-printable\n\nHi=20\n\n--_000_DB7=prod_--\n",
                    ),
                    (
                        "Content-Type: application/x-gzip; name=\"remsync.tar.gz\"\nContent-Description: remsync.tar.gz\nContent-Disposition: attachment; filename=\"remsync.tar.gz\"; size=1046;\n\tcreation-date=\"Sat, 21 Nov 2026 10:00:00 GMT\"\nContent-Transfer-Encoding: base64",
                        body,
                    ),
                ],
            ),
        ),
        (
            "Yahoo",
            multipart(
                "mixed",
                "----=_Part_123_1.2",
                &[
                    ("Content-Type: text/plain; charset=UTF-8", "Hi"),
                    (
                        "Content-Type: application/gzip\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"remsync.tar.gz\"\nContent-ID: <9d5>",
                        body,
                    ),
                ],
            ),
        ),
        (
            "Proton",
            multipart(
                "mixed",
                "b1_abc",
                &[
                    (
                        "Content-Type: text/plain;charset=utf-8\nContent-Transfer-Encoding: base64",
                        "SGk=",
                    ),
                    (
                        "Content-Type: application/x-gzip; filename=\".remsync.tar.gz\"; name=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\".remsync.tar.gz\"; name=\".remsync.tar.gz\"",
                        body,
                    ),
                ],
            ),
        ),
        (
            "Lotus Domino",
            attached(
                "Content-type: application/octet-stream;\n\tname=\"remsync.tar.gz\"\nContent-Disposition: attachment; filename=\"remsync.tar.gz\"\nContent-ID: <1__=0FBBF>\nContent-transfer-encoding: base64",
                body,
            ),
        ),
        (
            "a scanner with a mailer of its own",
            in_crlf(&format!(
                "Subject: scan\nContent-Type: multipart/mixed; boundary=IMAGE\n\n--IMAGE\n{GZIP}\n\n{body}--IMAGE--\n"
            )),
        ),
        (
            "Elm and a pipe: uuencode with a shell's words",
            format!(
                "{TOP}\n# To unpack: sh this\ncut -c2- << 'EOF'\n{}EOF\n",
                uuencode("r.tgz", &kit.package)
            ),
        ),
        (
            "Google Groups: rewritten on the way",
            format!(
                "Received: by 10.0.0.1; Sat\nX-Google-Smtp-Source: abc\nDKIM-Signature: v=1; b={}\nList-ID: <x.googlegroups.com>\n{}",
                "Ab/+".repeat(100),
                attached(GZIP, body)
            ),
        ),
        (
            "fetchmail: rewritten addresses",
            format!(
                "Received: from x [1.2.3.4]\n\tby localhost with POP3 (fetchmail-6.4)\n\tfor <bob@localhost> (single-drop); Sat\n{}",
                attached(GZIP, body)
            ),
        ),
    ];
    table.into_iter().map(|(by, mail)| Case::found(by, mail, kit)).collect()
}

/// Family h.
pub fn broken(kit: &Kit) -> Vec<Case> {
    let body = kit.body.as_str();
    let mail = attached(GZIP, body);
    let second = base64(&kit.second, 76);
    let zip_in = mail.replace("Here it is.", "PK");
    let many_types = "Content-Type: text/plain\n".repeat(1_000);
    let mut cases: Vec<Case> = [
        ("ripmime: two semicolons", mail.replace("mixed;", "mixed;;")),
        (
            "Python: encoding with a fold before it",
            mail.replace("Encoding: base64", "Encoding:\n base64"),
        ),
        (
            "Python: a folded line of blanks in a field",
            mail.replace("Content-Transfer", "X-Y: a\n  \n b\nContent-Transfer"),
        ),
        (
            "munpack: a text part of base64",
            attached("Content-Type: text/plain\nContent-Transfer-Encoding: base64", body),
        ),
        (
            "lettre: two content types",
            mail.replace(
                "Content-Type: multipart",
                "Content-Type: text/plain\nContent-Type: multipart",
            ),
        ),
        ("mailparse#107: the inner boundary begins the outer", {
            let (fields, inner) = entity("mixed", "b-1", &[(GZIP, body)]);
            multipart("mixed", "b", &[(&fields, &inner)])
        }),
        (
            "mblaze: base64 in lines of 77",
            attached(GZIP, &super::coding::in_columns(&body.replace('\n', ""), 77)),
        ),
        (
            "reformime: a part that begins with blank lines",
            mail.replace("base64\n\n", "base64\n\n\n\n"),
        ),
        (
            "uudeview: two files of one name",
            multipart(
                "mixed",
                "x",
                &[("", &uuencode("a", &kit.package)), ("", &uuencode("a", &kit.package))],
            ),
        ),
        (
            "a thousand types",
            mail.replace(
                "Content-Type: application",
                &format!("{many_types}Content-Type: application"),
            ),
        ),
        ("a quoted string that never ends in a field above", format!("X-A: \"abc\n{mail}")),
        (
            "a comment that never ends in the type",
            mail.replace("application/gzip", "application/gzip (never"),
        ),
        ("zbateson#202: a field of 8-bit text", format!("X-Ü: ü\n{mail}")),
        ("a part of PK in text", zip_in),
        ("many parameters", mail.replace("mixed;", &format!("mixed; {}", "a=b; ".repeat(2_000)))),
        (
            "the type of a multipart without a slash",
            mail.replace("multipart/mixed;", "multipart/;"),
        ),
        ("HTTP fields above", format!("HTTP/1.1 200 OK\nServer: x\n{mail}")),
        ("IMAP: a literal's first line above", format!("* 1 FETCH (BODY[] {{123}}\n{mail}")),
    ]
    .into_iter()
    .map(|(by, mail)| Case::found(by, mail, kit))
    .collect();
    let doubled = multipart(
        "mixed",
        "x",
        &[(GZIP, body), ("", &uuencode("b", &kit.second)), (GZIP, &second)],
    );
    cases.push(Case::new(
        "two packages, one of them twice",
        doubled,
        Expected::Packages(vec![kit.package.clone(), kit.second.clone()]),
    ));
    cases
}
