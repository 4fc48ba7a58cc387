//! `lookup-contacts` against the seed's examples.

use super::*;

#[track_caller]
fn lookup(bench: &mut Bench, members: Value) -> Value {
    let session = bench.log_in("501");
    let reply = bench.execute(&session, message("find", "lookup-contacts", members));
    assert_eq!(reply["error"], 0, "{reply}");
    reply["contacts"].clone()
}

/// The ids found, in order.
#[track_caller]
fn ids(bench: &mut Bench, members: Value) -> Vec<String> {
    let rows = lookup(bench, members);
    rows.as_array().unwrap()[1..].iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

fn add_user(bench: &mut Bench, id: u64, ext: &str, name: &str) {
    let changes = [
        Change::PutUser(user(id, ext, name, Role::User)),
        Change::PutNumber(Extension(ext.into()), Target::User(UserId(id))),
    ];
    bench.site.apply(&changes);
}

#[test]
fn s31_s79_the_seeds_request_as_printed() {
    let mut bench = Bench::new();
    let session = bench.log_in("502");
    let reply = bench.execute(
        &session,
        json!({"topic":"find","message":"lookup-contacts","timestamp":1291231894934u64,"sequence-id":26,"request-id":26,
               "tokens":["v"],"source-flags":255,"search-fields":1,"result-fields":2939,"flags":0,"sort":2,"max":25,"pres":0}),
    );
    let contacts = json!([
        [
            "id",
            "source-type",
            "first",
            "mid",
            "last",
            "co",
            "dept",
            "source-name",
            "contact-points",
            "flags",
            "actions"
        ],
        [
            "2",
            4,
            "Vanessa",
            "",
            "Kensington",
            "",
            "",
            "",
            [
                ["id", "type", "addr", "addr-canonical", "field"],
                [1, 16, "501", "501", 10],
                [2, 2, "501@switch.local", "501@switch.local", 50],
                [3, 4, "Vanessa@example.com", "Vanessa@example.com", 1000]
            ],
            0,
            []
        ]
    ]);
    assert_eq!(reply["contacts"], contacts);
    assert_eq!((&reply["request-id"], &reply["response"], &reply["error"]), (&json!(26), &json!(0), &json!(0)));
}

#[test]
fn s32_a_system_number_has_no_first_name_which_is_not_an_empty_one() {
    let row = json!([
        "SysDN:*43",
        16,
        null,
        null,
        "Echo",
        "",
        "",
        "",
        [["id", "type", "addr", "addr-canonical", "field"], [1, 16, "*43", "*43", 10]],
        0,
        []
    ]);
    assert_eq!(lookup(&mut Bench::new(), json!({"tokens": ["ech"]}))[1], row);
}

#[test]
fn s80_tokens_match_the_beginning_of_any_word_without_case_and_accents() {
    let mut bench = Bench::new();
    add_user(&mut bench, 7, "507", "Jiří Dvořák");
    for (tokens, found) in [
        (json!(["DVORAK"]), vec!["7"]),
        (json!(["dvořák jir"]), vec!["7"]),
        (json!(["van", "ken"]), vec!["2"]),
        (json!(["van", "pow"]), vec![]),
        (json!(["anessa"]), vec![]),
        (json!(["501"]), vec![]),
    ] {
        assert_eq!(ids(&mut bench, json!({"tokens": tokens})), found, "{tokens}");
    }
    assert_eq!(ids(&mut bench, json!({"tokens": []})).len(), 4, "no token lists all but the administrator");
}

#[test]
fn s80_search_fields_choose_what_is_compared() {
    let mut bench = Bench::new();
    for (field, token, found) in [
        (8, "50", vec!["2", "3"]),
        (8, "*4", vec!["SysDN:*43"]),
        (16, "vanessa@ex", vec!["2"]),
        (2, "v", vec![]),
        (1 | 8, "501", vec!["2"]),
    ] {
        let members = json!({"tokens": [token], "search-fields": field, "sort": 2});
        let mut all = ids(&mut bench, members);
        all.sort();
        assert_eq!(all, found, "{field} {token}");
    }
}

#[test]
fn s80_s81_source_flags_choose_where_from() {
    let mut bench = Bench::new();
    for (flags, found) in [(4, vec!["3", "2"]), (16, vec!["SysDN:*43"]), (1 | 2 | 8 | 32 | 64, vec![])] {
        assert_eq!(ids(&mut bench, json!({"tokens": [""], "source-flags": flags, "sort": 1})), found, "{flags}");
    }
}

#[test]
fn s80_result_fields_choose_the_columns() {
    let mut bench = Bench::new();
    let columns = |bench: &mut Bench, mask: u32| lookup(bench, json!({"tokens": ["v"], "result-fields": mask}));
    assert_eq!(columns(&mut bench, 0), json!([["id", "actions"], ["2", []]]));
    let names = json!([["id", "first", "last", "actions"], ["2", "Vanessa", "Kensington", []]]);
    assert_eq!(columns(&mut bench, 2 | 16), names);
    assert_eq!(columns(&mut bench, 4096 | 4), json!([["id", "presence", "actions"], ["2", null, []]]));
}

#[test]
fn s80_flags_sort_and_max() {
    let mut bench = Bench::new();
    add_user(&mut bench, 7, "507", "Vince");
    assert!(ids(&mut bench, json!({"tokens": [], "flags": 1})).is_empty(), "nobody is a favourite");
    assert_eq!(ids(&mut bench, json!({"tokens": [], "flags": 2})).len(), 4, "all have a phone");
    assert_eq!(ids(&mut bench, json!({"tokens": [], "sort": 1})), ["SysDN:*43", "3", "2", "7"]);
    assert_eq!(ids(&mut bench, json!({"tokens": [], "sort": 2})), ["7", "SysDN:*43", "2", "3"]);
    assert_eq!(ids(&mut bench, json!({"tokens": ["v"], "sort": 1, "max": 1})), ["2"]);
    assert_eq!(ids(&mut bench, json!({"tokens": ["vince"], "pres": 1})), ["7"]);
}
