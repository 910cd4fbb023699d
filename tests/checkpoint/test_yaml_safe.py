"""YAML that asks for code is read as data or refused (faults 51 to 54)."""

import pytest
from checkpoint.hostile import assert_refused

from pytorch_to_mlx.checkpoint.yaml_safe import Node, check_targets, read_yaml
from pytorch_to_mlx.errors import FormatError, UnsafeError


@pytest.fixture
def read(tmp_path):
    def read(text, **options):
        (tmp_path / "x.yaml").write_text(text)
        return read_yaml(tmp_path / "x.yaml", **options)

    return read


GOOD = """
# in the style of a text-to-speech model's file
sample_rate: 24000
lr: 1e-5
lang: no
flag: true
nothing:
__seed: !apply:random.seed [1986]
sampling: &s !name:pkg.sample
    top_p: 0.8
llm: !new:pkg.llm.Model
    size: !ref <sample_rate>
    inner: !new:pkg.llm.Encoder
        path: !ref <llm[size]>
    sampling: *s
    half: !ref <sample_rate> // 2
stages: [!ref <sampling>, 0x10, -3.5, "10"]
"""


def test_tags_become_inert_nodes(read):
    config = read(GOOD)
    assert (config["sample_rate"], config["lr"], config["lang"], config["flag"]) == (24000, 1e-5, "no", True)
    sampling = Node("!name", "pkg.sample", {"top_p": 0.8})
    assert config["__seed"] == Node("!apply", "random.seed", [1986]) and config["nothing"] is None
    inner = Node("!new", "pkg.llm.Encoder", {"path": 24000})
    half = Node("!ref", "<sample_rate> // 2", None)
    assert config["llm"].args == {"size": 24000, "inner": inner, "sampling": sampling, "half": half}
    assert config["stages"] == [sampling, 16, -3.5, "10"]


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch CANARY']",
        "!!python/object/new:os.system ['touch CANARY']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!!python/object:os.PathLike {}",
        "!!python/tuple [1]",
        "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch CANARY']",
    ],
)
def test_python_tags(read, canary, tmp_path, tag):
    """Fault 51."""
    text = f"a: 1\nb: {tag.replace('CANARY', str(canary))}\n"
    error = assert_refused(lambda: read(text), UnsafeError, tmp_path / "x.yaml", "line 2", "asks to run or open")
    assert error.exit_code == 3


def test_hyperpyyaml_tags_never_run(read, canary):
    """Fault 52."""
    text = f"a: !apply:os.system ['touch {canary}']\nb: !new:subprocess.Popen [touch, {canary}]\nc: !name:os.system\n"
    text += "d: !module:os\ne: !applyref:os.getcwd\n"
    config = read(text)
    assert [config[key].kind for key in "abcde"] == ["!apply", "!new", "!name", "!module", "!applyref"]
    assert config["c"] == Node("!name", "os.system", None)
    assert_refused(lambda: read("a: !include:/etc/hostname\n"), UnsafeError, "/etc/hostname", "open")
    assert_refused(lambda: read("a: !unknown 1\n"), FormatError, "line 1 column 4", "unknown tag '!unknown'")
    assert_refused(lambda: read("a: !!binary aGk=\n"), FormatError, "unknown tag")


def test_targets_are_a_closed_table(read, tmp_path):
    """Fault 53."""
    known = {"pkg.sample", "pkg.llm.Model", "pkg.llm.Encoder", "random.seed"}
    read(GOOD, allowed=known)
    assert_refused(lambda: read(GOOD, allowed=known - {"pkg.llm.Encoder"}), UnsafeError, "'pkg.llm.Encoder'")
    for key in ("_target_", "class_path"):
        tree = {"a": [{key: "os.system", "args": ["x"]}]}
        assert_refused(lambda tree=tree: check_targets(tree, known, where="x"), UnsafeError, "'os.system'")
        check_targets({"a": [{key: "pkg.sample"}]}, known, where="x")


def test_yaml_bombs(read):
    """Fault 54."""
    laughs = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 11))
    assert_refused(lambda: read(laughs), FormatError, "far more time or memory", limit_s=2.0)
    references = "a0: [x]\n" + "".join(f"a{i}: [{', '.join([f'!ref <a{i - 1}>'] * 9)}]\n" for i in range(1, 11))
    assert_refused(lambda: read(references), FormatError, "far more time or memory", limit_s=2.0)
    assert_refused(lambda: read("a: " + "[" * 1000), FormatError, "nested too deep", limit_s=1.0)
    assert_refused(lambda: read("a: " + "{a: " * 1000), FormatError, "nested too deep", limit_s=1.0)
    assert_refused(lambda: read("- " * 5000 + "x"), FormatError, limit_s=1.0)
    assert_refused(lambda: read("a: &a x\nb: [" + "*a, " * 1001 + "]"), FormatError, "too many aliases")
    assert_refused(lambda: read("a: !ref <b>\nb: !ref <a>\n"), FormatError, "refers to itself")
    assert_refused(lambda: read("a: &a [*a]\n"), FormatError)
    assert_refused(lambda: read("a: " + "9" * 5_000_000), FormatError, "bytes of YAML")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: 1\na: 2\n", "line 2 column 1: the key 'a' occurs twice"),
        ("a: {b: 1, b: 2}\n", "'b' occurs twice"),
        ("b: &b {x: 1}\na:\n  <<: *b\n", "merged"),
        ("? [1]\n: 2\n", "not a plain value"),
        ("a: [1\n", "line 2 column 1"),
        ("a: 'x\n", "line"),
        ("a: !ref <b>\n", "names nothing"),
        ("- 1\n", "a mapping is expected"),
        ("", "a mapping is expected"),
        ("a: 1\n---\nb: 2\n", "line 2"),
        ("a: \x07\n", "malformed YAML"),
    ],
)
def test_malformed(read, tmp_path, text, word):
    assert_refused(lambda: read(text), FormatError, tmp_path / "x.yaml", word)
