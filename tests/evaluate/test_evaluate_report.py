"""The report is one file, loads nothing, and shows text as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from full_report import full_report

from liju.evaluate import Example, Generated, Report, write_report
from liju.evaluate.page import SECTIONS, page

VOID = {"meta", "hr", "br", "img", "input", "link"}


class Balanced(HTMLParser):
    """Fails on tags that do not nest; collects the tags and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()


def parsed(html: str) -> Balanced:
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert not parser.open
    return parser


def test_everything_is_in_one_file_that_loads_nothing(tmp_path):
    html = write_report(tmp_path / "deep" / "report.html", full_report()).read_text(encoding="utf-8")
    assert not re.search(r"https?:|//\w|url\(|@import|src=|<script|<link|<iframe|<img", html)
    parser = parsed(html)
    targets = {attrs["id"] for _, attrs in parser.tags if "id" in attrs}
    links = [attrs["href"] for tag, attrs in parser.tags if tag == "a"]
    assert links and all(link and link[0] == "#" and link[1:] in targets for link in links)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.html"]
    assert len(html) < 100_000


def test_every_section_is_told():
    html = page(full_report())
    for name, key, _ in SECTIONS:
        assert f'<section id="{key}"><h2>{name}</h2>' in html
    told = ["45,550 documents were read. 40,212 are trained on, 822 are held out, 4,516 were dropped."]
    told += ["exact duplicate", "package:sphinx", "BSD-2-Clause", "非常", "3,412,480", "held-out text"]
    told += ["86.2 ± 0.5", "房间很小", "天亮", "largest difference of the loss", "learning_rate"]
    told += ["liju serve runs/chinese-reviews", "p 0.031", "p &lt; 0.001", "pos as neg"]
    told += ["by length", "by language", "181-512", "reviews.tsv:17", "一点都不觉得好看", "first <b>neg</b>"]
    told += ["1,000 labelled reviews", "19 duplicates left out", "calibration error", "precision %"]
    for words in told:
        assert words in html


def test_text_is_shown_never_run():
    bad = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    report = Report(
        title=bad,
        lead=bad,
        config=bad,
        facts={bad: bad},
        examples=[Example(bad, bad, bad, right, pair=bad) for right in (True, False, None)],
        generated=[Generated(bad, bad)],
        next_commands=[bad],
    )
    parser = parsed(page(report))
    assert not {"script", "img"} & {tag for tag, _ in parser.tags}
    assert not any(name.startswith("on") for _, attrs in parser.tags for name in attrs)


def test_an_empty_report_and_unusual_characters_are_written(tmp_path):
    path = write_report(tmp_path / "report.html", Report("空", lead="\ud800 \0 例句"))
    html = path.read_bytes().decode("utf-8")
    assert "例句" in html and "\0" not in html and "<section" not in html
    parsed(html)


def test_a_report_that_cannot_be_made_leaves_the_old_one(tmp_path, monkeypatch):
    path = write_report(tmp_path / "report.html", Report("old"))
    monkeypatch.setattr(
        "os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError):
        write_report(path, Report("new"))
    assert len(list(tmp_path.iterdir())) == 1
    assert "old" in path.read_text(encoding="utf-8")


def test_a_very_long_text_is_cut_and_says_so():
    html = page(Report("long", examples=[Example("长" * 5000, "a", "b", False)]))
    assert "4,400 more characters" in html and "长" * 601 not in html
