"""What the progress line says, by a clock that the test turns."""

import io

import pytest

from outthink.run.progress import Progress, compact, duration


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress(clock, total=100, *, stream=None, done=0.0):
    return Progress("sampling", total, "problems", stream=stream, clock=clock, done=done)


def test_work_over_within_two_seconds_says_nothing():
    clock, stream = Clock(), io.StringIO()
    with progress(clock, stream=stream) as bar:
        for _ in range(4):
            clock.now += 0.5
            bar.advance(25)
    assert stream.getvalue() == ""


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end():
    clock, stream = Clock(), io.StringIO()
    with progress(clock, stream=stream) as bar:
        for _ in range(40):
            clock.now += 1
            bar.advance(2.5)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["sampling", "40%", "40/100", "problems", "2.5/s", "24s", "left"]
    assert lines[-1].split()[1:] == ["100%", "100/100", "problems", "2.5/s", "in", "40s"]


def test_a_terminal_is_redrawn_in_place_and_left_on_a_new_line():
    clock, stream = Clock(), Terminal()
    with progress(clock, stream=stream) as bar:
        for _ in range(5):
            clock.now += 1
            bar.advance(20)
    drawn = stream.getvalue().split("\r\x1b[2K")[1:]
    assert [text.split()[1] for text in drawn] == ["60%", "80%", "100%", "100%"]
    assert all("\n" not in text for text in drawn[:-1])
    assert drawn[-1].endswith("in 5s\n")


def test_a_terminal_is_not_redrawn_for_every_item():
    clock, stream = Clock(), Terminal()
    with progress(clock, total=10_000, stream=stream) as bar:
        clock.now += 3
        for _ in range(1000):
            clock.now += 0.001
            bar.advance(1)
    assert 3 <= stream.getvalue().count("\r") <= 6


def test_the_rate_counts_only_what_this_run_has_done():
    # A resumed run begins at 80 of 100: five more in ten seconds are half a problem a second.
    clock, stream = Clock(), io.StringIO()
    with progress(clock, stream=stream, done=80) as bar:
        clock.now += 16
        bar.advance(8)
    line = stream.getvalue().splitlines()[0]
    assert line.split()[1:] == ["88%", "88/100", "problems", "0.5/s", "24s", "left"]


def test_time_left_is_unknown_until_something_is_done():
    clock, stream = Clock(), io.StringIO()
    with progress(clock, stream=stream) as bar:
        clock.now += 20
        bar.advance(0)
    assert "  0/s  ? left" in stream.getvalue()


def test_a_note_stays_until_another_takes_its_place():
    clock, stream = Clock(), io.StringIO()
    with progress(clock, stream=stream) as bar:
        for note in ("loss 2.1", "", "loss 1.9"):
            clock.now += 20
            bar.advance(1, note)
    endings = [line.rpartition("  ")[2] for line in stream.getvalue().splitlines()]
    assert endings == ["loss 2.1", "loss 2.1", "loss 1.9", "loss 1.9"]


def test_a_run_that_fails_leaves_the_line_it_had_come_to():
    clock, stream = Clock(), Terminal()
    with pytest.raises(RuntimeError, match="engine"), progress(clock, stream=stream) as bar:
        clock.now += 10
        bar.advance(40)
        raise RuntimeError("engine")
    assert " 40%" in stream.getvalue()
    assert stream.getvalue().endswith("15s left\n")


def test_nothing_to_do_is_done():
    clock, stream = Clock(), io.StringIO()
    with progress(clock, total=0, stream=stream) as bar:
        clock.now += 20
        bar.advance(0)
    assert "100%" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.4, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (95, "1m35s"),
        (3599.7, "1h00m"),
        (7384, "2h03m"),
        (-3, "0s"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (7, "7"),
        (0.123, "0.12"),
        (2.5, "2.5"),
        (12.6, "13"),
        (999, "999"),
        (1000, "1k"),
        (12300, "12.3k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (999_999, "1M"),
        (1_250_000, "1.25M"),
        (999_999_999, "1G"),
        (3e9, "3G"),
        (-12300, "-12.3k"),
    ],
)
def test_compact_numbers(number, text):
    assert compact(number) == text
