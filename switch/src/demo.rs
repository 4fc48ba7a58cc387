//! `switch demo`: a whole call shown on one machine, and the telephones it is shown with.

pub mod audio;
pub mod phone;
