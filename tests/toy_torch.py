"""The PyTorch original of the made-up family, and its checkpoint as users have it."""

import json
from pathlib import Path

import torch
from toy_net import CONFIG


class Net(torch.nn.Module):
    """The PyTorch original."""

    def __init__(self, d: int = 32, vocab: int = 50, layers: int = 2) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(vocab, d)
        self.embed_copy = torch.nn.Embedding(vocab, d)
        self.embed_copy.weight = self.embed.weight
        self.up = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(d, d, 3, padding=1))
        self.lin = torch.nn.ModuleList([torch.nn.Linear(d, d) for _ in range(layers)])
        self.rnn = torch.nn.LSTM(d, d, batch_first=True)
        self.head = torch.nn.Linear(d, 3)
        self.register_buffer("steps", torch.tensor(1234))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.up(self.embed(ids).transpose(1, 2)).transpose(1, 2)
        for layer in self.lin:
            x = torch.tanh(layer(x))
        return self.head(self.rnn(x)[0]) * 2


def write_checkpoint(folder: Path, net: torch.nn.Module, *, config: dict | None = None, name: str = "net.pth") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), folder / name)
    (folder / "config.json").write_text(json.dumps(CONFIG if config is None else config))
    (folder / "voices.txt").write_text("one\ntwo\n")
    return folder
