"""Help in sections: the options of the command itself first, then those that commands share."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

_OWN = "Options"


class _GroupedOption(click.Option):
    """An option of a section of the help."""

    def __init__(self, *arguments: Any, group: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help has a section for each group of its options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Sections are in the order of their first options."""
        sections: dict[str, list[tuple[str, str]]] = {_OWN: []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                sections.setdefault(getattr(param, "group", _OWN), []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def options_of(group: str) -> partial[Any]:
    """`click.option` for options of a section."""
    return partial(click.option, cls=_GroupedOption, group=group)
