//! A JSON Web Token in compact form (RFC 7515 §3.1), taken apart; nothing of it is believed yet.

use super::super::{json, jwks::KEY_ID_SIZE_MAX, key::Algorithm};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

/// Larger ones do not fit the header limits of common servers either (nginx: 8 KiB a line).
pub const TOKEN_SIZE_MAX: usize = 8 * 1024;

/// A token's parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Token<'a> {
    /// How it says that it is signed.
    pub algorithm: Algorithm,
    /// Which key it says that it is signed with.
    pub key_id: Option<String>,
    /// What it says.
    pub claims: Map<String, Value>,
    /// The bytes that the signature covers.
    pub signed: &'a [u8],
    /// The signature.
    pub signature: Vec<u8>,
}

/// Takes a token apart. What it asks its reader to fetch (`jku`, `x5u`) or to trust (`jwk`, `x5c`) is not
/// looked at: keys come from the configuration only (RFC 8725 §3.10).
///
/// # Errors
/// A fixed phrase that is safe in a header; nothing of the token is repeated.
pub fn parse(text: &str) -> Result<Token<'_>, &'static str> {
    const SHAPE: &str = "the token is malformed";
    if text.len() > TOKEN_SIZE_MAX {
        return Err("the token is too large");
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(SHAPE)?;
    let (header, payload) = signed.split_once('.').ok_or(SHAPE)?;
    // Five parts are an encrypted token; the decoder refuses the dots. Padding, white space and unused bits
    // that are set are refused too, so that one token has one spelling.
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_where| SHAPE);
    let header = json::object(&decode(header)?).map_err(|_why| SHAPE)?;
    let (algorithm, key_id) = read_header(&header)?;
    Ok(Token {
        algorithm,
        key_id,
        claims: json::object(&decode(payload)?).map_err(|_why| SHAPE)?,
        signed: signed.as_bytes(),
        signature: decode(signature)?,
    })
}

fn read_header(header: &Map<String, Value>) -> Result<(Algorithm, Option<String>), &'static str> {
    let text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err("the token's header is malformed"),
    };
    if header.contains_key("crit") {
        // RFC 7515 §4.1.11: whoever does not know an extension must refuse; we know none.
        return Err("the token needs an extension that is not supported");
    }
    let algorithm = text("alg")?.and_then(Algorithm::from_name);
    let algorithm = algorithm.ok_or("the token's algorithm is not allowed")?;
    if let Some(kind) = text("typ")? {
        // RFC 8725 §3.11: a logout or proof-of-possession token of the same issuer is no access token.
        let kind = kind.to_ascii_lowercase();
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        if !matches!(kind, "jwt" | "at+jwt" | "jose") {
            return Err("the token is of another type");
        }
    }
    let key_id = text("kid")?;
    if key_id.is_some_and(|id| id.len() > KEY_ID_SIZE_MAX) {
        return Err("the token's header is malformed");
    }
    Ok((algorithm, key_id.map(str::to_owned)))
}
