//! Topic `find`: the system directory (S79-S81), in the columns of the field's own `lookup-contacts`.
//!
//! Users who have a number are in it, and the numbers of the switch's own services. Every word of the tokens must match: a name by the beginning of
//! any of its words, case and accents aside; no token at all lists everybody.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::{Context, Outcome, Progress};
use crate::site::{Extension, Feature, Site, Target, User};
use crate::wire::Failure;
use crate::wire::rows::Rows;

/// More is cut off.
const MAX_CONTACTS: usize = 1000;
const MAX_WORDS: usize = 16;

/// Bits of `source-flags` and values of `source-type`.
mod source {
    pub(super) const SYSTEM_USER: u32 = 4;
    pub(super) const SYSTEM_NUMBER: u32 = 16;
}

/// Bits of `search-fields`. Company and department are not kept yet: nothing matches by them.
mod search {
    pub(super) const NAMES: u32 = 1;
    pub(super) const NUMBERS: u32 = 8;
    pub(super) const ADDRESSES: u32 = 16;
}

/// Bits of the request's `flags`. No entry is a favourite yet.
mod only {
    pub(super) const FAVOURITES: u32 = 1;
}

/// The optional columns in their order, each with its bit of `result-fields`.
const COLUMNS: [(u32, &str); 10] = [
    (0, "source-type"),
    (1, "first"),
    (3, "mid"),
    (4, "last"),
    (5, "co"),
    (6, "dept"),
    (8, "source-name"),
    (9, "contact-points"),
    (11, "flags"),
    (12, "presence"),
];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Lookup {
    tokens: Vec<String>,
    #[serde(default = "all_sources")]
    source_flags: u32,
    #[serde(default = "names")]
    search_fields: u32,
    #[serde(default = "columns_of_the_field")]
    result_fields: u32,
    #[serde(default)]
    flags: u32,
    #[serde(default)]
    sort: u32,
    #[serde(default = "a_page")]
    max: usize,
    /// Accepted; the column is null until there is presence.
    #[serde(default)]
    pres: u32,
}

fn all_sources() -> u32 {
    255
}

fn names() -> u32 {
    search::NAMES
}

fn columns_of_the_field() -> u32 {
    2939
}

fn a_page() -> usize {
    25
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Found {
    #[schemars(schema_with = "contact_rows")]
    contacts: Value,
}

fn contact_rows(_: &mut SchemaGenerator) -> Schema {
    let columns = ["id", "actions"].into_iter().chain(COLUMNS.iter().map(|(_, column)| *column));
    Rows::schema(&columns.collect::<Vec<_>>())
}

/// One entry, borrowed from the site.
enum Contact<'a> {
    User { user: &'a User, number: &'a Extension, realm: &'a str },
    Service { number: &'a Extension, feature: Feature },
}

impl<'a> Contact<'a> {
    fn id(&self) -> String {
        match self {
            Contact::User { user, .. } => user.id.0.to_string(),
            Contact::Service { number, .. } => format!("SysDN:{number}"),
        }
    }

    fn source(&self) -> u32 {
        match self {
            Contact::User { .. } => source::SYSTEM_USER,
            Contact::Service { .. } => source::SYSTEM_NUMBER,
        }
    }

    /// A service has no first and no middle name, which is not an empty one (S32).
    fn first(&self) -> Option<&'a str> {
        match self {
            Contact::User { user, .. } => Some(&user.first),
            Contact::Service { .. } => None,
        }
    }

    fn last(&self) -> &'a str {
        match self {
            Contact::User { user, .. } => &user.last,
            Contact::Service { feature: Feature::Echo, .. } => "Echo",
        }
    }

    fn number(&self) -> &'a str {
        match self {
            Contact::User { number, .. } | Contact::Service { number, .. } => number.as_str(),
        }
    }

    /// Every user has an IM address.
    fn im(&self) -> Option<String> {
        match self {
            Contact::User { user, realm, .. } => Some(format!("{}@{realm}", user.login)),
            Contact::Service { .. } => None,
        }
    }

    fn email(&self) -> Option<&'a str> {
        match self {
            Contact::User { user, .. } => user.email.as_deref(),
            Contact::Service { .. } => None,
        }
    }
}

pub(super) fn lookup_contacts(cx: &mut Context<'_>, request: Lookup) -> Outcome<Found> {
    if request.sort > 3 {
        return Err(Failure::bad("sort", "sort is 0 relevance, 1 first name, 2 last name or 3 company"));
    }
    if ![0, 1, 3].contains(&request.pres) {
        return Err(Failure::bad("pres", "pres is 0 none, 1 with presence or 3 with presence and updates"));
    }
    let words = request.tokens.iter().flat_map(|token| token.split_whitespace());
    let words: Vec<String> = words.take(MAX_WORDS + 1).map(fold).collect();
    if words.len() > MAX_WORDS {
        return Err(Failure::bad("tokens", format!("tokens are at most {MAX_WORDS} words")));
    }
    let mut found: Vec<(SortKey, Contact<'_>)> = contacts(cx.site, &request)
        .filter_map(|contact| {
            let rank = rank(&contact, &words, request.search_fields)?;
            Some((sort_key(&contact, request.sort, rank), contact))
        })
        .collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    let found = found.iter().take(request.max.min(MAX_CONTACTS)).map(|(_, contact)| contact);
    Ok(Progress::Done(Found { contacts: rows(found, request.result_fields) }))
}

fn contacts<'a>(site: &'a Site, request: &Lookup) -> impl Iterator<Item = Contact<'a>> {
    let sources = if request.flags & only::FAVOURITES == 0 { request.source_flags } else { 0 };
    let users = site.users().filter(move |_| sources & source::SYSTEM_USER != 0);
    let users =
        users.filter_map(|user| Some(Contact::User { user, number: site.extension_of(user.id)?, realm: &site.realm }));
    let numbers = site.numbers().filter(move |_| sources & source::SYSTEM_NUMBER != 0);
    users.chain(numbers.filter_map(|(number, target)| match target {
        Target::User(_) => None,
        Target::Feature(feature) => Some(Contact::Service { number, feature: *feature }),
    }))
}

/// How well all the words match, 0 best; `None` where one does not.
fn rank(contact: &Contact<'_>, words: &[String], fields: u32) -> Option<u32> {
    words.iter().map(|word| rank_word(contact, word, fields)).sum()
}

fn rank_word(contact: &Contact<'_>, word: &str, fields: u32) -> Option<u32> {
    let names = contact.first().into_iter().chain([contact.last()]).filter(|_| fields & search::NAMES != 0);
    let name = names.flat_map(str::split_whitespace).enumerate().filter(|(_, name)| begins(name, word));
    let name = name.map(|(index, name)| if name.len() == word.len() { 0 } else { 1 + u32::from(index > 0) });
    let number = Some(contact.number()).filter(|number| fields & search::NUMBERS != 0 && number.starts_with(word));
    let addresses = || fields & search::ADDRESSES != 0 && addresses(contact).any(|address| begins(&address, word));
    name.min().or(number.map(|number| u32::from(number != word))).or_else(|| addresses().then_some(1))
}

fn addresses(contact: &Contact<'_>) -> impl Iterator<Item = String> {
    contact.im().into_iter().chain(contact.email().map(str::to_owned))
}

/// Whether a text begins with a folded word. Most are ASCII, and nothing is copied for them.
fn begins(text: &str, word: &str) -> bool {
    match text.is_ascii() {
        true => text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)),
        false => fold(text).starts_with(word),
    }
}

/// Without case and accents: what is compared.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let plain: Cow<'_, str> = text.nfkd().filter(|c| !is_combining_mark(*c)).collect();
    plain.to_lowercase()
}

type SortKey = (u32, [String; 2], String);

/// Names decide among equals, ids among equal names.
fn sort_key(contact: &Contact<'_>, sort: u32, rank: u32) -> SortKey {
    let (first, last) = (fold(contact.first().unwrap_or_default()), fold(contact.last()));
    let (rank, names) = match sort {
        0 => (rank, [last, first]),
        1 => (0, [first, last]),
        _ => (0, [last, first]),
    };
    (rank, names, contact.id())
}

fn rows<'a>(contacts: impl Iterator<Item = &'a Contact<'a>>, mask: u32) -> Value {
    let columns: Vec<&str> =
        COLUMNS.iter().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, column)| *column).collect();
    let mut rows = Rows::new(&[&["id"], columns.as_slice(), &["actions"]].concat());
    for contact in contacts {
        let values = columns.iter().map(|column| value(contact, column));
        // Nothing can be done with an entry of the system's yet.
        let actions = Value::Array(Vec::new());
        rows.push(std::iter::once(contact.id().into()).chain(values).chain([actions]).collect());
    }
    rows.into()
}

fn value(contact: &Contact<'_>, column: &str) -> Value {
    match column {
        "source-type" => contact.source().into(),
        "first" => contact.first().into(),
        "mid" => contact.first().map(|_| "").into(),
        "last" => contact.last().into(),
        "co" | "dept" | "source-name" => "".into(),
        "contact-points" => contact_points(contact),
        "flags" => 0.into(),
        // Presence is not known yet.
        _ => Value::Null,
    }
}

/// `type` and `field` by the protocol's tables: phone and extension, IM, e-mail.
fn contact_points(contact: &Contact<'_>) -> Value {
    let im = contact.im();
    let points = [
        Some((16, contact.number(), 10)),
        im.as_deref().map(|im| (2, im, 50)),
        contact.email().map(|email| (4, email, 1000)),
    ];
    let mut rows = Rows::new(&["id", "type", "addr", "addr-canonical", "field"]);
    for (index, (kind, addr, field)) in points.into_iter().flatten().enumerate() {
        rows.push(vec![(index + 1).into(), json!(kind), addr.into(), addr.into(), json!(field)]);
    }
    rows.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_accents_are_set_aside() {
        assert_eq!(fold("Vanessa"), "vanessa");
        assert_eq!(fold("Dvořák"), "dvorak");
        assert_eq!(fold("ÉLODIE"), "elodie");
        assert_eq!(fold("李"), "李");
    }
}
