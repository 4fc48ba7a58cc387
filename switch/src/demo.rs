//! `switch demo`: a whole call shown on one machine, and the telephones it is shown with.

pub mod audio;
pub mod phone;

/// `switch demo [--json]`.
pub fn run(_json: bool) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
