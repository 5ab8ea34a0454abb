//! A private key that signs assertions.
//!
//! Part of `authority::credential`. The library holds the key and wipes it when dropped.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaEncoding,
};
use rustls::pki_types::PrivateKeyDer;

use crate::algorithm::{Algorithm, Family};

/// A private key and what it may sign with.
pub(super) enum SigningKey {
    Rsa(Box<rsa::KeyPair>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Takes a key in any of its DER forms.
    ///
    /// # Errors
    /// When it is of another kind than RSA (2048 bits and more), P-256, P-384 or Ed25519.
    pub(super) fn from_der(der: &PrivateKeyDer<'_>) -> Result<Self, String> {
        let der_bytes = der.secret_der();
        let rsa = match der {
            PrivateKeyDer::Pkcs1(_) => rsa::KeyPair::from_der(der_bytes),
            _ => rsa::KeyPair::from_pkcs8(der_bytes),
        };
        if let Ok(key) = rsa {
            return Ok(Self::Rsa(Box::new(key)));
        }
        let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm| match der {
            PrivateKeyDer::Sec1(_) => EcdsaKeyPair::from_private_key_der(algorithm, der_bytes),
            _ => EcdsaKeyPair::from_pkcs8(algorithm, der_bytes),
        };
        if let Ok(key) = ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING) {
            return Ok(Self::P256(key));
        }
        if let Ok(key) = ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING) {
            return Ok(Self::P384(key));
        }
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der_bytes) {
            return Ok(Self::Ed25519(key));
        }
        Err("the private key is none that signs here: RSA of 2048 to 8192 bits, P-256, P-384, Ed25519"
            .to_owned())
    }

    /// What it signs with unless the user chose; `pss` says which of the two RSA paddings.
    pub(super) fn default_algorithm(&self, pss: bool) -> Algorithm {
        match self {
            Self::Rsa(_) if pss => Algorithm::Ps256,
            Self::Rsa(_) => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::P384(_) => Algorithm::Es384,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// What algorithms it can be used with.
    pub(super) fn family(&self) -> Family {
        match self {
            Self::Rsa(_) => Family::Rsa,
            Self::P256(_) => Family::P256,
            Self::P384(_) => Family::P384,
            Self::Ed25519(_) => Family::Ed25519,
        }
    }

    /// Signs as RFC 7515 writes signatures.
    ///
    /// # Errors
    /// When the library cannot, for example for want of randomness.
    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, String> {
        let failed = |_| "signing failed".to_owned();
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let padding = padding(algorithm).ok_or_else(|| unfit(algorithm))?;
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Self::P256(key) | Self::P384(key) => {
                Ok(key.sign(&random, message).map_err(failed)?.as_ref().to_vec())
            }
            Self::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
        }
    }
}

/// Why a key and an algorithm do not go together.
pub(super) fn unfit(algorithm: Algorithm) -> String {
    format!("the private key cannot sign with {algorithm}; leave `algorithm` out for its own")
}

fn padding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
    })
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.family()).finish()
    }
}
