"""What receivers copy to verify signatures: one file per language, with nothing but the language's own library."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Snippet:
    """The file beside this one that is written in a language."""

    language: str
    file: str

    @property
    def text(self) -> str:
        """What is in the file."""
        return (files(__package__) / self.file).read_text()


SNIPPETS: Sequence[Snippet] = (
    Snippet("Python", "verify.py"),
    Snippet("Node.js", "verify.js"),
    Snippet("Go", "verify.go"),
    Snippet("Java", "Verify.java"),
    Snippet("PHP", "verify.php"),
    Snippet("Ruby", "verify.rb"),
    Snippet("C#", "Verify.cs"),
)
