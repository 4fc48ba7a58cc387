//! Kamailio as a record-routing stateful proxy with registrar and digest: the same datagrams as the switch's, and no media. Its fast allocators
//! (`-x fm -X fm`) and two children, as on a machine of two cores.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;

use super::{Target, free_ports, loopback, until};
use crate::process::{self, Process};

/// Everybody's secret is `secret-` and his name: [`super::secret`].
const CONFIG: &str = r#"
children=2
log_stderror=yes
debug=-1
auto_aliases=no
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "maxfwd.so"
loadmodule "auth.so"
modparam("usrloc", "db_mode", 0)
modparam("auth", "nonce_expire", 300)
modparam("auth", "qop", "auth")

request_route {
    if (!mf_process_maxfwd_header("10")) {
        sl_send_reply("483", "Too Many Hops");
        exit;
    }
    if (has_totag()) {
        if (loose_route()) {
            route(RELAY);
        } else if (is_method("ACK") && t_check_trans()) {
            t_relay();
        }
        exit;
    }
    t_check_trans();
    if (is_method("OPTIONS")) {
        sl_send_reply("200", "OK");
        exit;
    }
    if (!pv_www_authenticate("bench", "secret-$fU", "0", "$rm")) {
        www_challenge("bench", "1");
        exit;
    }
    if (is_method("REGISTER")) {
        save("location");
        exit;
    }
    record_route();
    if (!lookup("location")) {
        sl_send_reply("404", "Not Found");
        exit;
    }
    route(RELAY);
}

route[RELAY] {
    t_relay();
    exit;
}
"#;

/// Running, on a free port.
///
/// # Errors
/// It does not start.
pub fn kamailio(program: &Path) -> io::Result<Target> {
    let folder = tempfile::tempdir()?;
    let (config, log) = (folder.path().join("kamailio.cfg"), folder.path().join("log"));
    let address = loopback(free_ports(2)?);
    fs::write(&config, CONFIG)?;
    let mut command = process::command(program);
    command.args(["-DD", "-E", "-x", "fm", "-X", "fm", "-m", "1024", "-M", "16", "-l", &format!("udp:{address}")]);
    command.arg("-Y").arg(folder.path()).arg("-P").arg(folder.path().join("pid")).arg("-f").arg(&config);
    let output = fs::File::create(&log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let mut process = Process::start(&mut command)?;
    let probe = std::net::UdpSocket::bind(loopback(0))?;
    probe.set_nonblocking(true)?;
    let local = probe.local_addr()?;
    until("kamailio to answer", || {
        if let Some(status) = process.child().try_wait()? {
            let log = fs::read_to_string(&log).unwrap_or_default();
            return Err(io::Error::other(format!("kamailio ended with {status}: {log}")));
        }
        let request = format!(
            "OPTIONS sip:{address} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKprobe\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:{address}>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        let _ = probe.send_to(request.as_bytes(), address);
        Ok(probe.recv(&mut [0; 1024]).is_ok().then_some(()))
    })?;
    Ok(Target { process, address, _folder: Some(folder) })
}
