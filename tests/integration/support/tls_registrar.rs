//! The same authority over TLS, where certificates are shown in the handshake (RFC 8705 section 2).

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::pairs::thumbprint;
use super::pki::Pki;
use super::registrar::{Proof, Registrar, Shared, serve};

/// Where a certificate that is not good is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuses {
    /// In an answer: `invalid_client`.
    InAnAnswer,
    /// In the handshake, as servers that know only some issuers do.
    InTheHandshake,
}

/// Starts one at `https://localhost`, with a certificate of this PKI.
pub async fn start(pki: &Pki, proofs: Vec<Proof>, refuses: Refuses) -> Registrar {
    pki.issue("authority", "localhost");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let port = listener.local_addr().expect("bound").port();
    let shared = Shared::new(format!("https://localhost:{port}"), proofs);
    let door = Door { shared: Arc::clone(&shared), refuses };
    let file = |name: &str| std::fs::read(pki.path(name)).expect("a file");
    let certificate = CertificateDer::from_pem_slice(&file("authority.crt")).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(&file("authority.key")).expect("PEM");
    let config = ServerConfig::builder_with_provider(vicar::tls::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(Arc::new(door))
        .with_single_cert(vec![certificate], key)
        .expect("a config");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = tokio::spawn({
        let shared = Arc::clone(&shared);
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let shown = stream.get_ref().1.peer_certificates();
                    let shown = shown.map(|certificates| thumbprint(&certificates[0]));
                    serve(stream, shared, shown).await;
                });
            }
        }
    });
    Registrar::with(shared, server)
}

/// Looks at certificates in the handshake.
struct Door {
    shared: Arc<Shared>,
    refuses: Refuses,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({:?})", self.refuses)
    }
}

impl ClientCertVerifier for Door {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.refuses == Refuses::InAnAnswer || self.shared.admits(end_entity) {
            return Ok(ClientCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = vicar::tls::provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = vicar::tls::provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vicar::tls::provider().signature_verification_algorithms.supported_schemes()
    }
}
