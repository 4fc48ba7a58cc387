//! From bytes to a [`Description`].
//!
//! Of a telephone's text only what the switch uses is read (`v=`, `c=`, `m=`, `a=`): an `o=` id that does not fit into 64 bits or a session name in
//! Latin-1 is no reason to refuse a call.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use media::{Codec, PayloadMap};

use super::{Audio, Description, Direction, MAX_FORMATS, MAX_MEDIA_LINES, MediaLine, SdpError, static_payload_type};

/// Reads a body.
pub fn parse(body: &[u8]) -> Result<Description, SdpError> {
    let text = clean(body);
    let read = Lines::read(&text)?;
    let attributes: Vec<_> = read.media.iter().map(|media| Attributes::read(media, &read.attributes)).collect();
    let candidates = || read.media.iter().enumerate().filter(|(_, media)| media.is_rtp_audio());
    let usable = candidates().find(|(i, media)| media.port != 0 && attributes[*i].has_voice());
    let chosen = usable.or_else(|| candidates().find(|(_, media)| media.port == 0)).map(|(i, _)| i);
    let audio = match chosen {
        Some(i) => Some(audio(&read.media[i], &attributes[i], read.connection)?),
        None => None,
    };
    let lines = read.media.iter().enumerate().map(|(i, media)| media.line(chosen == Some(i)));
    Ok(Description { audio, lines: lines.collect() })
}

/// Without what no line may contain: control characters. Lines may end in CR LF, LF or CR. What is left is written back to telephones only in
/// pieces that no longer hold a line end.
fn clean(body: &[u8]) -> Cow<'_, str> {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t');
    let text = String::from_utf8_lossy(body);
    if body.iter().all(is_plain) {
        return text;
    }
    text.replace(|c: char| c.is_control() && !matches!(c, '\r' | '\n' | '\t'), "").into()
}

/// The lines that are used, taken apart.
#[derive(Default)]
struct Lines<'a> {
    /// Of the session.
    connection: Option<&'a str>,
    /// Of the session.
    attributes: Vec<&'a str>,
    media: Vec<Media<'a>>,
}

/// A stream.
struct Media<'a> {
    media: &'a str,
    port: u16,
    protocol: &'a str,
    formats: Vec<&'a str>,
    connection: Option<&'a str>,
    attributes: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    fn read(text: &'a str) -> Result<Lines<'a>, SdpError> {
        let malformed = |line: &str| SdpError::Malformed(format!("the line {line:.40} is none of SDP"));
        let mut lines = text.split(['\r', '\n']).map(str::trim_ascii_end).filter(|line| !line.is_empty());
        if lines.next() != Some("v=0") {
            return Err(SdpError::Malformed("the first line is not v=0".into()));
        }
        let mut read = Lines::default();
        for line in lines {
            let (letter, value) = line.split_at_checked(2).ok_or_else(|| malformed(line))?;
            match letter {
                "m=" if read.media.len() == MAX_MEDIA_LINES => {
                    return Err(SdpError::Malformed(format!("more than {MAX_MEDIA_LINES} m= lines")));
                }
                "m=" => read.media.push(Media::read(value)?),
                "c=" => match read.media.last_mut() {
                    // More than one are for streams to many.
                    Some(media) => _ = media.connection.get_or_insert(value),
                    None if read.connection.is_none() => read.connection = Some(value),
                    None => return Err(malformed(line)),
                },
                "a=" => {
                    let place = read.media.last_mut().map_or(&mut read.attributes, |media| &mut media.attributes);
                    place.push(value);
                }
                "o=" | "s=" | "i=" | "u=" | "e=" | "p=" | "b=" | "t=" | "r=" | "z=" | "k=" => {}
                // RFC 8866 §5: nothing else is known, nor ever will be.
                _ => return Err(malformed(line)),
            }
        }
        Ok(read)
    }
}

impl<'a> Media<'a> {
    /// `audio 49170 RTP/AVP 0 8`; the port may have a number of ports behind it (RFC 8866 §5.14).
    fn read(value: &'a str) -> Result<Media<'a>, SdpError> {
        let malformed = || SdpError::Malformed(format!("m={value:.40} is no stream"));
        let mut words = value.split_ascii_whitespace();
        let media = words.next().ok_or_else(malformed)?;
        let port = words.next().ok_or_else(malformed)?;
        let port = port.split_once('/').map_or(port, |(port, _count)| port).parse().map_err(|_| malformed())?;
        let protocol = words.next().ok_or_else(malformed)?;
        let formats: Vec<_> = words.take(MAX_FORMATS + 1).collect();
        if formats.len() > MAX_FORMATS {
            return Err(SdpError::Malformed(format!("more than {MAX_FORMATS} formats in an m= line")));
        }
        if formats.is_empty() {
            return Err(malformed());
        }
        Ok(Media { media, port, protocol, formats, connection: None, attributes: Vec::new() })
    }

    /// Whether a stream is of the kind the switch carries. RTP/AVPF (RFC 4585) is RTP/AVP for one who sends no feedback.
    fn is_rtp_audio(&self) -> bool {
        let plain = ["RTP/AVP", "RTP/AVPF"].iter().any(|protocol| self.protocol.eq_ignore_ascii_case(protocol));
        plain && self.media.eq_ignore_ascii_case("audio")
    }

    fn line(&self, chosen: bool) -> MediaLine {
        MediaLine {
            media: self.media.to_owned(),
            port: self.port,
            protocol: self.protocol.to_owned(),
            formats: self.formats.join(" "),
            chosen,
        }
    }
}

fn audio(media: &Media<'_>, attributes: &Attributes, session_connection: Option<&str>) -> Result<Audio, SdpError> {
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
    let connection = media.connection.or(session_connection);
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

/// `IN IP4 192.0.2.5` (RFC 8866 §5.7).
fn unicast(connection: &str) -> Result<IpAddr, SdpError> {
    let malformed = || SdpError::Malformed(format!("c={connection:.40} is no connection"));
    let mut words = connection.split_ascii_whitespace();
    let (Some("IN"), Some(kind), Some(address), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(malformed());
    };
    // What follows a slash belongs to multicast.
    let address = address.split_once('/').map_or(address, |(address, _)| address);
    let ip = match kind {
        "IP4" => address.parse().map(|ip: Ipv4Addr| IpAddr::V4(ip)),
        "IP6" => address.parse().map(|ip: Ipv6Addr| IpAddr::V6(ip)),
        _ => return Err(malformed()),
    };
    let ip = ip.map_err(|_| SdpError::NotAcceptable(format!("c= names {address:.40}, which is no IP address")))?;
    let ip = ip.to_canonical();
    if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
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
    fn read(media: &Media<'_>, session_attributes: &[&str]) -> Attributes {
        let mut read = Attributes::default();
        let mut codecs = [None; 128];
        for attribute in &media.attributes {
            let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
            let value = value.trim_ascii();
            match name {
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
        read.direction = read.direction.or_else(|| session_attributes.iter().find_map(|name| direction(name)));
        read.payloads = payloads(&media.formats, &codecs);
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
fn payloads(formats: &[&str], codecs: &[Option<Codec>; 128]) -> Vec<(u8, Codec)> {
    let mut payloads: Vec<(u8, Codec)> = Vec::new();
    for payload_type in formats.iter().filter_map(|format| format.parse::<u8>().ok()) {
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
    let (payload_type, encoding) = value.split_once([' ', '\t'])?;
    let payload_type = payload_type.parse().ok().filter(|pt| *pt < 128)?;
    let mut parts = encoding.trim_ascii().split('/');
    let name = parts.next()?;
    let rate: u32 = parts.next()?.parse().ok()?;
    let channels: u32 = parts.next().map_or(Ok(1), str::parse).ok()?;
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    let codec = match (rate, channels) {
        (8000, 1) if is("PCMU") => Codec::Pcmu,
        (8000, 1) if is("PCMA") => Codec::Pcma,
        (8000, 1) if is("G722") => Codec::G722,
        // Two channels whatever is sent in them: RFC 7587 §7.
        (48000, 2) if is("opus") => Codec::Opus,
        (8000 | 48000, 1) if is("telephone-event") => Codec::TelephoneEvent { rate },
        _ => return None,
    };
    Some((payload_type, codec))
}

fn fmtp(value: &str) -> Option<(u8, String)> {
    let (payload_type, parameters) = value.split_once([' ', '\t'])?;
    Some((payload_type.parse().ok()?, parameters.trim_ascii().to_owned()))
}

/// `53020` or `53020 IN IP4 126.16.64.4` (RFC 3605 §2.1).
fn rtcp(value: &str) -> Option<(u16, Option<IpAddr>)> {
    let mut words = value.split_ascii_whitespace();
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
