"""The suite of public repositories: a module of a checkout is converted as it is and compared at every size."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pytorch_to_mlx.bench.coverage import wild
from pytorch_to_mlx.bench.coverage.in_the_wild import wild_page

COMMIT = "0123456789" * 4
CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x.mean(1)) * OTHERS
"""


@pytest.fixture
def case(tmp_path, monkeypatch):
    """Return what measures a module of a checkout: `code` is its file, `shapes` those that it is called with."""
    monkeypatch.setenv(wild.FOLDER, str(tmp_path))
    monkeypatch.setattr(wild, "REPOSITORIES", {})
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # the other tests keep theirs
    monkeypatch.setattr(sys, "path", list(sys.path))

    def measure(code: str, *shapes: tuple[int, ...]) -> wild.WildResult:
        folder = tmp_path / f"someone+net@{COMMIT[:9]}"
        folder.mkdir()
        (folder / "wild_net.py").write_text(code)
        monkeypatch.delitem(sys.modules, "wild_net", raising=False)

        @wild.repository("someone/net", commit=COMMIT, kind="test network")
        def net(folder: Path):
            """Classify sequences."""
            from wild_net import Net

            return Net(), [((torch.randn(shape),), {}) for shape in shapes]

        return wild.measure_repository("someone/net")

    return measure


def test_every_repository_is_at_one_commit_and_says_what_a_user_does():
    for one in wild.repositories().values():
        assert re.fullmatch(r"[0-9a-f]{40}", one.commit) and one.kind, one.name
        use, code = wild.source_text(one)
        assert use.endswith(".") and 0 < len(code.splitlines()) <= 32 and '"""' not in code, one.name


def test_a_module_of_a_checkout_is_right_at_every_size(case):
    result = case(CODE.replace("OTHERS", "2"), (2, 5, 4), (3, 7, 4))
    assert result.ok and not result.reason
    assert [(size["shapes"], size["ok"]) for size in result.sizes] == [("[[2, 5, 4]]", True), ("[[3, 7, 4]]", True)]
    assert result.fixed == [{"text": "axis 2 of x is 4 only", "original": "takes no other"}]  # of a Linear(4, 3)
    assert result.use == "Classify sequences." and result.code.startswith("from wild_net import Net")
    assert list(result.milliseconds) == ["torch", "generated", "patched"] and result.timed_at == "[[3, 7, 4]]"
    page = wild_page([result.as_dict() | {"peak_mib": 7}])
    assert "1 of 1 are right" in page and "from wild_net import Net" in page


def test_a_size_that_the_original_takes_and_the_source_does_not_fails_the_case(case):
    """An answer for each number of steps: the source has that of the example's alone, and says so."""
    result = case(CODE.replace("OTHERS", "{5: 2, 7: 3}.get(int(x.shape[1]), 1)"), (2, 5, 4), (3, 7, 4))
    assert result.converted and result.matched and not result.ok
    assert result.reason.startswith("[[3, 7, 4]]: ") and "7" in result.reason


def test_an_axis_that_the_source_fixes_is_tried_on_the_original(case):
    result = case(CODE.replace("OTHERS", "{5: 2, 7: 3}.get(int(x.shape[1]), 1)"), (2, 5, 4), (3, 5, 4))
    assert [one["original"] for one in result.fixed if "axis 1" in one["text"]] == ["takes others"]
    assert not result.ok and "the original takes others" in result.reason


def test_a_repository_is_fetched_at_its_commit_once(tmp_path, monkeypatch):
    origin = tmp_path / "someone" / "net"
    origin.mkdir(parents=True)
    (origin / "net.py").write_text("SIZE = 3")
    author = ("-c", "user.name=someone", "-c", "user.email=someone@example.com")
    for words in (("init", "-q"), ("add", "net.py"), (*author, "commit", "-qm", "net")):
        subprocess.run(["git", *words], cwd=origin, check=True)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=origin, text=True).strip()
    monkeypatch.setenv(wild.FOLDER, str(tmp_path / "checkouts"))
    monkeypatch.setattr(wild, "GITHUB", tmp_path.as_uri())
    one = wild.Repository("someone/net", commit, "network", lambda folder: None)
    assert (wild.checkout(one) / "net.py").read_text() == "SIZE = 3"
    shutil.rmtree(origin)
    assert wild.checkout(one) == tmp_path / "checkouts" / f"someone+net@{commit[:9]}"


def test_what_cannot_be_fetched_or_imported_is_not_built(case, monkeypatch, tmp_path):
    assert case("import a_package_that_nobody_has", (2, 5, 4)).reason == (
        "not built: ModuleNotFoundError: No module named 'a_package_that_nobody_has'"
    )
    monkeypatch.setenv(wild.FOLDER, str(tmp_path / "empty"))
    monkeypatch.setattr(wild, "GITHUB", (tmp_path / "nowhere").as_uri())
    result = wild.measure_repository("someone/net")
    assert not result.built and result.reason.startswith("not built: CalledProcessError")
    assert list((tmp_path / "empty").iterdir()) == []
