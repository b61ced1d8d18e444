"""Tells the stories named on the command line, or all of them."""

import importlib
import sys
import traceback

from stage import Stage
from story import Story

STORIES = ["documentation", "wordpress", "transfers", "rpc", "sockets", "browser"]


def main(names):
    unknown = [name for name in names if name not in STORIES]
    if unknown:
        print(f"no story called {', '.join(unknown)}; there are: {', '.join(STORIES)}")
        return 2
    failed = 0
    names = names or STORIES
    for name in names:
        story = Story(name)
        try:
            with Stage(name) as stage:
                importlib.import_module(name).tell(stage, story)
        except Exception:
            story.check("the story came to its end", False, "")
            traceback.print_exc()
        failed += not story.close()
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
