use mixfold_model::Form;
use serde_json::Value;

use crate::{keys, mixfold, repmlpnet_weights, sorted, weights};

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key}: {value}"))
}

/// Checks the report and returns it.
fn bench(options: &[&str]) -> Value {
    let report = mixfold(["bench", "--json"].iter().chain(options)).json();
    assert_eq!(
        keys(&report),
        sorted([
            "model",
            "batch",
            "threads",
            "isa",
            "dtype",
            "runs",
            "images_per_s",
            "images_per_s_median",
            "gflops",
            "fma_peak_gflops",
            "form",
            "load",
            "peak_fraction",
            "phases",
        ])
    );
    let positive = |value: &Value, key: &str| assert!(number(value, key) > 0.0, "{key}: {value}");
    for key in ["images_per_s", "images_per_s_median", "gflops", "fma_peak_gflops"] {
        positive(&report, key);
    }
    assert!(number(&report, "images_per_s") >= number(&report, "images_per_s_median"));
    assert_eq!(report["dtype"], "f32");
    let fraction = number(&report, "gflops") / number(&report, "fma_peak_gflops");
    assert!((number(&report, "peak_fraction") / fraction - 1.0).abs() < 1e-9);

    let info = mixfold_model::registry::model(report["model"].as_str().unwrap()).unwrap();
    let form = match report["form"].as_str() {
        Some("train") => Form::Train,
        Some("deploy") => Form::Deploy,
        form => {
            assert!(form.is_none() && info.config.forms().is_empty());
            Form::Deploy
        }
    };
    let macs_of_model = info.config.macs(info.classes, form) as f64;
    let gflops = 2.0 * macs_of_model * number(&report, "images_per_s") / 1e9;
    assert!((number(&report, "gflops") / gflops - 1.0).abs() < 1e-9);

    let phases = report["phases"].as_array().unwrap();
    let names: Vec<_> = phases.iter().map(|phase| phase["phase"].as_str().unwrap()).collect();
    // A ResNet-50 mixes no places alone.
    let tokens: &[_] = if report["model"] == "resnet50" { &[] } else { &["tokens"] };
    assert_eq!(names, [&["stem"], tokens, &["channels", "head"]].concat());
    let batch = number(&report, "batch");
    let mut macs = 0.0;
    for phase in phases {
        assert_eq!(keys(phase), sorted(["phase", "ms", "gflops", "peak_fraction"]));
        positive(phase, "ms");
        macs += number(phase, "gflops") * 1e9 * number(phase, "ms") * 1e-3 / 2.0 / batch;
    }
    assert!((macs / macs_of_model - 1.0).abs() < 1e-9, "the phases are the whole model");
    report
}

#[test]
fn the_embedded_model() {
    let report = bench(&["--runs", "4", "--batch", "3", "--threads", "2"]);
    assert_eq!(report["model"], "mixer_fashion");
    assert_eq!((&report["runs"], &report["batch"]), (&4.into(), &3.into()));
    assert_eq!(report["threads"], 2);

    let weights = weights();
    let report = bench(&["--weights", weights.to_str().unwrap(), "--runs", "1", "--threads", "1"]);
    assert_eq!((&report["model"], &report["threads"]), (&"mixer_fashion".into(), &1.into()));
    let load = &report["load"];
    let file_bytes = number(load, "file_bytes");
    assert_eq!(file_bytes, weights.metadata().unwrap().len() as f64);
    assert!(
        (number(load, "gb_per_s") * number(load, "ready_ms") * 1e6 / file_bytes - 1.0).abs() < 1e-9
    );
    assert!(number(load, "first_logits_ms") > number(load, "ready_ms"));
    assert!(number(load, "read_ms") > 0.0);
    if cfg!(target_os = "linux") {
        assert!(number(load, "peak_over_weights") > 1.0 && number(load, "peak_bytes") > file_bytes);
    }
    let args = ["bench", "--weights", weights.to_str().unwrap(), "--runs", "1", "--threads", "1"];
    let text = mixfold(args).success();
    assert!(text.contains("ready, ms") && text.contains("first logits, ms"), "{text}");
}

#[test]
fn a_model_without_weights() {
    let report = bench(&["--model", "mixer_s32_224", "--runs", "1", "--batch", "1"]);
    assert_eq!(report["model"], "mixer_s32_224");
    assert!(report["load"].is_null());
}

#[test]
fn both_forms_with_and_without_weights() {
    let weights = repmlpnet_weights();
    let models: [&[&str]; 5] = [
        &["--model", "repmlpnet_t224"],
        &["--model", "resnet50"],
        &["--model", "repmlp_res50_bottleneck_224"],
        &["--model", "repmlpnet_fashion"],
        &["--weights", weights.to_str().unwrap()],
    ];
    for model in models {
        for (options, form) in [
            (&["--form", "train"][..], "train"),
            (&["--form", "deploy"], "deploy"),
            (&[], "deploy"),
        ] {
            let runs = ["--runs", "1", "--batch", "1"];
            let report = bench(&[model, options, &runs].concat());
            assert_eq!(report["form"], form, "{model:?}");
        }
    }
    assert!(bench(&["--runs", "1", "--batch", "1"])["form"].is_null());
    let options = ["--model", "repmlpnet_fashion", "--form", "train", "--runs", "1"];
    let text = mixfold(["bench"].iter().chain(&options)).success();
    assert!(text.starts_with("repmlpnet_fashion in train form, batch 8, "), "{text}");
}

#[test]
fn the_number_of_runs_follows_from_the_time() {
    assert!(bench(&["--batch", "1"])["runs"].as_u64().unwrap() >= 3);
}

#[test]
fn text_has_the_same() {
    let text = mixfold(["bench", "--runs", "1", "--batch", "1", "--threads", "1"]).success();
    assert!(text.starts_with("mixer_fashion, batch 1, 1 thread, "), "{text}");
    for word in ["images/s", "GFLOP/s", "stem", "tokens", "channels", "head"] {
        assert!(text.contains(word), "{text}");
    }
}
