//! Graphs inside a graph: branches become graphs of their own, regions become part of theirs.

use modelyard_graph::{Graph as OnnxGraph, Value, ValueType};
use std::collections::HashMap;

use super::scalar::scalar;
use super::{Bound, Call, Converter, Extent, Refusal, Scalar, used_values};
use crate::pytorch::graph::{Argument, Graph, Meta};

impl<'p> Call<'_, 'p> {
    /// A branch as an ONNX graph, which sees the values around it: no inputs.
    pub(in crate::pytorch) fn branch(
        &mut self,
        graph: &'p Graph,
        operands: &[Argument],
    ) -> Result<OnnxGraph, Refusal> {
        // Weights that are first used inside are written outside: others may use them too.
        let bound = self.to.operands(graph, operands);
        let turned = self.to.turned.clone();
        let around = self.to.emitter.begin_inner("branch");
        let results = self.to.body(graph, bound);
        let mut outputs = Vec::new();
        for (bound, argument) in results.iter().zip(&graph.outputs) {
            outputs.push(self.to.branch_output(bound, argument, graph));
        }
        let mut inner = self.to.emitter.end_inner(around);
        self.to.turned = turned;
        let complete: Option<Vec<Value>> = outputs.into_iter().collect();
        match complete {
            Some(outputs) => {
                inner.outputs = outputs;
                Ok(inner)
            }
            // What is inside was refused already.
            None => Err(Refusal::new("", "")),
        }
    }

    /// Writes a region's calls as part of this graph; its outputs are the results of this call.
    pub(in crate::pytorch) fn inline(
        &mut self,
        graph: &'p Graph,
        operands: &[Argument],
    ) -> Result<(), Refusal> {
        let bound = self.to.operands(graph, operands);
        let results = self.to.body(graph, bound);
        for (index, bound) in results.into_iter().enumerate() {
            self.set(index, bound);
        }
        Ok(())
    }
}

impl<'p> Converter<'p> {
    /// What the inputs of an inner graph are.
    fn operands(&mut self, graph: &Graph, operands: &[Argument]) -> HashMap<String, Bound> {
        let mut inner = HashMap::new();
        for (name, operand) in graph.inputs.iter().zip(operands) {
            let bound = match operand {
                Argument::Value(value) => self.bound(value),
                other => self.fixed(other),
            };
            inner.insert(name.clone(), bound);
        }
        inner
    }

    /// Converts the calls of an inner graph whose inputs are these, and gives what its outputs are.
    fn body(&mut self, graph: &'p Graph, inner: HashMap<String, Bound>) -> Vec<Bound> {
        let bound = std::mem::replace(&mut self.bound, inner);
        let waiting = std::mem::take(&mut self.waiting);
        let around = std::mem::replace(&mut self.graph, graph);
        let used = used_values(graph);
        for node in &graph.nodes {
            self.node(node, &used);
        }
        let outputs = graph.outputs.iter().map(|output| match output {
            Argument::Value(value) => self.bound(value),
            other => self.fixed(other),
        });
        let outputs = outputs.collect();
        self.bound = bound;
        self.waiting = waiting;
        self.graph = around;
        outputs
    }

    fn fixed(&self, argument: &Argument) -> Bound {
        match scalar(argument) {
            Some(Scalar::Int(value)) => Bound::Extent(Extent::Known(value)),
            Some(other) => Bound::Scalar(other),
            None => Bound::Refused,
        }
    }

    /// An output of a branch: a value of the inner graph itself, as ONNX wants it.
    fn branch_output(
        &mut self,
        bound: &Bound,
        argument: &Argument,
        graph: &Graph,
    ) -> Option<Value> {
        let Argument::Value(value) = argument else { return None };
        let (name, element_type) = match (bound, graph.values.get(value)?) {
            (Bound::Tensor(name), Meta::Tensor(element_type, _)) => (name.clone(), *element_type),
            (Bound::Extent(extent), _) => {
                (self.extent_vector(extent), modelyard_graph::ElementType::Int64)
            }
            _ => return None,
        };
        let own = self.emit("Identity", &[&name]);
        let value_type = ValueType::Tensor { element_type, dims: None };
        Some(Value { name: own, value_type })
    }
}
