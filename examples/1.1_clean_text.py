"""Clean text: encodings, mojibake, duplicates, and a report of what was done."""

import tempfile
from pathlib import Path

from liju.config import Text
from liju.text import clean, documents, normalise


def main() -> None:
    # One text: what normalise does, and the names of what it did.
    print(normalise("cafÃ© \x1b[1m例句\x1b[0m\r\n\r\n\r\n\r\nend "))

    # A folder of files: two encodings, a duplicate in other case, a row without text.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "utf8.txt").write_text("An example sentence shows how a word is used.", encoding="utf-8")
        (folder / "gbk.txt").write_bytes("例句说明一个词怎么用，读得多了就会写。".encode("gb18030"))
        (folder / "rows.jsonl").write_text(
            '{"text": "AN EXAMPLE sentence shows how a word is used."}\n'
            '{"text": "Rain fell all night on the roof."}\n'
            '{"txet": "a misspelt field"}\n',
            encoding="utf-8",
        )
        settings = Text(sources=["."], held_out=0.0)  # type: ignore[list-item] - a string is a source
        report = clean(settings, folder / "out", base=folder, workers=1)

        print(f"read {report.read}, kept {report.kept}, dropped {report.dropped}")
        for problem in report.problems:
            print("problem:", problem)
        for document in documents(folder / "out"):
            print(f"{document.source:<14} {document.language} {document.changes} {document.text[:24]}")


# Cleaning runs in processes of its own, and they must be able to import this file without running it.
if __name__ == "__main__":
    main()
