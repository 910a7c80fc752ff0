//! What holds for every command: help, exit codes, errors in one line, closed pipes, environment.

use std::process::Stdio;

use crate::{command, finish, mixfold, samples, weights};

const COMMANDS: [&str; 11] = [
    "classify",
    "eval",
    "run",
    "fold",
    "convert",
    "inspect",
    "models",
    "bench",
    "compare",
    "visualize",
    "demo",
];

#[test]
fn help_and_version() {
    let help = mixfold(["--help"]).success();
    assert!(COMMANDS.iter().all(|command| help.contains(command)), "{help}");
    assert!(help.contains("MIXFOLD_ISA"), "{help}");
    for name in COMMANDS {
        assert!(mixfold([name, "--help"]).success().contains("Usage: mixfold"), "{name}");
    }
    let version = format!("mixfold {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(mixfold(["--version"]).success(), version);

    let ran = mixfold::<&str>([]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("Usage: mixfold"), "{}", ran.err);
}

#[test]
fn wrong_arguments_are_told_in_one_line() {
    let cases: [(&[&str], &str); 35] = [
        (&["nonsense"], "nonsense"),
        (&["classify"], "<IMAGE>"),
        (&["classify", "x.png", "--tops", "1"], "--top"),
        (&["classify", "x.png", "--top", "0"], "--top"),
        (&["classify", "x.png", "--threads", "0"], "--threads"),
        (&["classify", "x.png", "--gelu", "relu"], "tanh"),
        (&["classify", "x.png", "--model", "mixer_x"], "mixer_b16_224"),
        (&["classify", "x.png", "--model", "mixer_b16_224"], "--weights"),
        (&["classify", "x.png", "--crop", "0"], "--crop"),
        (&["classify", "x.png", "--crop", "NaN"], "--crop"),
        (&["classify", "x.png", "--std", "0"], "--std"),
        (&["classify", "x.png", "--mean", "0.1,0.2,0.3"], "--mean"),
        (&["eval", "--images", "x"], "--labels"),
        (&["run", "--input", "x", "--output", "y", "--dump", "head"], "--dump-dir"),
        (&["run", "--input", "x", "--output", "y", "--batch", "0"], "--batch"),
        (&["bench", "--model", "mixer_x"], "mixer_b16_224"),
        (&["classify", "x.png", "--form", "folded"], "[possible values: train, deploy]"),
        (&["fold", "in"], "<OUT.safetensors>"),
        (&["fold", "in", "out", "--model", "repmlpnet_x"], "repmlpnet_b256"),
        (&["fold", "in", "out", "--form", "train"], "--form"),
        (&["convert", "in"], "<OUT.safetensors>"),
        (&["convert", "in", "out", "--model", "mixer_x"], "mixer_b16_224"),
        (&["convert", "in", "out", "--gelu", "tanh"], "--gelu"),
        (&["demo", "--threads", "0"], "--threads"),
        (&["compare"], "--models"),
        (&["compare", "--models", "mixer_fashion,mixer_x"], "unknown model `mixer_x`"),
        (&["compare", "--models", ""], "unknown model ``"),
        (&["compare", "--models", "mixer_fashion:train"], "one form only"),
        (&["compare", "--models", "repmlpnet_fashion:folded"], "NAME:deploy"),
        (&["compare", "--models", "mixer_fashion", "--batch", "1,0"], "--batch"),
        (&["compare", "--models", "mixer_fashion", "--runs", "0"], "--runs"),
        (&["compare", "--models", "mixer_fashion", "--weights", "absent"], "NAME=FILE"),
        (&["compare", "--models", "mixer_fashion", "--weights", "mixer_x=absent"], "mixer_x"),
        (
            &[
                "compare",
                "--models=mixer_fashion",
                "--weights=mixer_fashion=a",
                "--weights=mixer_fashion=b",
            ],
            "one file for a model",
        ),
        (&["compare", "--models", "mixer_fashion", "--plot", "x.png"], ".svg"),
    ];
    for (args, hint) in cases {
        let error = mixfold(args).failure(2);
        assert!(error.contains(hint), "{args:?}: {error}");
    }
}

#[test]
fn files_that_are_not_there_are_named() {
    let cases: [&[&str]; 12] = [
        &["classify", "absent"],
        &["classify", "x.png", "--weights", "absent"],
        &["classify", "x.png", "--labels", "absent"],
        &["eval", "--images", "absent", "--labels", "absent"],
        &["run", "--input", "absent", "--output", "y.npy"],
        &["inspect", "absent"],
        &["bench", "--weights", "absent"],
        &["compare", "--models", "mixer_fashion", "--weights", "mixer_fashion=absent"],
        &["fold", "absent", "out"],
        &["convert", "absent", "out"],
        &["convert", "absent", "out", "--model", "mixer_b16_224"],
        &["fold", "absent", "out", "--model", "repmlpnet_b256", "--report"],
    ];
    for args in cases {
        let error = mixfold(args).failure(1);
        assert!(error.starts_with("absent: "), "{args:?}: {error}");
    }
}

#[test]
fn weights_of_another_model_are_told_in_short() {
    let weights = weights();
    let args = ["bench", "--model", "mixer_b16_224", "--weights", weights.to_str().unwrap()];
    let error = mixfold(args).failure(1);
    assert!(error.contains("does not fit mixer_b16_224"), "{error}");
    assert!(error.contains("stem.proj.weight is 80 x 1 x 4 x 4 instead of 768 x 3 x 16 x 16"));
    assert!(error.len() < 1000, "{error}");
}

#[test]
fn the_environment_chooses_the_instruction_set() {
    let samples = samples();
    let cases: [&[&str]; 7] = [
        &["classify", samples.to_str().unwrap()],
        &["eval", "--images", "absent", "--labels", "absent"],
        &["run", "--input", "absent", "--output", "y.npy"],
        &["bench", "--runs", "1"],
        &["compare", "--models", "mixer_fashion", "--runs", "1"],
        &["fold", "absent", "out"],
        &["demo"],
    ];
    for args in cases {
        let mut command = command(args);
        command.env("MIXFOLD_ISA", "nonsense");
        let error = finish(command).failure(2);
        assert!(error.starts_with("MIXFOLD_ISA: unknown instruction set `nonsense`"), "{error}");
        assert!(error.contains("portable"), "{error}");
    }
    let mut portable = command(["bench", "--runs", "1", "--batch", "1", "--json"]);
    portable.env("MIXFOLD_ISA", "portable");
    let isa = &finish(portable).json()["isa"];
    assert!(isa == "portable" || isa == "neon", "{isa}");
}

#[test]
fn a_closed_pipe_ends_in_silence() {
    let (samples, weights) = (samples(), weights());
    let cases: [&[&str]; 8] = [
        &["--help"],
        &["models"],
        &["models", "--json"],
        &["inspect", weights.to_str().unwrap()],
        &["classify", samples.to_str().unwrap()],
        &["classify", samples.to_str().unwrap(), "--json"],
        &["demo"],
        &["compare", "--models", "mixer_fashion", "--runs", "1", "--batch", "1"],
    ];
    for args in cases {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(args);
        command.stdout(Stdio::from(writer));
        finish(command).success();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = command(["models"]);
    command.stdout(full);
    let error = finish(command).failure(1);
    assert!(error.starts_with("standard output: "), "{error}");
}
