"""Profiles and names of devices: ciphertext of few sizes, and no way back."""

import pytest

from parlour.errors import (
    AuthenticationError,
    Code,
    DecodeError,
    LimitError,
    SecurityStop,
    UsageError,
)
from parlour.identity import profile as module
from parlour.identity.device import MAX_SEALED_NAME
from parlour.identity.device_name import open_device_name, seal_device_name
from parlour.identity.profile import (
    LATE,
    MAX_NAME,
    MAX_PICTURE,
    MAX_SEALED,
    MAX_STATUS,
    MAX_VERSION,
    Profile,
    ProfileKey,
    is_newer,
    next_version,
    open_profile,
    profile_hash,
    seal_profile,
)
from parlour.identity.vault import AccountSecret
from tests.accounts import ANNA, LAPTOP, PHONE
from tests.pairs import seeded

KEY = ProfileKey(bytes(range(32)))
LARGEST = Profile(MAX_VERSION, "𝄞" * MAX_NAME, "𝄞" * MAX_STATUS, bytes(MAX_PICTURE))


def sealed(profile: Profile) -> bytes:
    return seal_profile(profile, key=KEY, account_id=ANNA, random=seeded("profile"))


def opened(data: bytes, version: int, digest: bytes | None = None) -> Profile:
    announced = profile_hash(data) if digest is None else digest
    return open_profile(data, key=KEY, account_id=ANNA, version=version, digest=announced)


@pytest.mark.parametrize(
    "profile",
    [
        Profile(1, "Anna"),
        Profile(2, "", "on holiday", b"\xff\xd8picture\x00\x00"),
        LARGEST,
    ],
    ids=["name", "picture", "largest"],
)
def test_round_trip(profile: Profile) -> None:
    data = sealed(profile)
    assert opened(data, profile.version) == profile
    assert len(data) <= MAX_SEALED


def test_the_largest_profile_has_the_largest_size() -> None:
    assert len(sealed(LARGEST)) == MAX_SEALED


def test_sizes_tell_whether_there_is_a_picture_and_little_else() -> None:
    without = {len(sealed(Profile(n, "x" * n, "y" * n))) for n in range(MAX_NAME)}
    assert len(without) == 1
    sizes = {len(sealed(Profile(1, "", "", bytes(n)))) for n in range(0, MAX_PICTURE, 1000)}
    assert len(sizes) == 5


def test_an_older_profile_is_not_taken_back() -> None:
    old, new = sealed(Profile(3, "Anna")), sealed(Profile(4, "Anna B"))
    assert opened(new, 4).version == 4
    with pytest.raises(SecurityStop) as caught:
        opened(old, 4)
    assert caught.value.code is Code.PROFILE_ROLLBACK


@pytest.mark.parametrize("version", [4, 5, MAX_VERSION])
def test_a_contact_who_has_the_key_can_not_speak_for_the_owner(version: int) -> None:
    announced = profile_hash(sealed(Profile(4, "Anna B")))
    with pytest.raises(SecurityStop) as caught:
        opened(sealed(Profile(version, "somebody else's words")), 4, announced)
    assert caught.value.code is Code.PROFILE_UNANNOUNCED


def test_versions_go_on_for_ever() -> None:
    assert [next_version(version) for version in (0, 1)] == [1, 2]
    assert is_newer(2, 1)
    assert not is_newer(1, 1)
    # What comes late is not taken for what comes after a lie.
    assert not is_newer(100, 100 + LATE - 1)
    assert is_newer(100, 100 + LATE)
    after = next_version(MAX_VERSION)
    assert is_newer(after, MAX_VERSION)
    assert is_newer(after, 7)
    assert next_version(after) == after + 1


@pytest.mark.parametrize("wrong", [{"key": ProfileKey(bytes(32))}, {"account_id": bytes(16)}])
def test_another_key_or_account(wrong: dict[str, object]) -> None:
    data = sealed(Profile(1, "Anna"))
    values: dict[str, object] = {"key": KEY, "account_id": ANNA}
    values |= {"version": 1, "digest": profile_hash(data)}
    with pytest.raises(AuthenticationError):
        open_profile(data, **(values | wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "profile",
    [
        Profile(1, "x" * (MAX_NAME + 1)),
        Profile(1, "", "x" * (MAX_STATUS + 1)),
        Profile(1, "", "", bytes(MAX_PICTURE + 1)),
        Profile(MAX_VERSION + 1, ""),
    ],
)
def test_what_is_too_large_is_not_sealed(profile: Profile) -> None:
    with pytest.raises(LimitError):
        sealed(profile)


@pytest.mark.parametrize(
    ("plaintext", "code"),
    [
        (bytes(8) + b"\x00\x00\x00" + b"\x01", Code.DECODE_TRAILING),
        (bytes(8) + b"\x02\xff\xff\x00\x00", Code.DECODE_MALFORMED),
        (bytes(8) + b"\x40\x41" + b"x" * 65 + bytes(2), Code.DECODE_OVERSIZED),
        (bytes(8) + b"\x00", Code.DECODE_TRUNCATED),
        ((MAX_VERSION + 1).to_bytes(8) + bytes(3), Code.DECODE_OVERSIZED),
    ],
)
def test_a_contact_may_have_sealed_nonsense(plaintext: bytes, code: Code) -> None:
    data = module._BOX.seal(KEY.reveal(), plaintext, bound_to=ANNA, random=seeded("x"))
    with pytest.raises(DecodeError) as caught:
        opened(data, 0)
    assert caught.value.code is code


def test_a_profile_does_not_show_itself() -> None:
    assert "Anna" not in repr(Profile(1, "Anna", "away"))
    assert "away" not in repr(Profile(1, "Anna", "away"))


# --- Names of devices ------------------------------------------------------------------------

SECRET = AccountSecret(b"account secret 1")
DEVICE = PHONE.device_id


def named(name: str) -> bytes:
    return seal_device_name(name, secret=SECRET, account_id=ANNA, device_id=DEVICE)


def name_of(data: bytes, **changes: object) -> str | None:
    values: dict[str, object] = {"secret": SECRET, "account_id": ANNA, "device_id": DEVICE}
    return open_device_name(data, **(values | changes))  # type: ignore[arg-type]


def test_own_devices_read_names() -> None:
    for name in ("laptop", "x", "𝄞" * 64):
        assert name_of(named(name)) == name


def test_names_have_one_size_that_fits_the_list() -> None:
    assert len({len(named("x" * n)) for n in range(1, 65)}) == 1
    assert len(named("x")) == 307 <= MAX_SEALED_NAME


def test_a_name_that_can_not_be_read_is_none() -> None:
    assert name_of(b"") is None
    assert name_of(b"sealed") is None
    assert name_of(named("laptop"), secret=AccountSecret(bytes(16))) is None
    assert name_of(named("laptop"), account_id=bytes(16)) is None
    assert name_of(named("laptop"), device_id=LAPTOP.device_id) is None


@pytest.mark.parametrize("name", ["", "x" * 65, "a\x00b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(LimitError):
        named(name)


def test_ids_have_their_size() -> None:
    with pytest.raises(UsageError):
        seal_device_name("x", secret=SECRET, account_id=b"", device_id=DEVICE)
