"""What the doors count that have locks on them."""

from __future__ import annotations

from tailring_runtime.metrics import MetricSpec

__all__ = [
    "AUTH_FAILURES",
    "CONNECTIONS",
    "CONNECTIONS_CLOSED",
    "PASSWORD_CHECKS",
    "TLS_HANDSHAKES",
    "TLS_HANDSHAKES_COMPLETED",
    "TLS_NOT_AFTER",
    "TLS_RELOADS",
]

_LABELS = ("receiver", "transport")

TLS_RELOADS = MetricSpec(
    name="tailring_tls_reloads",
    kind="counter",
    help="Files of a tls block that changed: read again (success), or of no use, then"
    " those before stay (failure: the log says why; new connections fail when they"
    " expire).",
    unit="{reloads}",
    labels=("tls", "outcome"),
)
TLS_NOT_AFTER = MetricSpec(
    name="tailring_tls_certificate_not_after_seconds",
    kind="gauge",
    across="max",
    help="When the certificate of a tls block expires, in seconds since 1970; alert"
    " days before.",
    unit="s",
    labels=("tls",),
)
TLS_HANDSHAKES = MetricSpec(
    name="tailring_receiver_tls_handshakes",
    kind="counter",
    help="TLS handshakes that clients began, completed or not.",
    unit="{handshakes}",
    labels=_LABELS,
)
TLS_HANDSHAKES_COMPLETED = MetricSpec(
    name="tailring_receiver_tls_handshakes_completed",
    kind="counter",
    help="TLS handshakes that ended with a connection, over HTTP (gRPC's are not told);"
    " those that were begun and are not among these have failed, or are under way.",
    unit="{handshakes}",
    labels=_LABELS,
)
AUTH_FAILURES = MetricSpec(
    name="tailring_receiver_auth_failures",
    kind="counter",
    help="Requests that were answered UNAUTHENTICATED, 401, by reason: missing"
    " (no credentials), malformed, wrong.",
    unit="{requests}",
    labels=(*_LABELS, "reason"),
)
CONNECTIONS = MetricSpec(
    name="tailring_receiver_connections",
    kind="gauge",
    help="Open connections of clients, over HTTP (gRPC's are not told).",
    unit="{connections}",
    labels=_LABELS,
)
CONNECTIONS_CLOSED = MetricSpec(
    name="tailring_receiver_connections_closed",
    kind="counter",
    help="Connections that were closed without an answer: too_many (max_connections),"
    " slow_header (read_header_timeout).",
    unit="{connections}",
    labels=(*_LABELS, "reason"),
)
PASSWORD_CHECKS = MetricSpec(
    name="tailring_auth_password_checks",
    kind="counter",
    help="Passwords that were compared with a hash, which is costly on purpose; growth"
    " beyond the number of clients is somebody guessing.",
    unit="{checks}",
    labels=("extension",),
)
