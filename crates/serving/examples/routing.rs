//! What routing costs a request: `routing`.
//!
//! [`Service::route`] alone, in alternating rounds: for a model that never had a route, for all
//! requests to one version, for a 10 % split that is drawn, for the same by a sticky header, and for
//! both as a rollout has them, which counts answers. Prints nanoseconds a call, and what each adds to
//! the first: medians, with the smallest and the largest.

mod idle;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use modelyard_rollout::{BasisPoints, Split};
use modelyard_serving::{Route, Service, Sticky, Trial, VersionState};

const ROUNDS: usize = 25;
const CALLS: u32 = 200_000;
const HEADER: &str = "x-user-id";

/// A service whose model has two versions.
fn service(route: Option<Route>) -> Arc<Service> {
    let service = idle::service();
    let ready = |number| (number, VersionState::Ready(idle::version("digits", number, [1, 1])));
    service.switch("digits", &[ready(1), ready(2)], route);
    service
}

/// The routes that are compared.
fn routes() -> [(&'static str, Option<Route>); 6] {
    let tenth = BasisPoints::new(1_000).expect("a tenth of all");
    let split = Split::all(1).with_candidate(2, tenth).expect("two versions");
    let drawn = Route { split, ..Route::to(1) };
    let sticky = Route { sticky: Some(Sticky::parse(HEADER)), ..drawn.clone() };
    let tried = |route: &Route| {
        let trial = Trial::new(2, BasisPoints::NONE);
        Route { trial: Some(Arc::new(trial)), ..route.clone() }
    };
    [
        ("no route", None),
        ("one version", Some(Route::to(1))),
        ("10 %, drawn", Some(drawn.clone())),
        ("10 %, sticky", Some(sticky.clone())),
        ("10 %, drawn, rollout", Some(tried(&drawn))),
        ("10 %, sticky, rollout", Some(tried(&sticky))),
    ]
}

/// Nanoseconds a call. Each request has headers of its own, as on the wire.
fn round(service: &Service) -> f64 {
    let others = [("host", "localhost:8000"), ("content-length", "3136"), ("accept", "*/*")];
    let start = Instant::now();
    for call in 0..CALLS {
        let user = (u64::from(call).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes();
        let key = |sticky: &Sticky| {
            let Sticky::Header(name) = sticky else { return None };
            let known = others.iter().find(|(other, _)| *other == name);
            known.map(|(_, value)| value.as_bytes()).or((name == HEADER).then_some(&user[..]))
        };
        let routed = service.route(black_box("digits"), black_box(None), key);
        black_box(routed.expect("it is there").number());
    }
    start.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

fn main() {
    let routes = routes();
    let services = routes.clone().map(|(_, route)| service(route));
    let mut times = vec![Vec::new(); services.len()];
    for _ in 0..ROUNDS {
        for (service, times) in services.iter().zip(&mut times) {
            times.push(round(service));
        }
    }
    let first = times[0].clone();
    let middle = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        (values[ROUNDS / 2], values[0], values[ROUNDS - 1])
    };
    for ((name, _), times) in routes.iter().zip(&times) {
        let added: Vec<f64> = times.iter().zip(&first).map(|(time, first)| time - first).collect();
        let ((time, ..), (added, least, most)) = (middle(times), middle(&added));
        println!("{name:22} {time:6.1} ns, adds {added:6.1} ns ({least:.1} .. {most:.1})");
    }
}
