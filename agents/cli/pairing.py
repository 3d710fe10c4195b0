"""Two sets of results → pairs to compare, and what has no counterpart. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from profiler.base import Frozen
from profiler.result import RunResult, RunStatus

# What two results of a pair have in common, unless it is what is compared.
KEY = ("device", "model", "runtime", "precision", "batch_size", "threads", "accelerator")

Key = tuple[object, ...]


class Pair(Frozen):
    """A baseline and a candidate of one configuration."""

    baseline: RunResult
    candidate: RunResult


class Unpaired(Frozen):
    """A configuration with no comparison, and why."""

    configuration: str
    reason: str


class Paired(Frozen):
    """All that two sets of results have in common and apart."""

    pairs: tuple[Pair, ...]
    unpaired: tuple[Unpaired, ...]


def pair(
    baseline: Sequence[RunResult], candidate: Sequence[RunResult], across: Collection[str] = ()
) -> Paired:
    """Results of the same configuration together; one of each side is a pair as it is.

    Args:
        baseline: results of any number of configurations.
        candidate: likewise.
        across: fields that are meant to differ, and so do not make a configuration.
    """
    if len(baseline) == len(candidate) == 1:
        return Paired(pairs=(Pair(baseline=baseline[0], candidate=candidate[0]),), unpaired=())
    fields = [field for field in KEY if field not in across]
    old, new = _grouped(baseline, fields), _grouped(candidate, fields)
    pairs, unpaired = [], []
    for key in {**old, **new}:
        first, second = old.get(key, []), new.get(key, [])
        if len(first) == len(second) == 1:
            pairs.append(Pair(baseline=first[0], candidate=second[0]))
        else:
            reason = _why_not(first, second)
            unpaired.append(Unpaired(configuration=describe(fields, key), reason=reason))
    return Paired(pairs=tuple(pairs), unpaired=tuple(unpaired))


def what_differs(baseline: Sequence[RunResult], candidate: Sequence[RunResult]) -> list[str]:
    """Fields each of which, left out, would make pairs of results that have none."""
    return [field for field in KEY if pair(baseline, candidate, (field,)).pairs]


def _grouped(results: Sequence[RunResult], fields: Sequence[str]) -> dict[Key, list[RunResult]]:
    groups: dict[Key, list[RunResult]] = {}
    for result in results:
        groups.setdefault(tuple(getattr(result, field) for field in fields), []).append(result)
    return groups


def _why_not(baseline: Sequence[RunResult], candidate: Sequence[RunResult]) -> str:
    if baseline and candidate:
        return (
            f"{len(baseline)} results of the baseline and {len(candidate)} of the candidate: "
            "give single runs by their ids"
        )
    lone, side = (candidate, "candidate") if candidate else (baseline, "baseline")
    failed = [result.error for result in lone if result.status is not RunStatus.SUCCEEDED]
    if failed:
        why = f"{failed[0].kind.value}: {failed[0].message}" if failed[0] else "cancelled"
        return f"the {side} has no figures ({why})"
    return f"only the {side} has it"


def describe(fields: Sequence[str], key: Sequence[object]) -> str:
    """``pi5-a, resnet18, torch, fp32, batch 1, cpu``; what is not known is left out."""
    forms = {"batch_size": "batch {}", "threads": "{} thread(s)"}
    known = [(field, value) for field, value in zip(fields, key, strict=True) if value is not None]
    return ", ".join(forms.get(field, "{}").format(value) for field, value in known)
