//! The arithmetic of [`Vector`] on every instruction set against scalar arithmetic.

use mixfold_simd::{Isa, Kernel, Simd, V, Vector, env};
use proptest::prelude::*;

use crate::float::Float;

/// An arithmetic operation of [`Vector`], on up to three operands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Splat,
    Add,
    Sub,
    Mul,
    Div,
    MulAdd,
    NegMulAdd,
    Min,
    Max,
    MaxOrNan,
    Abs,
    MulPow2,
}

use Operation::*;

/// All that are defined on any operands.
const TOTAL: [Operation; 10] = [Add, Sub, Mul, Div, MulAdd, NegMulAdd, Min, Max, MaxOrNan, Abs];

/// Applies the operation lane by lane.
struct Apply<'a, T> {
    operation: Operation,
    operands: &'a [Vec<T>; 3],
    results: &'a mut [T],
}

impl<T: Float> Kernel for Apply<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (i, results) in self.results.chunks_mut(V::<T, S>::LANES).enumerate() {
            let at = i * V::<T, S>::LANES;
            let a = V::<T, S>::from_slice(s, &self.operands[0][at..]);
            let b = V::<T, S>::from_slice(s, &self.operands[1][at..]);
            let c = V::<T, S>::from_slice(s, &self.operands[2][at..]);
            let result = match self.operation {
                Splat => V::<T, S>::splat(s, self.operands[0][at]),
                Add => a + b,
                Sub => a - b,
                Mul => a * b,
                Div => a / b,
                MulAdd => a.mul_add(b, c),
                NegMulAdd => a.neg_mul_add(b, c),
                Min => a.min(b),
                Max => a.max(b),
                MaxOrNan => a.max_or_nan(b),
                Abs => a.abs(),
                MulPow2 => a.mul_pow2(b),
            };
            result.write_to(results);
        }
    }
}

fn apply<T: Float>(isa: Isa, operation: Operation, operands: &[Vec<T>; 3]) -> Vec<T> {
    let mut results = vec![T::default(); operands[0].len()];
    isa.run(Apply { operation, operands, results: &mut results });
    results
}

/// Whether `result` is what the operation promises for these operands.
fn is_right<T: Float>(operation: Operation, fused: bool, [a, b, c]: [T; 3], result: T) -> bool {
    let mul_add = |a, b, c| if fused { T::fused(a, b, c) } else { a * b + c };
    let select = |first: bool| match (a.is_nan(), b.is_nan()) {
        (_, true) => result.is_nan(),
        (true, false) => true,
        // Of two zeros either may be chosen.
        (false, false) => result == if first { a } else { b },
    };
    match operation {
        Add => result.same(a + b),
        Sub => result.same(a - b),
        Mul => result.same(a * b),
        Div => result.same(a / b),
        MulAdd => result.same(mul_add(a, b, c)),
        NegMulAdd => result.same(mul_add(-a, b, c)),
        Min => select(a < b),
        Max => select(a > b),
        MaxOrNan => result.same(if b > a || b.is_nan() { b } else { a }),
        Abs => result.same(a.magnitude()),
        Splat | MulPow2 => unreachable!("{operation:?} has a test of its own"),
    }
}

fn check<T: Float>(operands: &[Vec<T>; 3]) {
    for isa in env::isas_under_test() {
        for operation in TOTAL {
            let results = apply(isa, operation, operands);
            for (i, result) in results.into_iter().enumerate() {
                let operands = operands.each_ref().map(|operand| operand[i]);
                assert!(
                    is_right(operation, isa.is_fused(), operands, result),
                    "{isa}: {operation:?} of {operands:?} in lane {i} is {result:?}"
                );
            }
        }
    }
}

fn special_values<T: Float>() {
    let special = T::special();
    let mut operands = [vec![], vec![], vec![]];
    for &a in &special {
        for &b in &special {
            for &c in &special {
                for (operand, value) in operands.iter_mut().zip([a, b, c]) {
                    operand.push(value);
                }
            }
        }
    }
    check(&operands);
}

#[test]
fn special_values_f32() {
    special_values::<f32>();
}

#[test]
fn special_values_f64() {
    special_values::<f64>();
}

fn operands<T: Float>() -> impl Strategy<Value = [Vec<T>; 3]> {
    (1..50_usize)
        .prop_flat_map(|n| proptest::array::uniform3(proptest::collection::vec(T::any(), n..=n)))
}

proptest! {
    #[test]
    fn any_values_f32(operands in operands::<f32>()) {
        check(&operands);
    }

    #[test]
    fn any_values_f64(operands in operands::<f64>()) {
        check(&operands);
    }
}

/// (1 + ε)² − (1 + 2ε) is ε² when rounded once and 0 when rounded twice.
fn rounds_as_it_says<T: Float>() {
    let one = T::from_i32(1);
    let above = T::special().into_iter().find(|&x| x > one).unwrap();
    let epsilon = above - one;
    let operands = [vec![above], vec![above], vec![-(above + epsilon)]];
    for isa in env::isas_under_test() {
        let once = epsilon * epsilon;
        let expected = if isa.is_fused() { once } else { T::default() };
        assert_eq!(apply(isa, MulAdd, &operands), [expected], "{isa}");
        let operands = [operands[0].clone(), operands[1].clone(), vec![above + epsilon]];
        assert_eq!(apply(isa, NegMulAdd, &operands), [T::default() - expected], "{isa}");
    }
}

#[test]
fn rounds_as_it_says_f32() {
    rounds_as_it_says::<f32>();
}

#[test]
fn rounds_as_it_says_f64() {
    rounds_as_it_says::<f64>();
}

fn splat<T: Float>() {
    for isa in env::isas_under_test() {
        for x in T::special() {
            let operand = vec![x; 64];
            let results = apply(isa, Splat, &[operand.clone(), operand.clone(), operand]);
            assert!(results.iter().all(|&result| result.same(x)), "{isa}: {x:?} is {results:?}");
        }
    }
}

#[test]
fn splat_f32() {
    splat::<f32>();
}

#[test]
fn splat_f64() {
    splat::<f64>();
}

/// From every normal magnitude to every other, through integers rounded by [`Element::ROUND`].
///
/// [`Element::ROUND`]: mixfold_simd::Element::ROUND
fn mul_pow2<T: Float>(exponents: core::ops::RangeInclusive<i32>) {
    let mut operands = [vec![], vec![], vec![]];
    let mut expected = vec![];
    for from in exponents.clone().step_by(7) {
        for to in exponents.clone().step_by(5) {
            let x = T::scaled(-T::from_i32(3) / T::from_i32(2), from);
            let n = to - from;
            let fraction = T::from_i32(to % 3) / T::from_i32(8);
            operands[0].push(x);
            operands[1].push((T::from_i32(n) + fraction) + T::ROUND);
            operands[2].push(T::default());
            expected.push(T::scaled(x, n));
        }
    }
    assert!(expected.iter().all(|x| x.is_normal()));
    for isa in env::isas_under_test() {
        assert_eq!(apply(isa, MulPow2, &operands), expected, "{isa}");
    }
}

#[test]
fn mul_pow2_f32() {
    mul_pow2::<f32>(-126..=127);
}

#[test]
fn mul_pow2_f64() {
    mul_pow2::<f64>(-1022..=1023);
}
