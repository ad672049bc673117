//! Attacks on a site that trusts another: each is held or refused, and changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use support::archive::{Raw, orders_head, package, pax, raw, update};
use support::trust::{
    base64, deliver, drop_all, mail, pack, packed_anew, processed, ssh_key, ssh_sign, trusting_pair,
};
use support::{Home, Ran, World, fingerprint};

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
    let by = |key: &Path| vec![ssh_sign(key, "remsync", &file)];
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
            vec![ssh_sign(&c_key, "remsync", &forged)],
            "signed with a key of c@c.example",
        ),
        ("key of another site", &package, by(&c_key), "signed with a key of c@c.example"),
        (
            "true signature of other bytes",
            &package,
            vec![ssh_sign(&a_key, "remsync", &other)],
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

    // The same number with other contents: somebody has the key, or there are two of that site. The
    // project remembers, whatever the queue does.
    drop_all(&b);
    let twin = world.path().join("twin");
    fs::write(&twin, packed_anew(&package)).unwrap();
    let signature = ssh_sign(&a_key, "remsync", &twin);
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

/// Signatures that nobody judged yet give way to the one that vouches, and to no other.
#[test]
fn eight_false_signatures_keep_no_true_one_out() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let junk = |n: u8| {
        let text = format!("-----BEGIN SSH SIGNATURE-----\nAAA{n}\n-----END SSH SIGNATURE-----\n");
        text.into_bytes()
    };
    let strangers = ssh_key(&world, "stranger", "ed25519", "");
    for (number, is_processed_between) in [(2, false), (3, true)] {
        a.write("f", format!("{number}\n"));
        let (file, good) = pack(&a, &number.to_string(), "b@b.example");
        let package = fs::read(&file).unwrap();
        deliver(&b, &mail(&package, &(0..8).map(junk).collect::<Vec<_>>()));
        if is_processed_between {
            assert_eq!(processed(&b).0, "held");
            // One gives way, and is not judged yet.
            deliver(&b, &mail(&package, &[junk(8)]));
        }
        deliver(&b, &mail(&package, &[junk(9), good.unwrap()]));
        // What comes now drives nothing out.
        deliver(&b, &mail(&package, &[ssh_sign(&strangers, "remsync", &file), junk(7)]));
        assert_eq!(processed(&b).0, "done", "{number}");
        assert_eq!(b.text("f"), format!("{number}\n"));
    }
}

/// Whoever has the bytes of a package could send them as something that is put aside unread: then
/// the package itself must not be taken for what was here before.
#[test]
fn what_was_refused_unread_keeps_no_package_out() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    let no_number = "Content-Type: message/partial; id=q";
    let no_name = "Content-Type: message/partial; number=1; total=2";
    for (number, header) in (2..).zip([None, Some(no_number), Some(no_name)]) {
        let text = format!("{number}\n");
        a.write("f", &text);
        let (file, good) = pack(&a, &number.to_string(), "b@b.example");
        let package = fs::read(&file).unwrap();
        let head = "From: m@m.example\nSubject: [remsync]\nMIME-Version: 1.0\n";
        let hostile = match header {
            Some(header) => format!(
                "{head}{header}\nContent-Disposition: attachment; filename=\"remsync.tar.gz\"\n\
                 Content-Transfer-Encoding: base64\n\n{}\n",
                base64(&package)
            )
            .into_bytes(),
            None => [head.as_bytes(), b"\n", &half_a_yenc(&package)].concat(),
        };
        for _ in 0..2 {
            deliver(&b, &hostile);
            let (entries, _) = b.json(&["queue"]);
            let last = entries.as_array().unwrap().last().unwrap().clone();
            assert_eq!(last["state"], "refused", "{entries}");
            assert_eq!(last["sha256"], support::archive::sha256(&package));
        }
        deliver(&b, &mail(&package, &[good.unwrap()]));
        assert_eq!(processed(&b).0, "done", "{header:?}");
        assert_eq!(b.text("f"), text);
        // And not once more.
        deliver(&b, &hostile);
        assert_eq!(processed(&b).0, "");
        let refused = b.top.join(".local/state/remsync/queue/refused");
        assert_eq!(fs::read_dir(refused).unwrap().count(), 0);
    }
}

/// All of some bytes as yEnc that says it is one of two parts.
fn half_a_yenc(bytes: &[u8]) -> Vec<u8> {
    let size = bytes.len();
    let mut out = format!(
        "=ybegin part=1 total=2 line=128 size={} name=remsync.tar.gz\n=ypart begin=1 end={size}\n",
        2 * size
    )
    .into_bytes();
    for chunk in bytes.chunks(60) {
        for byte in chunk.iter().map(|byte| byte.wrapping_add(42)) {
            match byte {
                0 | b'\t' | b'\n' | b'\r' | b' ' | b'.' | b'=' => {
                    out.extend([b'=', byte.wrapping_add(64)]);
                }
                byte => out.push(byte),
            }
        }
        out.push(b'\n');
    }
    out.extend(format!("=yend size={size} part=1\n").into_bytes());
    out
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

// ---- what a trusted key signs is confined as well

/// Two homes that trust each other, and something precious outside the tree of the second.
struct Field {
    world: World,
    a: Home,
    b: Home,
    outside: PathBuf,
    serial: AtomicU64,
}

impl Field {
    fn new() -> Field {
        let world = World::new();
        let (a, b) = trusting_pair(&world);
        b.write("kept", "as it was\n");
        let outside = world.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "precious\n").unwrap();
        Field { world, a, b, outside, serial: AtomicU64::new(9_000_000_000_000) }
    }

    /// Orders from a to b with the next serial, and these rows.
    fn orders(&self, rows: &str) -> Raw {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let head = orders_head("Test", "a@a.example -", "b@b.example -", serial);
        raw(".remsync-work/orders", (head + rows).as_bytes())
    }

    /// One file, the numbered one as given.
    fn one(&self, path: &str, member: &[Raw]) -> Vec<u8> {
        package(&[&[self.orders(&update(path, GOOD, 1))], member].concat())
    }

    fn update(&self, path: &str) -> Vec<u8> {
        self.one(path, &[numbered(1, GOOD)])
    }

    /// Puts a package with a's own signature into b's queue, and processes; returns outcome, reason.
    fn arrives(&self, package: &[u8]) -> (String, String) {
        let file = self.world.path().join("package.tar.gz");
        fs::write(&file, package).unwrap();
        let signature = ssh_sign(&self.a.top.join("id_ed25519"), "remsync", &file);
        deliver(&self.b, &mail(package, &[signature]));
        let outcome = processed(&self.b);
        if !outcome.0.is_empty() {
            return outcome;
        }
        // The filter has seen what it is.
        let (entries, _) = self.b.json(&["queue"]);
        let sha256 = support::archive::sha256(package);
        let entry = entries.as_array().unwrap().iter().find(|entry| entry["sha256"] == sha256);
        let text = |key: &str| entry.unwrap()[key].as_str().unwrap().to_owned();
        (text("state"), text("reason"))
    }

    fn fingerprint(&self) -> String {
        fingerprint(&[&self.b.tree, &self.outside])
    }
}

const GOOD: &[u8] = b"good\n";

fn numbered(number: u32, bytes: &[u8]) -> Raw {
    raw(&format!(".remsync-work/{number}"), bytes)
}

#[test]
fn the_shapes_of_known_holes_change_nothing_though_they_are_signed() {
    let field = Field::new();
    let outside = field.outside.join("precious").display().to_string();
    let folder = field.outside.display().to_string();
    let link = |kind: u8, to: &str| Raw { kind, link: to.into(), ..numbered(1, b"") };
    let long = format!(".remsync-work/{}1", "a/../".repeat(1_000));
    // Who found it first, the packages, and what becomes of each.
    let table: Vec<(&str, Vec<Vec<u8>>, &str)> = vec![
        (
            "a link, then a file through it (CVE-2018-20990, CVE-2021-38511)",
            vec![field.one("f", &[link(b'2', &folder), raw(".remsync-work/1/evil", GOOD)])],
            "refused",
        ),
        (
            "a mode through a link (CVE-2026-33056)",
            vec![package(&[
                Raw { kind: b'2', link: folder.clone(), ..raw(".remsync-work", b"") },
                Raw { kind: b'5', mode: "0007777", ..raw(".remsync-work", b"") },
                field.orders(&update("f", GOOD, 1)),
                numbered(1, GOOD),
            ])],
            "refused",
        ),
        (
            "two sizes (CVE-2025-62518, CVE-2026-33055)",
            vec![field.one("f", &[pax(&[("size", "0")]), numbered(1, GOOD)])],
            "refused",
        ),
        (
            "up and out (CVE-2007-4559)",
            vec![field.one("f", &[numbered(1, GOOD), raw("../../outside/evil", GOOD)])],
            "refused",
        ),
        (
            "a way too long to be followed (CVE-2025-4517)",
            vec![field.one("f", &[pax(&[("path", &long)]), numbered(1, GOOD)])],
            "refused",
        ),
        (
            "a link to what is outside (CVE-2025-4330, CVE-2025-4138, CVE-2024-12087)",
            vec![field.one("f", &[link(b'2', &outside)])],
            "refused",
        ),
        (
            "a second name of what is outside (CVE-2026-29786, CVE-2026-31802)",
            vec![field.one("f", &[link(b'1', &outside)])],
            "refused",
        ),
        (
            "two steps: one plants a link, the other goes through it (CVE-2025-45582)",
            vec![
                field.one("sub", &[link(b'2', &folder)]),
                field.one("sub/evil", &[link(b'1', "../outside/precious")]),
            ],
            "refused",
        ),
        ("a device", vec![field.one("f", &[link(b'3', "")])], "refused"),
        ("absolute (CVE-2024-12086)", vec![field.update(&outside)], "refused"),
        ("above", vec![field.update("../outside/evil")], "refused"),
        ("above, encoded", vec![field.update("%2E%2E/outside/evil")], "refused"),
        ("our beliefs (CVE-2026-53795)", vec![field.update(".remsync.d/journal")], "refused"),
        ("our beliefs, folded", vec![field.update(".Rem\u{17f}ync.d/journal")], "refused"),
        ("a second line (field injection)", vec![field.update("f\nremove\tkept")], "refused"),
        ("a hook (CVE-2014-9390)", vec![field.update(".git/hooks/post-checkout")], "held"),
        ("a hook, shouted", vec![field.update(".GIT/hooks/post-checkout")], "held"),
        ("a hook, unseen", vec![field.update(".g\u{200c}it/config")], "held"),
        ("a hook, wide", vec![field.update(".\u{ff47}it/config")], "held"),
        ("a hook, long s", vec![field.update("sub/.\u{17f}sh/authorized_keys")], "held"),
        ("a hook, short", vec![field.update("git~1/config")], "held"),
        ("a hook, a stream", vec![field.update(".git::$INDEX_ALLOCATION/config")], "held"),
        ("a hook, a dot", vec![field.update(".git./config")], "held"),
        ("a login", vec![field.update("home/.bash_profile")], "held"),
        ("a recipe", vec![field.update(".procmailrc")], "held"),
        (
            "a deletion (CVE-2026-53789)",
            {
                let old = support::archive::sha256(b"one\n");
                let rows =
                    format!("check\tf - {old}\nhistory\tf 9 8:{}\nremove\tf {old}\n", &old[..16]);
                vec![package(&[field.orders(&rows)])]
            },
            "held",
        ),
    ];
    let before = field.fingerprint();
    for (name, packages, expected) in table {
        for package in packages {
            let (outcome, reason) = field.arrives(&package);
            assert_eq!(outcome, expected, "{name}: {reason}");
            assert_eq!(field.fingerprint(), before, "{name}");
        }
        drop_all(&field.b);
    }
    // It was not for want of a good signature.
    assert_eq!(field.arrives(&field.update("sub/f")).0, "done");
    assert_eq!(field.b.text("sub/f"), "good\n");
}

#[test]
fn a_byte_changed_anywhere_is_seen() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    a.write("f", "two\n");
    let (file, good) = pack(&a, "package", "b@b.example");
    let (package, good) = (fs::read(&file).unwrap(), good.unwrap());
    let before = b.files();
    // The head of gzip, where a change does not touch what is unpacked, whole; the rest in steps.
    let places = (0..20).chain((20..package.len()).step_by(package.len() / 30));
    let mut seen = [0, 0];
    for at in places {
        let mut changed = package.clone();
        changed[at] ^= 4;
        deliver(&b, &mail(&changed, std::slice::from_ref(&good)));
        let (outcome, reason) = processed(&b);
        match outcome.as_str() {
            "held" => {
                assert!(reason.starts_with("bad signature"), "{at}: {reason}");
                seen[0] += 1;
            }
            _ => {
                assert_ne!(outcome, "done", "{at}");
                seen[1] += 1;
            }
        }
        assert_eq!(b.files(), before, "{at}");
        drop_all(&b);
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

/// The files that another process swaps meanwhile lead nowhere: rsync's race (CVE-2024-12747,
/// CVE-2026-29518), through the whole program and for so many packages.
#[test]
fn a_folder_that_is_swapped_for_a_link_leads_nowhere() {
    const PACKAGES: u32 = 12;
    const FILES: u32 = 60;
    let field = Field::new();
    let (dir, link) = (field.b.tree.join("dir"), field.b.tree.join("link"));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("keep"), "").unwrap();
    symlink(&field.outside, &link).unwrap();
    let before = fingerprint(&[&field.outside]);
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut arrived = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &dir, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        for n in 0..PACKAGES {
            let bytes = format!("{n}\n").into_bytes();
            let mut rows: Vec<(String, u32)> = (1..=FILES)
                .map(|m| {
                    (if m % 2 == 0 { format!("dir/{n}-{m}") } else { format!("dir/sub{m}/{n}") }, m)
                })
                .collect();
            rows.sort();
            let text: String = rows
                .iter()
                .zip(1..)
                .map(|((path, _), number)| update(path, &bytes, number))
                .collect();
            let mut entries = vec![field.orders(&text)];
            entries.extend((1..=FILES).map(|number| numbered(number, &bytes)));
            let (outcome, reason) = field.arrives(&package(&entries));
            arrived += u32::from(outcome == "done" || outcome == "held");
            assert_ne!(outcome, "refused", "{reason}");
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(fingerprint(&[&field.outside]), before);
    assert_eq!(arrived, PACKAGES);
    let real = if dir.is_symlink() { &link } else { &dir };
    let placed = fs::read_dir(real).unwrap().count();
    println!("{placed} names placed, {swaps:?} swaps");
    assert!(placed > 2 && swaps.load(Ordering::Relaxed) > 100, "the race was not run");
}

/// A project whose folder is a whole home: what is remsync's own is in it.
#[test]
fn nothing_of_remsync_s_own_is_sent_or_written() {
    let world = World::new();
    let (a, b) = (world.home_with_key("a"), world.home_with_key("b"));
    a.trust(&b);
    b.trust(&a);
    let top = b.top.to_str().unwrap();
    let words = ["--title", "Test", "--here", "b@b.example", "--remote", "a@a.example -"];
    b.run(&[&["-C", top, "init"], &words[..]].concat()).done();
    b.run(&["-C", top, "create", "ignore", "secret/.*"]).done();
    fs::create_dir(b.top.join("secret")).unwrap();
    fs::write(b.top.join("secret/diary"), "private\n").unwrap();
    fs::write(b.top.join("letter"), "public\n").unwrap();
    let folder = b.top.join("out");
    b.run(&["-C", top, "broadcast", "--to", folder.to_str().unwrap()]).done();
    let mut sent = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let sent = sent.find(|path| path.to_str().unwrap().ends_with(".tar.gz")).unwrap();
    let orders =
        support::trust::tool("tar", &["-xzOf", sent.to_str().unwrap(), ".remsync-work/orders"]);
    assert!(orders.contains("letter"), "{orders}");
    for own in ["id_ed25519", "allowed_signers", "config.toml", ".local", "diary"] {
        assert!(!orders.contains(own), "{own}\n{orders}");
    }

    // Signed by the one who is trusted, for the files that say who is.
    let own = [
        "allowed_signers",
        "ALLOWED_SIGNERS",
        "id_ed25519",
        "id_ed25519.pub",
        "revoked_keys",
        ".local/state/remsync/projects",
        ".local/state/remsync/queue/new/x",
    ];
    let before: Vec<Option<Vec<u8>>> =
        own.iter().map(|own| fs::read(b.top.join(own)).ok()).collect();
    let rows: String = {
        let mut sorted = own.to_vec();
        sorted.sort_unstable();
        sorted.iter().zip(1..).map(|(path, n)| update(path, GOOD, n)).collect()
    };
    let head = orders_head("Test", "a@a.example -", "b@b.example -", 9_000_000_000_000);
    let wants = "want\tid_ed25519\nwant\tsecret/diary\n";
    let mut entries = vec![raw(".remsync-work/orders", (head + wants + &rows).as_bytes())];
    entries.extend((1..=own.len() as u32).map(|number| numbered(number, GOOD)));
    let file = world.path().join("package.tar.gz");
    fs::write(&file, package(&entries)).unwrap();
    let signature = ssh_sign(&a.top.join("id_ed25519"), "remsync", &file);
    fs::write(world.path().join("package.tar.gz.sig"), signature).unwrap();
    let file = file.to_str().unwrap();
    let told = b.run(&["-C", top, "process", "--batch", file]).with(1);
    assert!(told.contains("7 wait"), "{told}");
    b.run(&["-C", top, "resolve", "--all", "take"]).with(1);
    let after: Vec<Option<Vec<u8>>> =
        own.iter().map(|own| fs::read(b.top.join(own)).ok()).collect();
    assert_eq!(after[..5], before[..5]);
    assert_ne!(after[5].as_deref(), Some(GOOD));
    assert_eq!(after[6], None);
    // What it asks for it does not get.
    fs::remove_dir_all(&folder).unwrap();
    b.run(&["-C", top, "broadcast", "a@a.example", "--to", folder.to_str().unwrap()]).with(0);
    let all: String = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().ends_with(".tar.gz"))
        .map(|path| support::trust::tool("tar", &["-xzOf", path.to_str().unwrap()]))
        .collect();
    for leak in ["PRIVATE KEY", "private"] {
        assert!(!all.contains(leak), "{leak}");
    }
}

#[test]
fn names_never_drive_a_terminal() {
    let field = Field::new();
    // A tie, a sensitive place and a plain one, each with something in its name.
    let names = ["a\x1b]0;evil\x07\x1b[2J", "b\u{202e}txt.exe", ".git/c\r\nremsync: all is well"];
    for (name, number) in names.iter().zip(0..) {
        let encoded: String = name
            .bytes()
            .map(|byte| match byte {
                0..=0x20 | 0x7f | b'%' => format!("%{byte:02X}"),
                byte => char::from(byte).to_string(),
            })
            .collect();
        let encoded = if name.is_ascii() { encoded } else { (*name).to_owned() };
        if number == 1 {
            field.b.write(name, "theirs differs\n");
        }
        field.arrives(&field.update(&encoded));
    }
    for words in [
        &["status", "-v"][..],
        &["pending"],
        &["log"],
        &["queue"],
        &["process", "--batch"],
        &["diff"],
        &["resolve", "nothing", "take"],
    ] {
        let ran = field.b.run(words);
        let told = String::from_utf8_lossy(&ran.output.stdout).into_owned() + &ran.stderr();
        let is_evil = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}');
        assert!(!told.contains(is_evil), "{words:?}: {told:?}");
        assert!(!told.contains("\nremsync: all is well"), "{words:?}: {told}");
    }
}
