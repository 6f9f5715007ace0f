"""Every label that this package derives or hashes under."""

from __future__ import annotations

from typing import Final

STRETCH: Final = b"parlour/1 login stretch"
DECOY: Final = b"parlour/1 login decoy"
TRANSCRIPT: Final = b"parlour/1 login transcript"
REGISTRATION_TRANSCRIPT: Final = b"parlour/1 login registration transcript"
CLIENT_BINDING: Final = b"parlour/1 login client binding"
SERVER_CONFIRMATION: Final = b"parlour/1 login server confirmation"
SESSION_KEY: Final = b"parlour/1 login session key"
