//! The text of a limit: `10/min per ip`, `100/s`, `5/10s per claim sub burst 20`.
//!
//! ```text
//! limit  = count "/" [ number ] unit [ "per" what ] [ "burst" count ]
//! unit   = "ms" | "s" | "sec" | "second" | "m" | "min" | "minute" | "h" | "hour" | "d" | "day"
//! what   = "ip" | "key" | "claim" name | "header" name
//! ```

use crate::edits::field_name;
use logic::bucket::Rate;
use std::{fmt, str::FromStr, time::Duration};

/// The most requests of a count. More per period is no limit but a typing error.
pub const COUNT_MAX: u32 = 1_000_000;

/// The longest name of a claim, in bytes.
const CLAIM_LEN_MAX: usize = 256;

/// A limit, as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Requests in each period: 1 to [`COUNT_MAX`].
    pub count: u32,
    /// The period.
    pub period: Duration,
    /// Whose requests are counted together.
    pub per: Per,
    /// Requests at once; `None`: as many as `count`.
    pub burst: Option<u32>,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Per {
    /// Everybody's.
    All,
    /// A client address's; of IPv6 the first 64 bits, because one customer gets at least as many.
    Ip,
    /// Those of an API key, a user or the subject of a token.
    Key,
    /// Those whose token has the same value of this claim.
    Claim(String),
    /// Those with the same value of this field. Anybody can make values up, so it separates clients that
    /// behave and stops none that does not.
    Header(String),
}

/// Why a text is no limit, and where: `offset` is in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct InvalidSpec {
    /// Where it goes wrong.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with the text of a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No number where one must stand.
    #[error("a number from 1 to 1000000 is expected here, as in `10/min per ip`")]
    Count,
    /// No `/` after the count.
    #[error("`/` is expected here, as in `10/min per ip`")]
    Slash,
    /// No unit of time.
    #[error("a unit of time is expected here: ms, s, min, h or d")]
    Unit,
    /// A word that is none of the grammar.
    #[error("`per …` or `burst …` is expected here")]
    Word,
    /// Nothing to count by.
    #[error("`ip`, `key`, `claim NAME` or `header NAME` is expected here")]
    Per,
    /// No name of a claim or field.
    #[error("a name is expected here")]
    Name,
    /// The numbers do not make a rate that can be kept.
    #[error("{0}")]
    Rate(&'static str),
}

impl Spec {
    /// The rate as the bucket wants it.
    ///
    /// # Errors
    /// In words, when the numbers make no rate that can be kept.
    pub fn rate(&self) -> Result<Rate, &'static str> {
        if self.count > COUNT_MAX || self.burst() > COUNT_MAX {
            return Err("a limit counts up to 1000000");
        }
        Rate::new(self.count, self.period, self.burst()).map_err(logic::bucket::InvalidRate::reason)
    }

    /// Requests at once.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.burst.unwrap_or(self.count)
    }
}

impl FromStr for Spec {
    type Err = InvalidSpec;
    fn from_str(text: &str) -> Result<Self, InvalidSpec> {
        parse(text)
    }
}

/// Reads the text of a limit.
///
/// # Errors
/// With the place of the first thing that is wrong.
pub fn parse(text: &str) -> Result<Spec, InvalidSpec> {
    let mut rest = Cursor { text, at: 0 };
    rest.skip_spaces();
    let start = rest.at;
    let count = rest.count()?;
    if !rest.eat(b'/') {
        return Err(rest.error(Problem::Slash));
    }
    let period = rest.period()?;
    let (mut per, mut burst) = (None, None);
    loop {
        let at = rest.skip_spaces();
        match rest.word() {
            "" => break,
            "per" if per.is_none() && burst.is_none() => per = Some(rest.per()?),
            "burst" if burst.is_none() => {
                rest.skip_spaces();
                burst = Some(rest.count()?);
                rest.end_of_word(Problem::Count)?;
            }
            _ => return Err(InvalidSpec { offset: at, problem: Problem::Word }),
        }
    }
    let spec = Spec { count, period, per: per.unwrap_or(Per::All), burst };
    match spec.rate() {
        Ok(_) => Ok(spec),
        Err(reason) => Err(InvalidSpec { offset: start, problem: Problem::Rate(reason) }),
    }
}

/// A place in the text.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn error(&self, problem: Problem) -> InvalidSpec {
        InvalidSpec { offset: self.at, problem }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.rest().as_bytes().first() == Some(&byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Goes to the next word and says where it begins.
    fn skip_spaces(&mut self) -> usize {
        while self.eat(b' ') {}
        self.at
    }

    /// What stands from here, as long as `belongs` holds.
    fn run(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|c: char| !belongs(c)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    fn word(&mut self) -> &'a str {
        self.run(|c| c != ' ')
    }

    fn count(&mut self) -> Result<u32, InvalidSpec> {
        let at = self.at;
        let digits = self.run(|c| c.is_ascii_digit());
        let count = digits.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count));
        count.ok_or(InvalidSpec { offset: at, problem: Problem::Count })
    }

    fn end_of_word(&self, problem: Problem) -> Result<(), InvalidSpec> {
        match self.rest().chars().next() {
            None | Some(' ') => Ok(()),
            Some(_) => Err(self.error(problem)),
        }
    }

    fn period(&mut self) -> Result<Duration, InvalidSpec> {
        let has_number = self.rest().starts_with(|c: char| c.is_ascii_digit());
        let number = if has_number { self.count()? } else { 1 };
        let at = self.at;
        let unit_ms = match self.word() {
            "ms" => 1,
            "s" | "sec" | "second" | "seconds" => 1_000,
            "m" | "min" | "minute" | "minutes" => 60_000,
            "h" | "hour" | "hours" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            _ => return Err(InvalidSpec { offset: at, problem: Problem::Unit }),
        };
        Ok(Duration::from_millis(u64::from(number) * unit_ms))
    }

    fn per(&mut self) -> Result<Per, InvalidSpec> {
        let at = self.skip_spaces();
        match self.word() {
            "ip" => Ok(Per::Ip),
            "key" => Ok(Per::Key),
            "claim" => {
                let at = self.skip_spaces();
                let name = self.word();
                let is_name = (1..=CLAIM_LEN_MAX).contains(&name.len())
                    && !name.chars().any(char::is_control);
                match is_name {
                    true => Ok(Per::Claim(name.to_owned())),
                    false => Err(InvalidSpec { offset: at, problem: Problem::Name }),
                }
            }
            "header" => {
                let at = self.skip_spaces();
                match field_name(self.word()) {
                    Ok(name) => Ok(Per::Header(name)),
                    Err(_invalid) => Err(InvalidSpec { offset: at, problem: Problem::Name }),
                }
            }
            _ => Err(InvalidSpec { offset: at, problem: Problem::Per }),
        }
    }
}

/// As it is written: what is printed can be read again.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.period.as_millis();
        let units = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
        let whole = units.iter().find(|(_, unit_ms)| ms.is_multiple_of(*unit_ms));
        let (unit, unit_ms) = whole.copied().unwrap_or(("ms", 1));
        match ms / unit_ms {
            1 => write!(f, "{}/{unit}", self.count)?,
            number => write!(f, "{}/{number}{unit}", self.count)?,
        }
        match &self.per {
            Per::All => {}
            Per::Ip => f.write_str(" per ip")?,
            Per::Key => f.write_str(" per key")?,
            Per::Claim(name) => write!(f, " per claim {name}")?,
            Per::Header(name) => write!(f, " per header {name}")?,
        }
        self.burst.map_or(Ok(()), |burst| write!(f, " burst {burst}"))
    }
}
