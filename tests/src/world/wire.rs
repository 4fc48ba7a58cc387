//! What is watched on the wire: every INVITE that reached the switch gets exactly one final response.

use std::collections::BTreeMap;

use switch::node::StreamId;

use super::trace::header;

/// The INVITEs that reached the switch, by branch and source.
#[derive(Debug, Default)]
pub(super) struct Wire {
    invites: BTreeMap<String, Invite>,
}

#[derive(Debug)]
struct Invite {
    stream: Option<StreamId>,
    answer: Option<u16>,
}

impl Wire {
    /// A message reaches the switch.
    pub(super) fn arrives(&mut self, stream: Option<StreamId>, bytes: &[u8]) {
        if !bytes.starts_with(b"INVITE ") {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        if let Some(branch) = branch(&text) {
            self.invites.entry(branch.to_owned()).or_insert(Invite { stream, answer: None });
        }
    }

    /// The switch sends a message. `Err`: a second, different final response.
    pub(super) fn leaves(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(rest) = bytes.strip_prefix(b"SIP/2.0 ") else { return Ok(()) };
        let text = String::from_utf8_lossy(bytes);
        let status = String::from_utf8_lossy(&rest[..3]).parse::<u16>().map_err(|_| "no status".to_owned())?;
        let of_invite = header(&text, "CSeq").is_some_and(|cseq| cseq.ends_with("INVITE"));
        let Some(known) = branch(&text).and_then(|branch| self.invites.get_mut(branch)) else { return Ok(()) };
        if !of_invite || status < 200 {
            return Ok(());
        }
        match known.answer {
            Some(before) if before != status => Err(format!("an INVITE was answered {before} and then {status}")),
            _ => {
                known.answer = Some(status);
                Ok(())
            }
        }
    }

    /// A connection broke, and with it the way of the answers.
    pub(super) fn broke(&mut self, stream: StreamId) {
        self.invites.retain(|_, invite| invite.stream != Some(stream));
    }

    /// Nothing is under way any more. `Err`: an INVITE without a final response.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        let open = self.invites.iter().find(|(_, invite)| invite.answer.is_none()).map(|(branch, _)| branch.clone());
        self.invites.clear();
        open.map_or(Ok(()), |branch| Err(format!("the INVITE {branch} was never answered")))
    }

    /// The switch was restarted: what it had not answered, it never will.
    pub(super) fn forget(&mut self) {
        self.invites.clear();
    }
}

fn branch(text: &str) -> Option<&str> {
    let via = header(text, "Via")?;
    let start = via.find("branch=")? + "branch=".len();
    via[start..].split([';', ',']).next()
}
