//! Keys that signatures are checked with, each bound to the algorithms it may be used for.
//!
//! The key decides, never the token: an RSA key checks RSA signatures and nothing else, so the text of a public
//! key cannot be taken for an HMAC secret (RFC 8725 §2.1, §3.1). The cryptography is `ring`'s.

use ring::{
    hmac,
    signature::{
        self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RsaParameters,
        RsaPublicKeyComponents, UnparsedPublicKey,
    },
};
use std::fmt;

/// Fewer bits than that are broken or soon will be (RFC 7518 §3.3).
pub const RSA_BITS_MIN: usize = 2048;
/// More would let one request cost milliseconds; also `ring`'s limit.
pub const RSA_BITS_MAX: usize = 8192;
/// An HMAC secret is at least as long as the hash (RFC 7518 §3.2): 32 bytes for HS256.
pub const SECRET_SIZE_MIN: usize = 32;
/// Nobody's secret is longer; a file that is, is the wrong file.
pub const SECRET_SIZE_MAX: usize = 4096;

/// A signature algorithm of RFC 7518 and RFC 8037. `none` is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name is the algorithm's own")]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
    Hs256,
    Hs384,
    Hs512,
}

impl Algorithm {
    /// All of them, in the order of RFC 7518.
    pub const ALL: [Self; 12] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Es256,
        Self::Es384,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::EdDsa,
    ];

    /// The algorithm a token or key calls `name`, in exactly that case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        // RFC 9864 names EdDSA over that curve anew.
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name in a token's header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }
}

/// A key and what it may be used for.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: Option<String>,
    material: Material,
    /// The one its owner names, or any that fits the material.
    only: Option<Algorithm>,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    /// Big-endian without leading zeros.
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    /// An uncompressed point.
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
    Secret(Vec<u8>),
}

impl Key {
    /// An RSA key; numbers big-endian.
    ///
    /// # Errors
    /// Why it is none that may be used.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, &'static str> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        let bits = modulus.first().map_or(0, |first| {
            modulus.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0)
        });
        let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
        if bits < RSA_BITS_MIN {
            return Err("an RSA key below 2048 bits");
        }
        if bits > RSA_BITS_MAX {
            return Err("an RSA key above 8192 bits");
        }
        // 1 would make every signature valid; above 33 bits `ring` takes none.
        let is_sane = is_odd(exponent) && exponent != [1] && exponent.len() <= 4;
        if !is_odd(modulus) || !is_sane {
            return Err("no RSA key");
        }
        Ok(Self::of(Material::Rsa { modulus: modulus.to_vec(), exponent: exponent.to_vec() }))
    }

    /// A key on P-256 by its coordinates of 32 bytes, or on P-384 by those of 48.
    ///
    /// # Errors
    /// When they are of another size.
    pub fn elliptic(x: &[u8], y: &[u8]) -> Result<Self, &'static str> {
        let point = [&[4], x, y].concat();
        match (x.len(), y.len()) {
            (32, 32) => Ok(Self::of(Material::P256(point))),
            (48, 48) => Ok(Self::of(Material::P384(point))),
            _ => Err("coordinates of the wrong size"),
        }
    }

    /// An Ed25519 key of 32 bytes.
    ///
    /// # Errors
    /// When it is of another size.
    pub fn ed25519(key: &[u8]) -> Result<Self, &'static str> {
        if key.len() == 32 {
            Ok(Self::of(Material::Ed25519(key.to_vec())))
        } else {
            Err("an Ed25519 key that has not 32 bytes")
        }
    }

    /// An HMAC secret. HS384 and HS512 are allowed from 48 and 64 bytes on (RFC 7518 §3.2).
    ///
    /// # Errors
    /// When it is too short, too long, or the text of a public key, which is no secret.
    pub fn secret(secret: &[u8]) -> Result<Self, &'static str> {
        if secret.windows(11).any(|part| part == b"-----BEGIN ") {
            return Err("a key in PEM form is no HMAC secret");
        }
        match secret.len() {
            ..SECRET_SIZE_MIN => Err("an HMAC secret below 32 bytes"),
            SECRET_SIZE_MIN..=SECRET_SIZE_MAX => Ok(Self::of(Material::Secret(secret.to_vec()))),
            _ => Err("an HMAC secret above 4 KiB"),
        }
    }

    fn of(material: Material) -> Self {
        Self { id: None, material, only: None }
    }

    /// The same with an identifier; without one it may check tokens of any `kid`.
    #[must_use]
    pub fn with_id(self, id: Option<String>) -> Self {
        Self { id, ..self }
    }

    /// The same for one algorithm only.
    ///
    /// # Errors
    /// When it is not one of that key's.
    pub fn with_only(self, only: Algorithm) -> Result<Self, &'static str> {
        if self.allows(only) {
            Ok(Self { only: Some(only), ..self })
        } else {
            Err("an algorithm that is not this key's")
        }
    }

    /// Its identifier.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether it is a secret, which must not come from where anyone can read it.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        matches!(self.material, Material::Secret(_))
    }

    /// Whether signatures of `algorithm` may be checked with it.
    #[must_use]
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Hs256, Hs384, Hs512};
        let fits = match &self.material {
            Material::Rsa { .. } => rsa_parameters(algorithm).is_some(),
            Material::P256(_) => algorithm == Es256,
            Material::P384(_) => algorithm == Es384,
            Material::Ed25519(_) => algorithm == EdDsa,
            Material::Secret(secret) => match algorithm {
                Hs256 => true,
                Hs384 => secret.len() >= 48,
                Hs512 => secret.len() >= 64,
                _ => false,
            },
        };
        fits && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether `signature` of `message` is this key's by `algorithm`; never, when the key does not allow it.
    #[must_use]
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.allows(algorithm) {
            return false;
        }
        let by = |parameters: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(parameters, key).verify(message, signature).is_ok()
        };
        match &self.material {
            Material::Rsa { modulus, exponent } => {
                rsa_parameters(algorithm).is_some_and(|parameters| {
                    let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                    key.verify(parameters, message, signature).is_ok()
                })
            }
            Material::P256(point) => by(&ECDSA_P256_SHA256_FIXED, point),
            Material::P384(point) => by(&ECDSA_P384_SHA384_FIXED, point),
            Material::Ed25519(key) => by(&ED25519, key),
            Material::Secret(secret) => {
                let hash = match algorithm {
                    Algorithm::Hs384 => hmac::HMAC_SHA384,
                    Algorithm::Hs512 => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::verify(&hmac::Key::new(hash, secret), message, signature).is_ok()
            }
        }
    }
}

impl fmt::Debug for Key {
    /// Without the material, which may be a secret.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.material {
            Material::Rsa { .. } => "RSA",
            Material::P256(_) => "P-256",
            Material::P384(_) => "P-384",
            Material::Ed25519(_) => "Ed25519",
            Material::Secret(_) => "secret",
        };
        to.debug_struct("Key")
            .field("id", &self.id)
            .field("kind", &kind)
            .field("only", &self.only)
            .finish()
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    &number[start..]
}
