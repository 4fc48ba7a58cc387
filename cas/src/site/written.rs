//! Call handling as it is written, in the store and in messages alike: rules and schedules as JSON, and back. What has a limit is held to it here.

use serde_json::{Map, Value, json};

use super::Extension;
use super::handling::{Forward, Handling, MAX_NUMBERS, MAX_RINGS, MIN_RINGS, Mode, NoAnswer, RINGS, Rules};
use super::schedule::{Clock, DAYS, Day, Entry, Hours, Kind, MAX_ENTRIES, MAX_ENTRY_NAME, Schedules, Span, Zone};

/// An object.
type Object = Map<String, Value>;

/// A sentence that says what something must be.
type Wrong = String;

/// How [`Forward::Voicemail`] is written; anything else is a number.
pub(crate) const VOICEMAIL: &str = "voicemail";

/// The members of [`Rules`], as they are written.
pub(crate) fn rules(rules: &Rules) -> Value {
    let forward = |to: &Option<Forward>| to.as_ref().map(forward);
    json!({
        "dnd": rules.dnd,
        "always": forward(&rules.always),
        "busy": forward(&rules.busy),
        "no-answer": rules.no_answer.as_ref().map(|no_answer| {
            json!({"rings": no_answer.rings, "to": self::forward(&no_answer.to)})
        }),
        "not-registered": forward(&rules.not_registered),
        "find-me": numbers(&rules.find_me),
        "ring-also": numbers(&rules.ring_also),
    })
}

fn forward(to: &Forward) -> Value {
    match to {
        Forward::Number(number) => number.as_str().into(),
        Forward::Voicemail => VOICEMAIL.into(),
    }
}

fn numbers(numbers: &[Extension]) -> Value {
    numbers.iter().map(|number| Value::from(number.as_str())).collect()
}

/// Rules as they were, but for the members that are there.
pub(crate) fn read_rules(old: &Rules, members: &Object) -> Result<Rules, Wrong> {
    let mut rules = old.clone();
    if let Some(dnd) = members.get("dnd") {
        rules.dnd = dnd.as_bool().ok_or("dnd is true or false")?;
    }
    let places =
        [("always", &mut rules.always), ("busy", &mut rules.busy), ("not-registered", &mut rules.not_registered)];
    for (name, place) in places {
        if let Some(value) = members.get(name) {
            *place = read_forward(name, value)?;
        }
    }
    if let Some(no_answer) = members.get("no-answer") {
        rules.no_answer = read_no_answer(no_answer)?;
    }
    for (name, list) in [("find-me", &mut rules.find_me), ("ring-also", &mut rules.ring_also)] {
        if let Some(value) = members.get(name) {
            *list = read_numbers(name, value)?;
        }
    }
    Ok(rules)
}

fn read_forward(name: &str, value: &Value) -> Result<Option<Forward>, Wrong> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text == VOICEMAIL => Ok(Some(Forward::Voicemail)),
        value => match read_number(value) {
            Some(number) => Ok(Some(Forward::Number(number))),
            None => Err(format!("{name} is a number of 1 to 32 digits, * and #, or {VOICEMAIL}, or null")),
        },
    }
}

fn read_number(value: &Value) -> Option<Extension> {
    Extension::parse(value.as_str()?.trim()).ok()
}

fn read_no_answer(value: &Value) -> Result<Option<NoAnswer>, Wrong> {
    let members = match value {
        Value::Null => return Ok(None),
        Value::Object(members) => members,
        _ => return Err("no-answer is an object of rings and to, or null".to_owned()),
    };
    let to = read_forward("no-answer.to", members.get("to").unwrap_or(&Value::Null))?;
    let to = to.ok_or("no-answer.to is missing: where the call goes")?;
    let rings = members.get("rings").map_or(Some(RINGS), |rings| u8::try_from(rings.as_u64()?).ok());
    match rings.filter(|rings| (MIN_RINGS..=MAX_RINGS).contains(rings)) {
        Some(rings) => Ok(Some(NoAnswer { rings, to })),
        None => Err(format!("no-answer.rings is a whole number, {MIN_RINGS} to {MAX_RINGS}")),
    }
}

fn read_numbers(name: &str, value: &Value) -> Result<Vec<Extension>, Wrong> {
    let wrong = || format!("{name} is an array of at most {MAX_NUMBERS} different numbers of 1 to 32 digits, * and #");
    let values = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(values) if values.len() <= MAX_NUMBERS => values,
        _ => return Err(wrong()),
    };
    let numbers: Vec<Extension> = values.iter().map(read_number).collect::<Option<_>>().ok_or_else(wrong)?;
    let is_new = |index: usize| !numbers[..index].contains(&numbers[index]);
    if (0..numbers.len()).all(is_new) { Ok(numbers) } else { Err(wrong()) }
}

/// The rules of the modes that a user has set, by the modes' names.
pub(crate) fn rules_by_mode(handling: &Handling) -> Value {
    handling.rules.iter().map(|(mode, set)| (mode.name().to_owned(), rules(set))).collect::<Object>().into()
}

/// Likewise, from the store.
pub(crate) fn read_rules_by_mode(text: &str) -> Option<std::collections::BTreeMap<Mode, Rules>> {
    let by_mode: Object = serde_json::from_str(text).ok()?;
    let read = |(name, members): (String, Value)| {
        Some((Mode::from_name(&name)?, read_rules(&Rules::default(), members.as_object()?).ok()?))
    };
    by_mode.into_iter().map(read).collect()
}

/// The entries of one kind; `None` where they are not set.
fn entries(kind: Kind, schedules: &Schedules) -> Option<Vec<Object>> {
    match kind {
        Kind::Custom => schedules.custom.as_deref().map(custom),
        Kind::Holiday => schedules.holiday.as_deref().map(holiday),
        Kind::OnHours => schedules.on_hours.as_deref().map(on_hours),
    }
}

fn custom(entries: &[Entry<Span>]) -> Vec<Object> {
    written(entries, |span| vec![("from", span.from().into()), ("to", span.to().into())])
}

fn holiday(entries: &[Entry<Day>]) -> Vec<Object> {
    written(entries, |day| vec![("date", day.to_string().into())])
}

fn on_hours(entries: &[Entry<Hours>]) -> Vec<Object> {
    written(entries, |hours| {
        let days = hours.days().map(Value::from).collect();
        vec![("days", days), ("from", hours.from().to_string().into()), ("to", hours.to().to_string().into())]
    })
}

fn written<W>(entries: &[Entry<W>], when: impl Fn(&W) -> Vec<(&'static str, Value)>) -> Vec<Object> {
    let common = |entry: &Entry<W>| [("mode", entry.mode.name().into()), ("name", entry.name.as_str().into())];
    let object = |entry: &Entry<W>| {
        when(&entry.when).into_iter().chain(common(entry)).map(|(name, value)| (name.to_owned(), value)).collect()
    };
    entries.iter().map(object).collect()
}

/// Puts entries of a kind, as objects, or takes away what was set (null).
pub(crate) fn read_entries(schedules: &mut Schedules, kind: Kind, value: &Value) -> Result<(), Wrong> {
    match kind {
        Kind::Custom => schedules.custom = read_list(value, read_span)?,
        Kind::Holiday => schedules.holiday = read_list(value, read_day)?,
        Kind::OnHours => schedules.on_hours = read_list(value, read_hours)?,
    }
    Ok(())
}

fn read_list<W>(value: &Value, when: impl Fn(&Object) -> Result<W, Wrong>) -> Result<Option<Vec<Entry<W>>>, Wrong> {
    let values = match value {
        Value::Null => return Ok(None),
        Value::Array(values) if values.len() <= MAX_ENTRIES => values,
        _ => return Err(format!("entries is an array of at most {MAX_ENTRIES} entries, or null")),
    };
    let read = |(index, value): (usize, &Value)| {
        let entry = value.as_object().ok_or_else(|| "an entry is an object".to_owned());
        entry.and_then(|entry| read_entry(entry, &when)).map_err(|wrong| format!("entries[{index}]: {wrong}"))
    };
    values.iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
}

fn read_entry<W>(entry: &Object, when: impl Fn(&Object) -> Result<W, Wrong>) -> Result<Entry<W>, Wrong> {
    let when = when(entry)?;
    let mode = entry.get("mode").and_then(Value::as_str).and_then(Mode::from_name).ok_or_else(modes)?;
    let name = match entry.get("name") {
        None | Some(Value::Null) => "",
        Some(name) => name.as_str().ok_or("name is a string")?.trim(),
    };
    if name.chars().count() > MAX_ENTRY_NAME || name.chars().any(char::is_control) {
        return Err(format!("name is at most {MAX_ENTRY_NAME} characters"));
    }
    Ok(Entry { when, mode, name: name.to_owned() })
}

/// What a mode must be.
pub(crate) fn modes() -> Wrong {
    let names = Mode::ALL.map(Mode::name);
    let (last, others) = names.split_last().expect("there are five");
    format!("mode is {} or {last}", others.join(", "))
}

fn text<'a>(entry: &'a Object, name: &str) -> Option<&'a str> {
    entry.get(name).and_then(Value::as_str)
}

fn read_span(entry: &Object) -> Result<Span, Wrong> {
    let span = text(entry, "from").zip(text(entry, "to")).and_then(|(from, to)| Span::parse(from, to));
    span.ok_or_else(|| "from and to are times as in 2026-12-24T13:00, the second later than the first".to_owned())
}

fn read_day(entry: &Object) -> Result<Day, Wrong> {
    let day = text(entry, "date").and_then(Day::parse);
    day.ok_or_else(|| "date is a day as in 2026-12-25, or 12-25 for each year's".to_owned())
}

fn read_hours(entry: &Object) -> Result<Hours, Wrong> {
    let index = |day: &Value| DAYS.iter().position(|name| Some(*name) == day.as_str());
    let days = entry.get("days").and_then(Value::as_array).filter(|days| days.len() <= DAYS.len());
    let days: Option<Vec<usize>> = days.and_then(|days| days.iter().map(index).collect());
    let days = days.filter(|days| !days.is_empty());
    let days = days.ok_or_else(|| format!("days is an array of days: {}", DAYS.join(", ")))?;
    let clock = |name| text(entry, name).and_then(Clock::parse);
    let hours = clock("from").zip(clock("to")).and_then(|(from, to)| Hours::new(days, from, to));
    hours.ok_or_else(|| "from and to are different times, 00:00 to 24:00, and nothing begins at 24:00".to_owned())
}

/// All of it, for the store.
pub(crate) fn schedules(schedules: &Schedules) -> Value {
    let mut all = Object::new();
    all.insert("time-zone".into(), schedules.zone.as_ref().map(Zone::name).into());
    all.insert("off-hours".into(), schedules.off_hours.map(Mode::name).into());
    for kind in Kind::ALL {
        let entries = entries(kind, schedules).map(|entries| entries.into_iter().map(Value::from).collect::<Value>());
        all.insert(kind.name().into(), entries.into());
    }
    all.into()
}

/// Likewise, from the store.
pub(crate) fn read_schedules(text: &str) -> Option<Schedules> {
    let all: Object = serde_json::from_str(text).ok()?;
    let mut schedules = Schedules::default();
    if let Some(zone) = all.get("time-zone")?.as_str() {
        // A zone may have left the database since.
        schedules.zone = Some(Zone::named(zone).unwrap_or(Zone::UTC));
    }
    if let Some(mode) = all.get("off-hours")?.as_str() {
        schedules.off_hours = Some(Mode::from_name(mode)?);
    }
    for kind in Kind::ALL {
        read_entries(&mut schedules, kind, all.get(kind.name())?).ok()?;
    }
    Some(schedules)
}
