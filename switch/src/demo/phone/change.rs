//! Changes to a call, asked for and answered: re-INVITE (RFC 3261 §14), UPDATE (RFC 3311), hold in all its forms, offers that are left to
//! the other side.

use std::time::{Duration, Instant};

use rand_chacha::rand_core::Rng;
use rsip::headers::Header;
use rsip::{Method, Request, Response};

use super::call::{Agreement, Call, Change, Phase, Want, head};
use super::manners::Hold;
use super::message::{self, Body, Essentials};
use super::sdp::{Description, Direction};
use super::transaction::Purpose;
use super::{End, Event, Phone};

impl Phone {
    /// Puts the other side on hold. False where this is not possible now.
    pub fn hold(&mut self, now: Instant) -> bool {
        self.change(now, Want::Hold(true))
    }

    /// Takes it off hold. False where this is not possible now.
    pub fn resume(&mut self, now: Instant) -> bool {
        self.change(now, Want::Hold(false))
    }

    /// Offers its codecs in another order.
    pub fn reorder(&mut self, now: Instant) -> bool {
        self.config.codecs.rotate_left(1);
        self.change(now, Want::Sound)
    }

    /// Goes on at another RTP address.
    pub fn move_to(&mut self, now: Instant, rtp: std::net::SocketAddr) -> bool {
        let before = std::mem::replace(&mut self.config.rtp, rtp);
        let moved = self.change(now, Want::Sound);
        if !moved {
            self.config.rtp = before;
        }
        moved
    }

    /// Asks for the session as it stands.
    pub fn refresh(&mut self, now: Instant) -> bool {
        self.change(now, Want::Refresh)
    }

    /// Asks the other side to make an offer (a re-INVITE without one).
    pub fn ask_for_offer(&mut self, now: Instant) -> bool {
        self.change(now, Want::Unsaid)
    }

    /// Takes a re-INVITE back, where that may be done (RFC 3261 §9.1).
    pub fn take_back(&mut self, now: Instant) -> bool {
        let pending = self.call.as_ref().and_then(|call| match &call.change {
            Change::Pending { branch, .. } => Some(branch.clone()),
            _ => None,
        });
        let is_invite = |branch: &String| {
            self.clients
                .get(branch)
                .is_some_and(|client| client.request.method == Method::Invite && client.is_proceeding())
        };
        let Some(branch) = pending.filter(is_invite) else { return false };
        self.cancel(now, &branch);
        true
    }

    /// UPDATE where both sides know it, else re-INVITE; before the call is answered, UPDATE or nothing.
    pub(super) fn change(&mut self, now: Instant, want: Want) -> bool {
        let known = self.config.manners.update;
        let Some(call) = &self.call else { return false };
        let update = known && call.peer.update && want != Want::Unsaid && call.agreement == Agreement::Settled;
        let possible = match &call.phase {
            Phase::Talking(None) => true,
            Phase::Calling { giving_up: false, .. } => update && call.dialog.remote_tag.is_some(),
            Phase::Ringing { .. } => update && call.provisional.is_none(),
            _ => false,
        };
        let needless = matches!(want, Want::Hold(hold) if call.held == hold);
        // RFC 3261 §14.1: not while one of the other side's is thought about.
        if !possible || needless || call.is_changing() || !self.asked.is_empty() {
            return false;
        }
        self.ask_change(now, want, update);
        true
    }

    fn ask_change(&mut self, now: Instant, want: Want, update: bool) {
        let held = match (want, &self.call) {
            (Want::Hold(hold), _) => hold,
            (_, Some(call)) => call.held,
            (_, None) => return,
        };
        let description = match want {
            Want::Unsaid => None,
            Want::Refresh if update => None,
            Want::Refresh => self.call.as_ref().map(|call| call.local.clone()),
            Want::Hold(_) | Want::Sound => Some(self.offer(held)),
        };
        let Some(call) = &mut self.call else { return };
        call.dialog.cseq += 1;
        let (offers, before) = (description.is_some(), Box::new(call.local.clone()));
        let body = description.map(|description| call.write(description));
        let dialog = call.dialog.clone();
        let (method, purpose) =
            if update { (Method::Update, Purpose::Update) } else { (Method::Invite, Purpose::Reinvite) };
        let request = self.request(method, head(&dialog), self.abilities(), body.map(Body::sdp));
        let branch = self.send_request(now, request, purpose, false);
        if let Some(call) = &mut self.call {
            call.change = Change::Pending { branch, want, offers, before };
        }
    }

    /// An offer of this side.
    pub(super) fn offer(&self, held: bool) -> Description {
        let (sends, receives) = self.wants(held);
        let offer = Description::offer(self.config.rtp, &self.config.codecs, Direction::of(sends, receives));
        self.hide(held, offer.with_ptime(self.config.manners.ptime))
    }

    /// The answer of this side; `None`: nothing is common.
    pub(super) fn answer_to(&self, offer: &Description, held: bool) -> Option<Description> {
        let (sends, receives) = self.wants(held);
        let answer = Description::answer(offer, self.config.rtp, &self.config.codecs, sends, receives)?;
        Some(self.hide(held, answer.with_ptime(self.config.manners.ptime)))
    }

    fn hide(&self, held: bool, mut description: Description) -> Description {
        if held && self.config.hold == Hold::Zero {
            description.address.set_ip(std::net::Ipv4Addr::UNSPECIFIED.into());
        }
        description
    }

    /// Whether this side speaks and listens, on hold or not.
    fn wants(&self, held: bool) -> (bool, bool) {
        match self.config.hold {
            _ if !held => (true, true),
            Hold::SendOnly => (true, false),
            Hold::Inactive => (false, false),
            Hold::Zero => (true, true),
        }
    }

    /// An offer of the other side is answered; `None`: nothing is common.
    pub(super) fn take_offer(&mut self, now: Instant, offer: &Description) -> Option<String> {
        let answer = self.answer_to(offer, self.call.as_ref()?.held)?;
        let call = self.call.as_mut()?;
        let body = call.write(answer);
        call.settle(now, offer);
        call.agreement = Agreement::Settled;
        self.heed_hold(offer);
        Some(body)
    }

    /// Whether the other side wants to hear nothing.
    fn heed_hold(&mut self, remote: &Description) {
        let on_hold = !remote.direction.receives() || remote.address.ip().is_unspecified();
        let Some(call) = &mut self.call else { return };
        if std::mem::replace(&mut call.held_by_other, on_hold) != on_hold {
            self.tell(Event::HeldByOther(on_hold));
        }
    }

    /// Says that nothing of an offer can be taken, where there must be an answer.
    pub(super) fn decline(&mut self, offer: &Description) -> String {
        let refusal = Description::refusal(offer, self.config.rtp);
        self.call.as_mut().map_or_else(String::new, |call| call.write(refusal))
    }

    /// A change was answered.
    pub(super) fn change_answered(&mut self, now: Instant, branch: &str, response: &Response, invite: bool) {
        let status = response.status_code.code();
        let pending = |call: &Call| matches!(&call.change, Change::Pending { branch: own, .. } if own == branch);
        let ours = self.call.as_ref().filter(|call| pending(call));
        let wanted = ours.and_then(|call| match call.change {
            Change::Pending { want, offers, .. } => Some((want, offers)),
            _ => None,
        });
        let Some((want, offers)) = wanted else {
            if invite {
                self.acknowledge(branch, response, None);
            }
            return;
        };
        match status {
            ..200 => {}
            200..300 => {
                let answer = self.change_agreed(now, want, offers, response);
                if invite {
                    self.acknowledge(branch, response, answer);
                }
            }
            491 => {
                self.undo_change();
                self.change_again(now, want);
            }
            422 if self.session_minimum(response) => {
                self.undo_change();
                self.change(now, want);
            }
            481 => self.change_fails(now, branch, End::There),
            408 => self.change_fails(now, branch, End::Lost),
            405 | 501 if !invite => {
                // It does not know UPDATE after all.
                if let Some(call) = &mut self.call {
                    call.peer.update = false;
                }
                self.undo_change();
                self.change(now, want);
            }
            _ => {
                self.undo_change();
                self.tell(Event::ChangeRefused(status));
            }
        }
    }

    /// The 2xx: what it describes, and the answer that its ACK must have where the offer was left to the other side.
    fn change_agreed(&mut self, now: Instant, want: Want, offers: bool, response: &Response) -> Option<String> {
        self.end_change();
        self.session_agreed(now, response);
        let remote = self.read(&response.body);
        let call = self.call.as_mut()?;
        call.peer.learn(response);
        if let Some(target) = message::contact(response) {
            call.dialog.target = target;
        }
        if let Want::Hold(hold) = want {
            call.held = hold;
            self.tell(Event::Held(hold));
        }
        match (remote, offers, want) {
            (Some(remote), true, _) => {
                let call = self.call.as_mut()?;
                call.settle(now, &remote);
                // Where this side would both speak and hear, the answer tells what the other wants.
                if call.local.direction == Direction::SendRecv && !call.local.address.ip().is_unspecified() {
                    self.heed_hold(&remote);
                }
                None
            }
            (Some(offer), false, Want::Unsaid) => {
                Some(self.take_offer(now, &offer).unwrap_or_else(|| self.decline(&offer)))
            }
            (None, true, _) | (None, _, Want::Unsaid) => {
                self.tell(Event::Malformed("a 2xx to a change without session description".into()));
                None
            }
            _ => None,
        }
    }

    fn end_change(&mut self) {
        if let Some(call) = &mut self.call {
            call.change = Change::None;
        }
    }

    /// What was offered and refused was never so. Its version stays used (RFC 3264 §8).
    fn undo_change(&mut self) {
        if let Some(call) = &mut self.call
            && let Change::Pending { offers: true, before, .. } = std::mem::replace(&mut call.change, Change::None)
        {
            call.local = *before;
            call.version += 1;
        }
    }

    fn change_again(&mut self, now: Instant, want: Want) {
        let delay = Duration::from_millis(2100 + u64::from(self.random.next_u32() % 1900));
        if let Some(call) = &mut self.call {
            call.change = Change::Again { at: now + delay, want };
        }
    }

    /// A change was not answered, or 481: the dialog is over (RFC 3261 §12.2.1.2).
    pub(super) fn change_fails(&mut self, now: Instant, branch: &str, how: End) {
        let Some(call) = &self.call else { return };
        match (&call.phase, &call.change) {
            (Phase::Talking(_), Change::Pending { branch: own, .. }) if own == branch => {
                self.bye(now);
                self.end(how);
            }
            (_, Change::Pending { branch: own, .. }) if own == branch => self.end_change(),
            _ => {}
        }
    }

    pub(super) fn elapse_change(&mut self, now: Instant) {
        let Some(call) = &mut self.call else { return };
        if let Change::Again { at, want } = call.change
            && at <= now
        {
            call.change = Change::None;
            self.change(now, want);
        }
    }

    /// A re-INVITE of the other side (RFC 3261 §14.2).
    pub(super) fn receive_reinvite(&mut self, now: Instant, key: &(String, String), request: &Request) {
        let Some(call) = &mut self.call else { return self.refuse(now, key, 487) };
        if call.is_changing() {
            return self.refuse(now, key, 491);
        }
        if !matches!(call.phase, Phase::Talking(None)) {
            let retry = Header::RetryAfter("1".into());
            self.respond(now, key, 500, vec![retry], None);
            return;
        }
        if let Some(minimum) = self.too_brief(request) {
            self.respond(now, key, 422, vec![minimum], None);
            return;
        }
        let mut extra = self.session_asked(now, request);
        let offer = self.read(&request.body);
        let offered = offer.is_none();
        let body = match offer {
            Some(offer) => self.take_offer(now, &offer),
            None => {
                let offer = self.offer(self.call.as_ref().is_some_and(|call| call.held));
                self.call.as_mut().map(|call| call.write(offer))
            }
        };
        let Some(body) = body else { return self.refuse(now, key, 488) };
        self.follow_target(request);
        self.show(request);
        extra.extend(self.abilities_of_answer());
        self.accept(now, key, request, extra, Some(body), offered, false);
    }

    /// An UPDATE of the other side (RFC 3311 §5.2).
    pub(super) fn receive_update(&mut self, now: Instant, key: &(String, String), request: &Request) {
        // An offer that is refused leaves no trace: the next one follows the one before it.
        let offers = !request.body.is_empty();
        let Some(call) = &self.call else { return self.refuse(now, key, 481) };
        if offers && call.is_offering() {
            return self.refuse(now, key, 491);
        }
        if offers && call.agreement != Agreement::Settled {
            self.respond(now, key, 500, vec![Header::RetryAfter("1".into())], None);
            return;
        }
        if let Some(minimum) = self.too_brief(request) {
            self.respond(now, key, 422, vec![minimum], None);
            return;
        }
        let mut extra = self.session_asked(now, request);
        let body = match self.read(&request.body) {
            Some(offer) => match self.take_offer(now, &offer) {
                Some(body) => Some(Body::sdp(body)),
                None => return self.refuse(now, key, 488),
            },
            None => None,
        };
        self.follow_target(request);
        self.show(request);
        extra.extend(self.abilities_of_answer());
        self.respond(now, key, 200, extra, body);
    }

    /// RFC 3261 §12.2.2: a target refresh.
    fn follow_target(&mut self, request: &Request) {
        if let (Some(target), Some(call)) = (message::contact(request), &mut self.call) {
            call.dialog.target = target;
        }
    }

    /// The number of a request within the call, noted; later ones must be higher (RFC 3261 §12.2.2).
    pub(super) fn note_number(&mut self, essentials: &Essentials) {
        if let Some(call) = &mut self.call {
            call.dialog.remote_cseq = essentials.cseq;
        }
    }
}
