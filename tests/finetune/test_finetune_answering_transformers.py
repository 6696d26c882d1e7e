"""Answering beside transformers: the same windows, logits, losses over steps, and n-best decoding."""

import numpy as np
import pytest
import torch

from liju.config import Evaluate
from liju.finetune import Answering, Questions, load
from liju.hub import save_bundle
from liju.model import Transformer, TransformerConfig
from liju.objective import losses
from liju.objective.examples import tokenizer
from liju.samples import assemble

transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()

WORDS = tokenizer("encoder")
LENGTH, STRIDE = 24, 5
ASKED = [
    ("Who sat?", "The cat sat on the mat. The dog sat on the log. One sentence only, then a third."),
    ("春？", "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。"),
    ("What?", "An example"),
]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A model of ours, and the same as transformers loads it."""
    folder = tmp_path_factory.mktemp("answering") / "bundle"
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size=WORDS.size, d_model=12, num_heads=3, num_layers=2, num_types=2, max_length=LENGTH
    )
    model = Transformer(config)
    task = Answering(LENGTH, overlap=STRIDE)
    task.prepare(model)
    with torch.no_grad():
        model.heads["span"].weight.mul_(40)  # so that the scores are far apart
    bundle = save_bundle(folder, model.eval(), WORDS, task.describe())
    assert bundle.architecture == "BertForQuestionAnswering"
    theirs = transformers.AutoModelForQuestionAnswering.from_pretrained(folder)
    return folder, model, theirs.eval(), transformers.AutoTokenizer.from_pretrained(folder)


def features(tokens, question, context):
    return tokens(
        question,
        context,
        truncation="only_second",
        max_length=LENGTH,
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )


def reference(begins, ends, found, context, most):
    """`postprocess_qa_predictions` of transformers' examples, with an n-best list that holds everything."""
    none, spans = np.inf, []
    for at, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        none = min(none, begin[0] + end[0])
        offsets = [
            place if of == 1 else None
            for place, of in zip(found["offset_mapping"][at], found.sequence_ids(at), strict=True)
        ]
        for first in range(len(begin)):
            for last in range(len(end)):
                if offsets[first] is None or offsets[last] is None or not first <= last < first + most:
                    continue
                text = context[offsets[first][0] : offsets[last][1]]
                spans.append((begin[first] + end[last], text))
    return max(spans), none


@torch.inference_mode()
def test_windows_logits_and_the_best_answer_are_theirs(both):
    _, model, theirs, tokens = both
    for question, context in ASKED:
        found = features(tokens, question, context)
        objective = Questions([(question, context, None)], WORDS, LENGTH, overlap=STRIDE)
        samples = [objective.at(i, i) for i in range(objective.size)]
        assert [sample.encoder.tolist() for sample in samples] == found["input_ids"]
        begins, ends = [], []
        for sample, ids, types in zip(samples, found["input_ids"], found["token_type_ids"], strict=True):
            out = theirs(torch.tensor([ids]), token_type_ids=torch.tensor([types]))
            hidden = model(assemble([sample]))[0]
            ours = model.predict("span", hidden)
            torch.testing.assert_close(ours[:, 0], out.start_logits[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(ours[:, 1], out.end_logits[0], rtol=1e-5, atol=1e-5)
            begins.append(out.start_logits[0].double().numpy())
            ends.append(out.end_logits[0].double().numpy())
        for most in (1, 4, 30):
            (score, text), none = reference(begins, ends, found, context, most)
            task = Answering(LENGTH, True, threshold=1e9, overlap=STRIDE)
            asked = [{"question": question, "context": context}]
            (answer,) = task.answer(model, WORDS, asked, Evaluate(), max_answer_tokens=most)
            assert answer["text"] == text.strip()
            assert answer["no_answer"] == pytest.approx(none - score, abs=1e-4)
            silent = Answering(LENGTH, True, threshold=float(none - score) - 1e-3, overlap=STRIDE)
            assert silent.answer(model, WORDS, asked, Evaluate(), max_answer_tokens=most)[0]["text"] == ""


def test_a_folder_of_theirs_answers(both, tmp_path):
    """Saved by transformers, read as it is: the class says what it is for."""
    folder, _, theirs, tokens = both
    theirs.save_pretrained(tmp_path)
    tokens.save_pretrained(tmp_path)
    loaded = load(tmp_path, device="cpu")
    assert loaded.task == "answering" and loaded.describe()["pairs"]
    question, context = ASKED[0]
    one = loaded.predict({"question": question, "context": context})
    assert one["text"] == context[one["begin"] : one["end"]] and 0 < one["score"] <= 1
    assert (
        one == loaded.predict(question, pairs=context) == loaded.predict({"text": question, "pair": context})
    )
    assert load(folder).predict(question, pairs=context)["text"] == one["text"]


def test_the_same_losses_as_trainer_on_the_same_batches(both, tmp_path):
    """Windows of one length (theirs also counts padding among the places), three steps of AdamW."""
    folder, *_ = both
    context = "The cat sat on the mat. The dog"
    spans = [(4, 7), (8, 11), None, (0, 7), (27, 30), (19, 22)]
    rows = [(f"{letter}?", context, span) for letter, span in zip("abcdef", spans, strict=True)]
    objective = Questions(rows, WORDS, 40)
    samples = [objective.at(i, i) for i in range(objective.size)]
    assert len({len(sample.encoder) for sample in samples}) == 1 and objective.size == 6
    data = [
        {
            "input_ids": sample.encoder.tolist(),
            "token_type_ids": sample.types.tolist(),
            "start_positions": int(sample.goals["span"].values[:, 0].argmax()),
            "end_positions": int(sample.goals["span"].values[:, 1].argmax()),
        }
        for sample in samples
    ]
    assert data[2]["start_positions"] == 0 and data[3]["start_positions"] < data[3]["end_positions"]

    class InOrder(transformers.Trainer):
        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(data)

    theirs = transformers.AutoModelForQuestionAnswering.from_pretrained(
        folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=3e-3, weight_decay=0.0)
    trainer = InOrder(
        theirs,
        transformers.TrainingArguments(
            str(tmp_path),
            per_device_train_batch_size=2,
            num_train_epochs=1,
            logging_steps=1,
            max_grad_norm=0.0,
            lr_scheduler_type="constant",
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=data,
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)),
    )
    trainer.train()
    wanted = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    ours = load(folder, device="cpu").model.train()
    own = torch.optim.AdamW(ours.parameters(), lr=3e-3, weight_decay=0.0)
    got = []
    for step in range(3):
        total, weight = losses(ours, assemble(samples[2 * step : 2 * step + 2]))["span"]
        assert weight == 2
        loss = total / weight
        own.zero_grad()
        loss.backward()
        own.step()
        got.append(loss.item())
    assert len(wanted) == 3 and got == pytest.approx(wanted, rel=1e-4)
