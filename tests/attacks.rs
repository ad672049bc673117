//! Attacks on a site that trusts another: each is held or refused, and changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::trust::{
    deliver, drop_all, mail, pack, packed_anew, processed, ssh_key, ssh_sign, trusting_pair,
};
use support::{Ran, World};

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

    // The same number with other contents: somebody has the key, or there are two of that site. The
    // project remembers, whatever the queue does.
    drop_all(&b);
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
