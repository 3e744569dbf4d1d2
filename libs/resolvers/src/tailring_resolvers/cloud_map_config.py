"""The ``resolver.aws_cloud_map`` block.

Keys and error texts are upstream's. ``timeout`` bounds the call, which it does not
there, and ``health_status`` is checked here and not by the API.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from tailring_resolvers.hold_config import HOLD_DOWN_TEXT, HoldDuration
from tailring_runtime.config import ConfigModel, Duration, Port, Text

__all__ = ["HEALTH_STATUSES", "CloudMapResolverConfig"]

INTERVAL_DEFAULT_NS: Final = 30_000_000_000
TIMEOUT_DEFAULT_NS: Final = 5_000_000_000

HEALTH_STATUSES: Final = ("HEALTHY", "UNHEALTHY", "ALL", "HEALTHY_OR_ELSE_ALL")


def _a_namespace(name: str) -> str:
    if not name:
        raise ValueError("no Cloud Map namespace specified to resolve the backends")
    return name


def _a_service_name(name: str) -> str:
    if not name:
        raise ValueError("no Cloud Map service_name specified to resolve the backends")
    return name


def _a_health_status(status: str) -> str:
    if status and status not in HEALTH_STATUSES:
        known = ", ".join(HEALTH_STATUSES)
        raise ValueError(f"{status!r} is no health status; use one of {known}")
    return status


def _a_real_port(port: int | None) -> int | None:
    if port == 0:
        raise ValueError(
            "0 is not a port that can be dialled; leave the key out to use"
            " the attribute AWS_INSTANCE_PORT"
        )
    return port


def _an_account(account: str | None) -> str | None:
    if account is None or (account.isdecimal() and len(account) == 12):
        return account
    raise ValueError(f"{account!r} is no account id, which has 12 digits")


def _not_negative(duration_ns: int) -> int:
    if duration_ns < 0:
        raise ValueError("must not be negative")
    return duration_ns


class CloudMapResolverConfig(ConfigModel):
    """Backends are the instances of a service in AWS Cloud Map, such as ECS tasks."""

    namespace: Annotated[Text, AfterValidator(_a_namespace)] = Field(
        default="",
        validate_default=True,
        description="HTTP name of the namespace; for most it is the name.",
    )
    service_name: Annotated[Text, AfterValidator(_a_service_name)] = Field(
        default="",
        validate_default=True,
        description="Name of the service in the namespace.",
    )
    health_status: Annotated[Text, AfterValidator(_a_health_status)] = Field(
        default="",
        description="Which instances are backends: HEALTHY, UNHEALTHY, ALL, or"
        " HEALTHY_OR_ELSE_ALL, which takes all when none is healthy. Empty: what the"
        " API takes by default.",
    )
    interval: Annotated[Duration, AfterValidator(_not_negative)] = Field(
        default=0,
        description="Time between two calls of DiscoverInstances. 0: 30s. Long: a"
        " task that left is dialled for that long.",
    )
    timeout: Annotated[Duration, AfterValidator(_not_negative)] = Field(
        default=0,
        description="Time for one call, credentials and connection included. 0: 5s.",
    )
    port: Annotated[Port | None, AfterValidator(_a_real_port)] = Field(
        default=None,
        description="Port of every backend. Left out: the attribute"
        " AWS_INSTANCE_PORT of each instance, which ECS sets only for services with"
        " SRV records or a port; instances without it get no traces.",
    )
    owner_account: Annotated[Text | None, AfterValidator(_an_account)] = Field(
        default=None,
        description="Account that owns a namespace shared with this one; in quotes.",
    )

    hold_down: HoldDuration = Field(default=0, description=HOLD_DOWN_TEXT)

    @property
    def interval_s(self) -> float:
        """Seconds between two calls."""
        return (self.interval or INTERVAL_DEFAULT_NS) / 1e9

    @property
    def timeout_s(self) -> float:
        """Seconds that one call may take."""
        return (self.timeout or TIMEOUT_DEFAULT_NS) / 1e9
