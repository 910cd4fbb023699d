"""Start the server: load the models, open the socket, serve until a signal, and end what runs."""

import ipaddress
import logging
import os
import re
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import MachineError, MissingExtraError, UsageError
from ..model_source import find_model, load
from ..progress import note

KEY_VARIABLE = "PYTORCH_TO_MLX_API_KEY"
STOP_S = 30.0  # for what runs when the server is told to stop
MAX_CONNECTIONS = 256
_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


def serve(
    models: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    api_key_file: Path | None = None,
    insecure: bool = False,
    allow_host: Sequence[str] = (),
    allow_origin: Sequence[str] = (),
    public_lists: bool = False,
    queue: int = 16,
    timeout: float = 1800.0,
    keep_loaded: float = -1.0,
    memory_limit: str | None = None,
    max_characters: int = 100_000,
    max_upload: str = "200MB",
    max_audio: float = 4 * 3600.0,
    wyoming: str | None = None,
) -> None:
    """Serve models over HTTP until the process is told to stop; the options are those of the command.

    Raises: UsageError for wrong options, what loading raises, MissingExtraError without the packages.
    """
    _require_packages()
    from .context import Context, Limits
    from .models import Catalogue, describe, parse_models
    from .worker import Worker

    policy = _policy(
        host, _keys(api_key_file), insecure, allow_host, allow_origin, public_lists, parse_size(max_upload)
    )
    for name, value in (("queue", queue), ("timeout", timeout), ("max_characters", max_characters)):
        if not value > 0:
            raise UsageError(f"{name} is {value}", fix="give a number above 0")
    sources = parse_models(models)
    loaders = {name: partial(load, source) for name, source in sources.items()}
    memory_bytes = None if memory_limit is None else parse_size(memory_limit)
    with ExitStack() as sockets:
        wyoming_listener = None if wyoming is None else sockets.enter_context(_bind_wyoming(wyoming, insecure))
        listener = sockets.enter_context(_bind(host, port))
        for source in sources.values():
            find_model(source)  # a name that means nothing is found before any weights are read
        worker = Worker(
            loaders,
            n_waiting_max=queue,
            timeout_s=timeout,
            keep_loaded_s=None if keep_loaded < 0 else keep_loaded,
            memory_bytes=memory_bytes,
        )
        try:
            catalogue = Catalogue(worker.load_all(describe))
            context = Context(catalogue, worker, Limits(max_characters, max_audio), policy, wyoming_listener)
            name = f"[{host}]" if ":" in host else host
            note(f"serving {', '.join(sources)} at http://{name}:{listener.getsockname()[1]}")
            if wyoming is not None:
                note(f"Wyoming at {wyoming}, without a key: whoever reaches this address may use it")
            _run(context, listener)
        finally:
            worker.close()


def parse_size(text: str) -> int:
    """Return the bytes of a size such as 8GB or 500 MiB. Raises: UsageError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([KMG]I?B)?", text.upper())
    if not match or not float(match[1]) > 0:
        raise UsageError(f"'{text}' is not a size", fix="write it as 8GB or 500MB")
    return int(float(match[1]) * _UNITS[match[2] or ""])


def _run(context: Any, listener: socket.socket) -> None:
    import uvicorn

    from .app import build
    from .observer import JsonFormatter
    from .realtime.route import UVICORN_OPTIONS

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Stop at the first signal and end well; uvicorn's own would send itself the signal again at the end."""

            def stop(number: int, frame: Any) -> None:
                context.worker.is_draining = True
                self.handle_exit(number, frame)

            before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger(__package__)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").addHandler(handler)
    config = uvicorn.Config(
        build(context),
        http="h11",
        **UVICORN_OPTIONS,
        loop="asyncio",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=int(STOP_S),
    )
    Server(config).run([listener])


def _bind(host: str, port: int) -> socket.socket:
    """Return a socket that has the address, so that a port in use is found before the models are loaded."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise MachineError(f"cannot listen at {host}:{port} ({reason})", fix="choose another port") from error
    return listener


def _bind_wyoming(address: str, insecure: bool) -> socket.socket:
    from .wyoming.server import parse_address

    host, port = parse_address(address)
    if not (host == "localhost" or _address(host).is_loopback) and not insecure:
        raise UsageError(f"{host} can be reached by others, and Wyoming has no key", fix="give --insecure to allow it")
    return _bind(host, port)


def _require_packages() -> None:
    try:
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "starlette", "serve", needed_for="serve") from error


def _keys(path: Path | None) -> list[str]:
    """Return the keys: lines of a file, or the environment's; an argument would be seen by all users of the machine."""
    if path is None:
        key = os.environ.get(KEY_VARIABLE, "").strip()
        return [key] if key else []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("the keys cannot be read", where=path, fix="give a text file, a key on each line") from error
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys or not all(key.isascii() and key.isprintable() for key in keys):
        raise UsageError("there is no key in it that a header can hold", where=path, fix="write one on each line")
    return keys


def _policy(
    host: str,
    keys: list[str],
    insecure: bool,
    allow_host: Sequence[str],
    allow_origin: Sequence[str],
    public_lists: bool,
    max_upload: int,
) -> Any:
    from .guard import Policy

    if any(origin == "*" or not re.fullmatch(r"https?://[^/*\s]+", origin) for origin in allow_origin):
        raise UsageError("an origin is written as https://example.org", fix="* is not taken: name each")
    address = None if host == "localhost" else _address(host)
    is_local = host == "localhost" or address.is_loopback  # type: ignore[union-attr]
    if not is_local and not keys and not insecure:
        raise UsageError(f"{host} can be reached by others", fix="give --api-key-file, or --insecure for no key at all")
    own = f"[{host}]" if ":" in host else host
    return Policy(
        hosts=frozenset(name.lower() for name in (*_LOCAL, own, *allow_host)),
        origins=frozenset(allow_origin),
        keys=keys,
        takes_any_address=address is not None and address.is_unspecified,
        lists_are_public=public_lists,
        max_upload=max_upload,
    )


def _address(host: str) -> "ipaddress.IPv4Address | ipaddress.IPv6Address":
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        raise UsageError(f"'{host}' is not an address of this machine", fix="such as 127.0.0.1 or 0.0.0.0") from None
