use super::*;
use crate::auth::testing::{RSA_N, SECRET, Signer};

/// The key of RFC 7515 §A.2 as `openssl rsa -pubout` writes it.
pub(crate) const RSA_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj
NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz
P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo
9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB
EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX
FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp
oQIDAQAB
-----END PUBLIC KEY-----
";
const RSA_PKCS1_PEM: &str = "-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd/wWJcyQoTbji9k0l8W2
6mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMs
D1W/YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5
z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxv
b3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxXFvUK+DWNmoudF8NAco9/h9iaGNj8q2et
hFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQIDAQAB
-----END RSA PUBLIC KEY-----
";
/// Made by `openssl ecparam -name prime256v1 -genkey` and `openssl genpkey -algorithm ed25519`.
const OTHERS_PEM: &str = "
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEuv1phbbcdYwP1Fe/TE5i6DYTz4tJ
zKCrj56+m23vOsyhmGEinka0y9uD3tNcs6CkMFy2ZtYh0+nKE4f1/uktww==
-----END PUBLIC KEY-----
-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEvtBLCzNEcDjgEhn1P7NPOynrwrwKll0V
UlXPn4C+hMjXrH3rqdVR46PqVmcAqvPCkAVXFksqRZ51aPbTBLnVDTPNN3xEeKCq
NZ47VeVtBs82c90uwPO5gh/eZcN7gi6t
-----END PUBLIC KEY-----
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAXdBAFGGDEm+6l8++H7w6Y8Pr2uB2/rdRlPgef8LxSZs=
-----END PUBLIC KEY-----
";
const P521_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBzLwh3C6ruwXrVVq8oUw6KTynzm9T
1RIxLW6kj+rDIS5pyjGRJBZwUoCoC8R4kwwdeC4ptEROTMlIelVhZ9xfyZMAj75p
3kpVF7rjnb3ncV4x1wShiBV04TprsBoHdRY6wuV0Q2WMz9JtIBNg+cZNbLBwe7xs
KJDZskYKWj9z1mnw7JM=
-----END PUBLIC KEY-----
";

#[test]
fn key_sets_are_read_and_what_cannot_be_used_is_left_out() {
    let rsa = format!(
        r#"{{"kty":"RSA","kid":"r","use":"sig","alg":"RS256","n":"{RSA_N}","e":"AQAB","x5c":["AA"]}}"#
    );
    let check = |key: &str, expected: &str| {
        let set =
            KeySet::from_jwks(format!(r#"{{"keys":[{rsa},{key}]}}"#).as_bytes(), Secrets::Refused)
                .unwrap();
        assert_eq!(set.notes().join("; "), expected, "{key}");
        assert_eq!(set.keys().len(), if expected.is_empty() { 2 } else { 1 });
    };
    let p256 = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
    check(&format!("{{{p256}}}"), "");
    check(&format!(r#"{{{p256},"alg":"ES256","key_ops":["verify"]}}"#), "");
    check(&format!(r#"{{{p256},"alg":"ES384"}}"#), "key 2: an algorithm that is not this key's");
    check(&format!(r#"{{{p256},"alg":"RSA-OAEP"}}"#), "key 2: an algorithm that is not supported");
    check(&format!(r#"{{{p256},"use":"enc"}}"#), "key 2: not for signatures");
    check(&format!(r#"{{{p256},"key_ops":["sign"]}}"#), "key 2: not for checking signatures");
    check(&format!(r#"{{{p256},"kid":7}}"#), "key 2: a member that should be text and is not");
    check(r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#, "");
    check(r#"{"kty":"OKP","crv":"X25519","x":"AA"}"#, "key 2: a curve other than Ed25519");
    check(
        r#"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#,
        "key 2: an Ed25519 key that has not 32 bytes",
    );
    check(
        r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#,
        "key 2: an elliptic curve other than P-256 and P-384",
    );
    check(&p256_with("x", "AAAA"), "key 2: coordinates of the wrong size");
    check(r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#, "key 2: an RSA key below 2048 bits");
    check(&format!(r#"{{"kty":"RSA","n":"{RSA_N}","e":"AQ"}}"#), "key 2: no RSA key");
    check(&format!(r#"{{"kty":"RSA","n":"{RSA_N}","e":"Ag"}}"#), "key 2: no RSA key");
    check(
        &format!(r#"{{"kty":"RSA","n":"{RSA_N}=","e":"AQAB"}}"#),
        "key 2: a member that is no base64url",
    );
    check(&format!(r#"{{"kty":"RSA","n":"{RSA_N}"}}"#), "key 2: a member is missing");
    check(&format!(r#"{{"kty":"oct","k":"{SECRET}"}}"#), "key 2: a secret among public keys");
    check(r#"{"kty":"AKP"}"#, "key 2: an unknown kind of key");
    check("{}", "key 2: no `kty`");
    check("7", "key 2: no object");
}

fn p256_with(member: &str, value: &str) -> String {
    format!(
        r#"{{"kty":"EC","crv":"P-256","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","{member}":"{value}"}}"#
    )
}

#[test]
fn what_is_no_key_set_is_refused() {
    let read = |text: &str| {
        KeySet::from_jwks(text.as_bytes(), Secrets::Allowed).map(|set| set.keys().len())
    };
    assert_eq!(read(""), Err(Error::Malformed("no valid JSON")));
    assert_eq!(read("{}"), Err(Error::Malformed("a key set without `keys`")));
    assert_eq!(read(r#"{"keys":{}}"#), Err(Error::Malformed("a key set without `keys`")));
    assert_eq!(read(r#"{"keys":[]}"#), Err(Error::Empty(vec![])));
    assert_eq!(read(r#"{"keys":[],"keys":[]}"#), Err(Error::Malformed("no valid JSON")));
    assert_eq!(
        read(r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#).unwrap_err().to_string(),
        "no usable key in the set: key 1: an HMAC secret below 32 bytes"
    );
    assert_eq!(read(&" ".repeat(300_000)), Err(Error::TooLarge));
    let many = vec![format!(r#"{{"kty":"oct","k":"{SECRET}"}}"#); 70].join(",");
    assert_eq!(read(&format!(r#"{{"keys":[{many}]}}"#)), Ok(64));
    let bad = vec!["1"; 50_000].join(",");
    assert!(read(&format!(r#"{{"keys":[{bad}]}}"#)).is_err());
}

#[test]
fn public_keys_in_pem_form_are_read() {
    let rsa = Signer::rsa(&ring::signature::RSA_PKCS1_SHA256).key();
    assert_eq!(KeySet::from_pem(RSA_PEM).unwrap().keys(), std::slice::from_ref(&rsa));
    assert_eq!(KeySet::from_pem(RSA_PKCS1_PEM).unwrap().keys(), std::slice::from_ref(&rsa));
    assert_eq!(
        KeySet::from_pem(&RSA_PEM.replace('\n', "\r\n")).unwrap().keys(),
        std::slice::from_ref(&rsa)
    );
    let others = KeySet::from_pem(OTHERS_PEM).unwrap();
    let kinds: Vec<String> = others.keys().iter().map(|key| format!("{key:?}")).collect();
    assert_eq!(kinds.len(), 3);
    assert!(
        kinds[0].contains("P-256") && kinds[1].contains("P-384") && kinds[2].contains("Ed25519"),
        "{kinds:?}"
    );
    let refuse = |text: &str, expected: &'static str| {
        assert_eq!(KeySet::from_pem(text), Err(Error::Malformed(expected)), "{text}");
    };
    refuse("", "no public key in PEM form");
    refuse(P521_PEM, "an elliptic curve other than P-256 and P-384");
    refuse(
        &RSA_PEM.replace("PUBLIC KEY", "PRIVATE KEY"),
        "a private key, which does not belong here: give the public one",
    );
    refuse(&RSA_PEM.replace("PUBLIC KEY", "CERTIFICATE"), "a PEM block that is no public key");
    refuse(&RSA_PEM.replace("END PUBLIC", "END"), "a PEM block that ends as another");
    refuse(RSA_PEM.split("-----END").next().unwrap(), "a PEM block without its end");
    refuse(&RSA_PEM.replace("MII", "M!I"), "a PEM block that is no base64");
    refuse(&RSA_PEM.replace("MII", "AAA"), "a public key that is broken");
}

#[test]
fn a_damaged_pem_file_is_refused_and_never_panics() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let body: String = RSA_PEM.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body).unwrap();
    for at in 0..der.len() {
        let short = STANDARD.encode(&der[..at]);
        assert!(
            KeySet::from_pem(&format!(
                "-----BEGIN PUBLIC KEY-----\n{short}\n-----END PUBLIC KEY-----"
            ))
            .is_err()
        );
        for flip in [0x01, 0x80, 0xff] {
            let mut bent = der.clone();
            bent[at] ^= flip;
            let bent = STANDARD.encode(&bent);
            let _ = KeySet::from_pem(&format!(
                "-----BEGIN PUBLIC KEY-----\n{bent}\n-----END PUBLIC KEY-----"
            ));
        }
    }
}

#[test]
fn secrets_are_long_and_stay_out_of_what_is_printed() {
    assert!(KeySet::from_secret(&[7; 31]).is_err());
    let set = KeySet::from_secret(b"0123456789abcdef0123456789abcdef").unwrap();
    assert!(!format!("{set:?}").contains("48, 49"), "{set:?}");
    let key = &set.keys()[0];
    assert!(
        key.allows(Algorithm::Hs256)
            && !key.allows(Algorithm::Hs384)
            && !key.allows(Algorithm::Hs512)
    );
}
