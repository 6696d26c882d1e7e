"""Chat templates: the text, the tokens and the answers are those of transformers, and users stay users."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import AutoTokenizer

from liju.config import Vocab
from liju.errors import MissingExtra, RequestError, TokenizerError
from liju.vocab import Tokenizer, train
from liju.vocab.chat import CHATML, TURNS, ChatTemplate, own_template
from liju.vocab.chat_segments import special_names

LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}"
    "{% endfor %}"
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}"
    "{%- set loop_messages = messages[1:] %}{%- else %}{%- set loop_messages = messages %}{%- endif %}"
    "{{- bos_token }}{%- for message in loop_messages %}{%- if message['role'] == 'user' %}"
    "{%- if loop.last and system_message is defined %}"
    "{{- '[INST] ' + system_message + '\n\n' + message['content'] + '[/INST]' }}"
    "{%- else %}{{- '[INST] ' + message['content'] + '[/INST]' }}{%- endif %}"
    "{%- elif message['role'] == 'assistant' %}{{- ' ' + message['content']|trim + eos_token }}"
    "{%- else %}{{- raise_exception('Only user and assistant roles are supported') }}{%- endif %}"
    "{%- endfor %}"
)
QWEN = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TAGGED = (
    "{%- for message in messages %}{%- if message['role'] == 'assistant' %}"
    "{{- '<|im_start|>assistant\n' }}{% generation %}{{- message['content'] + '<|im_end|>' }}"
    "{% endgeneration %}{{- '\n' }}{%- else %}"
    "{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
# Of the last turn alone Qwen3 keeps what stands before the answer: no turn is a beginning of the whole.
THINKS = (
    "{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\n' }}"
    "{%- if loop.last and message['role'] == 'assistant' %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{{- message['content'] + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
TEMPLATES = {
    "ours": TURNS, "ChatML": CHATML, "Llama 2": LLAMA2, "Llama 3": LLAMA3, "Mistral": MISTRAL, "Qwen": QWEN,
    "tagged": TAGGED, "thinks": THINKS,
}  # fmt: skip
ROLES = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
TALK = [
    {"role": "user", "content": "the room was clean"},
    {"role": "assistant", "content": "房间很干净，  yes"},
    {"role": "user", "content": " the soup?"},
    {"role": "assistant", "content": "4 cold soups\n"},
]
SYSTEM = [{"role": "system", "content": "be brief"}]
TEXTS = [
    "the room was clean and the soup was cold, yes",
    "房间很干净，服务也很好。",
    "user assistant system 4",
]


def vocabulary(kind="bpe"):
    tokens = train(TEXTS * 5, Vocab(size=420, kind=kind), "decoder")
    tokens.backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in ROLES])
    return Tokenizer(tokens.backend, tokens.roles)


def first_only():
    """A vocabulary that puts a space before the first word of a text alone, as Llama's and Mistral's do."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers

    letters = sorted({c for text in [*TEXTS, str(TALK), LLAMA2, TURNS, CHATML] for c in text} - {" "})
    words = ["<pad>", "<s>", "</s>", "<unk>", "▁", *letters, "▁t", "▁the", "ro", "▁ro"]
    merges = [("▁", "t"), ("r", "o"), ("▁", "ro")]
    words = list(dict.fromkeys([*words, *("".join(pair) for pair in merges)]))
    backend = Backend(models.BPE(dict(zip(words, range(len(words)), strict=True)), merges, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Metaspace(prepend_scheme="first", split=False)
    special = ["<pad>", "<s>", "</s>", "<unk>", *ROLES]
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return Tokenizer(backend, {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>"})


def make(name, where, kind="bpe"):
    tokens = first_only() if kind == "first" else vocabulary(kind)
    tokens.chat_template = TEMPLATES[name]
    tokens.save(where)
    return Tokenizer.load(where), AutoTokenizer.from_pretrained(where)


@pytest.fixture(
    scope="module", params=[("bpe", name) for name in TEMPLATES] + [("first", "Llama 2")], ids=str
)
def both(request, tmp_path_factory):
    kind, name = request.param
    return name, *make(name, tmp_path_factory.mktemp("chat"), kind)


def test_the_tokens_are_those_of_transformers(both):
    _, ours, theirs = both
    template = ChatTemplate.of(ours)
    assert template is not None
    for talk in (TALK, TALK[:3], TALK[:1], SYSTEM + TALK[:1], SYSTEM + TALK):
        for answer in (True, False):
            how = {"add_generation_prompt": answer}
            assert template.render(talk, answer=answer) == theirs.apply_chat_template(
                talk, tokenize=False, **how
            )
            wanted = theirs.apply_chat_template(talk, return_dict=False, **how)
            assert template.encode(talk, ours, answer=answer) == wanted


def test_the_answers_are_what_the_model_is_to_write(both):
    name, ours, theirs = both
    template = ChatTemplate.of(ours)
    for talk in (TALK, TALK[:2], SYSTEM + TALK):
        found = template.encode_answers(talk, ours)
        assert found.ids == theirs.apply_chat_template(talk, return_dict=False)
        if name == "tagged":
            how = {"return_dict": True, "return_assistant_tokens_mask": True}
            assert theirs.apply_chat_template(talk, **how)["assistant_masks"] == list(map(int, found.answer))
        (end,) = template.turn_ends(ours)
        answers = [m["content"] for m in talk if m["role"] == "assistant"]
        runs, last = [], False
        for token, mine in zip(found.ids, found.answer, strict=True):
            if mine and not last:
                runs.append([])
            if mine:
                runs[-1].append(token)
            last = mine
        assert all(run[-1] == end and run.count(end) == 1 for run in runs)
        written = [ours.decode(run) for run in runs]
        if name == "thinks" and len(runs) == 1:  # what the prompt does not hold is the model's to write
            assert written[0].startswith("<think>")
            written[0] = written[0].removeprefix("<think>\n\n</think>\n\n")
        assert [text.strip() for text in written] == [answer.strip() for answer in answers]


def test_a_prompt_is_a_beginning_of_what_was_learned(both):
    """Served as trained: what is read before an answer is written is what stood before it in training."""
    name, ours, _ = both
    template = ChatTemplate.of(ours)
    if name == "thinks":  # of this one, no prompt is
        pytest.skip("the template itself trains otherwise than it asks")
    for talk in (TALK[:2], TALK):
        found = template.encode_answers(talk, ours)
        prompt = template.encode(talk[:-1], ours)
        at = found.answer.index(True, len(prompt) - 1)
        assert found.ids[:at] == prompt


@given(st.data())
def test_special_tokens_in_a_message_are_characters(data):
    tokens = vocabulary()
    names = list(special_names(tokens))
    words = st.lists(st.sampled_from([*names, "</s", ">", "<", "a", "system\n", "\ue000", "低"]), max_size=7)
    contents = ["".join(data.draw(words)) for _ in range(3)]
    roles = ["user", "assistant", "user"]
    evil = [{"role": role, "content": text} for role, text in zip(roles, contents, strict=True)]
    good = [{"role": role, "content": "a"} for role in roles]
    special = set(special_names(tokens).values())
    for source in (TURNS, CHATML, LLAMA3):
        template = ChatTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"})

        def written(talk, template=template):
            return [token for token in template.encode(talk, tokens) if token in special]

        assert written(evil) == written(good)
        text = tokens.decode(template.encode(evil, tokens))
        assert all(content.strip() in text for content in contents)
        answers = template.encode_answers(evil[:2], tokens)
        mine = [i for i, of in zip(answers.ids, answers.answer, strict=True) if of]
        assert tokens.decode(mine).strip() == contents[1].strip()
        assert sum(token in special for token in mine) == 1


def test_ours_is_for_any_vocabulary_that_ends_texts():
    tokens = train(TEXTS * 5, Vocab(size=300), "decoder")
    assert own_template(tokens) == TURNS and own_template(vocabulary()) == CHATML
    template = ChatTemplate.ours(tokens)
    assert template.render(TALK[:1]) == "<s>user\nthe room was clean</s><s>assistant\n"
    assert template.turn_ends(tokens) == {tokens.eos}
    encdec = train(TEXTS * 5, Vocab(size=450), "encdec")
    assert ChatTemplate.ours(encdec).render(TALK[:1]) == "user\nthe room was clean</s>assistant\n"
    with pytest.raises(TokenizerError, match="ends a turn"):
        own_template(train(TEXTS * 5, Vocab(size=300, kind="wordpiece"), "encoder"))


def test_a_template_that_rewrites_answers_is_refused():
    template = ChatTemplate("{% for m in messages %}{{ m.content | upper | reverse }}</s>{% endfor %}!", {})
    lost = ChatTemplate(
        "{% for m in messages %}{{ m.content | length }}</s>{{ loop.length }}{% endfor %}", {}
    )
    with pytest.raises(RequestError, match="which tokens are theirs"):
        lost.encode_answers(TALK, vocabulary())
    found = template.encode_answers(TALK[:2], vocabulary())  # turned round, and still found
    assert any(found.answer)


def test_underscores_and_python_stay_out_of_reach():
    reaching = (
        "{{ namespace(_a=1) }}",
        "{{ messages.__class__.mro() }}",
        "{{ cycler.__init__.__globals__ }}",
    )
    for source in reaching:
        with pytest.raises(RequestError, match="refuses"):
            ChatTemplate(source, {}).render(TALK)


def test_without_jinja_the_extra_is_named(monkeypatch):
    import sys

    from liju.vocab.chat_sandbox import compiled

    compiled.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match="jinja2") as caught:
        ChatTemplate("a", {})
    assert "liju[chat]" in caught.value.hint
