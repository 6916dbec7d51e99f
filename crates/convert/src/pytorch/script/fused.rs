//! Operators that are whole layers: what PyTorch's transformers call in inference, written with
//! the operators that they consist of.

use super::interpret::{Interpreter, Result};
use super::value::Value;

impl Interpreter<'_> {
    /// The result of an operator that is a whole layer; `None` for all others.
    pub(super) fn fused(&mut self, name: &str, positional: &[Value]) -> Result<Option<Value>> {
        match name {
            "_native_multi_head_attention" => self.attention(positional).map(Some),
            "_transformer_encoder_layer_fwd" => self.encoder_layer(positional).map(Some),
            _ => Ok(None),
        }
    }

    fn apply(&mut self, name: &str, positional: Vec<Value>) -> Result<Value> {
        self.builtin(&format!("torch.{name}"), positional, Vec::new())
    }

    /// `(query, key, value, embed_dim, num_head, qkv_weight, qkv_bias, proj_weight, proj_bias, mask,
    /// need_weights, average_attn_weights, mask_type)`
    fn attention(&mut self, positional: &[Value]) -> Result<Value> {
        let [query, key, value, width, heads, weights @ ..] = positional else {
            return Err(self.wrong("_native_multi_head_attention without its arguments"));
        };
        let same = |other: &Value| match (query, other) {
            (Value::Tensor(one), Value::Tensor(two)) => one.name == two.name,
            _ => false,
        };
        if !same(key) || !same(value) {
            let way_out = "save the model with gradients enabled, which keeps attention in parts";
            let what = "aten._native_multi_head_attention";
            return Err(self.refusal(what, "attention to another tensor", way_out));
        }
        let (&Value::Int(width), &Value::Int(heads)) = (width, heads) else {
            return Err(self.wrong("attention of a width that is not known"));
        };
        let mask = weights.get(4).cloned().unwrap_or(Value::None);
        let mask_type = weights.get(7).cloned().unwrap_or(Value::None);
        let (out, shares) = self.heads(
            query,
            (width, heads),
            weights.get(..4).unwrap_or(&[]),
            (&mask, &mask_type),
        )?;
        let shares = match (weights.get(5), weights.get(6)) {
            (Some(Value::Bool(false)), _) => Value::None,
            (_, Some(Value::Bool(false))) => shares,
            _ => self.apply("mean", vec![shares, Value::list(vec![Value::Int(1)])])?,
        };
        Ok(Value::tuple(vec![out, shares]))
    }

    /// Attention of a sequence to itself: what it gives, and the shares of each head.
    fn heads(
        &mut self,
        own: &Value,
        (width, heads): (i64, i64),
        weights: &[Value],
        (mask, mask_type): (&Value, &Value),
    ) -> Result<(Value, Value)> {
        let [qkv_weight, qkv_bias, out_weight, out_bias] = weights else {
            return Err(self.wrong("attention without its four weights"));
        };
        let each = width.checked_div(heads).filter(|&each| each > 0);
        let each = each.ok_or_else(|| self.wrong("attention without heads"))?;
        let Value::Tensor(tensor) = own else { return Ok((Value::Lost, Value::Lost)) };
        let (batch, length) = (self.size(tensor, 0)?, self.size(tensor, 1)?);
        let linear = vec![own.clone(), qkv_weight.clone(), qkv_bias.clone()];
        let all = self.apply("linear", linear)?;
        let parts = self.apply("chunk", vec![all, Value::Int(3), Value::Int(2)])?;
        let mut split = Vec::new();
        for part in parts.items().unwrap_or_default() {
            let shape = vec![batch.clone(), length.clone(), Value::Int(heads), Value::Int(each)];
            let part = self.apply("reshape", vec![part, Value::list(shape)])?;
            split.push(self.apply("transpose", vec![part, Value::Int(1), Value::Int(2)])?);
        }
        let [query, key, value] = split.as_slice() else { return Ok((Value::Lost, Value::Lost)) };
        let root = Value::Float((each as f64).sqrt());
        let query = self.apply("div", vec![query.clone(), root])?;
        let key = self.apply("transpose", vec![key.clone(), Value::Int(-2), Value::Int(-1)])?;
        let scores = self.apply("matmul", vec![query, key])?;
        let scores = self.masked(scores, mask, mask_type)?;
        let shares = self.apply("softmax", vec![scores, Value::Int(-1)])?;
        let mixed = self.apply("matmul", vec![shares.clone(), value.clone()])?;
        let mixed = self.apply("transpose", vec![mixed, Value::Int(1), Value::Int(2)])?;
        let shape = Value::list(vec![batch, length, Value::Int(width)]);
        let mixed = self.apply("reshape", vec![mixed, shape])?;
        let out = self.apply("linear", vec![mixed, out_weight.clone(), out_bias.clone()])?;
        Ok((out, shares))
    }

    /// Scores without those that a mask is true for: of type 0 for pairs, 1 for keys, 2 for both.
    fn masked(&mut self, scores: Value, mask: &Value, mask_type: &Value) -> Result<Value> {
        if matches!(mask, Value::None) {
            return Ok(scores);
        }
        let mut mask = self.apply("to", vec![mask.clone(), Value::Int(11)])?;
        if matches!(mask_type, Value::Int(1)) {
            for _ in 0..2 {
                mask = self.apply("unsqueeze", vec![mask, Value::Int(1)])?;
            }
        }
        self.apply("masked_fill", vec![scores, mask, Value::Float(f64::NEG_INFINITY)])
    }

    /// `(src, embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias, use_gelu, norm_first,
    /// eps, norm_weight_1, norm_bias_1, norm_weight_2, norm_bias_2, ffn_weight_1, ffn_bias_1,
    /// ffn_weight_2, ffn_bias_2, mask, mask_type)`
    fn encoder_layer(&mut self, positional: &[Value]) -> Result<Value> {
        let [own, Value::Int(width), Value::Int(heads), rest @ ..] = positional else {
            return Err(self.wrong("_transformer_encoder_layer_fwd without its arguments"));
        };
        let (Some(attention), Some(Value::Bool(gelu)), Some(Value::Bool(first)), Some(norms)) =
            (rest.get(..4), rest.get(4), rest.get(5), rest.get(6..11))
        else {
            return Err(self.wrong("_transformer_encoder_layer_fwd without its weights"));
        };
        let feed = rest.get(11..15).unwrap_or(&[]);
        let mask = rest.get(15).cloned().unwrap_or(Value::None);
        let mask_type = rest.get(16).cloned().unwrap_or(Value::None);
        let [eps, scale_1, bias_1, scale_2, bias_2] = norms else { return Ok(Value::Lost) };
        let normed = |interpreter: &mut Self, value: &Value, scale: &Value, bias: &Value| {
            let width = Value::list(vec![Value::Int(*width)]);
            let all = vec![value.clone(), width, scale.clone(), bias.clone(), eps.clone()];
            interpreter.apply("layer_norm", all)
        };
        let input = if *first { normed(self, own, scale_1, bias_1)? } else { own.clone() };
        let (mixed, _) = self.heads(&input, (*width, *heads), attention, (&mask, &mask_type))?;
        let mut sum = self.apply("add", vec![own.clone(), mixed])?;
        if !*first {
            sum = normed(self, &sum, scale_1, bias_1)?;
        }
        let input = if *first { normed(self, &sum, scale_2, bias_2)? } else { sum.clone() };
        let fed = self.feed_forward(input, *gelu, feed)?;
        let sum = self.apply("add", vec![sum, fed])?;
        if *first { Ok(sum) } else { normed(self, &sum, scale_2, bias_2) }
    }

    fn feed_forward(&mut self, input: Value, gelu: bool, weights: &[Value]) -> Result<Value> {
        let [weight_1, bias_1, weight_2, bias_2] = weights else {
            return Err(self.wrong("a feed-forward layer without its weights"));
        };
        let wide = self.apply("linear", vec![input, weight_1.clone(), bias_1.clone()])?;
        let wide = self.apply(if gelu { "gelu" } else { "relu" }, vec![wide])?;
        self.apply("linear", vec![wide, weight_2.clone(), bias_2.clone()])
    }
}
