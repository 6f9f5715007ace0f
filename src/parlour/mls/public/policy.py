"""What an application decides about its groups.

Spec: RFC 9420 §5.3.1 (credentials), §7.2 and §7.3 (lifetimes), §12.4.3.2 (external commits).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from parlour.mls.public.credentials import TRUST_EVERYONE, CredentialValidator
from parlour.mls.public.limits import MAX_LIFETIME


class LifetimeCheck(Enum):
    """Where the lifetime of a leaf that came by a key package is compared with the clock."""

    NEVER = "never"
    ADDS = "adds"
    """In key packages and Add proposals. A tree may hold members that joined long ago."""
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Policy:
    """Of one application. `max_lifetime` is in seconds; None takes any."""

    credentials: CredentialValidator = TRUST_EVERYONE
    lifetimes: LifetimeCheck = LifetimeCheck.ADDS
    max_lifetime: int | None = MAX_LIFETIME
    listed_suites: bool = True
    """Whether leaves have to list the group's suite. Some clients fill the list carelessly."""
    external_commits: bool = True
    resync: bool = True
    """Whether an external commit may remove the joiner's former leaf."""
    new_member_proposals: bool = True
    send_before_commit: bool = False
    """Whether application data may be sent while others' proposals wait for a commit (§12.4)."""


DEFAULT_POLICY: Final = Policy()
