"""Make head_metrics.json: pitch and error rates by mir_eval 0.8.2 and jiwer 4.0.0 on made-up answers.

Run: pip install mir_eval==0.8.2 jiwer==4.0.0, then python tests/golden/head_metrics.py
"""

import json
from pathlib import Path

import jiwer
import mir_eval
import numpy as np

WORDS = "press four to hear the message again or star to go back".split()


def pitch_case(seed):
    random = np.random.default_rng(seed)
    reference = 220 * 2 ** random.uniform(-1, 1, 200) * (random.random(200) < 0.7)
    wrong = random.choice([0, 0, 30, 49, 51, 80, 400, 1200, -1200, 1230], 200)
    f0 = np.where(reference > 0, reference, 150) * 2 ** (wrong / 1200)
    voiced = random.random(200) < np.where(reference > 0, 0.9, 0.2)
    cents, estimate = (np.where(x > 0, 1200 * np.log2(np.maximum(x, 1e-9) / 10), 0) for x in (reference, f0))
    recall, false_alarm = mir_eval.melody.voicing_measures(reference > 0, voiced)
    scores = {
        "raw_pitch_accuracy": mir_eval.melody.raw_pitch_accuracy(reference > 0, cents, voiced, estimate),
        "raw_chroma_accuracy": mir_eval.melody.raw_chroma_accuracy(reference > 0, cents, voiced, estimate),
        "voicing_recall": recall,
        "voicing_false_alarm": false_alarm,
    }
    rounded = {"reference": reference.round(4), "f0": f0.round(4), "voiced": voiced.astype(int)}
    return {**{name: value.tolist() for name, value in rounded.items()}, "scores": scores}


def text_case(seed):
    random = np.random.default_rng(seed)
    reference = [" ".join(random.choice(WORDS, random.integers(1, 9))) for _ in range(5)]
    answer = []
    for text in reference:
        letters = [letter for letter in text if random.random() > 0.1]
        answer.append("".join(letters + list("ab"[: random.integers(0, 3)])))
    return {
        "reference": reference,
        "answer": answer,
        "cer": jiwer.cer(reference, answer),
        "wer": jiwer.wer(reference, answer),
    }


if __name__ == "__main__":
    cases = {"pitch": [pitch_case(seed) for seed in range(2)], "text": [text_case(seed) for seed in range(6)]}
    Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
