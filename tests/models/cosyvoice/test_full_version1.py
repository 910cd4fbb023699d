"""CosyVoice 1 at full size, with random weights: parity beside the original, and every mode from the command line."""

import json

import numpy as np
import pytest
from command import run as run_command
from models.cosyvoice import release_version1
from models.cosyvoice.test_commands import OTHERS, PROMPT, SAID

from pytorch_to_mlx.audio import wav
from pytorch_to_mlx.models.cosyvoice.card import CARD1
from pytorch_to_mlx.models.cosyvoice.original.cases_version1 import longer_cases
from pytorch_to_mlx.models.cosyvoice.reference_version1 import Reference1
from pytorch_to_mlx.validate.run import run

pytestmark = pytest.mark.full
RATE = 22050
MODES = {
    "sft": ["--speaker", "中文女"],
    "zero-shot": ["--ref-audio", PROMPT, "--ref-text", SAID],
    "cross-lingual": ["--ref-audio", OTHERS[0]],
    "instruct": ["--speaker", "英文男", "--instruct", "Speak slowly."],
    "instruct, a recording's voice": ["--ref-audio", OTHERS[0], "--instruct", "Speak slowly."],
}


@pytest.fixture(scope="module", params=[50, 25], ids=["50 Hz", "25 Hz"])
def folder(request, tmp_path_factory):
    config = release_version1.config_of(tiny=False, rate=request.param)
    return release_version1.write_release(tmp_path_factory.mktemp("full"), config)


class Longer(Reference1):
    """The original beside ours on 5 s and 15 s of speech."""

    def cases(self):
        return list(longer_cases(self.config))


@pytest.mark.parametrize("reference", [Reference1, Longer], ids=["as validate", "longer"])
def test_parity(folder, reference):
    report = run(reference.open(folder), CARD1.taps, family="cosyvoice", source="full size")
    print(*report.rows(), sep="\n")  # shown with -s
    report.check()
    audio = [tap for case in report.cases for tap in case.taps if tap.name == "audio"]
    assert audio and all(tap.max_abs <= 3.3e-4 for tap in audio)


def cli(*arguments: object) -> str:
    done = run_command("cosyvoice", *map(str, arguments), timeout=1200)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode()


@pytest.fixture(scope="module")
def converted(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("converted") / "mlx"
    cli("convert", "--hf-path", folder, "--mlx-path", path, "--dtype", "float16")
    return path


@pytest.mark.parametrize("stream", [[], ["--stream"]], ids=["whole", "stream"])
@pytest.mark.parametrize("mode", MODES)
def test_modes(converted, tmp_path, mode, stream):
    output = tmp_path / "out.wav"
    options = ["--text", "<|en|>one for you.", *MODES[mode], *stream, "--output", output, "--json"]
    report = json.loads(cli("synthesize", "--model", converted, *options))
    samples, rate = wav.read(output)
    assert rate == report["sample_rate"] == RATE and len(samples) % 256 == 0
    assert np.isfinite(samples).all() and samples.std() > 1e-4


def test_voice_conversion(converted, tmp_path):
    output = tmp_path / "out.wav"
    cli("convert-voice", OTHERS[1], "--model", converted, "--ref-audio", OTHERS[0], "--output", output)
    heard, rate = wav.read(OTHERS[1])
    samples, _ = wav.read(output)
    assert len(samples) / RATE == pytest.approx(len(heard) / rate, abs=0.1)
