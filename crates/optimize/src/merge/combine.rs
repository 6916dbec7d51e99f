//! The nodes that make one answer of several.

use modelyard_graph::{Constant, ElementType, Model, Names, Node, Value};

use super::fit::Stack;
use super::reading::{Change, Gives, Readings};

/// Writes nodes behind those of the members.
pub(super) struct Writer {
    model: Model,
    names: Names,
}

impl Writer {
    pub(super) fn new(model: Model) -> Writer {
        Writer { names: Names::of(&model), model }
    }

    /// What each member says, as 32-bit floats.
    pub(super) fn read(&mut self, readings: &Readings) -> Vec<String> {
        let mut values = Vec::new();
        for part in readings.parts() {
            let mut value = part.value.clone();
            if part.change == Change::Activate {
                value = self.activate(&value, readings.sigmoid);
            }
            if !part.is_float32 {
                value = self.cast(&value);
            }
            values.push(value);
        }
        values
    }

    /// Probabilities of logits.
    pub(super) fn activate(&mut self, value: &str, sigmoid: bool) -> String {
        match sigmoid {
            true => self.put("Sigmoid", &[value], "probabilities", |node| node),
            false => {
                self.put("Softmax", &[value], "probabilities", |node| node.with("axis", -1i64))
            }
        }
    }

    /// `Σ wᵢ yᵢ`.
    pub(super) fn average(&mut self, values: &[String], weights: &[f64]) -> String {
        let terms: Vec<String> = values
            .iter()
            .zip(weights)
            .map(|(value, &weight)| {
                let weight = self.floats("weight", &[], &[weight]);
                self.put("Mul", &[value, &weight], "weighted", |node| node)
            })
            .collect();
        self.sum(&terms, "average")
    }

    /// The share of votes of each class: `Σ wᵢ [c = arg max yᵢ]`. One number is the score of the second
    /// of two classes, and so is what comes out.
    pub(super) fn vote(
        &mut self,
        values: &[String],
        weights: &[f64],
        (width, gives): (usize, Gives),
    ) -> String {
        let votes: Vec<String> = values
            .iter()
            .zip(weights)
            .map(|(value, &weight)| match width {
                1 => self.vote_of_two(value, weight, gives),
                _ => self.vote_of_many(value, weight, width),
            })
            .collect();
        self.sum(&votes, "votes")
    }

    fn vote_of_many(&mut self, value: &str, weight: f64, width: usize) -> String {
        // ArgMax takes the first of equal ones.
        let class = self.put("ArgMax", &[value], "class", |node| {
            node.with("axis", -1i64).with("keepdims", 0i64)
        });
        let depth = self.names.unique("merge/classes");
        let bytes = (width as i64).to_le_bytes().to_vec();
        let count = Constant::raw(&depth, ElementType::Int64, &[], bytes);
        self.model.graph.initializers.push(count);
        let vote = self.floats("vote", &[2], &[0.0, weight]);
        self.put("OneHot", &[&class, &depth, &vote], "vote", |node| node.with("axis", -1i64))
    }

    fn vote_of_two(&mut self, value: &str, weight: f64, gives: Gives) -> String {
        let border = if gives == Gives::Probabilities { 0.5 } else { 0.0 };
        let border = self.floats("border", &[], &[border]);
        let second = self.put("Greater", &[value, &border], "second", |node| node);
        let vote = self.cast(&second);
        let weight = self.floats("weight", &[], &[weight]);
        self.put("Mul", &[&vote, &weight], "vote", |node| node)
    }

    /// `[y₁ … yₙ] W + b`, and probabilities of that where it is logistic.
    pub(super) fn stack(&mut self, values: &[String], stack: &Stack) -> String {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let row = self.put("Concat", &values, "answers", |node| node.with("axis", 1i64));
        let weights = self.floats("stack_weights", &[stack.inputs, stack.outputs], &stack.weights);
        let bias = self.floats("stack_bias", &[stack.outputs], &stack.bias);
        let scores = self.put("Gemm", &[&row, &weights, &bias], "stacked", |node| node);
        if stack.logistic { self.activate(&scores, stack.outputs == 1) } else { scores }
    }

    /// The model that gives this value as this output.
    pub(super) fn finish(mut self, value: &str, mut output: Value) -> Model {
        output.name = self.names.unique(&output.name);
        let node = Node::new("Identity", &[value], &[&output.name]);
        self.model.graph.nodes.push(node);
        self.model.graph.outputs.push(output);
        self.model
    }

    fn sum(&mut self, terms: &[String], what: &str) -> String {
        let terms: Vec<&str> = terms.iter().map(String::as_str).collect();
        self.put("Sum", &terms, what, |node| node)
    }

    fn cast(&mut self, value: &str) -> String {
        let float = i64::from(ElementType::Float32.code());
        self.put("Cast", &[value], "as_floats", |node| node.with("to", float))
    }

    fn floats(&mut self, what: &str, dims: &[usize], numbers: &[f64]) -> String {
        let name = self.names.unique(&format!("merge/{what}"));
        let numbers: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
        self.model.graph.initializers.push(Constant::floats(&name, dims, &numbers));
        name
    }

    fn put(
        &mut self,
        operator: &str,
        inputs: &[&str],
        what: &str,
        finish: impl FnOnce(Node) -> Node,
    ) -> String {
        let name = self.names.unique(&format!("merge/{what}"));
        self.model.graph.nodes.push(finish(Node::new(operator, inputs, &[&name])));
        name
    }
}
