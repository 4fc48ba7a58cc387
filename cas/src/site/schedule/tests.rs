#![allow(clippy::needless_pass_by_value, reason = "entries are written where they are used")]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::site::written;

/// What the clock in London shows to the second, as an instant: `2026-12-24T13:00:00Z`.
fn at(text: &str) -> Wall {
    let timestamp: jiff::Timestamp = text.parse().unwrap();
    Wall(u64::try_from(timestamp.as_millisecond()).unwrap())
}

fn schedules(zone: &str, entries: serde_json::Value) -> Schedules {
    let mut all = json!({"time-zone": zone, "off-hours": null, "on-hours": null, "holiday": null, "custom": null});
    all.as_object_mut().unwrap().extend(entries.as_object().unwrap().clone());
    written::read_schedules(&all.to_string()).unwrap()
}

fn of(own: &Schedules) -> Followed<'_> {
    Followed::new(Some(own), None)
}

/// Every hour of every day.
const ALL_DAYS: [&str; 7] = DAYS;

/// The hours in which a mode of the week's schedule is in force, from these two times of each day.
fn daily(zone: &str, from: &str, to: &str) -> Schedules {
    schedules(zone, json!({"on-hours": [{"days": ALL_DAYS, "from": from, "to": to, "mode": "custom"}]}))
}

fn is_on(schedules: &Schedules, instant: &str) -> bool {
    of(schedules).mode(at(instant)) == (Some(Mode::Custom), Source::Entry(Kind::OnHours))
}

#[test]
fn the_week_follows_the_clock_of_its_zone_in_winter_and_in_summer() {
    let office = schedules(
        "Europe/Berlin",
        json!({"on-hours": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:00", "mode": "custom"}]}),
    );
    for (instant, on) in [
        ("2026-01-05T07:59:59Z", false),
        ("2026-01-05T08:00:00Z", true),
        ("2026-01-05T15:59:59.999Z", true),
        ("2026-01-05T16:00:00Z", false),
        ("2026-07-06T06:59:59Z", false),
        ("2026-07-06T07:00:00Z", true),
        ("2026-07-06T15:00:00Z", false),
        ("2026-07-04T10:00:00Z", false),
    ] {
        assert_eq!(is_on(&office, instant), on, "{instant}");
    }
    assert_eq!(of(&office).mode(at("2026-07-04T10:00:00Z")), (None, Source::OffHours));
}

#[test]
fn what_is_not_later_ends_on_the_next_day() {
    let night = schedules(
        "America/New_York",
        json!({"on-hours": [{"days": ["fri"], "from": "22:00", "to": "06:00", "mode": "custom"}]}),
    );
    for (instant, on) in [
        ("2026-06-06T01:59:00Z", false),
        ("2026-06-06T02:00:00Z", true),
        ("2026-06-06T04:00:00Z", true),
        ("2026-06-06T09:59:59Z", true),
        ("2026-06-06T10:00:00Z", false),
        ("2026-06-07T02:30:00Z", false),
    ] {
        assert_eq!(is_on(&night, instant), on, "{instant}");
    }
    let until_midnight = daily("UTC", "23:00", "24:00");
    let after_midnight = daily("UTC", "23:00", "00:00");
    for (instant, on) in [("2026-12-31T23:59:59.999Z", true), ("2027-01-01T00:00:00Z", false)] {
        assert_eq!((is_on(&until_midnight, instant), is_on(&after_midnight, instant)), (on, on), "{instant}");
    }
    let always = daily("UTC", "00:00", "24:00");
    for instant in ["2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z", "2028-02-29T12:00:00Z"] {
        assert!(is_on(&always, instant), "{instant}");
    }
}

#[test]
fn in_the_hour_that_is_skipped_in_spring_limits_are_where_the_clock_jumps() {
    // Berlin, 2026-03-29: 02:00 is 03:00, at 01:00 UTC.
    let (begins, ends, within) = (
        daily("Europe/Berlin", "02:30", "05:00"),
        daily("Europe/Berlin", "01:00", "02:30"),
        daily("Europe/Berlin", "02:10", "02:50"),
    );
    for (instant, begun, not_ended) in [
        ("2026-03-29T00:59:59Z", false, true),
        ("2026-03-29T01:00:00Z", true, false),
        ("2026-03-29T02:59:59Z", true, false),
        ("2026-03-29T03:00:00Z", false, false),
        ("2026-03-28T01:29:59Z", false, true),
        ("2026-03-28T01:30:00Z", true, false),
    ] {
        assert_eq!((is_on(&begins, instant), is_on(&ends, instant)), (begun, not_ended), "{instant}");
    }
    assert!(is_on(&within, "2026-03-28T01:15:00Z"));
    assert!(
        (0..60).all(|minute| !is_on(&within, &format!("2026-03-29T01:{minute:02}:00Z"))),
        "it has no place that day"
    );
}

#[test]
fn in_the_hour_that_is_repeated_in_autumn_limits_are_where_the_clock_shows_them_first() {
    // Berlin, 2026-10-25: 03:00 is 02:00, at 01:00 UTC.
    let (begins, ends) = (daily("Europe/Berlin", "02:30", "05:00"), daily("Europe/Berlin", "01:00", "02:30"));
    for (instant, begun, not_ended) in [
        ("2026-10-25T00:29:59Z", false, true),
        ("2026-10-25T00:30:00Z", true, false),
        ("2026-10-25T01:00:00Z", true, false),
        ("2026-10-25T01:29:59Z", true, false),
        ("2026-10-25T01:30:00Z", true, false),
        ("2026-10-25T04:00:00Z", false, false),
    ] {
        assert_eq!((is_on(&begins, instant), is_on(&ends, instant)), (begun, not_ended), "{instant}");
    }
}

#[test]
fn a_holiday_is_a_whole_day_however_long() {
    let all = json!([{"date": "12-31", "mode": "out-of-office"}, {"date": "2026-03-29", "mode": "custom"},
        {"date": "02-29", "mode": "in-a-meeting"}]);
    let berlin = schedules("Europe/Berlin", json!({"holiday": all}));
    let mode = |instant: &str| of(&berlin).mode(at(instant)).0;
    for (instant, expected) in [
        ("2026-12-30T22:59:59Z", None),
        ("2026-12-30T23:00:00Z", Some(Mode::OutOfOffice)),
        ("2026-12-31T22:59:59Z", Some(Mode::OutOfOffice)),
        ("2026-12-31T23:00:00Z", None),
        ("2031-12-31T12:00:00Z", Some(Mode::OutOfOffice)),
        // 23 hours.
        ("2026-03-28T22:59:59Z", None),
        ("2026-03-28T23:00:00Z", Some(Mode::Custom)),
        ("2026-03-29T21:59:59Z", Some(Mode::Custom)),
        ("2026-03-29T22:00:00Z", None),
        ("2027-03-29T12:00:00Z", None),
        ("2027-02-28T12:00:00Z", None),
        ("2027-03-01T12:00:00Z", None),
        ("2028-02-29T12:00:00Z", Some(Mode::InAMeeting)),
        ("2028-03-01T12:00:00Z", None),
    ] {
        assert_eq!(mode(instant), expected, "{instant}");
    }
}

#[test]
fn a_day_that_a_country_left_out_is_no_holiday() {
    // Samoa had no 30 December 2011: it crossed the date line.
    let samoa = schedules("Pacific/Apia", json!({"holiday": [{"date": "2011-12-30", "mode": "custom"}]}));
    for hour in 0..72 {
        let instant = Wall(at("2011-12-29T00:00:00Z").0 + hour * 3_600_000);
        assert_eq!(of(&samoa).mode(instant).0, None, "{hour}");
    }
}

#[test]
fn a_day_may_begin_at_one_o_clock() {
    // Beirut puts the clock forward at midnight.
    let beirut = schedules("Asia/Beirut", json!({"holiday": [{"date": "2026-03-29", "mode": "custom"}]}));
    let mode = |instant: &str| of(&beirut).mode(at(instant)).0;
    assert_eq!((mode("2026-03-28T21:59:59Z"), mode("2026-03-28T22:00:00Z")), (None, Some(Mode::Custom)));
}

#[test]
fn custom_goes_before_holiday_and_holiday_before_the_week() {
    let all = schedules(
        "UTC",
        json!({
            "off-hours": "out-of-office",
            "on-hours": [
                {"days": ["thu", "fri"], "from": "08:00", "to": "18:00", "mode": "standard"},
                {"days": ["thu", "fri"], "from": "08:00", "to": "20:00", "mode": "in-a-meeting"},
            ],
            "holiday": [{"date": "12-25", "mode": "extended-absence", "name": "Christmas"}],
            "custom": [{"from": "2026-12-24T17:00", "to": "2026-12-25T09:00", "mode": "custom", "name": "Party"}],
        }),
    );
    for (instant, mode, source) in [
        ("2026-12-24T07:00:00Z", Mode::OutOfOffice, Source::OffHours),
        ("2026-12-24T10:00:00Z", Mode::Standard, Source::Entry(Kind::OnHours)),
        ("2026-12-17T19:00:00Z", Mode::InAMeeting, Source::Entry(Kind::OnHours)),
        ("2026-12-24T17:00:00Z", Mode::Custom, Source::Entry(Kind::Custom)),
        ("2026-12-25T08:59:59Z", Mode::Custom, Source::Entry(Kind::Custom)),
        ("2026-12-25T09:00:00Z", Mode::ExtendedAbsence, Source::Entry(Kind::Holiday)),
        ("2026-12-26T00:00:00Z", Mode::OutOfOffice, Source::OffHours),
    ] {
        assert_eq!(of(&all).mode(at(instant)), (Some(mode), source), "{instant}");
    }
}

#[test]
fn what_a_user_has_not_set_is_the_sites() {
    let site = schedules(
        "Europe/Berlin",
        json!({"off-hours": "out-of-office", "holiday": [{"date": "10-03", "mode": "extended-absence"}],
            "on-hours": [{"days": ALL_DAYS, "from": "09:00", "to": "17:00", "mode": "standard"}]}),
    );
    let own = Schedules { zone: Zone::named("america/new_york"), holiday: Some(Vec::new()), ..Schedules::default() };
    let both = Followed::new(Some(&own), Some(&site));
    assert_eq!(both.zone().name(), "America/New_York");
    assert_eq!(both.mode(at("2026-10-03T13:00:00Z")), (Some(Mode::Standard), Source::Entry(Kind::OnHours)));
    assert_eq!(both.mode(at("2026-10-03T12:59:59Z")), (Some(Mode::OutOfOffice), Source::OffHours));
    let of_site = Followed::new(None, Some(&site));
    assert_eq!(of_site.mode(at("2026-10-03T13:00:00Z")).0, Some(Mode::ExtendedAbsence));
    let nobodys = Followed::new(None, None);
    assert_eq!((nobodys.zone().name(), nobodys.mode(Wall(0))), ("UTC", (None, Source::OffHours)));
    assert_eq!((nobodys.next_look(Wall(0)), nobodys.next_change(Wall(0))), (Wall(DAY), None));
}

#[test]
fn the_next_change_is_the_next_one_that_changes_anything() {
    let office = schedules(
        "Europe/Berlin",
        json!({"on-hours": [
            {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "12:00", "mode": "standard"},
            {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "12:00", "to": "17:00", "mode": "standard"},
        ]}),
    );
    let next = |instant: &str| of(&office).next_change(at(instant));
    assert_eq!(next("2026-03-27T10:00:00Z"), Some(at("2026-03-27T16:00:00Z")));
    // Over the weekend, and over the change of the clock.
    assert_eq!(next("2026-03-27T16:00:00Z"), Some(at("2026-03-30T07:00:00Z")));
}

#[test]
fn a_time_that_is_none_is_refused() {
    for text in ["", "9:00", "09:0", "24:01", "23:60", "09-00", "+9:00", "09:00:00", "é9:00"] {
        assert_eq!(Clock::parse(text), None, "{text}");
    }
    for text in
        ["", "2026-02-29", "13-01", "02-30", "2026-1-1", "26-12-25", "2026-12-25-", "+026-12-25", "0000-12-25", "é-12"]
    {
        assert_eq!(Day::parse(text), None, "{text}");
    }
    for (from, to) in [
        ("2026-12-24T13:00", "2026-12-24T13:00"),
        ("2026-12-24T13:00", "2026-12-23T13:00"),
        ("2026-12-24", "2026-12-25"),
        ("2026-12-24 13:00", "2026-12-25T13:00"),
        ("2026-12-24T24:00", "2026-12-25T13:00"),
        ("2026-12-24T13:00Z", "2026-12-25T13:00"),
    ] {
        assert_eq!(Span::parse(from, to), None, "{from} {to}");
    }
    for name in ["", "Berlin", "Europe/Atlantis", "+02:00", "../UTC", "Europe/Berlin\u{0}"] {
        assert_eq!(Zone::named(name), None, "{name}");
    }
}

/// Zones with daylight saving in the north and south, by half an hour, at midnight, and none.
const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Beirut",
    "Pacific/Apia",
    "Asia/Kathmandu",
];

fn entry() -> impl Strategy<Value = (usize, serde_json::Value)> {
    let clock =
        || (0_u16..24, prop_oneof![Just(0_u16), Just(30), 0_u16..60]).prop_map(|(h, m)| format!("{h:02}:{m:02}"));
    let mode = || (0..Mode::ALL.len()).prop_map(|mode| Mode::ALL[mode].name());
    let day = || (2026_i32..2029, 1..=12, 1..=28).prop_map(|(year, month, day)| format!("{year}-{month:02}-{day:02}"));
    let hours = (proptest::sample::subsequence(DAYS.to_vec(), 1..=7), clock(), clock(), mode());
    prop_oneof![
        4 => hours.prop_filter("different", |(_, from, to, _)| from != to).prop_map(|(days, from, to, mode)| {
            (0, json!({"days": days, "from": from, "to": to, "mode": mode, "name": ""}))
        }),
        1 => (day(), any::<bool>(), mode()).prop_map(|(day, yearly, mode)| {
            (1, json!({"date": if yearly { &day[5..] } else { &day }, "mode": mode, "name": "Holiday"}))
        }),
        1 => (day(), clock(), day(), clock(), mode())
            .prop_filter("in order", |(a, at, b, until, _)| (a, at) < (b, until))
            .prop_map(|(a, at, b, until, mode)| {
                (2, json!({"from": format!("{a}T{at}"), "to": format!("{b}T{until}"), "mode": mode, "name": "x"}))
            }),
    ]
}

fn any_schedules() -> impl Strategy<Value = (serde_json::Value, Schedules)> {
    (proptest::sample::select(ZONES.to_vec()), proptest::collection::vec(entry(), 0..8)).prop_map(|(zone, entries)| {
        let of = |wanted: usize| -> Vec<serde_json::Value> {
            entries.iter().filter(|(kind, _)| *kind == wanted).map(|(_, entry)| entry.clone()).collect()
        };
        let all = json!({"time-zone": zone, "off-hours": null, "custom": of(2), "holiday": of(1), "on-hours": of(0)});
        let read = written::read_schedules(&all.to_string()).unwrap();
        (all, read)
    })
}

/// What clocks show is compared: the plain reading of a schedule, right but for the hours in which a clock jumps.
fn by_the_clock(all: &serde_json::Value, instant: Wall) -> Option<&str> {
    let zone = jiff::tz::TimeZone::get(all["time-zone"].as_str().unwrap()).unwrap();
    let shown = zone.to_datetime(jiff::Timestamp::from_millisecond(instant.0.cast_signed()).unwrap());
    let (date, clock) = (shown.date().to_string(), shown.strftime("%H:%M").to_string());
    let yesterday = shown.date().yesterday().unwrap().weekday();
    let has = |days: &serde_json::Value, day: jiff::civil::Weekday| {
        days.as_array().unwrap().contains(&json!(DAYS[day.to_monday_zero_offset() as usize]))
    };
    let custom = all["custom"].as_array().unwrap().iter().find(|entry| {
        let now = format!("{date}T{clock}");
        entry["from"].as_str().unwrap() <= now.as_str() && now.as_str() < entry["to"].as_str().unwrap()
    });
    let holiday = || {
        let entries = all["holiday"].as_array().unwrap().iter();
        entries.clone().find(|entry| [date.as_str(), &date[5..]].contains(&entry["date"].as_str().unwrap()))
    };
    let on_hours = || {
        all["on-hours"].as_array().unwrap().iter().find(|entry| {
            let (from, to) = (entry["from"].as_str().unwrap(), entry["to"].as_str().unwrap());
            let (today, clock) = (shown.date().weekday(), clock.as_str());
            match from < to {
                true => has(&entry["days"], today) && from <= clock && clock < to,
                false => {
                    (has(&entry["days"], today) && from <= clock) || (has(&entry["days"], yesterday) && clock < to)
                }
            }
        })
    };
    custom.or_else(holiday).or_else(on_hours).map(|entry| entry["mode"].as_str().unwrap())
}

/// No clock is changed within some hours.
fn is_steady(zone: &str, instant: Wall) -> bool {
    let zone = jiff::tz::TimeZone::get(zone).unwrap();
    let offset = |hours: i64| {
        let instant = instant.0.cast_signed() + hours * 3_600_000;
        zone.to_offset(jiff::Timestamp::from_millisecond(instant).unwrap())
    };
    (-2..=2).all(|hours| offset(hours) == offset(0))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn the_mode_is_what_the_clock_on_the_wall_says((all, read) in any_schedules(), minute in 0_u64..(3 * 366 * 24 * 60)) {
        let instant = Wall(at("2026-01-01T00:00:00Z").0 + minute * 60_000);
        prop_assume!(is_steady(all["time-zone"].as_str().unwrap(), instant));
        prop_assert_eq!(of(&read).mode(instant).0.map(Mode::name), by_the_clock(&all, instant));
    }

    /// Who looks again when told to misses no change, whatever clocks do.
    #[test]
    fn nothing_changes_before_the_next_look((_, read) in any_schedules(), change in 0_usize..6, minutes in 0_u64..3000) {
        let changes = ["2026-03-29", "2026-10-25", "2026-11-01", "2026-04-05", "2028-02-28", "2026-12-30"];
        let instant = Wall(at(&format!("{}T00:00:00Z", changes[change])).0 - 24 * 3_600_000 + minutes * 60_000);
        let look = of(&read).next_look(instant);
        prop_assert!(look > instant && look.0 <= instant.0 + DAY);
        let now = of(&read).mode(instant);
        let steps = (instant.0..look.0).step_by(300_000).chain([look.0 - 1]);
        for step in steps {
            prop_assert_eq!(of(&read).mode(Wall(step)), now, "at {} before {}", step, look.0);
        }
        if let Some(next) = of(&read).next_change(instant) {
            prop_assert!(next >= look && of(&read).mode(next) != now && of(&read).mode(Wall(next.0 - 1)) == now);
        }
    }

    #[test]
    fn schedules_are_read_as_they_were_written((all, read) in any_schedules()) {
        let written = written::schedules(&read);
        prop_assert_eq!(written::read_schedules(&written.to_string()), Some(read));
        prop_assert_eq!(written, all);
    }
}
