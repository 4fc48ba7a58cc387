//! What a declaration (a JSON Schema, made from the types that read a message) asks for at one place of a message.

use serde_json::Value;

/// Stands for any message: which one, its own topic and name tell.
pub(crate) const ANY_MESSAGE: &str = "#/$defs/message";

/// The declaration of the message of this topic and name.
pub(crate) type Messages = fn(&str, &str) -> Option<&'static Value>;

/// What is asked for at one place.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'a> {
    schema: &'a Value,
    messages: Messages,
}

impl<'a> Shape<'a> {
    pub(crate) fn new(schema: &'a Value, messages: Messages) -> Shape<'a> {
        Shape { schema, messages }
    }

    /// Where any message may be: that of the message which is there, told by its headers.
    pub(crate) fn of_message<'t>(self, header: impl Fn(&str) -> Option<&'t str>) -> Shape<'a> {
        if !self.alternatives().any(|schema| schema["$ref"] == ANY_MESSAGE) {
            return self;
        }
        let name = |header: Option<&'t str>| Some(super::hyphenated(header?.trim()));
        let found = name(header("topic")).zip(name(header("message")));
        let found = found.and_then(|(topic, message)| (self.messages)(&topic, &message));
        found.map_or(self, |schema| Shape { schema, ..self })
    }

    /// Whether a value of this type may be there, by its name in JSON Schema.
    pub(crate) fn takes(self, kind: &str) -> bool {
        self.alternatives().any(|schema| match &schema["type"] {
            Value::String(name) => name == kind,
            Value::Array(names) => names.iter().any(|name| name == kind),
            // One of some names, say.
            _ => schema["enum"].as_array().into_iter().flatten().chain(schema.get("const")).any(|it| is_a(it, kind)),
        })
    }

    /// Whether anything may be there.
    pub(crate) fn takes_any(self) -> bool {
        let is_open = |schema: &Value| !["type", "enum", "const", "$ref"].iter().any(|word| schema.get(word).is_some());
        self.alternatives().all(is_open)
    }

    pub(crate) fn member(self, name: &str) -> Option<Shape<'a>> {
        let name = super::hyphenated(name);
        let found = self.alternatives().find_map(|schema| schema.get("properties")?.get(&name));
        found.map(|schema| Shape { schema, ..self })
    }

    pub(crate) fn item(self, index: usize) -> Option<Shape<'a>> {
        let prefixed = |schema: &'a Value| schema.get("prefixItems")?.get(index);
        let found = self.alternatives().find_map(|schema| prefixed(schema).or_else(|| schema.get("items")));
        found.filter(|schema| schema.is_object()).map(|schema| Shape { schema, ..self })
    }

    /// The schema itself, or those it leaves the choice of.
    fn alternatives(self) -> impl Iterator<Item = &'a Value> {
        let choice = self.schema.get("anyOf").or_else(|| self.schema.get("oneOf")).and_then(Value::as_array);
        let alone = choice.is_none().then_some(self.schema);
        choice.into_iter().flatten().chain(alone)
    }
}

fn is_a(value: &Value, kind: &str) -> bool {
    match value {
        Value::String(_) => kind == "string",
        Value::Number(_) => kind == "number" || kind == "integer",
        Value::Bool(_) => kind == "boolean",
        Value::Null => kind == "null",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    }
}
