//! A dialog (RFC 3261 §12): who is who, the sequence numbers, where the next request goes.

use bytes::Bytes;

use super::flow::Flow;
use super::header::{Address, CSeq, Contacts, Headers, Name};
use super::message::{Method, ParseError, Request, Response, Status};
use super::uri::{Text, Uri};

/// A dialog, early or confirmed.
#[derive(Clone, Debug)]
pub struct Dialog {
    call_id: Bytes,
    /// From of our requests, as it stands on the wire.
    local: Bytes,
    /// To of our requests, as it stands on the wire.
    remote: Bytes,
    /// Empty for an element of RFC 2543.
    remote_tag: Text,
    local_number: u32,
    remote_number: Option<u32>,
    remote_target: Uri,
    routes: Vec<Address>,
    flow: Flow,
    is_ours: bool,
}

impl Dialog {
    /// §12.1.1: we answer `request` with the To tag `tag`.
    pub fn server(request: &Request, tag: &str, flow: Flow) -> Result<Dialog, ParseError> {
        let headers = &request.headers;
        let (remote, remote_tag) = end(headers, &Name::From, headers.from()?)?;
        Ok(Dialog {
            call_id: headers.shared(&Name::CallId)?,
            local: request.tagged_to(tag).ok_or_else(|| ParseError::bad("Malformed To"))?,
            remote,
            remote_tag,
            local_number: 0,
            remote_number: Some(headers.cseq()?.number),
            remote_target: contact(headers.contacts()?)?,
            routes: headers.addresses(&Name::RecordRoute)?,
            flow,
            is_ours: false,
        })
    }

    /// §12.1.2: the peer answered a request of ours.
    pub fn client(response: &Response, flow: Flow) -> Result<Dialog, ParseError> {
        let headers = &response.headers;
        let mut routes = headers.addresses(&Name::RecordRoute)?;
        routes.reverse();
        let (remote, remote_tag) = end(headers, &Name::To, headers.to()?)?;
        Ok(Dialog {
            call_id: headers.shared(&Name::CallId)?,
            local: headers.shared(&Name::From)?,
            remote,
            remote_tag,
            local_number: headers.cseq()?.number,
            remote_number: None,
            remote_target: contact(headers.contacts()?)?,
            routes,
            flow,
            is_ours: true,
        })
    }

    /// The same dialog, confirmed by this 2xx, after requests went either way while it was early (§13.2.2.4: route set and target are the 2xx's).
    #[must_use]
    pub fn after(mut self, early: &Dialog) -> Dialog {
        self.local_number = self.local_number.max(early.local_number);
        self.remote_number = early.remote_number;
        self.flow = early.flow;
        self
    }

    /// Where the peer says it is.
    pub fn remote_target(&self) -> &Uri {
        &self.remote_target
    }

    /// Our next request has a number above this one.
    pub fn number_from(&mut self, number: u32) {
        self.local_number = number;
    }

    /// The peer is reached another way from now on.
    pub fn move_to(&mut self, flow: Flow) {
        self.flow = flow;
    }

    /// The way to the peer.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// The peer's tag; empty for an element of RFC 2543.
    pub fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        std::str::from_utf8(&self.call_id).unwrap_or_default()
    }

    /// Whether its Call-ID is of our making: we sent the INVITE that made it.
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Whether it has this Call-ID and this tag at the peer's end.
    pub fn is(&self, call_id: &str, remote_tag: &str) -> bool {
        self.call_id == call_id && self.remote_tag == remote_tag
    }

    /// Whether a request belongs here: the caller has found us by our own tag.
    pub fn owns(&self, request: &Request) -> bool {
        let headers = &request.headers;
        headers.call_id().is_ok_and(|id| id == self.call_id)
            && headers.from().is_ok_and(|from| from.tag().unwrap_or_default() == self.remote_tag)
    }

    /// A request came on `flow`: its number must be higher than the last (§12.2.2, 500 otherwise). From now on the peer is reached there.
    pub fn receive(&mut self, request: &Request, flow: Flow) -> Result<(), Status> {
        let number = request.headers.cseq().map_err(|error| error.status)?.number;
        if self.remote_number.is_some_and(|last| number <= last) {
            return Err(Status(500));
        }
        self.remote_number = Some(number);
        self.flow = flow;
        Ok(())
    }

    /// §12.2.1.2, §12.2.2: a re-INVITE or its 2xx moved the peer's target.
    pub fn refresh(&mut self, contacts: Result<Contacts, ParseError>) {
        if let Ok(target) = contacts.and_then(contact) {
            self.remote_target = target;
        }
    }

    /// The next request in the dialog (§12.2.1.1); Via and Contact are the caller's to add. Not for ACK.
    pub fn request(&mut self, method: Method) -> Request {
        self.local_number += 1;
        self.build(method, self.local_number)
    }

    /// The ACK of a 2xx to our INVITE with this number (§13.2.2.4).
    pub fn ack(&self, number: u32) -> Request {
        self.build(Method::Ack, number)
    }

    fn build(&self, method: Method, number: u32) -> Request {
        let (uri, routes) = self.path();
        let mut request = Request::new(method.clone(), uri);
        let headers = &mut request.headers;
        headers.push(Name::MaxForwards, "70");
        headers.push(Name::From, self.local.clone());
        headers.push(Name::To, self.remote.clone());
        headers.push(Name::CallId, self.call_id.clone());
        headers.push(Name::CSeq, CSeq { number, method }.encode());
        for route in routes {
            headers.push(Name::Route, route.encode());
        }
        request
    }

    /// The Request-URI and the Route values: loose routing, or the strict one of RFC 2543 (§12.2.1.1).
    fn path(&self) -> (Uri, Vec<Address>) {
        match self.routes.split_first() {
            None => (self.remote_target.clone(), Vec::new()),
            Some((first, _)) if first.uri.params.get("lr").is_some() => {
                (self.remote_target.clone(), self.routes.clone())
            }
            Some((first, rest)) => {
                let mut routes = rest.to_vec();
                routes.push(Address::new(self.remote_target.clone()));
                (first.uri.clone(), routes)
            }
        }
    }
}

/// A From or To as it stands there, and its tag.
fn end(headers: &Headers, name: &Name, address: &Address) -> Result<(Bytes, Text), ParseError> {
    Ok((headers.shared(name)?, address.params.value("tag").unwrap_or_default().into()))
}

/// §12.1.1: a request or response that makes a dialog has exactly one Contact.
fn contact(contacts: Contacts) -> Result<Uri, ParseError> {
    match contacts {
        Contacts::List(mut list) if list.len() == 1 => Ok(list.remove(0).uri),
        _ => Err(ParseError::bad("exactly one Contact is needed")),
    }
}
