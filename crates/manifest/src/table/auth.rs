//! The keys of `auth`: who may use a route.

use super::{BOOL, DURATION, TEXT, TEXT_OR_TEXTS, key};
use crate::shape::{Form, Key, Shape, Table};

/// The ways that a route can choose from those of the gateway.
pub(crate) const WAYS: &[&str] = &["none", "jwt", "api_keys", "basic"];

static WAY: Shape = Shape::Scalar(Form::Word(&["jwt", "api_keys", "basic"]));
static DEFAULT: Shape = Shape::Any(&[Shape::Scalar(Form::Word(WAYS)), Shape::List(&WAY)]);
static WHO: Shape =
    Shape::Any(&[Shape::Scalar(Form::Word(WAYS)), Shape::List(&WAY), Shape::Keys(&AUTH_KEYS)]);

/// `auth`, of the gateway and of a route.
pub(crate) const AUTH: Key = key(
    "auth",
    &WHO,
    "none",
    "{ jwt: { jwks: \"https://id.example/jwks.json\", audience: shop } }",
    "Who may use it: a map of ways to prove it, of which one is enough. A route may write `none`, or names of the gateway's ways (`jwt`, `[jwt, api_keys]`).",
);

static AUTH_KEYS: Table = Table {
    name: "auth",
    doc: "Ways to prove who one is. A request without proof gets 401.",
    keys: &[
        key("jwt", &JWT, "", "{ jwks: \"https://id.example/jwks.json\" }", "A signed token."),
        key(
            "api_keys",
            &API_KEYS,
            "",
            "{ keys: { partner: \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\" } }",
            "A secret that a client sends in a header.",
        ),
        key(
            "basic",
            &BASIC,
            "",
            "{ users: { ann: \"$2b$12$WApznUPhDubN0oeveSXHp.Nj6Hs8a0b1kTsf3eHbQ9lZ1u0yE3a6C\" } }",
            "A user and a password, asked by the browser.",
        ),
        key(
            "subject_header",
            &Shape::Scalar(Form::Header),
            "none",
            "X-User",
            "A header that tells the service who it is: a token's `sub`, the name of an API key, a user. What a client sent in it is removed.",
        ),
        key(
            "default",
            &DEFAULT,
            "all of them",
            "none",
            "Which of these ways routes take that say nothing. `none`: they are open.",
        ),
    ],
    hints: &[
        ("bearer", "write `jwt:`"),
        ("token", "write `jwt:`"),
        ("oidc", "write `jwt: { issuer: …, jwks: … }`"),
        ("oauth2", "write `jwt: { issuer: …, jwks: … }`"),
        ("api_key", "write `api_keys:`"),
        ("keys", "write `api_keys: { keys: … }`"),
        ("users", "write `basic: { users: … }`"),
        ("none", "write `auth: none`"),
    ],
    later: &["mtls", "forward", "external", "session"],
};

const ALGORITHMS: Form = Form::Word(&[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256",
    "HS384", "HS512",
]);
static ALGORITHM: Shape =
    Shape::Any(&[Shape::Scalar(ALGORITHMS), Shape::List(&Shape::Scalar(ALGORITHMS))]);
static CLAIM_HEADERS: Shape = Shape::Names { what: "header", value: &TEXT };

static JWT: Shape = Shape::Keys(&Table {
    name: "jwt",
    doc: "A signed token (JWT), sent as `Authorization: Bearer …`. Its signature, `exp`, `nbf`, and what is written here must hold; `alg: none` is never accepted.",
    keys: &[
        key(
            "jwks",
            &TEXT,
            "",
            "https://id.example/jwks.json",
            "The keys that signatures are checked with: a URL, read anew by itself, or a file, read again when it changes.",
        ),
        key(
            "secret",
            &Shape::Scalar(Form::Secret),
            "",
            "${JWT_SECRET:-a-secret-of-thirty-two-bytes-or-more}",
            "Instead of `jwks`: the secret of HS256, HS384 or HS512, of 32 bytes or more.",
        ),
        key("issuer", &TEXT_OR_TEXTS, "any", "https://id.example/", "`iss` must be one of these."),
        key("audience", &TEXT_OR_TEXTS, "any", "shop", "`aud` must have one of these."),
        key(
            "algorithms",
            &ALGORITHM,
            "those of the keys",
            "[RS256, ES256]",
            "The algorithms that signatures may have.",
        ),
        key(
            "leeway",
            &DURATION,
            "60s",
            "30s",
            "How far clocks may differ when `exp` and `nbf` are checked.",
        ),
        key("scopes", &TEXT_OR_TEXTS, "none", "[shop]", "Scopes that every token must have."),
        key(
            "claim_headers",
            &CLAIM_HEADERS,
            "",
            "{ X-User: sub }",
            "Headers that tell the service a claim; `a.b` is the claim `b` inside `a`. What a client sent in such a header is removed.",
        ),
        key(
            "cookie",
            &Shape::Scalar(Form::Cookie),
            "",
            "session",
            "The token stands in this cookie instead of `Authorization`. Browsers send cookies by themselves: the service needs its own guard against forged requests.",
        ),
        key(
            "header",
            &Shape::Scalar(Form::Header),
            "",
            "X-Access-Token",
            "The token stands in this header instead of `Authorization`, with or without `Bearer`.",
        ),
        key("require_expiry", &BOOL, "true", "false", "Whether a token without `exp` is refused."),
        key("forward", &BOOL, "true", "false", "Whether the service gets the token too."),
    ],
    hints: &[
        ("jwks_url", "write `jwks:`"),
        ("jwks_uri", "write `jwks:`"),
        ("jwks_file", "write `jwks:`"),
        ("url", "write `jwks:`"),
        ("key", "write `jwks:` for public keys, `secret:` for a shared one"),
        ("public_key", "write `jwks:` with a file of keys"),
        ("iss", "write `issuer:`"),
        ("aud", "write `audience:`"),
        ("alg", "write `algorithms:`"),
        ("algorithm", "write `algorithms:`"),
        ("scope", "write `scopes:`"),
        ("claims", "write `claim_headers: { X-User: sub }`; conditions stand in `allow`"),
        ("headers", "write `claim_headers: { X-User: sub }`"),
        ("exp", "write `require_expiry: false` when tokens have no end"),
        ("clock_skew", "write `leeway:`"),
    ],
    later: &["discovery", "query"],
});

static API_KEYS: Shape = Shape::Keys(&Table {
    name: "api_keys",
    doc: "A secret that a client sends in a header. Here stands only its SHA-256: `printf %s SECRET | sha256sum`.",
    keys: &[
        key(
            "keys",
            &Shape::Names { what: "client", value: &Shape::Scalar(Form::Secret) },
            "",
            "{ partner: \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\" }",
            "Who has which: a name of your choice, and the hash.",
        ),
        key("header", &Shape::Scalar(Form::Header), "X-API-Key", "X-Shop-Key", "The header."),
        key(
            "query",
            &TEXT,
            "",
            "api_key",
            "A parameter of the query where it may stand too. Addresses end up in logs and histories: better not.",
        ),
        key("forward", &BOOL, "false", "true", "Whether the service gets the secret too."),
    ],
    hints: &[("name", "write `header:`"), ("secret", "write `keys: { name: \"sha256:…\" }`")],
    later: &["cookie"],
});

static BASIC: Shape = Shape::Keys(&Table {
    name: "basic",
    doc: "A user and a password (RFC 7617). Use it over TLS only.",
    keys: &[
        key(
            "users",
            &Shape::Names { what: "user", value: &Shape::Scalar(Form::Secret) },
            "",
            "{ ann: \"$2b$12$WApznUPhDubN0oeveSXHp.Nj6Hs8a0b1kTsf3eHbQ9lZ1u0yE3a6C\" }",
            "Users with the bcrypt hashes of their passwords, as `htpasswd -nB -C 12 ann` makes them; of cost 10 to 14.",
        ),
        key("forward", &BOOL, "false", "true", "Whether the service gets user and password too."),
    ],
    hints: &[
        ("user", "write `users: { name: hash }`"),
        ("password", "write `users: { name: hash }`"),
    ],
    later: &["file", "realm"],
});
