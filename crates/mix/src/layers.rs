//! The packed matrices of an operator.

use mixfold_gemm::{GemmError, MatRef, PackedLhs, PackedRhs};
use mixfold_simd::Isa;

/// A matrix of `[out, in]`, packed for one side of a product.
pub(crate) trait Weight: Sized {
    fn pack(isa: Isa, matrix: MatRef<'_, f32>) -> Result<Self, GemmError>;
    fn bytes(&self) -> usize;
}

impl Weight for PackedLhs<f32> {
    fn pack(isa: Isa, matrix: MatRef<'_, f32>) -> Result<Self, GemmError> {
        PackedLhs::pack(isa, matrix)
    }
    fn bytes(&self) -> usize {
        PackedLhs::bytes(self)
    }
}

impl Weight for PackedRhs<f32> {
    fn pack(isa: Isa, matrix: MatRef<'_, f32>) -> Result<Self, GemmError> {
        PackedRhs::pack(isa, matrix.transpose())
    }
    fn bytes(&self) -> usize {
        PackedRhs::bytes(self)
    }
}

#[derive(Debug)]
pub(crate) enum Layers<W> {
    /// One matrix for each group.
    Linear(Vec<W>),
    /// A perceptron, cut along the hidden units.
    Mlp(Vec<Chunk<W>>),
}

/// Some of the hidden units.
#[derive(Debug)]
pub(crate) struct Chunk<W> {
    /// Number of hidden units.
    pub units: usize,
    /// Their rows of the first matrix.
    pub first: W,
    /// Their biases.
    pub bias: Vec<f32>,
    /// Their columns of the second matrix.
    pub second: W,
}

impl<W: Weight> Layers<W> {
    /// The matrices of `groups` groups, one below the other.
    pub(crate) fn linear(
        isa: Isa,
        weight: MatRef<'_, f32>,
        groups: usize,
    ) -> Result<Self, GemmError> {
        let out = weight.rows() / groups;
        let group = |i| W::pack(isa, weight.block(i * out, 0, out, weight.cols())?);
        (0..groups).map(group).collect::<Result<_, _>>().map(Layers::Linear)
    }

    /// A perceptron in chunks of `units` hidden units, of which the last one may be smaller.
    pub(crate) fn mlp(
        isa: Isa,
        first: MatRef<'_, f32>,
        bias: &[f32],
        second: MatRef<'_, f32>,
        units: usize,
    ) -> Result<Self, GemmError> {
        let chunk = |(i, bias): (usize, &[f32])| {
            let (start, units) = (i * units, bias.len());
            Ok(Chunk {
                units,
                first: W::pack(isa, first.block(start, 0, units, first.cols())?)?,
                bias: bias.to_vec(),
                second: W::pack(isa, second.block(0, start, second.rows(), units)?)?,
            })
        };
        bias.chunks(units).enumerate().map(chunk).collect::<Result<_, _>>().map(Layers::Mlp)
    }

    /// Hidden units of a chunk, the largest one; 0 for a linear map.
    pub(crate) fn units(&self) -> usize {
        match self {
            Layers::Linear(_) => 0,
            Layers::Mlp(chunks) => chunks.first().map_or(0, |chunk| chunk.units),
        }
    }

    /// Whether the output is a sum over chunks, of which there can also be none.
    pub(crate) fn sums_chunks(&self) -> bool {
        matches!(self, Layers::Mlp(chunks) if chunks.len() != 1)
    }

    /// Shapes `[out, in]` of the matrices of a chunk, of an operator from `axis` to `out`.
    pub(crate) fn shapes(&self, axis: usize, out: usize) -> [(usize, usize); 2] {
        match self {
            Layers::Linear(_) => [(out, axis); 2],
            Layers::Mlp(_) => [(self.units(), axis), (out, self.units())],
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Layers::Linear(weights) => weights.iter().map(W::bytes).sum(),
            Layers::Mlp(chunks) => {
                chunks.iter().map(|chunk| chunk.first.bytes() + chunk.second.bytes()).sum()
            }
        }
    }
}
