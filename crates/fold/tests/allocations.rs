//! Folding in place makes no second matrix; a matrix that is made is all the memory there is.

#[path = "../../gemm/tests/common/allocator.rs"]
mod count;

use mixfold_fold::{BatchNorm, Conv, FcShape, Geometry, Kernel, LinearMut, conv_to_fc};

use count::peak;

/// Four groups of one channel on 24 x 32.
fn layer() -> (Kernel, Geometry, FcShape) {
    let weight = [0.5_f32; 4 * 9];
    let kernel = Conv::new(&weight, [4, 1, 3, 3]).unwrap().groups(4).unwrap().kernel();
    let geometry = Geometry::same(24, 32).unwrap();
    let shape = geometry.fc_shape(kernel.shape()).unwrap();
    assert_eq!((shape.rows, shape.cols), (3072, 768));
    (kernel, geometry, shape)
}

#[test]
fn the_book_is_kept() {
    let (bytes, _) = peak(|| std::hint::black_box(vec![1_u8; 1000]));
    assert_eq!(bytes, 1000);
}

#[test]
fn in_place() {
    let (kernel, geometry, FcShape { rows, cols, .. }) = layer();
    let (mut weight, mut bias) = (vec![0.5_f32; rows * cols], vec![0.0_f32; rows]);
    let mut layer = LinearMut::new(&mut weight, &mut bias).unwrap();
    let ones = vec![1.0_f32; rows];
    let norm = |channels| {
        let ones = &ones[..channels];
        BatchNorm { gamma: ones, beta: ones, mean: ones, var: ones, eps: 1e-5 }.affine().unwrap()
    };
    let (before, after) = (norm(1), norm(rows));
    let (bytes, ()) = peak(|| {
        layer.add_conv(Some(&after), &kernel, geometry).unwrap();
        layer.followed_by(&after).unwrap();
        layer.preceded_by(&before).unwrap();
        layer.between(&before, &after).unwrap();
    });
    // A scale and a shift for each column, at most.
    assert!(bytes <= 16 * cols, "{bytes} bytes beside {rows} x {cols}");
}

#[test]
fn of_a_matrix() {
    let (kernel, geometry, shape) = layer();
    let (bytes, fc) = peak(|| conv_to_fc::<f32>(&kernel, geometry).unwrap());
    let result = size_of_val(&*fc.weight) + size_of_val(&*fc.bias);
    assert_eq!(result, 4 * (shape.elements() + shape.rows));
    // Where the windows lie, for each row and column of the map.
    assert!((result..result + 64 * (24 + 32)).contains(&bytes), "{bytes} bytes for {result}");
}
