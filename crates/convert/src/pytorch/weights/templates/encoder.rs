//! Blocks of transformers.

use super::builder::{Builder, Value};
use crate::pytorch::graph::{Argument, Size};

impl Builder<'_> {
    /// `[batch, steps, heads * width]` as `[batch, heads, steps, width]`.
    pub(super) fn split_heads(&mut self, x: &Value, heads: usize, name: &str) -> Value {
        let width = x.size(2) / heads.max(1);
        let sizes = [x.sizes[0].clone(), x.sizes[1].clone(), heads.into(), width.into()];
        let split = self.reshaped(x, &sizes, &format!("{name}.heads"));
        self.transpose(&split, (1, 2), &format!("{name}.split"))
    }

    /// The opposite of [`Builder::split_heads`].
    fn join_heads(&mut self, x: &Value, name: &str) -> Value {
        let joined = self.transpose(x, (1, 2), &format!("{name}.joined"));
        let width = joined.size(2) * joined.size(3);
        let sizes = [joined.sizes[0].clone(), joined.sizes[1].clone(), width.into()];
        self.reshaped(&joined, &sizes, &format!("{name}.context"))
    }

    /// Attention of queries, keys and values `[batch, steps, heads * width]`; the mask is added to
    /// the scores.
    pub(super) fn attend(
        &mut self,
        [query, key, value]: [&Value; 3],
        heads: usize,
        mask: Option<&Value>,
        name: &str,
    ) -> Value {
        let [q, k, v] = [(query, "q"), (key, "k"), (value, "v")]
            .map(|(x, part)| self.split_heads(x, heads, &format!("{name}.{part}")));
        let mask = mask.map_or(Argument::None, Value::arg);
        let arguments = [q.arg(), k.arg(), v.arg(), mask];
        let target = "aten.scaled_dot_product_attention.default";
        let context = self.call(target, &arguments, (name, q.sizes.clone()));
        self.join_heads(&context, name)
    }

    /// The activation of a feed-forward layer, by its name in Hugging Face's configurations.
    pub(super) fn feed_forward_activation(&mut self, x: &Value, kind: &str, name: &str) -> Value {
        let sizes = x.sizes.clone();
        match kind {
            "relu" => self.each("aten.relu.default", x, name),
            "silu" | "swish" => self.each("aten.silu.default", x, name),
            "tanh" => self.each("aten.tanh.default", x, name),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => {
                let arguments = [x.arg(), Argument::String("tanh".into())];
                self.call("aten.gelu.default", &arguments, (name, sizes))
            }
            _ => self.each("aten.gelu.default", x, name),
        }
    }

    /// Rows of a table by integers `[batch, steps]`.
    pub(super) fn embedding(
        &mut self,
        indices: &Value,
        name: &str,
        (rows, width): (usize, usize),
    ) -> Value {
        let table = self.weight(&format!("{name}.weight"), &[rows, width]);
        let mut sizes = indices.sizes.clone();
        sizes.push(width.into());
        self.call("aten.embedding.default", &[table.arg(), indices.arg()], (name, sizes))
    }

    /// 0 where a token counts and a very negative number where it does not, `[batch, 1, 1, steps]`,
    /// from a mask of 1 and 0.
    pub(super) fn additive_mask(&mut self, mask: &Value) -> Value {
        let float = self.call(
            "aten.to.dtype",
            &[mask.arg(), Argument::Type(modelyard_graph::ElementType::Float32)],
            ("mask.float", mask.sizes.clone()),
        );
        let sizes = vec![mask.sizes[0].clone(), Size::Known(1), mask.sizes[1].clone()];
        let one = self.call(
            "aten.unsqueeze.default",
            &[float.arg(), Argument::Int(1)],
            ("mask.rows", sizes),
        );
        let sizes =
            vec![mask.sizes[0].clone(), Size::Known(1), Size::Known(1), mask.sizes[1].clone()];
        let two = self.call(
            "aten.unsqueeze.default",
            &[one.arg(), Argument::Int(2)],
            ("mask.heads", sizes.clone()),
        );
        let turned = self.call(
            "aten.rsub.Scalar",
            &[two.arg(), Argument::Float(1.0)],
            ("mask.turned", sizes.clone()),
        );
        let least = Argument::Float(f64::from(f32::MIN));
        self.call("aten.mul.Scalar", &[turned.arg(), least], ("mask.added", sizes))
    }

    /// The first `steps` rows of a table, as many as `like` has steps: `[steps, width]`.
    pub(super) fn first_rows(&mut self, table: &Value, like: &Value, name: &str) -> Value {
        let steps = self.size_value(like, 1);
        let sizes = vec![like.sizes[1].clone(), table.sizes[1].clone()];
        let arguments = [table.arg(), Argument::Int(0), Argument::Int(0), steps];
        self.call("aten.slice.Tensor", &arguments, (name, sizes))
    }

    /// Inputs of tokens: batch and steps are free.
    pub(super) fn tokens(&mut self, name: &str) -> Value {
        let sizes = [Size::symbol("batch"), Size::symbol("sequence")];
        self.input(name, modelyard_graph::ElementType::Int64, &sizes)
    }
}
