//! A worker in virtual time, with a network that is a few queues. Telephones write and read RTP with `rtp-rs`, which is not what rewrites it.

mod chaos;
mod digits;
mod guard;
mod life;
mod moves;
mod playing;
mod relay;
mod reports;
mod world;
