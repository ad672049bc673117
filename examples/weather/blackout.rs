//! The power goes: what a program has not synced may be gone, whole or in part.
//!
//! Every call that changes the disk is recorded, and done again upon copies of what was there before:
//! upon one all of them, which has to come to what is there now, or the record is not whole; upon the
//! other what was synced, and of the rest what chance leaves. That one takes the place of the disk.
//!
//! Names are lost as file systems lose them: with a journal in their order, the last first; or loose,
//! each by itself where its folder was not synced. Bytes are lost write by write, if their file was
//! not synced after it; where a later one is left, zeros are in the place of an earlier.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, FileTimes, Permissions};
use std::io::Error;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::prng::Prng;
use super::record::Call;

/// A file, by its number in the copy upon which everything is done.
type Id = u64;

/// What a call does to a disk.
enum Effect {
    Name(Name),
    Data(Id, Data),
    SyncFile(Id),
    SyncFolder(PathBuf),
    SyncAll,
}

/// What it does to names.
#[derive(Debug)]
enum Name {
    Create(PathBuf, Id, u32),
    Folder(PathBuf, u32),
    Rename(PathBuf, PathBuf, RenameFlags),
    Link(PathBuf, PathBuf),
    Symlink(PathBuf, PathBuf),
    Remove(PathBuf),
    RemoveFolder(PathBuf),
}

/// What it does to what a file holds.
enum Data {
    Write(u64, Vec<u8>),
    Length(u64),
    Mode(u32),
}

/// How much of an effect is left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Whole,
    /// So many bytes of a write.
    Bytes(usize),
    /// So many bytes of a write, and zeros for the others.
    Zeros(usize),
    Nothing,
}

/// What was lost.
#[derive(Clone, Debug, Default)]
pub struct Gone {
    /// Names that were made, changed or removed.
    pub names: Vec<PathBuf>,
    /// Writes, or parts of them.
    pub writes: usize,
}

/// A disk as it was before a program ran, twice.
pub struct Before {
    /// The folders that count.
    roots: Vec<PathBuf>,
    /// Copies of them: that upon which everything is done, and what is left.
    all: PathBuf,
    left: PathBuf,
    /// The files of what is left.
    files: BTreeMap<Id, File>,
}

/// What a program has open in the copy upon which everything is done.
#[derive(Clone, Copy)]
struct Open {
    id: Id,
    offset: u64,
    is_appending: bool,
}

/// All effects, as they are found.
struct Found<'a> {
    before: &'a Before,
    cwd: &'a Path,
    effects: Vec<Effect>,
    /// By their numbers, which several descriptors may share.
    opens: Vec<Open>,
    descriptors: BTreeMap<i32, usize>,
    files: BTreeMap<Id, File>,
}

impl Before {
    /// Copies these folders to below `beside`.
    ///
    /// # Errors
    /// Something cannot be copied.
    pub fn copy(roots: Vec<PathBuf>, beside: &Path) -> Result<Before, Error> {
        let _ = fs::remove_dir_all(beside);
        let (all, left) = (beside.join("all"), beside.join("left"));
        let mut files = BTreeMap::new();
        for (number, root) in roots.iter().enumerate() {
            let name = number.to_string();
            copy_folder(root, &all.join(&name), &left.join(&name), &mut files)?;
        }
        Ok(Before { roots, all, left, files })
    }

    /// Lets the power go after these calls. What they came to has to be what is there.
    ///
    /// # Errors
    /// The record is not whole, or a call is not known here: the weather's own fault.
    pub fn go_dark(mut self, calls: &[Call], cwd: &Path, rng: &mut Prng) -> Result<Gone, String> {
        let mut found = Found {
            before: &self,
            cwd,
            effects: Vec::new(),
            opens: Vec::new(),
            descriptors: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        for call in calls {
            found.make(call).map_err(|error| format!("{call:.300?}: {error}"))?;
        }
        let effects = found.effects;
        for (number, root) in self.roots.iter().enumerate() {
            if let Some(path) = difference(&self.all.join(number.to_string()), root) {
                return Err(format!("{}: not as it was recorded", path.display()));
            }
        }
        let lefts = draw(&effects, rng);
        let mut gone = Gone::default();
        for (effect, left) in effects.into_iter().zip(lefts) {
            self.leave(effect, left, &mut gone)
                .map_err(|error| format!("what is left: {error}"))?;
        }
        for (number, root) in self.roots.iter().enumerate() {
            let left = self.left.join(number.to_string());
            fs::remove_dir_all(root)
                .and_then(|()| fs::rename(left, root))
                .map_err(|error| format!("{}: {error}", root.display()))?;
        }
        Ok(gone)
    }

    /// Does upon what is left what is left of an effect.
    fn leave(&mut self, effect: Effect, left: Left, gone: &mut Gone) -> Result<(), Error> {
        match effect {
            Effect::Name(name) if left == Left::Nothing => gone.names.push(name.path().to_owned()),
            Effect::Name(name) => {
                let at = |path: &Path| self.within(&self.left, path);
                name.make(&at).map_err(|error| Error::other(format!("{name:?}: {error}")))?;
                if let Name::Create(path, id, _) = name {
                    let file = File::options().write(true).open(at(&path))?;
                    self.files.insert(id, file);
                }
            }
            Effect::Data(id, data) => {
                gone.writes += usize::from(left != Left::Whole);
                if let Some(file) = self.files.get(&id) {
                    data.make(file, &left)?;
                }
            }
            Effect::SyncFile(_) | Effect::SyncFolder(_) | Effect::SyncAll => {}
        }
        Ok(())
    }

    /// Whether a path counts.
    fn counts(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }

    /// Returns where a path is in a copy; a path that does not count stays.
    fn within(&self, copy: &Path, path: &Path) -> PathBuf {
        let mut all = self.roots.iter().enumerate();
        let inside = all.find_map(|(at, root)| Some((at, path.strip_prefix(root).ok()?)));
        inside.map_or(path.to_owned(), |(at, rest)| copy.join(at.to_string()).join(rest))
    }
}

impl Found<'_> {
    /// Does a call upon the copy, and notes its effect.
    fn make(&mut self, call: &Call) -> Result<(), Box<dyn std::error::Error>> {
        match call.name.as_str() {
            "open" | "openat" | "creat" => self.open(call)?,
            "read" => self.step(call, |open| open.offset + call.count()),
            "lseek" => self.step(call, |_| call.count()),
            "dup" | "dup2" | "dup3" => self.share(call),
            "fcntl" if call.argument(1).starts_with("F_DUPFD") => self.share(call),
            "write" => self.write(call, call.bytes(1)?, None)?,
            "pwrite64" => self.write(call, call.bytes(1)?, Some(call.number(3)))?,
            "copy_file_range" => self.copy(call, 0, 2)?,
            "sendfile" => self.copy(call, 1, 0)?,
            "ftruncate" => self.data(call, Data::Length(call.number(1)))?,
            "fchmod" => self.data(call, Data::Mode(call.number(1) as u32))?,
            "chmod" => self.mode(&call.path(0)?, call.number(1) as u32)?,
            "fchmodat" => self.mode(&call.path_at(0)?, call.number(2) as u32)?,
            "fsync" | "fdatasync" => self.sync(call),
            "sync" | "syncfs" => self.effects.push(Effect::SyncAll),
            "rename" => self.rename(call.path(0)?, call.path(1)?, RenameFlags::empty())?,
            "renameat" => self.rename(call.path_at(0)?, call.path_at(2)?, RenameFlags::empty())?,
            "renameat2" => self.rename(call.path_at(0)?, call.path_at(2)?, flags(call))?,
            "link" => self.name(Name::Link(call.path(0)?, call.path(1)?))?,
            "linkat" => self.name(Name::Link(call.path_at(0)?, call.path_at(2)?))?,
            "symlink" => self.name(Name::Symlink(call.path(0)?, call.path(1)?))?,
            "symlinkat" => self.name(Name::Symlink(call.path(0)?, call.path_at(1)?))?,
            "unlink" => self.name(Name::Remove(call.path(0)?))?,
            "rmdir" => self.name(Name::RemoveFolder(call.path(0)?))?,
            "unlinkat" if call.argument(2).contains("AT_REMOVEDIR") => {
                self.name(Name::RemoveFolder(call.path_at(0)?))?;
            }
            "unlinkat" => self.name(Name::Remove(call.path_at(0)?))?,
            "mkdir" => self.name(Name::Folder(call.path(0)?, call.number(1) as u32))?,
            "mkdirat" => self.name(Name::Folder(call.path_at(0)?, call.number(2) as u32))?,
            "writev" | "pwritev" | "fallocate" if self.file_of(call, 0).is_none() => {}
            "writev" | "pwritev" | "fallocate" | "splice" | "truncate" => {
                return Err("a call that is not known here".into());
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, call: &Call) -> Result<(), Error> {
        let Some(opened) = call.opened() else { return Ok(()) };
        self.descriptors.remove(&opened.number);
        if !self.before.counts(&opened.path) {
            return Ok(());
        }
        let place = self.place(&opened.path);
        let has = |flag: &str| call.arguments.iter().any(|it| it.split('|').any(|it| it == flag));
        if has("O_CREAT") && fs::symlink_metadata(&place).is_err() {
            let mode = call.number(call.arguments.len() - 1) as u32 & !0o022;
            File::options().write(true).create_new(true).mode(mode).open(&place)?;
            let id = fs::metadata(&place)?.ino();
            self.effects.push(Effect::Name(Name::Create(opened.path, id, mode)));
        }
        let metadata = fs::metadata(&place)?;
        if metadata.is_dir() || has("O_PATH") {
            return Ok(());
        }
        let id = metadata.ino();
        self.files.insert(id, File::options().read(true).write(true).open(place)?);
        if has("O_TRUNC") && metadata.len() > 0 {
            self.change(id, Data::Length(0))?;
        }
        self.descriptors.insert(opened.number, self.opens.len());
        self.opens.push(Open { id, offset: 0, is_appending: has("O_APPEND") });
        Ok(())
    }

    fn share(&mut self, call: &Call) {
        let Some((from, to)) = call.descriptor(0).zip(call.opened()) else { return };
        match self.descriptors.get(&from.number).copied() {
            Some(open) => drop(self.descriptors.insert(to.number, open)),
            None => drop(self.descriptors.remove(&to.number)),
        }
    }

    /// Returns the file that is open on the descriptor in this place, if it counts.
    fn file_of(&self, call: &Call, at: usize) -> Option<usize> {
        let descriptor = call.descriptor(at)?;
        let open = self.descriptors.get(&descriptor.number).copied()?;
        // The number may be another's by now: a pipe's, say.
        self.before.counts(&descriptor.path).then_some(open)
    }

    fn step(&mut self, call: &Call, next: impl Fn(&Open) -> u64) {
        if let Some(open) = self.file_of(call, 0) {
            self.opens[open].offset = next(&self.opens[open]);
        }
    }

    fn write(&mut self, call: &Call, mut bytes: Vec<u8>, at: Option<u64>) -> Result<(), Error> {
        let Some(open) = self.file_of(call, 0) else { return Ok(()) };
        bytes.truncate(call.count() as usize);
        self.append(open, bytes, at)
    }

    /// Writes at a place, or where the last write ended.
    fn append(&mut self, open: usize, bytes: Vec<u8>, at: Option<u64>) -> Result<(), Error> {
        let Open { id, offset, is_appending } = self.opens[open];
        let length = self.files[&id].metadata()?.len();
        let start = at.unwrap_or(if is_appending { length } else { offset });
        if at.is_none() {
            self.opens[open].offset = start + bytes.len() as u64;
        }
        self.change(id, Data::Write(start, bytes))
    }

    /// What one file had is written to another.
    fn copy(&mut self, call: &Call, from: usize, to: usize) -> Result<(), Error> {
        let Some(to) = self.file_of(call, to) else { return Ok(()) };
        let from = self.file_of(call, from);
        let from = from.ok_or(Error::other("what was copied is not known"))?;
        let mut bytes = vec![0; call.count() as usize];
        let Open { id, offset, .. } = self.opens[from];
        self.files[&id].read_exact_at(&mut bytes, offset)?;
        self.opens[from].offset += bytes.len() as u64;
        self.append(to, bytes, None)
    }

    fn data(&mut self, call: &Call, data: Data) -> Result<(), Error> {
        match self.file_of(call, 0) {
            Some(open) => self.change(self.opens[open].id, data),
            None => Ok(()),
        }
    }

    fn change(&mut self, id: Id, data: Data) -> Result<(), Error> {
        data.make(&self.files[&id], &Left::Whole)?;
        self.effects.push(Effect::Data(id, data));
        Ok(())
    }

    fn mode(&mut self, path: &Path, mode: u32) -> Result<(), Error> {
        let path = self.cwd.join(path);
        if self.before.counts(&path) {
            let place = self.place(&path);
            let metadata = fs::metadata(&place)?;
            if metadata.is_dir() {
                // Made with the mode that it is given again: no failure can be told by it.
                return Ok(());
            }
            let id = metadata.ino();
            self.files.insert(id, File::options().read(true).write(true).open(place)?);
            self.change(id, Data::Mode(mode))?;
        }
        Ok(())
    }

    fn sync(&mut self, call: &Call) {
        if let Some(open) = self.file_of(call, 0) {
            self.effects.push(Effect::SyncFile(self.opens[open].id));
        } else if let Some(descriptor) = call.descriptor(0) {
            self.effects.push(Effect::SyncFolder(descriptor.path));
        }
    }

    fn rename(&mut self, from: PathBuf, to: PathBuf, flags: RenameFlags) -> Result<(), Error> {
        self.name(Name::Rename(from, to, flags))
    }

    fn name(&mut self, name: Name) -> Result<(), Error> {
        let name = name.below(self.cwd);
        if self.before.counts(name.path()) {
            name.make(&|path| self.place(path))?;
            self.effects.push(Effect::Name(name));
        }
        Ok(())
    }

    fn place(&self, path: &Path) -> PathBuf {
        self.before.within(&self.before.all, path)
    }
}

impl Name {
    /// Makes paths that begin nowhere begin here.
    fn below(self, cwd: &Path) -> Name {
        let at = |path: PathBuf| cwd.join(path);
        match self {
            Name::Create(path, id, mode) => Name::Create(at(path), id, mode),
            Name::Folder(path, mode) => Name::Folder(at(path), mode),
            Name::Rename(from, to, flags) => Name::Rename(at(from), at(to), flags),
            Name::Link(from, to) => Name::Link(at(from), at(to)),
            Name::Symlink(target, path) => Name::Symlink(target, at(path)),
            Name::Remove(path) => Name::Remove(at(path)),
            Name::RemoveFolder(path) => Name::RemoveFolder(at(path)),
        }
    }

    /// Returns the name that is made, changed or removed.
    fn path(&self) -> &Path {
        match self {
            Name::Rename(_, path, _) | Name::Link(_, path) | Name::Symlink(_, path) => path,
            Name::Create(path, ..) | Name::Folder(path, _) => path,
            Name::Remove(path) | Name::RemoveFolder(path) => path,
        }
    }

    /// Returns the name that goes when another comes.
    fn moved(&self) -> Option<&Path> {
        match self {
            Name::Rename(from, ..) => Some(from),
            _ => None,
        }
    }

    /// Returns what else has to be there for it.
    fn source(&self) -> Option<&Path> {
        match self {
            Name::Rename(from, ..) | Name::Link(from, _) => Some(from),
            _ => None,
        }
    }

    fn make(&self, at: &dyn Fn(&Path) -> PathBuf) -> Result<(), Error> {
        match self {
            Name::Create(path, _, mode) => {
                let place = at(path);
                if fs::symlink_metadata(&place).is_err() {
                    File::options().write(true).create_new(true).mode(*mode).open(place)?;
                }
                Ok(())
            }
            Name::Folder(path, mode) => {
                let place = at(path);
                fs::create_dir(&place)?;
                fs::set_permissions(place, Permissions::from_mode(mode & !0o022))
            }
            Name::Rename(from, to, flags) => Ok(renameat_with(CWD, at(from), CWD, at(to), *flags)?),
            Name::Link(from, to) => fs::hard_link(at(from), at(to)),
            Name::Symlink(target, path) => symlink(target, at(path)),
            Name::Remove(path) => fs::remove_file(at(path)),
            Name::RemoveFolder(path) => fs::remove_dir(at(path)),
        }
    }
}

impl Data {
    fn make(&self, file: &File, left: &Left) -> Result<(), Error> {
        match (self, left) {
            (_, Left::Nothing) => Ok(()),
            (Data::Write(at, bytes), Left::Whole) => file.write_all_at(bytes, *at),
            (Data::Write(at, bytes), Left::Bytes(count)) => {
                file.write_all_at(&bytes[..*count.min(&bytes.len())], *at)
            }
            (Data::Write(at, bytes), Left::Zeros(count)) => {
                let mut bytes = bytes.clone();
                bytes.iter_mut().skip(*count).for_each(|byte| *byte = 0);
                file.write_all_at(&bytes, *at)
            }
            (Data::Length(length), _) => file.set_len(*length),
            (Data::Mode(mode), _) => file.set_permissions(Permissions::from_mode(*mode)),
        }
    }
}

/// Draws what is left of each effect.
fn draw(effects: &[Effect], rng: &mut Prng) -> Vec<Left> {
    let is_loose = rng.chance(500);
    let mut lefts = vec![Left::Whole; effects.len()];
    let (mut files, mut folders) = (BTreeSet::<Id>::new(), BTreeSet::<&Path>::new());
    let (mut is_all, mut is_any) = (false, false);
    let mut in_doubt = Vec::new();
    // What stays needs what was done to the same names before it.
    let mut needed: Vec<&Path> = Vec::new();
    for (at, effect) in effects.iter().enumerate().rev() {
        is_any |= matches!(effect, Effect::SyncFile(_) | Effect::SyncFolder(_) | Effect::SyncAll);
        match effect {
            Effect::SyncFile(id) => drop(files.insert(*id)),
            Effect::SyncFolder(path) => drop(folders.insert(path.as_path())),
            Effect::SyncAll => is_all = true,
            Effect::Data(id, data) if !is_all && !files.contains(id) => {
                lefts[at] = draw_data(data, rng);
            }
            Effect::Data(..) => {}
            Effect::Name(name) => {
                let is_synced = name.path().parent().is_some_and(|it| folders.contains(it));
                let is_on = |path: &Path| {
                    needed.iter().any(|other| other.starts_with(path) || path.starts_with(other))
                };
                let is_needed = is_on(name.path()) || name.moved().is_some_and(is_on);
                let is_sure = is_all || if is_loose { is_synced || is_needed } else { is_any };
                if !is_sure && !is_loose {
                    in_doubt.push(at);
                } else if !is_sure && rng.chance(500) {
                    lefts[at] = Left::Nothing;
                    continue;
                }
                needed.push(name.path());
                needed.extend(name.source());
            }
        }
    }
    // The last first, and none before it.
    let gone = rng.below(in_doubt.len() + 1);
    in_doubt[..gone].iter().for_each(|at| lefts[*at] = Left::Nothing);
    lefts
}

fn draw_data(data: &Data, rng: &mut Prng) -> Left {
    match data {
        _ if rng.chance(400) => Left::Whole,
        Data::Write(_, bytes) if rng.chance(600) => {
            let count = rng.below(bytes.len().max(1));
            if rng.chance(500) { Left::Bytes(count) } else { Left::Zeros(count) }
        }
        _ => Left::Nothing,
    }
}

fn flags(call: &Call) -> RenameFlags {
    match call.argument(4) {
        "RENAME_NOREPLACE" => RenameFlags::NOREPLACE,
        "RENAME_EXCHANGE" => RenameFlags::EXCHANGE,
        _ => RenameFlags::empty(),
    }
}

/// Copies a folder twice; notes by the one's numbers the other's files.
fn copy_folder(
    from: &Path,
    all: &Path,
    left: &Path,
    files: &mut BTreeMap<Id, File>,
) -> Result<(), Error> {
    let permissions = fs::metadata(from)?.permissions();
    for to in [all, left] {
        fs::create_dir_all(to)?;
        fs::set_permissions(to, permissions.clone())?;
    }
    for path in super::site::entries(from) {
        let name = path.file_name().unwrap_or_default();
        let (all, left) = (all.join(name), left.join(name));
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            copy_folder(&path, &all, &left, files)?;
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path)?;
            symlink(&target, all)?;
            symlink(target, left)?;
        } else {
            fs::copy(&path, &all)?;
            fs::copy(&path, &left)?;
            let file = File::options().read(true).write(true).open(&left)?;
            file.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
            files.insert(fs::metadata(all)?.ino(), file);
        }
    }
    Ok(())
}

/// Returns a path at which two folders differ.
fn difference(one: &Path, other: &Path) -> Option<PathBuf> {
    let names = |folder: &Path| -> BTreeSet<_> {
        super::site::entries(folder)
            .iter()
            .filter_map(|it| Some(it.file_name()?.to_owned()))
            .collect()
    };
    let all: BTreeSet<_> = names(one).union(&names(other)).cloned().collect();
    all.iter().find_map(|name| {
        let (a, b) = (one.join(name), other.join(name));
        let (Ok(x), Ok(y)) = (fs::symlink_metadata(&a), fs::symlink_metadata(&b)) else {
            return Some(b);
        };
        if x.is_dir() && y.is_dir() {
            return difference(&a, &b);
        }
        let is_same = x.file_type() == y.file_type()
            && if x.is_symlink() {
                fs::read_link(&a).ok() == fs::read_link(&b).ok()
            } else {
                x.mode() & 0o111 == y.mode() & 0o111 && fs::read(&a).ok() == fs::read(&b).ok()
            };
        (!is_same).then_some(b)
    })
}
