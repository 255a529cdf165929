//! Bytes that are checked while they are read.

use crate::digest::{Sha256, Sha256Hasher};
use std::io::{self, Read};

/// A file of known length and digest. Its last bytes are handed out only when all of them are the right ones: the read that would end it fails
/// otherwise, with an [`Unlike`].
pub struct Blob<'r> {
    from: Box<dyn Read + 'r>,
    wanted: Sha256,
    left: u64,
    size: u64,
    /// Taken when it was found to be right.
    hasher: Option<Sha256Hasher>,
}

/// In what bytes differ from those that were announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unlike {
    /// Fewer.
    #[error("it has {0} bytes and should have {1}")]
    Short(u64, u64),
    /// More.
    #[error("it is longer than the {0} bytes that it should have")]
    Long(u64),
    /// As many, and others.
    #[error("it is sha256:{0} and should be sha256:{1}")]
    Other(Sha256, Sha256),
}

impl<'r> Blob<'r> {
    /// What `from` gives must be `size` bytes with that digest.
    pub fn new(from: Box<dyn Read + 'r>, wanted: Sha256, size: u64) -> Blob<'r> {
        Blob { from, wanted, left: size, size, hasher: Some(Sha256Hasher::default()) }
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        let mut more = [0];
        let found = hasher.finish();
        let unlike = if read(&mut self.from, &mut more)? > 0 {
            Unlike::Long(self.size)
        } else if found != self.wanted {
            Unlike::Other(found, self.wanted)
        } else {
            return Ok(());
        };
        Err(io::Error::other(unlike))
    }
}

fn read(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            self.end()?;
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = read(&mut self.from, &mut buffer[..most])?;
        if count == 0 {
            return Err(io::Error::other(Unlike::Short(self.size - self.left, self.size)));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.left -= count as u64;
        if self.left == 0 {
            // A reader that knows where its format ends never asks for the end.
            self.end()?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;

    fn all(bytes: &[u8], wanted: &[u8]) -> Result<Vec<u8>, Unlike> {
        let mut read = Vec::new();
        Blob::new(Box::new(bytes), digest::sha256(wanted), wanted.len() as u64)
            .read_to_end(&mut read)
            .map(|_| read)
            .map_err(|err| err.downcast().unwrap())
    }

    #[test]
    fn the_last_bytes_come_only_with_the_right_digest() {
        assert_eq!(all(b"bytes", b"bytes"), Ok(b"bytes".to_vec()));
        assert_eq!(all(b"", b""), Ok(Vec::new()));
        assert_eq!(all(b"byte", b"bytes"), Err(Unlike::Short(4, 5)));
        assert_eq!(all(b"bytess", b"bytes"), Err(Unlike::Long(5)));
        assert_eq!(all(b"Bytes", b"bytes"), Err(Unlike::Other(digest::sha256(b"Bytes"), digest::sha256(b"bytes"))));
        assert_eq!(all(b"x", b""), Err(Unlike::Long(0)));
        let mut part = Blob::new(Box::new(&b"Bytes"[..]), digest::sha256(b"bytes"), 5);
        assert_eq!(part.read(&mut [0; 4]).unwrap(), 4);
        assert!(part.read(&mut [0; 4]).is_err(), "who reads no further than five bytes has not got the fifth");
    }
}
