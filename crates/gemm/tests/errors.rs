//! Every error, by a call that gives it; an output that was refused is left alone.

#![forbid(unsafe_code)]

mod common;

use common::{Layout, Matrix, numbers};
use mixfold_gemm::{
    Accum, Bias, Buffer, Context, Epilogue, GemmError, KernelId, MatMut, MatRef, Out, PackedLhs,
    PackedRhs, Panels, PanelsMut, PartialSums, Prologue, Scratch, ScratchLen, Tiles, TilesMut,
    gemm, multiply, panels_len, par_blocks, sums_len, tiles_len,
};
use mixfold_simd::{Isa, env::isas_under_test};

const HALF: usize = usize::MAX / 2;

fn matrix(rows: usize, cols: usize) -> Matrix<f32> {
    Matrix::new(Layout::RowMajor, rows, cols, 7)
}

/// Another instruction set than `isa`, where there is one.
fn other(isa: Isa) -> Option<Isa> {
    Isa::available().find(|&other| other != isa)
}

/// What [`gemm`] says, after a look at the output.
fn refused<'a>(
    out: &Matrix<f32>,
    accum: Accum<'_, f32>,
    lhs: impl Into<mixfold_gemm::Lhs<'a, f32>>,
    rhs: impl Into<mixfold_gemm::Rhs<'a, f32>>,
    epilogue: &Epilogue<'_, f32>,
) -> GemmError {
    let (ctx, mut after) = (Context::new(), out.clone());
    let result = gemm(after.view_mut(), accum, lhs, rhs, epilogue, &ctx, &mut Scratch::new());
    assert_eq!(out.data, after.data, "the output was touched");
    result.unwrap_err()
}

#[test]
fn length() {
    let error = |needed, found| Some(GemmError::Length { needed, found });
    let mut data = numbers::<f32>(1, 11);
    assert_eq!(MatRef::new(&data, 3, 4, 4, 1).err(), error(12, 11));
    assert_eq!(MatRef::new(&data, 2, 1, 11, 0).err(), error(12, 11));
    assert_eq!(MatMut::row_major(&mut data, 1, 12).err(), error(12, 11));
    assert!(MatRef::new(&data, 2, 2, 9, 1).is_ok());
    for isa in isas_under_test() {
        let kernel = KernelId::of::<f32>(isa);
        assert_eq!(tiles_len(3, 33), Ok(192));
        assert_eq!(TilesMut::new(isa, &mut [0.0_f32; 191], 3, 33).err(), error(192, 191));
        let needed = panels_len(kernel, 3, 2 * kernel.cols + 1).unwrap();
        assert_eq!(needed, 9 * kernel.cols);
        let mut short = vec![0.0_f32; needed - 1];
        let found = PanelsMut::new(isa, &mut short, 3, 2 * kernel.cols + 1).err();
        assert_eq!(found, error(needed, needed - 1));
        assert_eq!(PartialSums::new(isa, &mut short, 3, 2 * kernel.cols + 1).err(), found);

        let (a, b) = (matrix(2, 1025), matrix(1025, 3));
        let lhs = PackedLhs::pack(isa, a.view()).unwrap();
        let rhs = PackedRhs::pack(isa, b.view()).unwrap();
        let needed = sums_len(kernel, 2, 1025, 3).unwrap();
        let (mut out, mut sums) = (matrix(2, 3), vec![0.0; needed - 1]);
        let target = Out::Matrix(out.view_mut(), Accum::Replace);
        let (lhs, rhs) = (lhs.as_tiles(), rhs.as_panels());
        let result = multiply(isa, lhs, rhs, &Epilogue::NONE, target, &mut sums);
        assert_eq!(result.err(), error(needed, needed - 1));
        assert_eq!(out.data, matrix(2, 3).data);
    }
}

#[test]
fn overflow() {
    let mut data = [0.0_f32; 4];
    let shapes = [
        (2, 2, usize::MAX, usize::MAX),
        (2, 2, usize::MAX, 1),
        (2, 2, HALF, HALF + 2),
        (usize::MAX, usize::MAX, 1, 1),
        (usize::MAX, 2, usize::MAX, 1),
        (HALF, 1, 1, 1),
    ];
    for (rows, cols, row_stride, col_stride) in shapes {
        let error = Some(GemmError::Overflow { rows, cols });
        assert_eq!(MatRef::new(&data, rows, cols, row_stride, col_stride).err(), error);
        assert_eq!(MatMut::new(&mut data, rows, cols, row_stride, col_stride).err(), error);
    }
    let kernel = KernelId::of::<f32>(Isa::best());
    let overflow = |rows, cols| Err(GemmError::Overflow { rows, cols });
    assert_eq!(tiles_len(HALF, 3), overflow(HALF, 3));
    assert_eq!(tiles_len(1, usize::MAX), overflow(1, usize::MAX));
    assert_eq!(panels_len(kernel, HALF, 1), overflow(HALF, 1));
    assert_eq!(panels_len(kernel, 1, usize::MAX), overflow(1, usize::MAX));
    assert_eq!(sums_len(kernel, HALF, 1025, 5), overflow(HALF, 5));
    let zeroed = Buffer::<f32>::zeroed(HALF).err();
    assert_eq!(zeroed, Some(GemmError::Overflow { rows: 1, cols: HALF }));
    let ctx = Context::new();
    for (m, n, k) in
        [(HALF, HALF, HALF), (HALF, 1, 5), (1, HALF, 5), (1, 1, HALF), (1, usize::MAX, 0)]
    {
        let result = Scratch::<f32>::for_gemm(&ctx, m, n, k);
        assert!(matches!(result, Err(GemmError::Overflow { .. })), "{m} {n} {k}: {result:?}");
    }
    // One number is a matrix of any size with stride 0, which no memory can hold packed.
    let huge = MatRef::new(&data, HALF, 3, 0, 0).unwrap();
    assert_eq!(PackedLhs::pack(ctx.isa(), huge).err(), overflow(HALF, 3).err());
    let error = refused(&matrix(3, 3), Accum::Add, huge.transpose(), huge, &Epilogue::NONE);
    assert!(matches!(error, GemmError::Overflow { .. }), "{error:?}");
}

#[test]
fn memory() {
    let bytes = isize::MAX as usize / 2 + 1;
    let zeroed = Buffer::<f32>::zeroed(bytes / 4).err();
    assert_eq!(zeroed, Some(GemmError::Memory { bytes }));
    for workers in [usize::MAX, HALF, 1 << 57] {
        let len = ScratchLen { shared: 1, each: 1, workers };
        let result = Scratch::<f32>::with_len(len).err();
        assert!(matches!(result, Some(GemmError::Memory { .. })), "{result:?}");
    }
}

#[test]
fn overlap() {
    let mut data = [0.0_f32; 64];
    let overlaps =
        [(3, 4, 3, 1), (3, 4, 0, 1), (3, 4, 4, 0), (2, 1, 0, 5), (1, 2, 5, 0), (3, 3, 2, 2)];
    for (rows, cols, row_stride, col_stride) in overlaps {
        let error = GemmError::Overlap { rows, cols, row_stride, col_stride };
        assert_eq!(MatMut::new(&mut data, rows, cols, row_stride, col_stride).err(), Some(error));
        assert!(MatRef::new(&data, rows, cols, row_stride, col_stride).is_ok());
    }
    for (rows, cols, row_stride, col_stride) in
        [(3, 4, 4, 1), (3, 4, 1, 3), (1, 4, 0, 1), (4, 1, 1, 0), (1, 1, 0, 0), (0, 9, 0, 0)]
    {
        assert!(MatMut::new(&mut data, rows, cols, row_stride, col_stride).is_ok());
    }
}

#[test]
fn shapes_of_a_product() {
    let (a, b, out) = (matrix(5, 6), matrix(6, 7), matrix(5, 7));
    let (lhs, rhs, none) = (a.view(), b.view(), Epilogue::NONE);
    let narrow = b.view().rows_at(0, 5).unwrap();
    let error = refused(&out, Accum::Add, lhs, narrow, &none);
    assert_eq!(error, GemmError::Inner { lhs: 6, rhs: 5 });

    let shape = |what, expected, found| GemmError::Shape { what, expected, found };
    let error = refused(&matrix(7, 5), Accum::Add, lhs, rhs, &none);
    assert_eq!(error, shape("output", (5, 7), (7, 5)));
    let error = refused(&out, Accum::Onto(rhs), lhs, rhs, &none);
    assert_eq!(error, shape("residual", (5, 7), (6, 7)));

    let values = numbers(1, 9);
    let vector = |what, expected, found| GemmError::Vector { what, expected, found };
    let error = |epilogue: Epilogue<'_, f32>| refused(&out, Accum::Add, lhs, rhs, &epilogue);
    let bias = |bias| error(Epilogue { bias, ..Epilogue::NONE });
    assert_eq!(bias(Bias::PerRow(&values[..6])), vector("bias", 5, 6));
    assert_eq!(bias(Bias::PerColumn(&values[..8])), vector("bias", 7, 8));
    let scale = |scale| error(Epilogue { scale, ..Epilogue::NONE });
    assert_eq!(scale(Bias::PerColumn(&values[..6])), vector("scale", 7, 6));
    assert_eq!(scale(Bias::PerRow(&[])), vector("scale", 5, 0));

    let beyond = a.view().block(1, 2, 4, usize::MAX).err();
    assert_eq!(beyond, Some(shape("block", (5, usize::MAX), (5, 6))));
    assert!(a.view().rows_at(5, 0).is_ok() && a.view().rows_at(6, 0).is_err());
    let mut target = matrix(5, 7);
    let cut = par_blocks(Context::new().pool(), target.view_mut(), (0, 1), &mut [()], |_, _, _| ());
    assert_eq!(cut.err(), Some(shape("block", (5, 7), (0, 1))));
}

/// Calls [`multiply`] and looks at the output.
fn refused_by_multiply(isa: Isa, lhs: Tiles<'_, f32>, rhs: Panels<'_, f32>) -> GemmError {
    let mut out = matrix(5, 7);
    let target = Out::Matrix(out.view_mut(), Accum::Replace);
    let error = multiply(isa, lhs, rhs, &Epilogue::NONE, target, &mut []).unwrap_err();
    assert_eq!(out.data, matrix(5, 7).data, "the output was touched");
    error
}

#[test]
fn parts_of_the_product() {
    let (a, b) = (matrix(5, 6), matrix(6, 7));
    for isa in isas_under_test() {
        let (mut tiles, mut panels) = ([f32::NAN; 5 * 32], [f32::NAN; 6 * 32]);
        let mut tiles = TilesMut::new(isa, &mut tiles, 5, 6).unwrap();
        let mut panels = PanelsMut::new(isa, &mut panels, 6, 7).unwrap();
        let shape = |what, expected, found| Err(GemmError::Shape { what, expected, found });
        let packed = tiles.pack(isa, b.view(), &Prologue::NONE);
        assert_eq!(packed, shape("left operand", (5, 6), (6, 7)));
        let packed = panels.pack(isa, a.view(), &Prologue::NONE);
        assert_eq!(packed, shape("right operand", (6, 7), (5, 6)));
        let gain = Prologue { gain: Bias::PerRow(&[1.0; 7]), ..Prologue::NONE };
        let vector = |expected| Err(GemmError::Vector { what: "gain", expected, found: 7 });
        assert_eq!(tiles.pack(isa, a.view(), &gain), vector(5));
        assert_eq!(panels.pack(isa, b.view(), &gain), vector(6));

        let lhs = PackedLhs::pack(isa, a.view()).unwrap();
        let rhs = PackedRhs::pack(isa, b.view()).unwrap();
        let (lhs, rhs) = (lhs.as_tiles(), rhs.as_panels());
        let narrow = rhs.part_of_k(1, 6).unwrap();
        assert_eq!(refused_by_multiply(isa, lhs, narrow), GemmError::Inner { lhs: 6, rhs: 5 });
        let targets = [(4, 7), (5, 6)];
        for (rows, cols) in targets {
            let mut data = [f32::NAN; 7 * 32];
            let other = matrix(rows, cols);
            let onto = || Accum::Onto(other.view());
            for (what, (m, n), accum) in
                [("output", (rows, cols), Accum::Multiply), ("residual", (5, 7), onto())]
            {
                let (error, none) = (shape(what, (5, 7), (rows, cols)), Epilogue::NONE);
                let target = TilesMut::new(isa, &mut data, m, n).unwrap();
                let result = multiply(isa, lhs, rhs, &none, Out::Tiles(target, accum), &mut []);
                assert_eq!(result, error);
                let target = PanelsMut::new(isa, &mut data, m, n).unwrap();
                let result = multiply(isa, lhs, rhs, &none, Out::Panels(target, accum), &mut []);
                assert_eq!(result, error);
            }
            assert!(data.iter().all(|x| x.is_nan()), "the output was touched");
            let mut sums = PartialSums::new(isa, &mut data, rows, cols).unwrap();
            let result = sums.add(isa, lhs, rhs);
            assert_eq!(result, shape("partial sums", (rows, cols), (5, 7)));

            let (mut out, mut wrong) = (matrix(5, 7), other.clone());
            let target = Out::Matrix(out.view_mut(), onto());
            let result = multiply(isa, lhs, rhs, &Epilogue::NONE, target, &mut []);
            assert_eq!(result, shape("residual", (5, 7), (rows, cols)));
            let target = Out::Matrix(wrong.view_mut(), Accum::Replace);
            let result = multiply(isa, lhs, rhs, &Epilogue::NONE, target, &mut []);
            assert_eq!(result, shape("output", (5, 7), (rows, cols)));
            let mut data = [0.0; 7 * 32];
            let sums = PartialSums::new(isa, &mut data, 5, 7).unwrap();
            let target = Out::Matrix(out.view_mut(), onto());
            let result = sums.finish(isa, &Epilogue::NONE, target);
            assert_eq!(result, shape("residual", (5, 7), (rows, cols)));
            assert_eq!((out.data, wrong.data), (matrix(5, 7).data, other.data));
        }
    }
}

#[test]
fn parts_of_an_operand() {
    let b = matrix(6, 100);
    for isa in isas_under_test() {
        let rhs = PackedRhs::pack(isa, b.view()).unwrap();
        let (rhs, step) = (rhs.as_panels(), KernelId::of::<f32>(isa).cols);
        for (start, end) in [(1, step), (0, 99), (step, 0), (0, 101), (usize::MAX, usize::MAX)] {
            let error = GemmError::Part { start, end, len: 100, step };
            assert_eq!(rhs.columns(start, end).err(), Some(error));
        }
        for (start, end) in [(2, 1), (0, 7), (usize::MAX, usize::MAX)] {
            let error = GemmError::Part { start, end, len: 6, step: 1 };
            assert_eq!(rhs.part_of_k(start, end).err(), Some(error));
        }
        assert!(rhs.columns(100, 100).is_ok() && rhs.part_of_k(6, 6).is_ok());
    }
}

#[test]
fn kernel() {
    let (a, b, out) = (matrix(5, 6), matrix(6, 7), matrix(5, 7));
    let isa = Context::new().isa();
    let Some(other) = other(isa) else { return };
    let (packed, wanted) = (KernelId::of::<f32>(other), KernelId::of::<f32>(isa));
    let error = GemmError::Kernel { packed, wanted };
    let lhs = PackedLhs::pack(other, a.view()).unwrap();
    let rhs = PackedRhs::pack(other, b.view()).unwrap();
    assert_eq!(refused(&out, Accum::Add, &lhs, b.view(), &Epilogue::NONE), error);
    assert_eq!(refused(&out, Accum::Add, a.view(), &rhs, &Epilogue::NONE), error);
    let (good_lhs, good_rhs) =
        (PackedLhs::pack(isa, a.view()).unwrap(), PackedRhs::pack(isa, b.view()).unwrap());
    let (lhs, rhs) = (lhs.as_tiles(), rhs.as_panels());
    let (good_lhs, good_rhs) = (good_lhs.as_tiles(), good_rhs.as_panels());
    assert_eq!(refused_by_multiply(isa, lhs, good_rhs), error);
    assert_eq!(refused_by_multiply(isa, good_lhs, rhs), error);

    let mut data = [f32::NAN; 7 * 32];
    let mut tiles = TilesMut::new(other, &mut data, 5, 6).unwrap();
    assert_eq!(tiles.pack(isa, a.view(), &Prologue::NONE), Err(error.clone()));
    let mut panels = PanelsMut::new(other, &mut data, 6, 7).unwrap();
    assert_eq!(panels.pack(isa, b.view(), &Prologue::NONE), Err(error.clone()));
    for out in [0, 1] {
        let out = match out {
            0 => Out::Tiles(TilesMut::new(other, &mut data, 5, 7).unwrap(), Accum::Replace),
            _ => Out::Panels(PanelsMut::new(other, &mut data, 5, 7).unwrap(), Accum::Replace),
        };
        let result = multiply(isa, good_lhs, good_rhs, &Epilogue::NONE, out, &mut []);
        assert_eq!(result, Err(error.clone()));
    }
    let mut sums = PartialSums::new(other, &mut data, 5, 7).unwrap();
    assert_eq!(sums.add(isa, good_lhs, good_rhs), Err(error.clone()));
    let target = Out::Panels(PanelsMut::new(isa, &mut [], 0, 7).unwrap(), Accum::Replace);
    assert_eq!(sums.finish(isa, &Epilogue::NONE, target), Err(error.clone()));
    assert!(data.iter().all(|x| x.is_nan()), "an output was touched");
    let text = error.to_string();
    assert!(text.contains(&packed.to_string()) && text.contains(&wanted.to_string()), "{text}");
    for isa in isas_under_test() {
        let KernelId { rows, cols, .. } = KernelId::of::<f64>(isa);
        assert_eq!(KernelId::of::<f64>(isa).to_string(), format!("{isa}-f64-{rows}x{cols}"));
    }
}

/// Sizes that only a matrix without elements can have take no time and touch nothing.
#[test]
fn empty_matrices_of_any_size() {
    let ctx = Context::new();
    let many = HALF - 31;
    let empty = |rows, cols| MatRef::<f32>::new(&[], rows, cols, usize::MAX, 1).unwrap();
    for (m, n, k) in [(many, 0, 0), (0, many, 0), (0, 0, many)] {
        for packed in common::PACKINGS {
            let out = MatMut::new(&mut [], m, n, 3, 5).unwrap();
            let operands = (empty(m, k), empty(k, n));
            common::run(&ctx, packed, operands, &Epilogue::NONE, out, Accum::Replace);
        }
        let lhs = PackedLhs::pack(ctx.isa(), empty(m, k)).unwrap();
        let rhs = PackedRhs::pack(ctx.isa(), empty(k, n)).unwrap();
        let out = || Out::Matrix(MatMut::new(&mut [], m, n, 3, 5).unwrap(), Accum::Replace);
        let (lhs, rhs, none) = (lhs.as_tiles(), rhs.as_panels(), Epilogue::NONE);
        multiply(ctx.isa(), lhs, rhs, &none, out(), &mut []).unwrap();
        let mut sums = PartialSums::new(ctx.isa(), &mut [], m, n).unwrap();
        sums.add(ctx.isa(), lhs, rhs).unwrap();
        sums.finish(ctx.isa(), &none, out()).unwrap();
        TilesMut::new(ctx.isa(), &mut [], m, k).unwrap().gather(|_, _, _: &mut [f32]| ());
        PanelsMut::new(ctx.isa(), &mut [], k, n).unwrap().gather(1, |_, _, _: &mut [f32]| ());
    }
    assert_eq!(empty(many, 0).row(many - 1), Some(&[][..]));
    assert_eq!(MatMut::<f32>::new(&mut [], many, 0, 9, 1).unwrap().row_mut(5), Some(&mut [][..]));
}
