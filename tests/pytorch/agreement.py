"""Agreement of tutti and PyTorch, from the same weights and on the same tokens.

    agreement.py TUTTI FOLDER HIDDEN EMBEDDING MIDI_FILE...

Makes datasets and runs in FOLDER and compares, step by step, loss and gradient norm of a
training run without dropout, with active clipping and with states carried from window to
window; then the final weights; then the result of `tutti evaluate` on another split.

The order of pieces is random, but in two setups the batches are known in advance:
  many  as many rows as training pieces, in one microbatch. Each row then starts with a piece of
        its own; loss and gradient are sums over rows, so the order does not matter. Valid for as
        many steps as the shortest piece lasts.
  one   one training piece and one row: END piece END piece ..., with END within the windows.

The initial weights come from a run whose learning rate is too small to change any.
"""
import glob
import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import torch
from torch import nn

from model import cross_entropy, load

SPLITS = ["train", "valid", "test"]
STEPS, LEARNING_RATE, CLIP = 4, 5e-3, 0.2

# Tolerances: relative differences. float32 rounds by 6e-8, and the two programs sum in different
# orders: the loss, a mean of about a thousand terms, differs by less than 1e-6, the gradient norm
# by about 1e-6. Adam divides by the root of the mean square, which scales gradients that consist
# of rounding errors up to the size of the others, so after the first update the difference is
# about 1e-5. With bfloat16 matmuls, whose operands are rounded by up to 4e-3, only gross errors
# are detected.
LOSS, NORM, UPDATED, WEIGHTS = 1e-6, 5e-6, 1e-4, 1e-3
BFLOAT16_LOSS, BFLOAT16_NORM = 5e-3, 5e-2

failures = 0


def check(name, values, difference, tolerance):
    global failures
    passed = difference <= tolerance  # False for a NaN
    failures += not passed
    print(f"  {name:<25} {values:<36} difference {difference:.1e}, up to {tolerance:.0e}"
          + ("" if passed else "  FAILED"))


def compare(name, ours, theirs, tolerance):
    check(name, f"tutti {ours:.7f}  PyTorch {theirs:.7f}", abs(ours - theirs) / abs(theirs),
          tolerance)


def pieces_of(dataset, split):
    """The tokens of each piece of a split."""
    pieces = []
    for path in sorted(glob.glob(f"{dataset}/shard-*.h5")):
        with h5py.File(path) as shard:
            tokens, table = shard["tokens"][()], shard["pieces"]
            for kind, first, count in zip(table["split"], table["token_first"],
                                          table["token_count"]):
                if SPLITS[kind] == split:
                    pieces.append(tokens[first:first + count].astype(np.int64))
    return pieces


def windows(pieces, end, time):
    """Inputs and targets [time][rows] of each step; a row is END piece END piece ..."""
    length = STEPS * time + 1
    rows = [np.resize(np.append(end, piece), length) for piece in pieces]
    tokens = torch.from_numpy(np.stack(rows, axis=1))
    for first in range(0, length - 1, time):
        yield tokens[first:first + time], tokens[first + 1:first + time + 1]


def forward(model, inputs, state, end):
    """All logits. A row's state is reset where its input is END, so the window is split
    there."""
    resets = inputs == end
    bounds = sorted({0, *resets.any(dim=1).nonzero().flatten().tolist(), len(inputs)})
    logits = []
    for first, stop in zip(bounds, bounds[1:]):
        keep = (~resets[first]).float()[:, None]
        part, state = model(inputs[first:stop], tuple(keep * part for part in state))
        logits.append(part)
    return torch.cat(logits), state


def gradient_norm(model):
    """In double: PyTorch's float32 sum of a million squares has an error of 1e-5."""
    gradients = (weights.grad for weights in model.parameters() if weights.grad is not None)
    return sum(gradient.double().square().sum().item() for gradient in gradients) ** 0.5


def train(model, batches, rows, end):
    """Loss and gradient norm of each step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    state, metrics = model.zero_state(rows), []
    for inputs, targets in batches:
        optimizer.zero_grad()
        logits, state = forward(model, inputs, state, end)
        loss = cross_entropy(logits, targets)
        loss.backward()
        norm = gradient_norm(model)
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        state = tuple(part.detach() for part in state)
        metrics.append((loss.item(), norm))
    return metrics


@torch.no_grad()
def evaluate(model, pieces, end):
    """Nats per token, each piece from a zero state, END included."""
    loss = count = 0
    for piece in pieces:
        tokens = torch.from_numpy(np.concatenate(([end], piece, [end])))[:, None]
        logits, _ = model(tokens[:-1], model.zero_state(1))
        loss += cross_entropy(logits, tokens[1:], "sum").item()
        count += len(piece) + 1
    return loss / count


def distance(model, other):
    pairs = zip(model.parameters(), other.parameters())
    return sum((a - b).double().square().sum().item() for a, b in pairs) ** 0.5


class Tutti:
    def __init__(self, program, folder, hidden, embedding):
        self.program, self.folder = program, folder
        self.model = {"model.hidden": hidden, "model.embedding": embedding,
                      "model.layers": 2, "model.dropout": 0}

    def run(self, *arguments):
        process = subprocess.run([self.program, *map(str, arguments)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if process.returncode == 2 and "train.precision" in process.stderr:
            return None  # refused
        if process.returncode:
            command = " ".join(map(str, arguments))
            sys.exit(f"tutti {command}: {process.returncode}: {process.stderr}")
        return process.stdout

    def preprocess(self, name, split, files):
        dataset = f"{self.folder}/{name}"
        self.run("preprocess", *files, "-o", dataset, "--replace", "--split", split)
        return dataset

    def train(self, name, dataset, rows, time, steps=STEPS, rate=LEARNING_RATE,
              precision="float32"):
        """Loss and gradient norm of each step, and the checkpoint; None if refused."""
        path = f"{self.folder}/{name}"
        settings = {**self.model, "data.dataset": dataset, "train.batch": rows,
                    "train.microbatches": 1, "train.sequence_length": time, "train.max_steps": steps,
                    "train.epochs": 1000, "train.schedule": "constant",
                    "train.warmup_steps": 0, "train.learning_rate": rate,
                    "train.clip_norm": CLIP, "run.dir": path, "run.samples": 0,
                    "run.checkpoint_every": 1000}
        if precision != "float32":
            settings["train.precision"] = precision
        config = f"{self.folder}/empty.conf"
        open(config, "w").close()
        shutil.rmtree(path, ignore_errors=True)
        output = self.run("train", config, *(word for key, value in settings.items()
                                             for word in ("--set", f"{key}={value}")))
        if output is None:
            return None
        with open(f"{path}/metrics.jsonl") as file:
            lines = [line for line in map(json.loads, file) if "gradient_norm" in line]
        metrics = [(line["loss"], line["gradient_norm"]) for line in lines]
        assert len(metrics) == steps, metrics
        return metrics, f"{path}/checkpoints/latest"


def compare_training(tutti, dataset, name, time):
    pieces = pieces_of(dataset, "train")
    rows, shortest = len(pieces), min(map(len, pieces))
    assert rows == 1 or STEPS * time <= shortest + 1, (time, shortest)
    _, first = tutti.train(f"{name}-first", dataset, rows, time, steps=1, rate=1e-30)
    ours, last = tutti.train(name, dataset, rows, time)
    end = load(first).embedding.num_embeddings - 1
    batches = list(windows(pieces, end, time))
    ends = sum((inputs[1:] == end).sum().item() for inputs, _ in batches)
    print(f"{name}: {rows} rows, {time} steps a window, END within windows {ends} times")
    model = load(first)
    theirs = train(model, batches, rows, end)
    for step, (actual, expected) in enumerate(zip(ours, theirs), 1):
        compare(f"loss of step {step}", actual[0], expected[0], LOSS if step == 1 else UPDATED)
        compare(f"gradient norm of step {step}", actual[1], expected[1],
                NORM if step == 1 else UPDATED)
    check("final weights", "relative to their total update",
          distance(model, load(last)) / distance(load(first), load(last)), WEIGHTS)
    bfloat16 = tutti.train(f"{name}-bfloat16", dataset, rows, time, precision="bfloat16")
    if bfloat16 is None:
        print("  train.precision=bfloat16  refused")
    else:
        compare("loss with bfloat16", bfloat16[0][0][0], theirs[0][0], BFLOAT16_LOSS)
        compare("norm with bfloat16", bfloat16[0][0][1], theirs[0][1], BFLOAT16_NORM)
    return last


def compare_evaluation(tutti, dataset, checkpoint):
    output = tutti.run("evaluate", checkpoint, dataset, "--split", "valid", "--json")
    model, pieces = load(checkpoint), pieces_of(dataset, "valid")
    print(f"evaluation: {len(pieces)} pieces")
    compare("nats per token", json.loads(output)["nats_per_token"],
            evaluate(model, pieces, model.embedding.num_embeddings - 1), LOSS)


def main():
    program, folder, hidden, embedding, *files = sys.argv[1:]
    tutti = Tutti(program, folder, hidden, embedding)
    many = tutti.preprocess("many.tutti", "0.7 0.3 0", files)
    shortest = min(map(len, pieces_of(many, "train")))
    last = compare_training(tutti, many, "many", min(128, (shortest + 1) // STEPS))
    one = tutti.preprocess("one.tutti", "1 0 0", files[:1])
    compare_training(tutti, one, "one", min(128, 2 * len(pieces_of(one, "train")[0]) // 3))
    compare_evaluation(tutti, many, last)
    tied = Tutti(program, folder, hidden, hidden)
    tied.model["model.tie_embeddings"] = "yes"
    last = compare_training(tied, many, "tied", min(128, (shortest + 1) // STEPS))
    compare_evaluation(tied, many, last)
    print(f"agreement: {failures} differences above tolerance" if failures else
          "agreement: all within tolerance")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
