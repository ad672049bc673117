//! Family a: what the attachment is said to be.

use super::{Case, Kit, TOP, attached};

pub fn cases(kit: &Kit) -> Vec<Case> {
    let mut cases: Vec<Case> = LABELS
        .iter()
        .map(|(by, fields)| Case::found(by, attached(fields, &kit.body), kit))
        .collect();
    let single = "Content-Type: application/gzip\nContent-Transfer-Encoding: base64\n";
    cases.extend([
        Case::found(
            "mail(1) of a script: the whole mail is the file",
            format!("{TOP}{single}\n{}", kit.body),
            kit,
        ),
        Case::found("no MIME-Version", format!("From: a@x\n{single}\n{}", kit.body), kit),
        Case::found(
            "a part without any field but the encoding's",
            attached("Content-Transfer-Encoding: base64", &kit.body),
            kit,
        ),
        Case::found("a part without any field", attached("", &kit.body), kit),
    ]);
    cases
}

const LABELS: [(&str, &str); 36] = [
    (
        "remsync",
        "Content-Type: application/gzip; name=\"remsync.tar.gz\"\nContent-Disposition: attachment; filename=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64",
    ),
    (
        "mutt 2",
        "Content-Type: application/gzip\nContent-Disposition: attachment; filename=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64",
    ),
    (
        "Thunderbird",
        "Content-Type: application/x-gzip; name=\".remsync.tar.gz\"\nContent-Disposition: attachment; filename=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64",
    ),
    (
        "Apple Mail: inline",
        "Content-Disposition: inline;\n\tfilename=.remsync.tar.gz\nContent-Type: application/x-gzip;\n\tx-unix-mode=0644;\n\tname=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64",
    ),
    (
        "iOS Mail",
        "Content-Type: application/x-gzip;\n\tname=remsync.tar.gz;\n\tx-apple-part-url=5E0C\nContent-Disposition: inline;\n\tfilename=remsync.tar.gz\nContent-Transfer-Encoding: base64",
    ),
    (
        "Gmail",
        "Content-Type: application/x-gzip; name=\".remsync.tar.gz\"\nContent-Disposition: attachment; filename=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64\nContent-ID: <f_l1>\nX-Attachment-Id: f_l1",
    ),
    (
        "Outlook",
        "Content-Type: application/octet-stream;\n\tname=\"remsync.tar.gz\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;\n\tfilename=\"remsync.tar.gz\"",
    ),
    (
        "Outlook Express",
        "Content-Type: application/x-gzip-compressed;\n\tname=\"remsync.tar.gz\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment;\n\tfilename=\"remsync.tar.gz\"",
    ),
    (
        "Exchange",
        "Content-Type: application/x-gzip; name=\"remsync.tar.gz\"\nContent-Description: remsync.tar.gz\nContent-Disposition: attachment; filename=\"remsync.tar.gz\";\n\tsize=1046; creation-date=\"Sat, 21 Nov 2026 10:00:00 GMT\";\n\tmodification-date=\"Sat, 21 Nov 2026 10:00:00 GMT\"\nContent-Transfer-Encoding: base64",
    ),
    (
        "KMail",
        "Content-Disposition: attachment; filename=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64\nContent-Type: application/x-compressed-tar; name=\".remsync.tar.gz\"",
    ),
    (
        "Evolution",
        "Content-Disposition: attachment; filename=\".remsync.tar.gz\"\nContent-Type: application/x-compressed-tar; name=\".remsync.tar.gz\"\nContent-Transfer-Encoding: base64\nContent-ID: <1.camel@a.example>",
    ),
    (
        "Alpine",
        "Content-Type: APPLICATION/octet-stream; NAME=.remsync.tar.gz\nContent-Transfer-Encoding: BASE64\nContent-ID: <alpine.1@a.example>\nContent-Description: \nContent-Disposition: attachment; FILENAME=.remsync.tar.gz",
    ),
    (
        "nmh",
        "Content-Type: application/x-tar-gz; name=\"remsync.tar.gz\";\n\tx-conversions=gzip\nContent-Description: the tree\nContent-Transfer-Encoding: base64",
    ),
    (
        "exmh, RFC 1341",
        "Content-Type: application/octet-stream; type=tar; conversions=gzip; name=r\nContent-Transfer-Encoding: base64",
    ),
    (
        "Python's email with guess_type",
        "Content-Type: application/x-tar\nMIME-Version: 1.0\nContent-Encoding: gzip\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"remsync.tar.gz\"",
    ),
    (
        "Sylpheed",
        "Content-Type: application/x-gtar-compressed; name=\"remsync.tar.gz\"\nContent-Disposition: attachment; filename=\"remsync.tar.gz\"\nContent-Transfer-Encoding: base64",
    ),
    (
        "Eudora: text/plain",
        "Content-Type: text/plain; name=\"remsync.tar.gz\"; charset=\"us-ascii\";\n x-mac-type=\"477A6970\"; x-mac-creator=\"477A6970\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"remsync.tar.gz\"",
    ),
    (
        "Lotus Notes: shouting",
        "CONTENT-TYPE: APPLICATION/GZIP;\n\tNAME=\"REMSYNC.TGZ\"\nCONTENT-TRANSFER-ENCODING:\n\tBASE64\nCONTENT-DISPOSITION:\n\tATTACHMENT; FILENAME=\"REMSYNC.TGZ\"",
    ),
    (
        "GroupWise: folded everywhere",
        "Content-Type:\n\tapplication/gzip\n\t;\n\tname\n\t=\n\t\"remsync.tar.gz\"\nContent-Transfer-Encoding:\n \n\tbase64",
    ),
    ("Heirloom mailx", "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64"),
    (
        "Roundcube",
        "Content-Transfer-Encoding: base64\nContent-Type: application/gzip;\n name=.remsync.tar.gz\nContent-Disposition: attachment;\n filename=.remsync.tar.gz;\n size=1046",
    ),
    (
        "Horde",
        "Content-Type: application/x-gzip; name=remsync.tar.gz\nContent-Disposition: attachment; size=1046; filename=remsync.tar.gz\nContent-Transfer-Encoding: base64",
    ),
    (
        "mpack",
        "Content-Type: application/octet-stream; name=\"remsync.tar.gz\"\nContent-Transfer-Encoding: base64\nContent-Disposition: inline; filename=\"remsync.tar.gz\"\nContent-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==",
    ),
    (
        "JavaMail",
        "Content-Type: application/octet-stream; name=remsync.tar.gz\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=remsync.tar.gz",
    ),
    (
        "a comment in the type",
        "Content-Type: application/(not a (picture))gzip (see RFC 6713)\nContent-Transfer-Encoding: base64",
    ),
    (
        "PHP script: stray semicolons",
        "Content-Type: application/gzip;; ;name=\"remsync.tar.gz\";;\nContent-Transfer-Encoding: base64;",
    ),
    ("an empty type", "Content-Type:\nContent-Transfer-Encoding: base64"),
    ("a type without a slash", "Content-Type: gzip\nContent-Transfer-Encoding: base64"),
    (
        "a charset on a file",
        "Content-Type: application/gzip; charset=binary; format=flowed\nContent-Transfer-Encoding: base64",
    ),
    (
        "web form: x-download",
        "Content-Type: application/x-download; name=remsync.tar.gz\nContent-Transfer-Encoding: base64",
    ),
    (
        "gateway that guesses by magic",
        "Content-Type: audio/x-midi; name=\"remsync.mid\"\nContent-Transfer-Encoding: base64",
    ),
    (
        "old browser: multipart/x-gzip",
        "Content-Type: multipart/x-gzip\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=remsync.tar.gz",
    ),
    (
        "a disposition nobody knows",
        "Content-Type: application/gzip\nContent-Disposition: x-private; filename=a\nContent-Transfer-Encoding: base64",
    ),
    (
        "two types, the second right",
        "Content-Type: text/html\nContent-Type: application/gzip\nContent-Transfer-Encoding: base64",
    ),
    (
        "two encodings, one of them none",
        "Content-Type: application/gzip\nContent-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: base64",
    ),
    (
        "blanks before the colons",
        "Content-Type : application/gzip\nContent-Transfer-Encoding\t: base64",
    ),
];
