//! Every error, by a call that gives it, with its numbers; a layer that was refused is left alone.

use mixfold_fold::{
    Affine, BatchNorm, Branches, Conv, FoldError, Geometry, Kernel, LinearMut, MAX_ELEMENTS,
    conv_to_fc, conv_to_fc_within,
};

const ONES: [f32; 72] = [1.0; 72];
const HALF: usize = usize::MAX / 2;

fn conv(shape: [usize; 4]) -> Conv<'static, f32> {
    Conv::new(&ONES[..shape.iter().product()], shape).unwrap()
}

fn kernel(height: usize, width: usize) -> Kernel {
    conv([1, 1, height, width]).kernel()
}

fn norm(channels: usize) -> BatchNorm<'static, f32> {
    let ones = &ONES[..channels];
    BatchNorm { gamma: ones, beta: ones, mean: ones, var: ones, eps: 1e-5 }
}

fn affine(channels: usize) -> Affine {
    norm(channels).affine().unwrap()
}

/// What a fold into a layer of `rows` and `cols` says, after a look at the layer.
#[track_caller]
fn refused(
    rows: usize,
    cols: usize,
    fold: impl FnOnce(&mut LinearMut<'_, f32>) -> Result<(), FoldError>,
) -> FoldError {
    let (mut weight, mut bias) = (vec![0.5; rows * cols], vec![0.25; rows]);
    let error = fold(&mut LinearMut::new(&mut weight, &mut bias).unwrap()).unwrap_err();
    assert!(weight.iter().all(|&x| x == 0.5) && bias.iter().all(|&x| x == 0.25), "was touched");
    error
}

/// The error and what it says.
#[track_caller]
fn assert_error<T: std::fmt::Debug>(found: Result<T, FoldError>, error: FoldError, message: &str) {
    let found = found.unwrap_err();
    assert_eq!(found, error);
    assert_eq!(found.to_string(), message);
}

fn length(what: &'static str, expected: usize, found: usize) -> FoldError {
    FoldError::Length { what, expected, found }
}

#[test]
fn lengths() {
    assert_error(
        Conv::new(&ONES[..17], [2, 1, 3, 3]),
        length("kernel", 18, 17),
        "kernel has 17 elements, expected 18",
    );
    let two = conv([2, 1, 3, 3]);
    assert_eq!(two.bias(&ONES[..3]).unwrap_err(), length("bias", 2, 3));
    let three = norm(3);
    for (wrong, what) in [
        (BatchNorm { beta: &ONES[..2], ..three }, "beta"),
        (BatchNorm { mean: &ONES[..2], ..three }, "mean"),
        (BatchNorm { var: &ONES[..2], ..three }, "var"),
    ] {
        assert_eq!(wrong.affine().unwrap_err(), length(what, 3, 2));
    }
    assert_eq!(Affine::new(&ONES[..2], &ONES[..1]).unwrap_err(), length("shift", 2, 1));
    assert_eq!(two.kernel_bn(&three).unwrap_err(), length("norm", 2, 3));
    // A norm of fewer channels is shared by the rows of a matrix, but not by the channels of a kernel.
    assert_eq!(two.kernel_bn(&norm(1)).unwrap_err(), length("norm", 2, 1));
    let branches = Branches::new().conv(&conv([2, 2, 1, 1])).unwrap();
    let merged = branches.identity_bn(&three).unwrap().merge();
    assert_eq!(merged.unwrap_err(), length("norm", 2, 3));
}

#[test]
fn ragged() {
    let (mut weight, mut bias) = ([0.0_f32; 7], [0.0_f32; 3]);
    assert_error(
        LinearMut::new(&mut weight, &mut bias),
        FoldError::Ragged { rows: 3, elements: 7 },
        "7 elements are no matrix of 3 rows, one for each bias",
    );
    let error = LinearMut::new(&mut weight, &mut []).unwrap_err();
    assert_eq!(error, FoldError::Ragged { rows: 0, elements: 7 });
}

#[test]
fn share() {
    let rows = |channels| FoldError::Share { what: "rows", len: 6, channels };
    let columns = |channels| FoldError::Share { what: "columns", len: 4, channels };
    for channels in [0, 4, 12] {
        let after = affine(channels);
        assert_eq!(refused(6, 4, |layer| layer.followed_by(&after)), rows(channels));
        assert_eq!(refused(6, 4, |layer| layer.between(&affine(4), &after)), rows(channels));
    }
    for channels in [0, 3, 8] {
        let before = affine(channels);
        assert_eq!(refused(6, 4, |layer| layer.preceded_by(&before)), columns(channels));
        assert_eq!(refused(6, 4, |layer| layer.between(&before, &affine(6))), columns(channels));
    }
    let same = Geometry::same(3, 2).unwrap();
    let add =
        |layer: &mut LinearMut<'_, f32>| layer.add_conv(Some(&affine(4)), &kernel(3, 3), same);
    let error = FoldError::Share { what: "rows", len: 6, channels: 4 };
    assert_error::<()>(
        Err(refused(6, 6, add)),
        error,
        "4 channels of a norm cannot share 6 rows evenly",
    );
}

#[test]
fn variance() {
    let refused = |var: f32, eps: f64| {
        let var = [1.0, var];
        BatchNorm { var: &var, eps, ..norm(2) }.affine()
    };
    assert_error(
        refused(-1.0, 0.5),
        FoldError::Variance { channel: 1, var: -1.0, eps: 0.5 },
        "channel 1 of a batch norm has variance -1 and eps 0.5: their sum must be positive",
    );
    assert_eq!(refused(0.0, 0.0), Err(FoldError::Variance { channel: 1, var: 0.0, eps: 0.0 }));
    assert!(refused(0.0, 1e-5).is_ok() && refused(-1e-6, 1e-5).is_ok());
    let undefined = |error| matches!(error, Err(FoldError::Variance { channel: 1, .. }));
    assert!(undefined(refused(f32::NAN, 1e-5)) && undefined(refused(f32::NEG_INFINITY, 1e-5)));
    let error = BatchNorm { eps: f64::NAN, ..norm(2) }.affine();
    assert!(matches!(error, Err(FoldError::Variance { channel: 0, var: 1.0, .. })));
}

#[test]
fn zero() {
    let zero = |what, sizes| FoldError::Zero { what, sizes };
    let conv_of = |shape| Conv::new(&ONES[..0], shape).unwrap_err();
    assert_eq!(conv_of([0, 2, 1, 1]), zero("channels", [0, 2]));
    assert_eq!(conv_of([2, 0, 1, 1]), zero("channels", [2, 0]));
    assert_eq!(conv_of([2, 1, 0, 3]), zero("kernel", [0, 3]));
    assert_eq!(conv([2, 1, 1, 1]).groups(0).unwrap_err(), zero("groups", [0, 0]));
    assert_error(Geometry::same(0, 3), zero("map", [0, 3]), "map of 0 x 3: neither may be 0");
    assert_eq!(Geometry::valid(3, 0), Err(zero("map", [3, 0])));
    let map = Geometry::same(3, 3).unwrap();
    assert_eq!(map.stride([1, 0]), Err(zero("stride", [1, 0])));
    assert_eq!(map.dilation([0, 1]), Err(zero("dilation", [0, 1])));
    assert_eq!(map.fc_shape([1, 1, 3, 0]), Err(zero("kernel", [3, 0])));
    assert_eq!(map.fc_shape([0, 1, 3, 3]), Err(zero("channels", [0, 1])));
}

#[test]
fn groups() {
    assert_error(
        conv([6, 1, 1, 1]).groups(4),
        FoldError::Groups { out_channels: 6, groups: 4 },
        "4 groups cannot share 6 output channels evenly",
    );
}

#[test]
fn even() {
    let even = |kernel| FoldError::Even { kernel };
    assert_error(
        Branches::new().conv(&conv([1, 1, 2, 3])),
        even([2, 3]),
        "a kernel that spans 2 x 3 has no centre: both must be odd",
    );
    let error = Branches::new().conv_bn(&conv([1, 1, 1, 4]), &norm(1)).unwrap_err();
    assert_eq!(error, even([1, 4]));
    assert_eq!(Branches::new().kernel(kernel(3, 2)).unwrap_err(), even([3, 2]));
    let same = Geometry::same(9, 9).unwrap();
    assert_eq!(conv_to_fc::<f32>(&kernel(2, 3), same), Err(even([2, 3])));
    let dilated = same.dilation([3, 1]).unwrap();
    assert_eq!(dilated.fc_shape([1, 1, 2, 3]), Err(even([4, 3])));
    assert!(same.dilation([2, 1]).unwrap().fc_shape([1, 1, 2, 3]).is_ok());
}

#[test]
fn branch() {
    let first = || Branches::new().conv(&conv([4, 2, 3, 3]).groups(2).unwrap()).unwrap();
    assert_error(
        first().conv(&conv([4, 2, 1, 1])),
        FoldError::Branch { expected: [4, 2, 2], found: [4, 2, 1] },
        "a branch of 1 groups from 2 channels each to 4 in all, beside one of 2 groups from 2 to 4",
    );
    let found = |shape| FoldError::Branch { expected: [4, 2, 2], found: shape };
    let out = first().conv(&conv([2, 2, 1, 1]).groups(2).unwrap()).unwrap_err();
    assert_eq!(out, found([2, 2, 2]));
    let inp = first().conv(&conv([4, 1, 1, 1]).groups(2).unwrap()).unwrap_err();
    assert_eq!(inp, found([4, 1, 2]));
}

#[test]
fn identity() {
    let branches = Branches::new().conv(&conv([4, 3, 1, 1]).groups(2).unwrap()).unwrap();
    assert_error(
        branches.identity().merge(),
        FoldError::Identity { in_channels: 6, out_channels: 4 },
        "an identity beside a convolution from 6 to 4 channels: they must be equal",
    );
}

#[test]
fn no_convolution() {
    assert_eq!(Branches::new().merge(), Err(FoldError::NoConvolution));
    assert_error(
        Branches::new().identity().merge(),
        FoldError::NoConvolution,
        "no branch is a convolution",
    );
}

#[test]
fn padding() {
    let map = Geometry::same(9, 9).unwrap().dilation([1, 2]).unwrap();
    let found = |padding| map.padding(padding).fc_shape([1, 1, 3, 4]);
    assert_error(
        found([2, 3]),
        FoldError::Padding { padding: [2, 3], most: [1, 3] },
        "padding of 2 x 3: more than 1 x 3 does not keep the size of the map",
    );
    assert_eq!(found([1, 4]), Err(FoldError::Padding { padding: [1, 4], most: [1, 3] }));
    assert_eq!(found([1, 3]).unwrap().output, [9, 9]);
    // A kernel that spans an even number of pixels is padded by less than half of it.
    let even = Geometry::valid(9, 9).unwrap().padding([1, 1]);
    let error = FoldError::Padding { padding: [1, 1], most: [0, 1] };
    assert_eq!(even.fc_shape([1, 1, 2, 4]), Err(error));
    assert_eq!(even.fc_shape([1, 1, 3, 4]).unwrap().output, [9, 8]);
    let endless = map.padding([usize::MAX; 2]);
    let error = FoldError::Padding { padding: [usize::MAX; 2], most: [1, 2] };
    assert_eq!(conv_to_fc::<f32>(&kernel(3, 3), endless), Err(error));
}

#[test]
fn map() {
    let map = Geometry::valid(4, 4).unwrap().padding([0, 1]).dilation([1, 2]).unwrap();
    assert_error(
        map.fc_shape([1, 1, 5, 3]),
        FoldError::Map { map: [4, 4], padding: [0, 1], span: [5, 5] },
        "a map of 4 x 4 with a padding of 0 x 1 is smaller than the kernel, which spans 5 x 5",
    );
    assert_eq!(map.fc_shape([1, 1, 4, 3]).unwrap().output, [1, 2]);
}

#[test]
fn matrix() {
    let same = Geometry::same(2, 3).unwrap();
    let add = |layer: &mut LinearMut<'_, f32>| layer.add_conv(None, &kernel(3, 3), same);
    for found in [[5, 6], [6, 5], [12, 6]] {
        let error = refused(found[0], found[1], add);
        assert_eq!(error, FoldError::Matrix { expected: [6, 6], found });
    }
    assert_eq!(
        refused(6, 7, add).to_string(),
        "the matrix is 6 x 7, the convolution on this map 6 x 6"
    );
}

#[test]
fn limit() {
    let same = Geometry::same(4, 4).unwrap();
    assert!(conv_to_fc_within::<f32>(&kernel(3, 3), same, 256).is_ok());
    assert_error(
        conv_to_fc_within::<f32>(&kernel(3, 3), same, 255),
        FoldError::Limit { rows: 16, cols: 16, elements: 255 },
        "a matrix of 16 x 16 has more than 255 elements",
    );
    let large = Geometry::same(129, 128).unwrap();
    let error = FoldError::Limit { rows: 16512, cols: 16512, elements: MAX_ELEMENTS };
    assert_eq!(conv_to_fc::<f32>(&kernel(3, 3), large), Err(error));
    assert_eq!(
        Geometry::same(128, 128).unwrap().fc_shape([1; 4]).unwrap().elements(),
        MAX_ELEMENTS
    );
}

#[test]
fn overflow() {
    let overflow = |what, sizes: &[usize]| FoldError::Overflow { what, sizes: sizes.to_vec() };
    let shape = [HALF, 3, 1, 1];
    assert_error(
        Conv::new(&ONES[..1], shape),
        overflow("kernel", &shape),
        &format!("a kernel of sizes [{HALF}, 3, 1, 1] exceeds the address space"),
    );
    let map = |height, width| Geometry::same(height, width).unwrap();
    assert_eq!(map(HALF, 1).fc_shape([1; 4]), Err(overflow("map", &[HALF])));
    let wide = HALF >> 3;
    assert_eq!(map(1, wide).fc_shape([1, 2, 1, 1]), Err(overflow("matrix", &[2, 1, wide])));
    assert_eq!(map(1, wide).fc_shape([2, 1, 1, 1]), Err(overflow("matrix", &[2, 1, wide])));
    assert_eq!(map(1, wide).fc_shape([1; 4]), Err(overflow("matrix", &[wide, wide])));
    // Products that are 0 if they wrap around.
    let root = 1 << 32;
    assert_eq!(map(root, 1).fc_shape([1; 4]), Err(overflow("matrix", &[root, root])));
    let error = Conv::new(&ONES[..0], [root, root, 1, 1]).unwrap_err();
    assert_eq!(error, overflow("kernel", &[root, root, 1, 1]));
    let dilated = map(3, 3).dilation([HALF, 1]).unwrap();
    assert_eq!(dilated.fc_shape([1, 1, 3, 3]), Err(overflow("kernel", &[HALF, 2])));
    // A stride of any size is one window: the taps of its corner that lie in the map.
    let far = map(2, 2).stride([usize::MAX; 2]).unwrap();
    assert_eq!(conv_to_fc::<f32>(&kernel(3, 3), far).unwrap().weight, [1.0; 4]);
    // A dilation of any size leaves the centre, or one tap of each line.
    for (kernel, dilation, taps) in [
        (kernel(1, 1), [usize::MAX; 2], 1.0),
        (kernel(3, 3), [1 << 58; 2], 1.0),
        (kernel(3, 1), [1, usize::MAX], 3.0),
        (kernel(1, 3), [usize::MAX, 1], 3.0),
    ] {
        let apart = map(64, 64).dilation(dilation).unwrap();
        let fc = conv_to_fc::<f32>(&kernel, apart).unwrap();
        let (corner, centre) = (&fc.weight[..64 * 64], 32 * 64 + 32);
        assert_eq!(corner.iter().sum::<f32>(), if taps == 1.0 { 1.0 } else { 2.0 });
        assert_eq!(fc.weight[centre * 64 * 64..][..64 * 64].iter().sum::<f32>(), taps);
        assert_eq!(fc.weight[centre * (64 * 64 + 1)], 1.0);
    }
}

#[test]
fn memory() {
    // 2⁵⁷ numbers of 4 bytes: countable, but not to be had.
    let huge = Geometry::same(1 << 28, 1).unwrap();
    let kernel = conv([1, 2, 1, 1]).kernel();
    assert_eq!(huge.fc_shape(kernel.shape()).unwrap().elements(), 1 << 57);
    assert_error(
        conv_to_fc_within::<f32>(&kernel, huge, usize::MAX),
        FoldError::Memory { bytes: 1 << 59 },
        "no memory for 576460752303423488 bytes",
    );
    // A row and a column, which are small, in a kernel as wide and as high.
    let long = (1 << 23) + 1;
    let line = vec![1.0_f32; long];
    let merged = Branches::new()
        .conv(&Conv::new(&line, [1, 1, 1, long]).unwrap())
        .and_then(|branches| branches.conv(&Conv::new(&line, [1, 1, long, 1])?))
        .and_then(Branches::merge);
    assert_eq!(merged, Err(FoldError::Memory { bytes: 8 * long * long }));
}
