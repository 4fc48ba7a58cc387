//! The load of the echo floor: datagrams in the shape of what is to be compared. A call is 7 pairs of datagrams, but not 7 turns: its phones
//! say several things at once, and so does this.

use super::{Bench, Id, Load, Side};

/// A call: INVITE; 100, 180 and 200; ACK and BYE; 200. So many datagrams come at once.
pub const CALL: &[usize] = &[1, 3, 2, 1];
/// REGISTER twice.
pub const REGISTER: &[usize] = &[1, 1];

/// The middle of what the messages of a call measure.
const LENGTH: usize = 600;

/// Exchanges of this shape.
#[derive(Debug)]
pub struct Exchanges {
    shape: &'static [usize],
    /// Of each under way: at which turn it is, and how many datagrams of it are still to come back.
    under_way: Vec<(usize, usize)>,
}

impl Exchanges {
    /// None under way.
    pub fn new(shape: &'static [usize]) -> Exchanges {
        Exchanges { shape, under_way: Vec::new() }
    }

    fn turn(&mut self, bench: &mut Bench<'_>, id: Id, turn: usize) {
        let Some(&count) = self.shape.get(turn) else {
            bench.reached(id);
            return bench.done(id);
        };
        if self.under_way.len() <= id.slot {
            self.under_way.resize(id.slot + 1, (0, 0));
        }
        self.under_way[id.slot] = (turn, count);
        let mut datagram = [b'x'; LENGTH];
        datagram[..8].copy_from_slice(&(id.slot as u64).to_le_bytes());
        datagram[8..12].copy_from_slice(&id.serial.to_le_bytes());
        for _ in 0..count {
            bench.send(if turn.is_multiple_of(2) { Side::Caller } else { Side::Callee }, &datagram);
        }
    }
}

impl Load for Exchanges {
    fn begin(&mut self, bench: &mut Bench<'_>) {
        let id = bench.begin();
        self.turn(bench, id, 0);
    }

    fn receive(&mut self, bench: &mut Bench<'_>, _side: Side, datagram: &[u8]) {
        let (Some(slot), Some(serial)) = (datagram.first_chunk::<8>(), datagram.get(8..12)) else { return };
        let serial = serial.try_into().map_or(0, u32::from_le_bytes);
        let id = Id { slot: u64::from_le_bytes(*slot) as usize, serial };
        if datagram.len() != LENGTH || !bench.is_open(id) {
            return bench.repeated();
        }
        let (turn, left) = &mut self.under_way[id.slot];
        *left -= 1;
        if *left == 0 {
            let next = *turn + 1;
            self.turn(bench, id, next);
        }
    }
}
