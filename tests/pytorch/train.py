"""How fast PyTorch trains the model that peers.sh compares: tokens a second, of all
processes, median of the steps after the warm-up.

    train.py PROCESSES THREADS ROWS PRECISION [native] [compiled]

ROWS and THREADS are of a process; more than one process is DistributedDataParallel over gloo.
PRECISION is float32 or bfloat16 (autocast). `native`: PyTorch's own LSTM instead of oneDNN's.
`compiled`: torch.compile. Adam and its sum of gradients take their fastest forms as they are
in every variant. The tokens are random: what they are makes no difference to the time.
"""
import os
import statistics
import sys
import tempfile
import time

import torch
from torch import distributed, multiprocessing, nn

from model import Model, cross_entropy

VOCABULARY, EMBEDDING, HIDDEN, LAYERS, STEPS, DROPOUT = 389, 256, 512, 2, 128, 0.3
WARM_UP, TIMED = 3, 7


def adam(model):
    try:
        return torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    except (RuntimeError, TypeError):  # before PyTorch 2.4: not on a CPU
        return torch.optim.Adam(model.parameters(), lr=1e-3)


def step_seconds(model, wrapped, rows, precision):
    """One training step after the other, each as tutti does it; yields its seconds."""
    optimizer = adam(model)
    state = model.zero_state(rows)
    while True:
        tokens = torch.randint(VOCABULARY, (STEPS + 1, rows))
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits, state = wrapped(tokens[:-1], state)
        loss = cross_entropy(logits, tokens[1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        state = tuple(part.detach() for part in state)
        loss.item()
        yield time.perf_counter() - start


def run(process, processes, threads, rows, precision, variant, meeting, out):
    torch.set_num_threads(threads)
    torch.manual_seed(process)
    torch.backends.mkldnn.enabled = "native" not in variant
    model = wrapped = Model(VOCABULARY, EMBEDDING, HIDDEN, LAYERS, DROPOUT)
    if "compiled" in variant:
        wrapped = torch.compile(wrapped)
    if processes > 1:
        distributed.init_process_group("gloo", init_method=f"file://{meeting}/meeting",
                                       rank=process, world_size=processes)
        wrapped = nn.parallel.DistributedDataParallel(wrapped, gradient_as_bucket_view=True)
    seconds = step_seconds(model, wrapped, rows, precision)
    taken = [next(seconds) for _ in range(WARM_UP + TIMED)][WARM_UP:]
    if process == 0:
        out.put(processes * rows * STEPS / statistics.median(taken))
    if processes > 1:
        distributed.destroy_process_group()


def main():
    processes, threads, rows = map(int, sys.argv[1:4])
    precision, variant = sys.argv[4], sys.argv[5:]
    os.environ["OMP_NUM_THREADS"] = str(threads)
    out = multiprocessing.get_context("spawn").SimpleQueue()
    with tempfile.TemporaryDirectory() as meeting:
        rest = processes, threads, rows, precision, variant, meeting, out
        if processes > 1:
            multiprocessing.spawn(run, rest, processes)
        else:
            run(0, *rest)
    print(f"{out.get():.0f}")


if __name__ == "__main__":
    main()
