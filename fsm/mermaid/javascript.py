"""White space and ends of lines as JavaScript's expressions have them, for Mermaid's grammar is written in those."""

from __future__ import annotations

# What `\s` and `.trim()` mean in JavaScript; Python's own `\s` has U+001C..1F and U+0085 more, U+FEFF less.
SPACES = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
S = r"\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"  # the same, for inside [...]
S_IN_LINE = S.replace(r"\n", "")
LINE_ENDS = "\n\r\u2028\u2029"  # what JavaScript's `.` does not match
