//! Family d: mails within mails, signed mails, bounces.

use super::coding::{base64, pkcs7, pkcs7_signed, quoted_printable_text};
use super::{Case, Expected, GZIP, Kit, TOP, attached, entity, multipart};

pub fn cases(kit: &Kit) -> Vec<Case> {
    let mut cases = forwarded(kit);
    cases.extend(signed(kit));
    cases.extend(returned(kit));
    cases
}

fn forwarded(kit: &Kit) -> Vec<Case> {
    let inner = attached(GZIP, &kit.body);
    let encoded = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64";
    let wrap =
        |fields: &str, body: &str| multipart("mixed", "fwd", &[("", "See below."), (fields, body)]);
    let times = |n: usize| {
        (0..n).fold(inner.clone(), |mail, n| {
            let body = base64(mail.as_bytes(), 76);
            multipart("mixed", &format!("e{n}"), &[(encoded, &body)])
        })
    };
    let second = attached(GZIP, &base64(&kit.second, 76));
    let (digest, digest_body) = entity("digest", "d", &[("", &inner), ("", &second)]);
    let both = || Expected::Packages(vec![kit.package.clone(), kit.second.clone()]);
    let rfc934 = inner
        .lines()
        .map(|l| if l.starts_with('-') { format!("- {l}\n") } else { format!("{l}\n") })
        .collect::<String>();
    let named = TOP.replace("our files", "[remsync] notes");
    vec![
        Case::found(
            "mutt: forwarded as an attachment",
            wrap("Content-Type: message/rfc822", &inner),
            kit,
        ),
        Case::found(
            "Outlook: forwarded in base64",
            wrap(encoded, &base64(inner.as_bytes(), 76)),
            kit,
        ),
        Case::found(
            "forwarded in quoted-printable",
            wrap(
                "Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable",
                &quoted_printable_text(inner.as_bytes()),
            ),
            kit,
        ),
        Case::found(
            "the mail is a mail",
            format!("{TOP}Content-Type: message/rfc822\n\n{inner}"),
            kit,
        ),
        Case::found("message/global", wrap("Content-Type: message/global", &inner), kit),
        Case::found(
            "forwarded with its mbox line",
            wrap("Content-Type: message/rfc822", &format!("From ann@a.example Sat\n{inner}")),
            kit,
        ),
        Case::found("forwarded twice in base64", times(2), kit),
        Case::found("forwarded eight times in base64", times(8), kit),
        Case::nothing("forwarded nine times in base64: past the bound", times(9)).by_policy(),
        Case::new("Mailman: a digest", format!("{TOP}{digest}\n\n{digest_body}"), both()),
        Case::found(
            "a digest part of another type",
            format!(
                "{TOP}Content-Type: multipart/digest; boundary=d\n\n--d\n{GZIP}\n\n{}--d--\n",
                kit.body
            ),
            kit,
        ),
        Case::found(
            "RFC 934: forwarded as text",
            format!(
                "{TOP}\n------- Forwarded Message\n\n{rfc934}\n------- End of Forwarded Message\n"
            ),
            kit,
        ),
        Case::found(
            "SpamAssassin: wrapped, the original attached",
            multipart(
                "mixed",
                "----------=_1",
                &[
                    ("Content-Type: text/plain", "Spam detection software has identified this"),
                    (
                        "Content-Type: message/rfc822; x-spam-type=original\nContent-Description: original message before SpamAssassin\nContent-Disposition: attachment",
                        &inner,
                    ),
                ],
            ),
            kit,
        ),
        Case::found(
            "SpamAssassin: the original as text",
            multipart(
                "mixed",
                "----------=_1",
                &[
                    ("Content-Type: text/plain", "Spam"),
                    ("Content-Type: text/plain; x-spam-type=original", &inner),
                ],
            ),
            kit,
        ),
        Case::found(
            "Mailman: a footer part",
            multipart(
                "mixed",
                "===1",
                &[
                    ("", "Hi"),
                    (GZIP, &kit.body),
                    (
                        "Content-Type: text/plain; charset=\"us-ascii\"\nContent-Disposition: inline",
                        "_____\nList mailing list\n",
                    ),
                ],
            ),
            kit,
        ),
        Case::found(
            "message/partial, one of one",
            format!("{TOP}Content-Type: message/partial; id=\"x\"; number=1; total=1\n\n{inner}"),
            kit,
        ),
        Case::refused(
            "message/partial that does not say of what",
            format!(
                "{named}Content-Type: message/partial;\n\tnumber=1; total=2\n\n{}",
                &inner[..inner.len() / 2]
            ),
            "pieces",
        ),
        Case::nothing(
            "Outlook Express: message/partial, one of two, which waits",
            format!(
                "{named}Content-Type: message/partial;\n\tid=\"x\"; number=1; total=2\n\n{}",
                &inner[..inner.len() / 2]
            ),
        ),
        Case::nothing(
            "message/partial of other people",
            format!(
                "{TOP}Content-Type: message/partial; id=\"x\"; number=2; total=2\n\nrest of a long letter, of which this is only the end\nof it\n"
            ),
        ),
        Case::refused(
            "message/external-body",
            multipart(
                "mixed",
                "x",
                &[(
                    "Content-Type: message/external-body; access-type=anon-ftp;\n site=ftp.example; name=remsync.tar.gz",
                    "Content-Type: application/gzip\n\n",
                )],
            ),
            "name of a package",
        ),
    ]
}

fn signed(kit: &Kit) -> Vec<Case> {
    let part = format!("{GZIP}\n\n{}", kit.body);
    let der = pkcs7_signed(part.as_bytes(), false);
    let (fields, body) = entity("mixed", "in", &[("", "Hi"), (GZIP, &kit.body)]);
    let whole = pkcs7_signed(format!("{fields}\n\n{body}").replace('\n', "\r\n").as_bytes(), true);
    let smime = |name: &str, der: &[u8]| {
        format!(
            "{TOP}Content-Type: application/{name}pkcs7-mime; smime-type=signed-data; name=smime.p7m\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=smime.p7m\n\n{}",
            base64(der, 64)
        )
    };
    let enveloped = base64(&pkcs7(3, b"\x02\x01\x00 secret bytes of nobody knows what", false), 64);
    let named = |text: &str| text.replace("our files", "[remsync] notes: 3 files");
    let pgp =
        "-----BEGIN PGP MESSAGE-----\n\nhQEMA0abcdefghijklmnop\n=abcd\n-----END PGP MESSAGE-----\n";
    let encrypted = multipart(
        "encrypted; protocol=\"application/pgp-encrypted\"",
        "pgp",
        &[
            ("Content-Type: application/pgp-encrypted", "Version: 1\n"),
            ("Content-Type: application/octet-stream; name=\"encrypted.asc\"", pgp),
        ],
    );
    let binary_pgp = base64(&[b"\x85\x01\x0c\x03".as_slice(), &[7; 300]].concat(), 76);
    let attached_pgp = "Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=\"remsync.tar.gz.gpg\"\nContent-Transfer-Encoding: base64";
    vec![
        Case::found(
            "Enigmail: PGP/MIME, signed",
            multipart(
                "signed; micalg=pgp-sha256; protocol=\"application/pgp-signature\"",
                "sig",
                &[
                    (&fields, &body),
                    (
                        "Content-Type: application/pgp-signature; name=signature.asc",
                        "-----BEGIN PGP SIGNATURE-----\n\niQEz\n=abcd\n-----END PGP SIGNATURE-----\n",
                    ),
                ],
            ),
            kit,
        ),
        Case::found(
            "Outlook: S/MIME, clear-signed",
            multipart(
                "signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256",
                "sig",
                &[
                    (&fields, &body),
                    (
                        "Content-Type: application/pkcs7-signature; name=smime.p7s\nContent-Transfer-Encoding: base64",
                        "MIAGCSqGSIb3DQEHAqCAMIACAQExDzANBglghkgBZQMEAgEFADCABgkqhkiG9w0BBwEAAKCA\n",
                    ),
                ],
            ),
            kit,
        ),
        Case::found("Outlook: S/MIME, opaque", smime("x-", &der), kit),
        Case::found("OpenSSL: S/MIME, opaque, of unknown lengths", smime("", &whole), kit),
        Case::refused("Outlook: S/MIME, encrypted", named(&smime("", &[])) + &enveloped, "S/MIME"),
        Case::nothing("S/MIME, encrypted, of other people", smime("", &[]) + &enveloped),
        Case::refused("Enigmail: PGP/MIME, encrypted", named(&encrypted), "OpenPGP"),
        Case::nothing("PGP/MIME, encrypted, of other people", encrypted),
        Case::refused(
            "OpenPGP in the text",
            named(&format!("{TOP}\nFor you:\n\n{pgp}")),
            "OpenPGP",
        ),
        Case::refused("gpg -e, the file attached", attached(attached_pgp, &binary_pgp), "OpenPGP"),
        Case::nothing(
            "gpg -e, another file attached",
            attached(&attached_pgp.replace("remsync", "photos"), &binary_pgp),
        ),
    ]
}

fn returned(kit: &Kit) -> Vec<Case> {
    let ours = attached(GZIP, &kit.body);
    let rfc822 = "Content-Type: message/rfc822";
    let report = multipart(
        "report; report-type=delivery-status",
        "r",
        &[
            ("", "Sorry."),
            (
                "Content-Type: message/delivery-status",
                "Reporting-MTA: dns; x\n\nAction: failed\nStatus: 5.1.1\n",
            ),
            (rfc822, &ours),
        ],
    );
    let mdn = report.replace("delivery-status", "disposition-notification");
    let copy = format!("--- Below this line is a copy of the message.\n\n{ours}");
    let from =
        |address: &str, body: &str| TOP.replace("Ann <ann@a.example>", address) + "\n" + body;
    let bounce = |by: &str, mail: String| Case::nothing(by, mail).by_policy();
    vec![
        bounce("Postfix: a bounce with our own package", report.clone()),
        bounce("a receipt with our own package", mdn),
        bounce("a bounce, forwarded", multipart("mixed", "f", &[(rfc822, &report)])),
        bounce(
            "Exim: a bounce of two parts",
            format!(
                "X-Failed-Recipients: bob@b.example\n{}",
                multipart("mixed", "x", &[("", "Sorry."), (rfc822, &ours)])
            ),
        ),
        bounce(
            "a null return path",
            format!("Return-Path: <>\n{}", multipart("mixed", "x", &[(rfc822, &ours)])),
        ),
        bounce(
            "a null sender in the mbox line",
            format!(
                "From <> Sat Nov 21 10:00:00 2026\n{}",
                multipart("mixed", "x", &[(rfc822, &ours)])
            ),
        ),
        bounce(
            "qmail: a bounce in plain text",
            from(
                "MAILER-DAEMON@b.example",
                &format!("Hi. This is the qmail-send program.\n\n{copy}"),
            ),
        ),
        bounce(
            "Exim: a bounce in plain text",
            format!(
                "X-Failed-Recipients: bob@b.example\n{}",
                from("Mail Delivery System <Mailer-Daemon@b.example>", &copy)
            ),
        ),
        bounce(
            "an automatic answer that quotes ours",
            format!(
                "Auto-Submitted: auto-replied\n{}",
                from("bob@b.example", &format!("I am away. You wrote:\n\n{ours}"))
            ),
        ),
        bounce(
            "an automatic answer with ours attached",
            format!(
                "Auto-Submitted: auto-replied (vacation)\n{}",
                multipart("mixed", "x", &[(rfc822, &ours)])
            ),
        ),
        Case::found(
            "what stands beside a forwarded bounce",
            multipart("mixed", "f", &[(rfc822, &report), (GZIP, &kit.body)]),
            kit,
        ),
    ]
}
