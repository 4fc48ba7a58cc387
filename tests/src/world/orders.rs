//! What users have ordered for their calls (`cas::site::handling`): at random in the walks; and that nobody rings who is not to be disturbed.

use cas::site::handling::{Forward, Handling, Mode, NoAnswer, Rules};
use cas::site::{Extension, UserId};
use cas::store::{self, Change, Request, memory::Memory};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::network::below;
use super::{PhoneId, World, site};

/// Where a call may be sent: users, the echo, and where nothing is.
const NUMBERS: [&str; 6] = ["501", "502", "503", "504", "*43", "999"];

/// What becomes of these users' calls, in the mode that is in force for whoever has chosen none.
pub(super) fn order(store: &mut Memory, rules: &[(&str, Rules)]) {
    let change = |(login, rules): &(&str, Rules)| {
        let index = site::USERS.iter().position(|user| user == login).expect("a user of the world");
        let rules = [(Mode::default(), rules.clone())].into();
        Change::PutHandling(UserId(index as u64 + 2), Handling { rules, ..Handling::default() })
    };
    let changes = rules.iter().map(change).collect();
    let written = store::run(store, [&Request::Write(changes)]).remove(0);
    written.expect("call handling can be stored");
}

/// Nobody has ordered anything.
pub(super) fn forget(store: &mut Memory) {
    order(store, &site::USERS.map(|user| (user, Rules::default())));
}

/// What a walk's users have ordered: in every other walk nothing, in the others two of five have, each something of each kind now and then.
pub(super) fn random(seed: u64) -> Vec<(&'static str, Rules)> {
    let mut random = ChaCha8Rng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9));
    let mut chance = |percent: u32| below(&mut random, 100) < percent;
    if chance(50) {
        return Vec::new();
    }
    let orders: Vec<_> = site::USERS.into_iter().filter(|_| chance(40)).collect();
    orders.into_iter().map(|user| (user, rules(&mut random))).collect()
}

fn rules(random: &mut ChaCha8Rng) -> Rules {
    let number = |random: &mut ChaCha8Rng| Extension(NUMBERS[below(random, NUMBERS.len() as u32) as usize].to_owned());
    let forward = |random: &mut ChaCha8Rng, percent: u32| {
        (below(random, 100) < percent).then(|| match below(random, 5) {
            0 => Forward::Voicemail,
            _ => Forward::Number(number(random)),
        })
    };
    let numbers = |random: &mut ChaCha8Rng, percent: u32| match below(random, 100) < percent {
        true => (0..=below(random, 3)).map(|_| number(random)).collect(),
        false => Vec::new(),
    };
    Rules {
        dnd: below(random, 100) < 10,
        always: forward(random, 15),
        busy: forward(random, 50),
        no_answer: forward(random, 50).map(|to| NoAnswer { rings: 1 + below(random, 3) as u8, to }),
        not_registered: forward(random, 50),
        find_me: numbers(random, 40),
        ring_also: numbers(random, 40),
    }
}

impl World {
    /// Whether a user has ordered that nothing may ring.
    pub(super) fn is_quiet_user(&self, user: &str) -> bool {
        let rules = self.orders.iter().find(|(login, _)| *login == user).map(|(_, rules)| rules);
        rules.is_some_and(|rules| rules.dnd || rules.always == Some(Forward::Voicemail))
    }

    /// Such a one's telephone rings for what is his already alone: a call that his client makes, that he has booked, parked or on hold.
    pub(super) fn check_orders(&mut self, phone: PhoneId, message: &[u8]) {
        if !message.starts_with(b"INVITE ") || !self.is_quiet_user(self.user_of(phone)) {
            return;
        }
        let text = String::from_utf8_lossy(message);
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let is_within = line("To: ").contains(";tag=");
        let is_own = line("Call-Info: ").contains("answer-after=0")
            || ["Recall", "On hold", "Call back"].iter().any(|own| line("From: ").contains(own));
        if !is_within && !is_own {
            self.fail(&format!("{} is not to be disturbed, and rings", self.phones[phone.0].name()));
        }
    }
}
