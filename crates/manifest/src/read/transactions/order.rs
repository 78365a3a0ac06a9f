//! `after`: which steps come before one.

use super::{Ground, steps::id_of};
use crate::{
    read::{Reader, values::texts},
    suggest,
    tree::Node,
};
use base::Code;
use logic::tx::Mode;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the steps before one.
#[derive(Default)]
pub(super) struct Before {
    /// Names of all steps, also of those that stand after it, and whether they are called.
    pub(super) all: Vec<(String, bool)>,
    /// For each step that is called: all that comes before it.
    pub(super) above: BTreeMap<String, BTreeSet<String>>,
    /// Whether any step says `after`.
    pub(super) is_graph: bool,
    /// The last one that is called.
    pub(super) last: Option<String>,
}

impl Reader<'_> {
    /// `after`: what stands there, or the step before where no step says it.
    pub(super) fn after(
        &mut self,
        node: &Node,
        at: usize,
        ground: &Ground<'_>,
        before: &Before,
    ) -> Vec<String> {
        if ground.mode != Mode::Saga {
            let why =
                format!("in a transaction whose mode is {} no step waits for another", ground.mode);
            self.senseless(node, "after", &id_of(node, at), &why);
            return Vec::new();
        }
        let Some(said) = node.get("after") else {
            return before.last.iter().filter(|_| !before.is_graph).cloned().collect();
        };
        let mut all = Vec::new();
        for (node, name) in said.texts().into_iter().zip(texts(Some(said))) {
            if all.contains(&name) {
                let message = format!("`{name}` stands twice in `after`");
                self.problems.error(Code::DUPLICATE, &node.mark, message, "", "remove one");
            } else if self.comes_before(node, &name, at, ground, before) {
                all.push(name);
            }
        }
        all
    }

    /// Whether the step of this name stands before the one at `at` and is called; reported when it is not.
    fn comes_before(
        &mut self,
        node: &Node,
        name: &str,
        at: usize,
        ground: &Ground<'_>,
        before: &Before,
    ) -> bool {
        let position = before.all.iter().position(|(known, _)| known == name);
        let own = before.all.get(at).map_or("", |(own, _)| own.as_str());
        let (message, label, help) = match position {
            Some(found)
                if found < at && before.all.get(found).is_some_and(|(_, called)| *called) =>
            {
                return true;
            }
            Some(found) if found < at => (
                format!("no step comes after `{name}`"),
                "it is done with the decision, which comes last".to_owned(),
                "remove it from `after`".to_owned(),
            ),
            Some(found) if found == at => {
                (format!("step `{own}` comes after itself"), String::new(), "remove it".to_owned())
            }
            Some(_) => (
                format!("step `{own}` comes after `{name}`, which stands below it"),
                "a step comes after steps that stand before it, so there are no circles".to_owned(),
                format!("write `{name}` above `{own}`"),
            ),
            None => {
                let names = || before.all.iter().take(at).map(|(known, _)| known.as_str());
                let message = format!("transaction `{}` has no step `{name}`", ground.name);
                match (suggest::nearest(name, names()), names().next()) {
                    (Some(near), _) => (message, format!("did you mean `{near}`?"), String::new()),
                    (None, Some(_)) => {
                        let all = names().collect::<Vec<_>>().join(", ");
                        (message, String::new(), format!("the steps before `{own}` are {all}"))
                    }
                    (None, None) => {
                        (message, "it is the first step".to_owned(), "remove it".to_owned())
                    }
                }
            }
        };
        self.problems.error(Code::BAD_VALUE, &node.mark, message, label, &help);
        false
    }
}

/// All that comes before what comes after these.
pub(super) fn above(after: &[String], before: &Before) -> BTreeSet<String> {
    let further = after.iter().filter_map(|name| before.above.get(name)).flatten();
    after.iter().chain(further).cloned().collect()
}
