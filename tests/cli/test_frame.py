"""The command line as a process: exit codes, closed files, odd terminals, and help that answers at once."""

import json
import signal
import subprocess
import time

import pytest
from command import COMMAND, ROOT, assert_quick_help, run

from pytorch_to_mlx import registry

VERBS = ("list", "doctor", "analyze", "convert", "validate", "benchmark", "compare")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nonsense"], "No such option: --nonsense"),
        (["nonsense"], "No such command 'nonsense'"),
        (["convert", "a", "--nonsense"], "No such option"),
        (["validate"], "name a checkpoint"),
        (["convert"], "name a checkpoint"),
        (["convert", "a", "--hf-path", "b"], "give the checkpoint once"),
        (["convert", "a", "--dtype", "float8"], "float8"),
        (["convert", "a", "--q-bits", "many"], "'--q-bits'"),
        (["benchmark", "coverage", "--workloads", "timm"], "--suite timm"),
    ],
    ids=str,
)
def test_wrong_use_is_exit_2_with_one_line(arguments, says):
    done = run(*arguments)
    err = done.stderr.decode()
    assert done.returncode == 2 and done.stdout == b""
    assert err.startswith("error: ") and err.count("\n") == 1 and says in err


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], *[[verb, "--help"] for verb in VERBS]], ids=str)
def test_help_has_an_example_and_imports_nothing_heavy(arguments):
    assert_quick_help(*arguments)


@pytest.mark.parametrize("family", registry.names())
def test_a_family_alone_shows_its_help(family):
    """As `git remote` or any group of click does; folded into an error line nobody could read it."""
    alone, asked = run(family), run(family, "--help")
    assert alone.returncode == 0 and alone.stdout == asked.stdout and alone.stderr == b""
    assert b"\n  convert " in alone.stdout


@pytest.mark.parametrize(
    ("line", "completed"),
    [("ko", "kokoro"), ("whisper tra", "transcribe"), ("kokoro synthesize --subt", "--subtitles")],
)
def test_shells_complete_families_verbs_and_options(line, completed):
    """What the scripts of --show-completion ask: bash by words and a number, zsh by the line."""
    words = f"pytorch-to-mlx {line}"
    bash = {"COMP_WORDS": words, "COMP_CWORD": str(line.count(" ") + 1)}
    for shell, env in (("bash", bash), ("zsh", {"_TYPER_COMPLETE_ARGS": words})):
        done = run(env={**env, "_PYTORCH_TO_MLX_COMPLETE": f"complete_{shell}"})
        assert completed in done.stdout.decode() and done.returncode == 0


def test_version():
    assert run("--version").stdout == b"pytorch-to-mlx 0.1.0\n"


@pytest.mark.parametrize(
    "env",
    [{"LANG": "C", "LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"COLUMNS": "1"}, {"COLUMNS": "x"}, {"TERM": "dumb"}],
    ids=str,
)
def test_odd_terminals(env):
    for arguments in (["--help"], ["list"], ["validate"]):
        done = run(*arguments, env=env)
        assert done.returncode in (0, 2) and b"Traceback" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_files(closed):
    for arguments, code in (("list --json", 0), ("--help", 0), ("validate", 2)):
        line = f"{' '.join(COMMAND)} {arguments} {closed}"
        done = subprocess.run(["sh", "-c", line], capture_output=True, cwd=ROOT, timeout=600)
        assert done.returncode == code and b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", ["--help", "list --json", "doctor"])
def test_reader_that_leaves(arguments):
    line = f"({' '.join(COMMAND)} {arguments}; echo $? >&2) | true"
    done = subprocess.run(["sh", "-c", line], capture_output=True, cwd=ROOT, timeout=600)
    assert done.stderr.decode().strip() in ("141", "0")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_with_their_code(tmp_path, number, code):
    """The command waits for ever on a FIFO that it was told to read as its text."""
    program = (
        "import signal, sys, time, pytorch_to_mlx.cli as c, pytorch_to_mlx.cli.general as g\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job inherits it ignored
        "def wait():\n"
        "    '''Wait.\n\n    Example: wait'''\n"
        "    sys.stdout.write('ready\\n'); sys.stdout.flush()\n"
        "    time.sleep(900)\n"
        "g.VERBS['wait'] = wait\n"
        "sys.exit(c.main(['wait']))\n"
    )
    child = subprocess.Popen([COMMAND[0], "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert child.stdout.readline() == b"ready\n"
    time.sleep(0.05)
    child.send_signal(number)
    _, err = child.communicate(timeout=600)
    assert child.returncode == code and err == b""


def test_json_is_json_for_every_general_listing():
    for verb in ("list", "doctor"):
        json.loads(run(verb, "--json").stdout)
