//! The CAS without a switch: the same message by the same code, on the store that nobody else has open.

use bytes::Bytes;
use cas::cas::{Cas, Input, Output, Request, RequestId, Settings};
use cas::control::{
    Accepted, Actions, CallCommand, CallControl, CallId, CallInfo, CallLine, CallQuery, CallReport, EngineStatus,
    ParkedInfo, Principal, Refusal, RefusalCode, RegistrationInfo, Shown,
};
use cas::site::{DeviceId, Site};
use cas::store::folder::Folder;
use cas::store::sqlite::Sqlite;
use cas::store::{self, BindingRecord, Change, Store};
use cas::time::Now;
use serde_json::Value;

use super::ask::{AskError, Effect};
use crate::clock;
use crate::config::Config;
use crate::entropy::System;

/// The reply's body.
pub(super) fn ask(config: &Config, message: &Value, effect: Effect) -> Result<Bytes, AskError> {
    if effect == Effect::Reads && !Sqlite::exists(&config.data) {
        return Err(AskError::no_store(&config.data));
    }
    let folder = Folder::open(&config.data)?;
    let key = folder.machine_key(&mut System::default())?;
    let mut database = Sqlite::open(folder, &config.sip.domain)?;
    let snapshot = store::snapshot(&mut database, clock::now().wall)?;
    let mut site = Site::new(&snapshot);
    site.plan = config.plan.clone();
    let mut node = Offline {
        cas: Cas::new(Settings::default(), &snapshot, key, Box::new(System::default())),
        site,
        control: NoCalls { bindings: snapshot.bindings },
        database,
    };
    let reply = node.ask(message);
    Box::new(node.database).close()?;
    reply.ok_or(AskError::Garbled)
}

/// A node without an engine.
struct Offline {
    cas: Cas,
    site: Site,
    control: NoCalls,
    database: Sqlite,
}

impl Offline {
    fn ask(&mut self, message: &Value) -> Option<Bytes> {
        let request = Request::of_console(message.to_string());
        self.handle(Input::Request(RequestId(0), request));
        while let Some(output) = self.cas.poll_output() {
            match output {
                Output::Reply(_, reply) => return Some(reply.body),
                Output::Store(id, request) => {
                    let reply = store::run(&mut self.database, [&request]).pop()?;
                    self.handle(Input::Stored(id, reply));
                }
                Output::Help(job) => self.handle(Input::Helped(job.id, job.work.run())),
                Output::SiteChanged(_) | Output::HandlingChanged(_) => {}
            }
        }
        None
    }

    fn handle(&mut self, input: Input) {
        self.cas.handle(clock::now(), &mut self.site, &mut self.control, input);
    }
}

fn registration(binding: &BindingRecord) -> RegistrationInfo {
    RegistrationInfo {
        device: binding.device,
        contact: binding.contact.clone(),
        source: format!("{} {}", binding.transport, binding.source),
        agent: binding.agent.clone(),
        expires: binding.expires,
    }
}

/// Call control where there are no calls: what is registered is what a switch would find registered when it started now.
struct NoCalls {
    bindings: Vec<BindingRecord>,
}

impl CallControl for NoCalls {
    fn execute(&mut self, _: Now, _: &Site, _: &Principal, _: CallCommand) -> Result<Accepted, Refusal> {
        Err(Refusal { code: RefusalCode::WrongState, text: "no switch is running".into() })
    }

    fn allowed(&self, _: &Site, _: &Principal, _: CallId) -> Actions {
        Actions::default()
    }

    fn view(&self, _: &Site, _: &Principal, _: CallQuery) -> Vec<CallInfo> {
        Vec::new()
    }

    fn parked(&self, _: &Site) -> Vec<ParkedInfo> {
        Vec::new()
    }

    fn may_unpark(&self, _: &Site, _: &Principal, _: &str) -> bool {
        false
    }

    fn registrations(&self) -> Vec<RegistrationInfo> {
        self.bindings.iter().map(registration).collect()
    }

    fn is_registered(&self, device: DeviceId) -> bool {
        self.bindings.iter().any(|binding| binding.device == device)
    }

    fn status(&self) -> EngineStatus {
        EngineStatus { registrations: self.bindings.len(), ..EngineStatus::default() }
    }

    fn calls(&self, _: Now, _: Shown, _: usize) -> (Vec<CallLine>, usize) {
        (Vec::new(), 0)
    }

    fn report(&mut self, _: Now, _: CallId) -> Option<CallReport> {
        None
    }

    fn unregister(
        &mut self,
        _: Now,
        _: &Site,
        devices: &[DeviceId],
        contact: Option<&str>,
    ) -> Result<Vec<Change>, Refusal> {
        let ends = |binding: &&BindingRecord| {
            devices.contains(&binding.device) && contact.is_none_or(|contact| binding.contact == contact)
        };
        let removal = |binding: &BindingRecord| Change::RemoveBinding {
            device: binding.device,
            contact: binding.contact.clone(),
            reg_id: binding.reg_id,
        };
        let changes: Vec<Change> = self.bindings.iter().filter(ends).map(removal).collect();
        match changes.is_empty() {
            true => Err(Refusal { code: RefusalCode::NotFound, text: "It is not registered".into() }),
            false => Ok(changes),
        }
    }
}
