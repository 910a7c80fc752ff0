//! The instruction sets of the CPU and their names.

use mixfold_simd::{Isa, IsaError, Portable};

/// Names from the slowest to the fastest instruction set of each architecture.
const ORDER: [&str; 4] = ["portable", "neon", "avx2", "avx512"];

#[test]
fn available_in_order() {
    let names: Vec<_> = Isa::available().map(Isa::name).collect();
    let place = |name| ORDER.iter().position(|&known| known == name).expect(name);
    assert!(names.iter().map(|name| place(name)).is_sorted_by(|a, b| a < b), "{names:?}");
    assert_eq!(Isa::available().next(), Some(Isa::from(Portable)));
    assert_eq!(Isa::available().last(), Some(Isa::best()));
}

#[test]
fn named() {
    for isa in Isa::available() {
        assert_eq!(Isa::named(isa.name()), Ok(isa));
        assert_eq!(isa.to_string(), isa.name());
    }
    assert_eq!(Isa::named("portable"), Ok(Isa::from(Portable)));
    for name in ORDER {
        if Isa::available().all(|isa| isa.name() != name) && name != "portable" {
            assert_eq!(Isa::named(name), Err(IsaError::Absent { name: name.to_owned() }));
        }
    }
    for name in ["", "AVX2", " avx2", "avx", "sse2"] {
        assert_eq!(Isa::named(name), Err(IsaError::Unknown { name: name.to_owned() }));
    }
}

#[test]
fn errors_name_what_there_is() {
    let available: Vec<_> = Isa::available().map(Isa::name).collect();
    let available = available.join(", ");
    assert_eq!(
        IsaError::Unknown { name: "mmx".to_owned() }.to_string(),
        format!("unknown instruction set `mmx`; this CPU has {available}")
    );
    assert_eq!(
        IsaError::Absent { name: "neon".to_owned() }.to_string(),
        format!("this CPU has no instruction set `neon`; it has {available}")
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn tokens_are_instruction_sets() {
    use mixfold_simd::x86::{Avx2, Avx512};
    let avx2 = Avx2::detect().map(Isa::from);
    let avx512 = Avx512::detect().map(Isa::from);
    assert_eq!(avx2, Isa::named("avx2").ok());
    assert_eq!(avx512, Isa::named("avx512").ok());
    assert!([avx2, avx512].into_iter().flatten().all(Isa::is_fused));
}
