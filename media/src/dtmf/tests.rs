use proptest::prelude::*;

use super::*;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn payload(event: u8, end: bool, duration: u16) -> [u8; 4] {
    Payload { event, end, duration }.write()
}

/// Hears packets 20 ms apart, each (timestamp, event, end, duration).
fn heard(packets: &[(u32, u8, bool, u16)]) -> Vec<Key> {
    let start = Instant::now();
    let mut listener = Listener::default();
    let mut keys = Vec::new();
    for (index, &(timestamp, event, end, duration)) in packets.iter().enumerate() {
        let now = start + millis(20) * index as u32;
        listener.hear(now, timestamp, &payload(event, end, duration), 8000, &mut |key: Key| keys.push(key));
    }
    listener.expire(start + millis(20) * packets.len() as u32 + CEASED, &mut |key: Key| keys.push(key));
    keys
}

fn key(digit: u8, held: u64) -> Key {
    Key { digit, held: millis(held) }
}

#[test]
fn a_key_is_heard_once_though_its_end_comes_three_times() {
    let packets = [(5, 3, false, 160), (5, 3, false, 320), (5, 3, true, 800), (5, 3, true, 800), (5, 3, true, 800)];
    assert_eq!(heard(&packets), [key(3, 100)]);
}

#[test]
fn a_key_whose_packets_cease_is_heard_by_time() {
    assert_eq!(heard(&[(5, 11, false, 160), (5, 11, false, 320)]), [key(11, 40)]);
}

#[test]
fn a_key_whose_end_was_lost_is_heard_when_the_next_begins() {
    let packets = [(5, 1, false, 800), (1285, 1, false, 160), (1285, 1, true, 800)];
    assert_eq!(heard(&packets), [key(1, 100), key(1, 100)]);
}

#[test]
fn a_key_of_which_only_the_end_came_is_heard() {
    assert_eq!(heard(&[(5, 15, true, 800)]), [key(15, 100)]);
}

#[test]
fn late_packets_of_a_key_that_is_over_are_no_new_key() {
    let packets =
        [(5, 1, true, 800), (5, 1, false, 640), (1285, 2, true, 800), (5, 1, false, 160), (1285, 2, false, 640)];
    assert_eq!(heard(&packets), [key(1, 100), key(2, 100)]);
}

#[test]
fn a_very_long_key_is_one_key_in_segments_rfc_4733_2_5_1_3() {
    let packets = [(5, 9, false, 65535), (65540, 9, false, 800), (65540, 9, true, 16000)];
    let keys = heard(&packets);
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].held.as_millis(), (65535 + 16000) / 8);
}

#[test]
fn events_that_are_no_digits_are_not_told() {
    assert_eq!(heard(&[(5, 16, false, 160), (5, 16, true, 800), (9000, 255, true, 1)]), []);
}

#[test]
fn another_source_ends_the_key_that_was_down() {
    let mut listener = Listener::default();
    let mut keys = Vec::new();
    listener.hear(Instant::now(), 90_000, &payload(4, false, 400), 8000, &mut |key: Key| keys.push(key));
    listener.restart(&mut |key: Key| keys.push(key));
    listener.hear(Instant::now(), 5, &payload(4, true, 400), 8000, &mut |key: Key| keys.push(key));
    assert_eq!(keys, [key(4, 50), key(4, 50)]);
}

/// Turns every 5 ms and returns when each packet went out.
fn pressed(digits: &[u8]) -> Vec<(u64, Step)> {
    let start = Instant::now();
    let mut generator = Generator::new();
    assert_eq!(generator.push(digits), 0);
    (0..10_000)
        .step_by(5)
        .filter_map(|at| Some((at, generator.step(start + millis(at), 8000, || at as u32 * 8)?)))
        .collect()
}

#[test]
fn a_digit_is_five_updates_and_three_ends_of_the_same_duration() {
    let sent: Vec<_> =
        pressed(&[7]).into_iter().map(|(at, step)| (at, step.first, Payload::read(&step.payload).unwrap())).collect();
    let expected: Vec<_> = [160, 320, 480, 640, 800, 800, 800, 800]
        .into_iter()
        .enumerate()
        .map(|(n, duration)| (n as u64 * 20, n == 0, Payload { event: 7, end: n >= 5, duration }))
        .collect();
    assert_eq!(sent, expected);
}

#[test]
fn the_next_digit_begins_sixty_milliseconds_after_the_tone() {
    let begins: Vec<_> = pressed(&[1, 2, 3]).into_iter().filter(|(_, step)| step.first).map(|(at, _)| at).collect();
    assert_eq!(begins, [0, 160, 320]);
}

#[test]
fn sixty_four_digits_wait_and_no_more() {
    let mut generator = Generator::new();
    assert_eq!(generator.push(&[1; 65]), 1);
    assert_eq!(generator.push(&[16]), 1);
    assert_eq!(generator.clear(), 64);
    assert!(!generator.busy());
}

proptest! {
    /// What we press is heard, whatever of it the network loses, as long as one packet of each digit comes.
    #[test]
    fn what_is_pressed_is_heard(digits in proptest::collection::vec(0u8..16, 1..20), kept in proptest::collection::vec(any::<u8>(), 20), mask in any::<u64>()) {
        let start = Instant::now();
        let mut listener = Listener::default();
        let mut keys = Vec::new();
        for (n, (at, step)) in pressed(&digits).into_iter().enumerate() {
            if n % 8 == usize::from(kept[n / 8] % 8) || mask >> (n % 64) & 1 == 1 {
                listener.hear(start + millis(at), step.timestamp, &step.payload, 8000, &mut |key: Key| keys.push(key.digit));
            }
            listener.expire(start + millis(at), &mut |key: Key| keys.push(key.digit));
        }
        listener.expire(start + millis(100_000), &mut |key: Key| keys.push(key.digit));
        prop_assert_eq!(keys, digits);
    }

    #[test]
    fn no_bytes_panic(packets in proptest::collection::vec((any::<u32>(), proptest::collection::vec(any::<u8>(), 0..8)), 0..50)) {
        let mut listener = Listener::default();
        for (timestamp, payload) in packets {
            listener.hear(Instant::now(), timestamp, &payload, 0, &mut |_| ());
        }
    }
}
