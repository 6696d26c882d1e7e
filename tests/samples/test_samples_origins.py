"""Where documents came from, beside the token shards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liju.errors import DataError
from liju.samples import Origins
from liju.samples.origins import MOST

ROWS = [("zh", "a.txt"), ("en", "b/c.tsv"), ("", "a.txt"), ("zh", "")]


def test_what_is_written_is_read(tmp_path):
    origins = Origins()
    texts = list(origins.note((f"text {i}", *row) for i, row in enumerate(ROWS)))
    assert texts == ["text 0", "text 1", "text 2", "text 3"]
    origins.save(tmp_path)
    again = Origins.load(tmp_path, 4)
    every = np.arange(4)
    assert again.labels("language", every).tolist() == ["zh", "en", "unknown", "zh"]
    assert again.labels("source", every[::-1]).tolist() == ["unknown", "a.txt", "b/c.tsv", "a.txt"]
    assert again.names("language") == ["zh", "en", "unknown"]


def test_shards_without_it_and_a_file_that_does_not_fit(tmp_path):
    assert Origins.load(tmp_path, 4) is None
    Origins(ROWS).save(tmp_path)
    with pytest.raises(DataError, match="4 documents of 5"):
        Origins.load(tmp_path, 5)
    (tmp_path / "origins.json").write_text('{"language": ["zh"]}')
    with pytest.raises(DataError, match=r"origins\.json: cannot be read"):
        Origins.load(tmp_path, 4)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=90))
def test_the_most_frequent_keep_their_names(codes):
    origins = Origins([("xx", f"{code}.txt") for code in codes])
    labels, names = origins.labels("source", np.arange(len(codes))), origins.names("source")
    assert set(labels.tolist()) == set(names) and len(names) <= MOST
    counts = {code: codes.count(code) for code in codes}
    rest = [counts[code] for code in counts if f"{code}.txt" not in names]
    if "other" in names:
        assert len(rest) >= 2 and max(rest) <= min(counts[c] for c in counts if f"{c}.txt" in names)
    for code, label in zip(codes, labels.tolist(), strict=True):
        assert label == (f"{code}.txt" if f"{code}.txt" in names else "other")
