use proptest::prelude::*;

use super::*;

const START: StreamStart = StreamStart { ssrc: 7, sequence: 65530, timestamp: u32::MAX - 100 };
const A: Source = Source { feeder: Feeder::Leg(LegId(1)), generation: 0, rate: 8000 };
const B: Source = Source { feeder: Feeder::Leg(LegId(2)), generation: 0, rate: 8000 };

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A stream that has carried ten packets of A, the last of them just now.
fn carrying_a(start: Instant) -> (Egress, Instant) {
    let mut egress = Egress::new(START);
    for n in 0..10u16 {
        egress.place(start + millis(20) * u32::from(n), A, 500 + n, 16000 + 160 * u32::from(n), false);
    }
    (egress, start + millis(180))
}

#[test]
fn the_first_packet_has_the_start_of_the_stream_and_a_marker() {
    let placed = Egress::new(START).place(Instant::now(), A, 9, 9, false);
    assert_eq!(placed, Some(Place { sequence: START.sequence, timestamp: START.timestamp, first: true }));
}

#[test]
fn a_source_keeps_its_gaps_and_its_order() {
    let now = Instant::now();
    let mut egress = Egress::new(START);
    let sent: Vec<_> = [10u16, 11, 14, 13, 15]
        .into_iter()
        .map(|n| egress.place(now, A, n, u32::from(n) * 160, false).unwrap().sequence.wrapping_sub(START.sequence))
        .collect();
    assert_eq!(sent, [0, 1, 4, 3, 5]);
}

#[test]
fn another_source_continues_at_the_next_number_and_at_the_time_that_passed() {
    let (mut egress, now) = carrying_a(Instant::now());
    let placed = egress.place(now + millis(500), B, 40_000, 5, false).unwrap();
    assert_eq!(placed.sequence, START.sequence.wrapping_add(10));
    assert_eq!(placed.timestamp, START.timestamp.wrapping_add(9 * 160 + 500 * 8));
    assert!(placed.first);
    let next = egress.place(now + millis(520), B, 40_001, 165, false).unwrap();
    assert_eq!(
        (next.sequence, next.timestamp, next.first),
        (placed.sequence.wrapping_add(1), placed.timestamp.wrapping_add(160), false)
    );
}

#[test]
fn a_source_that_takes_over_in_the_same_instant_does_not_overlap_the_sound_already_sent() {
    let (mut egress, now) = carrying_a(Instant::now());
    let placed = egress.place(now, B, 1, 1, false).unwrap();
    assert_eq!(placed.timestamp, START.timestamp.wrapping_add(10 * 160));
}

#[test]
fn a_packet_from_before_the_beginning_of_its_feed_has_no_number_left() {
    let (mut egress, now) = carrying_a(Instant::now());
    assert!(egress.place(now, B, 100, 16000, false).is_some());
    assert_eq!(egress.place(now, B, 99, 15840, false), None);
    assert!(egress.place(now, B, 101, 16160, false).is_some());
}

#[test]
fn after_an_interruption_the_same_source_goes_on_without_a_gap() {
    let (mut egress, now) = carrying_a(Instant::now());
    egress.interrupt();
    let placed = egress.place(now + millis(1000), A, 559, 16000 + 160 * 59, false).unwrap();
    assert_eq!(placed.sequence, START.sequence.wrapping_add(10));
    assert_eq!(placed.timestamp, START.timestamp.wrapping_add(9 * 160 + 8000));
}

#[test]
fn another_clock_rate_goes_on_in_its_own_units() {
    let (mut egress, now) = carrying_a(Instant::now());
    let placed = egress.place(now + millis(20), Source { rate: 48000, ..A }, 510, 77, false).unwrap();
    assert_eq!(placed.timestamp, START.timestamp.wrapping_add(9 * 160 + 960));
    assert!(placed.first);
}

#[test]
fn a_timestamp_set_anew_within_the_same_source_does_not_jump() {
    let (mut egress, now) = carrying_a(Instant::now());
    let back = egress.place(now + millis(20), A, 510, 3, false).unwrap();
    assert_eq!(back.timestamp, START.timestamp.wrapping_add(10 * 160));
    assert_eq!(back.sequence, START.sequence.wrapping_add(10));
    let ahead = egress.place(now + millis(40), A, 511, 1 << 30, false).unwrap();
    assert_eq!(ahead.timestamp, START.timestamp.wrapping_add(11 * 160));
}

#[test]
fn an_event_older_than_the_sound_beside_it_keeps_its_timestamp() {
    let (mut egress, now) = carrying_a(Instant::now());
    let event = egress.place(now, A, 510, 16000 + 5 * 160, true).unwrap();
    assert_eq!((event.timestamp, event.first), (START.timestamp.wrapping_add(5 * 160), false));
    let sound = egress.place(now + millis(20), A, 511, 16000 + 10 * 160, false).unwrap();
    assert_eq!((sound.timestamp, sound.first), (START.timestamp.wrapping_add(10 * 160), false));
}

#[test]
fn a_long_feed_stays_one_feed() {
    let start = Instant::now();
    let mut egress = Egress::new(START);
    for n in 0..200_000u32 {
        let placed = egress.place(start + millis(20) * n, A, n as u16, n * 160, false).unwrap();
        assert_eq!(placed.sequence, START.sequence.wrapping_add(n as u16));
        assert_eq!(placed.first, n == 0);
    }
}

proptest! {
    /// Whoever feeds the stream in whatever order: no number is given to two packets, and a feed begins exactly at the next number.
    #[test]
    fn no_number_is_given_twice(steps in proptest::collection::vec((0u8..3, 0u16..60, any::<u32>(), any::<bool>()), 1..200)) {
        let start = Instant::now();
        let mut egress = Egress::new(START);
        let mut used = std::collections::BTreeSet::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut next = START.sequence;
        for (index, (who, sequence, timestamp, event)) in steps.into_iter().enumerate() {
            let now = start + millis(5) * index as u32;
            match who {
                2 => { egress.interject(now, 8000); next = egress.number().wrapping_add(1); prop_assert!(used.insert(next.wrapping_sub(1))); seen.clear(); }
                _ => {
                    // What comes twice is dropped before it gets here; a new feed has its own numbers.
                    if !seen.insert((who, sequence)) { continue; }
                    let source = if who == 0 { A } else { B };
                    if let Some(placed) = egress.place(now, source, sequence, timestamp, event) {
                        if placed.first {
                            prop_assert_eq!(placed.sequence, next);
                            seen.clear();
                            seen.insert((who, sequence));
                        }
                        prop_assert!(used.insert(placed.sequence));
                        if !before(placed.sequence, next) { next = placed.sequence.wrapping_add(1); }
                    }
                }
            }
        }
    }
}
