//! Which command is found in a folder, and the file that `init` proposes.
#![expect(clippy::too_many_lines, reason = "what is proposed is long")]

use super::{Folder, options};
use crate::{Program, inspect};
use expect_test::{Expect, expect};

/// What is found in the folder `svc` with these files: language, build, command.
fn check(files: &[(&str, &str)], expected: &str) {
    let mut all = vec![("flotilla.yaml", "services: { svc: {} }\n")];
    let inner: Vec<(String, &str)> = files
        .iter()
        .map(|(path, text)| {
            (path.strip_prefix('^').map_or_else(|| format!("svc/{path}"), str::to_owned), *text)
        })
        .collect();
    all.extend(inner.iter().map(|(path, text)| (path.as_str(), *text)));
    let folder = Folder::new(&all);
    let found = match folder.load("flotilla.yaml", &options(&[])) {
        Ok(loaded) => {
            let service = &loaded.system.services[0];
            let program = match &service.program {
                Program::Shell(line) => line.clone(),
                Program::Exec(words) => words.join(" "),
                Program::External(_) => "external".to_owned(),
                Program::Container(container) => {
                    format!("{} port {:?}", container.image, service.port)
                }
            };
            let build =
                service.build.as_ref().map(|build| format!("{build} && ")).unwrap_or_default();
            format!("{}: {build}{program}", service.language)
        }
        Err(_) => "nothing".to_owned(),
    };
    assert_eq!(found.replace(&folder.path().display().to_string(), "."), expected);
}

#[test]
fn rust_runs_the_binary_of_the_package_or_its_workspace() {
    let main = ("src/main.rs", "");
    let package =
        "[package]\nname = \"the-app\" # comment\nversion = \"1\"\n[dependencies]\nname = \"no\"\n";
    check(
        &[("Cargo.toml", package), main],
        "rust: cargo build --release --bin the-app && ./svc/target/release/the-app",
    );
    check(
        &[("Cargo.toml", package), main, ("^Cargo.toml", "[workspace]\nmembers = [\"svc\"]\n")],
        "rust: cargo build --release --bin the-app && ./target/release/the-app",
    );
    check(
        &[
            ("Cargo.toml", package),
            main,
            ("^Cargo.toml", "[workspace]\nmembers = [\"x\"]\nexclude = [\"a\", \"svc\"]\n"),
        ],
        "rust: cargo build --release --bin the-app && ./svc/target/release/the-app",
    );
    let bins = "[package]\nname = \"x\"\n[[bin]]\nname = \"svc\"\n[[bin]]\nname = \"other\"\n";
    check(
        &[("Cargo.toml", bins), main],
        "rust: cargo build --release --bin svc && ./svc/target/release/svc",
    );
    check(&[("Cargo.toml", package)], "nothing");
}

#[test]
fn node_runs_its_start_script_or_main_file_without_npm_where_it_can() {
    check(
        &[("package.json", r#"{"scripts":{"start":"node src/x.js --y"}}"#)],
        "node: node src/x.js --y",
    );
    check(&[("package.json", r#"{"scripts":{"start":"next start"}}"#)], "node: npm run start");
    check(
        &[("package.json", r#"{"scripts":{"start":"node a.js && node b.js"}}"#)],
        "node: npm run start",
    );
    check(
        &[("package.json", r#"{"main":"s.js","dependencies":{"x":"1"}}"#), ("s.js", "")],
        "node: npm install && node s.js",
    );
    check(
        &[
            ("package.json", r#"{"dependencies":{"x":"1"}}"#),
            ("index.js", ""),
            ("package-lock.json", ""),
            ("node_modules/", ""),
        ],
        "node: node index.js",
    );
    check(&[("package.json", r#"{"exports":"./x.js","main":"x.js"}"#), ("x.js", "")], "nothing");
    check(&[("package.json", "{ not json")], "nothing");
}

#[test]
fn python_runs_the_usual_main_file_as_its_framework_wants() {
    check(&[("app.py", "x")], "python: python3 app.py");
    check(
        &[("requirements.txt", ""), ("main.py", ""), (".venv/bin/python", "")],
        "python: .venv/bin/python main.py",
    );
    check(&[("manage.py", "")], "python: python3 manage.py runserver --noreload 127.0.0.1:$PORT");
    check(
        &[("app.py", "app = Flask('x')\nif __name__ == '__main__': serve(app)\n")],
        "python: python3 app.py",
    );
    check(
        &[("app.py", "app = Flask('x')\n")],
        "python: python3 -m flask --app app run --host 127.0.0.1 --port $PORT",
    );
    check(
        &[("main.py", "app = FastAPI()\n")],
        "python: python3 -m uvicorn main:app --host 127.0.0.1 --port $PORT",
    );
    check(&[("requirements.txt", "flask")], "nothing");
}

#[test]
fn a_python_file_that_only_serves_on_a_port_of_its_own_is_given_ours() {
    let flask = "python: python3 -m flask --app app run --host 127.0.0.1 --port $PORT";
    let with = |main: &str, wanted: &str| {
        let text = format!("app = Flask('x')\nif __name__ == '__main__':{main}");
        check(&[("app.py", &text)], wanted);
    };
    with("\n    app.run(debug=True, port=5000)\n", flask);
    with(" app.run()\n", flask);
    with("\n    app.run(port=int(os.environ['PORT']))\n", "python: python3 app.py");
    with("\n    init_db()\n    app.run()\n", "python: python3 app.py");
    check(
        &[(
            "main.py",
            "app = FastAPI()\nif __name__ == '__main__':\n    uvicorn.run(app, port=8000)\n",
        )],
        "python: python3 -m uvicorn main:app --host 127.0.0.1 --port $PORT",
    );
}

#[test]
fn go_java_docker_and_a_procfile_of_one_line_are_known() {
    check(
        &[("go.mod", "module x"), ("x.go", "package main\n")],
        "go: go build -o ./.flotilla/bin/svc . && ./.flotilla/bin/svc",
    );
    check(&[("go.mod", "module x"), ("x.go", "package lib\n")], "nothing");
    let jar = "exec java -jar \"$(ls -t target/*.jar | grep -v -e -plain -e -sources -e -javadoc -e original- | head -n 1)\"";
    check(&[("pom.xml", "")], &format!("java: mvn -q -DskipTests package && {jar}"));
    check(
        &[("build.gradle", ""), ("gradlew", "")],
        &format!("java: ./gradlew -q assemble && {}", jar.replace("target", "build/libs")),
    );
    check(
        &[("Dockerfile", "FROM x\nEXPOSE 8000/tcp\n")],
        "docker: docker build -t flotilla/shop-svc . && flotilla/shop-svc port Some(8000)",
    );
    check(&[("Dockerfile", "FROM x\n"), ("app.py", "")], "python: python3 app.py");
    check(&[("Procfile", "web: ./serve $PORT\n"), ("app.py", "")], "shell: ./serve $PORT");
    check(&[("Procfile", "web: x\nworker: y\n")], "nothing");
}

/// The file that is proposed for a folder; it must load.
fn proposed(files: &[(&str, &str)], expected: Expect) {
    let folder = Folder::new(files);
    let text = match inspect(folder.path()) {
        Ok(proposal) => {
            std::fs::write(folder.path().join("flotilla.yaml"), &proposal.yaml).unwrap();
            if let Err(problems) = folder.load("flotilla.yaml", &options(&[])) {
                panic!("{}\n{problems}", proposal.yaml);
            }
            format!(
                "{}---\n{:?}\n{}\n",
                proposal.yaml,
                proposal.services,
                proposal.notes.join("\n")
            )
        }
        Err(problem) => folder.show(&[*problem]),
    };
    expected.assert_eq(&text);
}

#[test]
fn a_proposed_file_names_what_was_found_and_loads() {
    proposed(
        &[
            ("web/package.json", r#"{"scripts":{"start":"node x.js"}}"#),
            ("services/Users_API/app.py", ""),
            ("services/orders/go.mod", ""),
            ("services/orders/main.go", "package main\n"),
            ("no/app.py", ""),
            ("node_modules/x/package.json", r#"{"main":"x.js"}"#),
            (".hidden/app.py", ""),
            ("docs/readme.md", ""),
            ("lib/Cargo.toml", "[package]\nname = \"lib\"\n"),
        ],
        expect![[r##"
            # yaml-language-server: $schema=./.flotilla/schema.json
            name: shop
            services:
              'no': {}  # python, from app.py
              orders:  # go, from go.mod
                dir: services/orders
              users-api:  # python, from app.py
                dir: services/Users_API
              web: {}  # node, from package.json: scripts.start
            gateway:
              routes:
                /no: 'no'
                /orders: orders
                /users-api: users-api
                /: web
            ---
            [(no, "python", "app.py"), (orders, "go", "go.mod"), (users-api, "python", "app.py"), (web, "node", "package.json: scripts.start")]
            a service that calls another gets its address with `needs: [name]` as <NAME>_URL
        "##]],
    );
    proposed(
        &[("app.py", "")],
        expect![[r##"
        # yaml-language-server: $schema=./.flotilla/schema.json
        name: shop
        services:
          shop:  # python, from app.py
            dir: '.'
        gateway:
          routes:
            /: shop
        ---
        [(shop, "python", "app.py")]
        a service that calls another gets its address with `needs: [name]` as <NAME>_URL
    "##]],
    );
    proposed(
        &[("manage.py", ""), ("shop/wsgi.py", "")],
        expect![[r##"
        # yaml-language-server: $schema=./.flotilla/schema.json
        name: shop
        services:
          shop:  # python, from manage.py
            dir: '.'
        gateway:
          routes:
            /: shop
        ---
        [(shop, "python", "manage.py")]
        a service that calls another gets its address with `needs: [name]` as <NAME>_URL
    "##]],
    );
    proposed(
        &[("compose.yaml", "services: { a: { image: a, expose: [80] } }\n"), ("a/app.py", "")],
        expect![[r#"
            # yaml-language-server: $schema=./.flotilla/schema.json
            name: shop
            include: compose.yaml
            ---
            []
            compose.yaml is included: its services run as they are, keys here win over it
            folders that look like services are left to compose.yaml: a; `run:` beside a name makes it a process
        "#]],
    );
    proposed(
        &[("Procfile", "web: ./x\n")],
        expect![[r#"
        # yaml-language-server: $schema=./.flotilla/schema.json
        name: shop
        include: Procfile
        ---
        []
        Procfile is included: its services run as they are, keys here win over it
    "#]],
    );
    proposed(
        &[("readme.md", "")],
        expect![[r#"
        error[F009]: nothing that can be started was found
          = looked into shop and its folders
          = looked for Cargo.toml, package.json, app.py, main.py, manage.py, go.mod, pom.xml, build.gradle, Dockerfile, compose.yaml, Procfile, dapr.yaml
          help: write flotilla.yaml by hand: `services: { api: { run: ./api } }`
    "#]],
    );
}
