//! Certificates with their keys, by which a client proves itself.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm, SigningKey as _};
use serde_json::Value;

use super::issuer::encode;

/// A self-signed certificate with its key.
pub struct Pair {
    key: KeyPair,
    certificate: rcgen::Certificate,
}

impl Pair {
    /// A quick one, on the curve P-256.
    pub fn new() -> Self {
        Self::of(&rcgen::PKCS_ECDSA_P256_SHA256)
    }

    /// One for this algorithm.
    pub fn of(algorithm: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let mut params = CertificateParams::new(vec!["vicar".to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(2999, 1, 1);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { key, certificate }
    }

    /// The certificate as a PEM file.
    pub fn certificate(&self) -> String {
        self.certificate.pem()
    }

    /// The certificate itself.
    pub fn der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// The key as a PEM file.
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// Both in a PKCS#12 file. Few rounds, since nobody is to be kept out.
    pub fn pkcs12(&self, password: &str) -> Vec<u8> {
        let key = PrivateKey::from_der(self.key.serialized_der()).expect("a key");
        let certificate = Certificate::from_der(self.der()).expect("a certificate");
        let chain = PrivateKeyChain::new("1", key, [certificate]);
        let mut store = KeyStore::new();
        store.add_entry("vicar", KeyStoreEntry::PrivateKeyChain(chain));
        let writer = store.writer(password).encryption_iterations(16).mac_iterations(16);
        writer.write().expect("a PKCS#12 file")
    }

    /// The certificate's digest, as `x5t#S256` has it.
    pub fn thumbprint(&self) -> String {
        thumbprint(self.der())
    }

    /// An assertion with this header and these claims; of Ed25519 keys alone, whose signatures JWS has as
    /// they are.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.key.sign(message.as_bytes()).expect("signs");
        format!("{message}.{}", encode(signature))
    }

    /// Whether this key made the signature by this algorithm of JWS.
    pub fn made(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let known: &'static dyn VerificationAlgorithm = match algorithm {
            "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
            "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
            "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
            "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
            "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
            "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
            "ES256" => &signature::ECDSA_P256_SHA256_FIXED,
            "ES384" => &signature::ECDSA_P384_SHA384_FIXED,
            "ES512" => &signature::ECDSA_P521_SHA512_FIXED,
            "EdDSA" => &signature::ED25519,
            _ => return false,
        };
        let key = UnparsedPublicKey::new(known, self.key.public_key_raw());
        key.verify(message, signature).is_ok()
    }
}

/// A certificate's digest, as `x5t#S256` has it.
pub fn thumbprint(der: &[u8]) -> String {
    encode(digest(&SHA256, der))
}
