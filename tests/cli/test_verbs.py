"""A folder brings its commands: options from signatures, help from docstrings, results on stdout."""

import json

import pytest

from pytorch_to_mlx.cli import verbs
from pytorch_to_mlx.cli.options import OPTIONS


def test_family_appears_in_list_and_help(toy, cli):
    code, out, _ = cli("list", "--json")
    assert code == 0 and json.loads(out)[0]["family"] == "toy-voice"
    code, out, _ = cli("--help")
    assert code == 0 and "toy-voice" in out and "A toy." in out


def test_signature_becomes_options(toy, cli):
    code, out, err = cli(
        "toy-voice", "synthesize", "-t", "hi", "--speed", "1.5", "--no-loud", "--words", "a", "--words", "b", "--json"
    )
    assert code == 0
    assert json.loads(out) == {
        "text": "hi",
        "voice": "one",
        "speed": 1.5,
        "output": "out.wav",
        "lang_code": None,
        "loud": False,
        "words": ["a", "b"],
        "score": None,
    }
    assert err == "speaking\npieces\n", "progress belongs on stderr"


def test_underscores_are_dashes(toy, cli):
    code, out, _ = cli("toy_voice", "synthesize", "--text", "hi", "--lang_code", "a", "--json")
    assert code == 0 and json.loads(out)["lang_code"] == "a"


def test_values_keep_their_underscores(toy, cli):
    code, out, _ = cli("toy-voice", "synthesize", "--text", "a_b", "--voice", "af_heart", "--json")
    assert code == 0 and json.loads(out)["voice"] == "af_heart" and json.loads(out)["text"] == "a_b"


def test_help_comes_from_docstring_and_table(toy, cli):
    code, out, _ = cli("toy-voice", "synthesize", "--help")
    text = " ".join(out.replace("│", " ").split())
    assert code == 0
    assert "Speak [text]." in text and "shout" in text and OPTIONS["voice"].help.split(",")[0] in text
    assert "pytorch-to-mlx toy-voice synthesize --text hi" in text


def test_a_verb_may_take_the_spellings_of_an_original():
    def speak(*, text: str, steps: int = 4) -> None:
        """Speak.

        Args:
            steps: how many

        Spellings:
            text: --gen-text
            steps: --nfe-step -n
        """

    spellings = {parameter.name: parameter.spellings for parameter in verbs.read("speak", speak).parameters}
    assert spellings == {"text": ("--text", "-t", "--gen-text"), "steps": ("--steps", "--nfe-step", "-n")}
    assert verbs.read("speak", speak).description == "Speak."


def test_text_result_is_lines(toy, cli):
    _, out, _ = cli("toy-voice", "synthesize", "--text", "hi")
    assert "text: hi\nvoice: one\nspeed: 1.5\n".replace("1.5", "1") in out


def test_iterator_prints_each_piece(toy, cli):
    code, out, _ = cli("toy-voice", "pieces", "--count", "2")
    assert code == 0 and out == "piece: 0\npiece: 1\n"


def test_default_verbs_of_a_family(toy, cli):
    code, out, _ = cli("toy-voice", "list", "--json")
    assert code == 0 and json.loads(out)[0]["checkpoint"] == "org/toy"
    code, out, _ = cli("toy-voice", "--help")
    for verb in ("list", "inspect", "convert", "validate", "benchmark", "synthesize"):
        assert f" {verb} " in out
    _, out, _ = cli("toy-voice", "convert", "--help")
    assert "pytorch-to-mlx toy-voice convert" in out and "FAMILY" not in out


@pytest.mark.parametrize(
    ("kind", "code", "line"),
    [
        ("unsafe", 3, "error: evil.pt: os.system is not on the allow-list\n  posix.system\n  \\x1b[2J\n"),
        ("disk", 6, "error: the machine refused: [Errno 28] No space left on device\n"),
        ("memory", 6, "error: the machine refused: MemoryError\n"),
        ("interrupt", 130, ""),
    ],
)
def test_failures(toy, cli, kind, code, line):
    assert cli("toy-voice", "fail", kind) == (code, "", line)


def test_our_bug_is_one_line(toy, cli, capsys):
    import sys

    with pytest.raises(KeyError) as raised:
        cli("toy-voice", "fail", "bug")
    sys.excepthook(raised.type, raised.value, raised.tb)
    err = capsys.readouterr().err
    assert err.startswith("error: this is a bug of pytorch-to-mlx: KeyError") and err.count("\n") == 1
    assert "--debug" in err and "\x1b" not in err


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([], "none, none"),
        (["--times", "1,2.5", "--ids", "-1"], "[1.0, 2.5], [-1]"),
        (["--times", "1", "--times", "2,3"], "[1.0, 2.0, 3.0], none"),
        (["--ids", "3,x"], "'3,x' is not whole numbers with commas between"),
    ],
    ids=str,
)
def test_numbers_with_commas_or_given_several_times(given, found, capsys):
    import typer

    def show(*, times: list[float] | None = None, ids: list[int] | None = None):
        print(f"{times or 'none'}, {ids or 'none'}")

    app = typer.Typer()
    verbs.add(app, "show", show)
    with pytest.raises(SystemExit):
        typer.main.get_command(app)(given)
    assert found in "".join(capsys.readouterr())
