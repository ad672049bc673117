//! The selection against what it copies: Perl's expressions and the shell's wildcards, each asked
//! itself. Skipped where there is none.

#![allow(clippy::unwrap_used, clippy::print_stdout)]
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use remsync::model::verdict::Place;
use remsync::rules::select::Selection;

/// A small random generator: its seed is printed when a test fails, and taken back.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let seed = std::env::var("REMSYNC_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = seed.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap().subsec_nanos().into()
        });
        println!("REMSYNC_SEED={seed}");
        Random(seed | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        // Knuth's MMIX; the low bits are poor.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) as usize % bound
    }

    fn some(&mut self, from: &[&str], most: usize) -> String {
        let count = 1 + self.below(most);
        (0..count).map(|_| from[self.below(from.len())]).collect()
    }
}

/// Asks `program` about each (pattern, text); what it answers, a character each.
fn ask(program: &str, args: &[&str], asked: &[(String, String)]) -> Vec<char> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let hex = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            write!(out, "\\x{byte:02x}").unwrap();
            out
        })
    };
    let lines: String =
        asked.iter().map(|(pattern, text)| format!("{} {}\n", hex(pattern), hex(text))).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap().chars().filter(|c| *c != '\n').collect()
}

/// Fails naming each case in which the answers differ.
fn compare(asked: &[(String, String)], ours: &[char], theirs: &[char]) {
    assert_eq!(theirs.len(), ours.len(), "an answer each");
    let differ: Vec<_> = asked
        .iter()
        .zip(ours.iter().zip(theirs))
        .filter(|(_, (ours, theirs))| ours != theirs)
        .map(|((pattern, text), (ours, theirs))| format!("{pattern:?} {text:?}: {ours} {theirs}"))
        .collect();
    assert!(differ.is_empty(), "{} (ours, theirs)\n{}", differ.len(), differ.join("\n"));
}

fn drops(pattern: &str, text: &str) -> Option<bool> {
    let selection = Selection::compile(&[], &[pattern.as_bytes().to_vec()]).ok()?;
    Some(selection.place_of(text.as_bytes()).ok()? == Place::Ignored)
}

#[test]
fn ignores_mean_what_perl_says() {
    const PERL: &str = r#"
        no warnings;
        while (<STDIN>) {
            my ($p, $t) = map { my $b = pack("H*", s/\\x//gr); utf8::decode($b); $b } split;
            my $r = eval { $t =~ /^(?:$p)$/ ? 1 : 0 };
            print defined $r ? $r : "E";
        }"#;
    const PIECES: &[&str] = &[
        "a",
        "b",
        "A",
        "B",
        "é",
        "É",
        ".",
        "\\.",
        "\\-",
        "-",
        "#",
        "\\#",
        "]",
        "}",
        "&",
        "~",
        "_",
        "\\_",
        "<",
        "\\<",
        "\\>",
        "\\/",
        "/",
        "@",
        "\\@",
        "%",
        ":",
        "=",
        "!",
        ",",
        "'",
        "\"",
        " ",
        "\\ ",
        "\\w",
        "\\W",
        "\\d",
        "\\D",
        "\\s",
        "\\S",
        "\\b",
        "\\B",
        "\\A",
        "\\z",
        "\\Z",
        "\\h",
        "\\H",
        "\\v",
        "\\V",
        "\\R",
        "\\N",
        "\\X",
        "\\K",
        "\\G",
        "\\e",
        "\\f",
        "\\n",
        "\\t",
        "\\a",
        "\\x41",
        "\\x{e9}",
        "\\x4",
        "\\0",
        "\\01",
        "\\012",
        "\\cA",
        "\\1",
        "\\2",
        "\\11",
        "\\g1",
        "\\g{1}",
        "\\k<n>",
        "\\pL",
        "\\p{Lu}",
        "\\P{Ll}",
        "\\p{Greek}",
        "\\p{Nd}",
        "\\Q",
        "\\E",
        "\\U",
        "\\l",
        "[ab]",
        "[^a]",
        "[a-b]",
        "[]a]",
        "[^]a]",
        "[a-]",
        "[-a]",
        "[a&&b]",
        "[a--b]",
        "[a~~b]",
        "[[a]",
        "[a[b]]",
        "[\\w-]",
        "[\\d.-]",
        "[\\]a]",
        "[\\b]",
        "[.]",
        "[$]",
        "[^\\n]",
        "[[:alpha:]]",
        "[[:digit:]]",
        "[[:^upper:]]",
        "[[:alnum:]_]",
        "[[:lower:]]",
        "[[:word:]]",
        "[[:space:]]",
        "[[:punct:]]",
        "[\\x41-\\x42]",
        "[é-ü]",
        "[<>]",
        "[*+?]",
        "[/#]",
        "[[:a]",
        "(",
        ")",
        "(a)",
        "(a|b)",
        "(?:a|)",
        "(?<n>a)",
        "(?P<m>b)",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?<!b)",
        "(?>a*)",
        "(?i)",
        "(?-i)",
        "(?i:",
        "(?s)",
        "(?m)",
        "(?x)",
        "(?s-i:",
        "(?R)",
        "(?1)",
        "(?|a|b)",
        "(?#c)",
        "(?^:a)",
        "(?n)",
        "(?(1)a|b)",
        "(*FAIL)",
        "(?&n)",
        "(?P=n)",
        "(?P>n)",
        "(?'q'a)",
        "(?~a)",
        "*",
        "+",
        "?",
        "*?",
        "+?",
        "??",
        "++",
        "*+",
        "?+",
        "{2}",
        "{1,2}",
        "{0,}",
        "{,2}",
        "{2}?",
        "{1,2}+",
        "{",
        "{a}",
        "|",
        "^",
        "$",
        ".*",
        "(.*/)?",
        "\\",
    ];
    const TEXT: &[&str] = &[
        "a", "a", "b", "A", "B", "é", "É", ".", "-", "#", "]", "}", "{", "[", "&", "~", "_", "<",
        ">", "/", "@", "1", "2", "4", " ", "\\", ":", "*", "$", "^", "|", "\u{1}", "\nb", "x", "h",
        "ü", "α", ",", "'",
    ];
    let mut random = Random::new();
    let mut asked = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..3_000 {
        let pattern = random.some(PIECES, 6);
        // A leading `!` is ours, and inverts.
        if pattern.starts_with('!') || drops(&pattern, "a").is_none() {
            continue;
        }
        for _ in 0..8 {
            let text = random.some(TEXT, 4);
            if let Some(answer) = drops(&pattern, &text) {
                ours.push(if answer { '1' } else { '0' });
                asked.push((pattern.clone(), text));
            }
        }
    }
    assert!(asked.len() > 500, "too few of the expressions were accepted: {}", asked.len());
    compare(&asked, &ours, &ask("perl", &["-e", PERL], &asked));
}

#[test]
fn scans_mean_what_the_shell_says() {
    // `[[` knows of no leading dots and slashes, but of `+(…)`: none is used here.
    const SHELL: &str = r#"
        export LC_ALL=C.UTF-8
        while read -r p t; do
            printf -v p "$p"
            printf -v t "$t"
            [[ $t == $p ]] && printf 1 || printf 0
        done"#;
    const PIECES: &[&str] = &[
        "a",
        "b",
        "A",
        "é",
        "*",
        "?",
        "[",
        "]",
        "[ab]",
        "[!a]",
        "[^a]",
        "[a-c]",
        "[]a]",
        "[!]a]",
        "[a-]",
        "[-a]",
        "[[:digit:]]",
        "[[:alpha:]]",
        "[![:upper:]]",
        "\\*",
        "\\?",
        "\\[",
        "\\a",
        "[\\]a]",
        "[a\\-c]",
        "-",
        "{",
        "}",
        "+",
        "!",
        "^",
        "1",
        "~",
        "#",
    ];
    const TEXT: &[&str] =
        &["a", "b", "c", "A", "é", "*", "?", "[", "]", "-", "!", "^", "1", "\\", "{", "}", ":"];
    let mut random = Random::new();
    let mut asked = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..10_000 {
        let (scan, text) = (random.some(PIECES, 5), random.some(TEXT, 4));
        let Ok(selection) = Selection::compile(&[scan.as_bytes().to_vec()], &[]) else { continue };
        // Taken literally too: that is not the shell's.
        if scan == text {
            continue;
        }
        let place = selection.place_of(text.as_bytes()).unwrap();
        ours.push(if place == Place::Inside { '1' } else { '0' });
        asked.push((scan, text));
    }
    compare(&asked, &ours, &ask("bash", &["-c", SHELL], &asked));
}
