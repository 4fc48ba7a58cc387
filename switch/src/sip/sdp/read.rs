//! From bytes to a [`Description`].
//!
//! Of a telephone's text only what the switch uses reaches the grammar (`v=`, `c=`, `m=`, `a=`): an `o=` id that does not fit into 64 bits or a
//! session name in Latin-1 is no reason to refuse a call.

use std::net::{IpAddr, SocketAddr};

use media::{Codec, PayloadMap};
use sdp_types::{Attribute, Connection, ConnectionAddressError, Media};

use super::{Audio, Description, Direction, MAX_FORMATS, MAX_MEDIA_LINES, MediaLine, SdpError, static_payload_type};

/// Reads a body.
pub fn parse(body: &[u8]) -> Result<Description, SdpError> {
    let text = clean(body);
    if text.lines().filter(|line| line.starts_with("m=")).count() > MAX_MEDIA_LINES {
        return Err(SdpError::Malformed(format!("more than {MAX_MEDIA_LINES} m= lines")));
    }
    let session = sdp_types::Session::parse(text.as_bytes()).map_err(|e| SdpError::Malformed(e.to_string()))?;
    if session.medias.iter().any(|media| media.fmt.split_whitespace().count() > MAX_FORMATS) {
        return Err(SdpError::Malformed(format!("more than {MAX_FORMATS} formats in an m= line")));
    }

    let attributes: Vec<_> = session.medias.iter().map(|media| Attributes::read(media, &session.attributes)).collect();
    let candidates = || session.medias.iter().enumerate().filter(|(_, media)| is_rtp_audio(media));
    let usable = candidates().find(|(i, media)| media.port != 0 && attributes[*i].has_voice());
    let chosen = usable.or_else(|| candidates().find(|(_, media)| media.port == 0)).map(|(i, _)| i);
    let audio = match chosen {
        Some(i) => Some(audio(&session.medias[i], &attributes[i], session.connection.as_ref())?),
        None => None,
    };
    let lines = session.medias.into_iter().enumerate();
    let lines = lines.map(|(i, media)| MediaLine {
        media: media.media,
        port: media.port,
        protocol: media.proto,
        formats: media.fmt,
        chosen: chosen == Some(i),
    });
    Ok(Description { audio, lines: lines.collect() })
}

/// Drops the lines nobody reads and what no line may contain: control characters, blanks at the end, doubled blanks between fields. Lines may end in
/// CR LF, LF or CR. What is left is written back to telephones only in pieces that no longer hold a line end.
fn clean(body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    let mut text = String::with_capacity(body.len());
    for line in body.split(['\r', '\n']) {
        match line.as_bytes() {
            [b'o' | b's' | b'i' | b'u' | b'e' | b'p' | b'b' | b't' | b'r' | b'z' | b'k', b'=', ..] => continue,
            [b'm' | b'c', b'=', ..] => {
                for (i, word) in line.split_whitespace().enumerate() {
                    if i > 0 {
                        text.push(' ');
                    }
                    text.extend(word.chars().filter(|c| !c.is_control()));
                }
            }
            _ => text.extend(line.trim_end().chars().filter(|c| !c.is_control())),
        }
        text.push('\n');
    }
    text
}

/// Whether a stream is of the kind the switch carries. RTP/AVPF (RFC 4585) is RTP/AVP for one who sends no feedback.
fn is_rtp_audio(media: &Media) -> bool {
    let plain = ["RTP/AVP", "RTP/AVPF"].iter().any(|protocol| media.proto.eq_ignore_ascii_case(protocol));
    plain && media.media.eq_ignore_ascii_case("audio")
}

fn audio(media: &Media, attributes: &Attributes, session_connection: Option<&Connection>) -> Result<Audio, SdpError> {
    let payloads = PayloadMap(attributes.payloads.clone());
    let mut audio = Audio {
        rtp: None,
        rtcp: None,
        direction: Direction::Inactive,
        fmtp: attributes.fmtp(),
        payloads,
        ptime: attributes.ptime,
        rtcp_mux: attributes.rtcp_mux,
    };
    if media.port == 0 {
        return Ok(audio);
    }
    let connection = media.connections.first().or(session_connection);
    let connection = connection.ok_or_else(|| SdpError::Malformed("no c= line for the audio stream".into()))?;
    let address = unicast(connection)?;
    let direction = attributes.direction.unwrap_or(Direction::SendRecv);
    if address.is_unspecified() {
        audio.direction = Direction::of(direction.sends(), false);
        return Ok(audio);
    }
    audio.direction = direction;
    audio.rtp = Some(SocketAddr::new(address, media.port));
    audio.rtcp = match attributes.rtcp {
        Some((port, other)) => Some(SocketAddr::new(other.unwrap_or(address), port)),
        None => media.port.checked_add(1).map(|port| SocketAddr::new(address, port)),
    };
    Ok(audio)
}

fn unicast(connection: &Connection) -> Result<IpAddr, SdpError> {
    let address = connection.try_address().map_err(|e| match e {
        ConnectionAddressError::InvalidAddress(name) => {
            SdpError::NotAcceptable(format!("c= names {name}, which is no IP address"))
        }
        other => SdpError::Malformed(other.to_string()),
    })?;
    let ip = address.ip.to_canonical();
    if ip.is_multicast() || ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
        return Err(SdpError::NotAcceptable(format!("{ip} is not the address of one telephone")));
    }
    Ok(ip)
}

/// What the a= lines of one stream say, read in one pass.
#[derive(Default)]
struct Attributes {
    direction: Option<Direction>,
    ptime: Option<u16>,
    rtcp_mux: bool,
    rtcp: Option<(u16, Option<IpAddr>)>,
    payloads: Vec<(u8, Codec)>,
    fmtp_of: Vec<(u8, String)>,
}

impl Attributes {
    fn read(media: &Media, session_attributes: &[Attribute]) -> Attributes {
        let mut read = Attributes::default();
        let mut codecs = [None; 128];
        for attribute in &media.attributes {
            let value = attribute.value.as_deref().unwrap_or("").trim();
            match attribute.attribute.as_str() {
                "rtpmap" => {
                    if let Some((payload_type, codec)) = rtpmap(value) {
                        codecs[usize::from(payload_type)].get_or_insert(codec);
                    }
                }
                "fmtp" => read.fmtp_of.extend(fmtp(value)),
                "rtcp" => read.rtcp = rtcp(value),
                "rtcp-mux" => read.rtcp_mux = true,
                "ptime" => read.ptime = ptime(value),
                name => read.direction = read.direction.or(direction(name)),
            }
        }
        read.direction = read.direction.or_else(|| session_attributes.iter().find_map(|a| direction(&a.attribute)));
        read.payloads = payloads(&media.fmt, &codecs);
        read
    }

    fn has_voice(&self) -> bool {
        self.payloads.iter().any(|(_, codec)| !matches!(codec, Codec::TelephoneEvent { .. }))
    }

    /// The parameters of the codecs whose parameters matter to the other side.
    fn fmtp(&self) -> Vec<(Codec, String)> {
        let passed = self.payloads.iter().filter(|(_, codec)| !matches!(codec, Codec::Pcmu | Codec::Pcma));
        let text = |payload_type| self.fmtp_of.iter().find(|(pt, _)| *pt == payload_type).map(|(_, text)| text.clone());
        passed.filter_map(|(pt, codec)| Some((*codec, text(*pt)?))).collect()
    }
}

/// The known codecs among the formats, each under its first payload type.
fn payloads(formats: &str, codecs: &[Option<Codec>; 128]) -> Vec<(u8, Codec)> {
    let mut payloads: Vec<(u8, Codec)> = Vec::new();
    for payload_type in formats.split_whitespace().filter_map(|format| format.parse::<u8>().ok()) {
        let fixed = [Codec::Pcmu, Codec::Pcma, Codec::G722].into_iter();
        let fixed = fixed.into_iter().find(|codec| static_payload_type(*codec) == Some(payload_type));
        let Some(codec) = fixed.or_else(|| *codecs.get(usize::from(payload_type))?) else { continue };
        if !payloads.iter().any(|(pt, c)| *pt == payload_type || *c == codec) {
            payloads.push((payload_type, codec));
        }
    }
    payloads
}

/// `101 telephone-event/8000`, `111 opus/48000/2` (RFC 8866 §6.6; names without regard to case).
fn rtpmap(value: &str) -> Option<(u8, Codec)> {
    let (payload_type, encoding) = value.split_once(char::is_whitespace)?;
    let payload_type = payload_type.parse().ok().filter(|pt| *pt < 128)?;
    let mut parts = encoding.trim().split('/');
    let name = parts.next()?.to_ascii_lowercase();
    let rate: u32 = parts.next()?.parse().ok()?;
    let channels: u32 = parts.next().map_or(Ok(1), str::parse).ok()?;
    let codec = match (name.as_str(), rate, channels) {
        ("pcmu", 8000, 1) => Codec::Pcmu,
        ("pcma", 8000, 1) => Codec::Pcma,
        ("g722", 8000, 1) => Codec::G722,
        // Two channels whatever is sent in them: RFC 7587 §7.
        ("opus", 48000, 2) => Codec::Opus,
        ("telephone-event", 8000 | 48000, 1) => Codec::TelephoneEvent { rate },
        _ => return None,
    };
    Some((payload_type, codec))
}

fn fmtp(value: &str) -> Option<(u8, String)> {
    let (payload_type, parameters) = value.split_once(char::is_whitespace)?;
    Some((payload_type.parse().ok()?, parameters.trim().to_owned()))
}

/// `53020` or `53020 IN IP4 126.16.64.4` (RFC 3605 §2.1).
fn rtcp(value: &str) -> Option<(u16, Option<IpAddr>)> {
    let mut words = value.split_whitespace();
    let port = words.next()?.parse().ok().filter(|port| *port != 0)?;
    let address = words.nth(2).and_then(|word| word.parse().ok());
    let address = address.map(|ip: IpAddr| ip.to_canonical());
    Some((port, address.filter(|ip| !ip.is_unspecified() && !ip.is_multicast())))
}

/// In whole milliseconds: some telephones write `20.0`.
fn ptime(value: &str) -> Option<u16> {
    value.split('.').next()?.parse().ok().filter(|ms| *ms != 0)
}

fn direction(name: &str) -> Option<Direction> {
    match name {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    }
}
