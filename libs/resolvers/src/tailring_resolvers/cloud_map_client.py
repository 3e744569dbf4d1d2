"""The one call of AWS Cloud Map that the resolver makes, with boto3.

Everything here blocks, and is for one thread at a time. boto3 is imported by the first
call and not with this module: whoever resolves otherwise does not pay for it.

Credentials come from boto3's usual places. The region comes from AWS_REGION as in
upstream's SDK (boto3 knows AWS_DEFAULT_REGION only), then from boto3's usual places,
then it is us-east-1, as upstream. An endpoint out of AWS_ENDPOINT_URL_SERVICEDISCOVERY,
AWS_ENDPOINT_URL or a profile is asked as it stands: the host prefix ``data-`` that
this call has at AWS itself would make a name that nobody serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tailring_resolvers.cloud_map_config import CloudMapResolverConfig
from tailring_resolvers.errors import ResolutionError, Throttled
from tailring_resolvers.instances import Instance

__all__ = ["INSTANCES_MAX", "CloudMapClient"]

# All that DiscoverInstances can answer; it has no pages. Without it, 100 come.
INSTANCES_MAX: Final = 1000
REGION_DEFAULT: Final = "us-east-1"

_THROTTLED: Final = frozenset(
    {
        "RequestLimitExceeded",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException"})
_NO_CREDENTIALS: Final = (
    "no AWS credentials were found; give the task or the instance a role that allows"
    " servicediscovery:DiscoverInstances, or set AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY"
)


class CloudMapClient:
    """Asks for the instances of one service."""

    def __init__(
        self, config: CloudMapResolverConfig, *, environ: Mapping[str, str]
    ) -> None:
        """``environ`` is looked up for AWS_REGION alone; boto3 has its own eyes."""
        self._config = config
        self._environ = environ
        self._client: Any = None
        # Where it is asked; empty before the first call.
        self.region = ""

    @property
    def source(self) -> str:
        """What is asked, for errors."""
        return f"{self._config.service_name}.{self._config.namespace}"

    def load(self) -> None:
        """Import what the calls need; local work of up to a second, done once."""
        import boto3  # noqa: F401
        import botocore.exceptions  # noqa: F401

    def discover(self) -> list[Instance]:
        """The instances as they are now, in no order.

        Raises `Throttled` when asked too often, `ResolutionError` else.
        """
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        try:
            if self._client is None:
                self._client = self._connect()
            answer = self._client.discover_instances(**self._question())
        except HTTPClientError as error:
            raise ResolutionError(self.source, _sentence(error)) from error
        except ClientError as error:
            refused = self._refused(error.response)
            if not isinstance(refused, Throttled):
                self._forget()
            raise refused from error
        except (BotoCoreError, ValueError) as error:
            # ValueError: an endpoint that is no URL.
            self._forget()
            raise ResolutionError(self.source, _sentence(error)) from error
        return [
            Instance(one.get("InstanceId", ""), one.get("Attributes") or {})
            for one in answer.get("Instances") or ()
        ]

    def close(self) -> None:
        """Close the connections that are kept open; a later call opens new ones."""
        if self._client is not None:
            self._client.close()

    def _forget(self) -> None:
        # A client keeps the credentials, or their absence, that it was made with.
        self.close()
        self._client = None

    def _question(self) -> dict[str, Any]:
        config = self._config
        question: dict[str, Any] = {
            "NamespaceName": config.namespace,
            "ServiceName": config.service_name,
            "MaxResults": INSTANCES_MAX,
        }
        if config.health_status:
            question["HealthStatus"] = config.health_status
        if config.owner_account:
            question["OwnerAccount"] = config.owner_account
        return question

    def _connect(self) -> Any:
        import boto3
        from botocore.config import Config

        session = boto3.session.Session()
        region = (
            self._environ.get("AWS_REGION") or session.region_name or REGION_DEFAULT
        )
        self.region = region
        settings = Config(
            region_name=region,
            connect_timeout=self._config.timeout_s,
            read_timeout=self._config.timeout_s,
            # The resolver tries again by itself, later.
            retries={"total_max_attempts": 1},
            max_pool_connections=1,
        )
        asked = session.client("servicediscovery", config=settings)
        usual = session.client(
            "servicediscovery",
            config=settings.merge(Config(ignore_configured_endpoint_urls=True)),
        )
        if asked.meta.endpoint_url == usual.meta.endpoint_url:
            return asked
        return session.client(
            "servicediscovery",
            config=settings.merge(Config(inject_host_prefix=False)),
        )

    def _refused(self, response: Mapping[str, Any]) -> ResolutionError:
        said = response.get("Error", {})
        code, message = str(said.get("Code", "")), str(said.get("Message", ""))
        reason = f"{code}: {message}" if message else code
        if code in _THROTTLED:
            return Throttled(self.source, reason)
        if code in _DENIED:
            reason += "; the role needs servicediscovery:DiscoverInstances"
        elif code in ("NamespaceNotFound", "ServiceNotFound"):
            reason += f" (asked in {self.region})"
        return ResolutionError(self.source, reason)


def _sentence(error: Exception) -> str:
    from botocore.exceptions import NoCredentialsError

    if isinstance(error, NoCredentialsError):
        return _NO_CREDENTIALS
    return str(error) or type(error).__name__
