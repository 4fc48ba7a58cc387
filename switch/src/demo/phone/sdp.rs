//! The telephone's own reading and writing of session descriptions, so that the switch's is not tested against itself. One audio stream.

use std::net::{IpAddr, SocketAddr};

/// What is usual, in milliseconds.
pub(super) const PTIME: u16 = 20;

/// What a telephone speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722, of which only silence is spoken.
    G722,
    /// Opus.
    Opus,
    /// DTMF (RFC 4733).
    Event,
}

impl Codec {
    /// The payload type offered.
    fn payload_type(self) -> u8 {
        match self {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
            Codec::G722 => 9,
            Codec::Opus => 96,
            Codec::Event => 101,
        }
    }

    fn encoding(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU/8000",
            Codec::Pcma => "PCMA/8000",
            Codec::G722 => "G722/8000",
            Codec::Opus => "opus/48000/2",
            Codec::Event => "telephone-event/8000",
        }
    }

    fn from_encoding(encoding: &str) -> Option<Codec> {
        [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::Event]
            .into_iter()
            .find(|codec| encoding.eq_ignore_ascii_case(codec.encoding()))
    }

    /// RTP clock ticks in 20 ms.
    pub(super) fn ticks(self) -> u32 {
        if self == Codec::Opus { 960 } else { 160 }
    }
}

/// Who speaks, seen from the side that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    SendRecv,
    /// Only the writer.
    SendOnly,
    /// Only the reader.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// From what each side wants.
    pub(super) fn of(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    pub(super) fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    pub(super) fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

/// What the other side's descriptions must keep to (RFC 3264 §8): the session's id stays, the version rises with each change.
#[derive(Debug, Default)]
pub(super) struct Origin(Option<(u64, u64, Vec<u8>)>);

impl Origin {
    /// The next description of the other side. `Err`: how it breaks the rule.
    pub(super) fn follow(&mut self, body: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(body);
        let origin = text.lines().find_map(|line| line.strip_prefix("o="));
        let numbers = origin.and_then(|origin| {
            let mut words = origin.split(' ').skip(1).map(str::parse::<u64>);
            Some((words.next()?.ok()?, words.next()?.ok()?))
        });
        let Some((id, version)) = numbers else { return Err(format!("no o= line: {text}")) };
        if let Some((last_id, last, before)) = &self.0 {
            let follows = if before == body { version == *last } else { version > *last };
            if id != *last_id || !follows {
                return Err(format!("o= went from {last_id} {last} to {id} {version}: {text}"));
            }
        }
        self.0 = Some((id, version, body.to_vec()));
        Ok(())
    }
}

/// One side's audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) address: SocketAddr,
    pub(super) direction: Direction,
    pub(super) payloads: Vec<(u8, Codec)>,
    /// How much the writer wants to hear at a time, in milliseconds.
    pub(super) ptime: u16,
}

impl Description {
    /// An offer of all these codecs.
    pub(super) fn offer(address: SocketAddr, codecs: &[Codec], direction: Direction) -> Description {
        let payloads = codecs.iter().map(|codec| (codec.payload_type(), *codec)).collect();
        Description { address, direction, payloads, ptime: PTIME }
    }

    /// The same, heard so much at a time; 0 changes nothing.
    pub(super) fn with_ptime(mut self, ptime: u16) -> Description {
        self.ptime = if ptime == 0 { self.ptime } else { ptime };
        self
    }

    /// The refusal of an offer of which nothing can be taken (RFC 3264 §6).
    pub(super) fn refusal(offer: &Description, own: SocketAddr) -> Description {
        let payloads = offer.payloads.first().map_or(vec![(0, Codec::Pcmu)], |first| vec![*first]);
        Description { address: SocketAddr::new(own.ip(), 0), direction: Direction::Inactive, payloads, ptime: PTIME }
    }

    /// The answer to an offer: what is common, under the offer's payload types, in its order (RFC 3264 §6.1). `None`: nothing is.
    pub(super) fn answer(
        offer: &Description,
        address: SocketAddr,
        codecs: &[Codec],
        sends: bool,
        receives: bool,
    ) -> Option<Description> {
        let payloads: Vec<_> = offer.payloads.iter().filter(|(_, codec)| codecs.contains(codec)).copied().collect();
        let direction = Direction::of(sends && offer.direction.receives(), receives && offer.direction.sends());
        payloads.iter().any(|(_, codec)| *codec != Codec::Event).then_some(Description {
            address,
            direction,
            payloads,
            ptime: PTIME,
        })
    }

    /// Reads the first audio stream.
    pub(super) fn parse(body: &[u8]) -> Option<Description> {
        let text = std::str::from_utf8(body).ok()?;
        let (mut ip, mut port, mut direction, mut ptime) = (None, None, Direction::SendRecv, PTIME);
        let (mut formats, mut maps) = (Vec::new(), Vec::new());
        let mut sections = 0;
        for line in text.lines() {
            let (kind, value) = line.split_once('=')?;
            match kind {
                "m" => {
                    sections += 1;
                    if sections > 1 {
                        break;
                    }
                    let mut words = value.strip_prefix("audio ")?.split(' ');
                    port = words.next()?.parse::<u16>().ok();
                    formats = words.skip(1).filter_map(|word| word.parse::<u8>().ok()).collect();
                }
                "c" => ip = value.strip_prefix("IN IP4 ")?.parse::<IpAddr>().ok(),
                "a" => match value.split_once(':') {
                    Some(("rtpmap", map)) => {
                        let (format, encoding) = map.split_once(' ')?;
                        maps.push((format.parse::<u8>().ok()?, Codec::from_encoding(encoding)));
                    }
                    Some(("ptime", given)) => ptime = given.trim().parse().unwrap_or(ptime),
                    _ => {
                        direction =
                            [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
                                .into_iter()
                                .find(|known| known.name() == value)
                                .unwrap_or(direction);
                    }
                },
                _ => {}
            }
        }
        let codec = |format: u8| match maps.iter().find(|(mapped, _)| *mapped == format) {
            Some((_, codec)) => *codec,
            None => [Codec::Pcmu, Codec::Pcma, Codec::G722].into_iter().find(|codec| codec.payload_type() == format),
        };
        let payloads = formats.into_iter().filter_map(|format| codec(format).map(|codec| (format, codec))).collect();
        Some(Description { address: SocketAddr::new(ip?, port?), direction, payloads, ptime })
    }

    /// Writes it.
    pub(super) fn write(&self, session: u64, version: u64) -> String {
        let (ip, port) = (self.address.ip(), self.address.port());
        let formats: Vec<String> = self.payloads.iter().map(|(format, _)| format.to_string()).collect();
        let mut text = format!(
            "v=0\r\no=- {session} {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {}\r\n",
            formats.join(" ")
        );
        for (format, codec) in &self.payloads {
            text.push_str(&format!("a=rtpmap:{format} {}\r\n", codec.encoding()));
            if *codec == Codec::Event {
                text.push_str(&format!("a=fmtp:{format} 0-15\r\n"));
            }
        }
        text.push_str(&format!("a=ptime:{}\r\na={}\r\n", self.ptime, self.direction.name()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        "10.0.0.1:4000".parse().unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let all = [Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu, Codec::Event];
        let offer = Description::offer(address(), &all, Direction::SendOnly);
        assert_eq!(Description::parse(offer.write(7, 1).as_bytes()), Some(offer));
    }

    #[test]
    fn an_answer_keeps_the_offers_payload_types_and_reverses_its_direction() {
        let body = "v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8 0 97\r\n\
                    a=rtpmap:97 telephone-event/8000\r\na=sendonly\r\n";
        let offer = Description::parse(body.as_bytes()).unwrap();
        let answer = Description::answer(&offer, address(), &[Codec::Pcmu, Codec::Event], true, true).unwrap();
        assert_eq!(answer.payloads, vec![(0, Codec::Pcmu), (97, Codec::Event)]);
        assert_eq!(answer.direction, Direction::RecvOnly);
    }

    #[test]
    fn no_common_codec_is_no_answer() {
        let offer = Description::offer(address(), &[Codec::Opus, Codec::Event], Direction::SendRecv);
        assert_eq!(Description::answer(&offer, address(), &[Codec::Pcmu, Codec::Event], true, true), None);
    }
}
