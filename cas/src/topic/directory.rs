//! Topic `find`: the system directory (S79-S81), in the columns of the field's own `lookup-contacts`.
//!
//! Users who have a number are in it, and the numbers of the switch's own services. Every word of the tokens must match: a name by the beginning of
//! any of its words, case and accents aside; no token at all lists everybody.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::{Context, Outcome, Progress};
use crate::site::{Extension, Feature, Site, Target, User};
use crate::wire::rows::Rows;
use crate::wire::{Failure, Fields, json};

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

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Lookup {
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

/// One entry, borrowed from the site.
struct Contact<'a> {
    source: u32,
    id: String,
    first: &'a str,
    last: &'a str,
    number: &'a str,
    im: Option<String>,
    email: Option<&'a str>,
}

pub(super) fn lookup_contacts(cx: &mut Context<'_>, fields: Fields) -> Outcome {
    let request: Lookup = json::members(fields)?;
    if request.sort > 3 {
        return Err(Failure::bad("sort", "sort is 0 relevance, 1 first name, 2 last name or 3 company"));
    }
    if request.pres > 3 {
        return Err(Failure::bad("pres", "pres is 0 none, 1 with presence or 3 with presence and updates"));
    }
    let words: Vec<String> = request.tokens.iter().flat_map(|token| token.split_whitespace()).map(fold).collect();
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
    let contacts = rows(found, request.result_fields);
    Ok(Progress::Done(Fields::from_iter([("contacts".to_owned(), contacts)])))
}

fn contacts<'a>(site: &'a Site, request: &Lookup) -> impl Iterator<Item = Contact<'a>> {
    let sources = if request.flags & only::FAVOURITES == 0 { request.source_flags } else { 0 };
    let users = site.users().filter(move |_| sources & source::SYSTEM_USER != 0);
    let users = users.filter_map(|user| Some(user_contact(site, user, site.extension_of(user.id)?)));
    let numbers = site.numbers().filter(move |_| sources & source::SYSTEM_NUMBER != 0);
    users.chain(numbers.filter_map(|(number, target)| match target {
        Target::User(_) => None,
        Target::Feature(feature) => Some(feature_contact(number, *feature)),
    }))
}

fn user_contact<'a>(site: &Site, user: &'a User, extension: &'a Extension) -> Contact<'a> {
    Contact {
        source: source::SYSTEM_USER,
        id: user.id.0.to_string(),
        first: &user.first,
        last: &user.last,
        number: &extension.0,
        im: Some(format!("{}@{}", user.login, site.realm)),
        email: user.email.as_deref(),
    }
}

fn feature_contact(number: &Extension, feature: Feature) -> Contact<'_> {
    let name = match feature {
        Feature::Echo => "Echo",
    };
    Contact {
        source: source::SYSTEM_NUMBER,
        id: format!("SysDN:{}", number.0),
        first: "",
        last: name,
        number: &number.0,
        im: None,
        email: None,
    }
}

/// How well all the words match, 0 best; `None` where one does not.
fn rank(contact: &Contact<'_>, words: &[String], fields: u32) -> Option<u32> {
    words.iter().map(|word| rank_word(contact, word, fields)).sum()
}

fn rank_word(contact: &Contact<'_>, word: &str, fields: u32) -> Option<u32> {
    let names = [contact.first, contact.last].into_iter().filter(|_| fields & search::NAMES != 0);
    let name = names.flat_map(str::split_whitespace).enumerate().filter_map(|(index, name)| {
        let name = fold(name);
        name.starts_with(word).then_some(if name == word { 0 } else { 1 + u32::from(index > 0) })
    });
    let number = Some(contact.number).filter(|number| fields & search::NUMBERS != 0 && number.starts_with(word));
    let addresses = contact.im.as_deref().into_iter().chain(contact.email).filter(|_| fields & search::ADDRESSES != 0);
    let address = addresses.map(fold).find(|address| address.starts_with(word));
    name.min().or(number.map(|number| u32::from(number != word))).or(address.map(|_| 1))
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
    let (first, last) = (fold(contact.first), fold(contact.last));
    let (rank, names) = match sort {
        0 => (rank, [last, first]),
        1 => (0, [first, last]),
        _ => (0, [last, first]),
    };
    (rank, names, contact.id.clone())
}

fn rows<'a>(contacts: impl Iterator<Item = &'a Contact<'a>>, mask: u32) -> Value {
    let columns: Vec<&str> =
        COLUMNS.iter().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, column)| *column).collect();
    let mut rows = Rows::new(&[&["id"], columns.as_slice()].concat());
    for contact in contacts {
        let values = columns.iter().map(|column| value(contact, column));
        rows.push(std::iter::once(contact.id.as_str().into()).chain(values).collect());
    }
    rows.into()
}

fn value(contact: &Contact<'_>, column: &str) -> Value {
    let is_user = contact.source == source::SYSTEM_USER;
    match column {
        "source-type" => contact.source.into(),
        "first" if is_user => contact.first.into(),
        "mid" if is_user => "".into(),
        "last" => contact.last.into(),
        "co" | "dept" | "source-name" => "".into(),
        "contact-points" => contact_points(contact),
        "flags" => 0.into(),
        // A service has no first and middle name (S32); presence is not known yet.
        _ => Value::Null,
    }
}

/// `type` and `field` by the protocol's tables: phone and extension, IM, e-mail.
fn contact_points(contact: &Contact<'_>) -> Value {
    let points = [
        Some((16, contact.number, 10)),
        contact.im.as_deref().map(|im| (2, im, 50)),
        contact.email.map(|email| (4, email, 1000)),
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
