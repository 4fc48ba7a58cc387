//! Messages as an operator may show them to others: without what would let somebody act for a phone or decrypt its sound.
//!
//! Covered, byte for byte, so that every length stays what it was: the answers to challenges (`response`, and whatever is no digest), what proves the
//! server's knowledge (`rspauth`), passwords in URIs, and the keys in SDP (`a=crypto`, `a=key-mgmt`, `a=ice-pwd`, `k=`). Nonces stay: they are no secret, and
//! without them nobody sees why a phone is challenged again and again. It works on bytes and not on what the parser made of them, since malformed messages are
//! those that are looked at.

use memchr::memchr;

/// What stands in place of a secret.
const COVER: u8 = b'*';

/// Headers whose value proves knowledge of a secret.
const CREDENTIALS: [&[u8]; 3] = [b"authorization", b"proxy-authorization", b"authentication-info"];
/// Their parameters that do.
const PROOFS: [&[u8]; 2] = [b"response", b"rspauth"];
/// Lines of SDP with a key, and behind which word it begins.
const KEYS: [(&[u8], &[u8]); 4] =
    [(b"a=crypto:", b"inline:"), (b"a=key-mgmt:", b""), (b"a=ice-pwd:", b""), (b"k=", b"")];

/// The message with its secrets covered.
pub fn redacted(message: &[u8]) -> Vec<u8> {
    let mut bytes = message.to_vec();
    let mut at = 0;
    let (mut begun, mut in_body) = (false, false);
    let mut in_credentials = false;
    while at < bytes.len() {
        let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length + 1);
        let line = &mut bytes[at..end];
        // Line ends before the start line (RFC 3261 §7.5) end nothing.
        begun = begun || line.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
        if in_body {
            cover_key(line);
        } else if matches!(&*line, b"\n" | b"\r\n") {
            in_body = begun;
        } else {
            // A folded line belongs to the one above (§7.3.1).
            if !matches!(line.first(), Some(b' ' | b'\t')) {
                in_credentials = is_credentials(line);
            }
            match in_credentials {
                true => cover_proofs(line),
                false => cover_passwords(line),
            }
        }
        at = end;
    }
    bytes
}

fn is_credentials(line: &[u8]) -> bool {
    let name = memchr(b':', line).map_or(&b""[..], |end| line[..end].trim_ascii());
    CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Of a digest the proofs; of any other scheme, all of it.
fn cover_proofs(line: &mut [u8]) {
    let value = memchr(b':', line).map_or(0, |colon| colon + 1);
    let start = value + line[value..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let is_header = value > 0 && !matches!(line.first(), Some(b' ' | b'\t'));
    let scheme_end = line[start..].iter().position(u8::is_ascii_whitespace).map_or(line.len(), |length| start + length);
    let scheme = &line[start..scheme_end];
    let is_digest = scheme.eq_ignore_ascii_case(b"digest") || scheme.contains(&b'=');
    if is_header && !is_digest {
        return cover(&mut line[start..]);
    }
    for proof in PROOFS {
        let mut from = 0;
        while let Some(found) = find(&line[from..], proof) {
            let name = from + found;
            from = name + proof.len();
            let is_name = name == 0 || !line[name - 1].is_ascii_alphanumeric();
            let blanks = line[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            if !is_name || line.get(from + blanks) != Some(&b'=') {
                continue;
            }
            let value = from + blanks + 1;
            let end = line[value..].iter().position(|byte| *byte == b',').map_or(line.len(), |length| value + length);
            cover(&mut line[value..end]);
            from = end;
        }
    }
}

/// `sip:user:password@host` (RFC 3261 §19.1.1).
fn cover_passwords(line: &mut [u8]) {
    for scheme in [&b"sip:"[..], b"sips:"] {
        let mut from = 0;
        while let Some(found) = find(&line[from..], scheme) {
            let user = from + found + scheme.len();
            let ends = |byte: &u8| matches!(byte, b'@' | b'>' | b'<' | b'"' | b',' | b' ' | b'\r' | b'\n');
            let Some(end) = line[user..].iter().position(ends).map(|length| user + length) else { break };
            // What looks like another URI before that end is part of this one.
            from = end;
            if line[end] == b'@'
                && let Some(colon) = memchr(b':', &line[user..end])
            {
                cover(&mut line[user + colon + 1..end]);
            }
        }
    }
}

fn cover_key(line: &mut [u8]) {
    for (start, word) in KEYS {
        if line.get(..start.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(start)) {
            // A crypto line that is not as it should be is covered from its beginning.
            let from = find(line, word).filter(|_| !word.is_empty()).map_or(start.len(), |at| at + word.len());
            cover(&mut line[from..]);
        }
    }
}

/// Everything but the quotes around it and the end of the line.
fn cover(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| !matches!(byte, b'"' | b'\r' | b'\n')) {
        *byte = COVER;
    }
}

/// Without regard to case.
fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len().max(1)).position(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(message: &str) -> String {
        String::from_utf8(redacted(message.as_bytes())).unwrap()
    }

    #[test]
    fn the_answer_to_a_challenge_is_covered_and_the_challenge_is_not() {
        let message = "REGISTER sip:switch.local SIP/2.0\r\nAuthorization: Digest username=\"501\", nonce=\"abc\", response=\"0123456789abcdef\", uri=\"sip:x\"\r\n\
             proxy-authorization : digest RESPONSE = 0123abc,qop=auth\r\nWWW-Authenticate: Digest nonce=\"def\"\r\n\
             Authentication-Info: rspauth=\"77\", nextnonce=\"8\"\r\n\r\n";
        let told = shown(message);
        assert_eq!(told.len(), message.len());
        for secret in ["0123456789abcdef", "0123abc", "77"] {
            assert!(!told.contains(secret), "{told}");
        }
        for open in
            ["nonce=\"abc\"", "username=\"501\"", "uri=\"sip:x\"", "nonce=\"def\"", "nextnonce=\"8\"", "qop=auth"]
        {
            assert!(told.contains(open), "{open}: {told}");
        }
    }

    #[test]
    fn folded_and_foreign_credentials_are_covered_too() {
        let told = shown(
            "X sip:a SIP/2.0\r\nAuthorization: Digest username=\"a\",\r\n response=\"cafe\"\r\nAuthorization: Basic dXNlcg==\r\n\r\n",
        );
        assert!(!told.contains("cafe") && !told.contains("dXNlcg") && !told.contains("Basic"), "{told}");
        assert!(shown("\r\n\r\nX sip:a SIP/2.0\nAuthorization:Digest response=ab\n\n").contains("response=**\n"));
    }

    #[test]
    fn passwords_in_uris_and_keys_in_sdp_are_covered() {
        let told = shown(
            "INVITE sip:501:hunter2@h SIP/2.0\r\nFrom: <SIPS:a:pw1@h>;tag=1\r\nTo: <sip:502@h:5060>\r\n\r\nv=0\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20\r\nk=base64:c2VjcmV0\r\na=ice-pwd:pwpwpw\r\na=key-mgmt:mikey AQAFgM\r\na=rtpmap:0 PCMU/8000\r\n",
        );
        for secret in ["hunter2", "pw1", "c2VjcmV0", "pwpwpw", "AQAFgM"] {
            assert!(!told.contains(secret), "{told}");
        }
        assert!(told.contains("sip:502@h:5060") && told.contains("AES_CM_128_HMAC_SHA1_80 inline:"), "{told}");
        assert!(told.contains("a=rtpmap:0 PCMU/8000"), "{told}");
    }

    /// Each would take hours if anything were looked at again for each of its lines or URIs.
    #[test]
    fn what_a_stranger_repeats_is_looked_at_once() {
        let mut message = "\n".repeat(1 << 20);
        assert_eq!(shown(&message), message);
        message += "X sip:a SIP/2.0\nAuthorization: Digest response=cafe\n\nk=abc\n";
        assert!(shown(&message).ends_with("response=****\n\nk=***\n"));
        for repeated in ["sip:", "sip:a", "sips:", "Authorization: response\n", "response=", "k=", "a=crypto:"] {
            let message = repeated.repeat((1 << 20) / repeated.len());
            assert_eq!(shown(&message).len(), message.len(), "{repeated}");
        }
    }

    #[test]
    fn only_what_ends_the_headers_for_the_parser_ends_them_here() {
        for line in ["\r\r\n", "\x0c\n", " \r\n"] {
            let told = shown(&format!("{line}X sip:a SIP/2.0\n{line}Authorization: Digest response=cafe\n\n"));
            assert!(told.contains("response=****"), "{told:?}");
        }
        assert!(shown("X sip:sip:sip:pw@a SIP/2.0\r\n").starts_with("X sip:sip:******@a"));
    }

    proptest! {
        #[test]
        fn any_bytes_keep_their_length_and_their_lines(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let told = redacted(&bytes);
            prop_assert_eq!(told.len(), bytes.len());
            let ends = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
            prop_assert_eq!(ends(&told), ends(&bytes));
        }
    }
}
