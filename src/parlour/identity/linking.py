"""Linking a new device: one person's two devices, a hostile server, and a stranger's camera.

::

    new device                                              old device
    NewDeviceLink.show(…) or .scan(text, …)                 OldDeviceLink.scan(text, …) or .show(…)
    offer            device, HPKE key, H(nonce)         →   receive_offer(offer)
    receive_greeting(greeting)                          ←   greeting   account key, name, nonce
    opening          nonce                              →   receive_opening(opening)
    code  "123 456"      ——  a person compares both  ——     code  "123 456"
    (yes, or no, which ends it)                         →
                                                            signs the device list, then
    receive_answer(answer) → LinkedAccount              ←   answer(…)  account secret, contacts

Both first messages carry an HMAC under the secret of the code, and whoever shows the code has put
the hash of its own first message into it. So nobody without the code can say anything; and who
photographed it can't speak for the device that showed it. What is left is to speak for the one that
scanned, with the server's help: to the old device as a new one, or to the new one as an account.
Against that stands the six-digit code over both first messages. The new device is bound to its
nonce before it sees the old one's, and shows it only after the old one has spoken: whoever sits
between has one guess in a million, and a wrong one shows.

The answer is encrypted by HPKE in mode PSK, so that the secret of the code guards it against
quantum computers as well, and is signed by the account key that the greeting named. A code is good
for ten minutes by the clock of each side and for one new device.

Spec: RFC 9180 (HPKE), RFC 6189 §4.4.1 (why a short code needs a hash commitment).
"""

from parlour.identity.link_new import NewDeviceLink
from parlour.identity.link_old import OldDeviceLink
from parlour.identity.link_side import (
    LIFETIME_SECONDS,
    LinkedAccount,
    OwnAccount,
    ServerPlace,
)
from parlour.identity.link_text import LinkSecret, LinkText, Shows

__all__ = [
    "LIFETIME_SECONDS",
    "LinkSecret",
    "LinkText",
    "LinkedAccount",
    "NewDeviceLink",
    "OldDeviceLink",
    "OwnAccount",
    "ServerPlace",
    "Shows",
]
