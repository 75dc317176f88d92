"""Services start in their own sessions, all or none, and stop with all their descendants."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from cli.errors import PortTaken, StartFailed, StateUnusable
from cli.local.processes import is_running, process_identity, processes_of, stop
from cli.local.services import Service
from cli.local.state import ProcessIdentity, RunRecord, ServiceRecord, StateFolder
from cli.local.supervisor import Plan, start_system, stop_system

PROGRAM = Path(__file__).parent / "start_system_program.py"

StandIn = Callable[..., Service]
PlanOf = Callable[..., Plan]
Gone = Callable[[int], bool]
PidsOf = Callable[[RunRecord], list[int]]


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def running_with(port: int) -> list[int]:
    """PIDs of the stand-ins of a port and of their children, which have it as an argument, too."""
    pids = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and str(port) in process.cmdline():
                pids.append(process.pid)
    return pids


def wait_for(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_up_and_down(state: StateFolder, console: Console, stand_in: StandIn, plan_of: PlanOf, gone: Gone) -> None:
    up = start_system(state, plan_of(stand_in("tools"), stand_in("orchestrator")), console)
    assert up.started_now
    pids = [service.process.pid for service in up.run.services]
    assert not any(map(gone, pids))
    assert "tools is ready after" in written(console)
    assert "orchestrator is ready after" in written(console)
    assert stop_system(state) == ["tools", "orchestrator"]
    assert all(map(gone, pids))
    assert state.read_run() is None
    assert stop_system(state) == []


def test_services_lead_sessions_of_their_own(
    state: StateFolder, console: Console, stand_in: StandIn, plan_of: PlanOf
) -> None:
    run = start_system(state, plan_of(stand_in("tools")), console).run
    pid = run.services[0].process.pid
    assert os.getsid(pid) == os.getpgid(pid) == pid


def test_a_second_start_uses_the_running_system(
    state: StateFolder, console: Console, stand_in: StandIn, plan_of: PlanOf
) -> None:
    first = start_system(state, plan_of(stand_in("tools")), console)
    second = start_system(state, plan_of(stand_in("tools")), console)
    assert not second.started_now
    assert second.run == first.run


def test_a_run_whose_services_have_exited_is_replaced(
    state: StateFolder, console: Console, stand_in: StandIn, plan_of: PlanOf, gone: Gone
) -> None:
    first = start_system(state, plan_of(stand_in("tools")), console)
    psutil.Process(first.run.services[0].process.pid).kill()
    wait_for(lambda: gone(first.run.services[0].process.pid))
    second = start_system(state, plan_of(stand_in("tools")), console)
    assert second.started_now


def test_a_partly_running_system_is_refused(
    state: StateFolder, console: Console, stand_in: StandIn, plan_of: PlanOf, gone: Gone
) -> None:
    run = start_system(state, plan_of(stand_in("tools"), stand_in("planner")), console).run
    psutil.Process(run.services[0].process.pid).kill()
    wait_for(lambda: gone(run.services[0].process.pid))
    with pytest.raises(StateUnusable, match="tools ended and planner still runs") as caught:
        start_system(state, plan_of(stand_in("tools")), console)
    assert "alpha-umi down" in str(caught.value.remedy)


def test_a_taken_port_starts_nothing(state: StateFolder, console: Console, stand_in: StandIn, plan_of: PlanOf) -> None:
    running = start_system(state, plan_of(stand_in("tools")), console).run
    taken = stand_in("planner")
    taken = Service(taken.name, taken.command, int(running.services[0].url.rpartition(":")[2]))
    other = StateFolder(state.path.parent / "other")
    with pytest.raises(PortTaken, match=f"port {taken.port} for the planner is taken .* \\(--planner-port\\)"):
        start_system(other, plan_of(stand_in("caller"), taken), console)
    assert other.read_run() is None
    assert list(other.logs.iterdir()) == []


def test_one_port_for_two_services_is_refused(
    state: StateFolder, console: Console, stand_in: StandIn, plan_of: PlanOf
) -> None:
    first = stand_in("planner")
    second = Service("caller", first.command, first.port)
    with pytest.raises(PortTaken, match="planner \\(--planner-port\\) and caller \\(--caller-port\\)"):
        start_system(state, plan_of(first, second), console)


def test_a_service_that_dies_ends_the_others_and_shows_its_log(
    state: StateFolder, console: Console, stand_in: StandIn, plan_of: PlanOf
) -> None:
    tools, planner = stand_in("tools", "--child"), stand_in("planner", "--exit", "3")
    with pytest.raises(StartFailed, match="the planner ended with exit code 3 before it was ready") as caught:
        start_system(state, plan_of(tools, planner, grace_s=1.0), console)
    assert "the weights are" in caught.value.log
    assert running_with(tools.port) == []
    assert state.read_run() is None


def test_services_that_are_not_ready_in_time_are_stopped(
    state: StateFolder, console: Console, stand_in: StandIn, plan_of: PlanOf
) -> None:
    plan = plan_of(stand_in("tools"), stand_in("planner", "--never-ready"), ready_timeout_s=1.5)
    with pytest.raises(StartFailed, match=r"not ready after 2 s: planner: not ready \(status 503\)"):
        start_system(state, plan, console)
    assert state.read_run() is None


def test_down_leaves_nothing_behind(
    state: StateFolder, console: Console, stand_in: StandIn, plan_of: PlanOf, gone: Gone, pids_of: PidsOf
) -> None:
    run = start_system(state, plan_of(stand_in("tools", "--ignore-term"), stand_in("planner", "--child")), console).run
    pids = pids_of(run)
    assert len(pids) == 3
    stop_system(state, grace_s=0.4)
    assert all(map(gone, pids))


def test_down_stops_the_child_of_a_killed_service(
    state: StateFolder, console: Console, stand_in: StandIn, plan_of: PlanOf, gone: Gone, pids_of: PidsOf
) -> None:
    run = start_system(state, plan_of(stand_in("planner", "--child")), console).run
    leader, *rest = pids_of(run)
    psutil.Process(leader).kill()
    wait_for(lambda: gone(leader))
    assert not any(map(gone, rest))
    stop_system(state, grace_s=0.2)
    assert all(map(gone, rest))


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_reused_pid_is_not_signalled(state: StateFolder, stranger: subprocess.Popen[bytes]) -> None:
    real = process_identity(psutil.Process(stranger.pid))
    assert is_running(real)
    earlier = ProcessIdentity(pid=real.pid, started=real.started - 60)
    record = ServiceRecord(
        name="planner", url="http://x", ready_url="http://x/readyz", log=state.path / "x.log", process=earlier
    )
    assert processes_of(record) == []
    assert stop([record]) == []
    state.create()
    state.write_run(RunRecord(role_token="token", complete=True, services=(record,)))
    assert stop_system(state) == []
    assert stranger.poll() is None


def arguments(*services: Service) -> str:
    return json.dumps([[service.name, service.port, service.command] for service in services])


def started_by(state: StateFolder, *services: Service) -> tuple[subprocess.Popen[bytes], list[int]]:
    process = subprocess.Popen([sys.executable, str(PROGRAM), str(state.path), arguments(*services)])
    wait_for(lambda: len(run.services if (run := state.read_run()) else ()) == len(services))
    run = state.read_run()
    assert run is not None
    return process, [service.process.pid for service in run.services]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_nothing(
    state: StateFolder, stand_in: StandIn, gone: Gone, number: signal.Signals
) -> None:
    process, pids = started_by(state, stand_in("tools"), stand_in("planner", "--never-ready", "--child"))
    process.send_signal(number)
    assert process.wait(20) == 130
    assert all(map(gone, pids))
    assert state.read_run() is None


def test_down_stops_what_a_killed_start_left(
    state: StateFolder, stand_in: StandIn, console: Console, gone: Gone
) -> None:
    process, pids = started_by(state, stand_in("tools"), stand_in("planner", "--never-ready"))
    with pytest.raises(StateUnusable, match="another alpha-umi command"):
        stop_system(state)
    process.kill()
    process.wait()
    with pytest.raises(StateUnusable, match="an earlier start was interrupted"):
        start_system(state, Plan([], list, "token"), console)
    assert stop_system(state) == ["tools", "planner"]
    assert all(map(gone, pids))


def test_the_state_is_readable_by_its_owner_only(
    state: StateFolder, console: Console, stand_in: StandIn, plan_of: PlanOf
) -> None:
    start_system(state, plan_of(stand_in("tools")), console)
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
    for path in (state.path / "run.json", state.logs / "tools.log"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_run_file_is_named(state: StateFolder) -> None:
    state.create()
    (state.path / "run.json").write_text("{")
    with pytest.raises(StateUnusable, match=r"run\.json cannot be read"):
        state.read_run()
    (state.path / "run.json").unlink()
