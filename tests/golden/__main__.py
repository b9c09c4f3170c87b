"""Golden journals: what each shipped machine writes when it is walked along every edge.

    python -m tests.golden                   says which no longer hold
    python -m tests.golden --renew [NAME]    writes them anew: after a drawing, or what a record says, was changed on purpose

A changed golden journal is a changed format or a changed program: read the difference before it is committed, and raise
`fsm.journal.FORMAT` where an older version could not read what is written now.
"""

from __future__ import annotations

import argparse
import sys

from tests.golden.walks import file_of, names, read, walked, write


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*names(), []], help="machines (default: all)")
    parser.add_argument("--renew", action="store_true", help="write them anew")
    args = parser.parse_args()
    changed = 0
    for name in args.name or names():
        lines = walked(name)
        if file_of(name).exists() and read(name) == lines:
            continue
        changed += 1
        if args.renew:
            write(name, lines)
        print(f"{name}: {'renewed' if args.renew else 'differs'}")
    return 0 if args.renew or not changed else 1


if __name__ == "__main__":
    sys.exit(main())
