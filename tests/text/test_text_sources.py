"""Which files a source means."""

import pytest

from liju.config import Source
from liju.errors import DataError
from liju.text import resolve


@pytest.fixture
def folder(tmp_path):
    for name in (
        "b.txt",
        "a.md",
        "deep/c.jsonl.gz",
        "deep/d.HTML",
        ".hidden.txt",
        "deep/.git/x.txt",
        "LICENSE",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    return tmp_path


def names(files):
    return [(file.name, file.format) for file in files]


def test_folder_is_read_recursively_in_order_without_hidden_files(folder):
    assert names(resolve(Source(path="."), folder)) == [
        ("LICENSE", ""),
        ("a.md", "text"),
        ("b.txt", "text"),
        ("deep/c.jsonl.gz", "jsonl"),
        ("deep/d.HTML", "html"),
    ]


def test_format_limits_a_folder_to_files_that_can_have_it(folder):
    assert names(resolve(Source(path=".", format="html"), folder)) == [("deep/d.HTML", "html")]
    assert names(resolve(Source(path=".", format="lines"), folder)) == [
        ("LICENSE", "lines"),
        ("a.md", "lines"),
        ("b.txt", "lines"),
    ]
    with pytest.raises(DataError, match="no file of format 'csv'"):
        resolve(Source(path=".", format="csv"), folder)


def test_file_and_pattern(folder):
    assert names(resolve(Source(path="LICENSE"), folder)) == [("LICENSE", "text")]
    assert names(resolve(Source(path="**/*.txt"), folder)) == [("b.txt", "text")]
    assert names(resolve(Source(path=str(folder / "b.txt")), folder / "deep"))[0][0] == str(folder / "b.txt")
    (folder / "x[1].txt").write_text("text")
    assert names(resolve(Source(path="x[1].txt"), folder)) == [("x[1].txt", "text")]


def test_missing_source_suggests_what_is_there(folder):
    with pytest.raises(DataError, match=r"b\.tx: no file matches") as caught:
        resolve(Source(path="b.tx"), folder)
    assert "b.txt" in caught.value.hint
    with pytest.raises(DataError, match="no file matches"):
        resolve(Source(path="*.nothing"), folder)


def test_package():
    (file,) = resolve(Source(path="package:pydoc_data/topics.py", licence="PSF-2.0", language="en"), number=3)
    assert (file.format, file.licence, file.language, file.source) == ("python", "PSF-2.0", "en", 3)
    assert file.size > 100_000
    assert len(resolve(Source(path="package:email/**/*.py"))) > 20
    assert names(resolve(Source(path="package:argparse"))) == [("package:argparse.py", "python")]
    with pytest.raises(DataError, match="no package 'no_such_package' is installed") as caught:
        resolve(Source(path="package:no_such_package/data.txt"))
    assert caught.value.hint == "pip install no_such_package"
    with pytest.raises(DataError, match="no file matches") as caught:
        resolve(Source(path="package:pydoc_data/topic.py"))
    assert "topics.py" in caught.value.hint


def test_translations_go_with_their_files(folder):
    (folder / "a.en").write_text("one\n")
    (folder / "a.de").write_text("eins\n")
    (file,) = resolve(Source(path="a.en", target="a.de"), folder)
    assert (file.format, file.target) == ("lines", str(folder / "a.de"))
    with pytest.raises(DataError, match="1 files, but 3 in its target"):
        resolve(Source(path="a.en", target="a.??"), folder)


def test_a_variable_at_the_start_of_a_path(folder, monkeypatch):
    monkeypatch.setenv("MY_TEXT", str(folder))
    assert names(resolve(Source(path="$MY_TEXT/deep"), folder / "deep")) == [
        ("$MY_TEXT/deep/c.jsonl.gz", "jsonl"),
        ("$MY_TEXT/deep/d.HTML", "html"),
    ]
    monkeypatch.delenv("MY_TEXT")
    with pytest.raises(DataError, match="no MY_TEXT"):
        resolve(Source(path="$MY_TEXT/deep"), folder)
