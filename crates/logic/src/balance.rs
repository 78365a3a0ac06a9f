//! Which instance gets the next request.
//!
//! A [`Picker`] is one worker's memory for one service; [`Candidates`] is what is known of the
//! instances at this moment. Nothing is allocated per pick. A candidate that is not available
//! (draining, already tried for this request, penalised) is passed over by every algorithm; one of
//! weight 0 is taken only when no other is available.

mod random;
mod ring;

pub use random::{Random, hash};
pub use ring::Ring;

use std::{error::Error, fmt, str::FromStr};

/// The weight of a normal instance. Weights are in thousandths, so that a slow start has steps.
pub const WEIGHT_ONE: u32 = 1_000;

/// How requests are spread over the ready instances of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Each in turn.
    RoundRobin,
    /// Any, with equal chance.
    Random,
    /// In turn, in proportion to the weights, evenly interleaved (smooth weighted round robin).
    Weighted,
    /// The one with the fewest requests in flight per weight.
    LeastConnections,
    /// The one that answers fastest: peak-sensitive moving average of the latency × requests in flight.
    LeastResponseTime,
    /// The better of two drawn at random, by latency × requests in flight (Mitzenmacher 2001).
    #[default]
    P2c,
    /// The same key goes to the same instance while it lives (ring hash with bounded loads).
    ConsistentHash,
}

impl Algorithm {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::RoundRobin,
        Self::Random,
        Self::Weighted,
        Self::LeastConnections,
        Self::LeastResponseTime,
        Self::P2c,
        Self::ConsistentHash,
    ];

    /// Its name in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::Weighted => "weighted",
            Self::LeastConnections => "least_connections",
            Self::LeastResponseTime => "least_response_time",
            Self::P2c => "p2c",
            Self::ConsistentHash => "consistent_hash",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAlgorithm(pub String);

impl fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a way to balance: use one of", self.0)?;
        for (at, algorithm) in Algorithm::ALL.into_iter().enumerate() {
            write!(f, "{} {algorithm}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Error for UnknownAlgorithm {}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        let found = Self::ALL.into_iter().find(|algorithm| algorithm.name() == text);
        found.ok_or_else(|| UnknownAlgorithm(text.to_owned()))
    }
}

/// The instances of a service as they are now. The order is the same for as long as the set is.
pub trait Candidates {
    /// How many there are.
    fn count(&self) -> usize;
    /// Whether it may be picked at all.
    fn is_available(&self, at: usize) -> bool;
    /// Its weight in units of [`WEIGHT_ONE`]; 0: only when nothing else is available.
    fn weight(&self, at: usize) -> u32;
    /// Requests it works on.
    fn in_flight(&self, at: usize) -> u64;
    /// How slow it is of late in microseconds; 0: not known.
    fn latency_us(&self, at: usize) -> u32;
    /// The ring of this set; without one `ConsistentHash` picks like `P2c`.
    fn ring(&self) -> Option<&Ring>;
}

/// One worker's memory of how it spread one service's requests.
#[derive(Clone, Debug)]
pub struct Picker {
    algorithm: Algorithm,
    /// Round robin: where to look next.
    next: usize,
    /// Smooth weighted round robin: what each is owed.
    owed: Vec<i64>,
}

impl Picker {
    /// A picker that starts its rounds at `start`, so that several workers do not all begin with the
    /// same instance.
    #[must_use]
    pub fn new(algorithm: Algorithm, start: usize) -> Self {
        Self { algorithm, next: start, owed: Vec::new() }
    }

    /// The rule it follows.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Picks one of `from`; `None` when none is available. `key` is what `ConsistentHash` hashes,
    /// without one any instance will do.
    pub fn pick(
        &mut self,
        from: &impl Candidates,
        key: Option<u64>,
        random: &mut Random,
    ) -> Option<usize> {
        if self.algorithm == Algorithm::P2c
            && let Some(at) = Field::all(from).quick_better_of_two(random)
        {
            return Some(at);
        }
        let field = Field::of(from)?;
        if field.count == 1 {
            return field.nth(0);
        }
        match self.algorithm {
            Algorithm::RoundRobin => self.in_turn(&field),
            Algorithm::Random => field.nth(random.below(field.count)),
            Algorithm::Weighted => self.owed_most(&field),
            Algorithm::LeastConnections => field.least(random, |at| field.load(at)),
            Algorithm::LeastResponseTime => {
                let unknown = field.fastest_us();
                field.least(random, |at| field.cost(at, unknown))
            }
            Algorithm::P2c => field.better_of_two(random),
            Algorithm::ConsistentHash => match from.ring() {
                Some(ring) => ring.pick(&field, key.unwrap_or_else(|| random.draw())),
                None => field.better_of_two(random),
            },
        }
    }

    fn in_turn<C: Candidates>(&mut self, field: &Field<'_, C>) -> Option<usize> {
        let count = field.from.count();
        let found = (0..count)
            .map(|step| (self.next % count + step) % count)
            .find(|&at| field.is_usable(at))?;
        self.next = found + 1;
        Some(found)
    }

    /// Each usable one is owed its weight; the one that is owed most pays what all were given
    /// (nginx' smooth weighted round robin: 5:1:1 becomes a a b a c a a).
    fn owed_most<C: Candidates>(&mut self, field: &Field<'_, C>) -> Option<usize> {
        self.owed.resize(field.from.count(), 0);
        let mut given = 0;
        let mut best: Option<usize> = None;
        for at in field.usable() {
            let weight = i64::from(field.weight(at));
            given += weight;
            self.owed[at] += weight;
            if best.is_none_or(|best| self.owed[at] > self.owed[best]) {
                best = Some(at);
            }
        }
        let best = best?;
        self.owed[best] -= given;
        Some(best)
    }
}

/// The candidates that may be picked now: the available ones with a weight, or else the reserve.
struct Field<'a, C> {
    from: &'a C,
    count: usize,
    reserve: bool,
}

impl<'a, C: Candidates> Field<'a, C> {
    fn of(from: &'a C) -> Option<Self> {
        let (mut normal, mut reserve) = (0, 0);
        for at in (0..from.count()).filter(|&at| from.is_available(at)) {
            if from.weight(at) > 0 {
                normal += 1;
            } else {
                reserve += 1;
            }
        }
        let count = if normal > 0 { normal } else { reserve };
        (count > 0).then_some(Self { from, count, reserve: normal == 0 })
    }

    /// All of them, as if each could be picked.
    fn all(from: &'a C) -> Self {
        Self { from, count: from.count(), reserve: false }
    }

    fn is_usable(&self, at: usize) -> bool {
        self.from.is_available(at) && (self.reserve || self.from.weight(at) > 0)
    }

    fn usable(&self) -> impl Iterator<Item = usize> {
        (0..self.from.count()).filter(|&at| self.is_usable(at))
    }

    fn nth(&self, nth: usize) -> Option<usize> {
        // Availability may change under our hands (a drain starts); then any other will do.
        self.usable().nth(nth).or_else(|| self.usable().next())
    }

    fn weight(&self, at: usize) -> u32 {
        if self.reserve { WEIGHT_ONE } else { self.from.weight(at).max(1) }
    }

    /// What it would work on with this request, per weight.
    fn load(&self, at: usize) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts of open requests are far below 2^52"
        )]
        let requests = self.from.in_flight(at) as f64 + 1.0;
        requests / f64::from(self.weight(at))
    }

    /// How long this request would take, roughly. An instance that nobody knows yet counts as
    /// `unknown_us`: neither does everything rush to it, nor is it avoided.
    fn cost(&self, at: usize, unknown_us: u32) -> f64 {
        let latency_us = match self.from.latency_us(at) {
            0 => unknown_us,
            known => known,
        };
        self.load(at) * f64::from(latency_us.max(1))
    }

    fn fastest_us(&self) -> u32 {
        self.usable().map(|at| self.from.latency_us(at)).filter(|us| *us > 0).min().unwrap_or(1)
    }

    /// The usable one with the lowest `cost`; among equals any, with equal chance.
    fn least(&self, random: &mut Random, cost: impl Fn(usize) -> f64) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        let mut equals = 1;
        for at in self.usable() {
            let this = cost(at);
            match best {
                Some((_, lowest)) if this > lowest => {}
                Some((_, lowest)) if this >= lowest => {
                    equals += 1;
                    if random.below(equals) == 0 {
                        best = Some((at, this));
                    }
                }
                _ => {
                    equals = 1;
                    best = Some((at, this));
                }
            }
        }
        best.map(|(at, _)| at)
    }

    fn better_of_two(&self, random: &mut Random) -> Option<usize> {
        let (first, second) = self.two(random);
        let (first, second) = (self.nth(first)?, self.nth(second)?);
        Some(self.better(first, second))
    }

    /// The better of two out of all, when both may be picked, as nearly always: then nobody needs to be counted.
    /// Whoever falls back to the others has the same chances as if it had not tried.
    fn quick_better_of_two(&self, random: &mut Random) -> Option<usize> {
        if self.count < 2 {
            return None;
        }
        let (first, second) = self.two(random);
        (self.is_usable(first) && self.is_usable(second)).then(|| self.better(first, second))
    }

    /// Two different numbers below the count, when there are two.
    fn two(&self, random: &mut Random) -> (usize, usize) {
        let first = random.below(self.count);
        // The second is drawn from the others.
        let second = first + 1 + random.below((self.count - 1).max(1));
        (first, if second < self.count { second } else { second - self.count })
    }

    fn better(&self, first: usize, second: usize) -> usize {
        let known = |at: usize| Some(self.from.latency_us(at)).filter(|us| *us > 0);
        let unknown_us = known(first).or_else(|| known(second)).unwrap_or(1);
        let is_worse = self.cost(second, unknown_us) > self.cost(first, unknown_us);
        if is_worse { first } else { second }
    }
}

#[cfg(test)]
mod tests;
