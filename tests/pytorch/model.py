"""The model of tutti in PyTorch: embedding -> LSTM layers with dropout between -> dropout ->
output. Layer and gate order (i f g o) are PyTorch's own, so weights are copied as they are.

Letters: B rows, T steps, E embedding, H hidden, V vocabulary. Tokens are [T][B], as in tutti.
"""
import h5py
import torch
from torch import nn
from torch.nn import functional

# Checkpoint tensor -> PyTorch parameter; {} is the layer index.
TENSORS = {
    "embedding/weight": "embedding.weight",
    "lstm{}/weight_ih": "lstm.weight_ih_l{}",
    "lstm{}/weight_hh": "lstm.weight_hh_l{}",
    "lstm{}/bias": "lstm.bias_ih_l{}",
    "output/weight": "output.weight",  # absent with tied embeddings
    "output/bias": "output.bias",
}


class Model(nn.Module):
    def __init__(self, vocabulary, embedding, hidden, layers=2, dropout=0.0):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, vocabulary)

    def zero_state(self, rows):
        shape = self.lstm.num_layers, rows, self.lstm.hidden_size
        return torch.zeros(shape), torch.zeros(shape)

    def forward(self, tokens, state):
        y, state = self.lstm(self.embedding(tokens), state)
        return self.output(self.dropout(y)), state


def cross_entropy(logits, targets, reduction="mean"):
    """In nats, computed in float32 even if the logits are bfloat16."""
    return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(),
                                    reduction=reduction)


def load(path):
    """The model of a checkpoint, without dropout. Tutti has one bias for each gate, PyTorch
    adds two: bias_hh is zero and gets no gradient."""
    with h5py.File(path) as file:
        layers = sum(name.startswith("lstm") for name in file["model"])
        assert "embedding" in file["model"], "one-hot tokens are not supported here"
        vocabulary, embedding = file["model/embedding/weight"].shape
        gates, hidden = file["model/lstm0/weight_hh"].shape
        order = [str(gate, "ascii") if isinstance(gate, bytes) else gate
                 for gate in file["model/lstm0/weight_hh"].attrs["gate_order"]]
        assert order == ["i", "f", "g", "o"] and gates == 4 * hidden, order
        assert "dense" not in file["model"], "dense layers are not supported here"
        model = Model(vocabulary, embedding, hidden, layers)
        if "weight" not in file["model/output"]:
            model.output.weight = model.embedding.weight
        weights = model.state_dict()
        for layer in range(layers):
            weights[f"lstm.bias_hh_l{layer}"].zero_()
            for ours, theirs in TENSORS.items():
                if "model/" + ours.format(layer) not in file:
                    continue  # tied: copied as the embedding
                tensor = torch.from_numpy(file["model/" + ours.format(layer)][()])
                assert weights[theirs.format(layer)].shape == tensor.shape, ours
                weights[theirs.format(layer)].copy_(tensor)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("bias_hh" not in name)
    return model
