//! How a machine comes to trust certificates for development.

use super::dev;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// The authority of `tls: dev`, and how to trust it. `Display` prints it for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Its certificate.
    pub ca: PathBuf,
    /// It was made just now, so nobody can trust it yet.
    pub is_new: bool,
}

impl Trust {
    /// Commands by what they make trust it.
    #[must_use]
    pub fn commands(&self) -> Vec<(&'static str, String)> {
        let ca = quoted(&self.ca);
        let file = "flotilla-development-ca.crt";
        let nss = format!("certutil -A -t C,, -n 'Flotilla development CA' -i {ca} -d");
        vec![
            (
                "Debian, Ubuntu",
                format!(
                    "sudo cp {ca} /usr/local/share/ca-certificates/{file} && sudo update-ca-certificates"
                ),
            ),
            (
                "Fedora, RHEL",
                format!(
                    "sudo cp {ca} /etc/pki/ca-trust/source/anchors/{file} && sudo update-ca-trust"
                ),
            ),
            ("Arch", format!("sudo trust anchor --store {ca}")),
            (
                "macOS",
                format!(
                    "sudo security add-trusted-cert -d -r trustRoot -p ssl -k \
                     /Library/Keychains/System.keychain {ca}"
                ),
            ),
            ("Windows", format!("certutil -user -addstore Root {ca}")),
            ("Chrome on Linux", format!("{nss} sql:$HOME/.pki/nssdb")),
            ("Firefox", format!("for p in ~/.mozilla/firefox/*.default*; do {nss} sql:$p; done")),
            ("Node.js", format!("export NODE_EXTRA_CA_CERTS={ca}")),
            ("Python", format!("export SSL_CERT_FILE={ca} REQUESTS_CA_BUNDLE={ca}")),
            ("curl", format!("curl --cacert {ca} https://localhost:…")),
        ]
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "To let this machine trust the development CA {}", self.ca.display())?;
        writeln!(f, "(it can vouch only for {}):", dev::scope())?;
        for (what, command) in self.commands() {
            writeln!(f, "  {what:<16} {command}")?;
        }
        Ok(())
    }
}

/// A path as a shell takes it for one word.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@:".contains(&byte);
    if path.bytes().all(is_plain) {
        return path;
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}
