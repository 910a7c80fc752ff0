//! Where a state dict is found, and under which names.

use mixfold_model::checkpoint::CheckpointError;

use crate::write::{archive, call, dict, file, global, int, list, namespace, text, tuple, vector};
use crate::{floats, open, read, refuse};

/// A file with two storages, of one number each.
fn with(value: &[u8]) -> Vec<u8> {
    file(value, &[("0", &floats(&[1.0])), ("1", &floats(&[2.0]))])
}

fn first() -> Vec<u8> {
    vector("0", 1)
}

fn second() -> Vec<u8> {
    vector("1", 1)
}

#[track_caller]
fn contents(file: &[u8]) -> Vec<(String, f32)> {
    let (_directory, mut file) = open(file).unwrap();
    let names: Vec<String> = file.names().map(str::to_owned).collect();
    names.into_iter().map(|name| (name.clone(), read(&mut file, &name)[0])).collect()
}

#[track_caller]
fn check(value: &[u8], expected: &[(&str, f32)]) {
    check_file(&with(value), expected);
}

/// The same of a whole pickle.
#[track_caller]
fn check_pickle(pickle: &[u8], expected: &[(&str, f32)]) {
    let (one, two) = (floats(&[1.0]), floats(&[2.0]));
    let members = [("a/data.pkl", pickle), ("a/data/0", &one), ("a/data/1", &two)];
    check_file(&archive(members, zip::CompressionMethod::Stored), expected);
}

#[track_caller]
fn check_file(file: &[u8], expected: &[(&str, f32)]) {
    let found = contents(file);
    let found: Vec<(&str, f32)> =
        found.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(found, expected);
}

#[test]
fn wrappers_in_their_order() {
    let one = || dict([("w", first())]);
    let two = || dict([("w", second())]);
    check(&dict([("w", first()), ("v", second())]), &[("v", 2.0), ("w", 1.0)]);
    check(b"}", &[]);
    for wrapper in ["model", "state_dict", "model_ema"] {
        check(&dict([("epoch", int(1)), (wrapper, two())]), &[("w", 2.0)]);
    }
    check(&dict([("model_ema", one()), ("model", two())]), &[("w", 2.0)]);
    check(&dict([("state_dict", one()), ("model", two())]), &[("w", 2.0)]);
    check(&dict([("model_ema", one()), ("state_dict", two())]), &[("w", 2.0)]);
    // What is no dict is passed over.
    check(&dict([("model", text("mixer")), ("model_ema", two())]), &[("w", 2.0)]);
    check(&dict([("model", b"N".to_vec()), ("state_dict", two())]), &[("w", 2.0)]);
    // A tensor may be called so.
    check(
        &dict([("model", first()), ("state_dict", second())]),
        &[("model", 1.0), ("state_dict", 2.0)],
    );
}

#[test]
fn names_of_data_parallel() {
    check(
        &dict([("module.w", first()), ("module.module.v", second())]),
        &[("module.v", 2.0), ("w", 1.0)],
    );
    check(&dict([("module.w", first()), ("v", second())]), &[("module.w", 1.0), ("v", 2.0)]);
    check(&dict([("model", dict([("module.w", first())]))]), &[("w", 1.0)]);
}

#[test]
fn everything_that_checkpoints_of_training_hold() {
    let group = dict([
        ("lr", b"G?\xb9\x99\x99\x99\x99\x99\x9a".to_vec()),
        ("betas", b"NN\x86".to_vec()),
        ("params", list([int(0), int(1)])),
    ]);
    // Keys that are numbers; numbers of every length.
    let state = [b"}K\x00".to_vec(), dict([("step", first())]), b"s".to_vec()].concat();
    let long = [&b"\x8a\x09"[..], &[1; 9]].concat();
    let size = call(global("torch", "Size"), [tuple([int(2), int(3)])]);
    let parameter =
        call(global("torch._utils", "_rebuild_parameter"), [first(), b"\x88".into(), b"N".into()]);
    let value = dict([
        ("epoch", b"M\x00\x01".to_vec()),
        ("long", long),
        ("none", b"\x8a\x00".to_vec()),
        ("size", size),
        ("flags", b"\x88\x89\x86".to_vec()),
        ("one", b"N\x85".to_vec()),
        ("three", b"NNN\x87".to_vec()),
        ("empty", b")".to_vec()),
        ("list", b"]Na".to_vec()),
        ("optimizer", dict([("param_groups", list([group])), ("state", state)])),
        ("model", dict([("w", parameter)])),
    ]);
    check(&value, &[("w", 1.0)]);
}

#[test]
fn values_that_are_remembered() {
    // A dict is put down before it is filled.
    let value = [
        b"}".to_vec(),
        text("model"),
        b"}q\x00r\x01\x00\x00\x00".to_vec(),
        text("w"),
        first(),
        b"ss".to_vec(),
        text("again"),
        b"h\x01s".to_vec(),
    ];
    check(&value.concat(), &[("w", 1.0)]);
    let value = [
        b"}".to_vec(),
        text("a"),
        first(),
        b"q\x00s".to_vec(),
        text("b"),
        b"j\x00\x00\x00\x00s".to_vec(),
    ];
    check(&value.concat(), &[("a", 1.0), ("b", 1.0)]);
    // A dict that holds itself.
    let value = [b"}q\x00".to_vec(), text("self"), b"h\x00s".to_vec()].concat();
    let error = refuse(&with(&value));
    let CheckpointError::NoTensor { name, found: "a dict", .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(name, "self");
}

/// Arguments beside the weights are passed over, whatever they are called and hold.
#[test]
fn namespaces() {
    let state = || dict([("w", first())]);
    let model = || dict([("model", dict([("w", second())]))]);
    check(&dict([("args", namespace(model())), ("model", state())]), &[("w", 1.0)]);
    check(&dict([("model", namespace(model())), ("state_dict", state())]), &[("w", 1.0)]);
    let nested = namespace(dict([("model", namespace(model()))]));
    check(&dict([("model", state()), ("args", nested)]), &[("w", 1.0)]);
    for base in ["__builtin__", "builtins"] {
        for module in ["copy_reg", "copyreg"] {
            let parts = [global("argparse", "Namespace"), global(base, "object"), b"N".to_vec()];
            let empty = call(global(module, "_reconstructor"), parts);
            let full = [empty.clone(), model(), b"b".to_vec()].concat();
            check(&dict([("a", empty), ("b", full), ("model", state())]), &[("w", 1.0)]);
        }
    }
    for (value, key) in [
        (dict([("w", first()), ("args", namespace(model()))]), "args"),
        (dict([("model", dict([("w", namespace(state()))]))]), "w"),
    ] {
        let error = refuse(&with(&value));
        let CheckpointError::NoTensor { name, found, .. } = &error else { panic!("{error:?}") };
        assert_eq!((name.as_str(), *found), (key, "an argparse.Namespace"));
    }
    let error = refuse(&with(&namespace(state())));
    let CheckpointError::NoStateDict { found, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*found, "an argparse.Namespace");
}

/// What `torch.save` writes when it is asked for another protocol than 2.
#[test]
fn other_protocols() {
    let text =
        |value: &str| [b"\x8c", &[value.len() as u8][..], value.as_bytes(), b"\x94"].concat();
    let named = [text("w"), first(), b"\x94s".to_vec(), text("v"), b"h\x01s".to_vec()];
    let named = [b"}".to_vec(), named.concat()].concat();
    for version in [3, 4, 5] {
        let pickle =
            [b"\x80", &[version, 0x95][..], &(named.len() as u64 + 1).to_le_bytes(), &named, b"."];
        check_pickle(&pickle.concat(), &[("v", 1.0), ("w", 1.0)]);
    }
    let numbers = b"}(X\x01\x00\x00\x00aI00\nX\x01\x00\x00\x00bI-7\nX\x01\x00\x00\x00cL-12345678901234567890L\nu";
    let value =
        [&b"}X\x01\x00\x00\x00n"[..], numbers, b"sX\x05\x00\x00\x00model}X\x01\x00\x00\x00w"];
    let pickle = [value.concat(), first(), b"ss.".to_vec()].concat();
    check_pickle(&pickle, &[("w", 1.0)]);
}

#[test]
fn attributes_of_ordered_dicts() {
    let ordered = call(global("collections", "OrderedDict"), []);
    let metadata = dict([("_metadata", dict([("", dict([("version", int(1))]))]))]);
    let value = [ordered, text("w"), first(), b"s".to_vec(), metadata, b"b".to_vec()].concat();
    check(&value, &[("w", 1.0)]);
}

#[test]
fn no_state_dict() {
    for (value, what) in [
        (b"N".to_vec(), "None"),
        (int(3), "a number"),
        (text("weights"), "a string"),
        (list([first()]), "a list"),
        (tuple([first()]), "a tuple"),
        (first(), "a tensor"),
        (b"\x88".to_vec(), "a boolean"),
        (global("torch", "Size"), "a class or function"),
    ] {
        let error = refuse(&with(&value));
        let CheckpointError::NoStateDict { found, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*found, what);
    }
    let unknown = dict([("net", dict([("w", first())])), ("epoch", int(1))]);
    for (value, key, what) in [
        (unknown, "net", "a dict"),
        (dict([("w", first()), ("epoch", int(1))]), "epoch", "a number"),
        (dict([("model", dict([("w", first()), ("extra", text("x"))]))]), "extra", "a string"),
    ] {
        let error = refuse(&with(&value));
        let CheckpointError::NoTensor { name, found, .. } = &error else { panic!("{error:?}") };
        assert_eq!((name.as_str(), *found), (key, what));
    }
    let error = refuse(&with(&dict([("w", first()), ("w", second())])));
    let CheckpointError::Duplicate { tensor, .. } = &error else { panic!("{error:?}") };
    assert_eq!(tensor, "w");
}
