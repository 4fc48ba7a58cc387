//! Columnar rows: a list whose first row names the columns (S31). Collections inside a row are written likewise.

use serde_json::Value;

/// A list being built.
#[derive(Debug)]
pub(crate) struct Rows {
    width: usize,
    rows: Vec<Value>,
}

impl Rows {
    /// A list without rows, its columns named.
    pub(crate) fn new(columns: &[&str]) -> Rows {
        let header = columns.iter().map(|&name| Value::from(name)).collect();
        Rows { width: columns.len(), rows: vec![Value::Array(header)] }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Vec<Value>) {
        debug_assert_eq!(row.len(), self.width, "a value for each column");
        self.rows.push(Value::Array(row));
    }
}

impl From<Rows> for Value {
    fn from(rows: Rows) -> Value {
        Value::Array(rows.rows)
    }
}

/// One row as an object: what an event carries of a list's item.
pub(crate) fn as_object(columns: &[&str], row: Vec<Value>) -> super::Fields {
    columns.iter().map(|&name| name.to_owned()).zip(row).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn s31_the_first_row_names_the_columns() {
        let mut rows = Rows::new(&["id", "mid"]);
        rows.push(vec!["2".into(), Value::Null]);
        rows.push(vec!["3".into(), "".into()]);
        assert_eq!(Value::from(rows), json!([["id", "mid"], ["2", null], ["3", ""]]));
    }
}
