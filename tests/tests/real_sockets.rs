//! The switch as a program and telephones made of bytes on real sockets, IPv4 and IPv6: what only the system can bring about.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use switch::sip::digest::{self, Algorithm};
use switch::sip::message::Method;
use tests::process::{PATIENCE, Switch, ports, secret};
use tests::template::Sip;

const HOSTS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
const REALM: &str = "switch.local";

/// A telephone on a datagram socket.
struct Phone {
    user: &'static str,
    socket: UdpSocket,
    switch: SocketAddr,
    number: u32,
}

impl Phone {
    fn new(user: &'static str, switch: &Switch) -> Phone {
        let socket = UdpSocket::bind((switch.sip.ip(), *ports(2).start())).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Phone { user, socket, switch: switch.sip, number: 0 }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.switch).unwrap();
    }

    fn hear(&self) -> Vec<u8> {
        let mut bytes = [0; 65_535];
        let (length, _) = self.socket.recv_from(&mut bytes).expect("the switch says something");
        bytes[..length].to_vec()
    }

    /// The next message that is as wanted.
    fn wait(&self, wanted: impl Fn(&Sip) -> bool) -> Sip {
        loop {
            let sip = Sip(String::from_utf8(self.hear()).unwrap());
            if wanted(&sip) {
                return sip;
            }
        }
    }

    /// A request to this user of the switch with these lines, its challenge answered: the last response to come first.
    fn ask(&mut self, method: &str, user: &str, lines: &str, body: &str) -> Sip {
        let at = if user.is_empty() { String::new() } else { format!("{user}@") };
        let (uri, from) = (format!("sip:{at}{REALM}"), self.user);
        let to = if user.is_empty() { from } else { user };
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let mut authorization = String::new();
        loop {
            self.number += 1;
            let number = self.number;
            self.send(
                format!(
                    "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{from}{number};rport\r\nMax-Forwards: 70\r\n\
                     From: <sip:{from}@{REALM}>;tag=t\r\nTo: <sip:{to}@{REALM}>\r\nCall-ID: {method}{from}\r\nCSeq: {number} {method}\r\n\
                     {lines}{authorization}{content}Content-Length: {}\r\n\r\n{body}",
                    self.address(),
                    body.len()
                )
                .as_bytes(),
            );
            let answer = self.wait(|sip| sip.status() > 0 && sip.number() == number);
            if answer.status() != 401 {
                return answer;
            }
            let nonce = answer.quoted("WWW-Authenticate", "nonce");
            let ha1 = digest::ha1(Algorithm::Md5, from, REALM, &secret(from));
            let response = digest::response(Algorithm::Md5, &ha1, nonce, None, &Method::from_token(method), &uri);
            authorization = format!(
                "Authorization: Digest username=\"{from}\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\"\r\n"
            );
        }
    }

    /// Registers with a contact that makes every INVITE to it longer than 1300 bytes.
    fn register(&mut self) {
        let contact = format!("Contact: <sip:{}@{};why={}>\r\n", self.user, self.address(), "x".repeat(1000));
        assert_eq!(self.ask("REGISTER", "", &contact, "").status(), 200);
    }

    /// Calls.
    fn call(&mut self, user: &str) {
        let address = self.address();
        let family = if address.is_ipv4() { "IP4" } else { "IP6" };
        let ip = address.ip();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
        );
        let contact = format!("Contact: <sip:{}@{address}>\r\n", self.user);
        assert_eq!(self.ask("INVITE", user, &contact, &sdp).status(), 100);
    }
}

fn office(host: IpAddr) -> (Switch, Phone, Phone) {
    let switch = Switch::start_on(host);
    switch.add_user("501", "Vanessa Kensington");
    switch.add_user("502", "Austin Powers");
    let (vanessa, austin) = (Phone::new("501", &switch), Phone::new("502", &switch));
    (switch, vanessa, austin)
}

/// RFC 3261 §18.1.1: the kernel of a telephone that does not listen resets the connection, and the INVITE comes over UDP.
#[test]
fn an_invite_over_1300_bytes_comes_over_udp_to_a_telephone_that_resets_the_connection() {
    for host in HOSTS {
        let (_switch, mut caller, mut callee) = office(host);
        callee.register();
        caller.call("502");
        let invite = callee.wait(|sip| sip.is("INVITE"));
        assert!(invite.0.len() > 1300 && invite.header("Via").starts_with("SIP/2.0/UDP "), "{}", invite.0);
    }
}

#[test]
fn an_invite_over_1300_bytes_comes_over_tcp_to_a_telephone_that_listens() {
    for host in HOSTS {
        let (switch, mut caller, mut callee) = office(host);
        let listener = TcpListener::bind(callee.address()).unwrap();
        callee.register();
        caller.call("502");
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut text = Vec::new();
        while !String::from_utf8_lossy(&text).contains("m=audio") {
            let mut bytes = [0; 4096];
            let length = stream.read(&mut bytes).unwrap();
            assert!(length > 0, "the switch does not hang up");
            text.extend(&bytes[..length]);
        }
        let invite = Sip(String::from_utf8(text).unwrap());
        // What it listens at, and not the port that the connection happens to leave from.
        assert!(invite.header("Via").starts_with(&format!("SIP/2.0/TCP {};", switch.sip)), "{}", invite.0);
    }
}

/// RFC 5626 §8.
#[test]
fn stun_on_the_sip_port_tells_the_address_it_came_from() {
    for host in HOSTS {
        let (_switch, phone, _) = office(host);
        let header = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        phone.send(&header);
        let answer = phone.hear();
        assert_eq!((&answer[..2], &answer[4..20]), (&[1, 1][..], &header[4..]));
        let port = u16::from_be_bytes([answer[26], answer[27]]) ^ 0x2112;
        let unmasked: Vec<u8> = answer[28..].iter().zip(&header[4..]).map(|(byte, mask)| byte ^ mask).collect();
        let expected = match host {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        assert_eq!((port, unmasked), (phone.address().port(), expected));
        // Two line ends are no message, and the socket is as well as before.
        phone.send(b"\r\n\r\n");
        phone.send(&header);
        assert_eq!(phone.hear()[..2], [1, 1]);
    }
}
