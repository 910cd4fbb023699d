"""What clients are told when something is wrong: a status and OpenAI's error object, nothing of this machine."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..cancel import Cancelled
from ..errors import PortError

KINDS = {400: "invalid_request_error", 401: "authentication_error", 429: "overloaded_error", 503: "overloaded_error"}
STATUS_OF_EXIT_CODE = {2: 400, 3: 400, 4: 400, 5: 500, 6: 503}
RETRYABLE = (408, 429, 503)
_log = logging.getLogger(__name__)


@dataclass
class Refusal(Exception):
    """An answer that is not the one that was asked for. param: the field of the request that is wrong."""

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Return the `type` of OpenAI's error object."""
        return KINDS.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")

    def body(self) -> dict[str, Any]:
        """Return OpenAI's error object."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def all_headers(self) -> dict[str, str]:
        """Return the headers: the clients of OpenAI try again unless they are told that it is of no use."""
        return {"x-should-retry": "true" if self.status in RETRYABLE else "false", **self.headers}


def overloaded(message: str, retry_after_s: float) -> Refusal:
    """Return the refusal of work that there is no room for now. retry_after_s: 1 to 30 are told."""
    return Refusal(503, message, headers={"retry-after": str(max(1, min(30, round(retry_after_s))))})


def refusal_of(problem: BaseException) -> Refusal:
    """Return what a client is told of a problem: of ours what is wrong, but no path; of a bug nothing.

    A fix that names an option is for the command line, and left out.
    """
    if isinstance(problem, Refusal):
        return problem
    if isinstance(problem, PortError):
        fix = f"; {problem.fix}" if problem.fix and "--" not in problem.fix and "/" not in problem.fix else ""
        return Refusal(STATUS_OF_EXIT_CODE.get(problem.exit_code, 500), " ".join(f"{problem.what}{fix}".split()))
    if isinstance(problem, Cancelled):
        return overloaded("the server is stopping", 5)
    if isinstance(problem, (OSError, MemoryError)):
        return Refusal(503, "the machine cannot do this now", headers={"retry-after": "30"})
    return Refusal(500, "this is a bug of the server; its log says more")


def answer_to(problem: BaseException) -> Refusal:
    """Return what a client is told of a problem, and log one that is the server's, with its traceback."""
    refusal = refusal_of(problem)
    if refusal.status >= 500 and not isinstance(problem, (Refusal, Cancelled)):
        _log.error("a request failed", exc_info=problem)
    return refusal
