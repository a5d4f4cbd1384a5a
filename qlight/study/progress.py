"""What of a study is done, what it took, and what the rest will take: tables for a terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from qlight.study.run import clock
from qlight.study.store import Spent, Store
from qlight.study.task import Plan


def print_plan(plan: Plan, store: Store) -> None:
    """Every task, and what the missing ones will take, in the order in which they run."""
    left: dict[str, float] = defaultdict(float)
    print(f"{'task':<44} {'state':<8} {'CPU seconds':>11}")
    for task in plan:
        digest = plan.digest(task.name)
        spent = store.spent(digest) if store.is_done(digest) else None
        state = "done" if spent is not None else "begun" if store.is_begun(digest) else "missing"
        if spent is None:
            left[_kind(task.name)] += task.cost
        print(f"{task.name:<44} {state:<8} {(f'{spent.cpu_seconds:.1f}' if spent is not None else f'~{task.cost:.0f}'):>11}")
    if left:
        print("\nstill to run, in this order    about CPU-hours    in all")
    whole = 0.0
    for kind, seconds in left.items():
        whole += seconds
        print(f"{kind:<30} {seconds / 3600:>15.2f} {whole / 3600:>9.2f}")
    done = sum(store.is_done(plan.digest(task.name)) for task in plan)
    print(f"{done} of {len(plan)} tasks are done; the others take about {whole / 3600:.1f} CPU-hours (a rough estimate)")


def _kind(name: str) -> str:
    """Tasks that are estimated together: those that differ in the network alone.

    >>> _kind("attack/torch/paper/CW/w1a1"), _kind("graph/w1a1"), _kind("transfer/CW")
    ('attack/torch/paper/CW', 'graph', 'transfer/CW')
    """
    first, _, rest = name.partition("/")
    return name if first in ("transfer", "ensemble", "pixels") or not rest else name.rpartition("/")[0]


def print_times(plan: Plan, store: Store) -> None:
    """What the stages took, however many runs it took to finish them."""
    stages: dict[str, Spent] = {}
    for task in plan:
        spent = store.spent(plan.digest(task.name)) or Spent(0.0, 0.0)
        stages[task.stage] = stages.get(task.stage, Spent(0.0, 0.0)).plus(spent)
    whole = sum(spent.cpu_seconds for spent in stages.values())
    print(f"{'stage':<12} {'seconds':>9} {'CPU seconds':>12}")
    for stage, spent in stages.items():
        print(f"{stage:<12} {spent.seconds:9.1f} {spent.cpu_seconds:12.1f} {spent.cpu_seconds / max(whole, 1e-9):7.1%}")
    print(f"{'all':<12} {sum(spent.seconds for spent in stages.values()):9.1f} {whole:12.1f}")


def print_share(plan: Plan, now: Mapping[str, Spent]) -> None:
    """The share of what this command took, its processes' start included, that is neither training nor attacks."""
    whole = clock().cpu_seconds
    useful = sum(spent.cpu_seconds for name, spent in now.items() if plan[name].stage in ("training", "attacks"))
    if now:
        print(f"this command: {whole:.1f} CPU seconds, {(whole - useful) / whole:.1%} outside training and attacks")
