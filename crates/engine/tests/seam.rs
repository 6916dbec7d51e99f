//! What the seam promises, kept by every engine that is there: the embedded one, and the ONNX
//! Runtime that `MODELYARD_TEST_ONNXRUNTIME` names.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::sync::Arc;

use half::{bf16, f16};
use modelyard_engine::onnxruntime::OnnxRuntime;
use modelyard_engine::rten::Rten;
use modelyard_engine::{
    Engine, LoadError, LoadOptions, ModelFile, Parallelism, RunError, Session, threads,
};
use modelyard_graph::{GraphBuilder, Model, Node};
use modelyard_tensor::{AlignedBuffer, DataType, Dim, Element, Shape, Tensor, TensorView};
use modelyard_testkit::{external, models, weights};

fn engines() -> Vec<Box<dyn Engine>> {
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(Rten::default())];
    match std::env::var_os("MODELYARD_TEST_ONNXRUNTIME") {
        Some(library) => engines.push(Box::new(OnnxRuntime::open(Path::new(&library)).unwrap())),
        None => eprintln!("onnxruntime skipped: MODELYARD_TEST_ONNXRUNTIME names no library"),
    }
    engines
}

fn load(engine: &dyn Engine, model: Model) -> Result<Arc<dyn Session>, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, model.encode()).unwrap();
    let loaded =
        engine.load(&ModelFile { path, model }, &LoadOptions { threads: 2, lone: false })?;
    assert_eq!(loaded.engine, engine.name());
    Ok(loaded.session.into())
}

fn run(session: &dyn Session, inputs: &[Tensor], outputs: &[usize]) -> Vec<Tensor> {
    try_run(session, inputs, outputs, Parallelism::One).unwrap()
}

fn try_run(
    session: &dyn Session,
    inputs: &[Tensor],
    outputs: &[usize],
    parallelism: Parallelism,
) -> Result<Vec<Tensor>, RunError> {
    let views: Vec<TensorView<'_>> = inputs.iter().map(Tensor::view).collect();
    session.run(&views, outputs, parallelism)
}

fn floats(shape: &[usize], values: Vec<f32>) -> Tensor {
    Tensor::from_vec(Shape::new(shape), values).unwrap()
}

fn of<T: Element>(values: Vec<T>) -> Tensor {
    Tensor::from_vec([1, values.len()].into(), values).unwrap()
}

/// Odd values of every datatype, two of each.
fn samples() -> Vec<Tensor> {
    vec![
        Tensor::new(DataType::Bool, [1, 2].into(), vec![1, 0].into()).unwrap(),
        of(vec![0u8, u8::MAX]),
        of(vec![0u16, u16::MAX]),
        of(vec![0u32, u32::MAX]),
        of(vec![0u64, u64::MAX]),
        of(vec![i8::MIN, i8::MAX]),
        of(vec![i16::MIN, i16::MAX]),
        of(vec![i32::MIN, i32::MAX]),
        of(vec![i64::from(i32::MIN), i64::from(i32::MAX)]),
        of(vec![f16::MAX, f16::NEG_INFINITY]),
        of(vec![bf16::MAX, bf16::NEG_INFINITY]),
        of(vec![f32::MAX, -0.0]),
        of(vec![1.5f64, f64::NEG_INFINITY]),
        Tensor::from_strings([1, 2].into(), [b"".as_slice(), b"zero \0 and \xff"]).unwrap(),
    ]
}

#[test]
fn every_datatype_comes_back_as_it_went_in_or_is_refused_at_load() {
    for engine in engines() {
        let mut refused = Vec::new();
        for sample in samples() {
            let data_type = sample.data_type();
            match load(engine.as_ref(), models::identity(data_type)) {
                Ok(session) => {
                    let answer = run(session.as_ref(), std::slice::from_ref(&sample), &[0]);
                    assert_eq!(answer[0].data_type(), data_type);
                    assert_eq!(answer[0].shape(), sample.shape());
                    assert_eq!(answer[0].data(), sample.data(), "{data_type}");
                }
                Err(LoadError::Refused { .. }) => refused.push(data_type.name()),
                Err(other) => panic!("{data_type}: {other}"),
            }
        }
        let expected: &[&str] = match engine.name() {
            "rten" => &["UINT16", "UINT32", "UINT64", "INT16", "BF16", "BYTES"],
            _ => &[],
        };
        assert_eq!(refused, expected, "{}", engine.name());
    }
}

#[test]
fn an_output_outlives_its_inputs_and_its_session() {
    // The output is the input, and a constant: memory that is not the run's own.
    let model = GraphBuilder::new("passes")
        .input("x", DataType::Fp32, &[Dim::Fixed(2)])
        .output("x", DataType::Fp32, &[Dim::Fixed(2)])
        .output("c", DataType::Fp32, &[Dim::Fixed(3)])
        .floats("c", &[3], &[7.0, 8.0, 9.0])
        .node(Node::new("Identity", &["x"], &["unused"]))
        .model()
        .check()
        .unwrap();
    for engine in engines() {
        let Ok(session) = load(engine.as_ref(), model.clone()) else {
            panic!("{} does not load it", engine.name());
        };
        let answers = {
            let mut input = AlignedBuffer::zeroed(8);
            input.as_mut_slice().copy_from_slice(&[0, 0, 128, 63, 0, 0, 0, 64]);
            let view = TensorView { data_type: DataType::Fp32, shape: &[2], data: input.as_ref() };
            let answers = session.run(&[view], &[0, 1], Parallelism::One).unwrap();
            input.as_mut_slice().fill(0);
            answers
        };
        drop(session);
        assert_eq!(answers[0].values::<f32>().unwrap().as_ref(), [1.0, 2.0]);
        assert_eq!(answers[1].values::<f32>().unwrap().as_ref(), [7.0, 8.0, 9.0]);
    }
}

#[test]
fn outputs_come_as_asked_for() {
    let model = GraphBuilder::new("three")
        .input("x", DataType::Fp32, &[Dim::Fixed(1)])
        .output("same", DataType::Fp32, &[Dim::Fixed(1)])
        .output("negative", DataType::Fp32, &[Dim::Fixed(1)])
        .output("square", DataType::Fp32, &[Dim::Fixed(1)])
        .node(Node::new("Identity", &["x"], &["same"]))
        .node(Node::new("Neg", &["x"], &["negative"]))
        .node(Node::new("Mul", &["x", "x"], &["square"]))
        .model()
        .check()
        .unwrap();
    let input = floats(&[1], vec![3.0]);
    for engine in engines() {
        let session = load(engine.as_ref(), model.clone()).unwrap();
        for (outputs, expected) in [
            (vec![0, 1, 2], vec![3.0, -3.0, 9.0]),
            (vec![2, 0], vec![9.0, 3.0]),
            (vec![1], vec![-3.0]),
            (vec![], vec![]),
        ] {
            let answers = run(session.as_ref(), std::slice::from_ref(&input), &outputs);
            let found: Vec<f32> =
                answers.iter().map(|tensor| tensor.values::<f32>().unwrap()[0]).collect();
            assert_eq!(found, expected, "{}", engine.name());
        }
    }
}

#[test]
fn shapes_that_disagree_inside_are_the_callers_fault() {
    let free = |name: &str| [Dim::Symbol(name.into())];
    let model = GraphBuilder::new("add")
        .input("a", DataType::Fp32, &free("n"))
        .input("b", DataType::Fp32, &free("m"))
        .output("sum", DataType::Fp32, &free("k"))
        .node(Node::new("Add", &["a", "b"], &["sum"]))
        .model()
        .check()
        .unwrap();
    for engine in engines() {
        let session = load(engine.as_ref(), model.clone()).unwrap();
        let inputs = [floats(&[2], vec![1.0; 2]), floats(&[3], vec![1.0; 3])];
        let error = try_run(session.as_ref(), &inputs, &[0], Parallelism::One).unwrap_err();
        assert!(matches!(error, RunError::Inputs(_)), "{}: {error}", engine.name());
        // The session works on.
        let inputs = [floats(&[2], vec![1.0; 2]), floats(&[1], vec![1.0])];
        assert_eq!(run(session.as_ref(), &inputs, &[0])[0].shape().dims(), [2]);
    }
}

#[test]
fn empty_and_large_batches_run() {
    for engine in engines() {
        let session = load(engine.as_ref(), models::mlp()).unwrap();
        for rows in [0, 1, 3, 64, 1] {
            let input = floats(&[rows, 784], weights::floats(1, rows * 784, 1.0));
            let answer = &run(session.as_ref(), &[input], &[0])[0];
            assert_eq!(answer.shape().dims(), [rows, 10], "{}", engine.name());
            for row in answer.values::<f32>().unwrap().chunks(10) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-4);
            }
        }
    }
}

#[test]
fn all_threads_answer_what_one_answers() {
    for engine in engines() {
        let session = load(engine.as_ref(), models::slow(4, 512)).unwrap();
        let input = [floats(&[64, 512], weights::floats(1, 64 * 512, 1.0))];
        let one = run(session.as_ref(), &input, &[0]).remove(0);
        // Enough calls for an engine to find several threads worth it.
        for _ in 0..20 {
            let all = try_run(session.as_ref(), &input, &[0], Parallelism::All).unwrap().remove(0);
            let pairs = one.values::<f32>().unwrap().into_owned();
            for (one, all) in pairs.iter().zip(all.values::<f32>().unwrap().iter()) {
                assert!((one - all).abs() < 1e-5, "{}", engine.name());
            }
        }
    }
}

#[test]
fn many_threads_share_one_session() {
    for engine in engines() {
        let session = load(engine.as_ref(), models::mlp()).unwrap();
        let input = |seed| floats(&[2, 784], weights::floats(seed, 2 * 784, 1.0));
        let expected: Vec<_> = (0..8)
            .map(|seed| run(session.as_ref(), &[input(seed)], &[0]).remove(0).into_data())
            .collect();
        let caller = |seed: u64| {
            let (session, expected) = (Arc::clone(&session), expected[seed as usize].clone());
            move || {
                for round in 0..200 {
                    let parallelism =
                        if round % 7 == 0 { Parallelism::All } else { Parallelism::One };
                    let answer = try_run(session.as_ref(), &[input(seed)], &[0], parallelism);
                    assert_eq!(answer.unwrap()[0].data(), &expected);
                }
            }
        };
        let hosted = (0..4).map(|seed| threads::spawn(format!("hosted-{seed}"), caller(seed)));
        let hosted: Vec<_> = hosted.map(Result::unwrap).collect();
        let others: Vec<_> = (4..8).map(|seed| std::thread::spawn(caller(seed))).collect();
        hosted.into_iter().chain(others).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn weights_beside_the_model_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = external::write(folder.path()).unwrap();
    let odd = folder.path().join("model.v1");
    std::fs::copy(&path, &odd).unwrap();
    for engine in engines() {
        let mut answers = [&path, &odd].map(|path| {
            let model = external::read(path).unwrap();
            let file = ModelFile { path: path.clone(), model };
            let loaded = engine.load(&file, &LoadOptions { threads: 1, lone: false }).unwrap();
            let spec = &loaded.session.signature().inputs[0];
            let dims = spec.dims.as_deref().unwrap_or_default().iter();
            let shape: Shape =
                dims.map(|dim| if let Dim::Fixed(size) = dim { *size } else { 2 }).collect();
            let input = floats(&shape, weights::floats(1, shape.elements().unwrap(), 1.0));
            run(loaded.session.as_ref(), &[input], &[0]).remove(0)
        });
        assert!(answers[0].values::<f32>().unwrap().iter().any(|&value| value != 0.0));
        assert_eq!(answers[0].data(), answers[1].data());
        answers.reverse();
    }
}

#[test]
fn a_session_for_lone_calls_needs_its_file_no_longer() {
    let dims = [Dim::Free, Dim::Fixed(4)];
    let model = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &dims)
        .node(Node::new("Relu", &["x"], &["y"]))
        .output("y", DataType::Fp32, &dims)
        .model();
    for engine in engines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, model.encode()).unwrap();
        let file = ModelFile { path, model: model.clone().check().unwrap() };
        let loaded = engine.load(&file, &LoadOptions { threads: 2, lone: true }).unwrap();
        folder.close().unwrap();
        for _ in 0..5 {
            let input = floats(&[1, 4], vec![-1.0, 2.0, -3.0, 4.0]);
            let found = try_run(loaded.session.as_ref(), &[input], &[0], Parallelism::All).unwrap();
            assert_eq!(found[0].values::<f32>().unwrap()[..], [0.0, 2.0, 0.0, 4.0]);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn threads_that_serve_keep_their_priority_whoever_loads_a_model() {
    use rustix::process::{getpriority_process, setpriority_process};

    let usual = getpriority_process(None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, models::mlp().encode()).unwrap();
    for engine in engines() {
        let spread = || {
            let file = ModelFile { path: path.clone(), model: models::mlp() };
            let options = LoadOptions { threads: 2, lone: false };
            let session = engine.load(&file, &options).unwrap().session;
            assert!(!session.is_spread());
            session.spread();
            session
        };
        // The first of all is loaded by a thread of the usual priority, as in a server.
        let _first = spread();
        let in_background = || {
            setpriority_process(None, 19).unwrap();
            spread()
        };
        let session = std::thread::scope(|scope| scope.spawn(in_background).join().unwrap());
        let spreads = engine.name() == "onnxruntime";
        assert_eq!(session.is_spread(), spreads);
        let mut found = 0;
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let task = task.unwrap().path();
            // A thread of another test may end meanwhile.
            let Ok(name) = std::fs::read_to_string(task.join("comm")) else { continue };
            if name.trim() == "onnxruntime" {
                let stat = std::fs::read_to_string(task.join("stat")).unwrap();
                let nice = stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap();
                assert_eq!(nice, usual.to_string());
                found += 1;
            }
        }
        assert!(!spreads || found >= 2, "{found} threads");
    }
}

#[test]
fn a_file_that_has_changed_is_not_the_model_any_more() {
    let dims = [Dim::Free, Dim::Fixed(1)];
    let model = |operator: &str| {
        let graph = GraphBuilder::new("g").input("x", DataType::Fp32, &dims);
        let graph = graph.node(Node::new(operator, &["x"], &["y"]));
        graph.output("y", DataType::Fp32, &dims).model().check().unwrap()
    };
    for engine in engines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, model("Neg").encode()).unwrap();
        let file = ModelFile { path: path.clone(), model: model("Neg") };
        let options = LoadOptions { threads: 2, lone: false };
        let session = engine.load(&file, &options).unwrap().session;
        let new = folder.path().join("new.onnx");
        std::fs::write(&new, model("Abs").encode()).unwrap();
        std::fs::rename(&new, &path).unwrap();
        session.spread();
        let found = try_run(&*session, &[floats(&[1, 1], vec![2.0])], &[0], Parallelism::All);
        assert_eq!(found.unwrap()[0].values::<f32>().unwrap()[..], [-2.0]);
    }
}

#[test]
fn files_that_are_no_models_are_errors() {
    for engine in engines() {
        let folder = tempfile::tempdir().unwrap();
        let model = models::add();
        let whole = model.encode();
        for bytes in [b"no model".to_vec(), whole[..whole.len() / 2].to_vec(), Vec::new()] {
            let path = folder.path().join("model.onnx");
            std::fs::write(&path, bytes).unwrap();
            let file = ModelFile { path, model: model.clone() };
            assert!(engine.load(&file, &LoadOptions { threads: 1, lone: false }).is_err());
        }
        let path = folder.path().join("missing.onnx");
        let file = ModelFile { path, model };
        assert!(engine.load(&file, &LoadOptions { threads: 1, lone: false }).is_err());
    }
}
