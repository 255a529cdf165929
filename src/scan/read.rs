//! The bytes of one open file to its digests, in one pass.

use crate::digest::{Blake3Hasher, Content, ContentHasher, Wanted};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};

/// A file that fits is read by one call.
pub(crate) const SMALL: usize = 64 << 10;
/// From this size a thread of its own is worth its start.
const THREADED: u64 = 1 << 20;
/// Bytes that go from the reading thread to the hashing one at a time, and how many such blocks there are. All together they fit the
/// cache of one core: with more, the second thread waits for memory.
const BLOCK: usize = 32 << 10;
const BLOCKS: usize = 16;
/// Blocks that come back in one go: waking the reader for each costs the slower thread, the one that hashes, a good part of its time.
const RETURNED: usize = BLOCKS / 2;

/// Hashes `file`, which `fstat` said is `size` bytes long, to its end. Another length in the result is a file that changed meanwhile.
/// `progress` is told of the bytes as they are read.
pub(crate) fn content(
    file: &mut impl Read,
    size: u64,
    wanted: Wanted,
    buffer: &mut [u8],
    progress: &dyn Fn(u64),
) -> io::Result<Content> {
    if size >= THREADED {
        return threaded(file, size, wanted, progress);
    }
    let mut hasher = ContentHasher::new(size, wanted);
    let mut total = 0;
    loop {
        let n = read(file, buffer)?;
        hasher.update(&buffer[..n]);
        total += n as u64;
        progress(n as u64);
        // A short read that reaches the size that `fstat` gave is the end of a regular file: no second call to see 0. One byte
        // more than the size is enough to know that it changed.
        if n == 0 || total > size || (total == size && n < buffer.len()) {
            return Ok(hasher.finish());
        }
    }
}

/// One `read`, again after a signal.
pub(crate) fn read(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// This thread reads and computes BLAKE3, a second one SHA-256 (and the ids for git), over the same few blocks.
fn threaded(file: &mut impl Read, size: u64, wanted: Wanted, progress: &dyn Fn(u64)) -> io::Result<Content> {
    let (blocks, incoming) = sync_channel::<Arc<(Vec<u8>, usize)>>(BLOCKS);
    let (finished, done) = channel::<usize>();
    std::thread::scope(|scope| {
        let second = scope.spawn(move || {
            let mut hasher = ContentHasher::new(size, Wanted { blake3: false, ..wanted });
            let mut hashed = 0;
            while let Ok(block) = incoming.try_recv().or_else(|_| {
                // The reader may be waiting for blocks. Or it stopped at an error: then nobody waits for this.
                let _ = finished.send(std::mem::take(&mut hashed));
                incoming.recv()
            }) {
                hasher.update(&block.0[..block.1]);
                drop(block);
                hashed += 1;
                if hashed == RETURNED {
                    let _ = finished.send(std::mem::take(&mut hashed));
                }
            }
            hasher.finish()
        });
        let mut blake3 = wanted.blake3.then(Blake3Hasher::default);
        let mut in_use: VecDeque<Arc<(Vec<u8>, usize)>> = VecDeque::new();
        let mut free = Vec::new();
        let mut total = 0;
        loop {
            let mut block = match free.pop() {
                Some(block) => block,
                None if in_use.len() < BLOCKS => Arc::new((vec![0; BLOCK], 0)),
                None => {
                    let Ok(hashed) = done.recv() else { break };
                    free.extend(in_use.drain(..hashed));
                    continue;
                }
            };
            let Some((bytes, filled)) = Arc::get_mut(&mut block) else {
                return Err(io::Error::other("a block is still in use"));
            };
            *filled = read(file, bytes)?;
            let n = *filled;
            total += n as u64;
            if n == 0 || total > size {
                break;
            }
            progress(n as u64);
            if blocks.send(block.clone()).is_err() {
                break;
            }
            if let Some(blake3) = &mut blake3 {
                blake3.update(&block.0[..n]);
            }
            in_use.push_back(block);
        }
        drop(blocks);
        drop(done);
        let mut content = second.join().map_err(|_| io::Error::other("the hashing thread panicked"))?;
        content.blake3 = blake3.map(Blake3Hasher::finish);
        if total > size {
            content.size = total;
        }
        Ok(content)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;

    const ALL: Wanted = Wanted::ALL;

    #[test]
    fn threaded_equals_plain_at_block_borders() {
        for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK, 9 * BLOCK + 7] {
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let plain = digest::content(&bytes, ALL);
            assert_eq!(threaded(&mut &bytes[..], len as u64, ALL, &|_| ()).unwrap(), plain);
            assert_eq!(content(&mut &bytes[..], len as u64, ALL, &mut vec![0; SMALL], &|_| ()).unwrap(), plain);
        }
    }

    #[test]
    fn another_length_is_seen() {
        let bytes = vec![1; 2 * THREADED as usize];
        for stated in [THREADED, 3 * THREADED, 5] {
            let got = content(&mut &bytes[..], stated, ALL, &mut vec![0; SMALL], &|_| ()).unwrap();
            assert_ne!(got.size, stated);
        }
    }
}
