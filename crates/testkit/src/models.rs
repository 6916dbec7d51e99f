//! Models that every engine loads.

use modelyard_graph::{ElementType, Graph, GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim};

use crate::weights;

/// Every model here with a name, for tests over all of them.
pub fn all() -> Vec<(String, Model)> {
    let mut models = vec![
        ("add".to_owned(), add()),
        ("mlp".to_owned(), mlp()),
        ("slow".to_owned(), slow(2, 16)),
        ("conv".to_owned(), conv()),
        ("branch".to_owned(), branch()),
    ];
    let identities = DataType::ALL.iter().map(|&data_type| {
        (format!("identity_{}", data_type.name().to_lowercase()), identity(data_type))
    });
    models.extend(identities);
    models
}

/// `sum = a + b`, four floats each, no batch dimension.
pub fn add() -> Model {
    let four = [Dim::Fixed(4)];
    verified(
        GraphBuilder::new("add")
            .input("a", DataType::Fp32, &four)
            .input("b", DataType::Fp32, &four)
            .output("sum", DataType::Fp32, &four)
            .node(Node::new("Add", &["a", "b"], &["sum"])),
    )
}

/// A digits classifier in shape, with weights that mean nothing: `input [batch,784]`, 128 hidden
/// units, `probabilities [batch,10]`.
pub fn mlp() -> Model {
    let layer = |name: &str, rows: usize, columns: usize, seed| {
        weights_of(name, &[rows, columns], seed, (3.0 / rows as f32).sqrt())
    };
    verified(
        GraphBuilder::new("mlp")
            .input("input", DataType::Fp32, &[batch(), Dim::Fixed(784)])
            .output("probabilities", DataType::Fp32, &[batch(), Dim::Fixed(10)])
            .initializer(layer("w1", 784, 128, 1))
            .initializer(weights_of("b1", &[128], 2, 0.1))
            .initializer(layer("w2", 128, 10, 3))
            .initializer(weights_of("b2", &[10], 4, 0.1))
            .node(Node::new("Gemm", &["input", "w1", "b1"], &["h1"]))
            .node(Node::new("Relu", &["h1"], &["h2"]))
            .node(Node::new("Gemm", &["h2", "w2", "b2"], &["logits"]))
            .node(Node::new("Softmax", &["logits"], &["probabilities"]).with("axis", 1)),
    )
}

/// `output = input`, of any datatype, `[batch,length]`.
pub fn identity(data_type: DataType) -> Model {
    let dims = [batch(), Dim::Symbol("length".into())];
    verified(
        GraphBuilder::new("identity")
            .input("input", data_type, &dims)
            .output("output", data_type, &dims)
            .node(Node::new("Identity", &["input"], &["output"])),
    )
}

/// Takes its time: `layers` multiplications of `input [batch,width]` by a `width x width`
/// matrix, `2 * layers * width * width` FLOPs a row. Values stay bounded.
pub fn slow(layers: usize, width: usize) -> Model {
    let dims = [batch(), Dim::Fixed(width)];
    let mut graph = GraphBuilder::new("slow")
        .input("input", DataType::Fp32, &dims)
        .output("output", DataType::Fp32, &dims)
        .initializer(weights_of("w", &[width, width], 1, (3.0 / width as f32).sqrt()));
    let mut last = "input".to_owned();
    for layer in 0..layers {
        let product = format!("product{layer}");
        let next = format!("layer{layer}");
        graph = graph
            .node(Node::new("MatMul", &[&last, "w"], &[&product]))
            // Keeps engines from folding the chain into one product.
            .node(Node::new("Tanh", &[&product], &[&next]));
        last = next;
    }
    verified(graph.node(Node::new("Identity", &[&last], &["output"])))
}

/// A small convolutional net: `input [batch,1,28,28]`, two convolutions, `logits [batch,10]`.
pub fn conv() -> Model {
    let conv = |inputs: &[&str], output: &str| {
        Node::new("Conv", inputs, &[output]).with("kernel_shape", [3, 3]).with("pads", [1, 1, 1, 1])
    };
    let pool =
        Node::new("MaxPool", &["r1"], &["p1"]).with("kernel_shape", [2, 2]).with("strides", [2, 2]);
    verified(
        GraphBuilder::new("conv")
            .input(
                "input",
                DataType::Fp32,
                &[batch(), Dim::Fixed(1), Dim::Fixed(28), Dim::Fixed(28)],
            )
            .output("logits", DataType::Fp32, &[batch(), Dim::Fixed(10)])
            .initializer(weights_of("k1", &[8, 1, 3, 3], 1, 0.5))
            .initializer(weights_of("b1", &[8], 2, 0.1))
            .initializer(weights_of("k2", &[16, 8, 3, 3], 3, 0.2))
            .initializer(weights_of("b2", &[16], 4, 0.1))
            .initializer(weights_of("w", &[16, 10], 5, 0.4))
            .initializer(weights_of("b", &[10], 6, 0.1))
            .node(conv(&["input", "k1", "b1"], "c1"))
            .node(Node::new("Relu", &["c1"], &["r1"]))
            .node(pool)
            .node(conv(&["p1", "k2", "b2"], "c2"))
            .node(Node::new("Relu", &["c2"], &["r2"]))
            .node(Node::new("GlobalAveragePool", &["r2"], &["g"]))
            .node(Node::new("Flatten", &["g"], &["f"]))
            .node(Node::new("Gemm", &["f", "w", "b"], &["logits"])),
    )
}

/// `output = condition ? 2 * input : -input`, with graphs inside an `If` that take `input` from
/// around them.
pub fn branch() -> Model {
    let dims = [Dim::Symbol("length".into())];
    let result = |name: &str| GraphBuilder::new(name).output("result", DataType::Fp32, &dims);
    let then: Graph = result("double")
        .floats("two", &[], &[2.0])
        .node(Node::new("Mul", &["input", "two"], &["result"]))
        .build();
    let otherwise: Graph = result("negate").node(Node::new("Neg", &["input"], &["result"])).build();
    verified(
        GraphBuilder::new("branch")
            .input("condition", DataType::Bool, &[])
            .input("input", DataType::Fp32, &dims)
            .output("output", DataType::Fp32, &dims)
            .node(
                Node::new("If", &["condition"], &["output"])
                    .with("then_branch", then)
                    .with("else_branch", otherwise),
            ),
    )
}

/// The batch dimension.
fn batch() -> Dim {
    Dim::Symbol("batch".into())
}

fn weights_of(name: &str, dims: &[usize], seed: u64, scale: f32) -> modelyard_graph::Constant {
    let values = weights::floats(seed, dims.iter().product(), scale);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    modelyard_graph::Constant::raw(name, ElementType::Float32, dims, bytes)
}

fn verified(graph: GraphBuilder) -> Model {
    graph.model().check().expect("models of the testkit are valid, which its tests check")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use modelyard_graph::Limits;

    use super::*;

    #[test]
    fn all_survive_the_way_through_a_file() {
        for (name, model) in all() {
            let bytes = Bytes::from(model.encode());
            let read = Model::parse(bytes.clone(), &Limits::default());
            let read = read.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(read, model, "{name}");
            assert_eq!(read.encode(), bytes, "{name}");
        }
    }

    #[test]
    fn identities_have_their_datatype() {
        for data_type in DataType::ALL {
            let model = identity(data_type);
            let signature = model.signature().expect("all datatypes travel");
            assert_eq!(signature.inputs[0].data_type, data_type);
            assert!(signature.has_batch_dimension());
        }
    }
}
