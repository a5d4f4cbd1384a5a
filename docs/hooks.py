"""What the documentation site takes from elsewhere in the repository, so that nothing is written twice.

Lines of a page that stand for something else:

    <!-- include: FILE -->            a Markdown file of the repository without its title
    <!-- include: FILE # SECTION -->  one section of it; ^ is what comes before the first
    <!-- help: VERB -->               a verb's short help; common: the options that verbs share

Links out of the docs folder lead to the page that includes the file, or else to a copy of the file in the site.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from qlight.help import verb_help

ROOT = Path(__file__).resolve().parents[1]
#: which page shows a file of the repository
SHOWN_BY = {
    "README.md": "index.md",
    "bitstreams/README.md": "reference/bitstreams.md",
    "hw/boards/README.md": "reference/vivado.md",
    "hw/hls/README.md": "reference/hls.md",
    "hw/rtl/README.md": "reference/rtl.md",
    "qlight/board/PROTOCOL.md": "reference/protocol.md",
    "qlight/intgraph/SPEC.md": "reference/numerics.md",
}
#: the folder of the site with copies of other files
FILES = "files"

_INCLUDE = re.compile(r"^<!-- include: (?P<file>[^#>]+?)(?: # (?P<section>[^>]+?))? -->$", re.MULTILINE)
_HELP = re.compile(r"^<!-- help: (?P<verb>\w+) -->$", re.MULTILINE)
_LINK = re.compile(r"(?<=\]\()(?P<file>[^)\s#:]+)(?P<anchor>#[^)\s]*)?(?=\))")
_SHARED = "common options:"
_CODE = re.compile(r"(```.*?```|`[^`\n]*`|^ {4}[^\n]*$)", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def section_of(text: str, section: str | None) -> str:
    """A Markdown text without its title, or one section of it without the heading; ``^`` is what comes before the first section.

    Raises:
        PluginError: there is no such section.
    """
    body = re.sub(r"\A# .*\n+", "", text)
    parts = re.split(r"^## (.+)\n+", body, flags=re.MULTILINE)
    if section is None:
        return body
    found = {"^": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))
    if section not in found:
        raise PluginError(f"Expected a section of {', '.join(found)}, but got {section!r}; correct the include.")
    return found[section]


def _links(text: str, folder: str) -> list[tuple[re.Match[str], str]]:
    """The relative links of a text outside of code, with the file of the repository that each leads to."""
    code = [found.span() for found in _FENCE.finditer(text)]
    return [
        (found, normpath(f"{folder}/{found['file']}"))
        for found in _LINK.finditer(text)
        if not any(start <= found.start() < end for start, end in code)
    ]


def _moved(text: str, folder: str, page: str) -> str:
    """A text of a folder of the repository, its links as they have to be on a page of the site."""
    here = os.path.dirname(page) or "."
    for found, file in reversed(_links(text, folder)):
        if file in SHOWN_BY:
            to = SHOWN_BY[file]
        elif file.startswith("docs/"):
            to = file.removeprefix("docs/")
        elif (ROOT / file).is_file():
            to = f"{FILES}/{file}"
        else:
            continue  # the strict build names it
        text = text[: found.start()] + relpath(to, here) + (found["anchor"] or "") + text[found.end() :]
    return text


def _help(verb: str) -> str:
    """The short help of a verb without the options that it shares with others; ``common`` is these."""
    own, heading, shared = verb_help("fit" if verb == "common" else verb).partition(_SHARED)
    return (heading + shared if verb == "common" else own).strip()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that pages, or what they include, link to."""
    texts = {f"docs/{file.src_uri}": Path(str(file.abs_src_path)).read_text("utf-8") for file in files.documentation_pages()}
    texts |= {name: (ROOT / name).read_text("utf-8") for name in SHOWN_BY}
    linked = {file for name, text in texts.items() for _, file in _links(text, os.path.dirname(name) or ".")}
    for file in sorted(linked):
        if not file.startswith(("docs/", "../")) and file not in SHOWN_BY and (ROOT / file).is_file():
            files.append(File.generated(config, f"{FILES}/{file}", abs_src_path=str(ROOT / file)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in what a page includes, and move links."""
    uri = page.file.src_uri
    if uri.startswith(f"{FILES}/"):
        return markdown
    config.watch.extend(str(ROOT / name) for name in SHOWN_BY)

    def included(found: re.Match[str]) -> str:
        text = section_of((ROOT / found["file"]).read_text("utf-8"), found["section"])
        parts = _CODE.split(text)  # w[o][f] in a text is no link
        text = "".join(part if position % 2 else part.replace("][", "]\\[") for position, part in enumerate(parts))
        return _moved(text, os.path.dirname(found["file"]) or ".", uri)

    own = _moved(markdown, os.path.dirname(f"docs/{uri}"), uri)
    own = _INCLUDE.sub(included, own)
    return _HELP.sub(lambda found: f"```text\n{_help(found['verb'])}\n```", own)
