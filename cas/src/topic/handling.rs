//! Topic `config`, for every user: what becomes of calls to him, by mode (S90, S91).
//!
//! A user may ask and change what is his own, an administrator what is anybody's. A change is stored first; the reply and the events follow.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::configuration::present;
use super::{Context, Outcome, Progress, Waiting, schedules, told};
use crate::boundary::Output;
use crate::bulk::Asker;
use crate::control::Principal;
use crate::core::Core;
use crate::event::{Event, Tells};
use crate::session::{Session, SessionKey};
use crate::site::handling::{Forward, Handling, MAX_NUMBERS, MAX_RINGS, MIN_RINGS, Mode, Rules};
use crate::site::schedule::{Kind, Source};
use crate::site::{Dialled, Extension, Role, Site, UserId, written};
use crate::store::{Change, Request};
use crate::subscription::sees_configuration;
use crate::time::Now;
use crate::wire::rows::{Table, row};
use crate::wire::{self, Code, Failure};

row! {
    /// What is in force for a user.
    pub(crate) struct HandlingRow {
        user: String,
        mode: Mode,
        /// The mode as people read it.
        name: &'static str,
        /// Why it is in force: `hand`, a kind of schedule, or `off-hours`.
        source: &'static str,
        follow_schedule: bool,
        /// When a schedule changes it next, if one does within a week.
        until: Option<u64>,
        rules: RulesTold,
        actions: Vec<Act>,
    }
}

/// Another mode is in force for a user, by hand or by the clock, or it does something else.
impl Tells for HandlingRow {
    const TOPIC: &'static str = "config";
    const NAME: &'static str = "call-handling-evt";
}

/// What may be done with it.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Act {
    SetCallHandling,
}

/// The rules of a mode, as [`written::rules`] writes them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RulesTold(Value);

impl RulesTold {
    fn of(rules: &Rules) -> RulesTold {
        RulesTold(written::rules(rules))
    }
}

impl JsonSchema for RulesTold {
    fn schema_name() -> Cow<'static, str> {
        "Rules".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = rules_asked(generator);
        schema.insert("type".to_owned(), "object".into());
        let members = ["dnd", "always", "busy", "no-answer", "not-registered", "find-me", "ring-also"];
        schema.insert("required".to_owned(), json!(members));
        schema
    }
}

/// What is in force, and what can be chosen.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CallHandling {
    #[serde(flatten)]
    in_force: HandlingRow,
    /// By hand.
    chosen: Mode,
    menu: Menu,
}

/// What a client needs to draw it.
#[derive(Debug, Serialize, JsonSchema)]
struct Menu {
    modes: Table<ModeRow>,
    rules: Table<RuleRow>,
    /// The kinds of places to forward to.
    forward: [&'static str; 2],
    /// The fewest and the most.
    rings: [u8; 2],
    /// The most in a list.
    numbers: usize,
    /// Each kind goes before those after it.
    schedules: [Kind; 3],
}

row! {
    struct ModeRow {
        mode: Mode,
        name: &'static str,
        rules: RulesTold,
    }
}

row! {
    struct RuleRow {
        rule: &'static str,
        /// What it takes.
        value: &'static str,
        name: &'static str,
    }
}

/// Something was set.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ConfigChanged {
    /// Null: the site.
    user: Option<String>,
    what: What,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum What {
    CallHandling,
    Schedules,
}

impl Tells for ConfigChanged {
    const TOPIC: &'static str = "config";
    const NAME: &'static str = "config-changed-evt";
}

/// The first event of a subscription to `config`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ConfigSnapshot {
    #[schemars(extend("const" = ""))]
    kind: &'static str,
    call_handling: Table<HandlingRow>,
}

impl Tells for ConfigSnapshot {
    const TOPIC: &'static str = "config";
    const NAME: &'static str = "snapshot-evt";
}

/// A change under way to the store.
pub(crate) struct HandlingWrite {
    pub(super) change: Change,
}

/// Whose.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct GetCallHandling {
    user: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SetCallHandling {
    user: Option<String>,
    mode: Option<String>,
    /// Null: those that a mode comes with.
    #[serde(default, deserialize_with = "present")]
    #[schemars(schema_with = "rules_asked")]
    rules: Option<Option<Value>>,
    rules_of: Option<String>,
    follow_schedule: Option<bool>,
}

/// What [`written::read_rules`] reads.
fn rules_asked(_: &mut SchemaGenerator) -> Schema {
    let place = || json!({"type": ["string", "null"]});
    let numbers = || json!({"type": ["array", "null"], "items": {"type": "string"}, "maxItems": MAX_NUMBERS});
    let rings = json!({"type": "integer", "minimum": MIN_RINGS, "maximum": MAX_RINGS});
    let no_answer = json!({"type": ["object", "null"], "properties": {"rings": rings, "to": {"type": "string"}}});
    json_schema!({"type": ["object", "null"], "properties": {
        "dnd": {"type": "boolean"},
        "always": place(), "busy": place(), "no-answer": no_answer, "not-registered": place(),
        "find-me": numbers(), "ring-also": numbers(),
    }})
}

/// The user that is meant: oneself, where nobody is named.
pub(super) fn whose(cx: &Context<'_>, field: &str, named: Option<&str>) -> Result<UserId, Failure> {
    let asker = match (cx.asker, named) {
        (Asker::Console, None) => return Err(Failure::missing(field)),
        (Asker::Console, Some(_)) => None,
        (Asker::Session(_), _) => Some(cx.principal()?),
    };
    let found = named.and_then(|ext| cx.site.user_by_login(ext)).map(|user| user.id);
    match (asker, named) {
        (Some(who), None) => Ok(who.user),
        (Some(who), Some(_)) if who.role != Role::Admin && found != Some(who.user) => {
            Err(Failure::of(field, Code::NOT_PERMITTED, "another user's call handling is an administrator's to see"))
        }
        (_, ext) => {
            let text = format!("there is no user {}", ext.unwrap_or_default());
            found.ok_or_else(|| Failure::of(field, Code::NOT_FOUND, text))
        }
    }
}

pub(super) fn get_call_handling(cx: &mut Context<'_>, request: GetCallHandling) -> Outcome<CallHandling> {
    let user = whose(cx, "user", request.user.as_deref())?;
    Ok(Progress::Done(reply(cx, user)))
}

pub(super) fn set_call_handling(cx: &mut Context<'_>, request: SetCallHandling) -> Outcome<CallHandling> {
    let user = whose(cx, "user", request.user.as_deref())?;
    let mode = request.mode.as_deref().map(|name| mode("mode", name)).transpose()?;
    let rules_of = request.rules_of.as_deref().map(|name| self::mode("rules-of", name)).transpose()?;
    if mode.is_none() && request.rules.is_none() && request.follow_schedule.is_none() {
        return Err(Failure::missing_one_of(&["mode", "rules", "follow-schedule"]));
    }
    let mut handling = cx.site.chosen_handling(user);
    if let Some(mode) = mode {
        // Who chooses a mode wants it now, whatever he followed before.
        (handling.mode, handling.follows) = (mode, false);
    }
    handling.follows = request.follow_schedule.unwrap_or(handling.follows);
    let rules_of = rules_of.or(mode).unwrap_or_else(|| cx.site.mode(user, cx.now.wall).0);
    match request.rules {
        None => {}
        Some(None) => drop(handling.rules.remove(&rules_of)),
        Some(Some(rules)) => {
            let rules = read_rules(cx.site, user, handling.rules(rules_of), rules)?;
            handling.rules.insert(rules_of, rules);
        }
    }
    Ok(store(Change::PutHandling(user, handling)))
}

pub(super) fn store<R>(change: Change) -> Progress<R> {
    Progress::Store(Request::Write(vec![change.clone()]), Waiting::Handling(Box::new(HandlingWrite { change })))
}

pub(super) fn mode(field: &str, name: &str) -> Result<Mode, Failure> {
    Mode::from_name(name).ok_or_else(|| Failure::bad(field, format!("{field} {}", &written::modes()["mode ".len()..])))
}

fn read_rules(site: &Site, user: UserId, old: &Rules, rules: Value) -> Result<Rules, Failure> {
    let bad = |text: String| Failure::bad("rules", format!("rules: {text}"));
    let Value::Object(members) = rules else { return Err(bad("an object, or null".to_owned())) };
    let rules = written::read_rules(old, &wire::canonical(members)).map_err(bad)?;
    let new = numbers(&rules).filter(|number| !numbers(old).any(|old| old == *number));
    for number in new {
        match site.dialled(number.as_str()) {
            Some(Dialled::User(own)) if own == user => {
                return Err(bad(format!("{number} is the user's own number")));
            }
            Some(Dialled::Code(..) | Dialled::Orbit(_)) => {
                return Err(bad(format!("{number} is a code of the switch or a place to park, and nobody's number")));
            }
            Some(Dialled::User(_) | Dialled::Feature(_)) | None => {}
        }
    }
    Ok(rules)
}

/// All numbers that rules name.
fn numbers(rules: &Rules) -> impl Iterator<Item = &Extension> {
    let no_answer = rules.no_answer.as_ref().map(|no_answer| &no_answer.to);
    let forwards = [rules.always.as_ref(), rules.busy.as_ref(), no_answer, rules.not_registered.as_ref()];
    let forwards = forwards.into_iter().flatten().filter_map(|forward| match forward {
        Forward::Number(number) => Some(number),
        Forward::Voicemail => None,
    });
    forwards.chain(&rules.find_me).chain(&rules.ring_also)
}

/// What is in force for a user: what a change is recognised by.
type InForce = (Mode, Source, bool, Rules);

fn in_force(now: Now, site: &Site, user: UserId) -> InForce {
    let (mode, rules) = site.handling(user, now.wall);
    (mode, site.mode(user, now.wall).1, site.follows(user), rules.clone())
}

/// The store has it: memory follows, clients and the engine are told.
pub(super) fn written(cx: &mut Context<'_>, write: HandlingWrite) -> Outcome {
    let HandlingWrite { change } = write;
    let owner = match &change {
        Change::PutHandling(user, _) => Some(*user),
        Change::PutSchedules(owner, _) => *owner,
        _ => return Err(cx.core.fault("what was written is no call handling")),
    };
    let concerned: Vec<UserId> = owner.map_or_else(|| cx.site.followers().collect(), |user| vec![user]);
    let before: BTreeMap<UserId, InForce> =
        concerned.into_iter().map(|user| (user, in_force(cx.now, cx.site, user))).collect();
    cx.site.apply(std::slice::from_ref(&change));
    tell_change(cx, owner, &change);
    let mut changed = Vec::new();
    for (user, before) in before {
        cx.core.modes.refresh(cx.site, user, cx.now.wall);
        if in_force(cx.now, cx.site, user) != before {
            tell_mode(cx.now, cx.site, cx.core, user);
            changed.push(user);
        }
    }
    cx.core.outputs.push_back(Output::HandlingChanged(changed));
    match (&change, owner) {
        (Change::PutHandling(..), Some(user)) => told(&reply(cx, user)),
        _ => told(&schedules::reply(cx, owner)),
    }
}

/// `config-changed-evt`: to whoever is told of this user; of the site, to all.
fn tell_change(cx: &mut Context<'_>, owner: Option<UserId>, change: &Change) {
    let what = if matches!(change, Change::PutHandling(..)) { What::CallHandling } else { What::Schedules };
    let user = owner.and_then(|user| cx.site.user(user)).map(|user| user.login.clone());
    let event = Event::of(cx.now, &ConfigChanged { user, what });
    let sessions: Vec<SessionKey> = match owner {
        Some(user) => watchers(cx.core, cx.site, user),
        None => {
            let told = cx.core.sessions.all().filter(|(_, session)| sees_configuration(session, None));
            told.map(|(key, _)| key).collect()
        }
    };
    for key in sessions {
        cx.core.sessions.push(cx.now, key, event.clone());
    }
}

/// `call-handling-evt`: another mode is in force for a user, or does something else.
pub(crate) fn tell_mode(now: Now, site: &Site, core: &mut Core, user: UserId) {
    let sessions = watchers(core, site, user);
    if sessions.is_empty() {
        return;
    }
    let event = Event::of(now, &row(now, site, user));
    for key in sessions {
        core.sessions.push(now, key, event.clone());
    }
}

/// The sessions that are told of a user: his own, and those of administrators who named him.
fn watchers(core: &Core, site: &Site, user: UserId) -> Vec<SessionKey> {
    let Some(watched) = site.user(user) else { return Vec::new() };
    let users = site.users().filter(|other| other.id == user || other.role == Role::Admin);
    let sessions = users.flat_map(|other| core.sessions.of_user(other.id));
    let told = sessions.filter(|key| {
        let session = core.sessions.get(*key);
        session.is_some_and(|session| sees_configuration(session, Some((watched.id, &watched.login))))
    });
    told.collect()
}

/// The first event of a subscription to `config`: all that it tells of.
pub(crate) fn snapshot_event(now: Now, site: &Site, who: &Principal, session: &Session) -> Event {
    let watched = site.users().filter(|user| user.id == who.user || who.role == Role::Admin);
    let watched = watched.filter(|user| sees_configuration(session, Some((user.id, &user.login))));
    let call_handling = watched.map(|user| row(now, site, user.id)).collect();
    Event::of(now, &ConfigSnapshot { kind: "", call_handling })
}

fn row(now: Now, site: &Site, user: UserId) -> HandlingRow {
    let (mode, rules) = site.handling(user, now.wall);
    let follows = site.follows(user);
    let until = if follows { site.schedules(Some(user)).next_change(now.wall) } else { None };
    HandlingRow {
        user: site.user(user).map(|user| user.login.clone()).unwrap_or_default(),
        mode,
        name: mode.title(),
        source: site.mode(user, now.wall).1.name(),
        follow_schedule: follows,
        until: until.map(|until| until.0),
        rules: RulesTold::of(rules),
        actions: vec![Act::SetCallHandling],
    }
}

fn reply(cx: &Context<'_>, user: UserId) -> CallHandling {
    let handling = cx.site.chosen_handling(user);
    CallHandling { in_force: row(cx.now, cx.site, user), chosen: handling.mode, menu: menu(&handling) }
}

fn menu(handling: &Handling) -> Menu {
    let mode = |mode: Mode| ModeRow { mode, name: mode.title(), rules: RulesTold::of(handling.rules(mode)) };
    let rules = [
        ("dnd", "flag", "Do not disturb"),
        ("always", "forward", "Forward every call"),
        ("busy", "forward", "Forward when busy"),
        ("no-answer", "forward-after-rings", "Forward when nobody answers"),
        ("not-registered", "forward", "Forward when no phone can be reached"),
        ("find-me", "numbers", "Find me at other numbers"),
        ("ring-also", "numbers", "Ring other numbers too"),
    ];
    Menu {
        modes: Mode::ALL.into_iter().map(mode).collect(),
        rules: rules.into_iter().map(|(rule, value, name)| RuleRow { rule, value, name }).collect(),
        forward: ["number", written::VOICEMAIL],
        rings: [MIN_RINGS, MAX_RINGS],
        numbers: MAX_NUMBERS,
        schedules: Kind::ALL,
    }
}
