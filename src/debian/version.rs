//! Versions of Debian packages and their order (Debian policy, 5.6.12; deb-version(7)): `[epoch:]upstream[-revision]`.

use std::cmp::Ordering;
use std::fmt;

/// Longest version.
const MAX: usize = 512;

/// A version. Two are equal when Debian takes them for the same, as `1.0` and `0:1.00-0` are; the text may differ.
#[derive(Clone)]
pub struct Version {
    text: Box<str>,
    epoch: u32,
    upstream: usize,
    /// Where the upstream version ends: at the last hyphen, or at the end.
    hyphen: usize,
}

/// Text that is no version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is not a version: {why}", text.escape_default())]
pub struct VersionError {
    text: String,
    why: &'static str,
}

impl Version {
    /// Reads `[epoch:]upstream[-revision]`, without blanks.
    pub fn parse(text: &str) -> Result<Version, VersionError> {
        let refuse = |why| VersionError { text: text.chars().take(MAX).collect(), why };
        if text.len() > MAX {
            return Err(refuse("it is too long"));
        }
        let (epoch, upstream) = match text.find(':') {
            Some(colon) => (&text[..colon], colon + 1),
            None => ("0", 0),
        };
        if epoch.is_empty() || !epoch.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refuse("its epoch is not a number"));
        }
        // dpkg keeps it in an `int`.
        let Some(epoch) = epoch.parse::<u32>().ok().filter(|epoch| *epoch <= i32::MAX as u32) else {
            return Err(refuse("its epoch is too large"));
        };
        let hyphen = text[upstream..].rfind('-').map_or(text.len(), |at| upstream + at);
        let version = Version { text: text.into(), epoch, upstream, hyphen };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'~');
        if version.upstream().is_empty() {
            return Err(refuse("it has no upstream version"));
        }
        if !version.upstream().bytes().all(|byte| plain(byte) || matches!(byte, b':' | b'-')) {
            return Err(refuse("a character of it may not be in a version"));
        }
        let revision = text.get(hyphen + 1..);
        if revision.is_some_and(|revision| revision.is_empty() || !revision.bytes().all(plain)) {
            return Err(refuse("its revision is empty or has a character that may not be in one"));
        }
        Ok(version)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn upstream(&self) -> &str {
        &self.text[self.upstream..self.hyphen]
    }

    /// None is the same as `0`.
    fn revision(&self) -> &str {
        self.text.get(self.hyphen + 1..).unwrap_or_default()
    }
}

/// By turns what is no digit and what is digits. A tilde is before the end, the end before letters, letters before all else.
fn compare(left: &str, right: &str) -> Ordering {
    fn weight(byte: Option<u8>) -> u16 {
        match byte {
            Some(b'~') => 0,
            None => 1,
            Some(digit) if digit.is_ascii_digit() => 1,
            Some(letter) if letter.is_ascii_alphabetic() => letter.into(),
            Some(other) => 256 + u16::from(other),
        }
    }
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    let digit = |text: &[u8]| text.first().is_some_and(u8::is_ascii_digit);
    while !left.is_empty() || !right.is_empty() {
        while (!left.is_empty() && !digit(left)) || (!right.is_empty() && !digit(right)) {
            let order = weight(left.first().copied()).cmp(&weight(right.first().copied()));
            if order != Ordering::Equal {
                return order;
            }
            (left, right) = (&left[1.min(left.len())..], &right[1.min(right.len())..]);
        }
        let number = |text: &mut &[u8]| -> Vec<u8> {
            let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (digits, rest) = text.split_at(length);
            *text = rest;
            digits.iter().copied().skip_while(|byte| *byte == b'0').collect()
        };
        let (a, b) = (number(&mut left), number(&mut right));
        let order = a.len().cmp(&b.len()).then_with(|| a.cmp(&b));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare(self.upstream(), other.upstream()))
            .then_with(|| compare(self.revision(), other.revision()))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Version) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Ordering::{Equal, Greater, Less};

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    /// Each pair as `dpkg --compare-versions` (1.21.22) has it.
    #[test]
    fn order() {
        for (left, order, right) in [
            ("1", Less, "2"),
            ("9", Less, "10"),
            ("1.0", Equal, "1.0-0"),
            ("1.0", Equal, "0:1.0"),
            ("1.0", Equal, "1.00"),
            ("1.0", Equal, "01.0-00"),
            ("1.0", Less, "1.0-0.1"),
            ("1.0", Less, "1.0-1"),
            ("1.0-1", Less, "1.0-1+b1"),
            ("1.0-1", Less, "1.0-1.1"),
            ("1.0-1+deb12u1", Less, "1.0-1+deb12u2"),
            ("1.0-1+deb12u9", Less, "1.0-1+deb12u10"),
            ("1.0-1~bpo12+1", Less, "1.0-1"),
            ("1.0~rc1", Less, "1.0"),
            ("1.0~~", Less, "1.0~"),
            ("1.0~~a", Less, "1.0~"),
            ("1.0~", Less, "1.0"),
            ("1.0~rc1-1", Less, "1.0-1~"),
            ("1.0", Less, "1.0a"),
            ("1.0a", Less, "1.0+"),
            ("1.0a", Less, "1.0."),
            ("1.0+", Less, "1.0."),
            ("1.0Z", Less, "1.0a"),
            ("1.0a", Less, "1.0aa"),
            ("1.0-a", Less, "1.0-a1"),
            ("1.0a1", Less, "1.0a10"),
            ("1.0.0", Greater, "1.0"),
            ("1:0", Greater, "99999"),
            ("1:1", Less, "2:0"),
            ("1:1", Greater, "0:2"),
            ("1-2-3", Greater, "1-2"),
            ("1-1-1", Greater, "1-1"),
            ("1:2:3", Greater, "1:2"),
            ("0.0.0", Equal, "0.00.000"),
            ("0", Equal, "0-0"),
            ("99999999999999999999998", Less, "99999999999999999999999"),
            ("1.099999999999999999999999", Equal, "1.99999999999999999999999"),
            ("2.36-9+deb12u10", Greater, "2.36-9+deb12u9"),
            ("1.2+git2023-1", Less, "1.2.1-1"),
            ("a", Greater, "1"),
            ("1.a", Greater, "1.1"),
            ("1.~1", Less, "1."),
        ] {
            assert_eq!(version(left).cmp(&version(right)), order, "{left} {right}");
            assert_eq!(version(right).cmp(&version(left)), order.reverse(), "{right} {left}");
            assert_eq!(version(left) == version(right), order == Equal);
        }
    }

    #[test]
    fn text_that_is_no_version() {
        for text in ["1", "0:1", "2147483647:1", "1:1:1-1", "1-1-1", "1.0~rc1+dfsg-1~bpo12+1", "a1", "1~"] {
            assert_eq!(version(text).to_string(), text);
        }
        for (text, why) in [
            ("", "no upstream version"),
            ("1:", "no upstream version"),
            ("-1", "no upstream version"),
            (":1", "epoch is not a number"),
            ("a:1", "epoch is not a number"),
            ("-1:1", "epoch is not a number"),
            ("+1:1", "epoch is not a number"),
            ("2147483648:1", "epoch is too large"),
            ("99999999999999999999:1", "epoch is too large"),
            ("1-", "revision is empty"),
            ("1-1:1", "epoch is not a number"),
            ("1:1-1:1", "revision is empty or"),
            ("1_1", "a character of it"),
            ("1/../2", "a character of it"),
            (" 1", "a character of it"),
            ("1\n", "a character of it"),
            ("1\u{e4}", "a character of it"),
        ] {
            assert!(Version::parse(text).unwrap_err().to_string().contains(why), "{text}");
        }
        assert!(Version::parse(&"1".repeat(MAX)).is_ok() && Version::parse(&"1".repeat(MAX + 1)).is_err());
    }
}
