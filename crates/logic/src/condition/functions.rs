//! The functions of conditions: CEL's own, with patterns and networks compiled beforehand.

use super::MATCHED_SIZE_MAX;
use cel::{
    Env, ExecutionError,
    common::{
        types::{self, CelBool, CelList, CelString, Type},
        value::{CowVal, StaticVal, Val},
    },
};
use regex::{Regex, RegexBuilder};
use std::{
    any::Any,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// What a compiled pattern may take, in bytes: enough for any that is written by hand; `(a{99}){99}` is not.
const PATTERN_SIZE_MAX: usize = 256 * 1024;

type Arguments<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Outcome<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) name: &'static str,
    /// The numbers of arguments as `name(…)`.
    pub(super) global: &'static [usize],
    /// The numbers of arguments as `x.name(…)`.
    pub(super) member: &'static [usize],
}

const fn signature(
    name: &'static str,
    global: &'static [usize],
    member: &'static [usize],
) -> Signature {
    Signature { name, global, member }
}

/// All functions; the loops are macros and not among them.
pub(super) const FUNCTIONS: &[Signature] = &[
    signature("bool", &[1], &[]),
    signature("bytes", &[1], &[]),
    signature("contains", &[], &[1]),
    signature("double", &[1], &[]),
    signature("dyn", &[1], &[]),
    signature("endsWith", &[], &[1]),
    signature("inNetwork", &[2], &[1]),
    signature("int", &[1], &[]),
    signature("lowerAscii", &[], &[0]),
    signature("matches", &[2], &[1]),
    signature("size", &[1], &[0]),
    signature("split", &[], &[1]),
    signature("startsWith", &[], &[1]),
    signature("string", &[1], &[]),
    signature("type", &[1], &[]),
    signature("uint", &[1], &[]),
];

/// Names that stand for types, as in `type(claims.id) == string`.
pub(super) const TYPES: &[&str] =
    &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Macros, for suggestions.
pub(super) const MACROS: &[&str] = &["all", "exists", "exists_one", "filter", "has", "map"];

/// Counts what loops go over before they begin.
pub(super) const BOUNDED: &str = "@bounded";

static PATTERN_TYPE: Type = Type::new_unspecified_type("pattern");
static NETWORK_TYPE: Type = Type::new_unspecified_type("network");
static BUDGET_TYPE: Type = Type::new_unspecified_type("budget");

/// The functions and types of all conditions.
pub(super) fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut env = Env::default().with_optional_support(false).with_stdlib();
        declare(&mut env).expect("the names are not taken: `cel` has no `regex` feature here");
        Arc::new(env)
    })
}

fn declare(env: &mut Env) -> Result<(), cel::DeclarationError> {
    let text = || types::STRING_TYPE;
    let (pattern, network) = (|| PATTERN_TYPE.to_owned(), || NETWORK_TYPE.to_owned());
    env.add_overload("matches", "matches", vec![text(), pattern()], matches)?;
    env.add_member_overload("matches", "text_matches", text(), vec![pattern()], matches)?;
    env.add_overload("inNetwork", "in_network", vec![text(), network()], in_network)?;
    env.add_member_overload("inNetwork", "text_in_network", text(), vec![network()], in_network)?;
    env.add_member_overload("lowerAscii", "text_lower_ascii", text(), vec![], lower_ascii)?;
    env.add_member_overload("split", "text_split", text(), vec![text()], split)?;
    env.add_overload(BOUNDED, "bounded", vec![types::DYN_TYPE, BUDGET_TYPE.to_owned()], bounded)
}

fn text<'x>(arguments: &'x Arguments<'_, '_>, at: usize) -> Result<&'x str, ExecutionError> {
    let text = arguments.get(at).and_then(|value| value.downcast_ref::<CelString>());
    text.map(|text| text.inner()).ok_or_else(|| failed("", "no text"))
}

fn failed(function: &str, why: &str) -> ExecutionError {
    ExecutionError::function_error(function, why)
}

fn matches<'b, 'v>(arguments: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    let text = text(&arguments, 0)?;
    if text.len() > MATCHED_SIZE_MAX {
        return Err(failed("matches", "a text longer than 16 KiB"));
    }
    let pattern = arguments.get(1).and_then(|value| value.downcast_ref::<Pattern>());
    let pattern = pattern.ok_or_else(|| failed("matches", "no pattern"))?;
    Ok(CowVal::owned(CelBool::from(pattern.0.is_match(text))))
}

fn in_network<'b, 'v>(arguments: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    let address = text(&arguments, 0)?.parse::<IpAddr>();
    let address = address.map_err(|_unsaid| failed("inNetwork", "no IP address"))?;
    let network = arguments.get(1).and_then(|value| value.downcast_ref::<Network>());
    let network = network.ok_or_else(|| failed("inNetwork", "no network"))?;
    Ok(CowVal::owned(CelBool::from(network.has(address))))
}

fn lower_ascii<'b, 'v>(arguments: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    Ok(CowVal::owned(CelString::from(text(&arguments, 0)?.to_ascii_lowercase())))
}

fn split<'b, 'v>(arguments: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    let (whole, separator) = (text(&arguments, 0)?, text(&arguments, 1)?);
    if separator.is_empty() {
        return Err(failed("split", "an empty separator"));
    }
    let parts = whole.split(separator).map(|part| {
        let part: Box<dyn Val + 'v> = Box::new(CelString::from(part.to_owned()));
        part
    });
    Ok(CowVal::owned(CelList::from(parts.collect::<Vec<_>>())))
}

fn bounded<'b, 'v>(mut arguments: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    let budget = arguments.pop();
    let (Some(range), Some(budget)) = (arguments.pop(), budget) else {
        return Err(failed("loop", "nothing to go over"));
    };
    let budget = budget.downcast_ref::<Budget>().ok_or_else(|| failed("loop", "no budget"))?;
    let items = range.as_sizer().map_or(0, |sizer| {
        let size = sizer.size();
        u32::try_from(*size.inner()).unwrap_or(u32::MAX)
    });
    if budget.spend(items) { Ok(range) } else { Err(failed("loop", "goes over too many items")) }
}

/// A regular expression: RE2's syntax, as CEL has it, in time linear in the text.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text)
            .size_limit(PATTERN_SIZE_MAX)
            .dfa_size_limit(PATTERN_SIZE_MAX)
            .build();
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "too large".to_owned(),
            // The last line says what; those before draw it.
            error => {
                let said = error.to_string();
                let last = said.lines().last().unwrap_or_default();
                last.strip_prefix("error: ").unwrap_or(last).to_owned()
            }
        })
    }
}

/// An address block, `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: u128,
    prefix: u32,
    is_v4: bool,
}

impl Network {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => (address, Some(prefix)),
        };
        let (address, is_v4) = bits(address.parse().ok()?);
        let bits_max = if is_v4 { 32 } else { 128 };
        let prefix = match prefix {
            None => bits_max,
            // `+8` and `08` are numbers to a parser and to nobody else.
            Some(digits)
                if digits != "0" && !digits.starts_with(|c: char| matches!(c, '1'..='9')) =>
            {
                return None;
            }
            Some(digits) => digits.parse().ok().filter(|prefix| *prefix <= bits_max)?,
        };
        Some(Self { address, prefix: prefix + 128 - bits_max, is_v4 })
    }

    fn has(self, address: IpAddr) -> bool {
        let (address, is_v4) = bits(address);
        let shift = 128 - self.prefix;
        is_v4 == self.is_v4 && (address ^ self.address).checked_shr(shift).unwrap_or(0) == 0
    }
}

/// An address as a number, IPv4 also when it is written as IPv6 (`::ffff:10.0.0.1`).
fn bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(u32::from(address)), true),
        IpAddr::V6(address) => (u128::from(address), false),
    }
}

/// How many items the loops of one evaluation may still go over.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Budget {
    pub(super) fn new(items: u32) -> Self {
        Self(AtomicU32::new(items))
    }

    fn spend(&self, items: u32) -> bool {
        let rest = |left: u32| left.checked_sub(items);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest).is_ok()
    }
}

impl Clone for Budget {
    fn clone(&self) -> Self {
        Self(AtomicU32::new(self.0.load(Ordering::Relaxed)))
    }
}

/// A value that only our functions look into.
macro_rules! opaque {
    ($name:ident, $kind:ident) => {
        impl Val for $name {
            fn get_type(&self) -> &Type {
                &$kind
            }
            fn cel_type() -> &'static Type {
                &$kind
            }
            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
                Box::new(self.clone())
            }
            fn as_any(&self) -> Option<&dyn Any> {
                Some(self)
            }
        }
        impl StaticVal for $name {}
    };
}

opaque!(Pattern, PATTERN_TYPE);
opaque!(Network, NETWORK_TYPE);
opaque!(Budget, BUDGET_TYPE);
