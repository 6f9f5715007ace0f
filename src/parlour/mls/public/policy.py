"""What an application decides about its groups.

Spec: RFC 9420 §5.3.1 (credentials), §7.2 and §7.3 (lifetimes), §12.4.3.2 (external commits).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from parlour.mls.public.credentials import CredentialValidator
from parlour.mls.public.limits import MAX_LIFETIME
from parlour.mls.public.validation.signatures import SignatureMemo


class LifetimeCheck(Enum):
    """Where the lifetime of a leaf that others sent is compared with the clock.

    What we send ourselves is always compared (§7.3: "the client MUST verify").
    """

    NEVER = "never"
    """For members: a commit that won is followed, though a key package in it expired on the way."""
    ADDS = "adds"
    """In key packages and Add proposals. For delivery services, which read at the time of sending.
    """
    ALWAYS = "always"
    """Also in trees, which may hold members that joined long ago."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Of one application. `max_lifetime` is in seconds; None takes any.

    Who is who has to be decided; everything by which somebody gets in without a member's own
    doing is off until it is wanted.
    """

    credentials: CredentialValidator
    lifetimes: LifetimeCheck = LifetimeCheck.NEVER
    max_lifetime: int | None = MAX_LIFETIME
    listed_suites: bool = True
    """Whether leaves have to list the group's suite. Some clients fill the list carelessly."""
    external_commits: bool = False
    """Whether somebody may join by a commit of its own."""
    resync: bool = False
    """Whether an external commit may remove the joiner's former leaf: whoever convinces
    `credentials` throws that member out."""
    new_member_proposals: bool = False
    """Whether strangers may ask to be added; the next commit of any member covers it."""
    memo: SignatureMemo | None = field(default=None, compare=False, repr=False)
    """Remembers signatures that have verified: those of a key package are met again in a commit."""
    send_before_commit: bool = False
    """Whether application data may be sent while others' proposals wait for a commit (§12.4)."""
