"""Every rebuilt prompt of a report equals the prompt that the role's engine received."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.seen_prompts import Watched, priced
from support.system import call

from alpha_umi.roles.turns import Role
from evaluation.files.trajectory_run import TrajectoryRun, read_trajectory_run
from evaluation.reporting.trajectory_prompts import NoPrompts, RolePrompt, trajectory_prompts

LAMP, MOON = (call("price_of", {"item": item}) for item in ("lamp", "moon"))
CHAIN = Watched(
    {
        "planner": ["I ask. Next: caller.", "Again. Next: caller.", "Once more. Next: caller.", "Hm", " conclusion."],
        # Two that cannot be used for the first step, one that is repaired for the second, one that nobody recorded.
        "caller": [call("nothing", {}), call("price_of", {}), "Action: what", LAMP, MOON],
        "summarizer": ["It costs 40."],
    }
)


def made_again(run: TrajectoryRun) -> list[RolePrompt]:
    (record,) = run.records
    return trajectory_prompts(run, record)


def texts(prompts: list[RolePrompt], role: Role) -> list[str | None]:
    return [prompt.text for prompt in prompts if prompt.role == role]


def places(prompts: list[RolePrompt]) -> list[tuple[Role, int | None]]:
    return [(prompt.role, prompt.step) for prompt in prompts]


async def test_a_chain_with_calls_that_fail_in_every_way(tmp_path: Path) -> None:
    run = await priced(tmp_path, CHAIN)
    prompts = made_again(run)
    assert places(prompts) == [
        ("planner", 0), ("caller", 0), ("planner", 1), ("caller", 1), ("planner", 2), ("caller", 2), ("planner", 3),
        ("summarizer", None),
    ]  # fmt: skip
    planner, caller = CHAIN.seen("planner"), CHAIN.seen("caller")
    # The last one goes on from the text before it; the second and the fourth call are repairs.
    assert texts(prompts, "planner") == planner[:4]
    assert planner[4].startswith(planner[3])
    assert texts(prompts, "caller") == [caller[0], caller[2], caller[4]]
    assert texts(prompts, "summarizer") == CHAIN.seen("summarizer")
    assert "No call was made: " in planner[1]
    assert "Action: what" in caller[3]
    assert "call-not-recorded" in planner[3]
    assert [prompt.remarks for prompt in prompts if prompt.role == "caller"] == [
        (
            "the role wrote 2 times, and this was its first prompt",
            "whether the history was shortened is recorded for parsed outputs only",
        ),
        ("the role wrote 2 times, and this was its first prompt",),
        (),
    ]


async def test_the_closing_answer_at_a_limit_with_the_published_label(tmp_path: Path) -> None:
    watched = replace(CHAIN, texts=CHAIN.texts | {"caller": [LAMP]}, planner_label="planner")
    run = await priced(tmp_path, watched, max_steps=1)
    prompts = made_again(run)
    assert run.records[0].trajectory.status == "exhausted"
    assert places(prompts) == [("planner", 0), ("caller", 0), ("summarizer", None)]
    for role in ("planner", "caller", "summarizer"):
        assert texts(prompts, role) == watched.seen(role)
    assert "planner: I ask." in watched.seen("summarizer")[0]


async def test_a_search_that_goes_back_shows_what_was_tried(tmp_path: Path) -> None:
    decisions = [
        "I ask. Next: caller.",
        "Nobody knows it. Next: give up.",
        "Otherwise. Next: caller.",
        "Known. Next: conclusion.",
    ]
    watched = Watched({"planner": decisions, "caller": [MOON, LAMP], "summarizer": ["It costs 40."]})
    run = await priced(tmp_path, watched, strategy="dfsdt")
    prompts = made_again(run)
    assert "search.backtracked" in [event.type for event in run.records[0].events]
    assert places(prompts) == [
        ("planner", 0), ("caller", 0), ("planner", 1), ("planner", 2), ("caller", 2), ("planner", 3),
        ("summarizer", None),
    ]  # fmt: skip
    for role in ("planner", "caller", "summarizer"):
        assert texts(prompts, role) == watched.seen(role)
    candidates = '"name": "price_of"'
    assert [candidates in text for text in watched.seen("planner")] == [False, False, True, False]
    assert candidates not in watched.seen("caller")[1]


async def test_the_single_model(tmp_path: Path) -> None:
    watched = Watched(
        {"backbone": ["I ask.\nAction:", LAMP, "Known.\nAction:", "Action: no", call("x", {}), "It is 40."]}
    )
    run = await priced(tmp_path, watched, strategy="single", max_steps=2)
    prompts, seen = made_again(run), watched.seen("backbone")
    assert places(prompts) == [("backbone", 0), ("backbone", 1), ("backbone", None)]
    # Between them stand those that begin a call, and its repair.
    assert texts(prompts, "backbone") == [seen[0], seen[2], seen[-1]]
    assert seen[-1].endswith("conclusion:")
    assert "No call was made: " in seen[-1]


async def test_a_shortened_history_is_reported_as_lost(tmp_path: Path) -> None:
    watched = replace(
        CHAIN, texts=CHAIN.texts | {"caller": [MOON], "planner": ["I ask. Next: caller.", "Known. Next: conclusion."]}
    )
    # The planner's second prompt has 102 words, and leaves 72 for what is written.
    watched.context = 170
    run = await priced(tmp_path, watched)
    prompts = made_again(run)
    assert [(prompt.role, prompt.text is None) for prompt in prompts] == [
        ("planner", False), ("caller", False), ("planner", True), ("summarizer", False),
    ]  # fmt: skip
    assert "assistant: I ask." not in watched.seen("planner")[1]
    assert prompts[2].why == "its history was shortened to fit the model's context"
    assert texts(prompts, "planner")[0] == watched.seen("planner")[0]


async def test_a_role_that_fails_has_a_prompt(tmp_path: Path) -> None:
    watched = replace(CHAIN, texts=CHAIN.texts | {"caller": [LAMP], "summarizer": [""]})
    watched.texts = watched.texts | {"planner": ["I ask. Next: caller.", "Known. Next: conclusion."]}
    run = await priced(tmp_path, watched)
    *_, last = made_again(run)
    assert run.records[0].trajectory.status == "failed"
    assert (last.role, last.step, last.text) == ("summarizer", None, watched.seen("summarizer")[0])
    assert last.remarks[0] == "no answer came"


@pytest.fixture
async def run(tmp_path: Path) -> TrajectoryRun:
    return await priced(tmp_path, replace(CHAIN, texts=dict(CHAIN.texts)))


def changed(run: TrajectoryRun, **fields: Any) -> TrajectoryRun:
    return replace(run, records=(run.records[0].model_copy(update=fields),))


async def test_what_an_older_file_lacks_is_reported(run: TrajectoryRun, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (tmp_path / "trajectories.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["trajectory-run", "tool", "trajectory"]
    del lines[2]["offered"]
    (tmp_path / "older.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (lines[0], lines[2])))
    with pytest.raises(NoPrompts, match="does not have the tools as they were offered"):
        made_again(read_trajectory_run(tmp_path / "older.jsonl"))


UNKNOWN_TEMPLATES: dict[str, dict[str, Any]] = {
    "this version has no template 'of nobody'": {"template": "of nobody"},
    "the file does not name its template": {},
    "this version has another template 'toolbench'": {
        "template": "toolbench", "manifest": {"template_digest": "0" * 64},
    },
}  # fmt: skip


async def test_a_template_that_is_not_here_is_named(run: TrajectoryRun) -> None:
    for why, model in UNKNOWN_TEMPLATES.items():
        about = run.about.model_copy(update={"models": run.about.models | {"caller": model}})
        prompts = made_again(replace(run, about=about))
        assert {prompt.why for prompt in prompts if prompt.role == "caller"} == {why}
        assert all(prompt.text for prompt in prompts if prompt.role != "caller")
    with pytest.raises(NoPrompts, match="does not name the models"):
        made_again(replace(run, about=run.about.model_copy(update={"models": {}})))
