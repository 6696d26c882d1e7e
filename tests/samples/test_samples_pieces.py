import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liju.config import Vocab
from liju.errors import DataError
from liju.samples import Chunks, Pieces, TokenShards, write_shards
from liju.vocab import train

LINES = ["The cat sat. The dog sat too! Did it?", "猫坐在垫子上。狗也坐着。", "One", "x " * 300]


@pytest.fixture(scope="module")
def tokenizer():
    return train(LINES, Vocab(size=400), "encoder")


@given(
    sizes=st.lists(st.integers(0, 50), min_size=1, max_size=20),
    limit=st.integers(1, 17),
    extra=st.integers(0, 1),
)
def test_pieces_cover_every_document_once_in_even_parts(sizes, limit, extra):
    pieces = Pieces(np.cumsum([0, *sizes]), limit, extra)
    seen = {}
    for i in range(len(pieces)):
        document, start, end = pieces[i]
        assert 0 < end - start <= limit
        assert start == seen.get(document, 0)
        seen[document] = end
    assert seen == {d: size + extra for d, size in enumerate(sizes) if size + extra}


@pytest.mark.parametrize("half", [3, 7, 50])
def test_chunks_cover_every_token_once_in_two_halves(tokenizer, tmp_path, half):
    shards = write_shards(LINES, tokenizer, tmp_path / "t")
    chunks = Chunks.of(shards, half)
    place = 0
    for document, start, middle, end in zip(
        chunks.document, chunks.start, chunks.middle, chunks.end, strict=True
    ):
        assert start == place and 0 < middle - start <= half and 0 <= end - middle <= half
        bounds = shards.document_bounds
        assert bounds[document] <= start and end <= bounds[document + 1]
        place = end
    assert place == len(shards.tokens)


def test_shards_give_back_what_was_written(tokenizer, tmp_path):
    shards = write_shards(LINES, tokenizer, tmp_path / "t")
    again = TokenShards(tmp_path / "t")
    assert [tokenizer.decode(d.tolist()) for d in again.documents()] == LINES
    assert again.bytes == sum(len(line.encode()) for line in LINES)
    assert again.fingerprint == shards.fingerprint
    assert write_shards(LINES[:-1], tokenizer, tmp_path / "u").fingerprint != shards.fingerprint


def test_torn_shards_are_refused(tokenizer, tmp_path):
    write_shards(LINES, tokenizer, tmp_path / "t")
    tokens = tmp_path / "t" / "tokens.bin"
    tokens.write_bytes(tokens.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"tokens\.bin: not as long"):
        TokenShards(tmp_path / "t")
    (tmp_path / "t" / "index.json").write_text("{")
    with pytest.raises(DataError, match="no token shards"):
        TokenShards(tmp_path / "t")


def test_no_text_and_a_full_disk_leave_nothing(tokenizer, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no text is left"):
        write_shards([], tokenizer, tmp_path / "t")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(DataError, match="No space left"):
        write_shards(LINES, tokenizer, tmp_path / "t")
    assert not list(tmp_path.iterdir())
