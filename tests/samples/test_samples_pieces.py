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
    with pytest.raises(DataError, match=r"tokens\.bin: damaged: not as long"):
        TokenShards(tmp_path / "t")
    (tmp_path / "t" / "index.json").unlink()
    with pytest.raises(DataError, match="no token shards"):
        TokenShards(tmp_path / "t")


def cut(path):
    path.write_bytes(path.read_bytes()[:40])


def flip(place, bytes):
    def damage(path):
        found = bytearray(path.read_bytes())
        found[place : place + len(bytes)] = bytes
        path.write_bytes(found)

    return damage


def of_another_shape(path):
    np.save(path, np.load(path)[:-1])


def turned(path):
    ends = np.load(path)
    ends[[0, 1]] = ends[[1, 0]]
    np.save(path, ends)


@pytest.mark.parametrize(
    "name, damage",
    [
        ("index.json", cut),
        ("index.json", lambda path: path.write_text("[]")),
        ("index.json", flip(3, b"\xff")),
        ("index.json", lambda path: path.write_text(path.read_text().replace("uint16", "uint17"))),
        ("tokens.bin", lambda path: path.unlink()),
        ("tokens.bin", flip(8, b"\xff\xff")),  # an id that the vocabulary does not have
        ("tokens.bin", flip(8, b"\x09\x00")),  # and one that it has
        ("sentences.npy", lambda path: path.unlink()),
        ("sentences.npy", cut),
        ("sentences.npy", of_another_shape),
        ("sentences.npy", flip(128 + 8, b"\xff\xff\xff\xff")),
        ("sentences.npy", flip(-4, b"\xff\xff\xff\xff")),
        ("sentences.npy", turned),
        ("documents.npy", cut),
        ("documents.npy", of_another_shape),
        ("documents.npy", flip(128 + 8, b"\xff\xff\xff\xff")),
        ("documents.npy", lambda path: np.save(path, np.load(path).astype(float))),
    ],
)
def test_damaged_shards_name_the_file_and_what_to_remove(tokenizer, tmp_path, name, damage):
    folder = tmp_path / "samples-1" / "train"
    write_shards(LINES, tokenizer, folder)
    damage(folder / name)
    with pytest.raises(DataError, match=rf"{name}: damaged: ") as caught:
        TokenShards(folder)
    assert f"remove {folder} " in caught.value.hint
    (folder.parent / "done.json").touch()  # a project's step is done again when its whole folder is gone
    with pytest.raises(DataError) as caught:
        TokenShards(folder)
    assert f"remove {folder.parent} " in caught.value.hint


def test_places_are_looked_at_in_files_too_large_to_be_read_whole(tokenizer, tmp_path, monkeypatch):
    write_shards(LINES, tokenizer, tmp_path)
    monkeypatch.setattr("liju.samples.shards.SUMMED", 0)
    TokenShards(tmp_path)
    turned(tmp_path / "sentences.npy")
    with pytest.raises(DataError, match="do not rise"):
        TokenShards(tmp_path)


def test_no_text_and_a_full_disk_leave_nothing(tokenizer, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no text is left"):
        write_shards([], tokenizer, tmp_path / "t")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(DataError, match="No space left"):
        write_shards(LINES, tokenizer, tmp_path / "t")
    assert not list(tmp_path.iterdir())
