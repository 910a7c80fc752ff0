//! From weights to the sections of a picture.

use mixfold_model::{Fc3, LayerWeights, ModelError, StemFilters, TokenUnits};

use super::choice::Pair;
use super::{Args, Layer, NO_UNITS, Sort, What, form_name};
use crate::colors::{self, Color, NOT_FINITE};
use crate::error::CliError;
use crate::picture::{Legend, Section, usual_scale};
use crate::text;
use crate::units;

/// Units drawn of a layer if their number is not given.
const MOST_UNITS: usize = 1024;

/// Sides of the images of units and of FC3, about.
const UNIT: usize = 48;
const LARGE: usize = 280;

type Sheet = (Vec<Section>, Vec<Layer>);

pub(super) fn legend(what: What) -> Legend {
    let (low, high, color): (_, _, fn(f64) -> Color) = match what {
        What::Units => ("-max |w|", "max |w| of the unit", |p| colors::diverging(2.0 * p - 1.0)),
        What::Stem => ("-max |w|", "max |w| of the filter", |p| [grey(2.0 * p - 1.0); 3]),
        What::Fc3 => ("smallest |w|", "largest, logarithmic", colors::sequential),
    };
    Legend { low: low.into(), high: high.into(), color }
}

fn grey(value: f64) -> u8 {
    (127.5 + 127.5 * value).round() as u8
}

/// The order of images of a layer, and what to say of it.
fn chosen(args: &Args, values: &[f32], shape: units::Shape, count: usize) -> (Vec<usize>, String) {
    let limit = args.units.map_or(MOST_UNITS, |units| units as usize).min(count);
    let (order, by) = match args.sort() {
        Sort::Frequency => (units::order(values, shape, limit), "low frequencies first"),
        Sort::Index => ((0..limit).collect(), "in their own order"),
    };
    let number = if limit < count { format!("{limit} of {count}") } else { count.to_string() };
    let what = args.what.images();
    (order, format!("{number} {what} of {} x {}, {by}", shape[1], shape[2]))
}

pub(super) fn units(args: &Args, weights: &mut LayerWeights<'_>) -> Result<Sheet, CliError> {
    let (model, count) = (weights.model().to_owned(), weights.token_layers());
    let numbers = args.layers(&model, count, NO_UNITS)?;
    let form = args.form.map(Into::into);
    if form.is_some() && weights.form().is_none() {
        return Err(CliError::Usage(format!("{model} has one form only; leave --form out")));
    }
    let shown = weights.form().map(|_| form.map_or("deploy", form_name));
    let model_title = text::model(&model, shown);
    let mut sheet = Sheet::default();
    for number in numbers {
        let TokenUnits { layer: name, grid, rows } = weights.token_units(number, form)?;
        let places = (grid[0] * grid[1]).max(1);
        let count = rows.len() / places;
        let (order, note) = chosen(args, &rows, [1, grid[0], grid[1]], count);
        let image = |&unit: &usize| {
            let scaled = colors::symmetric(&rows[unit * places..][..places]);
            scaled.into_iter().map(colors::diverging).collect()
        };
        let images = order.iter().map(image).collect();
        add(
            args,
            &mut sheet,
            (&model_title, &name, note),
            (grid, count, UNIT),
            (order, images),
            &rows,
        );
    }
    Ok(sheet)
}

pub(super) fn stem(args: &Args, weights: &mut LayerWeights<'_>) -> Result<Sheet, CliError> {
    let model = weights.model().to_owned();
    let StemFilters { layer: name, channels, kernel, values } = weights.stem()?;
    if channels != 1 && channels != 3 {
        let reason = "has images that are neither grey nor of three colours";
        return Err(CliError::NothingToDraw { model, reason });
    }
    let places = kernel[0] * kernel[1];
    let len = (channels * places).max(1);
    let count = values.len() / len;
    let (order, note) = chosen(args, &values, [channels, kernel[0], kernel[1]], count);
    let image = |&filter: &usize| -> Vec<Color> {
        let scaled = colors::symmetric(&values[filter * len..][..len]);
        let pixel = |place: usize| {
            let values = [0, 1, 2].map(|c| scaled[c % channels * places + place]);
            if values.iter().any(|value| value.is_nan()) { NOT_FINITE } else { values.map(grey) }
        };
        (0..places).map(pixel).collect()
    };
    let images = order.iter().map(image).collect();
    let mut sheet = Sheet::default();
    add(args, &mut sheet, (&model, &name, note), (kernel, count, UNIT), (order, images), &values);
    Ok(sheet)
}

/// Adds a section of units or filters.
fn add(
    args: &Args,
    (sections, layers): &mut Sheet,
    (model, name, note): (&str, &str, String),
    (size, count, about): ([usize; 2], usize, usize),
    (order, images): (Vec<usize>, Vec<Vec<Color>>),
    weights: &[f32],
) {
    let layer = Layer::new(name, size, weights.iter());
    sections.push(Section {
        title: format!("{model}: {name}"),
        note: format!("{note}; {}", layer.range()),
        size,
        images,
        scale: args.scale.map_or(usual_scale(size, about), usize::from),
        paired: args.sort() == Sort::Frequency,
        mark: None,
    });
    layers.push(Layer { count: Some(count), units: Some(order), ..layer });
}

pub(super) fn fc3(
    args: &Args,
    model: &str,
    layers: impl IntoIterator<Item = Result<Fc3, ModelError>>,
) -> Result<Sheet, CliError> {
    let mut sheet = Sheet::default();
    for layer in layers {
        let Fc3 { layer: name, out, inputs, partition, trained, folded } = layer?;
        let [height, width] = partition;
        let Pair([y, x]) = args.pixel.unwrap_or(Pair([height / 2, width / 2]));
        let Pair([channel, input]) = args.channel.unwrap_or(Pair([0, 0]));
        if y >= height || x >= width {
            let message = format!("--pixel {y},{x}: {name} has places of {height} x {width}");
            return Err(CliError::Usage(message));
        }
        if channel >= out || input >= inputs {
            return Err(CliError::Usage(format!(
                "--channel {channel},{input}: {name} has {out} output channels and {inputs} input \
                 channels in a group"
            )));
        }
        let places = height * width;
        let row = (channel * height + y) * width + x;
        let cut = |weights: Vec<f32>| weights[(row * inputs + input) * places..][..places].to_vec();
        let folding: &[_] = if trained.is_some() { &["before", "after"] } else { &["after"] };
        let images: Vec<_> = trained.into_iter().chain([folded]).map(cut).collect();
        let layer = Layer::new(&name, partition, images.iter().flatten());
        let (logarithms, largest) = colors::logarithms(&images);
        let unit = if largest > 0.0 { largest } else { 1.0 };
        let color = |image: &Vec<f64>| image.iter().map(|l| colors::sequential(l / unit)).collect();
        sheet.0.push(Section {
            title: format!("{model}: {name}"),
            note: format!(
                "{} folding, at row {y}, column {x} of channel {channel}, input {input}; ln(|w|/min) \
                 to {largest:.2}; {}",
                folding.join(" and "),
                layer.range()
            ),
            size: partition,
            images: logarithms.iter().map(color).collect(),
            scale: args.scale.map_or(usual_scale(partition, LARGE), usize::from),
            paired: false,
            mark: Some([y, x]),
        });
        sheet.1.push(Layer { pixel: Some([y, x]), folding: Some(folding), ..layer });
    }
    Ok(sheet)
}
