"""Every shape that Whisper was released in, tiny: English only, 128 mel bins, 100 languages, turbo's short decoder."""

from dataclasses import asdict, replace

import mlx.core as mx
import numpy as np
import pytest
import torch
import whisper
from parity import assert_close

from pytorch_to_mlx.audio.examples import speech
from pytorch_to_mlx.audio.mel import whisper_log_mel
from pytorch_to_mlx.convert import convert
from pytorch_to_mlx.model_source import load
from pytorch_to_mlx.models.whisper import reference
from pytorch_to_mlx.models.whisper.config import Config
from pytorch_to_mlx.models.whisper.decoding import DecodingOptions, decode
from pytorch_to_mlx.models.whisper.reference import to_float64

# openai-whisper's own: NumPy functions called on tensors, and a vocabulary file left open
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array_wrap__"),
    pytest.mark.filterwarnings("ignore:unclosed file.*tiktoken:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*tiktoken:pytest.PytestUnraisableExceptionWarning"),
]
SHAPES = {
    "tiny.en": {"n_vocab": 51864},
    "large-v2": {"n_audio_layer": 3, "n_text_layer": 3},
    "large-v3": {"n_mels": 128, "n_vocab": 51866},
    "turbo": {"n_mels": 128, "n_vocab": 51866, "n_audio_layer": 4, "n_text_layer": 1, "alignment_heads": ()},
}


def test_the_original_reads_its_own_file(tmp_path, monkeypatch):
    """`validate` of OpenAI's .pt takes the weights from it by torch, so that our weight map is not its own judge."""
    config = Config.tiny()
    sizes = {name: value for name, value in asdict(config).items() if name != "alignment_heads"}
    theirs = whisper.model.Whisper(whisper.model.ModelDimensions(**sizes)).half()
    theirs.decoder.positional_embedding.data.normal_()
    torch.save({"dims": sizes, "model_state_dict": theirs.state_dict()}, tmp_path / "original.pt")
    monkeypatch.setattr(reference, "invert", lambda *_: pytest.fail("our weight map was asked"))
    opened = reference.Reference.open(tmp_path / "original.pt")
    assert opened.weights_from == "original.pt, read by torch.load"
    for name, value in opened.originals["float32"].state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name].float()), name
    monkeypatch.undo()
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({"dims": sizes, "model_state_dict": state}, tmp_path / "trained.pt")
    opened = reference.Reference.open(tmp_path / "trained.pt")
    assert opened.weights_from == "trained.pt, through our weight map and back"


@pytest.mark.parametrize("shape", SHAPES)
def test_from_openai_s_file_to_tokens(shape, tmp_path):
    config = replace(Config.tiny(), **SHAPES[shape])
    sizes = {name: value for name, value in asdict(config).items() if name != "alignment_heads"}
    torch.manual_seed(1)
    theirs = whisper.model.Whisper(whisper.model.ModelDimensions(**sizes)).eval()
    with torch.no_grad():
        theirs.decoder.positional_embedding.normal_()
    torch.save({"dims": sizes, "model_state_dict": theirs.state_dict()}, tmp_path / "original.pt")
    convert(tmp_path / "original.pt", tmp_path / "mlx")
    ours = load(tmp_path / "mlx")

    mel = whisper_log_mel(mx.array(speech()), config.n_mels, padding=480000)[: 2 * config.n_audio_ctx]
    expected = whisper.log_mel_spectrogram(torch.from_numpy(speech()), config.n_mels, padding=480000)
    assert_close(mel, expected[:, : 2 * config.n_audio_ctx].T, name="mel")
    input = torch.from_numpy(np.array(mel).T)[None]
    audio, wide = ours.model.encoder(mel[None]), to_float64(theirs)
    with torch.no_grad():
        encoded = theirs.encoder(input), wide.encoder(input.double())
        assert_close(audio, *encoded, name="encoder")
        tokens = [[1, 50257, 51863, 7]]
        logits = theirs.decoder(torch.tensor(tokens), encoded[0]), wide.decoder(torch.tensor(tokens), encoded[1])
        assert_close(ours.model.decoder(mx.array(tokens), ours.model.decoder.start(audio))[0], *logits, name="logits")
        for options in ({}, {"beam_size": 2}):
            given = whisper.DecodingOptions(language="en", fp16=False, **options)
            [found] = decode(ours.model, ours.tokenizer, audio, DecodingOptions(language="en", **options))
            assert list(found.tokens) == whisper.decode(theirs, encoded[0], given)[0].tokens
