//! Every spelling of every command, and what is said of a wrong one.

use super::*;

fn words(line: &str) -> Vec<OsString> {
    let mut commands = line::split(line.as_bytes()).unwrap();
    assert!(commands.len() <= 1, "{line}");
    commands.pop().unwrap_or_default()
}

fn read(line: &str) -> Option<Command> {
    parse(&words(line)).ok().flatten()
}

fn create(kind: Kind, values: &[&str]) -> Option<Command> {
    Some(Command::Edit(Edit::Create(kind, values.iter().map(OsString::from).collect())))
}

fn delete(kind: Kind, value: &str) -> Option<Command> {
    Some(Command::Edit(Edit::Delete(kind, value.into())))
}

fn broadcast(sites: &[&str]) -> Option<Command> {
    Some(Command::Broadcast(sites.iter().map(|&site| site.to_owned()).collect()))
}

/// The manual's own example, and all that follows from its rule.
#[test]
fn spellings_of_one_command() {
    let kinds = [
        ("remote", Kind::Remote),
        ("scan", Kind::Scan),
        ("ignore", Kind::Ignore),
        ("local", Kind::Here),
        ("here", Kind::Here),
        ("files", Kind::Files),
        ("title", Kind::Title),
    ];
    for (name, kind) in kinds {
        for first in ["list", "l"] {
            for second in [name, &name[..1]] {
                for line in [format!("{first} {second}"), format!("{first}{second}")] {
                    assert_eq!(read(&line), Some(Command::List(Some(kind))), "{line}");
                }
            }
        }
    }
    for (name, kind) in &kinds[..3] {
        for first in ["create", "c", ""] {
            for second in [name, &name[..1]] {
                for blank in [" ", ""] {
                    let line = format!("{first}{blank}{second} v");
                    assert_eq!(read(&line), create(*kind, &["v"]), "{line}");
                }
            }
        }
        for line in [format!("delete {name} v"), format!("d{name} v"), format!("d{} v", &name[..1])]
        {
            assert_eq!(read(&line), delete(*kind, "v"), "{line}");
        }
    }
    for line in ["l rem", "lisremote", "lis", "broad", "x", "lrr", "bb", "L r", "lR", "qq", "Quit"]
    {
        assert_eq!(read(line), None, "{line}");
    }
}

/// Each command of the two manuals and of the programs, in full and short.
#[test]
fn the_language_of_the_manuals() {
    let here = |address: &str, directory: Option<&str>| {
        Some(Command::Edit(Edit::Here(address.into(), directory.map(OsString::from))))
    };
    let email = |site, value: &str| Some(Command::Edit(Edit::Email(site, value.into())));
    let home = |site, value: &str| Some(Command::Edit(Edit::Home(site, value.into())));
    let remote = |name: &str| SiteName::Remote(name.into());
    let chdir = |to: &str| Some(Command::Chdir(Some(to.into())));
    let shell = |typed: Option<&str>| Some(Command::Shell(typed.map(OsString::from)));
    let table = [
        ("?", Some(Command::Summary)),
        ("help", Some(Command::Help)),
        ("!", shell(None)),
        ("! ls -l | wc; date", shell(Some("ls -l | wc; date"))),
        ("!ls", shell(Some("ls"))),
        ("quit", Some(Command::Quit)),
        ("q", Some(Command::Quit)),
        ("abort", Some(Command::Abort)),
        ("a", Some(Command::Abort)),
        ("visit /x", Some(Command::Visit("/x".into()))),
        ("v x", Some(Command::Visit("x".into()))),
        ("chdir x", chdir("x")),
        ("cd x", chdir("x")),
        ("c x", chdir("x")),
        ("c ./r", chdir("./r")),
        ("c", Some(Command::Chdir(None))),
        ("cd", Some(Command::Chdir(None))),
        ("pwd", Some(Command::Chdir(None))),
        ("c r a@x", create(Kind::Remote, &["a@x"])),
        ("process", Some(Command::Process(None))),
        ("p", Some(Command::Process(None))),
        ("p f.tar.gz", Some(Command::Process(Some("f.tar.gz".into())))),
        ("list", Some(Command::List(None))),
        ("l", Some(Command::List(None))),
        ("files", Some(Command::List(Some(Kind::Files)))),
        ("f", Some(Command::List(Some(Kind::Files)))),
        ("create remote a@x /t", create(Kind::Remote, &["a@x", "/t"])),
        ("remote a@x -", create(Kind::Remote, &["a@x", "-"])),
        ("r 1 /t", create(Kind::Remote, &["1", "/t"])),
        ("remote", Some(Command::List(Some(Kind::Remote)))),
        ("r", Some(Command::List(Some(Kind::Remote)))),
        ("s", Some(Command::List(Some(Kind::Scan)))),
        ("i", Some(Command::List(Some(Kind::Ignore)))),
        ("ignore .*~", create(Kind::Ignore, &[".*~"])),
        ("i !.*\\.c", create(Kind::Ignore, &["!.*\\.c"])),
        ("scan 'two words'", create(Kind::Scan, &["two words"])),
        ("delete scan [2]", delete(Kind::Scan, "[2]")),
        ("dr 1", delete(Kind::Remote, "1")),
        ("email 2 b@x", email(remote("2"), "b@x")),
        ("e b@x c@x", email(remote("b@x"), "c@x")),
        ("email local a@x", email(SiteName::Here, "a@x")),
        ("el a@x", email(SiteName::Here, "a@x")),
        ("home [1] /t", home(remote("[1]"), "/t")),
        ("home local /t", home(SiteName::Here, "/t")),
        ("homelocal /t", home(SiteName::Here, "/t")),
        ("title", Some(Command::List(Some(Kind::Title)))),
        ("t Notes of  Ann's", Some(Command::Edit(Edit::Title("Notes of Ann's".into())))),
        ("here", Some(Command::List(Some(Kind::Here)))),
        ("h", Some(Command::List(Some(Kind::Here)))),
        ("h a@x", here("a@x", None)),
        ("here - /t", here("-", Some("/t"))),
        ("mode", Some(Command::Mode(None))),
        ("mode init", Some(Command::Mode(Some(Mode::Init)))),
        ("m i", Some(Command::Mode(Some(Mode::Init)))),
        ("mn", Some(Command::Mode(Some(Mode::Noop)))),
        ("mode normal", Some(Command::Mode(Some(Mode::Normal)))),
        ("broadcast", broadcast(&[])),
        ("b", broadcast(&[])),
        ("broadcast a@x b@x", broadcast(&["a@x", "b@x"])),
        ("b !1 [2]", broadcast(&["!1", "[2]"])),
        ("b !", broadcast(&["!"])),
    ];
    for (line, command) in table {
        assert_eq!(read(line), command, "{line}");
    }
}

#[test]
fn commands_that_are_full_words() {
    let table = [
        ("resolve a b keep", Some(Command::Resolve(vec!["a".into(), "b".into()], Decision::Keep))),
        ("resolve a merge", Some(Command::Resolve(vec!["a".into()], Decision::Merge))),
        // With --all or --from no file is named.
        ("resolve both", Some(Command::Resolve(vec![], Decision::Both))),
        ("diff a b", Some(Command::Diff(vec!["a".into(), "b".into()]))),
        ("diff 'a b'", Some(Command::Diff(vec!["a b".into()]))),
        ("log", Some(Command::Log(None))),
        ("undo 7", Some(Command::Undo(Some(7)))),
        ("undo", Some(Command::Undo(None))),
        ("restore f", Some(Command::Restore("f".into(), None))),
        ("restore f 12ab", Some(Command::Restore("f".into(), Some("12ab".into())))),
        ("queue", Some(Command::Queue(QueueVerb::List))),
        ("queue drop 1", Some(Command::Queue(QueueVerb::Drop("1".into())))),
        ("accept 1 d", Some(Command::Accept("1".into(), "d".into()))),
        ("find-mailer", Some(Command::FindMailer(None))),
        ("find-mailer a@x", Some(Command::FindMailer(Some("a@x".into())))),
        ("init", Some(Command::Init)),
        ("completions zsh", Some(Command::Completions("zsh".into()))),
        ("completions words l", Some(Command::Complete(vec!["l".into()]))),
        ("status", Some(Command::Status)),
    ];
    for (line, command) in table {
        assert_eq!(read(line), command, "{line}");
    }
}

/// Every fault of the grammar: what is said, and what is advised.
#[test]
fn a_wrong_command_is_answered_with_a_hint() {
    let table = [
        ("l rem", "\"rem\" is no type", "write \"remote\" in full, or its first letter"),
        ("list x", "\"x\" is no type", "there are local, here, title, remote"),
        ("list remote x", "\"x\" is one word too many", "\";\" stands between two commands"),
        ("lisremote", "\"lisremote\" is no command", "did you mean \"list remote\"?"),
        ("lrem", "\"lrem\" is no command", "did you mean \"list remote\"?"),
        ("brodcast", "\"brodcast\" is no command", "did you mean \"broadcast\"?"),
        ("stat", "\"stat\" is no command", "did you mean \"status\"?"),
        ("x", "\"x\" is no command", "\"?\" lists them"),
        ("cx", "\"cx\" is no command", "in full or as its first letter"),
        ("create foo v", "\"foo\" is no type", "there are"),
        ("create", "create takes remote, scan or ignore", "\"title\", \"here\""),
        ("create files", "create takes remote, scan or ignore", "\"email\""),
        ("create remote", "takes an address and a folder", "may be left out"),
        ("remote a b c", "takes an address and a folder", "may be left out"),
        ("create scan", "takes one wildcard", "in quotes"),
        ("scan two words", "takes one wildcard", "in quotes"),
        ("ignore two words", "takes one expression", "in quotes"),
        ("delete", "delete takes remote, scan or ignore", "change the rest"),
        ("delete here", "delete takes remote, scan or ignore", "change the rest"),
        ("d s", "delete takes one value", "\"list\" shows the numbers"),
        ("delete scan a b", "delete takes one value", "in brackets"),
        ("email", "email takes a remote and an address", "\"local\" for this site"),
        ("email local", "email takes a remote and an address", "by its address or number"),
        ("home 1", "home takes a remote and a folder", "\"local\""),
        ("here a b c", "here takes an address and a folder", "leaves it as it is"),
        ("mode foo", "\"foo\" is no mode", "there are init, noop, normal"),
        ("mode ini", "\"ini\" is no mode", "write \"init\" in full"),
        ("visit", "visit takes the top folder", "\"pwd\""),
        ("visit a b", "visit takes the top folder", "\"pwd\""),
        ("chdir a b", "chdir takes one folder", "in quotes"),
        ("pwd x", "\"x\" is one word too many", ";"),
        ("process a b", "process takes one file or one entry", "all that arrived"),
        ("version 1.3", "\"version\" stands in packages only", "process FILE"),
        ("from a@x", "\"from\" stands in packages only", "process FILE"),
        ("sum f 00070", "\"sum\" stands in packages only", "process FILE"),
        ("if f 00070 1", "\"if\" stands in packages only", "process FILE"),
        ("quit now", "\"now\" is one word too many", ";"),
        ("abort now", "\"now\" is one word too many", ";"),
        ("? list", "\"list\" is one word too many", ";"),
        ("status x", "\"x\" is one word too many", ";"),
        ("resolve", "resolve takes files", "pending"),
        ("resolve a", "resolve takes files", "pending"),
        ("resolve a maybe", "resolve takes files", "pending"),
        ("accept 1", "accept takes an entry", "queue"),
        ("undo f", "undo takes the number of a run", "log"),
        ("undo 7 8", "undo takes the number of a run", "log"),
        ("restore", "restore takes a file", "lists"),
        ("log a b", "log takes one file", "in quotes"),
        ("queue drop", "queue takes list, or show", "lists the entries"),
        ("completions", "completions takes the name of a shell", "bash, zsh, fish"),
        ("completions tcsh", "completions takes the name of a shell", "bash, zsh, fish"),
        ("find-mailer a@x b@x", "find-mailer takes one address", "--self-test"),
        ("push a b", "push takes one file", "config.ini"),
        ("queue show", "queue takes list, or show", "lists the entries"),
        ("accept", "accept takes an entry", "queue"),
        ("key", "key takes new, show", "FILE holds a public key"),
        ("key trust a@x", "key takes new, show", "standard input"),
        ("upgrade x", "\"x\" is one word too many", ";"),
        ("check x", "\"x\" is one word too many", ";"),
        ("display x", "\"x\" is one word too many", ";"),
        ("demo x", "\"x\" is one word too many", ";"),
        ("init x", "\"x\" is one word too many", ";"),
        ("pending x", "\"x\" is one word too many", ";"),
    ];
    for (line, what, hint) in table {
        let failure = parse(&words(line)).expect_err(line);
        assert!(failure.what.contains(what), "{line}: {}", failure.what);
        assert!(failure.hint.contains(hint), "{line}: {}", failure.hint);
    }
}

/// Words that are no UTF-8, where only names of files may be so.
#[test]
fn words_of_other_bytes() {
    let odd = || OsString::from_vec(b"\xff".to_vec());
    for before in
        ["broadcast", "email 1", "here", "title", "queue show", "find-mailer", "", "key trust"]
    {
        let mut words = words(before);
        words.push(odd());
        let failure = parse(&words).expect_err(before);
        assert!(!failure.hint.is_empty(), "{before}: {failure:?}");
    }
    for before in ["process", "log", "diff", "chdir", "visit", "scan", "ignore", "delete scan"] {
        let mut words = words(before);
        words.push(odd());
        assert!(parse(&words).is_ok(), "{before}");
    }
}

/// What the manual of 1994 prints as examples, in its own words: each is what it says it is.
#[test]
fn every_example_of_the_old_manuals() {
    let list = Some(Command::List(Some(Kind::Remote)));
    for line in ["list remote", "l remote", "list r", "l r", "listremote", "lr"] {
        assert_eq!(read(line), list, "{line}");
    }
    for line in ["l rem", "lisremote"] {
        let failure = parse(&words(line)).expect_err("not legal");
        assert!(failure.hint.contains("\"remote\"") || failure.hint.contains("list remote"));
    }
    // The two most common usages.
    assert_eq!(read("b"), read("broadcast"));
    assert_eq!(read("p"), read("process"));
    // "Below, for clarity, keywords are written in full": the table, an entry each.
    for (line, short) in [
        ("visit DIRECTORY", "v DIRECTORY"),
        ("process FILE", "p FILE"),
        ("list local", "ll"),
        ("list files", "lf"),
        ("create remote VALUE", "cr VALUE"),
        ("scan VALUE", "s VALUE"),
        ("create ignore !VALUE", "ci !VALUE"),
        ("delete ignore VALUE", "di VALUE"),
        ("email local VALUE", "e l VALUE"),
        ("email 1 VALUE", "e 1 VALUE"),
        ("home local VALUE", "home l VALUE"),
        ("broadcast !a@x b@x", "b !a@x b@x"),
        ("mode init", "mi"),
        ("quit", "q"),
    ] {
        assert!(read(line).is_some() && read(line) == read(short), "{line}: {short}");
    }
}

#[test]
fn lines() {
    let table: &[(&str, &[&[&str]])] = &[
        ("", &[]),
        (" \t ", &[]),
        ("# list", &[]),
        ("  # list; quit", &[]),
        ("list remote", &[&["list", "remote"]]),
        ("  list \t remote \r\n", &[&["list", "remote"]]),
        ("list;quit", &[&["list"], &["quit"]]),
        (";; list ; ;quit;", &[&["list"], &["quit"]]),
        ("title a # b", &[&["title", "a", "#", "b"]]),
        ("ignore 'a; b'", &[&["ignore", "a; b"]]),
        ("ignore \"it's\";list", &[&["ignore", "it's"], &["list"]]),
        ("ignore '' x", &[&["ignore", "", "x"]]),
        ("ignore it's\\.o", &[&["ignore", "it's\\.o"]]),
        ("list; !echo a; b 'c", &[&["list"], &["!echo a; b 'c"]]),
        ("b !1 a", &[&["b", "!1", "a"]]),
    ];
    for (line, commands) in table {
        let split = line::split(line.as_bytes()).unwrap();
        let split: Vec<Vec<&str>> =
            split.iter().map(|words| words.iter().map(|w| w.to_str().unwrap()).collect()).collect();
        assert_eq!(split, *commands, "{line:?}");
    }
    for line in ["ignore 'a", "ignore \"a'", "ignore 'a'b"] {
        let failure = line::split(line.as_bytes()).unwrap_err();
        assert!(!failure.hint.is_empty(), "{line}");
    }
}
