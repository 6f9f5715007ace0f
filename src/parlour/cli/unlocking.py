"""The account's password, for what opens the vault."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from parlour.cli import asking
from parlour.cli.options import HomeOptions
from parlour.errors import AccessError, Code

T = TypeVar("T")

_PROMPT: Final = "Password of your account: "


async def with_account_password(
    options: HomeOptions, password: str | None, act: Callable[[str], Awaitable[T]]
) -> T:
    """Do what needs the account's password; `password` is what opened the home.

    The two are one, unless a keychain opens the home, or the account's was changed elsewhere.
    """
    if password is None:
        return await act(await options.typed_password(_PROMPT))
    try:
        return await act(password)
    except AccessError as problem:
        if problem.code is not Code.LOGIN_FAILED or not asking.somebody():
            raise
    asking.note("The account has another password than this device. It was changed elsewhere.")
    return await act(await asking.hidden(_PROMPT))
