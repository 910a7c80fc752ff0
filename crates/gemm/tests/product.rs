//! The product with everything that can stand around it, against naive loops in `f64`.

#![forbid(unsafe_code)]

mod common;

use common::{Along, CANARY, K, Layout, Matrix, Near, PACKINGS, Sample, edges, numbers, same_bits};
use mixfold_gemm::{Accum, Context, Epilogue};
use mixfold_simd::env::isas_under_test;
use proptest::prelude::*;
use proptest::sample::select;

/// What becomes of the old contents.
#[derive(Clone, Copy, Debug)]
enum Old {
    Replaced,
    Added,
    Multiplied,
    Elsewhere(Layout),
}

#[derive(Clone, Copy, Debug)]
struct Case {
    shape: (usize, usize, usize),
    /// Of the left operand, the right one and the output.
    layouts: (Layout, Layout, Layout),
    bias: Along,
    /// Which of [`Sample::ACTIVATIONS`], counted around: behind the bias, and last.
    activations: (usize, usize),
    scale: Along,
    old: Old,
    seed: u64,
    /// A value that no finite number has, in the left operand or else in the right one.
    special: Option<(bool, usize, f64)>,
}

fn cases<T: Sample>() -> impl Strategy<Value = Case> {
    let old = prop_oneof![
        Just(Old::Replaced),
        Just(Old::Added),
        Just(Old::Multiplied),
        select(&Layout::ALL[..]).prop_map(Old::Elsewhere)
    ];
    let special =
        (any::<bool>(), any::<usize>(), select(vec![f64::NAN, f64::INFINITY, -f64::INFINITY]));
    (
        (select(edges::<T>(|id| id.rows)), select(edges::<T>(|id| id.cols)), select(&K[..])),
        (select(&Layout::ALL[..]), select(&Layout::ALL[..]), select(&Layout::DISTINCT[..])),
        (select(&Along::ALL[..]), (0..6_usize, 0..6_usize), select(&Along::ALL[..])),
        (old, any::<u64>(), proptest::option::weighted(0.3, special)),
    )
        .prop_map(|(shape, layouts, (bias, activations, scale), (old, seed, special))| Case {
            shape,
            layouts,
            bias,
            activations,
            scale,
            old,
            seed,
            special,
        })
}

/// Computes it on every instruction set, packed in every way.
fn check<T: Sample>(case: Case) -> Result<(), TestCaseError> {
    let Case { shape: (m, n, k), layouts, seed, .. } = case;
    let mut a = Matrix::<T>::new(layouts.0, m, k, seed);
    let mut b = Matrix::<T>::new(layouts.1, k, n, seed ^ 1);
    if let Some((left, place, special)) = case.special {
        let operand = if left { &mut a } else { &mut b };
        if !operand.is_empty() {
            operand.set((place % operand.rows, place % operand.cols), T::of(special));
        }
    }
    let (bias, scale) = (numbers(seed ^ 2, m.max(n)), numbers(seed ^ 3, m.max(n)));
    let nth = |i: usize| T::ACTIVATIONS[i % T::ACTIVATIONS.len()];
    let (activation, function) = nth(case.activations.0);
    let (last, last_function) = nth(case.activations.1);
    let epilogue = Epilogue {
        bias: case.bias.of(&bias, m, n),
        activation,
        scale: case.scale.of(&scale, m, n),
        last,
    };
    let mut before = Matrix::<T>::new(layouts.2, m, n, seed ^ 4);
    let met = match case.old {
        Old::Replaced => {
            before.places().for_each(|at| before.set(at, T::of(f64::NAN)));
            None
        }
        Old::Added | Old::Multiplied => Some(before.clone()),
        Old::Elsewhere(layout) => Some(Matrix::new(layout, m, n, seed ^ 5)),
    };

    let finish = |(at, sum): ((usize, usize), Near)| {
        let sum = common::value(&epilogue.bias, at).map_or(sum, |x| sum.plus(x)).map(function);
        let sum = common::value(&epilogue.scale, at).map_or(sum, |x| sum.times(x));
        let result = match (case.old, &met) {
            (Old::Multiplied, Some(met)) => sum.times(met.at(at)),
            (_, Some(met)) => sum.plus(met.at(at)),
            (_, None) => sum,
        };
        result.map(last_function)
    };
    let expected: Vec<_> = before.places().zip(common::product(&a, &b)).map(finish).collect();

    let mut fused: Option<Vec<T>> = None;
    for isa in isas_under_test() {
        let ctx = Context::with_isa(isa).sequential();
        let mut unpacked: Option<Vec<T>> = None;
        for packed in PACKINGS {
            let mut out = before.clone();
            let accum = match (case.old, &met) {
                (Old::Elsewhere(_), Some(residual)) => Accum::Onto(residual.view()),
                (Old::Added, _) => Accum::Add,
                (Old::Multiplied, _) => Accum::Multiply,
                _ => Accum::Replace,
            };
            common::run(&ctx, packed, (a.view(), b.view()), &epilogue, out.view_mut(), accum);
            for (at, near) in out.places().zip(&expected) {
                let x = out.at(at);
                prop_assert!(near.admits(x), "{isa}, packed {packed:?}, {at:?}: {x:?}, {near:?}");
            }
            prop_assert!(out.gaps().iter().all(|&x| x == T::of(CANARY)), "{isa} wrote to gaps");
            let first = unpacked.get_or_insert_with(|| out.elements());
            prop_assert!(same_bits(first, &out.elements()), "{isa}, packed {packed:?}");
        }
        if let Some(unpacked) = unpacked.filter(|_| isa.is_fused()) {
            let first = fused.get_or_insert_with(|| unpacked.clone());
            prop_assert!(same_bits(first, &unpacked), "{isa} differs from other fused ones");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn f32_is_within_the_bound(case in cases::<f32>()) {
        check::<f32>(case)?;
    }

    #[test]
    fn f64_is_within_the_bound(case in cases::<f64>()) {
        check::<f64>(case)?;
    }

    /// A special value in the old contents reaches its own element, if any, and not a bit of the
    /// others.
    #[test]
    fn special_old_values_stay_where_they_are(
        (m, n, k) in (1..40_usize, 1..80_usize, 1..70_usize),
        layout in select(&Layout::DISTINCT[..]),
        place in any::<(usize, usize)>(),
        special in select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
        seed: u64,
    ) {
        let a = Matrix::<f32>::new(Layout::RowMajor, m, k, seed);
        let b = Matrix::<f32>::new(Layout::RowMajor, k, n, seed ^ 1);
        let before = Matrix::<f32>::new(layout, m, n, seed ^ 2);
        let hit = (place.0 % m, place.1 % n);
        let mut dirty = before.clone();
        dirty.set(hit, special);
        for isa in isas_under_test() {
            let ctx = Context::with_isa(isa).sequential();
            for (accum, reaches) in
                [(Accum::Replace, false), (Accum::Add, true), (Accum::Multiply, true)]
            {
                let [clean, out] = [&before, &dirty].map(|before| {
                    let mut out = before.clone();
                    let operands = (a.view(), b.view());
                    let none = Epilogue::NONE;
                    common::run(&ctx, (false, false), operands, &none, out.view_mut(), accum);
                    out
                });
                for at in out.places() {
                    if reaches && at == hit {
                        prop_assert!(!out.at(at).is_finite(), "{isa}, {accum:?} at {at:?}");
                    } else {
                        prop_assert_eq!(out.at(at), clean.at(at), "{}, {:?} at {:?}", isa, accum, at);
                    }
                }
            }
        }
    }

    /// One special value reaches one row or one column, and not a bit of the others.
    #[test]
    fn special_values_stay_in_their_row_or_column(
        (m, n, k) in (1..40_usize, 1..80_usize, 1..70_usize),
        (row, col, left) in (any::<usize>(), any::<usize>(), any::<bool>()),
        special in select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
        seed: u64,
    ) {
        let a = Matrix::<f32>::new(Layout::RowMajor, m, k, seed);
        let b = Matrix::<f32>::new(Layout::ColumnMajor, k, n, seed ^ 1);
        let (mut a_special, mut b_special) = (a.clone(), b.clone());
        let hit = if left { (row % m, col % k) } else { (row % k, col % n) };
        if left { &mut a_special } else { &mut b_special }.set(hit, special);
        for isa in isas_under_test() {
            let clean = common::plain(isa, a.view(), b.view());
            let out = common::plain(isa, a_special.view(), b_special.view());
            for at in out.places() {
                if if left { at.0 == hit.0 } else { at.1 == hit.1 } {
                    prop_assert!(!out.at(at).is_finite(), "{isa} at {at:?}");
                } else {
                    prop_assert_eq!(out.at(at), clean.at(at), "{} at {:?}", isa, at);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    /// Beyond 1024 terms and 256 columns, the sums are kept for some columns at a time.
    #[test]
    fn long_and_wide_is_within_the_bound(
        case in cases::<f32>(),
        n in select(vec![255_usize, 256, 257, 300, 513]),
        k in select(vec![1024_usize, 1025, 2100]),
    ) {
        check::<f32>(Case { shape: (case.shape.0.min(9), n, k), ..case })?;
    }
}
