"""A quantized folder differs from the original by design: `validate` says so before it says what differs."""

import json

from pytorch_to_mlx.progress import listening
from pytorch_to_mlx.validate import run as validation
from pytorch_to_mlx.validate.report import Report


def test_a_quantized_folder_is_told(tmp_path, monkeypatch):
    report = Report("vad", "here", (), ("no case reaches the tap 'x'",))
    monkeypatch.setattr(validation, "open_reference", lambda model, mlx_path: None)
    monkeypatch.setattr(validation, "run", lambda *_, **__: report)
    notes = []

    class Listener:
        on_terminal = False
        note = staticmethod(notes.append)

    for config, n_warnings in (({"quantization": {"bits": 8, "group_size": 64}}, 1), ({}, 0)):
        (tmp_path / "config.json").write_text(json.dumps(config))
        notes.clear()
        with listening(Listener()):
            assert validation.validate("packaged:silero-vad", mlx_path=tmp_path) is report
        assert sum("is quantized, and differs from PyTorch by that" in text for text in notes) == n_warnings
