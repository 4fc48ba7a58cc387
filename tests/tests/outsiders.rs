//! Whoever is behind a gateway is called, and calls; what is parked or rings here, and telephones that answer by themselves, are for users.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use serde_json::json;
use tests::template::{Sip, Template};
use tests::world::{DOMAIN, World};

/// A gateway calls; it needs no secret.
fn call(world: &mut World, gateway: &mut Template, number: &str) -> Sip {
    let lines = format!("{}CSeq: 1 INVITE\r\n", gateway.invite_lines(number));
    let body = gateway.sdp();
    let request = gateway.request("INVITE", &format!("sip:{number}@{DOMAIN}"), &lines, &body);
    gateway.say(world, &request);
    Sip(request)
}

#[test]
fn codes_and_orbits_are_not_for_who_is_behind_a_gateway() {
    let mut world = World::new(1);
    let admin = world.log_in("admin");
    let mut gateway = Template::new("600", 11);
    let address = gateway.address().to_string();
    let user = json!({"topic": "config", "message": "add-user", "ext": "600", "name": "Gateway", "password": "pass", "address": address});
    assert_eq!(world.execute(admin, user)["error"], 0);
    world.run_for(Duration::from_secs(1));
    let mut phone = Template::new("502", 1);
    phone.register(&mut world);
    for number in ["700", "*68", "*88502", "**502", "*8", "*80502", "*69", "*07", "*66502", "*66", "*86"] {
        let invite = call(&mut world, &mut gateway, number);
        let refusal = gateway.wait_status(&mut world, "INVITE", 403);
        gateway.acknowledge_refusal(&mut world, &invite, &refusal);
        assert!(phone.hear(&mut world).is_empty(), "{number} rang");
    }
    let invite = call(&mut world, &mut gateway, "502");
    let rung = phone.wait_request(&mut world, "INVITE");
    phone.respond(&mut world, &rung, 486, "b", "");
    let refusal = gateway.wait_status(&mut world, "INVITE", 486);
    gateway.acknowledge_refusal(&mut world, &invite, &refusal);
    world.quiesce();
}
