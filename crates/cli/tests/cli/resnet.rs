//! Files of a ResNet, the smallest of its family.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use mixfold_model::{Checkpoint, Form, form};
use serde_json::{Map, Value, json};
use tempfile::tempdir;

use crate::mixfold;

/// Names and shapes of ResNet-50 in train form.
fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut convolutions = vec![("stage0.0".to_owned(), [64, 3, 7, 7])];
    let mut inputs = 64;
    for (stage, (depth, channels)) in [(3, 256), (4, 512), (6, 1024), (3, 2048)].iter().enumerate()
    {
        let (inner, mut add) = (channels / 4, |block: &str, name: &str, shape| {
            convolutions.push((format!("{block}.{name}"), shape));
        });
        for number in 0..*depth {
            let block = format!("stage{}.{number}", stage + 1);
            if number == 0 {
                add(&block, "shortcut", [*channels, inputs, 1, 1]);
            }
            add(&block, "conv1", [inner, inputs, 1, 1]);
            add(&block, "conv2", [inner, inner, 3, 3]);
            add(&block, "conv3", [*channels, inner, 1, 1]);
            inputs = *channels;
        }
    }
    let mut tensors =
        vec![("linear.weight".into(), vec![10, 2048]), ("linear.bias".into(), vec![10])];
    for (name, shape) in convolutions {
        tensors.push((format!("{name}.conv.weight"), shape.to_vec()));
        for parameter in ["weight", "bias", "running_mean", "running_var"] {
            tensors.push((format!("{name}.bn.{parameter}"), vec![shape[0]]));
        }
    }
    tensors
}

/// Writes them as a hole, but for a variance of one channel.
fn write(path: &Path, (norm, variance): (&str, f32)) {
    let (mut table, mut end, mut place) = (Map::new(), 0, 0);
    for (name, shape) in tensors() {
        let start = end;
        end += 4 * shape.iter().product::<usize>() as u64;
        if name == format!("{norm}.running_var") {
            place = start;
        }
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
        table.insert(name, entry);
    }
    let header = Value::Object(table).to_string();
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let data = 8 + header.len() as u64;
    file.set_len(data + end).unwrap();
    file.seek(SeekFrom::Start(data + place)).unwrap();
    file.write_all(&variance.to_le_bytes()).unwrap();
}

#[test]
fn inspected_folded_and_converted() {
    let folder = tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (train, deploy) = (path("train"), path("deploy"));
    write(Path::new(&train), ("stage2.1.conv2.bn", 1.0));
    let model = mixfold(["inspect", &train, "--json"]).json()["model"].clone();
    assert_eq!((&model["name"], &model["form"]), (&"resnet50".into(), &"train".into()));
    assert_eq!(model["classes"], 10);

    let folded = mixfold(["fold", &train, &deploy, "--json"]).json();
    assert_eq!((&folded["blocks"], &folded["convolutions"]), (&0.into(), &53.into()));
    let model = mixfold(["inspect", &deploy, "--json"]).json()["model"].clone();
    assert_eq!((&model["name"], &model["form"]), (&"resnet50".into(), &"deploy".into()));

    // In the place of the input, in the form that it has.
    for (file, expected) in [(&train, Form::Train), (&deploy, Form::Deploy)] {
        let json = mixfold(["convert", file, file, "--json"]).json();
        assert_eq!((&json["model"], &json["gelu"]), (&"resnet50".into(), &"erf".into()));
        assert_eq!(form(&Checkpoint::open(file).unwrap()), Some(expected));
    }

    let error = mixfold(["fold", &deploy, &path("again")]).failure(1);
    assert!(error.starts_with(&deploy) && error.contains("already"), "{error}");
    let error = mixfold(["bench", "--weights", &deploy, "--form", "train"]).failure(1);
    assert!(error.starts_with(&deploy) && error.contains("in deploy form"), "{error}");
}

/// The file, the module, the channel and the number.
#[test]
fn what_cannot_be_folded_is_told_with_its_file() {
    let folder = tempdir().unwrap();
    let [input, output] = ["in", "out"].map(|name| folder.path().join(name));
    write(&input, ("stage2.1.conv2.bn", -4.0));
    let [from, to] = [&input, &output].map(|path| path.to_str().unwrap());
    let cases: [&[&str]; 3] = [
        &["fold", from, to],
        &["bench", "--weights", from],
        &["compare", "--models", "resnet50", "--weights", &format!("resnet50={from}")],
    ];
    for args in cases {
        let error = mixfold(args).failure(1);
        let expected =
            format!("{from}: stage2.1.conv2.bn: channel 0 of a batch norm has variance -4 ");
        assert!(error.starts_with(&expected), "{error}");
    }
    assert!(!output.exists());
}
