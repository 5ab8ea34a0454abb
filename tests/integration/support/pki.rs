//! Keys and certificates made for one test, in a folder that goes when it is dropped.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate authority and its folder.
pub struct Pki {
    folder: PathBuf,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// A new authority; `ca.crt` is in the folder.
    pub fn new() -> Self {
        let number = fastrand::u64(..);
        let folder = std::env::temp_dir().join(format!("vicar-pki-{number:x}"));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca = CertifiedIssuer::self_signed(params, key).expect("a CA");
        std::fs::write(folder.join("ca.crt"), ca.pem()).expect("writes");
        Self { folder, ca }
    }

    /// Issues a certificate for `host` as `<name>.crt` and `<name>.key`.
    pub fn issue(&self, name: &str, host: &str) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.ca).expect("signs");
        // Each file is swapped in whole, as kubelet does.
        for (kind, text) in [("crt", certificate.pem()), ("key", key.serialize_pem())] {
            let next = self.folder.join("next");
            std::fs::write(&next, text).expect("writes");
            std::fs::rename(&next, self.folder.join(format!("{name}.{kind}"))).expect("swaps");
        }
    }

    /// The SHA-256 digest of `<name>.crt`, base64url.
    pub fn digest(&self, name: &str) -> String {
        let path = self.path(&format!("{name}.crt"));
        let certificates = vicar::identity::certificates(path.as_ref()).expect("a certificate");
        super::issuer::encode(digest(&SHA256, &certificates[0]))
    }

    /// A TLS connection to `address` that offers these protocols, as `identity` if one is named; with
    /// the certificate it was shown.
    pub async fn connect(
        &self,
        address: &str,
        alpn: &[&str],
        identity: Option<&str>,
    ) -> std::io::Result<(TlsStream<TcpStream>, Vec<u8>)> {
        let roots = vicar::tls::roots(Some(self.path("ca.crt").as_ref())).expect("roots");
        let identity = identity.map(|name| {
            let key = std::fs::read_to_string(self.path(&format!("{name}.key"))).expect("a key");
            let certificate = self.path(&format!("{name}.crt"));
            vicar::identity::Identity::load(certificate.as_ref(), &key.into()).expect("an identity")
        });
        let mut config = vicar::tls::client(roots, identity.as_ref()).expect("a config");
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TcpStream::connect(address).await?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().expect("a certificate")[0].to_vec();
        Ok((stream, shown))
    }

    /// A file's path.
    pub fn path(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }
}

impl Drop for Pki {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
