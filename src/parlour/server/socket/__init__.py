"""The sockets: `/v1/login` and `/v1/live`.

Layout: `connection` (what a transport has to offer), `outgoing` (the bounded queue), `session`
(frames in, frames out), `starlette` (the transport that we have). Only the last one knows a
framework.
"""
