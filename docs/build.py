"""Build the site of both languages into site/, to be opened without a network.

English lies at the root, Chinese under zh/. The pages are those of docs/en and docs/zh, with formulas turned
into MathML, a page for every example, and links that lead out of the documentation turned into plain text. A
link that leads nowhere ends the build, and so does anything that would be loaded from elsewhere.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from docutils.utils.math.latex2mathml import tex2mathml

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "site"
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
TITLES = {"en": "Examples", "zh": "例子"}
RUN = {"en": "Run it with `liju examples {}`.", "zh": "运行：`liju examples {}`。"}

_FENCE = re.compile(r"^(```.*?^```)$", re.M | re.S)
_CODE = re.compile(r"(`[^`\n]+`)")
_EXAMPLE = re.compile(r"\(\.\./\.\./examples/([\w.]+)\.py\)")
_BROKEN = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n *(?=[\u3000-\u9fff\uff00-\uffef])")
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./\.\./[^)]+\)")


def page(text: str) -> str:
    """A page as the site generator takes it: code is left alone."""
    parts = _FENCE.split(text)
    for i in range(0, len(parts), 2):
        part = re.sub(r"\$\$(.+?)\$\$", lambda m: mathml(m[1], block=True), parts[i], flags=re.S)
        inline = _CODE.split(part)
        inline[::2] = [re.sub(r"\$([^$\n]+)\$", lambda m: mathml(m[1]), each) for each in inline[::2]]
        # A line broken between two Han characters is no space.
        part = _BROKEN.sub("", "".join(inline)).replace("](../assets/", "](assets/")
        part = _EXAMPLE.sub(r"(examples/\1.md)", part)
        parts[i] = re.sub(r"<!--.*?-->\n*", "", _OUTSIDE.sub(r"\1", part))
    return "".join(parts)


def mathml(formula: str, block: bool = False) -> str:
    """A formula as MathML on one line, which browsers draw by themselves."""
    drawn = tex2mathml(" ".join(formula.split()), as_block=block)
    drawn = re.sub(r">\s+<", "><", drawn).replace("\n", " ").strip()
    return f'<div style="margin: 1em 0">{drawn}</div>' if block else drawn


def sources(language: str, folder: Path) -> int:
    """Write the Markdown of one language; the number of pages."""
    (folder / "examples").mkdir(parents=True)
    shutil.copytree(ROOT / "docs" / "assets", folder / "assets")
    pages = sorted((ROOT / "docs" / language).glob("*.md"))
    for path in pages:
        (folder / path.name).write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
    listed = []
    for path in EXAMPLES:
        code, number = path.read_text(encoding="utf-8").strip(), path.name.split("_")[0]
        title = f"{number} {ast.get_docstring(ast.parse(code))}"
        listed.append(f"- [{title}](examples/{path.stem}.md)")
        body = f"# {title}\n\n{RUN[language].format(number)}\n\n```python\n{code}\n```\n"
        (folder / "examples" / f"{path.stem}.md").write_text(body, encoding="utf-8")
    text = f"# {TITLES[language]}\n\n" + "\n".join(listed) + "\n"
    (folder / "examples.md").write_text(text, encoding="utf-8")
    return len(pages) + len(EXAMPLES) + 1


def settings(language: str, work: Path, site: Path) -> Path:
    """mkdocs.yml for one language."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    changes = {"docs_dir: docs/en": "docs_dir: pages", "site_dir: site": f"site_dir: {site}"}
    if language == "zh":
        changes |= {"site_name: liju": "site_name: 例句 liju", "  language: en": "  language: zh"}
        changes |= {"link: index.html": "link: ../index.html", "link: zh/": "link: ./"}
        changes |= {"name: Dark": "name: 深色", "name: Light": "name: 浅色"}
    for old, new in changes.items():
        assert text.count(old) == 1, f"mkdocs.yml: {old}"
        text = text.replace(old, new)
    path = work / "mkdocs.yml"
    path.write_text(text, encoding="utf-8")
    return path


class Links(HTMLParser):
    """What a page of the site refers to, and the places in it that others can refer to."""

    def __init__(self, text: str):
        super().__init__()
        self.targets: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.places.add(values["id"])
        if tag == "a" and "href" in values:
            self.targets.append(values["href"])
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload", "modulepreload"):
            self.loaded.append(values["href"])
        elif "src" in values:
            self.loaded.append(values["src"])


def check(site: Path) -> list[str]:
    """Links that lead nowhere, and anything that is loaded from elsewhere."""
    files = {path.resolve(): Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    wrong = []
    for path, links in files.items():
        if path.name == "404.html":
            continue
        name = path.relative_to(site).as_posix()
        wrong += [f"{name} loads {url}" for url in links.loaded if re.match(r"(https?:)?//", url)]
        for target in [*links.targets, *links.loaded]:
            if re.match(r"(https?:|mailto:|javascript:|data:)", target):
                continue
            where, _, place = unquote(target).partition("#")
            there = (path.parent / where.split("?")[0]).resolve() if where else path
            there = there / "index.html" if there.is_dir() else there
            if not there.exists():
                wrong.append(f"{name} links to {target}")
            elif place and there in files and place not in files[there].places | {"__skip", "__codelineno"}:
                wrong.append(f"{name} links to {target}: no such place there")
    return wrong


def main() -> int:
    shutil.rmtree(SITE, ignore_errors=True)
    for language, where in (("en", SITE), ("zh", SITE / "zh")):
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            count = sources(language, work / "pages")
            command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
            config = settings(language, work, work / "site")
            done = subprocess.run([*command, "-f", str(config)], cwd=work, capture_output=True, text=True)
            if done.returncode:
                print(done.stdout + done.stderr, file=sys.stderr)
                return 1
            shutil.copytree(work / "site", where, dirs_exist_ok=True)
        print(f"{language}: {count} pages in {where.relative_to(ROOT)}/")
    wrong = check(SITE)
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    size = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file())
    print(f"{size / 1e6:.1f} MB; open site/index.html")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
