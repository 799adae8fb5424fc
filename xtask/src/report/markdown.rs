//! Tables in Markdown.

/// A table with these titles. A bar or a line break in a cell would end it, and is replaced.
pub fn table<T: AsRef<str>, C: AsRef<str>>(
    titles: &[T],
    rows: impl IntoIterator<Item = impl AsRef<[C]>>,
) -> String {
    let mut lines = line(titles);
    lines += &line(&vec!["---"; titles.len()]);
    for row in rows {
        lines += &line(row.as_ref());
    }
    lines
}

fn line<T: AsRef<str>>(cells: &[T]) -> String {
    let cells = cells.iter().map(|cell| cell.as_ref().replace('|', "\\|").replace('\n', " "));
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_break_the_table() {
        let text = table(&["a", "b"], [["1|2", "3\n4"], ["5", "–"]]);
        assert_eq!(text, "| a | b |\n| --- | --- |\n| 1\\|2 | 3 4 |\n| 5 | – |\n");
    }
}
