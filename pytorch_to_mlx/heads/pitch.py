"""Pitch as classes of 20 cents: F0 to soft labels, scores to F0.

Source: Kim et al. 2018, "CREPE: A Convolutional Representation for Pitch Estimation", section 2.
"""

import numpy as np

from .config import LOWEST_PITCH_HZ, PITCH_CLASSES, PITCH_STEP_CENTS

_SPREAD_CENTS = 25.0
_NEIGHBOURS = 4  # classes on both sides of the likeliest whose mean is the pitch
HIGHEST_PITCH_HZ = LOWEST_PITCH_HZ * 2 ** ((PITCH_CLASSES - 1) * PITCH_STEP_CENTS / 1200)


def is_in_range(f0: np.ndarray) -> np.ndarray:
    """Return which values are voiced and among the classes; 0 and NaN are unvoiced. Shapes: f0 [T] in Hz -> [T]."""
    return (f0 >= LOWEST_PITCH_HZ) & (f0 <= HIGHEST_PITCH_HZ)


def soft_labels(f0: np.ndarray) -> np.ndarray:
    """Return a normal distribution over the classes around each F0; a frame out of range is all zero.

    Shapes: f0 [T] in Hz, 0 where unvoiced -> [T, PITCH_CLASSES] float32.
    """
    voiced = is_in_range(f0)
    classes = 1200 * np.log2(np.where(voiced, f0, LOWEST_PITCH_HZ) / LOWEST_PITCH_HZ) / PITCH_STEP_CENTS
    distance = (np.arange(PITCH_CLASSES) - classes[:, None]) * (PITCH_STEP_CENTS / _SPREAD_CENTS)
    labels = np.exp(-0.5 * np.square(distance)) * voiced[:, None]
    return (labels / np.maximum(labels.sum(-1, keepdims=True), 1e-9)).astype(np.float32)


def decode_pitch(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return F0 in Hz and the probability that a frame is voiced.

    F0 is the mean of the classes around the likeliest, by their probability; the last number is the voicing.
    Shapes: logits [T, PITCH_CLASSES + 1] -> [T], [T].
    """
    pitches, voicing = np.asarray(logits[:, :-1], np.float64), np.asarray(logits[:, -1], np.float64)
    likeliest = pitches.argmax(-1)
    classes = likeliest[:, None] + np.arange(-_NEIGHBOURS, _NEIGHBOURS + 1)
    inside = (classes >= 0) & (classes < PITCH_CLASSES)
    near = np.take_along_axis(pitches, classes.clip(0, PITCH_CLASSES - 1), axis=1)
    weights = np.exp(near - pitches.max(-1, keepdims=True)) * inside
    mean = (weights * classes).sum(-1) / weights.sum(-1)
    return LOWEST_PITCH_HZ * 2 ** (mean * PITCH_STEP_CENTS / 1200), 1 / (1 + np.exp(-voicing.clip(-500, 500)))
