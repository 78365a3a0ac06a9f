//! Basic credentials and stored hashes.

use base64::{Engine, engine::general_purpose::STANDARD};
use policy::auth::{basic, keys};

/// Credentials have one spelling and no control characters; a key's hash reads back.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Some((name, password)) = basic::parse(text) {
        assert!(!name.contains(':'), "the name ends at the first colon");
        assert!(!name.contains(char::is_control) && !password.contains(char::is_control));
        assert_eq!(STANDARD.encode(format!("{name}:{password}")), text);
    }
    let packed = STANDARD.encode(data);
    if let Some((name, password)) = basic::parse(&packed) {
        assert_eq!(format!("{name}:{password}"), text);
    }
    if let Some(hash) = keys::parse_hash(text) {
        let written: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(format!("sha256:{written}"), text.to_ascii_lowercase());
    }
    if let Some(cost) = basic::parse_hash(text) {
        assert!(text.len() == 60 && (4..=31).contains(&cost), "cost {cost}");
    }
}
