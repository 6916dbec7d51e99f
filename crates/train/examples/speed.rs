use modelyard_train::{data::*, layers, optimizer::*, trainer::*, *};
fn main() {
    let threads: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let layers_text = std::env::args().nth(2).unwrap();
    let batch: usize = std::env::args().nth(3).unwrap().parse().unwrap();
    let image = layers_text.contains("conv");
    let n = 8000;
    let mut r = fastrand::Rng::with_seed(1);
    let x: Vec<f32> = (0..n * 784).map(|_| if r.f32() < 0.8 { 0.0 } else { r.f32() }).collect();
    let dims: Vec<usize> = if image { vec![1, 28, 28] } else { vec![784] };
    let mut full = vec![n];
    full.extend(&dims);
    let ex = InMemory::new(
        vec![("x".into(), Array::floats(modelyard_tensor::Shape::new(&full), x))],
        Targets::Classes((0..n).map(|i| i % 10).collect()),
    )
    .unwrap();
    let input = layers::Input {
        name: "x".into(),
        shape: dims,
        data_type: modelyard_tensor::DataType::Fp32,
        normalization: None,
    };
    let m = layers::build(&layers::parse(&layers_text).unwrap(), &input, 1).unwrap();
    let t = trainable(&m);
    let t: Vec<&str> = t.iter().map(String::as_str).collect();
    let o = Options {
        loss: LossKind::CrossEntropy,
        rule: Rule::ADAM,
        penalties: Penalties::default(),
        clip: Clip::None,
        schedule: Schedule::constant(1e-3),
        epochs: 6,
        batch,
        seed: 1,
        early_stop: None,
        memory_limit_bytes: usize::MAX,
    };
    let mut tr = Trainer::new(&m, &t, o).unwrap();
    let w = Workers::new(threads).unwrap();
    let mut last = std::time::Instant::now();
    tr.run(&ex, None, &w, &mut |e, _| {
        if let Event::Epoch(_) = e {
            println!("{:.0}/s", n as f64 / last.elapsed().as_secs_f64());
            last = std::time::Instant::now();
        }
        Control::Continue
    })
    .unwrap();
}
