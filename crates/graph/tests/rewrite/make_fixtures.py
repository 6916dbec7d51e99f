"""Writes the exporters' own spellings of what the fusion passes look for, into fixtures/.

`make_fixtures.py torch` needs torch 2.15, onnxscript 0.7, transformers 5.24 and onnx;
`make_fixtures.py keras` needs tensorflow-cpu 2.21, keras 3.15 and tf2onnx 1.17.
"""

import os
import sys
import warnings

import onnx

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
warnings.filterwarnings("ignore")


def save(model, name):
    """Without what tells of the machine that wrote it."""
    model.doc_string = ""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    path = os.path.join(HERE, name + ".onnx")
    onnx.save(model, path)
    kinds = " ".join(node.op_type for node in model.graph.node if node.op_type != "Constant")
    print(name, os.path.getsize(path), kinds, flush=True)


def torch_models():
    import torch
    from torch import nn
    from torch.nn.functional import scaled_dot_product_attention as sdpa
    from transformers import BertConfig, BertModel, ViTConfig, ViTModel
    from transformers.activations import ACT2FN

    torch.manual_seed(0)

    class Call(nn.Module):
        def __init__(self, f):
            super().__init__()
            self.f = f

        def forward(self, *inputs):
            return self.f(*inputs)

    def export(name, module, inputs, opset, dynamo, **options):
        path = "/tmp/fixture.onnx"
        if dynamo:
            options["external_data"] = False
        torch.onnx.export(
            module.eval(), inputs, path, opset_version=opset, dynamo=dynamo, **options
        )
        save(onnx.load(path), name)

    x = torch.randn(2, 3, 8)
    heads = [torch.randn(2, 2, 3, 4) for _ in range(3)]
    mask = torch.zeros(2, 1, 3, 3)
    norm = nn.LayerNorm(8)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    masked = Call(lambda q, k, v, m: sdpa(q, k, v, attn_mask=m))
    free = {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    export("torch_legacy_layer_norm", norm, (x,), 16, False, **free)
    plain = nn.LayerNorm([3, 8], elementwise_affine=False)
    export("torch_legacy_layer_norm_plain", plain, (x,), 16, False)
    export("torch_legacy_gelu", nn.GELU(), (x,), 17, False)
    export("torch_dynamo_gelu", nn.GELU(), (x,), 18, True)
    export("torch_legacy_gelu_tanh", nn.GELU(approximate="tanh"), (x,), 17, False)
    export("torch_dynamo_gelu_tanh", nn.GELU(approximate="tanh"), (x,), 18, True)
    export("torch_dynamo_rms_norm", nn.RMSNorm(8), (x,), 18, True)
    export("torch_legacy_mish", nn.Mish(), (x,), 17, False)
    export("torch_dynamo_silu", nn.SiLU(), (x,), 18, True)
    export("torch_legacy_mha", nn.MultiheadAttention(8, 2, batch_first=True), (x, x, x), 17, False)
    export("torch_dynamo_sdpa", Call(lambda q, k, v: sdpa(q, k, v)), tuple(heads), 18, True)
    export("torch_legacy_sdpa_mask", masked, (*heads, mask), 17, False)
    export("torch_dynamo_sdpa_mask", masked, (*heads, mask), 18, True)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
    export("torch_dynamo_encoder", encoder, (x,), 18, True)
    for name in ["gelu_new", "gelu_fast", "quick_gelu", "gelu_python"]:
        export(f"hf_dynamo_{name}", Call(ACT2FN[name]), (x,), 18, True)

    sizes = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12)
    ids = torch.randint(0, 20, (2, 5))
    tokens = torch.ones(2, 5, dtype=torch.long)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    for attention in ["sdpa", "eager"]:
        config = BertConfig(vocab_size=20, max_position_embeddings=16, **sizes)
        config._attn_implementation = attention
        bert = BertModel(config, add_pooling_layer=False).eval()
        hidden = Call(
            lambda ids, mask: bert(input_ids=ids, attention_mask=mask).last_hidden_state
        )
        export(
            f"hf_dynamo_bert_{attention}",
            hidden,
            (ids, tokens),
            18,
            True,
            input_names=["input_ids", "attention_mask"],
            dynamic_shapes={"inputs": ({0: batch, 1: length}, {0: batch, 1: length})},
        )
    config = ViTConfig(image_size=8, patch_size=4, num_channels=1, **sizes)
    vit = ViTModel(config, add_pooling_layer=False).eval()
    image = torch.randn(2, 1, 8, 8)
    hidden = Call(lambda image: vit(image).last_hidden_state)
    export("hf_dynamo_vit", hidden, (image,), 18, True)


def keras_models():
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf
    import tf2onnx

    keras.utils.set_random_seed(0)
    layers = keras.layers

    def export(name, layer, opset, twice=False):
        x = keras.Input((3, 8))
        model = keras.Model(x, layer(x, x) if twice else layer(x))
        for weight in model.weights:
            weight.assign(keras.random.normal(weight.shape))
        spec = [tf.TensorSpec([None, 3, 8], tf.float32, name="x")]
        function = tf.function(lambda x: model(x), input_signature=spec)
        converted, _ = tf2onnx.convert.from_function(function, input_signature=spec, opset=opset)
        save(converted, "keras_" + name)

    export("layer_norm", layers.LayerNormalization(), 17)
    export("layer_norm_18", layers.LayerNormalization(center=False), 18)
    export("rms_norm", layers.RMSNormalization(), 18)
    export("gelu_tanh", layers.Lambda(lambda x: keras.ops.gelu(x, approximate=True)), 17)
    export("hard_silu", layers.Activation("hard_silu"), 17)
    export("mha", layers.MultiHeadAttention(2, 4), 17, twice=True)


os.makedirs(HERE, exist_ok=True)
{"torch": torch_models, "keras": keras_models}[sys.argv[1]]()
