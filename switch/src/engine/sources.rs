//! Where things come from. A source is an address, or an IPv6 /64. The switch knows those that a gateway has, or a registered phone: what strangers may
//! take of a total stops short of it ([`for_strangers`]), so that they lock out nobody who is known.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use cas::attempts::network;
use cas::site::DeviceId;

/// What of a total those may take that the switch does not know.
pub(crate) const fn for_strangers(total: usize) -> usize {
    total - total / 4
}

/// Where devices are.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The source of each of a device's bindings.
    devices: BTreeMap<DeviceId, Vec<IpAddr>>,
    /// Bindings of each source.
    bound: BTreeMap<IpAddr, usize>,
    bindings: usize,
    /// Gateways, by device, and how many are at an address.
    gateways: BTreeMap<DeviceId, SocketAddr>,
    gateways_at: BTreeMap<IpAddr, usize>,
}

impl Sources {
    /// A device's bindings came from these addresses, and no others.
    pub(crate) fn bound(&mut self, device: DeviceId, addresses: impl Iterator<Item = IpAddr>) {
        let now: Vec<IpAddr> = addresses.map(network).collect();
        if self.devices.get(&device).is_some_and(|before| *before == now) {
            return;
        }
        self.bindings += now.len();
        for source in &now {
            *self.bound.entry(*source).or_default() += 1;
        }
        let before = if now.is_empty() { self.devices.remove(&device) } else { self.devices.insert(device, now) };
        for source in before.unwrap_or_default() {
            self.bindings -= 1;
            leave(&mut self.bound, source);
        }
    }

    /// A device is a gateway at this address, or is none; yields where it was one before.
    pub(crate) fn gateway(&mut self, device: DeviceId, peer: Option<SocketAddr>) -> Option<SocketAddr> {
        if let Some(peer) = peer {
            *self.gateways_at.entry(peer.ip().to_canonical()).or_default() += 1;
        }
        let before = match peer {
            Some(peer) => self.gateways.insert(device, peer),
            None => self.gateways.remove(&device),
        };
        if let Some(before) = before {
            leave(&mut self.gateways_at, before.ip().to_canonical());
        }
        before
    }

    /// Whether a gateway is at this address.
    pub(crate) fn is_gateway(&self, address: IpAddr) -> bool {
        self.gateways_at.contains_key(&address.to_canonical())
    }

    /// Whether a gateway is at this address, or a phone is registered from its source.
    pub(crate) fn knows(&self, address: IpAddr) -> bool {
        self.is_gateway(address) || self.bound.contains_key(&network(address))
    }

    /// Bindings in all.
    pub(crate) fn bindings(&self) -> usize {
        self.bindings
    }

    /// Bindings from the source of this address.
    pub(crate) fn bindings_from(&self, address: IpAddr) -> usize {
        self.bound.get(&network(address)).copied().unwrap_or_default()
    }

    /// Whether this device is registered from the source of this address.
    pub(crate) fn has(&self, device: DeviceId, address: IpAddr) -> bool {
        self.devices.get(&device).is_some_and(|sources| sources.contains(&network(address)))
    }
}

fn leave(counts: &mut BTreeMap<IpAddr, usize>, key: IpAddr) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_is_known_as_long_as_a_phone_is_registered_from_it() {
        let (mut sources, phone) = (Sources::default(), DeviceId(1));
        sources.bound(phone, [ip("2001:db8::1"), ip("192.0.2.1")].into_iter());
        assert!(sources.knows(ip("2001:db8::99")) && sources.knows(ip("192.0.2.1")) && !sources.knows(ip("192.0.2.2")));
        assert_eq!((sources.bindings(), sources.bindings_from(ip("2001:db8::5"))), (2, 1));
        sources.bound(phone, [ip("192.0.2.2"), ip("192.0.2.2")].into_iter());
        assert!(!sources.knows(ip("192.0.2.1")) && sources.has(phone, ip("192.0.2.2")));
        assert_eq!((sources.bindings(), sources.bindings_from(ip("192.0.2.2"))), (2, 2));
        sources.bound(phone, std::iter::empty());
        assert!(!sources.knows(ip("192.0.2.2")));
        assert_eq!((sources.bindings(), sources.bound.len(), sources.devices.len()), (0, 0, 0));
    }

    #[test]
    fn a_gateway_is_known_by_its_very_address() {
        let (mut sources, gateway) = (Sources::default(), DeviceId(1));
        assert_eq!(sources.gateway(gateway, Some("[2001:db8::1]:5060".parse().unwrap())), None);
        assert!(sources.knows(ip("2001:db8::1")) && !sources.knows(ip("2001:db8::2")));
        let moved = sources.gateway(gateway, Some("192.0.2.9:5060".parse().unwrap()));
        assert_eq!(moved, Some("[2001:db8::1]:5060".parse().unwrap()));
        assert!(!sources.knows(ip("2001:db8::1")) && sources.knows(ip("::ffff:192.0.2.9")));
        sources.gateway(gateway, None);
        assert!(!sources.knows(ip("192.0.2.9")) && sources.gateways_at.is_empty());
    }
}
