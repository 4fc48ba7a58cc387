//! Requests and answers that began as they should be and were then spoilt, by the grammar rather than by chance: wrong lengths and encodings, nesting,
//! headers that are missing, doubled or hundredfold, values at the edges of their types, session descriptions with something odd in each line. All from one seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A message before it is spoilt.
#[derive(Clone, Debug)]
pub struct Plain {
    /// Its start line.
    pub start: String,
    /// Names and values; Content-Length is written last.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// Makes them.
#[derive(Debug)]
pub struct Spoiler {
    random: ChaCha8Rng,
}

/// A message in the making.
struct Draft {
    start: Vec<u8>,
    lines: Vec<(Vec<u8>, Vec<u8>)>,
    length: Option<Vec<u8>>,
    body: Vec<u8>,
}

/// Values that are well formed and seldom seen, and values that only look so.
const VALUES: &[&str] = &[
    "",
    " ",
    ",",
    ";",
    "\"",
    "\\",
    "<>",
    "<",
    ">",
    "\"lt<gt>;,\" <sip:501@switch.local>;tag=odd",
    "lt<gt>;, <sip:501@switch.local>",
    "\"\\\"\\\\\" <sip:a@b>;tag=q",
    "<sip:501@10.0.2.9>, <sip:501@10.0.2.8>;expires=60",
    "\"a, b\" <sip:501@10.0.2.9>;q=0.1,<sip:502@10.0.2.9>",
    "<sip:501@10.0.2.9",
    "sip:501@10.0.2.9>",
    "<<sip:501@10.0.2.9>>",
    "<sip:501@10.0.2.9>;;",
    "<sip:501@10.0.2.9>;=",
    "<sip:501@10.0.2.9>;tag=",
    "<sip:501@10.0.2.9>;tag",
    "*",
    "*, <sip:a@b>",
    "*;expires=0",
    "<tel:+1-201-555-0123;phone-context=example.com;isub=1>",
    "tel:+49(30)123;ext=7",
    "<tel:>",
    "<sip:50%31@switch.local>;tag=e",
    "<sip:%00@h>",
    "<sip:%zz@h>",
    "<sip:%@h>",
    "<sip:user;par=u%40example.net@example.com>",
    "<sip:a:b:c@h>",
    "<sip:@h>",
    "<sip:a@>",
    "<sip:a@h:0>",
    "<sip:a@h:65536>",
    "<sip:a@[::1]:5060>",
    "<sip:a@[::1>",
    "<sip:a@2001:db8::1>",
    "<sip:a@[2001:db8:::192.0.2.1]>",
    "<sip:a@h?Route=%3Csip:b%3E>",
    "sip:a@h?x=y",
    "<sip:a@h;lr;lr;lr>",
    "<http://example.com/>",
    "<urn:uuid:f81d4fae>",
    "0",
    "1",
    "-1",
    "00000000000000000000001",
    "255",
    "256",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "1e3",
    "0x10",
    "1 INVITE",
    "1  INVITE",
    "2147483648 INVITE",
    "1 REGISTER",
    "1 invite",
    "INVITE 1",
    "1INVITE",
    "SIP/2.0/UDP 10.0.2.9",
    "SIP/2.0/UDP 10.0.2.9:99999;branch=z9hG4bK",
    "SIP/3.0/UDP h;branch=z9hG4bKx",
    "SIP/2.0/UDP [::1]:5060;received=[::1];rport=x",
    "SIP / 2.0 / UDP   h ; branch = z9hG4bKy",
    "SIP/2.0/UDP h;;",
    "application/sdp;charset=\"\\\"\"",
    "multipart/mixed;boundary=x",
    "text/plain",
    "Digest",
    "Digest username=\"501\"",
    "Digest username=\"501\",,realm=\"switch.local\"",
    "Basic YTpi",
    "100rel",
    "100rel, timer, nonsense",
    "timer;refresher=uac",
    "90;refresher=uas",
    "90",
    "(comment (nested)) x",
    "INVITE, ,ACK",
    "é",
    "grüße",
    "application/sdp, */*;q=0.0",
    "replaces",
    "a@b;to-tag=1;from-tag=2",
    "path, gruu, outbound",
];

/// Names beyond those a message has.
const NAMES: &[&str] = &[
    "v",
    "f",
    "t",
    "i",
    "m",
    "l",
    "c",
    "s",
    "k",
    "x",
    "Require",
    "Proxy-Require",
    "Supported",
    "Route",
    "Record-Route",
    "Expires",
    "Min-Expires",
    "Accept",
    "Content-Encoding",
    "Content-Disposition",
    "Session-Expires",
    "Min-SE",
    "RAck",
    "RSeq",
    "Replaces",
    "Join",
    "Authorization",
    "Proxy-Authorization",
    "Path",
    "P-Asserted-Identity",
    "Reason",
    "Priority",
    "Subject",
    "Date",
    "Timestamp",
    "User-Agent",
    "Allow",
    "Event",
    "X-Unknown",
    "Max-Forwards",
    "Alert-Info",
    "Call-Info",
    "Geolocation",
    "Identity",
    "Privacy",
    "Refer-To",
    "Referred-By",
];

/// Bytes that have no business in a header.
const FOREIGN: &[&[u8]] = &[
    b"\0",
    b"\x07",
    b"\x1b[2J",
    b"\x7f",
    b"\r",
    b"\n",
    b"\r\r\n",
    b"\n\r",
    b"\xff\xfe",
    b"\xc3",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xae",
    b"%00",
    b"%",
    b"\t",
    b"\x0b",
    b"\x85",
];

/// Lines of session descriptions.
const SDP_LINES: &[&str] = &[
    "v=1",
    "v=",
    "o=",
    "o=- 99999999999999999999999 0 IN IP4 10.0.2.1",
    "s=",
    "c=",
    "c=IN IP4 0.0.0.0",
    "c=IN IP4 224.2.36.42/127",
    "c=IN IP4 255.255.255.255",
    "c=IN IP6 ::",
    "c=IN IP6 ::ffff:10.0.2.1",
    "c=IN IP4 host.example.com",
    "c=ATM NSAP 47",
    "t=",
    "t=99999999999999999999 0",
    "m=",
    "m=audio",
    "m=audio x RTP/AVP 0",
    "m=audio -1 RTP/AVP 0",
    "m=audio 65536 RTP/AVP 0",
    "m=audio 0 RTP/AVP 0",
    "m=audio 4000/2 RTP/AVP 0",
    "m=audio 4000 RTP/AVP",
    "m=audio 4000 RTP/AVP 255 -1 x 0 0 0",
    "m=audio 4000 RTP/SAVPF 0",
    "m=audio 4000 udptl t38",
    "m=video 4002 RTP/AVP 31",
    "m=image 4004 udptl t38",
    "m=application 9 TCP/BFCP *",
    "a=",
    "a=rtpmap:0 PCMU/0",
    "a=rtpmap:0 PCMU/99999999999",
    "a=rtpmap:96",
    "a=rtpmap:300 opus/48000/2",
    "a=rtpmap:96 opus/48000/2",
    "a=rtpmap:101 telephone-event/8000",
    "a=rtpmap:101 telephone-event/0",
    "a=fmtp:101 0-99999",
    "a=fmtp:96 ",
    "a=fmtp:",
    "a=ptime:0",
    "a=ptime:-20",
    "a=ptime:4294967296",
    "a=maxptime:1",
    "a=sendonly",
    "a=recvonly",
    "a=inactive",
    "a=sendrecv",
    "a=rtcp:0",
    "a=rtcp:65536 IN IP4 10.0.2.1",
    "a=rtcp-mux",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",
    "a=candidate:1 1 UDP 1 10.0.2.1 4000 typ host",
    "a=group:BUNDLE a b",
    "b=AS:-1",
    "k=clear:x",
    "z=0",
    "nonsense",
    "=",
    "m =audio 4000 RTP/AVP 0",
];

impl Spoiler {
    /// All that comes follows from this seed.
    pub fn new(seed: u64) -> Spoiler {
        Spoiler { random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// A number below this.
    pub fn below(&mut self, end: usize) -> usize {
        (self.random.next_u64() % end.max(1) as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// The message with one to four things wrong, or odd.
    pub fn spoil(&mut self, plain: &Plain) -> Vec<u8> {
        let lines = plain.headers.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()));
        let mut draft = Draft {
            start: plain.start.clone().into_bytes(),
            lines: lines.collect(),
            length: Some(plain.body.len().to_string().into_bytes()),
            body: plain.body.clone().into_bytes(),
        };
        for _ in 0..=self.below(4) {
            match self.below(20) {
                0 => self.start_line(&mut draft),
                1..5 => self.value(&mut draft),
                5..7 => self.presence(&mut draft),
                7..9 => self.encoding(&mut draft),
                9..11 => self.shape(&mut draft),
                11 => self.much(&mut draft),
                12..14 => self.length(&mut draft),
                14..19 => self.body(&mut draft),
                _ => {
                    let mut bytes = draft.bytes();
                    self.bytes(&mut bytes);
                    return bytes;
                }
            }
        }
        draft.bytes()
    }

    fn start_line(&mut self, draft: &mut Draft) {
        let lines: [&[u8]; 14] = [
            b"",
            b"INVITE",
            b"INVITE sip:502@switch.local",
            b"INVITE  sip:502@switch.local SIP/2.0",
            b"invite sip:502@switch.local SIP/2.0",
            b"INVITE sip:502@switch.local SIP/7.0",
            b"INVITE sip:502@switch.local sip/2.0",
            b"INVITE <sip:502@switch.local> SIP/2.0",
            b"INVITE tel:502;phone-context=switch.local SIP/2.0",
            b"REGISTER sip:50%32@switch.local;x SIP/2.0",
            b"INVITE nothing:at-all SIP/2.0",
            b"SIP/2.0 200 OK",
            b"\xff\xfe SIP/2.0",
            b"ACK sip:502@switch.local SIP/2.0",
        ];
        draft.start = self.one(&lines).to_vec();
    }

    fn value(&mut self, draft: &mut Draft) {
        let at = self.below(draft.lines.len());
        let Some((_, value)) = draft.lines.get_mut(at) else { return };
        let new = self.one(VALUES);
        match self.below(4) {
            0 => value.extend_from_slice(new.as_bytes()),
            1 => drop(value.splice(0..0, new.bytes())),
            _ => *value = new.into(),
        }
    }

    /// A header less, a header twice, or one more.
    fn presence(&mut self, draft: &mut Draft) {
        let at = self.below(draft.lines.len());
        if draft.lines.is_empty() {
            return;
        }
        match self.below(4) {
            0 => drop(draft.lines.remove(at)),
            1 => draft.lines.push(draft.lines[at].clone()),
            2 => draft.lines.swap(0, at),
            _ => {
                let line = (self.one(NAMES).into(), self.one(VALUES).into());
                draft.lines.insert(at, line);
            }
        }
    }

    fn encoding(&mut self, draft: &mut Draft) {
        let at = self.below(draft.lines.len());
        let foreign = self.one(FOREIGN);
        let Some((name, value)) = draft.lines.get_mut(at) else { return };
        let text = if self.below(8) == 0 { name } else { value };
        let at = self.below(text.len() + 1);
        text.splice(at..at, foreign.iter().copied()).for_each(drop);
    }

    /// The same in other writing: folded, compact, in capitals, with blanks.
    fn shape(&mut self, draft: &mut Draft) {
        let at = self.below(draft.lines.len());
        let Some((name, value)) = draft.lines.get_mut(at) else { return };
        match self.below(5) {
            0 => {
                let fold = self.one(&["\r\n ", "\r\n\t", "\n  ", "\r\n \r\n ", "\r\n"]);
                let at = self.below(value.len() + 1);
                value.splice(at..at, fold.bytes()).for_each(drop);
            }
            1 => {
                let compact = [
                    ("Via", "v"),
                    ("From", "F"),
                    ("To", "t"),
                    ("Call-ID", "I"),
                    ("Contact", "m"),
                    ("Content-Type", "c"),
                ];
                if let Some((_, short)) = compact.iter().find(|(long, _)| long.as_bytes() == name) {
                    *name = (*short).into();
                }
            }
            2 => name.make_ascii_uppercase(),
            3 => name.extend_from_slice(b" \t"),
            _ => drop(name.splice(0..0, *b" ")),
        }
    }

    /// More than anybody needs.
    fn much(&mut self, draft: &mut Draft) {
        let count = self.one(&[10, 65, 257, 2_000]);
        let at = self.below(draft.lines.len());
        let Some(line) = draft.lines.get_mut(at) else { return };
        match self.below(6) {
            0 => line.1.extend(b";x".repeat(count)),
            1 => line.1.extend(b",<sip:a@b>".repeat(count)),
            2 => line.1.extend(b"\"<".repeat(count)),
            3 => line.1.extend(b"a".repeat(count * 9)),
            4 => {
                let line = line.clone();
                draft.lines.extend(std::iter::repeat_n(line, count.min(300)));
            }
            _ => line.1.extend(b"\r\n x".repeat(count)),
        }
    }

    fn length(&mut self, draft: &mut Draft) {
        let lengths = [
            "",
            "-1",
            "0",
            "1",
            "x",
            "0x10",
            "+5",
            "1 2",
            "4294967296",
            "99999999999999999999",
            "65535",
            "00000150",
            "150;x",
            "150, 150",
        ];
        match self.below(4) {
            0 => draft.length = None,
            1 => {
                let line = (b"l".to_vec(), self.one(&lengths).into());
                draft.lines.push(line);
            }
            2 => draft.length = Some((draft.body.len() + self.below(20)).to_string().into()),
            _ => draft.length = Some(self.one(&lengths).into()),
        }
    }

    /// A session description with something odd, or no session description.
    fn body(&mut self, draft: &mut Draft) {
        let mut lines: Vec<Vec<u8>> =
            draft.body.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end().to_vec()).collect();
        let at = self.below(lines.len());
        match self.below(12) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2 => {
                let other = self.below(lines.len());
                lines.swap(at, other);
            }
            3..8 => lines.insert(at, self.one(SDP_LINES).into()),
            8 => lines[at] = self.one(SDP_LINES).into(),
            9 => {
                let count = self.one(&[17, 70, 600]);
                lines[at] = format!("{}{}", String::from_utf8_lossy(&lines[at]), " 0".repeat(count)).into();
            }
            10 => {
                let (line, count) = (self.one(SDP_LINES), self.one(&[17, 300]));
                lines.extend(std::iter::repeat_n(line.into(), count));
            }
            _ => lines = vec![self.one(FOREIGN).repeat(40)],
        }
        let end: &[u8] = self.one(&[b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"]);
        draft.body = lines.join(end);
        // Mostly still the right length: otherwise the body would never be read.
        if self.below(10) > 0 {
            draft.length = Some(draft.body.len().to_string().into());
        }
    }

    fn bytes(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let (at, other) = (self.below(bytes.len()), self.below(bytes.len()));
            match self.below(5) {
                0 => bytes[at] = self.below(256) as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.drain(at..bytes.len().min(at + other % 20))),
                3 => {
                    let piece = bytes[at..bytes.len().min(at + 40)].to_vec();
                    bytes.splice(other..other, piece).for_each(drop);
                }
                _ => bytes.truncate(at + 1),
            }
        }
    }
}

impl Draft {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.start.clone();
        let length = self.length.as_ref().map(|length| (b"Content-Length".to_vec(), length.clone()));
        for (name, value) in self.lines.iter().chain(&length) {
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
        }
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(&self.body);
        // No datagram is longer.
        bytes.truncate(65_507);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_spoils_the_same_and_most_are_different() {
        let headers = vec![("Via".to_owned(), "SIP/2.0/UDP h;branch=z9hG4bK1".to_owned())];
        let plain =
            Plain { start: "INVITE sip:502@switch.local SIP/2.0".to_owned(), headers, body: "v=0\r\n".to_owned() };
        let spoilt = |seed| {
            let mut spoiler = Spoiler::new(seed);
            (0..100).map(|_| spoiler.spoil(&plain)).collect::<Vec<_>>()
        };
        assert_eq!(spoilt(1), spoilt(1));
        let distinct: std::collections::BTreeSet<_> = spoilt(1).into_iter().chain(spoilt(2)).collect();
        assert!(distinct.len() > 150, "{}", distinct.len());
    }
}
