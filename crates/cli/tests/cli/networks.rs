//! Networks and their tensors, as the suites of the library have them.

#![allow(dead_code, reason = "the other suites use more of it")]

#[path = "../../../model/tests/common/families.rs"]
pub(crate) mod families;
#[path = "../../../model/tests/common/files.rs"]
pub(crate) mod files;
#[path = "../../../model/tests/common/repmlpnet.rs"]
pub(crate) mod repmlpnet;
#[path = "../../../model/tests/common/resnet.rs"]
pub(crate) mod resnet;
#[path = "../../../model/tests/common/two_forms.rs"]
pub(crate) mod two_forms;
