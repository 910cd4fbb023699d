"""Run a version's verbs as its users do, and look at the sound that is written."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import run

from pytorch_to_mlx.audio import wav


def family_cli(family: str, *arguments: object, stdin: str = "", fails: int = 0) -> str:
    """stdout of `pytorch-to-mlx FAMILY ARGUMENTS`, which ends as it should."""
    done = run(family, *map(str, arguments), input=stdin.encode(), timeout=1800)
    assert done.returncode == fails, done.stderr.decode()[-2000:]
    assert fails or b"rror" not in done.stderr, done.stderr.decode()
    return done.stdout.decode()


def spoken(cli: Callable[..., str], model: Path, output: Path, rate: int, verb, options, stdin: str):
    """The samples of the WAV file that a verb writes, after a look at it, and what was reported."""
    output.unlink(missing_ok=True)
    report = json.loads(cli(*verb, "--model", model, "--output", output, "--json", *options, stdin=stdin))
    samples, file_rate = wav.read(output)
    assert file_rate == report["sample_rate"] == rate
    assert report["duration_s"] == pytest.approx(len(samples) / rate)
    assert np.isfinite(samples).all() and np.abs(samples).max() <= 1 and samples.std() > 1e-4
    assert {"flow", "vocoder"} < report["first_audio_parts"].keys()
    return samples, report
