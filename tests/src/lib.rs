//! What the scenarios in `tests/tests` share.
//!
//! [`world`] is the switch in virtual time, with telephones and clients of its own; [`template`] is a telephone for it that says what it is told to, [`calls`] are several of
//! those in calls. Real telephones around the real program: [`process`]
//! runs the switch, [`baresip`] and [`linphone`] are the telephones of its [`office`], [`curl`] is a CAS client, [`schema`] checks what it and the clients of the world send and are told, [`wire`] listens to what goes over the wire. Each of these is a
//! child process that ends with its value. [`crowd`] are telephones by the thousand. [`stranger`] sends the program any bytes at all, [`torture`] are those of the RFCs.

pub mod baresip;
pub mod calls;
pub mod crowd;
pub mod curl;
pub mod linphone;
pub mod malformed;
pub mod office;
pub mod process;
pub mod schema;
pub mod stranger;
pub mod template;
pub mod torture;
pub mod wav;
pub mod wire;
pub mod world;
