//! The variables of the environment. One test, because the environment is the whole process's.

use std::panic;

use mixfold_simd::{Isa, env};

/// The name of an instruction set that this CPU cannot have.
const FOREIGN: &str = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };

/// Calls `f` with `variable` set to `value`, or unset.
fn with<T>(variable: env::Variable, value: Option<&str>, f: impl FnOnce() -> T) -> T {
    // SAFETY: this process has one test, so that no other thread uses the environment.
    unsafe {
        match value {
            Some(value) => std::env::set_var(variable.name, value),
            None => std::env::remove_var(variable.name),
        }
    }
    f()
}

#[test]
fn environment() {
    // Which instruction set.
    assert_eq!(with(env::ISA, None, env::isa), Ok(Isa::best()));
    assert_eq!(with(env::ISA, Some(""), env::isa), Ok(Isa::best()));
    for isa in Isa::available() {
        assert_eq!(with(env::ISA, Some(isa.name()), env::isa), Ok(isa));
    }
    for name in [FOREIGN, "fast"] {
        assert_eq!(with(env::ISA, Some(name), env::isa), Err(Isa::named(name).unwrap_err()));
    }

    // Which ones the tests demand, whatever is chosen.
    let all: Vec<_> = Isa::available().collect();
    let names: Vec<_> = all.iter().map(|isa| isa.name()).collect();
    for list in
        [None, Some(""), Some(&*names.join(",")), Some(&*names.join(", ")), Some("portable,")]
    {
        assert_eq!(with(env::REQUIRE_ISA, list, env::isas_under_test), all, "{list:?}");
    }
    for list in [FOREIGN, &format!("portable,{FOREIGN}"), "fast"] {
        let panic = with(env::REQUIRE_ISA, Some(list), || {
            panic::catch_unwind(env::isas_under_test).expect_err(list)
        });
        let message = panic.downcast_ref::<String>().expect("a formatted message");
        assert!(message.starts_with(env::REQUIRE_ISA.name), "{message}");
    }
}
