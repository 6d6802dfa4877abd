"""The program run in-process on edited files, and what it may say and do."""

import csv
import io
import json
import math
import re
import resource
import signal
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

from log_lines import without_log

from data_prep.errors import BadInput
from face_strnn.cli.program import main

SECONDS = 60
"""Of processor time, which other programs do not lengthen."""
GIBIBYTES = 4


class TookTooLong(Exception):
    """The program still ran when its time was over."""


@dataclass(frozen=True)
class Ended:
    """How the program ended, and what it said."""

    status: int
    out: str
    err: str


@contextmanager
def limits():
    """Stop what hangs, and refuse memory to what takes far more than the work needs."""

    def ring(*_):
        raise TookTooLong(f"more than {SECONDS} s of processor time")

    before = signal.signal(signal.SIGPROF, ring)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as pages:  # noqa: PTH123 it is no file of ours
        used = int(pages.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + GIBIBYTES * 2**30, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def run_program(*arguments):
    """Run it as a terminal would: what it prints must be text that UTF-8 can hold."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    with redirect_stdout(out), redirect_stderr(err), limits():
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
    said = (stream.buffer.getvalue().decode() for stream in (out, err))
    return Ended(status, *said)


def ended_well(*arguments, names):
    """Run the program: it does its work, or refuses the input in a line or two that name a file of ``names``."""
    ended = run_program(*arguments)
    lines = [line for line in without_log(ended.err) if line.strip() and "━" not in line]  # no progress bars
    said = ended.err[-2000:]
    assert ended.status in (0, 1, 2), f"status {ended.status}: {said}"
    assert "Traceback" not in ended.err, said
    errors = [line for line in lines if ": warning: " not in line]
    assert all(line.startswith("face-strnn ") for line in lines[:1]), said
    if ended.status == 0:
        assert not errors, f"it ended well and says: {said}"
    else:
        assert 1 <= len(errors) <= 2, f"{len(errors)} lines: {said}"
        assert any(str(name) in ended.err for name in names), f"no file is named: {said}"
    return ended


def works_or_refuses(function, names):
    """Call a function: it returns, or refuses its input by a message that names a file of ``names``.

    The program prints an :class:`OSError` as it prints :class:`BadInput`.
    """
    with limits():
        try:
            function()
        except (BadInput, OSError) as error:
            assert any(str(name) in str(error) for name in names), f"no file is named: {error}"


def counted_accuracy(run):
    """The share of rows of ``predictions.csv`` whose prediction is right, counted without the program."""
    csv.field_size_limit(sys.maxsize)
    with (run / "predictions.csv").open(encoding="utf-8-sig", newline="") as file:
        header, *rows = [row for row in csv.reader(file) if row]  # blank lines are none
    rows = [dict(zip(header, row, strict=False)) for row in rows]
    return sum(row["truth"] == row["prediction"] for row in rows) / len(rows)


def assert_accuracy(claimed, run, what):
    counted = counted_accuracy(run)
    assert math.isclose(claimed, counted, abs_tol=1e-9), f"{what} {claimed}, and predictions.csv gives {counted}"


def assert_shown(shown, run, what):
    """A percentage with one digit after the point is that of ``predictions.csv``."""
    counted = 100 * counted_accuracy(run)
    assert abs(float(shown) - counted) <= 0.05 + 1e-9, f"{what} {shown}, and predictions.csv gives {counted}"


def assert_audit_counts(ended, run):
    """An audit without a failed check leaves the accuracy that the predictions have."""
    if ended.status == 0:
        assert json.loads(ended.out)["passed"]
        assert_accuracy(
            json.loads((run / "summary.json").read_text())["accuracy"], run, "the audit passes the accuracy"
        )


def assert_report_counts(ended, run):
    """A table and page whose audit has no failed check show the accuracy that the predictions have."""
    verdict = re.search(r"^audit: (.*)$", ended.out, re.MULTILINE)
    if ended.status or "failed" in verdict[1]:
        return
    body = [line for line in ended.out.splitlines() if line.startswith("│")]
    assert_shown(body[0].split("│")[2], run, "the table shows")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert_shown(re.search(r"<h1>[^:]*: ([\d.]+) % of", page)[1], run, "the page shows")


def assert_comparison_counts(ended, run):
    """A comparison that does not warn of a run gives the accuracy that its predictions have."""
    if ended.status == 0:
        (compared,) = [one for one in json.loads(ended.out)["runs"] if one["run"] == str(run)]
        if not compared["warning"]:
            assert_accuracy(compared["accuracy"], run, "the comparison gives")
