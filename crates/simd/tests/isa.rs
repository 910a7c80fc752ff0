//! The choice among instruction sets, by name and by environment.

use std::process::{Command, Output};

use mixfold_simd::{Isa, IsaError, Portable, env};

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

/// The name of an instruction set that this CPU cannot have.
const FOREIGN: &str = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };

#[test]
#[ignore = "run by other tests in a process of its own, with the environment set"]
fn in_environment() {
    match env::isa() {
        Ok(isa) => println!("isa: {isa}."),
        Err(error) => println!("error: {error}."),
    }
    println!("under test: {:?}.", env::isas_under_test());
}

/// Runs [`in_environment`] with `name` set to `value`, or with nothing set.
fn with(variable: Option<(env::Variable, &str)>) -> (Output, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["in_environment", "--exact", "--ignored", "--nocapture"]);
    for known in env::VARIABLES {
        command.env_remove(known.name);
    }
    if let Some((variable, value)) = variable {
        command.env(variable.name, value);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned();
    (output, text)
}

#[test]
fn environment_chooses() {
    for isa in Isa::available() {
        let (output, text) = with(Some((env::ISA, isa.name())));
        assert!(output.status.success() && text.contains(&format!("isa: {isa}.")), "{text}");
    }
    let best = format!("isa: {}.", Isa::best());
    for variable in [None, Some((env::ISA, ""))] {
        let (output, text) = with(variable);
        assert!(output.status.success() && text.contains(&best), "{text}");
    }
}

#[test]
fn environment_errs() {
    for name in [FOREIGN, "fast"] {
        let error = Isa::named(name).unwrap_err();
        let (_, text) = with(Some((env::ISA, name)));
        assert!(text.contains(&format!("error: {error}.")), "{text}");
    }
}

#[test]
fn environment_requires() {
    let all: Vec<_> = Isa::available().map(Isa::name).collect();
    let under_test = format!("under test: {:?}.", Isa::available().collect::<Vec<_>>());
    for list in ["", Isa::best().name(), &all.join(","), &all.join(", "), "portable,"] {
        let (output, text) = with(Some((env::REQUIRE_ISA, list)));
        assert!(output.status.success() && text.contains(&under_test), "{list}: {text}");
    }
    for list in [FOREIGN, &format!("portable,{FOREIGN}"), "fast"] {
        let (output, text) = with(Some((env::REQUIRE_ISA, list)));
        assert!(!output.status.success() && text.contains(env::REQUIRE_ISA.name), "{list}: {text}");
    }
}
