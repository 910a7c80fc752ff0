use mixfold_model::{Form, Model, top};
use serde_json::Value;
use tempfile::tempdir;

use crate::{
    assert_agree, assert_parsed, command, embedded, finish, keys, largest, mixfold, repmlpnet,
    sample_names, samples, sorted,
};

fn models() -> [Model; 3] {
    [embedded(), repmlpnet(Form::Train), repmlpnet(Form::Deploy)]
}

/// The logits of all samples.
fn logits(model: &Model) -> Vec<f32> {
    let images = sample_names().into_iter().map(|name| {
        let image = model.preprocess().open(samples().join(name)).unwrap();
        model.forward(&image).unwrap().values().to_vec()
    });
    images.collect::<Vec<_>>().concat()
}

/// As in the samples' names: `t-shirt-top`.
fn slug(class: &str) -> String {
    class.to_lowercase().replace([' ', '/'], "-")
}

#[test]
fn json_has_what_the_library_says() {
    let json = mixfold(["demo", "--json"]).json();
    assert_eq!(keys(&json), sorted(["images", "models", "agreement"]));
    let (models, names) = (models(), sample_names());
    let logits = models.each_ref().map(logits);

    let images = json["images"].as_array().unwrap();
    let mut right = [0; 3];
    assert_eq!(images.len(), names.len());
    for (i, (image, name)) in images.iter().zip(&names).enumerate() {
        assert_eq!(keys(image), sorted(["class", "answers"]));
        let class = image["class"].as_str().unwrap();
        assert_eq!(format!("{}-{}.png", &name[..4], slug(class)), *name);
        let answers = image["answers"].as_array().unwrap();
        assert_eq!(answers.len(), models.len());
        for (j, answer) in answers.iter().enumerate() {
            assert_eq!(keys(answer), sorted(["class", "probability"]));
            let (likeliest, p) = top(&logits[j][i * 10..][..10], 1)[0];
            assert_eq!(answer["class"], *models[j].label(likeliest));
            assert_eq!(answer["probability"].as_f64().unwrap() as f32, p);
            right[j] += usize::from(answer["class"] == class);
        }
    }

    let described = json["models"].as_array().unwrap();
    assert_eq!(described.len(), models.len());
    for ((described, model), right) in described.iter().zip(&models).zip(right) {
        let expected = ["model", "form", "parameters", "macs", "packed_bytes", "right"];
        let mut expected = [&expected[..], &["images_per_s_median"]].concat();
        expected.sort();
        assert_eq!(keys(described), expected);
        assert_eq!(described["model"], model.name());
        assert_eq!(described["form"].as_str(), model.form().map(|f| f.to_string()).as_deref());
        assert_eq!(described["parameters"], model.parameters());
        assert_eq!(described["macs"], model.macs());
        assert_eq!(described["packed_bytes"], model.packed_bytes());
        assert_eq!(described["right"], right);
        assert!(described["images_per_s_median"].as_f64().unwrap() > 0.0);
    }

    let [_, train, deploy] = logits;
    assert_agree(&train, &deploy);
    let agreement = &json["agreement"];
    let expected = ["difference", "largest_logit", "relative", "same_classes"];
    assert_eq!(keys(agreement), sorted(expected));
    let number = |key: &str| agreement[key].as_f64().unwrap();
    let differences: Vec<_> = train.iter().zip(&deploy).map(|(a, b)| a - b).collect();
    // A difference of neighbouring numbers is exact.
    assert_eq!(number("difference") as f32, largest(&differences));
    assert_eq!(number("largest_logit") as f32, largest(&train));
    assert_parsed(&agreement["relative"], number("difference") / number("largest_logit"));
    assert!(number("relative") <= 1e-5);
    let class = |logits: &[f32]| top(logits, 1)[0].0;
    let mut pairs = train.chunks(10).zip(deploy.chunks(10));
    assert_eq!(agreement["same_classes"], pairs.all(|(a, b)| class(a) == class(b)));
}

#[test]
fn from_anywhere_and_on_any_threads() {
    let elsewhere = tempdir().unwrap();
    std::fs::write(elsewhere.path().join("config.json"), "{ no JSON").unwrap();
    let demo = |threads: &str| {
        let mut command = command(["demo", "--json", "--threads", threads]);
        command.current_dir(&elsewhere);
        let mut json = finish(command).json();
        [json["images"].take(), json["agreement"].take()]
    };
    let expected = demo("1");
    assert_eq!(demo("3"), expected);
}

#[test]
fn text_has_the_same() {
    let text = mixfold(["demo"]).success();
    let json = mixfold(["demo", "--json"]).json();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    assert!(header.starts_with("IMAGE") && header.ends_with("repmlpnet_fashion, deploy"), "{text}");
    for (image, line) in json["images"].as_array().unwrap().iter().zip(&mut lines) {
        assert!(line.starts_with(image["class"].as_str().unwrap()), "{text}");
        for answer in image["answers"].as_array().unwrap() {
            let percent = 100.0 * answer["probability"].as_f64().unwrap() as f32;
            let said = format!("{} {percent:.1} %", answer["class"].as_str().unwrap());
            assert!(line.contains(&said), "{said}: {line}");
        }
    }
    let row = |name: &str, key: &str, grouped: &dyn Fn(&Value) -> String| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        for model in json["models"].as_array().unwrap() {
            assert!(line.contains(&grouped(&model[key])), "{line}");
        }
    };
    row("right", "right", &|n| format!("{n} of 12"));
    for (name, key) in
        [("parameters", "parameters"), ("MACs", "macs"), ("bytes, packed", "packed_bytes")]
    {
        // The digits up to the first comma.
        row(name, key, &|n| {
            let digits = n.to_string();
            digits[..(digits.len() - 1) % 3 + 1].to_owned() + ","
        });
    }
    assert!(text.contains("images/s, median"), "{text}");
    let relative =
        format!("{:.1e} of the largest", json["agreement"]["relative"].as_f64().unwrap());
    assert!(text.contains("Train and deploy form: ") && text.contains(&relative), "{text}");
    assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
}
