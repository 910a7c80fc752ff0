//! Pickles that are no state dicts: each is refused by name, and nothing that it asks for is done.

use mixfold_model::checkpoint::{CheckpointError, PickleError};

use crate::write::{View, call, dict, file, global, int, namespace, pickle, text, tuple, vector};
use crate::{floats, open, refuse, refuse_pickle, store};

/// All that the machine obeys, in the order of their codes.
const ACCEPTED: &[u8] = b"().GIJKLMNQRX]abcehjqrstu}\
    \x80\x81\x85\x86\x87\x88\x89\x8a\x8c\x93\x94\x95";

/// The others of Python's protocols 0 to 5.
const REFUSED: &[u8] = b"012BCFPSTUVdgilop\
    \x82\x83\x84\x8b\x8d\x8e\x8f\x90\x91\x92\x96\x97\x98";

#[test]
fn every_other_opcode() {
    let mut named = 0;
    for code in 0..=u8::MAX {
        let bytes = [b"\x80\x02", &[code][..], &[b'1'; 20], b"\nN."].concat();
        let error = refuse_pickle(&bytes);
        if ACCEPTED.contains(&code) {
            let obeyed = !matches!(error, PickleError::Opcode { offset: 2, .. });
            assert!(obeyed, "{code:#04x}: {error:?}");
            continue;
        }
        let PickleError::Opcode { code: found, name, offset: 2 } = error else {
            panic!("{code:#04x}: {error:?}")
        };
        assert_eq!(found, code);
        assert_eq!(name != "unknown", REFUSED.contains(&code), "{code:#04x}");
        named += usize::from(name != "unknown");
    }
    assert_eq!((ACCEPTED.len(), named), (38, 30));
}

#[test]
fn calls_of_the_system() {
    let (directory, path) = store(b"");
    let mark = directory.path().join("executed");
    let command = format!("touch {}", mark.display());
    // As Python writes `os.system(command)` on Unix, on Windows, and by other roads.
    let calls = [
        ("posix", "system"),
        ("nt", "system"),
        ("os", "system"),
        ("subprocess", "check_output"),
        ("builtins", "eval"),
        ("__builtin__", "exec"),
        ("torch.utils.collect_env", "run"),
        ("torch", "load"),
        ("collections", "OrderedDict.__init__"),
        ("", ""),
    ];
    for (module, name) in calls {
        let attack = call(global(module, name), [text(&command)]);
        let arguments = || dict([("lr", int(1)), ("run", attack.clone())]);
        for value in [
            dict([("model", dict([("w", vector("0", 1))])), ("args", namespace(arguments()))]),
            attack.clone(),
            dict([("w", vector("0", 1)), ("v", attack.clone())]),
            dict([("epoch", attack.clone()), ("model", dict([("w", vector("0", 1))]))]),
        ] {
            let error = refuse(&file(&value, &[("0", &floats(&[1.0]))]));
            let CheckpointError::Pickle { source, .. } = &error else { panic!("{error:?}") };
            let PickleError::Global { module: from, name: what, offset } = source else {
                panic!("{error:?}")
            };
            assert_eq!((from.as_str(), what.as_str()), (module, name));
            let place = value.windows(attack.len()).position(|part| part == attack).unwrap();
            assert_eq!(*offset, 2 + place);
            assert!(error.to_string().contains(&format!("`{module}.{name}`")), "{error}");
        }
    }
    // The name put together on the stack.
    let named =
        [text("posix"), text("system"), b"\x93".to_vec(), text(&command), b"\x85R".to_vec()];
    let expected =
        PickleError::Global { module: "posix".into(), name: "system".into(), offset: 2 + 10 + 11 };
    assert_eq!(refuse_pickle(&pickle(&named.concat())), expected);
    // The text form, and an object's own way of being made.
    let text_form = format!("cos\nsystem\n(S'{command}'\ntR.");
    assert!(matches!(refuse_pickle(text_form.as_bytes()), PickleError::Global { .. }));
    let instance = format!("(S'{command}'\nios\nsystem\n.");
    assert!(matches!(refuse_pickle(instance.as_bytes()), PickleError::Opcode { code: b'S', .. }));
    let instance = pickle(b"(ios\nsystem\n");
    let expected = PickleError::Opcode { code: b'i', name: "INST", offset: 3 };
    assert_eq!(refuse_pickle(&instance), expected);
    assert!(!mark.exists());
    drop(path);
}

#[test]
fn other_classes() {
    for (module, name) in [
        ("argparse", "ArgumentParser"),
        ("argparse", "Namespace.__init__"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
        ("_codecs", "encode"),
        ("pathlib", "PosixPath"),
        ("builtins", "getattr"),
        ("__builtin__", "set"),
        ("copy_reg", "__newobj__"),
        ("torch", "float32"),
        ("numpy", "dtype"),
        ("torch._utils", "_rebuild_tensor"),
        ("torch._utils", "_rebuild_tensor_v3"),
        ("torch._utils", "_rebuild_parameter_with_state"),
        ("torch.nn.modules.linear", "Linear"),
        ("torch", "QInt8Storage"),
        ("torch", "device"),
        ("collections", "defaultdict"),
    ] {
        let error = refuse_pickle(&pickle(&global(module, name)));
        let expected = PickleError::Global { module: module.into(), name: name.into(), offset: 2 };
        assert_eq!(error, expected);
        let again = "torch.save(torch.load(FILE, weights_only=False)['model'], NEW)";
        assert!(error.to_string().contains(again), "{error}");
    }
    // A name cannot act on a terminal.
    let error = refuse_pickle(&pickle(&global("a\x1b[2J", "b\r")));
    assert!(matches!(error, PickleError::Global { .. }));
}

/// Globals that are accepted, in places where they are not.
#[test]
fn calls_of_what_is_accepted() {
    let ordered = || global("collections", "OrderedDict");
    let rebuild = || global("torch._utils", "_rebuild_tensor_v2");
    let storage = || global("torch", "FloatStorage");
    let id = |parts: [Vec<u8>; 5]| [tuple(parts), b"Q".to_vec()].concat();
    let good = || id([text("storage"), storage(), text("0"), text("cpu"), int(1)]);
    let numbers = |n: usize| tuple((0..n).map(|_| int(1)));
    let rest = || [b"\x89".to_vec(), b"}".to_vec()];
    let class = || global("argparse", "Namespace");
    let object = || global("builtins", "object");
    let reconstruct = |parts: [Vec<u8>; 3]| call(global("copyreg", "_reconstructor"), parts);
    let none = || b"N".to_vec();
    let new = |class: Vec<u8>, arguments| [class, tuple(arguments), b"\x81".to_vec()].concat();
    let tensor = |parts: [Vec<u8>; 4]| call(rebuild(), parts.into_iter().chain(rest()));
    for value in [
        call(ordered(), [int(1)]),
        call(storage(), []),
        call(rebuild(), []),
        call(rebuild(), [good(), int(0), numbers(1), numbers(1)]),
        call(global("torch", "Size"), [int(3)]),
        call(global("torch", "Size"), []),
        call(global("torch._utils", "_rebuild_parameter"), [int(1), int(1), int(1)]),
        call(int(1), []),
        call(text("os.system"), [text("true")]),
        [ordered(), int(1), b"R".to_vec()].concat(),
        tensor([int(1), int(0), numbers(1), numbers(1)]),
        tensor([storage(), int(0), numbers(1), numbers(1)]),
        tensor([good(), int(-1), numbers(1), numbers(1)]),
        tensor([good(), text("0"), numbers(1), numbers(1)]),
        tensor([good(), int(0), int(1), numbers(1)]),
        tensor([good(), int(0), tuple([int(-1)]), numbers(1)]),
        tensor([good(), int(0), numbers(1), tuple([int(i64::MIN)])]),
        tensor([good(), int(0), numbers(2), numbers(1)]),
        tensor([good(), int(0), tuple([text("1")]), numbers(1)]),
        id([text("module"), storage(), text("0"), text("cpu"), int(1)]),
        id([text("storage"), ordered(), text("0"), text("cpu"), int(1)]),
        id([text("storage"), text("FloatStorage"), text("0"), text("cpu"), int(1)]),
        id([text("storage"), storage(), int(0), text("cpu"), int(1)]),
        id([text("storage"), storage(), text("0"), text("cpu"), int(-1)]),
        [int(0), b"Q".to_vec()].concat(),
        // Objects of other classes, or made with arguments.
        call(class(), []),
        call(class(), [dict([])]),
        call(object(), []),
        new(object(), vec![]),
        new(ordered(), vec![]),
        new(text("argparse.Namespace"), vec![]),
        new(class(), vec![int(1)]),
        [class(), int(1), b"\x81".to_vec()].concat(),
        reconstruct([class(), class(), none()]),
        reconstruct([object(), object(), none()]),
        reconstruct([ordered(), object(), none()]),
        reconstruct([class(), object(), int(1)]),
        call(global("copyreg", "_reconstructor"), [class(), object()]),
        [new(class(), vec![]), b"Nb".to_vec()].concat(),
        [new(class(), vec![]), b"N}\x86b".to_vec()].concat(),
        [class(), b"}b".to_vec()].concat(),
        // Attributes of what is no dict, or that are none.
        [ordered(), b"}b".to_vec()].concat(),
        b"}Nb".to_vec(),
        b"]}b".to_vec(),
    ] {
        let error = refuse_pickle(&pickle(&value));
        assert!(matches!(error, PickleError::Expected { .. }), "{error:?}: {value:?}");
    }
}

/// Opcodes that find too little or something else, and ends too early or too late.
#[test]
fn programs_that_make_no_sense() {
    for value in [
        &b""[..],
        b"NN",
        b"(",
        b"N(",
        b"R",
        b"NR",
        b"b",
        b"}b",
        b"s",
        b"}Ns",
        b"}NNNs",
        b"u",
        b"(u",
        b"}(Nu",
        b"](NNu",
        b"e",
        b"(e",
        b"N(Ne",
        b"a",
        b"]a",
        b"}Na",
        b"t",
        b"\x85",
        b"N\x86",
        b"NN\x87",
        b"N(N\x86t",
        b"q\x00",
        b"(q\x00",
        b"N(q\x00",
        b"Q",
        b"}N(s",
        b"}(s",
        b"\x94",
        b"(\x94",
        b"\x81",
        b"N\x81",
        b"\x93",
        b"NN\x93",
        b"X\x01\x00\x00\x00aN\x93",
        b"I\n",
        b"I-\n",
        b"I1.5\n",
        b"I0x1\n",
        b"L\n",
        b"LL\n",
        b"L1LL\n",
        b"L+1L\n",
    ] {
        let error = refuse_pickle(&pickle(value));
        assert!(matches!(error, PickleError::Expected { .. }), "{error:?}: {value:?}");
    }
    for value in
        [&b"h\x00"[..], b"j\xff\xff\xff\xff", b"Nq\x01", b"Nr\xff\xff\xff\xff", b"Nq\x00h\x01"]
    {
        let error = refuse_pickle(&pickle(value));
        assert!(matches!(error, PickleError::Memo { .. }), "{error:?}: {value:?}");
    }
    let error = refuse_pickle(&pickle(b"X\x02\x00\x00\x00\xff\xfe"));
    assert_eq!(error, PickleError::Text { offset: 2 });
    let error = refuse_pickle(&pickle(b"\x8c\x02\xff\xfe"));
    assert_eq!(error, PickleError::Text { offset: 2 });
    assert_eq!(refuse_pickle(&pickle(b"c\xff\nx\n")), PickleError::Text { offset: 2 });
    assert_eq!(refuse_pickle(b"\x80\x02}.}"), PickleError::Trailing { offset: 4, length: 1 });
    for version in [0, 1, 6, 255] {
        let error = refuse_pickle(&[0x80, version, b'}', b'.']);
        assert_eq!(error, PickleError::Protocol { version, offset: 0 });
    }
    // Lengths beyond the end.
    for value in [
        &b"X\xff\xff\xff\xff"[..],
        b"\x8a\xff",
        b"G1",
        b"J",
        b"K",
        b"M\x00",
        b"cos",
        b"cos\nsys",
        b"\x8c",
        b"\x8c\x02a",
        b"I1",
        b"L1L",
        b"\x95\x01",
        b"\x95\x01\x00\x00\x00\x00\x00\x00\x00",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\xff.",
    ] {
        let error = refuse_pickle(&[b"\x80\x02", value].concat());
        assert_eq!(error, PickleError::End { offset: 2 }, "{value:?}");
    }
    assert_eq!(refuse_pickle(b""), PickleError::End { offset: 0 });
    let whole = pickle(&dict([("w", vector("0", 1))]));
    for length in 0..whole.len() {
        let error = refuse_pickle(&whole[..length]);
        assert!(matches!(error, PickleError::End { .. }), "{length}: {error:?}");
    }
}

#[test]
fn depths_and_widths() {
    let limit = |value: &[u8]| match refuse_pickle(&pickle(value)) {
        PickleError::Limit { what, .. } => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(limit(&b"(".repeat(100_000)), "open containers");
    assert_eq!(limit(&b"}X\x01\x00\x00\x00a(".repeat(100_000)), "open containers");
    assert_eq!(limit(&b"N".repeat(100_000)), "values on the stack");
    assert_eq!(limit(&b"]".repeat(100_000)), "values on the stack");
    assert_eq!(limit(&[b"N".to_vec(), b"\x85".repeat(1_000_000)].concat()), "objects");
    assert_eq!(limit(&b"}".repeat(1000)), "objects");
    let item = [text("key"), b"Ns".to_vec()].concat();
    assert_eq!(limit(&[b"}".to_vec(), item.repeat(150_000)].concat()), "values in dicts");
    let (storage, key, elements, offset) = ("FloatStorage", "0", 1, 0);
    let view = View { storage, key, elements, offset, shape: &[1; 17], strides: &[1; 17] };
    assert_eq!(limit(&view.tensor()), "dimensions");
    assert_eq!(limit(&[b"c".to_vec(), b"a".repeat(1000)].concat()), "bytes of a name");
    assert_eq!(limit(&[b"I".to_vec(), b"1".repeat(1000)].concat()), "bytes of a name");
    let long = text(&"a".repeat(257));
    assert_eq!(limit(&[text("a"), long.clone(), b"\x93".to_vec()].concat()), "bytes of a name");
    assert_eq!(limit(&[long, text("a"), b"\x93".to_vec()].concat()), "bytes of a name");
    assert_eq!(
        limit(&[b"ca\n".to_vec(), b"b".repeat(257), b"\n".to_vec()].concat()),
        "bytes of a name"
    );

    // As deep as the pickle is long, and no trouble: nothing recurses, not even to free it.
    let tuples = [b"N".to_vec(), b"\x85q\x00".repeat(200_000)].concat();
    let padding = text(&" ".repeat(300_000));
    let model = dict([("w", vector("0", 1))]);
    let deep = dict([("model", model), ("deep", tuples), ("padding", padding)]);
    let (_directory, opened) = open(&file(&deep, &[("0", &floats(&[1.0]))])).unwrap();
    assert_eq!(opened.names().collect::<Vec<_>>(), ["w"]);
}
