//! The lines of git's protocol, and the limits on what comes.

use std::io::{self, Read};
use std::time::Instant;

/// Longest line, its length included.
const MAX_LINE: usize = 65_520;

/// Counts bytes and watches the time.
pub(super) struct Limited<R> {
    input: R,
    left: u64,
    deadline: Instant,
}

impl<R> Limited<R> {
    pub(super) fn new(input: R, limit: u64, deadline: Instant) -> Limited<R> {
        Limited { input, left: limit, deadline }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let n = self.input.read(into)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| io::Error::other("the server sends too much"))?;
        Ok(n)
    }
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Data(Vec<u8>),
    /// The end of an answer or request.
    Flush,
    /// The end of a part of it.
    Delimiter,
}

impl Line {
    pub(super) fn read(input: &mut dyn Read) -> io::Result<Line> {
        let mut start = [0; 4];
        input.read_exact(&mut start)?;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "the server does not speak git's protocol");
        let digits = std::str::from_utf8(&start).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
        let length = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()).ok_or_else(bad)?;
        match length {
            0 => Ok(Line::Flush),
            1 => Ok(Line::Delimiter),
            4..=MAX_LINE => {
                let mut data = vec![0; length - 4];
                input.read_exact(&mut data)?;
                Ok(Line::Data(data))
            }
            _ => Err(bad()),
        }
    }
}

/// Adds a line to a request. What is asked for is short.
pub(super) fn put(request: &mut Vec<u8>, text: &str) {
    request.extend(format!("{:04x}{text}", text.len() + 4).into_bytes());
}

pub(super) const FLUSH: &[u8] = b"0000";
pub(super) const DELIMITER: &[u8] = b"0001";

/// The pack in an answer whose lines have a channel each.
pub(super) struct Channel<R> {
    input: R,
    line: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl<R> Channel<R> {
    pub(super) fn new(input: R) -> Channel<R> {
        Channel { input, line: io::Cursor::default(), ended: false }
    }
}

impl<R: Read> Read for Channel<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !into.is_empty() {
            let n = self.line.read(into)?;
            if n > 0 {
                return Ok(n);
            }
            let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
            match Line::read(&mut self.input)? {
                Line::Flush => self.ended = true,
                Line::Delimiter => return Err(bad("the server's answer goes on behind the pack")),
                Line::Data(mut data) => match data.first() {
                    Some(1) => {
                        self.line = io::Cursor::new(data);
                        self.line.set_position(1);
                    }
                    // Progress, or a sign of life.
                    Some(2) | None => {}
                    Some(3) => return Err(bad(&super::protocol::said(&data.split_off(1)))),
                    Some(_) => return Err(bad("the server does not speak git's protocol")),
                },
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lines() {
        let mut input: &[u8] = b"0006a\n0005b000000040001";
        let mut next = || Line::read(&mut input).unwrap();
        assert_eq!(next(), Line::Data(b"a\n".to_vec()));
        assert_eq!(next(), Line::Data(b"b".to_vec()));
        assert_eq!(next(), Line::Flush);
        assert_eq!(next(), Line::Data(Vec::new()));
        assert_eq!(next(), Line::Delimiter);
        for wrong in
            [&b""[..], b"000", b"0002", b"0003", b"fff1", b"+004", b" 004", b"zzzz", b"0009abc", b"\xff\xff\xff\xff"]
        {
            assert!(Line::read(&mut { wrong }).is_err(), "{wrong:?}");
        }
        let mut request = Vec::new();
        put(&mut request, "done\n");
        assert_eq!(request, b"0009done\n");
    }

    #[test]
    fn channels() {
        let read = |bytes: &[u8]| {
            let mut out = Vec::new();
            Channel::new(bytes).read_to_end(&mut out).map(|_| out).map_err(|err| err.to_string())
        };
        assert_eq!(read(b"0007\x01PA0008\x02hm\n00040007\x01CK0000").unwrap(), b"PACK");
        assert!(read(b"0007\x01PA").is_err());
        assert!(read(b"0007\x01PA0001").unwrap_err().contains("goes on"));
        assert_eq!(read(b"0007\x01PA0009\x03no\x1b\n").unwrap_err(), "the server says: no\\x1b");
        assert!(read(b"0006\x04x").is_err());
    }

    #[test]
    fn limits() {
        let later = Instant::now() + Duration::from_secs(60);
        let mut out = Vec::new();
        assert_eq!(Limited::new(&b"1234"[..], 4, later).read_to_end(&mut out).unwrap(), 4);
        assert!(
            Limited::new(&b"12345"[..], 4, later).read_to_end(&mut out).unwrap_err().to_string().contains("too much")
        );
        let past = Instant::now() - Duration::from_secs(1);
        let err = Limited::new(&b"1"[..], 4, past).read_to_end(&mut out).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::TimedOut);
    }
}
