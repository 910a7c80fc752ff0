//! The embedded model is the same wherever the program runs. The one test of its process, because
//! it changes the working directory.

use mixfold_model::{Model, registry};

#[test]
fn does_not_depend_on_the_working_directory() {
    let expected = Model::embedded().unwrap();
    assert_eq!(expected.labels().unwrap()[9], "Ankle boot");

    let directory = tempfile::tempdir().unwrap();
    std::env::set_current_dir(&directory).unwrap();
    for config in [
        "{ no JSON".to_owned(),
        format!(r#"{{"architecture": "{}", "num_classes": 1000}}"#, registry::DEFAULT),
        format!(r#"{{"architecture": "{}", "mean": [0.1, 0.2, 0.3]}}"#, registry::DEFAULT),
    ] {
        std::fs::write("config.json", &config).unwrap();
        let model = Model::embedded().unwrap();
        assert_eq!(model.preprocess(), expected.preprocess(), "{config}");
        assert_eq!(model.labels(), expected.labels(), "{config}");
    }
    // Where a folder cannot be removed while it is in use.
    std::env::set_current_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
}
