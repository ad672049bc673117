//! Commands one after another: as words on the shell's line, and at the prompt without a terminal.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};

use support::{Home, REMSYNC, World};

/// Feeds lines to the prompt.
fn prompt(home: &Home, options: &[&str], lines: &str) -> Output {
    let mut command = home.command(REMSYNC);
    command.args(options).env("SHELL", "/bin/sh");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn site(world: &World) -> Home {
    let a = world.home("a");
    a.run(&["init", "--title", "Test", "--here", "a@a.example"]).done();
    a
}

#[test]
fn words_of_the_shell_form_one_command_and_a_semicolon_parts_two() {
    let world = World::new();
    let a = site(&world);
    a.run(&["create", "remote", "b@b.example", "/t"]).done();
    a.run(&["remote", "c@c.example", ";", "remote", "d@d.example", "-"]).done();
    assert_eq!(
        a.run(&["lr"]).done(),
        "remote  [1] b@b.example /t\nremote  [2] c@c.example -\nremote  [3] d@d.example -\n"
    );
    // One argument that is a line, as a script of the old program's has it.
    assert_eq!(a.run(&["list local; l r 2"]).with(2), format!("here    a@a.example ~/tree\n"));
    assert_eq!(a.run(&["home 3", "/u; v"]).done(), "");
    assert!(a.run(&["list", "remote"]).done().contains("[3] d@d.example /u; v\n"));
    let failed = a.run(&["list remote", ";", "nothing"]);
    assert!(failed.stderr().contains("\"nothing\" is no command"), "{}", failed.story());
    assert_eq!(failed.status(), 2);
    let json = a.run(&["--json", "list", ";", "status"]);
    assert!(json.stderr().contains("hint: each prints a document"), "{}", json.story());
    assert_eq!(json.status(), 2);
    a.run(&["mode", "noop", ";", "title", "Other"]).done();
    assert_eq!(a.run(&["title"]).done(), "title   Test\n");
    a.run(&["! test -e .remsync"]).done();
    assert_eq!(a.run(&["!", "test", "-e", "nothing"]).status(), 2);
    assert_eq!(a.run(&["list", "title", ";", "!", "echo", "-n", "x;", ";"]).status(), 2);
    assert_eq!(a.run(&["!", "echo", "-n", "x", ";", "echo", "y"]).done(), "xy\n");
}

#[test]
fn statements_are_changed_by_value_and_by_number() {
    let world = World::new();
    let a = site(&world);
    let lines = "remote B@b.example ~/b\nr c@c.example\nemail 2 d@d.example\nhome [1] /new\n\
                 el A@new.example\nhome local /elsewhere\nscan src\ncs doc/*.txt\ni !.*\\.c\n\
                 ignore 'a b'\ndelete scan [1]\nt Another  name\nlist\n";
    let output = prompt(&a, &[], lines);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let told = stdout(&output);
    for line in [
        "title   Another name\n",
        "here    a@new.example /elsewhere\n",
        "remote  [1] b@b.example /new\nremote  [2] d@d.example -\n",
        "scan    [1] src\n",
        "] !.*\\.c\n",
        "] a b\n",
    ] {
        assert!(told.contains(line), "{line:?}\n{told}");
    }
    assert!(!told.contains("doc/*.txt"), "{told}");
    assert_eq!(a.run(&["list"]).done(), told, "it is saved");
    for (line, what, hint) in [
        ("dr 7", "\"7\" is no remote", "list remote"),
        ("remote d@d.example", "it is a remote already", ""),
        ("email 1 d@d.example", "it is a remote already", ""),
        ("email local d@d.example", "it is a remote of this project", ""),
        ("scan src", "there already", ""),
        ("di nothing", "is not there", "number in brackets"),
        ("ignore a++", "is not supported", "write (?>"),
        ("ignore (", "", ""),
        ("title", "", ""),
    ] {
        let output = prompt(&a, &[], line);
        let status = if line == "title" { 0 } else { 2 };
        assert_eq!(output.status.code(), Some(status), "{line}: {output:?}");
        assert!(stderr(&output).contains(what), "{line}: {output:?}");
        assert!(hint.is_empty() || stderr(&output).contains("  hint: "), "{line}: {output:?}");
        assert!(stderr(&output).contains(hint), "{line}: {output:?}");
    }
}

#[test]
fn what_was_changed_is_saved_late_and_the_old_file_kept() {
    let world = World::new();
    let a = site(&world);
    let before = a.text(".remsync");
    let output = prompt(&a, &[], "title One\n! cat .remsync\ntitle Two\nstatus\n! cat .remsync\n");
    assert_eq!(output.status.code(), Some(0));
    let told = stdout(&output);
    assert_eq!(told.matches("title\tTest\n").count(), 1, "not saved yet: {told}");
    assert_eq!(told.matches("title\tTwo\n").count(), 1, "saved before status: {told}");
    assert_eq!(a.text(".remsync.bak"), before);
    let bak = fs::metadata(a.tree.join(".remsync")).unwrap().modified().unwrap();
    let output = prompt(&a, &[], "list\nremote\n");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(fs::metadata(a.tree.join(".remsync")).unwrap().modified().unwrap(), bak);
}

#[test]
fn abort_saves_nothing_and_quit_and_the_end_save() {
    let world = World::new();
    let a = site(&world);
    let output = prompt(&a, &[], "title One\nlist title\nabort\nlist\n");
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), "title   One\n"));
    assert_eq!(a.run(&["title"]).done(), "title   Test\n");
    assert_eq!(a.run(&["title One; abort"]).status(), 2);
    assert_eq!(a.run(&["title"]).done(), "title   Test\n");
    assert_eq!(prompt(&a, &[], "title One\nquit\ntitle Two\n").status.code(), Some(0));
    assert_eq!(a.run(&["title"]).done(), "title   One\n");
    assert_eq!(prompt(&a, &[], "# x\n\n title Two").status.code(), Some(0));
    assert_eq!(a.run(&["title"]).done(), "title   Two\n");
}

#[test]
fn modes_folders_and_other_projects() {
    let world = World::new();
    let (a, b) = (site(&world), world.home("b"));
    b.init(&[&a]).done();
    fs::create_dir(a.tree.join("sub")).unwrap();
    let to_b = b.tree.to_str().unwrap();
    let lines = format!("cd sub\npwd\ntitle In sub\nv {to_b}\nlh\nc ~\npwd\nvisit .\ncd nowhere\n");
    let output = prompt(&a, &[], &lines);
    let (sub, home) = (a.tree.join("sub"), a.top.display());
    let told = format!("{}\nhere    b@b.example ~/tree\n{home}\n", sub.display());
    assert_eq!(stdout(&output), told);
    let said = stderr(&output);
    assert!(said.contains(&format!("  {to_b}: \"Test\"\n")), "{said}");
    assert!(said.contains(".: there is no .remsync.\n  hint: \"chdir\" goes there"), "{said}");
    assert!(said.contains("nowhere: No such file"), "{said}");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(a.run(&["title"]).done(), "title   In sub\n", "saved before the other was read");

    a.run(&["remote", &b.address]).done();
    a.write("f", "one\n");
    let output = prompt(&a, &[], "mode noop\nbroadcast\nmode\nmode normal\nmode\n");
    assert!(b.mails().is_empty(), "{output:?}");
    assert!(stdout(&output).contains("noop  on "), "{output:?}");
    assert!(stdout(&output).contains("noop  off"), "{output:?}");
    prompt(&a, &[], "mode init\nb\n");
    assert_eq!(b.mails().len(), 1);
}

/// A queue and settings that are named from the folder that one started in stay the same ones.
#[test]
fn what_variables_name_is_meant_from_where_one_started() {
    let world = World::new();
    let (a, b) = (site(&world), world.home("b"));
    a.run(&["remote", &b.address]).done();
    fs::create_dir(a.tree.join("sub")).unwrap();
    for words in [&["cd", "sub", ";", "queue", ";", "broadcast"][..], &["-C", "sub", "broadcast"]] {
        a.write("f", words.join(" "));
        let mails = b.mails().len();
        let mut command = a.command(REMSYNC);
        command.args(words).env("REMSYNC_QUEUE", "../q").env("REMSYNC_CONFIG", "../config.toml");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(b.mails().len(), mails + 1, "the transport is in the settings");
    }
    assert!(a.top.join("q").is_dir() && !a.tree.join("q").exists());
}

#[test]
fn a_set_of_sites() {
    let world = World::new();
    let a = site(&world);
    a.write("f", "one\n");
    for name in ["b", "c", "d"] {
        a.run(&["remote", &format!("{name}@{name}.example")]).done();
    }
    let sites = |words: &[&str]| -> Vec<String> {
        let (document, _) = a.json(&[&["broadcast", "--dry-run"], words].concat());
        let sites = document["sites"].as_array().unwrap().iter();
        sites.map(|site| site["address"].as_str().unwrap()[..1].to_owned()).collect()
    };
    assert_eq!(sites(&[]), ["b", "c", "d"]);
    assert_eq!(sites(&["3", "[1]"]), ["b", "d"], "in the order of the remotes");
    assert_eq!(sites(&["!2"]), ["b", "d"]);
    assert_eq!(sites(&["!", "b@b.example", "3"]), ["c"]);
    assert_eq!(sites(&["!"]), [""; 0], "all but all");
    let failed = a.run(&["broadcast", "9"]);
    assert!(failed.stderr().contains("hint: \"remsync list remote\""), "{}", failed.story());
    assert_eq!(failed.status(), 2);
}

/// Without a terminal nobody is asked, and nothing is made.
#[test]
fn without_a_project_and_a_terminal() {
    let world = World::new();
    let a = world.home("a");
    let output = prompt(&a, &[], "?\nhelp\nmode\n! true\nlist\n");
    assert!(stdout(&output).starts_with("usage: remsync"), "{output:?}");
    assert!(
        stderr(&output).contains("there is no .remsync.\n  hint: \"remsync init\""),
        "{output:?}"
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(!a.tree.join(".remsync").exists());
}
