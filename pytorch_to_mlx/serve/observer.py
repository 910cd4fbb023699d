"""Count and log requests: sizes, times and names, never a text or a sound."""

import json
import logging
from time import monotonic, time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .worker import Worker

_log = logging.getLogger(__name__)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class Observer:
    """The metrics of one server. paths: those that are counted by their name, all others are one."""

    def __init__(self, worker: Worker, paths: frozenset[str]) -> None:
        self.paths = paths
        self.registry = CollectorRegistry()
        self.requests = Counter("requests", "Requests", ["path", "status"], registry=self.registry)
        self.seconds = Histogram("request_seconds", "From a request to its end", ["path"], registry=self.registry)
        for name, text, read in (
            ("jobs_waiting", "Jobs in the queue", lambda: len(worker.waiting)),
            ("jobs_open", "Jobs that were begun", lambda: len(worker.open) + (worker.running is not None)),
            ("work_seconds", "Seconds of work of the jobs that ended", lambda: worker.work_s),
        ):
            Gauge(name, text, registry=self.registry).set_function(read)


class Observed:
    """An application whose requests are counted and logged, as ASGI."""

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self.app, self.observer = app, observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, n_bytes = monotonic(), 0, 0

        async def send_observed(message: Message) -> None:
            nonlocal status, n_bytes
            status = message.get("status", status)
            n_bytes += len(message.get("body", b""))
            await send(message)

        path = scope["path"] if scope["path"] in self.observer.paths else "other"
        try:
            await self.app(scope, receive, send_observed)
        finally:
            seconds = monotonic() - started
            self.observer.requests.labels(path, str(status)).inc()
            self.observer.seconds.labels(path).observe(seconds)
            entry = {"method": scope["method"], "path": path, "status": status, "bytes": n_bytes}
            _log.info("request", extra={**entry, "seconds": round(seconds, 3)})


class JsonFormatter(logging.Formatter):
    """One line of JSON for each record."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"time": round(time(), 3), "level": record.levelname.lower(), "message": record.getMessage()}
        entry |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)
