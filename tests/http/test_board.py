"""The room between the cycle and its readers."""

from __future__ import annotations

from builders import NOW, report

from gradewatch.board import MAX_ALERTS, MAX_BACKLOG, Alert, Board, Lost
from gradewatch.model import Code, CycleReport


async def test_the_latest_report_and_when_it_came() -> None:
    board = Board(mono=lambda: 77.0)
    assert (board.latest, board.published_mono) == (None, None)
    board.publish(report(number=3))
    assert (board.latest.number if board.latest else 0, board.published_mono) == (3, 77.0)


async def test_a_listener_that_fails_stops_neither_the_cycle_nor_the_others() -> None:
    heard: list[CycleReport] = []

    def broken(one: CycleReport) -> None:
        raise RuntimeError("no")

    board = Board()
    board.listen(broken)
    board.listen(heard.append)
    board.publish(report())
    assert len(heard) == 1


async def test_a_listener_registered_twice_hears_once() -> None:
    heard: list[int] = []

    def hear(one: CycleReport) -> None:
        heard.append(one.number)

    board = Board()
    board.listen(hear)
    board.listen(hear)
    board.publish(report(number=4))
    assert heard == [4]


async def test_a_subscriber_loses_the_oldest_and_is_told_first() -> None:
    board = Board()
    with board.subscribe() as slow, board.subscribe() as quick:
        for number in range(1, MAX_BACKLOG + 4):
            board.publish(report(number=number))
            if number == 1:
                assert (await quick.next()) is board.latest
        assert await slow.next() == Lost(3)
        first = await slow.next()
        assert isinstance(first, CycleReport)
        assert first.number == 4
    assert board.subscribers == 0


async def test_closing_ends_every_subscription() -> None:
    board = Board()
    subscriptions = [board.subscribe() for _ in range(3)]
    board.publish(report())
    board.close_subscriptions()
    for subscription in subscriptions:
        assert [item async for item in subscription] == []
    assert board.subscribers == 0


def test_a_wake_reaches_the_cycle_and_is_nothing_without_one() -> None:
    board, reasons = Board(), list[str]()
    board.wake("nobody is there")
    board.on_wake(reasons.append)
    board.wake("an alert fires")
    assert reasons == ["an alert fires"]


def test_ticks_move_the_sign_of_life() -> None:
    times = iter([1.0, 5.0])
    board = Board(mono=lambda: next(times))
    assert board.last_tick_mono == 1.0
    board.tick()
    assert board.last_tick_mono == 5.0


def test_alerts_are_bounded_and_a_repeated_one_is_the_newest() -> None:
    board = Board()
    alerts = [Alert(str(n), "x", Code.JOB_POISON, {}, "", NOW) for n in range(MAX_ALERTS + 1)]
    for alert in alerts[:MAX_ALERTS]:
        board.note_alert(alert, firing=True)
    board.note_alert(alerts[0], firing=True)
    board.note_alert(alerts[MAX_ALERTS], firing=True)
    kept = [alert.fingerprint for alert in board.alerts]
    assert len(kept) == MAX_ALERTS
    assert "0" in kept
    assert "1" not in kept
    board.note_alert(alerts[0], firing=False)
    assert "0" not in [alert.fingerprint for alert in board.alerts]
