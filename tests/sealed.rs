//! Seals, and volumes of what is signed and sealed; age is the real one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use remsync::format::volume::{Place, Volume, header};
use remsync::model::Address;
use support::archive::noise;
use support::trust::{
    deliver, drop_all, mail, pack, packed_anew, processed, ssh_key, ssh_sign, ssh_verifies, tool,
    trusting_pair, try_tool,
};
use support::{Home, World, program};

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
        a.write(name, noise(7, 60_000));
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

/// Whoever sees a sealed mail can send its package ahead, without the signature.
#[test]
fn a_signature_that_comes_after_what_was_sealed_is_not_lost() {
    let world = World::new();
    let (a, b) = trusting_pair(&world);
    a.run(&["key", "seal", "b@b.example"]).done();
    a.write("f", "two\n");
    let (file, signature) = pack(&a, "package", "b@b.example");
    let sealed = fs::read(&file).unwrap();
    let with = |signatures: &[Vec<u8>]| {
        let text = String::from_utf8(mail(&sealed, signatures)).unwrap();
        deliver(&b, text.replace(".tar.gz.sig\"", ".tar.gz.sig.age\"").as_bytes());
    };
    with(&[]);
    assert_eq!(processed(&b), ("held".to_owned(), "it is not signed".to_owned()));
    with(&[]);
    let (entries, _) = b.json(&["queue"]);
    let states: Vec<_> = entries.as_array().unwrap().iter().map(|entry| &entry["state"]).collect();
    assert_eq!(states, ["done", "done", "held"], "it is no news");
    with(&[signature.clone().unwrap()]);
    assert_eq!(processed(&b).0, "done");
    assert_eq!(b.text("f"), "two\n");
    with(&[signature.unwrap()]);
    assert_eq!(processed(&b).0, "", "it was taken in");
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

// ---- in volumes

/// A pair in step, the first of which sends mails of at most 40,000 bytes.
fn pair_with_small_mails(world: &World) -> (Home, Home) {
    let (a, b) = trusting_pair(world);
    let config = a.top.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, text.replace("[mail]\n", "[mail]\nsize_max_bytes = 40000\n")).unwrap();
    (a, b)
}

/// The parts of a mail whose names end so, decoded.
fn parts(mail: &Path, end: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(mail).unwrap();
    let (_, boundary) = text.split_once("boundary=\"").unwrap();
    let (boundary, _) = boundary.split_once('"').unwrap();
    let is_so = |part: &&str| part.contains(&format!("{end}\"\r\n"));
    let decoded = |part: &str| {
        let (_, body) = part.split_once("\r\n\r\n").unwrap();
        try_tool("base64", &["-di"], body.as_bytes()).stdout
    };
    text.split(&format!("--{boundary}")).filter(is_so).map(decoded).collect()
}

/// What follows the six lines of each volume, joined: `tail -n +7`.
fn joined(volumes: &[Vec<u8>]) -> Vec<u8> {
    let mut volumes: Vec<(usize, &[u8])> = volumes
        .iter()
        .map(|volume| {
            let text = String::from_utf8_lossy(volume).into_owned();
            let offset = text.lines().nth(4).unwrap()[6..].split(' ').next().unwrap().to_owned();
            let ends: Vec<usize> =
                (0..volume.len()).filter(|at| volume[*at] == b'\n').take(6).collect();
            (offset.parse().unwrap(), &volume[ends[5] + 1..])
        })
        .collect();
    volumes.sort_unstable();
    volumes.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect()
}

/// Takes in what came before the volumes, and returns these.
fn volume_mails(home: &Home) -> Vec<PathBuf> {
    let is_volume =
        |mail: &PathBuf| fs::read_to_string(mail).unwrap().contains("\nX-Remsync-Volume: ");
    let (volumes, others): (Vec<_>, Vec<_>) = home.mails().into_iter().partition(is_volume);
    for mail in others {
        home.deliver(&mail).done();
        fs::remove_file(mail).unwrap();
    }
    home.run(&["process", "--batch"]).done();
    volumes
}

fn only(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    assert_eq!(parts.len(), 1);
    parts.remove(0)
}

#[test]
fn a_package_in_volumes_is_signed_as_one() {
    let world = World::new();
    let (a, b) = pair_with_small_mails(&world);
    a.write("large", noise(7, 100_000));
    a.run(&["broadcast"]).done();
    let mails = volume_mails(&b);
    assert!(mails.len() >= 4, "{mails:?}");
    let count = mails.len();
    let volumes: Vec<Vec<u8>> =
        mails.iter().map(|mail| only(parts(mail, &format!("of{count}")))).collect();
    let signatures: Vec<Vec<u8>> =
        mails.iter().map(|mail| only(parts(mail, "remsync.tar.gz.sig"))).collect();
    // Each brings the signature of the whole, which ssh-keygen believes.
    assert!(signatures.iter().all(|signature| *signature == signatures[0]));
    let package = world.path().join("package");
    fs::write(&package, joined(&volumes)).unwrap();
    let signers = b.top.join("allowed_signers");
    assert!(ssh_verifies(&signers, "a@a.example", &package, &signatures[0]));

    // A volume is vouched for before the others have come: its room is not that of strangers.
    let room = |signatures: &[Vec<u8>]| {
        deliver(&b, &mail(&volumes[0], signatures));
        let parts = b.top.join(".local/state/remsync/queue/parts");
        let tally = fs::read_to_string(parts.join("tally")).unwrap();
        let (entries, _) = b.json(&["queue", "list"]);
        let waits = entries.as_array().unwrap().iter().find(|e| e["state"] == "waiting").unwrap();
        b.run(&["queue", "drop", waits["id"].as_str().unwrap()]).done();
        let counts: Vec<&str> = tally.split(' ').skip(1).step_by(2).take(3).collect();
        counts.iter().position(|count| *count == "1").unwrap()
    };
    let other = ssh_key(&world, "other", "ed25519", "");
    let (no, says, proved) = (0, 1, 2);
    assert_eq!(room(&[]), says);
    assert_eq!(room(&[ssh_sign(&other, "remsync", &package)]), says);
    assert_eq!(room(&[signatures[0].clone()]), proved);
    b.run(&["delete", "remote", "a@a.example"]).done();
    assert_eq!(room(&[signatures[0].clone()]), no);
    b.run(&["create", "remote", "a@a.example", "-"]).done();

    // Without it the whole is held; with that of one mail it is judged anew.
    for volume in &volumes {
        deliver(&b, &mail(volume, &[]));
    }
    assert_eq!(processed(&b), ("held".to_owned(), "it is not signed".to_owned()));
    b.deliver(&mails[count / 2]).done();
    assert_eq!(processed(&b).0, "done");
    assert_eq!(b.read("large").unwrap(), noise(7, 100_000));
    assert_eq!(b.receive(), 0, "the others are no news");

    // Other bytes in the middle, with all digests as they have to be.
    a.write("large", noise(8, 100_000));
    a.run(&["broadcast"]).done();
    let mails = volume_mails(&b);
    let (signature, whole): (Vec<u8>, Vec<Vec<u8>>) = (
        only(parts(&mails[0], "remsync.tar.gz.sig")),
        mails.iter().map(|mail| only(parts(mail, &format!("of{count}")))).collect(),
    );
    let forged = packed_anew(&joined(&whole));
    for volume in cut(&forged, 3) {
        deliver(&b, &mail(&volume, std::slice::from_ref(&signature)));
    }
    let (outcome, reason) = processed(&b);
    assert_eq!(outcome, "held");
    assert!(reason.starts_with("bad signature"), "{reason}");
    drop_all(&b);
    assert_eq!(b.receive(), 0);
    assert_eq!(b.read("large").unwrap(), noise(8, 100_000));
}

/// Cuts bytes into volumes as anybody can.
fn cut(package: &[u8], count: u32) -> Vec<Vec<u8>> {
    let each = package.len().div_ceil(count as usize);
    let digest = |bytes: &[u8]| remsync::format::digest::sha256_of(bytes).unwrap().0;
    let volume = |(at, bytes): (usize, &[u8])| {
        let volume = Volume {
            here: Address::new("a@a.example").unwrap(),
            whole: digest(package),
            total_bytes: package.len() as u64,
            place: Place {
                number: at as u32 + 1,
                count,
                offset: (at * each) as u64,
                length_bytes: bytes.len() as u64,
            },
            sha256: digest(bytes),
        };
        [header(&volume), bytes.to_vec()].concat()
    };
    package.chunks(each).enumerate().map(volume).collect()
}

#[test]
fn volumes_that_were_saved_find_their_signature() {
    for (name, signature_name) in
        [("remsync.tar.gz", "remsync.tar.gz.sig"), ("remsync.tar.gz.age", "remsync.tar.gz.sig.age")]
    {
        let world = World::new();
        let (a, b) = pair_with_small_mails(&world);
        if name.ends_with(".age") {
            a.run(&["key", "seal", "b@b.example"]).done();
        }
        for (round, place) in ["a folder", "the queue"].into_iter().enumerate() {
            let content = noise(round as u64, 100_000);
            a.write("large", &content);
            a.run(&["broadcast"]).done();
            let folder = match round {
                0 => b.top.join("saved"),
                _ => b.top.join(".local/state/remsync/queue/new"),
            };
            fs::create_dir_all(&folder).unwrap();
            let mails = volume_mails(&b);
            let count = mails.len();
            let mut files = Vec::new();
            for (at, mail) in mails.iter().enumerate() {
                let volume = only(parts(mail, &format!("of{count}")));
                let file = folder.join(format!("{name}.{}of{count}", at + 1));
                fs::write(&file, volume).unwrap();
                files.push(file);
                fs::write(folder.join(signature_name), only(parts(mail, signature_name))).unwrap();
                fs::remove_file(mail).unwrap();
            }
            if round == 0 {
                for file in &files {
                    let last = file == files.last().unwrap();
                    let ran = b.run(&["process", "--batch", file.to_str().unwrap()]);
                    ran.with(if last { 0 } else { 1 });
                }
            } else {
                b.run(&["process", "--batch"]).done();
                let left: Vec<_> = fs::read_dir(&folder).unwrap().collect();
                assert!(left.is_empty(), "{left:?}");
            }
            assert_eq!(b.read("large").unwrap(), content, "{name} in {place}");
        }
    }
}

#[test]
fn sealed_volumes_tell_nothing_either() {
    let world = World::new();
    let (a, b) = pair_with_small_mails(&world);
    a.run(&["key", "seal", "b@b.example"]).done();
    a.write("secret-name", noise(7, 100_000));
    a.run(&["broadcast"]).done();
    let text = mails_as_text(&b);
    let mails = volume_mails(&b);
    let count = mails.len();
    assert!(count >= 4, "{count}");
    let serial: u64 = {
        let ledger = fs::read_to_string(a.tree.join(".remsync.d/ledger")).unwrap();
        let journal = fs::read_to_string(a.tree.join(".remsync.d/journal")).unwrap_or_default();
        let words = ledger + &journal;
        let numbers = words.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok());
        numbers.filter(|n| (1_000_000_000_000..9_000_000_000_000).contains(n)).max().unwrap()
    };
    // Neither in headers and words, nor in what is below the base64.
    let volumes: Vec<Vec<u8>> =
        mails.iter().map(|mail| only(parts(mail, &format!("of{count}")))).collect();
    let inside: String = volumes.iter().map(|v| String::from_utf8_lossy(v).into_owned()).collect();
    for leak in [
        "Test",
        "secret-name",
        "X-Remsync-Title",
        "X-Remsync-Serial",
        "X-Remsync-Visit",
        "1 file",
        "SSH SIGNATURE",
        &serial.to_string(),
    ] {
        assert!(!text.contains(leak) && !inside.contains(leak), "{leak}\n{text:.3000}");
    }
    assert!(text.contains("filename=\".remsync.tar.gz.age.1of"), "{text:.3000}");

    // By hand: joined, opened by age, and verified.
    let sealed = world.path().join("sealed.age");
    fs::write(&sealed, joined(&volumes)).unwrap();
    let key = b.top.join("id_ed25519").display().to_string();
    let package = world.path().join("opened");
    let open = |from: &Path, to: &Path| {
        let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
        tool("age", &["-d", "-i", &key, "-o", to, from]);
    };
    open(&sealed, &package);
    let (sig_age, sig) = (world.path().join("sig.age"), world.path().join("sig"));
    fs::write(&sig_age, only(parts(&mails[1], "remsync.tar.gz.sig.age"))).unwrap();
    open(&sig_age, &sig);
    let signers = b.top.join("allowed_signers");
    assert!(ssh_verifies(&signers, "a@a.example", &package, &fs::read(&sig).unwrap()));

    // Whoever saw them sends them ahead, without the signature.
    for (volume, number) in volumes.iter().zip(1..) {
        let text = String::from_utf8(mail(volume, &[])).unwrap();
        let name = format!("remsync.tar.gz.age.{number}of{}\"", volumes.len());
        deliver(&b, text.replace("remsync.tar.gz\"", &name).as_bytes());
    }
    assert_eq!(processed(&b), ("held".to_owned(), "it is not signed".to_owned()));
    for (at, mail) in mails.iter().rev().enumerate() {
        // A listing in between loses none.
        if at == 2 {
            b.json(&["queue"]);
        }
        b.deliver(mail).done();
    }
    assert_eq!(processed(&b).0, "done");
    assert_eq!(b.read("secret-name").unwrap(), noise(7, 100_000));
}

/// Mails leave through a program that takes so many, and then no more.
fn mailer_that_takes(home: &Home, world: &World, mails: usize) {
    let (count, post) = (home.top.join("taken"), world.path().join("post"));
    fs::write(&count, "").unwrap();
    let script = format!(
        "#!/bin/sh\nfor to; do :; done\n[ $(wc -l < '{count}') -lt {mails} ] || exit 75\n\
         echo >> '{count}'\nnew='{post}'/$to/new\nmkdir -p \"$new\"\ncat > \"$new/$(date +%s%N)\"\n",
        count = count.display(),
        post = post.display(),
    );
    let mailer = program(&home.top, "mailer", &script);
    let settings =
        format!("[mail]\ntransport = \"sendmail:{}\"\nsize_max_bytes = 40000\n", mailer.display());
    fs::write(home.top.join("config.toml"), settings).unwrap();
}

/// The digest that the volumes of these mails name as that of their whole.
fn wholes(mails: &[PathBuf]) -> Vec<String> {
    let whole = |mail: &PathBuf| {
        let text = fs::read_to_string(mail).unwrap();
        let line = text.lines().find(|line| line.starts_with("X-Remsync-Sha256: ")).unwrap();
        line.to_owned()
    };
    let mut all: Vec<String> = mails.iter().map(whole).collect();
    all.dedup();
    all
}

#[test]
fn sealed_volumes_go_on_where_they_were_stopped() {
    // What happens between, whether the volumes go on, and how many are taken before.
    let other = |world: &World, a: &Home| {
        let key = ssh_key(world, "other", "ed25519", "");
        let public = format!("{}.pub", key.display());
        a.run(&["key", "seal", "b@b.example", &public]).done();
    };
    let lost = |a: &Home, cut: bool| {
        for entry in fs::read_dir(a.tree.join(".remsync.d/outbox")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "age") {
                let bytes = fs::read(&path).unwrap();
                fs::remove_file(&path).unwrap();
                if cut {
                    fs::write(path, &bytes[1..]).unwrap();
                }
            }
        }
    };
    for (between, goes_on) in [
        ("nothing", true),
        ("another key", false),
        ("lost", false),
        ("damaged", false),
        ("open", false),
    ] {
        let world = World::new();
        let (a, b) = trusting_pair(&world);
        a.run(&["key", "seal", "b@b.example"]).done();
        mailer_that_takes(&a, &world, 3);
        a.write("large", noise(7, 100_000));
        a.run(&["broadcast"]).with(2);
        let sent = volume_mails(&b);
        assert_eq!(sent.len(), 2, "{between}");
        let first = wholes(&sent);
        match between {
            "another key" => other(&world, &a),
            "lost" => lost(&a, false),
            "damaged" => lost(&a, true),
            "open" => a.run(&["key", "unseal", "b@b.example"]).done().clear(),
            _ => {}
        }
        if between == "another key" {
            b.set(&format!("[trust]\nopen_keys = [{:?}]\n", world.path().join("other")));
        }
        mailer_that_takes(&a, &world, 100);
        a.run(&["broadcast"]).done();
        let all = wholes(&volume_mails(&b));
        assert_eq!(all.len(), if goes_on { 1 } else { 2 }, "{between}: {all:?}");
        assert_eq!(all[0], first[0]);
        b.deliver_all();
        let (entries, _) = b.json(&["queue", "list"]);
        let waits = entries.as_array().unwrap().iter().filter(|e| e["state"] == "waiting").count();
        assert_eq!(waits, usize::from(!goes_on), "{between}: {entries}");
        b.run(&["process", "--batch"]).done();
        assert_eq!(b.read("large").unwrap(), noise(7, 100_000), "{between}");
        assert!(
            !a.tree
                .join(".remsync.d/outbox")
                .read_dir()
                .unwrap()
                .any(|entry| { entry.unwrap().file_name().to_string_lossy().ends_with(".age") })
        );
    }
}

/// Signing, sealing, opening, verifying: the most memory that each takes, of a little and of much.
#[test]
fn memory_does_not_grow_with_the_package() {
    const BYTES: usize = 12 << 20;
    const GROWTH_KIB_MAX: u64 = 5 << 10;
    let world = World::in_memory();
    let (a, b) = trusting_pair(&world);
    let peak = |home: &Home, words: &[&str]| -> u64 {
        let mut child = home.command(support::REMSYNC).args(words).spawn().unwrap();
        let mut peak_kib = 0;
        loop {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
            let status = status.unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            peak_kib = peak_kib.max(kib.unwrap_or(0));
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{words:?}");
                return peak_kib;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    };
    for is_sealed in [false, true] {
        if is_sealed {
            a.run(&["key", "seal", "b@b.example"]).done();
        }
        let [little, much] = [100_000, BYTES].map(|bytes| {
            let large = noise(bytes as u64 + u64::from(is_sealed), bytes);
            a.write("large", &large);
            let sending = peak(&a, &["broadcast"]);
            b.deliver_all();
            let taking = peak(&b, &["process", "--batch"]);
            assert!(b.read("large").unwrap() == large);
            [sending, taking]
        });
        println!("sealed {is_sealed}: {little:?}, {much:?} KiB");
        for (little, much) in little.into_iter().zip(much) {
            assert!(much < little + GROWTH_KIB_MAX, "{little} KiB, then {much} KiB");
        }
    }
}
