"""The command `metrized`: what an instructor does with the course, each a subcommand with a page of its own (`metrized grade --help`)."""
import sys

try:
    import typer
except ImportError as error:
    raise SystemExit(f'metrized needs the tools for teaching, and {error.name} is missing: pip install "metrized[teach]"') from error

from . import claims, grade, release, retarget, site, slides, tidy

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown",
                  help="Teach a section with Metrized: release homework, grade it, make slides and the website. Run inside a checkout of the course.",
                  epilog="Each command has its page: `metrized grade --help`. The instructors' page of the website plays a whole week through.")
for module in (release, grade, claims, retarget, tidy, site, slides):
    app.command(module.__name__.rpartition(".")[2])(module.command)


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand. Exits with 0 when all went well, 1 with one line on stderr when not, 2 for a wrong call."""
    try:
        return app(arguments, prog_name="metrized", standalone_mode=True)
    except (OSError, ValueError) as error:
        print(f"metrized: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
