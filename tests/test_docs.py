"""The documentation: its commands are those that the command line takes, and its site builds without a broken link."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from inspect import signature
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import qlight.data
from qlight.__main__ import main
from qlight.attacks import AttackSuite
from qlight.board.__main__ import COMMANDS
from qlight.cli import CLI, run
from qlight.help import OWN_HELP, VERBS, verb_help

ROOT = Path(__file__).parents[1]
#: of the environment that `make docs` and `make test` make
DOCS_PYTHON = ROOT / ".venv-docs" / "bin" / "python"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: verbs that the pages write where any verb may stand
PLACEHOLDER = "VERB"
_COMMAND = re.compile(r"python3? -m qlight(?P<board>\.board)? (?P<rest>(?:\\\n|[^\n`])+)")
_OPTION = re.compile(r"(?<!\S)\[?--([a-z][\w.-]*)")
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _commands() -> Iterator[tuple[Path, str]]:
    """Every page with each command of it: what follows `python -m qlight`, without comments."""
    for page in PAGES:
        for found in _COMMAND.finditer(page.read_text("utf-8")):
            rest = found["rest"].replace("\\\n", " ").split(" # ")[0]
            yield page, f"board {rest}" if found["board"] else rest


class _Parsed(CLI):
    """Reads a command and stops: no checkpoint is opened, nothing is made or run."""

    def _parse_ckpt_path(self) -> None: ...

    def before_instantiate_classes(self) -> None: ...

    def instantiate_classes(self) -> None: ...

    def after_instantiate_classes(self) -> None: ...

    def _run_subcommand(self, subcommand: str) -> None: ...


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """The options of every verb that LightningCLI runs, those of data modules included."""
    parsers = run(["fit", "--data", "SyntheticDigits"], _Parsed)._subcommand_parsers
    modules = [getattr(qlight.data, name) for name in qlight.data.__all__]
    data = {f"data.{name}" for module in modules for name in signature(module).parameters}
    return {
        verb: data | {option.lstrip("-") for action in parser._actions for option in action.option_strings}
        for verb, parser in parsers.items()
    }


def test_commands_name_verbs_and_options(known: dict[str, set[str]], capsys: pytest.CaptureFixture[str]) -> None:
    wrong = []
    for page, command in _commands():
        verb, _, rest = command.partition(" ")
        options = set(_OPTION.findall(rest))
        if verb in known:
            allowed = known[verb] | {"help"}
        elif verb == "board":
            name = rest.split()[0]
            assert name in COMMANDS, f"{page.name}: {command}"
            with pytest.raises(SystemExit):
                main(["board", name, "--help"])
            allowed = set(_OPTION.findall(capsys.readouterr().out.replace("[", " ")))
        elif verb in OWN_HELP:
            allowed = set(_OPTION.findall(verb_help(verb)))
        else:
            assert verb in (*VERBS, PLACEHOLDER), f"{page.name}: {command}"
            allowed = {"help", "help-all", "print_config"}
        wrong += [f"{page.name}: --{option} of {command}" for option in sorted(options - allowed)]
    assert wrong == []


@pytest.mark.slow
def test_commands_of_pages_parse(known: dict[str, set[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole commands in fences: their files, data modules, values and attacks exist too."""
    monkeypatch.chdir(ROOT)
    fences = {page: "".join(_FENCE.findall(page.read_text("utf-8"))) for page in PAGES}
    parsed = 0
    for page, command in dict.fromkeys(_commands()):
        verb = command.split()[0]
        if verb not in known or command not in fences[page].replace("\\\n", " ") or "$" in command:
            continue  # docs/walkthrough.md, whose commands have variables, runs in a test of its own
        config = run(shlex.split(command), _Parsed).config[verb]
        for suite in ("attacks", "adaptive"):
            assert isinstance(config.get(suite), AttackSuite | None), f"{page.name}: {command}"
        parsed += 1
    assert parsed > 40


class _Page(HTMLParser):
    """The anchors of a page, and where it leads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.leads: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.leads.append(value)


@pytest.mark.slow
def test_site_has_no_broken_link(tmp_path: Path) -> None:
    if not DOCS_PYTHON.exists():
        pytest.skip("mkdocs is not installed: `make docs` makes its environment")
    command = [str(DOCS_PYTHON), "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=300, check=False
    )
    assert built.returncode == 0, built.stderr
    pages = {path: _Page(path) for path in tmp_path.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 40
    broken = []
    for path, page in pages.items():
        for lead in page.leads:
            to = urlsplit(lead)
            if to.scheme or to.netloc:
                continue
            file = (path.parent / unquote(to.path)).resolve() if to.path else path
            file = file / "index.html" if file.is_dir() else file
            anchor = unquote(to.fragment)
            if not file.is_file() or (anchor and file in pages and anchor not in pages[file].anchors):
                broken.append(f"{path.relative_to(tmp_path)}: {lead}")
    assert broken == []
    # what is included is there: the numerics contract, README's table, a verb's help, a docstring
    for name, text in {
        "reference/numerics.html": "A backend conforms when",
        "verified.html": "accelerator's cells",
        "reference/commands.html": "--gradients_from",
        "api/intgraph.html": "qlight.intgraph.GraphBuilder",
        "api/hardware.html": '<span class="gp">&gt;&gt;&gt; ',
    }.items():
        assert text in (tmp_path / name).read_text("utf-8"), name


def test_readme_and_the_boards_page_say_the_same_of_what_has_run() -> None:
    tables = [
        re.findall(r"what has run, and what has not\*\*\n\n((?:\|.*\n)+)", page.read_text("utf-8"), re.IGNORECASE)
        for page in (ROOT / "README.md", ROOT / "docs/board.md")
    ]
    assert len(tables[0]) == 1
    assert tables[0] == tables[1]
    assert "**never**" in tables[0][0]


def _rows(page: str, head: str) -> list[list[str]]:
    """The cells of the table of a page whose head begins so, without what is small."""
    table = page[page.index(f"\n{head}") :].strip("\n").partition("\n\n")[0].splitlines()
    return [[cell.partition("<br>")[0].strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


def test_readmes_numbers_are_the_studys() -> None:
    readme, study = ((ROOT / name).read_text("utf-8") for name in ("README.md", "docs/study_small.md"))
    printed = {(row[0], "test accuracy"): (row[4], row[5]) for row in _rows(study, "| network | bits")}
    for table in ("### Table 3.", "### Table 4."):
        for attack, network, _, ours, paper, *_ in _rows(study[study.index(table) :], "| attack | network |"):
            printed[network, attack] = (ours, paper)
    attacks = ("test accuracy", "FGSM", "BIM", "CW", "SPSA", "ZOO")
    rows = _rows(readme, "| network (CIFAR-10")
    assert {row[0] for row in rows} == {network for network, _ in printed}
    for network, *cells in rows:
        wanted = [f"{ours} ({paper})" for ours, paper in (printed[network, attack] for attack in attacks)]
        assert cells == wanted, network
