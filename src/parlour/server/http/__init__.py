"""REST: `GET /v1/server`, `POST /v1/<operation>`, `GET /healthz`."""
