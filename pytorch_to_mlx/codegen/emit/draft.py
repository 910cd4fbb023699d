"""One method of a generated class while it is written: statements as syntax trees, with names still to be chosen.

Values are named "%1", "%2", …; dynamic sizes "$s0". `naming.py` replaces both by readable names.
"""

import ast
import keyword
from dataclasses import dataclass, field

from .call_tree import Call


@dataclass
class Draft:
    """A method body with provisional names.

    args: the names of its parameters. sizes: dynamic sizes that are passed after them. constants: attributes that
    __init__ sets, in order. helpers: helper functions that it calls. suggestions: a readable name for each provisional
    one. number_results: the sizes among the results of the model. shared_layers: layers whose weight it reads itself.
    method: its name in the class. defaults: of parameters that may be left out. alternatives: names for values
    whose suggested name is in use.
    """

    call: Call
    args: list[str] = field(default_factory=list)
    sizes: list[str] = field(default_factory=list)
    statements: list[ast.stmt] = field(default_factory=list)
    results: list[ast.expr] = field(default_factory=list)
    number_results: list[ast.expr] = field(default_factory=list)
    constants: dict[str, ast.expr] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)
    suggestions: dict[str, str] = field(default_factory=dict)
    shared_layers: set[str] = field(default_factory=set)
    method: str = "__call__"
    defaults: dict[str, ast.expr] = field(default_factory=dict)
    alternatives: dict[str, str] = field(default_factory=dict)

    def fresh_name(self, suggestion: str, alternative: str | None = None) -> str:
        """Return a new provisional name that should become `suggestion`, or where that is in use the alternative."""
        name = f"%{len(self.suggestions) + 1}"
        if alternative is not None:
            self.alternatives[name] = alternative
        self.suggestions[name] = f"{suggestion}_" if keyword.iskeyword(suggestion) else suggestion
        return name

    def assign(self, target: ast.expr, value: ast.expr) -> None:
        """Add the statement `target = value`."""
        self.statements.append(ast.Assign([target], value))

    def trees(self) -> list[ast.stmt | ast.expr]:
        """Return the statements and the results."""
        return [*self.statements, *self.results, *self.number_results]
