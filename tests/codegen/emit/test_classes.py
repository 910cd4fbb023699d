"""Instances with the same code share a class; numbers that differ become arguments with names from the original."""

import ast
from types import SimpleNamespace

from toy_graph import call, node

from pytorch_to_mlx.codegen.emit.classes import build_classes, method_arguments
from pytorch_to_mlx.codegen.emit.draft import Draft
from pytorch_to_mlx.codegen.emit.layers import Layer
from pytorch_to_mlx.codegen.emit.module_tree import Place
from pytorch_to_mlx.codegen.graph import Meta


def place(path, body="v1", children=None, **constants):
    """A generated module with one argument that returns an expression."""
    draft = Draft(call(path, node("y", "exp.default")))
    draft.args = [draft.fresh_name("x")]
    result = ast.parse(body, mode="eval").body
    for part in ast.walk(result):
        if isinstance(part, ast.Name) and part.id == "v1":
            part.id = "%1"
    draft.results = [result]
    draft.constants = {name: ast.parse(value, mode="eval").body for name, value in constants.items()}
    return Place(path, children or {}, drafts=[draft])


def model(*children, **names):
    """The source of a model with these children, by class."""
    root = place("", children={child.path: child for child in children})
    kinds = {"": "toys.Root", **{child.path: f"toys.{child.path[:-1].title()}" for child in children}}
    originals = {child.path: SimpleNamespace(**names.get(child.path, {})) for child in children}
    classes = build_classes(root, kinds, {"": SimpleNamespace(), **originals}).definitions
    return [ast.unparse(ast.fix_missing_locations(item)) for item in classes]


def test_equal_code_is_one_class():
    norm, root = model(place("norm1"), place("norm2"))
    assert norm == 'class Norm(nn.Module):\n    """toys.Norm"""\n\n    def __call__(self, x):\n        return x'
    assert "self.norm1 = Norm()" in root and "self.norm2 = Norm()" in root


def test_other_code_is_another_class():
    names = [source.partition("(")[0] for source in model(place("norm1"), place("norm2", "-v1"))]
    assert names == ["class Norm", "class Norm2", "class Root"]


def test_numbers_that_differ_have_the_name_of_the_attribute():
    norm, root = model(place("norm1", "v1 * 3 + 1"), place("norm2", "v1 * 4 + 1"), norm1={"gain": 3}, norm2={"gain": 4})
    assert "def __init__(self, gain):" in norm and "self.gain = gain" in norm and "return x * self.gain + 1" in norm
    assert "self.norm1 = Norm(gain=3)" in root and "self.norm2 = Norm(gain=4)" in root


def test_numbers_that_differ_have_the_word_of_the_call_around_them():
    def norm(path, width):
        return place(path, children={"proj": Place(f"{path}.proj", layer=Layer("Linear", (width, 8)))})

    source, root = model(norm("norm1", 2), norm("norm2", 4))
    assert "def __init__(self, in_features, dim):" in source and "self.proj = nn.Linear(in_features, dim)" in source
    assert "self.in_features" not in source  # only __init__ needs it
    assert "self.norm2 = Norm(in_features=4, dim=dim)" in root and "def __init__(self, dim):" in root


def test_equal_numbers_share_an_argument_and_names_do_not_collide():
    norm, root = model(place("norm1", "f(v1, 3, 3, 5)"), place("norm2", "f(v1, 4, 4, 6)"))
    assert "return f(x, self.value, self.value, self.value_2)" in norm
    assert "Norm(value=3, value_2=5)" in root


def test_lists_weights_and_constants():
    items = {str(i): Place(f"stack.{i}", layer=Layer("Linear", (4, 4), {"bias": False})) for i in (0, 1)}
    gaps = {"1": Place("gaps.1", layer=Layer("LayerNorm", (4,)))}
    group = {"scale": Place("group.scale", weight=Meta((2, 3), "float16"))}
    root = place("", children={"stack": Place("stack", items), "gaps": Place("gaps", gaps)}, _half="0.5")
    root.children["group"] = Place("group", group)
    classes = build_classes(root, {"": "toys.Root"}, {"": SimpleNamespace(depth=2)})
    (source,) = classes.definitions
    assert classes.sizes == {"depth": 2, "dim": 4, "scale_size": 2}
    text = ast.unparse(ast.fix_missing_locations(source))
    assert "self.stack = [nn.Linear(dim, dim, bias=False) for _ in range(depth)]" in text
    assert "self.gaps = [nn.Identity(), nn.LayerNorm(dim)]" in text
    assert (
        "self.group = nn.Module()" in text and "self.group.scale = mx.zeros([scale_size, 3], dtype=mx.float16)" in text
    )
    assert text.index("self.group") < text.index("self._half = 0.5")
    assert method_arguments(source, "__call__") == ["x"]


def test_equal_items_in_a_row_are_written_once():
    items = {str(i): Place(f"stack.{i}", layer=Layer("Linear", (4, 4), {"bias": i == 0})) for i in range(5)}
    root = place("", children={"stack": Place("stack", items)})
    (source,) = build_classes(root, {"": "toys.Root"}, {"": SimpleNamespace()}).definitions
    text = ast.unparse(ast.fix_missing_locations(source))
    assert "[nn.Linear(dim, dim, bias=True), *(nn.Linear(dim, dim, bias=False) for _ in range(4))]" in text
