"""How verdicts look on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from cli.figures_view import NO_FIGURE, figures_table, print_table
from cli.plain_text import plain_line
from evaluation.counted import counted
from evaluation.judge.report import JudgeReport

NOT_JUDGED = {
    "nonsense": "without a meaning, counted as neither",
    "too-long": "longer than the judge's context, not judged",
}


def print_verdicts(console: Console, report: JudgeReport) -> None:
    """The rates, what could not be judged, what was said, and how far repeats agree."""
    run = report.run
    told = f"{plain_line(run.suite)}: {counted(run.trajectories, 'trajectory')}, {run.procedure}, judged by "
    console.print(Text(f"{told}{plain_line(run.model)}, {counted(run.repeat, 'time')} each"), soft_wrap=True)
    _print_missing(console, report)
    table = figures_table("verdicts", "name", "figure", "95 %", "n")
    for name, figure in report.figures.items():
        interval = NO_FIGURE if figure.low is None else f"{figure.low:.4f} to {figure.high:.4f}"
        value = NO_FIGURE if figure.value is None else f"{figure.value:.4f}"
        table.add_row(figure.title, name, value, interval, f"{figure.n:,}")
    print_table(console, table)
    for label, counts in report.labels.items():
        said = ", ".join(f"{plain_line(value)} {count:,}" for value, count in counts.items())
        console.print(Text(f"{plain_line(label)}: {said}"), soft_wrap=True)
    _print_agreement(console, report)
    console.print(Text(f"the judge read {report.prompt_tokens:,} tokens and wrote {report.completion_tokens:,}"))


def print_not_asked(console: Console, count: int) -> None:
    """How much of the run cannot be judged yet."""
    if count:
        told = f"not asked yet, and so in no figure: {counted(count, 'trajectory')} of the run"
        console.print(Text(told, style="yellow"), soft_wrap=True)


def _print_missing(console: Console, report: JudgeReport) -> None:
    rules = report.verdicts["rule"]
    if rules:
        console.print(Text(f"by a rule, without the judge: {rules:,}"), soft_wrap=True)
    for basis, count in report.verdicts.items():
        if basis in NOT_JUDGED and count:
            console.print(Text(f"{NOT_JUDGED[basis]}: {count:,}", style="yellow"), soft_wrap=True)
    if report.missing:
        console.print(Text(f"not judged yet: {report.missing:,}", style="yellow"), soft_wrap=True)


def _print_agreement(console: Console, report: JudgeReport) -> None:
    if not report.agreement:
        return
    table = figures_table("repeats agree in", "unanimous", "Krippendorff's alpha", "n", right_from=1)
    for label, found in report.agreement.items():
        unanimous = NO_FIGURE if found.unanimous is None else f"{found.unanimous:.4f}"
        alpha = NO_FIGURE if found.alpha is None else f"{found.alpha:.4f}"
        table.add_row(plain_line(label), unanimous, alpha, f"{found.trajectories:,}")
    print_table(console, table)
