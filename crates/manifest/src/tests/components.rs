//! Folders of Dapr's components.
#![expect(clippy::too_many_lines, reason = "what is shown is long")]

use super::{Folder, coordination, options};
use expect_test::{Expect, expect};

/// Loads the first file and shows what its services share, their app APIs, and what is told.
pub(super) fn check(files: &[(&str, &str)], vars: &[(&str, &str)], expected: Expect) {
    let folder = Folder::new(files);
    let text = match folder.load(files[0].0, &options(vars)) {
        Ok(loaded) => {
            let mut text = coordination::show(&loaded.system.coordination);
            for service in &loaded.system.services {
                for (store, rule) in &service.api.secrets {
                    text.push_str(&format!("{} reads {store}: {rule:?}\n", service.name));
                }
            }
            let root = folder.path().display().to_string();
            text.replace(&root, "") + &folder.show(&loaded.warnings)
        }
        Err(problems) => problems,
    };
    expected.assert_eq(&text);
}

pub(super) const OWN: &str =
    "services: { api: { run: x }, web: { run: x } }\ncomponents: ./components\n";

#[test]
fn components_become_stores_and_say_what_keeps_them() {
    let stores = "\
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: orders
spec:
  type: state.redis
  version: v1
  metadata:
  - name: redisHost
    value: localhost:6379
  - name: redisPassword
    secretKeyRef: { name: redis, key: password }
  - name: KeyPrefix
    value: name
  - name: ttlInSeconds
    value: 60
  - name: actorStateStore
    value: \"true\"
scopes: [api, elsewhere]
---
# nothing
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: memory }
spec: { type: state.in-memory, version: v1, metadata: [] }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: lock }
spec: { type: lock.redis, version: v1, metadata: [{ name: keyPrefix, envRef: PREFIX }] }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: settings }
spec: { type: configuration.postgresql, version: v1, metadata: [{ name: table, value: t }] }
";
    let secrets = "\
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: files }
spec:
  type: secretstores.local.file
  metadata: [{ name: secretsFile, value: secrets.json }, { name: nestedSeparator, value: '.' }]
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: multi }
spec:
  type: secretstores.local.file
  metadata: [{ name: secretsFile, value: secrets.json }, { name: multiValued, value: true }]
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: variables }
spec: { type: secretstores.local.env, metadata: [{ name: prefix, value: SHOP_ }] }
";
    check(
        &[
            ("flotilla.yaml", OWN),
            ("components/a.yaml", stores),
            ("components/b.yml", secrets),
            ("components/secrets.json", "{}"),
            ("components/readme.txt", "no YAML: ["),
        ],
        &[("PREFIX", "locks")],
        expect![[r#"
            state orders Store ttl 60s of api (state.redis /components/a.yaml:6)
            cache 256MiB memory Service (state.in-memory /components/a.yaml:26)
            locks lock Literal("locks") (lock.redis /components/a.yaml:31)
            config settings {} (configuration.postgresql /components/a.yaml:36)
            secrets secretstore Kv, Env(Listed({})) (secretstores.flotilla)
            secrets files File { path: "/components/secrets.json", format: Json { separator: "." } } (secretstores.local.file /components/b.yml:5)
            secrets multi File { path: "/components/secrets.json", format: JsonNested { separator: ":" } } (secretstores.local.file /components/b.yml:12)
            secrets variables Env(Prefix("SHOP_")) (secretstores.local.env /components/b.yml:18)
            warning[F022]: the component `orders` (`state.redis`) is served by our own engine, not by redis
              ┌─ components/a.yaml:6:9
            6 │   type: state.redis
              │         ^^^^^^^^^^^ nothing connects to redis
              = `redisHost`, `redisPassword` have no effect
              help: `engines: { kv: … }` in flotilla.yaml chooses the engine
            warning[F022]: the component `lock` (`lock.redis`) is served by our own engine, not by redis
               ┌─ components/a.yaml:31:15
            31 │ spec: { type: lock.redis, version: v1, metadata: [{ name: keyPrefix, envRef: PREFIX }] }
               │               ^^^^^^^^^^ nothing connects to redis
            warning[F022]: the component `settings` (`configuration.postgresql`) is served by our own engine, not by postgresql
               ┌─ components/a.yaml:36:15
            36 │ spec: { type: configuration.postgresql, version: v1, metadata: [{ name: table, value: t }] }
               │               ^^^^^^^^^^^^^^^^^^^^^^^^ nothing connects to postgresql
               = `table` has no effect
               help: values are set by `flotilla config set`
        "#]],
    );
}

pub(super) fn component(name: &str, kind: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{ name: \"{name}\" }}\nspec: {{ type: {kind} }}\n"
    )
}

#[test]
fn what_is_not_served_is_told_and_does_not_end_anything() {
    let other = "\
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: { name: r }
---
apiVersion: dapr.io/v2alpha1
kind: WorkflowAccessPolicy
metadata: { name: s }
---
apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: { name: outside }
spec: { baseUrl: 'https://api.example/', headers: [{ name: a, value: b }] }
---
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: { name: c }
---
apiVersion: v1
kind: Service
---
- a list
---
kind: Workflow
apiVersion: dapr.io/v1
";
    let kinds: Vec<String> = [
        ("p", "pubsub.redis"),
        ("b", "bindings.http"),
        ("s", "secretstores.azure.keyvault"),
        ("t", "stat.redis"),
        ("n", "nonsense"),
        ("a/b", "state.redis"),
    ]
    .map(|(name, kind)| component(name, kind))
    .into();
    let unseen = component("u", "state.redis") + "scopes: [nobody]\n";
    check(
        &[
            ("flotilla.yaml", OWN),
            ("components/a.yaml", &kinds.join("---\n")),
            ("components/b.yaml", other),
            ("components/c.yaml", &unseen),
        ],
        &[],
        expect![[r#"
            state statestore Service (state.flotilla)
            locks lockstore Service (lock.flotilla)
            config configstore {} (configuration.flotilla)
            secrets secretstore Kv, Env(Listed({})) (secretstores.flotilla)
            endpoint outside https://api.example
            warning[F022]: the component `p` (`pubsub.redis`) is served by our own engine, not by redis
              ┌─ components/a.yaml:4:15
            4 │ spec: { type: pubsub.redis }
              │               ^^^^^^^^^^^^ nothing connects to redis
              help: `engines: { broker: … }` in flotilla.yaml chooses the engine
            warning[F022]: the component `b` (`bindings.http`) is not served
              ┌─ components/a.yaml:9:15
            9 │ spec: { type: bindings.http }
              │               ^^^^^^^^^^^^^ bindings but `bindings.cron` are not served by this version
            warning[F022]: the component `s` (`secretstores.azure.keyvault`) is not served
               ┌─ components/a.yaml:14:15
            14 │ spec: { type: secretstores.azure.keyvault }
               │               ^^^^^^^^^^^^^^^^^^^^^^^^^^^ served are secretstores.local.file and secretstores.local.env
            warning[F022]: `stat.redis` is not a type of components that is known
               ┌─ components/a.yaml:19:15
            19 │ spec: { type: stat.redis }
               │               ^^^^^^^^^^ did you mean `state.…`?
               help: it is left out
            warning[F022]: `nonsense` is not a type of components that is known
               ┌─ components/a.yaml:24:15
            24 │ spec: { type: nonsense }
               │               ^^^^^^^^
               help: it is left out
            warning[F022]: the component `a/b` is not served
               ┌─ components/a.yaml:28:19
            28 │ metadata: { name: "a/b" }
               │                   ^^^^^^ the name of a component must not have '/' in it
               help: call it differently
            warning[F022]: Resiliency is not honoured
              ┌─ components/b.yaml:2:7
            2 │ kind: Resiliency
              │       ^^^^^^^^^^ has no effect here
              help: write `timeout`, `retries` and `traffic: { breaker: … }` in flotilla.yaml
            warning[F022]: resources of the kind `WorkflowAccessPolicy` are not read
              ┌─ components/b.yaml:6:7
            6 │ kind: WorkflowAccessPolicy
              │       ^^^^^^^^^^^^^^^^^^^^ has no effect here
            warning[F022]: `headers` of an HTTPEndpoint is not honoured
               ┌─ components/b.yaml:12:42
            12 │ spec: { baseUrl: 'https://api.example/', headers: [{ name: a, value: b }] }
               │                                          ^^^^^^^ has no effect here
            warning[F022]: a Configuration in a folder is not applied
               ┌─ components/b.yaml:15:7
            15 │ kind: Configuration
               │       ^^^^^^^^^^^^^ has no effect here
               help: name the file itself: `configFilePath` in dapr.yaml, `components` in flotilla.yaml
            warning[F022]: `Service` is not a resource of Dapr
               ┌─ components/b.yaml:19:7
            19 │ kind: Service
               │       ^^^^^^^ `apiVersion` does not begin with dapr.io/
            warning[F022]: this is not a resource of Dapr
               ┌─ components/b.yaml:21:1
            21 │ - a list
               │ ^ it has no `kind`
            warning[F022]: resources of the kind `Workflow` are not read
               ┌─ components/b.yaml:23:7
            23 │ kind: Workflow
               │       ^^^^^^^^ has no effect here
            warning[F022]: no service of this system sees the component `u`
              ┌─ components/c.yaml:3:19
            3 │ metadata: { name: "u" }
              │                   ^^^^ its `scopes` name others
        "#]],
    );
}

#[test]
fn broken_components_are_errors_with_their_place() {
    let broken = "\
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: a }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: b }
spec: { type: secretstores.local.file, metadata: [{ name: secretsFile, value: gone.json }] }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: c }
spec: { type: secretstores.local.file }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: d }
spec: { type: state.redis, metadata: [{ name: keyPrefix, value: 'x||y' }, { name: ttlInSeconds, value: soon }] }
---
apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: { name: e }
spec: { baseUrl: api.example }
";
    check(
        &[
            ("flotilla.yaml", OWN),
            ("components/a.yaml", broken),
            ("components/b.yaml", "kind: [\n"),
            ("components/c.yaml", &component("same", "state.redis")),
            ("components/d.yaml", &component("same", "state.in-memory")),
        ],
        &[],
        expect![[r#"
            error[F004]: this resource has no name
              ┌─ components/a.yaml:1:1
            1 │ apiVersion: dapr.io/v1alpha1
              │ ^^^^^^^^^^
              help: write `metadata: { name: … }`
            error[F004]: the component `a` has no type
              ┌─ components/a.yaml:7:19
            7 │ metadata: { name: a }
              │                   ^
              help: write `spec: { type: state.redis }`
            error[F010]: the file `gone.json` does not exist
               ┌─ components/a.yaml:12:79
            12 │ spec: { type: secretstores.local.file, metadata: [{ name: secretsFile, value: gone.json }] }
               │                                                                               ^^^^^^^^^
               = looked for components/gone.json
               = looked for gone.json
            error[F004]: the component `c` names no file
               ┌─ components/a.yaml:17:15
            17 │ spec: { type: secretstores.local.file }
               │               ^^^^^^^^^^^^^^^^^^^^^^^
               help: add `secretsFile` to its metadata
            warning[F022]: the component `d` (`state.redis`) is served by our own engine, not by redis
               ┌─ components/a.yaml:22:15
            22 │ spec: { type: state.redis, metadata: [{ name: keyPrefix, value: 'x||y' }, { name: ttlInSeconds, value: soon }]…
               │               ^^^^^^^^^^^ nothing connects to redis
               help: `engines: { kv: … }` in flotilla.yaml chooses the engine
            error[F004]: this cannot be a `keyPrefix`
               ┌─ components/a.yaml:22:65
            22 │ …ec: { type: state.redis, metadata: [{ name: keyPrefix, value: 'x||y' }, { name: ttlInSeconds, value: soon }] }
               │                                                                ^^^^^^^ must have neither `||` nor NUL in it
            error[F004]: `ttlInSeconds` is not a whole number
               ┌─ components/a.yaml:22:104
            22 │ …ec: { type: state.redis, metadata: [{ name: keyPrefix, value: 'x||y' }, { name: ttlInSeconds, value: soon }] }
               │                                                                                                       ^^^^
            error[F004]: the endpoint `e` has no URL
               ┌─ components/a.yaml:27:18
            27 │ spec: { baseUrl: api.example }
               │                  ^^^^^^^^^^^
               help: write `spec: { baseUrl: "https://host" }`
            error[F001]: this is not valid YAML
              ┌─ components/b.yaml:1:8
            1 │ kind: [
              │        ^ while parsing a node, did not find expected node content
              help: check the indentation, and quote texts that have `: `, ` #`, `{`, `[` or a quote in them
            warning[F022]: the component `same` (`state.redis`) is served by our own engine, not by redis
              ┌─ components/c.yaml:4:15
            4 │ spec: { type: state.redis }
              │               ^^^^^^^^^^^ nothing connects to redis
              help: `engines: { kv: … }` in flotilla.yaml chooses the engine
            error[F005]: the component `same` is given twice, and differently
              ┌─ components/d.yaml:4:15
            4 │ spec: { type: state.in-memory }
              │               ^^^^^^^^^^^^^^^ given again here
              = it is given first in components/c.yaml:4
              help: a name has one meaning in the whole system; call one of them differently
        "#]],
    );
    check(
        &[("flotilla.yaml", OWN), ("component/a.yaml", "")],
        &[],
        expect![[r#"
        error[F010]: `./components` does not exist
          ┌─ flotilla.yaml:2:13
        2 │ components: ./components
          │             ^^^^^^^^^^^^ did you mean `component`?
          = looked for components
    "#]],
    );
}

#[test]
fn the_file_itself_wins_over_components() {
    let own = "services: { api: { run: x } }\ncomponents: ./c\nstate: { orders: { cache: true } }\nlocks: [orders]\n";
    check(
        &[
            ("flotilla.yaml", own),
            ("c/a.yaml", &component("orders", "state.redis")),
            ("c/b.yaml", &component("orders", "lock.redis")),
        ],
        &[],
        expect![[r#"
            cache 64MiB orders Service (state.flotilla /flotilla.yaml:3)
            locks orders Service (lock.flotilla /flotilla.yaml:4)
            config configstore {} (configuration.flotilla)
            secrets secretstore Kv, Env(Listed({})) (secretstores.flotilla)
        "#]],
    );
}
