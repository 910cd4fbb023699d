"""Objects of a pickle that nothing here can make: they are left unread, never imported or called."""

from typing import Any

from .budget import Budget

# Modules whose functions run or load code, or touch files and the network: a file that names one is refused.
_REFUSED = frozenset(
    "os posix nt subprocess sys builtins __builtin__ runpy importlib pip cProfile profile pydoc ctypes idlelib marshal "
    "pickle _pickle codecs timeit pdb bdb trace code asyncio distutils venv webbrowser shutil tempfile socket urllib "
    "requests aiohttp http lib2to3 ensurepip _osx_support _aix_support zipimport operator functools types pty commands "
    "multiprocessing threading signal platform getattr eval exec".split()
)
_REFUSED_NUMPY = ("numpy.f2py", "numpy.testing", "numpy.load", "numpy.fromfile", "numpy.distutils")
_PLAIN = frozenset(f"builtins.{kind}" for kind in "set frozenset list dict tuple complex range slice bytearray".split())
_PLAIN |= {name.replace("builtins", "__builtin__") for name in _PLAIN} | {
    "collections.defaultdict",
    "functools.partial",
}


# How Python 3.11.0 to 3.11.3 write a member of an enum: getattr(its class, its name).
GETATTR = ("builtins.getattr", "__builtin__.getattr")


class Placeholder(str):
    """Stands for an object that was not made; the text is the name of its class or function."""


def may_stand(name: str) -> bool:
    """Return whether a global off the allow-list may be left unread; else the whole file is refused.

    Of PyTorch that is so for classes only: its functions make tensors or load files.
    """
    root, last = name.partition(".")[0], name.rpartition(".")[2]
    if name in _PLAIN or name in GETATTR:
        return True
    if root == "torch":
        return last[:1].isupper()
    return root not in _REFUSED and not name.startswith(_REFUSED_NUMPY)


def is_member(arguments: Any) -> bool:
    """Return whether the arguments of `getattr` are a class left unread and the name of its member."""
    return (
        isinstance(arguments, tuple)
        and len(arguments) == 2
        and isinstance(arguments[0], Placeholder)
        and type(arguments[1]) is str
    )


def holds(value: Any, kinds: tuple[type, ...], budget: Budget, depth: int = 0) -> bool:
    """Return whether one of `kinds` lies in nested containers."""
    if isinstance(value, kinds):
        return True
    if not isinstance(value, dict | list | tuple):
        return False
    budget.spend(1 + len(value))
    if depth > 64:
        return True  # as if it did: it is refused
    children = value.values() if isinstance(value, dict) else value
    return any(holds(child, kinds, budget, depth + 1) for child in children)
