//! The program as a user meets it: arguments in, output, files and exit code out.

mod bench;
mod classify;
mod compare;
mod conventions;
mod convert;
mod demo;
mod eval;
mod fold;
mod forms;
mod inspect;
mod models;
mod networks;
mod pytorch;
mod resnet;
mod run;
mod visualize;
mod visualize_fc3;
mod visualize_models;

#[path = "../../../model/tests/common/pth.rs"]
mod pth;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use mixfold_gemm::Context;
use mixfold_model::{Form, Loader, Model};
use serde_json::Value;

/// What a run of the program left.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// A command of the program, to be changed before it is [`finish`]ed.
fn command<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mixfold"));
    command.args(args);
    command
}

fn finish(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("the program was not killed");
    Ran { code, out: text(output.stdout), err: text(output.stderr) }
}

fn mixfold<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Ran {
    finish(command(args))
}

impl Ran {
    /// The output, of a run in which nothing failed.
    #[track_caller]
    fn success(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The JSON value on the only line of the output.
    #[track_caller]
    fn json(self) -> Value {
        let out = self.success();
        assert_eq!(out.lines().count(), 1, "{out}");
        serde_json::from_str(&out).unwrap()
    }

    /// The only line on standard error, of a run that printed nothing and ended with this code.
    #[track_caller]
    fn failure(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        self.error_line()
    }

    /// The only line on standard error.
    #[track_caller]
    fn error_line(&self) -> String {
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        let line = self.err.trim_end();
        line.strip_prefix("mixfold: ").expect("errors name the program").to_owned()
    }
}

#[track_caller]
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Keys as `serde_json` sorts them.
fn sorted<const N: usize>(mut keys: [&str; N]) -> [&str; N] {
    keys.sort();
    keys
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn samples() -> PathBuf {
    crates().join("cli/samples")
}

/// The samples' names, sorted.
fn sample_names() -> Vec<String> {
    let entries = std::fs::read_dir(samples()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".png")).collect();
    names.sort();
    names
}

/// The file of the embedded Mixer's weights.
fn weights() -> PathBuf {
    crates().join("model/assets/mixer_fashion.safetensors")
}

/// The file of the embedded RepMLPNet's weights, in train form.
fn repmlpnet_weights() -> PathBuf {
    crates().join("model/assets/repmlpnet_fashion.safetensors")
}

fn fixture(name: &str) -> PathBuf {
    crates().join("model/tests/fixtures").join(name)
}

/// Loads on what the environment asks for, as the program.
fn loader() -> Loader {
    Loader::new().context(Context::from_env().unwrap())
}

/// The embedded Mixer.
fn embedded() -> Model {
    loader().embedded(mixfold_model::registry::DEFAULT).unwrap()
}

/// The embedded RepMLPNet.
fn repmlpnet(form: Form) -> Model {
    loader().form(form).embedded("repmlpnet_fashion").unwrap()
}

/// That a number is this one, but for the last digit that the parser of JSON gets wrong.
#[track_caller]
fn assert_parsed(value: &Value, expected: f64) {
    let found = value.as_f64().unwrap();
    assert!((found - expected).abs() <= 4.0 * f64::EPSILON * expected.abs(), "{found} {expected}");
}

/// The largest absolute value.
fn largest(values: &[f32]) -> f32 {
    assert!(values.iter().all(|value| value.is_finite()));
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

/// That two forms gave the same, up to 1e-5 of the largest value; and that they were two.
#[track_caller]
fn assert_agree(train: &[f32], deploy: &[f32]) {
    assert_eq!(train.len(), deploy.len());
    let differences: Vec<_> = train.iter().zip(deploy).map(|(a, b)| a - b).collect();
    let (difference, largest) = (largest(&differences), largest(train));
    assert!(difference > 0.0 && difference <= 1e-5 * largest, "{difference:e} of {largest}");
}
