//! Elements that follow each other in a file as they are, read on several threads.

use std::io;
use std::sync::Mutex;

use crc32fast::Hasher;
use mixfold_gemm::{Pool, for_each};

use super::bytes::Bytes;
use super::decode::{self, CHUNK, Float};

/// Elements of a type, from a position of the file on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) offset: u64,
    pub(super) float: Float,
    pub(super) big_endian: bool,
}

/// What a thread uses again: memory for what it decodes.
type Words = Vec<u64>;

impl Stored {
    /// Reads as many elements as `values` has.
    pub(super) fn read(
        self,
        bytes: &dyn Bytes,
        pool: &dyn Pool,
        values: &mut [f32],
    ) -> io::Result<()> {
        self.pieces(pool, values, |words, offset, values| {
            self.piece(bytes, words, offset, values, None)
        })
        .map(drop)
    }

    /// The same, and goes on with a checksum over their bytes.
    pub(super) fn read_checked(
        self,
        bytes: &dyn Bytes,
        pool: &dyn Pool,
        values: &mut [f32],
        mut checksum: Hasher,
    ) -> io::Result<Hasher> {
        let pieces = self.pieces(pool, values, |words, offset, values| {
            let mut checksum = Hasher::new();
            self.piece(bytes, words, offset, values, Some(&mut checksum))?;
            Ok(checksum)
        })?;
        pieces.iter().for_each(|piece| checksum.combine(piece));
        Ok(checksum)
    }

    /// Calls `read` for each piece of `values`, with its position in the file; returns what the calls
    /// return, in the order of the pieces.
    fn pieces<T: Send>(
        self,
        pool: &dyn Pool,
        values: &mut [f32],
        read: impl Fn(&mut Words, u64, &mut [f32]) -> io::Result<T> + Sync,
    ) -> io::Result<Vec<T>> {
        let len = CHUNK / self.float.bytes();
        let pieces: Vec<_> =
            values.chunks_mut(len).map(|values| Mutex::new((values, None))).collect();
        let mut words = vec![Words::new(); pool.workers().clamp(1, pieces.len().max(1))];
        for_each(pool, pieces.len(), &mut words, |words, i| {
            let offset = self.offset + (i * CHUNK) as u64;
            if let Ok(mut piece) = pieces[i].lock() {
                let (values, result) = &mut *piece;
                *result = Some(read(words, offset, values));
            }
        });
        let result = |piece: Mutex<(_, Option<_>)>| {
            let result = piece.into_inner().ok().and_then(|(_, result)| result);
            result.expect("for_each has called for every piece")
        };
        pieces.into_iter().map(result).collect()
    }

    fn piece(
        self,
        bytes: &dyn Bytes,
        words: &mut Words,
        offset: u64,
        values: &mut [f32],
        checksum: Option<&mut Hasher>,
    ) -> io::Result<()> {
        let Stored { float, big_endian, .. } = self;
        let fill = |stored: &mut [u8]| {
            bytes.read_exact_at(stored, offset)?;
            if let Some(checksum) = checksum {
                checksum.update(stored);
            }
            decode::to_native(stored, float, big_endian);
            io::Result::Ok(())
        };
        if float == Float::F32 {
            return fill(bytemuck::cast_slice_mut(values));
        }
        let stored = decode::room(words, values.len() * float.bytes());
        fill(stored)?;
        decode::decode(stored, float, values);
        Ok(())
    }
}
