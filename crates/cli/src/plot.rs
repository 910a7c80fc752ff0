//! Horizontal bars, drawn as SVG.

use std::io;

use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::text;

/// Bars for the values of groups, a bar in each for every series.
#[derive(Debug)]
pub(crate) struct Bars {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    /// Named if there is more than one.
    pub(crate) series: Vec<String>,
    pub(crate) groups: Vec<Group>,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) label: String,
    /// In smaller letters under the label.
    pub(crate) note: String,
    /// Of each series.
    pub(crate) values: Vec<Value>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    /// The bar's length.
    pub(crate) bar: f64,
    /// Where a line crosses the bar.
    pub(crate) line: f64,
}

/// A drawing's error; of SVG in memory, none is known.
type PlotError = DrawingAreaErrorKind<io::Error>;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

// All in pixels.
const MARGIN: i32 = 16;
const BAR: i32 = 20;
/// Between groups. Label and note have more room than one bar.
const GAP: i32 = 22;
/// Between the labels or the bars and what stands beside them.
const SPACE: i32 = 8;
const PLOT_WIDTH: i32 = 560;
/// The part of it that the longest bar takes, so that its value has room.
const LONGEST: f64 = 0.86;
/// Title and subtitle; a row of the legend; the axis.
const HEAD: i32 = 64;
const LEGEND: i32 = 26;
const AXIS: i32 = 26;

const TITLE_SIZE: i32 = 22;
const TEXT_SIZE: i32 = 16;
const NOTE_SIZE: i32 = 13;

const GREY: RGBColor = RGBColor(95, 95, 95);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// Colours that people of any colour vision tell apart (Okabe and Ito, 2008).
const COLORS: [RGBColor; 6] = [
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(240, 228, 66),
    RGBColor(213, 94, 0),
];

/// More than the width of a text: the letters of sans-serif fonts are narrower on average.
fn width(text: &str, size: i32) -> i32 {
    text.chars().count() as i32 * size * 54 / 100 + 1
}

fn style(size: i32, color: &RGBColor, horizontal: HPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(color).pos(Pos::new(horizontal, VPos::Center))
}

/// Three digits, or all in front of the point.
fn number(value: f64) -> String {
    match value {
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => text::grouped(value.round() as u64),
    }
}

impl Bars {
    /// The drawing as an SVG document.
    pub(crate) fn svg(&self) -> Result<String, PlotError> {
        let labels = self
            .groups
            .iter()
            .map(|group| width(&group.label, TEXT_SIZE).max(width(&group.note, NOTE_SIZE)) + SPACE);
        let labels = labels.max().unwrap_or(0);
        let legend = if self.series.len() > 1 { LEGEND } else { 0 };
        let heads = [(&self.title, TITLE_SIZE), (&self.subtitle, TEXT_SIZE)];
        let heads = heads.map(|(text, size)| width(text, size));
        let size = [
            heads[0].max(heads[1]).max(labels + PLOT_WIDTH) + 2 * MARGIN,
            HEAD + legend + self.plot_height() + AXIS + 2 * MARGIN,
        ];
        let mut svg = String::new();
        {
            let size = size.map(|pixels| pixels.unsigned_abs()).into();
            let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            root.fill(&WHITE)?;
            let root = root.margin(MARGIN, MARGIN, MARGIN, MARGIN);
            let (head, rest) = root.split_vertically(HEAD + legend);
            self.draw_head(&head)?;
            let (plot, _) = rest.split_horizontally(labels + PLOT_WIDTH);
            self.draw_bars(&plot, labels)?;
            root.present()?;
        }
        Ok(svg)
    }

    fn group_height(&self) -> i32 {
        BAR * self.series.len() as i32 + GAP
    }

    fn plot_height(&self) -> i32 {
        self.group_height() * self.groups.len() as i32
    }

    fn draw_head(&self, area: &Area<'_>) -> Result<(), PlotError> {
        let title = style(TITLE_SIZE, &BLACK, HPos::Left);
        area.draw(&Text::new(self.title.as_str(), (0, 12), title))?;
        let subtitle = style(TEXT_SIZE, &GREY, HPos::Left);
        area.draw(&Text::new(self.subtitle.as_str(), (0, 40), subtitle))?;
        if self.series.len() < 2 {
            return Ok(());
        }
        let mut x = 0;
        for (name, color) in self.series.iter().zip(COLORS.iter().cycle()) {
            let (top, side) = (HEAD + 2, 14);
            let square = [(x, top), (x + side, top + side)];
            area.draw(&Rectangle::new(square, color.filled()))?;
            x += side + SPACE;
            let at = (x, top + side / 2);
            area.draw(&Text::new(name.as_str(), at, style(TEXT_SIZE, &BLACK, HPos::Left)))?;
            x += width(name, TEXT_SIZE) + 2 * SPACE;
        }
        Ok(())
    }

    fn draw_bars(&self, area: &Area<'_>, labels: i32) -> Result<(), PlotError> {
        let values = self.groups.iter().flat_map(|group| &group.values);
        let longest = values.map(|value| value.bar).fold(f64::MIN_POSITIVE, f64::max);
        let height = self.plot_height();
        let mut chart = ChartBuilder::on(area)
            .set_label_area_size(LabelAreaPosition::Left, labels)
            .set_label_area_size(LabelAreaPosition::Bottom, AXIS)
            .build_cartesian_2d(0.0..longest / LONGEST, height..0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(6)
            .x_label_formatter(&|value| axis_number(*value))
            .label_style(("sans-serif", NOTE_SIZE).into_font().color(&GREY))
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GREY)
            .draw()?;
        let plot = chart.plotting_area();
        for (i, group) in self.groups.iter().enumerate() {
            let top = i as i32 * self.group_height() + GAP / 2;
            let middle = top + BAR * self.series.len() as i32 / 2;
            let x = labels - SPACE;
            let label = style(TEXT_SIZE, &BLACK, HPos::Right);
            area.draw(&Text::new(group.label.as_str(), (x, middle - 8), label))?;
            let note = style(NOTE_SIZE, &GREY, HPos::Right);
            area.draw(&Text::new(group.note.as_str(), (x, middle + 9), note))?;

            for (j, (value, color)) in group.values.iter().zip(COLORS.iter().cycle()).enumerate() {
                let (top, bottom) = (top + BAR * j as i32 + 1, top + BAR * (j as i32 + 1) - 1);
                let corners = [(0.0, top), (value.bar, bottom)];
                plot.draw(&Rectangle::new(corners, color.filled()))?;
                let line = vec![(value.line, top), (value.line, bottom)];
                plot.draw(&PathElement::new(line, BLACK.stroke_width(1)))?;
                let text = EmptyElement::at((value.bar, (top + bottom) / 2))
                    + Text::new(
                        number(value.bar),
                        (SPACE, 0),
                        style(TEXT_SIZE, &BLACK, HPos::Left),
                    );
                plot.draw(&text)?;
            }
        }
        Ok(())
    }
}

/// A place on the axis, which is a round number.
fn axis_number(value: f64) -> String {
    if value >= 10.0 { text::grouped(value.round() as u64) } else { format!("{value}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_more() {
        let cases =
            [(0.0, "0.00"), (9.994, "9.99"), (9.996, "10.0"), (99.96, "100"), (12345.6, "12,346")];
        assert!(cases.iter().all(|&(value, text)| number(value) == text));
    }
}
