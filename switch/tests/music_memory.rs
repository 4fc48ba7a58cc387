//! What reading music takes: of a file of many channels only their mean is kept.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use switch::sounds::wav;

#[path = "../../tests/src/counting.rs"]
mod counting;

const RATE: u32 = 96_000;

/// Two seconds of silence.
fn write(path: &Path, channels: u16) {
    let length = 2 * RATE * u32::from(channels);
    let mut head = Vec::new();
    head.extend_from_slice(b"RIFF");
    head.extend_from_slice(&(36 + length).to_le_bytes());
    head.extend_from_slice(b"WAVEfmt ");
    head.extend_from_slice(&16u32.to_le_bytes());
    head.extend_from_slice([1, channels].map(u16::to_le_bytes).as_flattened());
    head.extend_from_slice([RATE, RATE * u32::from(channels)].map(u32::to_le_bytes).as_flattened());
    head.extend_from_slice([channels, 8].map(u16::to_le_bytes).as_flattened());
    head.extend_from_slice(b"data");
    head.extend_from_slice(&length.to_le_bytes());
    let mut file = File::create(path).expect("a folder of our own");
    file.write_all(&head).expect("there is room");
    file.set_len(head.len() as u64 + u64::from(length)).expect("there is room");
}

#[test]
fn many_channels_take_no_more_memory_than_one() {
    let folder = tempfile::tempdir().expect("there is room");
    let taken = [1, 32].map(|channels| {
        let path = folder.path().join("music.wav");
        write(&path, channels);
        counting::begin();
        let samples = wav::read(&path).expect("it is plain");
        assert_eq!(samples.len(), 32_000);
        counting::most()
    });
    // It has 192 000 frames of two bytes, and the place for them is doubled as it fills.
    assert!(taken[0] < 2_000_000, "{taken:?}");
    assert!(taken[1].abs_diff(taken[0]) < 10_000, "{taken:?}");
}
