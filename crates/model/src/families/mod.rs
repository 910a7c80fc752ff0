//! The families of models: for each, its sizes, the names of its tensors, and its blocks as a short list
//! of calls of `mix`.

mod attention_only;
mod ff_only;
mod gmixer;
mod gmlp;
mod mixer;
mod mixer_names;
mod resmlp;
mod vit;
mod vit_names;

pub use attention_only::AttentionOnlyConfig;
pub use ff_only::FfOnlyConfig;
pub use gmixer::GMixerConfig;
pub use gmlp::GmlpConfig;
pub use mixer::MixerConfig;
pub use resmlp::ResMlpConfig;
pub use vit::VitConfig;

/// The hidden units of perceptrons along both axes, for people.
fn along_both_axes(tokens: usize, channels: usize) -> String {
    format!("{tokens} hidden units along the tokens and {channels} along the channels")
}
