//! Letters of many mail systems, as they write them.

use std::io::{self, Read};

use super::super::message::{self, Parts};
use super::*;

const DIGEST: &str = "4f1c2a9e07d35b8864f1c2a9e07d35b8864f1c2a9e07d35b8864f1c2a9e07d35";
const ID: &str = "remsync.4f1c2a9e07d3.1790000000@a.example";

/// Listens, and takes no part.
#[derive(Default)]
struct Ear(Listener);

impl Parts for Ear {
    fn words(&mut self, words: Words<'_>) {
        self.0.hear(words);
    }

    fn begin(&mut self, _: &message::Part) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives a few bytes at a time.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = out.len().min(self.1);
        self.0.read(&mut out[..n])
    }
}

fn hear(mail: &[u8], step: usize) -> Option<(About, Report)> {
    let mut ear = Ear::default();
    message::read(&mut Slow(mail, step), &mut ear).unwrap();
    ear.0.finish()
}

/// The header of a mail of ours, as it comes back.
fn ours() -> String {
    format!(
        "Return-Path: <ann@a.example>\nReceived: from laptop by mx.a.example; now\n\
         Date: Sat, 21 Nov 2026 10:00:00 +0000\nFrom: <ann@a.example>\nTo: <bob@b.example>\n\
         Subject: [remsync] Notes: 1 file\nMessage-ID: <{ID}>\n\
         In-Reply-To: <remsync.ffffffffffff.1780000000@b.example>\n\
         X-Remsync-Sha256: {DIGEST}\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=\"=_remsync_4f\"\n"
    )
}

fn our_mail() -> String {
    let part = "Content-Type: application/gzip\nContent-Transfer-Encoding: base64";
    format!("{}\n--=_remsync_4f\n{part}\n\nH4sIAAAA\n--=_remsync_4f--\n", ours())
}

/// A report of RFC 3464: header, words, fields, and what came back.
fn report(head: &str, words: &str, fields: &str, returned: &str) -> String {
    format!(
        "{head}MIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"R/1\"\n\n\
         This is a MIME-encapsulated message.\n\n\
         --R/1\nContent-Description: Notification\nContent-Type: text/plain; charset=us-ascii\n\n\
         {words}\n\n--R/1\nContent-Description: Delivery report\n\
         Content-Type: message/delivery-status\n\n{fields}\n--R/1\n{returned}\n--R/1--\n"
    )
}

fn whole() -> String {
    format!(
        "Content-Description: Undelivered Message\nContent-Type: message/rfc822\n\n{}",
        our_mail()
    )
}

fn headers_only() -> String {
    format!("Content-Type: text/rfc822-headers\n\n{}", ours())
}

/// What a letter has to be read as.
struct Expected {
    kind: Kind,
    status: &'static str,
    /// The reason begins so.
    reason: &'static str,
    recipient: &'static str,
    reported_by: &'static str,
    limit: Limit,
}

const BOB: &str = "bob@b.example";

fn failed(status: &'static str, reason: &'static str, reported_by: &'static str) -> Expected {
    let limit = Limit::NotSaid;
    Expected { kind: Kind::Failed, status, reason, recipient: BOB, reported_by, limit }
}

fn delayed(status: &'static str, reason: &'static str, reported_by: &'static str) -> Expected {
    Expected { kind: Kind::Delayed, ..failed(status, reason, reported_by) }
}

fn too_large(
    limit: Limit,
    status: &'static str,
    reason: &'static str,
    reported_by: &'static str,
) -> Expected {
    Expected { limit, ..failed(status, reason, reported_by) }
}

const POSTFIX_HEAD: &str = "Return-Path: <>\nDate: Sat, 21 Nov 2026 10:00:01 +0000 (UTC)\n\
    From: MAILER-DAEMON@mx.a.example (Mail Delivery System)\n\
    Subject: Undelivered Mail Returned to Sender\nTo: ann@a.example\n\
    Auto-Submitted: auto-replied\nMessage-Id: <20261121100001.AB12@mx.a.example>\n";
const POSTFIX_WORDS: &str = "This is the mail system at host mx.a.example.\n\n\
    I'm sorry to have to inform you that your message could not\n\
    be delivered to one or more recipients. It's attached below.\n\n\
    For further assistance, please send mail to postmaster.\n\n\
    \x20                  The mail system\n\n\
    <bob@b.example>: host mx.b.example[192.0.2.1] said: 550 5.1.1 <bob@b.example>:\n    \
    Recipient address rejected: User unknown in local recipient table (in reply\n    to RCPT TO command)";
const POSTFIX_MTA: &str = "Reporting-MTA: dns; mx.a.example\nX-Postfix-Queue-ID: AB12\n\
    X-Postfix-Sender: rfc822; ann@a.example\nArrival-Date: Sat, 21 Nov 2026 10:00:00 +0000 (UTC)\n\n";

fn postfix(group: &str, returned: &str) -> String {
    report(POSTFIX_HEAD, POSTFIX_WORDS, &format!("{POSTFIX_MTA}{group}"), returned)
}

fn postfix_group(action: &str, status: &str, diagnostic: &str) -> String {
    format!(
        "Final-Recipient: rfc822; bob@b.example\nOriginal-Recipient: rfc822;bob@b.example\n\
         Action: {action}\nStatus: {status}\nRemote-MTA: dns; mx.b.example\n\
         Diagnostic-Code: {diagnostic}\n"
    )
}

/// The reports of RFC 3464.
fn reports() -> Vec<(&'static str, String, Expected)> {
    let unknown = "smtp; 550 5.1.1 <bob@b.example>: Recipient address rejected:\n    User unknown";
    let sendmail_head = "Return-Path: <MAILER-DAEMON>\nFrom: Mail Delivery Subsystem <MAILER-DAEMON>\n\
        Subject: Returned mail: see transcript for details\nAuto-Submitted: auto-generated (failure)\n";
    let exchange_head = "From: Microsoft Outlook\n <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@b.onmicrosoft.com>\n\
        Subject: =?utf-8?q?Unzustellbar=3A_[remsync]_Notes?=\nAuto-Submitted: auto-replied\n\
        X-MS-Exchange-Message-Is-Ndr:\n";
    vec![
        (
            "Postfix, whole mail",
            postfix(&postfix_group("failed", "5.1.1", unknown), &whole()),
            failed(
                "5.1.1",
                "550 5.1.1 <bob@b.example>: Recipient address rejected: User unknown",
                "mx.a.example",
            ),
        ),
        (
            "Postfix, headers only",
            postfix(&postfix_group("failed", "5.1.1", unknown), &headers_only()),
            failed("5.1.1", "550 5.1.1", "mx.a.example"),
        ),
        (
            "Postfix gave up after five days",
            postfix(
                &postfix_group(
                    "failed",
                    "4.4.1",
                    "X-Postfix; connect to mx.b.example[192.0.2.1]:25:\n    Connection timed out",
                ),
                &whole(),
            ),
            failed(
                "4.4.1",
                "connect to mx.b.example[192.0.2.1]:25: Connection timed out",
                "mx.a.example",
            ),
        ),
        (
            "Postfix is still trying",
            postfix(
                &postfix_group(
                    "delayed",
                    "4.4.1",
                    "X-Postfix; connect to mx.b.example: Connection refused",
                ),
                &headers_only(),
            )
            .replace("Undelivered Mail Returned to Sender", "Delayed Mail (still being retried)"),
            delayed("4.4.1", "connect to mx.b.example: Connection refused", "mx.a.example"),
        ),
        (
            "Postfix knows the other's limit from EHLO",
            postfix(
                &postfix_group(
                    "failed",
                    "5.3.4",
                    "X-Postfix; message size 15728640 exceeds size limit 10240000 of\n    server mx.b.example[192.0.2.1]",
                ),
                &headers_only(),
            ),
            too_large(Limit::AtMost(10_240_000), "5.3.4", "message size 15728640", "mx.a.example"),
        ),
        (
            "Postfix, utf-8 names (RFC 6533)",
            postfix(
                &postfix_group("failed", "5.1.1", unknown),
                &headers_only().replace("text/rfc822-headers", "message/global-headers"),
            )
            .replace("message/delivery-status", "message/global-delivery-status"),
            failed("5.1.1", "550 5.1.1", "mx.a.example"),
        ),
        (
            "Postfix, one member of an alias failed",
            postfix(
                &format!(
                    "Final-Recipient: rfc822; carl@b.example\nAction: relayed\nStatus: 2.0.0\n\n{}",
                    postfix_group(
                        "failed",
                        "5.2.2",
                        "smtp; 552 5.2.2 Over quota, limit is 104857600 bytes"
                    )
                ),
                &whole(),
            ),
            failed("5.2.2", "552 5.2.2 Over quota", "mx.a.example"),
        ),
        (
            "a gateway that puts the mail before the report",
            {
                let report = postfix(
                    &postfix_group("failed", "5.1.1", unknown),
                    "Content-Type: text/plain\n\nBye.",
                );
                report.replacen("--R/1\n", &format!("--R/1\n{}\n--R/1\n", whole()), 1)
            },
            failed("5.1.1", "550 5.1.1", "mx.a.example"),
        ),
        (
            "sendmail 8",
            report(
                sendmail_head,
                "The original message was received at Sat, 21 Nov 2026 10:00:00 +0000\nfrom localhost [127.0.0.1]\n\n\
                 \x20  ----- The following addresses had permanent fatal errors -----\n<bob@b.example>\n    \
                 (reason: 552 5.3.4 Message is too large; 20971520 bytes max)\n\n\
                 \x20  ----- Transcript of session follows -----\n... while talking to mx.b.example.:\n\
                 >>> MAIL From:<ann@a.example> SIZE=31457280\n<<< 552 5.3.4 Message is too large; 20971520 bytes max\n\
                 554 5.0.0 Service unavailable",
                "Reporting-MTA: dns; mail.a.example\nReceived-From-MTA: DNS; localhost\n\
                 Arrival-Date: Sat, 21 Nov 2026 10:00:00 +0000\n\n\
                 Final-Recipient: RFC822; bob@b.example\nAction: failed\nStatus: 5.3.4\nRemote-MTA: DNS; mx.b.example\n\
                 Diagnostic-Code: SMTP; 552 5.3.4 Message is too large; 20971520 bytes max\nLast-Attempt-Date: now\n",
                &whole(),
            ),
            too_large(
                Limit::AtMost(20_971_520),
                "5.3.4",
                "552 5.3.4 Message is too large",
                "mail.a.example",
            ),
        ),
        (
            "sendmail 8, a warning",
            report(
                &sendmail_head.replace(
                    "Returned mail: see transcript for details",
                    "Warning: could not send message for past 4 hours",
                ),
                "    **********************************************\n    **      THIS IS A WARNING MESSAGE ONLY      **\n    \
                 **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **\n",
                "Reporting-MTA: dns; mail.a.example\n\nFinal-Recipient: RFC822; bob@b.example\nAction: delayed\nStatus: 4.4.7\n\
                 Will-Retry-Until: Thu, 26 Nov 2026 10:00:00 +0000\n",
                &headers_only(),
            ),
            delayed("4.4.7", "", "mail.a.example"),
        ),
        (
            "Exim 4.90 and later",
            report(
                "X-Failed-Recipients: bob@b.example\nAuto-Submitted: auto-replied\n\
                 From: Mail Delivery System <Mailer-Daemon@mx.a.example>\nSubject: Mail delivery failed: returning message to sender\n",
                "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered to one or more of its\n\
                 recipients. This is a permanent error. The following address(es) failed:\n\n  bob@b.example\n    host mx.b.example [192.0.2.1]\n    \
                 SMTP error from remote mail server after end of data:\n    552 5.2.3 Message exceeds maximum fixed size (26214400)",
                "Reporting-MTA: dns; mx.a.example\n\nAction: failed\nFinal-Recipient: rfc822;bob@b.example\nStatus: 5.0.0\nRemote-MTA: dns; mx.b.example\n\
                 Diagnostic-Code: smtp; 552 5.2.3 Message exceeds maximum fixed size (26214400)\n",
                &headers_only(),
            ),
            too_large(
                Limit::AtMost(26_214_400),
                "5.2.3",
                "552 5.2.3 Message exceeds",
                "mx.a.example",
            ),
        ),
        (
            "Exchange, Microsoft 365, words in HTML, fields in base64",
            format!(
                "{exchange_head}MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"E\"\n\n\
                 --E\nContent-Type: multipart/alternative; differences=Content-Type; boundary=\"F\"\n\n\
                 --F\nContent-Type: text/plain; charset=\"us-ascii\"\nContent-Transfer-Encoding: quoted-printable\n\n\
                 Delivery has failed to these recipients or groups:\n\nbob@b.example<mailto:bob@b.example>\nThe email address you entered couldn't be found.=20\n\n\
                 --F\nContent-Type: text/html\n\n<p>Delivery has failed</p>\n--F--\n\
                 --E\nContent-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n{}\n\
                 --E\nContent-Type: message/rfc822\n\n{}\n--E--\n",
                base64(
                    "Reporting-MTA: dns;AM0PR.eurprd.prod.outlook.com\r\nReceived-From-MTA: dns;mail.a.example\r\n\r\n\
                     Final-Recipient: rfc822;bob@b.example\r\nAction: failed\r\nStatus: 5.1.10\r\n\
                     Diagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup\r\n\r\n"
                ),
                our_mail()
            ),
            failed(
                "5.1.10",
                "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found",
                "AM0PR.eurprd.prod.outlook.com",
            ),
        ),
        (
            "Gmail since 2016",
            report(
                "Return-Path: <>\nFrom: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\nTo: ann@a.example\n\
                 Auto-Submitted: auto-replied\nSubject: Delivery Status Notification (Failure)\n\
                 References: <remsync.4f1c2a9e07d3.1790000000@a.example>\nIn-Reply-To: <remsync.4f1c2a9e07d3.1790000000@a.example>\n\
                 X-Failed-Recipients: bob@b.example\n",
                "** Message not delivered **\n\nYour message couldn't be delivered to bob@b.example because the remote server is misconfigured.",
                "Reporting-MTA: dns; googlemail.com\nReceived-From-MTA: dns; ann@a.example\nArrival-Date: now\nX-Original-Message-ID: <remsync.4f1c2a9e07d3.1790000000@a.example>\n\n\
                 Final-Recipient: rfc822; bob@b.example\nAction: failed\nStatus: 5.7.0\nRemote-MTA: dns; gmail-smtp-in.l.google.com. (192.0.2.7, the server for the domain b.example.)\n\
                 Diagnostic-Code: smtp; 552-5.7.0 This message was blocked because its content presents a potential\n 552-5.7.0 security issue. 552 5.7.0 https://support.google.com/mail/?p=BlockedMessage - gsmtp\n",
                &headers_only(),
            ),
            failed("5.7.0", "552-5.7.0 This message was blocked", "googlemail.com"),
        ),
        (
            "courier",
            report(
                "From: \"Courier mail server at mx.a.example\" <@>\nSubject: NOTICE: mail delivery status.\n",
                "This is a delivery status notification from mx.a.example,\nrunning the Courier mail server, version 1.0.16.\n\n\
                 The original message was received on Sat, 21 Nov 2026 10:00:00 +0000\nfrom laptop\n\n\
                 ---------------------------------------------------------------------------\n\n\
                 \x20                          UNDELIVERABLE MAIL\n\nYour message to the following recipients cannot be delivered:\n\n\
                 <bob@b.example>:\n     mx.b.example [192.0.2.1]:\n>>> RCPT TO:<bob@b.example>\n<<< 550 User unknown.",
                "Reporting-MTA: dns; mx.a.example\n\nFinal-Recipient: rfc822; bob@b.example\nAction: failed\nStatus: 5.0.0\n\
                 Remote-MTA: dns; mx.b.example [192.0.2.1]\nDiagnostic-Code: smtp; 550 User unknown.\n",
                &headers_only(),
            ),
            failed("5.0.0", "550 User unknown.", "mx.a.example"),
        ),
        (
            "OpenSMTPD 7",
            report(
                "From: Mailer Daemon <MAILER-DAEMON@mx.a.example>\nSubject: Delivery status notification: error\n",
                "    Hi!\n\n    This is the MAILER-DAEMON, please DO NOT REPLY to this email.\n\n    An error has occurred while attempting to deliver a message for\n    \
                 the following list of recipients:\n\nbob@b.example: 550 5.1.1 unknown\n",
                "Reporting-MTA: dns; mx.a.example\n\nFinal-Recipient: rfc822; bob@b.example\nAction: failed\nStatus: 5.1.1\n",
                &headers_only(),
            ),
            // There is no Diagnostic-Code; the words have it.
            failed("5.1.1", "bob@b.example: 550 5.1.1 unknown", "mx.a.example"),
        ),
        (
            "Domino",
            report(
                "From: Postmaster@b.example\nSubject: DELIVERY FAILURE: User bob (bob@b.example) not listed in Domino Directory\n",
                "Your message\n\n  Subject: [remsync] Notes: 1 file\n\nwas not delivered to:\n\n  bob@b.example\n\nbecause:\n\n  User bob (bob@b.example) not listed in Domino Directory",
                "Reporting-MTA: dns;domino.b.example\n\nFinal-Recipient: rfc822;bob@b.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: X-Notes; User bob (bob@b.example) not listed in Domino Directory\n",
                &whole(),
            ),
            failed("5.1.1", "User bob (bob@b.example) not listed", "domino.b.example"),
        ),
    ]
}

const EXIM_HEAD: &str = "Return-path: <>\nEnvelope-to: ann@a.example\n\
    X-Failed-Recipients: bob@b.example\nAuto-Submitted: auto-replied\n\
    From: Mail Delivery System <Mailer-Daemon@mx.a.example>\nTo: ann@a.example\n\
    Subject: Mail delivery failed: returning message to sender\n";
const EXIM_WORDS: &str = "This message was created automatically by mail delivery software.\n\n\
    A message that you sent could not be delivered to one or more of its\n\
    recipients. This is a permanent error. The following address(es) failed:\n";
const EXIM_COPY: &str = "------ This is a copy of the message, including all the headers. ------\n";

/// Letters that are no reports.
fn letters() -> Vec<(&'static str, String, Expected)> {
    let copy = our_mail();
    vec![
        (
            "Exim 4, before 4.90",
            format!(
                "{EXIM_HEAD}\n{EXIM_WORDS}\n  bob@b.example\n    SMTP error from remote mail server after RCPT TO:<bob@b.example>:\n    \
                 host mx.b.example [192.0.2.1]: 550 5.1.1 User unknown\n\n{EXIM_COPY}\n{copy}"
            ),
            failed("5.1.1", "SMTP error from remote mail server after RCPT TO", "mx.a.example"),
        ),
        (
            "Exim 4, no route",
            format!(
                "{EXIM_HEAD}\n{EXIM_WORDS}\n  bob@b.example\n    Unrouteable address\n\n{EXIM_COPY}\n{copy}"
            ),
            failed("", "Unrouteable address", "mx.a.example"),
        ),
        (
            "Exim 4, a callout back to us failed",
            format!(
                "{EXIM_HEAD}\n{EXIM_WORDS}\n  bob@b.example\n    host mx.b.example [192.0.2.1]\n    \
                 SMTP error from remote mail server after RCPT TO:<bob@b.example>:\n    550-Verification failed for <ann@a.example>\n    \
                 550-The mail server could not deliver mail to ann@a.example.  The account or domain may not exist\n    \
                 550 Sender verify failed\n\n{EXIM_COPY}\n{copy}"
            ),
            failed("550", "host mx.b.example [192.0.2.1] SMTP error", "mx.a.example"),
        ),
        (
            "Exim 4, its own limit",
            format!(
                "{EXIM_HEAD}\n{EXIM_WORDS}\n  bob@b.example\n    message is too big (transport limit = 50M)\n\n{EXIM_COPY}\n{copy}"
            ),
            too_large(
                Limit::AtMost(50_000_000),
                "",
                "message is too big (transport limit = 50M)",
                "mx.a.example",
            ),
        ),
        (
            "Exim 4, a warning that names us in References only",
            format!(
                "Auto-Submitted: auto-replied\nFrom: Mail Delivery System <Mailer-Daemon@mx.a.example>\nTo: ann@a.example\n\
                 References: <{ID}>\nSubject: Warning: message 1abcDE-0001 delayed 24 hours\n\n\
                 This message was created automatically by mail delivery software.\nA message that you sent has not yet been delivered to one or more of its\n\
                 recipients after more than 24 hours on the queue on mx.a.example.\n\nThe message identifier is:     1abcDE-0001\n\
                 The subject of the message is: [remsync] Notes: 1 file\n\nThe address to which the message has not yet been delivered is:\n\n  bob@b.example\n    \
                 host mx.b.example [192.0.2.1]\n    Delay reason: SMTP error from remote mail server after RCPT TO:<bob@b.example>:\n    451 4.7.1 Greylisted\n\n\
                 No action is required on your part. Delivery attempts will continue for\nsome time, and this warning may be repeated at intervals if the message\nremains undelivered.\n"
            ),
            delayed("4.7.1", "host mx.b.example [192.0.2.1] Delay reason", "mx.a.example"),
        ),
        (
            "qmail",
            format!(
                "Return-Path: <>\nFrom: MAILER-DAEMON@mx.a.example\nTo: ann@a.example\nSubject: failure notice\n\n\
                 Hi. This is the qmail-send program at mx.a.example.\nI'm afraid I wasn't able to deliver your message to the following addresses.\n\
                 This is a permanent error; I've given up. Sorry it didn't work out.\n\n<bob@b.example>:\n192.0.2.1 does not like recipient.\n\
                 Remote host said: 550 5.1.1 <bob@b.example>: User unknown\nGiving up on 192.0.2.1.\n\n\
                 --- Below this line is a copy of the message.\n\n{copy}"
            ),
            failed(
                "5.1.1",
                "192.0.2.1 does not like recipient. Remote host said: 550 5.1.1",
                "mx.a.example",
            ),
        ),
        (
            "qmail, too large for a patched databytes",
            format!(
                "From: MAILER-DAEMON@mx.a.example\nSubject: failure notice\n\nHi. This is the qmail-send program at mx.a.example.\n\
                 I'm afraid I wasn't able to deliver your message to the following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n\
                 <bob@b.example>:\n192.0.2.1 failed after I sent the message.\nRemote host said: 552 sorry, that message size exceeds my databytes limit (#5.3.4)\n\n\
                 --- Below this line is a copy of the message.\n\n{copy}"
            ),
            too_large(
                Limit::TooLarge,
                "5.3.4",
                "192.0.2.1 failed after I sent the message.",
                "mx.a.example",
            ),
        ),
        (
            "netqmail, a mailbox that is full",
            format!(
                "From: MAILER-DAEMON@mx.b.example\nSubject: failure notice\n\nHi. This is the qmail-send program at mx.b.example.\n\
                 I'm afraid I wasn't able to deliver your message to the following addresses.\n\n<bob@b.example>:\nThe user's mailbox is full: message size limit 104857600\n\n\
                 --- Below this line is a copy of the message.\n\n{copy}"
            ),
            failed("", "The user's mailbox is full", "mx.b.example"),
        ),
        (
            "sendmail 5 and its children",
            format!(
                "From: Mail Delivery Subsystem <MAILER-DAEMON@a.example>\nSubject: Returned mail: User unknown\nTo: ann@a.example\n\n\
                 \x20  ----- Transcript of session follows -----\n550 bob@b.example... User unknown\n\n   ----- Unsent message follows -----\n{copy}"
            ),
            failed("550", "550 bob@b.example... User unknown", "a.example"),
        ),
        (
            "sendmail 8.6",
            format!(
                "From: MAILER-DAEMON@a.example (Mail Delivery Subsystem)\nSubject: Returned mail: Host unknown\n\n\
                 The original message was received at Sat, 21 Nov 2026 10:00:00 +0000\nfrom laptop\n\n   ----- The following addresses had delivery problems -----\n\
                 bob@b.example  (unrecoverable error)\n\n   ----- Transcript of session follows -----\n501 bob@b.example... 550 Host unknown (Name server: b.example: host not found)\n\n\
                 \x20  ----- Original message follows -----\n{copy}"
            ),
            failed("501", "501 bob@b.example... 550 Host unknown", "a.example"),
        ),
        (
            "sendmail 8, a warning without a report",
            format!(
                "From: MAILER-DAEMON@a.example\nSubject: Warning: could not send message for past 4 hours\n\n\
                 \x20   **********************************************\n    **      THIS IS A WARNING MESSAGE ONLY      **\n    \
                 **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **\n    **********************************************\n\n\
                 The following addresses had delivery problems:\n<bob@b.example>  (transient failure)\n\n   ----- Transcript of session follows -----\n\
                 <bob@b.example>... Deferred: Connection timed out with mx.b.example.\n\n   ----- Original message follows -----\n{copy}"
            ),
            delayed("", "<bob@b.example>... Deferred: Connection timed out", "a.example"),
        ),
        (
            "Exchange 5.5",
            format!(
                "From: System Administrator <postmaster@b.example>\nTo: ann@a.example\nSubject: Undeliverable: [remsync] Notes: 1 file\nIn-Reply-To: <{ID}>\n\n\
                 Your message\n\n  To:      bob@b.example\n  Subject: [remsync] Notes: 1 file\n  Sent:    Sat, 21 Nov 2026 10:00:00 +0000\n\n\
                 did not reach the following recipient(s):\n\nbob@b.example on Sat, 21 Nov 2026 10:00:05 +0000\n    The recipient name is not recognized\n    \
                 MSEXCH:IMS:B:SITE:EXCH 0 (000C05A6) Unknown Recipient <b.example #5.1.1>\n"
            ),
            failed("5.1.1", "bob@b.example on Sat, 21 Nov 2026", "b.example"),
        ),
        (
            "Gmail before 2013",
            format!(
                "From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\nX-Failed-Recipients: bob@b.example\nSubject: Delivery Status Notification (Failure)\n\n\
                 Delivery to the following recipient failed permanently:\n\n     bob@b.example\n\nTechnical details of permanent failure: \n\
                 Google tried to deliver your message, but it was rejected by the recipient domain. The error that the other server returned was: \
                 552 552 5.2.3 Message size exceeds maximum permitted of 10485760 bytes (state 18).\n\n----- Original message -----\n\n{copy}"
            ),
            too_large(
                Limit::AtMost(10_485_760),
                "5.2.3",
                "Technical details of permanent failure",
                "googlemail.com",
            ),
        ),
        (
            "Gmail before 2013, a delay",
            format!(
                "From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\nSubject: Delivery Status Notification (Delay)\n\n\
                 This is an automatically generated Delivery Status Notification\n\nTHIS IS A WARNING MESSAGE ONLY.\n\nYOU DO NOT NEED TO RESEND YOUR MESSAGE.\n\n\
                 Delivery to the following recipient has been delayed:\n\n     bob@b.example\n\nMessage will be retried for 2 more day(s)\n\n----- Original message -----\n\n{copy}"
            ),
            delayed("", "THIS IS A WARNING MESSAGE ONLY.", "googlemail.com"),
        ),
        (
            "Yahoo of old",
            format!(
                "From: MAILER-DAEMON@yahoo.example\nSubject: Failure Notice\n\nMessage from  yahoo.example.\nUnable to deliver message to the following address(es).\n\n\
                 <bob@b.example>:\nThis user doesn't have a yahoo.example account (bob@b.example) [0]\n\n--- Original message follows.\n\n{copy}"
            ),
            failed("", "This user doesn't have a yahoo.example account", "yahoo.example"),
        ),
        (
            "Yahoo",
            format!(
                "From: MAILER-DAEMON@yahoo.example\nSubject: Failure Notice\n\nSorry, we were unable to deliver your message to the following address.\n\n\
                 <bob@b.example>:\n552: 5.3.4 Message size exceeds fixed limit\n\n--- Below this line is a copy of the message.\n\n{copy}"
            ),
            too_large(
                Limit::TooLarge,
                "5.3.4",
                "552: 5.3.4 Message size exceeds fixed limit",
                "yahoo.example",
            ),
        ),
        (
            "OpenSMTPD 5",
            format!(
                "From: Mailer Daemon <MAILER-DAEMON@mx.a.example>\nSubject: Delivery status notification: error\n\n    Hi!\n\n    \
                 This is the MAILER-DAEMON, please DO NOT REPLY to this email.\n\n    An error has occurred while attempting to deliver a message for\n    \
                 the following list of recipients:\n\nbob@b.example: 550 5.1.1 User unknown\n\n    Below is a copy of the original message:\n\n{copy}"
            ),
            failed("5.1.1", "bob@b.example: 550 5.1.1 User unknown", "mx.a.example"),
        ),
        (
            "OpenSMTPD 5, a warning",
            format!(
                "From: Mailer Daemon <MAILER-DAEMON@mx.a.example>\nSubject: Delivery status notification: warning\n\n    Hi!\n\n    \
                 This is the MAILER-DAEMON, please DO NOT REPLY to this email.\n\n    A message is delayed for more than 4h for the following\n    list of recipients:\n\n\
                 bob@b.example: Network error on destination MXs\n\n    Please note that this is only a temporary failure report.\n    The message is kept in the queue for up to 4d.\n    \
                 You DO NOT NEED to re-send the message to these recipients.\n\n    Below is a copy of the original message:\n\n{copy}"
            ),
            delayed("", "bob@b.example: Network error on destination MXs", "mx.a.example"),
        ),
        (
            "a gateway that quotes the headers only, indented",
            format!(
                "From: postmaster@gw.b.example\nSubject: Mail delivery failed\n\nThe attached message was rejected by the policy of b.example\n(554 5.7.1 Attachment type not allowed) for <bob@b.example>.\n\n\
                 Headers of your message:\n\n{}",
                ours().lines().map(|line| format!("> {line}\n")).collect::<String>()
            ),
            failed("5.7.1", "The attached message was rejected", "gw.b.example"),
        ),
        (
            "a size with a unit, in a letter of a firewall",
            format!(
                "From: Mail-Daemon@gw.b.example\nSubject: Undeliverable mail\n\nYour message to <bob@b.example> was not delivered:\n\
                 552 Message exceeds the size limit of 25 MB for this server.\n\n----- Original message headers -----\n{}",
                ours()
            ),
            too_large(
                Limit::AtMost(25_000_000),
                "552",
                "Your message to <bob@b.example>",
                "gw.b.example",
            ),
        ),
    ]
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, b| bits << 8 | u32::from(*b))
            << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * n)) as usize & 63];
            out.push(if n > chunk.len() { '=' } else { char::from(digit) });
        }
        if out.len() % 77 == 76 {
            out.push('\n');
        }
    }
    out
}

fn crlf(mail: &str) -> String {
    mail.replace('\n', "\r\n")
}

#[test]
fn every_letter_is_understood() {
    for (name, mail, expected) in reports().into_iter().chain(letters()) {
        for mail in [mail.clone(), crlf(&mail)] {
            for step in [usize::MAX, 1, 61] {
                let heard = hear(mail.as_bytes(), step);
                let Some((about, Report::Notice(notice))) = heard else {
                    panic!("{name}: {heard:?}\n{mail}");
                };
                assert_eq!(notice.kind, expected.kind, "{name}");
                assert_eq!(notice.status, expected.status, "{name}: {notice:?}");
                assert!(notice.reason.starts_with(expected.reason), "{name}: {notice:?}");
                assert_eq!(notice.recipient, expected.recipient, "{name}: {notice:?}");
                assert_eq!(notice.reported_by, expected.reported_by, "{name}: {notice:?}");
                assert_eq!(notice.limit, expected.limit, "{name}: {notice:?}");
                let is_by_digest = about.sha256 == [statement::hex(DIGEST.as_bytes()).unwrap()];
                assert!(is_by_digest || about.sha256.is_empty(), "{name}");
                let ids = about.message_ids;
                assert!(is_by_digest || ids == [ID], "{name}: {ids:?}");
                assert!(!notice.reason.contains('\n'), "{name}");
            }
        }
    }
}

#[test]
fn half_a_letter_and_a_wrong_one_do_no_harm() {
    for (name, mail, _) in reports().into_iter().chain(letters()) {
        let bytes = mail.as_bytes();
        for at in (0..bytes.len()).step_by(41) {
            let mut wrong = bytes.to_vec();
            wrong[at] = [0, b'\n', 0xff, b':', b'9'][at % 5];
            for mail in [&bytes[..at], &wrong] {
                if let Some((about, Report::Notice(notice))) = hear(mail, usize::MAX) {
                    assert!(!about.is_nothing(), "{name}: {at}");
                    assert!(notice.reason.len() <= REASON_BYTES_MAX, "{name}: {at}");
                    assert!(notice.status.len() <= 9, "{name}: {at}: {notice:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_failure_is_none() {
    let success = |action: &str| {
        postfix(&postfix_group(action, "2.0.0", "smtp; 250 2.0.0 Ok"), &headers_only())
    };
    let quoted: String = ours().lines().map(|line| format!("> {line}\n")).collect();
    let receipt = report("From: bob@b.example\n", "It was read.", "", &headers_only());
    let receipt = receipt
        .replace("message/delivery-status", "message/disposition-notification")
        .replace("report-type=delivery-status", "report-type=disposition-notification");
    for (name, mail, what) in [
        ("delivered", success("delivered"), Some("a report of success")),
        ("relayed", success("relayed"), Some("a report of success")),
        ("expanded", success("expanded"), Some("a report of success")),
        ("a receipt", receipt, Some("a receipt")),
        (
            "a receipt that says denied",
            report("From: bob@b.example\n", "Undeliverable, says the reader.", "", &whole())
                .replace("message/delivery-status", "message/disposition-notification"),
            Some("a receipt"),
        ),
        (
            "a complaint (RFC 5965)",
            report(
                "From: <abuse@b.example>\n",
                "This is an email abuse report.",
                "Feedback-Type: abuse\n",
                &whole(),
            )
            .replace("message/delivery-status", "message/feedback-report"),
            Some("a complaint"),
        ),
        (
            "a forwarded report of another's trouble",
            format!(
                "From: bob@b.example\nReferences: <{ID}>\nContent-Type: multipart/mixed; boundary=o\n\n--o\n\nSee below.\n\n--o\nContent-Type: message/rfc822\n\n{}\n--o--\n",
                postfix(&postfix_group("failed", "5.1.1", "smtp; 550 no"), &whole())
            ),
            None,
        ),
        (
            "Sieve vacation (RFC 5230)",
            format!(
                "Return-Path: <>\nAuto-Submitted: auto-replied (vacation)\nFrom: bob@b.example\nSubject: Auto: [remsync] Notes\nIn-Reply-To: <{ID}>\n\nMail that comes cannot be delivered to my desk.\n"
            ),
            Some("an automatic answer"),
        ),
        (
            "vacation(1) of old",
            format!(
                "Precedence: bulk\nFrom: bob@b.example (Bob)\nSubject: away from my mail\n\nI am away. You wrote:\n{quoted}"
            ),
            Some("an automatic answer"),
        ),
        (
            "Exchange out of office, null path",
            format!(
                "Return-Path: <>\nFrom: Bob <bob@b.example>\nX-Auto-Response-Suppress: All\nAuto-Submitted: auto-generated\nIn-Reply-To: <{ID}>\nSubject: Automatic reply: [remsync] Notes\n\nI'm out until Monday; urgent mail is undeliverable anyway.\n"
            ),
            Some("an automatic answer"),
        ),
        (
            "an answering machine",
            format!(
                "From: bob@b.example\nX-Autoreply: yes\nReferences: <{ID}>\nSubject: Re: [remsync]\n\nThanks, unable to deliver an answer now.\n"
            ),
            Some("an automatic answer"),
        ),
        (
            "a ticket system",
            format!(
                "From: helpdesk@b.example\nAuto-Submitted: auto-replied\nReferences: <{ID}>\nSubject: [#17] we got it\n\nDelivery failed? No: ticket 17.\n"
            ),
            Some("an automatic answer"),
        ),
        (
            "a daemon that says nothing of a failure",
            format!(
                "From: MAILER-DAEMON@b.example\nReferences: <{ID}>\nSubject: hello\n\nWelcome to b.example.\n"
            ),
            Some("an automatic answer"),
        ),
        (
            "OpenSMTPD success",
            format!(
                "From: Mailer Daemon <MAILER-DAEMON@b.example>\nReferences: <{ID}>\nSubject: Delivery status notification: success\n\nYour message was successfully delivered to these recipients:\n"
            ),
            Some("a report of success"),
        ),
        (
            "a person's answer",
            format!(
                "From: bob@b.example\nIn-Reply-To: <{ID}>\nSubject: Re: [remsync]\n\nDelivery failed, I think.\n{quoted}"
            ),
            None,
        ),
        (
            "a bounce of another's mail",
            postfix(
                &postfix_group("failed", "5.1.1", "smtp; 550 no"),
                "Content-Type: text/rfc822-headers\n\nMessage-ID: <x@a.example>\nX-Remsync-Sha256: 12\n",
            ),
            None,
        ),
        ("an empty mail", String::new(), None),
    ] {
        for mail in [mail.clone(), crlf(&mail)] {
            let heard = hear(mail.as_bytes(), usize::MAX).map(|(_, report)| report);
            assert_eq!(heard, what.map(Report::Harmless), "{name}\n{mail}");
        }
    }
}

#[test]
fn limits_are_learnt_where_one_reading_is_left() {
    use Limit::{AtMost, NotSaid, TooLarge};
    for (status, text, expected) in [
        ("5.3.4", "message size limit 10240000", AtMost(10_240_000)),
        ("552", "Message exceeds size limit of 25 MB", AtMost(25_000_000)),
        ("5.2.3", "max 10485760 bytes", AtMost(10_485_760)),
        ("552", "Message size exceeds fixed maximum message size (10485760)", AtMost(10_485_760)),
        ("5.3.4", "Message is too large; 20971520 bytes max", AtMost(20_971_520)),
        ("5.3.4", "size 31457280 limit 26214400", AtMost(26_214_400)),
        ("5.3.4", "message of 31457280 bytes is larger than 26214400 bytes", AtMost(26_214_400)),
        ("5.3.4", "maximum size is 10,240,000 bytes", AtMost(10_240_000)),
        ("5.3.4", "the limit is 9.5 MB", AtMost(9_500_000)),
        ("5.3.4", "limit: 10MiB", AtMost(10 << 20)),
        ("5.3.4", "limit=36700160", AtMost(36_700_160)),
        ("554", "message too large, max_size 10240 KB", AtMost(10_240_000)),
        ("", "message size exceeds the maximum allowed size of 35 MB", AtMost(35_000_000)),
        // The bounds, and what lies past them.
        ("5.3.4", "limit 65536", AtMost(65_536)),
        ("5.3.4", "limit 65535", TooLarge),
        ("5.3.4", "limit 2147483648", AtMost(2_147_483_648)),
        ("5.3.4", "limit 2147483649", TooLarge),
        ("5.3.4", "limit 99999999999999999999999", TooLarge),
        // Two readings, or none.
        ("5.3.4", "limit 10240000, but the maximum is 20480000", TooLarge),
        ("5.3.4", "message too large", TooLarge),
        ("5.3.4", "message size 15728640 is too much", TooLarge),
        ("552", "552 too much mail data", TooLarge),
        // Other things than one mail's size.
        ("5.2.2", "mailbox full, size limit 104857600", NotSaid),
        ("552", "552 over quota: message size limit of mailbox 104857600", NotSaid),
        ("5.1.1", "user unknown", NotSaid),
        ("552", "552 go away", NotSaid),
        ("550", "too many recipients, limit 100000", NotSaid),
    ] {
        assert_eq!(words::limit(status, &[text]), expected, "{status} {text}");
    }
}

#[test]
fn statuses_are_found_and_addresses_are_none() {
    for (text, expected) in [
        ("550 5.1.1 no", "5.1.1"),
        ("host [192.0.2.1] said 550-5.7.26 x", "5.7.26"),
        ("(#5.1.1)", "5.1.1"),
        ("<b.example #5.1.1>", "5.1.1"),
        ("192.5.1.1 and 5.1.1.9 and version 14.5.1", ""),
        ("550 no", "550"),
        ("said: 421 later", "421"),
        ("552-x", "552"),
        ("port 550 bytes, 550 MB, 5500, x550 y, 550.5", ""),
        ("250 2.0.0 fine", ""),
    ] {
        assert_eq!(words::status_of(&[text]), expected, "{text}");
    }
    assert_eq!(words::status_of(&["5.0.0", "550 5.7.1 x"]), "5.7.1");
    assert_eq!(words::status_of(&["5.0.0", "550 x"]), "5.0.0");
    assert_eq!(words::status_of(&["5.1.1 (bad)", "550 5.7.1 x"]), "5.1.1");
}

#[test]
fn names_of_our_mails_are_found_and_no_others() {
    for (text, expected) in [
        (
            "<remsync.0123456789ab.1790000000@a.example>",
            Some("remsync.0123456789ab.1790000000@a.example"),
        ),
        ("is Remsync.0123456789AB.1@A.Example.", Some("remsync.0123456789ab.1@a.example")),
        ("remsync.0123456789a.1@a", None),
        ("remsync.0123456789ag.1@a", None),
        ("remsync.0123456789ab.x@a", None),
        ("remsync.0123456789ab.1.2@a", None),
        ("remsync.0123456789ab.1@", None),
        ("remsync.0123456789ab.1", None),
        ("remsync.0123456789ab.123456789012345678901@a", None),
    ] {
        let found = words::message_ids(text.as_bytes());
        assert_eq!(found.first().map(String::as_str), expected, "{text}");
    }
}

#[test]
fn what_is_said_is_bounded_and_harmless() {
    let long = "x\u{1b}[2J\u{202e} ".repeat(1_000);
    let mail = postfix(&postfix_group("failed", "5.1.1", &format!("smtp; {long}")), &whole());
    let Some((_, Report::Notice(notice))) = hear(mail.as_bytes(), usize::MAX) else { panic!() };
    assert!(notice.reason.len() <= REASON_BYTES_MAX && notice.reason.ends_with('…'));
    assert!(!notice.reason.contains(['\u{1b}', '\u{202e}']), "{}", notice.reason);
    for (bytes, is_cut) in [(REASON_BYTES_MAX, false), (REASON_BYTES_MAX + 1, true)] {
        let reason = shown(&"y".repeat(bytes), REASON_BYTES_MAX);
        assert_eq!((reason.ends_with('…'), reason.len()), (is_cut, REASON_BYTES_MAX));
    }
    // A name that comes after the bound of a part is not heard.
    for (before, is_heard) in [(200 << 10, true), (257 << 10, false)] {
        let mail = format!(
            "From: MAILER-DAEMON@b\nSubject: failure notice\n\n{}\nMessage-ID: <{ID}>\n",
            "z\n".repeat(before / 2)
        );
        assert_eq!(hear(mail.as_bytes(), usize::MAX).is_some(), is_heard, "{before}");
    }
    // Many names are some.
    let many: String = (0..100).map(|n| format!("remsync.{n:012x}.1@a\n")).collect();
    let mail = format!("From: MAILER-DAEMON@b\nSubject: failure notice\n\n{many}");
    let (about, _) = hear(mail.as_bytes(), usize::MAX).unwrap();
    assert_eq!(about.message_ids.len(), NAMES_MAX);
}
