//! Transfer: how the telephone asks for it (REFER, RFC 3515; with Replaces, RFC 3891, for the second call of an attended one), and what it is told of it.

use std::time::Instant;

use rsip::headers::Header;
use rsip::{Method, Request};

use super::call::{Phase, head};
use super::manners::Ask;
use super::message::{self, Essentials};
use super::transaction::Purpose;
use super::{Event, Phone};

/// A dialog as another telephone may name it (RFC 3891).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DialogName {
    call_id: String,
    local_tag: String,
    remote_tag: String,
}

/// How far a REFER of this telephone has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Referral {
    /// Its answer is awaited.
    Asked,
    /// 2xx: what comes of it is awaited.
    Accepted,
    /// The last NOTIFY overtook the 2xx.
    Settled,
}

impl DialogName {
    /// By its Call-ID, and the tags of its telephone and of that one's peer.
    pub(super) fn new(call_id: String, local_tag: String, remote_tag: String) -> DialogName {
        DialogName { call_id, local_tag, remote_tag }
    }

    /// To be named in an INVITE to that telephone, which is to have its place (RFC 3891 §6.1).
    pub(super) fn replaces(&self) -> String {
        format!("{};to-tag={};from-tag={}", self.call_id, self.local_tag, self.remote_tag)
    }
}

impl Phone {
    /// The dialog of its call, once the other side has given it a tag.
    pub fn dialog_name(&self) -> Option<DialogName> {
        let dialog = &self.call.as_ref()?.dialog;
        let (call_id, local_tag) = (dialog.call_id.clone(), dialog.local_tag.clone());
        Some(DialogName { call_id, local_tag, remote_tag: dialog.remote_tag.clone()? })
    }

    /// Sends the other side of its call to a number, or to whom it has in that other call; `told`: it wants to hear what comes of it (RFC 4488). False
    /// where no call is up.
    pub fn refer(&mut self, now: Instant, number: &str, with: Option<&DialogName>, told: bool) -> bool {
        let Some(call) = self.call.as_mut().filter(|call| matches!(call.phase, Phase::Talking(_))) else {
            return false;
        };
        call.dialog.cseq += 1;
        if told {
            call.referrals.insert(call.dialog.cseq, Referral::Asked);
        }
        let head = head(&call.dialog);
        let replaces = with.map_or_else(String::new, |with| {
            let DialogName { call_id, local_tag, remote_tag } = with;
            format!("?Replaces={call_id}%3Bto-tag%3D{remote_tag}%3Bfrom-tag%3D{local_tag}")
        });
        let domain = &self.config.domain;
        let mut extra = vec![
            self.contact(),
            message::extra("Refer-To", &format!("<sip:{number}@{domain}{replaces}>")),
            message::extra("Referred-By", &format!("<{}>", self.address_of_record())),
        ];
        if !told {
            extra.push(message::extra("Refer-Sub", "false"));
            extra.push(Header::Supported("norefersub".into()));
        }
        let request = self.request(Method::Refer, head, extra, None);
        self.send_request(now, request, Purpose::Refer, false);
        true
    }

    /// Whether it has asked for a transfer, that was accepted, and it has not been told what came of it.
    pub fn awaits_transfer(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.referrals.values().any(|referral| *referral == Referral::Accepted))
    }

    /// It expects to hear no more of what it has asked for.
    pub fn forget_transfers(&mut self) {
        if let Some(call) = &mut self.call {
            call.referrals.clear();
        }
    }

    /// A REFER of its was answered; perhaps after its call.
    pub(super) fn refer_answered(&mut self, refer: &Request, status: u16) {
        let number = Essentials::of(refer).map_or(0, |essentials| essentials.cseq);
        if let Some(call) = self.call.as_mut().filter(|call| message::is_of(refer, &call.dialog.call_id)) {
            match call.referrals.get_mut(&number) {
                Some(referral @ Referral::Asked) if (200..300).contains(&status) => *referral = Referral::Accepted,
                Some(_) => drop(call.referrals.remove(&number)),
                None => {}
            }
        }
        self.tell(Event::Answer(Ask::Refer, status));
    }

    /// RFC 3515 §2.4.4: the status line of what was done, for the REFER of this number.
    pub(super) fn receive_notify(&mut self, now: Instant, key: &(String, String), request: &Request) {
        self.refuse(now, key, 200);
        let Some((number, status, is_last)) = told(request) else { return };
        let Some(call) = self.call.as_mut().filter(|_| is_last) else { return };
        match call.referrals.get_mut(&number) {
            Some(referral @ Referral::Asked) => *referral = Referral::Settled,
            Some(_) => drop(call.referrals.remove(&number)),
            None => {}
        }
        self.tell(Event::Transferred(status));
    }
}

/// The number of the REFER, the status it has come to, and whether nothing more follows.
fn told(request: &Request) -> Option<(u32, u16, bool)> {
    let number = message::value(request, "Event")?.strip_prefix("refer;id=")?.parse().ok()?;
    let is_last = message::value(request, "Subscription-State")?.starts_with("terminated");
    let line = std::str::from_utf8(&request.body).ok()?;
    Some((number, line.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()?, is_last))
}
