//! The examples of the RFCs.
use super::*;

const HS256: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
/// RFC 7515 §A.5: an unsecured token.
const NONE: &str = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";

fn check(keys: &str, token: &str) {
    let set =
        KeySet::from_jwks(format!(r#"{{"keys":[{keys}]}}"#).as_bytes(), Secrets::Allowed).unwrap();
    let jwt = jwt(set);
    let then = Now { timestamp: Timestamp(1_300_819_379_000_000), ..at(0) };
    let identity = jwt.verify(token, then).unwrap();
    assert_eq!(identity.claim("iss").as_deref(), Some("joe"));
    assert_eq!(identity.claim("http://example.com/is_root").as_deref(), Some("true"));
    let later = Now { timestamp: Timestamp(1_300_819_440_000_000), ..at(0) };
    assert_eq!(jwt.verify(token, later).unwrap_err().description(), "the token has expired");
}

#[test]
fn tokens_of_rfc_7515_pass_until_they_expire() {
    check(&format!(r#"{{"kty":"oct","k":"{SECRET}"}}"#), HS256);
    check(&format!(r#"{{"kty":"RSA","n":"{RSA_N}","e":"AQAB"}}"#), RS256);
    let (x, y) = (
        "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    );
    check(&format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#), ES256);
}

#[test]
fn the_unsecured_token_of_rfc_7515_is_refused() {
    assert_eq!(say(&jwt(Signer::hmac().key_set()), NONE), NOT_ALLOWED);
}

#[test]
fn the_signature_of_rfc_8037_is_right() {
    let key = Key::ed25519(&decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")).unwrap();
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = decode(
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    assert!(key.verify(Algorithm::EdDsa, message, &signature));
    assert!(!key.verify(Algorithm::EdDsa, b"another", &signature));
}
