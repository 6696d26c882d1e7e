"""transformers' Trainer from the same weights takes the same steps."""

import json

import pytest
import torch
from finetune_toys import LENGTH, labelled, network, settings, vocabulary

from liju.finetune import Classification, finetune
from liju.hub import save_bundle
from liju.samples import Steps, key_of
from liju.train import schedule


@pytest.fixture(scope="module")
def transformers():
    module = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    module.logging.set_verbosity_error()
    return module


def rows_of(objective, numbers):
    """Samples as a padded batch of transformers'."""
    samples = [objective.sample(int(number)) for number in numbers]
    width = max(len(sample.encoder) for sample in samples)
    ids, kinds = torch.zeros(2, len(samples), width, dtype=torch.long)
    seen = torch.zeros(len(samples), width, dtype=torch.long)
    for i, sample in enumerate(samples):
        size = len(sample.encoder)
        ids[i, :size], kinds[i, :size] = torch.tensor(sample.encoder), torch.tensor(sample.types)
        seen[i, :size] = 1
    labels = torch.tensor([int(sample.goals["label"].values[0]) for sample in samples])
    return {"input_ids": ids, "token_type_ids": kinds, "attention_mask": seen, "labels": labels}


@pytest.mark.filterwarnings("ignore")
def test_trainer_takes_the_same_steps(tmp_path, transformers):
    tokenizer, rows = vocabulary("encoder"), labelled(40)
    task, told = Classification(["colourful", "plain"], LENGTH), settings(epochs=6.0, batch_tokens=150)
    model = network("encoder", tokenizer)
    torch.manual_seed(key_of("head", 0) % 2**63)
    task.prepare(model)
    save_bundle(tmp_path / "start", model.eval(), tokenizer, task.describe())
    objective = task.objective(rows, tokenizer, told, 0)
    steps = Steps(objective, told.batch_tokens, 0)

    model = network("encoder", tokenizer)
    how = {"device": "cpu", "precision": "float32"}
    result = finetune(model, tokenizer, task, rows, told, tmp_path / "run", **how)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    ours = [line["loss"] for line in lines if "loss" in line]

    network_of_theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "start")
    for module in network_of_theirs.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    parameters = list(network_of_theirs.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.01},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=told.learning_rate, betas=(0.9, 0.98), eps=1e-8)
    warm = round(told.warmup * result.step)
    rates = torch.optim.lr_scheduler.LambdaLR(adamw, lambda i: schedule("cosine", i, result.step, warm))
    theirs = []

    class Given(transformers.Trainer):
        def get_train_dataloader(self):
            batches = [rows_of(objective, steps.numbers(step)) for step in range(result.step)]
            return torch.utils.data.DataLoader(batches, batch_size=None)

        def compute_loss(self, *words, **more):
            loss = super().compute_loss(*words, **more)
            theirs.append(float((loss[0] if isinstance(loss, tuple) else loss).detach()))
            return loss

    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "theirs"),
        max_steps=result.step,
        max_grad_norm=1.0,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    Given(network_of_theirs, arguments, train_dataset=[0], optimizers=(adamw, rates)).train()
    assert len(ours) == len(theirs) > 5
    assert ours[:5] == pytest.approx(theirs[:5], abs=1e-5)
    assert ours == pytest.approx(theirs, abs=1e-3)  # rounding grows from step to step
    assert max(ours) - min(ours) > 0.1  # something was learned, so equal losses say something
