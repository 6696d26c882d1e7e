"""The text of a starter project: short remarks on a hotel in English and Chinese, put together from parts.

What a network can learn in seconds must be small: some seventy words a language, and a grammar of one clause.
A paragraph speaks of one kind of thing: a place, food, people. No two remarks are the same: a held-out one
was never seen, only its parts.
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
# Of each kind, what is spoken of and what can be said of it.
KINDS = {
    "place": (
        (
            *(("the room", "房间"), ("the bath", "浴室"), ("the garden", "花园"), ("the street", "街道")),
            *(("the hall", "大厅"), ("the lift", "电梯"), ("the terrace", "露台"), ("the pool", "泳池")),
        ),
        (
            *(("clean", "干净"), ("quiet", "安静"), ("beautiful", "漂亮"), ("large", "宽敞")),
            *(("dirty", "脏"), ("noisy", "吵"), ("dark", "暗"), ("crowded", "拥挤")),
        ),
    ),
    "food": (
        (
            *(("the breakfast", "早餐"), ("the soup", "汤"), ("the coffee", "咖啡"), ("the fish", "鱼")),
            *(("the rice", "米饭"), ("the salad", "沙拉"), ("the bread", "面包"), ("the tea", "茶")),
        ),
        (
            *(("fresh", "新鲜"), ("tasty", "好吃"), ("healthy", "健康"), ("hot", "热")),
            *(("bitter", "苦"), ("salty", "咸"), ("greasy", "油腻"), ("cold", "凉")),
        ),
    ),
    "people": (
        (
            *(
                ("the waiter", "服务员"),
                ("the cook", "厨师"),
                ("the driver", "司机"),
                ("the manager", "经理"),
            ),
            *(("the porter", "门童"), ("the guide", "导游"), ("the owner", "老板"), ("the guard", "保安")),
        ),
        (
            *(("kind", "友好"), ("polite", "礼貌"), ("helpful", "热心"), ("patient", "耐心")),
            *(("rude", "粗鲁"), ("lazy", "懒"), ("careless", "粗心"), ("unfriendly", "冷淡")),
        ),
    ),
}
# What can be said of anything, and says nothing of the kind.
ANYTHING = (("good", "好"), ("bad", "差"), ("expensive", "贵"), ("cheap", "便宜"))
DEGREES = (
    ("very", "非常"),
    ("really", "真的很"),
    ("rather", "相当"),
    ("not", "不"),
    ("not at all", "一点也不"),
)


def remarks() -> list[tuple[str, str, str]]:
    """Every remark in English and in Chinese, and its kind, in a fixed shuffle.

    >>> all_of_them = remarks()
    >>> len(all_of_them) == len(set(all_of_them)) == 8640
    True
    """
    found = []
    for kind, (subjects, adjectives) in KINDS.items():
        for time, subject, adjective, degree in product(TIMES, subjects, (*adjectives, *ANYTHING), DEGREES):
            english = f"{time[0]}, {subject[0]}" if time[0] else subject[0]
            english = f"{english} was {degree[0]} {adjective[0]}."
            chinese = f"{time[1]}{subject[1]}{degree[1]}{adjective[1]}。"
            found.append((english[0].upper() + english[1:], chinese, kind))
    return sorted(found, key=lambda remark: hashlib.sha256(remark[0].encode()).digest())


def paragraphs(language: str, count: int) -> Iterator[str]:
    """Text to read without labels: paragraphs of four remarks of one kind.

    >>> next(paragraphs("en", 1)).count(".")
    4
    """
    which = {"en": 0, "zh": 1}[language]
    sides = [[one[which] for one in remarks() if one[2] == kind] for kind in KINDS]
    for n in range(count):
        side, first = sides[n % len(sides)], 4 * (n // len(sides))
        yield (" " if language == "en" else "").join(side[(first + k) % len(side)] for k in range(4))


def labelled(count: int) -> Iterator[tuple[str, str]]:
    """Remarks with labels, English and Chinese by turns; from the other end than `paragraphs`.

    >>> sorted({label for _, label in labelled(9)})
    ['food', 'people', 'place']
    """
    for n, (english, chinese, kind) in enumerate(remarks()[-count:]):
        yield (chinese if n % 2 else english), kind


def pairs(count: int) -> Iterator[tuple[str, str]]:
    """English remarks with their Chinese.

    >>> next(pairs(2))
    ('The porter was very good.', '门童非常好。')
    """
    for english, chinese, _ in remarks()[-count:]:
        yield english, chinese


def files(family: str) -> dict[str, str]:
    """The starter files of a family by name.

    >>> sorted(files("encdec"))
    ['data/en.txt', 'data/zh.txt', 'pairs.tsv']
    """
    found = {f"data/{one}.txt": "".join(f"{text}\n" for text in paragraphs(one, 600)) for one in ("zh", "en")}
    if family == "encdec":
        found["pairs.tsv"] = "source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in pairs(1200))
    else:
        found["labelled.tsv"] = "text\tlabel\n" + "".join(
            f"{text}\t{label}\n" for text, label in labelled(400)
        )
    return found
