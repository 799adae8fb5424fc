//! A trace as a picture.
//!
//! Time runs to the right, in cycles of the cost model. Every warpgroup has up to three rows: what its first
//! warp waits for, when the tensor cores multiply for it, and the copies it has under way. A gap in the row of
//! waits is work. Where the rows of the multiplies together leave a gap, the tensor cores stand idle.

use std::fmt::Write;

use crate::trace::{Event, Span, Trace};

const LABELS: u32 = 150;
const WIDTH: u32 = 1400;
const ROW: u32 = 18;
const TOP: u32 = 44;

/// The rows of a warpgroup, from the top.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Waits,
    Multiplies,
    Copies,
}

impl Lane {
    fn of(event: Event) -> Self {
        match event {
            Event::Multiply => Self::Multiplies,
            Event::Copy => Self::Copies,
            _ => Self::Waits,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::Multiplies => "multiplies",
            Self::Copies => "copies",
        }
    }
}

const EVENTS: [Event; 6] = [
    Event::Barrier,
    Event::Mbarrier,
    Event::WgmmaWait,
    Event::Arrive,
    Event::Multiply,
    Event::Copy,
];

/// Colour and name of an event; the detail's meaning follows the name.
fn style(event: Event) -> (&'static str, &'static str) {
    match event {
        Event::Barrier => ("#d95f02", "named barrier"),
        Event::Mbarrier => ("#e6ab02", "mbarrier"),
        Event::WgmmaWait => ("#7570b3", "wgmma wait"),
        Event::Arrive => ("#222222", "arrival"),
        Event::Multiply => ("#1b9e77", "multiply"),
        Event::Copy => ("#66a6d9", "copy"),
    }
}

impl Trace {
    /// The timeline of one CTA as an SVG document; `None` if the trace has nothing of that CTA.
    #[must_use]
    pub fn svg(&self, block: [u32; 3]) -> Option<String> {
        // Warps of a group run alike: the first one speaks for all.
        let shown = |span: &&Span| span.block == block && span.warp.is_multiple_of(4);
        let spans: Vec<&Span> = self.spans.iter().filter(shown).collect();
        let cycles = spans.iter().map(|span| span.end).max()?.max(1);
        let mut rows: Vec<(u32, Lane)> =
            spans.iter().map(|span| (span.warp / 4, Lane::of(span.event))).collect();
        rows.sort_unstable();
        rows.dedup();
        let height = TOP + rows.len() as u32 * ROW + 24;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
            LABELS + WIDTH + 20
        );
        legend(&mut svg);
        axis(&mut svg, cycles, height);
        for (i, (group, lane)) in rows.iter().enumerate() {
            let y = TOP + i as u32 * ROW;
            text(&mut svg, 8, y + 13, &format!("warpgroup {group} {}", lane.name()));
        }
        for span in spans {
            let row = rows.iter().position(|row| *row == (span.warp / 4, Lane::of(span.event)));
            bar(&mut svg, span, TOP + row.unwrap_or(0) as u32 * ROW, cycles);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }
}

fn x(cycle: u64, cycles: u64) -> f64 {
    f64::from(LABELS) + cycle as f64 / cycles as f64 * f64::from(WIDTH)
}

fn text(svg: &mut String, x: u32, y: u32, words: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\">{words}</text>");
}

fn legend(svg: &mut String) {
    for (i, event) in EVENTS.into_iter().enumerate() {
        let (colour, name) = style(event);
        let at = LABELS + 130 * i as u32;
        let _ = writeln!(
            svg,
            "<rect x=\"{at}\" y=\"6\" width=\"12\" height=\"12\" fill=\"{colour}\"/>"
        );
        text(svg, at + 16, 16, name);
    }
}

/// A tick every so many cycles, 8 to 20 in all.
fn axis(svg: &mut String, cycles: u64, height: u32) {
    let mut step = 10;
    while cycles / step > 20 {
        step = if step.to_string().starts_with('2') { step / 2 * 5 } else { step * 2 };
    }
    for tick in 0..=cycles / step {
        let at = x(tick * step, cycles);
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" y1=\"{}\" x2=\"{at:.1}\" y2=\"{}\" stroke=\"#dddddd\"/>",
            TOP - 6,
            height - 24
        );
        text(svg, at as u32, TOP - 10, &(tick * step).to_string());
    }
    text(svg, LABELS, height - 8, "cycles of the cost model");
}

fn bar(svg: &mut String, span: &Span, y: u32, cycles: u64) {
    let (colour, name) = style(span.event);
    let (from, to) = (x(span.start, cycles), x(span.end, cycles));
    let width = (to - from).max(0.5);
    // Copies overlap; half transparent, they show how many.
    let opacity = if span.event == Event::Copy { 0.3 } else { 0.9 };
    let _ = writeln!(
        svg,
        "<rect x=\"{from:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\" \
         fill-opacity=\"{opacity}\"><title>{name} {}, cycles {}–{}</title></rect>",
        y + 2,
        ROW - 4,
        detail(span),
        span.start,
        span.end
    );
}

fn detail(span: &Span) -> String {
    match span.event {
        Event::Mbarrier => format!("{:#x}", span.detail),
        Event::Multiply => format!("64 × {}", span.detail),
        Event::Copy => format!("{} bytes", span.detail),
        Event::Arrive if span.detail > 15 => format!("at {:#x}", span.detail),
        _ => span.detail.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(warp: u32, event: Event, start: u64, end: u64) -> Span {
        Span { block: [0; 3], warp, event, start, end, detail: 1 }
    }

    #[test]
    fn a_bar_for_each_span_of_a_first_warp() {
        let spans = vec![
            span(0, Event::Barrier, 0, 50),
            span(1, Event::Barrier, 0, 50),
            span(4, Event::Multiply, 10, 100),
            Span { block: [1, 0, 0], ..span(0, Event::Copy, 0, 9) },
        ];
        let trace = Trace { spans, ..Trace::default() };
        let svg = trace.svg([0; 3]).expect("block 0 is there");
        assert_eq!(svg.matches("<title>").count(), 2);
        assert!(svg.contains("warpgroup 1 multiplies") && !svg.contains("copies"));
        assert_eq!(trace.svg([2, 0, 0]), None);
    }
}
