//! Whom a site believes: keys, signatures, seals, and what is done with what nobody vouches for.
//!
//! The programs are the real ones, and so are ssh-keygen, ssh-agent and age on the other side.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use support::{Home, Ran, World};

/// Runs a program of the system, which has to end well.
fn tool<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> String {
    let output = try_tool(program, arguments, b"");
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn try_tool<S: AsRef<OsStr>>(program: &str, arguments: &[S], input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    // Who reads nothing breaks the pipe.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Makes a key as people do, and returns its file.
fn ssh_key(world: &World, name: &str, kind: &str, passphrase: &str) -> PathBuf {
    let path = world.path().join(name);
    let shown = path.to_str().unwrap();
    tool("ssh-keygen", &["-q", "-t", kind, "-N", passphrase, "-C", name, "-f", shown]);
    path
}

/// Signs a file as people do; returns the signature.
fn ssh_sign(key: &Path, namespace: &str, file: &Path) -> Vec<u8> {
    let signature = PathBuf::from(format!("{}.sig", file.display()));
    let _ = fs::remove_file(&signature);
    let (key, shown) = (key.to_str().unwrap(), file.to_str().unwrap());
    tool("ssh-keygen", &["-q", "-Y", "sign", "-f", key, "-n", namespace, shown]);
    let text = fs::read(&signature).unwrap();
    fs::remove_file(signature).unwrap();
    text
}

/// Broadcasts into a folder of its own; returns the one package and its signature.
fn pack(home: &Home, name: &str, to: &str) -> (PathBuf, Option<Vec<u8>>) {
    let folder = home.top.join(name);
    home.run(&["broadcast", to, "--to", folder.to_str().unwrap()]).done();
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() <= 2, "{files:?}");
    let package = files.remove(0);
    (package, files.pop().map(|file| fs::read(file).unwrap()))
}

/// Two homes in one project that trust each other, in step.
fn trusting_pair(world: &World) -> (Home, Home) {
    let (a, b) = (world.home_with_key("a"), world.home_with_key("b"));
    a.trust(&b);
    b.trust(&a);
    a.write("f", "one\n");
    a.init(&[&b]).done();
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let id = b.first_entry();
    let accepted = b.run(&["accept", &id, "."]);
    assert!(
        accepted.stderr().contains("signed with the trusted key SHA256:"),
        "{}",
        accepted.story()
    );
    accepted.done();
    (a, b)
}

/// A mail with a package and any number of signatures.
fn mail(package: &[u8], signatures: &[Vec<u8>]) -> Vec<u8> {
    let part = |name: &str, bytes: &[u8]| {
        format!(
            "--m\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\
             Content-Disposition: attachment; filename=\"{name}\"\n\n{}\n",
            base64(bytes)
        )
    };
    let mut text = "From: a@a.example\nTo: b@b.example\nSubject: x\nMIME-Version: 1.0\n\
                    Content-Type: multipart/mixed; boundary=m\n\n"
        .to_owned();
    text += &part("remsync.tar.gz", package);
    for signature in signatures {
        text += &part("remsync.tar.gz.sig", signature);
    }
    (text + "--m--\n").into_bytes()
}

fn base64(bytes: &[u8]) -> String {
    let text = try_tool("base64", &["-w76"], bytes).stdout;
    String::from_utf8(text).unwrap()
}

/// Gives a mail to the filter of a home.
fn deliver(home: &Home, mail: &[u8]) {
    let file = home.top.join("mail");
    fs::write(&file, mail).unwrap();
    home.deliver(&file).done();
}

/// The same files in other bytes: what a gateway, or an attacker, makes of a package.
fn packed_anew(package: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    GzDecoder::new(package).read_to_end(&mut tar).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar).unwrap();
    gzip.finish().unwrap()
}

/// Processes in batch; returns outcome and reason of the one entry.
fn processed(home: &Home) -> (String, String) {
    let (document, _) = home.json(&["process", "--batch"]);
    let entries = document["entries"].as_array().unwrap();
    assert!(entries.len() <= 1, "{document}");
    let text = |key: &str| entries.first().map_or("", |e| e[key].as_str().unwrap()).to_owned();
    (text("outcome"), text("reason"))
}

fn drop_all(home: &Home) {
    let (entries, _) = home.json(&["queue"]);
    for entry in entries.as_array().unwrap() {
        home.run(&["queue", "drop", entry["id"].as_str().unwrap()]).done();
    }
}

#[test]
fn only_what_verifies_is_applied_unattended() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    b.write("f", "two\n");
    b.run(&["broadcast"]).done();
    assert_eq!(a.receive(), 0);
    assert_eq!(a.text("f"), "two\n");

    // Without its key, the next one waits, and says why; then it is judged anew.
    a.run(&["key", "revoke", "b@b.example"]).done();
    fs::remove_file(a.top.join("revoked_keys")).unwrap();
    b.write("f", "three\n");
    b.run(&["broadcast"]).done();
    let before = a.files();
    a.deliver_all();
    let (outcome, reason) = processed(&a);
    assert_eq!(outcome, "held", "{reason}");
    assert!(reason.contains("not trusted"), "{reason}");
    assert_eq!(a.files(), before);
    a.trust(&b);
    assert_eq!(processed(&a).0, "done");
    assert_eq!(a.text("f"), "three\n");
}

/// Name, package, signatures, and a word of the reason for which it is held.
type Attack<'a> = (&'a str, &'a [u8], Vec<Vec<u8>>, &'a str);

#[test]
fn attacks_change_nothing() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let c = world.home_with_key("c");
    b.trust(&c);
    b.run(&["create", "remote", "c@c.example", "-"]).done();
    let key = |name: &str| ssh_key(&world, name, "ed25519", "");
    let [revoked, expired, early, authority] = ["revoked", "expired", "early", "ca"].map(key);
    let line = |options: &str, key: &Path| {
        let public = fs::read_to_string(format!("{}.pub", key.display())).unwrap();
        format!("a@a.example {options}{public}")
    };
    let mut signers = fs::read_to_string(b.top.join("allowed_signers")).unwrap();
    signers += &line("", &revoked);
    signers += &line("valid-before=\"20200101\" ", &expired);
    signers += &line("valid-after=\"29990101\" ", &early);
    signers += &line("cert-authority ", &authority);
    fs::write(b.top.join("allowed_signers"), signers).unwrap();
    fs::copy(world.path().join("revoked.pub"), b.top.join("revoked_keys")).unwrap();
    let (a_key, c_key) = (a.top.join("id_ed25519"), c.top.join("id_ed25519"));

    let (other, _) = pack(&a, "other", "b@b.example");
    a.write("f", "evil\n");
    a.write("new", "evil\n");
    let (file, good) = pack(&a, "package", "b@b.example");
    let good = good.unwrap();
    let package = fs::read(&file).unwrap();
    let mut damaged = package.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    // Somebody who knows all addresses, and has a key of his own.
    let m = world.home_with_key("m");
    m.write("f", "evil\n");
    m.run(&["init", "--title", "Test", "--here", "a@a.example", "--remote", "b@b.example -"])
        .done();
    let (forged, forged_signature) = pack(&m, "package", "b@b.example");
    let forged_package = fs::read(&forged).unwrap();
    let by = |key: &Path| vec![ssh_sign(key, "remsync-package", &file)];
    let text = String::from_utf8(good.clone()).unwrap();
    let huge = text.replace("\n-----END", &format!("\n{}\n-----END", "A\n".repeat(40_000)));

    let anew = packed_anew(&package);
    let corpus: Vec<Attack> = vec![
        ("unsigned", &package, vec![], "not signed"),
        ("forged sender", &forged_package, vec![], "not signed"),
        ("forged, own key", &forged_package, vec![forged_signature.unwrap()], "not trusted"),
        (
            "forged, key of another site",
            &forged_package,
            vec![ssh_sign(&c_key, "remsync-package", &forged)],
            "signed with a key of c@c.example",
        ),
        ("key of another site", &package, by(&c_key), "signed with a key of c@c.example"),
        (
            "true signature of other bytes",
            &package,
            vec![ssh_sign(&a_key, "remsync-package", &other)],
            "bad",
        ),
        ("packed anew", &anew, vec![good.clone()], "bad signature"),
        ("forged, true signature", &forged_package, vec![good.clone()], "bad signature"),
        ("revoked", &package, by(&revoked), "revoked"),
        ("expired", &package, by(&expired), "expired"),
        ("not yet", &package, by(&early), "not valid yet"),
        ("authority", &package, by(&authority), "not trusted"),
        ("for git", &package, vec![ssh_sign(&a_key, "git", &file)], "for another purpose, \"git\""),
        ("cut short", &package, vec![text.as_bytes()[..text.len() / 2].to_vec()], "cannot be read"),
        ("empty", &package, vec![Vec::new()], "not signed"),
        ("huge", &package, vec![huge.into_bytes()], "not signed"),
        ("noise", &package, vec![b"-----BEGIN SSH SIGNATURE-----\n\xff\n".to_vec()], "cannot be"),
        (
            "two, none good",
            &package,
            vec![ssh_sign(&a_key, "git", &file), by(&c_key).remove(0)],
            "key of c@c.example",
        ),
    ];
    let before = b.files();
    for (name, bytes, signatures, word) in corpus {
        deliver(&b, &mail(bytes, &signatures));
        let (outcome, reason) = processed(&b);
        assert_eq!(outcome, "held", "{name}: {reason}");
        assert!(reason.contains(word), "{name}: {reason}");
        assert_eq!(b.files(), before, "{name}");
        drop_all(&b);
    }
    // One byte is enough for gzip to see it.
    deliver(&b, &mail(&damaged, std::slice::from_ref(&good)));
    assert_eq!(b.json(&["queue"]).0[0]["state"], "refused");
    drop_all(&b);
    assert_eq!(b.files(), before);

    // One good signature is enough, whatever comes with it.
    deliver(&b, &mail(&package, &[b"noise".to_vec(), by(&c_key).remove(0), good.clone()]));
    assert_eq!(processed(&b).0, "done");
    assert_eq!(b.text("new"), "evil\n", "it was no attack");

    // The same number with other contents: somebody has the key, or there are two of that site.
    let twin = world.path().join("twin");
    fs::write(&twin, packed_anew(&package)).unwrap();
    let signature = ssh_sign(&a_key, "remsync-package", &twin);
    deliver(&b, &mail(&fs::read(&twin).unwrap(), &[signature]));
    let (outcome, reason) = processed(&b);
    assert_eq!(outcome, "held");
    assert!(reason.contains("another package too"), "{reason}");
}

#[test]
fn a_package_is_good_for_one_place_and_once() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let c = world.home_with_key("c");
    c.trust(&a);
    c.write("f", "theirs\n");
    c.init(&[&a, &b]).done();
    a.write("f", "two\n");
    let (file, signature) = pack(&a, "package", "b@b.example");
    let replay = mail(&fs::read(&file).unwrap(), &[signature.unwrap()]);

    // To another site.
    let before = c.files();
    deliver(&c, &replay);
    let (outcome, reason) = processed(&c);
    assert_eq!(outcome, "held");
    assert!(reason.contains("no project here is \"Test\" of b@b.example"), "{reason}");
    assert_eq!(c.files(), before);

    // Into another project of the same people.
    let d = world.home_with_key("d");
    d.trust(&a);
    let words = ["init", "--title", "Other", "--here", "b@b.example", "--remote", "a@a.example -"];
    d.run(&words).done();
    deliver(&d, &replay);
    assert_eq!(processed(&d).0, "held");
    assert!(d.files().is_empty());

    // Later: a second time, and after the queue has forgotten it.
    deliver(&b, &replay);
    assert_eq!(processed(&b).0, "done");
    b.write("f", "three\n");
    let before = b.files();
    deliver(&b, &replay);
    assert_eq!(processed(&b).0, "", "the same package is no news");
    drop_all(&b);
    deliver(&b, &replay);
    assert_eq!(processed(&b).0, "done");
    assert_eq!(b.files(), before, "an old package brings nothing back");
}

#[test]
fn a_signature_may_come_later_and_is_not_kept_out() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    a.write("f", "two\n");
    let (file, good) = pack(&a, "package", "b@b.example");
    let package = fs::read(&file).unwrap();
    deliver(&b, &mail(&package, &[]));
    assert_eq!(processed(&b).0, "held");
    let junk =
        |n: u8| [b"-----BEGIN SSH SIGNATURE-----\n".to_vec(), vec![b'A'; usize::from(n)]].concat();
    for n in 1..=9 {
        deliver(&b, &mail(&package, &[junk(n)]));
    }
    assert_eq!(processed(&b).0, "held");
    deliver(&b, &mail(&package, &[good.unwrap()]));
    assert_eq!(processed(&b).0, "done");
    assert_eq!(b.text("f"), "two\n");
}

#[test]
fn the_settings_decide_on_what_is_not_signed() {
    for (setting, outcome) in [("hold", "held"), ("ask", "held"), ("accept", "done")] {
        let world = World::new();
        let (a, b) = trusting_pair(&world);
        b.set(&format!("[trust]\nunsigned = \"{setting}\"\n"));
        fs::remove_file(a.top.join("id_ed25519")).unwrap();
        a.write("f", "two\n");
        let sent = a.run(&["broadcast"]);
        assert!(sent.stderr().contains("not signed"), "{}", sent.story());
        sent.done();
        b.deliver_all();
        assert_eq!(processed(&b).0, outcome, "{setting}");
        assert_eq!(b.text("f"), if outcome == "done" { "two\n" } else { "one\n" });
    }
}

#[test]
fn format_1_3_needs_a_word() {
    let world = World::new();
    let (a, b) = (world.home_with_key("a"), world.home_with_key("b"));
    for (home, other) in [(&a, &b), (&b, &a)] {
        home.trust(other);
        let remote = format!("{} -", other.address);
        let words = ["--title", "Test", "--here", &home.address, "--remote", &remote];
        home.run(&[&["init", "--format", "1.3"], &words[..]].concat()).done();
    }
    a.write("f", "one\n");
    let (package, signature) = pack(&a, "package", "b@b.example");
    assert_eq!(signature, None, "GNU remsync knows no signatures");
    let held = b.run(&["process", "--batch", package.to_str().unwrap()]);
    assert!(held.stderr().contains("unsigned = \"accept\""), "{}", held.story());
    held.with(1);
    b.set("[trust]\nunsigned = \"accept\"\n");
    b.run(&["process", "--batch"]).done();
    assert_eq!(b.text("f"), "one\n");
}

/// Our signature of a package, as `ssh-keygen` alone sees it.
fn ssh_verifies(signers: &Path, identity: &str, package: &Path, signature: &[u8]) -> bool {
    let file = package.with_extension("their-sig");
    fs::write(&file, signature).unwrap();
    let arguments = [
        "-Y",
        "verify",
        "-f",
        signers.to_str().unwrap(),
        "-I",
        identity,
        "-n",
        "remsync-package",
        "-s",
        file.to_str().unwrap(),
    ];
    try_tool("ssh-keygen", &arguments, &fs::read(package).unwrap()).status.success()
}

#[test]
fn ssh_keygen_and_we_believe_each_other() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let signers = b.top.join("allowed_signers");
    let config = fs::read_to_string(a.top.join("config.toml")).unwrap();
    for (at, kind) in ["ed25519", "ecdsa", "rsa"].into_iter().enumerate() {
        let key = ssh_key(&world, kind, kind, "");
        let public = format!("{}.pub", key.display());
        b.run(&["key", "trust", "a@a.example", &public]).done();
        fs::write(
            a.top.join("config.toml"),
            format!("{config}[trust]\nsign_key = \"{}\"\n", key.display()),
        )
        .unwrap();
        assert_eq!(
            a.run(&["key", "show"]).done(),
            fs::read_to_string(&public).unwrap(),
            "the line of ssh-keygen"
        );
        a.write("f", format!("{kind}\n"));
        let (package, ours) = pack(&a, kind, "b@b.example");
        let ours = ours.unwrap();
        assert!(ssh_verifies(&signers, "a@a.example", &package, &ours), "{kind}");
        assert!(!ssh_verifies(&signers, "b@b.example", &package, &ours), "{kind}");
        // ssh-keygen signs; SHA-256 is a choice that it has too.
        let theirs = ssh_sign(&key, "remsync-package", &package);
        let signature = if at == 0 { theirs } else { ours };
        deliver(&b, &mail(&fs::read(&package).unwrap(), &[signature]));
        assert_eq!(processed(&b).0, "done", "{kind}");
        assert_eq!(b.text("f"), format!("{kind}\n"));
    }
}

/// An ssh-agent of its own, ended with the test.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(world: &World) -> Agent {
        let socket = world.path().join("agent");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a", socket.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..200 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Agent { child, socket }
    }

    fn add(&self, key: &Path) {
        let output = Command::new("ssh-add")
            .args(["-q", key.to_str().unwrap()])
            .env("SSH_AUTH_SOCK", &self.socket)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_agent_signs_for_us() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let agent = Agent::start(&world);
    let config = fs::read_to_string(a.top.join("config.toml")).unwrap();
    let broadcast = |socket: &Path| {
        let mut command = a.command(support::REMSYNC);
        let output = command.arg("broadcast").env("SSH_AUTH_SOCK", socket).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = ssh_key(&world, kind, kind, "");
        agent.add(&key);
        let public = format!("{}.pub", key.display());
        b.run(&["key", "trust", "a@a.example", &public]).done();
        fs::remove_file(&key).unwrap();
        let settings = format!("{config}[trust]\nsign_key = \"{public}\"\n");
        fs::write(a.top.join("config.toml"), settings).unwrap();
        a.write("f", format!("{kind}\n"));
        let (status, told) = broadcast(Path::new("/nowhere"));
        assert_eq!(status, Some(2), "{told}");
        assert!(a.mails().is_empty() && b.mails().is_empty(), "nothing goes out unsigned");
        assert_eq!(broadcast(&agent.socket), (Some(0), String::new()), "{kind}");
        assert_eq!(b.receive(), 0, "{kind}");
        assert_eq!(b.text("f"), format!("{kind}\n"));
    }
}

#[test]
fn a_passphrase_comes_from_where_it_is_said_to_be() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let key = ssh_key(&world, "locked", "ed25519", "correct horse");
    b.run(&["key", "trust", "a@a.example", &format!("{}.pub", key.display())]).done();
    let secret = a.top.join("secret");
    fs::write(&secret, "correct horse\n").unwrap();
    let config = fs::read_to_string(a.top.join("config.toml")).unwrap();
    let set = |more: &str| {
        let sign_key = format!("{config}[trust]\nsign_key = \"{}\"\n{more}\n", key.display());
        fs::write(a.top.join("config.toml"), sign_key).unwrap();
    };
    let broadcast = |variable: Option<&str>| -> (Option<i32>, String) {
        let mut command = a.command(support::REMSYNC);
        command.arg("broadcast").envs(variable.map(|value| ("REMSYNC_PASSPHRASE", value)));
        let output = command.output().unwrap();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!told.contains("horse"), "{told}");
        (output.status.code(), told)
    };
    let file = format!("passphrase_file = \"{}\"", secret.display());
    let command = format!("passphrase_command = [\"cat\", \"{}\"]", secret.display());
    let mode = |mode| fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
    a.write("f", "two\n");
    mode(0o600);
    for (settings, variable, words) in [
        ("", None, "passphrase"),
        ("", Some("battery"), "wrong"),
        ("passphrase_command = [\"false\"]", None, "false"),
        ("passphrase_file = \"/nowhere\"", None, "/nowhere"),
    ] {
        set(settings);
        let (status, told) = broadcast(variable);
        assert_eq!(status, Some(2), "{told}");
        assert!(told.contains(words), "{told}");
    }
    mode(0o640);
    set(&file);
    let (status, told) = broadcast(None);
    assert!(status == Some(2) && told.contains("others may read this file"), "{told}");
    assert!(b.mails().is_empty());
    mode(0o600);
    for (at, (settings, variable)) in
        [("", Some("correct horse")), (&file, None), (&command, None)].into_iter().enumerate()
    {
        set(settings);
        a.write("f", format!("{at}\n"));
        let (status, told) = broadcast(variable);
        assert_eq!(status, Some(0), "{told}");
        assert_eq!(b.receive(), 0, "{settings}");
        assert_eq!(b.text("f"), format!("{at}\n"));
    }
    // A key that others may read is no secret.
    a.write("f", "four\n");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (status, told) = broadcast(Some("correct horse"));
    assert!(status == Some(2) && told.contains("others may read this file"), "{told}");
}

/// Reads until `word` was printed, and returns all that was.
fn read_until(from: &mut impl Read, word: &str) -> String {
    let mut told = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&told).contains(word) {
        assert_eq!(from.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&told));
        told.extend(byte);
    }
    String::from_utf8_lossy(&told).into_owned()
}

#[test]
fn a_passphrase_is_asked_for_and_not_shown() {
    let world = World::new();
    let a = world.home_with_key("a");
    let key = a.top.join("id_ed25519");
    for (second, is_made) in [("horse\n", true), ("cart\n", false), ("ho\u{3}", false)] {
        fs::remove_file(&key).unwrap();
        fs::remove_file(a.top.join("id_ed25519.pub")).unwrap();
        let typed = format!("{} key new --passphrase", support::REMSYNC);
        let mut child = a
            .command("script")
            .args(["-qec", &typed, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut told = read_until(&mut output, "new key: ");
        input.write_all(b"horse\n").unwrap();
        told += &read_until(&mut output, "more: ");
        input.write_all(second.as_bytes()).unwrap();
        output.read_to_string(&mut told).unwrap();
        let status = child.wait().unwrap();
        assert!(!told.contains("horse") && !told.contains("cart"), "{told}");
        assert_eq!((status.success(), key.exists()), (is_made, is_made), "{second:?} {told}");
        match is_made {
            true => tool("ssh-keygen", &["-y", "-P", "horse", "-f", key.to_str().unwrap()]),
            false => a.run(&["key", "new"]).done(),
        };
    }
}

#[test]
fn keys_are_made_shown_trusted_and_revoked() {
    let world = World::new();
    let a = world.home_with_key("a");
    let key = a.top.join("id_ed25519");
    let before = fs::read(&key).unwrap();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    a.run(&["key", "new"]).with(2);
    assert_eq!(fs::read(&key).unwrap(), before, "a key is never overwritten");
    let shown = a.run(&["key", "show"]).done();
    assert_eq!(shown, fs::read_to_string(a.top.join("id_ed25519.pub")).unwrap());
    let print = tool("ssh-keygen", &["-l", "-f", key.to_str().unwrap()]);
    let print = print.split(' ').nth(1).unwrap();
    let words = a.run(&["key", "show", "--words"]).done();
    assert!(words.contains(print), "{words}\n{print}");

    let b = world.home_with_key("b");
    let mut child = b
        .command(support::REMSYNC)
        .args(["key", "trust", "A@a.example", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(shown.as_bytes()).unwrap();
    let told = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let last = words.lines().last().unwrap();
    assert!(told.contains(print) && told.contains(last), "both see the same: {told}\n{words}");
    let (list, _) = b.json(&["key", "list"]);
    assert_eq!(list["trusted"][0]["principals"], "a@a.example");
    assert_eq!(list["trusted"][0]["fingerprint"], print);
    // Once is enough.
    b.trust(&a);
    assert_eq!(fs::read_to_string(b.top.join("allowed_signers")).unwrap().lines().count(), 1);

    for (file, text) in [
        ("private", String::from_utf8(before).unwrap()),
        ("two", shown.repeat(2)),
        ("none", "ssh-ed25519\n".to_owned()),
    ] {
        fs::write(b.top.join(file), text).unwrap();
        let path = b.top.join(file);
        b.run(&["key", "trust", "c@c.example", path.to_str().unwrap()]).with(2);
    }
    let public = a.top.join("id_ed25519.pub");
    b.run(&["key", "trust", "*@a.example", public.to_str().unwrap()]).with(2);

    b.run(&["key", "revoke", "c@c.example"]).with(2);
    let told = b.run(&["key", "revoke", "a@a.example"]).done();
    assert!(told.contains(print), "{told}");
    let (list, _) = b.json(&["key", "list"]);
    assert_eq!(list["trusted"].as_array().unwrap().len(), 0);
    assert_eq!(list["revoked"][0], print);
    let again = b.run(&["key", "trust", "a@a.example", public.to_str().unwrap()]);
    assert!(again.stderr().contains("revoked"), "{}", again.story());
    again.with(2);
    // ssh-keygen reads the same list.
    let krl = b.top.join("revoked_keys");
    let queried = ["-Q", "-f", krl.to_str().unwrap(), public.to_str().unwrap()];
    let plain = try_tool("ssh-keygen", &queried, b"");
    assert!(!plain.status.success(), "{plain:?}");
}

#[test]
fn a_revocation_list_of_ssh_keygen_is_obeyed() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    a.write("f", "two\n");
    a.run(&["broadcast"]).done();
    let public = a.top.join("id_ed25519.pub");
    let krl = world.path().join("krl");
    let made = ["-q", "-k", "-f", krl.to_str().unwrap(), public.to_str().unwrap()];
    tool("ssh-keygen", &made);
    b.set(&format!("[trust]\nrevoked_keys = \"{}\"\n", krl.display()));
    b.deliver_all();
    assert!(processed(&b).1.contains("revoked"));
    // What cannot be read might have named the key.
    fs::write(&krl, b"SSHKRL\n\0\0\0").unwrap();
    b.run(&["process", "--batch"]).with(2);
    assert_eq!(b.text("f"), "one\n");
    fs::write(&krl, b"").unwrap();
    assert_eq!(processed(&b).0, "done");
}

#[test]
fn what_others_may_write_is_not_believed() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    a.write("f", "two\n");
    a.run(&["broadcast"]).done();
    let signers = b.top.join("allowed_signers");
    fs::set_permissions(&signers, fs::Permissions::from_mode(0o666)).unwrap();
    b.deliver_all();
    let ran = b.run(&["process", "--batch"]);
    assert!(ran.stderr().contains("others may change it"), "{}", ran.story());
    ran.with(2);
    assert_eq!(b.text("f"), "one\n");
    fs::set_permissions(&signers, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(processed(&b).0, "done");
}

/// What waits in the maildir of a home, as text.
fn mails_as_text(home: &Home) -> String {
    home.mails().iter().map(|mail| fs::read_to_string(mail).unwrap()).collect()
}

#[test]
fn what_is_sealed_tells_nothing_and_opens_there_only() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let c = world.home_with_key("c");
    a.run(&["key", "seal", "b@b.example"]).done();
    a.write("secret-name", "contents\n");
    a.run(&["broadcast"]).done();
    let text = mails_as_text(&b);
    for leak in
        ["Test", "X-Remsync-Title", "X-Remsync-Serial", "X-Remsync-Visit", "2 files", "1 file"]
    {
        assert!(!text.contains(leak), "{leak}\n{text}");
    }
    assert!(text.contains("filename=\".remsync.tar.gz.age\""), "{text}");
    assert!(text.contains("filename=\".remsync.tar.gz.sig.age\""), "{text}");
    let sealed = b.mails().remove(0);
    // Somebody else has no key for it, and nothing is lost.
    c.deliver(&sealed).done();
    let (outcome, reason) = processed(&c);
    assert_eq!(outcome, "held");
    assert!(reason.contains("none of our keys opens it"), "{reason}");
    assert_eq!(b.receive(), 0);
    assert_eq!(b.text("secret-name"), "contents\n");
    let (entries, _) = b.json(&["queue"]);
    assert!(entries.as_array().unwrap().iter().all(|entry| entry["state"] == "done"), "{entries}");
    // The same mail again is no news.
    b.deliver(&sealed_again(&world, &a, "b@b.example")).done();

    a.run(&["key", "unseal", "b@b.example"]).done();
    a.write("f", "three\n");
    a.run(&["broadcast"]).done();
    assert!(mails_as_text(&b).contains("X-Remsync-Title: Test"));
    assert_eq!(b.receive(), 0);
}

/// A mail of what was broadcast before, which is nothing new.
fn sealed_again(world: &World, home: &Home, to: &str) -> PathBuf {
    home.run(&["broadcast", to]).done();
    let new = world.path().join("post").join(to).join("new");
    let mail = fs::read_dir(new).unwrap().next().unwrap().unwrap().path();
    let kept = world.path().join("again");
    fs::rename(mail, &kept).unwrap();
    kept
}

#[test]
fn what_waits_in_the_outbox_goes_out_signed_and_sealed() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let config = fs::read_to_string(a.top.join("config.toml")).unwrap();
    a.run(&["key", "seal", "b@b.example"]).done();
    // No carrier takes it; then one does, in mails of a size.
    fs::write(a.top.join("config.toml"), "[mail]\ntransport = \"sendmail:/bin/false\"\n").unwrap();
    a.write("f", "two\n");
    a.run(&["broadcast"]).with(2);
    let limit = 100_000;
    let sized = config.replace("[mail]\n", &format!("[mail]\nsize_max_bytes = {limit}\n"));
    fs::write(a.top.join("config.toml"), sized).unwrap();
    for name in ["x", "y", "z"] {
        a.write(name, support::archive::noise(7, 60_000));
    }
    a.run(&["broadcast"]).done();
    assert!(b.mails().len() >= 3, "{:?}", b.mails());
    for mail in b.mails() {
        let bytes = fs::read(&mail).unwrap();
        assert!(bytes.len() <= limit, "{}", bytes.len());
        assert!(!String::from_utf8_lossy(&bytes).contains("X-Remsync-Title"));
    }
    assert_eq!(b.receive(), 0);
    assert_eq!(a.files(), b.files());
}

#[test]
fn sealed_and_not_vouched_for_is_held_all_the_same() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    a.run(&["key", "seal", "b@b.example"]).done();
    fs::remove_file(a.top.join("id_ed25519")).unwrap();
    a.write("f", "two\n");
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let (outcome, reason) = processed(&b);
    assert_eq!((outcome.as_str(), reason.as_str()), ("held", "it is not signed"));
    assert_eq!(b.text("f"), "one\n");
}

#[test]
fn nothing_goes_out_open_that_should_be_sealed() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    a.write("f", "two\n");
    let ecdsa = ssh_key(&world, "ecdsa", "ecdsa", "");
    let public = format!("{}.pub", ecdsa.display());
    a.run(&["key", "seal", "b@b.example", &public]).with(2);
    a.run(&["key", "seal", "nobody@b.example"]).with(2);
    for lines in ["b@b.example\n", "b@b.example age1x\n", "b@b.example ssh-rsa AAAA\n"] {
        fs::write(a.top.join("seal_keys"), lines).unwrap();
        a.run(&["broadcast"]).with(2);
        assert!(b.mails().is_empty(), "{lines}");
    }
    fs::remove_file(a.top.join("seal_keys")).unwrap();
    a.run(&["key", "seal", "b@b.example"]).done();
    a.run(&["key", "revoke", "b@b.example"]).done();
    a.run(&["broadcast"]).with(2);
    assert!(b.mails().is_empty());
}

#[test]
fn age_and_we_open_each_other_s_seals() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let rsa = ssh_key(&world, "rsa", "rsa", "");
    let locked = ssh_key(&world, "locked", "ed25519", "horse");
    let native = world.path().join("native");
    tool("age-keygen", &["-o", native.to_str().unwrap()]);
    let native_public = world.path().join("native.pub");
    fs::write(&native_public, tool("age-keygen", &["-y", native.to_str().unwrap()])).unwrap();
    let ours = b.top.join("id_ed25519");
    let secret = b.top.join("secret");
    fs::write(&secret, "horse\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    b.set(&format!(
        "[trust]\nopen_keys = [{rsa:?}, {locked:?}, {native:?}]\npassphrase_file = {secret:?}\n"
    ));
    for (name, key) in [("ours", &ours), ("rsa", &rsa), ("locked", &locked), ("native", &native)] {
        let public = PathBuf::from(format!("{}.pub", key.display()));
        // We seal.
        a.run(&["key", "seal", "b@b.example", public.to_str().unwrap()]).done();
        a.write("f", format!("{name}, ours\n"));
        let (sealed, signature) = pack(&a, name, "b@b.example");
        assert!(sealed.to_str().unwrap().ends_with(".tar.gz.age"), "{sealed:?}");
        let signature = signature.unwrap();
        if name != "locked" {
            let opened = world.path().join("opened");
            let arguments = |file: &Path| {
                let (key, file) = (key.display().to_string(), file.display().to_string());
                vec![
                    "-d".to_owned(),
                    "-i".into(),
                    key,
                    "-o".into(),
                    opened.display().to_string(),
                    file,
                ]
            };
            tool("age", &arguments(&sealed));
            let listed = tool("tar", &["-tzf", opened.to_str().unwrap()]);
            assert!(listed.contains(".remsync-work/orders"), "{name}: {listed}");
            let package = fs::read(&opened).unwrap();
            let sig_file = world.path().join("sig.age");
            fs::write(&sig_file, &signature).unwrap();
            tool("age", &arguments(&sig_file));
            let text = fs::read(&opened).unwrap();
            fs::write(&opened, package).unwrap();
            let signers = b.top.join("allowed_signers");
            assert!(ssh_verifies(&signers, "a@a.example", &opened, &text), "{name}");
        }
        b.run(&["process", "--batch", sealed.to_str().unwrap()]).done();
        assert_eq!(b.text("f"), format!("{name}, ours\n"));

        // age seals, binary and as text.
        a.run(&["key", "unseal", "b@b.example"]).done();
        a.write("f", format!("{name}, theirs\n"));
        let (package, signature) = pack(&a, &format!("{name}-open"), "b@b.example");
        let seal = |bytes: &[u8], more: &[&str]| {
            let public = public.to_str().unwrap();
            let output = try_tool("age", &[&["-R", public], more].concat(), bytes);
            assert!(output.status.success(), "{output:?}");
            output.stdout
        };
        let more: &[&str] = if name == "rsa" { &["-a"] } else { &[] };
        let signature = seal(&signature.unwrap(), more);
        let sealed = mail(&seal(&fs::read(&package).unwrap(), more), &[signature]);
        let names =
            String::from_utf8(sealed).unwrap().replace(".tar.gz.sig\"", ".tar.gz.sig.age\"");
        deliver(&b, names.as_bytes());
        assert_eq!(processed(&b).0, "done", "{name}");
        assert_eq!(b.text("f"), format!("{name}, theirs\n"));
    }
}

#[test]
fn what_is_sealed_and_damaged_is_refused() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    a.run(&["key", "seal", "b@b.example"]).done();
    a.write("f", "two\n".repeat(50_000));
    let (file, _) = pack(&a, "package", "b@b.example");
    let sealed = fs::read(&file).unwrap();
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    let long_head = [b"age-encryption.org/v1\n".to_vec(), b"-> x y\n\n".repeat(10_000)].concat();
    let before = b.files();
    for (name, bytes) in [
        ("changed", &changed[..]),
        ("cut short", &sealed[..sealed.len() - 20]),
        ("no contents", &sealed[..200]),
        ("a long beginning", &long_head),
        ("no package", &seal_of(&world, b"just text", &b)),
    ] {
        deliver(&b, &mail(bytes, &[]));
        let (outcome, reason) = processed(&b);
        assert_eq!(outcome, "refused", "{name}: {reason}");
        assert_eq!(b.files(), before);
        drop_all(&b);
    }
}

/// What age makes of some bytes for the key of a home.
fn seal_of(world: &World, bytes: &[u8], home: &Home) -> Vec<u8> {
    let plain = world.path().join("plain");
    fs::write(&plain, bytes).unwrap();
    let public = home.top.join("id_ed25519.pub");
    let output = try_tool("age", &["-R", public.to_str().unwrap(), plain.to_str().unwrap()], b"");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn names_that_others_obey_are_asked_about_though_they_are_signed() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    a.write(".profile", "evil\n");
    a.write("dir/.ssh/authorized_keys", "evil\n");
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let ran: Ran = b.run(&["process", "--batch"]);
    assert_eq!(ran.status(), 1, "{}", ran.story());
    assert_eq!(b.read(".profile"), None);
    assert_eq!(b.read("dir/.ssh/authorized_keys"), None);
}
