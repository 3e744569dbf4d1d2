"""Hosts files are read as the C library reads them, again whenever they change."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tailring_resolvers.system_files import WatchedFile, parse_hosts

HOSTS = """\
# comment
127.0.0.1\tlocalhost  Loop.Test. # tail
::1 localhost
10.0.0.2   sampler.test sampler
not.an.address  broken.test
10.0.0.3
   10.0.0.1 sampler.test
fe80::1%lo0 scoped.test

"""


def test_a_hosts_file() -> None:
    """Names have all their lines' addresses in file order; bad lines are passed."""
    found = {
        name: [str(one) for one in addresses]
        for name, addresses in parse_hosts(HOSTS).items()
    }
    assert found == {
        "localhost": ["127.0.0.1", "::1"],
        "loop.test": ["127.0.0.1"],
        "sampler.test": ["10.0.0.2", "10.0.0.1"],
        "sampler": ["10.0.0.2"],
        "scoped.test": ["fe80::1%lo0"],
    }


@given(st.text())
def test_any_text_is_a_hosts_file(text: str) -> None:
    """No text raises."""
    parse_hosts(text)


def test_a_file_is_parsed_once_until_it_changes(tmp_path: Path) -> None:
    """The same file gives the same value; another content gives another one."""
    path = tmp_path / "hosts"
    path.write_text("10.0.0.1 a\n")
    file = WatchedFile(path, parse_hosts)
    first = file.read()
    assert file.read() is first
    path.write_text("10.0.0.22 a\n")
    assert file.read() == {"a": (ip_address("10.0.0.22"),)}


def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    """A new file of equal size under the name, as Kubernetes swaps it, is seen."""
    path, new = tmp_path / "hosts", tmp_path / "new"
    path.write_text("10.0.0.1 a\n")
    file = WatchedFile(path, parse_hosts)
    file.read()
    new.write_text("10.0.0.2 a\n")
    stat = path.stat()
    os.utime(new, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    new.replace(path)
    assert file.read() == {"a": (ip_address("10.0.0.2"),)}


def test_a_missing_file_is_empty_and_may_come(tmp_path: Path) -> None:
    """A file that is not there is empty, and is read once it is there."""
    path = tmp_path / "hosts"
    file = WatchedFile(path, parse_hosts)
    assert file.read() == {}
    path.write_text("10.0.0.1 a\n")
    assert file.read() == {"a": (ip_address("10.0.0.1"),)}
    path.unlink()
    assert file.read() == {}
