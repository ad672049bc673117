//! What the tests about trust share: keys and signatures as people make them, and mails made by hand.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::{Home, World};

/// Runs a program of the system, which has to end well.
pub fn tool<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> String {
    let output = try_tool(program, arguments, b"");
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn try_tool<S: AsRef<OsStr>>(program: &str, arguments: &[S], input: &[u8]) -> Output {
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
pub fn ssh_key(world: &World, name: &str, kind: &str, passphrase: &str) -> PathBuf {
    let path = world.path().join(name);
    let shown = path.to_str().unwrap();
    tool("ssh-keygen", &["-q", "-t", kind, "-N", passphrase, "-C", name, "-f", shown]);
    path
}

/// Signs a file as people do; returns the signature.
pub fn ssh_sign(key: &Path, namespace: &str, file: &Path) -> Vec<u8> {
    let signature = PathBuf::from(format!("{}.sig", file.display()));
    let _ = fs::remove_file(&signature);
    let (key, shown) = (key.to_str().unwrap(), file.to_str().unwrap());
    tool("ssh-keygen", &["-q", "-Y", "sign", "-f", key, "-n", namespace, shown]);
    let text = fs::read(&signature).unwrap();
    fs::remove_file(signature).unwrap();
    text
}

/// Broadcasts into a folder of its own; returns the one package and its signature.
pub fn pack(home: &Home, name: &str, to: &str) -> (PathBuf, Option<Vec<u8>>) {
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
pub fn trusting_pair(world: &World) -> (Home, Home) {
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
pub fn mail(package: &[u8], signatures: &[Vec<u8>]) -> Vec<u8> {
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

pub fn base64(bytes: &[u8]) -> String {
    let text = try_tool("base64", &["-w76"], bytes).stdout;
    String::from_utf8(text).unwrap()
}

/// Gives a mail to the filter of a home.
pub fn deliver(home: &Home, mail: &[u8]) {
    let file = home.top.join("mail");
    fs::write(&file, mail).unwrap();
    home.deliver(&file).done();
}

/// The same files in other bytes: what a gateway, or an attacker, makes of a package.
pub fn packed_anew(package: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    GzDecoder::new(package).read_to_end(&mut tar).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar).unwrap();
    gzip.finish().unwrap()
}

/// Processes in batch; returns outcome and reason of the one entry.
pub fn processed(home: &Home) -> (String, String) {
    let (document, _) = home.json(&["process", "--batch"]);
    let entries = document["entries"].as_array().unwrap();
    assert!(entries.len() <= 1, "{document}");
    let text = |key: &str| entries.first().map_or("", |e| e[key].as_str().unwrap()).to_owned();
    (text("outcome"), text("reason"))
}

pub fn drop_all(home: &Home) {
    let (entries, _) = home.json(&["queue"]);
    for entry in entries.as_array().unwrap() {
        home.run(&["queue", "drop", entry["id"].as_str().unwrap()]).done();
    }
}

/// Our signature of a package, as `ssh-keygen` alone sees it.
pub fn ssh_verifies(signers: &Path, identity: &str, package: &Path, signature: &[u8]) -> bool {
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
        "remsync",
        "-s",
        file.to_str().unwrap(),
    ];
    try_tool("ssh-keygen", &arguments, &fs::read(package).unwrap()).status.success()
}

/// Reads until `word` was printed, and returns all that was.
pub fn read_until(from: &mut impl Read, word: &str) -> String {
    let mut told = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&told).contains(word) {
        assert_eq!(from.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&told));
        told.extend(byte);
    }
    String::from_utf8_lossy(&told).into_owned()
}

/// Types a command at a terminal, and an answer when it ends what it says with a question; returns
/// all that stood there, and the exit status.
pub fn at_terminal(home: &Home, words: &[&str], question: &str, answer: &str) -> (String, i32) {
    let typed: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let mut child = home
        .command("script")
        .args(["-qec", &format!("{} {}", super::REMSYNC, typed.join(" ")), "/dev/null"])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut told = read_until(&mut output, question);
    input.write_all(answer.as_bytes()).unwrap();
    output.read_to_string(&mut told).unwrap();
    (told, child.wait().unwrap().code().unwrap())
}
