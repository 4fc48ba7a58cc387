//! What the switch says in words: an announcement is put together of phrases that were spoken and encoded when the switch was made (`media/speech`), and that are played one after
//! the other.

use std::iter;

use media::SoundId;

use super::PHRASES;

/// Something that is said in one breath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phrase {
    /// "The call is parked at"
    ParkedAt,
    /// "is not available"
    NotAvailable,
    /// "The number you have dialled is not in service"
    NotInService,
    /// A digit.
    Digit(u8),
}

impl Phrase {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Phrase> {
        [Phrase::ParkedAt, Phrase::NotAvailable, Phrase::NotInService].into_iter().chain((0..10).map(Phrase::Digit))
    }

    /// Its name in `media/speech/phrases.txt`.
    pub fn name(self) -> String {
        match self {
            Phrase::ParkedAt => "parked-at".to_owned(),
            Phrase::NotAvailable => "not-available".to_owned(),
            Phrase::NotInService => "not-in-service".to_owned(),
            Phrase::Digit(digit) => digit.to_string(),
        }
    }

    /// The name that the media threads know it by.
    pub fn sound(self) -> SoundId {
        SoundId(match self {
            Phrase::Digit(digit) => PHRASES + u16::from(digit),
            Phrase::ParkedAt => PHRASES + 10,
            Phrase::NotAvailable => PHRASES + 11,
            Phrase::NotInService => PHRASES + 12,
        })
    }
}

/// Who is told in words, or by a tone, that he reaches nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// Nobody: a status says all.
    Nobody,
    /// Those who are connected, and would hear nothing but the end.
    #[default]
    Connected,
    /// Everybody, by early media before the status.
    Everybody,
}

/// What is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announcement {
    /// Where a call is parked.
    ParkedAt,
    /// That whoever has the number cannot be reached.
    NotAvailable,
    /// That nobody has it.
    NotInService,
}

impl Announcement {
    /// The nth phrase of what is said of a number; `None` where all has been said. What in a number is no digit is not said.
    pub(crate) fn phrase(self, number: &str, nth: u8) -> Option<Phrase> {
        let digits = number.bytes().filter(u8::is_ascii_digit).map(|digit| Phrase::Digit(digit - b'0'));
        let nth = usize::from(nth);
        match self {
            Announcement::ParkedAt => iter::once(Phrase::ParkedAt).chain(digits).nth(nth),
            Announcement::NotAvailable => digits.chain([Phrase::NotAvailable]).nth(nth),
            Announcement::NotInService => iter::once(Phrase::NotInService).nth(nth),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use media::Sound;

    use super::*;

    #[test]
    fn every_phrase_has_a_sound_and_a_name_of_its_own() {
        assert!(Phrase::all().all(|phrase| Sound::phrase(&phrase.name()).is_some()));
        let ids: BTreeSet<SoundId> = Phrase::all().map(Phrase::sound).collect();
        assert_eq!(ids.len(), Phrase::all().count());
    }

    #[test]
    fn numbers_are_said_digit_by_digit() {
        let said = |announcement: Announcement, number| {
            (0..).map_while(|nth| announcement.phrase(number, nth)).map(Phrase::name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(said(Announcement::ParkedAt, "700"), "parked-at 7 0 0");
        assert_eq!(said(Announcement::NotAvailable, "502"), "5 0 2 not-available");
        assert_eq!(said(Announcement::NotInService, "*99#"), "not-in-service");
        assert_eq!(said(Announcement::NotAvailable, "sip:anna"), "not-available");
    }
}
