//! Deliberate breakages: what goes between the node and the world is tampered with, as if the switch had the fault. Each must be noticed by what
//! the world checks; `tests/tests/sabotage.rs` holds that. What never leaves the engine, its timers and
//! tables, cannot be broken from here: `switch/src/audit.rs` looks at that after each step.

use cas::cas::Reply;
use cas::store::{self, Change, Request};
use media::Command;
use serde_json::Value;
use switch::node::{Input, Output, StoreUser};

use super::{Due, World};

/// A fault that the switch does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A 2xx or a refusal is not acknowledged.
    AckNotSent,
    /// The other side is not told that the call is over.
    ByeNotSent,
    /// A telephone is not told to stop ringing.
    CancelNotSent,
    /// A reliable answer is not acknowledged.
    PrackNotSent,
    /// A request is not answered.
    AnswerNotSent,
    /// A request is answered twice.
    AnswerSentTwice,
    /// An INVITE gets two final answers.
    TwoFinals,
    /// A request is sent twice at once.
    RequestSentTwice,
    /// An answer goes to somebody else.
    WrongPeer,
    /// A binding is confirmed that was not stored.
    BindingNotStored,
    /// A call leaves no record.
    RecordNotStored,
    /// What the store says is forgotten.
    StoreAnswerLost,
    /// A leg stays open.
    LegNotClosed,
    /// That a leg is closed is forgotten, and its port with it.
    ClosedLost,
    /// A port is given twice.
    PortGivenTwice,
    /// A telephone is joined with a leg of another call.
    WrongLegJoined,
    /// Two that talk are not joined.
    NotJoined,
    /// What a telephone says of its sound does not reach the media plane.
    ChangeLost,
    /// Sound is not sent on.
    SoundLost,
    /// The stream to a telephone changes its source.
    SourceChanged,
    /// The timestamps of the stream to a telephone stand still.
    TimestampStands,
    /// A client is not told of a change.
    EventLost,
    /// A client is not told of an end.
    EndLost,
    /// A client's request is not answered.
    ReplyLost,
    /// The work of a helper is forgotten.
    HelpLost,
    /// An action that would be accepted is not offered.
    PermissionHidden,
    /// An action is offered that is refused.
    PermissionInvented,
    /// Timers do not fire.
    TimersStand,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 28] = [
        Fault::AckNotSent,
        Fault::ByeNotSent,
        Fault::CancelNotSent,
        Fault::PrackNotSent,
        Fault::AnswerNotSent,
        Fault::AnswerSentTwice,
        Fault::TwoFinals,
        Fault::RequestSentTwice,
        Fault::WrongPeer,
        Fault::BindingNotStored,
        Fault::RecordNotStored,
        Fault::StoreAnswerLost,
        Fault::LegNotClosed,
        Fault::ClosedLost,
        Fault::PortGivenTwice,
        Fault::WrongLegJoined,
        Fault::NotJoined,
        Fault::ChangeLost,
        Fault::SoundLost,
        Fault::SourceChanged,
        Fault::TimestampStands,
        Fault::EventLost,
        Fault::EndLost,
        Fault::ReplyLost,
        Fault::HelpLost,
        Fault::PermissionHidden,
        Fault::PermissionInvented,
        Fault::TimersStand,
    ];
}

impl World {
    /// From now on the switch has a fault.
    pub fn sabotage(mut self, fault: Fault) -> World {
        self.fault = Some(fault);
        self
    }

    /// What the world gets to see of an output.
    pub(super) fn spoil_output(&mut self, output: Output) -> Vec<Output> {
        let Some(fault) = self.fault else { return vec![output] };
        match output {
            Output::Send(mut flow, bytes) => {
                let is = |start: &str| bytes.starts_with(start.as_bytes());
                let of = |method: &str| String::from_utf8_lossy(&bytes).contains(&format!(" {method}\r\n"));
                let is_final = is("SIP/2.0 ") && !is("SIP/2.0 1");
                match fault {
                    Fault::AckNotSent if is("ACK ") => return Vec::new(),
                    Fault::ByeNotSent if is("BYE ") => return Vec::new(),
                    Fault::CancelNotSent if is("CANCEL ") => return Vec::new(),
                    Fault::PrackNotSent if is("PRACK ") => return Vec::new(),
                    Fault::AnswerNotSent if is_final && of("OPTIONS") => return Vec::new(),
                    Fault::AnswerSentTwice if is_final && !of("INVITE") => {
                        return vec![Output::Send(flow, bytes.clone()), Output::Send(flow, bytes)];
                    }
                    Fault::TwoFinals if is("SIP/2.0 486") => {
                        let other = String::from_utf8_lossy(&bytes).replacen("486", "480", 1);
                        return vec![Output::Send(flow, bytes), Output::Send(flow, other.into())];
                    }
                    Fault::RequestSentTwice if is("BYE ") => {
                        return vec![Output::Send(flow, bytes.clone()), Output::Send(flow, bytes)];
                    }
                    Fault::WrongPeer if is_final && of("BYE") => flow.peer.set_ip([10, 0, 7, 7].into()),
                    _ => {}
                }
                vec![Output::Send(flow, bytes)]
            }
            Output::Store(who, id, request) if self.is_not_stored(fault, &request) => {
                self.schedule_at(self.now.mono, Due::Node(Box::new(Input::Stored(who, id, Ok(store::Reply::Written)))));
                Vec::new()
            }
            Output::Media(worker, command) => match (fault, command) {
                (Fault::LegNotClosed, Command::Close(_))
                | (Fault::NotJoined, Command::Bridge { .. })
                | (Fault::ChangeLost, Command::Update { .. }) => Vec::new(),
                (Fault::PortGivenTwice, Command::Open { leg, port, start }) => {
                    let port = self.plane.used().unwrap_or(port);
                    vec![Output::Media(worker, Command::Open { leg, port, start })]
                }
                (Fault::WrongLegJoined, Command::Bridge { a, b }) => {
                    let b = self.plane.another(worker, a, b).unwrap_or(b);
                    vec![Output::Media(worker, Command::Bridge { a, b })]
                }
                (_, command) => vec![Output::Media(worker, command)],
            },
            Output::Reply(..) if fault == Fault::ReplyLost => Vec::new(),
            Output::Reply(id, reply) => vec![Output::Reply(id, spoil_reply(fault, reply))],
            Output::Help(_) if fault == Fault::HelpLost => Vec::new(),
            output => vec![output],
        }
    }

    fn is_not_stored(&self, fault: Fault, request: &Request) -> bool {
        let Request::Write(changes) = request else { return false };
        changes.iter().any(|change| match change {
            Change::PutBinding(_) => fault == Fault::BindingNotStored,
            Change::PutHistory(_) => fault == Fault::RecordNotStored,
            _ => false,
        })
    }

    /// Whether an input is kept from the switch.
    pub(super) fn is_lost(&self, input: &Input) -> bool {
        matches!(
            (self.fault, input),
            (Some(Fault::StoreAnswerLost), Input::Stored(StoreUser::Engine, ..))
                | (Some(Fault::ClosedLost), Input::Media(media::Event::Closed { .. }))
                | (Some(Fault::TimersStand), Input::Timeout)
        )
    }

    /// What a telephone gets of a packet of sound.
    pub(super) fn spoil_sound(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut packet = packet.to_vec();
        match self.fault {
            Some(Fault::SoundLost) => return None,
            Some(Fault::SourceChanged) => packet[11] ^= packet[3] & 1,
            Some(Fault::TimestampStands) => packet[4..8].fill(0),
            _ => {}
        }
        Some(packet)
    }
}

fn spoil_reply(fault: Fault, mut reply: Reply) -> Reply {
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let spoilt = match fault {
        Fault::EventLost => forget(&text, "call-evt"),
        Fault::EndLost => forget(&text, "call-ended-evt"),
        Fault::PermissionHidden => text.replace("[\"drop\"]", "[]").replace("[\"drop\",", "["),
        Fault::PermissionInvented => text.replace("[\"drop\"]", "[\"drop\",\"unhold\"]"),
        _ => return reply,
    };
    reply.body = spoilt.into();
    reply
}

/// Events of this name become such as nobody knows.
fn forget(text: &str, name: &str) -> String {
    let Ok(Value::Array(mut events)) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    for event in events.iter_mut().filter(|event| event["message"] == name) {
        event["message"] = "nothing-evt".into();
    }
    Value::Array(events).to_string()
}
