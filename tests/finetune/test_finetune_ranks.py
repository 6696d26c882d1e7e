"""Fine-tuning on two ranks, whole or in shards, is fine-tuning on one."""

import multiprocessing
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from finetune_toys import LENGTH, labelled, network, settings, vocabulary

from liju.errors import TrainingError
from liju.finetune import Classification, finetune
from liju.train import newest

multiprocessing.set_forkserver_preload(["torch.distributed.fsdp", "liju.train", "liju.finetune"])
WAYS = ["all", "top-1", "lora-3"]


def tune(folder, trainable, sharding, epochs=2.0, **more):
    words, task = vocabulary("encoder"), Classification(["colourful", "plain"], LENGTH)
    model = network("encoder", words)
    told = settings(epochs=epochs, batch_tokens=150, trainable=trainable, patience=2 if epochs > 2 else 0)
    how = {"device": "cpu", "precision": "float32", "sharding": sharding, **more}
    result = finetune(model, words, task, labelled(40), told, folder, **how)
    return model.state_dict(), result


def ranked(rank, port, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    for trainable in WAYS:
        for sharding in ("replicate", "shard"):
            found, result = tune(folder / f"{trainable}-{sharding}", trainable, sharding)
            there = newest(result.folder / "checkpoints").folder
            assert len(list(there.glob("shard-*"))) == (2 if sharding == "shard" else 0)
            torch.save(found, folder / f"{trainable}-{sharding}-{rank}.pt")
    # The best look's weights are those of every rank.
    found, result = tune(folder / "patient", "all", "shard", epochs=8.0, validation=labelled(9, 5))
    torch.save((found, result.step), folder / f"patient-{rank}.pt")
    with pytest.raises(TrainingError, match="thawed"):
        tune(folder / "gradual", "gradual", "shard")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_tune_as_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.start_processes(ranked, args=(port, tmp_path), nprocs=2, start_method="forkserver")
    for trainable in WAYS:
        expected, _ = tune(tmp_path / trainable, trainable, "auto")
        start = network("encoder", vocabulary("encoder")).state_dict()
        assert any(not torch.equal(start[name], expected[name]) for name in start)
        recomputed, _ = tune(tmp_path / f"{trainable}-again", trainable, "auto", recompute="blocks")
        assert all(torch.equal(recomputed[name], expected[name]) for name in expected)
        for sharding in ("replicate", "shard"):
            for rank in (0, 1):
                found = torch.load(tmp_path / f"{trainable}-{sharding}-{rank}.pt")
                assert found.keys() == expected.keys()
                for name, tensor in expected.items():
                    # In float32 through 12 steps that move weights by 2e-2.
                    torch.testing.assert_close(
                        found[name], tensor, rtol=0, atol=2e-5, msg=lambda m, n=(trainable, name): f"{n}: {m}"
                    )
    (one, step), (other, _) = (torch.load(tmp_path / f"patient-{rank}.pt") for rank in (0, 1))
    assert step > 0 and all(torch.equal(one[name], other[name]) for name in one)
