//! Topic `session`: the session itself, and its user's password.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::configuration::{SiteWrite, check_own_password};
use super::{Context, Nothing, Outcome, Progress, Waiting};
use crate::boundary::Work;
use crate::site::Role;
use crate::store::{Change, Request};
use crate::subscription::{self, Subscribed};
use crate::wire::rows::Table;
use crate::wire::{Failure, Fields};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ChangePassword {
    old_password: String,
    new_password: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct State {
    user_id: String,
    user: String,
    name: String,
    user_role: Role,
    app_id: String,
    device: Option<String>,
    /// In seconds.
    idle_timeout: u64,
    /// Asynchronous messages under way.
    pending: usize,
    subscriptions: Table<Subscribed>,
}

pub(super) fn get_state(cx: &mut Context<'_>, _: Nothing) -> Outcome<State> {
    let who = cx.principal()?;
    let (Some(session), Some(user)) = (cx.core.sessions.get(cx.session()?), cx.site.user(who.user)) else {
        return Err(Failure::ended());
    };
    Ok(Progress::Done(State {
        user_id: user.id.0.to_string(),
        user: user.login.clone(),
        name: user.display_name(),
        user_role: user.role,
        app_id: session.client.app_id.clone(),
        device: session.client.device.map(|device| device.0.to_string()),
        idle_timeout: cx.core.settings.idle.as_secs(),
        pending: session.pending,
        subscriptions: subscription::summary(session),
    }))
}

/// Being asked is enough: any request keeps the session.
pub(super) fn keep_alive(cx: &mut Context<'_>, nothing: Nothing) -> Outcome<Nothing> {
    cx.session()?;
    Ok(Progress::Done(nothing))
}

/// The old password is checked first; the user's other sessions end with it.
pub(super) fn change_password(cx: &mut Context<'_>, request: ChangePassword) -> Outcome<Nothing> {
    check_own_password("new-password", &request.new_password)?;
    let who = cx.principal()?;
    let hash = cx.site.user(who.user).map(|user| user.password_hash.clone()).unwrap_or_default();
    let work = Work::Verify { hash, password: request.old_password };
    Ok(Progress::Help(work, Waiting::OldPassword { new: request.new_password }))
}

pub(super) fn verified(cx: &mut Context<'_>, new: String) -> Outcome {
    let salts = vec![cx.core.salt()];
    Ok(Progress::Help(Work::Hash { passwords: vec![new], salts }, Waiting::NewPassword))
}

pub(super) fn hashed(cx: &mut Context<'_>, hashes: Vec<String>) -> Outcome {
    let who = cx.principal()?;
    let key = cx.session()?;
    let (Some(user), Some(password_hash)) = (cx.site.user(who.user), hashes.into_iter().next()) else {
        return Err(cx.core.fault("a password was not hashed"));
    };
    let mut user = user.clone();
    user.password_hash = password_hash;
    let others = cx.core.sessions.of_user(who.user).into_iter().filter(|other| *other != key).collect();
    let changes = vec![Change::PutUser(user)];
    let write = SiteWrite { changes: changes.clone(), ends: others, gone: None, reply: Fields::new() };
    Ok(Progress::Store(Request::Write(changes), Waiting::Site(Box::new(write))))
}
