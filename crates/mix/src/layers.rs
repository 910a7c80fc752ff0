//! The packed matrices of an operator.

use mixfold_gemm::{Accum, Activation, GemmError, MatRef, PackedLhs, PackedRhs, Packer};

/// A matrix of `[out, in]`, packed for one side of a product.
pub(crate) trait Weight: Sized {
    fn pack_all(packer: Packer<'_>, matrices: Vec<MatRef<'_, f32>>)
    -> Result<Vec<Self>, GemmError>;
    fn bytes(&self) -> usize;
}

impl Weight for PackedLhs<f32> {
    fn pack_all(
        packer: Packer<'_>,
        matrices: Vec<MatRef<'_, f32>>,
    ) -> Result<Vec<Self>, GemmError> {
        PackedLhs::pack_all(packer, &matrices)
    }
    fn bytes(&self) -> usize {
        PackedLhs::bytes(self)
    }
}

impl Weight for PackedRhs<f32> {
    fn pack_all(
        packer: Packer<'_>,
        mut matrices: Vec<MatRef<'_, f32>>,
    ) -> Result<Vec<Self>, GemmError> {
        matrices.iter_mut().for_each(|matrix| *matrix = matrix.transpose());
        PackedRhs::pack_all(packer, &matrices)
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
    /// What is multiplied to give them, in this order.
    pub factors: Vec<Factor<W>>,
    /// Their columns of the second matrix.
    pub second: W,
}

/// `activation(weight · x + bias)`
#[derive(Debug)]
pub(crate) struct Factor<W> {
    pub weight: W,
    pub bias: Vec<f32>,
    pub activation: Activation,
}

/// A [`Factor`] of all hidden units, not packed yet.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub weight: MatRef<'a, f32>,
    pub bias: &'a [f32],
    pub activation: Activation,
}

/// How the factor number `i` meets the product of those before it.
pub(crate) fn meets<'a>(i: usize) -> Accum<'a, f32> {
    if i == 0 { Accum::Replace } else { Accum::Multiply }
}

impl<W: Weight> Layers<W> {
    /// The matrices of `groups` groups, one below the other.
    pub(crate) fn linear(
        packer: Packer<'_>,
        weight: MatRef<'_, f32>,
        groups: usize,
    ) -> Result<Self, GemmError> {
        let out = weight.rows() / groups;
        let group = |i| weight.block(i * out, 0, out, weight.cols());
        let groups = (0..groups).map(group).collect::<Result<_, _>>()?;
        W::pack_all(packer, groups).map(Layers::Linear)
    }

    /// A perceptron whose hidden units are the product of `factors`, in chunks of `units` of them, of
    /// which the last one may be smaller.
    pub(crate) fn mlp(
        packer: Packer<'_>,
        factors: &[Rows<'_>],
        second: MatRef<'_, f32>,
        units: usize,
    ) -> Result<Self, GemmError> {
        let hidden = second.cols();
        let chunks = (0..hidden).step_by(units).map(|start| (start, units.min(hidden - start)));
        let mut matrices = Vec::new();
        for (start, units) in chunks.clone() {
            for rows in factors {
                matrices.push(rows.weight.rows_at(start, units)?);
            }
            matrices.push(second.block(0, start, second.rows(), units)?);
        }
        let mut packed = W::pack_all(packer, matrices)?.into_iter();
        let mut next = || packed.next().expect("as many as there were matrices");
        let chunk = |(start, units): (usize, usize)| {
            let factor = |rows: &Rows<'_>| Factor {
                weight: next(),
                bias: rows.bias[start..][..units].to_vec(),
                activation: rows.activation,
            };
            Chunk { units, factors: factors.iter().map(factor).collect(), second: next() }
        };
        Ok(Layers::Mlp(chunks.map(chunk).collect()))
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
                let factors = chunks.iter().flat_map(|chunk| &chunk.factors);
                let weights = factors.map(|factor| &factor.weight);
                weights.chain(chunks.iter().map(|chunk| &chunk.second)).map(W::bytes).sum()
            }
        }
    }
}
