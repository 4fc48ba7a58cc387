//! The phrases that the switch says: what lies in the repository is what `phrases.txt` asks for, and all of it was built in.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use media::{Codec, Sound};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/speech"))
}

fn lines(file: &str) -> Vec<String> {
    fs::read_to_string(folder().join(file)).unwrap().lines().map(str::to_owned).collect()
}

/// Where this fails, `speak.sh` is to be run.
#[test]
fn what_is_spoken_is_what_is_written() {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let written: Vec<Vec<String>> = lines("phrases.txt").iter().map(|line| words(line)).collect();
    let mut spoken: Vec<Vec<String>> = lines("spoken.txt").iter().map(|line| words(line)).collect();
    let mut files = BTreeSet::new();
    for phrase in &mut spoken {
        let length: u64 = phrase.remove(1).parse().unwrap();
        let file = format!("{}.ul", phrase[0]);
        assert_eq!(fs::metadata(folder().join(&file)).unwrap().len(), length, "{file}");
        files.insert(file);
    }
    assert_eq!(spoken, written);
    let there = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(there.filter(|name| name.ends_with(".ul")).collect::<BTreeSet<_>>(), files);
}

#[test]
fn every_phrase_is_built_in_and_is_some_hundred_milliseconds_to_three_seconds_of_sound() {
    for line in lines("phrases.txt") {
        let name = line.split_whitespace().next().unwrap();
        let phrase = Sound::phrase(name).unwrap();
        assert!((15..=150).contains(&phrase.packets()), "{name}: {} packets", phrase.packets());
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus] {
            let payloads = (0..phrase.packets()).filter_map(|packet| phrase.payload(codec, packet));
            assert!(payloads.collect::<BTreeSet<_>>().len() > 10, "{name} in {codec:?}");
        }
    }
    assert_eq!(Sound::phrase("music"), None);
}
