//! Completion in bash, zsh and fish, by the tab key of the shells themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::terminal::Terminal;
use support::{Home, REMSYNC, World};

/// A shell at a terminal, in the tree, with its completion of `remsync` read.
fn shell(home: &Home, name: &str) -> Terminal {
    let script = home.top.join(format!("completion.{name}"));
    fs::write(&script, home.run(&["completions", name]).done()).unwrap();
    // The shells want a terminal of their own, to control jobs.
    let mut command: Command = home.command("setsid");
    command.args(["--ctty", "--wait", name]);
    match name {
        "bash" => command.args(["--norc", "--noprofile", "-i"]),
        "zsh" => command.args(["-f", "-i"]),
        _ => command.args(["--no-config", "--interactive"]),
    };
    // What the shell runs in the end is told instead.
    let bin = home.top.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let stub =
        format!("#!/bin/sh\n[ \"$2\" = words ] && exec {REMSYNC} \"$@\"\necho \"ran: $*\"\n");
    fs::write(bin.join("remsync"), stub).unwrap();
    fs::set_permissions(bin.join("remsync"), fs::Permissions::from_mode(0o755)).unwrap();
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    // readline would ask before it lists much.
    command.env("INPUTRC", "/dev/null").env("PS1", "ready> ").env("LANG", "C.UTF-8");
    let mut terminal = Terminal::start(command);
    let script = script.display();
    let source = match name {
        "bash" => format!("source {script}"),
        "zsh" => format!("PS1='ready> '; autoload -U compinit; compinit -u -D; source {script}"),
        _ => format!("function fish_prompt; echo 'ready> '; end; source {script}"),
    };
    terminal.press(&format!("{source}; echo it is re''ad\r"));
    terminal.wait_for("it is read\n");
    terminal
}

/// What is typed, tabs in it, and the line that it becomes.
const LINES: &[(&str, &str)] = &[
    ("remsync bro\tb@\t", "remsync broadcast b@b.example"),
    ("remsync list ig\t", "remsync list ignore"),
    ("remsync lr --js\t", "remsync lr --json"),
    ("remsync resolve folder/ch\tke\t", "remsync resolve folder/chart.txt keep"),
    ("remsync queue sh\t", "remsync queue show"),
    ("remsync diff --from b\t", "remsync diff --from b@b.example"),
    ("remsync -C fol\t", "remsync -C folder/"),
    ("remsync comp\tzs\t", "remsync completions zsh"),
];

fn completes(name: &str) {
    let world = World::new();
    let (a, b) = world.pair();
    a.write("folder/chart.txt", "one\n");
    a.run(&["broadcast"]).done();
    assert_eq!(b.receive(), 0);
    for home in [&a, &b] {
        home.write("folder/chart.txt", &home.address);
    }
    b.run(&["broadcast"]).done();
    assert_eq!(a.receive(), 1, "a question is open");
    let mut terminal = shell(&a, name);
    for (typed, line) in LINES {
        for part in typed.split_inclusive('\t') {
            terminal.press(part);
            std::thread::sleep(std::time::Duration::from_millis(400));
        }
        terminal.press("\r");
        terminal.wait_for(&format!("ran: {}\n", line.strip_prefix("remsync ").unwrap()));
    }
    terminal.press("exit\r");
    drop(terminal.end());
}

#[test]
fn bash_completes() {
    completes("bash");
}

#[test]
fn zsh_completes() {
    completes("zsh");
}

#[test]
fn fish_completes() {
    completes("fish");
}
