"""The gate: never more holders than slots, and no slot is lost when holders and waiters are cancelled."""

from __future__ import annotations

import asyncio
import random

from orchestrator.admission.gate import Gate


async def hold(gate: Gate, until: asyncio.Event, owner: str = "a", *, background: bool = False) -> None:
    async with gate.enter(owner, background=background):
        await until.wait()


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_gate_without_capacity_has_no_bound() -> None:
    gate = Gate()
    places = [gate.enter("a", background=False) for _ in range(100)]
    assert (gate.in_use, gate.waiting) == (100, 0)
    for place in places:
        place.leave()
        place.leave()
    assert gate.in_use == 0


async def test_what_exceeds_the_capacity_waits_in_turn() -> None:
    gate = Gate(1)
    holding = gate.enter("a", background=False)
    waiting = [gate.enter(owner, background=False) for owner in "aab"]
    assert (gate.in_use, gate.waiting) == (1, 3)
    holding.leave()
    assert [place.holds_slot for place in waiting] == [True, False, False]
    waiting[0].leave()
    assert [place.holds_slot for place in waiting] == [False, False, True]


async def test_the_capacity_changes_at_run_time() -> None:
    gate = Gate(1)
    places = [gate.enter("a", background=False) for _ in range(4)]
    gate.capacity = 3
    assert (gate.in_use, gate.waiting) == (3, 1)
    gate.capacity = 1
    places[0].leave()
    assert (gate.in_use, gate.waiting) == (2, 1)
    gate.capacity = None
    assert (gate.in_use, gate.waiting) == (3, 0)


async def test_a_waiter_that_is_cancelled_leaves_the_queue() -> None:
    gate, until = Gate(1), asyncio.Event()
    first, second, third = (asyncio.create_task(hold(gate, until)) for _ in range(3))
    await turns()
    second.cancel()
    await turns()
    assert (gate.in_use, gate.waiting) == (1, 1)
    until.set()
    await asyncio.gather(first, third)
    assert (gate.in_use, gate.waiting) == (0, 0)


async def test_a_slot_granted_to_a_cancelled_waiter_goes_to_the_next() -> None:
    gate, until = Gate(1), asyncio.Event()
    holding = gate.enter("a", background=False)
    waiter, following = (asyncio.create_task(hold(gate, until)) for _ in range(2))
    await turns()
    holding.leave()
    waiter.cancel()
    await turns()
    assert (gate.in_use, gate.waiting) == (1, 0)
    until.set()
    await following
    assert waiter.cancelled()
    assert gate.in_use == 0


async def test_no_slot_is_lost_under_random_cancellation() -> None:
    gate, chance, most = Gate(3), random.Random(7), 0

    async def work(owner: str) -> None:
        nonlocal most
        async with gate.enter(owner, background=chance.random() < 0.3):
            most = max(most, gate.in_use)
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(work(chance.choice("abc"))) for _ in range(300)]
    while not all(task.done() for task in tasks):
        chance.choice(tasks).cancel()
        await asyncio.sleep(0)
    assert most == 3
    assert (gate.in_use, gate.waiting) == (0, 0)
