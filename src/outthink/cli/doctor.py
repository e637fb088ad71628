"""`outthink doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outthink.cli import asked, options
from outthink.cli.commands import command
from outthink.cli.output import print_json

if TYPE_CHECKING:
    from outthink.cli.asked import Told

_WORDS = {True: "yes", False: "no", None: "?"}


@command(
    "doctor",
    """A key is read from OUTTHINK_API_KEY, for OpenAI's own server from OPENAI_API_KEY.

\b
  outthink doctor local
  outthink doctor http://localhost:8000
  outthink doctor http://a:8000,http://b:8000
  outthink doctor https://api.example.org/v1#small-model""",
)
@options.argument(
    "url",
    "URL",
    "Its address, with #MODEL where it has several; addresses of several servers of one model with "
    "commas between them; or local, or local:MODEL.gguf.",
)
@asked.asking
def doctor(url: str, asking: Told, as_json: bool) -> None:
    """Tries out a model server, with some twenty requests of a few tokens each, and says what it
    can do and what each lack costs. Knows vLLM, llama.cpp and OpenAI-compatible chat.
    """
    from outthink.models.doctor import doctor

    outcome = doctor(url, asking.read())
    return print_json(outcome) if as_json else _print(outcome)


def _print(outcome: dict[str, Any]) -> None:
    places = " and ".join(outcome["servers"]) if len(outcome["servers"]) > 1 else outcome["url"]
    print(f"{outcome['server']} at {places}, model {outcome['model']}")
    context = f"context of {outcome['context']} tokens" if outcome["context"] else "context unknown"
    print(f"{context}; runs {outcome['strategies']}\n")
    wide = max(len(finding["what"]) for finding in outcome["findings"])
    for finding in outcome["findings"]:
        has = _WORDS[finding["has"]]
        print(f"{finding['what'].ljust(wide)}  {has.ljust(3)}  {finding['means']}")
    print("\nAsked with:")
    for name, value in outcome["asking"].items():
        print(f"  {name.ljust(18)}  {value if isinstance(value, float) else repr(value)}")
    for suggestion in outcome["suggestions"]:
        print(f"\n{suggestion}", end="")
    print(end="\n" if outcome["suggestions"] else "")
