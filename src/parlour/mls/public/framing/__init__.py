"""Message framing (RFC 9420 §6).

Layout: `content` (what is said and by whom), `authentication` (signatures), `messages` (public,
private, and the envelope of everything).
"""
