//! Tables for people.

use super::screen::cut;
use crate::terminal::printable::line;

/// Between two columns.
const GAP: usize = 2;

/// A table with a line of titles.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(|title| (*title).to_owned()).collect()] }
    }

    /// A row; what comes from machines may be in it.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(|cell| line(&cell)).collect());
    }

    /// The text. On a terminal of `width` the columns `dispensable` are left out, one after the other, until the last
    /// column has `wanted` characters or all that it needs; then the last column is cut.
    pub(super) fn text(mut self, width: Option<usize>, mut dispensable: &[&str], wanted: usize) -> String {
        while let (Some(width), [name, rest @ ..]) = (width, dispensable) {
            let widths = self.widths();
            let needed: usize = widths.iter().map(|width| width + GAP).sum::<usize>() - GAP;
            let last = widths.last().copied().unwrap_or(0);
            if needed <= width + last.saturating_sub(wanted) {
                break;
            }
            self.leave_out(name);
            dispensable = rest;
        }
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            let mut shown = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                shown.push_str(&format!("{cell:<0$}", width + GAP));
            }
            let shown = shown.trim_end();
            text.push_str(&width.map_or_else(|| shown.to_owned(), |width| cut(shown, width)));
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width =
            |at: usize| self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        (0..columns).map(|at| width(at).unwrap_or(0)).collect()
    }

    fn leave_out(&mut self, name: &str) {
        let Some(at) = self.rows.first().and_then(|titles| titles.iter().position(|title| title == name))
        else {
            return;
        };
        for row in &mut self.rows {
            row.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<usize>) -> String {
        let mut table = Table::new(&["ID", "MAC", "REASON"]);
        table.row(["1".into(), "52:54".into(), "it\nbroke".into()]);
        table.row(["17".into(), String::new(), String::new()]);
        table.text(width, &["MAC"], 8)
    }

    #[test]
    fn columns_go_before_the_last_one_is_cut() {
        assert_eq!(table(None), "ID  MAC    REASON\n1   52:54  it\\nbroke\n17\n");
        assert_eq!(table(Some(20)), "ID  MAC    REASON\n1   52:54  it\\nbroke\n17\n");
        assert_eq!(table(Some(19)), "ID  MAC    REASON\n1   52:54  it\\nbro\u{2026}\n17\n");
        assert_eq!(table(Some(18)), "ID  REASON\n1   it\\nbroke\n17\n");
        assert_eq!(table(Some(10)), "ID  REASON\n1   it\\nb\u{2026}\n17\n");
    }
}
