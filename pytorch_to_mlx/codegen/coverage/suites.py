"""The suites: which cases there are, and how one of them is measured."""

from collections.abc import Callable
from typing import Any

SUITES = ("ops", "huggingface", "timm", "packages")


def names(suite: str) -> list[str]:
    """Every case of a suite, by a rule that nobody can bend: none is left out because it fails."""
    if suite == "ops":
        from .op_samples import entries, entry_name

        return [entry_name(entry) for entry in entries()]
    if suite == "huggingface":
        from .huggingface import model_types

        return model_types()
    if suite == "timm":
        from .timm_models import families

        return families()
    from .packages import MODULES

    return sorted(MODULES)


def measure(suite: str, name: str, limit: int | None = None) -> dict[str, Any]:
    """One case. limit: at most so many samples of an op."""
    if suite == "ops":
        from .op_samples import entries, entry_name
        from .op_samples import measure as measure_entry

        entry = next(entry for entry in entries() if entry_name(entry) == name)
        return measure_entry(entry, limit).as_dict()
    return _module(suite)(name).as_dict()


def _module(suite: str) -> Callable[[str], Any]:
    if suite == "huggingface":
        from .huggingface import measure_type

        return measure_type
    if suite == "timm":
        from .timm_models import measure_family

        return measure_family
    from .packages import measure_package

    return measure_package
