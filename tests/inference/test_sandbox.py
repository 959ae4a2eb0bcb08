"""Files are decoded in processes of their own, and whatever happens there costs one file."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lungwise.errors import ImageError, LungwiseError
from lungwise.imaging.read import decode, read
from lungwise.inference import sandbox_wire as wire
from lungwise.inference.sandbox import Sandbox
from tests.conftest import Encode
from tests.imaging.test_dicom import make

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and only Linux keeps limits of memory")
MISBEHAVING = "tests.inference.misbehaving:decode"
HARM = "it is damaged or made to do harm, check where it is from."


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """The real decoder in one worker."""
    with Sandbox(1, seconds=60) as made:
        yield made


@pytest.fixture(scope="module")
def bad() -> Iterator[Sandbox]:
    """The decoder of ``misbehaving`` in one worker that has half a second."""
    with Sandbox(1, seconds=0.5, megabytes=100, decode=MISBEHAVING) as made:
        yield made


def refused(sandbox: Sandbox, image: Path | bytes) -> str:
    with pytest.raises(ImageError) as caught:
        sandbox(image, 0)
    return str(caught.value)


def works(sandbox: Sandbox) -> bool:
    found = sandbox(b"grey 7", 0)
    return found.pixels.shape == (40, 50) and bool((found.pixels == 7).all())


# The same answers as without


def test_it_answers_as_reading_does(sandbox: Sandbox, encode: Encode, ramp: NDArray[np.uint8], tmp_path: Path) -> None:
    large = np.kron(ramp, np.ones((8, 8), np.uint8))
    files = {
        "a.png": encode(ramp),
        "b.tif": encode(ramp.astype(np.uint16) * 16, "TIFF"),
        "c.jpg": encode(large, "JPEG"),
        "d.bmp": encode(ramp, "BMP", "RGB"),
        "e.dcm": make(ramp.astype(np.uint16), stored=12, ViewPosition="AP"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        for image in (tmp_path / name, data):
            found, plain = sandbox(image, 64), read(tmp_path / name, 64)
            np.testing.assert_array_equal(found.pixels, plain.pixels)
            assert (found.warnings, found.view, found.original) == (plain.warnings, plain.view, plain.original)
    assert sandbox(tmp_path / "c.jpg", 64).pixels.shape == (96, 128)  # a JPEG was decoded at a part of its size


@pytest.mark.parametrize("data", [b"", b"nothing", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_its_refusals_are_those_of_reading(sandbox: Sandbox, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(ImageError) as plain:
        read(tmp_path / "x.png")
    assert refused(sandbox, tmp_path / "x.png") == str(plain.value)
    with pytest.raises(ImageError) as plain:
        decode(data)
    assert refused(sandbox, data) == str(plain.value)


def test_a_file_that_cannot_be_opened_is_refused_by_name(sandbox: Sandbox, tmp_path: Path) -> None:
    assert refused(sandbox, tmp_path / "x.png") == f"An image must be a file, but {tmp_path / 'x.png'} does not exist."


def test_an_image_arrives_with_all_that_is_known_of_it(bad: Sandbox) -> None:
    found = bad(b"grey 9", 0)
    assert (found.warnings, found.view, found.original) == (("a warning",), "PA", (80, 100))
    assert found.pixels.dtype == np.uint8
    assert found.pixels.flags.writeable


# What a file may do to its decoder


@pytest.mark.parametrize(
    ("data", "ending"),
    [
        (b"segfault", "SIGSEGV"),
        (b"abort", "SIGABRT"),
        (b"kill", "SIGKILL"),
        (b"exit 0", "exit code 0"),
        (b"exit 3", "exit code 3"),
        (b"raise", "exit code 1"),
        (b"recurse", "exit code 1"),
        (b"write 10000", "exit code 1"),
        (b"open 40", "exit code 1"),
    ],
)
def test_a_decoder_that_dies_costs_one_file(bad: Sandbox, data: bytes, ending: str) -> None:
    assert refused(bad, data) == f"image made its decoder fail ({ending}); {HARM}"
    assert works(bad)


@pytest.mark.parametrize("data", [b"hang", b"spin"])
def test_a_decoder_that_does_not_end_is_ended(bad: Sandbox, data: bytes) -> None:
    assert refused(bad, data) == f"image could not be decoded within 0.5 s; {HARM}"
    assert works(bad)


def test_a_child_that_holds_the_pipe_is_ended_as_well(bad: Sandbox) -> None:
    # The administrator may start children in spite of the limit.
    endings = (f"image could not be decoded within 0.5 s; {HARM}", f"image made its decoder fail (exit code 1); {HARM}")
    assert refused(bad, b"fork") in endings
    assert works(bad)


@pytest.mark.parametrize("data", [b"allocate 200000000", b"map 200000000"])
def test_memory_is_limited(bad: Sandbox, data: bytes) -> None:
    assert refused(bad, data) == "image could not be decoded within 100 MB of memory; shrink it first."
    assert works(bad)


def test_memory_within_the_limit_is_given(bad: Sandbox) -> None:
    assert "exit code 1" in refused(bad, b"map 90000000")  # an array is no radiograph
    assert works(bad)


def test_a_real_picture_may_need_too_much_memory(encode: Encode) -> None:
    with Sandbox(1, seconds=60, megabytes=20) as small:
        assert refused(small, encode(np.zeros((5000, 5000), np.uint8))) == (
            "image could not be decoded within 20 MB of memory; shrink it first."
        )
        assert small(encode(np.zeros((50, 50), np.uint8)), 0).pixels.shape == (50, 50)


@pytest.mark.parametrize(
    "lie", ["garbage", "huge", "cap", "text", "view", "status", "empty", "both", "original", "pickle {place}"]
)
def test_an_answer_in_another_form_is_not_believed(bad: Sandbox, tmp_path: Path, lie: str) -> None:
    place = tmp_path / "ran"
    assert refused(bad, b"say " + lie.format(place=place).encode()) == f"image made its decoder fail (SIGKILL); {HARM}"
    assert not place.exists()
    assert works(bad)


def test_an_answer_to_a_question_that_was_not_asked_is_thrown_away(bad: Sandbox) -> None:
    assert bad(b"twice 5", 0).pixels[0, 0] == 66
    assert works(bad)


def test_what_a_codec_prints_does_not_come_between(bad: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    assert bad(b"print 7", 0).pixels[0, 0] == 7
    assert works(bad)
    assert capfd.readouterr() == ("", "")


def test_an_error_has_one_line_that_can_be_shown(bad: Sandbox) -> None:
    assert refused(bad, b"refuse \x1b[31mred\x07") == "?[31mred?"


def test_a_worker_is_kept_from_much(bad: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(bad, b"tell core") == "(0, 0)"
    assert refused(bad, b"tell session") == "True"
    monkeypatch.setenv("LUNGWISE_TOKEN", "secret")
    with Sandbox(1, decode=MISBEHAVING) as fresh:
        assert "TOKEN" not in refused(fresh, b"tell environment")


# Workers


def test_a_worker_serves_many_files_and_is_replaced_after_a_crash(bad: Sandbox) -> None:
    first = refused(bad, b"tell pid")
    assert refused(bad, b"tell pid") == first
    refused(bad, b"segfault")
    assert refused(bad, b"tell pid") != first


def test_a_worker_that_died_while_it_waited_costs_nothing(bad: Sandbox) -> None:
    pid = int(refused(bad, b"tell pid"))
    ended = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    wait_for(ended)
    assert works(bad)


def test_each_thread_gets_its_own_answers() -> None:
    asked = [b"segfault" if number % 7 == 3 else b"grey %d" % number for number in range(28)]
    with Sandbox(2, decode=MISBEHAVING) as sandbox, ThreadPoolExecutor(8) as pool:
        sandbox.start()
        futures = [pool.submit(sandbox, data, 0) for data in asked]
        for number, future in enumerate(futures):
            if number % 7 == 3:
                with pytest.raises(ImageError, match="SIGSEGV"):
                    future.result()
            else:
                assert future.result().pixels[0, 0] == number


def wait_for(descriptor: int) -> None:
    """Wait until the process of a pidfd has ended."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    assert poll.poll(30_000)
    os.close(descriptor)


def left_over() -> tuple[set[str], list[str]]:
    """Open descriptors and children of this process."""
    children = Path("/proc/self/task", str(threading.get_native_id()), "children").read_text().split()
    return {place.name for place in Path("/proc/self/fd").iterdir()}, children


def crash(times: int) -> None:
    """Nothing is left of that many crashes."""
    before = left_over()
    with Sandbox(1, decode=MISBEHAVING) as sandbox:
        for _ in range(times):
            refused(sandbox, b"segfault")
        assert len(left_over()[0]) <= len(before[0]) + 2
    assert left_over() == before


def test_nothing_is_left_of_crashes() -> None:
    crash(4)


@pytest.mark.slow
def test_nothing_is_left_of_200_crashes() -> None:
    crash(200)


def test_a_sandbox_that_is_not_used_starts_nothing() -> None:
    before = left_over()
    with Sandbox(4):
        assert left_over() == before


def test_closing_ends_who_is_at_work() -> None:
    with Sandbox(1, seconds=600, decode=MISBEHAVING) as sandbox, ThreadPoolExecutor(2) as pool:
        assert works(sandbox)
        futures = [pool.submit(refused, sandbox, b"hang")]
        while not sandbox._busy:
            time.sleep(0.001)
        sandbox.close()
        assert futures[0].result(60) == f"image made its decoder fail (SIGKILL); {HARM}"
    with pytest.raises(LungwiseError, match=r"^The sandbox is closed; open another one\.$"):
        sandbox(b"grey 1", 0)


WAITING = f"""
import sys
from lungwise.errors import ImageError
from lungwise.inference.sandbox import Sandbox
with Sandbox(1, seconds=600, decode={MISBEHAVING!r}) as sandbox:
    try:
        sandbox(b"tell pid", 0)
    except ImageError as pid:
        print(pid, flush=True)
    sandbox(sys.argv[1].encode(), 0) if sys.argv[1] != "idle" else sys.stdin.read()
"""


@pytest.mark.parametrize(("doing", "by"), [("hang", signal.SIGINT), ("idle", signal.SIGKILL)])
def test_an_interruption_leaves_no_worker(doing: str, by: signal.Signals) -> None:
    command = [sys.executable, "-c", WAITING, doing]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=environment, **pipes) as process:
        assert process.stdout
        assert process.stderr
        worker = os.pidfd_open(int(process.stdout.readline()))
        process.send_signal(by)
        error = process.stderr.read()
        wait_for(worker)
    assert process.returncode == -by
    assert by == signal.SIGKILL or error.strip().endswith("KeyboardInterrupt")


def test_a_worker_that_cannot_start_is_one_sentence() -> None:
    ending = r"could not be started \(exit code 1\); check memory and the limit of processes\.$"
    with Sandbox(1, decode="lungwise.nothing:decode") as sandbox, pytest.raises(LungwiseError, match=ending):
        sandbox(b"x", 0)


# The form of answers


def test_a_request_reads_back() -> None:
    head = wire.request("ä.png", 512, 99)
    assert wire.parse_request(head[: wire.REQUEST_BYTES]) == (512, 6, 99)
    with pytest.raises(wire.ProtocolError):
        wire.parse_request(wire._REQUEST.pack(b"LWq1", 0, 0, 2**40))
    with pytest.raises(wire.ProtocolError):
        wire.parse_request(b"\0" * wire.REQUEST_BYTES)


def test_warnings_stay_apart_and_on_their_lines() -> None:
    pieces = wire.reply(decode(png_16()))
    head = wire.parse_reply(bytes(pieces[0]))
    assert head.text == len(pieces[1])
    assert wire.parse_text(bytes(pieces[1])).startswith("16-bit image without a window")
    assert wire.parse_text(b"a\nb\x1b\xff\r") == "a\nb?\ufffd?"


def png_16() -> bytes:
    import cv2

    return cv2.imencode(".png", np.arange(1600, dtype=np.uint16).reshape(40, 40))[1].tobytes()
