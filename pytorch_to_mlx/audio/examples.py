"""Recordings for the cases of references: one sentence of real speech (data/NOTICE says whose)."""

from pathlib import Path

import numpy as np

from . import wav

DATA = Path(__file__).parent / "data"


def speech() -> np.ndarray:
    """ "Go forward ten meters", from the test data of CMU PocketSphinx. Shapes: -> float32 [L] at 16 kHz."""
    return wav.read(DATA / "goforward.flac")[0]
