//! A TOML file whose keys are all known, and whose values know where they stand.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, SETTINGS};

/// A value and its place in the file.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// What is wrong with a value.
#[derive(Debug)]
pub(super) struct Wrong {
    /// The part of the value that is wrong.
    pub(super) span: Range<usize>,
    /// What would be right.
    pub(super) expected: String,
}

/// A file, over the defaults.
pub(super) struct Document<'a> {
    name: &'a str,
    text: &'a str,
    table: DeTable<'a>,
    defaults: Option<&'a Document<'a>>,
}

impl<'a> Document<'a> {
    /// Reads it, and sees that it holds nothing but settings there are.
    pub(super) fn read(name: &'a str, text: &'a str) -> Result<Document<'a>, ConfigError> {
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let message = error.message().replace('\n', ", ");
                return Err(ConfigError::Wrong { name: name.to_owned(), line: line(text, at), text: message });
            }
        };
        let document = Document { name, text, table, defaults: None };
        match document.unknown() {
            Some((span, problem)) => Err(document.error(span.start, problem)),
            None => Ok(document),
        }
    }

    /// The same, with defaults for what it leaves out.
    pub(super) fn or(self, defaults: &'a Document<'a>) -> Document<'a> {
        Document { defaults: Some(defaults), ..self }
    }

    /// A setting, read and checked.
    pub(super) fn get<T>(
        &self,
        section: &str,
        key: &str,
        read: fn(&Value<'_>) -> Result<T, Wrong>,
    ) -> Result<T, ConfigError> {
        let (document, value) = self.find(section, key);
        read(value).map_err(|wrong| document.wrong_value(key, &wrong))
    }

    /// The error of a setting that is wrong only beside another.
    pub(super) fn wrong(&self, section: &str, key: &str, expected: &str) -> ConfigError {
        let (document, value) = self.find(section, key);
        document.wrong_value(key, &Wrong { span: value.span(), expected: expected.to_owned() })
    }

    /// Whether the file itself has this setting.
    pub(super) fn sets(&self, section: &str, key: &str) -> bool {
        self.own(section, key).is_some()
    }

    fn own(&self, section: &str, key: &str) -> Option<&Value<'a>> {
        if section.is_empty() {
            return self.table.get(key);
        }
        self.table.get(section)?.get_ref().as_table()?.get(key)
    }

    fn find(&self, section: &str, key: &str) -> (&Document<'a>, &Value<'a>) {
        match (self.own(section, key), self.defaults) {
            (Some(value), _) => (self, value),
            (None, defaults) => defaults.expect("the example has every setting").find(section, key),
        }
    }

    /// The first thing in the file that is no setting.
    fn unknown(&self) -> Option<(Range<usize>, String)> {
        let mut problems = Vec::new();
        for (key, value) in &self.table {
            let name = key.get_ref();
            let is_section = SETTINGS.iter().any(|setting| setting.section == name);
            match value.get_ref() {
                DeValue::Table(table) if is_section => {
                    problems.extend(unknown_in(name, table));
                }
                DeValue::Table(_) => problems.push((key.span(), unknown_section(name))),
                _ if is_section => problems.push((key.span(), format!("{name} is a section: expected [{name}]"))),
                _ if known("", name) => {}
                _ => problems.push((key.span(), unknown_key("", name))),
            }
        }
        problems.into_iter().min_by_key(|(span, _)| span.start)
    }

    fn wrong_value(&self, key: &str, wrong: &Wrong) -> ConfigError {
        let value = self.text.get(wrong.span.clone()).unwrap_or_default();
        let value = value.lines().next().unwrap_or_default();
        self.error(wrong.span.start, format!("{key} = {value}: expected {}", wrong.expected))
    }

    fn error(&self, at: usize, text: String) -> ConfigError {
        ConfigError::Wrong { name: self.name.to_owned(), line: line(self.text, at), text }
    }
}

fn known(section: &str, key: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.section == section && setting.key == key)
}

fn unknown_in(section: &str, table: &DeTable<'_>) -> Vec<(Range<usize>, String)> {
    let unknown = table.keys().filter(|key| !known(section, key.get_ref()));
    unknown.map(|key| (key.span(), unknown_key(section, key.get_ref()))).collect()
}

fn unknown_section(name: &str) -> String {
    let mut sections: Vec<&str> =
        SETTINGS.iter().map(|setting| setting.section).filter(|name| !name.is_empty()).collect();
    sections.dedup();
    format!("there is no section [{name}]: {}", suggestion(name, &sections))
}

fn unknown_key(section: &str, key: &str) -> String {
    let keys: Vec<&str> =
        SETTINGS.iter().filter(|setting| setting.section == section).map(|setting| setting.key).collect();
    if section.is_empty() {
        // Most often a setting that was written above its section.
        let elsewhere = SETTINGS.iter().find(|setting| setting.key == key);
        let hint = elsewhere
            .map_or_else(|| suggestion(key, &keys), |setting| format!("it belongs under [{}]", setting.section));
        return format!("there is no setting {key} outside of a section: {hint}");
    }
    format!("there is no setting {key} in [{section}]: {}", suggestion(key, &keys))
}

fn suggestion(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|other| (strsim::damerau_levenshtein(name, other), other)).min();
    match near {
        Some((distance, other)) if distance <= 2 && distance < other.len() => format!("did you mean {other}?"),
        _ => format!("expected {}", known.join(", ")),
    }
}

fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}
