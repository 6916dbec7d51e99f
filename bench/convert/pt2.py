"""torch.export programs: 27 torchvision families, 27 Hugging Face architectures.

    python bench/convert/pt2.py --modelyard target/release/modelyard [--out DIR] [--only NAME] [--peers]

Each model has random weights; those of Hugging Face a small configuration. It is exported with a free
batch, saved as `.pt2`, converted, checked, and its answers for a batch of another size than that of
the export compared with PyTorch's. With --peers, `torch.onnx.export(dynamo=True)` of the same program
runs beside it in a process of its own: its time and memory include that of importing torch, without
which it cannot run, and the time of the export to ONNX alone is given too.
"""

import torch

import common
import pt2_models
import torch_table

PEER = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import torch
if sys.argv[3] == "huggingface":
    # The classes of what its models return: without them the file cannot be read.
    import transformers.modeling_outputs
program = torch.export.load(sys.argv[1])
start = time.perf_counter()
torch.onnx.export(program, f=sys.argv[2], dynamo=True, verbose=False, external_data=False)
print(time.perf_counter() - start)
"""


def row(name, make, options):
    model = make()
    program, is_free = model.export()
    path = options.out / f"{name.replace('/', '_')}.pt2"
    torch.export.save(program, path)
    inputs = model.inputs
    if is_free:
        inputs = {key: torch.cat([value, value[:1]]) for key, value in inputs.items()}
    trials = [(inputs, torch_table.tensors(model.answer(inputs)))]
    del program, model
    target = path.with_suffix(".onnx")
    seconds, cpu, memory, code, errors = common.convert(options.modelyard, path, target)
    result = torch_table.compared(target, trials) if code == 0 else errors.splitlines()[-1][:160]
    cells = [name, "free" if is_free else "fixed", path.stat().st_size / 1e6, seconds, cpu, memory, result]
    if options.peers:
        origin = "torchvision" if path.name.startswith("torchvision") else "huggingface"
        target = path.with_suffix(".peer.onnx")
        cells += torch_table.peer(PEER, [path, target, origin], target, trials)
    for written in options.out.glob(f"{path.stem}.*"):
        written.unlink()
    return cells


def main():
    options = torch_table.arguments(__doc__.splitlines()[0])
    models = pt2_models.models().items()
    rows = [(name, lambda name=name, make=make: row(name, make, options)) for name, make in models]
    table, agreed = torch_table.table(options, ["model", "batch"], rows)
    share = torch_table.share
    inside = [pair for name, pair in agreed.items() if not name.startswith("beyond/")]
    beyond = [pair for name, pair in agreed.items() if name.startswith("beyond/")]
    summary = f"{share(inside)} agree to {common.TOLERANCE:g}; beyond the table {share(beyond)}"
    if options.peers:
        summary += f"; torch.onnx: {share(inside, 1)}"
    table.print(summary, options.json)


if __name__ == "__main__":
    main()
