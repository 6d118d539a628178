"""The NumPy snippet of docs/formats.md must give tutti's own likelihood.

    test_checkpoint_h5py.py TUTTI SOURCE_DIRECTORY

runs in a directory that has corpus.tutti and runs/first (see common.sh). The snippet is taken
from the page and run on that checkpoint; its step() then goes over every piece of a split, read
from the shards with h5py alone, and the sum must equal what `tutti evaluate` reports for that
split.
"""
import glob
import io
import contextlib
import json
import re
import subprocess
import sys

try:
    import h5py
    import numpy as np
except ImportError as missing:
    print(f"skipped: {missing} (Debian: python3-h5py, python3-numpy)")
    sys.exit(77)

tutti, source = sys.argv[1:]
CHECKPOINT = "runs/first/checkpoints/best"
SHOWN = "runs/small/checkpoints/best"  # what the snippet opens
SPLITS = ["train", "valid", "test"]


def tutti_json(*arguments):
    return json.loads(subprocess.run([tutti, *arguments, "--json"], check=True,
                                     stdout=subprocess.PIPE).stdout)


def run_snippet(checkpoint=CHECKPOINT):
    """Runs the snippet of the page; returns its variables and its output."""
    page = open(f"{source}/docs/formats.md", encoding="utf-8").read()
    section = page.split("## Reading a checkpoint from Python", 1)[1]
    code = re.search(r"```python\n(.*?)```", section, re.S).group(1)
    assert SHOWN in code, "the snippet does not open the README's run"
    defined, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code.replace(SHOWN, checkpoint), "docs/formats.md", "exec"), defined)
    return defined, printed.getvalue()


def pieces_of(split):
    for path in sorted(glob.glob("corpus.tutti/shard-*.h5")):
        with h5py.File(path) as shard:
            tokens, pieces = shard["tokens"][()], shard["pieces"]
            for kind, first, count in zip(pieces["split"], pieces["token_first"],
                                          pieces["token_count"]):
                if SPLITS[kind] == split:
                    yield tokens[first:first + count]


def likelihood(step, end, split):
    """Nats per token and accuracy, END counted, each piece from a cleared state."""
    loss, correct, count = 0.0, 0, 0
    for piece in pieces_of(split):
        state, token = {}, end
        for target in [*piece, end]:
            log_p = step(int(token), state)
            loss -= log_p[target]
            correct += int(log_p.argmax() == target)
            count += 1
            token = target
    return loss / count, correct / count, count


def check_names():
    """Checks the attributes and tables that scripts read."""
    with h5py.File(CHECKPOINT) as file:
        shown = tutti_json("inspect", CHECKPOINT)
        assert file.attrs["weights_hash"] is not None
        assert file.attrs["epoch"] == shown["epoch"]
        assert file.attrs["step"] == shown["step"]
        assert file.attrs["parameters"] == shown["parameters"]
        for tensor in shown["tensors"]:
            values = file["model"][tensor["name"]][()].astype(np.float64)
            assert list(values.shape) == tensor["shape"], tensor["name"]
            for name, expected in (("mean", values.mean()), ("deviation", values.std()),
                                 ("min", values.min()), ("max", values.max())):
                assert abs(tensor[name] - expected) <= 1e-9 + 1e-6 * abs(expected), (tensor, name)
            assert tensor["nan"] == 0
        assert len(shown["history"]) == shown["epoch"] == len(file["history/epoch"])
        assert np.allclose([row["valid_loss"] for row in shown["history"]],
                           file["history/valid_loss"][()])
        assert "[train]" in bytes(file["config"][()]).decode()
        assert shown["config"]["model"]["hidden"] == 16


def text(object, name):
    value = object.attrs[name]
    return value.decode() if isinstance(value, bytes) else str(value)


def texts(object, name):
    return [value.decode() for value in object.attrs[name]]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_step(w, layers):
    """The GRU as its file describes it: reset after the matmul, two biases, tanh dense."""
    def step(token, state):
        x = w["embedding/weight"][token]
        for n in range(layers):
            w_ih, w_hh, b_ih, b_hh = (w[f"gru{n}/{name}"] for name in
                                      ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            h = state.get(n, np.zeros(w_hh.shape[1]))
            xr, xz, xn = np.split(w_ih @ x + b_ih, 3)
            hr, hz, hn = np.split(w_hh @ h + b_hh, 3)
            r, z = sigmoid(xr + hr), sigmoid(xz + hz)
            state[n] = x = (1 - z) * np.tanh(xn + r * hn) + z * h
        y = np.tanh(w["dense/weight"] @ x + w["dense/bias"])
        logits = w["output/weight"] @ y + w["output/bias"]
        return logits - np.log(np.exp(logits).sum())
    return step


def check_gru():
    """The attributes of a GRU's checkpoint, and that they are correct."""
    with h5py.File("runs/gru/checkpoints/best") as file:
        model = file["model"]
        assert text(model, "cell") == "gru" and "END" in text(model, "initial_state")
        assert text(model["gru1"], "reset").startswith("after the product")
        assert text(model["gru1"], "biases").startswith("two")
        assert "n = tanh(xn + r * hn); h = (1 - z) * n + z * h" in text(model["gru0"], "equations")
        assert texts(model["gru0/weight_ih"], "gate_order") == ["r", "z", "n"]
        assert text(model["dense"], "activation") == "tanh"
        assert text(model["dense"], "equations") == "y = tanh(weight h + bias)"
        assert "gru0 and dense" in text(model, "dropout"), text(model, "dropout")
        assert "rate 0.2, inverted" in text(model, "dropout")
        assert text(model, "precision") == "float32"
        w = {f"{layer}/{name}": tensor[()].astype(np.float64)
             for layer, group in model.items() for name, tensor in group.items()}
        end = len(file["vocabulary/names"]) - 1
        optimizer = file["optimizer"]
        assert "(1 - rate * weight_decay) * w" in text(optimizer, "update")
        assert optimizer.attrs["weight_decay"] == 0.03 and optimizer.attrs["beta1"] == 0.9
        hidden = file["state/hidden"]
        assert list(hidden.attrs["shape"]) == [2, 2, 1, 2, 16]
        hidden[()].reshape(hidden.attrs["shape"])
    ours = tutti_json("evaluate", "runs/gru", "corpus.tutti")
    loss, accuracy, _ = likelihood(gru_step(w, 2), end, "valid")
    assert abs(loss - ours["nats_per_token"]) < 1e-5 * loss, (loss, ours)


def check_one_hot():
    """Without an embedding: the snippet's likelihood, and what the file says."""
    path = "runs/onehot/checkpoints/best"
    with h5py.File(path) as file:
        model, vocabulary = file["model"], len(file["vocabulary/names"])
        assert "embedding" not in model and model["lstm0/weight_ih"].shape == (64, vocabulary)
        assert texts(model["lstm0/weight_ih"], "dimensions")[1] == "vocabulary"
        assert texts(model["lstm1/weight_ih"], "dimensions")[1] == "input"
        assert text(model, "forward").startswith("x = the one-hot token")
        assert "last target tokens of a batch" in text(file["optimizer"], "gradient")
        assert "independent windows of 32" in text(file["optimizer"], "gradient")
        assert "windows are independent" in text(file["state/cursors"], "meaning")
        assert (file["state/rows/piece"][()] == -1).all()
    ours = tutti_json("evaluate", path, "corpus.tutti")
    snippet, _ = run_snippet(path)
    loss, accuracy, _ = likelihood(snippet["step"], vocabulary - 1, "valid")
    assert abs(loss - ours["nats_per_token"]) < 1e-5 * loss, (loss, ours)


def check_descriptions():
    """The attributes of an LSTM's checkpoint: names, axes of the state, Adam's form."""
    with h5py.File(CHECKPOINT) as file:
        model, hidden, optimizer = file["model"], file["state/hidden"], file["optimizer"]
        assert text(model, "cell") == "lstm" and "reset" not in model["lstm0"].attrs
        assert text(model["lstm0"], "biases").startswith("one")
        assert "dense" not in text(model, "forward") and "dense" not in model
        assert "on the output of lstm0 to lstm1," in text(model, "dropout")
        assert texts(hidden, "axes") == ["microbatch", "layer", "kind", "row", "unit"]
        assert list(hidden.attrs["shape"]) == [2, 2, 2, 2, 16]
        assert len(hidden.shape) == len(hidden.attrs["dimensions"])
        state = hidden[()].reshape(hidden.attrs["shape"])
        assert np.abs(state[:, :, 0]).max() <= 1, "h is within -1 and 1"
        assert optimizer.attrs["epsilon"] == 1e-8 and "momentum" not in optimizer.attrs
        assert "norm" in text(optimizer, "gradient")
        assert "nats per token" in text(file["history"], "units")


def check_adam():
    """One update by the formula of /optimizer: from step 1 to step 2, with g from `first`."""
    for steps in "1", "2":
        subprocess.run([tutti, "train", "first.conf", "--set", f"run.dir=runs/step{steps}",
                        "--set", f"train.max_steps={steps}", "--set", "train.schedule=constant",
                        "--set", "train.warmup_steps=0", "--set", "run.samples=0"],
                       check=True, stderr=subprocess.PIPE)
    rate, b1, b2, epsilon = 0.01, 0.9, 0.999, 1e-8
    with h5py.File("runs/step1/checkpoints/latest") as a, h5py.File("runs/step2/checkpoints/latest") as b:
        assert a["optimizer"].attrs["updates"] == 1 and b["optimizer"].attrs["updates"] == 2
        assert "/ (1 - beta1^t) * first / (sqrt(second) / sqrt(1 - beta2^t) + epsilon)" in text(
            b["optimizer"], "update")
        for name in "lstm0/weight_hh", "output/weight", "output/bias":
            m, v = (b[f"optimizer/{moment}/{name}"][()].astype(np.float64)
                    for moment in ("first", "second"))
            step = rate / (1 - b1 ** 2) * m / (np.sqrt(v) / np.sqrt(1 - b2 ** 2) + epsilon)
            moved = a[f"model/{name}"][()].astype(np.float64) - b[f"model/{name}"][()]
            assert np.abs(moved - step).max() < 1e-6, name
            g = (m - b1 * a[f"optimizer/first/{name}"][()]) / (1 - b1)
            assert np.allclose(v, b2 * a[f"optimizer/second/{name}"][()] + (1 - b2) * g * g,
                               rtol=1e-3, atol=1e-12), name


def pairs_of(split, end):
    counts = {}
    for piece in pieces_of(split):
        sequence = [end, *map(int, piece), end]
        for pair in zip(sequence, sequence[1:]):
            counts[pair] = counts.get(pair, 0) + 1
    return counts


def check_pairs(end):
    """The counts of the training split; older programs wrote checkpoints without them."""
    with h5py.File(CHECKPOINT) as file:
        group = file["pairs"]
        rows = zip(group["first"][()].tolist(), group["second"][()].tolist(),
                   group["count"][()].tolist())
        assert {(a, b): n for a, b, n in rows} == pairs_of("train", end)
        ours = tutti_json("evaluate", CHECKPOINT, "corpus.tutti")
        assert group.attrs["valid_bigram"] == ours["bigram_baseline"] > 0
    with open(CHECKPOINT, "rb") as file, open("older.h5", "wb") as copy:
        copy.write(file.read())
    with h5py.File("older.h5", "r+") as file:
        del file["pairs"]
    older = tutti_json("evaluate", "older.h5", "corpus.tutti")
    assert older["bigram_baseline"] == ours["bigram_baseline"]
    older = tutti_json("evaluate", "older.h5", "other.tutti")
    assert older["unigram_baseline"] is None and "older tutti" in older["baselines_unknown"]
    shown = subprocess.run([tutti, "evaluate", "older.h5", "other.tutti"], check=True, text=True,
                           stdout=subprocess.PIPE).stdout
    assert "baselines               unknown" in shown and "unigram" not in shown, shown


def check_seed():
    """Seeds have 64 bits, in the file and in JSON."""
    seed = 2 ** 64 - 2
    subprocess.run([tutti, "train", "first.conf", "--set", "run.dir=runs/seed", "--set",
                    f"train.seed={seed}", "--set", "train.max_steps=1"], check=True,
                   stderr=subprocess.PIPE)
    with h5py.File("runs/seed/checkpoints/latest") as file:
        assert int(file["state"].attrs["seed"]) == seed
    assert tutti_json("inspect", "runs/seed")["config"]["train"]["seed"] == seed


def check_paths():
    """Paths of arbitrary bytes: text for h5py, the original bytes for tutti."""
    data, run, split = b"caf\xe9.tutti", b"runs/\xfcber \\x41", b"split-\xe9.txt"
    with open(split, "wb") as file:
        for i in range(60):
            part = ["train", "valid"][i % 4 == 3]
            file.write(f"tune-{i:03d}.mid\t{part}\n".encode())
    subprocess.run([tutti, "preprocess", "corpus", "-o", data, "--shards", "4",
                    "--split-file", split], check=True, capture_output=True)
    with open("first.conf", "rb") as first, open("paths.conf", "wb") as config:
        config.write(first.read().replace(b"corpus.tutti", data).replace(b"runs/first", run))
    subprocess.run([tutti, "train", "paths.conf", "--set", "train.max_steps=1"], check=True,
                   capture_output=True)
    with h5py.File(run + b"/checkpoints/latest") as file:
        config = bytes(file["config"][()]).decode()
        provenance = {name: text(file["provenance"], name) for name in file["provenance"].attrs
                      if name != "ranks"}
    assert "dataset = caf\\xE9.tutti\n" in config, config
    assert "dir = runs/\\xFCber \\x5Cx41\n" in config, config
    assert "split_file = split-\\x5CxE9.txt\n" in config, config
    assert provenance["host"], provenance
    assert "the bits of the weights" in provenance["matmul"], provenance
    assert b"dir = " + run + b"\n" in open(run + b"/settings.conf", "rb").read()
    shown = subprocess.run([tutti, "inspect", run], check=True, capture_output=True).stdout
    assert b"runs/\\xFCber \\x41" in shown, shown  # escaped for the terminal
    subprocess.run([tutti, "train", run + b"/settings.conf", "--resume", "--set",
                    "train.max_steps=2"], check=True, capture_output=True)
    assert tutti_json("inspect", run)["step"] == 2
    subprocess.run([tutti, "generate", run, "-o", "paths.mid", "--seconds", "2"], check=True,
                   capture_output=True)
    subprocess.run([tutti, "evaluate", run, data], check=True, capture_output=True)
    # An older checkpoint: nothing in /config is escaped, and one [data] setting differs.
    # Settings that the dataset determines are compared only through the dataset's hash.
    with h5py.File(run + b"/checkpoints/latest", "r+") as file:
        del file["config"].attrs["escapes"]
        older = bytes(file["config"][()]).replace(b"max_silence_seconds = 60",
                                                  b"max_silence_seconds = 59")
        assert len(older) == len(config.encode()) and older != config.encode()
        file["config"][0] = older
    shown = subprocess.run([tutti, "inspect", run], check=True, capture_output=True).stdout
    assert rb"caf\xE9.tutti" in shown, shown
    subprocess.run([tutti, "train", run + b"/settings.conf", "--resume", "--set",
                    "train.max_steps=3"], check=True, capture_output=True)
    assert tutti_json("inspect", run)["step"] == 3


def check_flipped_bit():
    """A flipped bit in a column unused by training and evaluation: refused by name."""
    name = sorted(glob.glob("corpus.tutti/shard-*.h5"))[-1]
    with h5py.File(name) as file:
        at = file["notes/velocity"].id.get_chunk_info(0).byte_offset
    with open(name, "r+b") as file:
        file.seek(at)
        kept = file.read(1)[0]
        file.seek(at)
        file.write(bytes([kept ^ 4]))
    for arguments in (["evaluate", CHECKPOINT, "corpus.tutti"],
                      ["train", "first.conf", "--set", "run.dir=runs/flipped"]):
        done = subprocess.run([tutti, *arguments], stderr=subprocess.PIPE, text=True)
        errors = [line for line in done.stderr.splitlines() if line.startswith("tutti: ")]
        assert done.returncode == 1 and len(errors) == 1, (arguments, done)
        assert name in errors[0] and "/notes/velocity" in errors[0], errors


def main():
    check_names()
    check_one_hot()
    snippet, printed = run_snippet()
    assert len(printed.split()) >= 2, printed
    end = len(snippet["names"]) - 1
    assert snippet["names"][end] == "END"
    for split in "valid", "train":
        ours = tutti_json("evaluate", CHECKPOINT, "corpus.tutti", "--split", split)
        loss, accuracy, count = likelihood(snippet["step"], end, split)
        print(f"{split}: NumPy {loss:.6f}, tutti {ours['nats_per_token']:.6f} nats per token, "
              f"accuracy {accuracy:.4f} and {ours['accuracy']:.4f}, {count} tokens")
        assert count == ours["tokens"] and count > 100
        assert abs(loss - ours["nats_per_token"]) < 1e-5 * loss
        assert abs(accuracy - ours["accuracy"]) < 2 / count
    check_descriptions()
    check_gru()
    check_adam()
    check_pairs(end)
    check_seed()
    check_paths()
    check_flipped_bit()
    return 0


sys.exit(main())
