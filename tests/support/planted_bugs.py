"""Bugs that are planted to show that a test notices them. No product code knows of them.

    ALPHA_UMI_PLANTED_BUG=NAME PYTHONPATH=.:tests python -m pytest -p support.planted_bugs TEST
    PYTHONPATH=.:tests python -m support.planted_bugs         each name, the test that must fail, and what it shows

The plug-in plants the bug in the process of the tests and in the orchestrators that these start.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from alpha_umi.trajectory import EffectIntended, advance
from orchestrator.tools.model import EffectClass
from support import orchestrator_process

VARIABLE = "ALPHA_UMI_PLANTED_BUG"
TESTS = "tests/orchestrator"


@dataclass(frozen=True)
class Bug:
    """How to plant it, the test that must fail with it, and a part of the line that fails or of its error."""

    plant: Callable[[], None]
    test: str
    shows: str


def _replace(path: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` makes of an attribute, as in `module:Class.method`, in its place.

    Raises `ImportError` or `AttributeError` for one that does not exist.
    """
    module, _, names = path.partition(":")
    *owners, name = names.split(".")
    owner = reduce(getattr, owners, import_module(module))
    setattr(owner, name, make(getattr(owner, name)))


def acknowledge_before_the_commit() -> None:
    """A write returns while its commit is still to come."""
    pending: set[asyncio.Task[Any]] = set()

    def early(submit: Any) -> Any:
        async def wrapper(self: Any, job: Any) -> None:
            task = asyncio.ensure_future(submit(self, job))
            pending.add(task)
            task.add_done_callback(pending.discard)

        return wrapper

    _replace("orchestrator.store.group_commit:GroupCommit.submit", early)


def lock_nothing() -> None:
    """The database file is not locked: two orchestrators write to it."""
    _replace(
        "orchestrator.store.sqlite_file:fcntl",
        lambda real: SimpleNamespace(**{**vars(real), **dict.fromkeys(("flock", "fcntl", "lockf"), lambda *_: b"")}),
    )


def repeat_the_last_row() -> None:
    """A resumed stream repeats the row that the client has."""

    def shifted(create: Any) -> Any:
        def wrapper(self: Any, *arguments: Any, **options: Any) -> None:
            create(self, *arguments, **options)
            self._after = max(0, self._after - 1)

        return wrapper

    _replace("orchestrator.stream.follow:_Follower.__init__", shifted)


def compare_no_bodies() -> None:
    """An idempotency key counts for any body."""

    def same(replay: Any) -> Any:
        return lambda self, request, record: replay(self, request, record._replace(digest=request.digest))

    _replace("orchestrator.runs.idempotency:IdempotencyStore._replay", same)


def check_the_first_address() -> None:
    """After one allowed address, all are: a name that resolves to another one later is not noticed."""
    allowed: list[str] = []

    def once(may_connect: Any) -> Any:
        def wrapper(address: str, **options: Any) -> bool:
            if allowed or may_connect(address, **options):
                allowed.append(address)
            return bool(allowed)

        return wrapper

    _replace("orchestrator.tools.egress:may_connect", once)


def never_close() -> None:
    """A breaker that has opened stays open."""
    _replace("orchestrator.roles.breaker:Breaker.probe_succeeded", lambda _: lambda self: None)


def send_every_write_again() -> None:
    """A write without a key is repeated after a crash."""
    _replace(
        "orchestrator.runs.executor:EffectExecutor.effect_class", lambda _: lambda self, *arguments: EffectClass.READ
    )


def record_intents_afterwards() -> None:
    """The intent of a call is committed together with its outcome."""

    def late(record: Any) -> Any:
        async def wrapper(self: Any, *events: Any, **options: Any) -> Any:
            if len(events) == 1 and isinstance(events[0], EffectIntended):
                self.postponed = (self.state, events[0])
                self.state = advance(self.state, events[0])
                return None
            state, intent = self.__dict__.pop("postponed", (self.state, None))
            self.state = state
            return await record(self, *([] if intent is None else [intent]), *events, **options)

        return wrapper

    _replace("orchestrator.runs.driver:Driver._record", late)


def leave_a_route_open() -> None:
    """One route needs no key."""
    _replace("alpha_umi.web.guard:OPEN_PATHS", lambda paths: paths | {"/v1/tools"})


def forget_the_owner() -> None:
    """A trajectory is read by its id alone."""
    _replace(
        "orchestrator.store.base:EventStore.get",
        lambda _: lambda self, trajectory_id, *, owner: self.get_of_any_owner(trajectory_id),
    )


def admit_afterwards() -> None:
    """A request is refused for load when its trajectory is stored."""

    def late(accept: Any) -> Any:
        @contextmanager
        def wrapper(self: Any, owner: str, *, background: bool) -> Iterator[None]:
            yield
            with accept(self, owner, background=background):
                pass

        return wrapper

    _replace("orchestrator.admission.admission:Admission.accept", late)


def show_the_first_snapshot() -> None:
    """A trajectory that was continued is shown as it was before."""
    seen: dict[tuple[Any, ...], Any] = {}

    def stale(snapshot: Any) -> Any:
        async def wrapper(self: Any, trajectory_id: str, **options: Any) -> Any:
            current = await snapshot(self, trajectory_id, **options)
            form = trajectory_id, *options.values()
            return seen.setdefault(form, current) if current else seen.get(form)

        return wrapper

    _replace("orchestrator.store.base:EventStore.snapshot", stale)


def redact_before_decoding() -> None:
    """Credentials are searched for in a text as it came."""
    _replace("alpha_umi.redaction:_ESCAPE", lambda _: re.compile(r"(?!)"))


def call_whatever_is_registered() -> None:
    """A tool that was replaced since the trajectory began is called."""
    _replace("orchestrator.tools.model:Tool.is_same", lambda _: lambda self, other: True)


BUGS = {
    "ack-before-commit": Bug(
        acknowledge_before_the_commit,
        f"{TESTS}/store/test_faults.py::test_a_full_disk_refuses_a_creation_completely",
        "DID NOT RAISE StoreUnavailable",
    ),
    "no-lock": Bug(
        lock_nothing,
        f"{TESTS}/store/test_processes.py::test_a_second_process_is_refused_until_the_first_is_gone",
        "DID NOT RAISE StoreInUse",
    ),
    "stream-off-by-one": Bug(
        repeat_the_last_row,
        f"{TESTS}/test_streaming.py::test_resuming_at_every_cut_neither_skips_nor_repeats",
        "Left contains one more item",
    ),
    "bodies-not-compared": Bug(
        compare_no_bodies,
        f"{TESTS}/test_idempotency.py::test_another_body_under_the_same_key",
        "idempotency-key-reused",
    ),
    "first-address-checked": Bug(
        check_the_first_address,
        f"{TESTS}/tools/test_ssrf.py::test_a_name_that_changes_its_mind_is_checked_at_every_connection",
        "isinstance(ConnectionFailed(",
    ),
    "breaker-stays-open": Bug(
        never_close, f"{TESTS}/roles/test_breaker.py::test_one_probe_after_a_while", "one more item: 'closed'"
    ),
    "unkeyed-write-repeated": Bug(
        send_every_write_again, f"{TESTS}/test_crashes.py::test_kill_at[tool.after_send:3]", "('UNKNOWN')"
    ),
    "intent-after-send": Bug(
        record_intents_afterwards, f"{TESTS}/test_crashes.py::test_kill_at[outcome.before_commit:9]", "('UNKNOWN')"
    ),
    "owner-forgotten": Bug(
        forget_the_owner,
        f"{TESTS}/store/test_owners.py::test_a_trajectory_is_there_for_its_owner_alone",
        "DID NOT RAISE TrajectoryNotFound",
    ),
    "admission-after-commit": Bug(
        admit_afterwards,
        f"{TESTS}/test_admission.py::test_an_owner_beyond_its_share_is_refused_before_anything_is_stored",
        "assert ids == ",
    ),
    "stale-snapshot": Bug(
        show_the_first_snapshot,
        f"{TESTS}/store/test_log.py::test_a_snapshot_counts_up_to_the_end_of_the_log",
        "steps=True) is None",
    ),
    "redaction-before-decoding": Bug(
        redact_before_decoding, "tests/test_redaction.py::test_each_notation_in_json", '"[redacted]" in shown'
    ),
    "swapped-tool-called": Bug(
        call_whatever_is_registered,
        f"{TESTS}/test_owners.py::test_a_tool_that_was_swapped_is_not_called",
        "not the one that was chosen",
    ),
    "open-route": Bug(
        leave_a_route_open,
        "tests/test_keys_everywhere.py::test_every_route_of_every_service_asks_for_a_key",
        "== OPEN_PATHS",
    ),
}

if __name__ == "__main__":
    for each, bug in BUGS.items():
        print(each, bug.test, bug.shows, sep="\t")
elif name := os.environ.get(VARIABLE):
    BUGS[name].plant()
    orchestrator_process._FORKS.set_forkserver_preload(["orchestrator.__main__", __name__])
