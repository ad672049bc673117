//! `key`: the key that signs here, and the keys that we trust.

use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use crate::edge::secret;
use crate::edge::signing;
use crate::edge::trust::{self, Trust};
use crate::format::allowed_signers::{self, Allowed};
use crate::format::public_key::PublicKey;
use crate::format::seal_keys::seal_key;
use crate::format::settings::Secret;
use crate::model::Address;

use super::grammar::KeyVerb;
use super::outcome::{Failure, Outcome, answer, answer_json};
use super::process::opened;
use super::session::Session;
use super::sites::parse_address;
use super::vouch;
use super::words::local_time;
use super::wrap::seal_keys;

/// Bytes of a file with one public key.
const PUBLIC_KEY_BYTES_MAX: u64 = 64 << 10;

/// Makes, shows, trusts, lists or revokes keys.
///
/// # Errors
/// A key cannot be read or written, or is none.
pub fn run(session: &Session, verb: &KeyVerb) -> Result<Outcome, Failure> {
    match verb {
        KeyVerb::New => new(session)?,
        KeyVerb::Show => show(session)?,
        KeyVerb::Trust(address, file) => trust_key(session, &parse_address(address)?, file)?,
        KeyVerb::List => list(session)?,
        KeyVerb::Revoke(address) => revoke(session, &parse_address(address)?)?,
        KeyVerb::Seal(address, file) => {
            seal(session, &parse_address(address)?, file.as_deref())?;
        }
        KeyVerb::Unseal(address) => unseal(session, &parse_address(address)?)?,
    }
    Ok(Outcome::Done)
}

fn new(session: &Session) -> Result<(), Failure> {
    let path = session.places.sign_key(&session.settings);
    if path.exists() {
        return Err(Failure::new(signing::SigningError::Exists(path))
            .hinted("\"remsync key show\" shows its public half; it signs already"));
    }
    if session.options.dry_run {
        answer(format_args!("{}: a new key would sign from now on", path.display()));
        return Ok(());
    }
    let passphrase = session.options.passphrase.then(|| new_passphrase(session)).transpose()?;
    let comment = match session.project_directory_if_any()? {
        Some(project) => {
            crate::edge::state::State::read(&project)?.identity.here.address.to_string()
        }
        None => "remsync".to_owned(),
    };
    let key = signing::create(&path, &comment, passphrase.as_ref())?;
    if session.options.json {
        answer_json(&key_json(&key, Some(&path)));
    } else if !session.options.quiet {
        answer(format_args!("{}: a new key, which signs from now on", path.display()));
        show_print(&key);
    }
    Ok(())
}

/// Asks twice for what cannot be seen; elsewhere takes what the settings name.
fn new_passphrase(session: &Session) -> Result<Secret, Failure> {
    let path = session.places.sign_key(&session.settings);
    if !session.may_ask() {
        return session.passphrase(&path)?.ok_or_else(|| {
            Failure::new("there is no terminal to ask for the new passphrase")
                .hinted("REMSYNC_PASSPHRASE, passphrase_file or passphrase_command say it")
        });
    }
    let first = secret::from_terminal("Passphrase of the new key: ")?;
    let second = secret::from_terminal("The same once more: ")?;
    if first.expose() == second.expose() {
        Ok(first)
    } else {
        Err(Failure::new("these were two different passphrases; no key was made"))
    }
}

fn show(session: &Session) -> Result<(), Failure> {
    let path = session.places.sign_key(&session.settings);
    if session.settings.sign_key.is_none() && !path.exists() {
        return Err(
            Failure::new("there is no key that signs").hinted("\"remsync key new\" makes one")
        );
    }
    let key = signing::public_key(&path)?;
    if session.options.json {
        answer_json(&key_json(&key, Some(&path)));
    } else if session.options.in_words {
        show_print(&key);
    } else {
        answer(key.line());
    }
    Ok(())
}

fn trust_key(session: &Session, address: &Address, file: &Path) -> Result<(), Failure> {
    if !allowed_signers::is_plain(address) {
        return Err(Failure::new(format!("{address}: it would be read as a pattern"))
            .hinted("allowed_signers can be edited by hand; see remsync(5)"));
    }
    let key = match file.is_file() || file == Path::new("-") {
        true => read_public_key(file)?,
        false => key_of_entry(session, address, file)?,
    };
    let trust = session.trust()?;
    if trust.revoked.has(&key) {
        let revoked = session.places.revoked_keys(&session.settings);
        return Err(Failure::new(format!("{}: the key was revoked", key.fingerprint()))
            .hinted(format_args!("if that was a mistake, take it out of {}", revoked.display())));
    }
    let is_there = trust::trusts(&trust.signers, address, &key);
    let is_asked = !is_there && !file.is_file() && file != Path::new("-") && session.may_ask();
    if is_asked && !vouch::are_its_words(address, &key) {
        return Err(Failure::new(format!("{address}: nothing was trusted")));
    }
    if !is_there && !session.options.dry_run {
        vouch::begin_to_trust(session, address, &key)?;
    }
    if session.options.json {
        answer_json(&json!({ "address": address.as_str(), "key": key_json(&key, None) }));
    } else if !session.options.quiet {
        let what = match (is_there, session.options.dry_run) {
            (true, _) => "trusted already",
            (false, true) => "would be trusted",
            (false, false) => "trusted from now on",
        };
        answer(format_args!("{address}: {what}"));
        show_print(&key);
        answer("  compare these words with its owner's: there, \"remsync key show --words\"");
    }
    Ok(())
}

/// Returns the one key that signed a package which waits, and says that it is from `address`: a first
/// package brings its own key, and a person has to say whose it is.
fn key_of_entry(session: &Session, address: &Address, word: &Path) -> Result<PublicKey, Failure> {
    let queue = session.queue()?;
    let _lock = queue.lock()?;
    let entry = queue.find(&word.to_string_lossy()).map_err(|error| {
        Failure::new(error).hinted(format_args!(
            "there is no file {} either; FILE holds a public key",
            word.display()
        ))
    })?;
    let entry = opened(session, &queue, entry)?;
    if entry.origin != address.as_str() {
        return Err(Failure::new(format!(
            "{}: it says that it is from {}, not from {address}",
            entry.id, entry.origin
        )));
    }
    let signers = vouch::signers(&queue, &entry)?;
    match signers.as_slice() {
        [key] => Ok(key.clone().with_comment(address.as_str())),
        [] => Err(Failure::new(format!("{}: no key signed it", entry.id))
            .hinted(format_args!("ask {address} for what \"remsync key show\" prints there"))),
        _ => Err(Failure::new(format!("{}: several keys signed it", entry.id))
            .hinted(format_args!("ask {address} for what \"remsync key show\" prints there"))),
    }
}

fn list(session: &Session) -> Result<(), Failure> {
    let trust = session.trust()?;
    super::vouch::tell_faults(session, &trust);
    let lines = &trust.signers.lines;
    let sealed = seal_keys(session)?;
    if session.options.json {
        let lines: Vec<Value> = lines.iter().map(|line| line_json(line, &trust)).collect();
        let sealed = sealed.all().map(|(address, key)| (address.to_string(), key.into()));
        let sealed: serde_json::Map<String, Value> = sealed.collect();
        let revoked = trust.revoked.fingerprints();
        answer_json(&json!({ "trusted": lines, "revoked": revoked, "sealed": sealed }));
        return Ok(());
    }
    for line in lines {
        answer(format_args!("{}  {}{}", line.principals, line.key, describe(line, &trust)));
    }
    for (address, key) in sealed.all() {
        answer(format_args!("{address}  is sealed to {key}"));
    }
    for print in trust.revoked.fingerprints() {
        answer(format_args!("revoked  {print}"));
    }
    if lines.is_empty() && !session.options.quiet {
        answer("no key is trusted");
    }
    Ok(())
}

/// Takes back the trust in every key that may sign for an address, for good: such a key is lost, or
/// in wrong hands, for whomever else it signs as well.
fn revoke(session: &Session, address: &Address) -> Result<(), Failure> {
    let trust = session.trust()?;
    let keys: Vec<PublicKey> = trust.signers.of(address).map(|line| line.key.clone()).collect();
    if keys.is_empty() {
        return Err(Failure::new(format!("{address}: no key is trusted for it"))
            .hinted("\"remsync key list\" lists those that are"));
    }
    let has = |line: &&Allowed| keys.contains(&line.key);
    let lines: Vec<&Allowed> = trust.signers.lines.iter().filter(has).collect();
    if !session.options.dry_run {
        let revoked = session.places.revoked_keys(&session.settings);
        let bytes = trust::read(&revoked)?;
        if bytes.starts_with(b"SSHKRL") {
            return Err(Failure::new(format!("{}: it is a binary list", revoked.display()))
                .hinted("\"ssh-keygen -k -u\" adds to it; take the lines out of allowed_signers"));
        }
        // First it is revoked, then forgotten: between the two it is not trusted either.
        let mut told = Vec::new();
        for key in keys.iter().filter(|key| !trust.revoked.has(key)) {
            if !told.contains(&key) {
                trust::append(&revoked, &key.line())?;
                told.push(key);
            }
        }
        let numbers: Vec<usize> = lines.iter().map(|line| line.number).collect();
        trust::take_out(&session.places.allowed_signers(&session.settings), &numbers)?;
    }
    if session.options.json {
        let lines: Vec<Value> = lines.iter().map(|line| line_json(line, &trust)).collect();
        answer_json(&json!({ "revoked": lines }));
    } else if !session.options.quiet {
        let verb = if session.options.dry_run { "would be revoked" } else { "revoked" };
        lines
            .iter()
            .for_each(|line| answer(format_args!("{}  {}: {verb}", line.principals, line.key)));
    }
    Ok(())
}

/// From now on what goes to an address is sealed: to the key in a file, or to the one that it signs
/// with.
fn seal(session: &Session, address: &Address, file: Option<&Path>) -> Result<(), Failure> {
    let key = match file {
        Some(file) => read_text(file)?,
        None => trusted_seal_key(&session.trust()?, address)?,
    };
    let named = file.map_or_else(|| address.to_string(), |file| file.display().to_string());
    let key = seal_key(&key).map_err(|what| Failure::new(format!("{named}: {what}")))?;
    let path = session.places.seal_keys(&session.settings);
    let before = seal_keys(session)?;
    if !session.options.dry_run && before.key_of(address) != Some(key.as_str()) {
        let line = before.line_of(address);
        trust::replace_line(&path, line, &format!("{address} {key}"))?;
    }
    tell_seal(session, address, Some(&key), "sealed from now on, to");
    Ok(())
}

fn unseal(session: &Session, address: &Address) -> Result<(), Failure> {
    let line = seal_keys(session)?.line_of(address).ok_or_else(|| {
        Failure::new(format!("{address}: what goes there is not sealed"))
            .hinted("\"remsync key list\" lists to whom it is")
    })?;
    if !session.options.dry_run {
        trust::take_out(&session.places.seal_keys(&session.settings), &[line])?;
    }
    tell_seal(session, address, None, "no longer sealed");
    Ok(())
}

fn tell_seal(session: &Session, address: &Address, key: Option<&str>, what: &str) {
    if session.options.json {
        answer_json(&json!({ "address": address.as_str(), "sealed_to": key }));
    } else if !session.options.quiet {
        let would = if session.options.dry_run { "would be " } else { "" };
        let key = key.map(|key| format!(" {key}")).unwrap_or_default();
        answer(format_args!("{address}: {would}{what}{key}"));
    }
}

/// Returns the one trusted key of an address that can be sealed to.
fn trusted_seal_key(trust: &Trust, address: &Address) -> Result<String, Failure> {
    let trusted = trust.signers.of(address).filter(|line| !trust.revoked.has(&line.key));
    let mut keys: Vec<String> =
        trusted.filter_map(|line| seal_key(&line.key.bare_line()).ok()).collect();
    keys.dedup();
    match keys.as_slice() {
        [key] => Ok(key.clone()),
        [] => Err(Failure::new(format!("{address}: no key is trusted that can be sealed to"))
            .hinted(format_args!("\"remsync key seal {address} FILE\" takes one from a file"))),
        _ => Err(Failure::new(format!("{address}: several keys are trusted"))
            .hinted(format_args!("\"remsync key seal {address} FILE\" says which"))),
    }
}

/// Reads a public key as people hand it over: a file, or `-` for standard input.
pub fn read_public_key(file: &Path) -> Result<PublicKey, Failure> {
    let fault = |fault| Failure::new(format!("{}: {fault}", file.display()));
    PublicKey::parse(&read_text(file)?).map_err(fault)
}

/// Reads a short text, comments and empty lines left out; one that has more than a line is no key.
fn read_text(file: &Path) -> Result<String, Failure> {
    let at = |error: std::io::Error| Failure::new(format!("{}: {error}", file.display()));
    let mut text = String::new();
    if file == Path::new("-") {
        let input = std::io::stdin().lock();
        input.take(PUBLIC_KEY_BYTES_MAX).read_to_string(&mut text).map_err(at)?;
    } else {
        let input = std::fs::File::open(file).map_err(at)?;
        input.take(PUBLIC_KEY_BYTES_MAX).read_to_string(&mut text).map_err(at)?;
    }
    if text.trim_start().starts_with("-----BEGIN ") {
        return Ok(text);
    }
    let lines = text.lines().map(str::trim);
    let lines: Vec<&str> =
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    match lines.as_slice() {
        [line] => Ok((*line).to_owned()),
        _ => Err(Failure::new(format!(
            "{}: one public key belongs there, in one line",
            file.display()
        ))),
    }
}

fn show_print(key: &PublicKey) {
    answer(format_args!("  {key}"));
    answer(format_args!("  {}", key.words()));
}

/// Says what limits a line, and nothing where nothing does.
fn describe(line: &Allowed, trust: &Trust) -> String {
    let time = |ms: i64| local_time(u64::try_from(ms).unwrap_or(0));
    let mut words = Vec::new();
    if line.is_authority {
        words.push("an authority for certificates, which are not taken".to_owned());
    }
    if trust.revoked.has(&line.key) {
        words.push("revoked".to_owned());
    }
    words.extend(line.valid_after_ms.map(|ms| format!("from {}", time(ms))));
    words.extend(line.valid_before_ms.map(|ms| format!("until {}", time(ms))));
    let namespaces = line.namespaces.as_ref();
    let ours = |list: &&String| !allowed_signers::fits(list, crate::format::sshsig::NAMESPACE);
    words.extend(namespaces.filter(ours).map(|list| format!("only for {list}")));
    words.iter().map(|word| format!(", {word}")).collect()
}

fn key_json(key: &PublicKey, path: Option<&Path>) -> Value {
    json!({
        "path": path.map(|path| path.to_string_lossy()),
        "key": key.line(),
        "fingerprint": key.fingerprint(),
        "words": key.words(),
    })
}

fn line_json(line: &Allowed, trust: &Trust) -> Value {
    json!({
        "principals": line.principals,
        "key": line.key.line(),
        "fingerprint": line.key.fingerprint(),
        "words": line.key.words(),
        "namespaces": line.namespaces,
        "valid_after": line.valid_after_ms,
        "valid_before": line.valid_before_ms,
        "revoked": trust.revoked.has(&line.key),
    })
}
