"""What every request must pass before a route sees it: Host, Origin, key, the size and the pace of its body.

A page that a user visits can send requests to the user's own machine. It cannot read the answers of another origin, but
with a name that resolves to 127.0.0.1 (DNS rebinding) it is the same origin: hence the check of Host by whole names.
"""

import asyncio
import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from .refusals import Refusal

MAX_JSON = 1 << 20  # bytes of a body without a file
UPLOADS = ("/v1/audio/transcriptions", "/v1/audio/translations")
OPEN = ("/health", "/ready")  # without a key: what supervises the server has none
LISTS = ("/v1/models", "/v1/audio/models", "/v1/audio/voices", "/languages")
LIBRE = ("/translate", "/languages")  # errors there are {"error": "text"}
KEY_PROTOCOL = "openai-insecure-api-key."  # a browser's WebSocket has no header for the key, but subprotocols
KEY_IN_BODY = "/translate"  # LibreTranslate's clients have it there: the route checks it
BODY_S, BYTES_PER_S = 60.0, 100_000.0  # the time for a body, and more for what has arrived of it
_METHODS, _HEADERS = "GET, POST", "authorization, content-type"


@dataclass(frozen=True)
class Policy:
    """Who may ask. hosts: names of this server, without ports. origins: of pages elsewhere that may use it.

    keys: any of them is asked for, if there are some. takes_any_address: also a literal address is a name of it.
    lists_are_public: models, voices and languages are told without a key.
    """

    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()
    keys: Sequence[str] = ()
    takes_any_address: bool = False
    lists_are_public: bool = False
    max_upload: int = 200_000_000

    def check(self, method: str, path: str, scheme: str, headers: Headers) -> None:
        """Raise Refusal unless a request with these headers may pass."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_host(hosts[0]):
            raise Refusal(400 if len(hosts) != 1 else 403, "this server does not answer to that Host")
        origin = headers.get("origin")
        if origin is not None and method not in ("GET", "HEAD") and origin not in self.origins:
            if origin != f"{scheme}://{hosts[0]}":
                raise Refusal(403, "this server does not answer to pages of that Origin")
        if headers.get("content-encoding", "identity") != "identity":
            raise Refusal(415, "send the body without Content-Encoding")
        is_open = path in OPEN or (self.lists_are_public and path.startswith(LISTS)) or method == "OPTIONS"
        if not is_open and not (path == KEY_IN_BODY and "authorization" not in headers):
            kind, _, key = headers.get("authorization", "").partition(" ")
            self.check_key(key.strip() if kind.lower() == "bearer" else "")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdecimal() or int(length[:20]) > self.max_body(path):
            raise Refusal(413, f"the body is larger than {self.max_body(path)} bytes")

    def check_key(self, key: str) -> None:
        """Raise Refusal for a key that is none of the server's, if it has any."""
        matches = [hmac.compare_digest(key.encode(), known.encode()) for known in self.keys]  # all, whichever matches
        if self.keys and not any(matches):
            raise Refusal(401, "give one of the server's keys: Authorization: Bearer KEY", code="invalid_api_key")

    def max_body(self, path: str) -> int:
        """Return the most bytes that a request may have."""
        return self.max_upload if path in UPLOADS else MAX_JSON

    def _is_host(self, host: str) -> bool:
        if host.startswith("["):
            name, bracket, port = host.partition("]")
            name, port = name + bracket, port.removeprefix(":") if port.startswith(":") else port and "x"
        else:
            name, colon, port = host.partition(":")
            port = port if port or not colon else "x"
        if port and not (port.isascii() and port.isdecimal()):
            return False
        return name.lower() in self.hosts or (self.takes_any_address and _is_address(name.strip("[]")))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def error_response(path: str, refusal: Refusal) -> Response:
    """Return the answer to a request that is refused: OpenAI's object, or LibreTranslate's on its paths."""
    body = {"error": refusal.message} if path in LIBRE else refusal.body()
    return JSONResponse(body, refusal.status, headers=refusal.all_headers())


class Guard:
    """The application behind a policy, as ASGI: no middleware of Starlette's, which would hide that a client left."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self.app, self.policy = app, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, method, path = Headers(scope=scope), scope["method"], scope["path"]
        origin = headers.get("origin")
        if origin in self.policy.origins:
            send = _with_origin(send, origin or "")
        try:
            self.policy.check(method, path, scope["scheme"], headers)
        except Refusal as refusal:
            await error_response(path, refusal)(scope, receive, send)
            return
        if method == "OPTIONS" and origin in self.policy.origins:
            allow = {"access-control-allow-methods": _METHODS, "access-control-allow-headers": _HEADERS}
            await Response(status_code=204, headers=allow)(scope, receive, send)
            return
        await self.app(scope, _limited(receive, self.policy.max_body(path)), send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check what opens a WebSocket: any page can, so that its Origin counts as that of a POST."""
        headers = MutableHeaders(raw=[*scope["headers"]])
        for name in scope.get("subprotocols", ()):
            if name.startswith(KEY_PROTOCOL) and "authorization" not in headers:
                headers["authorization"] = f"Bearer {name.removeprefix(KEY_PROTOCOL)}"
        scheme = scope["scheme"].replace("ws", "http")
        try:
            self.policy.check("POST", scope["path"], scheme, headers)
        except Refusal as refusal:
            answer = error_response(scope["path"], refusal)
            await WebSocket(scope, receive, send).send_denial_response(answer)
            return
        await self.app(scope, receive, send)


def _with_origin(send: Send, origin: str) -> Send:
    async def send_with_origin(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers.add_vary_header("origin")
        await send(message)

    return send_with_origin


def _limited(receive: Receive, max_bytes: int) -> Receive:
    """Return `receive` with bounds on the body's size, whatever its header says, and on the time it takes."""
    n_bytes, started, is_whole = 0, monotonic(), False

    async def receive_limited() -> Message:
        nonlocal n_bytes, is_whole
        if is_whole:
            return await receive()  # until the client leaves
        until = started + BODY_S + n_bytes / BYTES_PER_S
        try:
            async with asyncio.timeout(until - monotonic()):
                message = await receive()
        except TimeoutError:
            raise Refusal(408, "the body did not arrive in time", headers={"connection": "close"}) from None
        n_bytes += len(message.get("body", b""))
        if n_bytes > max_bytes:
            raise Refusal(413, f"the body is larger than {max_bytes} bytes", headers={"connection": "close"})
        is_whole = not message.get("more_body", False)
        return message

    return receive_limited
