"""The classes of a generated model: one per torch class; where instances differ, by constructor arguments."""

import ast
import contextlib
import copy
import dataclasses
import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..lowering.recorder import to_tree
from ..paths import access
from .class_groups import give_options, group_places, mark_loops
from .constructor import Constructor
from .flags import find_flags
from .interfaces import Callee, DropNone, Interface, adapt_calls
from .layers import Layer
from .literals import Replace, literal_value
from .loops import roll_loops
from .merge_methods import SharedMethod, merge_methods
from .module_tree import Instance, Place
from .naming import choose_names
from .variants import Condition, Inseparable, Slot, insert, write

LONG_RUN = 3  # equal modules in a list


@dataclass
class Classes:
    """Generated classes, the model's own last, and how the methods of every module are called.

    sizes: what the model is constructed with.
    """

    definitions: list[ast.ClassDef] = field(default_factory=list)
    interfaces: dict[Callee, Interface] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)


def build_classes(root: Place, class_names: Mapping[str, str], modules: Mapping[str, Any]) -> Classes:
    """Return the classes of a module tree, children first, and set how every place is constructed.

    class_names: the torch class of every generated module, modules: the torch modules, both by path.
    """
    user_layers = [place.layer for place in root.walk() if place.layer is not None and place.layer.user_module]
    n_classes = {layer.class_name: 1 for layer in user_layers}  # by name
    classes = Classes()
    for torch_class, places in group_places(root, class_names):
        give_options(places)
        mark_loops(places)
        for draft in (draft for place in places for draft in place.drafts):
            adapt_calls(draft, classes.interfaces)
        short = torch_class.rpartition(".")[2]
        for one in _shared_classes(_variants(places), modules):
            n_classes[short] = n_classes.get(short, 0) + 1
            name = short if n_classes[short] == 1 else f"{short}{n_classes[short]}"
            classes.definitions.append(one.write(name, torch_class))
            classes.interfaces |= one.interfaces()
    assert isinstance(root.construct, ast.Call)
    classes.sizes = {str(keyword.arg): literal_value(keyword.value) for keyword in root.construct.keywords}
    return classes


def _shared_classes(variants: list[list[Instance]], modules: Mapping[str, Any]) -> "list[SharedClass]":
    """Return as few classes as the variants can have: a variant joins the first class from which it can be told."""
    with contextlib.suppress(Inseparable):
        return [SharedClass(variants, modules)]
    groups: list[list[list[Instance]]] = []
    shared: list[SharedClass] = []
    for variant in variants:
        for place, group in enumerate(groups):
            with contextlib.suppress(Inseparable):
                shared[place] = SharedClass([*group, variant], modules)
                group.append(variant)
                break
        else:
            groups.append([variant])
            shared.append(SharedClass([variant], modules))
    return shared


def _variants(places: Sequence[Place]) -> list[list[Instance]]:
    """Return the instances of a torch class, those together whose code is equal but for its literals."""
    variants: dict[str, list[Instance]] = {}
    for place in places:
        methods = [roll_loops(choose_names(draft), place) for draft in place.drafts]
        instance = Instance(place, list(_init_statements(place)), methods)
        variants.setdefault(instance.skeleton(), []).append(instance)
    return list(variants.values())


class SharedClass:
    """A class for instances of one torch class. variants: those together whose code is equal but for its literals.

    Raises: Inseparable if variants cannot be told apart.
    """

    def __init__(self, variants: list[list[Instance]], modules: Mapping[str, Any]) -> None:
        self._variants = variants
        self._flags = find_flags(variants, modules) if len(variants) > 1 else []
        self._constructor = Constructor(variants, modules)
        slots: list[Slot] = []
        for variant, instances in enumerate(variants):
            slots = insert(slots, variant, instances[0].init)
        self._init = write(slots, [flag.condition(of_self=False) for flag in self._flags], {}, len(variants))
        self._methods: dict[str, SharedMethod] = {}
        self._owners: dict[str, list[int]] = {}  # the variants that have a method
        original = modules.get(variants[0][0].place.path)
        forward = getattr(original, "forward", None)
        signature = list(inspect.signature(forward).parameters) if forward is not None else []
        names = dict.fromkeys(method.name for instances in variants for method in instances[0].methods)
        for name in names:
            methods = {v: one for v, instances in enumerate(variants) if (one := instances[0].method(name)) is not None}
            flags = [_of_variants(flag.condition(of_self=True), list(methods)) for flag in self._flags]
            self._methods[name] = merge_methods(list(methods.values()), flags, signature)
            self._owners[name] = list(methods)

    def interfaces(self) -> Iterator[tuple[Callee, Interface]]:
        """Yield how each method of each instance is called."""
        for name, method in self._methods.items():
            for variant, interface in zip(self._owners[name], method.interfaces, strict=True):
                for instance in self._variants[variant]:
                    yield (instance.place.path, name), interface

    def write(self, name: str, torch_class: str) -> ast.ClassDef:
        """Return the class, and set how every instance is constructed."""
        in_methods = {one.flag for method in self._methods.values() for one in method.code.conditions} - {None}
        in_init = {one.flag for one in self._init.conditions} - {None}
        for flag in self._flags:
            if flag.name in in_methods | in_init:
                self._constructor.add_flag(flag, is_attribute=flag.name in in_methods)
        self._constructor.add_literals(self._init.slots, list(range(len(self._variants))), in_init=True)
        for method_name, method in self._methods.items():
            self._constructor.add_literals(method.code.slots, self._owners[method_name], in_init=False)
        self._constructor.finish(name)
        replace = Replace(self._constructor.expressions)
        init = [DropNone().visit(replace.visit(statement)) for statement in self._init.statements]
        attributes: list[ast.stmt] = [
            ast.Assign([ast.Attribute(ast.Name("self"), argument)], ast.Name(argument))
            for argument in self._constructor.attributes
        ]
        parts: list[ast.stmt] = [ast.Expr(ast.Constant(f"{torch_class}"))]
        if init or self._constructor.names:
            start = ast.Expr(ast.Call(ast.Attribute(ast.Call(ast.Name("super"), [], []), "__init__"), [], []))
            defaults = [ast.Constant(None)] * self._constructor.n_optional
            parts.append(_function("__init__", self._constructor.names, [start, *attributes, *init], defaults))
        for method_name, method in self._methods.items():
            statements = [DropNone().visit(replace.visit(statement)) for statement in method.code.statements]
            defaults = [ast.Constant(None)] * method.n_optional
            if len(self._variants) == 1:
                defaults = self._variants[0][0].methods[list(self._methods).index(method_name)].defaults or defaults
            parts.append(_function(method_name, method.args, statements, defaults))
        return ast.ClassDef(name, [ast.Attribute(ast.Name("nn"), "Module")], [], parts, [])


def _of_variants(condition: Condition, variants: list[int]) -> Condition:
    """Return a condition with its truth for some of the variants only."""
    return dataclasses.replace(condition, truth=tuple(condition.truth[variant] for variant in variants))


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
    """Return a list of modules: equal ones in a row by a comprehension; nn.Identity() where there are no weights."""
    size = max(map(int, place.children)) + 1
    identity = ast.Call(ast.Attribute(ast.Name("nn"), "Identity"), [], [])
    items = [_constructor(place.children[str(i)]) if str(i) in place.children else identity for i in range(size)]
    runs = [list(run) for _, run in itertools.groupby(items, key=ast.dump)]
    if len(runs) == 1 and (size > 1 or place.is_loop):
        return ast.ListComp(items[0], [_repetition(size)])
    parts: list[ast.expr] = []
    for run in runs:
        is_long = len(run) >= LONG_RUN
        parts += [ast.Starred(ast.GeneratorExp(run[0], [_repetition(len(run))]))] if is_long else run
    return ast.List(parts)


def _repetition(count: int) -> ast.comprehension:
    return ast.comprehension(ast.Name("_"), ast.Call(ast.Name("range"), [ast.Constant(count)], []), [], 0)


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
