"""What is counted, as Prometheus reads it: no user text, and few labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from outthink.gateway.progress import Thought

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_TENTHS = tuple(n / 10 for n in range(1, 11))


class Metrics:
    """Counters of one gateway."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.requests = Counter(
            "outthink_requests", "Requests, by path and status.", ("path", "status"), registry=own
        )
        self.seconds = Histogram(
            "outthink_request_seconds",
            "From a request to the end of its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=own,
        )
        self.tokens = Counter(
            "outthink_tokens", "Tokens, by who computed them and how.", ("kind",), registry=own
        )
        self.generations = Counter(
            "outthink_generations", "Full solutions' worth that was drawn.", registry=own
        )
        self.decisions = Counter(
            "outthink_decisions",
            "What the policy decided: a stage, or to answer.",
            ("stage",),
            registry=own,
        )
        self.confidence = Histogram(
            "outthink_confidence",
            "Probability that an answer is right, as the policy has it.",
            buckets=_TENTHS,
            registry=own,
        )
        self.verdicts = Counter(
            "outthink_verdicts", "What /v1/feedback said of answers.", ("right",), registry=own
        )
        self.expected = Counter(
            "outthink_verdicts_expected",
            "Sum of the probabilities of the answers that there are verdicts on: where they are "
            "calibrated, as many as were right.",
            registry=own,
        )
        self.late = Counter("outthink_late", "Answers cut short by a deadline.", registry=own)
        self.gone = Counter("outthink_gone", "Requests whose client had gone.", registry=own)
        self.running = Gauge("outthink_requests_running", "Requests under way.", registry=own)
        self.waiting = Gauge("outthink_requests_waiting", "Requests in line.", registry=own)

    def thought(self, one: Thought) -> None:
        """Count an answer."""
        usage = one.usage
        for kind, count in (
            ("prompt", usage.prompt_tokens),
            ("cached", usage.cached_tokens),
            ("decoded", usage.decoded_tokens),
            ("discarded", usage.discarded_tokens),
            ("verifier", usage.verifier_tokens),
            ("verifier_cached", usage.verifier_cached_tokens),
        ):
            self.tokens.labels(kind).inc(count)
        self.generations.inc(usage.generations)
        for decision in one.decisions:
            self.decisions.labels(decision.stage.name if decision.stage else "answer").inc()
        if one.chance is not None:
            self.confidence.observe(one.chance)
        if one.late:
            self.late.inc()

    def verdict(self, right: bool, chance: float | None) -> None:
        """Count a verdict; without a probability nothing was expected of it."""
        if chance is not None:
            self.verdicts.labels("yes" if right else "no").inc()
            self.expected.inc(chance)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)
