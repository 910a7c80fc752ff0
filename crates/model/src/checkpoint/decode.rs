//! From stored bytes to f32 values in row-major order.

use std::io::{self, Read};

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};

/// Bytes read and decoded at a time: small enough for the second-level cache, a multiple of every
/// element size.
pub(super) const CHUNK: usize = 256 * 1024;

/// The element types that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

impl Float {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Appends `count` elements of `reader` to `values`, through `chunk`.
pub(super) fn read_floats(
    reader: &mut impl Read,
    float: Float,
    big_endian: bool,
    count: usize,
    chunk: &mut Vec<u64>,
    values: &mut Vec<f32>,
) -> io::Result<()> {
    let size = float.bytes();
    let mut left = count;
    while left > 0 {
        let n = left.min(CHUNK / size);
        let bytes = room(chunk, n * size);
        reader.read_exact(bytes)?;
        to_native(bytes, float, big_endian);
        let start = values.len();
        values.resize(start + n, 0.0);
        decode(bytes, float, &mut values[start..]);
        left -= n;
    }
    Ok(())
}

/// The first `len` bytes of `words`, which grow if they are fewer.
pub(super) fn room(words: &mut Vec<u64>, len: usize) -> &mut [u8] {
    let needed = len.div_ceil(size_of::<u64>());
    if words.len() < needed {
        words.resize(needed, 0);
    }
    &mut bytemuck::cast_slice_mut(words)[..len]
}

/// From the byte order of a file to that of the machine.
pub(super) fn to_native(bytes: &mut [u8], float: Float, big_endian: bool) {
    if big_endian != cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(float.bytes()).for_each(<[u8]>::reverse);
    }
}

/// Decodes as many elements as `values` has from `bytes`, which are in the machine's order and of which
/// the first one is aligned to an element.
pub(super) fn decode(bytes: &[u8], float: Float, values: &mut [f32]) {
    match float {
        Float::F16 => {
            let halves: &[u16] = bytemuck::cast_slice(bytes);
            halves.reinterpret_cast::<f16>().convert_to_f32_slice(values);
        }
        Float::Bf16 => {
            let halves: &[u16] = bytemuck::cast_slice(bytes);
            halves.reinterpret_cast::<bf16>().convert_to_f32_slice(values);
        }
        Float::F32 => values.copy_from_slice(bytemuck::cast_slice(bytes)),
        Float::F64 => {
            let doubles: &[f64] = bytemuck::cast_slice(bytes);
            values.iter_mut().zip(doubles).for_each(|(value, &double)| *value = double as f32);
        }
    }
}

/// Appends `length` bytes of `reader` to `bytes`.
pub(super) fn read_whole(
    reader: &mut impl Read,
    length: u64,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    match reader.take(length).read_to_end(bytes)? as u64 {
        found if found == length => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Reorders a tensor stored with its first dimension fastest, so that its last one is.
pub(super) fn column_to_row_major(values: &mut Vec<f32>, shape: &[usize]) {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for &d in shape {
        strides.push(stride);
        stride *= d;
    }
    let mut ordered = Vec::with_capacity(values.len());
    gather(values, shape, &strides, &mut ordered);
    *values = ordered;
}

/// Appends the elements of a tensor to `ordered`, in row-major order; a step along a dimension is one
/// of its stride in `stored`.
pub(super) fn gather(stored: &[f32], shape: &[usize], strides: &[usize], ordered: &mut Vec<f32>) {
    for_each_place(shape, strides, |place| ordered.push(stored[place]));
}

/// Calls `with` for each element of a tensor, in row-major order; a step along a dimension is one of its
/// stride.
pub(super) fn for_each_place(shape: &[usize], strides: &[usize], mut with: impl FnMut(usize)) {
    let mut index = vec![0; shape.len()];
    let mut position = 0;
    for _ in 0..shape.iter().product() {
        with(position);
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            position += strides[d];
            if index[d] < shape[d] {
                break;
            }
            index[d] = 0;
            position -= strides[d] * shape[d];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], float: Float, big_endian: bool, count: usize) -> Vec<f32> {
        let mut values = Vec::new();
        read_floats(&mut &bytes[..], float, big_endian, count, &mut Vec::new(), &mut values)
            .unwrap();
        values
    }

    #[test]
    fn every_type_in_both_byte_orders() {
        let numbers = [0.0_f32, -0.0, 1.5, -2.75, 65504.0, f32::INFINITY];
        let n = numbers.len();
        let encode = |size: usize, f: &dyn Fn(f32) -> Vec<u8>| {
            let little: Vec<u8> = numbers.iter().flat_map(|&x| f(x)).collect();
            let big = little.chunks(size).flat_map(|e| e.iter().rev().copied()).collect::<Vec<_>>();
            (little, big)
        };
        let cases = [
            (Float::F16, encode(2, &|x| f16::from_f32(x).to_le_bytes().to_vec())),
            (Float::F32, encode(4, &|x| x.to_le_bytes().to_vec())),
            (Float::F64, encode(8, &|x| f64::from(x).to_le_bytes().to_vec())),
        ];
        for (float, (little, big)) in cases {
            assert_eq!(read(&little, float, false, n), numbers, "{float:?}");
            assert_eq!(read(&big, float, true, n), numbers, "{float:?}");
        }
        // Eight significant bits are what bf16 keeps.
        let exact = [0.0_f32, 1.5, -2.75, 2.0_f32.powi(127)];
        let little: Vec<u8> = exact.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
        assert_eq!(read(&little, Float::Bf16, false, exact.len()), exact);
    }

    #[test]
    fn f64_rounds_to_nearest_and_overflows_to_infinity() {
        let stored = [0.1_f64, 1e300, -1e300, 1e-320];
        let bytes: Vec<u8> = stored.iter().flat_map(|x| x.to_le_bytes()).collect();
        let values = read(&bytes, Float::F64, false, 4);
        assert_eq!(values, [0.1_f32, f32::INFINITY, f32::NEG_INFINITY, 0.0]);
    }

    #[test]
    fn more_elements_than_a_chunk_holds() {
        let numbers: Vec<f32> = (0..CHUNK / 2 + 3).map(|i| i as f32).collect();
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(read(&bytes, Float::F32, false, numbers.len()), numbers);
    }

    #[test]
    fn short_input_is_an_error() {
        let result =
            read_floats(&mut &[0_u8; 7][..], Float::F32, false, 2, &mut vec![], &mut vec![]);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn column_major_tensors_are_reordered() {
        let shape = [2, 3, 4];
        let mut values = vec![0.0; 24];
        for (i, j, k) in (0..24).map(|n| (n / 12, n / 4 % 3, n % 4)) {
            values[i + 2 * j + 6 * k] = (100 * i + 10 * j + k) as f32;
        }
        column_to_row_major(&mut values, &shape);
        let expected: Vec<f32> =
            (0..24).map(|n| (100 * (n / 12) + 10 * (n / 4 % 3) + n % 4) as f32).collect();
        assert_eq!(values, expected);

        let mut scalar = vec![7.0];
        column_to_row_major(&mut scalar, &[]);
        assert_eq!(scalar, [7.0]);
        let mut empty = vec![];
        column_to_row_major(&mut empty, &[3, 0, 2]);
        assert!(empty.is_empty());
    }
}
