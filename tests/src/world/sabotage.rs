//! Deliberate breakages: what goes between the node and the world is tampered with, and so are the engine's timers after each step, as if the switch had the
//! fault. Each must be noticed by what the world checks; `tests/tests/sabotage.rs` holds that. The engine's other tables cannot be broken from here:
//! `switch/src/audit.rs` looks at them after each step, and its tests break each of them.

use std::time::Duration;

use bytes::Bytes;
use cas::cas::Reply;
use cas::store::{self, Change, Request};
use media::Command;
use serde_json::Value;
use switch::engine::Timer;
use switch::node::{Input, Output, StoreUser};
use switch::sip::transaction;
use switch::sounds::MUSIC_OF_USERS;

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
    /// Who hears somebody goes on hearing him, whoever he has now.
    StaysJoined,
    /// Who is held hears no music.
    MusicNotPlayed,
    /// Who is fetched back goes on hearing it.
    MusicNotEnded,
    /// Everybody hears the same music.
    WrongMusic,
    /// What a telephone says of its sound does not reach the media plane.
    ChangeLost,
    /// Sound is not sent on.
    SoundLost,
    /// The stream to a telephone changes its source.
    SourceChanged,
    /// The timestamps of the stream to a telephone stand still.
    TimestampStands,
    /// What users have ordered for their calls does not outlive a restart.
    OrdersForgotten,
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
    /// A telephone is not told what came of its transfer.
    NotifyNotSent,
    /// Telephones are told of somebody that he is another.
    DisplayWrong,
    /// Lamps show that he has called who was called.
    LampWrong,
    /// Timers do not fire.
    TimersStand,
    /// What a timer was for is over, and the timer is not cancelled.
    TimerNotCancelled,
    /// Something waits for a time that does not come.
    TimerNotArmed,
    /// A transaction is over, or in another state, and its timers are as they were.
    TransactionTimerLeft,
    /// A transaction does not end with time.
    TransactionNeverEnds,
    /// What is to be sent again until it is answered is sent once.
    RepetitionForgotten,
    /// It is sent again, and that does not leave the switch.
    RepetitionSwallowed,
    /// It is sent again too soon.
    RepetitionEarly,
    /// It is sent again too late.
    RepetitionLate,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 44] = [
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
        Fault::StaysJoined,
        Fault::MusicNotPlayed,
        Fault::MusicNotEnded,
        Fault::WrongMusic,
        Fault::ChangeLost,
        Fault::SoundLost,
        Fault::SourceChanged,
        Fault::TimestampStands,
        Fault::OrdersForgotten,
        Fault::EventLost,
        Fault::EndLost,
        Fault::ReplyLost,
        Fault::HelpLost,
        Fault::PermissionHidden,
        Fault::PermissionInvented,
        Fault::NotifyNotSent,
        Fault::DisplayWrong,
        Fault::LampWrong,
        Fault::TimersStand,
        Fault::TimerNotCancelled,
        Fault::TimerNotArmed,
        Fault::TransactionTimerLeft,
        Fault::TransactionNeverEnds,
        Fault::RepetitionForgotten,
        Fault::RepetitionSwallowed,
        Fault::RepetitionEarly,
        Fault::RepetitionLate,
    ];

    /// When a timer is to fire that the step has armed for another time, or for the first; `Some(None)`: never; `None`: this fault leaves it alone.
    fn armed(self, timer: Timer, after: Duration) -> Option<Option<Duration>> {
        use transaction::Timer::{ClientEnd, ClientRetransmit, ServerEnd, ServerRetransmit};
        let Timer::Transaction(timer) = timer else { return (self == Fault::TimerNotArmed).then_some(None) };
        match (self, timer) {
            (Fault::TransactionNeverEnds, ClientEnd(_) | ServerEnd(_))
            | (Fault::RepetitionForgotten, ClientRetransmit(_) | ServerRetransmit(_)) => Some(None),
            (Fault::RepetitionEarly, ClientRetransmit(_)) => Some(Some(after / 2)),
            (Fault::RepetitionLate, ClientRetransmit(_)) => Some(Some(after * 2)),
            _ => None,
        }
    }

    /// Whether a timer that the step has cancelled stays armed.
    fn keeps(self, timer: Timer) -> bool {
        match timer {
            Timer::Transaction(_) => self == Fault::TransactionTimerLeft,
            _ => self == Fault::TimerNotCancelled,
        }
    }
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
                    Fault::NotifyNotSent if is("NOTIFY ") => return Vec::new(),
                    Fault::RepetitionSwallowed if self.wire.has_seen(&bytes) => return Vec::new(),
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
                    // As long as the right one.
                    Fault::DisplayWrong => {
                        return vec![Output::Send(
                            flow,
                            replaced(&bytes, "Identity: \"First501", "Identity: \"First503"),
                        )];
                    }
                    Fault::LampWrong if is("NOTIFY ") => {
                        return vec![Output::Send(
                            flow,
                            replaced(&bytes, "direction=\"initiator", "direction=\"recipient"),
                        )];
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
            Output::Media(_, Command::Bridge { a, b })
                if fault == Fault::StaysJoined && self.plane.hears_another(a, b) =>
            {
                Vec::new()
            }
            Output::Media(worker, command) => match (fault, command) {
                (Fault::LegNotClosed, Command::Close(_))
                | (Fault::NotJoined, Command::Bridge { .. })
                | (Fault::StaysJoined, Command::Part(_))
                | (Fault::MusicNotPlayed, Command::Play { .. })
                | (Fault::MusicNotEnded, Command::Hush(_))
                | (Fault::ChangeLost, Command::Update { .. }) => Vec::new(),
                (Fault::PortGivenTwice, Command::Open { leg, port, start }) => {
                    let port = self.plane.used().unwrap_or(port);
                    vec![Output::Media(worker, Command::Open { leg, port, start })]
                }
                (Fault::WrongMusic, Command::Play { leg, repeat, .. }) => {
                    vec![Output::Media(worker, Command::Play { leg, sound: MUSIC_OF_USERS, repeat })]
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

    /// A step of the switch, and what a fault makes of the timers it has set and cancelled.
    pub(super) fn step(&mut self, input: Input) {
        let Some(fault) = self.fault else { return self.node.handle(self.now, input) };
        let before = self.node.engine().timers();
        self.node.handle(self.now, input);
        let (now, after) = (self.now.mono, self.node.engine().timers());
        for (timer, at) in &after {
            if before.get(timer) != Some(at)
                && let Some(spoilt) = fault.armed(*timer, at.saturating_duration_since(now))
            {
                self.node.engine_mut().tamper(*timer, spoilt.map(|after| now + after));
            }
        }
        for (timer, at) in before.into_iter().filter(|(timer, at)| *at > now && !after.contains_key(timer)) {
            if fault.keeps(timer) {
                self.node.engine_mut().tamper(timer, Some(at));
            }
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

fn replaced(message: &[u8], right: &str, wrong: &str) -> Bytes {
    String::from_utf8_lossy(message).replace(right, wrong).into()
}

fn spoil_reply(fault: Fault, mut reply: Reply) -> Reply {
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let spoilt = match fault {
        Fault::EventLost => forget(&text, "call-evt"),
        Fault::EndLost => forget(&text, "call-ended-evt"),
        Fault::PermissionHidden => text.replace("[\"drop\"]", "[]").replace("[\"drop\",", "["),
        Fault::PermissionInvented => text.replace("[\"drop\"", "[\"drop\",\"unhold\""),
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
