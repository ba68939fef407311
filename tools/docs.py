"""Write the computed pages of docs/ anew: `python tools/docs.py`. With --check, exit 1 if one is out of date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from chipmeter.claims import checks
from chipmeter.cli.outputs import OUTPUTS, schema
from chipmeter.report import claims

DOCS = Path(__file__).parent.parent / "docs"

HEAD = """# Claims

What vendors said, beside what the catalogue's specifications and prices give. Written by `tools/docs.py` from
`chipmeter claims`; figures carry the weakest grade of their inputs ([evidence](evidence.md)). A claim *holds* when published
figures give it, *holds if* they give it under the stated condition, and is *not reproducible* when what would settle it is
not published.

"""

JSON_HEAD = """# JSON

What commands print with `--json`. Written by `tools/docs.py` from the types that tests hold the outputs to; `chipmeter schema
COMMAND` prints the same as JSON Schema (draft 2020-12). Figures are in SI units (bytes, seconds, joules, watts, FLOP/s) and
dollars; `null` is unknown, or not computed, never zero; a field that is marked *if any* may be missing. Fields may be added in
any release; those here keep their meaning within a major version. Exit status: [command line](cli.md).
"""


def json_page() -> str:
    """List the fields of every command, each record once."""
    lines, seen = [JSON_HEAD], set()
    for command in OUTPUTS:
        made = schema(command)
        lines += [f"## {command}", "", f"Prints {kind(made)}.", ""]
        for name, record in made["$defs"].items():
            if (name, str(record)) in seen:
                continue
            seen.add((name, str(record)))
            lines += [f"**{name}**: {record['description']}", "", "| field | type | |", "| --- | --- | --- |"]
            for field, of in record["properties"].items():
                says = ["" if field in record.get("required", ()) else "*if any*", of.get("description", "")]
                text = "; ".join(filter(None, says)).replace("|", "\\|")
                lines.append(f"| `{field}` | {kind(of)} | {text} |")
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def kind(of: dict[str, Any]) -> str:
    """Say what a schema admits, in a few words."""
    if "$ref" in of:
        return str(of["$ref"]).rpartition("/")[2]
    if "anyOf" in of:
        return " or ".join(kind(one) for one in of["anyOf"])
    if "enum" in of:
        return ", ".join(f'"{value}"' for value in of["enum"])
    if of.get("type") == "array":
        tuple_of = of.get("prefixItems")
        return f"a list of {', '.join(map(kind, tuple_of)) if tuple_of else kind(of.get('items') or {})}"
    if of.get("type") == "object" and "properties" not in of:
        values = of.get("additionalProperties")
        return f"an object by name of {kind(values)}" if isinstance(values, dict) else "an object"
    return str(of.get("type", "anything"))


def pages() -> dict[str, str]:
    """Compute every page."""
    return {"claims.md": HEAD + claims.markdown(checks()), "json.md": json_page()}


def main() -> int:
    """Write or check."""
    stale = [name for name, text in pages().items() if not (DOCS / name).exists() or (DOCS / name).read_text() != text]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/{name} is out of date: run tools/docs.py", file=sys.stderr)
        return bool(stale)
    for name in stale:
        (DOCS / name).write_text(pages()[name])
    return 0


if __name__ == "__main__":
    sys.exit(main())
