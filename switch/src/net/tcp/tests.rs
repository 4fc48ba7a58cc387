use std::future::Future;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::LocalSet;

use super::*;
use crate::node::Pressure;

/// A switch's TCP side, and what its node would hear.
struct World {
    tcp: Rc<Tcp>,
    address: SocketAddr,
    heard: UnboundedReceiver<Input>,
}

impl World {
    fn start(limits: Limits) -> World {
        World::knowing(limits, false)
    }

    /// Everybody is known, or nobody.
    fn knowing(limits: Limits, known: bool) -> World {
        let listeners = Listeners::bind("[sip] tcp", &["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = listeners.addresses()[0];
        let (tell, heard) = unbounded_channel();
        let tcp = Rc::new(Tcp::new(
            listeners,
            limits,
            Rc::new(move |input| tell.send(input).unwrap()),
            Gauge::new(Duration::ZERO),
            Rc::new(move |_| known),
        ));
        tokio::task::spawn_local(Rc::clone(&tcp).serve(0));
        World { tcp, address, heard }
    }

    async fn next(&mut self) -> Input {
        timeout(Duration::from_secs(10), self.heard.recv()).await.expect("the node hears something").unwrap()
    }

    async fn opened(&mut self) -> Flow {
        match self.next().await {
            Input::FlowOpened(flow) => flow,
            other => panic!("expected a new flow, not {other:?}"),
        }
    }

    async fn closed(&mut self) -> StreamId {
        match self.next().await {
            Input::FlowClosed(id) => id,
            other => panic!("expected the end of a flow, not {other:?}"),
        }
    }

    /// All bytes of a stream until it closes.
    async fn rest(&mut self, id: StreamId) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Input::Stream(of, bytes) if of == id => all.extend_from_slice(&bytes),
                Input::FlowClosed(of) if of == id => return all,
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}

fn id_of(flow: Flow) -> StreamId {
    match flow.channel {
        Channel::Tcp(id) => id,
        Channel::Udp => panic!("a TCP flow"),
    }
}

fn in_runtime<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async { test().await });
}

#[test]
fn bytes_arrive_in_order_and_the_end_is_told_once() {
    in_runtime(|| async {
        let mut world = World::start(Limits::default());
        let mut phone = TcpStream::connect(world.address).await.unwrap();
        let flow = world.opened().await;
        assert_eq!(flow.peer, phone.local_addr().unwrap());
        assert_eq!(flow.local, world.address);
        assert_eq!(id_of(flow), StreamId(1));

        let sent: Vec<u8> = (0..1_000_000u32).map(|number| number as u8).collect();
        phone.write_all(&sent).await.unwrap();
        drop(phone);
        assert_eq!(world.rest(StreamId(1)).await, sent);
        world.tcp.finish().await;
        assert!(world.heard.try_recv().is_err(), "nothing follows the end");
    });
}

#[test]
fn accepted_streams_are_odd() {
    in_runtime(|| async {
        let mut world = World::start(Limits::default());
        let _first = TcpStream::connect(world.address).await.unwrap();
        assert_eq!(id_of(world.opened().await), StreamId(1));
        let _second = TcpStream::connect(world.address).await.unwrap();
        assert_eq!(id_of(world.opened().await), StreamId(3));
    });
}

#[test]
fn closing_delivers_what_was_sent_before() {
    in_runtime(|| async {
        let mut world = World::start(Limits { queue: 16 << 20, ..Limits::default() });
        let mut phone = TcpStream::connect(world.address).await.unwrap();
        let id = id_of(world.opened().await);
        // More than the kernel takes at once, and something unread on our side.
        phone.write_all(b"unread").await.unwrap();
        let sent = vec![7; 8 << 20];
        world.tcp.send(id, Bytes::from(sent.clone()));
        world.tcp.close(id);
        world.tcp.send(id, Bytes::from_static(b"too late"));
        let mut got = Vec::new();
        phone.read_to_end(&mut got).await.unwrap();
        assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
        drop(phone);
        world.tcp.finish().await;
    });
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    in_runtime(|| async {
        let mut world = World::start(Limits { queue: 1000, ..Limits::default() });
        let _phone = TcpStream::connect(world.address).await.unwrap();
        let id = id_of(world.opened().await);
        while world.tcp.counts().overflowed.get() == 0 {
            world.tcp.send(id, Bytes::from_static(&[0; 900]));
        }
        assert_eq!(world.closed().await, id);
        world.tcp.send(id, Bytes::from_static(b"more"));
        assert_eq!(world.tcp.counts().unsent.get(), 1);
    });
}

#[test]
fn what_is_sent_while_connecting_goes_out_first() {
    in_runtime(|| async {
        let mut world = World::start(Limits::default());
        let phone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        world.tcp.connect(StreamId(2), phone.local_addr().unwrap());
        world.tcp.send(StreamId(2), Bytes::from_static(b"INVITE "));
        let (mut socket, switch) = phone.accept().await.unwrap();
        let flow = world.opened().await;
        assert_eq!((flow.channel, flow.local), (Channel::Tcp(StreamId(2)), switch));
        world.tcp.send(StreamId(2), Bytes::from_static(b"ACK"));
        world.tcp.close(StreamId(2));
        let mut got = String::new();
        socket.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "INVITE ACK");
    });
}

#[test]
fn a_connection_that_cannot_be_opened_is_told_as_closed() {
    in_runtime(|| async {
        let mut world = World::start(Limits::default());
        let nobody = { TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap() };
        world.tcp.connect(StreamId(2), nobody);
        assert_eq!(world.closed().await, StreamId(2));
        world.tcp.finish().await;
    });
}

#[test]
fn a_source_has_its_share_and_gets_it_back() {
    in_runtime(|| async {
        let mut world = World::start(Limits { per_source: 1, ..Limits::default() });
        let first = TcpStream::connect(world.address).await.unwrap();
        world.opened().await;
        let mut second = TcpStream::connect(world.address).await.unwrap();
        assert_eq!(second.read(&mut [0; 8]).await.unwrap_or(0), 0, "closed at once");
        assert_eq!(world.tcp.counts().refused.get(), 1);

        drop(first);
        world.closed().await;
        world.tcp.ended.notified().await;
        let _third = TcpStream::connect(world.address).await.unwrap();
        world.opened().await;
    });
}

#[test]
fn who_is_known_has_as_many_connections_as_there_are_and_strangers_leave_him_a_quarter() {
    in_runtime(|| async {
        let limits = Limits { connections: 4, per_source: 4, ..Limits::default() };
        let mut streams = Vec::new();
        let mut world = World::start(limits);
        for _ in 0..3 {
            streams.push(TcpStream::connect(world.address).await.unwrap());
            world.opened().await;
        }
        let mut fourth = TcpStream::connect(world.address).await.unwrap();
        assert_eq!(fourth.read(&mut [0; 8]).await.unwrap_or(0), 0, "closed at once");

        let mut world = World::knowing(Limits { per_source: 1, ..limits }, true);
        for _ in 0..4 {
            streams.push(TcpStream::connect(world.address).await.unwrap());
            world.opened().await;
        }
        let mut fifth = TcpStream::connect(world.address).await.unwrap();
        assert_eq!(fifth.read(&mut [0; 8]).await.unwrap_or(0), 0, "closed at once");
    });
}

#[test]
fn a_connection_that_is_never_answered_is_closed_whatever_it_says() {
    in_runtime(|| async {
        let mut world = World::start(Limits { patience: Duration::from_millis(1), ..Limits::default() });
        let mut phone = TcpStream::connect(world.address).await.unwrap();
        let id = id_of(world.opened().await);
        // As good as nothing, and as much of it as it likes.
        let _ = phone.write_all(b"I").await;
        world.rest(id).await;
        assert_eq!(phone.read(&mut [0; 8]).await.unwrap_or(0), 0);
    });
}

#[test]
fn a_connection_that_was_answered_stays() {
    in_runtime(|| async {
        let mut world = World::start(Limits { patience: Duration::from_millis(200), ..Limits::default() });
        let mut phone = TcpStream::connect(world.address).await.unwrap();
        let answered = id_of(world.opened().await);
        world.tcp.send(answered, Bytes::from_static(b"SIP/2.0 200 OK"));
        // Its time ends after the other's.
        let _silent = TcpStream::connect(world.address).await.unwrap();
        let silent = id_of(world.opened().await);
        assert_eq!(world.closed().await, silent);
        phone.write_all(b"ACK").await.unwrap();
        assert!(matches!(world.next().await, Input::Stream(id, _) if id == answered));
    });
}

#[test]
fn the_end_takes_no_new_connections() {
    in_runtime(|| async {
        let mut world = World::start(Limits::default());
        let mut phone = TcpStream::connect(world.address).await.unwrap();
        let id = id_of(world.opened().await);
        let (tcp, mut again) = (Rc::clone(&world.tcp), None);
        let reconnects = async {
            assert_eq!(phone.read(&mut [0; 8]).await.unwrap(), 0, "told that the switch ends");
            again = Some(TcpStream::connect(world.address).await.unwrap());
            drop(phone);
        };
        tokio::join!(tcp.finish(), reconnects);
        assert_eq!(world.closed().await, id);
        assert_eq!(again.unwrap().read(&mut [0; 8]).await.unwrap_or(0), 0, "closed at once");

        tcp.connect(StreamId(2), world.address);
        assert_eq!(world.closed().await, StreamId(2));
        assert!(world.heard.try_recv().is_err(), "no new flow was told");
    });
}

#[test]
fn an_ipv6_network_is_one_source() {
    let of = |text: &str| network(text.parse().unwrap());
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:2"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
}

#[test]
fn a_taken_port_is_told_with_its_setting_and_address() {
    in_runtime(|| async {
        let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let taken = holder.local_addr().unwrap();
        let error = Listeners::bind("[sip] tcp", &[taken]).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("[sip] tcp: ") && error.contains(&taken.to_string()), "{error}");
    });
}

/// With no patience at all, every round of the connections is one too long.
#[test]
fn connections_that_bring_more_than_a_round_takes_press_until_nothing_comes() {
    in_runtime(|| async {
        let mut world = World::start(Limits::default());
        tokio::task::spawn_local(Rc::clone(&world.tcp).measure());
        let mut phone = TcpStream::connect(world.address).await.unwrap();
        world.opened().await;
        phone.write_all(&[b'x'; 3 * PIECE]).await.unwrap();
        let (mut came, mut told) = (0, Vec::new());
        while came < 3 * PIECE || told.last() != Some(&Pressure::None) {
            match world.next().await {
                Input::Stream(_, bytes) => came += bytes.len(),
                Input::Pressure(pressure) => told.push(pressure),
                other => panic!("unexpected {other:?}"),
            }
        }
        assert!(told.chunks(2).all(|told| *told == [Pressure::Requests, Pressure::None]), "{told:?}");
    });
}

#[test]
fn nobody_is_read_twice_before_another_who_waits() {
    in_runtime(|| async {
        let mut world = World::start(Limits::default());
        let mut phones = Vec::new();
        for _ in 0..3 {
            phones.push(TcpStream::connect(world.address).await.unwrap());
            world.opened().await;
        }
        for phone in &mut phones {
            phone.write_all(&[b'x'; 3 * PIECE]).await.unwrap();
        }
        let mut read = Vec::new();
        while read.len() < 9 {
            match world.next().await {
                Input::Stream(id, bytes) if bytes.len() == PIECE => read.push(id),
                Input::Stream(..) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        for round in read.chunks(3) {
            let each: std::collections::BTreeSet<StreamId> = round.iter().copied().collect();
            assert_eq!(each.len(), 3, "{read:?}");
        }
    });
}
