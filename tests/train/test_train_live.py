import io

from rich.console import Console

from liju.train import Lines, Quiet, Screen, live_for
from liju.train.live import duration, sparkline


def line(step, loss=2.5):
    looked = {"update_ratio": 2e-3} if step == 1 else {}
    return {"step": step, "loss": loss, "tokens": 75, "places": 100, "mfu": 0.25, "memory": 3.2e9, **looked}


def watch(live):
    live.begin(0, 8)
    for step in range(1, 9):
        live.step(line(step, 9.0 - step))
        if step == 5:
            live.evaluation(5, {"loss": 3.25}, "a [sample]")
            live.notice("the disk is full")
    live.end()


def test_a_file_gets_plain_lines():
    file = io.StringIO()
    live = live_for(Console(file=file))
    assert type(live) is Lines
    live.interval = 0
    watch(live)
    text = file.getvalue()
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0].startswith("step 1/8  loss 8.0000  ") and "75% real" in lines[0]
    assert "held out  step 5  loss 3.25" in lines and "a [sample]" in lines
    assert "note: the disk is full" in lines and "0 s left" in lines[-1]


def test_a_terminal_gets_a_panel_and_no_color_is_respected(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=90, _environ={"NO_COLOR": "1", "TERM": "xterm"})
    live = live_for(console)
    assert type(live) is Screen
    live.interval = 0
    watch(live)
    text = file.getvalue()
    assert "8 of 8" in text and "█" in text and "25% of the machine's peak" in text
    assert "3.20 GB at most" in text and "update 2.0e-03" in text
    assert not any(f"\x1b[3{color}m" in text for color in range(8))


def test_losses_of_languages_and_sources_have_lines_of_their_own():
    file = io.StringIO()
    live = live_for(Console(file=file))
    scores = {"loss": 2.5, "words_accuracy": 0.5, "loss/zh": 3.0, "loss/en": 2.0, "loss/source/a/b.txt": 4.0}
    live.evaluation(5, scores)
    assert file.getvalue().splitlines() == [
        "held out  step 5  loss 2.5  words_accuracy 0.5",
        "  by language  zh 3  en 2",
        "  by source  a/b.txt 4",
    ]


def test_quiet_is_quiet(capsys):
    watch(live_for(quiet=True))
    assert capsys.readouterr().out == ""
    assert isinstance(live_for(quiet=True), Quiet)


def test_sparkline_and_duration():
    assert sparkline([]) == "" and sparkline([3.0]) == "▁"
    assert sparkline([1.0, 1.0, 1.0]) == "▁▁▁"
    assert len(sparkline(list(range(1000)), width=30)) == 30
    assert duration(59.7) == "1:00"
