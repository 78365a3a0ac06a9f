//! Conditions in the Common Expression Language (CEL): who may use a route, which events go where.
//!
//! ```text
//!  text ──► Condition::compile ──► what it looks up (few), compiled patterns and networks, the expression
//!                                        │ Condition::evaluate(look up) ──► true, false or an error
//! ```
//!
//! The language is the `cel` crate's; what is added here is what makes it fit for strangers' requests:
//!
//! - A condition is checked when it is compiled: unknown variables and functions, broken patterns, results that
//!   can never be true or false. Errors say where.
//! - Only what it refers to is looked up: `claims.scope` asks for that claim, not for all.
//! - It ends soon: text, nesting and loops are bounded ([`TEXT_SIZE_MAX`], [`DEPTH_MAX`], [`LOOPS_MAX`],
//!   [`ITEMS_MAX`]), regular expressions take linear time and are compiled once.
//! - A panic inside the crate is an error of that one evaluation.
//!
//! An evaluation that fails is no answer: callers must treat it as "no".

mod compile;
mod functions;
mod syntax;
#[cfg(test)]
mod tests;

use cel::{
    Context, IdedExpr,
    common::{
        types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString},
        value::{CowVal, Val},
    },
    context::VariableResolver,
};
use functions::{Budget, Network, Pattern};
use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// The longest text of a condition, in bytes. What needs more is a program and belongs into a service.
pub const TEXT_SIZE_MAX: usize = 2048;
/// How deep an expression may nest, as operators count: evaluation recurses.
pub const DEPTH_MAX: u32 = 48;
/// How deep `all`, `exists`, `map` and `filter` may stand in one another.
pub const LOOPS_MAX: u32 = 2;
/// How many items all loops of one evaluation may go over together; then it fails. At a microsecond
/// each that is a few milliseconds at most, and a client chooses how long its lists are.
pub const ITEMS_MAX: u32 = 2048;
/// The longest text that `matches` looks at, in bytes; longer ones are an error.
pub const MATCHED_SIZE_MAX: usize = 16 * 1024;

/// What conditions may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name: `subject`, or with one dot, `request.method`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// What a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One value.
    Single,
    /// Values by name.
    Map,
    /// Values by lowercase name, which may be written in any case.
    Fields,
}

/// What conditions on events may refer to: `event.type` and the other attributes, `event.data.x` where the data is JSON.
pub const EVENT: &[Variable] = &[Variable { name: "event", kind: Kind::Map }];

/// A value of a variable.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// What is wrong: a lowercase fragment.
    pub message: String,
    /// Where, in bytes from the start of the text; at most its length.
    pub offset: usize,
}

impl fmt::Display for CompileError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.message)
    }
}

impl std::error::Error for CompileError {}

/// Why an evaluation has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvaluateError {
    /// A value is missing, of the wrong type, out of range; or the loops went over too many items.
    Failed(String),
    /// The result is neither true nor false.
    NotBool,
    /// The evaluator panicked, which is a bug.
    Panicked,
}

impl fmt::Display for EvaluateError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => to.write_str(why),
            Self::NotBool => to.write_str("the result is neither true nor false"),
            Self::Panicked => to.write_str("the evaluator panicked"),
        }
    }
}

impl std::error::Error for EvaluateError {}

/// A compiled condition.
pub struct Condition {
    text: String,
    expression: IdedExpr,
    lookups: Vec<Lookup>,
    patterns: Vec<Pattern>,
    networks: Vec<Network>,
    has_loops: bool,
}

/// Something that must be known to evaluate a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lookup {
    variable: &'static str,
    key: Option<String>,
    /// Only whether it is there.
    is_test: bool,
}

impl Condition {
    /// Compiles `text`, which may refer to `variables`.
    ///
    /// # Errors
    /// What is wrong first, and where.
    pub fn compile(text: &str, variables: &[Variable]) -> Result<Self, CompileError> {
        compile::compile(text, variables)
    }

    /// Evaluates it. `look_up` gives the value of a variable, or of one key of it; it is asked once for
    /// each thing that the condition refers to. A missing one is an error only where it is needed.
    ///
    /// # Errors
    /// When there is no answer; see [`EvaluateError`].
    pub fn evaluate<'a>(
        &'a self,
        look_up: &dyn Fn(&str, Option<&str>) -> Option<Value<'a>>,
    ) -> Result<bool, EvaluateError> {
        let values = self.lookups.iter().map(|lookup| {
            let found = look_up(lookup.variable, lookup.key.as_deref());
            if lookup.is_test {
                Some(boxed(Value::Bool(found.is_some())))
            } else {
                found.map(boxed)
            }
        });
        let scope = Scope {
            condition: self,
            values: values.collect(),
            budget: self.has_loops.then(|| Budget::new(ITEMS_MAX)),
        };
        // Nothing that is seen afterwards can be left half-changed: the scope and the context end here.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::with_env(Arc::clone(functions::environment()));
            context.set_variable_resolver(&scope);
            let value = cel::Value::resolve_val(&self.expression, &context);
            value.map(|value| value.downcast_ref::<CelBool>().map(|value| *value.inner()))
        }));
        match result {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(EvaluateError::NotBool),
            Ok(Err(error)) => Err(EvaluateError::Failed(self.describe(&error))),
            Err(_) => Err(EvaluateError::Panicked),
        }
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn describe(&self, error: &cel::ExecutionError) -> String {
        use cel::ExecutionError as E;
        match error {
            E::UndeclaredReference(name) => {
                let at = name.strip_prefix(SLOT).and_then(|number| number.parse::<usize>().ok());
                match at.and_then(|at| self.lookups.get(at)) {
                    Some(Lookup { variable, key: Some(key), .. }) => {
                        format!("`{variable}` has no `{key}`")
                    }
                    Some(lookup) => format!("there is no `{}`", lookup.variable),
                    None => "something is missing".to_owned(),
                }
            }
            // Others repeat values, which may be secret.
            E::NoSuchKey(_) => "a key is missing".to_owned(),
            E::NoSuchOverload(error) => {
                let function = error.function().trim_matches('_').trim_start_matches('@');
                format!("`{function}` cannot be used with {}", error.argument_types().join(" and "))
            }
            E::FunctionError { function, message } => format!("`{function}`: {message}"),
            E::IndexOutOfBounds(_) => "an index is out of bounds".to_owned(),
            E::DivisionByZero(_) | E::RemainderByZero(_) => "division by zero".to_owned(),
            E::Overflow(..) => "a number is out of range".to_owned(),
            _ => "a value is of the wrong type".to_owned(),
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Condition").field("text", &self.text).finish_non_exhaustive()
    }
}

/// Names that texts cannot have, followed by a number: values that were looked up, patterns, networks.
const SLOT: &str = "@";
const PATTERN: &str = "@p";
const NETWORK: &str = "@n";
const BUDGET: &str = "@budget";

/// The variables of one evaluation.
struct Scope<'a> {
    condition: &'a Condition,
    values: Vec<Option<Box<dyn Val + 'a>>>,
    budget: Option<Budget>,
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let at = |digits: &str| digits.parse::<usize>().ok();
        if let Some(digits) = name.strip_prefix(PATTERN) {
            return self
                .condition
                .patterns
                .get(at(digits)?)
                .map(|pattern| CowVal::Borrowed(pattern));
        }
        if let Some(digits) = name.strip_prefix(NETWORK) {
            return self
                .condition
                .networks
                .get(at(digits)?)
                .map(|network| CowVal::Borrowed(network));
        }
        if name == BUDGET {
            return self.budget.as_ref().map(|budget| CowVal::Borrowed(budget));
        }
        let value = self.values.get(at(name.strip_prefix(SLOT)?)?)?.as_ref()?;
        Some(CowVal::Borrowed(value.as_ref()))
    }
}

fn boxed<'a>(value: Value<'a>) -> Box<dyn Val + 'a> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(value)),
        Value::Int(value) => Box::new(CelInt::from(value)),
        Value::Float(value) => Box::new(CelDouble::from(value)),
        Value::Text(text) => Box::new(CelString::from(text)),
        Value::List(items) => {
            Box::new(CelList::from(items.into_iter().map(boxed).collect::<Vec<_>>()))
        }
        Value::Map(entries) => {
            let entry = |(name, value): (Cow<'a, str>, Value<'a>)| {
                let name = match name {
                    Cow::Borrowed(name) => CelMapKey::from(name),
                    Cow::Owned(name) => CelMapKey::from(name),
                };
                (name, boxed(value))
            };
            Box::new(CelMap::from(entries.into_iter().map(entry).collect::<HashMap<_, _>>()))
        }
    }
}
