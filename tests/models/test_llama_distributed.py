"""One model in two processes on this machine, which mlx.launch starts and which talk over a ring of sockets."""

import json
import subprocess
import sys

import pytest
from command import ROOT
from golden.text_weights import golden
from models.test_llama import saved

pytest.importorskip("mlx_lm", reason="the extra llama is not installed")

from pytorch_to_mlx.errors import UsageError
from pytorch_to_mlx.models.llama.distributed import is_first, processes, shard

LAUNCH = "import sys; from mlx._distributed_utils.launch import main; sys.exit(main())"


@pytest.mark.full
def test_two_processes_give_the_tokens_of_one(tmp_path):
    """Four heads and two groups of keys, half of them in each process; only the first shows the text."""
    folder = saved(tmp_path, "llama_default")
    script = tmp_path / "run.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from pytorch_to_mlx.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    arguments = ["llama", "generate", "--model", str(folder), "--raw", "--max-tokens", "16", "--json", "--quiet"]
    launcher = [sys.executable, "-c", LAUNCH, "-n", "2", "--backend", "ring", "--python", sys.executable]
    done = subprocess.run(
        [*launcher, str(script), *arguments, "w01 w17 w23 w08"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    (row,) = golden("tiny_llama_default")["greedy"]
    answer = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])
    assert answer["text"] == " ".join(f"w{n:02}" for n in row[4:]), done.stdout


class Group:
    def __init__(self, size):
        self._size = size

    def size(self):
        return self._size


def test_models_that_do_not_divide():
    class Divided:
        def shard(self, group):
            raise AssertionError("was divided")

    with pytest.raises(UsageError, match="9 num_attention_heads do not divide among 2 processes"):
        shard(Divided(), {"model_type": "llama", "num_attention_heads": 9}, Group(2))
    with pytest.raises(UsageError, match="mlx-lm does not divide mamba"):
        shard(object(), {"model_type": "mamba"}, Group(2))


def test_a_process_alone(monkeypatch):
    monkeypatch.delenv("MLX_RANK", raising=False)
    assert processes() is None and is_first()
