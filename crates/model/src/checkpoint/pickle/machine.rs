//! The machine that a pickle is a program for.

use super::input::Input;
use super::opcode::{self, accepted as op};
use super::{Item, Object, Pickle, PickleError, Value, kind};

/// Values on the stack. Python's pickler puts down the items of a dict a thousand at a time.
const STACK: usize = 1 << 16;

/// Containers that are open at once.
const DEPTH: usize = 64;

/// Values in all dicts together. A tensor of a checkpoint of training comes with about eight.
const ITEMS: usize = 1 << 17;

/// The bytes of a pickle in which no more than one object is made. Python's pickler takes five or more
/// for each of a tensor's.
const BYTES_PER_OBJECT: usize = 4;

pub(super) fn run(bytes: &[u8]) -> Result<Pickle<'_>, PickleError> {
    let mut machine = Machine {
        input: Input { bytes, position: 0, offset: 0 },
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        objects: Vec::new(),
        items: Vec::new(),
    };
    while !machine.step()? {}
    let Machine { input: Input { position, offset, .. }, mut stack, marks, objects, items, .. } =
        machine;
    let root = match (stack.pop(), stack.is_empty() && marks.is_empty()) {
        (Some(root), true) => root,
        (found, _) => {
            let found = if found.is_none() { "none" } else { "more" };
            return Err(PickleError::Expected { expected: "one value in the end", found, offset });
        }
    };
    match bytes.len() - position {
        0 => Ok(Pickle { root, objects, items }),
        length => Err(PickleError::Trailing { offset: position, length }),
    }
}

pub(super) struct Machine<'a> {
    pub(super) input: Input<'a>,
    stack: Vec<Value<'a>>,
    /// Heights of the stack where containers begin.
    marks: Vec<usize>,
    memo: Vec<Value<'a>>,
    pub(super) objects: Vec<Object<'a>>,
    items: Vec<Item<'a>>,
}

impl<'a> Machine<'a> {
    /// Obeys the next opcode. Returns whether it was the last.
    fn step(&mut self) -> Result<bool, PickleError> {
        self.input.begin();
        let [code] = self.input.array()?;
        match code {
            op::PROTO => self.protocol()?,
            op::FRAME => self.frame()?,
            op::STOP => return Ok(true),
            op::NONE => self.push(Value::None)?,
            op::NEWTRUE | op::NEWFALSE => self.push(Value::Bool)?,
            op::BININT => {
                let value = i32::from_le_bytes(self.input.array()?);
                self.push(Value::Int(value.into()))?;
            }
            op::BININT1 => {
                let [value] = self.input.array()?;
                self.push(Value::Int(value.into()))?;
            }
            op::BININT2 => {
                let value = u16::from_le_bytes(self.input.array()?);
                self.push(Value::Int(value.into()))?;
            }
            op::LONG1 => self.long()?,
            op::INT => match self.input.line()? {
                "00" | "01" => self.push(Value::Bool)?,
                digits => self.decimal(digits)?,
            },
            op::LONG => {
                let digits = self.input.line()?;
                self.decimal(digits.strip_suffix('L').unwrap_or(digits))?;
            }
            op::BINFLOAT => {
                self.input.take(8)?;
                self.push(Value::Number)?;
            }
            op::BINUNICODE => {
                let length = u32::from_le_bytes(self.input.array()?);
                self.text(length as usize)?;
            }
            op::SHORT_BINUNICODE => {
                let [length] = self.input.array()?;
                self.text(length.into())?;
            }
            op::MARK => self.mark()?,
            op::EMPTY_TUPLE => self.tuple(0)?,
            op::TUPLE1 => self.tuple(1)?,
            op::TUPLE2 => self.tuple(2)?,
            op::TUPLE3 => self.tuple(3)?,
            op::TUPLE => {
                let begin = self.unmark()?;
                self.tuple(self.stack.len() - begin)?;
            }
            op::EMPTY_LIST => self.push(Value::List)?,
            op::APPEND => {
                self.pop()?;
                self.list()?;
            }
            op::APPENDS => {
                let begin = self.unmark()?;
                self.stack.truncate(begin);
                self.list()?;
            }
            op::EMPTY_DICT => self.make(Object::Dict)?,
            op::SETITEM => {
                let begin = self.items(2)?;
                self.set_items(begin)?;
            }
            op::SETITEMS => {
                let begin = self.unmark()?;
                self.set_items(begin)?;
            }
            op::BINPUT => {
                let [index] = self.input.array()?;
                self.put(index.into())?;
            }
            op::LONG_BINPUT => {
                let index = u32::from_le_bytes(self.input.array()?);
                self.put(index)?;
            }
            op::MEMOIZE => {
                let value = self.top()?;
                self.memo.push(value);
            }
            op::BINGET => {
                let [index] = self.input.array()?;
                self.get(index.into())?;
            }
            op::LONG_BINGET => {
                let index = u32::from_le_bytes(self.input.array()?);
                self.get(index)?;
            }
            op::GLOBAL => self.global()?,
            op::STACK_GLOBAL => self.stack_global()?,
            op::NEWOBJ => self.new_object()?,
            op::BINPERSID => self.storage()?,
            op::REDUCE => self.reduce()?,
            op::BUILD => self.build()?,
            code => {
                let (name, offset) = (opcode::name(code), self.input.offset);
                return Err(PickleError::Opcode { code, name, offset });
            }
        }
        Ok(false)
    }

    pub(super) fn expected(&self, expected: &'static str, found: Value<'a>) -> PickleError {
        let found = kind(&self.objects, found);
        PickleError::Expected { expected, found, offset: self.input.offset }
    }

    pub(super) fn limit(&self, what: &'static str, limit: usize) -> PickleError {
        PickleError::Limit { what, limit, offset: self.input.offset }
    }

    pub(super) fn push(&mut self, value: Value<'a>) -> Result<(), PickleError> {
        if self.stack.len() == STACK {
            return Err(self.limit("values on the stack", STACK));
        }
        self.stack.push(value);
        Ok(())
    }

    pub(super) fn make(&mut self, object: Object<'a>) -> Result<(), PickleError> {
        if self.objects.len() > self.input.bytes.len() / BYTES_PER_OBJECT {
            return Err(self.limit("objects", self.input.bytes.len() / BYTES_PER_OBJECT));
        }
        self.objects.push(object);
        self.push(Value::Object(self.objects.len() - 1))
    }

    /// The height of the stack below its last `count` values, which belong to the open container.
    fn items(&self, count: usize) -> Result<usize, PickleError> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        self.stack.len().checked_sub(count).filter(|&begin| begin >= bottom).ok_or(
            PickleError::Expected {
                expected: "more values",
                found: "none",
                offset: self.input.offset,
            },
        )
    }

    pub(super) fn pop(&mut self) -> Result<Value<'a>, PickleError> {
        let begin = self.items(1)?;
        let value = self.stack[begin];
        self.stack.truncate(begin);
        Ok(value)
    }

    pub(super) fn top(&self) -> Result<Value<'a>, PickleError> {
        Ok(self.stack[self.items(1)?])
    }

    fn mark(&mut self) -> Result<(), PickleError> {
        if self.marks.len() == DEPTH {
            return Err(self.limit("open containers", DEPTH));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn unmark(&mut self) -> Result<usize, PickleError> {
        let offset = self.input.offset;
        let (expected, found) = ("a mark", "none");
        self.marks.pop().ok_or(PickleError::Expected { expected, found, offset })
    }

    fn protocol(&mut self) -> Result<(), PickleError> {
        match self.input.array()? {
            [2..=5] => Ok(()),
            [version] => Err(PickleError::Protocol { version, offset: self.input.offset }),
        }
    }

    /// So many bytes, of which opcodes are read as of any others, are there.
    fn frame(&mut self) -> Result<(), PickleError> {
        let length = u64::from_le_bytes(self.input.array()?);
        match length <= (self.input.bytes.len() - self.input.position) as u64 {
            true => Ok(()),
            false => Err(PickleError::End { offset: self.input.offset }),
        }
    }

    fn text(&mut self, length: usize) -> Result<(), PickleError> {
        let text = self.input.take(length)?;
        let text = self.input.text(text)?;
        self.push(Value::Str(text))
    }

    /// An integer in decimal digits.
    fn decimal(&mut self, text: &'a str) -> Result<(), PickleError> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(self.expected("decimal digits", Value::Str(text)));
        }
        self.push(text.parse().map_or(Value::Number, Value::Int))
    }

    /// An integer in as few bytes as hold it.
    fn long(&mut self) -> Result<(), PickleError> {
        let [length] = self.input.array()?;
        let bytes = self.input.take(length.into())?;
        let sign = bytes.last().map_or(0, |&last| if last < 128 { 0 } else { 255 });
        let mut value = [sign; 8];
        self.push(match value.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(value))
            }
            None => Value::Number,
        })
    }

    fn tuple(&mut self, count: usize) -> Result<(), PickleError> {
        let begin = self.items(count)?;
        let values = self.stack.drain(begin..).collect();
        self.make(Object::Tuple(values))
    }

    fn list(&self) -> Result<(), PickleError> {
        match self.top()? {
            Value::List => Ok(()),
            found => Err(self.expected("a list", found)),
        }
    }

    /// Puts the values from `begin` on, in pairs, into the dict below them.
    fn set_items(&mut self, begin: usize) -> Result<(), PickleError> {
        let (values, odd) = self.stack[begin..].as_chunks::<2>();
        if let [found] = odd {
            return Err(self.expected("a value for each key", *found));
        }
        let bottom = self.marks.last().copied().unwrap_or(0);
        let Some(place) = begin.checked_sub(1).filter(|&place| place >= bottom) else {
            let (expected, found) = ("a dict", "none");
            return Err(PickleError::Expected { expected, found, offset: self.input.offset });
        };
        let dict = self.dict(self.stack[place])?;
        if values.len() > ITEMS - self.items.len() {
            return Err(self.limit("values in dicts", ITEMS));
        }
        for &[key, value] in values {
            if let Value::Str(key) = key {
                self.items.push(Item { dict, key, value });
            }
        }
        self.stack.truncate(begin);
        Ok(())
    }

    /// Python's pickler numbers the values that it remembers from 0.
    fn put(&mut self, index: u32) -> Result<(), PickleError> {
        let value = self.top()?;
        let (entries, offset) = (self.memo.len(), self.input.offset);
        match index as usize {
            place if place < entries => self.memo[place] = value,
            place if place == entries => self.memo.push(value),
            _ => return Err(PickleError::Memo { index, entries, offset }),
        }
        Ok(())
    }

    fn get(&mut self, index: u32) -> Result<(), PickleError> {
        let (entries, offset) = (self.memo.len(), self.input.offset);
        let value = self.memo.get(index as usize).copied();
        self.push(value.ok_or(PickleError::Memo { index, entries, offset })?)
    }

    pub(super) fn dict(&self, value: Value<'a>) -> Result<usize, PickleError> {
        match value {
            Value::Object(place) if matches!(self.objects[place], Object::Dict) => Ok(place),
            found => Err(self.expected("a dict", found)),
        }
    }
}
