//! Family b: how the attachment is called. A name decides nothing; these must not cost a package.

use super::{Case, Kit, attached, attached_raw, splice};

pub fn cases(kit: &Kit) -> Vec<Case> {
    let with = |name: &str| {
        format!(
            "Content-Type: application/octet-stream\nContent-Disposition: attachment;\n {name}\nContent-Transfer-Encoding: base64"
        )
    };
    let mut cases: Vec<Case> = NAMES
        .iter()
        .map(|(by, name)| Case::found(by, attached(&with(name), &kit.body), kit))
        .collect();
    let long = format!("filename=\"{}.tar.gz\"", "remsync-".repeat(400));
    cases.push(Case::found("3 kB of name", attached(&with(&long), &kit.body), kit));
    for (by, bytes) in [
        ("The Bat!: raw Latin-1", &b"filename=\"r\xe9msync.tar.gz\""[..]),
        ("raw Shift JIS, whose second bytes are ASCII", b"filename=\"\x83\x5c\x83\x5c.gz\""),
        ("raw UTF-8", "filename=\"remsync–тест.tar.gz\"".as_bytes()),
        ("a NUL in the name", b"filename=\"remsync\0.tar.gz\""),
        ("a control character in the name", b"filename=\"rem\x07sync\x1b[2J.gz\""),
    ] {
        let mail = attached_raw(&with("@@").replace("@@", "%%"), kit.body.as_bytes());
        let mail = String::from_utf8(mail).unwrap().replace("%%", "@@");
        cases.push(Case::found(by, splice(&mail, bytes), kit));
    }
    cases
}

const NAMES: [(&str, &str); 34] = [
    ("Thunderbird: RFC 2231", "filename*=UTF-8''%2Eremsync%2Etar%2Egz"),
    ("Thunderbird: RFC 2231 in pieces", "filename*0=\".remsync.\";\n filename*1=\"tar.gz\""),
    (
        "mutt: RFC 2231 in encoded pieces",
        "filename*0*=utf-8''%2Erem;\n filename*1*=sync%2Etar;\n filename*2=.gz",
    ),
    ("RFC 2231, pieces out of order", "filename*2=gz; filename*0=.remsync.; filename*1=tar."),
    ("RFC 2231, a piece lost", "filename*0=.remsync.; filename*2=gz"),
    ("RFC 2231, a bad percent sign", "filename*=UTF-8''%2Gremsync%.tar.gz%"),
    ("RFC 2231, an unknown charset", "filename*=x-martian'mars'%2Eremsync.tar.gz"),
    ("Outlook: RFC 2047 in quotes", "filename=\"=?iso-8859-1?Q?=2Eremsync=2Etar=2Egz?=\""),
    ("Gmail: RFC 2047 in base64", "filename=\"=?UTF-8?B?LnJlbXN5bmMudGFyLmd6?=\""),
    (
        "Exchange: RFC 2047, words split in a character",
        "filename=\"=?utf-8?B?w6ky?=\n =?utf-8?B?w6k=?=.gz\"",
    ),
    ("RFC 2047 cut off", "filename=\"=?utf-8?B?LnJlbXN5\""),
    ("Outlook 97: a path of Windows", "filename=\"C:\\Users\\Ann\\My Documents\\.remsync.tar.gz\""),
    ("a way up", "filename=\"../../../../home/bob/.remsync.tar.gz\""),
    ("an absolute path", "filename=\"/etc/cron.d/remsync\""),
    ("Outlook 2007: the dot is gone", "filename=\"remsync.tar.gz\""),
    ("Outlook 2003: the dot is a blank", "filename=\" remsync.tar.gz\""),
    ("a gateway: the dot is _", "filename=\"_remsync.tar.gz\""),
    ("a gateway: two dots are one too many", "filename=\"remsync_tar.gz\""),
    ("a gateway: .do_", "filename=\"remsync.tar.gz.do_\""),
    ("Exchange: ATT00001", "filename=\"ATT00001\""),
    ("DOS: 8.3", "filename=\"REMSYN~1.GZ\""),
    ("DOS: TGZ", "filename=\"REMSYNC.TGZ\""),
    ("a browser: (1)", "filename=\".remsync.tar (1).gz\""),
    ("an empty name", "filename=\"\""),
    ("no quotes, blanks in it", "filename=my remsync files.tar.gz"),
    ("no quotes, a semicolon in it", "filename=remsync;1.tar.gz"),
    ("single quotes", "filename='.remsync.tar.gz'"),
    ("a quote without an end", "filename=\".remsync.tar.gz"),
    ("quotes in quotes", "filename=\".rem\\\"sync\\\".tar.gz\""),
    ("Ruby's mail#1386: blanks around =", "filename = \".remsync.tar.gz\""),
    ("it says that it is a picture", "filename=\"holiday.jpg\""),
    ("it says that it is a program", "filename=\"remsync.exe\""),
    ("it turns the direction of reading", "filename*=UTF-8''remsync%E2%80%AEzg.rat"),
    ("two names", "filename=\"a.gz\"; filename=\"b.gz\"; filename*=utf-8''c.gz"),
];
