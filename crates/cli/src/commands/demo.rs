//! `mixfold demo`

use std::time::{Duration, Instant};

use mixfold_gemm::Context;
use mixfold_model::{Form, Loader, Model, PreprocessError, top};
use serde::Serialize;

use crate::compute::Compute;
use crate::error::{CliError, Outcome};
use crate::numbers::{largest, median};
use crate::output::Output;
use crate::text::{self, Align};

/// How long the three models are timed, in turns.
const DURATION: Duration = Duration::from_millis(1500);

/// The two forms agree if their logits differ by at most this much of the largest one: some hundred
/// roundings of `f32`.
const AGREEMENT: f64 = 1e-5;

/// Images of the Fashion-MNIST test set, each with its true class.
const SAMPLES: [(&str, &[u8]); 12] = [
    ("Ankle boot", include_bytes!("../../samples/0000-ankle-boot.png")),
    ("Pullover", include_bytes!("../../samples/0001-pullover.png")),
    ("Trouser", include_bytes!("../../samples/0002-trouser.png")),
    ("Trouser", include_bytes!("../../samples/0003-trouser.png")),
    ("Shirt", include_bytes!("../../samples/0004-shirt.png")),
    ("Trouser", include_bytes!("../../samples/0005-trouser.png")),
    ("Coat", include_bytes!("../../samples/0006-coat.png")),
    ("Sandal", include_bytes!("../../samples/0008-sandal.png")),
    ("Sneaker", include_bytes!("../../samples/0009-sneaker.png")),
    ("Dress", include_bytes!("../../samples/0013-dress.png")),
    ("Bag", include_bytes!("../../samples/0018-bag.png")),
    ("T-shirt/top", include_bytes!("../../samples/0019-t-shirt-top.png")),
];

/// Classify the sample images with each model that is part of the program
///
/// A Mixer, a RepMLPNet with the convolutions it was trained with, and the same with the convolutions
/// folded into its fully connected layers: what they say, how large and how fast they are, and how far
/// the two forms of the RepMLPNet agree. The exit code is 1 if they do not.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compute: Compute,
}

#[derive(Debug, Serialize)]
struct Demo {
    images: Vec<Image>,
    models: Vec<Described>,
    agreement: Agreement,
}

/// What the models say of an image, in their order.
#[derive(Debug, Serialize)]
struct Image {
    class: &'static str,
    answers: Vec<Answer>,
}

#[derive(Debug, Serialize)]
struct Answer {
    class: String,
    probability: f32,
}

#[derive(Debug, Serialize)]
struct Described {
    model: String,
    form: Option<String>,
    parameters: u64,
    macs: u64,
    packed_bytes: usize,
    /// Images whose likeliest class is the true one.
    right: usize,
    images_per_s_median: f64,
}

/// How far the train form and the deploy form agree.
#[derive(Debug, Serialize)]
struct Agreement {
    /// Largest difference of a logit.
    difference: f64,
    largest_logit: f64,
    relative: f64,
    same_classes: bool,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<Outcome, CliError> {
    let ctx = args.compute.context()?;
    let models = models(&ctx)?;
    let inputs = models.iter().map(inputs).collect::<Result<Vec<_>, _>>()?;
    let (logits, speeds) = measure(&models, &inputs)?;

    let answers: Vec<Vec<Answer>> =
        models.iter().zip(&logits).map(|(model, logits)| answer(model, logits)).collect();
    let right = |answers: &[Answer]| {
        answers.iter().zip(SAMPLES).filter(|(answer, (class, _))| answer.class == *class).count()
    };
    let described =
        models.iter().zip(&answers).zip(speeds).map(|((model, answers), speed)| Described {
            model: model.name().to_owned(),
            form: model.form().map(|form| form.to_string()),
            parameters: model.parameters(),
            macs: model.macs(),
            packed_bytes: model.packed_bytes(),
            right: right(answers),
            images_per_s_median: speed,
        });
    let [_, train, deploy] = &logits[..] else { unreachable!("there are three models") };
    let agreement = Agreement::of(train, deploy, models[1].classes());
    let models = described.collect();
    let mut answers: Vec<_> = answers.into_iter().map(Vec::into_iter).collect();
    let image = |(class, _)| {
        let answers = answers.iter_mut().filter_map(Iterator::next).collect();
        Image { class, answers }
    };
    let demo = Demo { images: SAMPLES.into_iter().map(image).collect(), models, agreement };
    if args.json {
        out.json(&demo)?
    } else {
        demo.print(out)?
    }
    demo.agreement.check(demo.models[2].model.clone())
}

fn models(ctx: &Context) -> Result<Vec<Model>, CliError> {
    let loader = Loader::new().context(ctx.clone());
    let repmlpnet = |form| loader.clone().form(form).embedded("repmlpnet_fashion");
    Ok(vec![loader.embedded("mixer_fashion")?, repmlpnet(Form::Train)?, repmlpnet(Form::Deploy)?])
}

/// The samples as a model sees them.
fn inputs(model: &Model) -> Result<Vec<f32>, CliError> {
    let mut values = Vec::new();
    for (class, bytes) in SAMPLES {
        let image = image::load_from_memory(bytes)
            .map_err(|source| PreprocessError::Decode { path: class.into(), source })?;
        values.extend_from_slice(model.preprocess().apply(&image)?.values());
    }
    Ok(values)
}

/// The logits of each model, and its images per second: the median of runs that take turns with the
/// other models'.
fn measure(models: &[Model], inputs: &[Vec<f32>]) -> Result<(Vec<Vec<f32>>, Vec<f64>), CliError> {
    let images = SAMPLES.len();
    let mut plans = models.iter().map(|model| model.plan(images)).collect::<Result<Vec<_>, _>>()?;
    let mut logits: Vec<_> =
        models.iter().map(|model| vec![0.0; images * model.classes()]).collect();
    let mut seconds = vec![Vec::new(); models.len()];
    let start = Instant::now();
    while start.elapsed() < DURATION || seconds[0].len() < 3 {
        for (i, plan) in plans.iter_mut().enumerate() {
            let start = Instant::now();
            plan.run(&inputs[i], &mut logits[i])?;
            seconds[i].push(start.elapsed().as_secs_f64());
        }
    }
    let speed = |seconds: &mut Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        images as f64 / median(seconds)
    };
    Ok((logits, seconds.iter_mut().map(speed).collect()))
}

/// The likeliest class of each image.
fn answer(model: &Model, logits: &[f32]) -> Vec<Answer> {
    let likeliest = |logits: &[f32]| {
        let (class, probability) = top(logits, 1).first().copied().unwrap_or((0, f32::NAN));
        Answer { class: model.label(class).into_owned(), probability }
    };
    logits.chunks_exact(model.classes()).map(likeliest).collect()
}

impl Agreement {
    fn of(train: &[f32], deploy: &[f32], classes: usize) -> Self {
        let pairs = train.iter().zip(deploy);
        let difference = largest(pairs.map(|(&a, &b)| f64::from(a) - f64::from(b)));
        let largest_logit = largest(train.iter().map(|&x| x.into()));
        let class = |logits: &[f32]| top(logits, 1).first().map(|first| first.0);
        let mut pairs = train.chunks_exact(classes).zip(deploy.chunks_exact(classes));
        Agreement {
            difference,
            largest_logit,
            relative: difference / largest_logit,
            same_classes: pairs.all(|(a, b)| class(a) == class(b)),
        }
    }

    /// An error if the forms do not agree, NaN included.
    fn check(&self, model: String) -> Result<Outcome, CliError> {
        match self.relative {
            relative if relative <= AGREEMENT => Ok(Outcome::Complete),
            relative => Err(CliError::Forms { model, relative, allowed: AGREEMENT }),
        }
    }
}

impl Described {
    fn title(&self) -> String {
        text::model(&self.model, self.form.as_deref())
    }
}

impl Demo {
    fn print(&self, out: &mut Output) -> Result<(), CliError> {
        use Align::{Left, Right};
        let titles: Vec<String> = self.models.iter().map(Described::title).collect();
        let header =
            |first: &str| [first.into(), titles[0].clone(), titles[1].clone(), titles[2].clone()];
        let rows = self.images.iter().map(|image| {
            let said = |i: usize| {
                let Answer { class, probability } = &image.answers[i];
                format!("{class} {:.1} %", 100.0 * probability)
            };
            [image.class.to_owned(), said(0), said(1), said(2)]
        });
        let rows: Vec<_> = [header("IMAGE")].into_iter().chain(rows).collect();
        out.table([Left; 4], &rows)?;
        out.line("")?;

        let row = |name: &str, of: &dyn Fn(&Described) -> String| {
            let [a, b, c] = [0, 1, 2].map(|i| of(&self.models[i]));
            [name.to_owned(), a, b, c]
        };
        let rows = [
            header(""),
            row("right", &|m| format!("{} of {}", m.right, self.images.len())),
            row("parameters", &|m| text::grouped(m.parameters)),
            row("MACs per image", &|m| text::grouped(m.macs)),
            row("bytes, packed", &|m| text::grouped(m.packed_bytes as u64)),
            row("images/s, median", &|m| text::grouped(m.images_per_s_median as u64)),
        ];
        out.table([Left, Right, Right, Right], &rows)?;
        out.line("")?;
        let Agreement { difference, largest_logit, relative, same_classes } = &self.agreement;
        let classes = if *same_classes { "the same classes" } else { "DIFFERENT CLASSES" };
        out.line(format_args!(
            "Train and deploy form: {classes}; logits differ by {difference:.1e} at most, {relative:.1e} \
             of the largest ({largest_logit:.2})."
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_agree_or_do_not() {
        let train = [1.0, -8.0, 0.5, 2.0];
        let with = |last: f32| Agreement::of(&train, &[1.0, -8.0, 0.5, last], 2);
        let check = |last: f32| with(last).check("x".into());
        // Half of the bound, and twice as much.
        assert!(matches!(check(2.0 + 0.5e-5 * 8.0), Ok(Outcome::Complete)));
        let Err(error) = check(2.0 + 2e-5 * 8.0) else { panic!("they differ") };
        let expected = "the two forms of x differ by 2.0e-5 of the largest logit, more than 1e-5: \
                        please report this";
        assert_eq!(error.to_string(), expected);
        for nothing in [f32::NAN, f32::INFINITY] {
            assert!(matches!(check(nothing), Err(CliError::Forms { .. })), "{nothing}");
        }
        assert!(with(2.5).same_classes && with(2.5).difference == 0.5);
        assert!(!with(0.0).same_classes);
    }
}
