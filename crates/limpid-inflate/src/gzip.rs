//! The gzip container (RFC 1952) around the DEFLATE streams, read from any `Read`.
//!
//! Concatenated members are one stream. After the last member, zero bytes are padding, as for gzip;
//! anything else is [`Error::TrailingData`], after all output was given.

use crate::error::Error;
use crate::inflate::{INPUT_AHEAD, Inflate, Stop};
use crate::input::Input;
use crate::window::Window;
use crc32fast::Hasher;
use std::io::{self, BufRead, Read};

/// Longest file name or comment in a header. Real ones are paths and short remarks.
const MAX_HEADER_TEXT: usize = 64 * 1024;

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0xe0;

enum State {
    /// Before the first member.
    Start,
    /// After a member.
    Between,
    /// In the DEFLATE stream of a member.
    Body,
    End,
    Failed(Error),
}

/// A decoder of a stream of gzip members read from `R`.
///
/// It holds 64 KiB of input, 288 KiB of output and its tables, whatever the stream says.
pub struct GzipDecoder<R> {
    reader: R,
    input: Input,
    window: Window,
    inflate: Inflate,
    state: State,
    checksum: Hasher,
    /// Output of the member that is in the checksum.
    member_size: u64,
    /// Index in the window up to which the output is in the checksum.
    checked: usize,
    /// Bytes of the chunk that the `Read` side has used.
    used: usize,
}

impl<R: Read> GzipDecoder<R> {
    /// A decoder of what `reader` gives. It reads in large pieces: a buffered reader is of no use.
    pub fn new(reader: R) -> GzipDecoder<R> {
        GzipDecoder {
            reader,
            input: Input::new(),
            window: Window::new(),
            inflate: Inflate::new(),
            state: State::Start,
            checksum: Hasher::new(),
            member_size: 0,
            checked: 0,
            used: 0,
        }
    }

    /// The reader below. It has been read ahead of the output.
    pub fn get_ref(&self) -> &R {
        &self.reader
    }

    /// Gives the reader back, without the input that was read ahead.
    pub fn into_inner(self) -> R {
        self.reader
    }

    /// Compressed bytes used so far.
    pub fn compressed_offset(&self) -> u64 {
        self.input.offset()
    }

    /// The next chunk of output, in place; empty at the end of the stream.
    ///
    /// Output before an error is given first, then the error, and the same error if asked again. Mixing
    /// this with the [`Read`] side skips what that side has left of its chunk.
    pub fn fill(&mut self) -> Result<&[u8], Error> {
        if let State::Failed(error) = &self.state {
            return Err(error.repeat());
        }
        self.window.start_chunk();
        self.checked = self.window.pos;
        self.used = 0;
        let outcome = self.advance();
        self.check_in();
        if let Err(error) = outcome {
            if self.window.chunk().is_empty() {
                self.state = State::Failed(error.repeat());
                return Err(error);
            }
            self.state = State::Failed(error);
        }
        Ok(self.window.chunk())
    }

    /// Decodes until the window is full or the stream ends.
    fn advance(&mut self) -> Result<(), Error> {
        loop {
            match self.state {
                State::Start => {
                    self.read_header()?;
                    self.start_member();
                }
                State::Between => {
                    if self.at_next_member()? {
                        self.read_header()?;
                        self.start_member();
                    } else {
                        self.state = State::End;
                    }
                }
                State::Body => match self.inflate.run(&mut self.input, &mut self.window) {
                    Ok(Stop::InputWanted) => self.input.ensure(INPUT_AHEAD, &mut self.reader)?,
                    Ok(Stop::WindowFull) => return Ok(()),
                    Ok(Stop::StreamEnd) => {
                        self.check_in();
                        self.read_trailer()?;
                        self.state = State::Between;
                    }
                    Err(defect) => return Err(Error::from_defect(defect, self.input.offset())),
                },
                State::End | State::Failed(_) => return Ok(()),
            }
        }
    }

    fn start_member(&mut self) {
        self.inflate.reset();
        self.window.start_member();
        self.checksum = Hasher::new();
        self.member_size = 0;
        self.state = State::Body;
    }

    /// Adds the output since the last call to the checksum.
    fn check_in(&mut self) {
        let fresh = &self.window.buf[self.checked..self.window.pos];
        self.checksum.update(fresh);
        self.member_size += fresh.len() as u64;
        self.checked = self.window.pos;
    }

    fn read_trailer(&mut self) -> Result<(), Error> {
        self.input.ensure(8, &mut self.reader)?;
        let offset = self.input.offset();
        let &[c0, c1, c2, c3, s0, s1, s2, s3, ..] = self.input.available() else {
            return Err(Error::Truncated { offset: offset + self.input.available().len() as u64 });
        };
        let (expected, actual) = (u32::from_le_bytes([c0, c1, c2, c3]), self.checksum.clone().finalize());
        if expected != actual {
            return Err(Error::ChecksumMismatch { offset, expected, actual });
        }
        let (expected, actual) = (u32::from_le_bytes([s0, s1, s2, s3]), self.member_size as u32);
        if expected != actual {
            return Err(Error::SizeMismatch { offset, expected, actual });
        }
        self.input.pos += 8;
        Ok(())
    }

    /// Whether a member follows. Skips zero padding up to the end of the input.
    fn at_next_member(&mut self) -> Result<bool, Error> {
        self.input.ensure(2, &mut self.reader)?;
        if self.input.available().starts_with(&[0x1f, 0x8b]) {
            return Ok(true);
        }
        loop {
            self.input.ensure(1, &mut self.reader)?;
            let rest = self.input.available();
            if rest.is_empty() {
                return Ok(false);
            }
            let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
            let padding_only = zeros == rest.len();
            self.input.pos += zeros;
            if !padding_only {
                return Err(Error::TrailingData { offset: self.input.offset() });
            }
        }
    }

    fn read_header(&mut self) -> Result<(), Error> {
        let mut crc = Hasher::new();
        let fixed: [u8; 10] = self.header_bytes(&mut crc)?;
        let offset = self.input.offset() - 10;
        let refuse = |at: u64, reason| Err(Error::BadHeader { offset: offset + at, reason });
        let [0x1f, 0x8b, method, flags, ..] = fixed else {
            return refuse(0, "does not start with the magic number");
        };
        if method != 8 {
            return refuse(2, "names a method other than DEFLATE");
        }
        if flags & FLAGS_RESERVED != 0 {
            return refuse(3, "sets reserved flags");
        }
        if flags & FLAG_EXTRA != 0 {
            let length = u16::from_le_bytes(self.header_bytes(&mut crc)?);
            for _ in 0..length {
                self.header_bytes::<1>(&mut crc)?;
            }
        }
        for flag in [FLAG_NAME, FLAG_COMMENT] {
            if flags & flag != 0 {
                self.skip_header_text(&mut crc)?;
            }
        }
        if flags & FLAG_HEADER_CRC != 0 {
            let actual = crc.clone().finalize() as u16;
            if u16::from_le_bytes(self.header_bytes(&mut crc)?) != actual {
                let offset = self.input.offset() - 2;
                return Err(Error::BadHeader { offset, reason: "has a wrong checksum" });
            }
        }
        Ok(())
    }

    /// Uses the next bytes of a header and adds them to its checksum.
    fn header_bytes<const N: usize>(&mut self, crc: &mut Hasher) -> Result<[u8; N], Error> {
        self.input.ensure(N, &mut self.reader)?;
        let Some(&bytes) = self.input.available().first_chunk::<N>() else {
            return Err(Error::Truncated {
                offset: self.input.offset() + self.input.available().len() as u64,
            });
        };
        crc.update(&bytes);
        self.input.pos += N;
        Ok(bytes)
    }

    /// Skips text that ends with a zero byte.
    fn skip_header_text(&mut self, crc: &mut Hasher) -> Result<(), Error> {
        for _ in 0..MAX_HEADER_TEXT {
            if self.header_bytes::<1>(crc)? == [0] {
                return Ok(());
            }
        }
        Err(Error::BadHeader { offset: self.input.offset(), reason: "has an overlong name or comment" })
    }
}

impl<R: Read> Read for GzipDecoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let count = chunk.len().min(buf.len());
        buf[..count].copy_from_slice(&chunk[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for GzipDecoder<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used >= self.window.chunk().len() {
            self.fill()?;
        }
        Ok(&self.window.chunk()[self.used..])
    }

    fn consume(&mut self, count: usize) {
        self.used = (self.used + count).min(self.window.chunk().len());
    }
}
