//! A server over HTTP/2 whose last words repeat what it was sent: the debug data of a GOAWAY frame
//! (RFC 9113 section 6.8), which HTTP libraries gladly put into their errors.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    sync::Arc,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};

use super::marker::{SECRET, TOKEN};
use crate::{h2, party::listen};

/// The same behind TLS, where HTTP/2 is negotiated.
#[derive(Debug)]
pub(crate) struct TlsGoaway {
    pub(crate) address: SocketAddr,
    /// PEM; the one to trust.
    pub(crate) certificate: String,
}

impl TlsGoaway {
    pub(crate) fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
        let rcgen::CertifiedKey { cert, signing_key } = made.expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider's own versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a key that fits");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let config = Arc::new(config);
        let address = listen(move |stream| {
            let tls = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            serve(&mut StreamOwned::new(tls, stream))
        });
        Self { address, certificate: cert.pem() }
    }
}

/// Waits for a request and ends the connection with a reason that repeats its credential.
pub(crate) fn serve(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&h2::frame(h2::SETTINGS, 0, &[]))?;
    stream.read_exact(&mut [0; PREFACE])?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        io::copy(&mut Read::by_ref(stream).take(length.into()), &mut io::sink())?;
        if head[3] == h2::HEADERS {
            let words = format!("bad token {TOKEN} or secret {SECRET}");
            stream.write_all(&h2::goaway(words.as_bytes()))?;
            return stream.flush();
        }
    }
}

/// Bytes of a client's connection preface before its first frame.
const PREFACE: usize = 24;
