"""Instructions: answers alone are learned, and served as trained; what is too long is named."""

from __future__ import annotations

import json
import math

import pytest
import torch
from finetune_toys import NAMES, WORDS, network, sentences, tuned
from hypothesis import given
from hypothesis import strategies as st

from liju.config import Evaluate, Finetune, Serve, Vocab
from liju.errors import DataError, RequestError
from liju.finetune import Example, InstructionTask, load, read_examples
from liju.finetune.answered import Answered, nats_of, windows
from liju.finetune.conversations import conversation, shortened_talk
from liju.finetune.instruction import final_number
from liju.hub import save_bundle
from liju.model import Transformer
from liju.objective import losses
from liju.prompt import LocalModel
from liju.samples import assemble, micro_batches
from liju.train import accumulate
from liju.vocab import train
from liju.vocab.chat import ChatTemplate

ROOM = 40
THREE = ("user", "assistant", "system", "name", "it")
NAME = dict(zip(WORDS, NAMES, strict=True))
HOW = Evaluate(max_new_tokens=12)


def vocabulary(family):
    return train(["\n".join(THREE), " ".join(WORDS + NAMES)] * 20, Vocab(size=440), family)


def talk(*contents, system=""):
    roles = ["user", "assistant"] * len(contents)
    said = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    return [{"role": "system", "content": system}] * bool(system) + said


def example(*contents, system="", place="toy:1"):
    row = {"messages": json.dumps(talk(*contents, system=system))}
    return Example(InstructionTask.from_row(row)[0], place)


def asked(count, seed=0):
    """The German name of the first word: half of them after another turn."""
    rows = []
    for i, text in enumerate(sentences(count, seed, 1, 3)):
        answer = NAME[text.split()[0]]
        before = ("cat", "katze") if i % 2 else ()
        rows.append(example(*before, text, answer, place=f"toy:{i}"))
    return rows


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    """A tuned decoder in a bundle, and what it was not trained on."""
    rows = asked(150)
    train, test = rows[:130], rows[130:]
    task = InstructionTask.of(train, ROOM)
    tokens = vocabulary("decoder")
    model = network("decoder", tokens, max_length=ROOM)
    folder = tmp_path_factory.mktemp("chat")
    how = {"epochs": 16, "batch_tokens": 150, "learning_rate": 4e-3}
    model, tokens, _ = tuned(task, "decoder", train, folder / "run", tokenizer=tokens, model=model, **how)
    save_bundle(folder / "bundle", model, tokens, task.describe())
    return load(folder / "bundle", "cpu"), task, test


def test_only_answers_are_targets():
    tokens = vocabulary("decoder")
    one = example("red", "rot", "blue cat", "blau katze", system="name it")
    objective = InstructionTask(ROOM).objective([one], tokens, Finetune(), 0)
    sample = objective.sample(0)
    goal = sample.goals["words"]
    assert tokens.decode(goal.values, special=True) == "rot</s>blau katze</s>"
    whole = [*sample.decoder.tolist(), tokens.eos]
    assert [whole[place + 1] for place in goal.places] == goal.values.tolist()
    text = "<s>system\nname it</s><s>user\nred</s><s>assistant\nrot</s><s>user\nblue cat</s><s>assistant\n"
    assert tokens.decode(whole, special=True) == f"{text}blau katze</s>"
    assert tokens.chat_template  # it goes into the bundle


def test_it_learns_and_is_scored(chat):
    loaded, _, test = chat
    answers = loaded._task.evaluate(loaded.model, loaded.tokenizer, test, HOW)
    scores = loaded._task.score(answers, test)
    assert loaded._task.shown == ("bits_per_byte", "exact") == tuple(scores)
    assert scores["exact"] > 0.5 and scores["bits_per_byte"] < 0.6, scores  # by chance: 0.08 and 3
    assert loaded._task.right(answers[0], test[0]) in (True, False)
    # on paper: the nats of every answer's tokens, one conversation after the other
    template = ChatTemplate.of(loaded.tokenizer)
    for row, answer in zip(test[:9], answers, strict=False):
        found = template.encode_answers(conversation(row.values), loaded.tokenizer)
        if len(found.ids) > ROOM:  # those are measured in pieces
            continue
        batch = assemble([Answered([found], 0).sample(0)])
        logits = loaded.model.logits(batch)[0].detach().double().log_softmax(-1)
        pairs = [
            (i, t) for i, (t, mine) in enumerate(zip(found.ids[1:], found.answer[1:], strict=True)) if mine
        ]
        nats = -sum(float(logits[i, t]) for i, t in pairs)
        assert answer["nats"] == pytest.approx(nats, rel=1e-4)
    size = sum(
        len(m["content"].encode()) for e in test for m in conversation(e.values) if m["role"] == "assistant"
    )
    total = sum(answer["nats"] for answer in answers)
    assert scores["bits_per_byte"] == pytest.approx(total / size / math.log(2))


def test_predict_serve_and_training_have_one_renderer(chat):
    loaded, _, test = chat
    text = test[0]["text"]
    answer = loaded.predict(text, max_new_tokens=12)
    model = LocalModel(loaded, chat=True)
    assert model.generate([text], max_new_tokens=12)[0].text.strip() == answer["text"]
    assert "".join(model.stream(text, max_new_tokens=12)).strip() == answer["text"]
    assert model.generate([text], max_new_tokens=12)[0].finish == "stop"
    row = InstructionTask(ROOM).objective(test[:1], loaded.tokenizer, Finetune(), 0).sample(0)
    prompt = model.ask(text).prompt
    assert row.decoder[: len(prompt)].tolist() == list(prompt)
    messages = talk("cat", "katze", text)
    several = loaded.predict([{"messages": messages}, text], max_new_tokens=12)
    assert several[1] == answer and set(several[0]) == {"text"}
    assert model.generate([messages], max_new_tokens=12)[0].text.strip() == several[0]["text"]


def test_openai_answers_by_the_template(chat):
    httpx = pytest.importorskip("httpx")
    from liju.serve import Server

    loaded, _, test = chat
    with Server(loaded, Serve(port=0)) as server:
        at = f"{server.url}/v1/chat/completions"
        body = {"messages": talk(test[0]["text"]), "temperature": 0, "max_tokens": 12}
        whole = httpx.post(at, json=body).json()["choices"][0]
        wanted = loaded.predict(test[0]["text"], max_new_tokens=12)["text"]
        assert whole["message"]["content"].strip() == wanted and whole["finish_reason"] == "stop"
        lines = httpx.post(at, json={**body, "stream": True}).text.split("\n\n")
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        streamed = "".join(e["choices"][0]["delta"].get("content", "") for e in events)
        assert streamed == whole["message"]["content"]
        plain = httpx.post(
            f"{server.url}/predict", json={"text": test[0]["text"], "options": {"stop": ["a"]}}
        )
        assert plain.json()["results"][0]["text"] == wanted.split("a")[0].strip()


def test_a_stop_string_ends_an_answer_early(chat, monkeypatch):
    from liju.generate import Session

    loaded, _, test = chat
    steps = []
    plain = Session.step
    monkeypatch.setattr(
        Session, "step", lambda self, tokens: (steps.append(len(tokens)), plain(self, tokens))[1]
    )
    whole = loaded.predict(test[0]["text"], max_new_tokens=12)["text"]
    count = len(steps)
    first = whole[0]
    assert loaded.predict(test[0]["text"], max_new_tokens=12, stop=whole[1])["text"] == first
    assert len(steps) - count < count
    assert (
        loaded.predict([test[0]["text"]] * 2, max_new_tokens=12, stop=["zzz", whole[1]])[1]["text"] == first
    )
    for stop in (7, [7], "", [""]):
        with pytest.raises(RequestError, match="stop"):
            loaded.predict("red", stop=stop)


def test_long_conversations_lose_their_oldest_turns_and_are_named():
    tokens = vocabulary("decoder")
    turns = [text for word in WORDS[:6] for text in (word, NAME[word])]
    rows = [
        example("red", "rot", place="a:1"),
        example(*turns, system="name it", place="a:2"),
        example("red " * 60, "rot", place="a:3"),
    ]
    task = InstructionTask(ROOM)
    objective = task.objective(rows, tokens, Finetune(), 0)
    assert task.shortened == ["a:2"] and task.too_long == ["a:3"] and objective.size == 2
    texts = [tokens.decode(objective.sample(n).decoder, special=True) for n in range(2)]
    (cut,) = [text for text in texts if "system" in text]
    assert cut.startswith("<s>system\nname it</s><s>user\n") and "one" not in cut and turns[-1] in cut
    assert max(len(objective.sample(n).decoder) for n in range(2)) <= ROOM
    with pytest.raises(DataError, match="every conversation"):
        task.objective(rows[2:], tokens, Finetune(), 0)


def test_what_is_too_long_is_measured_whole():
    tokens = vocabulary("decoder")
    model = network("decoder", tokens, max_length=ROOM).double()
    rows = [example("red", "rot " * 40), example("blue " * 50, "blau"), example("one", "eins")]
    answers = InstructionTask(ROOM).evaluate(model, tokens, rows, HOW)
    assert all(answer["nats"] > 0 for answer in answers)
    template = ChatTemplate.ours(tokens)
    for row, answer in zip(rows, answers, strict=True):
        found = template.encode_answers(conversation(row.values), tokens)
        pieces = windows(found, ROOM)
        assert sum(sum(piece.answer) for piece in pieces) == sum(found.answer)
        assert max(len(piece.ids) for piece in pieces) <= ROOM + 1
        assert answer["nats"] == pytest.approx(
            nats_of(model, Answered(pieces, 0), len(pieces)).sum(), rel=1e-5
        )
    with pytest.raises(RequestError, match="takes 40"):
        InstructionTask(ROOM).answer(model, tokens, [{"text": "blue " * 50}], HOW)


@given(st.integers(2, 9), st.lists(st.booleans(), min_size=3, max_size=40))
def test_windows_lose_no_target(size, flags):
    from liju.vocab.chat import Conversation

    flags = [False, *flags]
    row = Conversation(list(range(len(flags))), flags)
    pieces = windows(row, size)
    found = [i for p in pieces for i, mine in zip(p.ids, p.answer, strict=True) if mine]
    assert found == [i for i, mine in enumerate(flags) if mine]
    assert all(len(p.ids) <= size + 1 and not p.answer[0] for p in pieces)


def toy():
    tokens = vocabulary("decoder")
    model = network("decoder", tokens, max_length=ROOM).double().train()
    objective = InstructionTask(ROOM).objective(asked(12), tokens, Finetune(), 0)
    return model, objective


@given(
    st.lists(st.integers(0, 30), min_size=2, max_size=6, unique=True),
    st.integers(40, 300),
    st.integers(0, 90),
)
def test_packed_and_accumulated_are_the_samples_alone(numbers, limit, width):
    """Laws 1 and 2: with weights of one a token, whatever lies beside it."""
    model, objective = toy()
    samples = [objective.sample(number) for number in numbers]
    alone = [losses(model, assemble([sample]))["words"] for sample in samples]
    want = sum(part for part, _ in alone) / sum(weight for _, weight in alone)
    want.backward()
    value = want.item()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    for layout in ("grouped", "packed"):
        model.zero_grad(set_to_none=True)
        batches = micro_batches(samples, limit, layout, objective.pad, width)
        assert accumulate(model, batches, objective.weights).loss == pytest.approx(value, rel=1e-12)
        for name, parameter in model.named_parameters():
            assert torch.allclose(parameter.grad, gradients[name], rtol=1e-10, atol=1e-13), name


def test_nothing_leaks_between_conversations():
    """Law 8: the losses of a conversation do not change with its neighbour in the row."""
    model, objective = toy()
    model.eval()
    first, second, third = (objective.sample(number) for number in range(3))
    one = model.logits(assemble([first, second], [[0, 1]]))[0, : len(first.decoder)]
    other = model.logits(assemble([first, third], [[0, 1]]))[0, : len(first.decoder)]
    assert torch.equal(one, other)


def test_the_loss_is_that_of_transformers(tmp_path):
    """The same weights (a toy Llama), the labels of everything but the answers -100: the same loss."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokens = vocabulary("decoder")
    task = InstructionTask(ROOM)
    rows = asked(6)
    objective = task.objective(rows, tokens, Finetune(), 0)
    model = network("decoder", tokens, max_length=ROOM)
    save_bundle(tmp_path / "llama", model, tokens, task.describe())
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "llama").double().eval()
    reader = AutoTokenizer.from_pretrained(tmp_path / "llama")
    assert type(theirs).__name__ == "LlamaForCausalLM"
    samples = [objective.sample(number) for number in range(6)]
    ours = accumulate(model.double(), micro_batches(samples, 10**6, "packed", 0, 90), {"words": 1.0}).loss
    total = count = 0.0
    for row in rows:
        messages = conversation(row.values)
        ids = reader.apply_chat_template(messages, return_dict=False)
        labels = [-100] * len(ids)
        for at, message in enumerate(messages):
            if message["role"] == "assistant":
                how = {"return_dict": False}
                begin = len(reader.apply_chat_template(messages[:at], add_generation_prompt=True, **how))
                end = len(reader.apply_chat_template(messages[: at + 1], **how))
                labels[begin:end] = ids[begin:end]
        with torch.no_grad():
            loss = theirs(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss
        size = sum(label != -100 for label in labels)
        total, count = total + float(loss) * size, count + size
    assert ours == pytest.approx(total / count, rel=1e-6)


def test_rows_of_every_form(tmp_path):
    forms = {
        "messages.jsonl": {"messages": talk("red", "rot", "blue", "blau", system="S")},
        "sharegpt.jsonl": {
            "conversations": [{"from": "human", "value": "one"}, {"from": "gpt", "value": "eins"}]
        },
        "alpaca.jsonl": {"instruction": "Name it.", "input": "cat", "output": "katze", "text": "It: katze"},
        "bare.jsonl": {"instruction": "Name the dog.", "input": "", "output": "hund"},
        "columns.jsonl": {"frage": "two", "answer": "zwei"},
    }
    bad = [
        {"messages": talk("red")},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"messages": "red"},
        {"text": "blue"},
        {"other": "x"},
    ]
    for name, row in forms.items():
        (tmp_path / name).write_text(json.dumps(row) + "\n")
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bad))
    (tmp_path / "test.jsonl").write_text(json.dumps({"text": "three", "answer": "drei"}) + "\n")
    task = InstructionTask
    train = [*forms, "bad.jsonl"]
    given = Finetune(train=train, test=["test.jsonl"], fields={"text": "frage"})
    kept = given.model_copy(update={"fields": {}, "train": given.train[:1] + given.train[2:4]})
    found = read_examples(kept, task.needed, base=tmp_path, optional=task.optional, from_row=task.from_row)
    assert [example.values for example in found.train] == [
        {"text": "blue", "messages": json.dumps(talk("red", "rot", "blue", system="S")), "answer": "blau"},
        {"text": "Name it.\n\ncat", "answer": "katze"},
        {"text": "Name the dog.", "answer": "hund"},
    ]
    (tmp_path / "test.jsonl").write_text(json.dumps({"frage": "three", "answer": "drei"}) + "\n")
    found = read_examples(given, task.needed, base=tmp_path, optional=task.optional, from_row=task.from_row)
    assert {"text": "two", "answer": "zwei"} in [e.values for e in found.train]
    assert {"text": "one", "answer": "eins"} in [e.values for e in found.train]
    assert len(found.train) == 5 and sum(found.dropped.values()) == 5
    assert sorted(problem.split(": ")[0] for problem in found.problems) == [
        f"bad.jsonl:{n}" for n in range(1, 6)
    ]
    with pytest.raises(DataError, match=r"bad\.jsonl:1: the conversation does not end"):
        read_examples(given, (), base=tmp_path, optional=task.optional, from_row=task.from_row, errors="stop")


def test_numbers_are_compared_as_numbers():
    assert final_number("so #### 12. And #### $1,000.50") == "1000.5"
    rows = [Example({"text": "2 + 2", "answer": "2 + 2 = 4\n#### 4"}, "x:1")] * 2
    task = InstructionTask.of(rows, ROOM)
    assert task.numbers and task.shown == ("bits_per_byte", "number")
    answers = [{"text": "four\n#### 4.0", "nats": 1.0}, {"text": "4", "nats": 1.0}]
    assert task.score(answers, rows)["number"] == 0.5
    assert [task.right(answer, row) for answer, row in zip(answers, rows, strict=True)] == [True, False]
    again = InstructionTask.from_description(task.describe())
    assert (again.numbers, again.short) == (True, False)


def test_baselines():
    rows = asked(60)
    rows = [row for row in rows if "messages" not in row.values]
    task = InstructionTask.of(rows, ROOM)
    train, test = rows[:20], [*rows[20:28], rows[0]]
    found = {one.name: one for one in task.baselines(("ngram",), train, test)}
    assert set(found) == {"n-gram", "nearest"}
    scores = task.score(found["n-gram"].answers(), test)
    assert 0.1 < scores["bits_per_byte"] < 8 and set(scores) == {"bits_per_byte"}
    nearest = found["nearest"].answers()
    assert nearest[-1]["text"] == rows[0]["answer"] and set(task.score(nearest, test)) == {"exact"}


def test_an_encoder_decoder_reads_the_conversation_and_writes_the_answer(tmp_path):
    tokens = vocabulary("encdec")
    task = InstructionTask(ROOM)
    model: Transformer = network("encdec", tokens, max_length=ROOM)
    task.prepare(model)
    objective = task.objective([example("red", "rot", "blue", "blau")], tokens, Finetune(), 0)
    assert objective.size == 2
    texts = {tokens.decode(objective.sample(n).encoder, special=True) for n in range(2)}
    assert "user\nred</s>assistant\n</s>" in texts
    rows = [example("red", "rot"), example("red " * 50, "rot " * 50)]
    answers = task.evaluate(model, tokens, rows, HOW)
    assert all(answer["nats"] > 0 for answer in answers)
    save_bundle(tmp_path / "bundle", model, tokens, task.describe())
    loaded = load(tmp_path / "bundle", "cpu")
    answer = loaded.predict("red", max_new_tokens=5)["text"]
    assert LocalModel(loaded, chat=True).generate(["red"], max_new_tokens=5)[0].text.strip() == answer


def test_what_is_asked_wrongly(chat):
    loaded, *_ = chat
    for item, words in (
        ("", "empty"),
        ({"messages": []}, "empty"),
        ({"messages": talk("a", "b")}, "not the user's"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ({"messages": talk("a"), "text": "b"}, "alone"),
    ):
        with pytest.raises(RequestError, match=words):
            loaded.predict(item)
    assert shortened_talk(talk("a")) is None
