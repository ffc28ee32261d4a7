"""What children print reaches the callback, and never blocks the child."""

from __future__ import annotations

import asyncio

from children import python

from gradewatch.model import ExitCause, ExitKind
from gradewatch.platforms.output import MAX_LINE
from gradewatch.platforms.process import ProcessPlatform


async def test_both_streams_arrive_with_the_last_unfinished_line(supervise):
    s = supervise(
        python("import sys\nprint('one', flush=True)\nsys.stderr.write('two\\n')\nsys.stderr.write('thr\\xe9e')")
    )
    await s.start()
    await s.ended()
    assert [line for _, line in s.lines] == ["one", "two", "thrée"]


async def test_long_line_is_cut_and_the_next_one_whole(supervise):
    s = supervise(python("print('x' * 3_000_000)\nprint('y' * 8192)\nprint('end')"))
    await s.start()
    await s.ended()
    assert [line for _, line in s.lines] == ["x" * MAX_LINE + "…", "y" * MAX_LINE, "end"]


async def test_bytes_that_are_not_text_are_replaced(supervise):
    s = supervise(python("import os\nos.write(1, b'a\\xff\\xfeb\\n')"))
    await s.start()
    await s.ended()
    assert s.lines == [("w1", "a��b")]


async def test_failing_callback_neither_blocks_nor_ends_the_child(supervise):
    seen: list[str] = []

    def fails_first(name: str, line: str) -> None:
        seen.append(line)
        if len(seen) == 1:
            raise RuntimeError("listener broke")

    s = supervise(python("for i in range(50_000): print('line', i)\nraise SystemExit(5)"), output=fails_first)
    await s.start()
    await s.ended()
    assert (await s.target()).last_exit == ExitCause(ExitKind.EXITED, 5)
    assert seen == [f"line {i}" for i in range(50_000)]


async def test_without_a_callback_children_write_to_our_streams(capfd):
    shell = ["/bin/sh", "-c", "echo to stdout; echo to stderr >&2"]
    platform = ProcessPlatform(shell, names=("w1",), queues=(), env={})
    ended = asyncio.Event()
    platform.on_event(ended.set)
    await platform.start()
    await asyncio.wait_for(ended.wait(), 10)
    captured = capfd.readouterr()
    assert "to stdout" in captured.out
    assert "to stderr" in captured.err
