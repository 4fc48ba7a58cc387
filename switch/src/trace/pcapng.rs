//! The file format (draft-ietf-opsawg-pcapng): a section, one interface that carries bare IP packets, and a block for each packet.

use std::io::{self, Write};

/// Bare IPv4 and IPv6 packets (LINKTYPE_RAW).
const RAW_IP: u16 = 101;
/// Of a packet's block, all but the packet: type, lengths, interface, time, one option and its end.
const BLOCK: usize = 44;

/// A file being written.
pub(super) struct Pcapng<W> {
    out: W,
    written: u64,
}

/// How much of the file a packet takes.
pub(super) fn size(packet: usize) -> u64 {
    (BLOCK + packet.next_multiple_of(4)) as u64
}

impl<W: Write> Pcapng<W> {
    pub(super) fn new(out: W) -> io::Result<Pcapng<W>> {
        let mut file = Pcapng { out, written: 0 };
        // Section header: byte order, version 1.0, length not told.
        let mut section = Vec::new();
        section.extend(0x1a2b_3c4d_u32.to_le_bytes());
        section.extend([1, 0, 0, 0]);
        section.extend(u64::MAX.to_le_bytes());
        file.block(0x0a0d_0d0a, &[&section])?;
        // Interface: packets of any length; times in microseconds, which is what is meant where nothing is said.
        let mut interface = Vec::new();
        interface.extend(RAW_IP.to_le_bytes());
        interface.extend([0; 6]);
        file.block(1, &[&interface])?;
        Ok(file)
    }

    /// What the file has so far, in bytes.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// A packet, or the first bytes of one of this length.
    pub(super) fn packet(&mut self, at_usec: u64, incoming: bool, length: usize, bytes: &[u8]) -> io::Result<()> {
        let mut head = Vec::with_capacity(20);
        head.extend(0_u32.to_le_bytes());
        head.extend(((at_usec >> 32) as u32).to_le_bytes());
        head.extend((at_usec as u32).to_le_bytes());
        head.extend((bytes.len() as u32).to_le_bytes());
        head.extend((length as u32).to_le_bytes());
        let padding = [0; 3];
        let padding = &padding[..bytes.len().next_multiple_of(4) - bytes.len()];
        // epb_flags: which way it went.
        let direction = if incoming { 1 } else { 2 };
        let options = [2, 0, 4, 0, direction, 0, 0, 0, 0, 0, 0, 0];
        self.block(6, &[&head, bytes, padding, &options])
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn block(&mut self, kind: u32, parts: &[&[u8]]) -> io::Result<()> {
        let length = 12 + parts.iter().map(|part| part.len()).sum::<usize>();
        let told = (length as u32).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&told)?;
        parts.iter().try_for_each(|part| self.out.write_all(part))?;
        self.out.write_all(&told)?;
        self.written += length as u64;
        Ok(())
    }
}
