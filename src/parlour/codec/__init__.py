"""The TLS presentation language: how everything that is signed, hashed or bound is written.

Layout: `varint` (RFC 9420 §2.1.2), `reader`, `writer`.
"""

from parlour.codec.reader import Reader, decode
from parlour.codec.writer import Writer, encode_opaque, opaque_parts

__all__ = ["Reader", "Writer", "decode", "encode_opaque", "opaque_parts"]
