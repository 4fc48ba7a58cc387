//! A test telephone on real sockets.

use std::cell::{Ref, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::TONES;
use super::ladder::{Ladder, Way};
use super::phone::{Behaviour, Codec, Config, Event, Hold, Manners, Phone, PhoneInput, PhoneOutput, Talk, Transport};

/// A telephone that acts by itself; dropped, it falls silent.
pub(super) struct Handset {
    shared: Rc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    phone: RefCell<Phone>,
    /// A key was pressed: there may be something to send.
    pressed: Notify,
    events: RefCell<Vec<Event>>,
    first_invite: RefCell<Option<Instant>>,
    index: usize,
    ladder: Rc<Ladder>,
}

impl Handset {
    pub(super) async fn new(
        index: usize,
        user: &str,
        secret: String,
        registrar: SocketAddr,
        behaviour: Behaviour,
        ladder: &Rc<Ladder>,
    ) -> io::Result<Handset> {
        let free = SocketAddr::new(registrar.ip(), 0);
        let (sip, rtp) = (UdpSocket::bind(free).await?, UdpSocket::bind(free).await?);
        let config = Config {
            user: user.to_owned(),
            secret,
            domain: "switch.local".to_owned(),
            registrar,
            sip: sip.local_addr()?,
            rtp: rtp.local_addr()?,
            transport: Transport::Udp,
            codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::Event],
            tone_hz: TONES[index],
            talk: Talk::Always,
            behaviour,
            auto_answer: true,
            hold: Hold::Inactive,
            expires: 300,
            manners: Manners::default(),
        };
        let shared = Rc::new(Shared {
            phone: RefCell::new(Phone::new(config, index as u64)),
            pressed: Notify::new(),
            events: RefCell::default(),
            first_invite: RefCell::default(),
            index,
            ladder: Rc::clone(ladder),
        });
        let task = tokio::task::spawn_local(Rc::clone(&shared).act(sip, rtp));
        Ok(Handset { shared, task })
    }

    pub(super) fn phone(&self) -> Ref<'_, Phone> {
        self.shared.phone.borrow()
    }

    /// Presses a key.
    pub(super) fn press<T>(&self, key: impl FnOnce(&mut Phone, Instant) -> T) {
        key(&mut self.shared.phone.borrow_mut(), Instant::now());
        self.shared.pressed.notify_one();
    }

    pub(super) fn listen_anew(&self) {
        self.shared.phone.borrow_mut().listen_anew();
    }

    /// Whether this has happened to it.
    pub(super) fn told(&self, event: &Event) -> bool {
        self.shared.events.borrow().contains(event)
    }

    /// When the first INVITE came.
    pub(super) fn first_invite(&self) -> Option<Instant> {
        *self.shared.first_invite.borrow()
    }
}

impl Drop for Handset {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn act(self: Rc<Self>, sip: UdpSocket, rtp: UdpSocket) {
        let (mut message, mut packet) = (vec![0; 65_536], vec![0; 2_048]);
        loop {
            self.carry_out(&sip, &rtp).await;
            let wake = self.phone.borrow().next_timeout().unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
            let input = tokio::select! {
                biased;
                Ok((length, from)) = sip.recv_from(&mut message) => {
                    self.saw(&message[..length]);
                    PhoneInput::Sip(Bytes::copy_from_slice(&message[..length]), from)
                }
                Ok((length, from)) = rtp.recv_from(&mut packet) => {
                    PhoneInput::Rtp(Bytes::copy_from_slice(&packet[..length]), from)
                }
                () = tokio::time::sleep_until(wake.into()) => PhoneInput::Tick,
                () = self.pressed.notified() => PhoneInput::Tick,
            };
            self.phone.borrow_mut().handle(Instant::now(), input);
        }
    }

    fn saw(&self, message: &[u8]) {
        if message.starts_with(b"INVITE ") {
            self.first_invite.borrow_mut().get_or_insert_with(Instant::now);
        }
        self.ladder.sip(self.index, Way::FromSwitch, message);
    }

    /// What the network does not take is lost, as on any other.
    async fn carry_out(&self, sip: &UdpSocket, rtp: &UdpSocket) {
        loop {
            let Some(output) = self.phone.borrow_mut().poll_output() else { return };
            match output {
                PhoneOutput::Sip(bytes, to) => {
                    self.ladder.sip(self.index, Way::ToSwitch, &bytes);
                    drop(sip.send_to(&bytes, to).await);
                }
                PhoneOutput::Rtp(bytes, to) => drop(rtp.send_to(&bytes, to).await),
                PhoneOutput::Event(event) => self.events.borrow_mut().push(event),
            }
        }
    }
}
