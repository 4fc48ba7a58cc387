//! What the switch writes towards one telephone.

use std::net::{IpAddr, SocketAddr};

use media::{Codec, PayloadMap};
use sdp_types::{Attribute, Connection, Media, Origin, Time};

use super::{Description, Direction, MediaLine, SdpError, static_payload_type};

/// The switch's own side of one offer/answer session with one telephone: the `o=` line's id and version, and what was last written.
#[derive(Clone, Debug)]
pub struct Session {
    id: u64,
    version: u64,
    rtp: SocketAddr,
    payloads: PayloadMap,
    /// The payload types that stand for codecs without a fixed one in this session: they keep their meaning for its life (RFC 3264 §8.3.2).
    dynamic: Vec<(u8, Codec)>,
    /// The m= lines of the session so far: a later offer has each of them again, in its place (RFC 3264 §8).
    lines: Vec<MediaLine>,
    written: Option<sdp_types::Session>,
}

impl Session {
    /// `id` is random below 2^62; `rtp` the address and port of the leg.
    pub fn new(id: u64, rtp: SocketAddr) -> Session {
        Session {
            id,
            version: 1,
            rtp,
            payloads: PayloadMap::default(),
            dynamic: Vec::new(),
            lines: Vec::new(),
            written: None,
        }
    }

    /// Writes an offer with these codecs, under payload types of this session: the fixed ones, those it already used, the given ones, or free ones.
    /// The version in `o=` rises exactly when the text differs from the one written before (RFC 3264 §8).
    pub fn offer(
        &mut self,
        payloads: &PayloadMap,
        fmtp: &[(Codec, String)],
        ptime: Option<u16>,
        direction: Direction,
    ) -> String {
        self.payloads = self.own(payloads);
        if !self.lines.iter().any(|line| line.chosen) {
            self.lines.push(MediaLine {
                media: "audio".into(),
                port: 0,
                protocol: "RTP/AVP".into(),
                formats: String::new(),
                chosen: true,
            });
        }
        self.write(Some(attributes(&self.payloads, fmtp, ptime, direction)))
    }

    /// Writes the answer to `offer`: its m= lines in its order, all but the audio refused; of the offer's payloads those whose codec is in
    /// `common`, with the offer's payload types, in the offer's order. Of `direction`, what the switch wants, the answer has as much as is legal
    /// for the offer (RFC 3264 §6.1). An audio stream offered with port 0 is answered with port 0. After an error nothing has changed.
    pub fn answer(
        &mut self,
        offer: &Description,
        common: &[Codec],
        fmtp: &[(Codec, String)],
        ptime: Option<u16>,
        direction: Direction,
    ) -> Result<String, SdpError> {
        let audio = offer.audio.as_ref().ok_or_else(|| {
            SdpError::NotAcceptable("the offer has no RTP/AVP audio stream with a codec the switch knows".into())
        })?;
        if offer.is_refused() {
            self.payloads = PayloadMap::default();
            self.lines = offer.lines.clone();
            return Ok(self.write(None));
        }
        let accepted: Vec<_> = audio.payloads.0.iter().copied().filter(|(_, codec)| common.contains(codec)).collect();
        if accepted.iter().all(|(_, codec)| matches!(codec, Codec::TelephoneEvent { .. })) {
            return Err(SdpError::NotAcceptable("the two telephones have no codec in common".into()));
        }
        for (payload_type, codec) in &accepted {
            self.remember(*payload_type, *codec);
        }
        let sends = direction.sends() && audio.direction.receives();
        let receives = direction.receives() && audio.direction.sends();
        self.payloads = PayloadMap(accepted);
        self.lines = offer.lines.clone();
        Ok(self.write(Some(attributes(&self.payloads, fmtp, ptime, Direction::of(sends, receives)))))
    }

    /// The payloads last written towards the telephone: how its packets read.
    pub fn payloads(&self) -> &PayloadMap {
        &self.payloads
    }

    /// The address and port written into SDP.
    pub fn local(&self) -> (IpAddr, u16) {
        (self.rtp.ip(), self.rtp.port())
    }

    /// The same codecs, each once, under payload types of this session.
    fn own(&mut self, payloads: &PayloadMap) -> PayloadMap {
        let mut own: Vec<(u8, Codec)> = Vec::new();
        for (given, codec) in &payloads.0 {
            if own.iter().any(|(_, c)| c == codec) {
                continue;
            }
            let payload_type = static_payload_type(*codec).unwrap_or_else(|| self.assign(*given, *codec));
            own.push((payload_type, *codec));
        }
        PayloadMap(own)
    }

    fn assign(&mut self, given: u8, codec: Codec) -> u8 {
        if let Some((payload_type, _)) = self.dynamic.iter().find(|(_, c)| *c == codec) {
            return *payload_type;
        }
        let free = |payload_type: &u8| !self.dynamic.iter().any(|(pt, _)| pt == payload_type);
        // RFC 3551 §6: the dynamic range.
        let payload_type = Some(given).into_iter().chain(96..=127).find(|pt| (96..=127).contains(pt) && free(pt));
        let payload_type = payload_type.unwrap_or(given);
        self.remember(payload_type, codec);
        payload_type
    }

    fn remember(&mut self, payload_type: u8, codec: Codec) {
        if static_payload_type(codec).is_none() {
            self.dynamic.retain(|(pt, c)| *pt != payload_type && *c != codec);
            self.dynamic.push((payload_type, codec));
        }
    }

    /// `audio` is what to say of the audio stream, `None` to refuse it like the others.
    fn write(&mut self, audio: Option<Vec<Attribute>>) -> String {
        let mut session = sdp_types::Session::new(Origin::with_ip_addr(self.id, self.version, self.rtp.ip()), "-");
        session.connection = Some(Connection::from_ip_addr(self.rtp.ip()));
        session.times.push(Time::new(0, 0));
        session.medias = self.lines.iter().map(refused).collect();
        let chosen = self.lines.iter().position(|line| line.chosen);
        if let (Some(attributes), Some(chosen)) = (audio, chosen) {
            let media = &mut session.medias[chosen];
            media.port = self.rtp.port();
            let formats: Vec<_> = self.payloads.0.iter().map(|(pt, _)| pt.to_string()).collect();
            media.fmt = formats.join(" ");
            media.attributes = attributes;
        }
        if self.written.as_ref().is_some_and(|before| *before != session) {
            self.version += 1;
            session.origin.sess_version = self.version;
        }
        let mut text = Vec::with_capacity(512);
        session.write(&mut text).expect("a Vec takes whatever is written");
        self.written = Some(session);
        String::from_utf8(text).expect("made of strings")
    }
}

/// The line again with port 0 (RFC 3264 §6).
fn refused(line: &MediaLine) -> Media {
    Media {
        media: line.media.clone(),
        port: 0,
        num_ports: None,
        proto: line.protocol.clone(),
        fmt: line.formats.clone(),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}

fn attributes(
    payloads: &PayloadMap,
    fmtp: &[(Codec, String)],
    ptime: Option<u16>,
    direction: Direction,
) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    for (payload_type, codec) in &payloads.0 {
        attributes.push(Attribute::with_value("rtpmap", format!("{payload_type} {}", encoding(*codec))));
        // A line end in the parameters would be a line of the other telephone's making.
        let given = fmtp.iter().find(|(c, text)| c == codec && !text.is_empty() && !text.contains(char::is_control));
        let events = matches!(codec, Codec::TelephoneEvent { .. }).then_some("0-16");
        if let Some(parameters) = given.map(|(_, text)| text.as_str()).or(events) {
            attributes.push(Attribute::with_value("fmtp", format!("{payload_type} {parameters}")));
        }
    }
    attributes.extend(ptime.map(|ms| Attribute::with_value("ptime", ms)));
    attributes.push(Attribute::new(match direction {
        Direction::SendRecv => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::RecvOnly => "recvonly",
        Direction::Inactive => "inactive",
    }));
    attributes
}

/// Encoding name, clock rate, channels, as in `a=rtpmap`.
fn encoding(codec: Codec) -> String {
    match codec {
        Codec::Pcmu => "PCMU/8000".into(),
        Codec::Pcma => "PCMA/8000".into(),
        Codec::G722 => "G722/8000".into(),
        Codec::Opus => "opus/48000/2".into(),
        Codec::TelephoneEvent { rate } => format!("telephone-event/{rate}"),
    }
}
