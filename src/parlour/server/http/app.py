"""The application: REST made from the table of operations, and the sockets beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from parlour.errors import Code, error
from parlour.server.caller import Caller
from parlour.server.core import Core
from parlour.server.faults import as_ours, error_body, http_status
from parlour.server.http.requests import address_of, bearer_token, read_body
from parlour.server.limits import REFUSALS_PER_ADDRESS
from parlour.server.sessions import Grant
from parlour.server.socket.starlette import MEDIA_TYPE, socket_routes
from parlour.wire.frames import encode_body
from parlour.wire.kinds import OPERATIONS, Door, Kind
from parlour.wire.server import Nothing

REST_DOORS: Final = frozenset({Door.PUBLIC, Door.TOKEN})
# What a browser must never do with an answer, should one be led here.
_HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


def make_app(core: Core) -> Starlette:
    """All routes of a server."""

    async def info(request: Request) -> Response:
        return await _serve(core, request, Kind.SERVER_INFO, encode_body(Nothing()))

    routes: list[BaseRoute] = [
        Route("/healthz", _health, methods=["GET"]),
        Route("/v1/server", info, methods=["GET"]),
    ]
    for kind, operation in OPERATIONS.items():
        if operation.door in REST_DOORS:
            routes.append(Route(f"/v1/{operation.name}", _endpoint(core, kind), methods=["POST"]))
    routes.extend(socket_routes(core))
    return Starlette(routes=routes, exception_handlers={HTTPException: _no_route})


def _endpoint(core: Core, kind: Kind) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of one operation."""

    async def endpoint(request: Request) -> Response:
        return await _serve(core, request, kind, None)

    return endpoint


async def _health(request: Request) -> Response:
    """Whether the process answers; says nothing else."""
    return PlainTextResponse("ok")


async def _serve(core: Core, request: Request, kind: Kind, body: bytes | None) -> Response:
    try:
        core.check_open()
        address = core.pseudonyms.of_address(address_of(request))
        grant = await _authenticate(core, request, kind, address)
        if body is None:
            body = await read_body(request)
        caller = Caller(address, grant=grant)
        answer = await core.dispatcher.answer(kind, body, caller, REST_DOORS)
    except ClientDisconnect:
        return Response(status_code=400)
    except Exception as fault:  # every request gets an answer
        ours = as_ours(fault, core.log, door="rest", kind=kind.name)
        return _response(encode_body(error_body(ours)), http_status(ours))
    return _response(encode_body(answer), 200)


async def _authenticate(core: Core, request: Request, kind: Kind, address: str) -> Grant | None:
    """The grant where one is needed; checked before the body is read."""
    if OPERATIONS[kind].door is Door.PUBLIC:
        return None
    try:
        return await core.sessions.authenticate(bearer_token(request))
    except Exception:
        core.limits.hit("refusals", REFUSALS_PER_ADDRESS, address)
        raise


async def _no_route(request: Request, fault: Exception) -> Response:
    status = fault.status_code if isinstance(fault, HTTPException) else 404
    return _response(encode_body(error_body(error(Code.USAGE_INVALID))), status)


def _response(body: bytes, status: int) -> Response:
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=_HEADERS)
