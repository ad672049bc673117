//! What strace(1) recorded of a program: its calls, in order, with all that was written.

use std::path::PathBuf;

/// The calls that matter to a disk; for `-e trace=`.
pub const RECORDED: &str = "open,openat,creat,read,write,pwrite64,writev,pwritev,lseek,\
     copy_file_range,sendfile,splice,ftruncate,truncate,fallocate,fsync,fdatasync,sync,syncfs,\
     rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat,\
     chmod,fchmod,fchmodat,fcntl,dup,dup2,dup3";

/// One call that came to something.
#[derive(Debug)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Its arguments, as recorded.
    pub arguments: Vec<String>,
    /// What it returned.
    pub result: String,
}

/// A descriptor, and what it is open on.
#[derive(Debug)]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// The path, as it is now.
    pub path: PathBuf,
}

impl Call {
    /// Returns the number that it returned.
    pub fn count(&self) -> u64 {
        self.result.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    /// Returns an argument; nothing if there is none.
    pub fn argument(&self, at: usize) -> &str {
        self.arguments.get(at).map_or("", String::as_str)
    }

    /// Returns an argument that is a number, as C writes it.
    pub fn number(&self, at: usize) -> u64 {
        let text = self.argument(at);
        match text.strip_prefix('0').filter(|rest| !rest.is_empty()) {
            Some(octal) => u64::from_str_radix(octal, 8).unwrap_or(0),
            None => text.parse().unwrap_or(0),
        }
    }

    /// Returns an argument that is a descriptor.
    pub fn descriptor(&self, at: usize) -> Option<Descriptor> {
        descriptor(self.argument(at))
    }

    /// Returns the descriptor that it returned.
    pub fn opened(&self) -> Option<Descriptor> {
        descriptor(&self.result)
    }

    /// Returns an argument that is bytes.
    ///
    /// # Errors
    /// Not all of them were recorded.
    pub fn bytes(&self, at: usize) -> Result<Vec<u8>, String> {
        let text = self.argument(at);
        match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(text) => Ok(unescaped(text)),
            None => Err(format!("{}: not all was recorded: {text:.80}", self.name)),
        }
    }

    /// Returns the path that two arguments name: a folder's descriptor and a name in it.
    ///
    /// # Errors
    /// As [`Call::bytes`].
    pub fn path_at(&self, at: usize) -> Result<PathBuf, String> {
        let name = self.path(at + 1)?;
        let text = self.argument(at);
        let folder = text.find('<').map(|from| within(&text[from..])).unwrap_or_default();
        Ok(folder.join(name))
    }

    /// Returns the path that an argument names.
    ///
    /// # Errors
    /// As [`Call::bytes`].
    pub fn path(&self, at: usize) -> Result<PathBuf, String> {
        use std::os::unix::ffi::OsStringExt;
        Ok(PathBuf::from(std::ffi::OsString::from_vec(self.bytes(at)?)))
    }
}

/// Reads a record, without what failed or was not made.
pub fn calls(log: &str) -> Vec<Call> {
    let mut begun: Vec<(&str, &str)> = Vec::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let whole;
        let text = if let Some(start) = rest.strip_suffix("<unfinished ...>") {
            begun.push((process, start));
            continue;
        } else if let Some((_, end)) =
            rest.split_once(" resumed>").filter(|_| rest.starts_with("<... "))
        {
            let Some(at) = begun.iter().position(|(other, _)| *other == process) else { continue };
            whole = format!("{}{end}", begun.remove(at).1);
            &whole
        } else {
            rest
        };
        calls.extend(call(text));
    }
    calls
}

fn call(text: &str) -> Option<Call> {
    let (before, result) = text.rsplit_once("= ")?;
    let before = before.trim_end().strip_suffix(')')?;
    let (name, arguments) = before.split_once('(')?;
    if result.starts_with(['-', '?']) {
        return None;
    }
    let arguments = arguments.split(", ").map(|it| it.trim().to_owned()).collect();
    Some(Call { name: name.to_owned(), arguments, result: result.to_owned() })
}

fn descriptor(text: &str) -> Option<Descriptor> {
    let (number, rest) = text.split_once('<')?;
    Some(Descriptor { number: number.parse().ok()?, path: within(&format!("<{rest}")) })
}

/// Returns the path between `<` and `>`.
fn within(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let text = text.trim_start_matches('<').split('>').next().unwrap_or_default();
    PathBuf::from(std::ffi::OsString::from_vec(unescaped(text)))
}

/// Undoes `-xx`: `\x2f` for each byte.
fn unescaped(text: &str) -> Vec<u8> {
    let byte = |hex: &str| hex.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
    text.split("\\x").skip(1).filter_map(byte).collect()
}
