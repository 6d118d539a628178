"""PyTorch's speed of training with the model of compare.sh: tokens per second of all
processes, median of the steps after the warm-up.

    train.py PROCESSES THREADS ROWS PRECISION [native] [compiled]

ROWS and THREADS are per process; more than one process is DistributedDataParallel over gloo.
PRECISION is float32 or bfloat16 (autocast). `native`: PyTorch's own LSTM instead of oneDNN's.
`compiled`: torch.compile. Adam and the gradient allreduce use their fastest variants in every
setting. The tokens are random: their values do not affect the time.
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
    except (RuntimeError, TypeError):  # before PyTorch 2.4: not on CPUs
        return torch.optim.Adam(model.parameters(), lr=1e-3)


def step_seconds(model, wrapped, rows, precision):
    """Runs training steps that do the same work as tutti's; yields the seconds of each."""
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


def run(process, processes, threads, rows, precision, variant, rendezvous, out):
    torch.set_num_threads(threads)
    torch.manual_seed(process)
    torch.backends.mkldnn.enabled = "native" not in variant
    model = wrapped = Model(VOCABULARY, EMBEDDING, HIDDEN, LAYERS, DROPOUT)
    if "compiled" in variant:
        wrapped = torch.compile(wrapped)
    if processes > 1:
        distributed.init_process_group("gloo", init_method=f"file://{rendezvous}/rendezvous",
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
    with tempfile.TemporaryDirectory() as rendezvous:
        arguments = processes, threads, rows, precision, variant, rendezvous, out
        if processes > 1:
            multiprocessing.spawn(run, arguments, processes)
        else:
            run(0, *arguments)
    print(f"{out.get():.0f}")


if __name__ == "__main__":
    main()
