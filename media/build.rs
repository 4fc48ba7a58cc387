//! Composes and encodes the music that comes with the switch, with the product's own code: the repository has no sound in it, and the start of a switch
//! takes no time for it.

#![allow(unreachable_pub, reason = "the modules are the library's")]

use std::path::PathBuf;
use std::{env, fs};

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

fn main() {
    for source in ["codec", "sound", "resample.rs"] {
        println!("cargo::rerun-if-changed=src/{source}");
    }
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where"));
    let sound = encode::encode(&music::compose()).expect("libopus encodes 16 kHz mono");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    };
    write("music.pcmu", &sound.pcmu);
    write("music.pcma", &sound.pcma);
    write("music.g722", &sound.g722);
    write("music.opus", &sound.opus);
    write("music.ends", format!("{:?}", sound.ends).as_bytes());
}
