//! Perl's regular expressions, carried over into the engine's.
//!
//! The engine knows another dialect: it reads `(?R)`, `\h`, `\v`, `\<`, `a&&b` in brackets and
//! more otherwise than Perl, and silently. So each expression is read here as Perl reads it, and
//! only what means the same in both is passed on, written so that it cannot be mistaken; all else
//! is refused, with what to write instead. Two things stay different and are in the manual: `$`
//! does not match before a line feed that ends a name, and ignoring case does not take `ß` for
//! `ss`.

use super::Fault;

/// Returns what the engine has to be given to match what Perl does.
pub(super) fn translate(pattern: &str) -> Result<String, Fault> {
    if pattern.is_empty() {
        return Err(Fault::new("the expression is empty", "remove it, or write one"));
    }
    let mut reader = Reader {
        rest: pattern,
        out: String::with_capacity(pattern.len() + 8),
        open: Vec::new(),
        groups: 0,
        closed: Vec::new(),
        names: Vec::new(),
        can_repeat: false,
    };
    while let Some(c) = reader.next() {
        reader.item(c)?;
    }
    match reader.open.is_empty() {
        true => Ok(reader.out),
        false => Err(Fault::new("a \"(\" is not closed", "close it, or write \\( for itself")),
    }
}

/// An expression being read.
struct Reader<'p> {
    rest: &'p str,
    out: String,
    open: Vec<Open>,
    /// Numbered groups opened so far.
    groups: usize,
    /// Those of them that are closed.
    closed: Vec<usize>,
    /// Names of groups, and whether they are closed.
    names: Vec<(String, bool)>,
    /// Whether what was read last can be repeated.
    can_repeat: bool,
}

/// A group that is not yet closed.
struct Open {
    number: Option<usize>,
    name: Option<String>,
    is_look: bool,
}

/// One thing in brackets.
enum InClass {
    One(char),
    /// What the engine calls it, to be put in brackets too.
    Many(&'static str),
}

impl<'p> Reader<'p> {
    fn item(&mut self, c: char) -> Result<(), Fault> {
        match c {
            '\\' => return self.escape(),
            '[' => self.class()?,
            '(' => return self.group(),
            ')' => return self.close(),
            '*' | '+' | '?' => return self.repeat(&c.to_string()),
            '{' => return self.braces(),
            '|' | '^' | '$' => {
                self.out.push(c);
                self.can_repeat = false;
                return Ok(());
            }
            '.' => self.out.push('.'),
            c => self.literal(c),
        }
        self.can_repeat = true;
        Ok(())
    }

    /// Reads what follows a backslash, outside brackets.
    fn escape(&mut self) -> Result<(), Fault> {
        let Some(c) = self.next() else {
            return Err(Fault::new("it ends in a backslash", "write \\\\ for a backslash"));
        };
        let is_anchor = matches!(c, 'A' | 'z' | 'b' | 'B');
        match c {
            'b' | 'B' if self.rest.starts_with('{') => {
                return Err(unsupported("\\b{…}", "write \\b"));
            }
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'A' | 'z' | 'b' | 'B' => {
                self.out.push('\\');
                self.out.push(c);
            }
            '1'..='9' => self.reference_by_number(c)?,
            'k' => self.reference_by_name()?,
            'p' | 'P' => self.category(c)?,
            c => {
                let c = self.escaped(c)?;
                self.literal(c);
            }
        }
        self.can_repeat = !is_anchor;
        Ok(())
    }

    /// Returns the single character that `\c` is, inside and outside brackets.
    fn escaped(&mut self, c: char) -> Result<char, Fault> {
        Ok(match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'f' => '\x0c',
            'a' => '\x07',
            'e' => '\x1b',
            'x' => self.hexadecimal()?,
            c if !c.is_ascii_alphanumeric() => c,
            c => return Err(refused_escape(c)),
        })
    }

    fn hexadecimal(&mut self) -> Result<char, Fault> {
        let fault = || Fault::new("\\x without its digits", "write \\x41 or \\x{e9}");
        let digits = match self.rest.strip_prefix('{') {
            Some(inner) => {
                let (digits, after) = inner.split_once('}').ok_or_else(fault)?;
                self.rest = after;
                digits
            }
            None => {
                let (digits, after) = self.rest.split_at_checked(2).ok_or_else(fault)?;
                self.rest = after;
                digits
            }
        };
        let are_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u32::from_str_radix(digits, 16).ok().filter(|_| are_digits);
        number.and_then(char::from_u32).ok_or_else(fault)
    }

    fn reference_by_number(&mut self, digit: char) -> Result<(), Fault> {
        let number = digit.to_digit(10).unwrap_or(0) as usize;
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(unsupported(
                "a backslash with several digits",
                "write \\x and two digits for a character",
            ));
        }
        if !self.closed.contains(&number) {
            return Err(Fault::new(
                format!("\\{number} refers to no group before it"),
                "groups are counted by their \"(\", from 1",
            ));
        }
        self.out.push('\\');
        self.out.push(digit);
        Ok(())
    }

    fn reference_by_name(&mut self) -> Result<(), Fault> {
        let named = self.rest.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let Some((name, after)) = named else {
            return Err(unsupported("\\k without <name>", "write \\k<name>"));
        };
        if !self.names.iter().any(|(known, is_closed)| known == name && *is_closed) {
            return Err(Fault::new(format!("\\k<{name}> refers to no group before it"), ""));
        }
        self.out.push_str("\\k<");
        self.out.push_str(name);
        self.out.push('>');
        self.rest = after;
        Ok(())
    }

    /// Reads `\pL` or `\p{Lu}`: Unicode's general categories, whose names both agree on.
    fn category(&mut self, p: char) -> Result<(), Fault> {
        const CATEGORIES: &str = " L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po \
                                  S Sm Sc Sk So Z Zs Zl Zp Cc Cf Co ";
        let fault =
            || unsupported("this \\p", "write a general category, as in \\pL, \\p{Lu} or \\p{Nd}");
        let (name, after) = match self.rest.strip_prefix('{') {
            Some(inner) => inner.split_once('}').ok_or_else(fault)?,
            None => self.rest.split_at_checked(1).ok_or_else(fault)?,
        };
        let is_plain = name.bytes().all(|b| b.is_ascii_alphabetic()) && !name.is_empty();
        if !is_plain || !CATEGORIES.contains(&format!(" {name} ")) {
            return Err(fault());
        }
        self.out.push('\\');
        self.out.push(p);
        self.out.push('{');
        self.out.push_str(name);
        self.out.push('}');
        self.rest = after;
        Ok(())
    }

    /// Reads what follows a `(`.
    fn group(&mut self) -> Result<(), Fault> {
        if self.rest.starts_with('*') {
            return Err(unsupported("(*…)", ""));
        }
        let Some(kind) = self.rest.strip_prefix('?') else {
            self.groups += 1;
            self.start("(", Some(self.groups), None, false);
            return Ok(());
        };
        for (mark, is_look) in
            [(":", false), ("=", true), ("!", true), ("<=", true), ("<!", true), (">", false)]
        {
            if let Some(after) = kind.strip_prefix(mark) {
                self.rest = after;
                self.start(&format!("(?{mark}"), None, None, is_look);
                return Ok(());
            }
        }
        if let Some(after) = kind.strip_prefix("P<").or_else(|| kind.strip_prefix('<')) {
            return self.named_group(after);
        }
        self.flags(kind)
    }

    /// Reads the name of a group, and what follows it.
    fn named_group(&mut self, after: &'p str) -> Result<(), Fault> {
        let (name, rest) = after.split_once('>').unwrap_or((after, ""));
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name || self.names.iter().any(|(known, _)| known == name) {
            return Err(Fault::new(format!("(?<{name}> is no new name of a group"), ""));
        }
        self.groups += 1;
        self.names.push((name.to_owned(), false));
        let number = self.groups;
        self.start(&format!("(?<{name}>"), Some(number), Some(name.to_owned()), false);
        self.skip(self.rest.len() - rest.len());
        Ok(())
    }

    /// Reads `(?i)`, `(?s-m:`: flags for the rest of a group, or for a group.
    fn flags(&mut self, kind: &'p str) -> Result<(), Fault> {
        let count = kind.bytes().take_while(|b| b"ims-".contains(b)).count();
        let (flags, after) = kind.split_at_checked(count).unwrap_or((kind, ""));
        let has_letter = flags.bytes().any(|b| b != b'-');
        let is_plain = has_letter && flags.matches('-').count() <= 1 && !flags.ends_with('-');
        match after.chars().next() {
            Some(')') if is_plain => {
                self.out.push_str(&format!("(?{flags})"));
                self.can_repeat = false;
            }
            Some(':') if is_plain => self.start(&format!("(?{flags}:"), None, None, false),
            _ => {
                let start: String = kind.chars().take(count + 1).collect();
                return Err(unsupported(
                    &format!("(?{start}…"),
                    "of (?…) there are (?:…) (?=…) (?!…) (?<=…) (?<!…) (?>…) (?<name>…), and \
                     the flags i, m and s",
                ));
            }
        }
        self.skip(1 + count + 1);
        Ok(())
    }

    fn start(&mut self, mark: &str, number: Option<usize>, name: Option<String>, is_look: bool) {
        self.out.push_str(mark);
        self.open.push(Open { number, name, is_look });
        self.can_repeat = false;
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(Open { number, name, is_look }) = self.open.pop() else {
            return Err(Fault::new("a \")\" closes nothing", "write \\) for itself"));
        };
        self.closed.extend(number);
        for (known, is_closed) in &mut self.names {
            *is_closed |= name.as_ref() == Some(known);
        }
        self.out.push(')');
        self.can_repeat = !is_look;
        Ok(())
    }

    /// Passes on a quantifier, and the `?` that makes it take as little as it can.
    fn repeat(&mut self, quantifier: &str) -> Result<(), Fault> {
        if !self.can_repeat {
            return Err(Fault::new(
                format!("nothing that can be repeated stands before \"{quantifier}\""),
                "put a backslash before it for itself",
            ));
        }
        self.out.push_str(quantifier);
        match self.rest.chars().next() {
            Some('+') => {
                return Err(unsupported(
                    &format!("\"{quantifier}+\" (take all, give nothing back)"),
                    "write (?>…) around what is repeated and its quantifier",
                ));
            }
            Some('?') => {
                self.skip(1);
                self.out.push('?');
            }
            _ => {}
        }
        self.can_repeat = false;
        Ok(())
    }

    /// Reads `{2}`, `{2,}`, `{2,3}`.
    fn braces(&mut self) -> Result<(), Fault> {
        let Some((inner, after)) = self.rest.split_once('}').filter(|(inner, _)| is_count(inner))
        else {
            return Err(Fault::new(
                "a \"{\" that begins no {2}, {2,} or {2,3}",
                "write \\{ for itself",
            ));
        };
        self.rest = after;
        self.repeat(&format!("{{{inner}}}"))
    }

    /// Reads what follows a `[`.
    fn class(&mut self) -> Result<(), Fault> {
        self.out.push('[');
        if self.rest.starts_with('^') {
            self.skip(1);
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            let c = self.next().ok_or_else(unclosed)?;
            if c == ']' && !is_first {
                self.out.push(']');
                return Ok(());
            }
            is_first = false;
            let from = match self.in_class(c)? {
                InClass::Many(name) => {
                    self.out.push_str(name);
                    if self.begins_range() {
                        return Err(unclear_dash());
                    }
                    continue;
                }
                InClass::One(from) => from,
            };
            self.literal(from);
            if !self.begins_range() {
                continue;
            }
            self.skip(1);
            let c = self.next().ok_or_else(unclosed)?;
            let InClass::One(to) = self.in_class(c)? else { return Err(unclear_dash()) };
            if to < from {
                return Err(Fault::new(format!("the range {from}-{to} is empty"), ""));
            }
            self.out.push('-');
            self.literal(to);
            if self.begins_range() {
                return Err(unclear_dash());
            }
        }
    }

    /// Whether a `-` follows that is not the last in the brackets.
    fn begins_range(&self) -> bool {
        self.rest.starts_with('-') && !self.rest.starts_with("-]")
    }

    /// Reads one thing in brackets.
    fn in_class(&mut self, c: char) -> Result<InClass, Fault> {
        if c == '[' && self.rest.starts_with([':', '.', '=']) {
            return self.posix();
        }
        if c != '\\' {
            return Ok(InClass::One(c));
        }
        let c = self.next().ok_or_else(unclosed)?;
        Ok(match c {
            'd' => InClass::Many("\\d"),
            'D' => InClass::Many("\\D"),
            'w' => InClass::Many("\\w"),
            'W' => InClass::Many("\\W"),
            's' => InClass::Many("\\s"),
            'S' => InClass::Many("\\S"),
            'b' => InClass::One('\x08'),
            c => InClass::One(self.escaped(c)?),
        })
    }

    /// Reads `[:alpha:]` from after its first bracket. Perl's are of all Unicode, the engine's
    /// own of ASCII, so they are spelled out.
    fn posix(&mut self) -> Result<InClass, Fault> {
        let mark = self.rest.chars().next().unwrap_or(':');
        let end = format!("{mark}]");
        let inner = self.rest.strip_prefix(mark).and_then(|rest| rest.split_once(end.as_str()));
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'^');
        let Some((name, after)) = inner.filter(|(name, _)| is_name(name)) else {
            return Ok(InClass::One('['));
        };
        let spelled = match (mark, name) {
            (':', "alpha") => "\\p{Alphabetic}",
            (':', "^alpha") => "\\P{Alphabetic}",
            (':', "digit") => "\\d",
            (':', "^digit") => "\\D",
            (':', "alnum") => "\\p{Alphabetic}\\p{Nd}",
            (':', "^alnum") => "[^\\p{Alphabetic}\\p{Nd}]",
            (':', "upper") => "\\p{Uppercase}",
            (':', "^upper") => "\\P{Uppercase}",
            (':', "lower") => "\\p{Lowercase}",
            (':', "^lower") => "\\P{Lowercase}",
            (':', "space") => "\\s",
            (':', "^space") => "\\S",
            (':', "word") => "\\w",
            (':', "^word") => "\\W",
            _ => {
                return Err(unsupported(
                    &format!("[{mark}{name}{mark}]"),
                    "of these there are alpha, digit, alnum, upper, lower, space and word",
                ));
            }
        };
        let skipped = self.rest.len() - after.len();
        self.skip(skipped);
        Ok(InClass::Many(spelled))
    }

    fn literal(&mut self, c: char) {
        if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.skip(c.len_utf8());
        Some(c)
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}

/// Whether this is `2`, `2,` or `2,3`, and not `3,2`, which can never match.
fn is_count(inner: &str) -> bool {
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten()
    };
    match inner.split_once(',') {
        None => number(inner).is_some(),
        Some((least, "")) => number(least).is_some(),
        Some((least, most)) => match (number(least), number(most)) {
            (Some(least), Some(most)) => least <= most,
            _ => false,
        },
    }
}

fn unsupported(what: &str, hint: &str) -> Fault {
    Fault::new(format!("{what} of Perl's is not supported"), hint)
}

fn unclosed() -> Fault {
    Fault::new("a \"[\" is not closed", "close it, or write \\[ for itself")
}

fn unclear_dash() -> Fault {
    Fault::new("a \"-\" in brackets begins or ends no range", "put it last, or write \\-")
}

fn refused_escape(c: char) -> Fault {
    let hint = match c {
        'Q' | 'E' => "put a backslash before each character that is meant for itself",
        '0' | 'c' | 'o' | 'N' => "write \\x and two hexadecimal digits for a character",
        'h' => "write [ \\t]",
        'H' => "write [^ \\t]",
        'v' | 'R' => "write [\\n\\r]",
        'Z' => "write \\z",
        'g' => "write \\1, or \\k<name>",
        _ => "",
    };
    unsupported(&format!("\\{c}"), hint)
}
