//! What `GET /metrics` says: every metric name of Modelyard, in one place.
//!
//! Names that begin with `nv_` are Triton's, with Triton's labels and units, so that dashboards
//! made for it go on working (they predate Prometheus's naming rules: microseconds, counters
//! without `_total`). All others are ours and follow the rules: base units, real histograms.

mod process;
mod text;

use modelyard_serving::{
    FailureReason, Phase, Recorder, RecorderFigures, Service, Stage, StatsSnapshot, Version,
};

use text::{Kind, Labels, Text};

/// What the network side counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerFigures {
    /// Open connections.
    pub(crate) connections: usize,
    /// Responses by protocol (`http`, `grpc`) and class of status (`2xx`, `OK`, ...).
    pub(crate) responses: Vec<(&'static str, &'static str, u64)>,
}

/// A family of Triton's that is one number a version.
struct Family {
    name: &'static str,
    help: &'static str,
    value: fn(&StatsSnapshot) -> u64,
}

const COUNTERS: [Family; 8] = [
    Family {
        name: "nv_inference_request_success",
        help: "Number of successful inference requests",
        value: |stats| stats.success.count,
    },
    Family {
        name: "nv_inference_count",
        help: "Number of inferences performed (a request of n rows counts n)",
        value: |stats| stats.inference_count,
    },
    Family {
        name: "nv_inference_exec_count",
        help: "Number of batches executed",
        value: |stats| stats.execution_count,
    },
    Family {
        name: "nv_inference_request_duration_us",
        help: "Cumulative time of successful requests in microseconds",
        value: |stats| stats.success.time.as_micros() as u64,
    },
    Family {
        name: "nv_inference_queue_duration_us",
        help: "Cumulative time requests waited in the queue in microseconds",
        value: |stats| stats.queue.time.as_micros() as u64,
    },
    Family {
        name: "nv_inference_compute_input_duration_us",
        help: "Cumulative time spent gathering inputs in microseconds",
        value: |stats| stats.compute_input.time.as_micros() as u64,
    },
    Family {
        name: "nv_inference_compute_infer_duration_us",
        help: "Cumulative time spent running models in microseconds",
        value: |stats| stats.compute_infer.time.as_micros() as u64,
    },
    Family {
        name: "nv_inference_compute_output_duration_us",
        help: "Cumulative time spent dividing outputs in microseconds",
        value: |stats| stats.compute_output.time.as_micros() as u64,
    },
];

/// The whole page, in Prometheus's text format 0.0.4.
pub(crate) fn render(service: &Service, figures: &ServerFigures) -> String {
    let mut text = Text::default();
    let versions: Vec<Measured> = service
        .versions()
        .iter()
        .map(|version| Measured { labels: labels(version), stats: version.statistics() })
        .collect();
    inference(&mut text, &versions);
    stages(&mut text, &versions);
    server(&mut text, service, figures);
    tape(&mut text, service);
    process::render(&mut text);
    text.finish()
}

/// One version's figures with the labels that go on each of its lines.
struct Measured {
    labels: Labels,
    stats: StatsSnapshot,
}

fn labels(version: &Version) -> Labels {
    Labels::new(&[("model", version.model()), ("version", &version.number().to_string())])
}

fn inference(text: &mut Text, versions: &[Measured]) {
    for family in &COUNTERS {
        text.family(family.name, Kind::Counter, family.help);
        for version in versions {
            text.sample(family.name, &version.labels, (family.value)(&version.stats));
        }
    }
    let name = "nv_inference_request_failure";
    text.family(name, Kind::Counter, "Number of failed inference requests by reason");
    for version in versions {
        for (reason, failures) in FailureReason::ALL.iter().zip(&version.stats.failures) {
            let labels = version.labels.with("reason", reason.name());
            text.sample(name, &labels, failures.count);
        }
    }
    let name = "nv_inference_pending_request_count";
    text.family(name, Kind::Gauge, "Number of requests that wait for an instance");
    for version in versions {
        text.sample(name, &version.labels, version.stats.pending);
    }
}

fn stages(text: &mut Text, versions: &[Measured]) {
    let name = "modelyard_inference_stage_duration_seconds";
    text.family(name, Kind::Histogram, "How long each stage of an inference request took");
    for version in versions {
        for (stage, histogram) in Stage::ALL.iter().zip(&version.stats.stages) {
            text.histogram(name, &version.labels.with("stage", stage.name()), histogram);
        }
    }
    let name = "modelyard_inference_batch_rows_total";
    text.family(name, Kind::Counter, "Batches executed by number of rows");
    for version in versions {
        for batch in &version.stats.batches {
            let labels = version.labels.with("rows", &batch.batch_size.to_string());
            text.sample(name, &labels, batch.compute_infer.count);
        }
    }
}

/// What became of the requests drawn for the tape, where there is one.
fn tape(text: &mut Text, service: &Service) {
    let Some(figures) = service.recorder().map(Recorder::figures) else { return };
    let RecorderFigures { drawn, written, dropped, bytes, errors } = figures;
    let families = [
        ("modelyard_tape_samples_total", "Requests drawn to be recorded", drawn),
        (
            "modelyard_tape_written_samples_total",
            "Requests recorded in files that are whole",
            written,
        ),
        (
            "modelyard_tape_dropped_samples_total",
            "Requests drawn and not recorded: the disk was too slow, or failed",
            dropped,
        ),
        ("modelyard_tape_written_bytes_total", "Bytes of the files that are whole", bytes),
        ("modelyard_tape_errors_total", "Times that recording failed", errors),
    ];
    for (name, help, count) in families {
        text.family(name, Kind::Counter, help);
        text.sample(name, &Labels::default(), count);
    }
}

fn server(text: &mut Text, service: &Service, figures: &ServerFigures) {
    let name = "modelyard_build_info";
    text.family(name, Kind::Gauge, "The version of Modelyard that runs; always 1");
    text.sample(name, &Labels::new(&[("version", env!("CARGO_PKG_VERSION"))]), 1);

    let name = "modelyard_phase";
    text.family(name, Kind::Gauge, "1 for the phase the server is in, 0 for the others");
    let now = service.phase();
    for (phase, label) in [
        (Phase::Starting, "starting"),
        (Phase::Ready, "ready"),
        (Phase::Draining, "draining"),
        (Phase::Stopped, "stopped"),
    ] {
        text.sample(name, &Labels::new(&[("phase", label)]), u64::from(phase == now));
    }

    let name = "modelyard_ready";
    text.family(name, Kind::Gauge, "1 while requests may be sent here, as /v2/health/ready says");
    text.sample(name, &Labels::default(), u64::from(service.ready()));

    let name = "modelyard_model_ready";
    text.family(name, Kind::Gauge, "1 for each version that answers, 0 for one that does not");
    for entry in service.index() {
        let number = entry.version.to_string();
        let labels = Labels::new(&[("model", &entry.model), ("version", &number)]);
        text.sample(name, &labels, u64::from(entry.state == "READY"));
    }

    let name = "modelyard_connections";
    text.family(name, Kind::Gauge, "Open connections on all ports");
    text.sample(name, &Labels::default(), figures.connections as u64);

    let name = "modelyard_responses_total";
    text.family(
        name,
        Kind::Counter,
        "Answers by protocol and status: its class over HTTP, its name over gRPC",
    );
    for (protocol, status, count) in &figures.responses {
        let labels = Labels::new(&[("protocol", protocol), ("status", status)]);
        text.sample(name, &labels, *count);
    }
}
