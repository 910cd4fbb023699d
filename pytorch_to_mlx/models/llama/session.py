"""A conversation line by line, from a terminal or a pipe."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ...errors import UsageError
from ...progress import note
from .tokenizer import Message

RESET, EXIT = "/reset", "/exit"


@dataclass
class Session:
    """What was said so far. options: those of `decoding.Options`."""

    pipeline: Any
    system: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, with the system prompt."""
        self.messages = [] if self.system is None else [{"role": "system", "content": self.system}]

    def answer(self, text: str) -> Iterator[str]:
        """Yield the answer to a message as it comes; a message that is refused is not part of the conversation."""
        asked = [*self.messages, {"role": "user", "content": text}]
        pieces = []
        for piece in self.pipeline.stream(asked, **self.options):
            pieces.append(piece)
            yield piece
        self.messages = [*asked, {"role": "assistant", "content": "".join(pieces)}]


@dataclass(frozen=True)
class Answer:
    """One answer, shown while it is written."""

    session: Session
    text: str

    def pieces(self) -> Iterator[str]:
        """Yield the parts of the answer as they come."""
        yield from self.session.answer(self.text)

    def to_dict(self) -> dict[str, str]:
        """Return the message and its answer, for JSON."""
        return {"message": self.text, "answer": "".join(self.session.answer(self.text))}


def conversation(pipeline: Any, system: str | None, options: dict[str, Any]) -> Iterator[Answer]:
    """Yield an answer for each line of stdin. Raises: UsageError for a closed stdin, and a model without template."""
    if sys.stdin is None:
        raise UsageError("stdin is closed")
    session = Session(pipeline, system, options)
    pipeline.tokenizer.chat_ids(
        [*session.messages, {"role": "user", "content": "?"}]
    )  # refuses before anything is said
    is_terminal = sys.stdin.isatty()
    while True:
        if is_terminal:
            sys.stderr.write("> ")
            sys.stderr.flush()
        line = sys.stdin.readline()
        text = line.strip()
        if not line or text == EXIT:
            return
        if text == RESET:
            session.reset()
            note("a new conversation")
        elif text:
            yield Answer(session, text)
