"""Write the computed pages of docs/ anew: `python tools/docs.py`. With --check, exit 1 if one is out of date."""

from __future__ import annotations

import sys
from pathlib import Path

from chipmeter.claims import checks
from chipmeter.report import claims

DOCS = Path(__file__).parent.parent / "docs"

HEAD = """# Claims

What vendors said, beside what the catalogue's specifications and prices give. Written by `tools/docs.py` from
`chipmeter claims`; figures carry the weakest grade of their inputs ([evidence](evidence.md)). A claim *holds* when published
figures give it, *holds if* they give it under the stated condition, and is *not reproducible* when what would settle it is
not published.

"""


def pages() -> dict[str, str]:
    """Compute every page."""
    return {"claims.md": HEAD + claims.markdown(checks())}


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
