//! The usual encodings of mail, by code of the tests' own: what the programs read is not made by
//! what they write with.

/// Encodes as base64, in lines of so many columns.
pub fn base64(bytes: &[u8], columns: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut line = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, b| word << 8 | u32::from(*b));
        let word = word << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let sextet = (word >> (18 - 6 * n)) as usize & 63;
            line.push(if n > chunk.len() { '=' } else { char::from(ALPHABET[sextet]) });
        }
    }
    in_columns(&line, columns)
}

/// Cuts one line into lines.
pub fn in_columns(line: &str, columns: usize) -> String {
    let lines = line.as_bytes().chunks(columns.max(1));
    lines.map(|line| String::from_utf8_lossy(line) + "\n").collect()
}

/// Encodes every byte as quoted-printable.
pub fn quoted_printable(bytes: &[u8]) -> String {
    let line = |line: &[u8]| {
        let codes: String = line.iter().map(|b| format!("={b:02X}")).collect();
        format!("{codes}=\n")
    };
    bytes.chunks(24).map(line).collect()
}

/// Encodes as uuencode does, mode 644.
pub fn uuencode(name: &str, bytes: &[u8]) -> String {
    let mut text = format!("begin 644 {name}\n");
    let mark =
        |sextet: u32| char::from(if sextet & 63 == 0 { b'`' } else { 32 + (sextet & 63) as u8 });
    for line in bytes.chunks(45) {
        text.push(mark(line.len() as u32));
        for chunk in line.chunks(3) {
            let word = chunk.iter().fold(0_u32, |word, b| word << 8 | u32::from(*b));
            let word = word << (8 * (3 - chunk.len()));
            (0..4).for_each(|n| text.push(mark(word >> (18 - 6 * n))));
        }
        text.push('\n');
    }
    text + "`\nend\n"
}
