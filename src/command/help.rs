//! What `-h`, `--help` and `--version` print. `tests/tidy.rs` compares it with the options, the
//! grammar and the manual. What the old programs say of themselves is here too.

use std::ffi::{OsStr, OsString};

/// `--version`.
pub const VERSION: &str = concat!("remsync ", env!("CARGO_PKG_VERSION"), " (formats 2.0 and 1.3)");

/// `-h`: one screen.
pub const SHORT: &str = "\
usage: remsync [OPTIONS] [COMMAND …]
       keeps trees of files in step among equal sites, by mail

  init --title T --here ADDR [--remote 'ADDR DIR']…   make this folder a project
  broadcast [SITES]      send the others what they lack
  process [FILE or ID]   apply what arrived
  status                 where every file stands
  pending                what waits for you
  diff [FILE…]           what is here beside what arrived
  resolve FILE… keep|take|both|merge
  log [FILE], undo [RUN], restore FILE [VERSION]      what was done here, and back
  queue [list] [--out], queue show|drop|retry ID      what came; what waits to go
  accept ID DIR          make the tree that a first package proposes
  key new|show|list, key trust|seal ADDRESS FILE, key revoke|unseal ADDRESS
  list [TYPE]            title, here, remote, scan, ignore, files
  create TYPE VALUE, delete TYPE VALUE                remote, scan, ignore
  title TEXT, here ADDR [DIR], email SITE ADDR, home SITE DIR
  visit DIR, chdir [DIR], mode [init|noop|normal], ! [SHELL COMMAND], quit, abort
  check, display, synchro [FILE…]    sites without remsync, over SSH: look, show, carry out
  push [FILE]            copy what config.ini says to many hosts, over SSH
  find-mailer            whether mail leaves here, and comes in
  demo                   three sites in a temporary folder

  -C DIR   -n dry run   -i inventory   --batch   --json   --help for all
";

/// `--help`: all of it.
pub const LONG: &str = "\
usage: remsync [OPTIONS] [COMMAND …]

remsync keeps trees of files in step among equal sites by ordinary mail. Without a command it reads
commands from standard input.

Commands; the keywords from broadcast to abort, and the types, may be shortened to their first
letter and run together (b, p, l r, lr); a semicolon stands between two commands:
  init                     make the folder a project; needs --title and --here
  accept ID DIR            make the tree that a first package proposes, in an empty or new folder
  broadcast [SITES]        send each site what it lacks; SITES are addresses or numbers,
                           none is everybody, a leading ! is everybody but those
  process [FILE or ID]     apply a package, packed or unpacked, or all that arrived, and ask at a
                           terminal
  status                   where every file stands at every site
  pending                  what waits for a person: conflicts, deletions, first packages
  diff [FILE…]             what is here beside what arrived, line by line
  resolve FILE… ANSWER     answer with keep (what is here), take (what arrived), both (the other
                           beside ours, under a name of its own) or merge; FILE may be a wildcard,
                           and FILE:N one of several versions that wait
  log [FILE]               what was done here, run by run, newest first
  undo [RUN]               the files of a run as they were before it; the last one without RUN
  restore FILE [VERSION]   one file as it was once; without VERSION lists what is kept
  queue [list]             the packages that arrived; with --out, those that no carrier took
  queue show ID            all about one
  queue drop ID            take one out for good; what it was to carry is due again
  queue retry ID           make a held or refused one new again; in the outbox, due now
  key new                  make the key that signs what this account sends
  key show                 its public half, for the others
  key trust ADDRESS FILE   trust the public key in FILE (- is standard input) to sign for ADDRESS
  key trust ADDRESS ID     trust the key that signed an entry of the queue, after comparing words
  key list                 whom we trust
  key revoke ADDRESS       never trust the keys of ADDRESS again
  key seal ADDRESS [FILE]  seal what goes to ADDRESS with age, to its trusted key or that in FILE
  key unseal ADDRESS       send it openly again
  list [TYPE]              the statements: title, here (or local), remote, scan, ignore, files
  files                    the same as list files
  create TYPE VALUE        a new remote (ADDRESS DIR, or ssh://USER@HOST:PORT DIR), scan (shell
                           wildcards) or ignore (Perl expression on the whole path; a leading !
                           inverts); the word create may be left out
  delete TYPE VALUE        takes one away, by its value or its number
  title TEXT               what people call the project
  here ADDRESS [DIR]       this site's own address and folder; - leaves the address
  email SITE ADDRESS       another address for a remote, or for this site (local)
  home SITE DIR            another folder
  visit DIR                works on the project in DIR from now on
  chdir [DIR]              goes to another folder (also cd), or shows which it is (also pwd)
  mode [init|noop|normal]  from now on as with -i; as with -n; as with neither
  check                    look at every site that SSH reaches, and save what was seen; while that
                           is fresh it is used again
  display                  how all sites stand, here and as a page; what synchro would do
  synchro [FILE…] [ANSWER] carry out what the display showed: what is ticked, or these files; keep
                           or take at the end settles their conflicts
  push [FILE]              copies of files and folders on many hosts at once, over SSH, as
                           config.ini (or FILE) says; nothing of ours is needed there
  find-mailer [ADDRESS]    how mail leaves here and comes in, and whether both work; with
                           --self-test a mail to oneself (or ADDRESS) goes all the way round
  mail-files DEST TYPE SUBJECT FILE…   mails files as attachments to DEST, an address or a file with
                           one on each line; before DEST, -s KB: no mail is larger, -x: say each
  mailshar DEST FILE…      mails them as a shell archive that any shell unpacks; before DEST, -S TEXT:
                           the subject, -s KB: in such parts (60), -M -T -B: mixed, texts only, all
                           encoded, -z -Z -j: all packed, by gzip, compress, bzip2
  upgrade                  makes a project of format 1.3 speak 2.0
  completions SHELL        a script with which bash, zsh or fish complete all this
  demo                     shows it all with three sites in a temporary folder
  ! [SHELL COMMAND]        runs it, or a shell
  quit                     ends, and saves what was changed
  abort                    ends, and forgets it
  ?                        the commands on one screen
  help                     this text

Options, before or after the command:
  -C DIR                   as if started in DIR
      --queue DIR          the queue of incoming packages
      --config FILE        the settings file
  -n, --dry-run            change, mail and write nothing; say what would happen
  -i, --inventory          broadcast signatures only, no contents
      --batch              never ask: what needs a person is held
      --json               one JSON document on standard output
      --all                resolve: every question
      --from ADDRESS       resolve, diff: the questions about this site's versions
      --base               diff: what each side changed since the version before both
      --to DIR             broadcast: packages as files in DIR, not by mail
      --out                queue: the outbox, packages that no carrier took
      --force              check, display: look again, however fresh the last check is
      --max-age SPAN       check, display: how old the last check may be; 1h if not said
      --serve              display: the page with buttons, on this machine only
      --open               display: in the browser
      --plan FILE          synchro: another plan than the saved one
      --retry-failed       push: only to the hosts that failed the last time
      --accept-new         hosts whose key nobody knows are taken, and known from then on
      --self-test          find-mailer: send a mail, and wait until the filter has it
      --wait SECONDS       how long it waits; 60 if not said
      --title TITLE        init: what people call the project
      --here ADDRESS       init: this site's address
      --remote 'ADDR DIR'  init: another site, any number of times
      --format FORMAT      init: 2.0 (the default) or 1.3
      --passphrase         key new: with a passphrase
      --words              key show: its fingerprint, and words to compare
  -q, --quiet              no tally, and no reason twice
  -v, --verbose            say more
      --color WHEN         always, never or auto
  -h                       one screen
      --help               this text
  -V, --version            the version

Exit status: 0 done; 1 done, and something waits for a person; 2 something failed.
Environment: REMSYNC_CONFIG, REMSYNC_QUEUE, REMSYNC_TRANSPORT, REMSYNC_SMTP_PASSWORD override the
settings file; REMSYNC_PASSPHRASE opens the key that signs; REMSYNC_MERGE, VISUAL and EDITOR name
programs for merge.
See remsync(1), remsync-deliver(1), remsync(5), remsync-package(5).
";

/// An old program: its name, how it is called, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Companion {
    /// The name that a link to this program has.
    pub name: &'static str,
    /// Options and words.
    pub usage: &'static str,
    /// What it does, in a line.
    pub does: &'static str,
}

/// All of them; each has a manual page of its own.
pub const COMPANIONS: [Companion; 5] = [
    Companion {
        name: "find-mailer",
        usage: "find-mailer [--self-test] [--wait SECONDS] [ADDRESS]",
        does: "says how mail leaves here and comes in, and whether both work",
    },
    Companion {
        name: "mail-files",
        usage: "mail-files [-x] [-s KB] ADDRESS|LIST TYPE SUBJECT FILE…",
        does: "mails files as attachments",
    },
    Companion {
        name: "mailshar",
        usage: "mailshar [-S SUBJECT] [-s KB] [-M|-T|-B|-z|-Z|-j] [-x] ADDRESS|LIST FILE…",
        does: "mails files as a shell archive that any shell unpacks",
    },
    Companion {
        name: "mailsync",
        usage: "mailsync [-i] [-n] [ADDRESS|LIST] [DIRECTORY]",
        does: "sends other sites what they lack",
    },
    Companion {
        name: "resync",
        usage: "resync [-n] FILE|DIRECTORY",
        does: "applies a package, and lists what waits for a person",
    },
];

/// Returns what one that is asked for `--help` or `--version` says, as the old programs took these
/// words: by their first letters.
pub fn companion_says(name: &OsStr, given: &[OsString]) -> Option<String> {
    let Companion { name, usage, does } = *COMPANIONS.iter().find(|one| name == one.name)?;
    let is = |long: &str, word: &OsStr| {
        let word = word.to_str().unwrap_or_default();
        word.len() > 2 && long.starts_with(word)
    };
    match given {
        [word] if is("--help", word) => {
            Some(format!("usage: {usage}\n       {does}; \"man {name}\" tells more"))
        }
        [word] if is("--version", word) => Some(format!("{name}, of {}", VERSION)),
        _ => None,
    }
}

/// Returns how a companion is called.
pub fn usage(name: &str) -> &'static str {
    COMPANIONS.iter().find(|one| one.name == name).map_or("", |one| one.usage)
}
