//! Tables and numbers for people.

use std::fmt::Display;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use indicatif::{DecimalBytes, HumanCount};

/// A rule under the titles and one at the end; columns are two spaces apart.
const STYLE: TableStyle = TableStyle::new().header_separator(RULE).bottom_border(RULE);
const RULE: LineStyle = LineStyle::new('─', '─', '─', '─');

/// An empty table with these column titles.
pub fn of_text<T: Display>(titles: &[T]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(titles);
    table
}

/// An empty table with these column titles; every column but the first is aligned to the right.
pub fn of_numbers<T: Display>(titles: &[T]) -> Table {
    let mut table = of_text(titles);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A rate with three figures or more.
pub fn figures(number: f64) -> String {
    match number {
        number if number < 1.0 => format!("{number:.3}"),
        number if number < 100.0 => format!("{number:.1}"),
        number => format!("{number:.0}"),
    }
}

/// A time in the unit that shows three to four figures of it.
pub fn duration(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.1} µs"),
        us if us < 1e6 => format!("{:.2} ms", us * 1e-3),
        us => format!("{:.2} s", us * 1e-6),
    }
}

/// `12345` as `12,345`.
pub fn thousands(number: u64) -> String {
    HumanCount(number).to_string()
}

/// A size in the decimal unit that shows three to four figures of it.
pub fn bytes(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_the_size() {
        assert_eq!([0.0504, 50.44, 2337.0].map(figures), ["0.050", "50.4", "2337"]);
        assert_eq!([12.34, 1234.5, 2.5e6].map(duration), ["12.3 µs", "1.23 ms", "2.50 s"]);
        assert_eq!([81_920, 7].map(thousands), ["81,920", "7"]);
        assert_eq!([999, 1152, 85_899_345_920].map(bytes), ["999 B", "1.15 kB", "85.90 GB"]);
    }
}
