"""The models of the PyTorch table: 27 torchvision families, 27 Hugging Face architectures, and more
beyond the table. All have random weights; those of Hugging Face a small configuration."""

import sys

import torch
from torch.export import Dim

# transformers asks this before it makes a mask; a CPU build without CUDA's libraries crashes on it.
torch.cuda.is_current_stream_capturing = lambda: False

BATCH = Dim("batch", min=1, max=64)


def _vision(name, size=224, **options):
    def make():
        import torchvision

        model = torchvision.models.get_model(name, weights=None, **options)
        return Model(model, {"x": torch.randn(2, 3, size, size)}, positional=True)

    return make


def _googlenet(name, size):
    return _vision(name, size, aux_logits=False, init_weights=False)


def _segmentation(name):
    return _vision(name, 96, weights_backbone=None)


def _video(name, frames, size):
    def make():
        import torchvision

        model = torchvision.models.get_model(name, weights=None)
        return Model(model, {"x": torch.randn(2, 3, frames, size, size)}, positional=True)

    return make


def _raft():
    import torchvision

    model = torchvision.models.get_model("raft_small", weights=None)
    inputs = {name: torch.randn(2, 3, 128, 128) for name in ("image1", "image2")}
    return Model(model, inputs, positional=True, extra={"num_flow_updates": 2})


class Model:
    """A module, the inputs to export it with, and which of their first dimensions is the batch."""

    def __init__(self, module, inputs, positional=False, extra=None):
        torch.manual_seed(0)
        self.module = module.eval()
        self.inputs = inputs
        self.positional = positional
        self.extra = extra or {}
        with torch.no_grad():
            # Heads of zeros would make every answer zero.
            for parameter in module.parameters():
                if not parameter.any():
                    parameter.normal_(0, 0.05)
            # Statistics that are not those of a fresh layer, or normalization would be an identity.
            for name, buffer in module.named_buffers():
                if name.endswith("running_mean"):
                    buffer.normal_(0, 0.1)
                if name.endswith("running_var"):
                    buffer.uniform_(0.5, 1.5)

    def answer(self, inputs):
        with torch.no_grad():
            if self.positional:
                return self.module(*inputs.values(), **self.extra)
            return self.module(**inputs, **self.extra)

    def export(self):
        """The exported program, and whether its batch is free."""
        try:
            return self._export({0: BATCH}), True
        except Exception as error:  # the batch is baked in: say so and go on
            print(f"  not with a free batch: {str(error).splitlines()[0][:160]}", file=sys.stderr)
            return self._export(None), False

    def _export(self, dims):
        shapes = {name: dims for name in self.inputs}
        if self.positional:
            shapes = tuple(shapes.values()) + ({},) * 0
            if self.extra:
                names = list(self.inputs)
                shapes = {**dict(zip(names, shapes)), **{name: None for name in self.extra}}
            return torch.export.export(
                self.module, tuple(self.inputs.values()), self.extra, dynamic_shapes=shapes
            )
        shapes.update({name: None for name in self.extra})
        return torch.export.export(
            self.module, (), {**self.inputs, **self.extra}, dynamic_shapes=shapes
        )


TEXT = dict(
    vocab_size=120, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
)
IMAGE = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=64
)


def _text(prefix, length=12, model="Model", mask=True, **config):
    """A model of token ids; `prefix` is that of its classes."""

    def make():
        import transformers

        settings = getattr(transformers, prefix + "Config")(**config)
        module = getattr(transformers, prefix + model)(settings)
        ids = torch.randint(3, 100, (2, length))
        inputs = {"input_ids": ids}
        if mask:
            inputs["attention_mask"] = torch.ones_like(ids)
            inputs["attention_mask"][1, length - 4 :] = 0
        return Model(module, inputs)

    return make


def _causal(prefix, **config):
    def make():
        model = _text(prefix, **config)()
        model.module.config.use_cache = False
        model.extra = {"use_cache": False}
        return model

    return make


def _encoder(prefix, model, **config):
    return _text(prefix, model=model, **config)


def _bart():
    import transformers

    config = transformers.BartConfig(
        vocab_size=120, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64,
    )
    ids = torch.randint(3, 100, (2, 12))
    module = transformers.BartModel(config).get_encoder()
    return Model(module, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})


def _picture(prefix, model="Model", size=64, **config):
    def make():
        import transformers

        settings = getattr(transformers, prefix + "Config")(**config)
        module = getattr(transformers, prefix + model)(settings)
        return Model(module, {"pixel_values": torch.randn(2, 3, size, size)})

    return make


def _sound(prefix, **config):
    def make():
        import transformers

        settings = getattr(transformers, prefix + "Config")(
            vocab_size=32, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=64, conv_dim=(16, 16, 16), conv_stride=(5, 2, 2),
            conv_kernel=(10, 3, 3), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
            **config,
        )
        module = getattr(transformers, prefix + "Model")(settings)
        return Model(module, {"input_values": torch.randn(2, 2000)})

    return make


def _whisper():
    import transformers

    config = transformers.WhisperConfig(
        vocab_size=120, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_source_positions=50,
        num_mel_bins=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )
    module = transformers.WhisperModel(config).get_encoder()
    return Model(module, {"input_features": torch.randn(2, 16, 100)})


def _layoutlm():
    model = _text("LayoutLM", **TEXT)()
    low = torch.randint(0, 400, (2, 12, 2))
    model.inputs["bbox"] = torch.cat([low, low + torch.randint(1, 400, (2, 12, 2))], 2)
    return model


def _dpt():
    return _picture("Dinov2", **{**IMAGE, "patch_size": 8})()


_GPT = dict(vocab_size=120, n_embd=32, n_layer=2, n_head=4, n_positions=64)
_LLAMA = dict(**TEXT, num_key_value_heads=2, max_position_embeddings=64)

TORCHVISION = {
    "alexnet": _vision("alexnet"),
    "convnext": _vision("convnext_tiny"),
    "densenet": _vision("densenet121"),
    "efficientnet": _vision("efficientnet_b0"),
    "efficientnet_v2": _vision("efficientnet_v2_s"),
    "googlenet": _googlenet("googlenet", 224),
    "inception_v3": _googlenet("inception_v3", 299),
    "maxvit": _vision("maxvit_t"),
    "mnasnet": _vision("mnasnet1_0"),
    "mobilenet_v2": _vision("mobilenet_v2"),
    "mobilenet_v3": _vision("mobilenet_v3_small"),
    "regnet": _vision("regnet_y_400mf"),
    "resnet": _vision("resnet50"),
    "resnext": _vision("resnext50_32x4d"),
    "shufflenet_v2": _vision("shufflenet_v2_x1_0"),
    "squeezenet": _vision("squeezenet1_1"),
    "swin": _vision("swin_t"),
    "swin_v2": _vision("swin_v2_t", 256),
    "vgg": _vision("vgg11_bn"),
    "vit": _vision("vit_b_32"),
    "wide_resnet": _vision("wide_resnet50_2"),
    "deeplabv3": _segmentation("deeplabv3_mobilenet_v3_large"),
    "fcn": _segmentation("fcn_resnet50"),
    "lraspp": _segmentation("lraspp_mobilenet_v3_large"),
    "video_resnet": _video("r2plus1d_18", 8, 64),
    "s3d": _video("s3d", 16, 224),
    "mvit": _video("mvit_v2_s", 16, 224),
}

HUGGING_FACE = {
    "bert": _text("Bert", **TEXT),
    "roberta": _text("Roberta", **TEXT),
    "distilbert": _text("DistilBert", vocab_size=120, dim=32, n_layers=2, n_heads=4, hidden_dim=64),
    "albert": _text("Albert", embedding_size=16, **TEXT),
    "electra": _text("Electra", embedding_size=16, **TEXT),
    "mpnet": _text("MPNet", **TEXT),
    "deberta_v2": _text(
        "DebertaV2", relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"], **TEXT
    ),
    "layoutlm": _layoutlm,
    "gpt2": _causal("GPT2", **_GPT),
    "gpt_neo": _causal(
        "GPTNeo", vocab_size=120, hidden_size=32, num_layers=2, num_heads=4,
        attention_types=[[["global", "local"], 1]], max_position_embeddings=64, window_size=4,
    ),
    "opt": _causal(
        "OPT", vocab_size=120, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64,
        word_embed_proj_dim=32, max_position_embeddings=64,
    ),
    "llama": _causal("Llama", **_LLAMA),
    "mistral": _causal("Mistral", sliding_window=6, **_LLAMA),
    "qwen2": _causal("Qwen2", **_LLAMA),
    "t5_encoder": _encoder(
        "T5", "EncoderModel", vocab_size=120, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4
    ),
    "bart_encoder": _bart,
    "vit": _picture("ViT", patch_size=16, **IMAGE),
    "deit": _picture("DeiT", patch_size=16, **IMAGE),
    "beit": _picture("Beit", patch_size=16, use_relative_position_bias=True, **IMAGE),
    "swin": _picture("Swin", image_size=64, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4),
    "convnext": _picture("ConvNext", hidden_sizes=[8, 16, 32, 64], depths=[1, 1, 2, 1]),
    "dinov2": _picture("Dinov2", patch_size=8, **IMAGE),
    "segformer": _picture(
        "Segformer", hidden_sizes=[8, 16, 32, 64], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 4, 8]
    ),
    "wav2vec2": _sound("Wav2Vec2"),
    "whisper_encoder": _whisper,
    "clip_vision": _picture("CLIPVision", patch_size=16, **IMAGE),
    "clip_text": _text("CLIPText", max_position_embeddings=32, eos_token_id=2, **TEXT),
}

BEYOND = {
    "swin3d": _video("swin3d_t", 8, 64),
    "raft": _raft,
    "deberta": _text(
        "Deberta", relative_attention=True, pos_att_type=["p2c", "c2p"], max_relative_positions=8, **TEXT
    ),
    "xlm_roberta": _text("XLMRoberta", **TEXT),
    "camembert": _text("Camembert", **TEXT),
    "phi": _causal("Phi", vocab_size=120, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64),
    "gemma": _causal("Gemma", head_dim=8, **_LLAMA),
    "gemma2": _causal("Gemma2", head_dim=8, **_LLAMA),
    "qwen3": _causal("Qwen3", head_dim=8, **_LLAMA),
    "modernbert": _text(
        "ModernBert", pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
        **TEXT,
    ),
    "mobilevit": _picture("MobileViT", hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 32, 64], num_attention_heads=2, image_size=64),
    "hubert": _sound("Hubert"),
    "funnel": _text("Funnel", block_sizes=[1, 1], d_model=32, n_head=4, d_head=8, d_inner=64, vocab_size=120),
    "siglip_vision": _picture("SiglipVision", patch_size=16, **IMAGE),
    "resnet": _picture("ResNet", embedding_size=8, hidden_sizes=[8, 16, 32, 64], depths=[1, 1, 1, 1]),
}


def models():
    """All models by name: `torchvision/resnet`, `huggingface/bert`, `beyond/raft`."""
    named = (("torchvision", TORCHVISION), ("huggingface", HUGGING_FACE), ("beyond", BEYOND))
    return {f"{group}/{name}": make for group, all in named for name, make in all.items()}
