"""Questions about the values of tensors that code asks while a module is traced: `if x.isnan().any():`.

An assertion is answered so that it passes, and noted: the source that is written does not check it. Any other
question is refused by torch; it is noted with its line, for the message.
"""

import ast
import dis
import functools
import itertools
import linecache
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.fx.experimental.sym_node import SymNode
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from .guards import short_path
from .optional_steps import answer_that_takes

PACKAGE = str(Path(__file__).parents[1])
# Code of torch that passes a question on; the frame that calls it asks.
INNER = ("/torch/_", "/torch/fx/", "/torch/utils/_", "/torch/export/", "/torch/overrides.py", "/torch/__init__.py")
REPORTS = {"print", "warn", "warning", "info", "debug", "error", "warning_once"}  # calls that change no value
TRANSPARENT = {"CACHE", "COPY", "EXTENDED_ARG", "NOP", "PRECALL", "TO_BOOL"}
LONGEST = 100  # characters of a line that are shown
Place = tuple[int, int]  # line and column


@dataclass
class Questions:
    """dropped: assertions, as "file.py:12: assert …". refused: the last question of a kind that cannot be answered."""

    dropped: dict[str, None] = field(default_factory=dict)
    refused: "Question | None" = None


@dataclass(frozen=True)
class Question:
    """What the code asked, the line, what it does with the answer, and the change that helps."""

    text: str
    where: str
    problem: str
    fix: str


@contextmanager
def watch_questions() -> Iterator[Questions]:
    """Answer the assertions that code makes about values while it is traced, and note the other questions."""
    questions = Questions()
    original_assert = torch._assert
    originals = {name: getattr(SymNode, name) for name in ("guard_bool", "guard_int", "guard_float")}

    def asking(name: str, original: Callable) -> Callable:
        @functools.wraps(original)
        def guard(self: SymNode, file: str, line: int) -> Any:
            if name == "guard_bool" and (answer := _optional_answer(self)) is not None:
                return answer
            try:
                return original(self, file, line)
            except GuardOnDataDependentSymNode:
                frame = _asking_frame()
                if name == "guard_bool" and (answer := _passing_answer(frame, self)) is not None:
                    questions.dropped[
                        f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno}: {_first_line(frame)}"
                    ] = None
                    return answer
                questions.refused = _question(frame, name)
                raise

        return guard

    def torch_assert(condition: Any, message: Any = "") -> None:
        if isinstance(condition, torch.Tensor):
            frame = _asking_frame()
            questions.dropped[f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno}: {_first_line(frame)}"] = None
        else:
            original_assert(condition, message)

    with ExitStack() as stack:
        for name, original in originals.items():
            setattr(SymNode, name, asking(name, original))
            stack.callback(setattr, SymNode, name, original)
        stack.callback(setattr, torch, "_assert", original_assert)
        torch._assert = torch_assert
        yield questions


def _optional_answer(node: SymNode) -> bool | None:
    """Return the answer that takes a step which changes nothing where the code skips it; None for other questions."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_name in ("bool_", "__bool__"):
        frame = frame.f_back
    if frame is None or frame is sys._getframe(2) or "/torch/" in frame.f_code.co_filename:
        return None
    return answer_that_takes(_statement(frame), frame, node.expr)


def _asking_frame() -> FrameType:
    """Return the innermost frame that is neither torch's machinery nor this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_back is not None:
        file = frame.f_code.co_filename
        if not file.startswith(PACKAGE) and not any(part in file for part in INNER):
            return frame
        frame = frame.f_back
    return sys._getframe(1)


def _where(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _first_line(frame: FrameType) -> str:
    statement = _statement(frame)
    text = ast.unparse(statement).partition("\n")[0] if statement else ""
    if not text or len(text) > LONGEST:
        text = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _question(frame: FrameType, name: str) -> Question:
    """Return what a frame asks, in words."""
    statement, where = _statement(frame), _where(frame)
    if name != "guard_bool":
        fix = "compute with tensors instead, as by a mask up to the longest length, or make the number an argument"
        return Question(_first_line(frame), where, "the code makes a plain number of a tensor's values", fix)
    if isinstance(statement, ast.If | ast.While | ast.Assert):
        test = ast.unparse(statement.test)
    elif choice := next((part for part in ast.walk(statement or ast.Pass()) if isinstance(part, ast.IfExp)), None):
        test = ast.unparse(choice.test)
    elif "bool(" in _first_line(frame):
        test = ""
    else:
        problem = "the code needs to know more about a size that depends on the values of tensors"
        fix = "tell torch before this line: torch._check(a.shape[0] == b.shape[0])"
        return Question(_first_line(frame), where, problem, fix)
    fix = "compute both results and choose: torch.where(condition, a, b)"
    text = test if test.startswith("bool(") else f"bool({test})" if test else _first_line(frame)
    return Question(text, where, "the code branches on the values of a tensor", fix)


def _passing_answer(frame: FrameType, node: SymNode) -> bool | None:
    """Return the answer with which an assertion passes; None where the frame does anything else with it."""
    statement = _statement(frame)
    if isinstance(statement, ast.Expr) and _called(statement) == "_assert":
        return True
    if isinstance(statement, ast.Assert):
        failing: list[ast.stmt] = []
    elif isinstance(statement, ast.If) and all(map(_only_reports, statement.body)):
        failing = statement.body
    elif isinstance(statement, ast.If) and statement.orelse and all(map(_only_reports, statement.orelse)):
        failing = statement.orelse
    elif isinstance(statement, ast.If) and (as_with_rows := _unless_empty(statement, node)) is not None:
        return as_with_rows
    else:
        return None
    answers = [answer for answer in (False, True) if _reaches_end(frame, answer, statement, failing)]
    return answers[0] if answers else None


def _only_reports(statement: ast.stmt) -> bool:
    """Tell whether a statement raises, or prints or logs something."""
    return isinstance(statement, ast.Raise | ast.Pass) or _called(statement) in REPORTS


def _called(statement: ast.stmt) -> str:
    """Return the name of the function that a statement calls, if that is all it does; else nothing."""
    if isinstance(statement, ast.Expr) and isinstance(call := statement.value, ast.Call):
        return getattr(call.func, "attr", getattr(call.func, "id", ""))
    return ""


def _unless_empty(statement: ast.If, node: SymNode) -> bool | None:
    """Return what is true of a size over 0, where code skips what has no rows: of no rows, no rows are computed."""
    expr = node.expr
    if not expr.is_Relational or not any(side == 0 for side in expr.args) or statement.orelse:
        return None
    answer = bool(expr.subs(dict.fromkeys(expr.free_symbols, 1)))
    skips = all(isinstance(part, ast.Continue) for part in statement.body)
    runs = answer and not isinstance(statement.test, ast.UnaryOp)
    return answer if skips or runs else None


def _reaches_end(frame: FrameType, answer: bool, statement: ast.stmt, failing: list[ast.stmt]) -> bool:
    """Tell whether code can leave a statement, without running its failing part, from the question it asks now."""
    instructions = list(dis.get_instructions(frame.f_code))
    places = {instruction.offset: index for index, instruction in enumerate(instructions)}
    start = index = max(place for offset, place in places.items() if offset <= frame.f_lasti)  # caches follow a call
    while not _is_branch(instructions[index]):  # what becomes of the answer
        name = instructions[index].opname
        if name == "UNARY_NOT":
            answer = not answer
        elif name not in TRANSPARENT and index != start:
            return False
        index += 1
    waiting, seen = [_next(instructions[index], answer, index, places)], set()
    while waiting:
        index = waiting.pop()
        if index in seen or index >= len(instructions):
            continue
        seen.add(index)
        instruction = instructions[index]
        position = instruction.positions
        if instruction.opname in ("RAISE_VARARGS", "RERAISE", "LOAD_ASSERTION_ERROR"):
            continue
        if position is not None and position.lineno is not None and position.col_offset is not None:
            place = position.lineno, position.col_offset
            if any(_within(place, part) for part in failing):
                continue
            if not _within(place, statement) or any(_within(place, part) for part in _branches(statement)):
                return True
        if instruction.opname.startswith("RETURN"):
            return True
        if _is_branch(instruction):
            waiting += [_next(instruction, choice, index, places) for choice in (False, True)]
        else:
            waiting.append(places[instruction.argval] if "JUMP" in instruction.opname else index + 1)
    return False


def _is_branch(instruction: dis.Instruction) -> bool:
    return "JUMP" in instruction.opname and "IF" in instruction.opname


def _branches(statement: ast.stmt) -> list[ast.stmt]:
    return [*statement.body, *statement.orelse] if isinstance(statement, ast.If) else []


def _next(instruction: dis.Instruction, answer: bool, index: int, places: dict[int, int]) -> int:
    """Return the index of the instruction that a conditional jump goes to."""
    jumps = answer == ("TRUE" in instruction.opname)
    return places[instruction.argval] if jumps else index + 1


def _within(place: Place, node: ast.stmt) -> bool:
    start, end = (node.lineno, node.col_offset), (node.end_lineno or node.lineno, node.end_col_offset or 0)
    return start <= place < end


def _statement(frame: FrameType) -> ast.stmt | None:
    """Return the innermost statement that a frame is in; None where its source is not at hand."""
    line, _, column, _ = next(itertools.islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    if line is None:
        return None
    place = line, column or 0
    statements = [
        node for node in _statements(frame.f_code.co_filename) if isinstance(node, ast.stmt) and _within(place, node)
    ]
    return statements[-1] if statements else None  # ast.walk names outer ones first


@functools.cache
def _statements(file: str) -> list[ast.AST]:
    try:
        return list(ast.walk(ast.parse("".join(linecache.getlines(file)))))
    except SyntaxError:
        return []
