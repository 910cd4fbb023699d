"""Training: heads learn, the same seed gives the same bits, and a killed run goes on to them."""

import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten
from toy_heads import toy_data

from pytorch_to_mlx.errors import CheckError, FormatError, UsageError
from pytorch_to_mlx.heads.evaluate import evaluate
from pytorch_to_mlx.heads.saved_state import SavedStates
from pytorch_to_mlx.heads.train import Options, Trainer, data_digest, new_head, rate

OPTIONS = Options(epochs=2, batch_s=6.0, save_every=3)


def trainer(folder, head="ctc", options=OPTIONS, **sizes):
    config, train, dev, cache = toy_data(folder / "cache", head, **sizes)
    settings = {"config": config.to_dict(), "data": data_digest(train), "seed": options.seed}
    return Trainer(config, train, dev, cache, options, SavedStates(folder / "states", settings))


def bits(head):
    digest = sha256()
    for name, weight in sorted(tree_flatten(head.parameters())):
        digest.update(name.encode() + np.array(weight).tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize(
    ("head", "epochs", "score"), [("ctc", 12, 0.85), ("singing", 6, 0.8), ("language", 8, 0.8), ("pitch", 8, 0.6)]
)
def test_heads_learn(tmp_path, head, epochs, score):
    options = replace(OPTIONS, epochs=epochs, batch_s=2.0, learning_rate=1e-2, save_every=1000, augment=False)
    run = trainer(tmp_path, head, options)
    training = run.run()
    assert training.epochs[training.best - 1].score > score
    assert training.epochs[-1].loss < 0.5 * training.epochs[0].loss
    [result] = evaluate(training.head, run.dev, run.cache, 500, n_draws=20)
    assert result.main == training.epochs[training.best - 1].score and result.n_clips == 12
    assert all(figure.low <= figure.value <= figure.high for figure in result.figures.values() if figure.value >= 0)


def test_a_multi_task_head_learns_everything(tmp_path):
    run = trainer(tmp_path, "multi", replace(OPTIONS, epochs=6, learning_rate=1e-2))
    training = run.run()
    assert {figure.split(".")[0] for figure in training.epochs[-1].figures} == {
        "text", "phonemes", "pitch", "singing", "language"
    }  # fmt: skip
    assert training.epochs[-1].score > training.epochs[0].score
    assert np.abs(np.array(training.head.loss_scales)).min() > 0


def test_the_seed_decides_the_bits(tmp_path):
    one, same, other = (
        bits(trainer(tmp_path / name, options=replace(OPTIONS, seed=seed)).run().head)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == same != other


def test_training_ends_when_the_score_stops_rising(tmp_path):
    run = trainer(tmp_path, options=replace(OPTIONS, epochs=50, patience=3, learning_rate=0.0))
    training = run.run()
    assert len(training.epochs) == 4  # three epochs no better than the first
    assert training.best == 4  # of equal scores the last
    assert bits(training.head) == bits(new_head(run.config, OPTIONS.seed))


def test_the_best_epoch_is_kept(tmp_path, monkeypatch):
    run = trainer(tmp_path, options=replace(OPTIONS, epochs=3))
    scores, seen = iter([0.2, 0.9, 0.5]), []
    monkeypatch.setattr("pytorch_to_mlx.heads.train.main_score", lambda _: next(scores))
    finish = run._finish_epoch
    monkeypatch.setattr(run, "_finish_epoch", lambda *args: (seen.append(bits(run.head)), finish(*args)))
    training = run.run()
    assert training.best == 2 and bits(training.head) == seen[1] != seen[2]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[3], str(Path(sys.argv[3]).parent)]
from pytorch_to_mlx import backend
from test_train import OPTIONS, bits, trainer
run = trainer(Path(sys.argv[1]))
left = int(sys.argv[2])

def counting(function):
    def call(*args, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)
    return call

for name in ("fsync", "replace", "unlink"):
    setattr(os, name, counting(getattr(os, name)))
run._step = counting(run._step)
print(bits(run.run().head))
"""


def test_a_killed_run_ends_with_the_same_bits(tmp_path):
    """Killed during steps, and before, between and after the parts of writing a state."""
    expected = bits(trainer(tmp_path / "whole").run().head)
    trainer(tmp_path / "killed")  # makes the features
    endings = []
    for count in (2, 5, 6, 4, 3, 10**6):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(count), str(Path(__file__).parent)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        endings.append(done.returncode)
    assert endings == [-9] * 5 + [0], done.stderr
    assert done.stdout.strip() == expected


def test_a_damaged_state_is_left_out_and_the_one_before_it_taken(tmp_path):
    expected = bits(trainer(tmp_path).run().head)
    for path in (tmp_path / "states").iterdir():
        path.unlink()
    run = trainer(tmp_path)
    run._run_epoch(lambda share: None)
    newest, before = sorted((tmp_path / "states").iterdir(), reverse=True)
    newest.write_bytes(newest.read_bytes()[:-100])
    again = trainer(tmp_path)
    assert again.progress.step == int(before.stem.split("-")[1]) < run.progress.step
    assert bits(again.run().head) == expected
    for path in (tmp_path / "states").iterdir():
        path.write_bytes(b"")
    with pytest.raises(FormatError, match="every state is damaged"):
        trainer(tmp_path)


def test_other_settings_are_refused_by_name(tmp_path):
    trainer(tmp_path)._run_epoch(lambda share: None)
    with pytest.raises(UsageError, match="begun with another seed"):
        trainer(tmp_path, options=replace(OPTIONS, seed=1))
    with pytest.raises(UsageError, match="begun with another data"):
        trainer(tmp_path, n_train=50, n_dev=22)
    states = SavedStates(tmp_path / "states", {})
    states.remove()
    assert not (tmp_path / "states").exists() and states.read() is None


def test_a_state_that_does_not_fit(tmp_path):
    run = trainer(tmp_path)
    run.save()
    arrays = {**run._arrays(), "head.mix.weight": mx.zeros(7)}
    run.states.save(1, arrays, {"epoch": 0})
    with pytest.raises(FormatError, match="does not fit the head") as raised:
        trainer(tmp_path)
    assert raised.value.details == ("head.mix.weight",)
    run.states.save(2, run._arrays(), {"epoch": -1})
    with pytest.raises(FormatError, match="1 problem"):
        trainer(tmp_path)


def test_states_hold_two_files(tmp_path):
    run = trainer(tmp_path)
    run.run()
    names = [path.name for path in sorted((tmp_path / "states").iterdir())]
    assert len(names) == 2 and names[-1] == f"state-{run.progress.step:08d}.safetensors"


def test_a_loss_that_is_not_finite_is_named(tmp_path):
    run = trainer(tmp_path)
    run.head.norm_out.weight = mx.full((24,), float("nan"))
    with pytest.raises(CheckError, match="not finite at step 1"):
        run.run()


def test_the_rate_rises_and_falls():
    options = Options(learning_rate=1.0, warmup=0.1)
    rates = [rate(options, share) for share in (0, 0.05, 0.1, 0.55, 1)]
    assert rates == pytest.approx([0, 0.5, 1, 0.5, 0])


@pytest.mark.parametrize(
    "change", [{"epochs": 0}, {"batch_s": 0.1}, {"learning_rate": 2}, {"warmup": -1}, {"patience": 0}, {"clip_norm": 0}]
)
def test_options_out_of_range(change):
    with pytest.raises(UsageError, match=f"{next(iter(change))} must be between"):
        Options(**change)


def test_parts_without_clips(tmp_path):
    config, train, dev, cache = toy_data(tmp_path / "cache")
    for parts, message in ((([], dev), "training"), ((train, []), "development")):
        with pytest.raises(UsageError, match=f"no clip is left in the {message} part"):
            Trainer(config, *parts, cache, OPTIONS, SavedStates(tmp_path / "states", {}))


def test_the_digest_is_of_the_data(tmp_path):
    _, train, *_ = toy_data(tmp_path / "cache", "pitch")
    assert data_digest(train) == data_digest(list(train)) != data_digest(train[1:])
    changed = replace(train[0], targets={"pitch": train[0].targets["pitch"] + 1})
    assert data_digest([changed, *train[1:]]) != data_digest(train)
