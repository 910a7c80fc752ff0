//! `mixfold models`

use mixfold_model::registry::{self, ModelInfo};
use serde::Serialize;

use crate::error::{CliError, Outcome};
use crate::output::Output;
use crate::text::{self, Align};

/// List the models
///
/// Parameters, and multiply-adds (MACs) of convolutions, matrices and attention for one image, are those with
/// the usual number of classes; weights of another number of classes can be loaded too. A RepMLPNet or a
/// ResNet has two forms: in the line with its name stand the numbers of the deploy form.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print a JSON list
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: &'static str,
    family: &'static str,
    /// Channels, height, width.
    input: [usize; 3],
    classes: usize,
    /// Of the deploy form, if there are two.
    parameters: u64,
    macs: u64,
    train_parameters: Option<u64>,
    train_macs: Option<u64>,
    /// Whether its weights are part of the program.
    embedded: bool,
    verified: &'static str,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<Outcome, CliError> {
    let models: Vec<_> = registry::models().iter().map(Listed::new).collect();
    if args.json {
        out.json(&models)?;
        return Ok(Outcome::Complete);
    }
    let header = ["MODEL", "FAMILY", "INPUT", "CLASSES", "PARAMETERS", "MACS", "VERIFIED AGAINST"];
    let rows = [header.map(String::from)].into_iter();
    let rows: Vec<_> = rows.chain(models.iter().flat_map(Listed::rows)).collect();
    use Align::{Left, Right};
    out.table([Left, Left, Right, Right, Right, Right, Left], &rows)?;
    out.line("")?;
    let embedded = models.iter().filter(|model| model.embedded).map(|model| model.name);
    let embedded = embedded.collect::<Vec<_>>().join(" and ");
    out.line(format_args!("The weights of {embedded} are part of the program."))?;
    Ok(Outcome::Complete)
}

impl Listed {
    fn new(info: &'static ModelInfo) -> Self {
        Listed {
            name: info.name,
            family: info.family(),
            input: info.config.input(),
            classes: info.classes,
            parameters: info.parameters(),
            macs: info.macs(),
            train_parameters: info.train_parameters(),
            train_macs: info.train_macs(),
            embedded: info.is_embedded(),
            verified: info.verified,
        }
    }

    /// A row, and one for the train form if there is one.
    fn rows(&self) -> Vec<[String; 7]> {
        let mut rows = vec![[
            self.name.into(),
            self.family.into(),
            text::shape(&self.input),
            self.classes.to_string(),
            text::metric(self.parameters),
            text::metric(self.macs),
            self.verified.into(),
        ]];
        if let (Some(parameters), Some(macs)) = (self.train_parameters, self.train_macs) {
            let mut row: [String; 7] = Default::default();
            row[0] = "  in train form".into();
            (row[4], row[5]) = (text::metric(parameters), text::metric(macs));
            rows.push(row);
        }
        rows
    }
}
