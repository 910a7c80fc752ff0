//! The likeliest classes.

use mixfold_model::{Loader, top};
use proptest::prelude::*;

use crate::common::{GOLDEN, images, load};

fn classes(top: &[(usize, f32)]) -> Vec<usize> {
    top.iter().map(|&(class, _)| class).collect()
}

#[test]
fn likeliest_first_with_softmax() {
    let top = top(&[1.0, 3.0, 2.0], 2);
    assert_eq!(classes(&top), [1, 2]);
    let total: f64 = [1.0_f64, 3.0, 2.0].iter().map(|logit| logit.exp()).sum();
    assert_eq!(top[0].1, (3.0_f64.exp() / total) as f32);
    assert_eq!(top[1].1, (2.0_f64.exp() / total) as f32);
}

#[test]
fn ties_in_order_and_no_more_than_there_are() {
    assert_eq!(classes(&top(&[0.5, 1.0, 1.0, 0.5, 1.0], 9)), [1, 2, 4, 0, 3]);
    assert_eq!(classes(&top(&[-0.0, 0.0, -0.0], 3)), [0, 1, 2]);
    assert_eq!(top(&[4.0], 5), [(0, 1.0)]);
    assert_eq!(top(&[1.0, 2.0], 0), []);
    assert_eq!(top(&[], 3), []);
}

#[test]
fn logits_of_any_size() {
    // Without the largest one taken off, these would overflow.
    assert_eq!(top(&[f32::MAX, f32::MIN, 1000.0], 3), [(0, 1.0), (2, 0.0), (1, 0.0)]);
    // The difference of the two is no f32; the probability is that of the exact one.
    let (likely, unlikely) = (30.1_f32, -0.3_f32);
    let weight = (f64::from(unlikely) - f64::from(likely)).exp();
    assert_eq!(top(&[unlikely, likely], 2)[1], (0, (weight / (1.0 + weight)) as f32));
}

#[test]
fn numbers_that_are_none() {
    const NAN: f32 = f32::NAN;
    const INFINITY: f32 = f32::INFINITY;
    // −∞ is a class that cannot be.
    assert_eq!(top(&[-INFINITY, 0.0, 0.0], 3), [(1, 0.5), (2, 0.5), (0, 0.0)]);
    for (logits, order) in [
        (&[NAN, 1.0, -INFINITY, 2.0][..], &[3, 1, 2, 0][..]),
        (&[NAN, -INFINITY, -NAN], &[1, 0, 2]),
        (&[1.0, INFINITY, 2.0, INFINITY], &[1, 3, 2, 0]),
        (&[-INFINITY, -INFINITY], &[0, 1]),
        (&[NAN, NAN], &[0, 1]),
    ] {
        let top = top(logits, 4);
        assert_eq!(classes(&top), order, "{logits:?}");
        assert!(top.iter().all(|(_, p)| p.is_nan()), "{logits:?}: {top:?}");
    }
}

#[test]
fn of_the_first_image_of_a_batch() {
    let model = load(&Loader::new(), GOLDEN, 3);
    let images = mixfold_model::Images::new([2, 3, 16, 24], images(&model, 2)).unwrap();
    let logits = model.forward(&images).unwrap();
    assert_eq!((logits.classes(), logits.values().len()), (3, 6));
    let rows: Vec<_> = logits.rows().collect();
    assert_eq!(rows, [&logits.values()[..3], &logits.values()[3..]]);
    assert_eq!(logits.top(2), top(rows[0], 2));
    assert_ne!(logits.top(3), top(rows[1], 3));
}

proptest! {
    #[test]
    fn probabilities_fall_and_sum_to_one(logits in prop::collection::vec(-80.0_f32..80.0, 1..40)) {
        let all = top(&logits, logits.len());
        let total: f64 = all.iter().map(|&(_, p)| f64::from(p)).sum();
        // Each probability is rounded to f32 once.
        prop_assert!((total - 1.0).abs() <= logits.len() as f64 * f64::from(f32::EPSILON));
        let sorted = all.is_sorted_by(|a, b| {
            let (before, behind) = (logits[a.0], logits[b.0]);
            (before > behind || before == behind && a.0 < b.0) && a.1 >= b.1
        });
        prop_assert!(sorted, "{:?}", all);
        let mut seen = classes(&all);
        seen.sort_unstable();
        prop_assert!(seen.into_iter().eq(0..logits.len()));
        for k in 0..logits.len() {
            prop_assert_eq!(top(&logits, k), &all[..k]);
        }
    }
}
