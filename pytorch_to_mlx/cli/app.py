"""The tree of commands. Only the family that is asked for is imported; the others show the line of their card."""

import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from .. import registry
from ..card import ModelCard
from . import family, general, verbs

SETTINGS = {"help_option_names": ["-h", "--help"], "token_normalize_func": lambda name: name.replace("_", "-")}
COMPLETED = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")  # where the shells say what is being completed
EXAMPLE = "pytorch-to-mlx kokoro synthesize --text 'Hello, world!' --output hello.wav"


def build(arguments: Sequence[str]) -> Callable[..., Any]:
    """Return the command that answers these arguments."""
    app = _typer("Analyse, convert, prove, measure and run PyTorch models on Apple's MLX.", example=EXAMPLE)
    app.callback()(_version)
    for name, function in general.VERBS.items():
        verbs.add(app, name, function)
    words = [*arguments, *(word for name in COMPLETED for word in os.environ.get(name, "").split())]
    asked = {word.replace("_", "-") for word in words}
    for card in registry.cards():
        app.add_typer(_family(card, whole=card.name in asked), name=card.name)
    return typer.main.get_command(app)


def family_verbs(card: ModelCard) -> dict[str, Callable[..., Any]]:
    """Return what `pytorch-to-mlx FAMILY` can do: what every family can, and what its own commands.py adds."""
    functions = {name: verb.bind(card.name) for name, verb in family.VERBS.items()}
    return functions | {name: registry.verb(card, name) for name in card.verbs}


def _family(card: ModelCard, *, whole: bool) -> typer.Typer:
    app = _typer(f"{card.summary} ({card.task})", example=f"pytorch-to-mlx {card.name} list")
    app.callback(invoke_without_command=True)(_print_help_of_group)
    for name, function in family_verbs(card).items() if whole else ():
        verbs.add(app, name, function)
    return app


def _typer(text: str, *, example: str) -> typer.Typer:
    return typer.Typer(
        help=text,
        epilog=verbs.epilog([example]),
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings=SETTINGS,
    )


def _print_help_of_group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _print_version(asked: bool) -> None:
    if asked:
        from ..version import __version__

        typer.echo(f"pytorch-to-mlx {__version__}")
        raise typer.Exit()


def _version(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True, callback=_print_version)
    ] = False,
) -> None: ...
