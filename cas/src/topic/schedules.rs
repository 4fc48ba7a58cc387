//! Topic `config`: schedules of call handling modes, a user's own and the site's.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::configuration::present;
use super::handling::{self, whose};
use super::{Context, Outcome, Progress};
use crate::bulk::Asker;
use crate::site::handling::Mode;
use crate::site::schedule::{Day, Entry, Hours, Kind, Schedules, Span, Zone};
use crate::site::{Role, UserId, written};
use crate::store::Change;
use crate::wire::rows::{self, Table, row};
use crate::wire::{Code, Failure};

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct GetSchedules {
    user: Option<String>,
    #[serde(default)]
    site: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SetSchedule {
    user: Option<String>,
    #[serde(default)]
    site: bool,
    kind: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schemars(schema_with = "entries_asked")]
    entries: Option<Option<Value>>,
    #[serde(default, deserialize_with = "present")]
    time_zone: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    off_hours: Option<Option<String>>,
}

/// What [`written::read_entries`] reads, as rows or as objects.
fn entries_asked(_: &mut SchemaGenerator) -> Schema {
    let text = || json!({"type": ["string", "null"]});
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    json_schema!({"type": ["array", "null"], "items": {
        "type": ["object", "array"],
        "properties": {
            "days": texts(), "date": text(), "from": text(), "to": text(), "mode": text(), "name": text(),
        },
        "items": {"type": ["string", "array", "null"], "items": {"type": "string"}},
    }})
}

/// A user, or the site.
fn owner(cx: &Context<'_>, site: bool, user: Option<&str>) -> Result<Option<UserId>, Failure> {
    match (site, user) {
        (true, Some(_)) => Err(Failure::bad("site", "either user or site is meant")),
        (true, None) => Ok(None),
        (false, user) => whose(cx, "user", user).map(Some),
    }
}

fn may_set(cx: &Context<'_>, owner: Option<UserId>) -> bool {
    let is_admin = match cx.asker {
        Asker::Console => true,
        Asker::Session(_) => cx.principal().is_ok_and(|who| who.role == Role::Admin),
    };
    // Another user's are refused before.
    owner.is_some() || is_admin
}

pub(super) fn get_schedules(cx: &mut Context<'_>, request: GetSchedules) -> Outcome<SchedulesTold> {
    let owner = owner(cx, request.site, request.user.as_deref())?;
    Ok(Progress::Done(reply(cx, owner)))
}

pub(super) fn set_schedule(cx: &mut Context<'_>, request: SetSchedule) -> Outcome<SchedulesTold> {
    let owner = owner(cx, request.site, request.user.as_deref())?;
    if !may_set(cx, owner) {
        return Err(Failure::of(
            "site",
            Code::NOT_PERMITTED,
            "the schedules of the site are an administrator's to set",
        ));
    }
    let mut schedules = cx.site.own_schedules(owner);
    match (request.kind.as_deref(), request.entries) {
        (Some(kind), Some(entries)) => put_entries(&mut schedules, kind, entries)?,
        (Some(_), None) => return Err(Failure::missing("entries")),
        (None, None) if request.time_zone.is_some() || request.off_hours.is_some() => {}
        (None, Some(_)) => return Err(Failure::missing("kind")),
        (None, None) => return Err(Failure::missing_one_of(&["kind", "time-zone", "off-hours"])),
    }
    if let Some(zone) = request.time_zone {
        schedules.zone = zone.as_deref().map(time_zone).transpose()?;
    }
    if let Some(mode) = request.off_hours {
        schedules.off_hours = mode.as_deref().map(|name| handling::mode("off-hours", name)).transpose()?;
    }
    Ok(handling::store(Change::PutSchedules(owner, schedules)))
}

fn put_entries(schedules: &mut Schedules, kind: &str, entries: Option<Value>) -> Result<(), Failure> {
    let kind = Kind::from_name(kind).ok_or_else(|| Failure::bad("kind", "kind is on-hours, holiday or custom"))?;
    let bad = |text: String| Failure::bad("entries", text);
    let entries = match entries {
        None => Value::Null,
        Some(entries) => rows::as_objects(entries)
            .ok_or_else(|| bad("entries: each row has a value for each column that the first row names".to_owned()))?,
    };
    written::read_entries(schedules, kind, &entries).map_err(bad)
}

fn time_zone(name: &str) -> Result<Zone, Failure> {
    let bad = || Failure::bad("time-zone", "time-zone is one of the tz database, as in Europe/Berlin");
    Zone::named(name).ok_or_else(bad)
}

row! {
    struct CustomRow {
        from: String,
        to: String,
        mode: Mode,
        name: String,
    }
}

row! {
    struct HolidayRow {
        date: String,
        mode: Mode,
        name: String,
    }
}

row! {
    struct OnHoursRow {
        days: Vec<&'static str>,
        from: String,
        to: String,
        mode: Mode,
        name: String,
    }
}

/// What holds for a user, his own or the site's, and which of it is the site's.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SchedulesTold {
    /// Null: the site.
    user: Option<String>,
    time_zone: String,
    /// Null: the mode chosen by hand.
    off_hours: Option<Mode>,
    custom: Table<CustomRow>,
    holiday: Table<HolidayRow>,
    on_hours: Table<OnHoursRow>,
    /// The members that the user has not set himself.
    from_site: Vec<&'static str>,
    actions: Vec<Act>,
}

/// What may be done with them.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Act {
    SetSchedule,
}

pub(super) fn reply(cx: &Context<'_>, owner: Option<UserId>) -> SchedulesTold {
    let own = cx.site.own_schedules(owner);
    let site = owner.map(|_| cx.site.own_schedules(None)).unwrap_or_default();
    let followed = cx.site.schedules(owner);
    let members = [
        ("time-zone", own.zone.is_none() && site.zone.is_some()),
        ("off-hours", own.off_hours.is_none() && site.off_hours.is_some()),
        (Kind::Custom.name(), own.custom.is_none() && site.custom.is_some()),
        (Kind::Holiday.name(), own.holiday.is_none() && site.holiday.is_some()),
        (Kind::OnHours.name(), own.on_hours.is_none() && site.on_hours.is_some()),
    ];
    SchedulesTold {
        user: owner.and_then(|user| cx.site.user(user)).map(|user| user.login.clone()),
        time_zone: followed.zone().name().to_owned(),
        off_hours: followed.off_hours(),
        custom: followed.custom().iter().map(custom).collect(),
        holiday: followed.holiday().iter().map(holiday).collect(),
        on_hours: followed.on_hours().iter().map(on_hours).collect(),
        from_site: members.into_iter().filter(|(_, is_sites)| *is_sites).map(|(name, _)| name).collect(),
        actions: may_set(cx, owner).then_some(Act::SetSchedule).into_iter().collect(),
    }
}

fn custom(entry: &Entry<Span>) -> CustomRow {
    CustomRow { from: entry.when.from(), to: entry.when.to(), mode: entry.mode, name: entry.name.clone() }
}

fn holiday(entry: &Entry<Day>) -> HolidayRow {
    HolidayRow { date: entry.when.to_string(), mode: entry.mode, name: entry.name.clone() }
}

fn on_hours(entry: &Entry<Hours>) -> OnHoursRow {
    OnHoursRow {
        days: entry.when.days().collect(),
        from: entry.when.from().to_string(),
        to: entry.when.to().to_string(),
        mode: entry.mode,
        name: entry.name.clone(),
    }
}
