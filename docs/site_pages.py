"""What the site holds: the checkout's Markdown pages under their own paths, and a page of docstrings for each room.

MkDocs takes pages from one folder only. Here they keep the paths that they have in the checkout, so that a relative
link leads to the same page on the site as where the repository is hosted.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

CHECKOUT = Path(__file__).resolve().parents[1]
# What pages link to lies among these.
SHOWN = ("*.md", "CITATION.cff", "docs/*.md", "docs/*.png", "benchmarks/*.md", "benchmarks/results/*.png")
# Page -> its title, and what it has the docstrings of.
REFERENCE = {
    "python": ("Python", ("hermes_nnunet.model.HermesModel", "hermes_nnunet.segmentation", "hermes_nnunet.errors")),
    "words": ("The words", ("hermes_nnunet.collection", "hermes_nnunet.plans", "hermes_nnunet.modalities")),
    "plugins": (
        "Trainers and planners",
        (
            "trainers.hermes_trainer", "trainers.hermes_trainer_lengths", "trainers.hermes_trainer_paper",
            "planners.hermes_planner", "planners.hermes_planner_paper",
        ),
    ),
    **{
        room: (room, (f"hermes_nnunet.{room}",))
        for room in (
            "core", "data", "networks", "planning", "learning", "prediction", "insight", "weights", "plugin",
        )
    },
}  # fmt: skip


# The word behind a block's language tells our tests how to run it; the site's Markdown takes it for no block then.
_WORD_OF_TESTS = re.compile(r"^( *```\w+) \w+$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Leave the language alone behind the fence of a block of code."""
    return _WORD_OF_TESTS.sub(r"\1", markdown)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace what MkDocs found in `docs` by the pages of the checkout and the reference."""
    docs = Path(config.docs_dir)
    for file in list(files):
        if file.abs_src_path is not None and Path(file.abs_src_path).is_relative_to(docs):
            files.remove(file)
    for path in sorted(path for pattern in SHOWN for path in CHECKOUT.glob(pattern)):
        files.append(File.generated(config, path.relative_to(CHECKOUT).as_posix(), abs_src_path=str(path)))
    for name, (title, objects) in REFERENCE.items():
        blocks = "\n".join(f"::: {dotted}\n" for dotted in objects)
        files.append(File.generated(config, f"reference/{name}.md", content=f"# {title}\n\n{blocks}"))
    return files
