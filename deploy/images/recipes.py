"""The images of the compose file, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ROLES: Final = {
    "planner": "planner",
    "caller": "caller",
    "summarizer": "summarizer",
    "roles": "shared",
    "backbone": "backbone",
}
ENGINES: Final = ("cpu", "gpu")
# The images that the checks need; all role images share a Dockerfile.
DEFAULT: Final = ("orchestrator", "tool-api", "planner-cpu")


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile below `deploy/`, and its build arguments."""

    name: str
    dockerfile: str
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def tag(self) -> str:
        """The name of the image."""
        return f"alpha-umi/{self.name}:latest"


def _recipes() -> dict[str, Recipe]:
    recipes = [Recipe("orchestrator", "orchestrator.Dockerfile"), Recipe("tool-api", "tool_api.Dockerfile")]
    for name, role in ROLES.items():
        for engine in ENGINES:
            recipes.append(Recipe(f"{name}-{engine}", "role.Dockerfile", (("ROLE", role), ("ENGINE", engine))))
    return {recipe.name: recipe for recipe in recipes}


RECIPES: Final = _recipes()
