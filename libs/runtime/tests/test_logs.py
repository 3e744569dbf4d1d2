"""Logs: constant sentences with fields, thinned out when they flood."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

from tailring_runtime import logs
from tailring_runtime.log_outputs import LOST_LINES
from tailring_runtime.logs import LogSampling, LogSettings, configure, get_logger

UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@contextmanager
def broken_stdout() -> Iterator[None]:
    """stdout as a pipe whose reader died."""
    reader, writer = os.pipe()
    os.close(reader)
    stdout = sys.stdout
    raw = io.FileIO(writer, "w")
    sys.stdout = io.TextIOWrapper(raw, write_through=True)
    try:
        yield
    finally:
        sys.stdout.detach()
        sys.stdout = stdout
        raw.close()


def test_json_line_has_time_level_message_and_fields(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A JSON line holds the UTC time, the level, the message and each field."""
    configure(LogSettings(encoding="json"))
    get_logger(backend="a:1").info("backend added", spans=3)
    (line,) = lines(capsys)
    assert list(line) == ["timestamp", "level", "msg", "backend", "spans"]
    assert UTC_TIME.fullmatch(str(line.pop("timestamp")))
    assert line == {
        "level": "info",
        "msg": "backend added",
        "backend": "a:1",
        "spans": 3,
    }


def test_console_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A console line begins with the UTC time and has the fields behind the message."""
    configure()
    get_logger().warning("queue is full", size=5)
    line = capsys.readouterr().err
    assert UTC_TIME.match(line)
    assert "queue is full size=5" in line
    assert line.count("\n") == 1


def test_level_filters(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines below the level are not written."""
    configure(LogSettings(level="warn", encoding="json"))
    log = get_logger()
    log.info("too quiet")
    log.error("loud enough")
    assert [line["msg"] for line in lines(capsys)] == ["loud enough"]


def test_loggers_made_before_follow_the_configuration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A logger that exists already takes the new way out."""
    log = get_logger(part="early")
    configure(LogSettings(encoding="json"))
    log.info("hello")
    assert lines(capsys)[0]["part"] == "early"


def test_libraries_take_the_same_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    """What a library logs through logging is a line of the same form."""
    configure(LogSettings(encoding="json"))
    logging.getLogger("grpc._cython").warning("poller %s", "stuck")
    logging.getLogger("asyncio").info("chatter")
    (line,) = lines(capsys)
    assert (line["logger"], line["level"], line["msg"]) == (
        "grpc._cython",
        "warning",
        "poller stuck",
    )


def test_fixed_fields_are_on_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Initial fields are added to own and foreign lines, and a line's field wins."""
    configure(LogSettings(encoding="json", fields={"zone": "a"}))
    get_logger().info("one")
    get_logger().info("two", zone="b")
    logging.getLogger("lib").error("three")
    assert [line["zone"] for line in lines(capsys)] == ["a", "b", "a"]


def test_exception_is_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    """A logged exception carries its traceback in JSON."""
    configure(LogSettings(encoding="json"))
    try:
        raise ValueError("boom")
    except ValueError as error:
        get_logger().error("it failed", exc_info=error)
    assert "ValueError: boom" in str(lines(capsys)[0]["exception"])


def test_traceback_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Without tracebacks an exception is one short field, however it was passed."""
    configure(LogSettings(encoding="json", tracebacks=False))
    try:
        raise ValueError("boom")
    except ValueError as error:
        get_logger().error("one", exc_info=error)
        get_logger().exception("two")
        logging.getLogger("lib").exception("three")
    found = lines(capsys)
    assert [line["error"] for line in found] == ["ValueError: boom"] * 3
    assert not any("exception" in line for line in found)


def test_caller_is_shown_when_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """With the caller each line names the file and line of the call."""
    configure(LogSettings(encoding="json", caller=True))
    get_logger().info("here")
    assert lines(capsys)[0]["filename"] == Path(__file__).name


def test_output_goes_to_every_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line is appended to each output, files and stdout alike."""
    path = tmp_path / "own.log"
    path.write_text("before\n")
    configure(LogSettings(encoding="json", outputs=(str(path), "stdout")))
    get_logger().info("hello")
    assert path.read_text().startswith("before\n{")
    captured = capsys.readouterr()
    assert json.loads(captured.out)["msg"] == "hello"
    assert captured.err == ""


def test_unwritable_output_is_told_at_once(tmp_path: Path) -> None:
    """An output file that cannot be opened fails the configuration."""
    with pytest.raises(OSError, match="missing"):
        configure(LogSettings(outputs=(str(tmp_path / "missing" / "x.log"),)))


def test_an_output_that_fails_holds_nobody_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a full disk and a broken pipe, lines are counted as lost there, and the
    outputs behind them have every line."""
    full, good = "/dev/full", tmp_path / "own.log"
    configure(LogSettings(encoding="json", outputs=(full, "stdout", str(good))))
    before = LOST_LINES.value
    get_logger().error("one")
    with broken_stdout():
        get_logger().error("two")
        logging.getLogger("lib").error("three")
    get_logger().error("four")
    written = [json.loads(line)["msg"] for line in good.read_text().splitlines()]
    assert written == ["one", "two", "three", "four"]
    told = [json.loads(line)["msg"] for line in capsys.readouterr().out.splitlines()]
    assert told == ["one", "four"]
    assert LOST_LINES.value - before == 4 + 2


def test_a_file_that_vanished_with_its_folder_is_a_lost_line(tmp_path: Path) -> None:
    """A line for a folder that was removed is counted, and raises nothing."""
    folder = tmp_path / "logs"
    folder.mkdir()
    configure(LogSettings(outputs=(str(folder / "own.log"),)))
    before = LOST_LINES.value
    shutil.rmtree(folder)
    get_logger().error("gone")
    assert LOST_LINES.value - before == 1


def test_what_is_no_text_is_logged_all_the_same(tmp_path: Path) -> None:
    """A lone surrogate, as in a file name that is not UTF-8, is written escaped."""
    path = tmp_path / "own.log"
    configure(LogSettings(outputs=(str(path),)))
    get_logger().error("odd name", name="\udcff")
    assert "\\udcff" in path.read_text()


def test_equal_messages_are_thinned_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Of equal messages the first pass, then each Nth; others are not affected."""
    sampling = LogSampling(initial=2, thereafter=3)
    configure(LogSettings(encoding="json", sampling=sampling))
    log = get_logger()
    for i in range(9):
        log.warning("same", i=i)
    log.warning("other")
    logging.getLogger("lib").warning("same")
    found = lines(capsys)
    assert [line.get("i") for line in found if line["msg"] == "same"] == [0, 1, 4, 7]
    assert [line for line in found if line["msg"] == "other"]


def test_a_new_tick_begins_anew() -> None:
    """When a tick is over, equal messages pass again."""
    now = [0]
    sampler = logs._Sampler(LogSampling(1, 0, tick_ns=10), clock_ns=lambda: now[0])
    assert sampler(None, "info", {"event": "x"})
    with pytest.raises(structlog.DropEvent):
        sampler(None, "info", {"event": "x"})
    now[0] = 10
    assert sampler(None, "info", {"event": "x"})


def test_sampling_memory_is_bounded() -> None:
    """Beyond the limit of distinct messages lines pass and are not remembered."""
    sampler = logs._Sampler(LogSampling(1, 0), clock_ns=lambda: 0)
    for i in range(sampler.MESSAGES_MAX + 10):
        assert sampler(None, "info", {"event": f"message {i}"})
    assert sampler(None, "info", {"event": f"message {sampler.MESSAGES_MAX + 9}"})


def test_configure_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A second configuration replaces the first, for libraries too."""
    configure(LogSettings(encoding="json"))
    configure(LogSettings(encoding="json"))
    logging.getLogger("lib").warning("once")
    assert len(lines(capsys)) == 1
