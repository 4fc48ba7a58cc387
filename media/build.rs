//! Composes and encodes the music that comes with the switch, and encodes the phrases that it says (`speech/`), with the product's own code, so that the start of
//! a switch takes no time for it.

#![allow(unreachable_pub, reason = "the modules are the library's")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use codec::g711::Law;
use encode::Encoded;

#[allow(dead_code, reason = "the build encodes, and decodes nothing")]
#[path = "src/codec"]
mod codec {
    pub mod g711;
    pub mod g722;
    pub mod opus;
}
#[path = "src/sound/encode.rs"]
mod encode;
#[path = "src/sound/music.rs"]
mod music;
#[path = "src/resample.rs"]
mod resample;

/// Samples a second of the phrases as they lie in the repository.
const SPOKEN: u32 = 8_000;

fn main() {
    for source in ["src/codec", "src/sound", "src/resample.rs", "speech"] {
        println!("cargo::rerun-if-changed={source}");
    }
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where"));
    let mut shipped = String::from("[");
    ship(&folder, "music", &music::compose(), &mut shipped);
    for line in read(Path::new("speech/spoken.txt")).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let spoken = fs::read(format!("speech/{name}.ul")).unwrap_or_else(|error| panic!("the phrase {name}: {error}"));
        let samples: Vec<i16> = spoken.into_iter().map(|byte| Law::Mu.decode(byte)).collect();
        ship(&folder, name, &resample::resample(&samples, SPOKEN, encode::RATE), &mut shipped);
    }
    write(&folder.join("shipped.rs"), (shipped + "]").as_bytes());
}

/// Encodes a sound, and writes where each of it lies.
fn ship(folder: &Path, name: &str, samples: &[i16], shipped: &mut String) {
    let Encoded { pcmu, pcma, g722, opus, ends } = encode::encode(samples).expect("libopus encodes 16 kHz mono");
    let _ = write!(shipped, "Shipped {{ name: {name:?}");
    for (codec, bytes) in [("pcmu", pcmu), ("pcma", pcma), ("g722", g722), ("opus", opus)] {
        let path = folder.join(format!("{name}.{codec}"));
        write(&path, &bytes);
        let _ = write!(shipped, ", {codec}: include_bytes!({path:?})");
    }
    let _ = writeln!(shipped, ", ends: &{ends:?} }},");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
