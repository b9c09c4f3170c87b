"""A run in the browser: a server of one's own store, and the page that it serves.

The page is plain modules in `static/`; it gets JSON values from `app`, folds nothing itself, and shows all words of a run as
text. `server.serve` is what `fsm watch` calls; `offline.offline` makes one file of page, pictures and timeline.
"""
