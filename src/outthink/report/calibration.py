"""Reliability diagrams: how far a verifier's score can be read as a probability."""

from __future__ import annotations

from itertools import pairwise

from outthink.report import prose
from outthink.report.chart import Canvas, Frame, Row, Scale, path, picture, pointed, text
from outthink.report.data import Bucket, Calibration, Report
from outthink.report.format import LEVEL, counted, percent, span, whole
from outthink.report.markup import escape, table, tag
from outthink.report.section import Section, figure
from outthink.report.style import Style, Styles

SQUARE = Canvas("square", 360, 400, 40, 14, 32, 98)
COUNTS = 36.0
"""Height of the tallest bar of counts."""


def calibration(report: Report, styles: Styles) -> Section | None:
    """A reliability diagram for each verifier."""
    shown = [measured for measured in report.calibrations if measured.buckets]
    if not shown:
        return None
    body = "".join(calibration_figure(measured, str(index)) for index, measured in enumerate(shown))
    return Section(
        "calibration",
        "Calibration",
        "Are the verifier's scores probabilities?",
        tag("div", body, class_="side-by-side" if len(shown) > 1 else "single"),
    )


def calibration_figure(measured: Calibration, name: str) -> str:
    """A reliability diagram with its heading and figures; `name` tells it from others."""
    measures = (("AUC", measured.auc), ("ECE", measured.ece))
    facts = "".join(
        tag("div", tag("dt", name), tag("dd", f"{value:.3f}"))
        for name, value in measures
        if value is not None
    )
    scored = sum(bucket.count for bucket in measured.buckets)
    rows = [
        [f"{b.mean_score:.3f}", percent(b.observed), span(b.low, b.high), whole(b.count)]
        for b in measured.buckets
    ]
    head = tag("h3", escape(measured.verifier)) + (
        tag("dl", facts, class_="facts") if facts else ""
    )
    return tag(
        "div",
        head,
        figure(
            f"figure-calibration-{name}",
            reliability(measured),
            reading=prose.read_calibration(measured),
            basis=f"{whole(scored)} {measured.unit} of {counted(measured.problems, 'problem')}; "
            f"whiskers are {LEVEL} intervals, bars below show the number of scores. On the "
            "diagonal a score equals the share that is right.",
            numbers=table(
                ["mean score", "right", "interval", measured.unit],
                rows,
                caption=f"Reliability of {measured.verifier}",
            ),
        ),
        class_="block",
    )


def reliability(calibration: Calibration, *, score: str = "verifier's score") -> str:
    """Observed rate against mean score, the dots' area by count, and bars of the counts below."""
    canvas = SQUARE
    base, right = canvas.height - canvas.bottom, canvas.width - canvas.right
    at = Frame(canvas, Scale(0, 1, canvas.left, right), Scale(0, 1, base, canvas.top))
    buckets = sorted(calibration.buckets, key=lambda bucket: bucket.mean_score)
    most = max(1, *(bucket.count for bucket in buckets))
    places = [at.x(bucket.mean_score) for bucket in buckets]
    edges = [canvas.left - 4.0, *((a + b) / 2 for a, b in pairwise(places)), right + 4.0]
    drawing, hits = _reliability_axes(at, score), []
    for index, (bucket, x) in enumerate(zip(buckets, places, strict=True)):
        y, radius = at.y(bucket.observed), 3 + 5 * (bucket.count / most) ** 0.5
        whisker = path([(x, at.y(bucket.low)), (x, at.y(bucket.high))])
        height = max(1.0, COUNTS * bucket.count / most)
        drawing += tag("path", class_="whisker", d=whisker)
        drawing += tag("circle", class_="dot", cx=x, cy=y, r=radius)
        drawing += tag(
            "rect", class_="tally", x=x - 5, width=10, y=base + 66 - height, height=height
        )
        area = tag(
            "rect",
            x=edges[index],
            y=canvas.top - 4,
            width=edges[index + 1] - edges[index],
            height=base + 70 - canvas.top,
        )
        guide = tag("line", class_="guide", x1=x, x2=x, y1=canvas.top, y2=base)
        hits.append(_bucket_hit(bucket, guide + area, calibration.unit, is_first=index == 0))
    return picture(
        canvas,
        tag("g", drawing, class_="series predicted"),
        "".join(hits),
        description=f"Reliability of {calibration.verifier}.",
    )


def _reliability_axes(at: Frame, score: str) -> str:
    canvas, base = at.canvas, at.canvas.height - at.canvas.bottom
    drawn = []
    for tenth in range(0, 11, 2):
        share = tenth / 10
        x, y = at.x(share), at.y(share)
        ends = {"x1": canvas.left, "x2": canvas.width - canvas.right, "y1": y, "y2": y}
        drawn.append(tag("line", class_="grid", **ends))
        drawn.append(text(f"{share:.1f}", canvas.left - 8, y + 4, css="tick", anchor="end"))
        drawn.append(text(f"{share:.1f}", x, base + 18, css="tick", anchor="middle"))
    corner = path([(at.x(0), at.y(0)), (at.x(1), at.y(1))])
    drawn.append(tag("path", class_="one", d=corner))
    drawn.append(text("share that is right", 2, 14, css="title"))
    middle = (at.x(0) + at.x(1)) / 2
    drawn.append(text(score, middle, canvas.height - 6, css="title", anchor="middle"))
    drawn.append(tag("line", class_="axis", x1=at.x(0), x2=at.x(1), y1=base + 66, y2=base + 66))
    return "".join(drawn)


def _bucket_hit(bucket: Bucket, drawing: str, unit: str, *, is_first: bool) -> str:
    observed = f"{percent(bucket.observed)} {span(bucket.low, bucket.high)}"
    noun = counted(bucket.count, unit.removesuffix("s"))
    rows = [Row(Style(f"right, of {noun}", "predicted", 0), observed)]
    return pointed(f"mean score {bucket.mean_score:.2f}", rows, drawing, is_first=is_first)
