//! What can be wrong with a pickle.

use thiserror::Error;

/// Why the pickle of a PyTorch file was refused. Offsets are those of the opcode in the pickle.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PickleError {
    /// The pickle ends within an opcode, or without `STOP`.
    #[error("it ends within the opcode at byte {offset}")]
    End {
        /// Where the opcode is.
        offset: usize,
    },
    /// An opcode that describes neither tensors, dicts, lists, tuples, numbers nor strings, or one
    /// that `torch.save` does not write for them.
    #[error("opcode {code:#04x} ({name}) at byte {offset} is not accepted")]
    Opcode {
        /// The opcode.
        code: u8,
        /// Its name in Python's `pickletools`.
        name: &'static str,
        /// Where it is.
        offset: usize,
    },
    /// A class or function that no state dict needs. None is ever called.
    #[error(
        "global `{}.{}` at byte {offset} is not accepted: only tensors, dicts, lists, numbers and \
         strings are; if you trust the file, save its weights alone, which may be under another key: \
         torch.save(torch.load(FILE, weights_only=False)['model'], NEW); of a whole module they are \
         its state_dict()",
        .module.escape_debug(), .name.escape_debug()
    )]
    Global {
        /// The module that it is imported from.
        module: String,
        /// Its name there.
        name: String,
        /// Where it is.
        offset: usize,
    },
    /// The pickle's protocol is unknown.
    #[error(
        "protocol {version} at byte {offset} is unknown; 2 to 5 are read, and 1, which has no number"
    )]
    Protocol {
        /// The protocol.
        version: u8,
        /// Where it is.
        offset: usize,
    },
    /// An opcode finds another thing than it needs.
    #[error("the opcode at byte {offset} needs {expected}, there is {found}")]
    Expected {
        /// What is needed.
        expected: &'static str,
        /// What is there.
        found: &'static str,
        /// Where the opcode is.
        offset: usize,
    },
    /// A value is called up that was never put down, or put down out of turn.
    #[error("the opcode at byte {offset} uses entry {index} of a memo of {entries}")]
    Memo {
        /// The entry.
        index: u32,
        /// How many there are.
        entries: usize,
        /// Where the opcode is.
        offset: usize,
    },
    /// A string is not UTF-8.
    #[error("the string at byte {offset} is not UTF-8")]
    Text {
        /// Where the opcode is.
        offset: usize,
    },
    /// More of something than state dicts have.
    #[error("more than {limit} {what} at byte {offset}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The most that are accepted.
        limit: usize,
        /// Where the opcode is.
        offset: usize,
    },
    /// Bytes follow the end.
    #[error("{length} bytes follow its end at byte {offset}")]
    Trailing {
        /// Where the pickle ends.
        offset: usize,
        /// The bytes behind that.
        length: usize,
    },
}
