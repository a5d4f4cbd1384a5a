"""Security curves: accuracy against distortion, against queries, against eps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from qlight.study.report.markup import Markup, element, join, paragraphs
from qlight.study.report.material import Material, Section
from qlight.study.report.plot import Chart, Line, legend
from qlight.study.report.table import html_list
from qlight.study.results import Attacked

EPS_TEXT = "The paper's attacks with other eps, step sizes in proportion: a line a network, over all images attacked."


def section(of: Material) -> Section | None:
    """All curves that the records allow."""
    parts = [*_distortions(of), *_queries(of), *_eps(of)]
    if not parts:
        return None
    return Section("curves", "Security curves", join([legend(of.results.networks), *parts]))


def _distortions(of: Material) -> Iterator[Markup]:
    groups = _groups(of)
    if not groups:
        return
    yield element("h3", "Accuracy against distortion")
    yield paragraphs(
        "The share of images that are right and that no example within an l2 distance of x fools; an image that is wrong before the "
        "attack is lost at 0, so a line starts at the clean accuracy. Of an attack of one eps the line ends where its examples are."
    )
    charts = []
    for (target, preset, attack), found in groups.items():
        lines = [Line(each.network, _share(each, "l2"), steps=True) for each in found]
        charts.append(
            Chart(f"curve-l2-{target}-{preset}-{attack}", _title(found), "l2 distortion", "accuracy", _to_one_end(lines)).to_html()
        )
    yield element("div", *charts, class_="charts")


def _queries(of: Material) -> Iterator[Markup]:
    """Of attacks that take no gradients and count queries image by image."""
    charts, constant = [], []
    for (target, preset, attack), found in _groups(of).items():
        counts = {each.summary["queries"] for each in found}
        lines = [Line(each.network, _share(each, "queries"), steps=True) for each in found if each.summary["lost"]["queries"]]
        if len(counts) == 1 and None not in counts:
            constant.append(f"{attack}, {preset} ({target}): {counts.pop()} queries for every image.")
        elif any(x > 0 for line in lines for x, _ in line.points):
            name = f"curve-queries-{target}-{preset}-{attack}"
            charts.append(Chart(name, _title(found), "queries (log)", "accuracy", _to_one_end(lines), logarithmic=True).to_html())
    if charts or constant:
        yield element("h3", "Accuracy against queries")
        yield paragraphs(
            "Of attacks without gradients: the share of images that are right and not fooled by an attack that ended after x queries or "
            "fewer. An attack that goes on after its first success, as ZOO does, has asked for all its queries by then."
        )
        yield html_list(constant) if constant else Markup()
        yield element("div", *charts, class_="charts") if charts else Markup()


def _eps(of: Material) -> Iterator[Markup]:
    several, diagnosed = eps_charts(of), _diagnosed(of)
    if not several and diagnosed is None:
        return
    said = [EPS_TEXT] if several else []
    if diagnosed is not None:
        said.append("The diagnostics ran BIM with several, on the few images that each network has right: accuracy of these.")
    yield element("h3", "Accuracy against eps")
    yield paragraphs(" ".join(said))
    yield element("div", *(each.to_html() for each in (*several.values(), *filter(None, [diagnosed]))), class_="charts")


def eps_charts(of: Material) -> dict[str, Chart]:
    """By attack, of those that ran with several eps."""
    return {
        attack: Chart(f"curve-eps-{attack}", f"{attack}, n = {images}", "eps (log)", "accuracy", lines, logarithmic=True)
        for attack, (images, lines) in _several_eps(of).items()
    }


def _diagnosed(of: Material) -> Chart | None:
    lines, sizes = [], []
    for task in of.results.folders:
        if task.startswith("diagnose/"):
            content = of.results.json(task, "diagnostics.json")
            if content["eps_curve"]:
                lines.append(Line(task.partition("/")[2], [(eps, 1 - success) for eps, success in content["eps_curve"]]))
                sizes.append(content["correct"])
    if not lines:
        return None
    n = f"{min(sizes)} to {max(sizes)}" if len(set(sizes)) > 1 else str(sizes[0])
    return Chart("curve-eps-diagnostics", f"BIM of the diagnostics, n = {n}", "eps (log)", "accuracy", lines, logarithmic=True)


def _several_eps(of: Material) -> Mapping[str, tuple[int, Sequence[Line]]]:
    """By attack: on how many images, and a line a network."""
    points: dict[str, dict[str, dict[float, Attacked]]] = defaultdict(lambda: defaultdict(dict))
    for each in of.results.with_eps:
        points[each.attack.rpartition(" ")[0]][each.network][float(each.row["parameters"]["eps"])] = each
    found = {}
    for attack, networks in points.items():
        lines = [Line(name, [(eps, each.accuracy.value) for eps, each in sorted(at.items())]) for name, at in networks.items()]
        found[attack] = next(each.images for at in networks.values() for each in at.values()), lines
    return found


def _groups(of: Material) -> dict[tuple[str, str, str], list[Attacked]]:
    found: dict[tuple[str, str, str], list[Attacked]] = {}
    for each in of.results.attacked:
        found.setdefault((each.target, each.preset, each.attack), []).append(each)
    return found


def _share(of: Attacked, price: str) -> list[tuple[float, float]]:
    """The share that is still right against the price, l2 or queries, at which an image is lost."""
    return [(x, left / of.images) for x, left in of.summary["lost"][price]]


def _to_one_end(lines: Sequence[Line]) -> list[Line]:
    """Each goes on to where the longest ends; on a logarithmic axis from where the first begins."""
    ends = [x for line in lines for x, _ in line.points if x > 0]
    low, high = min(ends, default=1.0), max(ends, default=1.0)
    longer = []
    for line in lines:
        start = line.points[0]
        rest = [point for point in line.points[1:] if point[0] > low]
        level = next((y for x, y in reversed(line.points) if x <= low), start[1])
        before = [start, (low / 2, start[1]), (low, level)]
        longer.append(Line(line.name, [*before, *rest, (high, line.points[-1][1])], line.steps))
    return longer


def _title(found: Sequence[Attacked]) -> str:
    first = found[0]
    sizes = sorted({each.images for each in found})
    n = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    return f"{first.attack}, {first.preset} ({first.target}), n = {n}"
