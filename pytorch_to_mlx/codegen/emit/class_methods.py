"""The methods of the generated classes: one for each different code of a module's calls."""

import ast

from .draft import Draft
from .naming import choose_names


class ClassMethods:
    """The drafts that become methods, by the path of their module."""

    def __init__(self) -> None:
        self._drafts: dict[str, dict[str, Draft]] = {}  # path -> code, or method of the root -> draft

    def add_call(self, draft: Draft) -> None:
        """Name the method of a submodule's call: `__call__` for its first code, then `call_1` and so on."""
        drafts = self._drafts.setdefault(draft.call.path, {})
        code = _code(draft)
        if code in drafts:
            draft.method = drafts[code].method
            return
        draft.method = f"call_{len(drafts)}" if drafts else "__call__"
        self._rename_constants(draft)
        drafts[code] = draft

    def add_root(self, draft: Draft, method: str) -> None:
        """Make a draft the method of the model itself that has this name."""
        draft.method = method
        self._drafts.setdefault("", {})
        self._rename_constants(draft)
        self._drafts[""][method] = draft

    def by_path(self) -> dict[str, list[Draft]]:
        """Return the drafts of every module."""
        return {path: list(drafts.values()) for path, drafts in self._drafts.items()}

    def _rename_constants(self, draft: Draft) -> None:
        """Rename attributes whose name another method of the class has for another value."""
        others = self._drafts[draft.call.path].values()
        for name, tree in list(draft.constants.items()):
            free = name
            while any(
                free in other.constants and ast.dump(other.constants[free]) != ast.dump(tree) for other in others
            ):
                free += "_"
            if free == name:
                continue
            draft.constants[free] = draft.constants.pop(name)
            for part in (part for tree in draft.trees() for part in ast.walk(tree)):
                if isinstance(part, ast.Attribute) and part.attr == name and isinstance(part.value, ast.Name):
                    part.attr = free if part.value.id == "self" else name


def _code(draft: Draft) -> str:
    """Return the code with its final names: the provisional names of sizes differ between two captures."""
    method = choose_names(draft)
    parts = [*method.statements, *method.results, *draft.constants.values()]
    return "\n".join([str(method.args), *draft.constants, *(ast.dump(part) for part in parts)])
