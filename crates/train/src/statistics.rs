//! Running statistics of batch normalization as weights of their own.

use modelyard_graph::{Constant, ElementType, Model, ReadError};

use crate::buffers::Buffers;
use crate::program::{Mode, Program, Run};
use crate::workers::Workers;

/// The model with the running mean and variance of every BatchNormalization as initializers.
///
/// Exporters pass them through other nodes (Identity, Expand, CastLike), or let several nodes share
/// one constant; training then would not know where new statistics belong, or overwrite what is
/// trained. Where they are computed from constants alone the result takes
/// their place; where they depend on the input they are left, and are never updated.
pub fn with_statistics(model: &Model) -> Result<Model, ReadError> {
    let mut changed = model.clone();
    let Ok(program) = Program::compile(model) else { return Ok(changed) };
    let norms = model.graph.nodes.iter().enumerate();
    for (position, node) in norms.filter(|(_, node)| node.is("BatchNormalization")) {
        for (input, part) in [(3, "running_mean"), (4, "running_variance")] {
            let Some(source) = node.input(input) else { continue };
            let uses = model.graph.nodes.iter().flat_map(|node| &node.inputs);
            let is_alone = uses.filter(|used| *used == source).count() == 1;
            if is_alone && program.weights().get(source).is_some() {
                continue;
            }
            let Some(constant) = evaluated(&program, source) else { continue };
            let name = format!("{}.{part}", node.label());
            changed.graph.initializers.push(Constant { name: name.clone(), ..constant });
            changed.graph.nodes[position].inputs[input] = name;
        }
    }
    changed.check()
}

/// A value that follows from constants alone.
fn evaluated(program: &Program, value: &str) -> Option<Constant> {
    let plan = program.plan(&[value], &[]).ok()?;
    let workers = Workers::new(1).ok()?;
    let mut buffers = Buffers::default();
    let mut run = Run {
        buffers: &mut buffers,
        workers: &workers,
        mode: Mode::Evaluate,
        memory_limit_bytes: usize::MAX,
    };
    let pass = program.forward(&plan, program.weights(), Vec::new(), &mut run).ok()?;
    pass.value(value).to_constant(value, ElementType::Float32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_graph::{GraphBuilder, Node};
    use modelyard_tensor::{DataType, Dim};

    #[test]
    fn statistics_behind_other_nodes_become_weights() {
        let dims = [Dim::Symbol("batch".into()), Dim::Fixed(2)];
        let model = GraphBuilder::new("norm")
            .input("x", DataType::Fp32, &dims)
            .output("y", DataType::Fp32, &dims)
            .floats("scale", &[2], &[1.0, 1.0])
            .floats("mean", &[2], &[3.0, 4.0])
            .node(Node::new("Identity", &["mean"], &["same"]))
            .node(Node::new("Identity", &["scale"], &["variance"]))
            .node(Node::new(
                "BatchNormalization",
                &["x", "scale", "mean", "same", "variance"],
                &["y"],
            ))
            .model()
            .check()
            .unwrap();
        let changed = with_statistics(&model).unwrap();
        let node = &changed.graph.nodes[2];
        assert_ne!(node.inputs[4], "scale", "what is trained is not overwritten");
        let mean = changed.graph.initializer(&node.inputs[3]).unwrap();
        assert_eq!(mean.bytes(), model.graph.initializer("mean").unwrap().bytes());
        assert!(changed.graph.initializer(&node.inputs[4]).is_some());
    }
}
