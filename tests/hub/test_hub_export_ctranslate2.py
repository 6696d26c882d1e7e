"""CTranslate2: the same greedy words from every shape that writes, the same beams where both rank alike."""

from __future__ import annotations

import json

import ctranslate2
import numpy as np
import pytest
from hub_export_toys import CHINESE, DECODERS, ENCDECS, ENGLISH, stories, toy, translator

from liju.errors import ExportError
from liju.generate import generate
from liju.hub import Bundle, export, save_bundle
from liju.hub.engines import ctranslate2 as writer
from liju.hub.engines import ctranslate2_check

WRITES = {**{n: c for n, c in DECODERS.items() if n != "window"}, **ENCDECS}
FIGURES = {"float32": 2e-6, "float16": 2e-3, "bfloat16": 1e-2, "int8": 5e-2}
WRITES.pop("norms of queries")
# Nothing turns here, so that nothing is stretched.
WRITES["gpt2, stretched"] = DECODERS["gpt2"].replace(rope_scaling=(8.0, 1.0, 4.0, 16.0))


@pytest.mark.parametrize("name", WRITES)
def test_ctranslate2_answers_as_the_model_does(name, build, tmp_path):
    report = export(toy(build, WRITES[name]), "ctranslate2", tmp_path / "out")
    figures = {check.name: check for check in report.checks}
    numbers = figures["scores" if WRITES[name].family == "encdec" else "logits"]
    assert numbers.figure < 2e-5 and numbers.bound == 5e-5
    assert figures["greedy"].details["equal"] == 5 and not report.left_out
    assert {"model.bin", "config.json", "tokenizer.json"} <= set(report.files)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
def test_real_weights_write_the_same_story(dtype, data, tmp_path):
    bundle = stories(data / "stories260k")
    report = export(bundle, "ctranslate2", tmp_path / "out", dtype=dtype)
    figures = {check.name: check for check in report.checks}
    assert figures["greedy"].details["equal"] >= (4 if dtype == "int8" else 5)
    assert (
        figures["logits"].figure < {"float32": 2e-6, "float16": 2e-3, "bfloat16": 1e-2, "int8": 5e-2}[dtype]
    )
    generator = ctranslate2.Generator(str(tmp_path / "out"), compute_type="default")
    [told] = generator.generate_batch(
        [["<s>"]], max_length=40, sampling_topk=1, include_prompt_in_result=False
    )
    text = bundle.tokenizer.decode(told.sequences_ids[0])
    assert text.startswith("Once upon a time, there was a little girl named Lily. She loved to play outside")


def sentences() -> list[str]:
    groups = [ENGLISH[:3], ENGLISH[3:8], ENGLISH[::2], ENGLISH[1:2], ENGLISH[2:6], ENGLISH[::-2]]
    return [" ".join(words) for words in groups]


@pytest.mark.parametrize("position", ["sinusoidal", pytest.param("relative", marks=pytest.mark.slow)])
def test_a_trained_translator_greedy_and_with_beams(position, tmp_path):
    """A trained model: random weights have near ties. Greedy answers are equal token for token; beams with
    length_penalty 0 too, where both rank by the log-probability alone."""
    bundle = translator(position)
    model, tokens = bundle.model, bundle.tokenizer
    export(bundle, "ctranslate2", tmp_path / "out")
    engine = ctranslate2.Translator(str(tmp_path / "out"), compute_type="float32", intra_threads=1)
    sources = [[*tokens.encode(text), tokens.eos] for text in sentences()]
    names = [[tokens.backend.id_to_token(i) for i in ids] for ids in sources]

    def ours(beam: int) -> list[list[int]]:
        return generate(
            model,
            None,
            sources=sources,
            eos=tokens.eos,
            start=tokens.pad,
            max_new_tokens=32,
            beam=beam,
            length_penalty=0.0,
        )

    def theirs(beam: int) -> list[list[int]]:
        found = engine.translate_batch(names, beam_size=beam, length_penalty=0.0, max_decoding_length=32)
        return [[tokens.backend.token_to_id(token) for token in one.hypotheses[0]] for one in found]

    greedy = ours(1)
    assert theirs(1) == greedy
    assert any(set(CHINESE[0]) <= set(tokens.decode(ids)) for ids in greedy)
    assert theirs(4) == ours(4)
    assert ours(4) != greedy  # the search does find something better


def test_the_vocabulary_and_the_tokens_with_a_role(tmp_path):
    bundle = translator("sinusoidal")
    export(bundle, "ctranslate2", tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["decoder_start_token"] == "<pad>" and config["eos_token"] == "</s>"
    assert config["unk_token"] == "<unk>"
    assert config["layer_norm_epsilon"] == bundle.config.norm_eps
    shared = json.loads((tmp_path / "out" / "shared_vocabulary.json").read_text())
    assert shared == [bundle.tokenizer.backend.id_to_token(i) for i in range(bundle.config.vocab_size)]


def test_a_decoder_that_starts_from_another_token(build, tmp_path):
    """BART starts from </s>: config.json says so."""
    config = ENCDECS["bart"]
    bundle = toy(build, config)
    save_bundle(tmp_path / "b", bundle.model, bundle.tokenizer)
    path = tmp_path / "b" / "config.json"
    values = json.loads(path.read_text()) | {"decoder_start_token_id": bundle.tokenizer.eos}
    path.write_text(json.dumps(values))
    export(tmp_path / "b", "ctranslate2", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "config.json").read_text())
    assert told["decoder_start_token"] == "</s>"


def scale_queries(spec):
    spec.decoder.layer[1].attention.queries_scale = np.float32(0.5)


def scale_embeddings(spec):
    spec.encoder.scale_embeddings = False


def sinusoids(spec):
    table = spec.encoder.position_encodings.encodings
    spec.encoder.position_encodings.encodings = np.ascontiguousarray(table[:, ::-1])


def epsilon(spec):
    spec.config.layer_norm_epsilon = 0.5


def scale_outputs(spec):
    spec.decoder.scale_outputs = np.float32(0.7)


CONTROLS = {"t5": scale_queries, "transformer": scale_embeddings, "marian": sinusoids}
CONTROLS |= {"llama": epsilon, "palm": scale_outputs}


@pytest.mark.parametrize("name", CONTROLS)
def test_a_specification_that_is_wrong_is_refused(name, build, tmp_path, monkeypatch):
    """Negative controls, one a shape."""

    def lying(config, stock):
        spec = writer.specification(config, stock)
        CONTROLS[name](spec)
        return spec

    monkeypatch.setattr(ctranslate2_check, "specification", lying)
    with pytest.raises(ExportError, match="is not the one in memory"):
        export(toy(build, WRITES[name]), "ctranslate2", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_tokens_are_known_by_name(build, tmp_path):
    bundle = toy(build, WRITES["llama"])
    with pytest.raises(ExportError, match="no tokenizer, and CTranslate2 knows tokens by name"):
        export(Bundle(bundle.model, None, {}, {}, bundle.folder), "ctranslate2", tmp_path / "out")
