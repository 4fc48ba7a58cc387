//! Tables for people.

/// Columns as wide as their widest cell, two spaces between.
///
/// Cells may come from the network (a phone's User-Agent): what would steer a terminal is shown as `?`.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell_width = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| cell_width(row, column)).max().unwrap_or(0)).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        })
        .collect()
}

/// Without what would steer a terminal.
pub(super) fn clean(text: &str) -> String {
    text.replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|&cell| cell.to_owned()).collect()).collect()
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let text = table(&rows(&[&["EXT", "NAME", "ROLE"], &["501", "Jürgen", ""], &["5020", "A", "admin"]]));
        assert_eq!(text, "EXT   NAME    ROLE\n501   Jürgen\n5020  A       admin\n");
    }

    #[test]
    fn what_would_steer_a_terminal_is_not_printed() {
        assert_eq!(table(&rows(&[&["a\u{1b}[2Jb", "c\nd"]])), "a?[2Jb  c?d\n");
    }
}
