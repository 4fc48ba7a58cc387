use super::*;

fn error(text: &str) -> String {
    Config::parse("switch.toml", text).unwrap_err().to_string()
}

/// The file of the README, as people copy it.
const README: &str = r#"
data = "data"                                # folder of the store, the recordings, the control socket
[sip]
udp = ["0.0.0.0:5060", "[::]:5060"]
tcp = ["0.0.0.0:5060", "[::]:5060"]
domain = "switch.local"                      # plus any address it listens on
digest = "md5"                               # md5, sha256 or both, the default of devices
[media]
address = "auto"                             # what is written into SDP
ports = "20000-29999"
[cas]
listen = ["127.0.0.1:8080"]
[log]
level = "info"
"#;

#[test]
fn the_example_is_the_default_and_has_a_comment_for_each_setting() {
    let example = example();
    assert_eq!(Config::parse("example", &example).unwrap(), Config::default());
    assert_eq!(Config::parse("README", README).unwrap(), Config::default());
    let settings = example.lines().filter(|line| line.contains(" = "));
    assert!(settings.clone().all(|line| line.split_once(" # ").is_some_and(|(_, about)| !about.is_empty())));
    assert_eq!(settings.count(), SETTINGS.len());
}

#[test]
fn the_defaults() {
    let config = Config::default();
    assert_eq!(config.data, Path::new("data"));
    assert_eq!(config.sip.udp, ["0.0.0.0:5060".parse().unwrap(), "[::]:5060".parse().unwrap()]);
    assert_eq!((config.sip.domain.as_str(), config.sip.digest), ("switch.local", DigestPolicy::Md5));
    assert_eq!((config.media.address, config.media.ports), (None, 20000..=29999));
    assert_eq!(config.media.threads.get(), 1);
    assert_eq!(config.cas.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.log.level, "info");
}

#[test]
fn what_is_left_out_keeps_its_default() {
    let config = Config::parse("switch.toml", "sip.digest = \"both\"\n[media]\naddress = \"2001:db8::1\"").unwrap();
    let mut expected = Config::default();
    expected.sip.digest = DigestPolicy::Both;
    expected.media.address = Some("2001:db8::1".parse().unwrap());
    assert_eq!(config, expected);
}

#[test]
fn a_wrong_value_is_told_with_its_line_and_what_would_be_right() {
    let cases = [
        ("\n[sip]\n\ndigest = \"sha1\"", r#"switch.toml:4: digest = "sha1": expected md5, sha256 or both"#),
        ("[sip]\ndigest = 5", "switch.toml:2: digest = 5: expected md5, sha256 or both"),
        ("data = \"\"", r#"switch.toml:1: data = "": expected the path of a folder"#),
        ("[log]\nlevel = \"loud\"", r#"switch.toml:2: level = "loud": expected error, warn, info, debug or trace"#),
        (
            "[sip]\nudp = [\n  \"0.0.0.0:5060\",\n  \"0.0.0.0\",\n]",
            r#"switch.toml:4: udp = "0.0.0.0": expected an address with a port, such as "0.0.0.0:5060" or "[::]:5060""#,
        ),
        (
            "[sip]\nudp = \"0.0.0.0:5060\"",
            r#"switch.toml:2: udp = "0.0.0.0:5060": expected a list of addresses with ports, such as ["0.0.0.0:5060"]"#,
        ),
        (
            "[cas]\nlisten = [\"[::1]:80\", \"[::1]:80\"]",
            r#"switch.toml:2: listen = "[::1]:80": expected each address once"#,
        ),
        (
            "[media]\naddress = \"0.0.0.0\"",
            r#"switch.toml:2: address = "0.0.0.0": expected "auto" or the address phones send their audio to, such as "192.0.2.1""#,
        ),
        (
            "[sip]\nudp = []\ntcp = []",
            "switch.toml:2: udp = []: expected an address here or at tcp: no phone could reach the switch",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn port_ranges_are_whole_pairs_beside_sip() {
    for bad in ["20001-29999", "20000-30000", "30000-20001", "20000", "1000-2001", "20000-70001", "-", "20000-20000"] {
        let error = error(&format!("[media]\nports = \"{bad}\""));
        assert!(
            error.starts_with(&format!("switch.toml:2: ports = \"{bad}\": expected an even port, a dash")),
            "{error}"
        );
    }
    assert_eq!(
        error("[media]\nports = \"5000-5999\""),
        r#"switch.toml:2: ports = "5000-5999": expected a range without 5060, where SIP listens over UDP"#
    );
    for bad in ["0", "-1", "33", "1.5", "\"two\""] {
        let error = error(&format!("[media]\nthreads = {bad}"));
        assert_eq!(error, format!("switch.toml:2: threads = {bad}: expected a number from 1 to 32"));
    }
    assert_eq!(Config::parse("switch.toml", "[media]\nthreads = 32").unwrap().media.threads.get(), 32);
    let apart = "[sip]\nudp = [\"127.0.0.1:6060\"]\n[media]\nports = \"5000-5999\"";
    assert_eq!(Config::parse("switch.toml", apart).unwrap().media.ports, 5000..=5999);
}

#[test]
fn an_overlap_with_the_default_ports_is_told_where_the_file_has_its_part() {
    assert_eq!(
        error("[sip]\nudp = [\"127.0.0.1:20060\"]"),
        r#"switch.toml:2: udp = ["127.0.0.1:20060"]: expected no port of 20000-29999, which are the media's unless it sets others"#
    );
}

#[test]
fn domains() {
    for good in ["switch.local", "PBX", "10.0.0.1", "a-b.example"] {
        let config = Config::parse("switch.toml", &format!("sip.domain = \"{good}\"")).unwrap();
        assert_eq!(config.sip.domain, good.to_ascii_lowercase());
    }
    for bad in ["", ".", "a..b", "sip:a", "a b", "ä.example", &"a.".repeat(200)] {
        let error = error(&format!("sip.domain = \"{bad}\""));
        assert!(error.contains("expected a host name"), "{error}");
    }
}

#[test]
fn codes_and_orbits_are_numbers_and_no_two_codes_alike() {
    let cases = [
        (
            "[park]\norbits = \"719-700\"",
            r#"switch.toml:2: orbits = "719-700": expected two numbers of one length and a dash, 1000 orbits at most, such as "700-719""#,
        ),
        (
            "[sound]\nhold-reminder = -1",
            "switch.toml:2: hold-reminder = -1: expected a number of seconds from 0 to 3600",
        ),
        (
            "[sound]\nannouncements = true",
            "switch.toml:2: announcements = true: expected nobody, connected or everybody",
        ),
        ("[park]\nrecall = 3601", "switch.toml:2: recall = 3601: expected a number of seconds from 0 to 3600"),
        (
            "[codes]\npark = \"*6 8\"",
            r##"switch.toml:2: park = "*6 8": expected * or # and then digits, * and #, such as "*68", or "" for none"##,
        ),
        ("[calls]\ncall-back = 0", "switch.toml:2: call-back = 0: expected a number of minutes from 1 to 1440"),
        ("[calls]\nwaiting = -1", "switch.toml:2: waiting = -1: expected a number from 0 to 1000000"),
        ("[codes]\npark = \"*88\"", r#"switch.toml:2: park = "*88": expected each code once"#),
        (
            "[codes]\nintercom = \"*43\"",
            r#"switch.toml:2: intercom = "*43": expected a code other than *43, which is the echo service, and not the beginning of it"#,
        ),
        (
            "[codes]\npickup = \"*4\"",
            r#"switch.toml:2: pickup = "*4": expected a code other than *43, which is the echo service, and not the beginning of it"#,
        ),
        (
            "[codes]\ngroup-pickup = \"700\"",
            r##"switch.toml:2: group-pickup = "700": expected * or # and then digits, * and #, such as "*68", or "" for none"##,
        ),
        (
            "[codes]\npickup = \"5\"",
            r##"switch.toml:2: pickup = "5": expected * or # and then digits, * and #, such as "*68", or "" for none"##,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected);
    }
    let config = Config::parse("switch.toml", "[park]\norbits = \"01-09\"\nrecall = 0\n[codes]\npark = \"\"").unwrap();
    assert_eq!((config.plan.recall, config.plan.orbits.to_string()), (None, "01-09".to_owned()));
    assert_eq!(config.plan.code("*68"), None);
    assert!(config.plan.code("*88502").is_some());
}

#[test]
fn an_unknown_setting_is_told_with_the_nearest_one() {
    let cases = [
        ("[sip]\ndomian = \"a\"", "switch.toml:2: there is no setting domian in [sip]: did you mean domain?"),
        (
            "[sip]\nport = 5060",
            "switch.toml:2: there is no setting port in [sip]: expected udp, tcp, domain, digest, follow-redirects",
        ),
        ("[spi]\nudp = []", "switch.toml:1: there is no section [spi]: did you mean sip?"),
        (
            "[trunks]",
            "switch.toml:1: there is no section [trunks]: expected sip, media, sound, cas, calls, park, codes, limits, history, log",
        ),
        ("digest = \"md5\"", "switch.toml:1: there is no setting digest outside of a section: it belongs under [sip]"),
        ("dat = \"x\"", "switch.toml:1: there is no setting dat outside of a section: did you mean data?"),
        ("sip = 5", "switch.toml:1: sip is a section: expected [sip]"),
        (
            "[sip]\nzzz = 1\naaa = 1",
            "switch.toml:2: there is no setting zzz in [sip]: expected udp, tcp, domain, digest, follow-redirects",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn limits_are_numbers_and_parts_are_no_more_than_their_whole() {
    let config = Config::parse("switch.toml", "[limits]\ncalls = 5\ncalls-per-source = 2\nlag = 50").unwrap();
    assert_eq!((config.limits.calls, config.limits.calls_per_source), (5, 2));
    assert_eq!((config.limits.lag, config.limits.tcp), (Duration::from_millis(50), 8192));
    let number = "expected a number from 1 to 1000000";
    let cases = [
        ("calls = 0", format!("calls = 0: {number}")),
        ("tcp = -1", format!("tcp = -1: {number}")),
        ("http = 1.5", format!("http = 1.5: {number}")),
        ("sessions = \"many\"", format!("sessions = \"many\": {number}")),
        ("registrations = 1_000_001", format!("registrations = 1_000_001: {number}")),
        ("lag = 5000", "lag = 5000: expected milliseconds from 10 to 500".to_owned()),
        ("http-per-source = 20000", "http-per-source = 20000: expected no more than http".to_owned()),
        ("tcp = 100", "tcp = 100: expected no less than tcp-per-source, or tcp-per-source set too".to_owned()),
        ("call = 7", "there is no setting call in [limits]: did you mean calls?".to_owned()),
    ];
    for (line, expected) in cases {
        assert_eq!(error(&format!("[limits]\n{line}")), format!("switch.toml:2: {expected}"));
    }
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    for text in ["data = \"x\"\n[sip\n", "data = \"x\"\ndata = \"y\"", "data = \"x\"\nudp"] {
        let error = error(text);
        assert!(error.starts_with("switch.toml:2: ") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let error = Config::load(Path::new("/nowhere/switch.toml")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /nowhere/switch.toml (No such file"), "{error}");
}

#[test]
fn history_has_limits() {
    let history = |text: &str| Config::parse("switch.toml", text).unwrap().history;
    assert_eq!((history("").records, history("").days), (10_000, None));
    let set = history("[history]\nrecords = 1\ndays = 36500");
    assert_eq!((set.records, set.days), (1, Some(36_500)));
    assert!(error("[history]\nrecords = 0").contains("expected a number from 1 to 1000000"));
    for bad in ["-1", "36501", "1.5", "\"two\""] {
        let expected = format!("switch.toml:2: days = {bad}: expected a number of days from 0 to 36500");
        assert_eq!(error(&format!("[history]\ndays = {bad}")), expected);
    }
}

#[test]
fn music_that_cannot_be_played_is_told_with_its_line_and_what_could() {
    let folder = tempfile::tempdir().unwrap();
    let wav = folder.path().join("music.wav");
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(&wav, spec).unwrap();
    (0..8000).for_each(|n| writer.write_sample((n % 100) as i16).unwrap());
    writer.finalize().unwrap();
    let text = folder.path().join("notes.txt");
    fs::write(&text, "no music at all").unwrap();
    let (wav, text) = (wav.display(), text.display());

    let config =
        Config::parse("switch.toml", &format!("[sound]\nmusic = \"{wav}\"\nmusic-of = [\"501 {wav}\"]\nzone = \"DE\""));
    let sound = config.unwrap().sound;
    assert_eq!(sound.music, Music::File(wav.to_string().into()));
    assert_eq!(sound.music_of, [("501".to_owned(), wav.to_string().into())].into());
    assert_eq!(sound.zone.name(), "de");
    assert_eq!(Config::parse("switch.toml", "[sound]\nmusic = \"none\"").unwrap().sound.music, Music::None);

    let cases = [
        (
            format!("[sound]\nmusic = \"{text}\""),
            format!("switch.toml:2: music = \"{text}\": expected a WAV file of plain samples (PCM), as `sox SOUND music.wav` makes one"),
        ),
        (
            "[sound]\nmusic = 5".to_owned(),
            "switch.toml:2: music = 5: expected built-in, none, or the path of a WAV file".to_owned(),
        ),
        (
            format!("[sound]\nmusic-of = [\n\"501 {wav}\",\n\"502 {text}\"]"),
            format!("switch.toml:4: music-of = \"502 {text}\": expected a WAV file of plain samples (PCM), as `sox SOUND music.wav` makes one"),
        ),
        (
            "[sound]\nmusic-of = [\"501\"]".to_owned(),
            r#"switch.toml:2: music-of = "501": expected an extension and the path of a WAV file, such as "501 /srv/501.wav""#.to_owned(),
        ),
        (
            format!("[sound]\nmusic-of = [\"501 {wav}\", \"501 {wav}\"]"),
            format!("switch.toml:2: music-of = \"501 {wav}\": expected each extension once"),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(&text), expected);
    }
    let missing = error("[sound]\nmusic = \"/nowhere/music.wav\"");
    assert!(missing.contains("expected a WAV file that the switch can read (No such file"), "{missing}");
    let zones = error("[sound]\nzone = \"xx\"");
    assert!(zones.starts_with("switch.toml:2: zone = \"xx\": expected one of at, au, be"), "{zones}");
}
