//! `mixfold visualize`

mod choice;
mod sheet;

use std::path::PathBuf;

use clap::ValueEnum;
use mixfold_model::checkpoint::Replacement;
use mixfold_model::{Checkpoint, Form, LayerWeights, registry};
use serde::Serialize;

use crate::error::{CliError, Outcome};
use crate::model_args::FormArg;
use crate::output::Output;
use crate::picture::{self, MOST_PIXELS};
use crate::text::{self, Align};
use choice::{Layers, Pair};

/// Draw the weights of a model
///
/// units: the first matrix along the tokens of each layer. A tile is a unit, a square in it the weight of
/// a patch: red above 0, blue below, white at 0, each unit by its own largest weight; green is not finite.
/// Low frequencies come first, each unit beside the one that is closest to its negative.
///
/// stem: the filters of the patch embedding or of the first convolution, in colour, mid grey at 0.
///
/// fc3: what RepMLP's FC3 reads around one place, before and after the convolutions are folded in: the
/// logarithm of the absolute weight, lighter if larger, on one scale.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  mixfold visualize --out units.png
  mixfold visualize --weights mixer_b16_224.safetensors --layers 0-2 --units 128 --out units.png
  mixfold visualize --weights mixer_b16_224.safetensors --what stem --out stem.png
  mixfold visualize --model repmlpnet_fashion --what fc3 --pixel 6,6 --out fc3.png
  mixfold visualize --weights block.safetensors --what fc3 --block light_repmlp --partition 7,7 --out fc3.png
      FC3 of a block of RepMLP (2021), whose tensors are called light_repmlp.fc3.weight and so on")]
pub(crate) struct Args {
    /// Model, see `mixfold models` [default: told from the weights; without weights, mixer_fashion]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// Weights, as for `mixfold classify`
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,

    /// What to draw
    #[arg(long, value_name = "WHAT", default_value = "units")]
    what: What,

    /// Layers of units or of FC3, counted from 0: numbers and ranges as 0,2-5, or all [default: the first
    /// three]
    #[arg(long, value_name = "LIST", value_parser = choice::layers)]
    layers: Option<Layers>,

    /// Units or filters to draw of each layer [default: all, 1024 at most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    units: Option<u32>,

    /// Order of units and filters [default: frequency]
    #[arg(long, value_name = "ORDER")]
    sort: Option<Sort>,

    /// Form of the units of a RepMLPNet: train has them as they were trained [default: deploy]
    #[arg(long, value_name = "FORM")]
    form: Option<FormArg>,

    /// Place in the output of FC3 [default: the middle]
    #[arg(long, value_name = "Y,X", value_parser = choice::pair)]
    pixel: Option<Pair>,

    /// Output channel of FC3 (of a RepMLPNet, share-set) and input channel in its group [default: 0,0]
    #[arg(long, value_name = "OUT,IN", value_parser = choice::pair)]
    channel: Option<Pair>,

    /// Draw FC3 of the block of RepMLP (2021) whose tensors have names that begin with this and a dot; may
    /// be empty
    #[arg(
        long, value_name = "PREFIX", requires = "partition", requires = "weights",
        conflicts_with_all = ["model", "layers"]
    )]
    block: Option<String>,

    /// Height and width of the partitions of that block
    #[arg(long, value_name = "H,W", requires = "block", value_parser = choice::pair)]
    partition: Option<Pair>,

    /// Pixels along each side of a weight [default: by the size of the images]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    scale: Option<u8>,

    /// Where to write the picture. The file is written beside its place and renamed when it is whole
    #[arg(long, value_name = "FILE.png")]
    out: PathBuf,

    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum What {
    Units,
    Stem,
    Fc3,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Units => "units",
            What::Stem => "stem",
            What::Fc3 => "fc3",
        }
    }

    /// What its images are.
    fn images(self) -> &'static str {
        match self {
            What::Units => "units",
            What::Stem => "filters",
            What::Fc3 => "places",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    Frequency,
    Index,
}

#[derive(Debug, Serialize)]
struct Drawn {
    what: What,
    model: Option<String>,
    output: String,
    width: usize,
    height: usize,
    layers: Vec<Layer>,
}

/// A layer that was drawn.
#[derive(Debug, Serialize)]
struct Layer {
    name: String,
    /// Height and width of an image.
    size: [usize; 2],
    /// Units or filters that there are; nothing for FC3.
    count: Option<usize>,
    /// Those that were drawn, in order.
    units: Option<Vec<usize>>,
    /// The place in the output of FC3.
    pixel: Option<[usize; 2]>,
    /// Its images: `before` folding, if the weights are in train form, and `after`.
    folding: Option<&'static [&'static str]>,
    /// Of the finite weights of the layer; of FC3, of those drawn.
    minimum: Option<f32>,
    maximum: Option<f32>,
    not_finite: usize,
}

impl Layer {
    fn new<'w>(name: &str, size: [usize; 2], weights: impl Iterator<Item = &'w f32>) -> Self {
        let (mut minimum, mut maximum, mut not_finite) = (None, None, 0);
        for &weight in weights {
            if weight.is_finite() {
                minimum = Some(minimum.map_or(weight, |m: f32| m.min(weight)));
                maximum = Some(maximum.map_or(weight, |m: f32| m.max(weight)));
            } else {
                not_finite += 1;
            }
        }
        let name = name.to_owned();
        let (count, units, pixel, folding) = (None, None, None, None);
        Layer { name, size, count, units, pixel, folding, minimum, maximum, not_finite }
    }

    fn range(&self) -> String {
        let range = match (self.minimum, self.maximum) {
            (Some(minimum), Some(maximum)) => format!("weights from {minimum:.3} to {maximum:.3}"),
            _ => "no finite weight".to_owned(),
        };
        match self.not_finite {
            0 => range,
            n => format!("{range}, {n} not finite"),
        }
    }
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<Outcome, CliError> {
    if !args.out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) {
        let path = args.out.display();
        return Err(CliError::Usage(format!("--out {path}: give a name that ends with .png")));
    }
    args.check()?;
    let io = |source| CliError::Io { path: args.out.clone(), source };
    let mut file = args.open()?;
    let (model, (sections, layers)) =
        if let (Some(block), Some(Pair(partition))) = (&args.block, args.partition) {
            let fc3 = mixfold_model::Fc3::of_block(&mut file, block, partition)?;
            (None, sheet::fc3(args, &file.path().display().to_string(), [Ok(fc3)])?)
        } else {
            let mut weights = LayerWeights::find(&mut file, args.model.as_deref())?;
            let sheet = match args.what {
                What::Units => sheet::units(args, &mut weights)?,
                What::Stem => sheet::stem(args, &mut weights)?,
                What::Fc3 => {
                    let layers = args.layers(weights.model(), weights.fc3_layers(), NO_FC3)?;
                    let model = text::model(weights.model(), weights.form().map(form_name));
                    let fc3 = layers.into_iter().map(|layer| weights.fc3(layer));
                    sheet::fc3(args, &model, fc3)?
                }
            };
            (Some(weights.model().to_owned()), sheet)
        };
    let legend = sheet::legend(args.what);
    let size @ [width, height] = picture::size(&sections, Some(&legend));
    if picture::is_too_large(size) {
        return Err(CliError::Usage(format!(
            "a picture of {width} x {height} pixels, more than {MOST_PIXELS}: draw fewer --layers or \
             --units, or a smaller --scale"
        )));
    }
    let picture = picture::draw(&sections, Some(&legend));
    let mut file = Replacement::begin(&args.out).map_err(io)?;
    let written = picture.write(&mut file);
    written.map_err(|error| io(std::io::Error::other(error)))?;
    file.finish().map_err(io)?;
    let [width, height] = picture.size();
    let output = args.out.display().to_string();
    let drawn = Drawn { what: args.what, model, output, width, height, layers };
    if args.json {
        out.json(&drawn)?
    } else {
        drawn.print(out)?
    }
    Ok(Outcome::Complete)
}

fn form_name(form: Form) -> &'static str {
    match form {
        Form::Train => "train",
        Form::Deploy => "deploy",
    }
}

/// Why a model has no units, and why none of FC3.
const NO_UNITS: &str = "has no units to draw: no matrix of it goes along the tokens alone";
const NO_FC3: &str = "has no FC3 to draw: it has no RepMLP";

impl Args {
    /// That no option is given that makes no difference.
    fn check(&self) -> Result<(), CliError> {
        use What::{Fc3, Stem, Units};
        let options: [(_, _, &[What]); 7] = [
            ("--layers", self.layers.is_some(), &[Units, Fc3]),
            ("--units", self.units.is_some(), &[Units, Stem]),
            ("--sort", self.sort.is_some(), &[Units, Stem]),
            ("--form", self.form.is_some(), &[Units]),
            ("--pixel", self.pixel.is_some(), &[Fc3]),
            ("--channel", self.channel.is_some(), &[Fc3]),
            ("--block", self.block.is_some(), &[Fc3]),
        ];
        let ignored = options.iter().find(|(_, given, of)| *given && !of.contains(&self.what));
        let Some((option, _, of)) = ignored else { return Ok(()) };
        let of: Vec<_> = of.iter().map(|what| what.name()).collect();
        Err(CliError::Usage(format!("{option} goes with --what {}", of.join(" or "))))
    }

    /// The numbers of the layers to draw, of `count`; if there are none, for this `reason`.
    fn layers(
        &self,
        model: &str,
        count: usize,
        reason: &'static str,
    ) -> Result<Vec<usize>, CliError> {
        if count == 0 {
            return Err(CliError::NothingToDraw { model: model.to_owned(), reason });
        }
        Ok(self.layers.as_ref().unwrap_or(&Layers::FirstThree).resolve(model, count)?)
    }

    fn sort(&self) -> Sort {
        self.sort.unwrap_or(Sort::Frequency)
    }

    fn open(&self) -> Result<Checkpoint, CliError> {
        let name = self.model.as_deref();
        let info = name.and_then(registry::model);
        match (&self.weights, info) {
            (Some(path), _) => Ok(Checkpoint::open(path)?),
            (None, Some(info)) if !info.is_embedded() => Err(CliError::Usage(format!(
                "{} needs --weights FILE: they are not part of the program",
                info.name
            ))),
            (None, _) => Ok(Checkpoint::embedded(name.unwrap_or(registry::DEFAULT))?),
        }
    }
}

impl Drawn {
    fn print(&self, out: &mut Output) -> Result<(), CliError> {
        let row = |name: &str, value: String| [name.to_owned(), value];
        let mut rows = vec![row("written", self.output.clone())];
        rows.push(row("pixels", format!("{} x {}", self.width, self.height)));
        if let Some(model) = &self.model {
            rows.push(row("model", model.clone()));
        }
        for layer in &self.layers {
            let count = layer.units.as_ref().zip(layer.count);
            let count = count
                .map(|(units, all)| format!("{} of {all} {}, ", units.len(), self.what.images()));
            let folding = layer.folding.map(|images| format!("{} folding, ", images.join(" and ")));
            let what = count.or(folding).unwrap_or_default();
            rows.push(row(&layer.name, what + &layer.range()));
        }
        out.table([Align::Left; 2], &rows)
    }
}
