"""PyTorch's speed of generation with a checkpoint's model: tokens per second over all rows,
median of three repetitions.

    generate.py CHECKPOINT ROWS STEPS [cells] [native] [compiled]

Each step samples a token for each row from the model's distribution and feeds it back, on one
thread. `cells`: a step calls torch.lstm_cell layer by layer, not nn.LSTM over one time step.
`native`, `compiled`: as in train.py.
"""
import statistics
import sys
import time

import torch
from torch import nn

from model import load

REPETITIONS = 3


def lstm_step(model):
    def step(tokens, state):
        logits, state = model(tokens[None], state)
        return logits[0], state
    return step


def cell_step(model):
    layers = [tuple(getattr(model.lstm, f"{name}_l{layer}") for name in
                    ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
              for layer in range(model.lstm.num_layers)]

    def step(tokens, state):
        x, states = model.embedding(tokens), []
        for layer, weights in enumerate(layers):
            x, c = torch.lstm_cell(x, (state[0][layer], state[1][layer]), *weights)
            states.append((x, c))
        h, c = zip(*states)
        return model.output(x), (h, c)
    return step


def sample(logits):
    return torch.multinomial(nn.functional.softmax(logits, dim=-1), 1)[:, 0]


@torch.inference_mode()
def main():
    path, rows, steps, variant = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    torch.set_num_threads(1)
    torch.manual_seed(1)
    torch.backends.mkldnn.enabled = "native" not in variant
    model = load(path).eval()
    step = cell_step(model) if "cells" in variant else lstm_step(model)
    if "compiled" in variant:
        step = torch.compile(step)
    tokens = torch.full((rows,), model.embedding.num_embeddings - 1)  # END
    state = tuple(model.zero_state(rows))
    seconds = []
    for _ in range(1 + REPETITIONS):  # the first is warm-up
        start = time.perf_counter()
        for _ in range(steps):
            logits, state = step(tokens, state)
            tokens = sample(logits)
        seconds.append(time.perf_counter() - start)
    print(f"{rows * steps / statistics.median(seconds[1:]):.0f}")


if __name__ == "__main__":
    main()
