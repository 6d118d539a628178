"""Agreement of tutti and Keras on the model of the Keras tutorials.

    agreement.py TUTTI CONFIG FOLDER MIDI_FILE...

CONFIG is configs/keras-tutorial.conf. Makes datasets and runs in FOLDER and checks
  - the number of parameters of CONFIG's model, as Keras counts it;
  - model.init = keras: mean and deviation of each tensor against those of Keras' own layers;
  - the loss of each step, with equal initial weights, equal windows and no dropout;
  - with dropout, whose masks differ: the mean loss of the last steps, over several seeds.

The windows of each step are computed here a second time, from the dataset and the rules of
docs/formats.md, with NumPy's Philox. A small model (LSTM 24, LSTM 24, dense 16) takes the
place of the tutorial's in the comparison of losses.
"""
import glob
import json
import os
import shutil
import subprocess
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import keras
import numpy as np

HIDDEN, DENSE, TIME, BATCH, STEPS, RATE, SEED = 24, 16, 20, 32, 48, 5e-3, 5
SEEDS, LONG, LAST = 3, 120, 40  # with dropout: seeds, steps, steps that are averaged

# Relative differences of the loss. float32 rounds by 6e-8, so the first losses differ by about
# 1e-7, and Adam, which scales small gradients up, lets this grow with the steps.
#
# Keras adds epsilon to the root of the second moment v of Adam without the bias correction of
# v, tutti with it, as Kingma and Ba do in their Algorithm 1; this matters where gradients are
# not much larger than epsilon. Keras with epsilon * sqrt(1 - beta2^t) in step t is tutti's
# Adam; unchanged, its losses are only close.
EPSILON, BETA2 = 1e-7, 0.999
FIRST, LATER, UNCHANGED, DROPOUT = 1e-6, 5e-5, 0.02, 0.05

failures = 0


def check(name, ours, theirs, tolerance):
    global failures
    difference = abs(ours - theirs) / abs(theirs)
    passed = difference <= tolerance  # False for a NaN
    failures += not passed
    print(f"  {name:<28} tutti {ours:<11.7g} Keras {theirs:<11.7g} difference {difference:.1e}, "
          f"up to {tolerance:.0e}" + ("" if passed else "  FAILED"))


# ---- tutti ----

class Tutti:
    def __init__(self, program, config, folder):
        self.program, self.config, self.folder = program, config, folder

    def run(self, *arguments):
        process = subprocess.run([self.program, *map(str, arguments)], text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if process.returncode:
            command = " ".join(map(str, arguments))
            sys.exit(f"tutti {command}: {process.returncode}: {process.stderr}")
        return process.stdout

    def train(self, name, dataset, **settings):
        """The loss of each step, and the path of the last checkpoint."""
        path = f"{self.folder}/{name}"
        shutil.rmtree(path, ignore_errors=True)
        settings = {"data.dataset": dataset, "run.dir": path, "run.samples": 0,
                    "run.checkpoint_every": 1000, "train.microbatches": 1,
                    **{key.replace("__", "."): value for key, value in settings.items()}}
        self.run("train", self.config, *(word for key, value in settings.items()
                                         for word in ("--set", f"{key}={value}")))
        with open(f"{path}/metrics.jsonl") as file:
            lines = [line for line in map(json.loads, file) if "gradient_norm" in line]
        return [line["loss"] for line in lines], f"{path}/checkpoints/latest"

    def train_small(self, name, dataset, steps, dropout=0, rate=RATE, seed=SEED):
        return self.train(name, dataset, model__hidden=HIDDEN, model__dense=DENSE,
                          model__dropout=dropout, train__sequence_length=TIME,
                          train__batch=BATCH, train__max_steps=steps,
                          train__learning_rate=rate, train__seed=seed)

    def parameters(self, checkpoint):
        return json.loads(self.run("inspect", checkpoint, "--json"))["parameters"]


# ---- the windows ----

def training_pieces(dataset):
    pieces = []
    for path in sorted(glob.glob(f"{dataset}/shard-*.h5")):
        with h5py.File(path) as shard:
            tokens, table = shard["tokens"][()], shard["pieces"]
            for kind, first, count in zip(table["split"], table["token_first"],
                                          table["token_count"]):
                if kind == 0:
                    pieces.append(tokens[first:first + count].astype(np.int64))
    return pieces


def random_word(seed, epoch, microbatch, c):
    """The first word of Philox4x64-10; NumPy counts up before it computes a block."""
    purpose = 11
    counter = epoch | microbatch << 64 | c << 128
    generator = np.random.Philox(key=seed | purpose << 64, counter=(counter - 1) % 2**256)
    return int(generator.random_raw())


def window_at(position, count, seed, epoch):
    bits = 1
    while 4 ** bits < count:
        bits += 1
    while True:
        left, right = position >> bits, position & (1 << bits) - 1
        for turn in range(8):
            mixed = random_word(seed, epoch, 0, turn << 32 | right)
            left, right = right, left ^ mixed & (1 << bits) - 1
        position = left << bits | right
        if position < count:
            return position


def batches(pieces, end, steps, seed):
    """Inputs [BATCH][TIME], -1 before the piece, and the target of each window."""
    ends = [(piece, last) for piece in pieces for last in range(len(piece) + 1)]
    for step in range(steps):
        inputs, targets = np.full((BATCH, TIME), -1), np.zeros(BATCH, dtype=np.int64)
        for row in range(BATCH):
            epoch, position = divmod(step * BATCH + row, len(ends))
            piece, last = ends[window_at(position, len(ends), seed, epoch)]
            text = np.concatenate(([end], piece, [end]))
            window = text[max(0, last + 1 - TIME):last + 1]
            inputs[row, TIME - len(window):] = window
            targets[row] = text[last + 1]
        yield inputs, targets


# ---- Keras ----

def tutorial_model(vocabulary, time, hidden, dense, dropout):
    """Time steps before the piece are zero vectors, which Masking skips."""
    layers = keras.layers
    return keras.Sequential([
        keras.Input((time, vocabulary)),
        layers.Masking(),
        layers.LSTM(hidden, return_sequences=True),
        layers.Dropout(dropout),
        layers.LSTM(hidden),
        layers.Dense(dense),
        layers.Dropout(dropout),
        layers.Dense(vocabulary)])


def one_hot(inputs, vocabulary):
    vectors = np.zeros((*inputs.shape, vocabulary), dtype=np.float32)
    rows, times = np.nonzero(inputs >= 0)
    vectors[rows, times, inputs[rows, times]] = 1
    return vectors


def weights_of(checkpoint):
    """In the order of Keras; its gates are i f c o, tutti's i f g o."""
    with h5py.File(checkpoint) as file:
        model = file["model"]
        assert "embedding" not in model and model["lstm0/weight_ih"].shape[1] == 389
        weights = []
        for layer in ("lstm0", "lstm1"):
            weights += [model[f"{layer}/{name}"][()].T
                        for name in ("weight_ih", "weight_hh", "bias")]
        for layer in ("dense", "output"):
            weights += [model[f"{layer}/{name}"][()].T for name in ("weight", "bias")]
        return weights


def train_keras(model, data, vocabulary, corrects_epsilon=False):
    """The loss of each step."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(RATE, beta_2=BETA2, epsilon=EPSILON)
    model.compile(optimizer, loss, run_eagerly=corrects_epsilon)
    losses = []
    for step, (inputs, targets) in enumerate(data, 1):
        if corrects_epsilon:
            optimizer.epsilon = EPSILON * (1 - BETA2 ** step) ** 0.5
        model.reset_metrics()
        losses.append(float(model.train_on_batch(one_hot(inputs, vocabulary), targets)))
    return losses


# ---- the comparisons ----

def compare_size_and_initial_weights(tutti, dataset):
    _, checkpoint = tutti.train("tutorial", dataset, train__max_steps=1, train__batch=4,
                                train__learning_rate=1e-30)
    keras.utils.set_random_seed(1)
    model = tutorial_model(389, 100, 256, 128, 0.3)
    check("parameters", tutti.parameters(checkpoint), model.count_params(), 0)
    for ours, theirs in zip(weights_of(checkpoint), model.get_weights()):
        assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
        if np.ptp(theirs) == 0 or ours.ndim == 1:
            check(f"vector of {len(ours)}", np.abs(ours - theirs).max() + 1, 1, 0)
        else:
            check(f"deviation of {ours.shape}", ours.std(), theirs.std(), 0.02)
            assert abs(ours.mean() - theirs.mean()) < 0.02 * theirs.std()


def compare_losses(tutti, dataset):
    pieces, end = training_pieces(dataset), 388
    _, first = tutti.train_small("first", dataset, 1, rate=1e-30)
    ours, _ = tutti.train_small("plain", dataset, STEPS)
    data = list(batches(pieces, end, STEPS, SEED))
    for corrects_epsilon in (True, False):
        print("Keras with tutti's epsilon" if corrects_epsilon else "Keras unchanged")
        model = tutorial_model(end + 1, TIME, HIDDEN, DENSE, 0)
        model.set_weights(weights_of(first))
        theirs = train_keras(model, data, end + 1, corrects_epsilon)
        assert len(ours) == len(theirs) == STEPS
        later = LATER if corrects_epsilon else UNCHANGED
        for step, pair in enumerate(zip(ours, theirs), 1):
            check(f"loss of step {step}", *pair, FIRST if step == 1 else later)
    check("the loss has fallen", ours[-1] < 0.8 * ours[0], True, 0)


def compare_dropout(tutti, dataset):
    pieces, end = training_pieces(dataset), 388
    ours, theirs = [], []
    for seed in range(1, SEEDS + 1):
        losses, _ = tutti.train_small(f"dropout{seed}", dataset, LONG, 0.3, seed=seed)
        ours.append(np.mean(losses[-LAST:]))
        keras.utils.set_random_seed(seed)
        model = tutorial_model(end + 1, TIME, HIDDEN, DENSE, 0.3)
        losses = train_keras(model, batches(pieces, end, LONG, seed), end + 1)
        theirs.append(np.mean(losses[-LAST:]))
    print("  seeds: tutti", *(f"{loss:.4f}" for loss in ours), " Keras",
          *(f"{loss:.4f}" for loss in theirs))
    check(f"mean of the last {LAST} steps", np.mean(ours), np.mean(theirs), DROPOUT)


def main():
    program, config, folder, *files = sys.argv[1:]
    print(f"Keras {keras.__version__} on {keras.backend.backend()}")
    tutti = Tutti(program, config, folder)
    dataset = f"{folder}/corpus.tutti"
    tutti.run("preprocess", *files, "-o", dataset, "--replace", "--split", "1 0 0")
    compare_size_and_initial_weights(tutti, dataset)
    compare_losses(tutti, dataset)
    compare_dropout(tutti, dataset)
    print(f"agreement: {failures} differences above tolerance" if failures else
          "agreement: all within tolerance")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
