//! Components that hold secrets: files and the environment.

use super::{
    super::{program::normal, stores::secret_format},
    Taker,
};
use crate::{EnvNames, Scopes, SecretFormat, SecretSource, SecretStore, dapr::Component};
use base::{Code, Diagnostic};
use std::{collections::BTreeSet, path::PathBuf};

impl Taker<'_, '_> {
    pub(super) fn secrets(&mut self, component: &Component, scopes: Scopes) {
        let sources = match component.kind.as_str() {
            "secretstores.local.env" => {
                let names = match component.value("prefix").filter(|prefix| !prefix.is_empty()) {
                    Some(prefix) => EnvNames::Prefix(prefix.to_owned()),
                    None => EnvNames::All,
                };
                vec![SecretSource::Env(names)]
            }
            "secretstores.local.file" => match self.secrets_file(component) {
                Some(source) => vec![source],
                None => return,
            },
            other => {
                let message =
                    format!("the component `{}` (`{other}`) is not served", component.name);
                let label = "served are secretstores.local.file and secretstores.local.env";
                return self.ignored(&component.kind_mark, &message, label, "");
            }
        };
        let name = component.name.clone();
        let origin = Self::origin(component);
        match self.all.secrets.iter_mut().find(|known| known.name == name) {
            None => self.all.secrets.push(SecretStore { name, sources, scopes, origin }),
            Some(known) if known.sources == sources => known.scopes.add(scopes),
            Some(known) => {
                let first = known.origin.clone();
                self.differs(component, &first);
            }
        }
    }

    fn secrets_file(&mut self, component: &Component) -> Option<SecretSource> {
        let asked = component.value("secretsFile").filter(|file| !file.is_empty());
        let Some(file) = asked else {
            let message = format!("the component `{}` names no file", component.name);
            let help = "add `secretsFile` to its metadata";
            let problems = &mut *self.reader.problems;
            problems.error(Code::BAD_VALUE, &component.kind_mark, message, "", help);
            return None;
        };
        let looked: Vec<PathBuf> =
            self.near.iter().map(|folder| normal(&folder.join(file))).collect();
        let Some(path) = looked.iter().find(|path| path.is_file()).cloned() else {
            let mark =
                component.item("secretsFile").map_or(&component.kind_mark, |item| &item.mark);
            let message = format!("the file `{file}` does not exist");
            let mut problem = Diagnostic::error(Code::MISSING_FILE, message).at(mark.place(), "");
            for path in looked.iter().collect::<BTreeSet<_>>() {
                problem = problem.note(format!("looked for {}", path.display()));
            }
            self.reader.problems.add(problem);
            return None;
        };
        let separator = component.value("nestedSeparator").filter(|text| !text.is_empty());
        let separator = separator.unwrap_or(":").to_owned();
        let is_multi = component.value("multiValued") == Some("true");
        let format = match secret_format(&path) {
            SecretFormat::Json { .. } | SecretFormat::Lines if is_multi => {
                SecretFormat::JsonNested { separator }
            }
            _ => SecretFormat::Json { separator },
        };
        Some(SecretSource::File { path, format })
    }
}
