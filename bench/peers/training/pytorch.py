"""Training with PyTorch as those who want speed write it: all data in one tensor, shuffled once an
epoch, batches that are views of it; no DataLoader, whose workers cost more than these models."""

import torch
from torch import nn
from torch.nn import functional

import recipe
from digits import read_split


def build(model):
    if model == "mlp":
        return nn.Sequential(
            nn.Linear(recipe.SIDE**2, recipe.HIDDEN),
            nn.ReLU(),
            nn.Linear(recipe.HIDDEN, recipe.CLASSES),
        )
    first, second = recipe.FILTERS
    return nn.Sequential(
        nn.Conv2d(1, first, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding="same"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(second * (recipe.SIDE // 4) ** 2, recipe.CLASSES),
    )


def read(split, model):
    images, labels = map(torch.from_numpy, read_split(split))
    if model == "cnn":
        images = images.view(-1, 1, recipe.SIDE, recipe.SIDE)
    return images, labels


def main():
    options = recipe.arguments(
        __doc__,
        adam=("fused", "foreach", "forloop"),
        memory_format=("contiguous", "channels-last"),
        compile=("off", "on"),
    )
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    model = build(options.model)
    images, labels = read("train", options.model)
    if options.memory_format == "channels-last":
        model = model.to(memory_format=torch.channels_last)
    kind = {"foreach": options.adam == "foreach", "fused": options.adam == "fused"}
    adam = torch.optim.Adam(model.parameters(), lr=recipe.LEARNING_RATE, **kind)
    step = torch.compile(model) if options.compile == "on" else model

    stopwatch = recipe.Stopwatch()
    for _ in range(options.epochs):
        with stopwatch:
            order = torch.randperm(len(images))
            batches = [part[order].split(options.batch) for part in (images, labels)]
            for x, y in zip(*batches):
                adam.zero_grad(set_to_none=True)
                functional.cross_entropy(step(x), y).backward()
                adam.step()

    with torch.no_grad():
        images, labels = read("test", options.model)
        accuracy = (model(images).argmax(1) == labels).float().mean()
    stopwatch.print_figures(options, len(read_split("train")[1]), accuracy)


if __name__ == "__main__":
    main()
