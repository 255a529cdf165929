//! Decompressing xz and zstd: strict, with bounded memory. What comes after the end is another stream or frame, or an error, as `xz` and
//! `zstd` have it: everything in the file is what was hashed, and nothing is left unread behind it.

use lzma_rust2::{Action, Status, XzStream};
use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, Read};

/// Most memory for what was decompressed before. `xz -9` needs 64 MiB and `zstd --ultra -22` or `--long` 128 MiB; a header may ask for 4 GiB.
pub(super) const MAX_WINDOW: u64 = 128 << 20;
/// The decoder of xz remembers each block until the end of its stream. So much more may be read than comes out of it, and no more.
const MAX_EMPTY: u64 = 16 << 20;

fn damaged(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Streams of xz, one after the other.
pub(super) struct Xz<R> {
    input: R,
    stream: XzStream,
    ended: bool,
}

impl<R: BufRead> Xz<R> {
    pub(super) fn new(input: R) -> Xz<R> {
        // The window and what the decoder holds beside it.
        let kibibytes = (MAX_WINDOW >> 10) as u32 + 1024;
        Xz { input, stream: XzStream::new_mem_limit(true, kibibytes), ended: false }
    }
}

impl<R: BufRead> Read for Xz<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !into.is_empty() {
            let input = self.input.fill_buf()?;
            let action = if input.is_empty() { Action::Finish } else { Action::Run };
            let step = self.stream.process(input, into, action)?;
            self.input.consume(step.bytes_consumed);
            self.ended = step.status == Status::StreamEnd;
            if self.ended && !self.input.fill_buf()?.is_empty() {
                return Err(damaged("something follows the end of the xz data"));
            }
            if self.stream.total_in() > self.stream.total_out() + MAX_EMPTY {
                return Err(damaged("its xz data is larger than what is in it"));
            }
            if step.bytes_produced > 0 {
                return Ok(step.bytes_produced);
            }
            if !self.ended && step.bytes_consumed == 0 && action == Action::Finish {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(0)
    }
}

/// Frames of zstd, one after the other. Frames that are to be skipped are skipped.
pub(super) struct Zstd<R> {
    input: R,
    decoder: FrameDecoder,
    /// What of the frame at hand has come out; `None` between frames.
    produced: Option<u64>,
}

impl<R: BufRead> Zstd<R> {
    pub(super) fn new(input: R) -> Zstd<R> {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Zstd { input, decoder, produced: None }
    }

    /// Begins the next frame with content; false at the end of the input.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.input) {
                Ok(()) => {
                    self.produced = Some(0);
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut self.input.by_ref().take(length.into()), &mut io::sink())?;
                    if skipped != u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::BadMagicNumber(_))) => {
                    return Err(damaged("something follows the end of the zstd data"));
                }
                Err(
                    FrameDecoderError::WindowSizeTooBig { .. }
                    | FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig { .. }),
                ) => return Err(io::ErrorKind::OutOfMemory.into()),
                Err(FrameDecoderError::DictNotProvided { .. }) => return Err(damaged("it needs a dictionary")),
                Err(err) => return Err(self.why(err)),
            }
        }
        Ok(false)
    }

    /// The end of the input reaches us in many guises.
    fn why(&mut self, err: FrameDecoderError) -> io::Error {
        match self.input.fill_buf() {
            Ok([]) => io::ErrorKind::UnexpectedEof.into(),
            Ok(_) => damaged(err.to_string()),
            Err(err) => err,
        }
    }

    fn end(&mut self, produced: u64) -> io::Result<()> {
        self.produced = None;
        if self.decoder.get_checksum_from_data() != self.decoder.get_calculated_checksum()
            && self.decoder.get_checksum_from_data().is_some()
        {
            return Err(damaged("the check sum of its zstd data does not hold"));
        }
        // Not every frame says it; then it is 0.
        if !matches!(self.decoder.content_size(), 0) && self.decoder.content_size() != produced {
            return Err(damaged("its zstd data is not as long as it says"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while !into.is_empty() {
            let Some(produced) = self.produced else {
                if self.begin()? {
                    continue;
                }
                return Ok(0);
            };
            if self.decoder.can_collect() == 0 {
                if self.decoder.is_finished() {
                    self.end(produced)?;
                } else {
                    let step = self.decoder.decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1));
                    step.map_err(|err| self.why(err))?;
                }
                continue;
            }
            let n = self.decoder.read(into)?;
            self.produced = Some(produced + n as u64);
            if n > 0 {
                return Ok(n);
            }
        }
        Ok(0)
    }
}
