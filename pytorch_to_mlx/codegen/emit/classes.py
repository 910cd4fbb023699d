"""From written calls to classes: one per torch class and code; numbers that differ become constructor arguments."""

import ast
import copy
from collections.abc import Iterator, Mapping
from typing import Any

from ..lowering.recorder import to_tree
from ..paths import access, safe_name
from .layers import Leaf
from .loops import roll
from .module_tree import Instance, Place
from .naming import choose_names

LAYER_ARGUMENTS = {
    "Linear": ("in_features", "out_features"),
    "Embedding": ("num_embeddings", "embedding_dim"),
    "LayerNorm": ("dims",),
    "RMSNorm": ("dims",),
    "BatchNorm": ("num_features",),
    "GroupNorm": ("num_groups", "dims"),
} | {f"Conv{kind}{n}d": ("in_channels", "out_channels", "kernel_size") for kind in ("", "Transpose") for n in (1, 2, 3)}


def build_classes(root: Place, class_names: Mapping[str, str], modules: Mapping[str, Any]) -> list[ast.ClassDef]:
    """The classes of a module tree, children first. Sets how every place is constructed."""
    groups: dict[tuple[str, str], list[Instance]] = {}
    height: dict[str, int] = {}
    for place in root.walk():
        height[place.path] = 1 + max((height[child.path] for child in place.children.values()), default=0)
    taken = {place.leaf.layer: 1 for place in root.walk() if place.leaf is not None and place.leaf.replaced}
    classes: list[ast.ClassDef] = []
    generated = sorted((place for place in root.walk() if place.generated), key=lambda p: height[p.path])
    level = 0
    while generated:
        level = height[generated[0].path]
        now = [place for place in generated if height[place.path] == level]
        generated = [place for place in generated if height[place.path] != level]
        groups = {}
        for place in now:
            bodies = [roll(choose_names(written), place) for written in place.bodies]
            instance = Instance(place, list(_init_statements(place)), bodies)
            groups.setdefault((class_names[place.path], instance.skeleton()), []).append(instance)
        for (torch_class, _), instances in groups.items():
            short = torch_class.rpartition(".")[2]
            taken[short] = taken.get(short, 0) + 1
            name = short if taken[short] == 1 else f"{short}{taken[short]}"
            classes.append(_class(name, torch_class, instances, modules))
    return classes


def _init_statements(place: Place) -> Iterator[ast.stmt]:
    for child in place.children.values():
        yield from _construct(access(place.path, child.path), child, place.path)
    constants = {name: tree for written in place.bodies for name, tree in written.constants.items()}
    for name, tree in constants.items():
        yield ast.Assign([ast.Attribute(ast.Name("self"), name)], copy.deepcopy(tree))


def _construct(target: ast.expr, place: Place, owner: str) -> Iterator[ast.stmt]:
    """The statements that make a place: one for a module, a weight or a list; more for containers with names."""
    value = _constructor(place)
    yield ast.Assign([target], value)
    yield from _fill(place, owner)


def _fill(place: Place, owner: str) -> Iterator[ast.stmt]:
    """Attributes of modules that have no code of their own."""
    if place.generated or place.leaf is not None or place.weight is not None:
        if place.leaf is not None and place.children:
            raise AssertionError(f"{place.path} is a layer and has children")
        return
    for child in place.children.values():
        if not place.is_list:
            yield ast.Assign([access(owner, child.path)], _constructor(child))
        yield from _fill(child, owner)


def _constructor(place: Place) -> ast.expr:
    if place.leaf is not None:
        return _layer(place.leaf)
    if place.weight is not None:
        shape = to_tree(list(place.weight.shape))
        keywords = [] if place.weight.dtype_name == "float32" else [ast.keyword("dtype", to_tree(place.weight.dtype))]
        return ast.Call(ast.Attribute(ast.Name("mx"), "zeros"), [shape], keywords)
    if place.generated:
        assert place.construct is not None
        return copy.deepcopy(place.construct)
    if place.is_list:
        return _list(place)
    return ast.Call(ast.Attribute(ast.Name("nn"), "Module"), [], [])


def _layer(leaf: Leaf) -> ast.Call:
    keywords = [ast.keyword(name, to_tree(value)) for name, value in leaf.options.items()]
    layer = ast.Name(leaf.layer) if leaf.replaced else ast.Attribute(ast.Name("nn"), leaf.layer)
    return ast.Call(layer, [to_tree(arg) for arg in leaf.args], keywords)


def _list(place: Place) -> ast.expr:
    """A list of modules; a comprehension where all are made alike, nn.Identity() where the original has no weights."""
    size = max(map(int, place.children)) + 1
    identity = ast.Call(ast.Attribute(ast.Name("nn"), "Identity"), [], [])
    items = [_constructor(place.children[str(i)]) if str(i) in place.children else identity for i in range(size)]
    if size > 1 and len({ast.dump(item) for item in items}) == 1:
        loop = ast.comprehension(ast.Name("_"), ast.Call(ast.Name("range"), [ast.Constant(size)], []), [], 0)
        return ast.ListComp(items[0], [loop])
    return ast.List(items)


def _class(name: str, torch_class: str, instances: list[Instance], modules: Mapping[str, Any]) -> ast.ClassDef:
    """One class for instances with the same code; sets how each of them is constructed."""
    numbers = [instance.numbers() for instance in instances]
    columns = list(zip(*numbers, strict=True))
    vectors = [tuple(constant.value for constant in column) for column in columns]
    template = instances[0]
    attributes = {safe_name(name) for name in template.place.children}
    attributes |= {name for written in template.place.bodies for name in written.constants}
    arguments: dict[tuple, str] = {}
    for vector in vectors:
        if len({repr(value) for value in vector}) > 1 and vector not in arguments:
            same = [column[0] for column, other in zip(columns, vectors, strict=True) if other == vector]
            taken = {*arguments.values(), *attributes}
            arguments[vector] = _argument_name(vector, same, template, instances, modules, taken)
    in_init = {id(part) for tree in template.init for part in ast.walk(tree)}
    kept: set[str] = set()
    replace: dict[int, ast.expr] = {}
    for constant, vector in zip(numbers[0], vectors, strict=True):
        if vector not in arguments:
            continue
        argument = arguments[vector]
        if id(constant) in in_init:
            replace[id(constant)] = ast.Name(argument)
        else:
            replace[id(constant)] = ast.Attribute(ast.Name("self"), argument)
            kept.add(argument)
    swap = _Swap(replace)
    init = [swap.visit(statement) for statement in template.init]
    init[:0] = [
        ast.Assign([ast.Attribute(ast.Name("self"), argument)], ast.Name(argument))
        for argument in arguments.values()
        if argument in kept
    ]
    for index, instance in enumerate(instances):
        keywords = [ast.keyword(argument, to_tree(vector[index])) for vector, argument in arguments.items()]
        instance.place.construct = ast.Call(ast.Name(name), [], keywords)
        instance.place.class_name = name
    parts: list[ast.stmt] = [ast.Expr(ast.Constant(f"{torch_class}"))]
    if init or arguments:
        start = ast.Expr(ast.Call(ast.Attribute(ast.Call(ast.Name("super"), [], []), "__init__"), [], []))
        parts.append(_function("__init__", list(arguments.values()), [start, *init]))
    for body in template.bodies:
        statements = [swap.visit(statement) for statement in body.statements]
        results = [swap.visit(result) for result in body.results]
        result = results[0] if len(results) == 1 else ast.Tuple(results)
        statements.append(ast.Return(result))
        parts.append(_function(body.method, body.args, statements))
    return ast.ClassDef(name, [ast.Attribute(ast.Name("nn"), "Module")], [], parts, [])


def method_arguments(model: ast.ClassDef, method: str) -> list[str]:
    """The parameters of a method of a class, without self."""
    (call,) = [part for part in model.body if isinstance(part, ast.FunctionDef) and part.name == method]
    return [arg.arg for arg in call.args.args[1:]]


def _function(name: str, args: list[str], statements: list[ast.stmt]) -> ast.FunctionDef:
    arguments = ast.arguments([], [ast.arg("self"), *(ast.arg(a) for a in args)], None, [], [], None, [])
    return ast.FunctionDef(name, arguments, statements, [])


class _Swap(ast.NodeTransformer):
    def __init__(self, replace: Mapping[int, ast.expr]) -> None:
        self._replace = replace

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return self._replace.get(id(node), node)


def _argument_name(
    vector: tuple,
    constants: list[ast.Constant],
    template: Instance,
    instances: list[Instance],
    modules: Mapping[str, Any],
    taken: set[str],
) -> str:
    """The name of a number that differs: the original's attribute with these values, or the layer's word for it."""
    found = None
    owners = [modules.get(instance.place.path) for instance in instances]
    if all(owner is not None for owner in owners):
        for name, value in vars(owners[0]).items():
            if type(value) in (int, float) and not name.startswith("_") and name.isidentifier():
                if tuple(getattr(owner, name, None) for owner in owners) == vector:
                    found = name
                    break
    if found is None:
        words = list(dict.fromkeys(word for constant in constants if (word := _context(constant, template))))
        found = words[0] if len(words) == 1 else "dim" if words else "value"
    name, number = safe_name(found), 2
    while name in taken:
        name, number = f"{safe_name(found)}_{number}", number + 1
    return name


def _context(constant: ast.Constant, template: Instance) -> str | None:
    """What the call around a number calls it."""
    for tree in template.trees():
        for part in ast.walk(tree):
            if not isinstance(part, ast.Call):
                continue
            for keyword in part.keywords:
                if keyword.value is constant and keyword.arg:
                    return keyword.arg
            words = LAYER_ARGUMENTS.get(getattr(part.func, "attr", ""), ())
            for word, arg in zip(words, part.args, strict=False):
                if arg is constant:
                    return word
            if isinstance(part.func, ast.Name) and part.func.id == "range":
                return "count" if constant in part.args else None
    return None
