"""A story counts its checks and says at the end whether all held."""

import time


class Story:
    def __init__(self, name):
        self.name = name
        self.held = 0
        self.failed = 0
        self.notes = []
        self.began = time.monotonic()

    def check(self, what, holds, saw=""):
        if holds:
            self.held += 1
        else:
            self.failed += 1
            print(f"  FAILED {self.name}: {what}" + (f"; saw {str(saw)[:600]}" if saw != "" else ""), flush=True)
        return bool(holds)

    def same(self, what, saw, wanted):
        return self.check(what, saw == wanted, f"{brief(saw)}, not {brief(wanted)}")

    def note(self, text):
        """A number or an oddity worth keeping."""
        self.notes.append(text)

    def close(self):
        seconds = time.monotonic() - self.began
        for note in self.notes:
            print(f"  - {note}")
        word = "FAILED" if self.failed else "ok"
        print(f"{word:6} {self.name}: {self.held} checks held, {self.failed} failed, {seconds:.1f} s", flush=True)
        return self.failed == 0


def brief(value):
    if isinstance(value, (bytes, str)) and len(value) > 120:
        return f"{value[:120]!r}… ({len(value)} long)"
    return repr(value)
