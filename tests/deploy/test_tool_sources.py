"""The tool sources that the compose deployments offer by default."""

from __future__ import annotations

from urllib.parse import urlsplit

from support.deployment_files import ROOT, documented_variables, services

from orchestrator.tools.sources_file import load_sources_file


def test_the_example_is_a_file_of_tool_sources() -> None:
    [source] = load_sources_file(ROOT / "deploy" / "tool_sources.example.yaml", environ={})
    assert source.url
    address = urlsplit(source.url)
    assert address.hostname in services("examples"), "the name of a service is its host name"
    assert f":{address.port}/" in services("examples")["tool-api"]["healthcheck"]["test"][-1]
    assert address.hostname == documented_variables()["ALPHA_UMI_ALLOWED_TOOL_HOSTS"]


def test_it_is_what_the_orchestrator_reads() -> None:
    orchestrators = [entry for name, entry in services().items() if name.startswith("orchestrator")]
    assert len(orchestrators) == 3
    for entry in orchestrators:
        sources = {mount["target"]: mount["source"] for mount in entry["volumes"] if isinstance(mount, dict)}
        mounted = entry["environment"]["ALPHA_UMI_TOOL_SOURCES"]
        assert sources[mounted] == "./deploy/tool_sources.example.yaml"
