//! Pickles of state dicts, read without executing anything.
//!
//! A pickle is a program for a machine with a stack: opcodes push numbers and strings, gather them
//! into tuples, lists and dicts, import classes and functions (`GLOBAL`) and call them (`REDUCE`).
//! Here the machine has the opcodes that `torch.save` writes for state dicts, in protocols 1 to 5, and
//! of globals those that make tensors and ordered dicts, as values of an enum: a name that is not
//! listed is an error before anything else is done with it.
//!
//! One class more is known by name, `argparse.Namespace`: training scripts put their arguments beside
//! the weights. It becomes a value in which nothing is looked up. Its attributes are read like any
//! other dict, so that what is not accepted elsewhere is not accepted in them.
//!
//! No step recurses. The stack and open containers have fixed limits. What is kept grows with the
//! pickle's length, by no more than 96 bytes for each of its own: a string is a slice of it, lists are
//! checked but not kept, nor are values under keys that are no strings.

mod calls;
mod error;
mod input;
mod machine;
mod opcode;

use super::Dtype;

pub use error::PickleError;

/// The longest pickle read: that of more than 100,000 tensors.
pub(super) const LONGEST: u64 = 16 << 20;

/// A pickle that has been read.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    pub(super) root: Value<'a>,
    objects: Vec<Object<'a>>,
    items: Vec<Item<'a>>,
}

/// A value of a dict under a key that is a string.
#[derive(Debug)]
struct Item<'a> {
    /// The dict's place among the objects.
    dict: usize,
    key: &'a str,
    value: Value<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    None,
    Bool,
    Int(i64),
    /// A float, or an integer of more than 64 bits.
    Number,
    Str(&'a str),
    List,
    /// One of the objects, by its place.
    Object(usize),
}

/// What several values may refer to.
#[derive(Debug)]
enum Object<'a> {
    Tuple(Box<[Value<'a>]>),
    /// Its values are in one list with those of all others.
    Dict,
    /// Arguments of a training script, whatever they are.
    Namespace,
    Global(Global),
    Storage(Box<Storage<'a>>),
    Tensor(Box<Tensor<'a>>),
}

/// The classes and functions that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Size,
    Namespace,
    /// Makes an object of a class, in protocol 1.
    Reconstructor,
    /// What [`Reconstructor`](Self::Reconstructor) calls the base of all classes.
    BaseObject,
    Storage(Element),
}

/// The type of a storage's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    /// Its name in PyTorch.
    name: &'static str,
    pub(super) bytes: usize,
}

/// A member of the archive with elements of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Storage<'a> {
    pub(super) element: Element,
    /// The member's name within the folder `data`.
    pub(super) key: &'a str,
    pub(super) elements: u64,
}

/// A view of a storage, not checked against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tensor<'a> {
    pub(super) storage: Storage<'a>,
    /// The first element.
    pub(super) offset: u64,
    pub(super) shape: Vec<usize>,
    /// One for each dimension, in elements.
    pub(super) strides: Vec<usize>,
}

impl<'a> Pickle<'a> {
    /// Reads all of `bytes`.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, PickleError> {
        machine::run(bytes)
    }

    /// The values of a dict under its keys that are strings, in the order in which they were put
    /// there.
    pub(super) fn dict(
        &self,
        value: Value<'a>,
    ) -> Option<impl Iterator<Item = (&'a str, Value<'a>)> + Clone> {
        let Value::Object(place) = value else { return None };
        let Object::Dict = self.objects[place] else { return None };
        let items = self.items.iter().filter(move |item| item.dict == place);
        Some(items.map(|item| (item.key, item.value)))
    }

    pub(super) fn tensor(&self, value: Value<'a>) -> Option<&Tensor<'a>> {
        let Value::Object(place) = value else { return None };
        let Object::Tensor(tensor) = &self.objects[place] else { return None };
        Some(tensor)
    }

    pub(super) fn kind(&self, value: Value<'a>) -> &'static str {
        kind(&self.objects, value)
    }
}

/// What `value` is, in words.
fn kind(objects: &[Object<'_>], value: Value<'_>) -> &'static str {
    match value {
        Value::None => "None",
        Value::Bool => "a boolean",
        Value::Int(_) | Value::Number => "a number",
        Value::Str(_) => "a string",
        Value::List => "a list",
        Value::Object(place) => match &objects[place] {
            Object::Tuple(_) => "a tuple",
            Object::Dict => "a dict",
            Object::Namespace => "an argparse.Namespace",
            Object::Global(_) => "a class or function",
            Object::Storage(_) => "a storage",
            Object::Tensor(_) => "a tensor",
        },
    }
}

impl Global {
    fn find(module: &str, name: &str) -> Option<Self> {
        let element = |name, bytes| Some(Self::Storage(Element { name, bytes }));
        match (module, name) {
            ("collections", "OrderedDict") => Some(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Some(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Some(Self::RebuildParameter),
            ("torch", "Size") => Some(Self::Size),
            ("argparse", "Namespace") => Some(Self::Namespace),
            ("copy_reg" | "copyreg", "_reconstructor") => Some(Self::Reconstructor),
            ("__builtin__" | "builtins", "object") => Some(Self::BaseObject),
            ("torch", "HalfStorage") => element("float16", 2),
            ("torch", "BFloat16Storage") => element("bfloat16", 2),
            ("torch", "FloatStorage") => element("float32", 4),
            ("torch", "DoubleStorage") => element("float64", 8),
            ("torch", "BoolStorage") => element("bool", 1),
            ("torch", "ByteStorage") => element("uint8", 1),
            ("torch", "CharStorage") => element("int8", 1),
            ("torch", "ShortStorage") => element("int16", 2),
            ("torch", "IntStorage") => element("int32", 4),
            ("torch", "LongStorage") => element("int64", 8),
            ("torch", "ComplexFloatStorage") => element("complex64", 8),
            ("torch", "ComplexDoubleStorage") => element("complex128", 16),
            _ => None,
        }
    }
}

impl Element {
    pub(super) fn dtype(self) -> Dtype {
        match self.name {
            "float16" => Dtype::F16,
            "bfloat16" => Dtype::Bf16,
            "float32" => Dtype::F32,
            "float64" => Dtype::F64,
            name => Dtype::Other(name.to_owned()),
        }
    }
}
