use std::path::Path;

use clap::CommandFactory;

use super::*;

fn parsed(line: &str) -> Cli {
    Cli::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn config_goes_before_and_after_the_command() {
    let lines = ["switch --config a.toml status", "switch status --config a.toml", "switch --config=a.toml"];
    for line in lines.into_iter().chain(["switch user list --config a.toml", "switch run --config a.toml"]) {
        assert_eq!(parsed(line).config.as_deref(), Some(Path::new("a.toml")), "{line}");
    }
    assert_eq!(parsed("switch").config, None);
}

#[test]
fn nothing_said_is_no_command() {
    assert!(parsed("switch").command.is_none());
    assert!(matches!(parsed("switch run").command, Some(Command::Run)));
    assert!(matches!(parsed("switch demo --json").command, Some(Command::Demo { json: true })));
}

#[test]
fn what_cannot_be_is_a_usage_error() {
    let lines = [
        "switch fly",
        "switch user add 501",
        "switch user add 501 --name V --role king",
        "switch user add 501 --name V --digest sha1",
        "switch user add 501 --name V --address 192.0.2.1",
        "switch user add 501 --name V --address 192.0.2.1:5060 --sip-secret x",
        "switch user add 501 --name V --address 192.0.2.1:5060 --digest md5",
        "switch user remove",
        "switch user group 501",
        "switch user group 501 sales --none",
        "switch config check",
        "switch handling",
        "switch handling 501 asleep",
    ];
    for line in lines {
        let error = Cli::try_parse_from(line.split_whitespace()).err().unwrap_or_else(|| panic!("{line}"));
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn without_a_file_every_setting_has_its_default() {
    assert_eq!(parsed("switch").config().unwrap(), Config::default());
    let error = parsed("switch --config /nowhere/x.toml").config().unwrap_err();
    assert!(error.to_string().contains("/nowhere/x.toml"), "{error}");
}
