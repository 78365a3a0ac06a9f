//! Certificates from files that change.

mod made;

use super::{watch::Watcher, *};
use base::ErrorChain;
use runtime::Clock;
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    time::Duration,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

fn now() -> Timestamp {
    Clock::wall()
}

/// A certificate for `host` and its key, in PEM.
fn made(host: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A folder with `site.crt` and `site.key`.
struct Site(TempDir);

impl Site {
    fn new(host: &str) -> Self {
        let site = Self(TempDir::new().unwrap());
        let (certificate, key) = made(host);
        site.put("site.crt", &certificate);
        site.put("site.key", &key);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file beside and renames it, so that its stamp is another even within a clock tick.
    fn put(&self, name: &str, text: &str) {
        let beside = self.path("beside");
        fs::write(&beside, text).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(beside, self.path(name)).unwrap();
    }

    fn settings(&self) -> Settings {
        Settings::Files(vec![Files {
            certificate: self.path("site.crt"),
            key: self.path("site.key"),
        }])
    }

    fn load(&self) -> Certificates {
        Certificates::load(self.settings()).unwrap()
    }

    fn watcher(&self) -> Watcher {
        Watcher::new(self.load(), now())
    }
}

/// The hosts of the first certificate.
fn hosts(tls: &Tls) -> &[String] {
    &tls.certificates()[0].names
}

#[test]
fn replaced_files_are_used_and_others_not_read_again() {
    let site = Site::new("one.test");
    let mut watcher = site.watcher();
    assert!(watcher.look(now()).is_none());
    let (certificate, key) = made("two.test");
    site.put("site.crt", &certificate);
    site.put("site.key", &key);
    assert_eq!(hosts(&watcher.look(now()).unwrap()), ["two.test"]);
    assert!(watcher.look(now()).is_none());
}

#[test]
fn a_pair_that_is_written_one_after_the_other_is_used_when_it_is_whole() {
    let site = Site::new("one.test");
    let mut watcher = site.watcher();
    let (certificate, key) = made("two.test");
    site.put("site.crt", &certificate);
    assert!(watcher.look(now()).is_none());
    assert_eq!(watcher.said(), None, "it is not said while files are being written");
    site.put("site.key", &key);
    assert_eq!(hosts(&watcher.look(now()).unwrap()), ["two.test"]);
}

#[test]
fn a_bad_file_leaves_what_is_in_use_and_is_said_with_its_name() {
    let site = Site::new("one.test");
    let mut watcher = site.watcher();
    let check = |watcher: &mut Watcher, expected: &str| {
        for _ in 0..3 {
            assert!(watcher.look(now()).is_none());
        }
        let expected = expected.replace("$", &site.0.path().display().to_string());
        assert_eq!(watcher.said(), Some(&*expected));
    };
    let (certificate, key) = made("two.test");
    site.put("site.crt", "nothing of use");
    check(&mut watcher, "there is no certificate in `$/site.crt`");
    site.put("site.crt", &certificate);
    check(
        &mut watcher,
        "the private key in `$/site.key` does not belong to the certificate in `$/site.crt`",
    );
    fs::remove_file(site.path("site.key")).unwrap();
    check(&mut watcher, "cannot read `$/site.key`: No such file or directory (os error 2)");
    site.put("site.key", &key);
    assert_eq!(hosts(&watcher.look(now()).unwrap()), ["two.test"]);
    assert_eq!(watcher.said(), None);
}

#[test]
fn files_behind_a_link_that_is_set_anew_are_read() {
    let (one, two) = (Site::new("one.test"), Site::new("two.test"));
    let site = TempDir::new().unwrap();
    let link = site.path().join("live");
    symlink(one.0.path(), &link).unwrap();
    let files = Files { certificate: link.join("site.crt"), key: link.join("site.key") };
    let certificates = Certificates::load(Settings::Files(vec![files])).unwrap();
    let mut watcher = Watcher::new(certificates, now());
    let beside = site.path().join("beside");
    symlink(two.0.path(), &beside).unwrap();
    fs::rename(beside, link).unwrap();
    assert_eq!(hosts(&watcher.look(now()).unwrap()), ["two.test"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_publishes_new_certificates_until_it_is_dropped() {
    let site = Site::new("one.test");
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let watch = site.load().watch(move |tls| sender.send(tls).unwrap());
    let (certificate, key) = made("two.test");
    site.put("site.crt", &certificate);
    site.put("site.key", &key);
    let news = tokio::time::timeout(PATIENCE, receiver.recv()).await.unwrap().unwrap();
    assert_eq!(hosts(&news), ["two.test"]);
    drop(watch);
    assert!(receiver.recv().await.is_none(), "the task ended and took its end with it");
}

#[test]
fn files_that_cannot_be_used_are_refused_with_a_remedy() {
    let site = Site::new("one.test");
    let check = |certificate: &str, expected: &str, fix: &str| {
        let files = Files { certificate: site.path(certificate), key: site.path("site.key") };
        let error = Certificates::load(Settings::Files(vec![files])).unwrap_err();
        let said = ErrorChain(&error).to_string();
        assert_eq!(said, expected.replace("$", &site.0.path().display().to_string()));
        assert!(error.fix().contains(fix), "{}", error.fix());
    };
    check("no", "cannot read `$/no`: No such file or directory (os error 2)", "correct the path");
    check("", "`$/` is no file of at most 1 MiB", "own file");
    check("site.key", "there is no certificate in `$/site.key`", "mixed up");
    fs::File::create(site.path("huge")).unwrap().set_len(1 << 40).unwrap();
    check("huge", "`$/huge` is no file of at most 1 MiB", "own file");
    let error = Certificates::load(Settings::Files(Vec::new())).unwrap_err();
    assert_eq!(error.to_string(), "there is no certificate");
}

#[test]
fn a_key_that_everybody_can_read_is_a_warning() {
    let site = Site::new("one.test");
    assert_eq!(site.load().warnings(now()), Vec::<String>::new());
    let key = site.path("site.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = site.load().warnings(now());
    assert!(warnings[0].contains(&format!("`chmod 600 {}`", key.display())), "{warnings:?}");
}

#[test]
fn the_folder_of_the_ca_follows_the_environment() {
    let check = |xdg: Option<&str>, home: Option<&str>, expected: Option<&str>| {
        let folder = ca_folder(xdg.map(OsStr::new), home.map(OsStr::new));
        assert_eq!(folder.as_deref(), expected.map(Path::new));
    };
    check(Some("/data"), Some("/home/a"), Some("/data/flotilla/ca"));
    check(None, Some("/home/a"), Some("/home/a/.local/share/flotilla/ca"));
    check(Some("relative"), Some("/home/a"), Some("/home/a/.local/share/flotilla/ca"));
    check(Some(""), None, None);
    check(None, None, None);
}

#[test]
fn how_to_trust_the_ca_is_said_for_every_system() {
    let text = Trust { ca: PathBuf::from("/home/a/ca/root.crt"), is_new: true }.to_string();
    for part in [
        "names that end in .localhost, .test",
        "sudo cp /home/a/ca/root.crt /usr/local/share/ca-certificates/",
        "update-ca-trust",
        "security add-trusted-cert",
        "certutil -user -addstore Root",
        "sql:$HOME/.pki/nssdb",
        "NODE_EXTRA_CA_CERTS=/home/a/ca/root.crt",
        "curl --cacert /home/a/ca/root.crt",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let odd = Trust { ca: PathBuf::from("/home/it's me/root.crt"), is_new: true }.to_string();
    assert!(odd.contains(r"curl --cacert '/home/it'\''s me/root.crt'"), "{odd}");
}
