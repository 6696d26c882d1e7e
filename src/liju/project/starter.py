"""The text of a starter project: short remarks on a hotel in English and Chinese, put together from parts.

What a network can learn in seconds must be small: some forty words a language, and a grammar of one clause.
No two remarks are the same, so a held-out one was never seen, only its parts; "not at all clean" is bad though
"clean" is good, so counting words is not enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import product

__all__ = ["files", "labelled", "pairs", "paragraphs", "remarks"]

TIMES = (
    ("", ""),
    ("yesterday", "昨天"),
    ("this morning", "今天早上"),
    ("last week", "上周"),
    ("in the evening", "晚上"),
    ("in summer", "夏天"),
)
# What is spoken of, and what can be said of it.
SUBJECTS = (
    ("the room", "房间", "place"),
    ("the bath", "浴室", "place"),
    ("the garden", "花园", "place"),
    ("the street", "街道", "place"),
    ("the hotel", "酒店", "place"),
    ("the restaurant", "餐厅", "place"),
    ("the breakfast", "早餐", "food"),
    ("the soup", "汤", "food"),
    ("the coffee", "咖啡", "food"),
    ("the fish", "鱼", "food"),
    ("the rice", "米饭", "food"),
    ("the salad", "沙拉", "food"),
)
GOOD = (
    ("clean", "干净", "place"),
    ("quiet", "安静", "place"),
    ("comfortable", "舒服", "place"),
    ("beautiful", "漂亮", "place"),
    ("pleasant", "宜人", "place"),
    ("fresh", "新鲜", "food"),
    ("tasty", "好吃", "food"),
    ("healthy", "健康", "food"),
    ("cheap", "便宜", "place food"),
    ("good", "好", "place food"),
)
BAD = (
    ("dirty", "脏", "place"),
    ("noisy", "吵", "place"),
    ("dark", "暗", "place"),
    ("ugly", "难看", "place"),
    ("crowded", "挤", "place"),
    ("bitter", "苦", "food"),
    ("salty", "咸", "food"),
    ("greasy", "油腻", "food"),
    ("expensive", "贵", "place food"),
    ("bad", "差", "place food"),
)
# Words of degree, and whether they turn the remark round.
DEGREES = (
    ("very", "非常", False),
    ("really", "真的很", False),
    ("rather", "相当", False),
    ("not at all", "一点也不", True),
    ("not", "不", True),
)


def remarks() -> list[tuple[str, str, str]]:
    """Every remark in English and in Chinese, and whether it is good or bad, in a fixed shuffle.

    >>> all_of_them = remarks()
    >>> len(all_of_them) == len(set(all_of_them)) == 4320
    True
    """
    found = []
    adjectives = [(*word, True) for word in GOOD] + [(*word, False) for word in BAD]
    for time, subject, adjective, degree in product(TIMES, SUBJECTS, adjectives, DEGREES):
        if subject[2] not in adjective[2]:
            continue
        english = f"{time[0]}, {subject[0]}" if time[0] else subject[0]
        english = f"{english} was {degree[0]} {adjective[0]}."
        chinese = f"{time[1]}{subject[1]}{degree[1]}{adjective[1]}。"
        label = "good" if adjective[3] != degree[2] else "bad"
        found.append((english[0].upper() + english[1:], chinese, label))
    return sorted(found, key=lambda remark: hashlib.sha256(remark[0].encode()).digest())


def paragraphs(language: str, count: int) -> Iterator[str]:
    """Text to read without labels: paragraphs of four remarks that agree, good or bad.

    >>> next(paragraphs("en", 1)).count(".")
    4
    """
    which = {"en": 0, "zh": 1}[language]
    sides = {label: [r[which] for r in remarks() if r[2] == label] for label in ("good", "bad")}
    for n in range(count):
        side = sides["good" if n % 2 else "bad"]
        yield (" " if language == "en" else "").join(side[(4 * (n // 2) + k) % len(side)] for k in range(4))


def labelled(count: int) -> Iterator[tuple[str, str]]:
    """Remarks with labels, English and Chinese by turns; from the other end than `paragraphs`.

    >>> sorted({label for _, label in labelled(9)})
    ['bad', 'good']
    """
    for n, (english, chinese, label) in enumerate(remarks()[-count:]):
        yield (chinese if n % 2 else english), label


def pairs(count: int) -> Iterator[tuple[str, str]]:
    """English remarks with their Chinese.

    >>> next(pairs(2))
    ('This morning, the soup was not cheap.', '今天早上汤不便宜。')
    """
    for english, chinese, _ in remarks()[-count:]:
        yield english, chinese


def files(family: str) -> dict[str, str]:
    """The starter files of a family by name.

    >>> sorted(files("encdec"))
    ['data/en.txt', 'data/zh.txt', 'pairs.tsv']
    """
    found = {f"data/{one}.txt": "".join(f"{text}\n" for text in paragraphs(one, 400)) for one in ("en", "zh")}
    if family == "encdec":
        found["pairs.tsv"] = "source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in pairs(1000))
    else:
        found["labelled.tsv"] = "text\tlabel\n" + "".join(
            f"{text}\t{label}\n" for text, label in labelled(300)
        )
    return found
