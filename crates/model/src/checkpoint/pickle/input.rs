//! The bytes of a pickle, from opcode to opcode.

use super::PickleError;

/// The longest name of a module or of what it has.
pub(super) const NAME: usize = 256;

pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    /// The next byte to be read.
    pub(super) position: usize,
    /// Where the present opcode begins.
    pub(super) offset: usize,
}

impl<'a> Input<'a> {
    /// Makes the next byte the beginning of the present opcode.
    pub(super) fn begin(&mut self) {
        self.offset = self.position;
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], PickleError> {
        let rest = &self.bytes[self.position..];
        let taken = rest.get(..length).ok_or(PickleError::End { offset: self.offset })?;
        self.position += length;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| PickleError::End { offset: self.offset })
    }

    pub(super) fn text(&self, bytes: &'a [u8]) -> Result<&'a str, PickleError> {
        std::str::from_utf8(bytes).map_err(|_| PickleError::Text { offset: self.offset })
    }

    /// Text up to the end of the line.
    pub(super) fn line(&mut self) -> Result<&'a str, PickleError> {
        let rest = &self.bytes[self.position..];
        let offset = self.offset;
        let Some(length) = rest.iter().take(NAME + 1).position(|&byte| byte == b'\n') else {
            return Err(match rest.len() <= NAME {
                true => PickleError::End { offset },
                false => PickleError::Limit { what: "bytes of a name", limit: NAME, offset },
            });
        };
        self.position += length + 1;
        self.text(&rest[..length])
    }
}
