"""How a claim of a source is judged: a rule for each kind of claim, and one table.

The words of the claims stand in helpers/claims/claims.toml; a `Judge` is given, claim
by claim, what was measured. All its comparisons are one family, and all its ranges for
one more run are simultaneous, so that its table comes last.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from helpers import claims, runs, stats, text
from helpers.stats import Finding, Interval, Verdict
from helpers.training import Config

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
LOST, UNTESTED = "not reproduced", "not tested"
ELSE, WORTH_A_LOOK = "something else", ", worth a look"
NOTHING_LEARNT = 0.2  # an accuracy below it: twice what guessing one of ten digits gets


def of_finding(finding: Finding) -> str:
    """The verdict on "a is more than b", or on "a is b" where there is a margin."""
    if finding.verdict is Verdict.NOT_DECIDED:
        return OPEN
    wanted = Verdict.EQUAL if finding.margin else Verdict.FOUND
    return HOLDS if finding.verdict is wanted else FAILS


def of_amount(expected: Interval, value: float, own_settings: bool) -> str:
    """The verdict on "it is this much"; expected: the range of one more run.

    Raises ValueError for what is no finite number.
    """
    if not np.isfinite([*expected[:3], value]).all():
        raise ValueError(f"{value} beside {expected}: only finite numbers are judged")
    inside = expected.low <= value <= expected.high
    if own_settings and not inside:
        return LOST
    if expected.n < stats.SEEDS_FOR_A_VERDICT:
        return OPEN
    return HOLDS if inside else FAILS


def one_more(values: ArrayLike, level: float = 0.95, other_images: int = 0) -> Interval:
    """Mean of `values`, one per seed, and where one further run is expected.

    other_images: how many images it is judged by where these are not ours; the mean has
    to be a share of right answers then. Raises ValueError for fewer than two values.
    """
    range_ = stats.prediction_interval(values, level)
    if not other_images:
        return range_
    mean, n = range_.mean, range_.n
    variance = np.var(np.asarray(values, float), ddof=1) * (1 + 1 / n)
    variance += 2 * mean * (1 - mean) / other_images
    reach = student.isf((1 - level) / 2, n - 1) * variance**0.5
    return Interval(mean, mean - reach, mean + reach, n)


def trained(config: Config, **others: Any) -> list[runs.Record]:
    """The recorded runs of a configuration, named or not, by seed; of each the newest.

    others: settings that take the place of those of `config`.
    """
    wanted, defaults = config.to_dict() | others, Config().to_dict()
    found = {
        record["seed"]: record
        for record in _records()
        if {**defaults, **record["config"]} == wanted
    }
    return [found[seed] for seed in sorted(found)]


def counted(verdicts: Iterable[str]) -> dict[str, int]:
    """How often each of the five verdicts was given, and `ELSE`, any words but these.

    "Not decided, worth a look" counts as not decided.
    """
    plain = [verdict.removesuffix(WORTH_A_LOOK) for verdict in verdicts]
    words = (HOLDS, FAILS, OPEN, LOST, UNTESTED)
    counts = {word: plain.count(word) for word in words}
    return counts | {ELSE: len(plain) - sum(counts.values())}


def _seeds(n: int) -> str:
    few = n < stats.SEEDS_FOR_A_VERDICT
    return f"n = {n}, too few to decide" if few else f"n = {n}"


@cache
def _records() -> list[runs.Record]:
    return runs.read(runs.RECORDED)


def paired(
    measure: Callable[[list[runs.Record]], Any],
    a: list[runs.Record],
    b: list[runs.Record],
) -> list:
    """`measure` of those runs of a and of b whose seeds both have."""
    seeds = {record["seed"] for record in a} & {record["seed"] for record in b}
    return [measure([r for r in part if r["seed"] in seeds]) for part in (a, b)]


@dataclass
class Judge:
    """Collects what was measured for the claims of one topic, and judges them."""

    topic: str
    _decided: dict[str, tuple[str, str]] = field(default_factory=dict)
    _compared: dict[str, tuple] = field(default_factory=dict)
    _kinds: dict[str, dict] = field(default_factory=dict)
    _lost: dict[str, str] = field(default_factory=dict)
    _amounts: dict[str, tuple] = field(default_factory=dict)

    def computed(self, claim: str, measured: str, verdict: bool | str) -> None:
        """A claim that a computation decides, or of which `verdict` is said."""
        if not isinstance(verdict, str):
            verdict = HOLDS if verdict else FAILS
        self._decided[claim] = measured, verdict

    def direction(
        self,
        claim: str,
        a: ArrayLike,
        b: ArrayLike,
        verdict: str = "",
        **kind: Any,
    ) -> None:
        """A claim that "a is more than b", or with a margin, that they are alike.

        a, b, kind (images, margin): as for `stats.family`. verdict: where no comparison
        can give one, as for networks that learnt nothing.
        """
        self._compared[claim] = a, b
        self._kinds[claim] = kind
        if verdict:
            self._lost[claim] = verdict

    def amount(
        self,
        claim: str,
        values: ArrayLike,
        spoken: Callable[[float], str] = "{:.2%}".format,
        own_settings: bool = False,
        other_images: int = 0,
    ) -> None:
        """A claim that it is as much as the entry's `reported`.

        values: ours, one per seed. spoken: how one of them is written. own_settings:
        whether they are of the source's own settings. other_images: as for `one_more`.
        """
        self._amounts[claim] = values, spoken, own_settings, other_images

    def table(self, key: str, caption: str) -> dict[str, str]:
        """Display all claims of the topic; return the verdict on each.

        Raises ValueError for a claim that was not judged, or is not of this topic, and
        for an amount of which the entry does not say what the source reported.
        """
        own = {
            claim.id: claim for claim in claims.claims() if claim.topic == self.topic
        }
        for claim in own.values():
            if claim.verdict:
                self.computed(claim.id, claim.measured, claim.verdict)
        judged = {*self._decided, *self._compared, *self._amounts}
        if judged != own.keys():
            raise ValueError(f"{judged ^ own.keys()}: not judged, or of another topic")
        findings = self._findings()
        entries = {name: self._entry(claim, findings) for name, claim in own.items()}
        parts = [caption]
        if findings:
            parts.append(
                f"Differences with simultaneous 95 % intervals over n seeds, in "
                f"percentage points unless a unit is named; p: raw; adjusted, times "
                f"{len(findings)}; would have been found: with a probability of "
                f"{stats.POWER:.0%}."
            )
        if self._amounts:
            parts.append(
                f"One more run: where 95 % of further runs are expected, simultaneous "
                f"over {len(self._amounts)} amounts."
            )
        text.table(
            key,
            " ".join(parts),
            ["the source", "we measured", "verdict"],
            [
                [
                    f"*{own[name].source}:* {own[name].says}",
                    measured,
                    f"**{verdict}**",
                ]
                for name, (measured, verdict) in entries.items()
            ],
        )
        return {name: verdict for name, (_, verdict) in entries.items()}

    def _findings(self) -> dict[str, Finding]:
        if not self._compared:
            return {}
        kinds = self._kinds.items()
        return stats.family(
            self._compared,
            images={name: k["images"] for name, k in kinds if "images" in k},
            margin={name: k["margin"] for name, k in kinds if "margin" in k},
        )

    def _entry(self, claim: claims.Claim, findings: dict) -> Sequence[str]:
        """What was measured and the verdict, in words."""
        if claim.id in self._decided:
            measured, verdict = self._decided[claim.id]
            return measured, verdict
        before = f"{claim.measured}: " if claim.measured else ""
        if claim.id in self._amounts:
            values, spoken, own_settings, other_images = self._amounts[claim.id]
            level = 1 - 0.05 / len(self._amounts)
            expected = one_more(values, level, other_images)
            mean, low, high = map(spoken, expected[:3])
            measured = f"{mean}, one more run {low} to {high}, {_seeds(expected.n)}"
            if claim.reported is None:
                raise ValueError(f"{claim.id} does not say what the source reported")
            verdict = of_amount(expected, claim.reported, own_settings)
            return before + measured, verdict
        finding = findings[claim.id]
        scale, digits = (1, 4) if claim.unit else (100, 2)
        middle, low, high = (
            text.signed(scale * value, digits)
            for value in (finding.difference, finding.low, finding.high)
        )
        measured = f"{middle} {claim.unit}".strip()
        measured += f" ({low} to {high}), {_seeds(finding.n)}"
        if finding.decidable and finding.verdict is Verdict.NOT_DECIDED:
            found = text.signed(scale * finding.detectable, digits).removeprefix("+")
            measured += f", {found} would have been found"
        p = "; ".join(map(text.p_value, finding.p)).replace("< ", "<\N{NO-BREAK SPACE}")
        verdict = self._lost.get(claim.id) or of_finding(finding)
        if verdict == OPEN and finding.worth_a_look:
            verdict += WORTH_A_LOOK
        return f"{before}{measured}; p {p}", verdict
