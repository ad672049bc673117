//! Whom a site believes: keys, signatures, and what is done with what nobody vouches for.
//!
//! The programs are the real ones, and so are ssh-keygen and ssh-agent on the other side.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use support::smtp::{Act, At, Plan, Server, base64 as smtp_base64};
use support::trust::{
    at_terminal, deliver, drop_all, mail, pack, processed, read_until, ssh_key, ssh_sign,
    ssh_verifies, tool, trusting_pair, try_tool,
};
use support::{Home, World, files_with};

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
fn one_project_may_be_content_with_less_than_the_others() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let other = b.top.join("other");
    fs::create_dir(&other).unwrap();
    let other = other.to_str().unwrap();
    let words = ["--title", "Other", "--here", "b@b.example", "--remote", "a@a.example -"];
    b.run(&[&["-C", other, "init"], &words[..]].concat()).done();
    let tree = std::os::unix::fs::symlink(&b.tree, b.top.join("link"));
    tree.unwrap();
    fs::remove_file(a.top.join("id_ed25519")).unwrap();
    // Set for another folder it says nothing of this one; by whatever name it is set for this one.
    for (dir, outcome) in [("~/other", "held"), ("~/link", "done")] {
        let text = format!(
            "[mail]\ntransport = \"sendmail\"\n[[project]]\ndir = \"{dir}\"\nunsigned = \"accept\"\n"
        );
        fs::write(b.top.join("config.toml"), text).unwrap();
        a.write("f", outcome);
        a.run(&["broadcast"]).done();
        b.deliver_all();
        assert_eq!(processed(&b).0, outcome, "{dir}");
        drop_all(&b);
    }
    assert_eq!(b.text("f"), "done");
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
        let theirs = ssh_sign(&key, "remsync", &package);
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
    // A list that is named and gone might have named it as well.
    fs::remove_file(&krl).unwrap();
    let stopped = b.run(&["process", "--batch"]);
    assert!(stopped.stderr().contains("no such list of revoked keys"), "{}", stopped.story());
    stopped.with(2);
    assert_eq!(b.text("f"), "one\n");
    fs::write(&krl, b"").unwrap();
    assert_eq!(processed(&b).0, "done");
}

/// A home with a key, and the first package of another that it has never heard of.
fn first_package(world: &World, name: &str) -> (Home, Home, String) {
    let (a, b) = (world.home_with_key(&format!("{name}-a")), world.home_with_key(name));
    a.write("f", "one\n");
    a.init(&[&b]).done();
    a.run(&["broadcast"]).done();
    b.deliver_all();
    let id = b.first_entry();
    (a, b, id)
}

#[test]
fn a_first_package_brings_its_key() {
    let world = World::new();
    let (a, b, id) = first_package(&world, "b");
    let shown = a.run(&["key", "show", "--words"]).done();
    let words = shown.lines().last().unwrap().trim();
    assert_eq!(words.split(' ').count(), 8);
    let (document, _) = b.json(&["queue", "show", &id]);
    assert_eq!(document["signers"][0]["words"], words, "both see the same");
    assert!(b.run(&["queue", "show", &id]).done().contains(words));
    let signers = b.top.join("allowed_signers");
    for (address, what, reason) in [
        ("c@c.example", id.as_str(), "not from c@c.example"),
        (&a.address, "0000", "no such entry"),
        (&a.address, "nothing", "FILE holds a public key"),
    ] {
        let ran = b.run(&["key", "trust", address, what]);
        assert!(ran.stderr().contains(reason), "{}", ran.story());
        ran.with(2);
        assert!(!signers.exists());
    }
    // A person who sees other words says no.
    let (told, status) = at_terminal(&b, &["key", "trust", &a.address, &id], "[y/N] ", "n\n");
    assert!(told.contains(words) && status == 2 && !signers.exists(), "{told}");
    let (told, status) = at_terminal(&b, &["key", "trust", &a.address, &id], "[y/N] ", "y\n");
    assert!(told.contains(words) && status == 0, "{told}");
    assert!(b.run(&["accept", &id, "."]).stderr().contains("signed with the trusted key"));
    assert_eq!(b.text("f"), "one\n");

    // The way back: what comes is held, and says how.
    b.write("f", "two\n");
    b.run(&["broadcast"]).done();
    a.deliver_all();
    let held = a.run(&["process", "--batch"]);
    let id = held.stderr().split("remsync: ").nth(1).unwrap()[..12].to_owned();
    let hint = format!("\"remsync key trust {} {id}\" trusts it", b.address);
    assert!(held.stderr().contains(&hint), "{}", held.story());
    a.run(&["key", "trust", &b.address, &id]).done();
    assert_eq!(processed(&a).0, "done");
    assert_eq!(a.text("f"), "two\n");
}

#[test]
fn accept_offers_to_trust_the_key_of_a_first_package() {
    for (answer, outcome) in [("n\n", "held"), ("y\n", "done")] {
        let world = World::new();
        let (a, b, id) = first_package(&world, "b");
        let (told, status) = at_terminal(&b, &["accept", &id, "."], "[y/N] ", answer);
        assert_eq!((status, b.text("f").as_str()), (0, "one\n"), "{told}");
        assert_eq!(told.contains("waits for its signature"), outcome == "held", "{told}");
        a.write("f", "two\n");
        a.run(&["broadcast"]).done();
        b.deliver_all();
        assert_eq!(processed(&b).0, outcome, "{told}");
    }
}

#[test]
fn a_key_is_taken_only_from_a_package_that_it_signed() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let signers = b.top.join("allowed_signers");
    a.write("f", "two\n");
    let (file, ours) = pack(&a, "package", "b@b.example");
    let (package, ours) = (fs::read(&file).unwrap(), ours.unwrap());
    let key = |name: &str| ssh_key(&world, name, "ed25519", "");
    let [one, two, revoked] = ["one", "two", "revoked"].map(key);
    fs::copy(world.path().join("revoked.pub"), b.top.join("revoked_keys")).unwrap();
    let by = |key: &Path| ssh_sign(key, "remsync", &file);
    let other = world.path().join("other");
    fs::write(&other, b"other bytes").unwrap();
    let before = fs::read(&signers).unwrap();
    for (name, signatures, reason) in [
        ("unsigned", vec![], "no key signed it"),
        ("noise", vec![b"noise".to_vec()], "no key signed it"),
        ("of other bytes", vec![ssh_sign(&one, "remsync", &other)], "no key signed it"),
        ("for git", vec![ssh_sign(&one, "git", &file)], "no key signed it"),
        ("two keys", vec![by(&one), by(&two)], "several keys"),
        ("revoked", vec![by(&revoked)], "was revoked"),
    ] {
        deliver(&b, &mail(&package, &signatures));
        let id = waiting_entry(&b);
        let ran = b.run(&["key", "trust", "a@a.example", &id]);
        assert!(ran.stderr().contains(reason), "{name}: {}", ran.story());
        ran.with(2);
        b.run(&["queue", "drop", &id]).done();
        assert_eq!(fs::read(&signers).unwrap(), before, "{name}");
    }
    // One that is sealed is opened for it.
    let public = fs::read_to_string(b.top.join("id_ed25519.pub")).unwrap();
    let seal = |bytes: &[u8]| try_tool("age", &["-r", public.trim()], bytes).stdout;
    fs::write(&signers, "").unwrap();
    let sealed = mail(&seal(&package), &[seal(&ours)]);
    let text = String::from_utf8(sealed).unwrap().replace(".tar.gz.sig\"", ".tar.gz.sig.age\"");
    deliver(&b, text.as_bytes());
    b.run(&["key", "trust", "a@a.example", &waiting_entry(&b)]).done();
    assert_eq!(processed(&b).0, "done");
    assert_eq!(b.text("f"), "two\n");
}

fn waiting_entry(home: &Home) -> String {
    let (entries, _) = home.json(&["queue"]);
    let mut new = entries.as_array().unwrap().iter().filter(|entry| entry["state"] == "new");
    new.next().unwrap()["id"].as_str().unwrap().to_owned()
}

/// A FIDO key in software, behind the socket of an agent: OpenSSH, PROTOCOL.u2f and PROTOCOL.agent.
struct Token {
    blob: Vec<u8>,
    kind: &'static str,
    pair: ssh_key::private::KeypairData,
}

impl Token {
    fn new(kind: &'static str) -> Token {
        use ssh_key::private::{EcdsaKeypair, Ed25519Keypair, KeypairData};
        use ssh_key::rand_core::OsRng;
        let (pair, halves) = match kind {
            "sk-ssh-ed25519@openssh.com" => {
                let pair = Ed25519Keypair::random(&mut OsRng);
                let half = string(pair.public.as_ref());
                (KeypairData::Ed25519(pair), half)
            }
            _ => {
                let pair = EcdsaKeypair::random(&mut OsRng, ssh_key::EcdsaCurve::NistP256).unwrap();
                let half = [string(b"nistp256"), string(pair.public_key_bytes())].concat();
                (KeypairData::Ecdsa(pair), half)
            }
        };
        let blob = [string(kind.as_bytes()), halves, string(b"ssh:")].concat();
        Token { blob, kind, pair }
    }

    fn public_line(&self) -> String {
        format!("{} {}", self.kind, support::trust::base64(&self.blob).replace('\n', ""))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        use rsa::signature::Signer;
        use sha2::{Digest, Sha256};
        // Touched, for the ninth time.
        let end = [1, 0, 0, 0, 9];
        let signed = [&Sha256::digest(b"ssh:")[..], &end, &Sha256::digest(message)].concat();
        let signature: ssh_key::Signature = self.pair.try_sign(&signed).unwrap();
        [string(self.kind.as_bytes()), string(signature.as_bytes()), end.to_vec()].concat()
    }

    /// Answers at a socket until the test is over.
    fn serve(self, socket: &Path) {
        let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut length = [0; 4];
                while stream.read_exact(&mut length).is_ok() {
                    let mut request = vec![0; u32::from_be_bytes(length) as usize];
                    stream.read_exact(&mut request).unwrap();
                    let answer = match request[0] {
                        11 => [&[12, 0, 0, 0, 1][..], &string(&self.blob), &string(b"")].concat(),
                        13 => {
                            let rest = &request[5 + self.blob.len()..];
                            let length = u32::from_be_bytes(rest[..4].try_into().unwrap());
                            let message = &rest[4..4 + length as usize];
                            [&[14][..], &string(&self.sign(message))].concat()
                        }
                        _ => vec![5],
                    };
                    stream.write_all(&string(&answer)).unwrap();
                }
            }
        });
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

#[test]
fn a_key_in_hardware_signs_and_is_believed_by_both() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let config = fs::read_to_string(a.top.join("config.toml")).unwrap();
    for (n, kind) in
        ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"].into_iter().enumerate()
    {
        let token = Token::new(kind);
        let public = world.path().join(format!("{n}.pub"));
        fs::write(&public, token.public_line() + " touch me\n").unwrap();
        let public = public.to_str().unwrap();
        let settings = format!("{config}[trust]\nsign_key = \"{public}\"\n");
        fs::write(a.top.join("config.toml"), settings).unwrap();
        let socket = world.path().join(format!("{n}.socket"));
        token.serve(&socket);
        a.write("f", kind);
        let folder = a.top.join(kind);
        let mut command = a.command(support::REMSYNC);
        command.args(["broadcast", "b@b.example", "--to"]).arg(&folder);
        let output = command.env("SSH_AUTH_SOCK", &socket).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut files: Vec<PathBuf> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let (package, signature) = (&files[0], fs::read(&files[1]).unwrap());

        let mail = |signature: &[u8]| mail(&fs::read(package).unwrap(), &[signature.to_vec()]);
        deliver(&b, &mail(&signature));
        assert!(processed(&b).1.contains("not trusted"), "{kind}");
        b.run(&["key", "trust", "a@a.example", public]).done();
        let signers = b.top.join("allowed_signers");
        assert!(ssh_verifies(&signers, "a@a.example", package, &signature), "{kind}");
        // One bit of the counter, which is signed too: the last byte of what is in base64.
        let text = String::from_utf8(signature.clone()).unwrap();
        let inside: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let mut blob = try_tool("base64", &["-d"], inside.as_bytes()).stdout;
        *blob.last_mut().unwrap() ^= 1;
        let forged = format!(
            "-----BEGIN SSH SIGNATURE-----\n{}-----END SSH SIGNATURE-----\n",
            support::trust::base64(&blob)
        );
        assert!(!ssh_verifies(&signers, "a@a.example", package, forged.as_bytes()), "{kind}");
        drop_all(&b);
        deliver(&b, &mail(forged.as_bytes()));
        assert!(processed(&b).1.starts_with("bad signature"), "{kind}");
        deliver(&b, &mail(&signature));
        assert_eq!(processed(&b).0, "done", "{kind}");
        assert_eq!(b.text("f"), kind);
    }
}

/// Password and passphrase, with everything told that can be: in no output, no log, no file but
/// their own.
#[test]
fn secrets_are_told_nowhere() {
    const PASSWORD: &str = "hunter2-s3cret";
    const PASSPHRASE: &str = "correct-horse";
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let key = ssh_key(&world, "locked", "ed25519", PASSPHRASE);
    b.run(&["key", "trust", "a@a.example", &format!("{}.pub", key.display())]).done();
    a.run(&["key", "seal", "b@b.example"]).done();
    let private = |path: PathBuf, text: &str| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let password = private(world.path().join("password"), PASSWORD);
    let passphrase = private(world.path().join("passphrase"), PASSPHRASE);
    let refuses = (At::Auth, 0, Act::Say("535 5.7.8 no\r\n"));
    for (n, (acts, status)) in [(vec![], 0), (vec![refuses], 2)].into_iter().enumerate() {
        let plan = Plan { login: Some(("ana", PASSWORD)), acts, ..Plan::default() };
        let server = Server::start(plan);
        let place = format!("smtp://127.0.0.1:{}?tls=none", server.port);
        let trust = format!(
            "[trust]\nsign_key = {key:?}\nopen_keys = [{key:?}]\npassphrase_file = {passphrase:?}\n"
        );
        let file = format!("user = \"ana\"\npassword_file = {password:?}\n");
        let command = format!("user = \"ana\"\npassword_command = [\"cat\", {password:?}]\n");
        for (at, (more, variable)) in
            [(&file[..], false), (&command, false), ("user = \"ana\"\n", true)].iter().enumerate()
        {
            let text = format!("[mail]\ntransport = \"{place}\"\n{more}{trust}");
            private(a.top.join("config.toml"), &text);
            a.write("f", format!("{n} {at}\n"));
            for words in [
                &["broadcast", "-vv"][..],
                &["process", "--batch", "-vv"],
                &["find-mailer", "-vv"],
                &["status", "-vv", "--json"],
                &["key", "list"],
                &["queue"],
                &["log", "-v"],
            ] {
                let mut command = a.command(support::REMSYNC);
                command.args(words).env("RUST_LOG", "trace").env("PATH", "/usr/bin:/bin");
                if *variable {
                    command.env("REMSYNC_SMTP_PASSWORD", PASSWORD);
                }
                let output = command.output().unwrap();
                let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
                if words[0] == "broadcast" {
                    assert_eq!(output.status.code(), Some(status), "{told}");
                }
                for secret in [PASSWORD, &smtp_base64(PASSWORD), PASSPHRASE] {
                    assert!(!told.contains(secret), "{words:?}: {told}");
                }
            }
        }
        assert!(server.count("AUTH") >= 3, "no password was used");
        assert!(n == 1 || server.story().mails.len() >= 3);
    }
    assert_eq!(files_with(world.path(), PASSWORD), [password]);
    assert_eq!(files_with(world.path(), &smtp_base64(PASSWORD)), [""; 0].map(PathBuf::from));
    assert_eq!(files_with(world.path(), PASSPHRASE), [passphrase]);
}
