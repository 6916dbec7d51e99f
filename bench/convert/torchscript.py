"""TorchScript: torchvision traced, scripted and frozen; Hugging Face traced; silero-vad's own file.

    python bench/convert/torchscript.py --modelyard target/release/modelyard [--only NAME] [--peers]

Each model has random weights, is saved with `torch.jit.save`, converted with a free batch, checked,
and its answers for batches of one and of two compared with those of the saved module. With --peers,
`torch.onnx.export(dynamo=False)` of the same file, the only exporter that takes scripted modules,
runs beside it in a process of its own.
"""

import torch

import common
import torch_table

# transformers asks this before it makes a mask; a CPU build without CUDA's libraries crashes on it.
torch.cuda.is_current_stream_capturing = lambda: False

VISION = {
    "alexnet": 224, "convnext_tiny": 96, "deeplabv3_mobilenet_v3_large": 96, "densenet121": 96,
    "efficientnet_b0": 96, "efficientnet_v2_s": 96, "fcn_resnet50": 96, "googlenet": 96,
    "inception_v3": 299, "lraspp_mobilenet_v3_large": 96, "maxvit_t": 224, "mnasnet0_5": 96,
    "mobilenet_v2": 96, "mobilenet_v3_small": 96, "regnet_y_400mf": 96, "resnet18": 96,
    "resnext50_32x4d": 96, "shufflenet_v2_x0_5": 96, "squeezenet1_1": 96, "swin_t": 224,
    "swin_v2_t": 256, "vgg11_bn": 96, "vit_b_16": 224, "wide_resnet50_2": 96,
}

TEXT = dict(
    vocab_size=120, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
)

PEER = """
import sys, time, warnings
warnings.filterwarnings("ignore")
import torch
module = torch.jit.load(sys.argv[1]).eval()
inputs = tuple(torch.load(sys.argv[3]))
start = time.perf_counter()
torch.onnx.export(module, inputs, sys.argv[2], dynamo=False)
print(time.perf_counter() - start)
"""


def vision(name, size):
    import torchvision

    options = {}
    if name in ("googlenet", "inception_v3"):
        options = {"init_weights": False}
    elif name.startswith(("deeplab", "fcn", "lraspp")):
        options = {"weights_backbone": None}
    return torchvision.models.get_model(name, weights=None, **options), {"x": torch.randn(1, 3, size, size)}


def text(prefix):
    def make():
        import transformers

        config = getattr(transformers, prefix + "Config")(**TEXT, attn_implementation="eager")
        ids = torch.randint(3, 100, (1, 12))
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        return getattr(transformers, prefix + "Model")(config), inputs

    return make


def traced(module, inputs):
    return torch.jit.trace(module, tuple(inputs.values()), check_trace=False, strict=False)


def scripted(module, inputs):
    return torch.jit.script(module)


def frozen(module, inputs):
    return torch.jit.freeze(torch.jit.script(module))


def frozen_trace(module, inputs):
    return torch.jit.freeze(traced(module, inputs))


def models():
    """Name, maker, and how the module is saved."""
    for name, size in VISION.items():
        for how in (traced, scripted, frozen, frozen_trace):
            yield f"torchvision/{name}/{how.__name__}", lambda name=name, size=size: vision(name, size), how
    for prefix in ("Bert", "Roberta", "DistilBert", "Electra"):
        for how in (traced, frozen_trace):
            yield f"huggingface/{prefix}/{how.__name__}", text(prefix), how


def answered(module, inputs):
    with torch.no_grad():
        return torch_table.tensors(module(*[value.clone() for value in inputs.values()]))


def grown(inputs, count):
    return {name: torch.cat([value] + [value.flip(-1)] * (count - 1)) for name, value in inputs.items()}


def shapes(inputs):
    for name, value in inputs.items():
        yield "--shape"
        yield f"{name}=batch," + ",".join(str(size) for size in value.shape[1:])
        if value.dtype == torch.int64:
            yield "--type"
            yield f"{name}=int64"


def named(module, inputs):
    """Inputs under the names that the saved module has for them."""
    names = [argument.name for argument in module.forward.schema.arguments[1:]]
    return dict(zip(names, inputs.values()))


def trials(module, inputs, counts):
    """Batches of these sizes, and what the module answers."""
    return [(more, answered(module, more)) for more in (grown(inputs, count) for count in counts)]


def peer(path, module, inputs, options):
    given, target = options.out / "inputs.pt", path.with_suffix(".peer.onnx")
    torch.save(list(inputs.values()), given)
    return torch_table.peer(PEER, [path, target, given], target, trials(module, inputs, (1,)))


def row(name, make, how, options):
    torch.manual_seed(0)
    model, inputs = make()
    with torch.no_grad():
        module = how(model.eval(), inputs)
    path = options.out / f"{name.replace('/', '_')}.pt"
    torch.jit.save(module, path)
    module = torch.jit.load(path)
    inputs = named(module, inputs)
    target = path.with_suffix(".onnx")
    command = list(shapes(inputs))
    seconds, cpu, memory, code, errors = common.convert(options.modelyard, path, target, *command)
    result = errors.splitlines()[-1][:160] if code else torch_table.compared(target, trials(module, inputs, (1, 2)))
    cells = [name, path.stat().st_size / 1e6, seconds, cpu, memory, result]
    if options.peers:
        cells += peer(path, module, inputs, options)
    for written in options.out.glob(f"{path.stem}.*"):
        written.unlink()
    return cells


def silero(rate, options):
    """The voice detector as its authors publish it: scripted, with state, several sample rates.

    Its first call has no state; the converted model has it from the second on."""
    path = common.PACKAGES / "silero_vad" / "silero_vad" / "data" / "silero_vad.jit"
    samples = 512 if rate == 16000 else 256
    target = options.out / "silero.onnx"
    command = ["--shape", f"x=batch,{samples}", "--value", f"sr={rate}"]
    seconds, cpu, memory, code, errors = common.convert(options.modelyard, path, target, *command)
    if code:
        return [f"silero_vad/{rate}", path.stat().st_size / 1e6, seconds, cpu, memory, errors.splitlines()[-1][:160]]
    torch.manual_seed(0)
    module = torch.jit.load(path)
    worst = common.checked(target) or 0.0
    for chunk in torch.randn(6, 2, samples) * 0.1:
        before = [module._state.clone(), module._context.clone()]
        with torch.no_grad():
            expected = [module(chunk, rate).numpy(), module._state.numpy(), module._context.numpy()]
        if len(before[0]) and not isinstance(worst, str):
            found = common.answers(target, [value.numpy() for value in [chunk, *before]])
            worst = max(worst, common.worst(expected, found))
    return [f"silero_vad/{rate}", path.stat().st_size / 1e6, seconds, cpu, memory, worst]


def main():
    options = torch_table.arguments(__doc__.splitlines()[0])
    rows = [(name, lambda make=make, how=how, name=name: row(name, make, how, options)) for name, make, how in models()]
    rows += [(f"silero_vad/{rate}", lambda rate=rate: silero(rate, options)) for rate in (16000, 8000)]
    table, agreed = torch_table.table(options, ["model"], rows)
    agreed = list(agreed.values())
    summary = f"{torch_table.share(agreed)} agree to {common.TOLERANCE:g}"
    if options.peers:
        summary += f"; torch.onnx: {torch_table.share(agreed, 1)}"
    table.print(summary, options.json)


if __name__ == "__main__":
    main()
