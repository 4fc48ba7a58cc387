//! Passwords: what a helper thread does with a [`Work`]. Nothing here is called on the control thread.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use crate::boundary::{Finding, Work};

/// Verified where there is no such user, so that the answer takes as long as for one who is there. No password fits it that anybody knows.
pub(crate) const DUMMY_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c3dpdGNoLWR1bW15LTAw$MsBmC5Nw2bYdGq1sqzTrn1yXv3JkQe0uWc8aLh4fRtI";

impl Work {
    /// Does it. Takes tens of milliseconds: for helper threads.
    pub fn run(self) -> Finding {
        match self {
            Work::Verify { hash, password } => Finding::Verified(verify(&hash, &password)),
            Work::Hash { passwords, salts } => Finding::Hashed(
                passwords.iter().zip(&salts).filter_map(|(password, salt)| hash(password, salt)).collect(),
            ),
        }
    }
}

fn verify(hash: &str, password: &str) -> bool {
    match PasswordHash::new(hash) {
        Ok(hash) => Argon2::default().verify_password(password.as_bytes(), &hash).is_ok(),
        Err(error) => {
            tracing::error!(%error, "a stored password hash cannot be read");
            false
        }
    }
}

/// `None` only where memory ran out: the list is then shorter than what was asked, and the asker takes it as a fault.
fn hash(password: &str, salt: &[u8; 16]) -> Option<String> {
    let hash: Result<argon2::password_hash::phc::PasswordHash, _> =
        Argon2::default().hash_password_with_salt(password.as_bytes(), salt);
    hash.inspect_err(|error| tracing::error!(%error, "a password could not be hashed"))
        .ok()
        .map(|hash| hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_hash(password: &str) -> String {
        let work = Work::Hash { passwords: vec![password.to_owned()], salts: vec![[7; 16]] };
        let Finding::Hashed(mut hashes) = work.run() else { unreachable!("hashing was asked") };
        hashes.remove(0)
    }

    fn run_verify(hash: &str, password: &str) -> bool {
        Work::Verify { hash: hash.to_owned(), password: password.to_owned() }.run() == Finding::Verified(true)
    }

    #[test]
    fn a_hash_verifies_its_password_alone() {
        let hash = run_hash("secret");
        assert!(run_verify(&hash, "secret"));
        assert!(!run_verify(&hash, "Secret"));
        assert!(!run_verify("", "secret"));
    }

    #[test]
    fn the_dummy_costs_as_much_as_a_real_hash() {
        let (real, dummy) = (run_hash("x"), PasswordHash::new(DUMMY_HASH).unwrap());
        let real = PasswordHash::new(&real).unwrap();
        assert_eq!((dummy.algorithm, dummy.version, &dummy.params), (real.algorithm, real.version, &real.params));
        assert_eq!(dummy.hash.unwrap().as_bytes().len(), real.hash.unwrap().as_bytes().len());
    }
}
