"""The command line: `pytorch-to-mlx VERB` and `pytorch-to-mlx FAMILY VERB`. Parse, call, print; no logic."""

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import NoReturn

from ..errors import PortError

BROKEN_PIPE, INTERRUPTED, TERMINATED = 141, 130, 143
"""Exit codes of a process that a shell would call ended by SIGPIPE, SIGINT, SIGTERM: returned, never died of."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 done, 1 our bug, 2 wrong use, 3 refused as unsafe, 4 malformed or unsupported input, 5 a check failed,
    6 the machine (disk, permission, memory, a missing extra), 130 interrupted, 141 nobody reads, 143 terminated.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_standard_files()
    signal.signal(signal.SIGTERM, _terminated)
    sys.excepthook = _unexpected
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _nobody_reads()
    except SystemExit as leaving:  # Typer turns a broken pipe under its help page into exit code 1
        if isinstance(leaving.__context__, BrokenPipeError):
            return _nobody_reads()
        raise


def _run(arguments: list[str]) -> int:
    import typer

    from .app import build
    from .output import error

    debug = "--debug" in arguments
    try:
        code = build(arguments)(args=arguments or ["--help"], prog_name="pytorch-to-mlx", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except typer.TyperException as wrong:
        context = getattr(wrong, "ctx", None)
        command = context.command_path if context else "pytorch-to-mlx"
        what = " ".join(wrong.format_message().split()).removesuffix(".")
        return error(f"{what}; see: {command} --help", wrong.exit_code)
    except typer.Abort:
        return INTERRUPTED
    except PortError as problem:
        if debug:
            traceback.print_exc()
        return error(str(problem), problem.exit_code)
    except BrokenPipeError:
        raise
    except (OSError, MemoryError) as problem:
        if debug:
            traceback.print_exc()
        return error(f"the machine refused: {str(problem) or type(problem).__name__}", 6)


def _open_standard_files() -> None:
    """A closed stdin, stdout or stderr becomes the null device, so that no later file takes its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False, encoding="utf-8"))
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="backslashreplace")


def _nobody_reads() -> int:
    """stdout was closed by its reader (`| head`): drop the rest, so that Python's own flush at exit is quiet too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return BROKEN_PIPE


def _terminated(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(TERMINATED)


def _unexpected(kind: type[BaseException], problem: BaseException, trace: TracebackType | None) -> None:
    """Our bug: one line and how to see more. Python then exits with 1."""
    from .output import error

    if "--debug" in sys.argv:
        traceback.print_exception(kind, problem, trace)
    what = " ".join(f"{kind.__name__}: {problem}".split())
    error(f"this is a bug of pytorch-to-mlx: {what}; add --debug to see where", 1)
