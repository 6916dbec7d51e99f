//! Simulated traffic of a rollout, one request at a time.

use std::time::Duration;

use fastrand::Rng;
use modelyard_rollout::{
    Action, Active, Observations, Plan, Stage, State, Timestamp, VersionFigures, bucket_of, judge,
};

/// What a version does with requests.
#[derive(Clone)]
pub(crate) struct Behaviour {
    error_rate: f64,
    /// Histogram buckets of 65,536 equally likely latencies.
    latencies: Vec<u8>,
}

impl Behaviour {
    /// The stable version of all scenarios: 1 % errors; latencies lognormal with a median of 8 ms
    /// and σ = 0.35 up to the upper 7 %, from where the tail goes on with σ = 0.8: p99 26 ms,
    /// p99.9 48 ms.
    pub(crate) fn stable() -> Self {
        Behaviour::with(0.01, |_| 1.0)
    }

    /// That version with another error rate, and its latency at each quantile (0 to 1) multiplied.
    pub(crate) fn with(error_rate: f64, slower: impl Fn(f64) -> f64) -> Self {
        let quantiles = 1 << 16;
        let latency = |index: u32| {
            let quantile = (f64::from(index) + 0.5) / f64::from(quantiles);
            let z = normal_quantile(quantile);
            let seconds = 0.008 * (0.35 * z + 0.45 * (z - 1.5).max(0.0)).exp();
            bucket_of(Duration::from_secs_f64(seconds * slower(quantile))) as u8
        };
        Behaviour { error_rate, latencies: (0..quantiles).map(latency).collect() }
    }

    fn serve(&self, figures: &mut VersionFigures, random: &mut Rng) {
        figures.requests += 1;
        let draw = random.u64(..);
        if (draw >> 16) as f64 / (1u64 << 48) as f64 <= self.error_rate {
            figures.errors += 1;
        } else {
            figures.latency.add(self.latencies[usize::from(draw as u16)].into(), 1);
        }
    }
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// The stage that it was rolled back from; `None` when it was promoted.
    pub(crate) rolled_back_from: Option<Active>,
    /// Requests of the candidate until then, over all stages.
    pub(crate) candidate_requests: u64,
}

/// Plays a rollout to its end, with a look after every `look_every` requests of the candidate.
///
/// Time stands still in a stage until the candidate has had `patience` times the minimum of
/// requests, and is then past any minimum: 1 leaves the judge the fewest requests that it can
/// get, more let time be what a stage waits for.
pub(crate) fn play(
    plan: &Plan,
    stable: &Behaviour,
    candidate: &Behaviour,
    options: Options,
) -> Outcome {
    let mut random = Rng::with_seed(options.seed);
    let mut state = State::begin(plan, Timestamp(0));
    let mut total = 0;
    let (mut observed, mut looked) = (Observations::default(), 0);
    loop {
        let Stage::Active(active) = state.stage else { panic!("{:?}", state.stage) };
        let step = *plan.step(active).expect("the state follows the plan");
        while observed.candidate.requests < looked + options.look_every {
            if random.u64(..) < share_of_draws(step.share.fraction()) {
                candidate.serve(&mut observed.candidate, &mut random);
            } else {
                stable.serve(&mut observed.stable, &mut random);
            }
        }
        looked = observed.candidate.requests;
        let patient = looked >= step.min_requests * options.patience;
        let now =
            Timestamp(state.since.0 + if patient { step.min_time.as_millis() as u64 } else { 0 });
        let decision = judge(plan, &state, &observed, now);
        if decision.action == Action::Continue {
            continue;
        }
        total += looked;
        if decision.action != Action::Advance {
            let from = (decision.action == Action::RollBack).then_some(active);
            return Outcome { rolled_back_from: from, candidate_requests: total };
        }
        let event = modelyard_rollout::Event::Decided(&decision);
        state = state.apply(plan, &event, now).expect("the decision is of this epoch");
        (observed, looked) = (Observations::default(), 0);
    }
}

/// How a rollout is played.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// Of the random numbers.
    pub(crate) seed: u64,
    /// Requests of the candidate between two looks.
    pub(crate) look_every: u64,
    /// How many times the minimum of requests a stage lasts.
    pub(crate) patience: u64,
}

fn share_of_draws(fraction: f64) -> u64 {
    (fraction * u64::MAX as f64) as u64
}

/// A scenario: its name, and the candidate.
pub(crate) fn scenarios() -> Vec<(&'static str, Behaviour)> {
    let tail = |from: f64| move |quantile: f64| if quantile >= from { 1.5 } else { 1.0 };
    let ramp = |quantile: f64| 1.0 + 0.5 * ((quantile - 0.95) / 0.04).clamp(0.0, 1.0);
    vec![
        ("identical", Behaviour::stable()),
        ("2 points more errors (1 % to 3 %)", Behaviour::with(0.03, |_| 1.0)),
        ("everything 1.5x slower", Behaviour::with(0.01, |_| 1.5)),
        ("slowest 5 % 1.5x slower", Behaviour::with(0.01, tail(0.95))),
        ("slowest 2 % 1.5x slower", Behaviour::with(0.01, tail(0.98))),
        ("slowest 1 % 1.5x slower", Behaviour::with(0.01, tail(0.99))),
        ("p95 to p99 rising to 1.5x", Behaviour::with(0.01, ramp)),
    ]
}

/// The quantile function of the standard normal distribution, by Acklam's rational
/// approximation (2003), right within 1.2e-9 relatively.
fn normal_quantile(p: f64) -> f64 {
    let poly = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if !(0.02425..=0.97575).contains(&p) {
        let q = (-2.0 * p.min(1.0 - p).ln()).sqrt();
        let z = poly(&TAIL_NUMERATOR, q) / poly(&TAIL_DENOMINATOR, q);
        return if p < 0.5 { z } else { -z };
    }
    let q = p - 0.5;
    poly(&NUMERATOR, q * q) * q / poly(&DENOMINATOR, q * q)
}

const NUMERATOR: [f64; 6] = [
    -3.969683028665376e1,
    2.209460984245205e2,
    -2.759285104469687e2,
    1.38357751867269e2,
    -3.066479806614716e1,
    2.506628277459239,
];
const DENOMINATOR: [f64; 6] = [
    -5.447609879822406e1,
    1.615858368580409e2,
    -1.556989798598866e2,
    6.680131188771972e1,
    -1.328068155288572e1,
    1.0,
];
const TAIL_NUMERATOR: [f64; 6] = [
    -7.784894002430293e-3,
    -3.223964580411365e-1,
    -2.400758277161838,
    -2.549732539343734,
    4.374664141464968,
    2.938163982698783,
];
const TAIL_DENOMINATOR: [f64; 5] =
    [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0];
