"""Credentials: where they are found, what of a kubeconfig counts, what is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import trustme

from tailring_resolvers import K8sPlace, ResolutionError
from tailring_resolvers.k8s_access import Access, own_namespace, tls_context
from tailring_resolvers.k8s_config import Service
from tailring_resolvers.k8s_kubeconfig import find_access
from tailring_resolvers.k8s_refusals import refusal, retry_after_s

SERVICE = Service("sampler", "shop")
SERVER = "https://api.test:6443"
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def place(folder: Path, **environ: str) -> K8sPlace:
    """A place whose service account and home are ``folder``."""
    return K8sPlace(environ, home=folder, service_account=folder)


def written(
    path: Path, user: dict[str, Any] | None = None, **cluster: Any
) -> dict[str, Any]:
    """Write a kubeconfig; the document."""
    document: dict[str, Any] = {
        "clusters": [{"name": "c", "cluster": {"server": SERVER, **cluster}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return document


def found(path: Path) -> Access:
    """What a kubeconfig gives."""
    return find_access(place(path.parent, KUBECONFIG=str(path)))


def reason(path: Path) -> str:
    """Why a kubeconfig is refused."""
    with pytest.raises(ResolutionError) as raised:
        found(path)
    return raised.value.reason


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    """The folder of a service account."""
    (tmp_path / "token").write_text("pod-token\n")
    (tmp_path / "ca.crt").write_text("authority")
    (tmp_path / "namespace").write_text("shop\n")
    return tmp_path


def test_a_pod_uses_its_service_account(pod: Path) -> None:
    """In a pod the variables give the server and the folder token and authority."""
    access = find_access(place(pod, **POD))
    assert (access.server, access.token, access.ca) == (
        "https://10.0.0.1:443",
        "pod-token",
        "authority",
    )
    assert own_namespace(place(pod)) == "shop"


def test_the_server_of_an_ipv6_cluster(pod: Path) -> None:
    """An IPv6 address of the server gets its brackets."""
    access = find_access(place(pod, **{**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}))
    assert access.server == "https://[fd00::1]:443"


def test_kubeconfig_comes_before_the_pod(pod: Path) -> None:
    """KUBECONFIG wins over the service account, as upstream."""
    written(pod / "config", {"token": "t"})
    access = find_access(place(pod, **POD, KUBECONFIG=str(pod / "config")))
    assert (access.server, access.token) == (SERVER, "t")


def test_the_pod_comes_before_the_home(pod: Path) -> None:
    """The file in the home directory is the last one that is looked at."""
    written(pod / ".kube" / "config", {"token": "t"})
    assert find_access(place(pod, **POD)).token == "pod-token"
    assert find_access(place(pod)).token == "t"


def test_no_token_in_a_pod_says_what_to_switch_on(tmp_path: Path) -> None:
    """A pod without its token is told which key of the pod it lacks."""
    with pytest.raises(ResolutionError, match="automountServiceAccountToken: true"):
        find_access(place(tmp_path, **POD))


def test_no_credentials_at_all(tmp_path: Path) -> None:
    """Without any, all three places are named."""
    with pytest.raises(ResolutionError, match="KUBERNETES_SERVICE_HOST is not set"):
        find_access(place(tmp_path))
    assert own_namespace(place(tmp_path)) == ""


def test_every_way_to_say_who_asks(tmp_path: Path) -> None:
    """Data and files, relative to the kubeconfig, give the same."""
    for name in ("cert", "key", "ca", "token"):
        (tmp_path / name).write_text(name.upper())
    user = {"client-certificate": "cert", "client-key": "key", "tokenFile": "token"}
    written(tmp_path / "files", user, **{"certificate-authority": "ca"})
    data = {
        f"{key}-data": base64.b64encode(text).decode()
        for key, text in (("client-certificate", b"CERT"), ("client-key", b"KEY"))
    }
    authority = base64.b64encode(b"CA").decode()
    written(
        tmp_path / "data",
        {**data, "token": "TOKEN"},
        **{"certificate-authority-data": authority, "tls-server-name": "name"},
    )
    for path in ("files", "data"):
        access = found(tmp_path / path)
        assert (access.certificate, access.key) == ("CERT", "KEY")
        assert (access.ca, access.token) == ("CA", "TOKEN")
    assert found(tmp_path / "data").server_name == "name"


def test_a_token_is_no_part_of_the_text_of_an_access(tmp_path: Path) -> None:
    """What is shown of an access has neither token nor key."""
    data = base64.b64encode(b"SECRET").decode()
    written(tmp_path / "c", {"token": "SECRET", "client-key-data": data})
    assert "SECRET" not in repr(found(tmp_path / "c"))


def test_several_files_are_one(tmp_path: Path) -> None:
    """Of entries with one name the first counts; a file that is missing is none."""
    written(tmp_path / "a", {"token": "first"})
    written(tmp_path / "b", {"token": "second"}, server="https://other")
    listed = f"{tmp_path / 'missing'}:{tmp_path / 'a'}:{tmp_path / 'b'}"
    access = find_access(place(tmp_path, KUBECONFIG=listed))
    assert (access.server, access.token) == (SERVER, "first")


@pytest.mark.parametrize(
    ("user", "cluster", "words"),
    [
        ({"exec": {"command": "aws"}}, {}, "exec: programs that fetch credentials"),
        ({"auth-provider": {"name": "gcp"}}, {}, "auth-provider: "),
        ({"username": "a", "password": "b"}, {}, "username: "),
        ({"as": "somebody"}, {}, "as: impersonation"),
        ({}, {"proxy-url": "http://p"}, "proxy-url: "),
        ({}, {"server": ""}, "is not the URL of a server"),
        ({"tokenFile": "nope"}, {}, "nope cannot be read"),
        ({"client-key-data": "%"}, {}, "client-key-data is not base64"),
        (
            {},
            {"insecure-skip-tls-verify": True, "certificate-authority-data": "QQ=="},
            "together",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], words: str
) -> None:
    """What is not honoured is an error that names it, never left out."""
    written(tmp_path / "c", user, **cluster)
    assert words in reason(tmp_path / "c")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "is not a kubeconfig"),
        ("a: [", "cannot be read"),
        ("{}", "names no context"),
        ("current-context: x", "no context 'x'"),
    ],
)
def test_a_broken_kubeconfig_is_named(tmp_path: Path, text: str, words: str) -> None:
    """A file that is none says where it lies and what is wrong."""
    (tmp_path / "c").write_text(text)
    assert words in reason(tmp_path / "c")
    assert str(tmp_path / "c") in reason(tmp_path / "c")


def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    """KUBECONFIG that names no file is an error, not a search elsewhere."""
    assert "no such kubeconfig" in reason(tmp_path / "c")


def test_a_broken_certificate_is_an_error_of_the_package() -> None:
    """What OpenSSL cannot read says in which file it was."""
    access = Access(server=SERVER, found_in="here", ca="no certificate")
    with pytest.raises(ResolutionError, match="in here cannot be used"):
        tls_context(access)


def test_an_identity_is_loaded(tmp_path: Path) -> None:
    """A client certificate and its key become part of the connection."""
    authority = trustme.CA()
    made = authority.issue_cert("router")
    access = Access(
        server=SERVER,
        found_in="here",
        ca=authority.cert_pem.bytes().decode(),
        certificate=made.cert_chain_pems[0].bytes().decode(),
        key=made.private_key_pem.bytes().decode(),
    )
    assert len(tls_context(access).get_ca_certs()) == 1


FORBIDDEN = (
    'endpointslices.discovery.k8s.io is forbidden: User "{}" cannot list resource'
    ' "endpointslices" in API group "discovery.k8s.io" in the namespace "shop"'
)


@pytest.mark.parametrize(
    ("user", "asker"),
    [
        ("system:serviceaccount:shop:router", "ServiceAccount shop/router"),
        ("jane", "user jane"),
        ("", "this process"),
    ],
)
def test_a_missing_permission_is_spelled_out(user: str, asker: str) -> None:
    """403 says who may not do what, where, and which Role would help."""
    error = refusal(
        403, {"message": FORBIDDEN.format(user)}, verb="list", service=SERVICE
    )
    assert error.reason == (
        f"403 missing permission: {asker} may not list endpointslices (apiGroup"
        " discovery.k8s.io) in namespace shop; create a Role in that namespace with"
        " apiGroups [discovery.k8s.io], resources [endpointslices], verbs [get, list,"
        " watch] and a RoleBinding to it"
    )
    assert error.facts["verb"] == "list"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (401, "the credentials in here are wrong or have expired"),
        (404, "does not serve discovery.k8s.io/v1 endpointslices"),
        (500, "list endpointslices: 500 because"),
    ],
)
def test_other_refusals_name_their_code(code: int, words: str) -> None:
    """Every other answer says what it was and, where it is known, why."""
    error = refusal(
        code, {"message": "because"}, verb="list", service=SERVICE, asker="here"
    )
    assert words in error.reason
    assert error.code == code


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("600", 60), ("soon", 0), ("-1", 0)]
)
def test_a_wait_is_at_most_a_minute(header: str, seconds: float) -> None:
    """Retry-After counts in seconds, and not for ever."""
    assert retry_after_s({"Retry-After": header}) == seconds
    assert retry_after_s({}) == 0
