//! Who sent a request: digest authentication of phones, gateways known by their address, and the slowing down of those who guess.
//!
//! A user that does not exist is challenged, checked and refused exactly like one that does.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use cas::attempts::{self, Attempts};
use cas::site::{Access, Device, DeviceId, DigestPolicy, Site};
use cas::time::Now;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::sip::digest::{self, Algorithm, Credentials};
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Method, Request, Response, Status};
use crate::sip::uri::{Scheme, Uri};

/// How long a nonce is good for.
const NONCE_LIFE: Duration = Duration::from_secs(300);
/// Nonces whose counts are remembered. Beyond, the oldest are forgotten, and with them all as old: those are stale from then on.
const NONCES: usize = 1_000_000;
/// HA1 of nobody: what the credentials of an unknown user are compared with.
const NOBODY: &str = "00000000000000000000000000000000";

/// What is known of a request's sender.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is this device.
    Device(DeviceId),
    /// Answer this: a challenge.
    Challenge(Response),
    /// Answer this, but not before the time is over: a failed attempt.
    Refused(Response, Duration),
    /// Credentials that cannot be read.
    Malformed(Response),
}

/// When a nonce was made, in milliseconds since the start, and its serial number: older ones are less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct NonceId(u64, u32);

/// The gate.
pub(crate) struct Authenticator {
    /// Makes nonces that need not be stored. Nothing has been put in but the key.
    mac: Hmac<Sha256>,
    /// The highest nonce count used, against replay (RFC 7616 §3.4).
    counts: BTreeMap<NonceId, u32>,
    /// Nonces up to this one are stale, whatever their age.
    forgotten: NonceId,
    attempts: Attempts,
    epoch: Instant,
    /// Nonces made: no two are alike, so that one phone's counting does not disturb another's.
    serial: u32,
}

impl Authenticator {
    pub(crate) fn new(now: Now, key: [u8; 32]) -> Authenticator {
        Authenticator {
            mac: <Hmac<Sha256> as KeyInit>::new_from_slice(&key).expect("HMAC takes keys of any length"),
            counts: BTreeMap::new(),
            forgotten: NonceId::default(),
            attempts: Attempts::default(),
            epoch: now.mono,
            serial: 0,
        }
    }

    /// Checks a request that begins something. `registered_from` tells whether a device has a binding from an address: such an address is never slowed down.
    pub(crate) fn check(
        &mut self,
        now: Now,
        site: &Site,
        default: DigestPolicy,
        request: &Request,
        flow: &Flow,
        registered_from: impl Fn(DeviceId, IpAddr) -> bool,
    ) -> Verdict {
        if let Some(gateway) = site.gateway_at(flow.peer) {
            return Verdict::Device(gateway.id);
        }
        let claims = match credentials(request, &site.realm) {
            Ok(claims) => claims,
            Err(text) => {
                let mut response = request.response(Status(400));
                response.reason = text;
                return Verdict::Malformed(response);
            }
        };
        let Some(claims) = claims else {
            return Verdict::Challenge(self.challenge(now, site, default, request, false));
        };
        if !is_for(&claims, request) {
            let mut response = request.response(Status(400));
            "The credentials are for another request".clone_into(&mut response.reason);
            return Verdict::Malformed(response);
        }
        let device = site.device_by_sip_user(&claims.username);
        let (source, user) = (flow.peer.ip(), claims.username.as_str());
        let at_home = device.is_some_and(|device| registered_from(device.id, source));
        if let Some(delay) = self.attempts.penalty(now.mono, source, user).filter(|_| !at_home) {
            // Not even looked at: otherwise the answers would come late, but the guesses would not.
            return Verdict::Refused(self.challenge(now, site, default, request, false), delay);
        }
        match self.judge(now, device, default, &claims, request) {
            Judgement::Right(device) => {
                self.attempts.succeeded(source, user);
                Verdict::Device(device)
            }
            Judgement::Stale => Verdict::Challenge(self.challenge(now, site, default, request, true)),
            Judgement::Wrong => {
                let delay = self.attempts.failed(now.mono, source, user);
                let response = match at_home {
                    // Not kept waiting, but in the end not asked again either: some phones try the same secret as often as they are challenged.
                    true if delay >= attempts::LONGEST => request.response(Status(403)),
                    _ => self.challenge(now, site, default, request, false),
                };
                Verdict::Refused(response, if at_home { Duration::ZERO } else { delay })
            }
        }
    }

    fn judge(
        &mut self,
        now: Now,
        device: Option<&Device>,
        default: DigestPolicy,
        claims: &Credentials,
        request: &Request,
    ) -> Judgement {
        let (ha1, id, policy) = match device {
            Some(Device { id, access: Access::Digest { ha1_md5, ha1_sha256, policy, .. }, .. }) => {
                let ha1 = if claims.algorithm == Algorithm::Md5 { ha1_md5 } else { ha1_sha256 };
                (ha1.as_str(), Some(*id), policy.unwrap_or(default))
            }
            _ => (NOBODY, None, default),
        };
        let right = claims.verify(ha1, &request.method) & offers(policy).contains(&claims.algorithm);
        match id {
            Some(id) if right => match self.use_nonce(now, claims) {
                true => Judgement::Right(id),
                false => Judgement::Stale,
            },
            // A wrong response under a nonce that is not ours, or no longer, says nothing of the secret (RFC 7616 §3.3, stale).
            _ if self.own(now, &claims.nonce).is_none() => Judgement::Stale,
            _ => Judgement::Wrong,
        }
    }

    fn challenge(&mut self, now: Now, site: &Site, default: DigestPolicy, request: &Request, stale: bool) -> Response {
        // The one who asks: who registers is in To, whoever registers him (RFC 3261 §10.2).
        let who = match request.method {
            Method::Register => request.headers.to(),
            _ => request.headers.from(),
        };
        let claimed = who.ok().and_then(|who| who.uri.user.as_deref()).unwrap_or_default();
        let policy = match site.device_by_sip_user(claimed).map(|device| &device.access) {
            Some(Access::Digest { policy: Some(policy), .. }) => *policy,
            _ => default,
        };
        let mut response = request.response(Status(401));
        let nonce = self.nonce(now);
        for algorithm in offers(policy) {
            response.headers.push(Name::WwwAuthenticate, digest::challenge(&site.realm, &nonce, *algorithm, stale));
        }
        response
    }

    /// Milliseconds since the start, a serial number, and proof that it was us who wrote them.
    fn nonce(&mut self, now: Now) -> String {
        self.serial = self.serial.wrapping_add(1);
        self.seal(&format!("{:016x}{:08x}", self.millis(now), self.serial))
    }

    fn seal(&self, stem: &str) -> String {
        let mut mac = self.mac.clone();
        mac.update(stem.as_bytes());
        format!("{stem}{}", hex::encode(&mac.finalize().into_bytes()[..16]))
    }

    /// Which of our nonces it is, if it is one and young enough.
    fn own(&self, now: Now, nonce: &str) -> Option<NonceId> {
        let stem = nonce.get(..24)?;
        let own: bool = self.seal(stem).as_bytes().ct_eq(nonce.as_bytes()).into();
        if !own {
            return None;
        }
        let id =
            NonceId(u64::from_str_radix(stem.get(..16)?, 16).ok()?, u32::from_str_radix(stem.get(16..)?, 16).ok()?);
        (id > self.forgotten && id.0 >= self.millis(now).saturating_sub(NONCE_LIFE.as_millis() as u64)).then_some(id)
    }

    fn millis(&self, now: Now) -> u64 {
        (now.mono - self.epoch).as_millis() as u64
    }

    /// Whether the nonce is ours, young, and not used with this count before. Without a count (RFC 2069) it is good for one request.
    fn use_nonce(&mut self, now: Now, claims: &Credentials) -> bool {
        let Some(id) = self.own(now, &claims.nonce) else { return false };
        let count = match &claims.auth {
            None => 1,
            Some((_, count)) => match u32::from_str_radix(count, 16) {
                Ok(count) => count,
                Err(_) => return false,
            },
        };
        if self.counts.get(&id).is_some_and(|highest| count <= *highest) {
            return false;
        }
        self.counts.insert(id, count);
        let dead = self.millis(now).saturating_sub(NONCE_LIFE.as_millis() as u64);
        while let Some((&oldest, _)) = self.counts.first_key_value() {
            if oldest.0 >= dead && self.counts.len() <= NONCES {
                break;
            }
            self.forgotten = oldest;
            self.counts.remove(&oldest);
        }
        true
    }
}

enum Judgement {
    Right(DeviceId),
    Stale,
    Wrong,
}

/// In the order offered: the stronger first (RFC 8760 §2.4).
fn offers(policy: DigestPolicy) -> &'static [Algorithm] {
    match policy {
        DigestPolicy::Md5 => &[Algorithm::Md5],
        DigestPolicy::Sha256 => &[Algorithm::Sha256],
        DigestPolicy::Both => &[Algorithm::Sha256, Algorithm::Md5],
    }
}

/// Whether credentials were made for this request (RFC 7616 §3.4.6): they name no other user than it does. Host, port and parameters are not compared,
/// since proxies rewrite them (RFC 3261 §22.4 allows for that), and there are phones that name their registrar in every request, with or without a scheme.
fn is_for(claims: &Credentials, request: &Request) -> bool {
    let uri = Uri::parse(&claims.uri).ok().filter(|uri| !matches!(uri.scheme, Scheme::Other(_)));
    let Some(uri) = uri.or_else(|| Uri::parse(&format!("sip:{}", claims.uri)).ok()) else { return false };
    uri.user.is_none() || uri.user == request.uri.user
}

/// The credentials for our realm; those for others are skipped (RFC 3261 §22.3). A proxy's header is taken as well.
fn credentials(request: &Request, realm: &str) -> Result<Option<Credentials>, String> {
    let fields =
        request.headers.iter().filter(|(name, _)| matches!(name, Name::Authorization | Name::ProxyAuthorization));
    for (_, value) in fields {
        let claims = Credentials::parse(value).map_err(|error| error.text)?;
        if let Some(claims) = claims.filter(|claims| claims.realm == realm) {
            return Ok(Some(claims));
        }
    }
    Ok(None)
}
