//! A telephone made of byte templates: it says exactly what a scenario tells it to, in whatever order, where the telephones of the
//! world would not.

use std::net::SocketAddr;
use std::time::Duration;

use switch::node::StreamId;
use switch::sip::digest::{self, Algorithm};
use switch::sip::message::Method;

use crate::world::{DOMAIN, SWITCH, World};

/// A telephone that does nothing by itself.
#[derive(Debug)]
pub struct Template {
    user: &'static str,
    address: SocketAddr,
    stream: Option<StreamId>,
    /// The address of the switch that it speaks to.
    switch: SocketAddr,
    /// What it says it can be reached at, where that is not its address.
    contact: Option<String>,
    used: u32,
    heard: Vec<Sip>,
    also: String,
}

/// A message, and what can be asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip(pub String);

/// What a telephone knows of a dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Its own address with its tag.
    pub local: String,
    /// The switch's.
    pub remote: String,
    /// Where requests go.
    pub target: String,
    /// The Call-ID.
    pub call_id: String,
}

impl Sip {
    /// The status of a response; 0 for a request.
    pub fn status(&self) -> u16 {
        self.0.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
    }

    /// The method, that of the CSeq for a response.
    pub fn method(&self) -> &str {
        self.header("CSeq").split(' ').nth(1).unwrap_or_default()
    }

    /// The number of its CSeq.
    pub fn number(&self) -> u32 {
        self.header("CSeq").split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Whether it is this request.
    pub fn is(&self, method: &str) -> bool {
        self.status() == 0 && self.method() == method
    }

    /// The value of a header's first line; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let lines = self.0.lines().skip(1).take_while(|line| !line.is_empty());
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
    }

    /// The values of all lines of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.0.lines().skip(1).take_while(|line| !line.is_empty());
        let fields = lines.filter_map(|line| line.split_once(':'));
        fields.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// A quoted parameter of a header.
    pub fn quoted(&self, header: &str, param: &str) -> &str {
        let value = self.header(header);
        value.split_once(&format!("{param}=\"")).and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default()
    }

    /// What follows the head.
    pub fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    /// The URI of its Contact.
    pub fn contact(&self) -> String {
        let value = self.header("Contact");
        value.split(['<', '>']).nth(1).unwrap_or(value).to_owned()
    }
}

/// Where the switch is, for all who know no other address of it.
fn home() -> SocketAddr {
    SWITCH.parse().expect("a socket address")
}

/// An offer or answer with this port and these formats.
pub fn sdp(address: SocketAddr, port: u16, formats: &str) -> String {
    let ip = address.ip();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\na=rtpmap:99 speex/8000\r\n"
    )
}

impl Template {
    /// A telephone of this user at 10.0.2.`host`.
    pub fn new(user: &'static str, host: u8) -> Template {
        let address = SocketAddr::from(([10, 0, 2, host], 5060));
        Template {
            user,
            address,
            stream: None,
            switch: home(),
            contact: None,
            used: 0,
            heard: Vec::new(),
            also: String::new(),
        }
    }

    /// The same at another port, with a memory of its own.
    pub fn at_port(&self, port: u16) -> Template {
        let address = SocketAddr::new(self.address.ip(), port);
        let used = u32::from(port) * 10;
        Template {
            user: self.user,
            address,
            stream: None,
            switch: home(),
            contact: None,
            used,
            heard: Vec::new(),
            also: String::new(),
        }
    }

    /// Over a connection of its own.
    pub fn over_tcp(mut self, world: &mut World) -> Template {
        self.stream = Some(world.open_stream(self.address));
        self
    }

    /// It speaks to another address of the switch.
    pub fn speak_to(&mut self, switch: SocketAddr) {
        self.switch = switch;
    }

    /// It says that it can be reached at this URI.
    pub fn claim(&mut self, contact: &str) {
        self.contact = Some(contact.to_owned());
    }

    /// From now on it says these header lines too, in whatever it says; each with its line end.
    pub fn adds(&mut self, lines: &str) {
        lines.clone_into(&mut self.also);
    }

    /// Its connection.
    pub fn stream(&self) -> Option<StreamId> {
        self.stream
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A number never used before: a CSeq, a branch.
    pub fn fresh(&mut self) -> u32 {
        self.used += 1;
        self.used
    }

    fn branch(&mut self) -> String {
        format!("z9hG4bK{}x{}", self.address.to_string().replace(['.', ':'], "x"), self.fresh())
    }

    /// The Call-ID of its registrations.
    pub fn call_id(&self) -> String {
        format!("registration{}", self.address)
    }

    /// The URI it can be reached at.
    pub fn uri(&self) -> String {
        if let Some(contact) = &self.contact {
            return contact.clone();
        }
        let transport = if self.stream.is_some() { ";transport=tcp" } else { "" };
        format!("sip:{}@{}{transport}", self.user, self.address)
    }

    /// An offer or answer with PCMU and PCMA.
    pub fn sdp(&self) -> String {
        sdp(self.address, 4000, "0 8")
    }

    /// Says it.
    pub fn say(&self, world: &mut World, message: &str) {
        let message = message.replacen("\r\n", &format!("\r\n{}", self.also), 1);
        match self.stream {
            Some(stream) => world.send_on(stream, message.as_bytes()),
            None => world.send_from_to(self.address, self.switch, message),
        }
    }

    /// What it heard since this was last asked.
    pub fn hear(&mut self, world: &mut World) -> Vec<Sip> {
        self.listen(world);
        std::mem::take(&mut self.heard)
    }

    fn listen(&mut self, world: &mut World) {
        let messages = world.received_by(self.address).into_iter();
        self.heard.extend(messages.map(|bytes| Sip(String::from_utf8_lossy(&bytes).into_owned())));
    }

    /// Lets time pass until such a message comes, and takes it; what came before it stays unheard.
    #[track_caller]
    pub fn wait(&mut self, world: &mut World, what: impl Fn(&Sip) -> bool) -> Sip {
        for _ in 0..2_000 {
            self.listen(world);
            if let Some(at) = self.heard.iter().position(&what) {
                return self.heard.remove(at);
            }
            world.run_for(Duration::from_millis(5));
        }
        panic!("{} never heard it, but {:?}", self.user, self.heard)
    }

    /// Waits for this status of this method.
    #[track_caller]
    pub fn wait_status(&mut self, world: &mut World, method: &str, status: u16) -> Sip {
        self.wait(world, |sip| sip.status() == status && sip.method() == method)
    }

    /// Waits for this request.
    #[track_caller]
    pub fn wait_request(&mut self, world: &mut World, method: &str) -> Sip {
        self.wait(world, |sip| sip.is(method))
    }

    /// A request. `lines` hold what is not Via, Max-Forwards, Content-Type or Content-Length, each with its line end.
    pub fn request(&mut self, method: &str, uri: &str, lines: &str, body: &str) -> String {
        let branch = self.branch();
        self.request_with_branch(method, uri, &branch, lines, body)
    }

    /// The same under a branch of the scenario's.
    pub fn request_with_branch(&self, method: &str, uri: &str, branch: &str, lines: &str, body: &str) -> String {
        let transport = if self.stream.is_some() { "TCP" } else { "UDP" };
        let says = lines.contains("Content-Type:");
        let content = if body.is_empty() || says { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {};branch={branch};rport\r\nMax-Forwards: 70\r\n{lines}{content}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
    }

    /// A request outside of a dialog, its challenge answered: the one that was accepted for processing. `lines` hold what is not From, To, Call-ID, CSeq or Contact.
    #[track_caller]
    pub fn ask(&mut self, world: &mut World, method: &str, number: &str, lines: &str, body: &str) -> Sip {
        let uri = format!("sip:{number}@{DOMAIN}");
        let about = self.invite_lines(number) + lines;
        let first = self.request(method, &uri, &format!("{about}CSeq: 1 {method}\r\n"), body);
        self.say(world, &first);
        let challenge = self.wait_status(world, method, 401);
        let nonce = challenge.quoted("WWW-Authenticate", "nonce").to_owned();
        let authorization = self.authorization(method, &self.secret(), &nonce, Some(1));
        let second = self.request(method, &uri, &format!("{about}CSeq: 2 {method}\r\n{authorization}"), body);
        self.say(world, &second);
        Sip(second)
    }

    /// A REGISTER with these contacts (each a whole header line).
    pub fn register_request(&mut self, call_id: &str, number: u32, contacts: &str, authorization: &str) -> String {
        let user = self.user;
        let lines = format!(
            "From: <sip:{user}@{DOMAIN}>;tag=r\r\nTo: <sip:{user}@{DOMAIN}>\r\nCall-ID: {call_id}\r\nCSeq: {number} REGISTER\r\n{contacts}{authorization}"
        );
        self.request("REGISTER", &format!("sip:{DOMAIN}"), &lines, "")
    }

    /// A fresh nonce.
    #[track_caller]
    pub fn nonce(&mut self, world: &mut World) -> String {
        let number = self.fresh();
        let request = self.register_request("nonce", number, "", "");
        self.say(world, &request);
        self.wait_status(world, "REGISTER", 401).quoted("WWW-Authenticate", "nonce").to_owned()
    }

    /// An Authorization line for a request of this method to the domain. `count` is the nonce count, `None` for RFC 2069.
    pub fn authorization(&self, method: &str, secret: &str, nonce: &str, count: Option<u32>) -> String {
        let (user, uri) = (self.user, format!("sip:{DOMAIN}"));
        let ha1 = digest::ha1(Algorithm::Md5, user, DOMAIN, secret);
        let count = count.map(|count| format!("{count:08x}"));
        let auth = count.as_ref().map(|count| ("c", count.as_str()));
        let method = Method::from_token(method);
        let response = digest::response(Algorithm::Md5, &ha1, nonce, auth, &method, &uri);
        let auth = count.map(|count| format!(", qop=auth, nc={count}, cnonce=\"c\"")).unwrap_or_default();
        format!(
            "Authorization: Digest username=\"{user}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\"{auth}\r\n"
        )
    }

    /// Credentials in full, for a request to any URI, by any algorithm.
    pub fn credentials(&self, algorithm: Algorithm, method: &str, uri: &str, nonce: &str, count: u32) -> String {
        let ha1 = digest::ha1(algorithm, self.user, DOMAIN, &self.secret());
        let count = format!("{count:08x}");
        let method = Method::from_token(method);
        let response = digest::response(algorithm, &ha1, nonce, Some(("c", &count)), &method, uri);
        format!(
            "Digest username=\"{}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", algorithm={}, qop=auth, nc={count}, cnonce=\"c\"",
            self.user,
            algorithm.as_str()
        )
    }

    /// Its right secret.
    pub fn secret(&self) -> String {
        format!("secret{}", self.user)
    }

    /// Asks to be registered with these contacts, its credentials right. The answer is still to come.
    #[track_caller]
    pub fn ask_to_register(&mut self, world: &mut World, contacts: &str) {
        let nonce = self.nonce(world);
        let number = self.fresh();
        let authorization = self.authorization("REGISTER", &self.secret(), &nonce, Some(1));
        let request = self.register_request(&self.call_id(), number, contacts, &authorization);
        self.say(world, &request);
    }

    /// Is registered for five minutes.
    #[track_caller]
    pub fn register(&mut self, world: &mut World) {
        let contact = format!("Contact: <{}>;expires=300\r\n", self.uri());
        self.ask_to_register(world, &contact);
        self.wait_status(world, "REGISTER", 200);
    }

    /// The lines of an INVITE to this number, under a Call-ID of its own.
    pub fn invite_lines(&mut self, number: &str) -> String {
        let (user, call) = (self.user, self.fresh());
        format!(
            "From: <sip:{user}@{DOMAIN}>;tag=t{call}\r\nTo: <sip:{number}@{DOMAIN}>\r\nCall-ID: call{call}-{user}\r\nContact: <{}>\r\n",
            self.uri()
        )
    }

    /// An INVITE to a number without credentials, said.
    pub fn invite(&mut self, world: &mut World, number: &str, body: &str) -> Sip {
        let lines = self.invite_lines(number);
        let invite =
            self.request("INVITE", &format!("sip:{number}@{DOMAIN}"), &format!("{lines}CSeq: 1 INVITE\r\n"), body);
        self.say(world, &invite);
        Sip(invite)
    }

    /// Calls a number, its challenge answered: the INVITE that was accepted for processing.
    #[track_caller]
    pub fn call(&mut self, world: &mut World, number: &str, body: &str) -> Sip {
        self.call_uri(world, &format!("sip:{number}@{DOMAIN}"), number, body)
    }

    /// The same to this URI, which is written differently in To.
    #[track_caller]
    pub fn call_uri(&mut self, world: &mut World, uri: &str, number: &str, body: &str) -> Sip {
        let lines = self.invite_lines(number);
        let first = self.request("INVITE", uri, &format!("{lines}CSeq: 1 INVITE\r\n"), body);
        self.say(world, &first);
        let challenge = self.wait_status(world, "INVITE", 401);
        self.acknowledge_refusal(world, &Sip(first), &challenge);
        let nonce = challenge.quoted("WWW-Authenticate", "nonce").to_owned();
        let authorization = self.authorization("INVITE", &self.secret(), &nonce, Some(1));
        let second = self.request("INVITE", uri, &format!("{lines}CSeq: 2 INVITE\r\n{authorization}"), body);
        self.say(world, &second);
        Sip(second)
    }

    /// The ACK of a 3xx-6xx (RFC 3261 §17.1.1.3).
    pub fn acknowledge_refusal(&self, world: &mut World, invite: &Sip, response: &Sip) {
        let lines = format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} ACK\r\n",
            invite.header("From"),
            response.header("To"),
            invite.header("Call-ID"),
            invite.number()
        );
        let uri = invite.0.split(' ').nth(1).unwrap_or_default();
        let ack = self.request_with_branch("ACK", uri, branch(invite), &lines, "");
        self.say(world, &ack);
    }

    /// The CANCEL of an INVITE.
    pub fn cancel(&self, world: &mut World, invite: &Sip) {
        let lines = format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} CANCEL\r\n",
            invite.header("From"),
            invite.header("To"),
            invite.header("Call-ID"),
            invite.number()
        );
        let uri = invite.0.split(' ').nth(1).unwrap_or_default();
        let cancel = self.request_with_branch("CANCEL", uri, branch(invite), &lines, "");
        self.say(world, &cancel);
    }

    /// Answers a request, with this To tag.
    pub fn respond(&self, world: &mut World, request: &Sip, status: u16, tag: &str, body: &str) {
        let to = request.header("To");
        let to = if to.contains(";tag=") || tag.is_empty() { to.to_owned() } else { format!("{to};tag={tag}") };
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let response = format!(
            "SIP/2.0 {status} Whatever\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <{}>\r\n{content}Content-Length: {}\r\n\r\n{body}",
            request.header("Via"),
            request.header("From"),
            request.header("Call-ID"),
            request.header("CSeq"),
            self.uri(),
            body.len()
        );
        self.say(world, &response);
    }

    /// A request within a dialog.
    pub fn request_within(&mut self, dialog: &Dialog, method: &str, number: u32, body: &str) -> Sip {
        let branch = self.branch();
        self.request_within_as(dialog, method, number, &branch, body)
    }

    /// The same under a branch of the scenario's.
    pub fn request_within_as(&self, dialog: &Dialog, method: &str, number: u32, branch: &str, body: &str) -> Sip {
        let lines = format!(
            "From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\nContact: <{}>\r\n",
            dialog.local,
            dialog.remote,
            dialog.call_id,
            self.uri()
        );
        Sip(self.request_with_branch(method, &dialog.target, branch, &lines, body))
    }

    /// Says a request within a dialog.
    pub fn say_within(&mut self, world: &mut World, dialog: &Dialog, method: &str, number: u32, body: &str) {
        let request = self.request_within(dialog, method, number, body);
        self.say(world, &request.0);
    }
}

/// The branch of a request's Via.
pub fn branch(request: &Sip) -> &str {
    let via = request.header("Via");
    via.split_once("branch=").map_or("", |(_, rest)| rest.split(';').next().unwrap_or_default())
}

impl Dialog {
    /// The dialog a response to the telephone's own INVITE makes.
    pub fn of_caller(response: &Sip) -> Dialog {
        Dialog {
            local: response.header("From").to_owned(),
            remote: response.header("To").to_owned(),
            target: Some(response.contact()).filter(|uri| !uri.is_empty()).unwrap_or(format!("sip:{SWITCH}")),
            call_id: response.header("Call-ID").to_owned(),
        }
    }

    /// The dialog its answer, with this tag, to the switch's INVITE makes.
    pub fn of_callee(invite: &Sip, tag: &str) -> Dialog {
        Dialog {
            local: format!("{};tag={tag}", invite.header("To")),
            remote: invite.header("From").to_owned(),
            target: invite.contact(),
            call_id: invite.header("Call-ID").to_owned(),
        }
    }
}
