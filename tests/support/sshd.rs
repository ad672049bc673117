//! Real SSH servers on loopback addresses, each with its own rules, and a home whose ssh knows them.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How a server differs from a plain one.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// More lines for its configuration.
    pub lines: String,
    /// Leave the line for SFTP out.
    pub without_sftp: bool,
    /// Start it with accounts of its own, so that `PASSWORD` opens `root`.
    pub with_password: bool,
}

/// The password of `root` at a server with one.
pub const PASSWORD: &str = "opens sesame";

/// A folder with keys, and the servers that were started.
pub struct Hosts {
    dir: PathBuf,
    servers: Vec<Child>,
    port: u16,
}

impl Hosts {
    /// Makes keys below `dir`.
    pub fn new(dir: &Path) -> Hosts {
        let dir = dir.join("ssh");
        fs::create_dir_all(&dir).unwrap();
        for key in ["host", "other-host", "key"] {
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(dir.join(key)));
        }
        // What the package's own start would make.
        if rustix::process::getuid().is_root() {
            fs::create_dir_all("/run/sshd").unwrap();
        }
        // The same port at every address: `[ip].json` knows none.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let hosts = Hosts { dir, servers: Vec::new(), port };
        hosts.write_config("");
        hosts
    }

    /// Starts a server at `ip`.
    pub fn start(&mut self, ip: &str, rules: &Rules) {
        let Hosts { dir, port, .. } = self;
        let file = dir.join(format!("sshd-{ip}"));
        let subsystem = if rules.without_sftp { "" } else { "Subsystem sftp internal-sftp\n" };
        let password = if rules.with_password { "yes" } else { "no" };
        let text = format!(
            "Port {port}\nListenAddress {ip}\nHostKey {0}/host\nAuthorizedKeysFile {0}/key.pub\n\
             PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nMaxStartups 100\n\
             MaxSessions 20\nPasswordAuthentication {password}\nLogLevel ERROR\n{subsystem}{1}\n",
            dir.display(),
            rules.lines
        );
        fs::write(&file, text).unwrap();
        let sshd = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("no sshd: install openssh-server");
        let mut command = match rules.with_password {
            false => Command::new(sshd),
            true => {
                self.write_accounts();
                let mut command = Command::new("unshare");
                let script = "mount --bind \"$0/passwd\" /etc/passwd && \
                              mount --bind \"$0/shadow\" /etc/shadow && exec \"$@\"";
                command.args(["-m", "sh", "-c", script]).arg(&self.dir).arg(sshd);
                command
            }
        };
        command.arg("-D").arg("-f").arg(&file).arg("-E").arg(self.dir.join(format!("log-{ip}")));
        self.servers.push(command.stdin(Stdio::null()).spawn().unwrap());
        self.wait_for(ip);
        self.know(ip, "host");
    }

    /// Enters the key of a server into `known_hosts`, or that of another.
    pub fn know(&self, ip: &str, key: &str) {
        let public = fs::read_to_string(self.dir.join(format!("{key}.pub"))).unwrap();
        let words: Vec<&str> = public.split(' ').take(2).collect();
        let line = format!("[{ip}]:{} {}\n", self.port, words.join(" "));
        let known = self.dir.join("known_hosts");
        let before = fs::read_to_string(&known).unwrap_or_default();
        fs::write(known, before + &line).unwrap();
    }

    /// Says in `known_hosts` that the key of a server was revoked, before all else.
    pub fn revoke(&self, ip: &str, key: &str) {
        let known = self.known();
        self.know_nobody();
        self.know(ip, key);
        let line = self.known();
        fs::write(self.dir.join("known_hosts"), format!("@revoked {line}{known}")).unwrap();
    }

    /// Forgets all keys.
    pub fn know_nobody(&self) {
        fs::write(self.dir.join("known_hosts"), "").unwrap();
    }

    /// Returns what `known_hosts` says.
    pub fn known(&self) -> String {
        fs::read_to_string(self.dir.join("known_hosts")).unwrap_or_default()
    }

    /// Returns the port of all servers.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the configuration for `ssh -F`.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config")
    }

    /// Writes that configuration, `first` before all else.
    pub fn write_config(&self, first: &str) {
        let text = format!(
            "{first}\nHost *\nPort {1}\nUser root\nIdentityFile {0}/key\nIdentitiesOnly yes\n\
             UserKnownHostsFile {0}/known_hosts\nGlobalKnownHostsFile /dev/null\n\
             KexAlgorithms curve25519-sha256\nHashKnownHosts no\n",
            self.dir.display(),
            self.port
        );
        fs::write(self.config(), text).unwrap();
    }

    /// Adds `[ssh] config` to a settings file.
    pub fn settle(&self, settings: &Path) {
        let before = fs::read_to_string(settings).unwrap_or_default();
        let more = format!("[ssh]\nconfig = \"{}\"\n", self.config().display());
        fs::write(settings, before + &more).unwrap();
    }

    /// Ends the server that was started last, and all its connections.
    pub fn kill_last(&mut self) {
        if let Some(mut server) = self.servers.pop() {
            kill_below(server.id());
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Kills the connections of all servers; the servers go on.
    pub fn kill_connections(&self) {
        self.servers.iter().for_each(|server| kill_below(server.id()));
    }

    /// Kills the connections of the server that was started as the one of this number, from 0 on.
    pub fn kill_connections_of(&self, number: usize) {
        kill_below(self.servers[number].id());
    }

    fn wait_for(&self, ip: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((ip, self.port)).is_err() {
            let log = fs::read_to_string(self.dir.join(format!("log-{ip}"))).unwrap_or_default();
            assert!(Instant::now() < until, "sshd at {ip} does not listen:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn write_accounts(&self) {
        let hash = Command::new("openssl").args(["passwd", "-6", PASSWORD]).output().unwrap();
        let hash = String::from_utf8(hash.stdout).unwrap();
        let replace = |file: &str, field: usize, value: &str| {
            let text = fs::read_to_string(file).unwrap();
            let lines = text.lines().map(|line| {
                let mut fields: Vec<&str> = line.split(':').collect();
                if fields[0] == "root" {
                    fields[field] = value;
                }
                fields.join(":") + "\n"
            });
            lines.collect::<String>()
        };
        let shadow = self.dir.join("shadow");
        fs::write(&shadow, replace("/etc/shadow", 1, hash.trim())).unwrap();
        fs::set_permissions(&shadow, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(self.dir.join("passwd"), replace("/etc/passwd", 1, "x")).unwrap();
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        while !self.servers.is_empty() {
            self.kill_last();
        }
    }
}

/// Whether this machine lets a server have accounts of its own.
pub fn may_have_accounts() -> bool {
    rustix::process::getuid().is_root()
        && Command::new("unshare")
            .args(["-m", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}

/// Kills the processes below one of ours, those furthest below first.
fn kill_below(pid: u32) {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    for child in children.unwrap_or_default().split_whitespace().filter_map(|p| p.parse().ok()) {
        kill_below(child);
        if let Some(child) = rustix::process::Pid::from_raw(i32::try_from(child).unwrap()) {
            let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
        }
    }
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status();
    assert!(
        status.as_ref().is_ok_and(std::process::ExitStatus::success),
        "{command:?}: {status:?}"
    );
}
