"""`gradewatch demo`: the whole story on the embedded default, with a worker killed on purpose."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from gradewatch.cli.invocation import Invocation
from gradewatch.cli.logs import set_up_logs
from gradewatch.cli.options import as_json, pass_invocation


@click.command()
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("demo-report.json"),
    show_default=True,
    help="Where to write what came of it.",
)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep its files here.")
@click.option("--monitoring", is_flag=True, help="With a Prometheus and an Alertmanager to look at, until Ctrl-C.")
@as_json
@pass_invocation
@click.pass_context
def demo(
    ctx: click.Context, invocation: Invocation, report: Path, keep: Path | None, monitoring: bool, as_json: bool
) -> None:
    """See a worker killed and its papers graded all the same.

    Thirty papers, two workers, one of them killed half way; the watch takes its job back and restarts it. Needs no
    key, no server and no settings. Exit code 0 when every paper was graded exactly once. With --json the story goes to
    standard error, and the report to standard output.
    """
    from gradewatch.demo import run_demo

    set_up_logs(invocation.log_format or "auto", "debug" if invocation.verbose else "error")  # it tells its own story
    if not as_json:
        ctx.exit(run_demo(report=report, keep=keep, monitoring=monitoring))
    with redirect_stdout(sys.stderr):
        code = run_demo(report=report, keep=keep, monitoring=monitoring)
    click.echo(report.read_text(encoding="utf-8").rstrip())
    ctx.exit(code)
