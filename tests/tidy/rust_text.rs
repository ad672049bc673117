//! Reading Rust, as far as tidiness needs it: names and signs, and the paths that code names.
//!
//! Not a parser: it knows comments, strings, `mod` and `use`, and nothing of what the rest means.

/// A path that the code names.
pub struct Used {
    /// From 1.
    pub line: usize,
    /// From the root of its crate, `super` and `self` resolved; `crate` first for our own.
    pub segments: Vec<String>,
    /// Within `mod tests`.
    pub is_in_tests: bool,
}

impl Used {
    /// Returns what stands below the root of this crate, or nothing for another crate's path.
    pub fn own_segments(&self) -> &[String] {
        match self.segments.as_slice() {
            [first, rest @ ..] if matches!(first.as_str(), "crate" | "remsync") => rest,
            _ => &[],
        }
    }
}

/// A name or a sign.
pub struct Token {
    /// As it stands there.
    pub text: String,
    /// From 1.
    pub line: usize,
}

/// Returns every path of a file that begins at a root: a crate's, or this module's or its parent's.
pub fn paths_in(path: &str, text: &str) -> Vec<Used> {
    let tokens = tokens(text);
    let mut module = module_of(path);
    let mut opened: Vec<usize> = Vec::new();
    let mut depth = 0;
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = |n: usize| tokens.get(at + n).map_or("", |token| token.text.as_str());
        let is_after_colons = at > 0 && tokens[at - 1].text == "::";
        let is_in_tests = !opened.is_empty() && module.last().is_some_and(|name| name == "tests");
        let mut paths = Vec::new();
        let mut after = at + 1;
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if opened.last() == Some(&depth) {
                    opened.pop();
                    module.pop();
                }
            }
            "mod" if next(2) == "{" => {
                opened.push(depth);
                module.push(next(1).to_owned());
                after = at + 2;
            }
            "use" if next(1) != "<" => {
                after = read_use(&tokens, at + 1, &mut Vec::new(), &mut paths);
            }
            _ if is_name(&token.text) && next(1) == "::" && !is_after_colons => {
                let mut path = vec![token.text.clone()];
                while tokens.get(after).is_some_and(|token| token.text == "::") {
                    match tokens.get(after + 1) {
                        Some(name) if is_name(&name.text) => path.push(name.text.clone()),
                        _ => break,
                    }
                    after += 2;
                }
                paths.push(path);
            }
            _ => {}
        }
        let used = paths.iter().filter_map(|path| resolved(path, &module));
        found.extend(used.map(|segments| Used { line: token.line, segments, is_in_tests }));
        at = after;
    }
    found
}

/// Reads one tree of a `use`, and returns the place after it.
fn read_use(
    tokens: &[Token],
    mut at: usize,
    prefix: &mut Vec<String>,
    paths: &mut Vec<Vec<String>>,
) -> usize {
    let length = prefix.len();
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = read_use(tokens, at, prefix, paths);
                    if tokens.get(at).is_some_and(|token| token.text == ",") {
                        at += 1;
                    }
                }
                prefix.truncate(length);
                return at + 1;
            }
            "as" => at += 1,
            "," | "}" | ";" => break,
            name if is_name(name) || name == "*" => {
                let is_alias = at > 0 && tokens[at - 1].text == "as";
                if !is_alias {
                    prefix.push(name.to_owned());
                }
            }
            _ => {}
        }
        at += 1;
    }
    paths.push(prefix.clone());
    prefix.truncate(length);
    at
}

/// Returns the path from a crate's root; `None` for one that begins at something in scope.
fn resolved(path: &[String], module: &[String]) -> Option<Vec<String>> {
    let mut base = module.to_vec();
    let mut rest = path;
    match path.first()?.as_str() {
        "self" | "super" => {
            while let [first, more @ ..] = rest {
                match first.as_str() {
                    "self" => {}
                    "super" => drop(base.pop()),
                    _ => break,
                }
                rest = more;
            }
            let root = std::iter::once("crate".to_owned());
            Some(root.chain(base).chain(rest.iter().cloned()).collect())
        }
        first if first.starts_with(|c: char| c.is_lowercase()) => Some(path.to_vec()),
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Splits Rust into names and signs; comments are left out, and what strings hold.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    let is_part = |c: &char| c.is_alphanumeric() || *c == '_';
    while let Some(&c) = chars.get(at) {
        let start = at;
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        match c {
            '/' if next == '/' => {
                while chars.get(at).is_some_and(|&c| c != '\n') {
                    at += 1;
                }
            }
            '/' if next == '*' => {
                at += 2;
                while at < chars.len()
                    && !(chars[at - 1] == '*' && chars[at] == '/' && at > start + 2)
                {
                    at += 1;
                }
                at += 1;
            }
            '"' => at = string_end(&chars, at + 1),
            'r' | 'b' if raw_hashes(&chars, at).is_some() => {
                let (quote, hashes) = raw_hashes(&chars, at).unwrap_or_default();
                at = raw_end(&chars, quote + 1, hashes);
            }
            '\'' => at = char_or_lifetime_end(&chars, at),
            c if is_part(&c) => {
                while chars.get(at).is_some_and(is_part) {
                    at += 1;
                }
                tokens.push(Token { text: chars[start..at].iter().collect(), line });
            }
            ':' if next == ':' => {
                at += 2;
                tokens.push(Token { text: "::".to_owned(), line });
            }
            c => {
                at += 1;
                if !c.is_whitespace() {
                    tokens.push(Token { text: c.to_string(), line });
                }
            }
        }
        line += chars[start..at.min(chars.len())].iter().filter(|&&c| c == '\n').count();
    }
    tokens
}

/// Returns the place after the quote that ends a string.
fn string_end(chars: &[char], mut at: usize) -> usize {
    while let Some(&c) = chars.get(at) {
        match c {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// Returns where the quote of a raw string is, and how many hashes stand before it.
fn raw_hashes(chars: &[char], at: usize) -> Option<(usize, usize)> {
    let is_inside_a_name = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    let after_b = if chars[at] == 'b' { at + 1 } else { at };
    if is_inside_a_name || chars.get(after_b) != Some(&'r') {
        return None;
    }
    let hashes = chars[after_b + 1..].iter().take_while(|&&c| c == '#').count();
    let quote = after_b + 1 + hashes;
    (chars.get(quote) == Some(&'"')).then_some((quote, hashes))
}

fn raw_end(chars: &[char], mut at: usize, hashes: usize) -> usize {
    while at < chars.len() {
        let closes = chars[at] == '"'
            && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
        if closes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    at
}

/// Returns the place after a character, or after the sign that begins a lifetime.
fn char_or_lifetime_end(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        let end = chars[(at + 3).min(chars.len())..].iter().position(|&c| c == '\'');
        return end.map_or(chars.len(), |end| at + 3 + end + 1);
    }
    if chars.get(at + 2) == Some(&'\'') { at + 3 } else { at + 1 }
}

/// Returns the module of a file below `src/`: `["edge", "tree", "scan"]`.
pub fn module_of(path: &str) -> Vec<String> {
    let below = path.strip_prefix("src/").unwrap_or(path);
    let below = below.strip_suffix(".rs").unwrap_or(below);
    let parts = below.split('/').filter(|part| !matches!(*part, "mod" | "lib"));
    parts.map(str::to_owned).collect()
}

pub fn floor_of(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split_once('/').map(|(floor, _)| floor)
}
