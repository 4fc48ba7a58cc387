//! Two telephones without a switch between them, in virtual time, over a link that may lose messages.

use super::*;

mod manners;

/// Two telephones that take each other for the registrar.
struct Pair {
    now: Instant,
    phones: [Phone; 2],
    /// In flight: when it arrives, at whom.
    wire: Vec<(Instant, usize, PhoneInput)>,
    events: [Vec<Event>; 2],
    /// Of so many SIP messages, the first is lost.
    lose: Option<u32>,
    sent: u32,
    /// Every SIP message sent, with who sent it.
    said: Vec<(usize, String)>,
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn config(index: u16) -> Config {
    Config {
        user: format!("50{}", index + 1),
        secret: "secret".into(),
        domain: "switch.local".into(),
        registrar: address(5061 - index),
        sip: address(5060 + index),
        rtp: address(4000 + 2 * index),
        transport: Transport::Udp,
        codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::Event],
        tone_hz: 440 + 200 * u32::from(index),
        talk: Talk::Always,
        behaviour: Behaviour::Answer(Duration::from_millis(200)),
        auto_answer: false,
        hold: Hold::SendOnly,
        expires: 60,
        manners: Manners::default(),
    }
}

impl Pair {
    fn new() -> Pair {
        Pair::with([Manners::default(), Manners::default()])
    }

    fn with(manners: [Manners; 2]) -> Pair {
        let mut phones = [Phone::new(config(0), 1), Phone::new(config(1), 2)];
        for (phone, manners) in phones.iter_mut().zip(manners) {
            phone.teach(manners);
        }
        let (wire, events, said) = (Vec::new(), [Vec::new(), Vec::new()], Vec::new());
        Pair { now: Instant::now(), phones, wire, events, lose: None, sent: 0, said }
    }

    fn flush(&mut self) {
        for index in 0..2 {
            while let Some(output) = self.phones[index].poll_output() {
                let from = match output {
                    PhoneOutput::Rtp(..) => self.phones[index].config().rtp,
                    _ => self.phones[index].config().sip,
                };
                let input = match output {
                    PhoneOutput::Event(event) => {
                        self.events[index].push(event);
                        continue;
                    }
                    PhoneOutput::Sip(bytes, _) => {
                        self.sent += 1;
                        let text = String::from_utf8_lossy(&bytes);
                        self.said.push((index, text.clone().into_owned()));
                        if self.lose.is_some_and(|every| self.sent % every == 1) {
                            continue;
                        }
                        PhoneInput::Sip(bytes, from)
                    }
                    PhoneOutput::Rtp(bytes, _) => PhoneInput::Rtp(bytes, from),
                };
                self.wire.push((self.now + Duration::from_millis(5), 1 - index, input));
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.flush();
            let arrival = self.wire.iter().map(|(at, ..)| *at).min();
            let timeout = self.phones.iter().filter_map(Phone::next_timeout).min();
            let Some(next) = arrival.into_iter().chain(timeout).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            let (due, later) = std::mem::take(&mut self.wire).into_iter().partition(|(at, ..)| *at <= self.now);
            self.wire = later;
            let due: Vec<_> = due;
            for (_, index, input) in due {
                self.phones[index].handle(self.now, input);
            }
            for phone in &mut self.phones {
                phone.handle(self.now, PhoneInput::Tick);
            }
        }
        self.now = end;
    }

    fn seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    fn told(&self, index: usize, event: &Event) -> usize {
        self.events[index].iter().filter(|e| *e == event).count()
    }

    /// How many messages of one of them begin so, repetitions among them.
    fn said(&self, index: usize, start: &str) -> usize {
        self.said.iter().filter(|(by, text)| *by == index && text.starts_with(start)).count()
    }

    fn press<T>(&mut self, index: usize, key: impl FnOnce(&mut Phone, Instant) -> T) -> T {
        key(&mut self.phones[index], self.now)
    }

    /// Whether each hears the other's tone, of what comes from now on.
    fn hear_each_other(&mut self) -> bool {
        self.phones.iter_mut().for_each(Phone::listen_anew);
        self.seconds(1);
        self.phones[0].ear().hears(640) && self.phones[1].ear().hears(440)
    }

    /// A call from the first to the second, up.
    fn connected() -> Pair {
        Pair::connected_with([Manners::default(), Manners::default()])
    }

    fn connected_with(manners: [Manners; 2]) -> Pair {
        let mut pair = Pair::with(manners);
        let now = pair.now;
        assert!(pair.phones[0].call(now, "502"));
        pair.seconds(2);
        let told = (pair.told(0, &Event::Connected), pair.told(1, &Event::Connected));
        assert_eq!(told, (1, 1), "{:?} {:?}", pair.events, pair.said);
        pair
    }
}

#[test]
fn each_hears_the_others_tone_in_one_unbroken_stream() {
    let pair = Pair::connected();
    assert!(pair.phones[0].ear().hears(640) && pair.phones[1].ear().hears(440));
    for phone in &pair.phones {
        let ear = phone.ear();
        assert_eq!((ear.sources(), ear.lost, ear.timestamp_faults, ear.strange), (1, 0, 0, 0));
        assert!(ear.packets > 50);
    }
}

#[test]
fn digits_are_heard_once_each_and_the_stream_goes_on() {
    let mut pair = Pair::connected();
    let now = pair.now;
    assert!(pair.phones[0].press(now, "112#"));
    pair.seconds(3);
    let ear = pair.phones[1].ear();
    assert_eq!((ear.digits(), ear.lost, ear.timestamp_faults), ("112#", 0, 0));
    assert!(ear.hears(440));
}

#[test]
fn hold_silences_the_one_who_is_held_and_resume_brings_him_back_in_the_same_stream() {
    let mut pair = Pair::connected();
    let now = pair.now;
    assert!(pair.phones[0].hold(now));
    pair.seconds(1);
    assert_eq!((pair.told(0, &Event::Held(true)), pair.told(1, &Event::HeldByOther(true))), (1, 1));
    pair.phones[0].listen_anew();
    pair.seconds(1);
    assert_eq!(pair.phones[0].ear().tone(), None);
    let now = pair.now;
    assert!(pair.phones[0].resume(now));
    pair.seconds(1);
    assert!(pair.phones[0].ear().hears(640));
    assert_eq!((pair.phones[0].ear().sources(), pair.phones[0].ear().timestamp_faults), (1, 0));
}

#[test]
fn either_may_hang_up() {
    for index in 0..2 {
        let mut pair = Pair::connected();
        let now = pair.now;
        pair.phones[index].hang_up(now);
        pair.seconds(1);
        assert_eq!(
            (pair.told(index, &Event::Ended(End::Here)), pair.told(1 - index, &Event::Ended(End::There))),
            (1, 1)
        );
        assert!(pair.phones.iter().all(Phone::is_quiet));
    }
}

#[test]
fn a_caller_who_gives_up_ends_the_ringing() {
    let mut pair = Pair::new();
    pair.phones[1].behave(Behaviour::Ring);
    let now = pair.now;
    pair.phones[0].call(now, "502");
    pair.seconds(1);
    assert_eq!(pair.phones[0].status(), Status::Calling { ringing: true });
    let now = pair.now;
    pair.phones[0].hang_up(now);
    pair.seconds(1);
    assert_eq!((pair.told(0, &Event::Ended(End::Here)), pair.told(1, &Event::Ended(End::There))), (1, 1));
}

#[test]
fn an_answer_that_crosses_the_cancel_is_hung_up() {
    let mut pair = Pair::new();
    pair.phones[1].behave(Behaviour::Answer(Duration::ZERO));
    let now = pair.now;
    pair.phones[0].call(now, "502");
    pair.run(Duration::from_millis(7));
    let now = pair.now;
    pair.phones[0].hang_up(now);
    pair.seconds(1);
    assert_eq!((pair.told(0, &Event::Ended(End::Here)), pair.told(0, &Event::Connected)), (1, 0));
    assert_eq!(pair.told(1, &Event::Ended(End::There)), 1);
}

#[test]
fn a_refusal_is_told_with_its_status() {
    let mut pair = Pair::new();
    pair.phones[1].behave(Behaviour::Reject(486));
    let now = pair.now;
    pair.phones[0].call(now, "502");
    pair.seconds(1);
    assert_eq!(pair.told(0, &Event::Ended(End::Refused(486))), 1);
}

#[test]
fn whatever_message_is_lost_the_call_comes_and_goes() {
    for every in 3..12 {
        let mut pair = Pair::new();
        pair.lose = Some(every);
        let now = pair.now;
        pair.phones[0].call(now, "502");
        pair.seconds(20);
        assert_eq!((pair.told(0, &Event::Connected), pair.told(1, &Event::Connected)), (1, 1), "one of {every} lost");
        let now = pair.now;
        pair.phones[1].hang_up(now);
        pair.seconds(60);
        assert_eq!(pair.told(0, &Event::Ended(End::There)), 1, "one of {every} lost");
        assert!(pair.phones.iter().all(|phone| phone.is_quiet() && phone.next_timeout().is_none()));
    }
}

#[test]
fn who_vanished_is_given_up() {
    let mut pair = Pair::connected();
    pair.phones[1].vanish();
    let now = pair.now;
    assert!(pair.phones[0].hold(now));
    pair.seconds(40);
    assert_eq!(pair.told(0, &Event::Ended(End::Lost)), 1);
}

#[test]
fn crossing_holds_are_both_carried_out_in_the_end() {
    let mut pair = Pair::connected();
    let now = pair.now;
    assert!(pair.phones[0].hold(now) && pair.phones[1].hold(now));
    pair.seconds(10);
    assert_eq!((pair.told(0, &Event::Held(true)), pair.told(1, &Event::Held(true))), (1, 1));
}
