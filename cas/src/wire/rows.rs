//! Columnar rows: a list whose first row names the columns (S31). Collections inside a row are written likewise.
//!
//! A row is declared once, by [`row!`](row): the columns, what is written, and the schema are made from the declaration.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::{Serialize, SerializeSeq, Serializer};
use serde_json::{Value, json};

/// One row of a list; written by itself it is an object, whose members are the columns.
pub(crate) trait Row: JsonSchema {
    /// The names of the columns, in their order.
    fn columns() -> Vec<Cow<'static, str>>;
    /// What each column takes.
    fn schemas(generator: &mut SchemaGenerator) -> Vec<Schema>;
    /// The values, in the order of the columns.
    fn write<S: SerializeSeq>(&self, row: &mut S) -> Result<(), S::Error>;
}

/// Declares a row.
macro_rules! row {
    ($(#[$about:meta])* $vis:vis struct $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, ::serde::Serialize, ::schemars::JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        $vis struct $name {
            $($(#[$doc])* $vis $field: $type,)*
        }

        impl $crate::wire::rows::Row for $name {
            fn columns() -> Vec<std::borrow::Cow<'static, str>> {
                vec![$($crate::wire::rows::column(stringify!($field)),)*]
            }

            fn schemas(generator: &mut ::schemars::SchemaGenerator) -> Vec<::schemars::Schema> {
                vec![$(generator.subschema_for::<$type>(),)*]
            }

            fn write<S: ::serde::ser::SerializeSeq>(&self, row: &mut S) -> Result<(), S::Error> {
                $(row.serialize_element(&self.$field)?;)*
                Ok(())
            }
        }
    };
}
pub(crate) use row;

/// The name of a column, from that of a field.
pub(crate) fn column(field: &'static str) -> Cow<'static, str> {
    let field = field.strip_prefix("r#").unwrap_or(field);
    if field.contains('_') { super::hyphenated(field).into() } else { field.into() }
}

/// A list of rows of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Table<R>(pub(crate) Vec<R>);

impl<R> FromIterator<R> for Table<R> {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Table<R> {
        Table(rows.into_iter().collect())
    }
}

impl<R: Row> Serialize for Table<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len() + 1))?;
        list.serialize_element(&R::columns())?;
        self.0.iter().try_for_each(|row| list.serialize_element(&Cells(row)))?;
        list.end()
    }
}

struct Cells<'a, R>(&'a R);

impl<R: Row> Serialize for Cells<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_seq(None)?;
        self.0.write(&mut row)?;
        row.end()
    }
}

impl<R: Row> JsonSchema for Table<R> {
    fn schema_name() -> Cow<'static, str> {
        format!("Table_of_{}", R::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (columns, cells) = (R::columns(), R::schemas(generator));
        let width = columns.len();
        json_schema!({
            "type": "array",
            "minItems": 1,
            "prefixItems": [{"const": columns}],
            "items": {"type": "array", "prefixItems": cells, "minItems": width, "maxItems": width},
        })
    }
}

/// A list whose columns are chosen as it is built.
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

    /// The schema of a list of any of these columns.
    pub(crate) fn schema(columns: &[&str]) -> Schema {
        let names = json!({"type": "array", "items": {"enum": columns}, "minItems": 1, "uniqueItems": true});
        json_schema!({"type": "array", "minItems": 1, "prefixItems": [names], "items": {"type": "array"}})
    }
}

impl From<Rows> for Value {
    fn from(rows: Rows) -> Value {
        Value::Array(rows.rows)
    }
}

/// A list as objects, whichever way it was written: rows under the names of their columns, or objects. `None` where a row does not fit its columns.
pub(crate) fn as_objects(list: Value) -> Option<Value> {
    let columns: Vec<String> = match list.get(0).and_then(Value::as_array) {
        Some(columns) => columns.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?,
        None => return Some(list),
    };
    let Value::Array(rows) = list else { return Some(list) };
    let object = |row: Value| match row {
        Value::Array(values) if values.len() == columns.len() => {
            Some(Value::Object(columns.iter().cloned().zip(values).collect()))
        }
        _ => None,
    };
    rows.into_iter().skip(1).map(object).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    row! {
        /// Of the tests.
        struct Sample {
            call_id: String,
            r#type: Option<u32>,
            inner: Table<Inner>,
        }
    }

    row! {
        /// A collection inside a row.
        struct Inner {
            mid: Option<String>,
        }
    }

    fn sample(call_id: &str, inner: Vec<Option<&str>>) -> Sample {
        let inner = inner.into_iter().map(|mid| Inner { mid: mid.map(str::to_owned) }).collect();
        Sample { call_id: call_id.to_owned(), r#type: None, inner }
    }

    #[test]
    fn s31_the_first_row_names_the_columns() {
        let table = Table(vec![sample("a", vec![None, Some("")]), sample("b", vec![])]);
        let wanted =
            json!([["call-id", "type", "inner"], ["a", null, [["mid"], [null], [""]]], ["b", null, [["mid"]]]]);
        assert_eq!(serde_json::to_value(&table).unwrap(), wanted);
        assert_eq!(
            serde_json::to_value(&table.0[1]).unwrap(),
            json!({"call-id": "b", "type": null, "inner": [["mid"]]})
        );
        let mut rows = Rows::new(&["id", "mid"]);
        rows.push(vec!["2".into(), Value::Null]);
        rows.push(vec!["3".into(), "".into()]);
        assert_eq!(Value::from(rows), json!([["id", "mid"], ["2", null], ["3", ""]]));
    }

    #[test]
    fn rows_and_objects_are_the_same_list() {
        let objects = json!([{"id": "2", "mid": null}, {"id": "3", "mid": ""}]);
        assert_eq!(as_objects(json!([["id", "mid"], ["2", null], ["3", ""]])), Some(objects.clone()));
        assert_eq!(as_objects(objects.clone()), Some(objects));
        assert_eq!((as_objects(json!([["id"]])), as_objects(json!([]))), (Some(json!([])), Some(json!([]))));
        for wrong in [json!([["id"], []]), json!([["id"], {"id": 1}]), json!([[7], [7]])] {
            assert_eq!(as_objects(wrong), None);
        }
    }

    #[test]
    fn s31_the_schema_is_that_of_what_is_written() {
        let schema = crate::topic::schema_of::<Table<Sample>>();
        let fits = |value: &Value| jsonschema::is_valid(&schema, value);
        let table = Table(vec![sample("a", vec![None, Some("")])]);
        assert!(fits(&serde_json::to_value(&table).unwrap()), "{schema}");
        for wrong in [
            json!([]),
            json!([["call-id", "type"]]),
            json!([["call-id", "type", "inner"], ["a", null]]),
            json!([["call-id", "type", "inner"], ["a", "x", [["mid"]]]]),
            json!([["call-id", "type", "inner"], ["a", null, [["mid"], [7]]]]),
        ] {
            assert!(!fits(&wrong), "{wrong}");
        }
    }
}
