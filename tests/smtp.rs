//! Mail over SMTP against a server that does what a test tells it to.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is at a loss")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use remsync::edge::carrier::{
    Access, Carrier, Failure, Lasts, SmtpCarrier, Timeouts, Transport, parse_transport,
};
use remsync::format::mail::{self, Letter};
use remsync::format::settings::Secret;
use remsync::model::Address;

use support::smtp::{Act, At, Plan, Server, base64, certificates, own_certificate};

const PASSWORD: &str = "hunter2 s3cret";

/// A folder, a package in it, and the letter that goes with it.
struct Case {
    dir: tempfile::TempDir,
    package: PathBuf,
}

impl Case {
    fn new(package: &[u8]) -> Case {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("package");
        fs::write(&file, package).unwrap();
        Case { dir, package: file }
    }

    fn carrier(&self, url: &str) -> SmtpCarrier {
        self.carrier_with(url, Access::default())
    }

    fn carrier_with(&self, url: &str, access: Access) -> SmtpCarrier {
        let Ok(Transport::Smtp(server)) = parse_transport(url) else { panic!("{url}") };
        SmtpCarrier::with_timeouts(server, access, quick())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn quick() -> Timeouts {
    let ms = Duration::from_millis;
    Timeouts { connect: ms(5_000), answer: ms(5_000), end: ms(5_000) }
}

fn letter(to: &str) -> Letter {
    let from = Address::new("ana@ship.example").unwrap();
    Letter {
        message_id: mail::message_id(&[7; 32], 1_790_000_000, &from),
        from,
        to: Address::new(to).unwrap(),
        // Quoted-printable lines of this begin with dots.
        title: format!("é{}", ".".repeat(300)),
        serial: 42,
        visit: 0,
        files: 1,
        date: "2026-11-22T10:00:00+01:00[+01:00]".parse().unwrap(),
        sha256: [7; 32],
        sealed: false,
        unattended: false,
        in_reply_to: None,
        volume: None,
    }
}

fn text_of(letter: &Letter, package: &Path, signature: Option<&[u8]>) -> Vec<u8> {
    let mut text = Vec::new();
    mail::write(letter, &mut fs::read(package).unwrap().as_slice(), signature, &mut text).unwrap();
    text
}

fn login() -> Access {
    let password = Secret::from(PASSWORD);
    Access { login: Some(("ana@ship.example".into(), password)), ca_file: None }
}

fn refused(carrier: &mut SmtpCarrier, case: &Case) -> Failure {
    let failure = carrier.send(&letter("bo@shore.example"), &case.package, None).unwrap_err();
    let shown = format!("{failure:?} {failure}");
    for secret in [PASSWORD, &base64(PASSWORD), "AGFuYUBzaGlwLmV4YW1wbGUAaHVudGVyMiBzM2NyZXQ="] {
        assert!(!shown.contains(secret), "{shown}");
    }
    failure
}

#[test]
fn mails_arrive_byte_for_byte_over_one_connection() {
    let package: Vec<u8> = (0..300_000u32).map(|n| (n * 7 % 251) as u8).collect();
    let case = Case::new(&package);
    let server = Server::start(Plan { offers: vec!["SIZE 10000000"], ..Plan::default() });
    let mut carrier = case.carrier(&format!("smtp://127.0.0.1:{}", server.port));
    let receivers = ["bo@shore.example", "a,b@c.example", "cy@ice.example"];
    for to in receivers {
        let expected = text_of(&letter(to), &case.package, Some(b"SIG"));
        let bytes = carrier.send(&letter(to), &case.package, Some(b"SIG")).unwrap();
        assert_eq!(bytes, expected.len() as u64);
        let taken = server.story().mails.last().cloned().unwrap();
        assert!(taken.bytes == expected, "{to}: {} bytes, not {bytes}", taken.bytes.len());
        assert!(taken.stuffed > 0, "no line begins with a dot: the test shows nothing");
        assert_eq!(taken.from, "ana@ship.example");
        let size = format!("MAIL FROM:<ana@ship.example> SIZE={bytes}");
        assert!(server.count(&size) > 0, "{:?}", server.story().commands);
    }
    let to: Vec<String> = server.story().mails.iter().map(|mail| mail.to.clone()).collect();
    assert_eq!(to, ["bo@shore.example", "\"a,b\"@c.example", "cy@ice.example"]);
    drop(carrier);
    let story = server.story();
    assert_eq!((story.connections, story.commands.last().map(String::as_str)), (1, Some("QUIT")));
    assert!(story.commands[0].starts_with("EHLO ") && !story.commands[0].contains("localhost"));
}

#[test]
fn a_server_without_size_is_told_none() {
    let case = Case::new(b"x");
    let server = Server::start(Plan::default());
    let mut carrier = case.carrier(&format!("smtp://127.0.0.1:{}/me.example", server.port));
    carrier.send(&letter("bo@shore.example"), &case.package, None).unwrap();
    assert_eq!(server.count("EHLO me.example"), 2);
    assert!(server.story().commands.contains(&"MAIL FROM:<ana@ship.example>".to_owned()));
}

#[test]
fn tls_and_passwords() {
    let case = Case::new(b"the package");
    let certificates = certificates(&["localhost", "127.0.0.1"]);
    let ca_file = case.file("ca.pem", &certificates.ca_pem);
    let login = Access { ca_file: Some(ca_file.clone()), ..login() };
    let nobody = Access { ca_file: Some(ca_file), login: None };
    let plan = |starttls, wrapped, login: bool| Plan {
        starttls,
        wrapped,
        tls: Some(certificates.server.clone()),
        login: login.then_some(("ana@ship.example", PASSWORD)),
        ..Plan::default()
    };
    let only_over_tls = |plan| Plan { auth_over_tls: true, ..plan };
    let with = |plan, mechanisms| Plan { mechanisms: Some(mechanisms), ..plan };
    for (name, plan, url, access, starttls, auth) in [
        ("plain", plan(false, false, false), "smtp://127.0.0.1:{}", &nobody, 0, ""),
        ("plain, login", plan(false, false, true), "smtp://localhost:{}", &login, 0, "AUTH PLAIN "),
        (
            "local, STARTTLS offered",
            plan(true, false, false),
            "smtp://localhost:{}",
            &nobody,
            0,
            "",
        ),
        (
            "local, STARTTLS needed",
            only_over_tls(plan(true, false, true)),
            "smtp://localhost:{}",
            &login,
            1,
            "AUTH PLAIN ",
        ),
        (
            "STARTTLS",
            plan(true, false, true),
            "smtp://localhost:{}?tls=required",
            &login,
            1,
            "AUTH PLAIN ",
        ),
        (
            "opportunistic, offered",
            plan(true, false, false),
            "smtp://127.0.0.1:{}?tls=opportunistic",
            &nobody,
            1,
            "",
        ),
        (
            "opportunistic, not offered",
            plan(false, false, false),
            "smtp://127.0.0.1:{}?tls=opportunistic",
            &nobody,
            0,
            "",
        ),
        (
            "never",
            plan(true, false, true),
            "smtp://localhost:{}?tls=none",
            &login,
            0,
            "AUTH PLAIN ",
        ),
        ("smtps", plan(false, true, true), "smtps://127.0.0.1:{}", &login, 0, "AUTH PLAIN "),
        (
            "LOGIN",
            with(plan(false, true, true), "LOGIN"),
            "smtps://localhost:{}",
            &login,
            0,
            "AUTH LOGIN",
        ),
        (
            "XOAUTH2",
            with(plan(false, true, true), "PLAIN XOAUTH2"),
            "smtps://localhost:{}?auth=xoauth2",
            &login,
            0,
            "AUTH XOAUTH2 ",
        ),
    ] {
        let server = Server::start(plan);
        let url = url.replace("{}", &server.port.to_string());
        let mut carrier = case.carrier_with(&url, access.clone());
        for to in ["bo@shore.example", "cy@ice.example"] {
            let sent = carrier.send(&letter(to), &case.package, None);
            assert!(sent.is_ok(), "{name}: {sent:?}");
            let expected = text_of(&letter(to), &case.package, None);
            assert!(server.story().mails.last().unwrap().bytes == expected, "{name}");
        }
        assert_eq!(server.count("STARTTLS"), starttls, "{name}");
        assert_eq!(server.count("AUTH"), usize::from(!auth.is_empty()), "{name}");
        assert_eq!(server.count(auth).min(1), 1, "{name}: {:?}", server.story().commands);
        assert_eq!(server.story().connections, 1, "{name}");
    }
}

#[test]
fn a_certificate_that_proves_nothing_is_not_accepted() {
    let case = Case::new(b"x");
    let (ours, others) = (certificates(&["localhost"]), certificates(&["localhost"]));
    let wrong_name = certificates(&["mail.example"]);
    let (own, other_own) = (own_certificate(&["localhost"]), own_certificate(&["localhost"]));
    let own_wrong_name = own_certificate(&["mail.example"]);
    // A CA's own certificate is looked at twice.
    for (name, tls, ca, hint) in [
        ("its own, unknown", &own, None, "ca_file"),
        ("its own, another", &own, Some(&other_own), "ca_file"),
        ("its own, another name", &own_wrong_name, Some(&own_wrong_name), "name the server"),
        ("unknown", &ours, None, "ca_file"),
        ("another CA", &ours, Some(&others), "ca_file"),
        ("another name", &wrong_name, Some(&wrong_name), "name the server"),
    ] {
        for wrapped in [false, true] {
            let server = Server::start(Plan {
                starttls: !wrapped,
                wrapped,
                tls: Some(tls.server.clone()),
                ..Plan::default()
            });
            let url = match wrapped {
                true => format!("smtps://localhost:{}", server.port),
                false => format!("smtp://localhost:{}?tls=required", server.port),
            };
            let ca_file = ca.map(|ca| case.file("ca.pem", &ca.ca_pem));
            let mut carrier = case.carrier_with(&url, Access { ca_file, login: None });
            let failure = refused(&mut carrier, &case);
            assert_eq!(failure.lasts, Lasts::Later, "{name}: {failure:?}");
            assert!(failure.what.contains("certificate"), "{name}: {failure:?}");
            assert!(failure.what.starts_with(&format!("localhost:{}: ", server.port)), "{failure}");
            assert!(failure.hint.contains(hint), "{name}: {failure:?}");
            assert_eq!(refused(&mut carrier, &case), failure, "{name}");
            let looks = if name.starts_with("its own") { 2 } else { 1 };
            assert_eq!(server.story().connections, looks, "{name}: it was tried again");
            assert_eq!(server.count("MAIL"), 0, "{name}");
        }
    }
}

#[test]
fn a_certificate_that_is_trusted_itself_is_accepted() {
    let case = Case::new(b"x");
    let own = own_certificate(&["localhost"]);
    let file = case.file("own.pem", &(certificates(&["x"]).ca_pem + &own.ca_pem));
    for wrapped in [false, true] {
        let server = Server::start(Plan {
            starttls: !wrapped,
            wrapped,
            tls: Some(own.server.clone()),
            login: Some(("ana@ship.example", PASSWORD)),
            auth_over_tls: true,
            acts: vec![(At::Idle, 1, Act::HangUp)],
            ..Plan::default()
        });
        let url = match wrapped {
            true => format!("smtps://localhost:{}", server.port),
            false => format!("smtp://localhost:{}?tls=required", server.port),
        };
        let access = Access { ca_file: Some(file.clone()), ..login() };
        let mut carrier = case.carrier_with(&url, access);
        for to in ["a@x.example", "b@x.example"] {
            let sent = carrier.send(&letter(to), &case.package, None);
            assert!(sent.is_ok(), "wrapped {wrapped}: {sent:?}");
        }
        let story = server.story();
        assert_eq!((story.mails.len(), story.connections), (2, 3), "wrapped {wrapped}");
    }
}

#[test]
fn a_ca_file_has_to_be_one() {
    let case = Case::new(b"x");
    let server = Server::start(Plan::default());
    for (file, words) in [
        (case.dir.path().join("nowhere"), "No such file"),
        (case.file("empty", ""), "no certificate"),
        (
            case.file("bad", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            "damaged",
        ),
    ] {
        let url = format!("smtp://localhost:{}?tls=required", server.port);
        let access = Access { ca_file: Some(file), login: None };
        let failure = refused(&mut case.carrier_with(&url, access), &case);
        assert!(failure.what.contains(words) && failure.hint.contains("ca_file"), "{failure:?}");
        assert_eq!(failure.lasts, Lasts::Later);
    }
}

#[test]
fn a_password_that_is_refused_is_tried_once_and_never_shown() {
    let case = Case::new(b"x");
    let told = base64(&format!("\0ana@ship.example\0{PASSWORD}"));
    let echo = format!("535 5.7.8 no: AUTH PLAIN {told} is {PASSWORD}").leak();
    for (reply, status) in [
        ("535 5.7.8 Error: authentication failed", "5.7.8"),
        ("535 no", "535"),
        (echo, "5.7.8"),
        ("454 4.7.0 Temporary authentication failure", "4.7.0"),
    ] {
        let server = Server::start(Plan {
            login: Some(("ana@ship.example", "other")),
            acts: vec![(At::Auth, 0, Act::Say(reply))],
            ..Plan::default()
        });
        let url = format!("smtp://127.0.0.1:{}", server.port);
        let mut carrier = case.carrier_with(&url, login());
        let failure = refused(&mut carrier, &case);
        assert_eq!((failure.lasts, failure.status.as_str()), (Lasts::Later, status), "{failure:?}");
        assert!(failure.what.contains("AUTH was answered with"), "{failure:?}");
        assert_eq!(failure.hint.contains("password"), reply.starts_with('5'), "{failure:?}");
        refused(&mut carrier, &case);
        assert_eq!(server.count("AUTH"), 1, "a password was tried twice");
    }
}

#[test]
fn a_password_goes_nowhere_where_it_is_not_asked_for() {
    let case = Case::new(b"x");
    let plain = Plan { mechanisms: Some("GSSAPI"), login: Some(("a", "b")), ..Plan::default() };
    for (plan, words) in [
        (Plan::default(), "offers no AUTH PLAIN or LOGIN"),
        (plain, "offers other AUTH than AUTH PLAIN or LOGIN"),
    ] {
        let server = Server::start(plan);
        let url = format!("smtp://127.0.0.1:{}", server.port);
        let failure = refused(&mut case.carrier_with(&url, login()), &case);
        assert!(failure.what.contains(words), "{failure:?}");
        assert_eq!((failure.lasts, server.count("AUTH")), (Lasts::Later, 0));
    }
    let server = Server::start(Plan { login: Some(("a", "b")), ..Plan::default() });
    let url = format!("smtp://localhost:{}?tls=required", server.port);
    let failure = refused(&mut case.carrier_with(&url, login()), &case);
    assert!(failure.what.contains("no STARTTLS"), "{failure:?}");
    assert_eq!((failure.lasts, server.count("AUTH"), server.count("MAIL")), (Lasts::Later, 0, 0));
}

#[test]
fn what_a_server_answers_is_understood() {
    use Lasts::{Later, Never};
    let case = Case::new(b"x");
    let size = text_of(&letter("bo@shore.example"), &case.package, None).len() as u64;
    let too_big = Some(size - 1);
    for (at, reply, lasts, status, limit) in [
        (At::Greeting, "554 5.7.1 go away", Later, "5.7.1", None),
        (At::Greeting, "421 busy", Later, "421", None),
        (At::Ehlo, "502 what?", Later, "502", None),
        (At::Mail, "451 4.7.1 greylisted", Later, "4.7.1", None),
        (At::Mail, "530 5.7.0 Authentication required", Later, "5.7.0", None),
        (At::Mail, "553 5.7.1 not your address", Never, "5.7.1", None),
        (At::Mail, "552 5.3.4 too big", Never, "5.3.4", too_big),
        (At::Mail, "452 4.3.1 disk full", Later, "4.3.1", None),
        (At::Rcpt, "450 4.2.0 greylisted", Later, "4.2.0", None),
        (At::Rcpt, "450 try later", Later, "450", None),
        (At::Rcpt, "550 5.1.1 no such user", Never, "5.1.1", None),
        (At::Rcpt, "550 no such user", Never, "550", None),
        (At::Rcpt, "550-5.1.1 first\r\n550 5.1.1 second", Never, "5.1.1", None),
        (At::Rcpt, "552 5.2.2 mailbox full", Never, "5.2.2", None),
        (At::Rcpt, "554 5.7.1 Relay access denied", Never, "5.7.1", None),
        (At::Data, "554 5.5.1 no valid recipients", Never, "5.5.1", None),
        (At::Data, "250 strange", Later, "", None),
        (At::End, "552 5.3.4 too big", Never, "5.3.4", too_big),
        (At::End, "552 too big", Never, "552", too_big),
        (At::End, "550 5.2.3 over your limit", Never, "5.2.3", too_big),
        (At::End, "554 5.6.0 looks like a virus", Never, "5.6.0", None),
        (At::End, "451 4.3.0 try again", Later, "4.3.0", None),
        (At::End, "354 more", Later, "", None),
    ] {
        let acts = vec![(at, 1, Act::Say(reply))];
        let server = Server::start(Plan { acts, ..Plan::default() });
        let mut carrier = case.carrier(&format!("smtp://127.0.0.1:{}", server.port));
        let failure = refused(&mut carrier, &case);
        let is = (failure.lasts, failure.status.as_str(), failure.limit_bytes);
        assert_eq!(is, (lasts, status, limit), "{at:?} {reply}: {failure:?}");
        let place = format!("127.0.0.1:{}: ", server.port);
        assert!(failure.what.starts_with(&place), "{failure:?}");
        let code = reply.get(..3).unwrap();
        assert!(failure.what.contains(&format!("was answered with {code}")), "{failure:?}");
        assert!(!failure.what.contains('\n'), "{failure:?}");
        // The next site's mail is another matter.
        let next = carrier.send(&letter("cy@ice.example"), &case.package, None);
        assert!(next.is_ok(), "{at:?} {reply}: {next:?}");
        let mails = server.story().mails.iter().filter(|m| m.to == "cy@ice.example").count();
        assert_eq!(mails, 1, "{at:?} {reply}");
    }
}

#[test]
fn a_size_that_is_announced_is_heeded() {
    let case = Case::new(&[7; 1_000]);
    let size = text_of(&letter("bo@shore.example"), &case.package, None).len() as u64;
    for (announced, fits) in
        [(size - 1, false), (size, true), (1, false), (0, true), (u64::MAX, true)]
    {
        let offer = format!("SIZE {announced}").leak();
        let server = Server::start(Plan { offers: vec![offer], ..Plan::default() });
        let mut carrier = case.carrier(&format!("smtp://127.0.0.1:{}", server.port));
        assert_eq!(carrier.probe().unwrap().limit_bytes, Some(announced).filter(|n| *n > 0));
        let sent = carrier.send(&letter("bo@shore.example"), &case.package, None);
        assert_eq!(sent.is_ok(), fits, "{announced}: {sent:?}");
        assert_eq!(server.count("MAIL"), usize::from(fits), "{announced}");
        let Err(failure) = sent else { continue };
        assert_eq!((failure.lasts, failure.limit_bytes), (Lasts::Never, Some(announced)));
        assert!(failure.what.contains(&size.to_string()), "{failure:?}");
    }
}

#[test]
fn one_refused_site_is_no_other_s_trouble() {
    let case = Case::new(b"x");
    let acts = vec![(At::Rcpt, 2, Act::Say("550 5.1.1 no such user"))];
    let server = Server::start(Plan { acts, ..Plan::default() });
    let mut carrier = case.carrier(&format!("smtp://127.0.0.1:{}", server.port));
    let mut went = Vec::new();
    for to in ["a@x.example", "b@x.example", "c@x.example"] {
        went.push(carrier.send(&letter(to), &case.package, None).is_ok());
    }
    assert_eq!(went, [true, false, true]);
    assert_eq!((server.story().connections, server.count("RSET")), (1, 1));
}

#[test]
fn a_connection_that_was_closed_between_mails_is_opened_again() {
    let case = Case::new(b"x");
    for act in [
        (At::Idle, 1, Act::HangUp),
        (At::Idle, 1, Act::Bye("421 4.4.2 idle too long")),
        (At::Mail, 2, Act::Bye("421 4.7.0 one mail a connection")),
        (At::Rcpt, 2, Act::HangUp),
    ] {
        let server = Server::start(Plan { acts: vec![act.clone()], ..Plan::default() });
        let mut carrier = case.carrier(&format!("smtp://127.0.0.1:{}", server.port));
        for to in ["a@x.example", "b@x.example", "c@x.example"] {
            let sent = carrier.send(&letter(to), &case.package, None);
            assert!(sent.is_ok(), "{act:?}: {to}: {sent:?}");
        }
        let to: Vec<String> = server.story().mails.iter().map(|mail| mail.to.clone()).collect();
        assert_eq!(to, ["a@x.example", "b@x.example", "c@x.example"], "{act:?}");
        assert_eq!(server.story().connections, 2, "{act:?}");
    }
    // One that hangs up on everybody is not tried for ever.
    let server = Server::start(Plan {
        acts: vec![(At::Mail, 2, Act::HangUp), (At::Mail, 3, Act::HangUp)],
        ..Plan::default()
    });
    let mut carrier = case.carrier(&format!("smtp://127.0.0.1:{}", server.port));
    carrier.send(&letter("a@x.example"), &case.package, None).unwrap();
    let failure = refused(&mut carrier, &case);
    assert!(failure.what.contains("hung up at MAIL FROM"), "{failure:?}");
    assert_eq!(server.story().connections, 2);
}

#[test]
fn a_connection_that_breaks_leaves_the_mail_for_later() {
    let package: Vec<u8> = vec![7; 20 << 20];
    let case = Case::new(&package);
    for (at, words, hint) in [
        (At::Greeting, "the connection", ""),
        (At::Ehlo, "the connection", ""),
        (At::Mail, "hung up at MAIL FROM", ""),
        (At::Data, "hung up at DATA", ""),
        (At::Body, "the mail", ""),
        (At::End, "hung up at the mail", "may have arrived"),
    ] {
        let server = Server::start(Plan { acts: vec![(at, 1, Act::HangUp)], ..Plan::default() });
        let mut carrier = case.carrier(&format!("smtp://127.0.0.1:{}", server.port));
        let failure = refused(&mut carrier, &case);
        assert_eq!(failure.lasts, Lasts::Later, "{at:?}: {failure:?}");
        assert!(failure.what.contains(words), "{at:?}: {failure:?}");
        assert!(failure.hint.contains(hint), "{at:?}: {failure:?}");
        assert_eq!(server.story().mails.len(), 0, "{at:?}");
        // Sent again it is the same, to the last byte.
        carrier.send(&letter("bo@shore.example"), &case.package, None).unwrap();
        let expected = text_of(&letter("bo@shore.example"), &case.package, None);
        assert!(server.story().mails[0].bytes == expected, "{at:?}");
        assert_eq!(server.story().connections, 2, "{at:?}");
    }
}

#[test]
fn what_a_server_says_before_it_hangs_up_is_heard() {
    let case = Case::new(&vec![7; 20 << 20]);
    let acts = vec![(At::Body, 1, Act::Bye("552 5.3.4 that is too much"))];
    let server = Server::start(Plan { acts, ..Plan::default() });
    let mut carrier = case.carrier(&format!("smtp://127.0.0.1:{}", server.port));
    let failure = refused(&mut carrier, &case);
    assert_eq!((failure.lasts, failure.status.as_str()), (Lasts::Never, "5.3.4"), "{failure:?}");
    assert!(failure.limit_bytes.is_some_and(|limit| limit > 20 << 20), "{failure:?}");
}

#[test]
fn nobody_is_waited_for_for_ever() {
    let case = Case::new(b"x");
    let forever = Act::Sleep(Duration::from_secs(20));
    let ms = Duration::from_millis;
    for (at, words) in [
        (At::Greeting, "no answer to the connection within 0 s"),
        (At::Mail, "no answer to MAIL FROM within 0 s"),
        (At::End, "no answer to the mail within 0 s"),
    ] {
        let acts = vec![(at, 0, forever.clone())];
        let server = Server::start(Plan { acts, ..Plan::default() });
        let url = format!("smtp://127.0.0.1:{}", server.port);
        let Ok(Transport::Smtp(place)) = parse_transport(&url) else { panic!() };
        let timeouts = Timeouts { connect: ms(100), answer: ms(200), end: ms(300) };
        let mut carrier = SmtpCarrier::with_timeouts(place, Access::default(), timeouts);
        let began = Instant::now();
        let failure = refused(&mut carrier, &case);
        assert_eq!(failure.lasts, Lasts::Later, "{failure:?}");
        assert!(failure.what.contains(words), "{at:?}: {failure:?}");
        assert_eq!(failure.hint.contains("may have arrived"), at == At::End, "{failure:?}");
        if at == At::Greeting {
            // Twenty sites need not wait for it twenty times.
            assert_eq!(refused(&mut carrier, &case), failure);
            assert_eq!(server.story().connections, 2);
        }
        drop(carrier);
        assert!(began.elapsed() < ms(5_000), "{at:?}: {:?}", began.elapsed());
    }
}

#[test]
fn a_greeting_that_is_only_late_is_waited_for() {
    let case = Case::new(b"x");
    let acts = vec![(At::Greeting, 0, Act::Sleep(Duration::from_millis(500)))];
    let server = Server::start(Plan { acts, ..Plan::default() });
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let Ok(Transport::Smtp(place)) = parse_transport(&url) else { panic!() };
    let timeouts = Timeouts { connect: Duration::from_millis(100), ..quick() };
    let mut carrier = SmtpCarrier::with_timeouts(place, Access::default(), timeouts);
    carrier.send(&letter("bo@shore.example"), &case.package, None).unwrap();
    assert_eq!(server.story().mails.len(), 1);
}

#[test]
fn no_server_no_mail() {
    let case = Case::new(b"x");
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    for url in [format!("smtp://127.0.0.1:{port}"), "smtp://nowhere.invalid".to_owned()] {
        let failure = refused(&mut case.carrier(&url), &case);
        assert_eq!((failure.lasts, failure.status.as_str()), (Lasts::Later, ""), "{failure:?}");
        assert!(failure.hint.contains("network"), "{failure:?}");
    }
    // TLS with who does not speak it, and the other way round.
    let server = Server::start(Plan::default());
    let failure = refused(&mut case.carrier(&format!("smtps://localhost:{}", server.port)), &case);
    assert!(failure.hint.contains("smtp://"), "{failure:?}");
}

#[test]
fn half_a_package_is_never_sent() {
    let case = Case::new(b"x");
    let server = Server::start(Plan::default());
    let mut carrier = case.carrier(&format!("smtp://127.0.0.1:{}", server.port));
    // A folder opens like a file and cannot be read.
    let answer = carrier.send(&letter("bo@shore.example"), case.dir.path(), None);
    let failure = answer.unwrap_err();
    assert_eq!(failure.lasts, Lasts::Later, "{failure:?}");
    assert_eq!((server.story().mails.len(), server.count("DATA")), (0, 1));
    carrier.send(&letter("cy@ice.example"), &case.package, None).unwrap();
    assert_eq!(server.story().mails.len(), 1);
}

#[test]
fn addresses_of_other_letters_need_a_server_that_knows_them() {
    let case = Case::new(b"x");
    let server = Server::start(Plan::default());
    let mut carrier = case.carrier(&format!("smtp://127.0.0.1:{}", server.port));
    let failure = carrier.send(&letter("jürgen@x.example"), &case.package, None).unwrap_err();
    assert_eq!((failure.lasts, server.count("MAIL")), (Lasts::Never, 0), "{failure:?}");
    let server = Server::start(Plan { offers: vec!["SMTPUTF8"], ..Plan::default() });
    let mut carrier = case.carrier(&format!("smtp://127.0.0.1:{}", server.port));
    carrier.send(&letter("jürgen@x.example"), &case.package, None).unwrap();
    assert_eq!(server.story().mails[0].to, "jürgen@x.example");
    assert_eq!(server.count("MAIL FROM:<ana@ship.example> SMTPUTF8"), 1);
}
