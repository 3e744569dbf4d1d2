"""What the Kubernetes API says when it says no, as a sentence that tells the cure.

Pure: a status document goes in, an error comes out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tailring_resolvers.errors import ApiRefusal
from tailring_resolvers.k8s_config import Service

__all__ = ["refusal", "retry_after_s"]

GROUP: Final = "discovery.k8s.io"
RESOURCE: Final = "endpointslices"

_USER = re.compile(r'User "([^"]*)"')
_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")


def refusal(
    code: int, document: object, *, verb: str, service: Service, asker: str = ""
) -> ApiRefusal:
    """The error of an answer with ``code``; ``asker`` is where the credentials lie."""
    body = document if isinstance(document, Mapping) else {}
    message = str(body.get("message") or body.get("reason") or "no message")
    if code == 403:
        return _forbidden(message, verb=verb, service=service)
    if code == 401:
        reason = (
            f"401 {message}: the API server does not know who asks; the credentials in"
            f" {asker} are wrong or have expired"
        )
    elif code == 404:
        reason = f"404 {message}: the API server does not serve {GROUP}/v1 {RESOURCE}"
    else:
        reason = f"{verb} {RESOURCE}: {code} {message}"
    return ApiRefusal(str(service), reason, code=code)


def _forbidden(message: str, *, verb: str, service: Service) -> ApiRefusal:
    facts = {
        "verb": verb,
        "resource": RESOURCE,
        "api_group": GROUP,
        "namespace": service.namespace,
        "answer": message,
    }
    found = _USER.search(message)
    user = found.group(1) if found else ""
    account = _SERVICE_ACCOUNT.fullmatch(user)
    asker = f"user {user}" if user else "this process"
    if account:
        facts["service_account"] = "/".join(account.groups())
        asker = f"ServiceAccount {facts['service_account']}"
    reason = (
        f"403 missing permission: {asker} may not {verb} {RESOURCE} (apiGroup {GROUP})"
        f" in namespace {service.namespace}; create a Role in that namespace with"
        f" apiGroups [{GROUP}], resources [{RESOURCE}], verbs [get, list, watch] and a"
        f" RoleBinding to it"
    )
    return ApiRefusal(str(service), reason, code=403, facts=facts)


def retry_after_s(headers: Mapping[str, str]) -> float:
    """The wait that a busy server asks for, at most a minute; 0 if it asks for none."""
    asked = headers.get("Retry-After", "")
    return min(float(asked), 60.0) if asked.isascii() and asked.isdigit() else 0.0
