"""Every rule of validation, by an id that code, test and documentation share.

The sentence of each stands beside its check, after the id; `docs/mls-rules.md` lists them all, and
each has a test named for it, whose message breaks this rule and no other.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from parlour.errors import Code, PeerError


class Rule(StrEnum):
    """What a message, a tree or a group must fulfil. The first two digits are the RFC's chapter."""

    # §2, §13: encoding
    EXTENSIONS_UNIQUE = "V1301"
    GROUP_EXTENSIONS_SUPPORTED = "V1302"
    # §5.3: credentials
    CREDENTIAL_ACCEPTED = "V0501"
    CREDENTIAL_X509_KEY = "V0502"
    CREDENTIAL_SUCCESSOR = "V0503"
    # §6: framing
    EXTERNAL_SENDER_KNOWN = "V0601"
    EXTERNAL_SENDER_CONTENT = "V0602"
    EXTERNAL_SENDER_PROPOSAL = "V0603"
    NEW_MEMBER_COMMIT_CONTENT = "V0604"
    NEW_MEMBER_PROPOSAL_CONTENT = "V0605"
    SENDER_IS_MEMBER = "V0606"
    CONTENT_SIGNATURE = "V0607"
    MEMBERSHIP_TAG = "V0608"
    APPLICATION_IS_PRIVATE = "V0609"
    PADDING_IS_ZERO = "V0610"
    SENDER_DATA_LEAF = "V0611"
    GROUP_ID = "V0613"
    EPOCH = "V0614"
    MESSAGE_VERSION = "V0615"
    # §7: ratchet tree
    UNMERGED_SORTED = "V0701"
    CAPABILITIES_EXTENSIONS = "V0702"
    CAPABILITIES_CREDENTIAL = "V0703"
    LIFETIME_TOTAL = "V0704"
    LEAF_SIGNATURE = "V0705"
    LEAF_REQUIRED_CAPABILITIES = "V0706"
    LEAF_CREDENTIAL_SUPPORTED = "V0707"
    LEAF_SUPPORTS_CREDENTIALS = "V0708"
    LEAF_LIFETIME = "V0709"
    LEAF_SOURCE_KEY_PACKAGE = "V0710"
    LEAF_SOURCE_UPDATE = "V0711"
    LEAF_SOURCE_COMMIT = "V0712"
    UPDATE_FRESH_KEY = "V0713"
    SIGNATURE_KEY_UNIQUE = "V0714"
    ENCRYPTION_KEY_UNIQUE = "V0715"
    PATH_LENGTH = "V0716"
    PATH_CIPHERTEXTS = "V0717"
    PATH_DERIVED_KEYS = "V0718"
    PATH_PARENT_HASH = "V0719"
    PARENT_HASH_VALID = "V0720"
    LEAF_KEY_VALID = "V0721"
    LEAF_CIPHER_SUITE = "V0722"
    LEAF_GROUP_EXTENSIONS = "V0723"
    PARENT_KEY_VALID = "V0724"
    # §8: key schedule
    PSK_NONCE_LENGTH = "V0801"
    # §10: key packages
    KEY_PACKAGE_VERSION = "V1001"
    KEY_PACKAGE_SIGNATURE = "V1002"
    KEY_PACKAGE_INIT_KEY = "V1003"
    KEY_PACKAGE_MATCHES_GROUP = "V1004"
    KEY_PACKAGE_INIT_KEY_VALID = "V1005"
    KEY_PACKAGE_EXTENSIONS = "V1006"
    # §11: creation, reinitialization, branching
    REQUIRED_CAPABILITIES_SUPPORTED = "V1101"
    REINIT_MATCHES = "V1102"
    REINIT_EPOCH = "V1103"
    REINIT_MEMBERS = "V1104"
    BRANCH_MATCHES = "V1105"
    BRANCH_MEMBERS = "V1106"
    REINIT_SUPPORTED = "V1107"
    # §12.1 and §12.2: proposals
    REMOVE_MEMBER = "V1201"
    PSK_USAGE_REINIT = "V1202"
    PSK_USAGE_BRANCH = "V1203"
    REINIT_VERSION = "V1204"
    EXTERNAL_PROPOSAL_AUTHORIZED = "V1205"
    UPDATE_BY_COMMITTER = "V1206"
    REMOVE_COMMITTER = "V1207"
    SAME_LEAF_TWICE = "V1208"
    ADD_TWICE = "V1209"
    ADD_PRESENT = "V1210"
    PSK_TWICE = "V1211"
    EXTENSIONS_TWICE = "V1212"
    REINIT_ALONE = "V1213"
    EXTERNAL_INIT_IN_COMMIT = "V1214"
    PROPOSAL_SUPPORTED = "V1215"
    EXTERNAL_COMMIT_INIT = "V1216"
    EXTERNAL_COMMIT_REMOVE = "V1217"
    EXTERNAL_COMMIT_SUCCESSOR = "V1218"
    EXTERNAL_COMMIT_PROPOSALS = "V1219"
    UPDATE_BY_MEMBER = "V1220"
    PROPOSAL_KNOWN = "V1221"
    # §12.4: commits
    COMMIT_PATH_REQUIRED = "V1231"
    COMMIT_LEAF_FRESH_KEY = "V1232"
    COMMIT_PATH_KEYS_NEW = "V1233"
    COMMIT_CONFIRMATION_TAG = "V1234"
    COMMIT_PSKS_KNOWN = "V1235"
    EXTERNAL_COMMIT_PATH = "V1236"
    EXTERNAL_COMMIT_BY_VALUE = "V1237"
    GROUP_CLOSED = "V1238"
    EXTERNAL_COMMIT_ALLOWED = "V1239"
    COMMIT_BEFORE_DATA = "V1240"
    # §12.4.3: joining
    GROUP_INFO_EXTENSIONS = "V1251"
    GROUP_ID_UNIQUE = "V1252"
    GROUP_INFO_SIGNATURE = "V1253"
    WELCOME_NOT_FOR_US = "V1254"
    WELCOME_CIPHER_SUITE = "V1255"
    WELCOME_PSKS_KNOWN = "V1256"
    WELCOME_ONE_LINK = "V1257"
    WELCOME_OPENS = "V1258"
    TREE_HASH = "V1259"
    UNMERGED_IS_LEAF = "V1260"
    UNMERGED_CHAIN = "V1261"
    WELCOME_LEAF_PRESENT = "V1262"
    WELCOME_PATH_KEYS = "V1263"
    WELCOME_CONFIRMATION_TAG = "V1264"
    TREE_PRESENT = "V1265"
    TREE_LAST_NODE = "V1266"
    EXTERNAL_PUB_PRESENT = "V1267"
    TREE_NODE_TYPES = "V1268"


# What a caller mends by itself: by fetching messages in order, by asking for a key.
_CODES: Final = {
    Rule.EPOCH: Code.MLS_EPOCH,
    Rule.COMMIT_PSKS_KNOWN: Code.MLS_PSK,
    Rule.WELCOME_PSKS_KNOWN: Code.MLS_PSK,
}


class RuleBroken(PeerError):
    """A rule of RFC 9420 was broken: nothing was changed. `rule` says which."""

    def __init__(self, rule: Rule, detail: str = "") -> None:
        text = f"{rule.value} {rule.name.lower()}"
        code = _CODES.get(rule, Code.MLS_INVALID)
        super().__init__(code, f"{text}: {detail}" if detail else text)
        self.rule = rule


def require(fulfilled: bool, rule: Rule, detail: str = "") -> None:
    """Raise `RuleBroken` unless the rule is fulfilled."""
    if not fulfilled:
        raise RuleBroken(rule, detail)
