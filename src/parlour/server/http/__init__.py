"""REST: `GET /v1/server`, `POST /v1/<operation>`, `GET /healthz`.

Layout: `app` (the routes), `requests` (what is read of a request), `protocol` (bounds on its head).
"""
