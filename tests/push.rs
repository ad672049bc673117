//! `push` to real SSH servers on loopback: what seed's files say, and everything that goes wrong on
//! one host while the others go on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::sshd::{Hosts, PASSWORD, Rules, may_have_accounts};
use support::{Home, Ran, SmallDisk, World, program, tree_value};

/// A folder with `config.ini` and its kin, and hosts.
struct Fleet {
    home: Home,
    hosts: Hosts,
    conf: PathBuf,
    world: World,
}

impl Fleet {
    /// Plain servers at 127.0.0.`numbers`.
    fn new(numbers: &[u8]) -> Fleet {
        let world = World::new();
        let home = world.home("a");
        let mut hosts = Hosts::new(world.path());
        hosts.settle(&home.top.join("config.toml"));
        for number in numbers {
            hosts.start(&format!("127.0.0.{number}"), &Rules::default());
        }
        let conf = home.top.join("conf");
        fs::create_dir_all(conf.join("path_mapper")).unwrap();
        fs::write(conf.join("config.ini"), "[DEFAULT]\nnumber_of_connections = 8\n").unwrap();
        let fleet = Fleet { home, hosts, conf, world };
        fleet.connect(&numbers.iter().map(|n| entry(&format!("127.0.0.{n}"))).collect::<Vec<_>>());
        for number in numbers {
            fleet.map_tree(&format!("127.0.0.{number}"));
        }
        fleet
    }

    fn connect(&self, entries: &[Value]) {
        let file = self.conf.join("connection_info.json");
        fs::write(&file, serde_json::to_vec(entries).unwrap()).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn map(&self, address: &str, mappings: &[(&str, &str)]) {
        let entries: Vec<Value> =
            mappings.iter().map(|(src, dest)| json!({ "src": src, "dest": dest })).collect();
        let file = self.conf.join(format!("path_mapper/{address}.json"));
        fs::write(file, serde_json::to_vec(&entries).unwrap()).unwrap();
    }

    /// The tree goes to the host's own folder.
    fn map_tree(&self, address: &str) {
        let (src, dest) = (self.home.tree.clone(), self.there(address));
        self.map(address, &[(src.to_str().unwrap(), dest.to_str().unwrap())]);
    }

    /// A host's own folder.
    fn there(&self, address: &str) -> PathBuf {
        self.world.path().join("there").join(address)
    }

    fn push(&self, words: &[&str]) -> Ran {
        let file = self.conf.join("config.ini");
        let words = [&["push", file.to_str().unwrap()], words].concat();
        self.home.run(&words)
    }

    fn push_json(&self, words: &[&str]) -> (Value, i32) {
        let ran = self.push(&[words, &["--json"]].concat());
        let status = ran.status();
        let document = serde_json::from_slice(&ran.output.stdout);
        (document.unwrap_or_else(|error| panic!("{error}\n{}", ran.story())), status)
    }

    /// Holds that a host has the tree as it is here.
    fn expect_equal(&self, address: &str) {
        let (here, there) = (tree_value(&self.home.tree), tree_value(&self.there(address)));
        // SFTP knows whole seconds.
        let seconds = |mut files: std::collections::BTreeMap<_, support::FileValue>| {
            files
                .values_mut()
                .for_each(|file| file.mtime_ns = file.mtime_ns.div_euclid(1_000_000_000));
            files
        };
        assert_eq!(seconds(there), seconds(here), "{address}");
        let left = std::process::Command::new("find")
            .arg(self.there(address))
            .args(["-name", ".remsync*"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&left.stdout), "", "temporary files at {address}");
    }

    fn log(&self, kind: &str) -> String {
        let folder = self.home.top.join("logs");
        let mut text = String::new();
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.')) {
                text += &fs::read_to_string(entry.path()).unwrap();
            }
        }
        text
    }
}

fn entry(address: &str) -> Value {
    json!({ "ip_address": address, "user": "root", "passkey": "" })
}

fn host<'d>(document: &'d Value, address: &str) -> &'d Value {
    let hosts = document["hosts"].as_array().unwrap();
    hosts.iter().find(|host| host["address"] == address).unwrap()
}

fn make_old(fleet: &Fleet) {
    // What changed just before a push is compared by its contents the next time.
    std::thread::sleep(Duration::from_millis(2_100));
    fleet.push(&[]).done();
}

#[test]
fn files_and_folders_go_to_many_hosts_and_only_once() {
    let fleet = Fleet::new(&[1, 2, 3]);
    for (at, name) in support::ODD_NAMES.iter().enumerate() {
        let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name);
        fleet.home.write(name, format!("file {at}"));
    }
    fleet.home.write("d/e/big", vec![7; 3_000_000]);
    fleet.home.write("d/empty", "");
    fleet.home.write("d/program", "#!/bin/sh\n");
    fs::set_permissions(fleet.home.tree.join("d/program"), fs::Permissions::from_mode(0o755))
        .unwrap();
    fs::create_dir(fleet.home.tree.join("nothing in it")).unwrap();
    symlink("plain", fleet.home.tree.join("link")).unwrap();
    fleet.home.write("one.txt", "one");
    // A file alone: into a folder, to a name, and to a folder that is there already.
    let top = fleet.world.path().join("there");
    let one = fleet.home.tree.join("one.txt");
    let (one, top) = (one.to_str().unwrap(), top.to_str().unwrap());
    fleet.map(
        "127.0.0.3",
        &[
            (fleet.home.tree.to_str().unwrap(), &format!("{top}/127.0.0.3/")),
            (one, &format!("{top}/x/in/")),
            (one, &format!("{top}/x/named")),
            (one, &format!("{top}/x")),
        ],
    );
    let (document, status) = fleet.push_json(&[]);
    assert_eq!(status, 0, "{document:#}");
    fs::remove_file(fleet.home.tree.join("link")).unwrap();
    for address in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
        fleet.expect_equal(address);
        assert!(fleet.there(address).join("nothing in it").is_dir());
        assert_eq!(host(&document, address)["state"], "done");
    }
    for name in ["in/one.txt", "named", "one.txt"] {
        assert_eq!(fs::read_to_string(format!("{top}/x/{name}")).unwrap(), "one", "{name}");
    }
    assert!(fleet.log("scp_error").contains("a symbolic link: left out"));
    assert!(fleet.log("scp").contains("127.0.0.1: done: 13 copied"), "{}", fleet.log("scp"));

    make_old(&fleet);
    let (again, _) = fleet.push_json(&[]);
    assert_eq!(again["summary"]["sent"], 0, "{again:#}");
    // One edit, one with its size and time as they were, and one there.
    let two = fleet.there("127.0.0.2");
    fleet.home.write("two words", "FILE 1");
    let old = fs::metadata(two.join("100%")).unwrap().modified().unwrap();
    fleet.home.write("100%", "FILE 2");
    let file = fs::File::options().write(true).open(fleet.home.tree.join("100%")).unwrap();
    file.set_modified(old).unwrap();
    fs::write(two.join("plain"), "another length").unwrap();
    let (third, _) = fleet.push_json(&[]);
    assert_eq!(host(&third, "127.0.0.1")["sent"], 2, "{third:#}");
    assert_eq!(host(&third, "127.0.0.2")["sent"], 3, "{third:#}");
    fleet.expect_equal("127.0.0.1");
    fleet.expect_equal("127.0.0.2");
}

#[test]
fn what_goes_wrong_with_one_host_does_not_stop_the_others() {
    let mut fleet = Fleet::new(&[1]);
    fleet.home.write("a", "one");
    fleet.hosts.start("127.0.0.2", &Rules::default());
    fleet.hosts.start("127.0.0.4", &Rules::default());
    fleet.hosts.know_nobody();
    fleet.hosts.know("127.0.0.1", "host");
    fleet.hosts.know("127.0.0.4", "other-host");
    fleet.hosts.start("127.0.0.6", &Rules::default());
    fleet.hosts.revoke("127.0.0.6", "host");
    fleet.map_tree("127.0.0.2");
    fleet.map_tree("127.0.0.3");
    fleet.map_tree("127.0.0.4");
    fleet.map_tree("127.0.0.6");
    fleet.map_tree("127.0.0.1");
    let mut entries: Vec<Value> =
        ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"].map(entry).into();
    entries.push(entry("127.0.0.999"));
    entries.push(entry("-oProxyCommand=touch /tmp/x"));
    entries.push(entry("127.0.0.1"));
    entries.push(entry("127.0.0.1"));
    fleet.connect(&entries);
    let (document, status) = fleet.push_json(&[]);
    assert_eq!(status, 2);
    assert_eq!(document["summary"]["hosts"], 8, "{document:#}");
    assert!(fleet.log("scp_error").contains("root@127.0.0.1: listed twice"));
    for (address, words, hint) in [
        ("127.0.0.2", "host key is not known", "accept-new"),
        ("127.0.0.3", "Connection refused", ""),
        ("127.0.0.4", "not the one that is known", "ssh-keygen -R 127.0.0.4"),
        ("127.0.0.5", "127.0.0.5.json", "address_mapper_path"),
        ("127.0.0.6", "host key was revoked", "another one"),
        ("127.0.0.999", "no IP address", ""),
        ("-oProxyCommand=touch /tmp/x", "begins with", ""),
    ] {
        let host = host(&document, address);
        assert_eq!(host["state"], "failed", "{address}: {document:#}");
        assert!(host["error"].as_str().unwrap().contains(words), "{address}: {host:#}");
        assert!(host["hint"].as_str().unwrap_or_default().contains(hint), "{address}: {host:#}");
    }
    assert_eq!(host(&document, "127.0.0.1")["state"], "done");
    fleet.expect_equal("127.0.0.1");
    assert_eq!(document["summary"]["failed"], 7);
    let errors = fleet.log("scp_error");
    assert_eq!(errors.lines().filter(|line| line.contains(" ERROR ")).count(), 7, "{errors}");
    assert!(!errors.contains(" INFO ") && !errors.contains(" DEBUG "), "{errors}");
    for level in ["DEBUG", "INFO", "WARNING", "ERROR"] {
        assert!(fleet.log("scp").contains(&format!(" {level} ")), "{level}");
    }

    // Those that failed, once more; a new host's key is taken where that is said, a wrong one never.
    let (again, _) = fleet.push_json(&["--retry-failed", "--accept-new"]);
    assert_eq!(again["summary"]["hosts"], 7, "{again:#}");
    assert_eq!(host(&again, "127.0.0.2")["state"], "done", "{again:#}");
    assert_eq!(host(&again, "127.0.0.4")["state"], "failed", "{again:#}");
    assert_eq!(host(&again, "127.0.0.6")["state"], "failed", "{again:#}");
    assert!(fleet.hosts.known().contains("[127.0.0.2]"));
    fleet.expect_equal("127.0.0.2");
}

#[test]
fn sources_and_places_that_are_not_there() {
    let fleet = Fleet::new(&[1, 2]);
    fleet.home.write("a", "one");
    let top = fleet.there("127.0.0.1");
    fs::create_dir_all(top.join("folder/a")).unwrap();
    fs::write(top.join("file"), "in the way").unwrap();
    fleet.home.write("b", "two");
    fleet.home.write("d/e/c", "three");
    fleet.home.write("d/f/c", "four");
    // Below the place that is named no link is gone through, however it came there; the place itself
    // may be one.
    fs::create_dir_all(top.join("real/d")).unwrap();
    fs::create_dir(top.join("outside")).unwrap();
    fs::create_dir(top.join("folder/d")).unwrap();
    symlink(top.join("real"), top.join("link")).unwrap();
    symlink(top.join("outside"), top.join("real/d/e")).unwrap();
    fs::write(top.join("real/d/f"), "in the way").unwrap();
    let tree = fleet.home.tree.to_str().unwrap();
    let dest = |name: &str| top.join(name).to_str().unwrap().to_owned();
    fleet.map(
        "127.0.0.1",
        &[
            (&format!("{tree}/nothing"), &dest("x")),
            (tree, &dest("folder")),
            (tree, &dest("file")),
            (tree, "/proc/nowhere/to/be"),
            (tree, &dest("link")),
            (tree, &dest("good")),
            (&format!("{tree}/b"), &dest("good/a")),
            // Not even root may read it.
            ("/proc/sys/net/ipv4/route/flush", &dest("flush")),
        ],
    );
    let (document, status) = fleet.push_json(&[]);
    assert_eq!(status, 2);
    let faults = host(&document, "127.0.0.1")["faults"].as_array().unwrap().clone();
    assert_eq!(faults.len(), 8, "{document:#}");
    let words = [
        "No such file",
        "a folder is in the way",
        "no folder is in the way",
        "cannot be made",
        "a symbolic link is in the way",
        "no folder is in the way",
        "something else goes to this place too",
        "cannot be read: Permission denied",
    ];
    for (fault, words) in faults.iter().zip(words) {
        assert!(fault["why"].as_str().unwrap().contains(words), "{fault:#}");
    }
    assert_eq!(fs::read_to_string(top.join("good/a")).unwrap(), "one");
    assert_eq!(fs::read_to_string(top.join("folder/b")).unwrap(), "two", "the others go on");
    assert_eq!(fs::read_to_string(top.join("folder/d/e/c")).unwrap(), "three");
    assert_eq!(fs::read_to_string(top.join("real/b")).unwrap(), "two");
    assert!(!top.join("outside/c").exists(), "nothing goes through a link");
    assert_eq!(fs::read_to_string(top.join("file")).unwrap(), "in the way");
    assert_eq!(host(&document, "127.0.0.2")["state"], "done");
}

#[test]
fn a_dry_run_changes_nothing() {
    let fleet = Fleet::new(&[1]);
    fleet.home.write("a", "one");
    let (document, status) = fleet.push_json(&["-n"]);
    assert_eq!((status, &document["summary"]["sent"]), (0, &json!(1)), "{document:#}");
    assert!(!fleet.there("127.0.0.1").exists());
    assert!(!fleet.home.top.join("logs").exists() && document["logs"].is_null());
    let (document, _) = fleet.push_json(&[]);
    assert_eq!(document["summary"]["sent"], 1, "it was not remembered as done");
}

#[test]
fn files_that_are_not_there_or_not_private() {
    let fleet = Fleet::new(&[]);
    let ran = fleet.home.run(&["push"]);
    assert!(ran.stderr().contains("config.ini: No such file"), "{}", ran.story());
    ran.with(2);
    let file = fleet.conf.join("connection_info.json");
    let with = json!([{ "ip_address": "127.0.0.1", "user": "root", "passkey": "hunter2" }]);
    fs::write(&file, with.to_string()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = fleet.push(&[]);
    assert!(
        ran.stderr().contains("others may read") && ran.stderr().contains("chmod 600"),
        "{}",
        ran.story()
    );
    assert!(ran.stderr().contains("keys"), "{}", ran.story());
    assert!(!ran.story().contains("hunter"));
    ran.with(2);
    fs::remove_file(&file).unwrap();
    fleet.push(&[]).with(2);
}

#[test]
fn passwords() {
    if !may_have_accounts() {
        eprintln!("no accounts of its own for a server here: not tried");
        return;
    }
    let mut fleet = Fleet::new(&[]);
    let rules = Rules {
        with_password: true,
        lines: "PubkeyAuthentication no".to_owned(),
        ..Rules::default()
    };
    let keyboard = Rules {
        lines: "PubkeyAuthentication no\nKbdInteractiveAuthentication yes".to_owned(),
        ..rules.clone()
    };
    fleet.hosts.start("127.0.0.1", &rules);
    fleet.hosts.start("127.0.0.2", &keyboard);
    fleet.hosts.start("127.0.0.3", &rules);
    fleet.home.write("a", "one");
    let with = |number: u8, passkey: &str| {
        let address = format!("127.0.0.{number}");
        fleet.map_tree(&address);
        json!({ "ip_address": address, "user": "root", "passkey": passkey })
    };
    fleet.connect(&[with(1, PASSWORD), with(2, PASSWORD), with(3, "wrong")]);
    let (document, status) = fleet.push_json(&[]);
    assert_eq!(status, 2);
    for (address, state) in [("127.0.0.1", "done"), ("127.0.0.2", "done"), ("127.0.0.3", "failed")]
    {
        assert_eq!(host(&document, address)["state"], state, "{document:#}");
    }
    let error = host(&document, "127.0.0.3")["error"].as_str().unwrap();
    assert!(error.contains("not let in: ") && error.contains("Permission denied"), "{error}");
    fleet.expect_equal("127.0.0.1");
    let said = format!("{document} {}", fleet.log("scp"));
    assert!(!said.contains(PASSWORD) && !said.contains("wrong\""), "{said}");

    // Not even where everything is told, and in no file but the one that it is in.
    let mut command = fleet.home.command(support::REMSYNC);
    command.args(["push", "-vv"]).arg(fleet.conf.join("config.ini")).env("RUST_LOG", "trace");
    let told = command.output().unwrap();
    let told = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
    assert!(!told.contains(PASSWORD), "{told}");
    let found = support::files_with(fleet.world.path(), PASSWORD);
    assert_eq!(found, [fleet.conf.join("connection_info.json")]);
}

#[test]
fn a_host_with_sftp_only_and_one_without() {
    let mut fleet = Fleet::new(&[]);
    let only = Rules { lines: "ForceCommand internal-sftp".into(), ..Rules::default() };
    let without = Rules { without_sftp: true, ..Rules::default() };
    fleet.hosts.start("127.0.0.1", &only);
    fleet.hosts.start("127.0.0.2", &without);
    for (name, text) in [("plain", "1"), ("two 'words' $x", "2"), ("d/e", "3"), ("-dash", "4")] {
        fleet.home.write(name, text);
    }
    fleet.map_tree("127.0.0.1");
    fleet.map_tree("127.0.0.2");
    fleet.connect(&[entry("127.0.0.1"), entry("127.0.0.2")]);
    for sent in [4, 0] {
        let (document, status) = fleet.push_json(&[]);
        assert_eq!(status, 0, "{document:#}");
        for address in ["127.0.0.1", "127.0.0.2"] {
            assert_eq!(host(&document, address)["sent"], sent, "{document:#}");
            fleet.expect_equal(address);
        }
    }
    assert!(fleet.log("scp_error").contains("old SCP protocol"));
}

/// A program on a host, for it alone.
fn script_of(fleet: &Fleet, name: &str, script: &str) -> PathBuf {
    program(&fleet.home.top.join("bin"), name, &format!("#!/bin/sh\n{script}\n"))
}

/// The server that speaks SFTP by itself.
fn sftp_server() -> &'static str {
    let places = ["/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server"];
    let place = places.into_iter().find(|path| std::path::Path::new(path).exists());
    place.expect("no sftp-server: install openssh-sftp-server")
}

/// More than a few files are brought to the disk by the host's own program, before they take their
/// places; where none may be run, one by one.
#[test]
fn many_files_are_synced_at_once() {
    let mut fleet = Fleet::new(&[]);
    let script = "for d in \"$@\"; do [ ! -d \"$d\" ] || ls -A \"$d\"; done >>\"$0.seen\" 2>/dev/null\n\
                  exec /usr/bin/sync \"$@\"";
    let sync = script_of(&fleet, "sync", script);
    let path = format!("SetEnv PATH={}:/usr/bin:/bin", sync.parent().unwrap().display());
    fleet.hosts.start("127.0.0.1", &Rules { lines: path, ..Rules::default() });
    // No command but this, which says what it is asked to do.
    let only = format!("exec {} -e -l DEBUG3 2>>\"$0.seen\"", sftp_server());
    let only = script_of(&fleet, "only", &only);
    let lines = format!("ForceCommand {}", only.display());
    fleet.hosts.start("127.0.0.2", &Rules { lines, ..Rules::default() });
    for number in 0..40 {
        fleet.home.write(format!("d{}/f{number}", number % 3), "x");
    }
    fleet.map_tree("127.0.0.1");
    fleet.map_tree("127.0.0.2");
    fleet.connect(&[entry("127.0.0.1"), entry("127.0.0.2")]);
    let (document, status) = fleet.push_json(&[]);
    assert_eq!(status, 0, "{document:#}");
    for address in ["127.0.0.1", "127.0.0.2"] {
        assert_eq!(host(&document, address)["sent"], 40, "{document:#}");
        fleet.expect_equal(address);
    }
    let seen = fs::read_to_string(sync.with_extension("seen")).unwrap();
    assert_eq!(seen.lines().filter(|name| name.starts_with(".remsync-")).count(), 40, "{seen}");
    assert!(!seen.lines().any(|name| name.starts_with('f')), "before they are in their places");
    let seen = fs::read_to_string(only.with_extension("seen")).unwrap();
    let at = |words: &str| seen.match_indices(words).map(|(at, _)| at).collect::<Vec<_>>();
    let (synced, placed) = (at(": fsync "), at("posix-rename old"));
    assert_eq!((synced.len(), placed.len()), (40, 40), "{seen}");
    assert!(synced.last() < placed.first(), "before they are in their places");
}

/// What the disk there did to one file between its arrival and the look at it.
#[test]
fn what_does_not_arrive_whole_takes_no_place() {
    let mut fleet = Fleet::new(&[2]);
    let damage = "[ -e \"$0.done\" ] || { echo more >>\"$1\"; touch \"$0.done\"; }\nexec /usr/bin/cksum \"$@\"";
    let cksum = script_of(&fleet, "cksum", damage);
    let lines = format!("SetEnv PATH={}:/usr/bin:/bin", cksum.parent().unwrap().display());
    fleet.hosts.start("127.0.0.1", &Rules { lines, ..Rules::default() });
    for name in ["a", "b", "c"] {
        fleet.home.write(name, "new");
    }
    let there = fleet.there("127.0.0.1");
    fs::create_dir_all(&there).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(there.join(name), "the old one").unwrap();
    }
    fleet.map_tree("127.0.0.1");
    fleet.connect(&[entry("127.0.0.1"), entry("127.0.0.2")]);
    let (document, status) = fleet.push_json(&[]);
    assert_eq!(status, 2, "{document:#}");
    let told = host(&document, "127.0.0.1");
    assert_eq!(told["sent"], 2, "{document:#}");
    assert!(told["error"].as_str().unwrap().contains("did not arrive whole"), "{document:#}");
    let texts = ["a", "b", "c"].map(|name| fs::read_to_string(there.join(name)).unwrap());
    assert_eq!(texts.iter().filter(|text| *text == "new").count(), 2, "{texts:?}");
    assert_eq!(texts.iter().filter(|text| *text == "the old one").count(), 1, "{texts:?}");
    assert_eq!(temporary_files_in(&there), Vec::<String>::new());
    fleet.expect_equal("127.0.0.2");
    fleet.push(&["--retry-failed"]).done();
    fleet.expect_equal("127.0.0.1");
}

/// A host is begun with when one before it has its files.
#[test]
fn as_many_hosts_at_a_time_as_is_said() {
    let mut fleet = Fleet::new(&[]);
    let script = format!("date +%s%3N >>\"$0.seen\"; sleep 1.5; exec {}", sftp_server());
    let subsystem = script_of(&fleet, "sftp", &script);
    let lines = format!("Subsystem sftp {}", subsystem.display());
    fleet.home.write("f", "1");
    let addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    for address in addresses {
        let lines = lines.clone();
        fleet.hosts.start(address, &Rules { lines, without_sftp: true, ..Rules::default() });
        fleet.map_tree(address);
    }
    fleet.connect(&addresses.map(entry));
    let settings = "[DEFAULT]\nnumber_of_connections = 2\n";
    fs::write(fleet.conf.join("config.ini"), settings).unwrap();
    fleet.push(&[]).done();
    let seen = fs::read_to_string(subsystem.with_extension("seen")).unwrap();
    let mut began_ms: Vec<u64> = seen.lines().map(|line| line.parse().unwrap()).collect();
    began_ms.sort_unstable();
    let [first, second, third] = began_ms[..] else { panic!("{seen}") };
    assert!(second - first < 1_500, "two at once: {seen}");
    assert!(third - first >= 1_500, "and no third: {seen}");
    addresses.iter().for_each(|address| fleet.expect_equal(address));
}

/// The private half of the key is nowhere else.
#[test]
fn a_key_that_only_an_agent_has() {
    let fleet = Fleet::new(&[1]);
    fleet.home.write("f", "1");
    let keys = fleet.hosts.config().parent().unwrap().to_owned();
    let socket = keys.join("agent");
    let mut command = std::process::Command::new("ssh-agent");
    let mut agent = command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while !socket.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut command = std::process::Command::new("ssh-add");
    command.arg("-q").arg(keys.join("key")).env("SSH_AUTH_SOCK", &socket);
    assert!(command.status().unwrap().success());
    fs::remove_file(keys.join("key")).unwrap();
    let push = |socket: &std::path::Path| {
        let mut command = fleet.home.command(support::REMSYNC);
        command.arg("push").arg(fleet.conf.join("config.ini")).env("SSH_AUTH_SOCK", socket);
        command.output().unwrap()
    };
    let without = push(&keys.join("none"));
    let with = push(&socket);
    agent.kill().unwrap();
    agent.wait().unwrap();
    let told = String::from_utf8_lossy(&without.stderr);
    assert_eq!(without.status.code(), Some(2), "{told}");
    assert!(told.contains("denied") || told.contains("lets us in"), "{told}");
    assert_eq!(with.status.code(), Some(0), "{}", String::from_utf8_lossy(&with.stderr));
    fleet.expect_equal("127.0.0.1");
}

#[test]
fn a_full_disk_is_said() {
    let mut fleet = Fleet::new(&[2]);
    fleet.home.write("a", "one");
    fleet.home.write("big", vec![1; 3_000_000]);
    let small = fleet.there("127.0.0.1");
    fs::create_dir_all(&small).unwrap();
    let Some(disk) = SmallDisk::mount(&small) else { return };
    fleet.hosts.start("127.0.0.1", &Rules::default());
    fleet.map_tree("127.0.0.1");
    fleet.connect(&[entry("127.0.0.1"), entry("127.0.0.2")]);
    let (document, status) = fleet.push_json(&[]);
    let names: Vec<_> = fs::read_dir(&small).unwrap().flatten().map(|e| e.file_name()).collect();
    drop(disk);
    assert_eq!(status, 2);
    let error = host(&document, "127.0.0.1")["error"].as_str().unwrap();
    assert!(error.contains("big: ") && error.contains("no room left"), "{document:#}");
    assert_eq!(host(&document, "127.0.0.1")["sent"], 1, "the small one fits");
    assert_eq!(names, ["a"], "what did not fit is removed");
    fleet.expect_equal("127.0.0.2");
}

#[test]
fn a_host_that_dies_in_the_middle_is_gone_on_with() {
    let fleet = Fleet::new(&[1]);
    for number in 0..40 {
        fleet.home.write(format!("f{number}"), vec![number; 4_000_000]);
    }
    let there = fleet.there("127.0.0.1");
    let ran = std::thread::scope(|scope| {
        let pushing = scope.spawn(|| fleet.push(&[]));
        let until = Instant::now() + Duration::from_secs(20);
        // Something is on its way.
        while fs::read_dir(&there).map_or(0, Iterator::count) == 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
        fleet.hosts.kill_connections();
        pushing.join().unwrap()
    });
    assert!(ran.stderr().contains("the connection ended"), "{}", ran.story());
    ran.with(2);
    let whole = |path: PathBuf| fs::read(path).unwrap().len() == 4_000_000;
    for entry in fs::read_dir(&there).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        assert!(name.starts_with(".remsync") || whole(entry.path()), "{name}");
    }
    fleet.push(&["--retry-failed"]).done();
    fleet.expect_equal("127.0.0.1");
}

/// Waits until something is on its way into a folder.
fn wait_for_something_in(there: &std::path::Path) {
    let until = Instant::now() + Duration::from_secs(20);
    let is_begun = || {
        let names = fs::read_dir(there).into_iter().flatten().flatten();
        names.filter(|entry| entry.metadata().is_ok_and(|found| found.is_file())).count() > 0
    };
    while !is_begun() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn temporary_files_in(there: &std::path::Path) -> Vec<String> {
    let names = fs::read_dir(there).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".remsync")).collect()
}

/// Whoever kills it leaves files under names of ours: the next push removes them, whatever became of
/// what they were for, and nothing else. A second SIGTERM is not needed for what is on its way.
#[test]
fn a_push_that_is_killed_or_told_to_stop() {
    let mut fleet = Fleet::new(&[1]);
    fleet.hosts.start("127.0.0.2", &Rules { without_sftp: true, ..Rules::default() });
    let addresses = ["127.0.0.1", "127.0.0.2"];
    fleet.connect(&addresses.map(entry));
    fleet.map_tree("127.0.0.2");
    for number in 0..40 {
        fleet.home.write(format!("f{number}"), vec![number; 4_000_000]);
    }
    let start = || {
        let mut command = fleet.home.command(support::REMSYNC);
        command.args(["-q", "push"]).arg(fleet.conf.join("config.ini"));
        command.stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut child = start();
    let places = addresses.map(|address| fleet.there(address));
    places.iter().for_each(|there| wait_for_something_in(there));
    child.kill().unwrap();
    child.wait().unwrap();
    fleet.hosts.kill_connections();
    let mine = ".remsync-0123456789abcdef.tmp";
    for there in &places {
        assert!(!temporary_files_in(there).is_empty(), "something lies at {}", there.display());
        fs::write(there.join(mine), "somebody's").unwrap();
    }
    for number in 0..40 {
        fleet.home.remove(&format!("f{number}"));
    }
    fleet.home.write("last", "x");
    let (document, status) = fleet.push_json(&["--retry-failed"]);
    assert_eq!((status, &document["summary"]["hosts"]), (0, &json!(2)), "{document:#}");
    for there in &places {
        assert_eq!(temporary_files_in(there), [mine]);
        assert_eq!(fs::read_to_string(there.join("last")).unwrap(), "x");
    }

    // Told once: what was begun arrives, the rest is said.
    fleet.connect(&[entry("127.0.0.1")]);
    fs::remove_dir_all(&places[0]).unwrap();
    for number in 0..120 {
        fleet.home.write(format!("f{number}"), vec![number; 1_000_000]);
    }
    let child = start();
    wait_for_something_in(&places[0]);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(2));
    assert_eq!(temporary_files_in(&places[0]), Vec::<String>::new());
    let arrived: Vec<_> = fs::read_dir(&places[0]).unwrap().flatten().collect();
    assert!((1..120).contains(&arrived.len()), "{}", arrived.len());
    assert!(arrived.iter().all(|entry| entry.metadata().unwrap().len() == 1_000_000));
    assert!(fleet.log("scp_error").contains("stopped before it was copied"));
}

#[test]
fn autosync_goes_on_until_it_is_told_to_stop() {
    let fleet = Fleet::new(&[1]);
    fleet.home.write("a", "one");
    let config = fleet.conf.join("config.ini");
    fs::write(&config, "[DEFAULT]\nautosync = yes\nsynctime = 1\n").unwrap();
    let mut command = fleet.home.command(support::REMSYNC);
    command.arg("push").arg(&config).stderr(std::process::Stdio::piped());
    let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    let is_waiting =
        || fleet.home.top.join("logs").exists() && fleet.log("scp").contains("push ends");
    while !is_waiting() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let began = Instant::now();
    std::thread::sleep(Duration::from_millis(100));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("again in 1 min"));
    assert!(fleet.log("scp").contains("INFO stopped"));

    // What is in its way once need not be for ever.
    let state = fleet.home.top.join("other-state");
    fs::create_dir_all(state.join("remsync")).unwrap();
    fs::write(state.join("remsync/push"), "no folder").unwrap();
    let mut command = fleet.home.command(support::REMSYNC);
    command.arg("push").arg(&config).env("XDG_STATE_HOME", &state);
    let child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !fleet.log("scp_error").contains("remsync/push") && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("again in 1 min"));
}
