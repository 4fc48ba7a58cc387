use tokio::task::LocalSet;

use super::*;
use crate::node::Pressure;

/// What a socket's sink heard.
#[derive(Clone, Default)]
struct Heard(std::rc::Rc<RefCell<Vec<(Flow, Bytes)>>>, std::rc::Rc<RefCell<Vec<Pressure>>>);

impl Heard {
    fn sink(&self) -> Sink {
        let heard = self.clone();
        std::rc::Rc::new(move |input| match input {
            Input::Datagram(flow, bytes) => heard.0.borrow_mut().push((flow, bytes)),
            Input::Pressure(pressure) => heard.1.borrow_mut().push(pressure),
            other => panic!("a UDP socket told {other:?}"),
        })
    }

    fn first(&self) -> (Flow, Bytes) {
        self.0.borrow()[0].clone()
    }
}

fn phone(address: &str) -> UdpSocket {
    let phone = UdpSocket::bind(address).unwrap();
    phone.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    phone
}

fn bind(addresses: &[&str]) -> Udp {
    let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Udp::bind(&addresses, Gauge::new(Duration::from_millis(100))).unwrap()
}

fn in_runtime<T>(test: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test())
}

/// A phone speaks to `asked` of a wildcard socket, and is answered.
fn answer_comes_from(wildcard: &str, phone_at: &str, asked: &str) {
    in_runtime(async || {
        let udp = bind(&[wildcard]);
        let asked: SocketAddr = (asked.parse::<IpAddr>().unwrap(), udp.addresses()[0].port()).into();
        let phone = phone(phone_at);
        phone.send_to(b"OPTIONS", asked).unwrap();

        let heard = Heard::default();
        udp.drain(&heard.sink());
        let (flow, bytes) = heard.first();
        assert_eq!(&bytes[..], b"OPTIONS");
        assert_eq!(flow, Flow { channel: Channel::Udp, local: asked, peer: phone.local_addr().unwrap() });

        udp.send(flow, Bytes::from_static(b"SIP/2.0 200 OK"));
        let mut answer = [0; 64];
        let (length, from) = phone.recv_from(&mut answer).unwrap();
        assert_eq!((&answer[..length], from), (&b"SIP/2.0 200 OK"[..], asked));
    });
}

#[test]
fn rfc3581_an_answer_leaves_from_the_address_that_was_asked() {
    answer_comes_from("0.0.0.0:0", "127.0.0.1:0", "127.0.0.2");
}

#[test]
fn rfc3581_an_answer_leaves_from_the_address_that_was_asked_over_ipv6() {
    answer_comes_from("[::]:0", "[::1]:0", "::1");
}

#[test]
fn both_wildcards_share_a_port() {
    in_runtime(async || {
        let first = bind(&["0.0.0.0:0"]);
        bind(&[&format!("[::]:{}", first.addresses()[0].port())]);
    });
}

#[test]
fn a_taken_port_is_told_with_its_setting_and_address() {
    in_runtime(async || {
        let taken = phone("127.0.0.1:0").local_addr().unwrap();
        let _holder = phone(&taken.to_string());
        let error = Udp::bind(&[taken], Gauge::new(Duration::from_millis(100))).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("[sip] udp: ") && error.contains(&taken.to_string()), "{error}");
    });
}

#[test]
fn a_burst_is_taken_in_order_across_turns() {
    in_runtime(async || {
        let udp = std::rc::Rc::new(bind(&["127.0.0.1:0"]));
        let phone = phone("127.0.0.1:0");
        let sent: Vec<String> = (0..3 * BATCH).map(|number| format!("message {number}")).collect();
        for message in &sent {
            phone.send_to(message.as_bytes(), udp.addresses()[0]).unwrap();
        }
        let heard = Heard::default();
        let served = {
            let (udp, sink) = (std::rc::Rc::clone(&udp), heard.sink());
            async move { udp.serve(0, &sink).await }
        };
        let all = async {
            while heard.0.borrow().len() < sent.len() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { () = served => {}, () = all => {} }
        let got: Vec<String> =
            heard.0.borrow().iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into()).collect();
        assert_eq!(got, sent);
    });
}

#[test]
fn a_peer_that_has_gone_costs_one_datagram_and_no_more() {
    in_runtime(async || {
        let udp = bind(&["127.0.0.1:0"]);
        let gone = phone("127.0.0.1:0").local_addr().unwrap();
        let flow = Flow { channel: Channel::Udp, local: udp.addresses()[0], peer: gone };
        udp.send(flow, Bytes::from_static(b"BYE"));
        udp.send(flow, Bytes::from_static(b"BYE"));
        let alive = phone("127.0.0.1:0");
        alive.send_to(b"REGISTER", udp.addresses()[0]).unwrap();
        let heard = Heard::default();
        udp.drain(&heard.sink());
        assert_eq!(&heard.first().1[..], b"REGISTER");
    });
}

#[test]
fn what_no_socket_can_send_is_counted() {
    in_runtime(async || {
        let udp = bind(&["127.0.0.1:0"]);
        let local = "192.0.2.1:5060".parse().unwrap();
        udp.send(Flow { channel: Channel::Udp, local, peer: udp.addresses()[0] }, Bytes::from_static(b"BYE"));
        assert_eq!(udp.counts().unsent.get(), 1);
    });
}

#[test]
fn what_a_turn_says_goes_at_its_end_in_order_past_what_is_refused() {
    in_runtime(async || {
        let udp = bind(&["127.0.0.1:0", "[::1]:0"]);
        let phones = [phone("127.0.0.1:0"), phone("[::1]:0")];
        let locals = udp.addresses();
        let nowhere = "192.0.2.1:5060".parse().unwrap();
        let turn = udp.gather();
        for number in 0..30 {
            let step = udp.gather();
            let say = |local, peer| {
                udp.send(Flow { channel: Channel::Udp, local, peer }, Bytes::from(format!("message {number}")));
            };
            // Of every third nothing can be sent, and of every fifth no socket would know how; the other family is another batch.
            say(if number % 5 == 0 { nowhere } else { locals[0] }, phones[0].local_addr().unwrap());
            if number % 3 == 0 {
                say(locals[0], "[::1]:9".parse().unwrap());
            }
            if number % 7 == 0 {
                say(locals[1], phones[1].local_addr().unwrap());
            }
            drop(step);
        }
        drop(turn);
        for (phone, expected) in phones.iter().zip([|number: &i32| number % 5 > 0, |number: &i32| number % 7 == 0]) {
            for number in (0..30).filter(expected) {
                let mut heard = [0; 64];
                let length = phone.recv(&mut heard).unwrap();
                assert_eq!(String::from_utf8_lossy(&heard[..length]), format!("message {number}"));
            }
        }
        assert_eq!(udp.counts().unsent.get(), 6 + 10);
    });
}

#[test]
fn a_turn_that_says_much_does_not_let_it_wait() {
    in_runtime(async || {
        let udp = bind(&["127.0.0.1:0"]);
        let phone = phone("127.0.0.1:0");
        phone.set_nonblocking(true).unwrap();
        let flow = Flow { channel: Channel::Udp, local: udp.addresses()[0], peer: phone.local_addr().unwrap() };
        let heard = || std::iter::from_fn(|| phone.recv(&mut [0; 64]).ok()).count();
        let _turn = udp.gather();
        (0..40).for_each(|_| udp.send(flow, Bytes::from_static(b"BYE")));
        assert_eq!(heard(), 32);
        udp.flush();
        assert_eq!(heard(), 8);
    });
}

#[test]
fn the_way_to_a_peer_has_our_address_and_the_sip_port() {
    in_runtime(async || {
        let udp = bind(&["0.0.0.0:0"]);
        let local = udp.local_for("127.0.0.1:9".parse().unwrap()).unwrap();
        assert_eq!(local, (Ipv4Addr::LOCALHOST, udp.addresses()[0].port()).into());
        assert_eq!(udp.local_for("[::1]:9".parse().unwrap()), None, "no socket of that family is bound");
    });
}

#[test]
fn what_the_kernel_drops_is_counted() {
    in_runtime(async || {
        let udp = bind(&["127.0.0.1:0"]);
        socket2::SockRef::from(&udp.sockets[0].inner).set_recv_buffer_size(4096).unwrap();
        let phone = phone("127.0.0.1:0");
        let say = || phone.send_to(b"OPTIONS", udp.addresses()[0]).unwrap();
        for _ in 0..200 {
            say();
        }
        let heard = Heard::default();
        udp.drain(&heard.sink());
        // The kernel tells with what comes after.
        say();
        udp.drain(&heard.sink());
        let count = heard.0.borrow().len() as u64;
        assert_eq!(count + udp.counts().dropped.get(), 201);
    });
}

#[test]
fn a_socket_that_is_not_emptied_presses_and_one_that_is_does_not() {
    in_runtime(async || {
        let addresses = ["127.0.0.1:0".parse().unwrap()];
        let udp = Udp::bind(&addresses, Gauge::new(Duration::ZERO)).unwrap();
        let phone = phone("127.0.0.1:0");
        for _ in 0..BATCH * 2 {
            phone.send_to(b"OPTIONS", udp.addresses()[0]).unwrap();
        }
        let heard = Heard::default();
        for _ in 0..3 {
            udp.drain(&heard.sink());
        }
        // With no patience at all, the second batch is one too many; the third finds nothing.
        assert_eq!(*heard.1.borrow(), [Pressure::Requests, Pressure::None]);
    });
}
