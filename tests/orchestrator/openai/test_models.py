"""The models of the front door: names, aliases, and what is behind them."""

from __future__ import annotations

import pytest
from support.orchestrator_world import Client, World

from alpha_umi.contract.problems import ServiceError
from orchestrator.openai.models import ModelNames

ROLES = ["planner", "caller", "summarizer"]


async def test_the_strategies_are_models(world: World, client: Client) -> None:
    world.roles.context = 4_096
    page = (await client.http.get("/v1/models")).json()
    assert page["object"] == "list"
    assert [(model["id"], model["strategy"]) for model in page["data"]] == [
        ("alpha-umi", "chain"),
        ("alpha-umi-dfsdt", "dfsdt"),
    ]
    (one,) = (model for model in page["data"] if model["id"] == "alpha-umi")
    assert (await client.http.get("/v1/models/alpha-umi")).json() == one
    assert one["object"] == "model"
    assert one["owned_by"] == "alpha-umi"


async def test_a_model_has_the_smallest_context_and_the_models_of_its_roles(world: World) -> None:
    world.roles.context = 4_096
    async with world.orchestrator() as client:
        model = (await client.http.get("/v1/models/alpha-umi")).json()
    assert model["max_model_len"] == 4_096
    assert [each["role"] for each in model["role_models"]] == ROLES
    assert [each["id"] for each in model["role_models"]] == ROLES


async def test_a_model_whose_roles_are_down_is_listed_without_a_context(world: World) -> None:
    async with world.orchestrator(planner_url="http://127.0.0.1:9") as client:
        model = (await client.http.get("/v1/models/alpha-umi")).json()
    assert (model["id"], model["max_model_len"]) == ("alpha-umi", None)


async def test_aliases_and_the_single_model(world: World) -> None:
    aliases = "gpt-4o=alpha-umi, org/one=alpha-umi-single"
    async with world.orchestrator(model_aliases=aliases, backbone_url=world.roles_url) as client:
        listed = (await client.http.get("/v1/models")).json()["data"]
        assert [(model["id"], model["alias_of"]) for model in listed] == [
            ("alpha-umi", None),
            ("alpha-umi-dfsdt", None),
            ("alpha-umi-single", None),
            ("gpt-4o", "alpha-umi"),
            ("org/one", "alpha-umi-single"),
        ]
        assert (await client.http.get("/v1/models/org/one")).json()["strategy"] == "single"
        assert ModelNames(client.orchestrator).resolve("gpt-4o") == "chain"


async def test_an_unknown_model_is_a_404_that_lists_them(client: Client) -> None:
    answer = await client.http.get("/v1/models/gpt-9")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["param"], error["code"], error["type"]) == ("model", "model_not_found", "invalid_request_error")
    assert "alpha-umi, alpha-umi-dfsdt" in error["message"]


def test_a_missing_model_is_refused(client: Client) -> None:
    with pytest.raises(ServiceError) as refused:
        ModelNames(client.orchestrator).resolve(None)
    assert (refused.value.kind, refused.value.errors[0].field) == ("invalid-request", "model")


@pytest.mark.parametrize(
    "aliases", ["=alpha-umi", "x", "x=", "x=gpt-4o", "alpha-umi=alpha-umi-dfsdt", "x=alpha-umi-single"]
)
def test_an_alias_that_leads_nowhere_is_refused(world: World, aliases: str) -> None:
    with pytest.raises(ValueError, match="model_aliases"):
        world.settings(model_aliases=aliases)
