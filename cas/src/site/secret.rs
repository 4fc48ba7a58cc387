//! Secrets of devices: sealed where they must be had again in clear, hashed where they are only compared with.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use md5::{Digest, Md5};
use sha2::Sha256;

use super::{Access, DigestPolicy, User};

const NONCE: usize = 12;

/// Bytes sealed under the machine key: nonce, then ciphertext and tag.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(pub Vec<u8>);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(…)")
    }
}

/// The key of this machine, kept beside the store (mode 0600): seals what must not be read from a stolen database.
#[derive(Clone)]
pub struct MachineKey(pub [u8; 32]);

impl fmt::Debug for MachineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineKey(…)")
    }
}

impl MachineKey {
    /// Seals with ChaCha20-Poly1305 (RFC 8439). A nonce must be random: one used twice under a key gives both texts away.
    pub fn seal(&self, nonce: [u8; NONCE], clear: &[u8]) -> Sealed {
        let sealed = self
            .cipher()
            .encrypt(&Nonce::from(nonce), clear)
            .expect("ChaCha20-Poly1305 seals anything shorter than 256 GB");
        Sealed([nonce.as_slice(), &sealed].concat())
    }

    /// What was sealed; `None` where it was sealed under another key, or was changed since.
    pub fn open(&self, sealed: &Sealed) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.0.split_first_chunk::<NONCE>()?;
        self.cipher().decrypt(&Nonce::from(*nonce), text).ok()
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&Key::from(self.0))
    }
}

/// Without the hashes, which can be guessed against.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("User");
        fields.field("id", &self.id).field("login", &self.login).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Without H(A1), which is as good as the secret.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Access::Digest { sip_user, policy, .. } => {
                let mut fields = f.debug_struct("Digest");
                fields.field("sip_user", sip_user).field("policy", policy).finish_non_exhaustive()
            }
            Access::Address(address) => f.debug_tuple("Address").field(address).finish(),
        }
    }
}

impl Access {
    /// Access by digest: the secret sealed, and H(user:realm:secret) (RFC 7616 §3.4.2) of both hashes beside it.
    pub fn digest(
        key: &MachineKey,
        nonce: [u8; NONCE],
        sip_user: &str,
        realm: &str,
        secret: &str,
        policy: Option<DigestPolicy>,
    ) -> Access {
        let a1 = format!("{sip_user}:{realm}:{secret}");
        Access::Digest {
            sip_user: sip_user.to_owned(),
            secret: key.seal(nonce, secret.as_bytes()),
            ha1_md5: hex::encode(Md5::digest(&a1)),
            ha1_sha256: hex::encode(Sha256::digest(&a1)),
            policy,
        }
    }
}
