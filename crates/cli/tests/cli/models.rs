use mixfold_model::registry;

use crate::{keys, mixfold, sorted};

#[test]
fn all_models_are_listed() {
    let json = mixfold(["models", "--json"]).json();
    let listed = json.as_array().unwrap();
    assert_eq!(listed.len(), registry::models().len());
    for (listed, info) in listed.iter().zip(registry::models()) {
        assert_eq!(
            keys(listed),
            sorted([
                "name",
                "family",
                "input",
                "classes",
                "parameters",
                "macs",
                "train_parameters",
                "train_macs",
                "embedded",
                "verified"
            ])
        );
        assert_eq!(listed["name"], info.name);
        assert_eq!(listed["parameters"], info.parameters());
        assert_eq!(listed["macs"], info.macs());
        assert_eq!(listed["train_parameters"].as_u64(), info.train_parameters());
        assert_eq!(listed["train_macs"].as_u64(), info.train_macs());
        assert_eq!(listed["embedded"], info.is_embedded());
        assert_eq!(listed["verified"], info.verified);
    }
    let b16 = listed.iter().find(|listed| listed["name"] == "mixer_b16_224").unwrap();
    assert_eq!(b16["input"], serde_json::json!([3, 224, 224]));
    assert_eq!(b16["parameters"], 59_880_472);

    let text = mixfold(["models"]).success();
    for info in registry::models() {
        assert!(text.lines().any(|line| line.starts_with(info.name)), "{text}");
    }
    assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
}
