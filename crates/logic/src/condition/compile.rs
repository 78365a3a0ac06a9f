//! From a parsed expression to a condition: names are checked, and what can be done beforehand is done.
//!
//! The expression is rewritten: `claims.scope` becomes a numbered slot, `matches('…')` gets a compiled
//! pattern, a loop goes over a range that is counted first.

use super::{
    BUDGET, CompileError, Condition, DEPTH_MAX, Kind, LOOPS_MAX, Lookup, NETWORK, PATTERN, SLOT,
    Variable,
    functions::{BOUNDED, FUNCTIONS, MACROS, Network, Pattern, TYPES},
    syntax,
};
use cel::{
    IdedExpr,
    common::{
        ast::{
            CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, SourceInfo,
            operators,
        },
        types::CelBool,
    },
};

pub(super) fn compile(text: &str, variables: &[Variable]) -> Result<Condition, CompileError> {
    let (mut expression, source) = syntax::parse(text)?;
    let mut compiler = Compiler {
        text,
        source,
        variables,
        bound: Vec::new(),
        lookups: Vec::new(),
        patterns: Vec::new(),
        networks: Vec::new(),
        has_loops: false,
    };
    compiler.expect_bool(&expression)?;
    let place = Place { offset: 0, depth: 0, loops: 0 };
    compiler.visit(&mut expression, place)?;
    Ok(Condition {
        text: text.to_owned(),
        expression,
        lookups: compiler.lookups,
        patterns: compiler.patterns,
        networks: compiler.networks,
        has_loops: compiler.has_loops,
    })
}

type Done = Result<(), CompileError>;

struct Compiler<'a> {
    text: &'a str,
    source: SourceInfo,
    variables: &'a [Variable],
    /// The variables of the loops around.
    bound: Vec<String>,
    lookups: Vec<Lookup>,
    patterns: Vec<Pattern>,
    networks: Vec<Network>,
    has_loops: bool,
}

/// Where in the expression.
#[derive(Clone, Copy)]
struct Place {
    /// Of the nearest expression that stands in the text; what macros add does not.
    offset: usize,
    depth: u32,
    loops: u32,
}

impl Compiler<'_> {
    fn visit(&mut self, expression: &mut IdedExpr, at: Place) -> Done {
        let at = Place {
            offset: self.offset(expression.id).unwrap_or(at.offset),
            depth: at.depth + 1,
            ..at
        };
        if at.depth > DEPTH_MAX {
            return fail(at, "nested too deep");
        }
        if let Some(replacement) = self.look_up(&expression.expr, at)? {
            expression.expr = replacement;
            return Ok(());
        }
        match &mut expression.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.check_name(name, at),
            Expr::Select(select) => self.visit(&mut select.operand, at),
            Expr::List(list) => list.elements.iter_mut().try_for_each(|item| self.visit(item, at)),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&mut entry.key, at)?;
                    self.visit(&mut entry.value, at)
                }
                EntryExpr::StructField(_) => fail(at, "a field where a key should be"),
            }),
            Expr::Call(call) => self.visit_call(call, at),
            Expr::Comprehension(each) => self.visit_loop(each, at),
            Expr::Struct(made) => fail(at, format!("there is no type `{}`", made.type_name)),
            Expr::Unspecified => fail(at, "something is missing"),
        }
    }

    /// What stands for `expression` if it is, or asks for, a variable or a key of one.
    fn look_up(&mut self, expression: &Expr, at: Place) -> Result<Option<Expr>, CompileError> {
        if let Some(variable) = self.variable(expression, at)? {
            let is_test = matches!(expression, Expr::Select(select) if select.test);
            if is_test {
                // `has(request.method)`: what is declared is there.
                return Ok(Some(Expr::Literal(LiteralValue::Boolean(CelBool::from(true)))));
            }
            return Ok(Some(self.slot(variable, None, false)));
        }
        let (holder, key, is_test) = match expression {
            Expr::Select(select) => (&*select.operand, select.field.as_str(), select.test),
            Expr::Call(CallExpr { func_name, target: None, args }) => {
                let (holder, key, is_test) = match (func_name.as_str(), args.as_slice()) {
                    (operators::INDEX, [holder, key]) => (holder, key, false),
                    (operators::IN, [key, holder]) => (holder, key, true),
                    _ => return Ok(None),
                };
                let Expr::Literal(LiteralValue::String(key)) = &key.expr else { return Ok(None) };
                (holder, key.inner(), is_test)
            }
            _ => return Ok(None),
        };
        let Some(variable) = self.variable(&holder.expr, at)? else { return Ok(None) };
        let key = match variable.kind {
            Kind::Single => return Ok(None),
            Kind::Map => key.to_owned(),
            Kind::Fields => key.to_ascii_lowercase(),
        };
        Ok(Some(self.slot(variable, Some(key), is_test)))
    }

    /// The variable that `expression` names.
    fn variable(&self, expression: &Expr, at: Place) -> Result<Option<Variable>, CompileError> {
        let known =
            |name: &str| self.variables.iter().find(|variable| variable.name == name).copied();
        match expression {
            Expr::Ident(name) if !self.is_bound(name) => Ok(known(name)),
            Expr::Select(SelectExpr { operand, field, .. }) => {
                let Expr::Ident(root) = &operand.expr else { return Ok(None) };
                if self.is_bound(root) || known(root).is_some() {
                    return Ok(None);
                }
                let members = self.members(root);
                if members.is_empty() {
                    return Ok(None);
                }
                match known(&format!("{root}.{field}")) {
                    Some(found) => Ok(Some(found)),
                    None => {
                        let offset = self.find_word(field, at.offset);
                        let hint = suggest(field, members.into_iter());
                        fail(Place { offset, ..at }, format!("`{root}` has no `{field}`{hint}"))
                    }
                }
            }
            _ => Ok(None),
        }
    }

    /// What follows the dot in the variables that begin with `root` and a dot.
    fn members(&self, root: &str) -> Vec<&'static str> {
        let member = |variable: &Variable| variable.name.strip_prefix(root)?.strip_prefix('.');
        self.variables.iter().filter_map(member).collect()
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bound.iter().any(|bound| bound == name)
    }

    fn slot(&mut self, variable: Variable, key: Option<String>, is_test: bool) -> Expr {
        let lookup = Lookup { variable: variable.name, key, is_test };
        let known = self.lookups.iter().position(|other| *other == lookup);
        let number = known.unwrap_or_else(|| {
            self.lookups.push(lookup);
            self.lookups.len() - 1
        });
        Expr::Ident(format!("{SLOT}{number}"))
    }

    fn check_name(&self, name: &str, at: Place) -> Done {
        if self.is_bound(name) || TYPES.contains(&name) {
            return Ok(());
        }
        let members = self.members(name);
        if let Some(first) = members.first() {
            return fail(
                at,
                format!("`{name}` is followed by what of it is meant, as in `{name}.{first}`"),
            );
        }
        let roots = self
            .variables
            .iter()
            .map(|variable| variable.name.split_once('.').map_or(variable.name, |(root, _)| root));
        let bound = self.bound.iter().map(String::as_str);
        fail(at, format!("there is no `{name}`{}", suggest(name, roots.chain(bound))))
    }

    fn visit_call(&mut self, call: &mut CallExpr, at: Place) -> Done {
        // Operators have names that nobody can write.
        if call.func_name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.check_function(call, at)?;
            self.prepare(call, at)?;
        }
        if let Some(target) = &mut call.target {
            self.visit(target, at)?;
        }
        call.args.iter_mut().try_for_each(|argument| self.visit(argument, at))
    }

    fn check_function(&self, call: &CallExpr, at: Place) -> Done {
        let name = call.func_name.as_str();
        let at = Place { offset: self.find_word_before(name, at.offset), ..at };
        let Some(known) = FUNCTIONS.iter().find(|known| known.name == name) else {
            let names = FUNCTIONS.iter().map(|known| known.name).chain(MACROS.iter().copied());
            let hint = suggest(name, names);
            return fail(at, format!("there is no function `{name}`{hint}"));
        };
        let (counts, other) = match call.target {
            Some(_) => (known.member, known.global),
            None => (known.global, known.member),
        };
        if counts.contains(&call.args.len()) {
            return Ok(());
        }
        match (call.target.is_some(), counts.is_empty(), other.is_empty()) {
            (true, true, false) => fail(at, format!("`{name}` is written `{name}(…)`")),
            (false, true, false) => fail(at, format!("`{name}` is written `….{name}(…)`")),
            _ => fail(at, format!("`{name}` has the wrong number of arguments")),
        }
    }

    /// Compiles what `matches` and `inNetwork` compare with.
    fn prepare(&mut self, call: &mut CallExpr, at: Place) -> Done {
        let is_pattern = call.func_name == "matches";
        if !is_pattern && call.func_name != "inNetwork" {
            return Ok(());
        }
        let Some(last) = call.args.last_mut() else { return Ok(()) };
        let at = Place { offset: self.offset(last.id).unwrap_or(at.offset), ..at };
        let Expr::Literal(LiteralValue::String(text)) = &last.expr else {
            // What comes with the request could be a pattern that takes a second, or one that matches all.
            return fail(at, format!("`{}` needs a text that stands here", call.func_name));
        };
        let name = if is_pattern {
            let pattern = Pattern::new(text.inner());
            self.patterns.push(pattern.or_else(|why| fail(at, format!("no pattern: {why}")))?);
            format!("{PATTERN}{}", self.patterns.len() - 1)
        } else {
            let network = Network::parse(text.inner());
            self.networks.push(
                network.map_or_else(|| fail(at, "no address block such as `10.0.0.0/8`"), Ok)?,
            );
            format!("{NETWORK}{}", self.networks.len() - 1)
        };
        // A bound name, so that the visit of the arguments lets it pass.
        if !self.is_bound(&name) {
            self.bound.insert(0, name.clone());
        }
        last.expr = Expr::Ident(name);
        Ok(())
    }

    fn visit_loop(&mut self, each: &mut ComprehensionExpr, at: Place) -> Done {
        let inside = Place { loops: at.loops + 1, ..at };
        if inside.loops > LOOPS_MAX {
            return fail(at, "more than 2 loops in one another");
        }
        self.has_loops = true;
        self.visit(&mut each.iter_range, at)?;
        self.visit(&mut each.accu_init, at)?;
        let range = std::mem::take(&mut each.iter_range);
        let budget = IdedExpr { id: range.id, expr: Expr::Ident(BUDGET.to_owned()) };
        each.iter_range = IdedExpr {
            id: range.id,
            expr: Expr::Call(CallExpr {
                func_name: BOUNDED.to_owned(),
                target: None,
                args: vec![range, budget],
            }),
        };
        let names = [Some(&each.iter_var), each.iter_var2.as_ref(), Some(&each.accu_var)];
        let names: Vec<String> = names.into_iter().flatten().cloned().collect();
        let count = names.len();
        self.bound.extend(names);
        self.visit(&mut each.loop_cond, inside)?;
        self.visit(&mut each.loop_step, inside)?;
        self.visit(&mut each.result, inside)?;
        self.bound.truncate(self.bound.len() - count);
        Ok(())
    }

    /// Refuses what can be seen to give something else than true or false.
    fn expect_bool(&self, expression: &IdedExpr) -> Done {
        let what = match &expression.expr {
            Expr::Literal(LiteralValue::Boolean(_)) => return Ok(()),
            Expr::Literal(LiteralValue::String(_)) => "a text",
            Expr::Literal(
                LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_),
            ) => "a number",
            Expr::Literal(_) => "a constant",
            Expr::List(_) => "a list",
            Expr::Map(_) => "a map",
            Expr::Call(call) => match call.func_name.as_str() {
                operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE => {
                    "a number or text"
                }
                operators::MODULO | operators::NEGATE | "size" | "int" | "uint" | "double" => {
                    "a number"
                }
                "string" | "lowerAscii" => "a text",
                "split" => "a list",
                "type" => "a type",
                "bytes" => "bytes",
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        let place = Place { offset: 0, depth: 0, loops: 0 };
        fail(place, format!("gives {what}, and a condition must give true or false"))
    }

    fn offset(&self, id: u64) -> Option<usize> {
        let (start, _) = self.source.offset_for(id)?;
        let start = usize::try_from(start).ok()?.min(self.text.len());
        (0..=start).rev().find(|at| self.text.is_char_boundary(*at))
    }

    /// Where `word` stands from `offset` on, else `offset`.
    fn find_word(&self, word: &str, offset: usize) -> usize {
        let rest = self.text.get(offset..).unwrap_or_default();
        rest.find(word).map_or(offset, |at| offset + at)
    }

    /// Where `word` stands last before `offset`, as the name before a bracket does, else `offset`.
    fn find_word_before(&self, word: &str, offset: usize) -> usize {
        let end = (offset + word.len()).min(self.text.len());
        let until = self.text.get(..end).or_else(|| self.text.get(..offset)).unwrap_or_default();
        until.rfind(word).unwrap_or(offset)
    }
}

fn fail<T>(at: Place, message: impl Into<String>) -> Result<T, CompileError> {
    Err(CompileError { message: message.into(), offset: at.offset })
}

/// ` (do you mean …?)` when one of `names` is near.
fn suggest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> String {
    let far = name.chars().count().div_ceil(3).max(1);
    let distance =
        |other: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let near = names.map(|other| (distance(other), other)).filter(|(distance, _)| *distance <= far);
    near.min().map_or_else(String::new, |(_, other)| format!(" (do you mean `{other}`?)"))
}
