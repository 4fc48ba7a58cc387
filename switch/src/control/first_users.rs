//! The users of a first start, so that a newcomer has two phones talking before he has read anything.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use cas::cas::Request;
use cas::entropy::Entropy;
use serde_json::{Value, json};

use super::{Control, Ready};
use crate::entropy::System;

/// Whether an empty store gets its first users.
#[derive(Clone, Copy, Debug)]
pub enum FirstUsers {
    /// `admin`, 501 and 502, with random secrets, which are told this way.
    Make(fn(&Seeded)),
    /// It stays empty: whoever starts it has his own.
    Leave,
}

/// A user made at the first start. Shown once, kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct FirstUser {
    /// The CAS user name: the extension, or `admin`.
    pub login: String,
    /// His name.
    pub name: String,
    /// His CAS password.
    pub password: String,
    /// His phone's; the administrator has none.
    pub sip_secret: Option<String>,
}

impl fmt::Debug for FirstUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstUser").field("login", &self.login).finish_non_exhaustive()
    }
}

/// The users of a first start, and what to do with them. Displayed, it is the block that `switch run` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeded {
    /// In the order they were made: `admin`, then those with phones.
    pub users: Vec<FirstUser>,
    /// What phones register at.
    pub server: Option<SocketAddr>,
    /// Where the CAS listens, if anywhere.
    pub cas: Option<SocketAddr>,
}

/// Extension and name of each, and whether he has a phone. The names are those of the protocol's examples.
const USERS: [(&str, &str, bool); 3] =
    [("admin", "Administrator", false), ("501", "Vanessa Kensington", true), ("502", "Austin Powers", true)];

/// Tells their secrets, then makes them: a switch that is killed in between, or by halves, leaves no user whose secrets nobody knows.
pub(super) async fn make(
    control: &Rc<Control>,
    ready: &Ready,
    tell: impl FnOnce(&Seeded),
) -> Result<Seeded, SeedError> {
    let entropy: &mut dyn Entropy = &mut System::default();
    let users = USERS.map(|(login, name, has_phone)| FirstUser {
        login: login.to_owned(),
        name: name.to_owned(),
        password: entropy.secret(),
        sip_secret: has_phone.then(|| entropy.secret()),
    });
    let seeded = Seeded { users: users.into(), server: ready.address, cas: ready.http.first().copied() };
    tell(&seeded);
    for user in &seeded.users {
        add(control, user).await?;
    }
    Ok(seeded)
}

/// By the very message that `switch user add` sends.
async fn add(control: &Rc<Control>, user: &FirstUser) -> Result<(), SeedError> {
    let FirstUser { login, name, password, sip_secret } = user;
    let mut message = json!({"topic": "config", "message": "add-user", "wait": true, "ext": login, "name": name, "password": password});
    if let Some(secret) = sip_secret {
        message["sip-secret"] = json!(secret);
    }
    let body = message.to_string();
    let request = Request::of_console(body);
    let reply = control.ask(request).await;
    let reply: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if reply["error"] == 0 {
        return Ok(());
    }
    let text = reply["error-text"].as_str().unwrap_or("the reply cannot be read");
    Err(SeedError { login: login.clone(), text: text.to_owned() })
}

impl fmt::Display for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "This is the first start: three users are made. Their secrets are shown this once.\n")?;
        writeln!(f, "    {:<7} {:<20} {:<26} SIP SECRET", "USER", "NAME", "CAS PASSWORD")?;
        for FirstUser { login, name, password, sip_secret } in &self.users {
            let secret = sip_secret.as_deref().unwrap_or("(no phone)");
            writeln!(f, "    {login:<7} {name:<20} {password:<26} {secret}")?;
        }
        let phones: Vec<&FirstUser> = self.users.iter().filter(|user| user.sip_secret.is_some()).collect();
        if let [first, second, ..] = phones[..] {
            self.phones(f, first, second)?;
            self.call(f, first, second)?;
        }
        Ok(())
    }
}

impl Seeded {
    fn phones(&self, f: &mut fmt::Formatter<'_>, first: &FirstUser, second: &FirstUser) -> fmt::Result {
        let Some(server) = self.server else { return Ok(()) };
        // Without a network, the only phones are on this machine.
        let host = if server.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { server.ip() };
        let port = server.port();
        writeln!(f, "\nType into a phone:\n")?;
        writeln!(f, "    server, registrar or domain   {host}    port {port}, UDP or TCP")?;
        writeln!(f, "    user and authentication name  {}    ({} in the other phone)", first.login, second.login)?;
        writeln!(f, "    password                      its SIP secret above")
    }

    fn call(&self, f: &mut fmt::Formatter<'_>, first: &FirstUser, second: &FirstUser) -> fmt::Result {
        let Some(cas) = self.cas else { return Ok(()) };
        let login = json!({"app-id": "curl", "username": first.login, "password": first.password});
        let call = json!({"topic": "tel", "message": "make-call", "dest": second.login});
        writeln!(f, "\nOnce both have registered, {} calls {}:\n", first.login, second.login)?;
        writeln!(
            f,
            "    S=$(curl -s http://{cas}/login -d '{login}' | sed 's/.*\"SessionId\":\"\\([^\"]*\\)\".*/\\1/'); \\"
        )?;
        writeln!(f, "    curl -s \"http://{cas}/Execute?SessionId=$S\" -d '{call}'")
    }
}

/// A first user could not be made.
#[derive(Debug)]
pub struct SeedError {
    login: String,
    text: String,
}

impl fmt::Display for SeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the first user {} could not be made: {}", self.login, self.text)
    }
}

impl std::error::Error for SeedError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeded() -> Seeded {
        let user = |login: &str, sip_secret: Option<&str>| FirstUser {
            login: login.into(),
            name: "Name".into(),
            password: format!("password-of-{login}"),
            sip_secret: sip_secret.map(str::to_owned),
        };
        Seeded {
            users: vec![user("admin", None), user("501", Some("secret-1")), user("502", Some("secret-2"))],
            server: Some("192.0.2.7:5060".parse().unwrap()),
            cas: Some("127.0.0.1:8080".parse().unwrap()),
        }
    }

    #[test]
    fn the_block_has_all_that_a_phone_and_curl_need() {
        let block = seeded().to_string();
        for needed in ["secret-1", "secret-2", "192.0.2.7", "port 5060", "password-of-admin"] {
            assert!(block.contains(needed), "{needed} is missing:\n{block}");
        }
        assert!(block.contains(r#"-d '{"app-id":"curl","username":"501","password":"password-of-501"}'"#), "{block}");
        assert!(block.contains(r#"-d '{"topic":"tel","message":"make-call","dest":"502"}'"#), "{block}");
    }

    #[test]
    fn a_log_of_the_users_tells_no_secret() {
        let text = format!("{:?}", seeded());
        assert!(!text.contains("password-of") && !text.contains("secret-1"), "{text}");
    }
}
