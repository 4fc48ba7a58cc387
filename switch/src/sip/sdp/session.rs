//! What the switch writes towards one telephone.

use std::net::{IpAddr, SocketAddr};

use media::{Codec, PayloadMap};

use super::super::uri::{put_ip, put_number};
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
    /// Everything but `v=` and `o=`.
    written: Option<String>,
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
        self.write(Some(&Stream { fmtp, ptime, direction }))
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
        Ok(self.write(Some(&Stream { fmtp, ptime, direction: Direction::of(sends, receives) })))
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

    /// `stream` is what to say of the audio stream, `None` to refuse it like the others.
    fn write(&mut self, stream: Option<&Stream<'_>>) -> String {
        let mut text = String::with_capacity(384);
        text.push_str("s=-\r\nc=IN ");
        self.put_address(&mut text);
        text.push_str("t=0 0\r\n");
        for line in &self.lines {
            match stream {
                Some(stream) if line.chosen => {
                    put_media(&mut text, &line.media, self.rtp.port(), &line.protocol);
                    stream.write(&mut text, &self.payloads);
                }
                // The line again with port 0 (RFC 3264 §6).
                _ => {
                    put_media(&mut text, &line.media, 0, &line.protocol);
                    text.extend([" ", &line.formats, "\r\n"]);
                }
            }
        }
        if self.written.as_ref().is_some_and(|before| *before != text) {
            self.version += 1;
        }
        let mut whole = String::with_capacity(text.len() + 96);
        whole.push_str("v=0\r\no=- ");
        put(&mut whole, self.id);
        whole.push(' ');
        put(&mut whole, self.version);
        whole.push_str(" IN ");
        self.put_address(&mut whole);
        whole.push_str(&text);
        self.written = Some(text);
        whole
    }

    /// The address and its kind, and the end of the line.
    fn put_address(&self, text: &mut String) {
        text.push_str(if self.rtp.is_ipv4() { "IP4 " } else { "IP6 " });
        // Writing to memory cannot fail, here and below.
        let _ = put_ip(text, self.rtp.ip());
        text.push_str("\r\n");
    }
}

fn put(text: &mut String, number: u64) {
    let _ = put_number(text, number);
}

/// The beginning of a line of media, without its formats.
fn put_media(text: &mut String, media: &str, port: u16, protocol: &str) {
    text.extend(["m=", media, " "]);
    put(text, port.into());
    text.extend([" ", protocol]);
}

/// What is said of a stream that is not refused.
struct Stream<'a> {
    fmtp: &'a [(Codec, String)],
    ptime: Option<u16>,
    direction: Direction,
}

impl Stream<'_> {
    /// The formats, and the attributes below them.
    fn write(&self, text: &mut String, payloads: &PayloadMap) {
        for (payload_type, _) in &payloads.0 {
            text.push(' ');
            put(text, (*payload_type).into());
        }
        text.push_str("\r\n");
        for (payload_type, codec) in &payloads.0 {
            text.push_str("a=rtpmap:");
            put(text, (*payload_type).into());
            text.push(' ');
            write_encoding(text, *codec);
            text.push_str("\r\n");
            // A line end in the parameters would be a line of the other telephone's making.
            let mut given = self.fmtp.iter().filter(|(_, text)| !text.is_empty() && !text.contains(char::is_control));
            let given = given.find(|(c, _)| c == codec).map(|(_, text)| text.as_str());
            let events = matches!(codec, Codec::TelephoneEvent { .. }).then_some("0-16");
            if let Some(parameters) = given.or(events) {
                text.push_str("a=fmtp:");
                put(text, (*payload_type).into());
                text.extend([" ", parameters, "\r\n"]);
            }
        }
        if let Some(ptime) = self.ptime {
            text.push_str("a=ptime:");
            put(text, ptime.into());
            text.push_str("\r\n");
        }
        text.push_str(match self.direction {
            Direction::SendRecv => "a=sendrecv\r\n",
            Direction::SendOnly => "a=sendonly\r\n",
            Direction::RecvOnly => "a=recvonly\r\n",
            Direction::Inactive => "a=inactive\r\n",
        });
    }
}

/// Encoding name, clock rate, channels, as in `a=rtpmap`.
fn write_encoding(text: &mut String, codec: Codec) {
    match codec {
        Codec::Pcmu => text.push_str("PCMU/8000"),
        Codec::Pcma => text.push_str("PCMA/8000"),
        Codec::G722 => text.push_str("G722/8000"),
        Codec::Opus => text.push_str("opus/48000/2"),
        Codec::TelephoneEvent { rate } => {
            text.push_str("telephone-event/");
            put(text, rate.into());
        }
    }
}
