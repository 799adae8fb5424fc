//! What was measured, beside the recorded rows of the peers.

use std::io::Write;

use anyhow::Context;
use oxmla_bench::{NOT_NORMALISED, Record, TITLES, Tally, compare};
use serde::Deserialize;
use serde_json::Value;

use crate::table;

/// Prints every comparison that the records allow, under the titles of their regimes, and how many targets are
/// met.
pub fn print(records: &[Value], out: &mut dyn Write) -> anyhow::Result<()> {
    let records: Vec<Record> = records
        .iter()
        .map(Record::deserialize)
        .collect::<Result<_, _>>()
        .context("reading the records just made")?;
    let mut rows = compare(&records);
    rows.retain(|row| row.us.is_some());
    if rows.is_empty() {
        return Ok(());
    }

    let titles: Vec<_> = std::iter::once("regime").chain(TITLES).collect();
    let mut table = table::of_text(&titles);
    let mut shown = None;
    for row in &rows {
        let regime = row.regime.unwrap_or("no target");
        let title = if shown == Some(regime) { "" } else { regime };
        shown = Some(regime);
        table.add_row(std::iter::once(title.to_owned()).chain(row.cells()));
    }
    writeln!(out, "{}", table.trim_fmt())?;
    if rows.iter().any(|row| row.ratio.is_some_and(|ratio| !ratio.normalised)) {
        writeln!(out, "{NOT_NORMALISED}")?;
    }
    writeln!(out, "targets of what was measured: {}", Tally::of(&rows))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use oxmla_bench::Work;
    use serde_json::json;

    use super::*;

    #[test]
    fn regimes_are_named_once_and_unmeasured_rows_are_left_out() {
        let record = |name, tokens, us| {
            let work = Work::of_decode(1, 1, 128, 1, tokens);
            json!({ "name": name, "flop": work.flop, "bytes": work.bytes, "ev_us": us, "device": "H100" })
        };
        let records =
            [record("b1_sq1_h128_sk1024", 1024, 8.0), record("b1_sq1_h128_sk8192", 8192, 14.0)];
        let mut out = Vec::new();
        print(&records, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("latency").count(), 1, "{text}");
        assert!(!text.contains("b128") && text.contains("†"), "{text}");
        assert!(text.contains("1 met, 1 missed"), "{text}");
    }
}
