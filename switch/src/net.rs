//! Sockets to bytes, bytes to sockets. What the bytes mean is the node's affair.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use nix::errno::Errno;
use tracing::info;

use crate::node::Input;

mod behind;
pub mod tcp;
pub mod udp;

pub use behind::Gauge;

/// Where inputs go: a step of the node.
pub type Sink = Rc<dyn Fn(Input)>;

fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// Whether an address is the IPv6 wildcard on a machine without IPv6: it stands in every default configuration, and means nothing there.
fn is_wildcard_without_family(address: SocketAddr, error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    address.is_ipv6()
        && address.ip().is_unspecified()
        && matches!(code, Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL))
}

/// Binds every address by `bind`, which fails with the system's error.
fn bind_all<T>(
    setting: &'static str,
    addresses: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<Vec<T>, BindError> {
    let mut bound = Vec::new();
    for &address in addresses {
        match bind(address) {
            Ok(socket) => bound.push(socket),
            Err(error) if is_wildcard_without_family(address, &error) => {
                info!(setting, %address, "this machine has no IPv6");
            }
            Err(source) => return Err(BindError { setting, address, source }),
        }
    }
    Ok(bound)
}

/// An address that could not be taken.
#[derive(Debug)]
pub struct BindError {
    /// The setting that names it: `[sip] udp`.
    pub setting: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BindError { setting, address, source } = self;
        match source.kind() {
            io::ErrorKind::AddrInUse => {
                write!(f, "{setting}: {address} is taken by another program; stop that program or set another port")
            }
            io::ErrorKind::PermissionDenied => {
                write!(f, "{setting}: {address} needs privileges; set a port above 1023 or grant CAP_NET_BIND_SERVICE")
            }
            io::ErrorKind::AddrNotAvailable => {
                write!(
                    f,
                    "{setting}: {address} is no address of this machine; set one that `ip address` shows, or 0.0.0.0"
                )
            }
            _ => write!(f, "{setting}: {address} cannot be used ({source}); set another address"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_ipv6(_: SocketAddr) -> io::Result<()> {
        Err(Errno::EAFNOSUPPORT.into())
    }

    #[test]
    fn the_default_addresses_are_fine_on_a_machine_without_ipv6() {
        let bound = bind_all("[sip] udp", &["[::]:5060".parse().unwrap()], without_ipv6);
        assert!(bound.is_ok_and(|sockets| sockets.is_empty()));
    }

    #[test]
    fn an_ipv6_address_that_somebody_wrote_is_not() {
        let error = bind_all("[sip] udp", &["[2001:db8::1]:5060".parse().unwrap()], without_ipv6).unwrap_err();
        assert!(error.to_string().starts_with("[sip] udp: [2001:db8::1]:5060 "), "{error}");
    }
}
