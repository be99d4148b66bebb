"""Recorded timings: which record is read, where a new one lands, what it holds."""

import json
from dataclasses import replace

import pytest
import torch

from helpers import bench, project
from helpers import ways as costs
from helpers.bench import fourier, pipelines, ways
from helpers.data import Split
from helpers.ways import Case, common

SMALL = (Case(2, 3, 12, 3, 4), Case(2, 17, 10, 3, 4))


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """A project without any record."""
    monkeypatch.delenv("REPORT_BENCH", raising=False)
    monkeypatch.setattr(project, "ROOT", tmp_path)
    return tmp_path


class Clock:
    """Something to measure that tells how often it was asked."""

    def __init__(self):
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return {"seconds": (0.5, 0.25 * self.asked)}


# --- The record -----------------------------------------------------------------------


def test_without_a_record_one_is_measured_beside_the_committed_ones(root, capsys):
    clock = Clock()
    found = bench.recorded("clock", {"sizes": (1, 2)}, clock)
    assert found.values == {"seconds": [0.5, 0.25]}
    assert bench.recorded("clock", {"sizes": (1, 2)}, clock) == found
    assert clock.asked == 1
    assert [path.relative_to(root).as_posix() for path in root.rglob("*.json")] == [
        "build/bench/clock.json"
    ]
    printed = capsys.readouterr().out
    assert "No recorded timings of clock fit" in printed
    assert "Written to build/bench/clock.json" in printed


def test_the_committed_record_comes_first_and_is_never_written_unasked(
    root, monkeypatch
):
    clock = Clock()
    monkeypatch.setenv("REPORT_BENCH", "data/bench")
    committed = bench.renew("clock", 1, clock)
    monkeypatch.delenv("REPORT_BENCH")
    mine = bench.renew("clock", 1, clock)
    assert bench.recorded("clock", 1, clock) == committed != mine
    monkeypatch.setenv("REPORT_BENCH", "build/bench")
    assert bench.recorded("clock", 1, clock) == mine
    assert clock.asked == 2
    assert (root / "data/bench/clock.json").exists()


def test_a_record_of_something_else_does_not_fit():
    clock = Clock()
    bench.renew("clock", {"sizes": (1, 2)}, clock)
    bench.recorded("clock", {"sizes": (1, 3)}, clock)
    assert clock.asked == 2


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"values": 1, "x": 2}', "{"])
def test_a_damaged_record_is_named_and_measured_anew(root, content):
    clock = Clock()
    bench.renew("clock", 1, clock)
    (root / "build/bench/clock.json").write_text(content)
    with pytest.warns(UserWarning, match=r"clock\.json is damaged and not used"):
        found = bench.recorded("clock", 1, clock)
    assert clock.asked == 2 and bench.recorded("clock", 1, clock) == found


def test_a_record_says_machine_version_and_day():
    found = bench.renew("clock", 1, Clock())
    found = replace(found, date="2026-03-07")
    assert str(found).endswith(", 7 March 2026")
    for fact in (found.machine["processor"], f"torch {torch.__version__}", "cores"):
        assert fact in str(found)


# --- The ways to compute a convolution ------------------------------------------------

in_processes = ways._in_processes


def in_this_process(rounds):
    """As `_in_processes`, without the seconds that a new process takes to begin."""
    return [costs.measure(costs.CASES, costs.MEASURED, rounds) for _ in range(2)]


@pytest.mark.slow
def test_every_repeat_is_a_process_of_its_own(small):
    repeats = in_processes(1)
    able = [
        (case, way)
        for case in SMALL
        for way in (*costs.REFERENCES, *ways.TIMED)
        if costs.computes(way, case)
    ]
    for timings in repeats:
        assert [(timing.case, timing.way) for timing in timings] == able
    assert {timing.case for timing in repeats[0]} == set(SMALL)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(costs, "CASES", SMALL)
    monkeypatch.setattr(costs, "GROWTH_BASE", Case(1, 2, 8, 3, 2))
    few = {"size": (6, 12), "channels": (1, 2), "kernel_size": (3, 5)}
    monkeypatch.setattr(ways, "GROWTHS", few)
    monkeypatch.setattr(ways, "PROCESSES", 2)
    monkeypatch.setattr(ways, "_in_processes", in_this_process)


def test_the_command_records_and_prints_a_table(small, capsys):
    ways.main(["--rounds", "2"])
    printed = capsys.readouterr().out
    for expected in [*(case.label for case in SMALL), "median"]:
        assert expected in printed
    for expected in (*costs.MEASURED, "Written to build/bench/ways.json"):
        assert expected in printed


def test_a_study_survives_its_file(small, monkeypatch):
    measured, measure = [], ways.measure
    monkeypatch.setattr(
        ways, "measure", lambda: measured.append(measure(2)) or measured[0]
    )
    first, second = ways.recorded(), ways.recorded()
    assert first == second and len(measured) == 1
    assert {timing.case for timing in first.timings} == set(SMALL)
    assert {timing.way for timing in first.with_onednn} == {
        *costs.REFERENCES,
        "im2row",
    }
    assert [growth.parameter for growth in first.growths] == list(ways.GROWTHS)
    assert all(len(timing.forward) == 4 for timing in first.timings)
    assert [len(timings) for timings in first.repeats] == [len(first.timings)] * 2
    assert [machine.bytes_per_second for machine in first.machines] == [
        machine["bytes_per_second"] for machine in measured[0]["machines"]
    ]
    assert str(torch.__version__) in first.where


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ("processor", "Another R Processor 2"),
        ("gpu", "Mine with Another R Processor 2"),
    ],
)
def test_a_second_machine_gets_a_record_of_its_own(part, file, root, monkeypatch):
    machine = bench.runs.machine()
    machine["machine"] |= {"processor": "Mine", "gpu": None}
    monkeypatch.setattr(bench.runs, "machine", lambda: machine)
    first = bench.renew("clock", 1, Clock())
    other = machine["machine"] | {part: "Another (R) Processor/2"}
    monkeypatch.setattr(bench.runs, "machine", lambda: machine | {"machine": other})
    second = bench.renew("clock", 1, Clock())
    again = bench.renew("clock", 1, Clock())
    assert (root / f"build/bench/clock on {file}.json").exists()
    assert bench.on_all_processors("clock", 1) == [first, again]
    assert second.values == again.values
    assert bench.recorded("clock", 1, Clock()) == first
    assert bench.on_all_processors("clock", 2) == []
    newer = root / f"build/bench/clock on {file}.json"
    assert bench.made("clock").machine["processor"] == "Mine"
    newer.write_text(newer.read_text().replace(again.date, "2999-01-01"))
    assert bench.made("clock").machine[part] == "Another (R) Processor/2"
    assert bench.made("watch") is None


def of(case, way, forward):
    return costs.Timing(case, way, forward, forward)


def test_what_is_chosen_and_its_interval_come_from_several_processes(monkeypatch):
    first, last = costs.REFERENCES
    one, two = SMALL
    repeats = [
        [
            of(one, first, (1.0, 1.0)),
            of(one, last, (2.0, 2.0)),
            of(one, "unfold", (ratio, ratio)),
            of(one, "im2row", (9.0, 9.0)),
            of(two, first, (2.0, 2.0)),
            of(two, "unfold", (2 * ratio, 2 * ratio)),
        ]
        for ratio in (1.0, 2.0, 3.0)
    ]
    study = ways.Study([], repeats, [], [])
    assert [timing.forward for timing in study.timings][2] == (1.0, 1, 2, 2, 3, 3)
    interval = study.interval({one: "unfold", two: "unfold"}, "forward")
    assert (interval.mean, interval.n) == (2.0, 3) and interval.low < 1 < interval.high
    seconds = {"unfold": 1.0, "im2row": 2.0}
    found = costs.pairs_named(study.timings, lambda case, way: seconds[way], "both")
    assert found == (1, 1)
    found = costs.pairs_named(study.timings, lambda case, way: -seconds[way], "both")
    assert found == (0, 1)


def test_the_compiled_way_is_compared_and_not_chosen():
    first, last = costs.REFERENCES
    one, _ = SMALL
    process = [
        of(one, first, (2.0, 2.0)),
        of(one, last, (4.0, 4.0)),
        of(one, "unfold", (4.0, 4.0)),
        of(one, "direct", (1.0, 3.0)),
    ]
    study = ways.Study([], [process, process], [], [])
    (ratio,) = study.compiled
    assert (ratio.way, ratio.forward.median) == ("direct", 1.0)
    assert "direct" not in {timing.way for timing in study.timings}
    assert ways.Study([], [process[:3]], [], []).compiled == []


def test_the_operator_that_is_not_public_is_used_for_its_own_part_only(
    small, monkeypatch
):
    seen = []

    def spy(cases, measured, rounds):
        seen.append((measured, common.ONEDNN))
        return []

    monkeypatch.setattr(common, "HAS_ONEDNN", True)
    monkeypatch.setattr(costs, "measure", spy)
    here = lambda rounds: [spy(costs.CASES, costs.MEASURED, rounds)]  # noqa: E731
    monkeypatch.setattr(ways, "_in_processes", here)
    ways.measure(rounds=1)
    assert seen == [(("im2row",), True), (costs.MEASURED, False)]


@pytest.mark.parametrize("command", [ways, pipelines])
@pytest.mark.parametrize(
    ("arguments", "status"), [(["--rounds", "0"], 2), (["--help"], 0)]
)
def test_the_commands_explain_themselves(command, arguments, status, capsys):
    with pytest.raises(SystemExit) as exit:
        command.main(arguments)
    assert exit.value.code == status
    assert "--rounds" in "".join(capsys.readouterr())


# --- Where Fourier wins ---------------------------------------------------------------


def test_the_map_says_where_the_sign_changes_and_how_often_both_agree():
    places = [(k, c) for c in fourier.CHANNELS for k in fourier.KERNEL_SIZES]
    never = dict.fromkeys(places, 2.0)
    measured = never | {(9, 4): 2.0, (15, 4): 0.5, (21, 4): 0.25}
    found = fourier.Map(measured, never)
    assert found.agreeing() == len(places) - 2
    assert found.crossovers(never) == {}
    # Half of the way on logarithmic axes, as 2 and 1/2 are equally far from 1.
    assert found.crossovers(measured) == pytest.approx({4: (9 * 15) ** 0.5})


def test_a_map_survives_its_file_and_is_predicted(monkeypatch, capsys):
    monkeypatch.setattr(fourier, "ROUNDS", 1)
    cases = tuple(replace(case, batch=1, size=24) for case in fourier.CASES)
    monkeypatch.setattr(fourier, "CASES", cases)
    fourier.main()
    found = fourier.recorded()
    assert found.measured.keys() == found.predicted.keys()
    assert min(found.measured.values()) > 0 < min(found.predicted.values())
    assert f"of {len(cases)} places" in capsys.readouterr().out


# --- Augmentation, one by one and in batches ------------------------------------------


def split(images):
    random = torch.Generator().manual_seed(0)
    shape = (images, 1, 28, 28)
    pixels = torch.randint(256, shape, generator=random, dtype=torch.uint8)
    return Split(pixels, torch.arange(images) % 10)


def test_pipelines_yield_how_many_images_they_have_changed(monkeypatch):
    assert next(pipelines.one_by_one(split(70), pipelines.ONE_BY_ONE, workers=0)) == 70
    changed, augment = [], pipelines.augment

    def spy(images, steps, generator):
        changed.append(augment(images, steps, generator))
        return changed[-1]

    monkeypatch.setattr(pipelines, "augment", spy)
    pipeline = pipelines.all_at_once(split(6).images, pipelines.STEPS, batches=3)
    assert next(pipeline) == 18 == sum(map(len, changed))
    assert not torch.equal(changed[0], changed[1])


@pytest.mark.timing
def test_all_pipelines_take_turns_and_are_recorded(root):
    state = torch.random.get_rng_state()
    few = split(1024)
    rates = pipelines.measure(few, rounds=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [len(values) for values in rates.values()] == [1] * 4
    assert min(rates["batches of 64"]) > 0
    bench.renew(pipelines.NAME, pipelines.STEPS, lambda: rates)
    assert pipelines.recorded(few).values == rates
    written = json.loads((root / "build/bench/pipelines.json").read_text())
    assert written["values"] == rates
