"""Law 9, read = ran: every block of the README and of the documentation is executed, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs_story import EN, PAGES, ROOT, ZH, Block, Story, blocks, commands, tell, text_only

from liju import config
from liju.cli import VERBS

READMES = [ROOT / "README.md", ROOT / "README.zh.md"]
ALL = [*READMES, ROOT / "CONTRIBUTING.md", *(folder / name for folder in (EN, ZH) for name in PAGES)]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# The pages in Chinese have the same blocks, byte for byte (see below): one run is a run of both.
@pytest.mark.parametrize("page", [READMES[0], *(EN / name for name in PAGES)], ids=name_of)
def test_every_block_runs(page: Path, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    tell(page, tmp_path / page.stem)


def test_both_languages_have_the_same_pages():
    assert sorted(path.name for path in ZH.glob("*.md")) == PAGES


@pytest.mark.parametrize(
    "pair", [tuple(READMES), *((EN / n, ZH / n) for n in PAGES)], ids=lambda p: p[0].stem
)
def test_both_languages_have_the_same_blocks(pair):
    one, other = (blocks(path) for path in pair)
    # Where only the drawing differs: blocks of plain text that nothing is compared with.
    assert [b for b in one if b.kind] == [b for b in other if b.kind]
    assert [bool(b.skipped) for b in one] == [bool(b.skipped) for b in other]


@pytest.mark.parametrize(
    "pair", [tuple(READMES), *((EN / n, ZH / n) for n in PAGES)], ids=lambda p: p[0].stem
)
def test_both_languages_have_the_same_formulas_and_links(pair):
    one, other = (text_only(path) for path in pair)
    assert re.findall(r"\$\$.+?\$\$", one, re.S) == re.findall(r"\$\$.+?\$\$", other, re.S)
    targets = [sorted(set(re.findall(r"\]\(([^)#]+)", text))) for text in (one, other)]
    swapped = {"README.zh.md": "README.md", "README.md": "README.zh.md"}
    assert targets[0] == sorted(
        swapped.get(t, t.replace("docs/zh/", "docs/en/").replace("way-zh", "way-en")) for t in targets[1]
    )


def test_every_verb_is_shown_in_a_console_block():
    shown = {
        command.split()[1]
        for path in [READMES[0], *(EN / name for name in PAGES)]
        for block in blocks(path)
        if block.kind == "console" and not block.skipped
        for command, _ in commands(block)
        if command.startswith("liju ")
    }
    assert set(VERBS) <= shown, set(VERBS) - shown


def test_the_configuration_page_is_the_project_file():
    block = next(b for b in blocks(EN / "configuration.md") if b.title == "all/liju.toml")
    assert block.code == config.documented(config.Project())
    config.parse(block.code)


def no_section(kind: object) -> bool:
    return not hasattr(kind, "model_fields")


def test_every_key_is_explained_in_chinese():
    page = text_only(ZH / "configuration.md")
    sections = [field.annotation for field in config.Project.model_fields.values()]
    keys = {key for section in sections for key in getattr(section, "model_fields", {})}
    keys |= {key for key, kind in zip(config.Project.model_fields, sections, strict=True) if no_section(kind)}
    keys |= set(config.Source.model_fields)
    assert len(keys) > 50
    explained = set(re.findall(r"^\| `(\w+)` \|", page, re.M))
    assert explained == keys, explained ^ keys


@pytest.mark.parametrize("readme", READMES, ids=name_of)
def test_the_tree_in_the_readme_is_the_tree(readme: Path):
    tree = next(b.code for b in blocks(readme) if "src/liju/" in b.code and not b.kind)
    folders = [path for path in (ROOT / "src" / "liju").iterdir() if (path / "__init__.py").exists()]
    for path in folders:
        assert re.search(rf"^\s+{path.name}/ +\S", tree, re.M), path.name
    for folder in ("examples", "docs", "recipes", "tests", "bench"):
        assert re.search(rf"^{folder}/ +\S", tree, re.M), folder
    named = re.findall(r"^    (\w+)/ ", tree, re.M)
    assert set(named) == {path.name for path in folders}


@pytest.mark.parametrize("folder", [EN, ZH], ids=name_of)
def test_every_recipe_on_public_data_is_linked_by_a_page(folder: Path):
    readme = ROOT / ("README.md" if folder == EN else "README.zh.md")
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in [readme, *(folder / name for name in PAGES)]
    )
    for recipe in sorted((ROOT / "recipes" / "data").glob("*.toml")):
        assert f"recipes/data/{recipe.name})" in text, recipe.name


@pytest.mark.parametrize("folder", [EN, ZH], ids=name_of)
def test_every_example_is_linked_by_a_page(folder: Path):
    text = "\n".join((folder / name).read_text(encoding="utf-8") for name in PAGES)
    for example in EXAMPLES:
        assert f"(../../examples/{example})" in text, example


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_links_lead_somewhere(path: Path):
    text = text_only(path)
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src(?:set)?="([^"]+)"', text):
        if target.startswith(("http://", "https://", "#")):
            continue
        assert (path.parent / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("path", [*ALL, *((ROOT / "docs" / "assets").glob("*"))], ids=name_of)
def test_no_path_of_a_machine_and_nothing_from_a_cdn(path: Path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(?:work|home|root|tmp|Users)/", text)
    assert not re.search(r"jsdelivr|unpkg|cdnjs|googleapis|gstatic|cdn\.", text)


def test_a_block_that_prints_something_else_is_found(tmp_path, monkeypatch):
    """The test of the test: wrong output, a wrong exit code and an unknown command are each found."""
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    for block in (
        "```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n",
        "```console\n$ liju examples\nno such line\n```\n",
        "```console\n$ liju predict nowhere x\n```\n",
        "```console\n$ make demo\n```\n",
    ):
        page.write_text(block)
        with pytest.raises(AssertionError):
            Story(page).run()
    page.write_text("```python\nx = 1\nprint(x / 3)\n```\n\n```text\n0.33...\n```\n")
    Story(page).run()
    assert blocks(page)[0] == Block("python", "x = 1\nprint(x / 3)")
