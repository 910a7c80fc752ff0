//! Checkpoints written by other means than the library's.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// A tensor of a checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Tensor {
    pub(crate) fn new(name: &str, shape: &[usize], values: Vec<f32>) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
        Tensor { name: name.to_owned(), shape: shape.to_vec(), values }
    }
}

/// A file of the test data.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The header of a safetensors file with `F32` tensors and the number of bytes behind it.
pub(crate) fn header<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
) -> (Vec<u8>, u64) {
    let (mut table, mut end) = (Map::new(), 0);
    for (name, shape) in tensors {
        let start = end;
        end += 4 * shape.iter().product::<usize>() as u64;
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
        table.insert(name.to_owned(), entry);
    }
    let json = Value::Object(table).to_string();
    ([&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat(), end)
}

fn table(tensors: &[Tensor]) -> impl Iterator<Item = (&str, &[usize])> {
    tensors.iter().map(|tensor| (tensor.name.as_str(), &tensor.shape[..]))
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Writes a safetensors file.
pub(crate) fn safetensors(path: &Path, tensors: &[Tensor]) {
    let mut file = File::create(path).unwrap();
    file.write_all(&header(table(tensors)).0).unwrap();
    for tensor in tensors {
        file.write_all(&bytes(&tensor.values)).unwrap();
    }
}

/// Writes a safetensors file whose tensors are a hole, so that large ones take no space.
pub(crate) fn sparse_safetensors<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a [usize])>,
) {
    let (header, data) = header(tensors);
    let mut file = File::create(path).unwrap();
    file.write_all(&header).unwrap();
    file.set_len(header.len() as u64 + data).unwrap();
}

/// Writes an archive of arrays as `numpy.savez` does, or `numpy.savez_compressed`.
pub(crate) fn npz(path: &Path, tensors: &[Tensor], method: CompressionMethod) {
    let mut archive = ZipWriter::new(File::create(path).unwrap());
    let options = SimpleFileOptions::default().compression_method(method);
    for Tensor { name, shape, values } in tensors {
        let shape: String = shape.iter().map(|length| format!("{length}, ")).collect();
        let header = format!(
            "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}",
            shape.trim_end()
        );
        // Data start at a multiple of 64 bytes, behind 10 of the preamble.
        let header = format!("{header:<0$}\n", (header.len() + 11).next_multiple_of(64) - 11);
        let length = (header.len() as u16).to_le_bytes();
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(&[b"\x93NUMPY\x01\x00", &length[..]].concat()).unwrap();
        archive.write_all(header.as_bytes()).unwrap();
        archive.write_all(&bytes(values)).unwrap();
    }
    archive.finish().unwrap();
}

/// The official Flax name of the tensor that timm calls `name` and that has `rank` dimensions.
pub(crate) fn flax_name(name: &str, rank: usize) -> String {
    let weight = if rank == 1 { "scale" } else { "kernel" };
    let names = [
        ("stem.proj.", "stem/"),
        ("blocks.", "MixerBlock_"),
        (".norm1.", "/LayerNorm_0/"),
        (".norm2.", "/LayerNorm_1/"),
        (".mlp_tokens.", "/token_mixing/"),
        (".mlp_channels.", "/channel_mixing/"),
        ("fc1.", "Dense_0/"),
        ("fc2.", "Dense_1/"),
        ("norm.", "pre_head_layer_norm/"),
        ("head.", "head/"),
        ("weight", weight),
    ];
    names.iter().fold(name.to_owned(), |name, (timm, flax)| name.replace(timm, flax))
}

/// The tensor under its official Flax name, in Flax's layout.
pub(crate) fn flax(tensor: &Tensor) -> Tensor {
    let Tensor { name, shape, values } = tensor;
    let name = flax_name(name, shape.len());
    let order: &[usize] = match shape.len() {
        4 => &[2, 3, 1, 0],
        2 => &[1, 0],
        _ => return Tensor { name, ..tensor.clone() },
    };
    let (shape, values) = permute(shape, values, order);
    Tensor { name, shape, values }
}

/// The tensor under its name in the oldest official checkpoints, with the lengths of 1 that the
/// weights of their perceptrons have.
pub(crate) fn legacy(tensor: &Tensor) -> Tensor {
    let Tensor { name, mut shape, values } = flax(tensor);
    if let Some((block, parameter)) = name.split_once("_mixing/Dense_") {
        let (layer, parameter) = parameter.split_once('/').unwrap();
        let block = block.replace("MixerBlock_", "Mixer/encoderblock_");
        let layer = layer.parse::<usize>().unwrap() + 1;
        let name = format!("{block}_mixing_phase_0/{parameter}{layer}");
        shape.insert(0, 1);
        shape.push(1);
        return Tensor { name, shape, values };
    }
    let name = name
        .replace("MixerBlock_", "Mixer/encoderblock_")
        .replace("pre_head_layer_norm", "Mixer/encoder_norm")
        .replace("stem/", "embedding/");
    Tensor { name, shape, values }
}

/// A row-major tensor with its axes in another order: axis `i` of the result is `order[i]`.
pub(crate) fn permute<T: Copy>(
    shape: &[usize],
    values: &[T],
    order: &[usize],
) -> (Vec<usize>, Vec<T>) {
    let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
    let permuted: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    let value = |mut i: usize| {
        let mut place = 0;
        for (&length, &axis) in permuted.iter().zip(order).rev() {
            place += i % length * stride(axis);
            i /= length;
        }
        values[place]
    };
    let values = (0..values.len()).map(value).collect();
    (permuted, values)
}
