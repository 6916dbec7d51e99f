//! The loop as a whole, on a task that a small network learns.

use super::*;
use crate::data::{InMemory, Targets};
use crate::layers::{Input, build, parse};
use crate::optimizer::{Clip, Penalties, Rule, Schedule};
use modelyard_tensor::DataType;

/// Points in a square, in four classes by quadrant: no line tells them apart.
fn examples(count: usize, seed: u64) -> InMemory {
    let mut random = fastrand::Rng::with_seed(seed);
    let points: Vec<f32> = (0..2 * count).map(|_| random.f32() * 2.0 - 1.0).collect();
    let class = |point: &[f32]| usize::from(point[0] * point[1] > 0.0);
    let classes = points.chunks(2).map(class).collect();
    let inputs = vec![("x".to_owned(), Array::floats([count, 2], points))];
    InMemory::new(inputs, Targets::Classes(classes)).unwrap()
}

fn model(layers: &str) -> Model {
    let input = Input { name: "x".into(), shape: vec![2], data_type: DataType::Fp32 };
    build(&parse(layers).unwrap(), &input, 3).unwrap()
}

fn options(epochs: usize) -> Options {
    Options {
        loss: LossKind::CrossEntropy,
        rule: Rule::ADAM,
        penalties: Penalties::default(),
        clip: Clip::None,
        schedule: Schedule::constant(0.02),
        epochs,
        batch: 16,
        seed: 5,
        early_stop: None,
        memory_limit_bytes: usize::MAX,
    }
}

const LAYERS: &str = "dense(16, relu), dense(2, softmax)";

fn trainer(model: &Model, options: Options) -> Trainer {
    let trained = trainable(model);
    let trained: Vec<&str> = trained.iter().map(String::as_str).collect();
    Trainer::new(model, &trained, options).unwrap()
}

/// Runs to the end and gives the stored model.
fn run(trainer: &mut Trainer, threads: usize) -> Model {
    let workers = Workers::new(threads).unwrap();
    trainer.run(&examples(200, 1), None, &workers, &mut |_, _| Control::Continue).unwrap();
    let mut stored = model(LAYERS);
    trainer.store(&mut stored);
    stored
}

#[test]
fn learns_what_a_line_cannot_tell_and_stores_it() {
    let model = model(LAYERS);
    let mut first = trainer(&model, options(60));
    let stored = run(&mut first, 1);
    let workers = Workers::new(1).unwrap();
    let score = first.evaluate(&examples(500, 2), &workers).unwrap();
    assert!(score.accuracy.unwrap() > 0.93, "{score:?}");
    let again = trainer(&stored, options(1)).evaluate(&examples(500, 2), &workers).unwrap();
    assert_eq!(score, again);
    assert!(first.peak_bytes() > 0);
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
    let model = model(LAYERS);
    let one = run(&mut trainer(&model, options(3)), 1);
    assert_eq!(one.graph, run(&mut trainer(&model, options(3)), 2).graph);
    let other = Options { seed: 6, ..options(3) };
    assert_ne!(one.graph, run(&mut trainer(&model, other), 1).graph);
}

#[test]
fn a_run_that_is_cut_off_and_resumed_ends_the_same() {
    let model = model(LAYERS);
    let settings = Options {
        early_stop: Some(EarlyStop { patience: 2, min_delta: 0.0 }),
        schedule: Schedule { curve: crate::optimizer::Curve::Cosine, ..Schedule::constant(0.02) },
        ..options(4)
    };
    let whole = run(&mut trainer(&model, settings.clone()), 1);
    let mut cut = trainer(&model, settings.clone());
    let mut saved = Vec::new();
    let workers = Workers::new(1).unwrap();
    let ended = cut.run(&examples(200, 1), None, &workers, &mut |event, trainer| match event {
        Event::Step(report) if report.step == 20 => {
            saved = trainer.checkpoint("quadrants").unwrap();
            Control::Stop
        }
        _ => Control::Continue,
    });
    assert_eq!(ended.unwrap(), Ended::Stopped);
    let mut resumed = trainer(&model, settings.clone());
    resumed.restore(&saved, "quadrants").unwrap();
    assert_eq!(resumed.progress().step, 20);
    assert_eq!(whole.graph, run(&mut resumed, 1).graph);

    let error = trainer(&model, settings.clone()).restore(&saved, "circles").unwrap_err();
    assert!(error.to_string().contains("was quadrants there, it is circles here"), "{error}");
    let other = Options { batch: 8, ..settings };
    let error = trainer(&model, other).restore(&saved, "quadrants").unwrap_err().to_string();
    assert!(error.contains("batch was 16 there, it is 8 here"), "{error}");
    let error = trainer(&model, options(1)).restore(b"junk", "").unwrap_err().to_string();
    assert!(error.starts_with("not a checkpoint of modelyard"), "{error}");
}

#[test]
fn early_stopping_restores_the_best_weights() {
    let model = model(LAYERS);
    let settings = Options {
        early_stop: Some(EarlyStop { patience: 1, min_delta: 0.0 }),
        // So fast that the loss soon jumps about.
        schedule: Schedule::constant(0.5),
        ..options(200)
    };
    let mut trainer = trainer(&model, settings);
    let workers = Workers::new(1).unwrap();
    let (examples, validation) = (examples(200, 1), examples(200, 2));
    let ended =
        trainer.run(&examples, Some(&validation), &workers, &mut |_, _| Control::Continue).unwrap();
    assert_eq!(ended, Ended::Early);
    let losses = trainer.progress().history.iter().map(|epoch| epoch.validation.unwrap().loss);
    let best = losses.fold(f64::INFINITY, f64::min);
    assert_eq!(trainer.evaluate(&validation, &workers).unwrap().loss, best);
}

#[test]
fn a_loss_that_explodes_is_explained() {
    let model = model("dense(16, relu), dense(16, relu), dense(1)");
    let settings = Options {
        loss: LossKind::MeanSquaredError,
        rule: Rule::Sgd { momentum: 0.9, nesterov: false },
        schedule: Schedule::constant(50.0),
        ..options(3)
    };
    let inputs = vec![("x".to_owned(), Array::floats([64, 2], vec![3.0; 128]))];
    let targets = Targets::Values(Array::floats([64, 1], vec![100.0; 64]));
    let examples = InMemory::new(inputs, targets).unwrap();
    let workers = Workers::new(1).unwrap();
    let error = trainer(&model, settings)
        .run(&examples, None, &workers, &mut |_, _| Control::Continue)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("training diverged in step "), "{error}");
    assert!(error.contains("try a lower --learning-rate (now 50)"), "{error}");
}

#[test]
fn a_number_missing_in_the_data_is_named() {
    let inputs = vec![("x".to_owned(), Array::floats([1, 2], vec![f32::NAN, 0.0]))];
    let examples = InMemory::new(inputs, Targets::Classes(vec![1])).unwrap();
    let workers = Workers::new(1).unwrap();
    let error = trainer(&model(LAYERS), options(1))
        .run(&examples, None, &workers, &mut |_, _| Control::Continue)
        .unwrap_err()
        .to_string();
    assert!(error.contains("in step 1: input 'x' of the batch holds NaN"), "{error}");
}

#[test]
fn a_batch_that_does_not_fit_the_memory_limit_says_so() {
    let settings = Options { memory_limit_bytes: 1000, ..options(1) };
    let workers = Workers::new(1).unwrap();
    let error = trainer(&model(LAYERS), settings)
        .run(&examples(64, 1), None, &workers, &mut |_, _| Control::Continue)
        .unwrap_err();
    let error = crate::testing::with_sources(&error);
    assert!(error.contains("make the batch smaller"), "{error}");
}
