//! `demo`: three sites in a temporary folder, with the real programs and real mail messages.
//!
//! Every step runs `remsync` or `remsync-deliver` as a person or a mail system would; the folder is
//! left for looking around.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use super::outcome::{Failure, Outcome, answer};

const SITES: [(&str, &str); 3] =
    [("ship", "ship@sea.example"), ("port", "port@land.example"), ("camp", "camp@ice.example")];
const TITLE: &str = "Expedition notes";

/// Plays the demonstration.
///
/// # Errors
/// A step did not end as it should.
pub fn run() -> Result<Outcome, Failure> {
    let demo = Demo::new()?;
    demo.play()?;
    Ok(Outcome::Done)
}

struct Demo {
    top: PathBuf,
    program: PathBuf,
}

impl Demo {
    /// Makes the folder, and a link by which the program is the filter.
    fn new() -> Result<Demo, Failure> {
        let program = std::env::current_exe()?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("remsync-demo-{}-{}", since_1970.as_secs(), std::process::id());
        let top = std::env::temp_dir().join(name);
        for folder in ["bin", "post"] {
            fs::create_dir_all(top.join(folder))?;
        }
        std::os::unix::fs::symlink(&program, top.join("bin/remsync-deliver"))?;
        for (site, _) in SITES {
            fs::create_dir_all(top.join(site).join("tree"))?;
            fs::create_dir_all(top.join(site).join("home"))?;
            let transport = top.join("post").display().to_string();
            let settings = format!(
                "[mail]\ntransport = {}\n",
                serde_json::Value::from(format!("maildir:{transport}"))
            );
            fs::write(top.join(site).join("config.toml"), settings)?;
        }
        Ok(Demo { top, program })
    }

    fn play(&self) -> Result<(), Failure> {
        say(&format!("Three sites in {}; their mail is in post/.", self.top.display()));

        step("The ship has two files and makes its folder a project, with the port and the camp.");
        self.write("ship", "notes/monday.txt", "Calm sea.\n")?;
        self.write("ship", "chart.txt", "a rock at 48.1 N\n")?;
        self.remsync("ship", &init_words("ship"), &[0])?;

        step(
            "Each makes a key, and trusts those of the others: here they could walk over and ask.",
        );
        for (site, _) in SITES {
            self.remsync(site, &["key", "new"], &[0])?;
            self.hand_over_key(site)?;
        }
        for (site, _) in SITES {
            for (other, address) in SITES.iter().filter(|(other, _)| *other != site) {
                let file = format!("../../{other}.pub");
                // Words to compare are shown once, and six times would be a wall of them.
                let mut words = vec!["key", "trust", address, &file];
                words.extend((site != SITES[0].0).then_some("-q"));
                self.remsync(site, &words, &[0])?;
            }
        }

        step("It sends everybody what they lack: a mail message each, with a package attached.");
        self.remsync("ship", &["broadcast"], &[0])?;

        step("The mail system gives the messages to remsync-deliver, as a procmail recipe would.");
        self.deliver("port")?;
        self.deliver("camp")?;
        self.remsync("port", &["queue", "list"], &[0])?;

        step("A first package waits for a person: the port and the camp accept it, and say where.");
        for site in ["port", "camp"] {
            let id = self.first_entry(site)?;
            self.remsync(site, &["accept", &id, "."], &[0])?;
        }
        self.remsync("port", &["create", "remote", "camp@ice.example", "-"], &[0])?;
        self.remsync("camp", &["create", "remote", "port@land.example", "-"], &[0])?;
        self.look("port", "notes/monday.txt")?;

        step("The port edits a file and broadcasts; the ship processes: no questions asked.");
        self.write("port", "notes/monday.txt", "Calm sea. Loaded coal.\n")?;
        self.remsync("port", &["broadcast"], &[0])?;
        self.deliver("ship")?;
        self.deliver("camp")?;
        self.remsync("ship", &["process"], &[0])?;
        self.remsync("camp", &["process"], &[0])?;
        self.look("ship", "notes/monday.txt")?;

        step("Now the ship and the camp edit the same file, and each sends its own.");
        self.write("ship", "chart.txt", "a rock at 48.2 N\n")?;
        self.write("camp", "chart.txt", "no rock at all\n")?;
        self.remsync("ship", &["broadcast"], &[0])?;
        self.remsync("camp", &["broadcast"], &[0])?;
        self.deliver("ship")?;

        step("The ship is asked: nothing is overwritten, the other version waits in the queue.");
        self.remsync("ship", &["process", "--batch"], &[1])?;
        self.remsync("ship", &["pending"], &[1])?;
        self.look("ship", "chart.txt")?;

        step("A person answers: the ship takes the camp's version. The answer travels.");
        self.remsync("ship", &["resolve", "chart.txt", "take"], &[0])?;
        self.remsync("ship", &["broadcast"], &[0])?;
        for _ in 0..3 {
            for (site, _) in SITES {
                self.deliver(site)?;
                self.remsync(site, &["process", "--batch", "-q"], &[0, 1])?;
                self.remsync(site, &["broadcast", "-q"], &[0])?;
            }
        }

        step("All are in step, and nobody else was asked.");
        for (site, _) in SITES {
            self.look(site, "chart.txt")?;
            self.remsync(site, &["status"], &[0])?;
        }
        say(&format!(
            "\nThe folder stays for looking around: {}\n(each site's .remsync, its queue below \
             home/, the messages in post/).",
            self.top.display()
        ));
        Ok(())
    }

    /// Runs `remsync` at a site, as typed there, and shows what it prints.
    fn remsync(&self, site: &str, words: &[&str], expected: &[i32]) -> Result<(), Failure> {
        let typed: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        say(&format!("  {site}$ remsync {}", typed.join(" ")));
        let output = self.command(&self.program, site).args(words).stdin(Stdio::null()).output()?;
        for text in [&output.stdout, &output.stderr] {
            for line in String::from_utf8_lossy(text).lines() {
                say(&format!("    {line}"));
            }
        }
        match output.status.code() {
            Some(code) if expected.contains(&code) => Ok(()),
            code => Err(Failure::new(format!("the demo's step ended with {code:?}"))),
        }
    }

    /// Puts a site's public key where the others find it.
    fn hand_over_key(&self, site: &str) -> Result<(), Failure> {
        say(&format!("  {site}$ remsync key show > ../../{site}.pub"));
        let output = self.command(&self.program, site).args(["key", "show"]).output()?;
        Ok(fs::write(self.top.join(format!("{site}.pub")), output.stdout)?)
    }

    /// Gives every message that waits for a site to the filter, as its mail system would.
    fn deliver(&self, site: &str) -> Result<(), Failure> {
        let address = address_of(site);
        let new = self.top.join("post").join(address).join("new");
        let mut messages: Vec<PathBuf> = match fs::read_dir(&new) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(_) => return Ok(()),
        };
        messages.sort();
        for message in messages {
            say(&format!("  {site}: remsync-deliver < {}", self.shown(&message)));
            let mut command = self.command(&self.top.join("bin/remsync-deliver"), site);
            let status = command.stdin(fs::File::open(&message)?).status()?;
            if !status.success() {
                return Err(Failure::new(format!("remsync-deliver ended with {status}")));
            }
            let read = self.top.join("post").join(address).join("cur");
            fs::create_dir_all(&read)?;
            fs::rename(&message, read.join(message.file_name().unwrap_or_default()))?;
        }
        Ok(())
    }

    /// A command with a site's own home and settings, and nothing else of this environment.
    fn command(&self, program: &Path, site: &str) -> Command {
        let home = self.top.join(site).join("home");
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", &home)
            .env("REMSYNC_CONFIG", self.top.join(site).join("config.toml"))
            .current_dir(self.top.join(site).join("tree"));
        if let Some(zone) = std::env::var_os("TZ") {
            command.env("TZ", zone);
        }
        command
    }

    fn first_entry(&self, site: &str) -> Result<String, Failure> {
        let output =
            self.command(&self.program, site).args(["queue", "list", "--json"]).output()?;
        let entries: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let id = entries[0]["id"].as_str();
        id.map(str::to_owned).ok_or_else(|| Failure::new("the queue has no entry"))
    }

    fn write(&self, site: &str, path: &str, text: &str) -> Result<(), Failure> {
        say(&format!("  {site}$ echo {} > {path}", quoted(text.trim_end())));
        let file = self.top.join(site).join("tree").join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(fs::File::create(file)?.write_all(text.as_bytes())?)
    }

    fn look(&self, site: &str, path: &str) -> Result<(), Failure> {
        let text = fs::read_to_string(self.top.join(site).join("tree").join(path))?;
        say(&format!("  {site}$ cat {path}\n    {}", text.trim_end()));
        Ok(())
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.top).unwrap_or(path).display().to_string()
    }
}

fn init_words(site: &str) -> Vec<&'static str> {
    let mut words = vec!["init", "--title", TITLE];
    for (name, address) in SITES {
        words.push(if name == site { "--here" } else { "--remote" });
        words.push(address);
    }
    words
}

fn address_of(site: &str) -> &'static str {
    SITES.iter().find(|(name, _)| *name == site).map_or("", |(_, address)| address)
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./@:".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{word}'")
    }
}

fn step(text: &str) {
    say(&format!("\n{text}"));
}

fn say(text: &str) {
    answer(text);
}
