//! Sockets to bytes, bytes to sockets. What the bytes mean is the node's affair.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::node::Input;

pub mod tcp;
pub mod udp;

/// Where inputs go: a step of the node.
pub type Sink = Rc<dyn Fn(Input)>;

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
