//! The tones that tell a caller what becomes of his call, as his country has them (ITU-T E.180 and its supplement 2, ETSI TR 101 041-2).

use super::Sine;
use crate::sound::RATE;

/// What a tone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// The other phone rings.
    Ringback,
    /// It is in use.
    Busy,
    /// The call cannot be put through.
    Congestion,
    /// Another call waits.
    CallWaiting,
}

impl Tone {
    /// All of them.
    pub const ALL: [Tone; 4] = [Tone::Ringback, Tone::Busy, Tone::Congestion, Tone::CallWaiting];
}

/// The tones of a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    name: &'static str,
    ringback: Cadence,
    busy: Cadence,
    congestion: Cadence,
    call_waiting: Cadence,
}

/// Frequencies in Hz that sound together, and for how many milliseconds they do and do not, in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cadence {
    hz: &'static [u32],
    millis: &'static [u32],
}

const fn cadence(hz: &'static [u32], millis: &'static [u32]) -> Cadence {
    Cadence { hz, millis }
}

const fn zone(
    name: &'static str,
    ringback: Cadence,
    busy: Cadence,
    congestion: Cadence,
    call_waiting: Cadence,
) -> Zone {
    Zone { name, ringback, busy, congestion, call_waiting }
}

/// 425 Hz, which most of the world has.
const fn plain(millis: &'static [u32]) -> Cadence {
    cadence(&[425], millis)
}

const DOUBLE_RING: &[u32] = &[400, 200, 400, 2000];

/// Every zone, by the two letters of ISO 3166; `eu` is what ETSI recommends where a country has nothing of its own.
#[rustfmt::skip]
const ZONES: [Zone; 24] = [
    zone("at", cadence(&[420], &[1000, 5000]), cadence(&[420], &[400, 400]), cadence(&[420], &[200, 200]), cadence(&[420], &[40, 1950])),
    zone("au", cadence(&[413, 438], DOUBLE_RING), plain(&[375, 375]), plain(&[375, 375]), plain(&[200, 200, 200, 4400])),
    zone("be", plain(&[1000, 3000]), plain(&[500, 500]), plain(&[167, 167]), cadence(&[1400], &[175, 175, 175, 3500])),
    zone("ca", cadence(&[440, 480], &[2000, 4000]), cadence(&[480, 620], &[500, 500]), cadence(&[480, 620], &[250, 250]), cadence(&[440], &[300, 10_000])),
    zone("ch", plain(&[1000, 4000]), plain(&[500, 500]), plain(&[200, 200]), plain(&[200, 200, 200, 4000])),
    zone("cz", plain(&[1000, 4000]), plain(&[330, 330]), plain(&[165, 165]), plain(&[330, 9000])),
    zone("de", plain(&[1000, 4000]), plain(&[480, 480]), plain(&[240, 240]), plain(&[200, 200, 200, 5000])),
    zone("dk", plain(&[1000, 4000]), plain(&[500, 500]), plain(&[200, 200]), plain(&[200, 600, 200, 3000])),
    zone("es", plain(&[1500, 3000]), plain(&[200, 200]), plain(&[200, 200, 200, 200, 200, 600]), plain(&[175, 175, 175, 3500])),
    zone("eu", plain(&[1000, 4000]), plain(&[500, 500]), plain(&[200, 200]), plain(&[200, 600, 200, 3000])),
    zone("fi", plain(&[1000, 4000]), plain(&[300, 300]), plain(&[200, 200]), plain(&[150, 150, 150, 8000])),
    zone("fr", cadence(&[440], &[1500, 3500]), cadence(&[440], &[500, 500]), cadence(&[440], &[250, 250]), cadence(&[440], &[300, 10_000])),
    zone("gb", cadence(&[400, 450], DOUBLE_RING), cadence(&[400], &[375, 375]), cadence(&[400], &[400, 350, 225, 525]), cadence(&[400], &[100, 4000])),
    zone("gr", plain(&[1000, 4000]), plain(&[300, 300]), plain(&[200, 200]), plain(&[150, 150, 150, 8000])),
    zone("hu", plain(&[1250, 3750]), plain(&[300, 300]), plain(&[300, 300]), plain(&[40, 1960])),
    zone("it", plain(&[1000, 4000]), plain(&[500, 500]), plain(&[200, 200]), plain(&[400, 100, 250, 100, 150, 14_000])),
    zone("jp", cadence(&[385, 415], &[1000, 2000]), cadence(&[400], &[500, 500]), cadence(&[400], &[500, 500]), cadence(&[385, 415], &[500, 8000])),
    zone("nl", plain(&[1000, 4000]), plain(&[500, 500]), plain(&[250, 250]), plain(&[500, 9500])),
    zone("no", plain(&[1000, 4000]), plain(&[500, 500]), plain(&[200, 200]), plain(&[200, 600, 200, 10_000])),
    zone("nz", cadence(&[400, 450], DOUBLE_RING), cadence(&[400], &[500, 500]), cadence(&[400], &[250, 250]), cadence(&[400], &[200, 3000])),
    zone("pl", plain(&[1000, 4000]), plain(&[500, 500]), plain(&[500, 500]), plain(&[150, 150, 150, 4000])),
    zone("pt", plain(&[1000, 5000]), plain(&[500, 500]), plain(&[200, 200]), cadence(&[440], &[300, 10_000])),
    zone("se", plain(&[1000, 5000]), plain(&[250, 250]), plain(&[250, 750]), plain(&[200, 500, 200, 9100])),
    zone("us", cadence(&[440, 480], &[2000, 4000]), cadence(&[480, 620], &[500, 500]), cadence(&[480, 620], &[250, 250]), cadence(&[440], &[300, 10_000])),
];

/// The loudest sample of a tone: −13 dBm0, within what E.180 §4 allows.
const PEAK: i32 = 5_190;
/// Milliseconds in which it comes and goes, so that nothing clicks.
const EDGE: u32 = 5;

impl Zone {
    /// A zone by its two letters, lower case.
    pub fn of(name: &str) -> Option<Zone> {
        ZONES.into_iter().find(|zone| zone.name == name)
    }

    /// The names there are.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ZONES.iter().map(|zone| zone.name)
    }

    /// Its two letters.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// One round of a tone at [`RATE`]: repeated, it is the tone.
    pub fn samples(self, tone: Tone) -> Vec<i16> {
        let Cadence { hz, millis } = match tone {
            Tone::Ringback => self.ringback,
            Tone::Busy => self.busy,
            Tone::Congestion => self.congestion,
            Tone::CallWaiting => self.call_waiting,
        };
        let count = |millis: u32| (millis * (RATE / 1000)) as usize;
        let mut samples = Vec::new();
        for (n, millis) in millis.iter().enumerate() {
            if n % 2 == 1 {
                samples.resize(samples.len() + count(*millis), 0);
                continue;
            }
            let mut sines: Vec<Sine> = hz.iter().map(|hz| Sine::new(*hz, RATE)).collect();
            let (length, edge) = (count(*millis), count(EDGE) as i32);
            samples.extend((0..length).map(|at| {
                let sum: i32 = sines.iter_mut().map(|sine| i32::from(sine.next_sample())).sum();
                // A sine has a quarter of full scale.
                let level = sum / hz.len() as i32 * PEAK / i32::from(i16::MAX / 4);
                let from_edge = (at.min(length - at) as i32).min(edge);
                (level * from_edge / edge) as i16
            }));
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tone::dominant;

    #[test]
    fn every_zone_has_every_tone_with_sound_and_silence_in_turn() {
        for zone in ZONES {
            for tone in Tone::ALL {
                let samples = zone.samples(tone);
                assert!(!samples.is_empty() && samples.len() < 16 * RATE as usize, "{} {tone:?}", zone.name);
                let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or_default();
                assert!((3_500..=5_200).contains(&loudest), "{} {tone:?}: {loudest}", zone.name);
                assert!(samples.ends_with(&[0; 160]), "{} {tone:?}", zone.name);
            }
        }
    }

    #[test]
    fn the_table_is_in_order_and_each_name_is_there_once() {
        let names: Vec<_> = Zone::names().collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert_eq!(Zone::of("gb").map(Zone::name), Some("gb"));
        assert_eq!(Zone::of("zz"), None);
    }

    #[test]
    fn ringback_is_the_country_s() {
        let heard = |name, from: usize, to: usize| {
            let samples = Zone::of(name).unwrap().samples(Tone::Ringback);
            dominant(&samples[from * 16..to * 16], RATE)
        };
        assert!(heard("de", 100, 900).is_some_and(|hz| hz.abs_diff(425) <= 5));
        assert_eq!(heard("de", 1100, 4900), None);
        assert!(heard("fr", 100, 1400).is_some_and(|hz| hz.abs_diff(440) <= 5));
    }
}
