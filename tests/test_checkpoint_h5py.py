"""The README's NumPy snippet, run as it stands there, must give tutti's own likelihood.

    test_checkpoint_h5py.py TUTTI SOURCE_DIRECTORY

runs in a directory that has corpus.tutti and runs/first (see tiny_run.sh). The snippet is taken
from README.md and run; its step() then goes over every piece of a split, read from the shards
with h5py alone, and the sum must equal what `tutti evaluate` says about that split.
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
SPLITS = ["train", "valid", "test"]


def tutti_json(*arguments):
    return json.loads(subprocess.run([tutti, *arguments, "--json"], check=True,
                                     stdout=subprocess.PIPE).stdout)


def run_snippet():
    """What the README's lines define, and what they print."""
    readme = open(f"{source}/README.md", encoding="utf-8").read()
    section = readme.split("## Reading a checkpoint", 1)[1]
    code = re.search(r"```python\n(.*?)```", section, re.S).group(1)
    assert CHECKPOINT in code, "the snippet opens another file than this test"
    defined, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), defined)
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
    """Attributes and tables that scripts read."""
    with h5py.File(CHECKPOINT) as file:
        shown = tutti_json("inspect", CHECKPOINT)
        assert file.attrs["weights_hash"] is not None
        assert file.attrs["epoch"] == shown["epoch"]
        assert file.attrs["step"] == shown["step"]
        assert file.attrs["parameters"] == shown["parameters"]
        for tensor in shown["tensors"]:
            values = file["model"][tensor["name"]][()].astype(np.float64)
            assert list(values.shape) == tensor["shape"], tensor["name"]
            for name, figure in (("mean", values.mean()), ("deviation", values.std()),
                                 ("min", values.min()), ("max", values.max())):
                assert abs(tensor[name] - figure) <= 1e-9 + 1e-6 * abs(figure), (tensor, name)
            assert tensor["nan"] == 0
        assert len(shown["history"]) == shown["epoch"] == len(file["history/epoch"])
        assert np.allclose([row["valid_loss"] for row in shown["history"]],
                           file["history/valid_loss"][()])
        assert "[train]" in bytes(file["config"][()]).decode()
        assert shown["config"]["model"]["hidden"] == 16


def check_flipped_bit():
    """One bit in a column that neither training nor evaluation needs: refused by name."""
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
    check_flipped_bit()
    return 0


sys.exit(main())
