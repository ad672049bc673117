//! remsync keeps trees of files in step among equal sites by ordinary mail.
//!
//! This page is the architecture: what happens to a file on its way, which part of the code has
//! which say, and what never happens. How to use the programs is in `README.md` and `man/`.
//! `tests/tidy.rs` holds the code to this page where a reader of text can.
//!
//! # The idea
//!
//! Sites have nothing in common but that mail reaches them, some day. Each keeps, for every file
//! and every other site, what it thinks that site has: a matrix of beliefs. Mail fills its cells,
//! because each package says what its sender has. What to do with a file that arrives follows from
//! the version here, the version that arrived, and which of them descends from the other. Where
//! neither does, a person is asked. No clock is trusted and no order of arrival is relied on: a
//! message may be late, doubled or lost.
//!
//! # The flow
//!
//! ```text
//!  mail in                                                       mail out
//!    │                                                               ▲
//!    ▼                                                               │
//!  message ─► queue ─► package ─► orders ─► visit ─► tree         carrier
//!  (MIME)    (disk)   (tar.gz)    (text)    decide  (disk)           ▲
//!                                           learn     │           package
//!                                             │       ▼              ▲
//!                                             │      scan            │
//!                                             ▼       │              │
//!                                         knowledge ◄─┘ observe      │
//!                                        (.remsync) ───────► plan ───┘
//!                                             │
//!                                             ▼
//!                                          status ─► terminal, JSON, HTML
//! ```
//!
//! In: `remsync-deliver` ([`command::deliver`]) streams one mail through [`format::message`] and
//! puts what is a package into [`edge::queue`], where parts of one wait for the others; word that a
//! mail of ours did not arrive ([`format::report`], [`edge::sent`]) goes there too, and takes a
//! sending back. `remsync process` ([`command::process`]) opens what is sealed ([`edge::seal`]), asks
//! whether a key that we trust vouches for the bytes ([`edge::trust`]), unpacks the entry beside the
//! tree ([`format::package`] checks every byte of it), finds the project that it is for
//! ([`rules::learn::route`]), and lets [`rules::visit`] judge row by row with [`rules::decide`]; its
//! hands are [`edge::tree`]. What can't be settled becomes a question.
//!
//! Out: `remsync broadcast` ([`command::broadcast`]) scans the tree ([`edge::tree`]), enters what
//! changed ([`rules::observe`]), plans a package for each site ([`rules::plan`]), packs, signs,
//! perhaps seals and mails it ([`format::package`], [`command::wrap`], [`format::mail`],
//! [`edge::carrier`]), and only then believes it sent. What no carrier accepts stays in
//! [`edge::outbox`], and is tried again.
//!
//! Beside the mail: hosts that have nothing of ours ([`edge::ssh`]). `check` ([`command::check`])
//! looks at them where mail would have told; [`rules::hosts`] decides on their behalf, with the same
//! `decide`; `display` shows it, and `synchro` carries it out. What it brings here is an edit like
//! any other, and travels on by mail.
//!
//! # The floors
//!
//! ```text
//!  4  bin       remsync, remsync-deliver           sees command
//!  3  command   one verb a file, glue              sees all below; decides nothing, parses nothing
//!  2  edge      disk, queue, mail, log             sees model and format; touches the world
//!  1  rules │ format    what follows │ how it is written     see model, and not each other
//!  0  model     what things are                    sees the standard library
//! ```
//!
//! Code belongs on the lowest floor that can hold it. No arrow points up.
//!
//! # What never happens
//!
//! - `model` and `rules` do no input or output, read no clock and throw no dice: what they need is
//!   handed to them. So the simulator in `examples/storm` runs the very rules that the programs
//!   run, ten thousand times, through loss, doubling, disorder and crashes.
//! - A name from a package is never a place on disk. Archives number their files; the orders name
//!   them as [`model::TreePath`], which is checked where it is made; only [`edge::tree`] turns one
//!   into something on disk, part by part beneath a folder that it holds open, through no link. What
//!   writes by a path is disallowed by `clippy.toml`, but where files of our own are written.
//! - Nothing from outside reaches a shell, a terminal or a page unescaped.
//! - Nothing is applied of a package that was not read to its end and found sound, nor, unless a
//!   person says so, of one that no key that we trust for its originator signed.
//! - No file is replaced that is not, at that moment, what was decided on; what is displaced goes
//!   to [`edge::kept`] first.
//! - Beliefs never run ahead: contents are on disk, then beliefs, then the queue lets go; mail was
//!   taken, then it counts as sent. After a crash anywhere the same is done again, to the same end.
//! - Nothing is cut silently: all that a stranger sends has a bound in [`model::limits`], and past
//!   it there is an error that names it.
//! - One file, entry or site in trouble does not stop the others.
//!
//! # The map
//!
//! Floor 0, [`model`]:
//!
//! | module | what it holds |
//! |---|---|
//! | [`model::belief`] | what a site is thought to have |
//! | [`model::host`] | an SSH server and an account there |
//! | [`model::identities`] | what remotes said of who takes part |
//! | [`model::knowledge`] | files × sites: rows, cells, questions |
//! | [`model::limits`] | every bound, with its reason |
//! | [`model::listing`] | what was found for each of many files |
//! | [`model::orders`] | what a package says |
//! | [`model::path`] | names within a project |
//! | [`model::project`] | who takes part, and which format is spoken |
//! | [`model::questions`] | what waits for a person, by file |
//! | [`model::run`] | what one command did to the tree |
//! | [`model::signature`] | a file's content in a few bytes |
//! | [`model::signer`] | whether a key that we trust vouches for a package |
//! | [`model::site`] | an address and a folder |
//! | [`model::snapshot`] | what one check saw, and what would be done |
//! | [`model::verdict`] | what `decide` answers, what people answer |
//! | [`model::version`] | generations and histories |
//!
//! Floor 1, [`rules`]:
//!
//! | module | what it answers |
//! |---|---|
//! | [`rules::decide`] | which of two versions stays |
//! | [`rules::brake`] | when so much would go that a person is asked |
//! | [`rules::visit`] | what becomes of a whole package here |
//! | [`rules::learn`] | what a package teaches |
//! | [`rules::settle`] | when a question is one, and what an answer does |
//! | [`rules::observe`] | what a scan means: new, changed, gone, not known |
//! | [`rules::plan`] | what goes to whom |
//! | [`rules::quiet`] | which rows have nothing to say to anybody |
//! | [`rules::parts`] | how a plan is split, and whether an unsent package still stands |
//! | [`rules::select`] | which paths belong: scans, ignores, sensitive names |
//! | [`rules::reconcile`] | where sites differ about who takes part, and which files belong |
//! | [`rules::status`] | where each file stands at each site |
//! | [`rules::hosts`] | what follows from looking at a host |
//! | [`rules::intent`] | what is about to be put in place, and was when a run was killed |
//! | [`rules::classic`] | all of that for format 1.3 |
//!
//! Floor 1, [`mod@format`]:
//!
//! | module | what it reads and writes |
//! |---|---|
//! | [`format::statement`] | the line that all texts here are made of |
//! | [`format::percent`] | names as one word |
//! | [`format::note`] | notes of our own, a keyword a line |
//! | [`format::cksum`] | whether a copy arrived whole |
//! | [`format::digest`] | bytes to signatures |
//! | [`format::difference`] | what differs between two texts, and merges |
//! | [`format::counted`] | how long a text came to be |
//! | [`format::orders`] | the orders of a package |
//! | [`format::package`] | the archive |
//! | [`format::project`] | `.remsync` |
//! | [`format::ledger`] | what `.remsync` has no place for |
//! | [`format::base`] | both, of which only some rows are kept |
//! | [`format::sections`] | what a thousand rows say, in a line |
//! | [`format::identities`] | what remotes said of who takes part |
//! | [`format::journal`] | what was learnt since |
//! | [`format::runs`] | what each command did |
//! | [`format::settings`] | `config.toml` |
//! | [`format::public_key`] | public keys of SSH, their fingerprints |
//! | [`format::sshsig`] | detached signatures |
//! | [`format::allowed_signers`] | who may sign for whom |
//! | [`format::revoked`] | keys that are never trusted |
//! | [`format::seal_keys`] | to whom packages are sealed |
//! | [`format::push`] | `config.ini`, hosts and what goes to them |
//! | [`format::sftp`] | packets of SFTP |
//! | [`format::message`] | mail that comes in |
//! | [`format::report`] | what mail systems say of mail that went out |
//! | [`format::mail`] | mail that goes out |
//! | [`format::shell_archive`] | files as scripts, for any shell to unpack |
//! | [`format::snapshot`] | `check.json`, `synchro.json`, `agreed.json` |
//! | [`format::page`] | the page of `display` |
//! | [`format::volume`] | a package in parts |
//!
//! Floor 2, [`edge`]:
//!
//! | module | what it touches |
//! |---|---|
//! | [`edge::tree`] | the tree: look, scan, replace, remove |
//! | [`edge::kept`] | versions that were displaced |
//! | [`edge::runs`] | the history of runs |
//! | [`edge::state`] | a project's own files |
//! | [`edge::identities`] | where that is kept |
//! | [`edge::private`] | files of our own, made anew |
//! | [`edge::lock`] | locks that die with their holder |
//! | [`edge::program`] | an editor, a merge tool |
//! | [`edge::queue`] | incoming packages |
//! | [`edge::sent`] | the log of mails that went out |
//! | [`edge::names`] | the names in a folder |
//! | [`edge::parallel`] | work on many things, on all processors |
//! | [`edge::settled`] | whether the times of a file tell what it holds |
//! | [`edge::carrier`] | how mail leaves: SMTP, sendmail, maildirs, folders |
//! | [`edge::outbox`] | packages that no carrier has accepted |
//! | [`edge::trust`] | whom we trust, and what signatures come to by that |
//! | [`edge::signing`] | the key that signs |
//! | [`edge::agent`] | ssh-agent |
//! | [`edge::seal`] | sealing and opening, with age |
//! | [`edge::secret`] | passwords and passphrases |
//! | [`edge::ssh`] | hosts without remsync: looks, copies, sums |
//! | [`edge::snapshot`] | the last check and its plan |
//! | [`edge::web`] | one person's browser |
//! | [`edge::push`] | the files and logs of `push` |
//! | [`edge::stop`] | Ctrl-C |
//! | [`edge::places`] | this account: settings, queue, register of projects |
//! | [`edge::log`] | the filter's log |
//! | [`edge::window`] | a part of an open file |
//!
//! Floor 3, [`command`]:
//!
//! | module | what it does |
//! |---|---|
//! | [`command::options`], [`command::grammar`] | read what was typed |
//! | [`command::help`] | print what can be typed |
//! | [`command::session`] | one run: settings, time |
//! | [`command::ground`] | where a project stands: its tree, and what belongs |
//! | [`command::open`] | the project that a command works on |
//! | [`command::dialog`] | one command after another, and what lasts between them |
//! | [`command::prompt`] | where they are typed |
//! | [`command::completion`] | what a word may become |
//! | [`command::init`] | `init`, `accept` |
//! | [`command::broadcast`] | `broadcast` |
//! | [`command::process`] | `process` |
//! | [`command::status`] | `status` |
//! | [`command::pending`] | `pending` |
//! | [`command::diff`] | `diff` |
//! | [`command::resolve`] | `resolve` |
//! | [`command::merge`] | merges two sides of a question |
//! | [`command::log`] | `log` |
//! | [`command::undo`] | `undo` |
//! | [`command::restore`] | `restore` |
//! | [`command::queue`], [`command::outbox`] | `queue` |
//! | [`command::key`] | `key` |
//! | [`command::check`], [`command::display`], [`command::synchro`] | sites without remsync |
//! | [`command::push`] | `push` |
//! | [`command::edit`] | `list`, `create`, `delete`, `title`, `here`, `email`, `home` |
//! | [`command::identity`] | questions about who takes part |
//! | [`command::misnamed`] | packages under another title, or for another address |
//! | [`command::upgrade`] | `upgrade` |
//! | [`command::mail_files`], [`command::mailshar`] | files by ordinary mail |
//! | [`command::companions`] | what the old programs' names mean |
//! | [`command::find_mailer`] | `find-mailer` |
//! | [`command::demo`] | `demo` |
//! | [`command::deliver`] | the filter |
//! | [`command::sides`] | what a question is about: here, there, and before |
//! | [`command::sites`] | what people type for a site or a project |
//! | [`command::keep`] | what is kept for later, and for how long |
//! | [`command::vouch`] | says who vouches for a package, and what the settings say of that |
//! | [`command::wrap`] | signs and seals what goes out |
//! | [`command::survey`] | looks at the whole tree |
//! | [`command::hands`] | does on disk what a visit asks for |
//! | [`command::progress`] | how far something long is |
//! | [`command::ask`] | puts questions at a terminal |
//! | [`command::words`] | sentences that several commands say |
//! | [`command::outcome`] | exit statuses, errors with hints, the tally |
//!
//! # Where to begin
//!
//! Read [`model::version`], [`rules::decide`] and [`rules::visit`], in this order: they are the
//! program. A new rule begins there, with a row in a table of tests, and has to survive the storm.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod command;
pub mod edge;
pub mod format;
pub mod model;
pub mod rules;
