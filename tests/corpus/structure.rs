//! Family d: how the mail is put together, and what happened to its lines on the way.

use super::coding::base64;
use super::{Case, Expected, GZIP, Kit, TOP, attached, entity, multipart};

pub fn cases(kit: &Kit) -> Vec<Case> {
    let mut cases = boundaries(kit);
    cases.extend(lines(kit));
    cases.extend(headers(kit));
    cases.extend(nesting(kit));
    cases
}

fn boundaries(kit: &Kit) -> Vec<Case> {
    let mail = attached(GZIP, &kit.body);
    let announced = |other: &str| mail.replace("boundary=\"=_b1\"", other);
    let prefix = mail.replace("Here it is.", "--=_b\n--=_b12\nx --=_b1\n --=_b1\nHere it is.");
    let glued = mail.replace("Here it is.\n--=_b1", "Here it is.--=_b1");
    let mut table = vec![
        ("no final boundary", mail.replace("--=_b1--\n", "")),
        ("cut within the final boundary", mail.replace("--=_b1--\n", "--=_")),
        ("text after the end", mail.clone() + "\nepilogue\n--=_b1\nnot a part\n"),
        (
            "the file behind the end",
            mail.replace(
                &format!("--=_b1\n{GZIP}\n\n{}--=_b1--", kit.body),
                &format!("--=_b1--\n\n{}", kit.body),
            ),
        ),
        ("the boundary is not announced", announced("charset=us-ascii")),
        ("another boundary is announced", announced("boundary=\"other\"")),
        ("a gateway that writes fields in small letters", announced("boundary=\"=_B1\"")),
        ("the boundary without quotes", announced("boundary==_b1")),
        ("the boundary in single quotes", announced("boundary='=_b1'")),
        ("the boundary's quote has no end", announced("boundary=\"=_b1")),
        ("the boundary in pieces, RFC 2231", announced("boundary*0=\"=_\";\n\tboundary*1=b1")),
        ("the boundary encoded, RFC 2231", announced("boundary*=us-ascii''%3D_b1")),
        ("two boundaries announced", announced("boundary=\"x\"; boundary=\"=_b1\"")),
        ("blanks around =", announced("boundary = \"=_b1\"")),
        ("mail-parser#165: = at a fold", announced("boundary=\n\t\"=_b1\"")),
        ("blanks behind the boundaries", mail.replace("--=_b1\n", "--=_b1 \t\n")),
        ("blanks behind the announced boundary", announced("boundary=\"=_b1  \"")),
        ("mailparse#100: other boundaries begin like this one", prefix),
        (
            "mail-parser#156: a boundary in the middle of a line",
            mail.replace("Here it is.", "Here --=_b1 is\nit--=_b1--."),
        ),
        ("no line end before a boundary", glued),
        ("no line end before the last boundary", mail.replace("\n--=_b1--", "--=_b1--")),
        (
            "blank lines below each boundary's fields",
            mail.replace("base64\n\n", "base64\n\n\n\n\n"),
        ),
        (
            "no blank line below the header",
            mail.replace("boundary=\"=_b1\"\n\nThis", "boundary=\"=_b1\"\nThis"),
        ),
        ("no blank line below the fields of the part", mail.replace("base64\n\n", "base64\n")),
        ("a boundary of 200 characters", mail.replace("=_b1", &"b".repeat(200))),
        ("a boundary of odd characters", mail.replace("=_b1", "=_'()+_,-./:=?")),
        ("a boundary that is a blank word", mail.replace("=_b1", "a b")),
        ("a boundary that begins with two dashes", mail.replace("=_b1", "--b")),
        ("the boundary is empty", announced("boundary=\"\"")),
        (
            "the preamble looks like a part",
            mail.replace("This is a multi", "--other\nContent-Typ: x\nThis is a multi"),
        ),
        (
            "said to be a multipart, and only base64",
            format!("{TOP}Content-Type: multipart/mixed; boundary=x\n\n{}", kit.body),
        ),
    ];
    let (fields, inner) = entity("mixed", "in", &[(GZIP, &kit.body)]);
    table.push((
        "the end of an inner multipart is lost",
        multipart("mixed", "out", &[(&fields, &inner.replace("--in--\n", ""))]),
    ));
    let (longer_fields, longer) = entity("mixed", "in2", &[(GZIP, &kit.body)]);
    table.push((
        "an inner boundary begins like the outer",
        multipart("mixed", "in", &[(&longer_fields, &longer)]),
    ));
    table.push((
        "inner and outer boundary are the same",
        multipart("mixed", "in", &[(&fields, &inner)]),
    ));
    let whole = base64(inner.as_bytes(), 76);
    table.push((
        "against the rules: a multipart in base64",
        format!("{TOP}{fields}\nContent-Transfer-Encoding: base64\n\n{whole}"),
    ));
    table.push((
        "a multipart that says base64 and is none",
        mail.replace(
            "boundary=\"=_b1\"\n",
            "boundary=\"=_b1\"\nContent-Transfer-Encoding: base64\n",
        ),
    ));
    table.into_iter().map(|(by, mail)| Case::found(by, mail, kit)).collect()
}

fn lines(kit: &Kit) -> Vec<Case> {
    let mail = attached(GZIP, &kit.body);
    let ends = |ends: &[&str]| -> String {
        mail.lines()
            .enumerate()
            .map(|(n, line)| format!("{line}{}", ends[n % ends.len()]))
            .collect()
    };
    let table = vec![
        ("CR LF throughout", ends(&["\r\n"])),
        ("LF and CR LF by turns", ends(&["\n", "\r\n"])),
        ("CR CR LF throughout", ends(&["\r\r\n"])),
        ("all three", ends(&["\n", "\r\n", "\r\r\n"])),
        ("an old Macintosh: CR throughout", ends(&["\r"])),
        ("header in CR LF, body in LF", {
            let (head, body) = mail.split_once("\n\n").unwrap();
            format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n"))
        }),
        ("a stray CR in a field", mail.replace("our files", "our\rfiles")),
        (
            "mbox: From and >From",
            format!("From ann@a.example Sat Nov 21 10:00:00 2026\n>From x y z\n{mail}"),
        ),
        (
            "mbox: From MAILER-DAEMON, of who knows no sender",
            format!("From MAILER-DAEMON Sat Nov 21 10:00:00 2026\n{mail}"),
        ),
        ("mbox: >From in the text", mail.replace("Here it is.", ">From here on\n>>From there")),
        ("a blank line above", format!("\n{mail}")),
        ("blank lines above", format!("\r\n\n\r\n{mail}")),
        ("blank lines below", format!("{mail}\n\n\n")),
        ("procmail: a blank line at the end", format!("{mail}\n")),
        ("UTF-8's mark above", format!("\u{feff}{mail}")),
        ("a line of a megabyte", mail.replace("Here it is.", &"x".repeat(1 << 20))),
        ("dots doubled by SMTP and not undone", mail.replace("Here it is.", "..\n..x\nHere.")),
        ("trailing blanks on all lines", ends(&["  \n"])),
    ];
    table.into_iter().map(|(by, mail)| Case::found(by, mail, kit)).collect()
}

fn headers(kit: &Kit) -> Vec<Case> {
    let mail = attached(GZIP, &kit.body);
    let above = |fields: &str| format!("{fields}{mail}");
    let after_date = |line: &str| mail.replace("Message-ID", &format!("{line}\nMessage-ID"));
    let mut cases: Vec<Case> = [
        ("2000 Received", above(&"Received: from a by b; now\n\tand then\n".repeat(2_000))),
        ("300 kB of header", above(&format!("X-Spam: {}\n", "y".repeat(300_000)))),
        (
            "300 kB of header, folded",
            above(&format!("X-Spam:{}\n", "\n\tyyyyyyyyyyyyyyyyyyyyyyyyy".repeat(11_000))),
        ),
        ("a field of NULs", above("X-A: \0\0\0\n")),
        ("no From, no Date, nothing but MIME", mail[mail.find("MIME").unwrap()..].to_owned()),
        ("a line that is no field", after_date("this is no field at all")),
        (
            "a field broken without an indent",
            after_date("X-Long: begins here and\ngoes on here without a blank"),
        ),
        ("mail-parser: a field without a name", after_date(": empty")),
        ("a field of one word", after_date("X-Odd")),
        (
            "obsolete: blanks before colons, routes, comments",
            mail.replace("From: Ann", "From : <@x,@y:ann@a.example>\nFrom: (Ann \\) (in) ) Ann"),
        ),
        (
            "a subject in ten encoded words",
            mail.replace("our files", &"=?utf-8?q?=C3=A9?=\n ".repeat(10)),
        ),
        ("a date of no calendar", mail.replace("21 Nov", "99 Foo")),
        (
            "fields after a fold of blanks only",
            mail.replace("boundary=\"=_b1\"", "boundary=\"=_b1\";\n \t \n charset=x"),
        ),
        ("two headers: a list put its own above", above("X-List: a\nX-List-Id: <b.example>\n")),
        ("Auto-Submitted: auto-generated", above("Auto-Submitted: auto-generated\n")),
        ("Precedence: bulk", above("Precedence: bulk\nX-Auto-Response-Suppress: All\n")),
        ("Return-Path of a person", above("Return-Path: <ann@a.example>\n")),
    ]
    .into_iter()
    .map(|(by, mail)| Case::found(by, mail, kit))
    .collect();
    cases.push(Case::found(
        "a NUL and raw 8-bit text in the header",
        [b"X-A: \0\xff\xe9\n", mail.as_bytes()].concat(),
        kit,
    ));
    cases
}

fn nesting(kit: &Kit) -> Vec<Case> {
    let part = (GZIP, kit.body.as_str());
    let text = ("Content-Type: text/plain", "Hi");
    let html = ("Content-Type: text/html", "<p>Hi</p>");
    let (related_fields, related) = entity("related", "r", &[html, part]);
    let (alternative_fields, alternative) = entity("alternative", "a", &[text, html]);
    let (apple_fields, apple) = entity("mixed", "m", &[html, part, html]);
    let deep = |levels: usize| {
        let (mut fields, mut body) = (GZIP.to_owned(), kit.body.clone());
        for n in 0..levels {
            (fields, body) = entity("mixed", &format!("level-{n}-"), &[(&fields, &body)]);
        }
        format!("{TOP}{fields}\n\n{body}")
    };
    let twice = [text, part, part];
    let both = base64(&kit.second, 76);
    let bodies: Vec<(&str, &str)> = vec![text, part, (GZIP, &both)];
    let many: Vec<(&str, &str)> = std::iter::repeat_n(text, 500).chain([part]).collect();
    vec![
        Case::found(
            "Outlook: alternative, then the file",
            multipart("mixed", "o", &[(&alternative_fields, &alternative), part]),
            kit,
        ),
        Case::found(
            "Outlook: related in alternative",
            multipart("alternative", "o", &[text, (&related_fields, &related)]),
            kit,
        ),
        Case::found(
            "Apple Mail: mixed in alternative",
            multipart("alternative", "o", &[text, (&apple_fields, &apple)]),
            kit,
        ),
        Case::found(
            "a file as an alternative to the text",
            multipart("alternative", "o", &[text, part]),
            kit,
        ),
        Case::found(
            "an unknown kind of multipart",
            multipart("x-unheard", "o", &[text, part]),
            kit,
        ),
        Case::found("parallel", multipart("parallel", "o", &[text, part]), kit),
        Case::found(
            "form-data, of a web form",
            multipart(
                "form-data",
                "o",
                &[(
                    "Content-Disposition: form-data; name=\"file\"; filename=\"r.gz\"\nContent-Type: application/gzip\nContent-Transfer-Encoding: base64",
                    &kit.body,
                )],
            ),
            kit,
        ),
        Case::found("30 levels", deep(30), kit),
        Case::nothing("100 levels: past the bound", deep(100)).by_policy(),
        Case::nothing("2000 levels", deep(2_000)).by_policy(),
        Case::found("the same file twice", multipart("mixed", "o", &twice), kit),
        Case::new(
            "two packages",
            multipart("mixed", "o", &bodies),
            Expected::Packages(vec![kit.package.clone(), kit.second.clone()]),
        ),
        Case::found("500 parts before it", multipart("mixed", "o", &many), kit),
        Case::found(
            "empty parts around it",
            multipart("mixed", "o", &[("", ""), part, ("", "")]),
            kit,
        ),
    ]
}
