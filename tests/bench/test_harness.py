"""The arithmetic of the benches; nothing here is timed."""

import json
from pathlib import Path

import pytest

from tests.bench import results
from tests.bench.__main__ import BENCHES, main, summary
from tests.bench.harness import LEAST_PACE, Figure, Wanted, pace, ratios, run
from tests.bench.load import Tally


def figure(*runs: float, name: str = "ingest", **more: object) -> Figure:
    return Figure(name, runs, engine="sqlite", **more)  # type: ignore[arg-type]


def test_a_ratio_is_of_runs_that_lay_side_by_side() -> None:
    assert ratios([1.0, 9.0], [2.0, 3.0]) == [0.5, 3.0]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("made", "missed_by"),
    [
        (figure(0.2, 0.3, 0.9), None),  # no mark
        (figure(0.2, 0.3, 0.9, reach=0.3), 0.0),  # the median is what counts
        (figure(0.2, 0.3, 0.9, reach=0.6), 0.5),
        (figure(90, 100, 110, reach=120, lower_is_better=True), 0.0),
        (figure(90, 100, 110, reach=80, lower_is_better=True), 0.25),
    ],
)
def test_a_mark_is_met_or_missed_by_a_share(made: Figure, missed_by: float | None) -> None:
    assert made.missed_by == (missed_by if missed_by is None else pytest.approx(missed_by))
    assert ("MISSED" in made.line()) == bool(missed_by)


def test_one_bench_alone_renews_its_own_figures_and_leaves_the_others(tmp_path: Path) -> None:
    out = tmp_path / "now.json"
    for made in (figure(1.0), figure(2.0, name="submit"), figure(3.0)):
        results.merge(out, {made.key: made.as_dict()})
    known = results.read(out)
    assert {key: f["median"] for key, f in known["figures"].items()} == {"ingest [sqlite]": 3.0, "submit [sqlite]": 2.0}
    assert known["machine"]["cores"] >= 1
    assert str(Path.home()) not in out.read_text(), "a file that may be published"


@pytest.mark.parametrize(
    ("was", "now", "lower_is_better", "word"),
    [
        ((1.0, 1.1), (1.05, 1.2), False, "within the spread"),
        ((1.0, 1.1), (1.2, 1.3), False, "better"),
        ((1.0, 1.1), (1.2, 1.3), True, "worse"),
        ((1.2, 1.3), (1.0, 1.1), True, "better"),
    ],
)
def test_a_change_is_one_where_the_spreads_do_not_touch(
    was: tuple[float, float], now: tuple[float, float], lower_is_better: bool, word: str
) -> None:
    before, after = figure(*was, lower_is_better=lower_is_better), figure(*now, lower_is_better=lower_is_better)
    earlier = {"machine": results.machine(), "figures": {before.key: before.as_dict()}}
    [line] = results.compared({after.key: after.as_dict()}, earlier)
    assert line.endswith(word)


def test_another_machine_and_a_new_figure_are_said() -> None:
    made = figure(1.0)
    lines = results.compared({made.key: made.as_dict()}, {"machine": {"processor": "an abacus"}, "figures": {}})
    assert "an abacus" in lines[0]
    assert lines[1].endswith("new")


def test_a_bench_writes_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "now.json"
    asked: list[Wanted] = []

    async def bench(wanted: Wanted) -> list[Figure]:
        asked.append(wanted)
        return [figure(0.5, reach=1.0)]

    monkeypatch.setattr("sys.argv", ["bench", "postgres", "--quick", "--pace", "0.5", "--out", str(out)])
    run(bench, "a bench")
    monkeypatch.setattr("sys.argv", ["bench", "--among-others", "--pace", "1", "--compare", str(out)])
    run(bench, "a bench")
    assert asked == [Wanted(["postgres"], quick=True, pace=0.5), Wanted(alone=False)]
    said = capsys.readouterr().out
    assert "MISSED by 50%" in said
    assert "within the spread" in said
    assert json.loads(out.read_text())["figures"]["ingest [sqlite]"]["missed_by"] == 0.5


def test_the_summary_names_what_is_missed() -> None:
    made = [figure(0.5, reach=1.0), figure(2.0, reach=1.0, name="submit"), figure(3.0, name="unmarked")]
    assert summary({f.key: f.as_dict() for f in made}) == [
        "ingest [sqlite]: 0.5 ×, mark 1, missed by 50%",
        "1 of 2 marks met.",
    ]


def test_every_bench_is_found_and_no_other_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(BENCHES) >= {"ingest", "submit", "start", "feed", "workers", "overload", "reconcile", "neighbours"}
    assert "harness" not in BENCHES
    monkeypatch.setattr("sys.argv", ["bench", "--only", "nonsense"])
    with pytest.raises(SystemExit):
        main()


def test_a_warm_up_is_shorter_than_a_run() -> None:
    assert Wanted().counts(1_000) == [250, *[1_000] * 5]
    assert Wanted(quick=True).counts(3) == [1, 3, 3, 3]


def test_a_slow_machine_does_less_and_never_nothing() -> None:
    assert (Wanted(pace=0.25).work(6_000), Wanted(quick=True, pace=0.25).work(6_000, 1_500)) == (1_500, 375)
    assert Wanted(pace=0.25).work(1) == 1
    assert LEAST_PACE <= pace() <= 1.0


def test_percentiles_are_of_what_was_counted() -> None:
    tally = Tally()
    for number in range(100):
        tally.add(b"200" if number else b"503", number / 1000)
    tally.elapsed_s = 2.0
    assert (tally.statuses, tally.rate) == ({"503": 1, "200": 99}, 50.0)
    assert (tally.percentile_ms(0.5), tally.percentile_ms(1.0)) == (50.0, 99.0)
