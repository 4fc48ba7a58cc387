//! What holds for bytes nobody has thought of: fuzz targets, and a second opinion on what both understand.

mod differential;
mod fuzz;
