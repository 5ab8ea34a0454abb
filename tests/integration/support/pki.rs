//! Keys and certificates made for one test, in a folder that goes when it is dropped.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

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
