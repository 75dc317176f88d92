"""The HTTP interface: invalid input and its field, lists, cancellation, keys, tool sources, operations."""

from __future__ import annotations

from typing import Any

from support.orchestrator_world import Client, World
from support.scripted_roles import call, decide, hang, in_turn
from support.serving_on_loopback import until

from orchestrator.store import SHARED

PROBLEM = "urn:alpha-umi:problem:"


BAD_BODIES: list[tuple[dict[str, Any], str, str]] = [
    ({"surprise": 1}, "invalid-request", "surprise"),
    ({"instruction": ""}, "invalid-request", "instruction"),
    ({"instruction": " \n"}, "invalid-request", "instruction"),
    ({"instruction": "x" * 2**20}, "invalid-request", "instruction"),
    ({"instruction": 5}, "invalid-request", "instruction"),
    ({"instruction": None}, "invalid-request", "instruction"),
    ({"tools": ["look_up", "look_up"]}, "invalid-request", "tools"),
    ({"tools": ["look_up", "look_down"]}, "unknown-tool", "tools.1"),
    ({"tools": [{"nome": "mine"}]}, "invalid-request", "tools.0.name"),
    ({"max_steps": 0}, "invalid-request", "max_steps"),
    ({"max_steps": 10_000}, "invalid-request", "max_steps"),
    ({"max_steps": "many"}, "invalid-request", "max_steps"),
    ({"strategy": "wild"}, "invalid-request", "strategy"),
    ({"metadata": {"a": 1}}, "invalid-request", "metadata.a"),
    ({"metadata": {"a": "x" * 513}}, "invalid-request", "metadata.a"),
    ({"metadata": {"x" * 65: "a"}}, "invalid-request", f"metadata.{'x' * 65}.[key]"),
    ({"stream": "perhaps"}, "invalid-request", "stream"),
]


async def test_bad_input(client: Client) -> None:
    for body, kind, field in BAD_BODIES:
        response = await client.create(**body)
        shown = str(body)[:80]
        assert response.status_code == 422, shown
        assert response.headers["content-type"] == "application/problem+json", shown
        document = response.json()
        assert (document["type"], document["errors"][0]["field"]) == (PROBLEM + kind, field), shown
        assert document["request_id"] == response.headers["x-request-id"], shown
    assert (await client.http.get("/v1/trajectories")).json() == {"object": "list", "data": [], "has_more": False}


async def test_the_document_names_the_streams_and_their_events(client: Client) -> None:
    paths = (await client.http.get("/openapi.json")).json()["paths"]
    created = paths["/v1/trajectories"]["post"]["responses"]
    assert (set(created["200"]["content"]), "202" in created) == ({"application/json", "text/event-stream"}, True)
    followed = paths["/v1/trajectories/{trajectory_id}/events"]["get"]
    event = followed["responses"]["200"]["content"]["text/event-stream"]["schema"]["properties"]["event"]
    assert {"trajectory.created", "planner.delta", "trajectory.finished", "reconnect"} <= set(event["enum"])
    assert "null" not in str(followed["parameters"])


async def test_an_unknown_tool_comes_with_a_suggestion(client: Client) -> None:
    (error,) = (await client.create(tools=["lookup"])).json()["errors"]
    assert error["remedy"] == "did you mean 'look_up'?"


async def test_a_body_that_is_no_request(client: Client) -> None:
    for body in (b"{", b"", b"[]", b'"x"', b'{"instruction": "\\ud800"}'):
        response = await client.http.post(
            "/v1/trajectories", content=body, headers={"Content-Type": "application/json"}
        )
        assert (response.status_code, response.json()["type"]) == (422, f"{PROBLEM}invalid-request"), body


async def test_half_a_surrogate_pair_is_refused_and_leaves_nothing_behind(client: Client) -> None:
    for text in ('{"a": "\\ud800"}', '{"\\ud800": "a"}'):
        body = f'{{"instruction": "What is it?", "metadata": {text}}}'.encode()
        response = await client.http.post(
            "/v1/trajectories", content=body, headers={"Content-Type": "application/json"}
        )
        assert (response.status_code, response.json()["type"]) == (422, f"{PROBLEM}invalid-request"), body
    assert (await client.http.get("/v1/trajectories")).json()["data"] == []


async def test_without_any_tool_there_is_no_trajectory(world: World) -> None:
    async with world.orchestrator(tool_sources=None) as client:
        response = await client.create()
    assert (response.status_code, response.json()["type"]) == (422, f"{PROBLEM}no-tools")
    assert "register a tool source" in response.json()["errors"][0]["remedy"]


async def test_an_unknown_id(client: Client) -> None:
    for trajectory_id in ("traj_unknown", "..%2f..", "%00", "x" * 500):
        for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
            response = await client.http.request(method, f"/v1/trajectories/{trajectory_id}{path}")
            kinds = (f"{PROBLEM}trajectory-not-found", f"{PROBLEM}not-found")
            assert (response.status_code, response.json()["type"] in kinds) == (404, True), (trajectory_id, path)


async def test_lists_are_newest_first_and_paged(client: Client, world: World) -> None:
    ids = [(await client.run())["id"] for _ in range(5)]
    world.roles.planner = in_turn(decide("no", "give up"))
    ids.append((await client.run())["id"])
    pages, after = [], None
    while True:
        query = {"limit": 4} | ({} if after is None else {"after": after})
        page = (await client.http.get("/v1/trajectories", params=query)).json()
        pages.append([result["id"] for result in page["data"]])
        if not page["has_more"]:
            break
        after = pages[-1][-1]
    assert pages == [ids[:1:-1], ids[1::-1]]
    filtered = (await client.http.get("/v1/trajectories", params={"status": "gave_up"})).json()
    assert [result["id"] for result in filtered["data"]] == [ids[-1]]
    assert "steps" not in filtered["data"][0]
    with_steps = (await client.http.get("/v1/trajectories", params={"include": "steps"})).json()["data"]
    assert with_steps == [(await client.http.get(f"/v1/trajectories/{each}")).json() for each in reversed(ids)]
    assert {**with_steps[0], "steps": None} == {**filtered["data"][0], "steps": None}


async def test_bad_queries(client: Client) -> None:
    for query, field in (("limit=0", "limit"), ("limit=1000", "limit"), ("status=odd", "status"), ("tint=red", "tint")):
        response = await client.http.get(f"/v1/trajectories?{query}")
        assert response.status_code == 422, query
        assert field in response.json()["errors"][0]["field"], query
    response = await client.http.get("/v1/trajectories?after=unknown")
    assert (response.status_code, response.json()["type"]) == (404, f"{PROBLEM}trajectory-not-found")


async def test_cancelling_aborts_the_role_request(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    trajectory_id = await client.start()
    await world.roles.requested.wait()
    response = await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")
    assert response.status_code == 200
    assert response.json()["status"] == "cancelled"
    await until(lambda: world.roles.left == ["planner"])
    again = await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")
    assert (again.status_code, again.json()["type"]) == (409, f"{PROBLEM}trajectory-finished")


async def test_cancelling_during_a_tool_call_says_that_its_outcome_is_unknown(client: Client, world: World) -> None:
    world.roles.planner = in_turn(decide("order it", "caller"))
    world.roles.caller = in_turn(call("order", item="lamp"))
    world.shop.hang = True
    trajectory_id = await client.start()
    await world.shop.entered.wait()
    result = (await client.http.post(f"/v1/trajectories/{trajectory_id}/cancel")).json()
    assert result["status"] == "cancelled"
    assert result["steps"][0]["observation"]["content"].startswith("UNKNOWN")
    await until(lambda: world.shop.left == 1)


async def test_cancelling_a_finished_trajectory(client: Client) -> None:
    result = await client.run()
    response = await client.http.post(f"/v1/trajectories/{result['id']}/cancel")
    assert response.status_code == 409
    assert "completed" in response.json()["detail"]


async def test_background_answers_before_the_end(client: Client, world: World) -> None:
    world.roles.planner = in_turn(hang())
    response = await client.create(background=True)
    assert response.status_code == 202
    result = response.json()
    assert response.headers["location"] == f"/v1/trajectories/{result['id']}"
    assert (result["object"], result["status"], result["finished_at"], result["steps"]) == (
        "trajectory",
        "running",
        None,
        [],
    )


async def test_keys(world: World) -> None:
    operator, user = "one-0a4f9d27c6e8b153f7d21a", "two-b83e61d90f7c2a459e06c1"
    async with world.orchestrator(api_keys=f"{operator}, {user}") as client:
        documented = client.http.headers
        paths = ["/v1/trajectories", "/v1/tools", "/v1/tool-sources", "/metrics", "/openapi.json", "/docs"]
        for path in paths:
            assert (await client.http.get(path)).status_code == 401
        for path in ("/healthz", "/readyz"):
            assert (await client.http.get(path)).status_code == 200
        for key in (operator, user):
            documented["Authorization"] = f"Bearer {key}"
            for path in paths:
                refused = path == "/metrics" and key == user
                assert (await client.http.get(path)).status_code == (403 if refused else 200)
        documented["Authorization"] = "Bearer three"
        assert (await client.create()).status_code == 401


async def test_readiness_and_health(client: Client, world: World) -> None:
    assert (await client.http.get("/healthz")).json() == {"status": "ok"}
    ready = (await client.http.get("/readyz")).json()
    assert (ready["status"], ready["constrained"]) == ("ready", True)
    assert ready["roles"] == {"planner": "ready", "caller": "ready", "summarizer": "ready"}
    address = world.roles_url.removeprefix("http://")
    assert ready["replicas"]["caller"] == {address: {"state": "ready", "circuit": "closed"}}


async def test_not_ready(world: World) -> None:
    world.roles.ready = False
    async with world.orchestrator() as client:
        response = await client.http.get("/readyz")
    assert response.status_code == 503
    assert "the model is loading" in response.json()["detail"]


async def test_metrics_count_what_happened(client: Client, world: World) -> None:
    world.roles.planner = in_turn(decide("look it up", "caller"), decide("I know it", "conclusion"))
    world.roles.caller = in_turn(call("look_up", item="lamp"))
    await client.run()
    text = (await client.http.get("/metrics")).text
    for line in (
        'alpha_umi_trajectories_total{status="completed",strategy="chain"} 1.0',
        "alpha_umi_trajectories_running 0.0",
        'alpha_umi_decisions_total{next="caller",readable="yes"} 1.0',
        'alpha_umi_tool_calls_total{outcome="ok"} 1.0',
        'alpha_umi_tokens_total{kind="prompt",role="planner"} 20.0',
        'alpha_umi_role_call_duration_seconds_count{outcome="ok",role="caller"} 1.0',
        'alpha_umi_log_appends_total{outcome="ok"} 6.0',
    ):
        assert line in text.splitlines()


async def test_tools_on_offer(client: Client) -> None:
    tools = (await client.http.get("/v1/tools")).json()["data"]
    assert [(tool["name"], tool["source"], tool["effect"]) for tool in tools] == [
        ("look_up", "shop", "read"), ("reserve", "shop", "keyed_write"), ("order", "shop", "unkeyed_write"),
    ]  # fmt: skip
    assert tools[0]["parameters"]["required"] == ["item"]


async def test_tool_sources_are_added_removed_and_stored(world: World) -> None:
    source = world.shop.source(world.shop_url) | {"name": "second", "headers": {"X-Key": "very-secret"}}
    async with world.orchestrator(tool_sources=None) as client:
        added = await client.http.post("/v1/tool-sources", json=source)
        assert added.status_code == 201
        assert added.headers["location"] == "/v1/tool-sources/second"
        assert (added.json()["status"], added.json()["tools"]) == ("ready", ["look_up", "reserve", "order"])
        assert "very-secret" not in added.text
        again = await client.http.post("/v1/tool-sources", json=source)
        assert (again.status_code, again.json()["type"]) == (409, f"{PROBLEM}tool-source-exists")
        assert added.json()["prompt_tokens"] > 50
    async with world.orchestrator(tool_sources=None) as client:
        (source,) = (await client.http.get("/v1/tool-sources")).json()["data"]
        assert (source["name"], source["origin"], source["status"]) == ("second", "api", "ready")
        assert (await client.run(tools=["look_up"]))["status"] == "completed"
        assert (await client.http.delete("/v1/tool-sources/second")).status_code == 204
        gone = await client.http.delete("/v1/tool-sources/second")
        assert (gone.status_code, gone.json()["type"]) == (404, f"{PROBLEM}tool-source-not-found")
        assert (await client.http.get("/v1/tools")).json()["data"] == []
    async with world.orchestrator(tool_sources=None) as client:
        assert (await client.http.get("/v1/tool-sources")).json()["data"] == []


async def test_a_tool_source_that_cannot_be_used(client: Client) -> None:
    sources: list[tuple[dict[str, Any], str]] = [
        ({"name": "new"}, "body"),
        ({"name": "new", "url": "file:///etc/passwd"}, "url"),
        ({"name": "no spaces", "document": "{}"}, "name"),
        ({"name": "new", "document": "{}", "surprise": 1}, "surprise"),
        ({"name": "new", "document": "not a document"}, "#"),
    ]
    for source, field in sources:
        response = await client.http.post("/v1/tool-sources", json=source)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field), source


async def test_a_source_that_cannot_be_read_is_shown_and_tried_again(world: World) -> None:
    sources = world.folder / "later.yaml"
    sources.write_text(f"sources: [{{name: later, url: '{world.shop_url}/missing.json'}}]")
    async with world.orchestrator(tool_sources=sources) as client:
        (shown,) = (await client.http.get("/v1/tool-sources")).json()["data"]
        assert (shown["status"], shown["tools"]) == ("failed", [])
        assert "404" in shown["error"]
        assert (await client.create()).json()["type"] == f"{PROBLEM}no-tools"
        document = world.shop.source(world.shop_url)["document"]
        world.shop.documents["missing.json"] = document
        await until(lambda: bool(client.orchestrator.registry.of(SHARED).list_tools()))
        assert (await client.run())["status"] == "completed"
