"""This device's key packages: made a few at a time, published, erased once they were used.

Each device has one signature key for its leaves, certified by its device key, and of each suite
some key packages that are good for one Welcome, and a last resort that is good for many. Private
keys are on disk before a package leaves; one for a single use leaves once, so that a server that
got it and whose answer was lost never has it twice. Times (`now`) are in milliseconds,
unless said otherwise.

A server that says that all are used up, or that gives all of them to one asker, makes us keep no
more than `MAX_KEPT`; those who add us are given the last resort then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from parlour.conversation.leaf_certificates import (
    LINKED_LIFETIME,
    PRIMARY_LIFETIME,
    certificate_of,
)
from parlour.conversation.records import LeafKey, OwnKeyPackage
from parlour.conversation.requests import ServerRequest
from parlour.conversation.state import Memory
from parlour.errors import TransportError
from parlour.mls.private.identity import KEY_PACKAGE_LIFETIME, Identity, KeyPackageBundle
from parlour.mls.public.capabilities import Capabilities
from parlour.mls.public.credentials import BasicCredential
from parlour.mls.public.suites import CipherSuiteId, find_suite
from parlour.mls.public.types import CredentialType, ExtensionType
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.roster import EXTENSION_TYPE, LeafCertificate
from parlour.wire.groups import KeyPackageCount, KeyPackageUpload, PublishKeyPackages
from parlour.wire.kinds import Kind
from parlour.wire.server import Nothing

PUBLISH_KEY_PACKAGES: Final = "publish-key-packages"
COUNT_KEY_PACKAGES: Final = "count-key-packages"

# How many of each suite a server has of us, without the last resort. All sign with Ed25519. Those
# of X-Wing are five times as large.
SUPPLY: Final[Mapping[int, int]] = {
    CipherSuiteId.X25519_AES128GCM_SHA256_ED25519: 50,
    CipherSuiteId.XWING_AES128GCM_SHA256_ED25519: 20,
}
# Made in one step: 4 ms under X-Wing.
STEP: Final = 10
_HOUR: Final = 3_600
_DAY: Final = 24 * _HOUR
# Seconds: TRUST §4. Older than this, neither a leaf's key nor a key package is used.
LEAF_KEY_LIFETIME: Final = 90 * _DAY
# A certificate says when we were last here, to the day.
CERTIFICATE_AGE: Final = _DAY
# Of a certificate's life: key packages with an older one make way for new ones.
_RENEWED_AT: Final = 3
# A stream of the server keeps a Welcome about this long.
LAST_RESORT_KEPT: Final = 30 * _DAY
MAX_LAST_RESORTS: Final = 20
# Who asks for our last resort again and again makes us renew it so often at most.
LAST_RESORT_AGE: Final = _HOUR
# Of one suite, for a single use: ten supplies that somebody fetched and added nobody with.
MAX_KEPT: Final = 500


class KeyPackages:
    """All key packages of this device, and what its leaves sign with."""

    def __init__(self, memory: Memory, supply: Mapping[int, int] = SUPPLY) -> None:
        self._memory = memory
        self._supply = supply
        # What the server has is known on this connection; what is still to be made, by suite.
        self._is_counted = False
        self._wanted: dict[int, int] = {}
        # What is being published, by reference.
        self._upload: dict[bytes, KeyPackageUpload] = {}
        # Whether there may be something to publish: looked for in all of them, so not at each step.
        self._is_due = True
        self._maintained_at: int | None = None

    # --- Who we are in groups ------------------------------------------------------------

    def identity(self, suite: int, now: int) -> Identity:
        """What our leaves in groups of a suite say and sign with.

        `now` is in seconds. The certificate is renewed when it is a day old, the key after 90 days;
        a group whose leaf has another one is to be updated.
        """
        leaf_key = self._leaf_key(now)
        signer = Ed25519PrivateKey(leaf_key.key)
        public = signer.public_key.to_bytes()
        capabilities = Capabilities(
            cipher_suites=tuple(self._supply),
            extensions=(int(ExtensionType.LAST_RESORT_KEY_PACKAGE), EXTENSION_TYPE),
            credentials=(int(CredentialType.BASIC),),
        ).with_grease(lambda size: public[:size])  # the same for as long as the key
        credential = BasicCredential(leaf_key.certificate)
        return Identity(credential, signer, find_suite(suite), capabilities)

    @property
    def certificate_lifetime(self) -> int:
        """For how many seconds our device is believed to be there, without a sign of life."""
        first = self._memory.contacts[self._memory.account_id].head.devices[0]
        is_first = first.device_id == self._memory.device_id
        return PRIMARY_LIFETIME if is_first else LINKED_LIFETIME

    def _leaf_key(self, now: int) -> LeafKey:
        """The key, with a certificate of today; `now` is in seconds."""
        known = self._memory.leaf_key
        if known is None or not _is_younger(known.made_at, LEAF_KEY_LIFETIME, now):
            # Packages under the old key stay good; all are renewed.
            key = Ed25519PrivateKey.generate(self._memory.random)
            known = LeafKey(key.to_bytes(), now, self._certificate(key, now))
        elif not _is_younger(_issued_at(known), CERTIFICATE_AGE, now):
            known.certificate = self._certificate(Ed25519PrivateKey(known.key), now)
        else:
            return known
        self._memory.put_leaf_key(known)
        return known

    def distrust_leaf_key(self) -> None:
        """Sign with another leaf key from now on: somebody may have the one that we have."""
        known = self._memory.leaf_key
        if known is not None:
            known.made_at = 0
            self._memory.put_leaf_key(known)

    def _certificate(self, key: Ed25519PrivateKey, now: int) -> bytes:
        return LeafCertificate.create(
            self._memory.local.signature_key,
            account=self._memory.account_id,
            leaf_key=key.public_key.to_bytes(),
            issued_at=now,
            expires_at=now + self.certificate_lifetime,
        ).encode()

    # --- Use -----------------------------------------------------------------------------

    def find(self, reference: bytes) -> KeyPackageBundle | None:
        """The key package that a Welcome names, with its private keys."""
        package = self._memory.key_packages.get(reference)
        return None if package is None else KeyPackageBundle.from_bytes(package.data)

    def bundles_for(self, references: Iterable[bytes]) -> list[KeyPackageBundle]:
        """Those of them that are ours and not used up."""
        found = (self.find(reference) for reference in references)
        return [bundle for bundle in found if bundle is not None]

    def used(self, reference: bytes, now: int) -> None:
        """A Welcome was taken: erase the private keys, in the same step as the group is kept.

        A last resort is kept for others who were given it, and replaced at once.
        """
        package = self._memory.key_packages.get(reference)
        if package is None:
            return
        if not package.last_resort:
            self._memory.delete_key_package(reference)
        elif not package.replaced_at:
            self._make_last_resort(package.suite, now // 1000)

    def for_wish(self, suite: int, now: int) -> KeyPackageBundle:
        """One for members to add us again by, which no server has; `now` is in seconds."""
        return self._make(suite, now)

    # --- Issue and erase -----------------------------------------------------------------

    def connected(self) -> None:
        """Another connection began: it is asked what the server has."""
        self._is_counted = False
        self._is_due = True
        self._wanted.clear()
        # What was under way may have arrived or not: it does not leave again.
        self._upload.clear()

    @property
    def is_published(self) -> bool:
        """Whether the server has said on this connection that it has what it should."""
        if not self._is_counted or self._upload or any(self._wanted.values()):
            return False
        current = (self._last_resort(suite) for suite in self._supply)
        packages = self._memory.key_packages
        return all(each is not None and packages[each].published for each in current)

    def maintain(self, now: int) -> None:
        """Erase what is old, at most daily; then it is counted again."""
        recent = self._maintained_at is not None and (
            self._maintained_at <= now < self._maintained_at + 1000 * _DAY
        )
        if recent:
            return
        self._maintained_at = now
        self._is_counted = False
        for reference, package in list(self._memory.key_packages.items()):
            kept = LAST_RESORT_KEPT if package.replaced_at else KEY_PACKAGE_LIFETIME
            if not _is_younger(package.replaced_at or package.made_at, kept, now // 1000):
                self._memory.delete_key_package(reference)

    def counted(self, counts: Sequence[KeyPackageCount], now: int) -> None:
        """The server says what it has of us."""
        self._is_counted = self._is_due = True
        known = {count.suite: count for count in counts}
        for suite in self._supply:
            count = known.get(suite) or KeyPackageCount(suite, 0, False, False)
            self._plan(count, now // 1000)

    def _plan(self, count: KeyPackageCount, now: int) -> None:
        leaf_key = self._leaf_key(now)
        suite, supply = count.suite, self._supply[count.suite]
        fresh_for = self.certificate_lifetime // _RENEWED_AT
        last_resort = self._last_resort(suite)
        if last_resort is None or not _is_younger(leaf_key.sets.get(suite, 0), fresh_for, now):
            # Those with older certificates run out at the server with them.
            leaf_key.sets[suite] = now
            self._memory.put_leaf_key(leaf_key)
            self._wanted[suite] = supply
            self._make_last_resort(suite, now)
            return
        few = count.left < (supply + 1) // 2
        self._wanted[suite] = supply - count.left if few else 0
        self._check_last_resort(last_resort, count, now)

    def _check_last_resort(self, current: bytes, count: KeyPackageCount, now: int) -> None:
        package = self._memory.key_packages[current]
        if not count.last_resort:
            # It has lost it, or never got it.
            package.published = False
            self._memory.put_key_package(current, package)
        elif count.last_resort_used and not _is_younger(package.made_at, LAST_RESORT_AGE, now):
            self._make_last_resort(count.suite, now)

    def _last_resort(self, suite: int) -> bytes | None:
        """The reference of the current one."""
        for reference, package in self._memory.key_packages.items():
            if package.last_resort and package.suite == suite and not package.replaced_at:
                return reference
        return None

    def _make_last_resort(self, suite: int, now: int) -> None:
        current = self._last_resort(suite)
        if current is not None:
            package = self._memory.key_packages[current]
            package.replaced_at = now
            self._memory.put_key_package(current, package)
        replaced = [
            (package.replaced_at, reference)
            for reference, package in self._memory.key_packages.items()
            if package.suite == suite and package.replaced_at
        ]
        for _, reference in sorted(replaced)[: -MAX_LAST_RESORTS + 1]:
            self._memory.delete_key_package(reference)
        self._make(suite, now, last_resort=True)
        self._is_due = True

    def _make(self, suite: int, now: int, *, last_resort: bool = False) -> KeyPackageBundle:
        """Make one and keep it."""
        identity = self.identity(suite, now)
        certified_for = certificate_of(identity.credential).expires_at - now
        bundle = KeyPackageBundle.create(
            identity,
            now,
            # Who adds a device by it has to believe that the device is there.
            lifetime=min(KEY_PACKAGE_LIFETIME, certified_for),
            last_resort=last_resort,
            random=self._memory.random,
        )
        package = OwnKeyPackage(
            suite=suite,
            made_at=now,
            data=bundle.to_bytes(),
            last_resort=last_resort,
            published=not last_resort,
        )
        self._memory.put_key_package(bundle.reference, package)
        return bundle

    # --- Needs ---------------------------------------------------------------------------

    def requests(self, now: int) -> list[ServerRequest]:
        """Count once per connection, then publish a few at a time."""
        if not self._is_counted:
            return [ServerRequest((COUNT_KEY_PACKAGES, b""), Kind.COUNT_KEY_PACKAGES, Nothing())]
        if self._is_due and not self._upload:
            self._upload = self._next_upload(now // 1000)
            self._is_due = bool(self._upload)
        if not self._upload:
            return []
        body = PublishKeyPackages(packages=list(self._upload.values()))
        return [ServerRequest((PUBLISH_KEY_PACKAGES, b""), Kind.PUBLISH_KEY_PACKAGES, body)]

    def _next_upload(self, now: int) -> dict[bytes, KeyPackageUpload]:
        upload = {
            reference: _described(KeyPackageBundle.from_bytes(package.data))
            for reference, package in self._memory.key_packages.items()
            if not (package.published or package.replaced_at)
        }
        for suite in self._wanted:
            room = min(STEP - len(upload), MAX_KEPT - self._kept(suite), self._wanted[suite])
            for _ in range(room):
                self._wanted[suite] -= 1
                bundle = self._make(suite, now)
                upload[bundle.reference] = _described(bundle)
        return upload

    def _kept(self, suite: int) -> int:
        packages = self._memory.key_packages.values()
        return sum(1 for each in packages if each.suite == suite and not each.last_resort)

    # --- Answers -------------------------------------------------------------------------

    def published(self) -> None:
        """The server has what was uploaded."""
        for reference in self._upload:
            package = self._memory.key_packages.get(reference)
            if package is not None and not package.published:
                package.published = True
                self._memory.put_key_package(reference, package)
        self._upload = {}

    def failed(self, problem: Exception) -> None:
        """It was refused, and is tried again, or nobody knows: then it is counted again."""
        if isinstance(problem, TransportError):
            self.connected()


def _described(bundle: KeyPackageBundle) -> KeyPackageUpload:
    """A key package as the server takes it."""
    key_package = bundle.key_package
    lifetime = key_package.leaf_node.content.lifetime
    return KeyPackageUpload(
        suite=key_package.cipher_suite,
        last_resort=key_package.is_last_resort,
        expires_at=0 if lifetime is None else lifetime.not_after,
        data=bundle.message,
    )


def _issued_at(leaf_key: LeafKey) -> int:
    return LeafCertificate.decode(leaf_key.certificate).issued_at


def _is_younger(made_at: int, than: int, now: int) -> bool:
    """Whether something is not so old, in seconds, nor of a future that a wrong clock has seen."""
    return made_at - _DAY <= now < made_at + than
