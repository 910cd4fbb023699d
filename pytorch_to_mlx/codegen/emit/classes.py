"""The classes of a generated model: one per torch class and code; numbers that differ become constructor arguments."""

import ast
import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..lowering.recorder import to_tree
from ..paths import access, safe_name
from .layers import Layer
from .loops import roll_loops
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
    """Return the classes of a module tree, children first, and set how every place is constructed.

    class_names: the torch class of every generated module, modules: the torch modules, both by path.
    """
    height: dict[str, int] = {}
    for place in root.walk():
        height[place.path] = 1 + max((height[child.path] for child in place.children.values()), default=0)
    user_layers = [place.layer for place in root.walk() if place.layer is not None and place.layer.user_module]
    n_classes = {layer.class_name: 1 for layer in user_layers}  # by name
    classes: list[ast.ClassDef] = []
    generated = sorted((place for place in root.walk() if place.is_generated), key=lambda p: height[p.path])
    for _, places in itertools.groupby(generated, key=lambda p: height[p.path]):
        groups: dict[tuple[str, str], list[Instance]] = {}
        for place in places:
            methods = [roll_loops(choose_names(draft), place) for draft in place.drafts]
            instance = Instance(place, list(_init_statements(place)), methods)
            groups.setdefault((class_names[place.path], instance.skeleton()), []).append(instance)
        for (torch_class, _), instances in groups.items():
            short = torch_class.rpartition(".")[2]
            n_classes[short] = n_classes.get(short, 0) + 1
            name = short if n_classes[short] == 1 else f"{short}{n_classes[short]}"
            classes.append(_class(name, torch_class, instances, modules))
    return classes


def _init_statements(place: Place) -> Iterator[ast.stmt]:
    for child in place.children.values():
        yield from _construct(access(place.path, child.path), child, place.path)
    constants = {name: tree for draft in place.drafts for name, tree in draft.constants.items()}
    for name, tree in constants.items():
        yield ast.Assign([ast.Attribute(ast.Name("self"), name)], copy.deepcopy(tree))


def _construct(target: ast.expr, place: Place, owner: str) -> Iterator[ast.stmt]:
    """Yield the statements that make a place: one for a module, a weight or a list, more for containers with names."""
    yield ast.Assign([target], _constructor(place))
    yield from _fill(place, owner)


def _fill(place: Place, owner: str) -> Iterator[ast.stmt]:
    """Yield the statements that set the attributes of a module without code of its own."""
    if place.is_generated or place.layer is not None or place.weight is not None:
        if place.layer is not None and place.children:
            raise AssertionError(f"{place.path} is a layer and has children")
        return
    for child in place.children.values():
        if not place.is_list:
            yield ast.Assign([access(owner, child.path)], _constructor(child))
        yield from _fill(child, owner)


def _constructor(place: Place) -> ast.expr:
    if place.layer is not None:
        return _layer(place.layer)
    if place.weight is not None:
        shape = to_tree(list(place.weight.shape))
        keywords = [] if place.weight.dtype_name == "float32" else [ast.keyword("dtype", to_tree(place.weight.dtype))]
        return ast.Call(ast.Attribute(ast.Name("mx"), "zeros"), [shape], keywords)
    if place.is_generated:
        assert place.construct is not None
        return copy.deepcopy(place.construct)
    if place.is_list:
        return _list(place)
    return ast.Call(ast.Attribute(ast.Name("nn"), "Module"), [], [])


def _layer(layer: Layer) -> ast.Call:
    keywords = [ast.keyword(name, to_tree(value)) for name, value in layer.options.items()]
    name = layer.class_name
    kind = ast.Name(name) if layer.user_module is not None else ast.Attribute(ast.Name("nn"), name)
    return ast.Call(kind, [to_tree(arg) for arg in layer.args], keywords)


def _list(place: Place) -> ast.expr:
    """Return a list of modules: a comprehension if all are alike; nn.Identity() where the original has no weights."""
    size = max(map(int, place.children)) + 1
    identity = ast.Call(ast.Attribute(ast.Name("nn"), "Identity"), [], [])
    items = [_constructor(place.children[str(i)]) if str(i) in place.children else identity for i in range(size)]
    if size > 1 and len({ast.dump(item) for item in items}) == 1:
        loop = ast.comprehension(ast.Name("_"), ast.Call(ast.Name("range"), [ast.Constant(size)], []), [], 0)
        return ast.ListComp(items[0], [loop])
    return ast.List(items)


def _class(name: str, torch_class: str, instances: list[Instance], modules: Mapping[str, Any]) -> ast.ClassDef:
    """Return one class for instances with the same code, and set how each of them is constructed."""
    template = instances[0]
    columns = list(zip(*(instance.numbers() for instance in instances), strict=True))
    arguments = _constructor_arguments(columns, instances, modules)
    for index, instance in enumerate(instances):
        keywords = [ast.keyword(argument, to_tree(values[index])) for values, argument in arguments.items()]
        instance.place.construct = ast.Call(ast.Name(name), [], keywords)
    in_init = {id(part) for tree in template.init for part in ast.walk(tree)}
    attributes: set[str] = set()  # arguments that methods use
    expressions: dict[int, ast.expr] = {}  # id of a number in the template -> what stands in its place
    for column in columns:
        argument = arguments.get(_values(column))
        if argument is None:
            continue
        number = id(column[0])
        if number in in_init:
            expressions[number] = ast.Name(argument)
        else:
            expressions[number] = ast.Attribute(ast.Name("self"), argument)
            attributes.add(argument)
    replace = _ReplaceNumbers(expressions)
    init = [replace.visit(statement) for statement in template.init]
    init[:0] = [
        ast.Assign([ast.Attribute(ast.Name("self"), argument)], ast.Name(argument))
        for argument in arguments.values()
        if argument in attributes
    ]
    parts: list[ast.stmt] = [ast.Expr(ast.Constant(f"{torch_class}"))]
    if init or arguments:
        start = ast.Expr(ast.Call(ast.Attribute(ast.Call(ast.Name("super"), [], []), "__init__"), [], []))
        parts.append(_function("__init__", list(arguments.values()), [start, *init]))
    for method in template.methods:
        statements = [replace.visit(statement) for statement in method.statements]
        results = [replace.visit(result) for result in method.results]
        result = results[0] if len(results) == 1 else ast.Tuple(results)
        parts.append(_function(method.name, method.args, [*statements, ast.Return(result)], method.defaults))
    return ast.ClassDef(name, [ast.Attribute(ast.Name("nn"), "Module")], [], parts, [])


Column = tuple[ast.Constant, ...]  # one number of the code, in every instance


def _values(column: Column) -> tuple:
    return tuple(constant.value for constant in column)


def _constructor_arguments(
    columns: list[Column], instances: list[Instance], modules: Mapping[str, Any]
) -> dict[tuple, str]:
    """Return a name for every number that differs between instances, by its values in them.

    Numbers that are equal in every instance share an argument.
    """
    place = instances[0].place
    attributes = {safe_name(name) for name in place.children}
    attributes |= {name for draft in place.drafts for name in draft.constants}
    arguments: dict[tuple, str] = {}
    for values in map(_values, columns):
        if len({repr(value) for value in values}) > 1 and values not in arguments:
            constants = [column[0] for column in columns if _values(column) == values]
            names_in_use = {*arguments.values(), *attributes}
            arguments[values] = _argument_name(values, constants, instances, modules, names_in_use)
    return arguments


def method_arguments(model: ast.ClassDef, method: str) -> list[str]:
    """Return the parameters of a method of a class, without self; those with a default value with it."""
    (function,) = [part for part in model.body if isinstance(part, ast.FunctionDef) and part.name == method]
    names, defaults = [arg.arg for arg in function.args.args[1:]], function.args.defaults
    for place, default in enumerate(defaults, len(names) - len(defaults)):
        if not isinstance(default, ast.Constant) or default.value is not None:  # noise is drawn if it is left out
            names[place] = f"{names[place]}={ast.unparse(ast.fix_missing_locations(default))}"
    return names


def _function(
    name: str, args: list[str], statements: list[ast.stmt], defaults: Sequence[ast.expr] = ()
) -> ast.FunctionDef:
    arguments = ast.arguments([], [ast.arg("self"), *(ast.arg(a) for a in args)], None, [], [], None, list(defaults))
    return ast.FunctionDef(name, arguments, statements, [])


class _ReplaceNumbers(ast.NodeTransformer):
    def __init__(self, expressions: Mapping[int, ast.expr]) -> None:
        self._expressions = expressions

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return self._expressions.get(id(node), node)


def _argument_name(
    values: tuple,
    constants: list[ast.Constant],
    instances: list[Instance],
    modules: Mapping[str, Any],
    names_in_use: set[str],
) -> str:
    """Return the original's attribute with these values, or what the call around the number calls it."""
    base = _original_attribute(values, [modules.get(instance.place.path) for instance in instances])
    if base is None:
        words = list(dict.fromkeys(word for constant in constants if (word := _keyword_of(constant, instances[0]))))
        base = words[0] if len(words) == 1 else "dim" if words else "value"
    name, number = safe_name(base), 2
    while name in names_in_use:
        name, number = f"{safe_name(base)}_{number}", number + 1
    return name


def _original_attribute(values: tuple, originals: list[Any]) -> str | None:
    """Return the number among the attributes of the original modules that has these values in them."""
    if any(original is None for original in originals):
        return None
    for name, value in vars(originals[0]).items():
        if type(value) in (int, float) and not name.startswith("_") and name.isidentifier():
            if tuple(getattr(original, name, None) for original in originals) == values:
                return name
    return None


def _keyword_of(constant: ast.Constant, instance: Instance) -> str | None:
    """Return what the call around a number calls it."""
    for tree in instance.trees():
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
