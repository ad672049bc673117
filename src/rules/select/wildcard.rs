//! Scans: shell wildcards on whole paths, part by part.
//!
//! `*` and `?` do not cross a slash and do not match a dot that a part begins with; `[…]`,
//! `[!…]`, `[^…]`, classes like `[[:digit:]]` and backslashes are as in the shell, and a `[` that
//! is never closed is a `[`. What a scan names is taken literally too, so that a file called
//! `a[1]` can be selected by its name; what names a folder selects all that is below.

use super::Fault;

/// One scan.
#[derive(Debug)]
pub(super) struct Scan {
    /// None is the whole tree.
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    literal: Vec<u8>,
    tokens: Vec<Token>,
}

#[derive(Debug)]
enum Token {
    /// This character.
    One(u32),
    /// `?`
    Any,
    /// `*`
    Run,
    /// `[…]`
    Set { inverted: bool, items: Vec<Item> },
}

#[derive(Debug)]
enum Item {
    /// From, to, both included.
    Range(u32, u32),
    Class(fn(char) -> bool),
}

impl Scan {
    /// Reads a scan.
    pub(super) fn compile(scan: &[u8]) -> Result<Scan, Fault> {
        let hint = "name files and folders from the top of the tree, as in \"src/*.c\"";
        if scan.is_empty() {
            return Err(Fault::new("it is empty", hint));
        }
        if scan.starts_with(b"/") {
            return Err(Fault::new("it is absolute", hint));
        }
        if scan.contains(&0) {
            return Err(Fault::new("it has a NUL byte", hint));
        }
        let mut parts = Vec::new();
        for part in scan.split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(Fault::new("it leads out of the tree (\"..\")", hint)),
                part => {
                    parts.push(Part { literal: part.to_vec(), tokens: tokens(&units(part))? });
                }
            }
        }
        Ok(Scan { parts })
    }

    /// Whether it selects the path with these parts.
    pub(super) fn selects(&self, path: &[&[u8]]) -> bool {
        path.len() >= self.parts.len() && self.may_hold(path)
    }

    /// Whether it may select something at or below the path with these parts.
    pub(super) fn may_hold(&self, path: &[&[u8]]) -> bool {
        self.parts.iter().zip(path).all(|(part, name)| part.is_match(name))
    }
}

impl Part {
    fn is_match(&self, name: &[u8]) -> bool {
        if self.literal == name {
            return true;
        }
        let dot_is_named = matches!(self.tokens.first(), Some(Token::One(c)) if *c == DOT);
        (dot_is_named || !name.starts_with(b".")) && matches(&self.tokens, &units(name))
    }
}

impl Token {
    fn is_match(&self, unit: u32) -> bool {
        match self {
            Token::One(c) => *c == unit,
            Token::Any | Token::Run => true,
            Token::Set { inverted, items } => {
                items.iter().any(|item| item.is_match(unit)) != *inverted
            }
        }
    }
}

impl Item {
    fn is_match(&self, unit: u32) -> bool {
        match self {
            Item::Range(from, to) => (*from..=*to).contains(&unit),
            Item::Class(is_in) => char::from_u32(unit).is_some_and(is_in),
        }
    }
}

const DOT: u32 = '.' as u32;

/// Whether the tokens match the whole name. Only the last `*` is ever tried again, for what an
/// earlier one would take more of, it can take: so no pattern takes more than their product.
fn matches(tokens: &[Token], name: &[u32]) -> bool {
    let (mut token, mut unit) = (0, 0);
    let mut last_run: Option<(usize, usize)> = None;
    while let Some(&c) = name.get(unit) {
        match tokens.get(token) {
            Some(Token::Run) => {
                last_run = Some((token, unit));
                token += 1;
            }
            Some(one) if one.is_match(c) => {
                token += 1;
                unit += 1;
            }
            _ => {
                let Some((run, taken)) = &mut last_run else { return false };
                *taken += 1;
                token = *run + 1;
                unit = *taken;
            }
        }
    }
    tokens.iter().skip(token).all(|token| matches!(token, Token::Run))
}

/// Returns bytes as characters; each byte that is no part of UTF-8 as a number above all of them,
/// so that it is one `?` and equals only itself.
fn units(bytes: &[u8]) -> Vec<u32> {
    let mut units = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        units.extend(chunk.valid().chars().map(u32::from));
        units.extend(chunk.invalid().iter().map(|&byte| 0x11_0000 + u32::from(byte)));
    }
    units
}

/// Reads one part of a scan.
fn tokens(pattern: &[u32]) -> Result<Vec<Token>, Fault> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let [first, after @ ..] = rest {
        rest = after;
        tokens.push(match char::from_u32(*first) {
            Some('?') => Token::Any,
            Some('*') => Token::Run,
            Some('[') => match set(after)? {
                Some((set, after)) => {
                    rest = after;
                    set
                }
                None => Token::One(*first),
            },
            Some('\\') => match after {
                [escaped, after @ ..] => {
                    rest = after;
                    Token::One(*escaped)
                }
                [] => Token::One(*first),
            },
            _ => Token::One(*first),
        });
    }
    Ok(tokens)
}

/// A token, and what follows it.
type Parsed<'p, T> = (T, &'p [u32]);

/// Reads a set from after its `[`; `None` if it is never closed.
fn set(pattern: &[u32]) -> Result<Option<Parsed<'_, Token>>, Fault> {
    let mut rest = pattern;
    let inverted = is(rest.first(), '!') || is(rest.first(), '^');
    if inverted {
        rest = rest.get(1..).unwrap_or_default();
    }
    let mut items = Vec::new();
    let mut is_first = true;
    loop {
        if is(rest.first(), ']') && !is_first {
            let after = rest.get(1..).unwrap_or_default();
            return Ok(Some((Token::Set { inverted, items }, after)));
        }
        is_first = false;
        if let Some((name, after)) = bracketed(rest, ':') {
            items.push(Item::Class(class(&name)?));
            rest = after;
            continue;
        }
        let Some((from, after)) = end_of_range(rest) else { return Ok(None) };
        rest = after;
        let is_range = is(rest.first(), '-') && rest.len() > 1 && !is(rest.get(1), ']');
        if !is_range {
            items.push(Item::Range(from, from));
            continue;
        }
        let Some((to, after)) = end_of_range(rest.get(1..).unwrap_or_default()) else {
            return Ok(None);
        };
        items.push(Item::Range(from, to));
        rest = after;
    }
}

/// Reads one character of a set: itself, escaped, or named as `[.x.]` or `[=x=]`.
fn end_of_range(rest: &[u32]) -> Option<Parsed<'_, u32>> {
    for mark in ['.', '='] {
        if let Some((name, after)) = bracketed(rest, mark) {
            let mut name = name.chars();
            if let (Some(c), None) = (name.next(), name.next()) {
                return Some((u32::from(c), after));
            }
        }
    }
    match rest {
        [escape, c, after @ ..] if is(Some(escape), '\\') => Some((*c, after)),
        [c, after @ ..] => Some((*c, after)),
        [] => None,
    }
}

/// Reads `[:name:]`, with another mark in the place of the colons.
fn bracketed(rest: &[u32], mark: char) -> Option<Parsed<'_, String>> {
    if !(is(rest.first(), '[') && is(rest.get(1), mark)) {
        return None;
    }
    let inner = rest.get(2..)?;
    let end = inner.windows(2).position(|pair| is(pair.first(), mark) && is(pair.get(1), ']'))?;
    let name = inner.get(..end)?.iter().map(|&unit| char::from_u32(unit)).collect::<Option<_>>()?;
    Some((name, inner.get(end + 2..)?))
}

fn class(name: &str) -> Result<fn(char) -> bool, Fault> {
    Ok(match name {
        "alpha" => char::is_alphabetic,
        "digit" => |c| c.is_ascii_digit(),
        "alnum" => |c| c.is_alphabetic() || c.is_ascii_digit(),
        "upper" => char::is_uppercase,
        "lower" => char::is_lowercase,
        "space" => char::is_whitespace,
        "blank" => |c| matches!(c, ' ' | '\t'),
        "punct" => |c| c.is_ascii_punctuation(),
        "cntrl" => char::is_control,
        "xdigit" => |c| c.is_ascii_hexdigit(),
        "print" => |c| !c.is_control(),
        "graph" => |c| !c.is_control() && !c.is_whitespace(),
        _ => {
            return Err(Fault::new(
                format!("there is no class of characters [:{name}:]"),
                "the classes are alpha digit alnum upper lower space blank punct cntrl xdigit \
                 print graph",
            ));
        }
    })
}

fn is(unit: Option<&u32>, c: char) -> bool {
    unit == Some(&u32::from(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(scan: &[u8], path: &[u8]) -> bool {
        let parts: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
        let Ok(scan) = Scan::compile(scan) else { panic!("{scan:?} is a good scan") };
        scan.selects(&parts)
    }

    /// The first column against the second, as dash and bash say (`^` as bash).
    #[test]
    fn as_the_shell() {
        let table: &[(&str, &str, bool)] = &[
            ("*.c", "a.c", true),
            ("*.c", "sub/a.c", false),
            ("*/*.c", "sub/a.c", true),
            ("*.c", ".c", false),
            ("*", ".hidden", false),
            (".*", ".hidden", true),
            ("?hidden", ".hidden", false),
            ("[.]hidden", ".hidden", false),
            ("[!a]hidden", ".hidden", false),
            ("\\.hidden", ".hidden", true),
            ("a*", "a.b", true),
            ("?", "é", true),
            ("?", "ab", false),
            ("", "", true),
            ("[abc]x", "bx", true),
            ("[!abc]x", "bx", false),
            ("[^abc]x", "dx", true),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", false),
            ("[a-]x", "-x", true),
            ("[-a]x", "-x", true),
            ("[]]x", "]x", true),
            ("[!]]x", "]x", false),
            ("[]-a]x", "^x", true),
            ("[\\]]x", "]x", true),
            ("[a\\-z]x", "mx", false),
            ("[a\\-z]x", "-x", true),
            ("[[:digit:]]x", "7x", true),
            ("[[:digit:]]x", "ax", false),
            ("[![:digit:]]x", "ax", true),
            ("[[:alpha:][:digit:]_]x", "_x", true),
            ("[[=a=]]x", "ax", true),
            ("a[", "a[", true),
            ("a[b", "a[b", true),
            ("[[:digit:]", "[d", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("a\\", "a\\", true),
            ("{a,b}", "a", false),
            ("**.c", "a.c", true),
            ("*a*b*c*", "xaxbxcx", true),
            ("*a*b*c*", "xaxcxbx", false),
            ("a[1]", "a1", true),
            ("a[1]", "a[1]", true),
        ];
        for (scan, path, want) in table.iter().filter(|row| !row.0.is_empty()) {
            assert_eq!(selects(scan.as_bytes(), path.as_bytes()), *want, "{scan} {path}");
        }
        assert!(selects(b"?x", b"\xffx"), "a byte that is no character is one");
        assert!(selects(b"\xff*", b"\xffx"));
        assert!(!selects(b"\xff*", "ÿx".as_bytes()));
    }

    #[test]
    fn folders_are_selected_with_all_below() {
        let table: &[(&str, &str, bool)] = &[
            ("src", "src/a/b.c", true),
            ("./src", "src/a", true),
            ("././src/", "src/a", true),
            ("src//a", "src/a", true),
            ("src", "srcs/a", false),
            ("s*", "src/.hidden", true),
            ("src/*/x", "src/a/x/deep", true),
            ("src/*/x", "src/a/y/x", false),
            (".", "anything/at/all", true),
            ("src/a", "src", false),
        ];
        for (scan, path, want) in table {
            assert_eq!(selects(scan.as_bytes(), path.as_bytes()), *want, "{scan} {path}");
        }
    }

    #[test]
    fn nothing_leads_out() {
        for scan in ["", "/", "/etc", "..", "../x", "a/../../b", "a/..", "a\0b", "[[:foo:]]"] {
            assert!(Scan::compile(scan.as_bytes()).is_err(), "{scan:?}");
        }
        assert!(Scan::compile(b"..a/...").is_ok());
    }

    /// One that tried all ways would not end.
    #[test]
    fn no_pattern_is_slow() {
        let scan = "*a".repeat(120);
        let name = "a".repeat(250) + "b";
        assert!(!selects(scan.as_bytes(), name.as_bytes()));
    }
}
