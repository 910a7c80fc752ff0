//! One module for each subcommand: its arguments and what it does.

pub(crate) mod bench;
pub(crate) mod classify;
pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod demo;
pub(crate) mod eval;
pub(crate) mod fold;
pub(crate) mod inspect;
pub(crate) mod models;
pub(crate) mod run;
pub(crate) mod visualize;
