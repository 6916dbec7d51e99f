//! New versions of a model under load: nobody fails, and a model beside it does not notice.

use anyhow::ensure;

use super::switching::{Bench, Phase, Way};
use crate::compare::Spread;
use crate::env::Env;
use crate::report::{Report, Table, micros, rate};

/// Rounds after which a case is given up that makes no headway.
const ROUNDS_MAX: usize = 60;

/// A model, and how it is switched.
struct Case {
    name: &'static str,
    model: Vec<u8>,
    way: Way,
    /// Switches to make under load.
    switches: usize,
    /// Seconds of a phase.
    seconds: f64,
}

/// One round: without switches, and with.
type Round = (Phase, Phase);

/// An MLP and a CNN of 102 MB, by the alias that a server follows and by Triton's request to load.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let mut report = Report::new("switches", env);
    let mlp = std::fs::read(env.digits_model())?;
    let cnn = std::fs::read(env.model("resnet")?)?;
    let case = |name, model: &Vec<u8>, way, switches, phases: f64| {
        let seconds = env.options.seconds * phases;
        Case { name, model: model.clone(), way, switches, seconds }
    };
    let cases = [
        case("MLP, alias", &mlp, Way::Alias, 200, 2.0),
        case("CNN, alias", &cnn, Way::Alias, 20, 5.0),
        case("MLP, load", &mlp, Way::Load, 200, 2.0),
        case("CNN, load", &cnn, Way::Load, 20, 5.0),
        case("CNN, no switch but sha256sum in SCHED_IDLE", &cnn, Way::Control, 20, 5.0),
    ];
    let mut table = Table::new("Switches under load", &HEADING);
    let mut results = Vec::new();
    for case in &cases {
        let (rounds, rates, resident_mb) = measure(env, case)?;
        table.row(row(case, &rounds, (rates, resident_mb)));
        results.push((case.name, rounds));
    }
    report.table(table);
    for (case, (name, rounds)) in cases.iter().zip(&results) {
        report.data(name, rounds);
        if case.way != Way::Control {
            judge(&mut report, name, rounds);
        }
    }
    Ok(report)
}

/// Both phases in turns, until there were enough switches.
fn measure(env: &Env, case: &Case) -> anyhow::Result<(Vec<Round>, [f64; 2], f64)> {
    eprintln!("{}: getting ready", case.name);
    let mut bench = Bench::start(env, (case.way, &case.model), case.switches + 1)?;
    let (mut rounds, mut made) = (Vec::new(), 0);
    while made < case.switches || rounds.len() < env.options.rounds {
        ensure!(rounds.len() < ROUNDS_MAX, "{}: only {made} switches", case.name);
        // Whatever drifts meets both orders alike.
        let round = match rounds.len() % 2 {
            0 => {
                let quiet = bench.phase(case.seconds, false)?;
                (quiet, bench.phase(case.seconds, true)?)
            }
            _ => {
                let switching = bench.phase(case.seconds, true)?;
                (bench.phase(case.seconds, false)?, switching)
            }
        };
        made += round.1.switches_ms.len();
        let ratio = ratio(&round);
        eprintln!("{}, round {}: {made} switches, {ratio:.2}", case.name, rounds.len() + 1);
        rounds.push(round);
    }
    Ok((rounds, bench.rates, bench.resident_mb()))
}

fn ratio((quiet, switching): &Round) -> f64 {
    switching.untouched.p99_us / quiet.untouched.p99_us
}

/// Requests that were sent and got no good answer, in all phases.
fn failed(rounds: &[Round]) -> u64 {
    let phases = rounds.iter().flat_map(|(quiet, switching)| [quiet, switching]);
    let figures = phases.flat_map(|phase| [&phase.untouched, &phase.switched]);
    figures.map(|figures| figures.failed - figures.unsent()).sum()
}

const HEADING: [&str; 10] = [
    "model, way",
    "switches",
    "a switch, ms",
    "requests/s, untouched and switched",
    "requests",
    "failed",
    "untouched p99, without and with",
    "ratio",
    "switched p99, without and with",
    "RSS at the end",
];

fn row(case: &Case, rounds: &[Round], (rates, resident_mb): ([f64; 2], f64)) -> [String; 10] {
    let all = || rounds.iter().flat_map(|(quiet, switching)| [quiet, switching]);
    let sent: u64 = all().map(|phase| phase.untouched.completed + phase.switched.completed).sum();
    let switches =
        || rounds.iter().flat_map(|(_, switching)| switching.switches_ms.iter().copied());
    let p99 = |of: fn(&Round) -> f64| micros(Spread::of(rounds.iter().map(of)).median);
    [
        case.name.into(),
        switches().count().to_string(),
        rate(Spread::of(switches())),
        format!("{:.0}, {:.1}", rates[0], rates[1]),
        (sent + failed(rounds)).to_string(),
        failed(rounds).to_string(),
        format!("{}, {}", p99(|r| r.0.untouched.p99_us), p99(|r| r.1.untouched.p99_us)),
        Spread::of(rounds.iter().map(ratio)).ratio(),
        format!("{}, {}", p99(|r| r.0.switched.p99_us), p99(|r| r.1.switched.p99_us)),
        format!("{resident_mb:.0} MB"),
    ]
}

fn judge(report: &mut Report, name: &str, rounds: &[Round]) {
    let failures = failed(rounds);
    report.target(&format!("{name}: failed requests, 0"), failures as f64, failures == 0);
    let ratio = Spread::of(rounds.iter().map(ratio)).median;
    let what = format!("{name}: p99 of the untouched model over that without, ≤ 1.2");
    report.target(&what, ratio, ratio <= 1.2);
}
