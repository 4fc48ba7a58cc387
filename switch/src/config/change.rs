//! The configuration read again while the switch runs: what of it counts at once, and what only at the next start.

use super::Config;
use crate::node::Live;

/// What a file says that is new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Settings that count from now on.
    pub live: Vec<&'static str>,
    /// Settings that count from the next start on.
    pub at_restart: Vec<&'static str>,
}

impl Config {
    /// What changes with `new`, which is the file as it is now. Afterwards this is what the switch runs with: of `new` what counts at once.
    pub fn change(&mut self, new: &Config) -> Changes {
        let mut changes = Changes::default();
        let mut live = |name, changed: bool| changes.live.extend(changed.then_some(name));
        live("[sip] domain", self.sip.domain != new.sip.domain);
        live("[sip] digest", self.sip.digest != new.sip.digest);
        live("[sip] follow-redirects", self.sip.follow_redirects != new.sip.follow_redirects);
        live("[media] address", self.media.address != new.media.address);
        live("[log] level", self.log.level != new.log.level);
        self.sip.domain.clone_from(&new.sip.domain);
        self.sip.digest = new.sip.digest;
        self.sip.follow_redirects = new.sip.follow_redirects;
        self.media.address = new.media.address;
        self.log.clone_from(&new.log);
        let mut at_restart = |name, changed: bool| changes.at_restart.extend(changed.then_some(name));
        at_restart("data", self.data != new.data);
        at_restart("[sip] udp", self.sip.udp != new.sip.udp);
        at_restart("[sip] tcp", self.sip.tcp != new.sip.tcp);
        at_restart("[media] ports", self.media.ports != new.media.ports);
        at_restart("[media] threads", self.media.threads != new.media.threads);
        at_restart("[sound]", self.sound != new.sound);
        at_restart("[cas]", self.cas != new.cas);
        at_restart("[calls]", self.plan.waiting != new.plan.waiting);
        at_restart("[park]", (self.plan.orbits, self.plan.recall) != (new.plan.orbits, new.plan.recall));
        at_restart("[codes]", self.plan.codes != new.plan.codes);
        at_restart("[history]", self.history != new.history);
        at_restart("[limits]", self.limits != new.limits);
        // Whatever is not told by name above.
        let others = Config { data: new.data.clone(), sip: new.sip.clone(), media: new.media.clone(), ..self.clone() };
        let others = Config { sound: new.sound.clone(), ..others };
        let others = Config { cas: new.cas.clone(), history: new.history, limits: new.limits.clone(), ..others };
        let others = Config { plan: new.plan.clone(), ..others };
        at_restart("other settings", others != *new);
        changes
    }

    /// What of it may change while the switch runs.
    pub fn live(&self) -> Live {
        Live {
            domain: self.sip.domain.clone(),
            digest: self.sip.digest,
            media_address: self.media.address,
            follow_redirects: self.sip.follow_redirects,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_at_once_is_told_once_and_what_does_not_again_and_again() {
        let mut running = Config::default();
        let text = "[sip]\ndomain = \"example.org\"\nudp = [\"127.0.0.1:5070\"]\n[log]\nlevel = \"debug\"\n";
        let new = Config::parse("test", text).unwrap();
        let changes = running.change(&new);
        assert_eq!((changes.live, changes.at_restart), (vec!["[sip] domain", "[log] level"], vec!["[sip] udp"]));
        assert_eq!(running.live().domain, "example.org");
        let changes = running.change(&new);
        assert_eq!((changes.live, changes.at_restart), (vec![], vec!["[sip] udp"]));
        assert_eq!(running.change(&running.clone()), Changes::default());
    }
    #[test]
    fn every_section_is_told_by_its_name() {
        let text = "data = \"elsewhere\"\n[sound]\nzone = \"de\"\n[cas]\nlisten = [\"127.0.0.1:8081\"]\n[park]\nrecall = 0\n[history]\ndays = 30\n[limits]\ncalls = 9000\n";
        let changes = Config::default().change(&Config::parse("test", text).unwrap());
        assert_eq!(changes.at_restart, ["data", "[sound]", "[cas]", "[park]", "[history]", "[limits]"]);
        let text = "[calls]\nwaiting = 0\n[codes]\npark = \"*67\"\n";
        let changes = Config::default().change(&Config::parse("test", text).unwrap());
        assert_eq!(changes.at_restart, ["[calls]", "[codes]"]);
    }
}
