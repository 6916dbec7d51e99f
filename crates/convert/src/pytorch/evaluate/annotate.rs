//! Types and shapes of values, found by running the program.

use std::collections::HashMap;

use modelyard_graph::ElementType;
use modelyard_tensor::Tensor;

use super::{Value, run};
use crate::EvaluateError;
use crate::pytorch::graph::{Meta, Program, Size};
use crate::reference::Array;

/// Finds type and shape of every value by running the program on two sets of inputs: sizes that
/// differ between the two are free. `first` and `second` are in the order of the user inputs; the
/// metas of those inputs stay as they are.
///
/// For producers that do not know the types of their values. Sizes that are the same number in both
/// runs as a symbol's are taken for that symbol: give each symbol two numbers of its own.
pub(in crate::pytorch) fn annotate(
    program: &mut Program,
    first: &[Tensor],
    second: &[Tensor],
) -> Result<(), EvaluateError> {
    let one = observed(program, first)?;
    let two = observed(program, second)?;
    let symbols = symbols(program, first, second);
    for (name, (element_type, dims)) in one {
        if program.graph.values.contains_key(&name) {
            continue;
        }
        let Some((_, others)) = two.get(&name).filter(|(_, other)| other.len() == dims.len())
        else {
            continue;
        };
        let pairs = dims.iter().zip(others);
        let mut sizes = pairs.map(|(&one, &two)| match one == two {
            true => Size::from(one),
            false => symbols.get(&(one, two)).cloned().unwrap_or(Size::Unknown),
        });
        let meta = match element_type {
            Observed::Tensor(element_type) => Meta::Tensor(element_type, sizes.collect()),
            Observed::Int => Meta::Int(sizes.next_back().unwrap_or(Size::Unknown)),
            Observed::Float => Meta::Float,
            Observed::Bool => Meta::Bool,
        };
        program.graph.values.insert(name, meta);
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Observed {
    Tensor(ElementType),
    Int,
    Float,
    Bool,
}

fn observed(
    program: &Program,
    inputs: &[Tensor],
) -> Result<HashMap<String, (Observed, Vec<usize>)>, EvaluateError> {
    let arrays: Result<Vec<Array>, EvaluateError> = inputs.iter().map(Array::from_tensor).collect();
    let mut seen = HashMap::new();
    run(program, arrays?, &mut |name, value| {
        let found = match value {
            Value::Tensor(view) => (Observed::Tensor(view.element_type()), view.dims().to_vec()),
            Value::Int(value) => (Observed::Int, vec![usize::try_from(*value).unwrap_or(0)]),
            Value::Float(_) => (Observed::Float, Vec::new()),
            Value::Bool(_) => (Observed::Bool, Vec::new()),
            Value::None => return,
        };
        seen.insert(name.to_owned(), found);
    })?;
    Ok(seen)
}

/// The symbols of the inputs by the numbers that they had in the two runs.
fn symbols(
    program: &Program,
    first: &[Tensor],
    second: &[Tensor],
) -> HashMap<(usize, usize), Size> {
    let mut symbols = HashMap::new();
    for (((_, meta), one), two) in program.user_inputs().zip(first).zip(second) {
        let Some(Meta::Tensor(_, sizes)) = meta else { continue };
        let dims = one.shape().dims().iter().zip(two.shape().dims());
        for (size, (&one, &two)) in sizes.iter().zip(dims) {
            if size.known().is_none() && one != two {
                symbols.insert((one, two), size.clone());
            }
        }
    }
    symbols
}

#[cfg(test)]
mod tests {
    use modelyard_tensor::Shape;

    use super::*;
    use crate::Options;
    use crate::pytorch::convert::{Naming, convert};
    use crate::pytorch::evaluate::evaluate;
    use crate::pytorch::graph::{Argument, ints};
    use crate::pytorch::weight::{Storage, Weight};

    fn input(batch: usize) -> Tensor {
        let values = (0..batch * 4).map(|at| at as f32 - 3.0).collect();
        Tensor::from_vec(Shape::new(&[batch, 4]), values).unwrap()
    }

    /// By hand, without a type of any value between, arguments by position.
    fn program() -> Program {
        let mut program = Program::new("a test");
        let bytes: Vec<u8> = (0..8).flat_map(|at| (at as f32).to_le_bytes()).collect();
        let storage = Storage::Memory(bytes.into());
        let weight = Weight::dense(storage, ElementType::Float32, &[2, 4]).unwrap();
        let sizes = [Size::symbol("batch"), Size::Known(4)];
        program.input("x", Meta::tensor(ElementType::Float32, &sizes));
        program.parameter("weight", weight);
        let graph = &mut program.graph;
        graph.call("aten.linear", &["x".into(), "weight".into(), Argument::None], "y");
        graph.call("aten.relu_", &["y".into()], "z");
        graph.call("aten.size.int", &["z".into(), 0.into()], "n");
        let shape = Argument::List(vec!["n".into(), 2.into(), 1.into()]);
        graph.call("aten.view", &["z".into(), shape], "v");
        graph.call("aten.permute", &["v".into(), ints(&[1, 0, 2])], "out");
        program.output("out", "out");
        program
    }

    #[test]
    fn types_and_free_sizes_are_found() {
        let mut program = program();
        annotate(&mut program, &[input(3)], &[input(5)]).unwrap();
        let sizes = [Size::Known(2), Size::symbol("batch"), Size::Known(1)];
        assert_eq!(program.graph.values["out"], Meta::tensor(ElementType::Float32, &sizes));
        assert_eq!(program.graph.values["n"], Meta::Int(Size::symbol("batch")));
        let conversion = convert(&program, &Naming::default()).unwrap();
        let model = crate::finish::finish(conversion, &Options::default()).unwrap().model;
        assert_eq!(model.signature().unwrap().outputs[0].dims.as_ref().unwrap().len(), 3);
        let found = evaluate(&program, &[input(2)]).unwrap();
        assert_eq!(found[0].shape().dims(), [2, 2, 1]);
        assert_eq!(found[0].to_f64s().unwrap(), [0.0, 20.0, 0.0, 60.0]);
    }
}
