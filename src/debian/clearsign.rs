//! Text signed in the clear (RFC 9580, section 7), as one reader only can understand it.
//!
//! Two readers that disagree about where the signed text is are how an index is slipped in beside it. So: nothing stands before the block or
//! after it, there is one, a line that begins with a dash is escaped, the only header is `Hash`, and there is no carriage return. GnuPG and
//! others would let some of this pass; Debian's files have none of it. What is hashed and what is parsed is the same string.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "PGP SIGNATURE";

/// A file that is not one text signed in the clear.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct NotSigned {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The text, and what signs it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clear {
    /// Without blanks at the ends of lines, and without the last line end: what is signed, but that there a line ends with CR and LF.
    pub(super) text: String,
    /// Signature packets.
    pub(super) signatures: Vec<u8>,
}

/// Takes the file apart.
pub(super) fn split(bytes: &[u8]) -> Result<Clear, NotSigned> {
    let text = std::str::from_utf8(bytes).map_err(|err| {
        let line = bytes[..err.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        NotSigned { line, why: "it is not UTF-8" }
    })?;
    let mut lines = text.lines_strictly();
    if lines.need()? != BEGIN {
        return Err(lines.wrong("a signed message does not begin here"));
    }
    loop {
        match lines.need()? {
            "" => break,
            header if header.starts_with("Hash: ") => {}
            _ => return Err(lines.wrong("a header that a signed message cannot have")),
        }
    }
    let mut signed = String::with_capacity(text.len());
    let mut first = true;
    let signature = loop {
        let line = lines.need()?;
        let line = match line.strip_prefix('-') {
            None => line,
            Some(rest) => match rest.strip_prefix(' ') {
                Some(line) => line,
                None => break line,
            },
        };
        if !std::mem::take(&mut first) {
            signed.push('\n');
        }
        signed.push_str(line.trim_end_matches([' ', '\t']));
    };
    let signatures = armor(&mut lines, signature, SIGNATURE)?;
    if lines.next()?.is_some() {
        return Err(lines.wrong("something follows the signature"));
    }
    Ok(Clear { text: signed, signatures })
}

/// Keys in text form, one block or several. Between them may stand what people write there: the keyring is the caller's.
pub(super) fn keys(text: &str) -> Result<Vec<u8>, NotSigned> {
    const KEYS: &str = "PGP PUBLIC KEY BLOCK";
    let mut lines = text.lines_strictly();
    lines.lenient = true;
    let mut packets = Vec::new();
    while let Some(line) = lines.next()? {
        if line.starts_with("-----BEGIN ") {
            packets.append(&mut armor(&mut lines, line, KEYS)?);
        }
    }
    if packets.is_empty() {
        return Err(lines.wrong("no key is before the end"));
    }
    Ok(packets)
}

/// What is between the line `begin`, which was read, and the line that ends it.
fn armor(lines: &mut Lines<'_>, begin: &str, kind: &str) -> Result<Vec<u8>, NotSigned> {
    let is = |line: &str, edge: &str| {
        line.strip_prefix(edge).and_then(|line| line.strip_suffix("-----")).is_some_and(|line| line == kind)
    };
    if !is(begin, "-----BEGIN ") {
        return Err(lines.wrong("it is neither text nor the begin of what is expected here"));
    }
    let mut line = lines.need()?;
    while line.contains(": ") {
        line = lines.need()?;
    }
    if !line.is_empty() {
        return Err(lines.wrong("there is no empty line before the data"));
    }
    let mut text = String::new();
    loop {
        line = lines.need()?;
        // The check sum detects what the signature does, and not every writer writes it.
        if line.len() == 5 && line.starts_with('=') {
            line = lines.need()?;
            if !is(line, "-----END ") {
                return Err(lines.wrong("the data goes on after its check sum"));
            }
        }
        if is(line, "-----END ") {
            break;
        }
        text.push_str(line);
    }
    STANDARD.decode(&text).map_err(|_| lines.wrong("what ends here is not base64"))
}

/// Lines, which end with a line feed and nothing else.
struct Lines<'a> {
    rest: &'a str,
    line: usize,
    /// A carriage return before the line feed belongs to the end.
    lenient: bool,
}

trait Strictly {
    fn lines_strictly(&self) -> Lines<'_>;
}

impl Strictly for str {
    fn lines_strictly(&self) -> Lines<'_> {
        Lines { rest: self, line: 0, lenient: false }
    }
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<Option<&'a str>, NotSigned> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (mut line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        (self.rest, self.line) = (rest, self.line + 1);
        if self.lenient {
            line = line.trim_end_matches(['\r', ' ', '\t']);
        }
        if line.contains(['\r', '\0', '\u{b}', '\u{c}']) {
            return Err(self.wrong("it has a carriage return or another character that to some readers ends a line"));
        }
        Ok(Some(line))
    }

    fn need(&mut self) -> Result<&'a str, NotSigned> {
        self.next()?.ok_or(NotSigned { line: self.line + 1, why: "the file ends before it" })
    }

    fn wrong(&self, why: &'static str) -> NotSigned {
        NotSigned { line: self.line.max(1), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nA: 1 \t\n- -----BEGIN x\n- - y\n\nB: 2\n\
                        -----BEGIN PGP SIGNATURE-----\nVersion: x\n\nAQID\nBA==\n=abcd\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn the_text_and_what_signs_it() {
        let clear = split(GOOD.as_bytes()).unwrap();
        assert_eq!(
            (clear.text.as_str(), &clear.signatures[..]),
            ("A: 1\n-----BEGIN x\n- y\n\nB: 2", &[1, 2, 3, 4][..])
        );
        for (from, to) in [
            ("Hash: SHA256\n", ""),
            ("Hash: SHA256\n", "Hash: SHA256\nHash: x\n"),
            ("=abcd\n", ""),
            ("Version: x\n", ""),
            ("END PGP SIGNATURE-----\n", "END PGP SIGNATURE-----"),
        ] {
            assert_eq!(split(GOOD.replacen(from, to, 1).as_bytes()).unwrap(), clear, "{to}");
        }
        let empty =
            "-----BEGIN PGP SIGNED MESSAGE-----\n\n-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----";
        assert_eq!(split(empty.as_bytes()).unwrap(), Clear { text: String::new(), signatures: Vec::new() });
    }

    #[test]
    fn other_files() {
        for (from, to, line) in [
            ("-----BEGIN PGP S", "A: 2\n-----BEGIN PGP S", 1),
            ("-----BEGIN PGP S", "\n-----BEGIN PGP S", 1),
            ("MESSAGE-----", "MESSAGE----- ", 1),
            ("Hash: SHA256", "Hash: SHA256 \u{b}", 2),
            ("Hash: ", "Comment: ", 2),
            ("Hash: SHA256", "A: 2", 2),
            ("Hash: SHA256\n", "Hash: SHA256\n \n", 3),
            ("A: 1", "A: 1\r", 4),
            ("A: 1", "A: 1\0", 4),
            ("- -----BEGIN x", "-----BEGIN x", 5),
            ("- - y", "--y", 6),
            ("- - y", "-", 6),
            ("PGP SIGNATURE", "PGP SIGNED MESSAGE", 9),
            ("PGP SIGNATURE", "PGP MESSAGE", 9),
            ("Version: x\n\n", "AQID\n", 10),
            ("BA==", "BA=", 15),
            ("BA==", "BA==BA==", 15),
            ("BA==", "B A==", 15),
            ("BA==", "BB==", 15),
            ("=abcd\n", "=abcd\nAAAA\n", 15),
            ("-----END PGP SIGNATURE-----\n", "", 15),
            ("-----END PGP SIGNATURE-----\n", "-----END PGP SIGNATURE-----\n\n", 16),
            ("-----END PGP SIGNATURE-----\n", "-----END PGP SIGNATURE-----\nA: 2\n", 16),
            ("-----END PGP SIGNATURE", "-----END PGP MESSAGE", 15),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let outcome = split(text.as_bytes());
            assert_eq!(outcome.as_ref().map_err(|err| err.line), Err(line), "{to}: {outcome:?}");
        }
        for cut in 0..GOOD.len() - 1 {
            assert!(split(&GOOD.as_bytes()[..cut]).is_err(), "{cut}");
        }
        assert_eq!(split(b"-----BEGIN\n\xff").unwrap_err(), NotSigned { line: 2, why: "it is not UTF-8" });
        assert!(split(format!("{GOOD}{GOOD}").as_bytes()).is_err());
    }

    #[test]
    fn keys_as_text() {
        let block = "-----BEGIN PGP PUBLIC KEY BLOCK-----\r\nComment: x\r\n\r\nAQID\r\n=abcd\r\n-----END PGP PUBLIC KEY BLOCK-----\r\n";
        assert_eq!(keys(&format!("me:\n{block}\nyou:\n{block}")).unwrap(), [1, 2, 3, 1, 2, 3]);
        assert!(
            keys("me").is_err() && keys(&block.replace("PUBLIC", "PRIVATE")).is_err() && keys(&block[..90]).is_err()
        );
    }
}
