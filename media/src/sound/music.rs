//! Music for those who wait: sixteen slow bars that go round without a seam, composed for this switch and nobody else's. Soft chords, a plucked figure
//! above them and a sparse tune, all within what a telephone carries, and quiet.
//!
//! The same samples come out each time; the build script has this file, too.

use std::f64::consts::TAU;

/// Samples a second.
const RATE: f64 = 16_000.0;
/// Seconds of a beat. A bar has four, and is a whole number of packets.
const BEAT: f64 = 0.8;
const BARS: usize = 16;
/// The loudest sample, of 32,767: some 12 dB below full scale.
const PEAK: f64 = 8_000.0;

/// The chords, a bar each, as notes from the bottom (MIDI numbers, 60 is the middle C).
#[rustfmt::skip]
const CHORDS: [[u8; 4]; BARS] = [
    [60, 64, 67, 71], [57, 64, 67, 72], [62, 65, 69, 72], [55, 62, 65, 71],
    [60, 64, 67, 74], [64, 67, 71, 74], [57, 60, 65, 69], [55, 60, 62, 67],
    [65, 69, 72, 76], [64, 67, 71, 74], [62, 65, 69, 72], [60, 64, 67, 71],
    [57, 60, 65, 69], [59, 62, 67, 71], [60, 64, 67, 69], [55, 60, 62, 67],
];
/// The tune: bar, beat, note, beats it lasts.
#[rustfmt::skip]
const TUNE: [(usize, f64, u8, f64); 30] = [
    (0, 1.0, 79, 1.0), (0, 2.0, 76, 2.0), (1, 1.0, 76, 0.5), (1, 1.5, 79, 0.5), (1, 2.0, 81, 2.0),
    (2, 1.0, 77, 1.0), (2, 2.0, 76, 1.0), (2, 3.0, 74, 1.0), (3, 0.0, 71, 3.0),
    (4, 1.0, 79, 1.0), (4, 2.0, 83, 1.5), (4, 3.5, 81, 0.5), (5, 0.0, 79, 2.5), (6, 1.0, 77, 1.0), (6, 2.0, 81, 2.0), (7, 1.0, 79, 3.0),
    (8, 0.0, 84, 1.5), (8, 1.5, 81, 0.5), (8, 2.0, 79, 2.0), (9, 1.0, 83, 1.0), (9, 2.0, 79, 2.0),
    (10, 0.0, 81, 1.0), (10, 1.0, 77, 1.0), (10, 2.0, 74, 2.0), (11, 1.0, 76, 3.0),
    (12, 1.0, 81, 1.0), (12, 2.0, 77, 2.0), (13, 0.0, 79, 2.0), (14, 0.0, 76, 1.0), (14, 1.0, 72, 3.0),
];
/// The order in which a chord is plucked, in halves of a beat; `None` rests.
const FIGURE: [Option<usize>; 8] = [Some(0), None, Some(1), Some(2), Some(3), None, Some(2), Some(1)];

/// An instrument: how strong its overtones are, and how a note of it comes and goes.
struct Voice {
    overtones: &'static [f64],
    /// Seconds until it is there, and in which it dies away to a third.
    attack: f64,
    decay: f64,
    /// Seconds in which it is gone once it is let go.
    release: f64,
    level: f64,
}

const PAD: Voice = Voice { overtones: &[1.0, 0.35, 0.12], attack: 0.5, decay: 12.0, release: 0.9, level: 0.16 };
const PLUCK: Voice = Voice { overtones: &[1.0, 0.25, 0.1, 0.04], attack: 0.008, decay: 0.55, release: 0.5, level: 0.3 };
const BELL: Voice = Voice { overtones: &[1.0, 0.12, 0.06, 0.08], attack: 0.015, decay: 1.1, release: 0.8, level: 0.42 };

/// The whole loop at 16,000 Hz.
pub(crate) fn compose() -> Vec<i16> {
    let mut loop_ = vec![0.0; (BARS as f64 * 4.0 * BEAT * RATE) as usize];
    for (bar, chord) in CHORDS.iter().enumerate() {
        let at = bar as f64 * 4.0;
        for note in chord {
            play(&mut loop_, &PAD, *note, at, 4.0);
        }
        for (n, step) in FIGURE.iter().enumerate() {
            if let Some(step) = step {
                play(&mut loop_, &PLUCK, chord[*step] + 12, at + n as f64 / 2.0, 0.5);
            }
        }
    }
    for (bar, beat, note, beats) in TUNE {
        play(&mut loop_, &BELL, note, bar as f64 * 4.0 + beat, beats);
    }
    let loudest = loop_.iter().fold(0.0f64, |loudest, sample| loudest.max(sample.abs()));
    loop_.into_iter().map(|sample| (sample / loudest * PEAK).round() as i16).collect()
}

/// Adds a note. What lasts longer than the loop goes on at its beginning, so that it has no seam.
fn play(loop_: &mut [f64], voice: &Voice, note: u8, at: f64, beats: f64) {
    let hz = 440.0 * 2f64.powf((f64::from(note) - 69.0) / 12.0);
    let (from, held) = ((at * BEAT * RATE) as usize, beats * BEAT);
    let length = loop_.len();
    for n in 0..((held + voice.release) * RATE) as usize {
        let seconds = n as f64 / RATE;
        let rise = (seconds / voice.attack).min(1.0);
        let fall = 1.0 - ((seconds - held) / voice.release).clamp(0.0, 1.0);
        // Rounded at both ends, so that nothing clicks.
        let loudness = voice.level * smooth(rise) * smooth(fall) * (-seconds / voice.decay).exp();
        let sound = |(n, strength): (usize, &f64)| strength * (TAU * hz * (n as f64 + 1.0) * seconds).sin();
        loop_[(from + n) % length] += loudness * voice.overtones.iter().enumerate().map(sound).sum::<f64>();
    }
}

fn smooth(x: f64) -> f64 {
    x * x * (3.0 - 2.0 * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_loop_of_whole_packets_without_a_seam() {
        let music = compose();
        assert_eq!(music.len() % 320, 0);
        assert_eq!(music.len(), 819_200);
        let steps = || music.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
        let seam = music[0].abs_diff(music[music.len() - 1]);
        assert!(seam <= steps().max().unwrap_or_default(), "{seam}");
    }

    #[test]
    fn it_is_quiet_and_never_silent_for_long() {
        let music = compose();
        assert!(music.iter().all(|sample| sample.unsigned_abs() <= 8_000));
        let loudness = |block: &[i16]| {
            let power: f64 = block.iter().map(|sample| f64::from(*sample).powi(2)).sum();
            (power / block.len() as f64).sqrt()
        };
        let all = loudness(&music);
        assert!((800.0..3_000.0).contains(&all), "{all}");
        assert!(music.chunks(8_000).all(|half_second| loudness(half_second) > 250.0));
    }
}
