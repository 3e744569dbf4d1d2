"""The share of traces: hash, threshold and choice, against upstream's vectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailring_otlpwire import TraceSummary
from tailring_sampler.fnv import fnv1a_64
from tailring_sampler.policies import Probabilistic, Vote
from tailring_sampler.policies.probabilistic import threshold
from tailring_sampler.record import TraceRecord

DEFAULT_SALT = b"default-hash-seed"

# Trace id, hash with the default salt, kept at 1 / 10 / 25 / 50 / 99.9 percent, the
# same with the salt "s1".
KEEP_TABLE = """
00000000000000000000000000000000 e19536eed1bbac3d NNNNS a917d271fd48fb89 NNNNS
00000000000000000000000000000001 e19535eed1bbaa8a NNNNS a917d171fd48f9d6 NNNNS
ffffffffffffffffffffffffffffffff 17bec3739634fe2d NSSSS d0c6ab9e41608379 NNNNS
0102030405060708090a0b0c0d0e0f10 dbcf64d5420f4cad NNNNS 8274f182cbae4559 NNNNS
4bf92f3577b34da6a3ce929d0e0e4736 a54533ba2e4970b5 NNNNS 97f0aacc6453cb79 NNNNS
0af7651916cd43dd8448eb211c80319c 33bf83d45f51634c NNSSS 60ca0a715359faa8 NNNSS
a522a3688869b53403ffa413cedc00f3 006b3f209edb0717 SSSSS 8a41482b0f523e6b NNNNS
378626e8cc6d49ad1f31a8b497c46978 0217e7d7e450ac05 SSSSS 948c1ab5a8512201 NNNNS
adaa42377aa69a783b0196773afdb0f2 ffc6cd970d517507 NNNNN d52ebfee1cea5813 NNNNS
42e8f17c56c9bc17e6bf1cafeef6f6f1 a8020cb30044860d NNNNS 00af69d4bdc76e91 SSSSS
fa24bff83469f76d938d00c9e7dc1244 a5cc746138bc4851 NNNNS 00a209683edc4f75 SSSSS
f91b57b7f2607cfe16dd31be2aee116a 8fb9585610ab1dea NNNNS fffa8216111cb8a6 NNNNN
c366c2bbc721fd66c4914b9ccfbe4d33 12c3bdc7eb197705 NSSSS ce86a4be244a50e9 NNNNS
73a5464f358a0ce55d7d9dd422985cb9 b253484749d6963c NNNNS 11d0fd6586077060 NSSSS
532862af787a8f3713d23d8b2801b996 1f1a0b299f424be8 NNSSS 20b001e32fb405cc NNSSS
c5820c05fd7e82b1cfac9a6312200825 3cb33c15b33328b2 NNSSS 1b7ba6a21753f8ee NNSSS
95da0c9354ff1c0578e5aa3ab1479ea9 70138aeb40f734af NNNSS 75a7c786aeae3113 NNNSS
3fc1a6fb9274a0b3fde602017ce22639 abc83eabd9eeb41c NNNNS 6a3f9eafab28cb70 NNNSS
52a7d2165f5b7f7832b1a8c334231a4f ff162c11f03c5459 NNNNS ed5d0bcd33743cd5 NNNNS
1db5302353f1d55a04c8171b8c3d29ea d88a576e4af902b7 NNNNS b52c14940ad97d6b NNNNS
"""
PERCENTAGES = (1, 10, 25, 50, 99.9)

# Salt, trace id, hash, kept at 5 / 10 / 25 / 33 / 50 / 75 / 90 percent.
OTHER_SALTS = """
test-salt 00000000000000000000000000000000 8149711e69875cc0 NNNNNSS
test-salt ffffffffffffffffffffffffffffffff 49f70bce284974b0 NNNSSSS
test-salt 0102030405060708090a0b0c0d0e0f10 08ee52deda923930 SSSSSSS
test-salt 4bf92f3577b34da6a3ce929d0e0e4736 abb7bd9f983cd93c NNNNNSS
test-salt 0af7651916cd43dd8448eb211c80319c df9caa2a9f0d52f1 NNNNNNS
custom-salt 00000000000000000000000000000000 1211e15596f5b0e5 NSSSSSS
custom-salt 0102030405060708090a0b0c0d0e0f10 71debceba3f6b115 NNNNSSS
custom-salt 4bf92f3577b34da6a3ce929d0e0e4736 fcb74addd5ed06fd NNNNNNN
custom-salt 0af7651916cd43dd8448eb211c80319c 5dd757d1b8261934 NNNNSSS
default-hash-seed 00000000000000005296998955571a3f 49513d1a1b6df490 NNNSSSS
"""
OTHER_PERCENTAGES = (5, 10, 25, 33, 50, 75, 90)

THRESHOLDS = {
    0.1: 18446744073709551,
    1: 184467440737095519,
    5: 922337203685477631,
    10: 1844674407370955263,
    25: 4611686018427387903,
    33: 6087425544324152319,
    50: 9223372036854775807,
    75: 13835058055282163711,
    90: 16602069666338596863,
    99.9: 18428297329635844095,
    100: 18446744073709551615,
}


def rows(table: str) -> list[list[str]]:
    """The cells of each line of a table."""
    return [line.split() for line in table.strip().splitlines()]


def letters(trace_id: str, salt: str, percentages: tuple[float, ...]) -> str:
    """S for each percentage at which the trace is kept, N for the others."""
    record = TraceRecord(bytes.fromhex(trace_id), 0)
    votes = [
        Probabilistic(percent, salt).evaluate(record, 0) for percent in percentages
    ]
    return "".join("S" if vote is Vote.SAMPLED else "N" for vote in votes)


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (b"", 0xCBF29CE484222325),
        (b"a", 0xAF63DC4C8601EC8C),
        (b"foobar", 0x85944171F73967E8),
    ],
)
def test_the_hash_is_fnv_1a_with_64_bits(text: bytes, digest: int) -> None:
    """The published vectors of FNV-1a come out."""
    assert fnv1a_64(text) == digest


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_a_hash_can_be_continued(head: bytes, tail: bytes) -> None:
    """The hash of two strings is that of the second, begun with that of the first."""
    assert fnv1a_64(tail, fnv1a_64(head)) == fnv1a_64(head + tail)


@given(st.binary(max_size=64))
def test_the_hash_equals_the_textbook_form(text: bytes) -> None:
    """Both halves together are the product modulo 2**64."""
    digest = 0xCBF29CE484222325
    for byte in text:
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    assert fnv1a_64(text) == digest


@pytest.mark.parametrize(("percent", "greatest"), THRESHOLDS.items())
def test_the_threshold_is_exact(percent: float, greatest: int) -> None:
    """No rounding of a float product reaches the threshold."""
    assert threshold(percent) == greatest


@pytest.mark.parametrize(
    ("percent", "greatest"),
    [(0, 0), (-5, 0), (250, 2**64 - 1), (float("inf"), 2**64 - 1)],
)
def test_the_threshold_is_clamped(percent: float, greatest: int) -> None:
    """Percentages outside 0 to 100 act like the nearer end."""
    assert threshold(percent) == greatest


@pytest.mark.parametrize("row", rows(KEEP_TABLE), ids=lambda row: row[0][:8])
def test_the_choice_with_two_salts(row: list[str]) -> None:
    """Upstream's table of ids is decided alike, with the default salt and another."""
    trace_id, digest, kept, salted_digest, salted_kept = row
    raw = bytes.fromhex(trace_id)
    assert f"{fnv1a_64(DEFAULT_SALT + raw):016x}" == digest
    assert f"{fnv1a_64(b's1' + raw):016x}" == salted_digest
    assert letters(trace_id, "", PERCENTAGES) == kept
    assert letters(trace_id, "s1", PERCENTAGES) == salted_kept


@pytest.mark.parametrize("row", rows(OTHER_SALTS), ids=lambda row: "-".join(row[:2]))
def test_the_choice_with_other_salts(row: list[str]) -> None:
    """Upstream's choices for further salts come out."""
    salt, trace_id, digest, kept = row
    assert f"{fnv1a_64(salt.encode() + bytes.fromhex(trace_id)):016x}" == digest
    assert letters(trace_id, salt, OTHER_PERCENTAGES) == kept


@pytest.mark.parametrize(
    ("trace_id", "digest", "percent_kept", "percent_dropped"),
    [
        (
            "f00b97b583325f78bbf6a089ec11693c",
            503745677272046,
            0.0027308107883926708,
            0.0027308107883926703,
        ),
        (
            "937fd9a5da2e20195c115733374fb164",
            883169716876400,
            0.004787672628554005,
            0.004787672628554004,
        ),
    ],
)
def test_the_boundary_belongs_to_the_kept(
    trace_id: str, digest: int, percent_kept: float, percent_dropped: float
) -> None:
    """A hash equal to the threshold is kept, one above it is not."""
    assert threshold(percent_kept) == digest
    assert threshold(percent_dropped) == digest - 1
    assert letters(trace_id, "", (percent_kept, percent_dropped)) == "SN"


@pytest.mark.parametrize(
    ("trace_id", "digest"),
    [
        ("0102030405060708090a0b0c0d0e0f00", 0xDBCF54D5420F317D),
        ("0102030405060708090a0b0c0d0e0fff", 0xDBD035D54210AFD0),
    ],
)
def test_ids_that_differ_in_the_last_byte_hash_alike(
    trace_id: str, digest: int
) -> None:
    """The last byte moves the hash below about bit 48 only."""
    assert fnv1a_64(DEFAULT_SALT + bytes.fromhex(trace_id)) == digest


def test_only_the_id_matters() -> None:
    """A trace without a single span is chosen by its id all the same."""
    record = TraceRecord(bytes(16), 0)
    record.summary = TraceSummary()
    assert Probabilistic(100).evaluate(record, 0) is Vote.SAMPLED
