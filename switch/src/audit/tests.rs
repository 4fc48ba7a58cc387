//! Each thing that the audit looks at, broken on purpose: it is found, and told by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use cas::cas::Settings as CasSettings;
use cas::control::CallId;
use cas::site::{Access, Device, DeviceId, DigestPolicy, Extension, MachineKey, Role, Target, User, UserId};
use cas::store::{self, BindingRecord, Change, Snapshot, memory::Memory};
use cas::time::{Now, Wall};
use media::{Port, StreamStart, WorkerId};

use super::*;
use crate::call::CallNo;
use crate::call::party::Identity;
use crate::call::transfer::End;
use crate::engine::At;
use crate::entropy::Seeded;
use crate::node::{Channel, Flow, Input, Limits, Node, Output, Settings, StreamId};
use crate::ports::Place;
use crate::service::orbit::Slot;
use crate::sip::transaction;
use crate::subscribe::Of;

const SWITCH: &str = "10.0.0.1:5060";
/// 501 and 502 talk, 503 is with the echo, 504 calls 505, whose phone rings; 507 has parked 506, and is shown where.
const USERS: u64 = 7;

/// A switch whose telephones are known by their addresses, and what it has said to them.
struct Bench {
    node: Node,
    now: Now,
    snapshot: Snapshot,
    said: Vec<(SocketAddr, String)>,
}

fn address(user: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 10 + user as u8], 5060))
}

fn changes(user: u64) -> [Change; 3] {
    let login = format!("{}", 500 + user);
    [
        Change::PutUser(User {
            id: UserId(user),
            login: login.clone(),
            first: String::new(),
            last: login.clone(),
            email: None,
            role: Role::User,
            password_hash: String::new(),
            pin_hash: None,
            pickup_group: None,
        }),
        Change::PutDevice(Device {
            id: DeviceId(user),
            user: Some(UserId(user)),
            access: Access::Address(address(user)),
        }),
        Change::PutNumber(Extension(login), Target::User(UserId(user))),
    ]
}

impl Bench {
    fn new() -> Bench {
        let key = MachineKey([7; 32]);
        let now = Now { mono: Instant::now(), wall: Wall(1_700_000_000_000) };
        let mut memory = Memory::new("switch.local");
        let mut all: Vec<Change> = (1..=USERS).flat_map(changes).collect();
        let device = DeviceId(9);
        let access = Access::digest(&key, [9; 12], "509", "switch.local", "secret", None);
        all.push(Change::PutDevice(Device { id: device, user: None, access }));
        all.push(Change::PutBinding(BindingRecord {
            device,
            contact: "sip:509@10.0.0.19".into(),
            reg_id: 0,
            instance: None,
            path: String::new(),
            q: 1000,
            sip_call_id: "r".into(),
            cseq: 1,
            agent: String::new(),
            transport: "udp".into(),
            local: SWITCH.parse().unwrap(),
            // Not where its contact says: there is a NAT between.
            source: "203.0.113.9:1024".parse().unwrap(),
            expires: Wall(now.wall.0 + 60_000),
        }));
        store::run(&mut memory, [&store::Request::Write(all)]).remove(0).unwrap();
        let settings = Settings {
            domain: "switch.local".into(),
            digest: DigestPolicy::Md5,
            media_address: None,
            ports: (0..16).map(|n| (WorkerId(0), Port(20_000 + 2 * n))).collect(),
            max_calls: 10,
            follow_redirects: true,
            music_of: BTreeMap::new(),
            hold_reminder: None,
            announcements: crate::sounds::announcement::Audience::Nobody,
            max_transactions: 500,
            max_bindings: 4,
            plan: cas::site::plan::Plan::default(),
            limits: Limits::default(),
            cas: CasSettings::default(),
        };
        let snapshot = store::snapshot(&mut memory, now.wall).unwrap();
        let node = Node::new(now, &settings, &snapshot, key, || Box::new(Seeded::new(7)));
        let mut bench = Bench { node, now, snapshot, said: Vec::new() };
        for user in 1..=USERS {
            bench.tell(Input::Resolved(address(user), Some(SWITCH.parse().unwrap())));
        }
        bench
    }

    fn tell(&mut self, input: Input) {
        self.node.handle(self.now, input);
        while let Some(output) = self.node.poll_output() {
            if let Output::Send(flow, bytes) = output {
                self.said.push((flow.peer, String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }

    /// The telephone of a user says something.
    fn say(&mut self, user: u64, text: &str) {
        let flow = Flow { channel: Channel::Udp, local: SWITCH.parse().unwrap(), peer: address(user) };
        self.tell(Input::Datagram(flow, text.to_owned().into()));
    }

    /// The last that was said to a user's telephone, and begins like this.
    fn said(&self, user: u64, start: &str) -> String {
        let said = self.said.iter().rev().find(|(to, text)| *to == address(user) && text.starts_with(start));
        said.unwrap_or_else(|| panic!("{user} was said no {start}: {:?}", self.said)).1.clone()
    }

    fn ask(&mut self, user: u64, method: &str, number: &str, lines: &str, body: &str) {
        let own = 500 + user;
        self.say(
            user,
            &format!(
                "{method} sip:{number}@switch.local SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{method}{user}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:{own}@switch.local>;tag=t{user}\r\nTo: <sip:{number}@switch.local>\r\n\
                 Call-ID: {method}{user}\r\nCSeq: 1 {method}\r\nContact: <sip:{own}@{at}>\r\n{lines}\
                 Content-Length: {length}\r\n\r\n{body}",
                at = address(user),
                length = body.len(),
            ),
        );
    }

    /// Answers the last request of this method.
    fn answer(&mut self, user: u64, method: &str, status: &str, lines: &str, body: &str) {
        let request = self.said(user, &format!("{method} "));
        let copied = request
            .lines()
            .filter(|line| ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)));
        let copied: String = copied.flat_map(|line| [line, "\r\n"]).collect();
        let to = request.lines().find(|line| line.starts_with("To:")).unwrap();
        let tag = if to.contains("tag=") { String::new() } else { format!(";tag=t{user}") };
        let (at, length) = (address(user), body.len());
        self.say(
            user,
            &format!(
                "SIP/2.0 {status}\r\n{copied}{to}{tag}\r\nContact: <sip:{at}>\r\n{lines}Content-Length: {length}\r\n\r\n{body}"
            ),
        );
    }

    /// Acknowledges the 200 to the INVITE.
    fn acknowledge(&mut self, user: u64, number: &str) {
        let ok = self.said(user, "SIP/2.0 200");
        let to = ok.lines().find(|line| line.starts_with("To:")).unwrap();
        let at = address(user);
        self.say(
            user,
            &format!(
                "ACK sip:{SWITCH} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKa{user}\r\nMax-Forwards: 70\r\n\
                 From: <sip:{}@switch.local>;tag=t{user}\r\n{to}\r\nCall-ID: INVITE{user}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
                500 + user
            ),
        );
        assert!(to.contains(number), "{to}");
    }

    fn call(&mut self, user: u64, number: &str) {
        self.ask(user, "INVITE", number, "Content-Type: application/sdp\r\n", &sdp(user));
    }

    /// A switch where everything goes on that has a timer or a table.
    fn busy() -> Bench {
        let mut bench = Bench::new();
        bench.call(1, "502");
        let lines = "Content-Type: application/sdp\r\nSupported: timer\r\nRequire: timer\r\nSession-Expires: 1800;refresher=uac\r\n";
        bench.answer(2, "INVITE", "200 OK", lines, &sdp(2));
        bench.acknowledge(1, "502");
        bench.call(3, "*43");
        bench.acknowledge(3, "*43");
        bench.call(4, "505");
        bench.answer(5, "INVITE", "180 Ringing", "", "");
        bench.call(6, "507");
        bench.answer(7, "INVITE", "200 OK", "Content-Type: application/sdp\r\n", &sdp(7));
        bench.acknowledge(6, "507");
        bench.park("507");
        bench.ask(
            1,
            "SUBSCRIBE",
            "502",
            "Event: dialog\r\nAccept: application/dialog-info+xml\r\nExpires: 600\r\n",
            "",
        );
        bench.answer(1, "NOTIFY", "200 OK", "", "");
        bench
    }

    /// The callee parks the far end of his call, and his telephone is shown where.
    fn park(&mut self, number: &str) {
        let (no, site) = (self.call_of(number), Site::new(&self.snapshot));
        let slot = Slot::of(&site, "700").unwrap();
        let asked = Asked::Phone { leg: self.legs_of(number).1, number: 1, notify: false };
        let at = At { now: self.now, site: &site };
        self.engine().park(at, End { call: no, side: Side::Callee }, slot, asked);
        self.engine().tell_changes(at);
    }

    /// A call that is to ring somebody in another's place.
    fn seek(&mut self, sought: CallId) {
        let site = self.node.site().clone();
        let at = At { now: self.now, site: &site };
        let stage = Stage::Ringing { ticket: None, failure: None };
        let no = self.engine().begin(at, Identity::default(), Identity::default(), stage, 70, None);
        self.engine().table.call_mut(no).unwrap().caller.state = PartyState::Service(Service::Seek(sought));
        self.engine().tell_changes(at);
    }

    fn engine(&mut self) -> &mut Engine {
        self.node.engine_mut()
    }

    /// The call of a user, by his number.
    fn call_of(&self, number: &str) -> CallNo {
        let calls = self.node.engine().table.calls();
        let is_of = |call: &Call| [&call.caller, &call.callee].iter().any(|party| party.identity.number == number);
        calls.into_iter().find(|(_, call)| is_of(call)).unwrap().0
    }

    fn legs_of(&self, number: &str) -> (LegId, LegId) {
        let call = self.node.engine().table.call(self.call_of(number)).unwrap();
        (call.caller.legs()[0], call.callee.legs()[0])
    }

    fn leg_of_caller(&self, number: &str) -> LegId {
        self.node.engine().table.call(self.call_of(number)).unwrap().caller.legs()[0]
    }

    #[track_caller]
    fn is_whole(&self) {
        assert_eq!(self.node.engine().audit(), Ok(()));
        assert_eq!(self.node.engine().audit_lamps(self.node.site()), Ok(()));
    }

    /// The audit finds this.
    #[track_caller]
    fn is_found(&self, finding: &str) {
        let found = self.node.engine().audit();
        assert!(found.as_ref().is_err_and(|text| text.contains(finding)), "{found:?}, not {finding:?}");
    }
}

fn sdp(user: u64) -> String {
    let ip = address(user).ip();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
}

/// The kind of a timer.
fn kind(timer: Timer) -> String {
    let text = format!("{timer:?}");
    text.split_once('(').map_or(text.clone(), |(kind, rest)| match kind {
        "Transaction" => rest.split('(').next().unwrap_or_default().to_owned(),
        kind => kind.to_owned(),
    })
}

#[test]
fn a_busy_switch_is_whole() {
    Bench::new().is_whole();
    let bench = Bench::busy();
    bench.is_whole();
    let engine = bench.node.engine();
    assert_eq!((engine.bridges().len(), engine.echoes().len(), engine.talking().len()), (1, 1, 2));
    assert_eq!(engine.partners().len(), 2);
}

#[test]
fn a_timer_that_is_lost_is_found() {
    let mut stopping = Bench::busy();
    stopping.tell(Input::Stop);
    stopping.is_whole();
    let mut kinds = BTreeSet::new();
    for mut bench in [Bench::busy(), stopping] {
        for (timer, at) in bench.engine().timers() {
            bench.engine().tamper(timer, None);
            bench.is_found(&format!("{timer:?} is not armed"));
            kinds.insert(kind(timer));
            bench.engine().tamper(timer, Some(at));
            bench.is_whole();
        }
    }
    let looked_at = [
        "Answered",
        "Binding",
        "ClientEnd",
        "KeepAlive",
        "NoAnswer",
        "Parked",
        "Recall",
        "ServerEnd",
        "Session",
        "Stop",
        "Subscription",
    ];
    let missing: Vec<_> = looked_at.into_iter().filter(|kind| !kinds.contains(*kind)).collect();
    assert!(missing.is_empty(), "{missing:?} of {kinds:?}");
}

#[test]
fn a_timer_that_nothing_waits_for_is_found() {
    let mut bench = Bench::busy();
    let known = bench.leg_of_caller("501");
    let tx = bench.engine().timers().into_keys().find_map(|timer| match timer {
        Timer::Transaction(transaction::Timer::ClientEnd(tx)) => Some(tx),
        _ => None,
    });
    let (leg, stream, soon) = (LegId(7), StreamId(7), bench.now.mono + Duration::from_secs(1));
    for timer in [
        // Its transaction is there, and is not to be sent again.
        Timer::Transaction(transaction::Timer::ClientRetransmit(tx.unwrap())),
        Timer::Binding(DeviceId(7)),
        Timer::KeepAlive(DeviceId(7)),
        Timer::NoAnswer(CallNo(7)),
        Timer::NoAnswer(bench.call_of("501")),
        Timer::Reoffer(leg),
        Timer::Reoffer(known),
        Timer::Prompt(leg),
        Timer::Reminder(CallId(7)),
        Timer::Session(leg),
        Timer::Unfinished(stream),
        Timer::Idle(stream),
        Timer::Large(stream),
        Timer::Guard(leg),
        Timer::Recall(CallNo(7)),
        Timer::Parked(CallNo(7)),
        Timer::Subscription(SubId(7)),
        Timer::Notify(SubId(7)),
        Timer::Behind,
        Timer::Kept,
        Timer::Stop,
    ] {
        bench.engine().tamper(timer, Some(soon));
        bench.is_found(&format!("nothing waits for the timer {timer:?}"));
        bench.engine().tamper(timer, None);
        bench.is_whole();
    }
    let mut idle = Bench::new();
    assert!(idle.node.engine().is_at_rest().unwrap_err().contains("is armed"), "a binding ends");
    for timer in idle.engine().timers().into_keys() {
        idle.engine().tamper(timer, None);
    }
    assert_eq!(idle.node.engine().is_at_rest(), Ok(()));
}

#[test]
fn a_leg_that_is_no_part_of_its_call_is_found() {
    let mut bench = Bench::busy();
    let (leg, other) = (bench.leg_of_caller("501"), bench.call_of("503"));
    bench.engine().table.leg_mut(leg).unwrap().call = other;
    bench.is_found("is no part of a call");

    let mut bench = Bench::busy();
    bench.engine().table.leg_mut(leg).unwrap().side = Side::Callee;
    bench.is_found("is no part of a call");
}

#[test]
fn a_call_with_a_leg_that_is_not_there_is_found() {
    let mut bench = Bench::busy();
    let no = bench.call_of("505");
    let PartyState::Ringing { legs, .. } = &mut bench.engine().table.call_mut(no).unwrap().callee.state else {
        panic!("it rings")
    };
    legs.push(LegId(7));
    bench.is_found("which is not there");
}

#[test]
fn a_call_that_rings_nobody_is_found() {
    let mut bench = Bench::busy();
    let (no, (_, leg)) = (bench.call_of("505"), bench.legs_of("505"));
    bench.engine().table.remove_leg(leg);
    let PartyState::Ringing { legs, .. } = &mut bench.engine().table.call_mut(no).unwrap().callee.state else {
        panic!("it rings")
    };
    legs.clear();
    bench.is_found("rings nobody");
}

#[test]
fn one_who_is_rung_in_nobodys_place_is_found() {
    let listed = |bench: &mut Bench, other| {
        let no = bench.call_of("505");
        let callee = &mut bench.engine().table.call_mut(no).unwrap().callee;
        let PartyState::Ringing { also, .. } = &mut callee.state else { panic!("it rings") };
        also.push(other);
        callee.id
    };
    // A call that is another's, or nobody's any more.
    let mut bench = Bench::busy();
    let other = bench.call_of("503");
    listed(&mut bench, other);
    bench.is_found("rings nobody for");

    // One that nobody waits for.
    let mut bench = Bench::busy();
    let other = bench.call_of("505");
    let id = bench.engine().table.call(other).unwrap().callee.id;
    bench.seek(id);
    bench.is_found("rings somebody for nobody");
}

#[test]
fn a_display_that_lies_is_found() {
    let mut bench = Bench::busy();
    let (_, leg) = bench.legs_of("502");
    bench.engine().table.leg_mut(leg).unwrap().shown.number = "599".into();
    bench.is_found("shows another than it has");
}

#[test]
fn one_who_waits_for_a_settled_transfer_is_found() {
    let mut bench = Bench::busy();
    let (no, to) = (bench.call_of("503"), bench.call_of("501"));
    bench.engine().table.call_mut(no).unwrap().callee.state = PartyState::Service(Service::Transfer(to));
    bench.is_found("which is settled");
}

#[test]
fn what_is_parked_nowhere_or_by_nobody_is_found() {
    // A place without its call.
    let mut bench = Bench::busy();
    let (slot, parked) = bench.engine().parks.iter().next().map(|(slot, parked)| (slot, parked.clone())).unwrap();
    let (other, soon) = (bench.call_of("503"), bench.now.mono + Duration::from_secs(1));
    bench.engine().parks.get_mut(slot).unwrap().call = other;
    bench.engine().tamper(Timer::Recall(parked.call), None);
    bench.engine().tamper(Timer::Recall(other), Some(soon));
    bench.is_found("nobody is parked at");

    // A place for which nobody is rung.
    let mut bench = Bench::busy();
    bench.engine().parks.get_mut(slot).unwrap().recall = Recall::Ringing(other);
    bench.engine().tamper(Timer::Recall(parked.call), None);
    bench.is_found("nobody is rung for");

    // A call without its place.
    let mut bench = Bench::busy();
    bench.engine().parks.remove(slot);
    bench.engine().tamper(Timer::Recall(parked.call), None);
    bench.is_found("is parked nowhere");
}

#[test]
fn media_legs_that_do_not_fit_the_calls_are_found() {
    let mut bench = Bench::busy();
    let place = Place { worker: WorkerId(0), port: Port(20_030) };
    bench.engine().seats.open(LegId(7), place, StreamStart { ssrc: 1, sequence: 1, timestamp: 1 });
    bench.is_found("is nobody's");

    let mut bench = Bench::busy();
    let (leg, _) = bench.legs_of("505");
    bench.engine().seats.closed(leg);
    bench.is_found("has no media leg");
}

#[test]
fn sound_that_goes_elsewhere_is_found() {
    let mut bench = Bench::busy();
    let (leg, _) = bench.legs_of("501");
    bench.engine().seats.echo(leg);
    bench.is_found("talk and are not to hear each other");

    // Joined with a third, as a forgotten one after a transfer would be.
    let mut bench = Bench::busy();
    let ((leg, _), third) = (bench.legs_of("501"), bench.leg_of_caller("503"));
    bench.engine().seats.join(leg, third);
    bench.is_found("talk and are not to hear each other");

    let mut bench = Bench::busy();
    let leg = bench.leg_of_caller("503");
    bench.engine().seats.close(leg);
    bench.is_found("is not to hear itself");
}

#[test]
fn changes_that_were_not_told_are_found() {
    let mut bench = Bench::busy();
    let no = bench.call_of("501");
    bench.engine().touch(no, None);
    bench.is_found("changes were left untold");

    let mut bench = Bench::busy();
    let ticket = bench.engine().ticket();
    bench.engine().complete(ticket, Ok(None));
    bench.is_found("changes were left untold");
}

#[test]
fn lamps_that_lie_are_found() {
    let found = |bench: &Bench| bench.node.engine().audit_lamps(bench.node.site()).unwrap_err();
    let mut bench = Bench::busy();
    let no = bench.call_of("502");
    bench.engine().table.remove(no);
    assert!(found(&bench).contains("its watchers were not told"));

    let mut bench = Bench::busy();
    let id = bench.engine().subscriptions.ids()[0];
    let Of::One(lamp) = &mut bench.engine().subscriptions.get_mut(id).unwrap().of else { panic!("one lamp") };
    lamp.told = None;
    assert!(found(&bench).contains("which is not so"));

    let mut bench = Bench::busy();
    let Of::One(lamp) = &mut bench.engine().subscriptions.get_mut(id).unwrap().of else { panic!("one lamp") };
    lamp.subject = None;
    assert!(found(&bench).contains("which is not so"));
}
