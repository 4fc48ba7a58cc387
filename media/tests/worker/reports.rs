//! RTCP between a leg and its telephone.

use std::time::Duration;

use media::net::Channel;
use rtcp_types::prelude::*;
use rtcp_types::{Bye, Compound, Packet, ReceiverReport, ReportBlock, Sdes, SdesChunk, SdesItem, SenderReport};

use crate::world::*;

/// What kinds of packets a compound holds.
fn kinds(compound: &[u8]) -> Vec<&'static str> {
    let packets = Compound::parse(compound).expect("a compound").map(|packet| match packet.expect("a packet") {
        Packet::Sr(_) => "SR",
        Packet::Rr(_) => "RR",
        Packet::Sdes(_) => "SDES",
        Packet::Bye(_) => "BYE",
        _ => "other",
    });
    packets.collect()
}

/// A minute of talk of telephone 1, heard by 2.
fn minute() -> World {
    let mut world = World::call();
    world.talk(1, 0..3000);
    world
}

#[test]
fn who_is_sent_sound_gets_sender_reports_and_who_is_not_receiver_reports() {
    let mut world = minute();
    for (leg, kind) in [(1, "RR"), (2, "SR")] {
        let reports = world.reports(leg);
        assert!((8..=24).contains(&reports.len()), "one in five seconds, not {}", reports.len());
        for (to, report) in reports {
            assert_eq!((to, kinds(&report)), (phone_rtcp(leg), vec![kind, "SDES"]));
        }
    }
}

#[test]
fn a_report_tells_what_was_lost() {
    let mut world = World::call();
    for n in (0..2000).filter(|n| n % 10 != 5) {
        world.say(1, &Rtp::sound(77, n));
        world.turns(4);
    }
    let reports = world.reports(1);
    let last = Compound::parse(&reports.last().unwrap().1).unwrap().next().unwrap().unwrap();
    let Packet::Rr(report) = last else { panic!() };
    let block = report.report_blocks().next().unwrap();
    assert_eq!(block.ssrc(), 77);
    assert!((23..=28).contains(&block.fraction_lost()), "a tenth of 256, not {}", block.fraction_lost());
    let stats = world.close(1);
    assert_eq!((stats.lost, stats.received), (200, 1800));
}

#[test]
fn the_last_report_says_bye() {
    let mut world = minute();
    world.reports(2);
    world.close(2);
    let reports = world.reports(2);
    assert_eq!(reports.len(), 1);
    assert_eq!(kinds(&reports[0].1).last(), Some(&"BYE"));
}

#[test]
fn who_never_said_anything_says_no_bye_rfc_3550_6_3_7() {
    let mut world = World::call();
    world.close(1);
    assert_eq!(world.reports(1), []);
}

#[test]
fn the_way_to_the_telephone_is_measured_and_its_losses_noted() {
    let mut world = minute();
    let (_, ours) = world.reports(2).pop().unwrap();
    let Packet::Sr(report) = Compound::parse(&ours).unwrap().next().unwrap().unwrap() else { panic!() };
    let sent = (report.ntp_timestamp() >> 16) as u32;
    world.turns(200);
    // The telephone has our report for all the time since, but for 50 ms on the way.
    let units = |duration: Duration| (duration.as_micros() * 65_536 / 1_000_000) as u32;
    let wall = (2_208_988_800u64 << 16) as u32;
    let kept = wall
        .wrapping_add(units(world.now - world.began))
        .wrapping_sub(sent)
        .wrapping_sub(units(Duration::from_millis(50)));
    let block = ReportBlock::builder(start(2).ssrc)
        .fraction_lost(64)
        .last_sender_report_timestamp(sent)
        .delay_since_last_sender_report_timestamp(kept);
    let mut bytes = [0; 64];
    let length = ReceiverReport::builder(2).add_report_block(block).write_into(&mut bytes).unwrap();
    world.arrive(2, Channel::Rtcp, phone_rtcp(2), bytes[..length].to_vec());
    world.turns(4);
    let stats = world.close(2);
    assert_eq!(stats.reported_loss, 64);
    assert!((49_900..=70_100).contains(&stats.round_trip_us), "{}", stats.round_trip_us);
}

#[test]
fn reports_go_to_where_the_telephones_come_from_and_strangers_are_counted() {
    let mut world = World::call();
    world.talk(1, 0..1);
    let mut bytes = [0; 64];
    let length = ReceiverReport::builder(1).write_into(&mut bytes).unwrap();
    let mapped = "192.0.2.1:60000".parse().unwrap();
    for from in ["198.51.100.1:4001".parse().unwrap(), mapped, phone_rtcp(1)] {
        world.arrive(1, Channel::Rtcp, from, bytes[..length].to_vec());
    }
    world.arrive(1, Channel::Rtcp, mapped, b"not RTCP".to_vec());
    world.turns(4);
    world.wait(8);
    assert_eq!(world.reports(1)[0].0, mapped);
    let stats = world.close(1);
    assert_eq!((stats.strangers, stats.unusable), (2, 1));
}

#[test]
fn a_report_with_everything_in_it_is_taken() {
    let mut world = World::call();
    let mut bytes = [0; 256];
    let mut length = SenderReport::builder(9).ntp_timestamp(1 << 40).write_into(&mut bytes).unwrap();
    let item = SdesItem::builder(SdesItem::CNAME, "phone@192.0.2.1");
    let chunk = SdesChunk::builder(9).add_item(item);
    length += Sdes::builder().add_chunk(chunk).write_into(&mut bytes[length..]).unwrap();
    length += Bye::builder().add_source(9).write_into(&mut bytes[length..]).unwrap();
    world.arrive(1, Channel::Rtcp, phone_rtcp(1), bytes[..length].to_vec());
    world.turns(4);
    assert_eq!(world.close(1).unusable, 0);
}

#[test]
fn a_telephone_on_hold_still_gets_reports() {
    let mut world = World::call();
    world.update(1, |stream| (stream.send, stream.receive) = (false, false));
    world.wait(8);
    assert_eq!(world.reports(1).len(), 1);
    world.update(1, |stream| (stream.remote, stream.remote_rtcp) = (None, None));
    world.wait(8);
    assert_eq!(world.reports(1), []);
}
