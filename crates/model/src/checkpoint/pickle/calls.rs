//! What a pickle imports and calls.

use super::input::NAME;
use super::machine::Machine;
use super::{Global, Object, PickleError, Storage, Tensor, Value};

/// Dimensions of a tensor.
const RANK: usize = 16;

impl<'a> Machine<'a> {
    /// `GLOBAL`: module and name in two lines.
    pub(super) fn global(&mut self) -> Result<(), PickleError> {
        let (module, name) = (self.input.line()?, self.input.line()?);
        self.import(module, name)
    }

    /// `STACK_GLOBAL`: module and name on the stack.
    pub(super) fn stack_global(&mut self) -> Result<(), PickleError> {
        let (name, module) = (self.pop()?, self.pop()?);
        let [module, name] = [module, name].map(|value| match value {
            Value::Str(text) if text.len() <= NAME => Ok(text),
            Value::Str(_) => Err(self.limit("bytes of a name", NAME)),
            found => Err(self.expected("the name of a class or function", found)),
        });
        self.import(module?, name?)
    }

    fn import(&mut self, module: &str, name: &str) -> Result<(), PickleError> {
        match Global::find(module, name) {
            Some(global) => self.make(Object::Global(global)),
            None => {
                let (module, name) = (module.to_owned(), name.to_owned());
                Err(PickleError::Global { module, name, offset: self.input.offset })
            }
        }
    }

    fn object_of(&self, value: Value<'a>) -> Option<&Object<'a>> {
        match value {
            Value::Object(place) => Some(&self.objects[place]),
            _ => None,
        }
    }

    fn tuple_of(&self, value: Value<'a>) -> Result<&[Value<'a>], PickleError> {
        match self.object_of(value) {
            Some(Object::Tuple(values)) => Ok(values),
            _ => Err(self.expected("a tuple", value)),
        }
    }

    fn size_of(&self, value: Value<'a>) -> Result<u64, PickleError> {
        match value {
            Value::Int(size) if size >= 0 => Ok(size.unsigned_abs()),
            found => Err(self.expected("a size, not negative", found)),
        }
    }

    fn sizes_of(&self, value: Value<'a>) -> Result<Vec<usize>, PickleError> {
        let values = self.tuple_of(value)?;
        if values.len() > RANK {
            return Err(self.limit("dimensions", RANK));
        }
        let values = values.iter();
        values
            .map(|&value| Ok(usize::try_from(self.size_of(value)?).unwrap_or(usize::MAX)))
            .collect()
    }

    /// `('storage', type of storage, key, device, number of elements)`
    pub(super) fn storage(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let &[Value::Str("storage"), kind, Value::Str(key), Value::Str(_), elements] =
            self.tuple_of(id)?
        else {
            return Err(self.expected("the five parts of a storage's id", id));
        };
        let Some(&Object::Global(Global::Storage(element))) = self.object_of(kind) else {
            return Err(self.expected("a type of storage", kind));
        };
        let elements = self.size_of(elements)?;
        self.make(Object::Storage(Box::new(Storage { element, key, elements })))
    }

    /// Does what the call of a global would do, if that makes a tensor, a dict or an empty namespace.
    pub(super) fn reduce(&mut self) -> Result<(), PickleError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Some(&Object::Global(global)) = self.object_of(function) else {
            return Err(self.expected("a function", function));
        };
        let values = self.tuple_of(arguments)?;
        match (global, values) {
            (Global::OrderedDict, []) => self.make(Object::Dict),
            // Class, base and the base's state.
            (Global::Reconstructor, &[class, base, Value::None])
                if self.is(class, Global::Namespace) && self.is(base, Global::BaseObject) =>
            {
                self.make(Object::Namespace)
            }
            (Global::Size, &[size]) => {
                self.tuple_of(size)?;
                self.push(size)
            }
            // Whether it needs a gradient, and its hooks.
            (Global::RebuildParameter, &[tensor, _, _]) => match self.object_of(tensor) {
                Some(Object::Tensor(_)) => self.push(tensor),
                _ => Err(self.expected("a tensor", tensor)),
            },
            // The same, and sometimes metadata.
            (
                Global::RebuildTensor,
                &[storage, offset, shape, strides, _, _]
                | &[storage, offset, shape, strides, _, _, _],
            ) => {
                let Some(Object::Storage(found)) = self.object_of(storage) else {
                    return Err(self.expected("a storage", storage));
                };
                let storage = **found;
                let offset = self.size_of(offset)?;
                let (shape, dimensions) = (self.sizes_of(shape)?, strides);
                let strides = self.sizes_of(strides)?;
                if shape.len() != strides.len() {
                    return Err(self.expected("as many strides as dimensions", dimensions));
                }
                self.make(Object::Tensor(Box::new(Tensor { storage, offset, shape, strides })))
            }
            _ => Err(self.expected("the arguments of that function", arguments)),
        }
    }

    fn is(&self, value: Value<'a>, global: Global) -> bool {
        matches!(self.object_of(value), Some(&Object::Global(found)) if found == global)
    }

    /// Makes an empty namespace; no other class is made in this way.
    pub(super) fn new_object(&mut self) -> Result<(), PickleError> {
        let (arguments, class) = (self.pop()?, self.pop()?);
        if !self.is(class, Global::Namespace) {
            return Err(self.expected("the class argparse.Namespace", class));
        }
        match self.tuple_of(arguments)? {
            [] => self.make(Object::Namespace),
            _ => Err(self.expected("no arguments", arguments)),
        }
    }

    /// An `OrderedDict` may have attributes, which do not matter: PyTorch's `_metadata`. Those of a
    /// namespace do not either.
    pub(super) fn build(&mut self) -> Result<(), PickleError> {
        let (attributes, target) = (self.pop()?, self.top()?);
        self.dict(attributes)?;
        match self.object_of(target) {
            Some(Object::Dict | Object::Namespace) => Ok(()),
            _ => Err(self.expected("a dict or a namespace", target)),
        }
    }
}
