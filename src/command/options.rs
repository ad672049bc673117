//! What was typed on the command line: options, and the words of one command.
//!
//! Options may stand before or after the words; `--` ends them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::outcome::Failure;
use crate::format::settings::span_seconds;

/// The options, as typed; nothing is looked up yet.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `-C DIR`: as if started there.
    pub directory: Option<PathBuf>,
    /// `--queue DIR`.
    pub queue: Option<PathBuf>,
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// `-n`, `--dry-run`: change, mail and write nothing.
    pub dry_run: bool,
    /// `-i`, `--inventory`: broadcast signatures only.
    pub inventory: bool,
    /// `--batch`: never ask.
    pub batch: bool,
    /// `--json`: one JSON document on standard output.
    pub json: bool,
    /// `-q`: no tally.
    pub quiet: bool,
    /// `-v`, counted.
    pub verbose: u8,
    /// `--color WHEN`; nothing is coloured yet.
    pub color: Option<String>,
    /// `init --title T`.
    pub title: Option<String>,
    /// `init --here ADDRESS`.
    pub here: Option<String>,
    /// `init --remote 'ADDRESS DIR'`, any number.
    pub remotes: Vec<OsString>,
    /// `init --format 1.3|2.0`.
    pub format: Option<String>,
    /// `broadcast --to DIR`.
    pub to: Option<PathBuf>,
    /// `queue --out`: the outbox.
    pub out: bool,
    /// `key new --passphrase`: the new key gets one.
    pub passphrase: bool,
    /// `key show --words`: fingerprint and words instead of the key.
    pub in_words: bool,
    /// `find-mailer --self-test`: send a mail to oneself.
    pub self_test: bool,
    /// `find-mailer --wait SECONDS`.
    pub wait_s: Option<u64>,
    /// `resolve --all`: every question.
    pub all: bool,
    /// `resolve --from ADDRESS`, `diff --from ADDRESS`: the questions about one site's versions.
    pub from_site: Option<String>,
    /// `diff --base`: what each side changed.
    pub base: bool,
    /// `push --retry-failed`: only the hosts that failed the last time.
    pub retry_failed: bool,
    /// `--accept-new`: hosts that nobody knows are entered into `known_hosts`.
    pub accept_new: bool,
    /// `check --force`: look again, however fresh the last check is.
    pub force: bool,
    /// `check --max-age SPAN`, in seconds: how old the last check may be.
    pub max_age_s: Option<u64>,
    /// `display --serve [PORT]`.
    pub serve: bool,
    /// `display --open`: in the browser.
    pub open: bool,
    /// `synchro --plan FILE`.
    pub plan: Option<PathBuf>,
    /// The words of the command.
    pub words: Vec<OsString>,
    /// Help or version was asked for instead.
    pub instead: Option<Instead>,
}

/// What was asked for instead of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instead {
    /// `-h`: one screen.
    ShortHelp,
    /// `--help`: all of it.
    Help,
    /// `-V`, `--version`.
    Version,
}

impl Options {
    /// Reads the command line, without the program's name.
    ///
    /// # Errors
    /// An option that does not exist, or lacks its value.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, Failure> {
        Options::default().and(arguments)
    }

    /// Reads more of them, such as a line at the prompt.
    ///
    /// # Errors
    /// As [`Options::parse`].
    pub fn and(self, arguments: impl IntoIterator<Item = OsString>) -> Result<Options, Failure> {
        let mut options = self;
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next().map_err(usage)? {
            use lexopt::Arg::{Long, Short, Value};
            match argument {
                Short('C') => options.directory = Some(parser.value().map_err(usage)?.into()),
                Long("queue") => options.queue = Some(parser.value().map_err(usage)?.into()),
                Long("config") => options.config = Some(parser.value().map_err(usage)?.into()),
                Short('n') | Long("dry-run") => options.dry_run = true,
                Short('i') | Long("inventory") => options.inventory = true,
                Long("batch") => options.batch = true,
                Long("json") => options.json = true,
                Short('q') | Long("quiet") => options.quiet = true,
                Short('v') | Long("verbose") => options.verbose = options.verbose.saturating_add(1),
                Long("color") => options.color = Some(text(&mut parser, "--color")?),
                Long("out") => options.out = true,
                Long("title") => options.title = Some(text(&mut parser, "--title")?),
                Long("here") => options.here = Some(text(&mut parser, "--here")?),
                Long("remote") => options.remotes.push(parser.value().map_err(usage)?),
                Long("format") => options.format = Some(text(&mut parser, "--format")?),
                Long("to") => options.to = Some(parser.value().map_err(usage)?.into()),
                Long("passphrase") => options.passphrase = true,
                Long("words") => options.in_words = true,
                Long("self-test") => options.self_test = true,
                Long("wait") => {
                    let seconds = text(&mut parser, "--wait")?;
                    let fault = |_| Failure::new("--wait takes a number of seconds");
                    options.wait_s = Some(seconds.parse().map_err(fault)?);
                }
                Long("all") => options.all = true,
                Long("from") => options.from_site = Some(text(&mut parser, "--from")?),
                Long("base") => options.base = true,
                Long("retry-failed") => options.retry_failed = true,
                Long("force") => options.force = true,
                Long("max-age") => {
                    let span = text(&mut parser, "--max-age")?;
                    let fault =
                        || Failure::new("--max-age takes a length of time, such as 30m, 1h or 1d");
                    options.max_age_s = Some(span_seconds(&span).ok_or_else(fault)?);
                }
                Long("serve") => options.serve = true,
                Long("open") => options.open = true,
                Long("plan") => options.plan = Some(parser.value().map_err(usage)?.into()),
                Long("accept-new") => options.accept_new = true,
                Short('h') => options.instead = Some(Instead::ShortHelp),
                Long("help") => options.instead = Some(Instead::Help),
                Short('V') | Long("version") => options.instead = Some(Instead::Version),
                Value(word) => {
                    let is_first = options.words.last().is_none_or(|last| last == ";");
                    let takes_all = is_first && takes_all_that_follows(&word);
                    options.words.push(word);
                    if takes_all {
                        options.words.extend(parser.raw_args().map_err(usage)?);
                    }
                }
                other => return Err(usage(other.unexpected())),
            }
        }
        match options.color.as_deref() {
            None | Some("always" | "never" | "auto") => Ok(options),
            Some(_) => Err(Failure::new("--color takes \"always\", \"never\" or \"auto\"")),
        }
    }
}

/// Whether what follows a command's first word is not read here: a shell command is the shell's, and
/// two of the old programs have options of their own.
fn takes_all_that_follows(word: &OsStr) -> bool {
    word.as_bytes().starts_with(b"!") || word == "mail-files" || word == "mailshar"
}

fn text(parser: &mut lexopt::Parser, option: &str) -> Result<String, Failure> {
    let value = parser.value().map_err(usage)?;
    value.into_string().map_err(|_| Failure::new(format!("the value of {option} is not UTF-8")))
}

fn usage(error: lexopt::Error) -> Failure {
    Failure::new(error).hinted(
        "\"remsync --help\" lists options and commands; \"--\" stands before a word that begins with \
         a dash and is no option",
    )
}
