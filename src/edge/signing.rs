//! The key that signs: a file of ours, or one that an agent keeps.
//!
//! It decides nothing about trust. Invariants: a private key is read from a file that nobody else
//! may read, is never written but by [`create`], and never over anything.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rsa::pkcs1v15::SigningKey;
use rsa::sha2::Sha512;
use rsa::signature::{RandomizedSigner, SignatureEncoding, Signer as _};
use sha2::Digest;
use ssh_key::private::{KeypairData, RsaKeypair};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, Signature};

use super::agent::{Agent, AgentError};
use super::secret::{SecretError, check_private};
use crate::format::public_key::{KeyFault, PublicKey, big_number};
use crate::format::settings::Secret;
use crate::format::sshsig::{self, Hash};

/// Bytes of a file with a key.
const KEY_FILE_BYTES_MAX: u64 = 1 << 20;

/// What signs packages.
pub enum Signer {
    /// A key that is at hand.
    File(Box<PrivateKey>, PublicKey),
    /// A key that an agent keeps.
    Agent(Agent, PublicKey),
}

/// Why there is no key, or no signature.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file is there already.
    #[error("{}: it is there already, and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// It holds no key of SSH.
    #[error("{}: {fault}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: KeyFault,
    },
    /// A private key in another form than OpenSSH's.
    #[error("{}: it is not in OpenSSH's own form", .0.display())]
    Form(PathBuf),
    /// The key is encrypted, and nobody said the passphrase.
    #[error("{}: it has a passphrase, and there is none to be had", .0.display())]
    Locked(PathBuf),
    /// The passphrase is another.
    #[error("{}: the passphrase is wrong", .0.display())]
    WrongPassphrase(PathBuf),
    /// The key is one that only an agent can use.
    #[error("{}: no ssh-agent has this key", .0.display())]
    NotInAgent(PathBuf),
    /// Passphrase, file or owner.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The arithmetic failed.
    #[error("the key {0} cannot sign")]
    Failed(String),
}

/// Gives the passphrase of the key in a file; `None` where there is none to be had.
pub type Passphrase<'a> = dyn FnMut(&Path) -> Result<Option<Secret>, SecretError> + 'a;

impl Signer {
    /// Opens the key in `path`: a private key, or a public one whose other half an agent keeps. An
    /// encrypted one is first looked for in the agent.
    ///
    /// # Errors
    /// A [`SigningError`].
    pub fn open(
        path: &Path,
        agent: Option<&Path>,
        passphrase: &mut Passphrase<'_>,
    ) -> Result<Signer, SigningError> {
        let text = read_bounded(path)?.1;
        if !is_private(&text) {
            return Signer::in_agent(path, agent, public_of(path, &text)?);
        }
        let (key, public) = private_of(path, &text)?;
        let is_hardware = public.is_hardware();
        if (key.is_encrypted() || is_hardware) && agent.is_some() {
            match Signer::in_agent(path, agent, public.clone()) {
                Err(_) if !is_hardware => {}
                found => return found,
            }
        }
        if is_hardware {
            return Err(SigningError::NotInAgent(path.to_owned()));
        }
        Ok(Signer::File(Box::new(unlocked(path, key, passphrase)?), public))
    }

    fn in_agent(path: &Path, agent: Option<&Path>, key: PublicKey) -> Result<Signer, SigningError> {
        let missing = || SigningError::NotInAgent(path.to_owned());
        let agent = Agent::connect(agent.ok_or_else(missing)?)?;
        if agent.has(&key)? { Ok(Signer::Agent(agent, key)) } else { Err(missing()) }
    }

    /// Returns the public half.
    pub fn public_key(&self) -> &PublicKey {
        match self {
            Signer::File(_, key) | Signer::Agent(_, key) => key,
        }
    }

    /// Returns the detached signature of the bytes with this digest, as ssh-keygen writes it.
    ///
    /// # Errors
    /// The agent would not, or the key cannot.
    pub fn sign(&self, hash: Hash, digest: &[u8]) -> Result<String, SigningError> {
        let message = sshsig::message_to_sign(hash, digest);
        let (signature, key) = match self {
            Signer::Agent(agent, key) => (agent.sign(key, &message)?, key),
            Signer::File(private, key) => {
                let failed = || SigningError::Failed(key.fingerprint());
                (sign_with(private, &message).ok_or_else(failed)?, key)
            }
        };
        // Whatever went wrong in between, what is sent is good.
        if !key.verifies(&message, &signature) {
            return Err(SigningError::Failed(key.fingerprint()));
        }
        Ok(sshsig::print(key, hash, &signature))
    }
}

/// Reads to the end and returns the digest that a signature is made of.
///
/// # Errors
/// It cannot be read.
pub fn digest_of(hash: Hash, mut from: impl Read) -> io::Result<Vec<u8>> {
    fn read<D: Digest + Write>(from: &mut impl Read) -> io::Result<Vec<u8>> {
        let mut digest = D::new();
        io::copy(from, &mut digest)?;
        Ok(digest.finalize().to_vec())
    }
    match hash {
        Hash::Sha256 => read::<sha2::Sha256>(&mut from),
        Hash::Sha512 => read::<sha2::Sha512>(&mut from),
    }
}

/// Makes a new ed25519 key: the private half in `path`, 0600, the public one beside it in `.pub`.
///
/// # Errors
/// Either is there already, or cannot be written.
pub fn create(
    path: &Path,
    comment: &str,
    passphrase: Option<&Secret>,
) -> Result<PublicKey, SigningError> {
    let beside = public_path(path);
    for file in [path, &beside] {
        if fs::symlink_metadata(file).is_ok() {
            return Err(SigningError::Exists(file.to_owned()));
        }
    }
    let failed = |_| SigningError::Failed("new".to_owned());
    let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(failed)?;
    key.set_comment(comment);
    let public = PublicKey::from_blob(&key.public_key().to_bytes().map_err(failed)?)
        .map_err(|fault| SigningError::Key { path: path.to_owned(), fault })?
        .with_comment(comment);
    if let Some(passphrase) = passphrase {
        key = key.encrypt(&mut OsRng, passphrase.expose()).map_err(failed)?;
    }
    let text = key.to_openssh(LineEnding::LF).map_err(failed)?;
    write_new(path, text.as_bytes(), 0o600)?;
    write_new(&beside, format!("{}\n", public.line()).as_bytes(), 0o644)?;
    Ok(public)
}

/// Returns the public half of the key in a file, be it a private or a public key.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn public_key(path: &Path) -> Result<PublicKey, SigningError> {
    let (_, text) = read_bounded(path)?;
    if !is_private(&text) {
        return public_of(path, &text);
    }
    let (_, public) = private_of(path, &text)?;
    // An encrypted key hides its comment; the file beside it does not.
    let beside = read_bounded(&public_path(path)).ok().map(|(_, text)| text);
    let beside = beside.and_then(|text| public_of(path, &text).ok());
    Ok(beside.filter(|key| *key == public).unwrap_or(public))
}

/// Reads a private key for opening what is sealed to it, its passphrase undone.
///
/// # Errors
/// A [`SigningError`].
pub fn private_key(
    path: &Path,
    passphrase: &mut Passphrase<'_>,
) -> Result<PrivateKey, SigningError> {
    let (_, text) = read_bounded(path)?;
    let (key, _) = private_of(path, &text)?;
    unlocked(path, key, passphrase)
}

/// Reads a private file; returns what is in it.
///
/// # Errors
/// It cannot be read, or by others too.
pub fn read_private(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, SigningError> {
    let (file, text) = read_bounded(path)?;
    check_private(&file, path)?;
    Ok(text)
}

/// Whether the text is that of a private key.
pub fn is_private(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"-----BEGIN ")
}

fn read_bounded(path: &Path) -> Result<(File, zeroize::Zeroizing<Vec<u8>>), SigningError> {
    let at = |source| SigningError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(at)?;
    let mut text = zeroize::Zeroizing::new(Vec::new());
    (&file).take(KEY_FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(at)?;
    if text.len() as u64 > KEY_FILE_BYTES_MAX {
        return Err(SigningError::Key { path: path.to_owned(), fault: KeyFault::NotAKey });
    }
    if is_private(&text) {
        check_private(&file, path)?;
    }
    Ok((file, text))
}

fn public_of(path: &Path, text: &[u8]) -> Result<PublicKey, SigningError> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parsed = match (lines.next(), lines.next()) {
        (Some(line), None) => PublicKey::parse(line),
        _ => Err(KeyFault::NotAKey),
    };
    parsed.map_err(|fault| SigningError::Key { path: path.to_owned(), fault })
}

fn private_of(path: &Path, text: &[u8]) -> Result<(PrivateKey, PublicKey), SigningError> {
    let key = PrivateKey::from_openssh(text).map_err(|_| SigningError::Form(path.to_owned()))?;
    let form = || SigningError::Form(path.to_owned());
    let blob = key.public_key().to_bytes().map_err(|_| form())?;
    let public = PublicKey::from_blob(&blob)
        .map_err(|fault| SigningError::Key { path: path.to_owned(), fault })?;
    let comment: String = key.comment().chars().filter(|c| !c.is_control()).collect();
    Ok((key, public.with_comment(&comment)))
}

fn unlocked(
    path: &Path,
    key: PrivateKey,
    passphrase: &mut Passphrase<'_>,
) -> Result<PrivateKey, SigningError> {
    if !key.is_encrypted() {
        return Ok(key);
    }
    let secret = passphrase(path)?.ok_or_else(|| SigningError::Locked(path.to_owned()))?;
    key.decrypt(secret.expose()).map_err(|_| SigningError::WrongPassphrase(path.to_owned()))
}

/// Returns the signature as SSHSIG holds it.
fn sign_with(key: &PrivateKey, message: &[u8]) -> Option<Vec<u8>> {
    let signature = match key.key_data() {
        KeypairData::Rsa(pair) => sign_rsa(pair, message)?,
        data => data.try_sign(message).ok()?,
    };
    Vec::try_from(signature).ok()
}

/// RSA with SHA-512, blinded.
fn sign_rsa(pair: &RsaKeypair, message: &[u8]) -> Option<Signature> {
    let numbers =
        [&pair.public.n, &pair.public.e, &pair.private.d, &pair.private.p, &pair.private.q];
    let mut numbers = numbers.into_iter().map(big_number);
    let mut next = || numbers.next().flatten();
    let (n, e, d, primes) = (next()?, next()?, next()?, vec![next()?, next()?]);
    let key = rsa::RsaPrivateKey::from_components(n, e, d, primes).ok()?;
    let raw = SigningKey::<Sha512>::new(key).try_sign_with_rng(&mut OsRng, message).ok()?;
    Signature::new(Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, raw.to_vec()).ok()
}

/// Writes a file under a name that nothing has, whole or not at all.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), SigningError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // A link, and no rename: what is there already stays.
        let linked = fs::hard_link(&temporary, path);
        fs::remove_file(&temporary)?;
        linked?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => SigningError::Exists(path.to_owned()),
        _ => SigningError::Io { path: path.to_owned(), source },
    })
}

/// Returns the place of the public half: `id_ed25519.pub` beside `id_ed25519`.
pub fn public_path(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    PathBuf::from(beside)
}
