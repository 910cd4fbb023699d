"""From clips to targets and batches."""

from dataclasses import replace

import numpy as np
import pytest
from toy_heads import toy_clip, toy_data

from pytorch_to_mlx.errors import FormatError, UsageError
from pytorch_to_mlx.heads.card import HEADS, head_card
from pytorch_to_mlx.heads.examples import Example, batches, make_examples, make_outputs, plan_batches, read_batch
from pytorch_to_mlx.heads.losses import NO_LABEL


@pytest.fixture
def toy(tmp_path):
    """Return a function from a head's name and a changed clip to the clip's targets, or its problem."""
    config, _, _, cache = toy_data(tmp_path / "cache", "multi")

    def target(name, **changes):
        clip = replace(toy_clip(0, "train"), **changes)
        [output] = [output for output in config.outputs if output.name == name]
        examples, problems = make_examples([clip], {clip.id: clip.id}, cache, replace(config, outputs=(output,)))
        return examples[0].targets[name] if examples else problems[0]

    return target


def test_targets(toy):
    clip = toy_clip(0, "train")
    n_frames = 4 * len(clip.text)
    assert toy("text") == ["abcde".index(letter) + 1 for letter in clip.text] == toy("phonemes")
    assert toy("text", text=f" {clip.text.upper()}! ") == toy("text")
    assert toy("language") == ("a" not in clip.text)  # labels are sorted: en, ru
    np.testing.assert_array_equal(toy("pitch"), clip.f0)
    assert toy("singing").tolist() == [int(frame < 4 * (len(clip.text) // 2)) for frame in range(n_frames)]


def test_frames_without_a_label_or_f0_have_none(toy):
    spans = {"singing": ((0.0, 0.025, "singing"), (0.03, 0.04, "speech"))}
    assert toy("singing", spans=spans).tolist()[:3] == [0, 1, NO_LABEL]  # the middle of a frame decides
    assert set(toy("singing", spans={}, labels={"singing": "speech"}).tolist()) == {1}
    f0 = toy("pitch", f0=toy_clip(0, "train").f0[:-2])
    assert np.isnan(f0[-2:]).all() and np.isfinite(f0[:-2]).all()


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("text", {"text": None}, "'text' missing"),
        ("text", {"text": " ?! "}, "'text' missing"),
        ("text", {"text": "a" * 30}, "its text of 30 labels needs 59 frames"),
        ("text", {"text": "xyz"}, "no label for 'x' 'y' 'z'"),
        ("phonemes", {"phonemes": ("a", "tʃ")}, "no label for 'tʃ'"),
        ("pitch", {"f0": (100.0,)}, "'f0' has 1 values, the recording"),
        ("pitch", {"f0": None}, "'f0' missing"),
        ("language", {"labels": {}}, "'labels: language' missing"),
        ("language", {"labels": {"language": "el"}}, "'language' is 'el', which does not occur in training"),
        ("singing", {"spans": {"singing": ((0.0, 1.0, "laughter"),)}}, "'singing' is 'laughter'"),
    ],
    ids=str,
)
def test_clips_that_cannot_be_learnt_are_named(toy, name, changes, message):
    problem = toy(name, **changes)
    assert problem.startswith("line 0 (clip0): ") and message in problem


def test_one_label_of_several_is_enough(tmp_path):
    config, _, _, cache = toy_data(tmp_path / "cache", "multi")
    clip = replace(toy_clip(0, "train"), text=None, f0=None, phonemes=None, labels={})
    [example], problems = make_examples([clip], {clip.id: clip.id}, cache, config)
    assert problems == [] and example.targets["text"] is None and example.targets["singing"] is not None
    assert make_examples([clip], {}, cache, config) == ([], [])  # unreadable: listed before


def test_labels_are_those_of_training():
    clips = [toy_clip(number, "train") for number in range(20)]
    outputs = {output.name: output for output in make_outputs(head_card("multi").questions, clips)}
    assert set(outputs) == {"text", "phonemes", "pitch", "singing", "language"}
    assert outputs["text"].labels == tuple("abcde") and outputs["singing"].labels == ("singing", "speech")
    assert len(make_outputs(head_card("drafts").questions, clips, 9)[0].labels) == 9
    with pytest.raises(FormatError, match="no clip of the training part") as raised:
        make_outputs(head_card("sounds").questions, clips)
    assert raised.value.details == ("'labels: sounds' is missing in every line",)
    many = [replace(clip, labels={"language": f"l{number}"}) for number, clip in enumerate(clips * 60)]
    with pytest.raises(FormatError, match="has 1200 labels"):
        make_outputs(head_card("language").questions, many)


def example(n_frames):
    return Example(toy_clip(n_frames, "train"), str(n_frames), n_frames, {})


def test_groups_have_similar_lengths_and_hold_everything_once():
    examples = [example(n) for n in [10, 200, 30, 60, 10, 150, 26, 24, 300, 1]]
    groups = plan_batches(examples, 200)
    padded = [[-(-e.n_frames // 25) * 25 for e in group] for group in groups]
    assert sorted(e.n_frames for group in groups for e in group) == sorted(e.n_frames for e in examples)
    assert all(len(group) * max(group) <= 200 or len(group) == 1 for group in padded)
    assert padded == sorted(padded)
    drawn = [plan_batches(examples, 200, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    frames = [[[e.n_frames for e in group] for group in groups] for groups in drawn]
    assert frames[0] == frames[1] != frames[2]


def test_batches_are_padded_and_masked_by_the_seed(tmp_path):
    _, train, _, cache = toy_data(tmp_path / "cache")
    batch = read_batch(train[:3], cache)
    assert batch.features.shape == (3, 25, 1, 16) and batch.lengths.tolist() == [e.n_frames for e in train[:3]]
    for row, e in zip(batch.features, train[:3], strict=True):
        assert np.array_equal(row[: e.n_frames], cache.read(e.key)) and not row[e.n_frames :].any()
    one, same, other = (read_batch(train[:3], cache, np.random.default_rng(seed)).features for seed in (3, 3, 4))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    kept = one != 0
    assert (one == batch.features)[kept].all() and 0.5 < kept.sum() / (batch.features != 0).sum() < 1
    assert sum(len(b.examples) for b in batches(train, cache, 100)) == len(train)


def test_frames_with_labels_are_not_masked(tmp_path):
    _, train, _, cache = toy_data(tmp_path / "cache", "pitch")
    for seed in range(5):
        rows = read_batch(train[:4], cache, np.random.default_rng(seed)).features
        assert all(row[: e.n_frames].any(axis=(1, 2)).all() for row, e in zip(rows, train[:4], strict=True))


def test_cards_read_layers_of_any_trunk():
    assert {name: card.layers(6) for name, card in HEADS.items()} == {
        "ctc": (6,), "drafts": (6,), "phonemes": (6,), "pitch": (0,), "singing": (2, 4), "language": (2, 4),
        "sounds": (2, 4), "emotion": (2, 3, 5), "multi": (0, 2, 4, 6),
    }  # fmt: skip
    assert head_card("multi").layers(32) == (0, 11, 21, 32) and head_card("singing").layers(1) == (0, 1)
    with pytest.raises(UsageError, match="no head is called 'x'"):
        head_card("x")
