//! Sites without remsync, with real SSH servers on loopback: `check`, `display` and `synchro`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::sshd::{Hosts, Rules};
use support::terminal::Terminal;
use support::{Home, SmallDisk, World, program, tree_value};

/// A project with hosts as sites.
struct Net {
    home: Home,
    hosts: Hosts,
    world: World,
}

impl Net {
    fn new(rules: &[(u8, Rules)]) -> Net {
        let world = World::new();
        let home = world.home("a");
        let mut hosts = Hosts::new(world.path());
        hosts.settle(&home.top.join("config.toml"));
        home.init(&[]).done();
        let net = {
            for (number, rules) in rules {
                hosts.start(&format!("127.0.0.{number}"), rules);
            }
            Net { home, hosts, world }
        };
        for (number, _) in rules {
            fs::create_dir_all(net.there(*number)).unwrap();
            let dir = net.there(*number);
            let (url, dir) = (url(*number), dir.to_str().unwrap());
            net.home.run(&["create", "remote", &url, dir]).done();
        }
        net
    }

    fn plain(numbers: &[u8]) -> Net {
        Net::new(&numbers.iter().map(|n| (*n, Rules::default())).collect::<Vec<_>>())
    }

    /// A host's own folder.
    fn there(&self, number: u8) -> PathBuf {
        self.world.path().join(format!("there/{number}"))
    }

    fn write_there(&self, number: u8, name: &str, text: &str) {
        let file = self.there(number).join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn read_there(&self, number: u8, name: &str) -> Option<String> {
        fs::read_to_string(self.there(number).join(name)).ok()
    }

    fn synchronise(&self) -> (Value, i32) {
        let _ = self.home.run(&["check", "--force"]);
        self.home.json(&["synchro"])
    }

    /// What the plan says, by path and host.
    fn plan(&self) -> BTreeMap<String, String> {
        let (document, _) = self.home.json(&["check", "--force"]);
        let operations = document["operations"].as_array().unwrap();
        let line = |o: &Value| {
            let host = o["site"].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
            let tick = if o["ticked"] == true { "" } else { " waits" };
            let path = o["path"].as_str().unwrap();
            (format!("{path}@{host}"), format!("{}{tick}", o["action"].as_str().unwrap()))
        };
        operations.iter().map(line).collect()
    }

    fn expect_equal(&self, number: u8) {
        let seconds = |path: &Path| {
            let mut files = tree_value(path);
            files.values_mut().for_each(|f| f.mtime_ns = f.mtime_ns.div_euclid(1_000_000_000));
            files
        };
        assert_eq!(seconds(&self.there(number)), seconds(&self.home.tree), "host {number}");
    }
}

fn url(number: u8) -> String {
    format!("ssh://127.0.0.{number}")
}

fn plan_of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn hosts_are_remotes_that_no_package_names() {
    let net = Net::plain(&[1]);
    let listed = net.home.run(&["list", "remote"]).done();
    assert!(listed.contains("remote  [1] ssh://127.0.0.1 "), "{listed}");
    let text = net.home.text(".remsync");
    assert!(text.contains("\nremote\tssh://127.0.0.1 "), "{text}");
    net.home.run(&["create", "remote", "b@b.example", "~/b"]).done();
    net.home.write("a", "one");
    net.home.run(&["broadcast"]).done();
    let (document, _) = net.home.json(&["list"]);
    assert_eq!(document["hosts"][0]["address"], "ssh://127.0.0.1");
    for wrong in ["ssh://127.0.0.1", "ssh://-x /d", "ssh://u:p@h /d", "ssh://h:0 /d"] {
        let words: Vec<&str> = wrong.split(' ').collect();
        net.home.run(&[&["create", "remote"], &words[..]].concat()).with(2);
    }
    net.home.run(&["delete", "remote", "2"]).done();
    assert!(!net.home.text(".remsync").contains("ssh://"));
    let old = net.world.home("old");
    let words =
        ["init", "--title", "T", "--here", "o@o", "--format", "1.3", "--remote", "ssh://h /d"];
    let ran = old.run(&words);
    assert!(ran.stderr().contains("format 1.3 cannot name it"), "{}", ran.story());
    ran.with(2);
}

#[test]
fn a_check_is_used_again_until_it_is_old() {
    let mut net = Net::plain(&[1, 2]);
    net.home.write("a", "one");
    net.write_there(1, "b", "two");
    let (first, status) = net.home.json(&["check"]);
    assert_eq!((status, &first["reused"]), (0, &json!(false)), "{first:#}");
    assert_eq!(first["summary"]["differ"], 2, "{first:#}");
    let (again, _) = net.home.json(&["check"]);
    assert_eq!((&again["reused"], &again["checked"]), (&json!(true), &first["checked"]));
    let (forced, _) = net.home.json(&["check", "--force"]);
    assert_eq!(forced["reused"], false);
    let (old, _) = net.home.json(&["check", "--max-age", "0"]);
    assert_eq!(old["reused"], false);
    net.home.run(&["check", "--max-age", "soon"]).with(2);
    // An hour later, by the file's own word.
    let file = net.home.tree.join(".remsync.d/check.json");
    for (back_ms, is_reused) in [(3_590_000, true), (3_610_000, false), (-60_000, false)] {
        let mut document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let checked = i64::try_from(now.as_millis()).unwrap() - back_ms;
        document["checked"] = checked.into();
        fs::write(&file, document.to_string()).unwrap();
        let plan = net.home.tree.join(".remsync.d/synchro.json");
        let mut document: Value = serde_json::from_slice(&fs::read(&plan).unwrap()).unwrap();
        document["checked"] = checked.into();
        fs::write(&plan, document.to_string()).unwrap();
        assert_eq!(net.home.json(&["check"]).0["reused"], is_reused, "{back_ms}");
    }
    // One that is down stops nobody; what was seen of it before stays, with its age.
    net.hosts.kill_last();
    net.write_there(1, "c", "three");
    let (down, status) = net.home.json(&["check", "--force"]);
    assert_eq!(status, 2);
    assert_eq!(down["sites"][0]["error"], Value::Null, "{down:#}");
    assert!(down["sites"][1]["error"].as_str().unwrap().contains("refused"), "{down:#}");
    assert!(down["sites"][1]["news"].as_u64().unwrap() < down["checked"].as_u64().unwrap());
    let paths: Vec<&str> =
        down["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["a", "b", "c"]);
    let ran = net.home.run(&["check"]);
    assert!(ran.stderr().contains("127.0.0.2: not reached"), "{}", ran.story());
    // A new site is not in the old check.
    net.home.run(&["create", "remote", "b@b.example"]).done();
    assert_eq!(net.home.json(&["check"]).0["reused"], false);
}

#[test]
fn both_sides_are_brought_together_by_what_they_agreed_on() {
    let net = Net::plain(&[1, 2]);
    for name in ["same", "mine", "theirs", "both", "gone-here", "gone-there", "d/deep"] {
        net.home.write(name, format!("{name}, the first"));
    }
    net.home.write("program", "#!/bin/sh\n");
    fs::set_permissions(net.home.tree.join("program"), fs::Permissions::from_mode(0o755)).unwrap();
    let (first, status) = net.synchronise();
    assert_eq!((status, &first["summary"]["done"]), (0, &json!(16)), "{first:#}");
    net.expect_equal(1);
    net.expect_equal(2);
    assert_eq!(net.plan(), BTreeMap::new());

    net.home.write("mine", "mine, the second");
    net.write_there(1, "theirs", "theirs, the second");
    net.home.write("both", "both, ours");
    net.write_there(1, "both", "both, theirs");
    net.home.remove("gone-here");
    fs::remove_file(net.there(1).join("gone-there")).unwrap();
    net.write_there(1, "new-there", "new");
    net.home.write("new-here", "new");
    fs::set_permissions(net.home.tree.join("program"), fs::Permissions::from_mode(0o644)).unwrap();
    let both = [
        ("both@1", "conflict waits"),
        ("both@2", "upload"),
        ("gone-here@1", "delete-there waits"),
        ("gone-here@2", "delete-there waits"),
        ("gone-there@1", "delete-here waits"),
        ("mine@1", "upload"),
        ("mine@2", "upload"),
        ("new-here@1", "upload"),
        ("new-here@2", "upload"),
        ("new-there@1", "download"),
        ("program@1", "upload"),
        ("program@2", "upload"),
        ("theirs@1", "download"),
    ];
    assert_eq!(net.plan(), plan_of(&both));
    let ran = net.home.run(&["synchro"]);
    assert!(ran.stderr().contains("both: held: changed here and there"), "{}", ran.story());
    let said = ran.with(1);
    assert!(said.contains("7 uploaded, 2 downloaded, 4 wait for you"), "{said}");
    assert_eq!(net.home.text("theirs"), "theirs, the second");
    assert_eq!(net.read_there(1, "mine").as_deref(), Some("mine, the second"));
    assert_eq!(net.read_there(1, "both").as_deref(), Some("both, theirs"));
    assert!(net.home.read("gone-there").is_some() && net.read_there(1, "gone-here").is_some());
    // What was checked anew knows of the second host what came from the first.
    let (after, _) = net.home.json(&["check"]);
    assert_eq!(after["reused"], true);
    let actions = after["operations"].as_array().unwrap();
    assert!(actions.iter().any(|o| o["path"] == "theirs" && o["action"] == "upload"), "{after:#}");

    // A person's word: deletions by name, conflicts by keep or take.
    net.home.run(&["synchro", "gone-*"]).done();
    assert!(net.home.read("gone-there").is_none() && net.read_there(1, "gone-here").is_none());
    // At the second host it is gone only now.
    net.home.run(&["synchro", "gone-there"]).done();
    net.home.run(&["synchro", "both"]).with(1);
    net.home.run(&["synchro", "both", "take"]).done();
    assert_eq!(net.home.text("both"), "both, theirs");
    assert_eq!(net.synchronise().1, 0);
    assert_eq!(net.plan(), BTreeMap::new());
    net.expect_equal(1);
    net.expect_equal(2);

    // What was replaced is kept, here and there, and a run can be undone.
    let kept = |top: &Path| {
        let ran = Command::new("grep").args(["-rl", "the first"]).arg(top).output();
        String::from_utf8(ran.unwrap().stdout).unwrap().lines().count()
    };
    assert!(kept(&net.there(1).join(".remsync.d/kept")) >= 2, "mine, gone-here");
    assert!(kept(&net.home.tree.join(".remsync.d/kept")) >= 2, "theirs, gone-there");
    let log = net.home.run(&["log"]).done();
    assert!(log.contains("synchro") && log.contains("theirs"), "{log}");
    net.home.run(&["restore", "theirs", "1"]).done();
    assert_eq!(net.home.text("theirs"), "theirs, the first");
}

#[test]
fn what_changed_since_the_check_is_held() {
    let net = Net::plain(&[1]);
    for name in ["up", "down", "up-here", "down-here", "away"] {
        net.home.write(name, "first");
    }
    net.synchronise();
    net.home.write("up", "second");
    net.home.write("up-here", "second");
    net.write_there(1, "down", "second");
    net.write_there(1, "down-here", "second");
    net.home.remove("away");
    net.home.write("new", "ours");
    net.home.run(&["check", "--force"]).with(1);
    // After the check, before the synchro: everything again.
    net.write_there(1, "up", "third");
    net.home.write("up-here", "third");
    net.write_there(1, "down", "third");
    net.home.write("down-here", "third");
    net.write_there(1, "away", "third");
    net.write_there(1, "new", "theirs");
    let ran = net.home.run(&["synchro", "*"]);
    for name in ["up", "up-here", "down", "down-here", "away", "new"] {
        assert!(ran.stderr().contains(&format!("{name}: held: it changed")), "{}", ran.story());
    }
    ran.with(1);
    for name in ["up", "down", "away"] {
        assert_eq!(net.read_there(1, name).as_deref(), Some("third"), "{name}");
    }
    assert_eq!(net.read_there(1, "new").as_deref(), Some("theirs"));
    assert_eq!(net.home.text("up-here"), "third");
    assert_eq!(net.home.text("down-here"), "third");
    let left = Command::new("find").arg(net.there(1)).args(["-name", "*.tmp"]).output();
    assert_eq!(String::from_utf8_lossy(&left.unwrap().stdout), "", "temporary files");
}

/// A program of the host's own changes a file right after it was looked at for the last time: what
/// somebody puts there in that moment is not lost.
#[test]
fn what_changes_on_a_host_in_the_last_moment_stays() {
    let world = World::new();
    let bin = world.path().join("bin");
    let script = "#!/bin/sh\n/usr/bin/sha256sum \"$@\"\ncd \"$(dirname \"$0\")\" || exit\n\
                  [ -e armed ] || exit 0\ntarget=$(cat armed)\nrm armed\nprintf edited >new\n\
                  mv new \"$target\"\n";
    program(&bin, "sha256sum", script);
    let lines = format!("SetEnv PATH={}:/usr/bin:/bin", bin.display());
    let net = Net::new(&[(1, Rules { lines, ..Rules::default() })]);
    net.home.write("f", "first");
    net.home.write("other", "first");
    assert_eq!(net.synchronise().1, 0);
    net.home.write("f", "second");
    net.home.write("other", "second");
    net.home.run(&["check", "--force"]).done();
    fs::write(bin.join("armed"), net.there(1).join("f").to_str().unwrap()).unwrap();
    let ran = net.home.run(&["synchro"]);
    assert!(!bin.join("armed").exists(), "{}", ran.story());
    assert!(ran.stderr().contains("f: held: it changed there"), "{}", ran.story());
    ran.with(1);
    assert_eq!(net.read_there(1, "f").as_deref(), Some("edited"));
    assert_eq!(net.read_there(1, "other").as_deref(), Some("second"));
    let left = Command::new("find").arg(net.there(1)).args(["-name", "in-*"]).output();
    assert_eq!(String::from_utf8_lossy(&left.unwrap().stdout), "", "nothing lies about");
    assert_eq!(net.plan(), plan_of(&[("f@1", "conflict waits")]));
}

#[test]
fn what_is_kept_on_a_host_is_pruned_as_here() {
    let net = Net::plain(&[1]);
    net.home.write("f", "first");
    assert_eq!(net.synchronise().1, 0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let (old, new) = ("in-7-1886999c36a18000-0", format!("in-7-{:x}-0", now.as_nanos()));
    for name in ["2001-01-01/a", "2001-01-01/b", "mine/c", old, &new, "in-mine"] {
        net.write_there(1, &format!(".remsync.d/kept/{name}"), "old");
    }
    net.home.write("f", "second");
    assert_eq!(net.synchronise().1, 0);
    let kept = net.there(1).join(".remsync.d/kept");
    let mut days: Vec<String> = fs::read_dir(&kept)
        .unwrap()
        .map(|day| day.unwrap().file_name().into_string().unwrap())
        .collect();
    days.sort();
    // What a run that was killed has put aside stays as long, and what others put there for ever.
    assert_eq!(days.len(), 4, "{days:?}");
    assert!(days[0].as_str() > "2026", "{days:?}");
    assert_eq!(days[1..], [new.as_str(), "in-mine", "mine"]);
    let today = fs::read_dir(kept.join(&days[0])).unwrap().next().unwrap().unwrap();
    assert_eq!(fs::read_to_string(today.path()).unwrap(), "first");
}

fn temporary_files(there: &Path) -> usize {
    let names = fs::read_dir(there).unwrap().flatten();
    names.filter(|e| e.file_name().to_str().is_some_and(|n| n.ends_with(".tmp"))).count()
}

/// Starts a synchro, and waits until something is on its way to host 1.
fn synchro_on_its_way(net: &Net) -> Child {
    let mut command = net.home.command(support::REMSYNC);
    command.arg("synchro").stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while temporary_files(&net.there(1)) == 0 && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child
}

/// A host that dies, and a synchro that is killed: the others go on, the next one completes it, and
/// nothing lies about afterwards, not even what was for a file that is gone meanwhile.
#[test]
fn a_synchro_that_is_cut_off() {
    let net = Net::plain(&[1, 2]);
    for number in 0..30 {
        net.home.write(format!("f{number}"), vec![number; 3_000_000]);
    }
    net.home.run(&["check"]).done();
    let child = synchro_on_its_way(&net);
    net.hosts.kill_connections_of(0);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the connection ended") && said.contains("127.0.0.1"), "{said}");
    assert!(!said.contains("(ssh://127.0.0.2)"), "{said}");
    assert_eq!(output.status.code(), Some(2), "{said}");
    net.expect_equal(2);
    assert!(temporary_files(&net.there(1)) > 0);
    net.home.run(&["check", "--force"]).done();
    let mut child = synchro_on_its_way(&net);
    child.kill().unwrap();
    child.wait().unwrap();
    net.hosts.kill_connections();
    for number in 0..29 {
        net.home.remove(&format!("f{number}"));
    }
    net.home.write("f29", "short");
    net.synchronise();
    assert_eq!(net.read_there(1, "f29").as_deref(), Some("short"));
    assert_eq!(temporary_files(&net.there(1)), 0);
}

/// How far it is is shown at a terminal alone, and taken away at the end.
#[test]
fn a_line_tells_how_far_it_is_at_a_terminal_only() {
    let net = Net::plain(&[1]);
    let has_bar = |text: &[u8]| memchr::memmem::find(text, b" %  ").is_some();
    net.home.write("up", vec![1; 30_000_000]);
    fs::write(net.there(1).join("down"), vec![2; 30_000_000]).unwrap();
    for name in ["up2", "up3"] {
        net.home.write(name, vec![3; 10_000_000]);
    }
    net.home.run(&["check"]).done();
    let at_terminal = |words: &[&str]| {
        let mut command = net.home.command(support::REMSYNC);
        command.args(words);
        let mut shown = Terminal::start(command);
        let status = shown.wait();
        assert!(status.success(), "{}", shown.seen);
        shown
    };
    let shown = at_terminal(&["synchro", "up", "down"]);
    let text = String::from_utf8_lossy(&shown.all).into_owned();
    assert!(shown.seen.contains(" MB of 60 MB, "), "{}", shown.seen);
    let (line, after) = text.rsplit_once(" %  ").unwrap();
    assert!(line.contains("\r\x1b[K["), "{text:?}");
    let after = after.split_once('\r').unwrap().1;
    assert!(after.starts_with("\x1b[K1 uploaded, 1 downloaded"), "{after:?}");
    assert!(!has_bar(&at_terminal(&["synchro", "up2", "--json"]).all));
    let ran = net.home.run(&["synchro", "up3"]);
    assert!(!has_bar(&ran.output.stderr) && !ran.stderr().contains('\x1b'), "{}", ran.story());
    ran.done();

    let conf = net.home.top.join("conf");
    fs::create_dir_all(conf.join("path_mapper")).unwrap();
    fs::write(conf.join("config.ini"), "").unwrap();
    let hosts = json!([{ "ip_address": "127.0.0.1", "user": "root" }]);
    fs::write(conf.join("connection_info.json"), hosts.to_string()).unwrap();
    let file = conf.join("config.ini");
    let push = |dest: &str, words: &[&str]| {
        let mapping = json!({ "src": net.home.tree.join("up"), "dest": net.there(1).join(dest) });
        fs::write(conf.join("path_mapper/127.0.0.1.json"), mapping.to_string()).unwrap();
        at_terminal(&[&["push", file.to_str().unwrap()], words].concat())
    };
    let shown = push("p1", &[]);
    let text = String::from_utf8_lossy(&shown.all).into_owned();
    assert!(shown.seen.contains(" MB of 30 MB, "), "{}", shown.seen);
    let after = text.rsplit_once(" %  ").unwrap().1.split_once('\r').unwrap().1;
    assert!(after.starts_with("\x1b[Kroot@127.0.0.1  done"), "{after:?}");
    for words in [&["--json"][..], &["-q"], &["-n"]] {
        assert!(!has_bar(&push("p2", words).all), "{words:?}");
        let _ = fs::remove_file(net.there(1).join("p2"));
    }
}

/// A server that answers in its own way: how each line of Perl does it is said beside it.
fn hostile(body: &str) -> String {
    let perl = r#"
        binmode STDIN; binmode STDOUT; $| = 1;
        sub packet { my $p = shift; print pack("N", length $p), $p }
        sub status { packet(pack("CNNN", 101, $_[0], $_[1], 0) . pack("N", 0)) }
        sub take {
            read(STDIN, my $head, 4) == 4 or exit; my $left = unpack("N", $head); my $p = "";
            while ($left > 0) { my $n = read(STDIN, $p, $left, length $p) or exit; $left -= $n }
            return (unpack("CN", $p), $p);
        }
        sub names { my ($id, $n, $name) = @_;
            packet(pack("CNN", 104, $id, $n) . (pack("N/a* N N", $name, 0, 0) x $n)) }
        take(); packet(pack("CN", 2, 3));
    "#;
    format!(
        "{perl}
{body}"
    )
}

/// Hosts that answer nonsense, or more than they were asked, or never end: it is said of each, and the
/// others are looked at.
#[test]
fn hosts_that_answer_what_nobody_asked() {
    let folder = |each: &str| {
        // 17 says where we are, 18 and others what a name is: a folder; 11 opens it.
        hostile(&format!(
            r#"while (my ($kind, $id) = take()) {{
                if ($kind == 16) {{ names($id, 1, "/") }}
                elsif ($kind == 17 || $kind == 7) {{ packet(pack("CNNN", 105, $id, 4, 0040755)) }}
                elsif ($kind == 11) {{ packet(pack("CN", 102, $id) . pack("N/a*", "h")) }}
                elsif ($kind == 12) {{ {each} }}
                else {{ status($id, 0) }}
            }}"#
        ))
    };
    let table = [
        (
            "nonsense",
            r#"print "nonsense
" while 1"#
                .to_owned(),
            "over 1048576 bytes",
        ),
        ("answers nobody asked for", hostile("status(9, 0) while 1"), "nobody asked for"),
        ("names without end", folder(r#"names($id, 10000, ".")"#), "over 2000000 files"),
        ("no names without end", folder(r#"names($id, 0, ".")"#), "another answer than was asked"),
        ("names that are none", folder(r#"names($id, 10000, "../x")"#), "over 2000000 files"),
        ("more names than may be", folder(r#"names($id, 10001, "x")"#), "over 10000 names"),
        ("silence at once", "exit".to_owned(), "the connection ended"),
    ];
    let mut net = Net::plain(&[1]);
    for (number, (_, body, _)) in (2..).zip(&table) {
        let (name, text) = (format!("server-{number}"), format!("#!/usr/bin/perl\n{body}"));
        let script = program(net.world.path(), &name, &text);
        let lines = format!("Subsystem sftp {}", script.display());
        let rules = Rules { without_sftp: true, lines, ..Rules::default() };
        net.hosts.start(&format!("127.0.0.{number}"), &rules);
        net.home.run(&["create", "remote", &url(number), "/x"]).done();
    }
    net.home.write("f", "first");
    let began = std::time::Instant::now();
    let (document, status) = net.home.json(&["check"]);
    assert_eq!(status, 2);
    assert!(began.elapsed().as_secs() < 90, "{:?}", began.elapsed());
    assert_eq!(document["sites"][0]["error"], Value::Null, "{document:#}");
    for (at, (what, _, words)) in (1..).zip(&table) {
        let site = &document["sites"][at];
        let error = site["error"].as_str().or(site["unknown"][0]["why"].as_str());
        assert!(error.is_some_and(|error| error.contains(words)), "{what}: {site:#}");
    }
}

/// The sums that a host tells are its own program's: what that says without end is not kept, and one
/// that says nothing is left when a person wants an end.
#[test]
fn programs_on_hosts_that_say_too_much_or_nothing() {
    let world = World::new();
    let rules = |name: &str, script: &str| {
        let bin = world.path().join(name);
        program(&bin, "sha256sum", &format!("#!/bin/sh\n{script}\n"));
        let lines = format!("SetEnv PATH={}:/usr/bin:/bin", bin.display());
        Rules { lines, ..Rules::default() }
    };
    let net = Net::new(&[
        (1, rules("much", "yes")),
        (2, rules("wrong", "for f; do echo \"$(echo x | sha256sum | cut -c-64)  /other\"; done")),
    ]);
    net.home.write("f", "first");
    net.write_there(1, "f", "first");
    net.write_there(2, "f", "first");
    let (document, status) = net.home.json(&["check"]);
    assert_eq!(status, 2, "{document:#}");
    let error = document["sites"][0]["error"].as_str().unwrap();
    assert!(error.contains("it said over "), "{error}");
    // A sum of another name is none of this one: the file is read.
    assert_eq!(document["sites"][1]["error"], Value::Null, "{document:#}");
    assert_eq!(document["operations"], json!([]));

    // Without sha256sum there is shasum.
    let few = world.path().join("few");
    fs::create_dir(&few).unwrap();
    for name in ["sh", "xargs", "cksum"] {
        std::os::unix::fs::symlink(format!("/usr/bin/{name}"), few.join(name)).unwrap();
    }
    let script = "#!/bin/sh\necho \"$@\" >>\"$0.seen\"\nexec /usr/bin/shasum \"$@\"\n";
    program(&few, "shasum", script);
    let lines = format!("SetEnv PATH={}", few.display());
    let net = Net::new(&[(1, Rules { lines, ..Rules::default() })]);
    net.home.write("f", "first");
    net.write_there(1, "f", "first");
    assert_eq!(net.plan(), BTreeMap::new());
    let seen = fs::read_to_string(few.join("shasum.seen")).unwrap();
    assert!(seen.starts_with("-a 256 /") && seen.ends_with("/f\n"), "{seen}");

    let net = Net::new(&[(1, rules("nothing", "exec sleep 1000"))]);
    net.write_there(1, "f", "first");
    let mut command = net.home.command(support::REMSYNC);
    let child = command.arg("check").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let pid = rustix::process::Pid::from_child(&child);
    let began = std::time::Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("stopped before it was done"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_host_whose_disk_is_full() {
    let net = Net::plain(&[1, 2]);
    net.home.write("a", "one");
    net.home.write("old", vec![1; 3_000_000]);
    let small = net.there(1);
    let Some(disk) = SmallDisk::mount(&small) else { return };
    // What is to be replaced stays as it is.
    net.write_there(1, "kept", "as it was");
    net.home.write("kept", "as it was");
    let before = net.synchronise();
    net.home.write("kept", vec![2; 2_000_000]);
    let (document, status) = net.synchronise();
    let kept = net.read_there(1, "kept");
    let there = names_below(&small);
    drop(disk);
    assert_eq!(before.1, 2, "{:#}", before.0);
    assert_eq!(status, 2, "{document:#}");
    assert!(document.to_string().contains("no room left"), "{document:#}");
    assert_eq!(kept.as_deref(), Some("as it was"));
    assert_eq!(there, ["a", "kept"], "what did not fit is removed: {document:#}");
    net.expect_equal(2);
}

/// The files below a folder.
fn names_below(folder: &Path) -> Vec<String> {
    let found = Command::new("find").arg(folder).args(["-type", "f", "-printf", "%P\\n"]).output();
    let found = String::from_utf8(found.unwrap().stdout).unwrap();
    let mut names: Vec<String> = found.lines().map(str::to_owned).collect();
    names.sort();
    names
}

/// The one that is far away is looked at through the other, and only so.
#[test]
fn a_host_behind_another() {
    let mut net = Net::plain(&[1, 2, 3]);
    net.hosts.write_config("Host 127.0.0.2\nProxyJump 127.0.0.3\n");
    net.home.write("f", "first");
    assert_eq!(net.synchronise().1, 0);
    net.expect_equal(2);
    // Without the one that is jumped over, the other is not reached; the rest goes on.
    net.hosts.kill_last();
    net.home.write("f", "second");
    let (document, status) = net.home.json(&["check", "--force"]);
    assert_eq!(status, 2);
    let error = |at: usize| document["sites"][at]["error"].as_str().map(str::to_owned);
    assert_eq!(error(0), None, "{document:#}");
    assert!(error(1).is_some() && error(2).is_some(), "{document:#}");
    net.home.json(&["synchro"]);
    assert_eq!(net.read_there(1, "f").as_deref(), Some("second"));
    assert_eq!(net.read_there(2, "f").as_deref(), Some("first"));
    // A key of the one in between that nobody knows is no question that waits for ever.
    net.hosts.start("127.0.0.3", &Rules::default());
    net.hosts.know_nobody();
    net.hosts.know("127.0.0.1", "host");
    net.hosts.know("127.0.0.2", "host");
    let began = std::time::Instant::now();
    let (document, status) = net.home.json(&["check", "--force"]);
    assert_eq!(status, 2, "{document:#}");
    assert!(began.elapsed().as_secs() < 60, "{document:#}");
}

/// A line of some 200 KB a second is gone on with to its end.
#[test]
fn a_slow_host() {
    let net = Net::plain(&[1, 2]);
    // What goes there goes in pieces of 20,000 bytes, ten a second.
    let text = format!(
        "#!/usr/bin/env bash\nexec 3<>/dev/tcp/127.0.0.2/{}\ncat <&3 &\n\
         while dd bs=20000 count=1 of=\"$0.$$\" 2>/dev/null && [ -s \"$0.$$\" ]; do\n\
         cat \"$0.$$\" >&3\nsleep 0.1\ndone\n",
        net.hosts.port()
    );
    let script = program(net.world.path(), "slowly", &text);
    let command = format!("Host 127.0.0.2\nProxyCommand {}\n", script.display());
    net.hosts.write_config(&command);
    let noise: Vec<u8> =
        (0..250_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    net.home.write("noise", &noise);
    net.home.write("f", "first");
    let began = std::time::Instant::now();
    let (document, status) = net.synchronise();
    assert_eq!(status, 0, "{document:#}");
    assert!(began.elapsed().as_secs_f32() > 4.0, "it is slow");
    net.expect_equal(1);
    net.expect_equal(2);
    assert_eq!(net.plan(), BTreeMap::new());
}

#[test]
fn hosts_that_take_passwords() {
    if !support::sshd::may_have_accounts() {
        eprintln!("no accounts of its own for a server here: not tried");
        return;
    }
    let lines = "PubkeyAuthentication no".to_owned();
    let rules = Rules { with_password: true, lines, ..Rules::default() };
    let net = Net::new(&[(1, rules.clone()), (2, rules.clone()), (3, rules)]);
    let secret = |name: &str, text: &str, mode: u32| {
        let file = net.home.top.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file.display().to_string()
    };
    let host = |number: u8, line: &str| {
        net.home.set(&format!("[[host]]\nurl = \"{}\"\n{line}\n", url(number)));
    };
    let password = format!("{}\n", support::sshd::PASSWORD);
    host(1, &format!("password_file = \"{}\"", secret("one", &password, 0o600)));
    host(2, &format!("password_command = [\"cat\", \"{}\"]", secret("two", &password, 0o600)));
    host(3, &format!("password_file = \"{}\"", secret("three", &password, 0o644)));
    net.home.write("f", "first");
    let (document, status) = net.home.json(&["check", "--force"]);
    assert_eq!(status, 2);
    let site = |at: usize, key: &str| document["sites"][at][key].as_str().unwrap_or("").to_owned();
    assert_eq!(
        (site(0, "error"), site(1, "error")),
        (String::new(), String::new()),
        "{document:#}"
    );
    assert!(site(2, "error").contains("others may read this file"), "{document:#}");
    assert!(site(2, "hint").contains("[[host]]"), "{document:#}");
    net.home.json(&["synchro"]);
    net.expect_equal(1);
    net.expect_equal(2);
    assert_eq!(net.read_there(3, "f"), None);
    let said = format!("{document}{}", net.home.run(&["status"]).stderr());
    assert!(!said.contains(support::sshd::PASSWORD), "{said}");
    secret("three", "wrong", 0o600);
    let (document, _) = net.home.json(&["check", "--force"]);
    let error = document["sites"][2]["error"].as_str().unwrap();
    assert!(error.contains("not let in: "), "{document:#}");
}

#[test]
fn status_has_a_line_for_each_host() {
    let mut net = Net::plain(&[1, 2]);
    let never = net.home.run(&["status"]).done();
    assert!(never.contains("\nssh://127.0.0.1  never looked at\n"), "{never}");
    net.home.write("f", "first");
    assert_eq!(net.synchronise().1, 0);
    net.hosts.kill_last();
    let _ = net.home.run(&["check", "--force"]);
    let told = net.home.run(&["status"]).done();
    assert!(told.contains("\nssh://127.0.0.1  in step; looked at "), "{told}");
    assert!(told.contains("\nssh://127.0.0.2  down; in step; looked at "), "{told}");
    let (document, _) = net.home.json(&["status"]);
    assert_eq!(document["hosts"][0]["address"], "ssh://127.0.0.1", "{document:#}");
    assert!(document["hosts"][1]["error"].as_str().unwrap().contains("not reached"));
}

#[test]
fn a_host_with_sftp_only_and_odd_names() {
    let only = Rules { lines: "ForceCommand internal-sftp".into(), ..Rules::default() };
    let net = Net::new(&[(1, only), (2, Rules::default())]);
    for (at, name) in support::ODD_NAMES.iter().enumerate() {
        let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name);
        net.home.write(name, format!("file {at}"));
    }
    net.home.write("back\\slash", "x");
    assert_eq!(net.synchronise().1, 0);
    net.expect_equal(1);
    net.expect_equal(2);
    assert_eq!(net.plan(), BTreeMap::new());
    net.write_there(1, "plain", "from there");
    net.home.write("100%", "from here");
    assert_eq!(net.plan().len(), 3);
    net.synchronise();
    net.synchronise();
    net.expect_equal(1);
    net.expect_equal(2);
}

#[test]
fn a_folder_that_is_gone_deletes_nothing() {
    let net = Net::plain(&[1]);
    for number in 0..20 {
        net.home.write(format!("f{number}"), "x");
    }
    net.synchronise();
    let (there, away) = (net.there(1), net.world.path().join("away"));
    fs::rename(&there, &away).unwrap();
    let (document, status) = net.home.json(&["check", "--force"]);
    assert_eq!(status, 2);
    let error = document["sites"][0]["error"].as_str().unwrap();
    assert!(error.contains("not there any more"), "{document:#}");
    assert_eq!(document["operations"], json!([]));
    // Or empty: so much at once waits, whatever the policy says.
    fs::create_dir(&there).unwrap();
    let settings = net.home.top.join("config.toml");
    let text = fs::read_to_string(&settings).unwrap() + "[policy]\ndeletions = \"apply\"\n";
    fs::write(&settings, text).unwrap();
    net.home.run(&["check", "--force"]).with(1);
    net.home.run(&["synchro"]).with(1);
    assert!(net.home.read("f7").is_some());
    // A few are what the policy is for.
    fs::remove_dir(&there).unwrap();
    fs::rename(&away, &there).unwrap();
    fs::remove_file(there.join("f7")).unwrap();
    net.synchronise();
    assert!(net.home.read("f7").is_none());
}

#[test]
fn links_and_sensitive_names_there() {
    let net = Net::plain(&[1]);
    net.home.write("d/a", "one");
    let outside = net.world.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "s").unwrap();
    std::os::unix::fs::symlink(&outside, net.there(1).join("d")).unwrap();
    std::os::unix::fs::symlink(outside.join("secret"), net.there(1).join("link")).unwrap();
    net.write_there(1, ".profile", "evil");
    net.write_there(1, ".remsync.d/x", "ours");
    assert_eq!(net.plan(), plan_of(&[(".profile@1", "download waits")]));
    let ran = net.home.run(&["check"]);
    assert!(ran.stderr().contains("127.0.0.1: d: a symbolic link is there."), "{}", ran.story());
    ran.with(1);
    // One that is planted after the check is not gone through either.
    fs::remove_file(net.there(1).join("d")).unwrap();
    assert_eq!(net.plan()["d/a@1"], "upload");
    std::os::unix::fs::symlink(&outside, net.there(1).join("d")).unwrap();
    let ran = net.home.run(&["synchro"]);
    assert!(ran.stderr().contains("no folder is in the way"), "{}", ran.story());
    ran.with(2);
    assert!(!outside.join("a").exists(), "nothing goes through a link");
    assert!(net.home.read(".profile").is_none());
}

/// What has the name of a file and is none, or of a folder, says nothing of the file: it is no
/// deletion, whatever is set, and nothing is written there.
#[test]
fn what_is_no_file_in_its_place_is_not_known() {
    let net = Net::plain(&[1]);
    net.home.set("[policy]\ndeletions = \"apply\"\n");
    for name in
        ["link", "folder", "pipe", "above/a", "over/a", "gone", "stays1", "stays2", "stays3"]
    {
        net.home.write(name, "first");
    }
    assert_eq!(net.synchronise().1, 0);
    let there = net.there(1);
    let sink = net.world.path().join("sink");
    fs::write(&sink, "mine").unwrap();
    for name in ["link", "folder", "pipe", "gone"] {
        fs::remove_file(there.join(name)).unwrap();
    }
    fs::remove_dir_all(there.join("above")).unwrap();
    fs::remove_dir_all(there.join("over")).unwrap();
    std::os::unix::fs::symlink(&sink, there.join("link")).unwrap();
    fs::create_dir(there.join("folder")).unwrap();
    let pipe = there.join("pipe");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    std::os::unix::fs::symlink(net.world.path(), there.join("above")).unwrap();
    fs::write(there.join("over"), "a file").unwrap();
    assert_eq!(net.plan(), plan_of(&[("gone@1", "delete-here")]));
    let told = net.home.run(&["check"]);
    for words in [
        "link: a symbolic link is there",
        "folder: a folder is there",
        "pipe: something that is no file is there",
        "above: a symbolic link is there",
        "over: a file is there",
    ] {
        assert!(told.stderr().contains(words), "{words}: {}", told.story());
    }
    // Nor is it where they are new here, or changed.
    net.home.write("link", "second");
    net.home.write("above/a", "second");
    let _ = net.home.run(&["check", "--force"]);
    net.home.run(&["synchro"]).done();
    assert_eq!(fs::read_to_string(&sink).unwrap(), "mine");
    for name in ["link", "folder", "pipe", "above/a", "over/a"] {
        assert!(net.home.read(name).is_some(), "{name}");
    }
    assert!(net.home.read("gone").is_none());
}

#[test]
fn a_dry_run_and_a_plan_of_ones_own() {
    let net = Net::plain(&[1]);
    net.home.write("a", "one");
    net.home.write("b", "two");
    let said = net.home.run(&["-n", "synchro"]).done();
    assert!(said.contains("would be: 2 uploaded"), "{said}");
    assert!(!net.home.tree.join(".remsync.d/check.json").exists());
    net.home.run(&["check"]).done();
    let plan = net.home.tree.join(".remsync.d/synchro.json");
    let mut document: Value = serde_json::from_slice(&fs::read(&plan).unwrap()).unwrap();
    document["operations"][0]["ticked"] = false.into();
    let own = net.home.top.join("own.json");
    fs::write(&own, document.to_string()).unwrap();
    net.home.run(&["synchro", "--plan", own.to_str().unwrap()]).done();
    assert_eq!(net.read_there(1, "a"), None);
    assert_eq!(net.read_there(1, "b").as_deref(), Some("two"));
    document["operations"][0]["path"] = "../a".into();
    fs::write(&own, document.to_string()).unwrap();
    let ran = net.home.run(&["synchro", "--plan", own.to_str().unwrap()]);
    assert!(ran.stderr().contains("is no path"), "{}", ran.story());
    ran.with(2);
    net.home.run(&["synchro", "--plan", "/nowhere"]).with(2);
    net.home.run(&["synchro", "nothing"]).with(2);
}

/// The page, or the link to where it is served, is given to the desktop.
#[test]
fn the_display_opens_in_the_browser() {
    let net = Net::plain(&[]);
    let bin = net.world.path().join("bin");
    let opened = net.world.path().join("opened");
    let script = format!("#!/bin/sh\necho \"$1\" >{0}.new && mv {0}.new {0}\n", opened.display());
    program(&bin, "xdg-open", &script);
    let path = format!("{}:/usr/bin:/bin", bin.display());
    for (words, begins) in [
        (
            &["display", "--open"][..],
            format!("{}/.remsync.d/display.html", net.home.tree.display()),
        ),
        (&["display", "--serve", "--open"], "http://127.0.0.1:".to_owned()),
    ] {
        let mut command = net.home.command(support::REMSYNC);
        command.args(words).env("PATH", &path).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !opened.exists() && std::time::Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
        let place = fs::read_to_string(&opened).unwrap();
        assert!(place.contains(&begins), "{words:?}: {place}");
        fs::remove_file(&opened).unwrap();
    }
}

#[test]
fn the_display_in_all_its_forms() {
    let net = Net::plain(&[1]);
    net.home.run(&["create", "remote", "b@b.example"]).done();
    net.home.write("<b>&\"'", "one");
    net.write_there(1, "theirs", "two");
    let said = net.home.run(&["display"]).done();
    assert!(
        said.contains("  theirs: due | newer there") || said.contains("theirs: - | newer there"),
        "{said}"
    );
    assert!(said.contains("[x] theirs comes here, new (ssh://127.0.0.1)"), "{said}");
    let page = fs::read_to_string(net.home.tree.join(".remsync.d/display.html")).unwrap();
    assert!(page.contains("&lt;b&gt;&amp;&quot;&#39;") && !page.contains("<b>"), "{page}");
    assert!(!page.contains("<form"), "a file has no buttons");
    let (document, _) = net.home.json(&["display"]);
    assert_eq!(document["operations"].as_array().unwrap().len(), 2, "{document:#}");
    assert_eq!((&document["waits"], &document["reused"]), (&json!([]), &json!(true)));
}

/// `display --serve`, until it is dropped.
struct Served {
    child: Child,
    port: u16,
    link: String,
}

impl Served {
    fn start(home: &Home) -> Served {
        let mut command = home.command(support::REMSYNC);
        command.args(["display", "--serve"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut link = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut link).unwrap();
        let link = link.trim().to_owned();
        let port = link.strip_prefix("http://127.0.0.1:").unwrap().split('/').next().unwrap();
        Served { port: port.parse().unwrap(), child, link }
    }

    /// Sends a request and returns all that came back.
    fn send(&self, head: &str, headers: &[&str], body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut text = format!("{head} HTTP/1.1\r\n");
        if !headers.iter().any(|line| line.starts_with("Host:")) {
            text += &format!("Host: 127.0.0.1:{}\r\n", self.port);
        }
        headers.iter().for_each(|line| text += &format!("{line}\r\n"));
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn token_path(&self) -> &str {
        self.link.split_once(&self.port.to_string()).unwrap().1
    }

    /// Uses the link; returns the cookie as it has to be sent.
    fn enter(&self) -> String {
        let answer = self.send(&format!("GET {}", self.token_path()), &[], "");
        let line = answer.lines().find(|line| line.starts_with("Set-Cookie: ")).unwrap();
        assert!(line.contains("HttpOnly") && line.contains("SameSite=Strict"), "{line}");
        let cookie = line.strip_prefix("Set-Cookie: ").unwrap().split(';').next().unwrap();
        format!("Cookie: {cookie}")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn form_of(page: &str) -> String {
    page.split_once("name=\"form\" value=\"").unwrap().1.split('"').next().unwrap().to_owned()
}

#[test]
fn the_server_is_for_one_person_only() {
    let net = Net::plain(&[1]);
    net.home.write("a", "one");
    net.home.write("b", "two");
    let served = Served::start(&net.home);
    for (head, headers, status) in [
        ("GET /", vec![], "403"),
        ("GET /", vec!["Cookie: remsync=x"], "403"),
        ("GET /?token=wrong", vec![], "403"),
        ("POST /synchro", vec![], "403"),
        ("GET /", vec!["Host: evil.example"], "421"),
    ] {
        let answer = served.send(head, &headers, "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head} {headers:?}: {answer}");
    }
    let cookie = served.enter();
    let second = served.send(&format!("GET {}", served.token_path()), &[], "");
    assert!(second.starts_with("HTTP/1.1 403"), "the link is good once: {second}");
    let page = served.send("GET /", &[&cookie], "");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("frame-ancestors 'none'"), "{page}");
    let form = form_of(&page);
    let nowhere = "Origin: null".to_owned();
    let evil = "Origin: http://evil.example".to_owned();
    for (head, headers, body, status) in [
        ("GET /synchro", vec![&cookie], format!("form={form}&tick=0"), "404"),
        ("DELETE /", vec![&cookie], String::new(), "405"),
        ("POST /synchro", vec![&cookie], "tick=0".into(), "403"),
        ("POST /synchro", vec![&cookie], "form=wrong-1&tick=0".into(), "403"),
        ("POST /synchro", vec![&cookie, &evil], format!("form={form}&tick=0"), "403"),
        ("POST /synchro", vec![&cookie, &nowhere], format!("form={form}&tick=0"), "403"),
    ] {
        let headers: Vec<&str> = headers.into_iter().map(String::as_str).collect();
        let answer = served.send(head, &headers, &body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head} {body}: {answer}");
    }
    assert_eq!(net.read_there(1, "a"), None, "nothing was done");
    // What is ticked, and not the other.
    let answer = served.send("POST /synchro", &[&cookie], &format!("form={form}&tick=1"));
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    assert_eq!(net.read_there(1, "a"), None);
    assert_eq!(net.read_there(1, "b").as_deref(), Some("two"));
    let page = served.send("GET /", &[&cookie], "");
    assert!(page.contains("1 uploaded"), "{page}");
    // The plan that was shown is no longer the one that there is.
    let stale = served.send("POST /synchro", &[&cookie], &format!("form={form}&tick=0"));
    assert!(stale.starts_with("HTTP/1.1 303"), "{stale}");
    assert!(served.send("GET /", &[&cookie], "").contains("look again, then tick"));
    assert_eq!(net.read_there(1, "a"), None);
    net.write_there(1, "c", "three");
    let form = form_of(&served.send("GET /", &[&cookie], ""));
    served.send("POST /check", &[&cookie], &format!("form={form}"));
    let page = served.send("GET /", &[&cookie], "");
    assert!(page.contains("Checked again.") && page.contains(">c</th>"), "{page}");
    let port = served.port;
    let from_outside = TcpStream::connect(("127.0.0.2", port));
    assert!(from_outside.is_err(), "it listens on 127.0.0.1 only");
}
