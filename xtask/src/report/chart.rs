//! Charts with two logarithmic axes, as SVG.

use anyhow::{Result, anyhow};
use plotters::coord::combinators::BindKeyPoints;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Width and height in pixels.
const SIZE: (u32, u32) = (900, 560);
const FONT: &str = "sans-serif";
/// Heights of text in pixels.
const TITLE: u32 = 19;
const TEXT: u32 = 14;

/// Blue, vermilion, green, orange, purple and sky blue, which stay apart for the colour-blind (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(230, 159, 0),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

/// The colour of what we measured. Its marks are filled, those of all others are rings: both can be seen where
/// they meet.
pub const OURS: usize = 0;

/// A chart: what to draw, and how its axes are labelled.
pub struct Chart {
    /// What it shows, on which card.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn, in the order of the legend.
    pub series: Vec<Series>,
}

/// One axis.
pub struct Axis {
    /// What it measures, with the unit.
    pub title: &'static str,
    /// Values that are written beside it. Only those between its ends are.
    pub ticks: Vec<f64>,
}

/// Points that belong together. Those without a place on a logarithmic axis are left out.
pub struct Series {
    /// Its name in the legend.
    pub label: String,
    /// Number of its colour.
    pub colour: usize,
    /// How it is drawn.
    pub style: Style,
    /// Horizontal and vertical values.
    pub points: Vec<(f64, f64)>,
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As marks.
    Marks,
    /// As marks with a line through them.
    MarkedLine,
    /// As a line.
    Line,
}

impl Chart {
    /// Draws it.
    pub fn to_svg(&self) -> Result<String> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|error| anyhow!("drawing “{}”: {error}", self.title))?;
        svg.push('\n');
        Ok(svg)
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error + '_>> {
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (x, y) = (self.range(|point| point.0), self.range(|point| point.1));
        let (x_ticks, y_ticks) = (self.x.within(x), self.y.within(y));
        let mut context = ChartBuilder::on(&root)
            .caption(&self.title, (FONT, TITLE))
            .margin(14)
            .x_label_area_size(46)
            .y_label_area_size(64)
            .build_cartesian_2d(
                (x.0..x.1).log_scale().with_key_points(x_ticks.clone()),
                (y.0..y.1).log_scale().with_key_points(y_ticks.clone()),
            )?;
        context
            .configure_mesh()
            .x_desc(self.x.title)
            .y_desc(self.y.title)
            .x_labels(x_ticks.len())
            .y_labels(y_ticks.len())
            .x_label_formatter(&|value| tick(*value))
            .y_label_formatter(&|value| tick(*value))
            .label_style((FONT, TEXT))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for series in &self.series {
            let colour = COLOURS[series.colour % COLOURS.len()];
            let (stroke, mark) = series.style.widths();
            let line = colour.stroke_width(stroke);
            let points = || series.points.iter().copied().filter(is_drawable);
            let shape = match series.colour {
                OURS => colour.filled(),
                _ => colour.stroke_width(2),
            };
            context.draw_series(points().map(|at| Circle::new(at, mark, shape)))?;
            context
                .draw_series(LineSeries::new(points().filter(|_| stroke > 0), line))?
                .label(&series.label)
                .legend(move |at| {
                    EmptyElement::at(at)
                        + PathElement::new([(0, 0), (20, 0)], line)
                        + Circle::new((10, 0), mark, shape)
                });
        }
        context
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font(TextStyle::from((FONT, TEXT)).pos(Pos::new(HPos::Left, VPos::Top)))
            .draw()?;
        root.present()?;
        Ok(())
    }

    /// Ends of an axis: a little beyond the points.
    fn range(&self, value: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let values = || points().filter(|point| is_drawable(point)).map(&value);
        let least = values().reduce(f64::min).unwrap_or(1.0);
        let most = values().reduce(f64::max).unwrap_or(10.0);
        (least * 0.8, most * 1.25)
    }
}

impl Style {
    /// Width of its line and radius of its marks, in pixels.
    const fn widths(self) -> (u32, i32) {
        match self {
            Self::Marks => (0, 4),
            Self::MarkedLine => (2, 4),
            Self::Line => (2, 0),
        }
    }
}

impl Axis {
    fn within(&self, (least, most): (f64, f64)) -> Vec<f64> {
        self.ticks.iter().copied().filter(|tick| (least..=most).contains(tick)).collect()
    }
}

/// 1, 2, 3 and 5 times the powers of ten from 0.1 to 100,000.
pub fn decimal_ticks() -> Vec<f64> {
    let decade = |power| [1.0, 2.0, 3.0, 5.0].map(|digit| digit * 10f64.powi(power));
    (-1..6).flat_map(decade).collect()
}

fn is_drawable(&(x, y): &(f64, f64)) -> bool {
    x > 0.0 && y > 0.0 && x.is_finite() && y.is_finite()
}

/// A value beside an axis, without figures that are not there.
fn tick(value: f64) -> String {
    if value < 1.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}
